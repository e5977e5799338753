//! Raises and clears the alarms of a collector.

use std::sync::Arc;
use std::time::Duration;

use crate::alarms::{AlarmKind, Alarms};
use crate::kafka::collecting::{Collecting, CollectingStatus};

/// How often it is looked at.
const EVERY: Duration = Duration::from_secs(1);
/// The subject of the alarms.
const SUBJECT: &str = "kafka";
/// The most partitions that an alarm names.
const NAMED_MAX: usize = 20;

/// Looks at a collector until it is dropped.
pub(super) async fn watch(collecting: Arc<Collecting>, alarms: Arc<Alarms>) {
    let mut turns = tokio::time::interval(EVERY);
    loop {
        turns.tick().await;
        match what_is_wrong(&collecting.status()) {
            Some(what) => alarms.raise(AlarmKind::Refusing, SUBJECT, what),
            None => alarms.clear(AlarmKind::Refusing, SUBJECT),
        }
    }
}

/// Why calls get 503, if they do.
pub(super) fn what_is_wrong(status: &CollectingStatus) -> Option<String> {
    let standing = &status.standing;
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
}
