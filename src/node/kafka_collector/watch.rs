//! Raises and clears the alarms of a collector.

use std::sync::Arc;
use std::time::Duration;

use crate::alarms::{AlarmKind, Alarms};
use crate::kafka::beat::Awake;
use crate::kafka::collecting::{Collecting, CollectingStatus};
use crate::partition::brokers_clock::OFF_MAX;

/// How often it is looked at.
const EVERY: Duration = Duration::from_secs(1);
/// The subject of the alarms.
const SUBJECT: &str = "kafka";
/// The most partitions that an alarm names.
const NAMED_MAX: usize = 20;

/// The subject of the alarm about what owners say.
const SUBJECT_OF_OWNERS: &str = "what writers say";
/// How long nobody may say how many partitions the log has before it is an alarm: a process that begins asks twice a second.
const WITHOUT_PARTITIONS: Duration = Duration::from_secs(10);
/// How long the group may say nothing: it is asked every ten seconds, and its coordinator may move.
const WITHOUT_OWNERS: Duration = Duration::from_secs(60);
/// A producer that has failed is replaced within this time, unless the library hangs.
pub(super) const REPLACED_WITHIN: Duration = Duration::from_secs(10);
/// What is shown if it is not.
const NOT_REPLACED: &str =
    "the client of Kafka has failed and cannot be replaced, so calls are answered 503: restart this process";

/// Looks at a collector until it is dropped.
pub(super) async fn watch(collecting: Arc<Collecting>, alarms: Arc<Alarms>) {
    let mut turns = tokio::time::interval(EVERY);
    let mut awake = Awake::at(collecting.monotonic());
    loop {
        turns.tick().await;
        if awake.is_awake(collecting.monotonic())
            && let Some(why) = collecting.failed()
        {
            alarms.end_process(SUBJECT, format!("{why}; the process ends, so that a restart can recover"));
        }
        let status = collecting.status();
        let stands = [
            (AlarmKind::Refusing, SUBJECT, what_is_wrong(&status)),
            (AlarmKind::Refusing, SUBJECT_OF_OWNERS, without_owners(&status)),
            (AlarmKind::Clock, SUBJECT, clock_is_off(&status)),
        ];
        for (kind, subject, what) in stands {
            match what {
                Some(what) => alarms.raise(kind, subject, what),
                None => alarms.clear(kind, subject),
            }
        }
    }
}

/// Why calls get 503, if they do.
pub(super) fn what_is_wrong(status: &CollectingStatus) -> Option<String> {
    let standing = &status.standing;
    if let (0, Some((lasts, why))) = (status.partitions, &status.without_partitions)
        && *lasts >= WITHOUT_PARTITIONS
    {
        return Some(format!(
            "no broker says how many partitions the log has, so all calls are answered 503: {why}; check that brokers run, \
             and kafka.brokers and kafka.topic. `forebay kafka check` says more"
        ));
    }
    if standing.without_producer >= REPLACED_WITHIN {
        return Some(NOT_REPLACED.to_owned());
    }
    if let Some(error) = &standing.error {
        return Some(format!(
            "the brokers refused a block, so calls were answered 503: {error}; fix what it names"
        ));
    }
    if standing.silent.is_empty() {
        return None;
    }
    let named: Vec<String> = standing.silent.iter().take(NAMED_MAX).map(u32::to_string).collect();
    let more = if standing.silent.len() > NAMED_MAX { " and more" } else { "" };
    let named = named.join(", ");
    Some(format!(
        "no broker acknowledges blocks of partitions {named}{more}, so their calls are answered 503: check that \
         brokers run, and that min.insync.replicas of them have each partition"
    ))
}

/// Whom to refuse is not known any more.
fn without_owners(status: &CollectingStatus) -> Option<String> {
    let (_, why) = status.without_owners.as_ref().filter(|(lasts, _)| *lasts >= WITHOUT_OWNERS)?;
    Some(format!(
        "what writers tell their group is not known ({why}), so this collector refuses the sources that it heard of last: it may \
         take calls that Kafka deletes before their bucket takes them. Check kafka.name, kafka.topic and kafka.group; \
         `forebay kafka check` says whether a right is missing"
    ))
}

/// The clock that gives calls their day is wrong.
fn clock_is_off(status: &CollectingStatus) -> Option<String> {
    let off = status.standing.clock_off;
    (off > OFF_MAX).then(|| {
        format!(
            "the clock differs by {} s from that of the brokers, so calls get a wrong receivedAt, and may get a wrong day: \
             correct the clock of this machine, or of the brokers",
            off.as_secs()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::sending::Standing;

    #[test]
    fn what_is_silent_is_named_and_what_failed_is_said() {
        let status = |silent: std::ops::Range<u32>, error: Option<&str>| CollectingStatus {
            partitions: 30,
            log_id: None,
            owners: None,
            without_partitions: None,
            without_owners: None,
            standing: Standing {
                silent: silent.collect(),
                error: error.map(str::to_owned),
                ..Standing::default()
            },
        };
        assert_eq!(what_is_wrong(&status(0..0, None)), None);
        assert!(what_is_wrong(&status(3..5, None)).unwrap().contains("partitions 3, 4, so"));
        assert!(what_is_wrong(&status(0..30, None)).unwrap().contains("19 and more"));
        assert!(what_is_wrong(&status(0..0, Some("too large"))).unwrap().contains("too large"));
    }

    #[test]
    fn what_is_not_known_is_an_alarm_once_it_lasts() {
        let lasts = |secs| Some((Duration::from_secs(secs), "no answer".to_owned()));
        let status = |partitions, unknown: u64, owners: u64, off: u64| CollectingStatus {
            partitions,
            log_id: None,
            owners: None,
            without_partitions: lasts(unknown),
            without_owners: lasts(owners),
            standing: Standing { clock_off: Duration::from_secs(off), ..Standing::default() },
        };
        let is_alarm = |status: &CollectingStatus| {
            [what_is_wrong(status), without_owners(status), clock_is_off(status)].map(|what| what.is_some())
        };
        assert_eq!(is_alarm(&status(0, 9, 59, 30)), [false; 3]);
        assert_eq!(is_alarm(&status(0, 10, 60, 31)), [true; 3]);
        // What was known before counts on.
        assert_eq!(is_alarm(&status(3, 10, 60, 31)), [false, true, true]);
        assert!(what_is_wrong(&status(0, 10, 0, 0)).unwrap().contains(": no answer; check"));
        let failed = Standing { without_producer: REPLACED_WITHIN, ..Standing::default() };
        let failed = CollectingStatus { standing: failed, ..status(3, 0, 0, 0) };
        assert_eq!(what_is_wrong(&failed).as_deref(), Some(NOT_REPLACED));
    }
}
