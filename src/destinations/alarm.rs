//! When a function needs a person, and what to tell them. Pure.

use std::time::Duration;

use super::class::Class;
use super::outcome::Failure;
use super::positions::{LaneId, Losses, lost_calls};
use super::progress::Seen;
use super::settings::{FORWARD, URL};
use crate::sources::SourceId;
use crate::words::counted;

/// How long every attempt must have failed before it is an alarm.
const FAILING_FOR: Duration = Duration::from_secs(60);
/// How long a function that sends back what it got stays an alarm after it was last seen.
const RECURSIVE_FOR: Duration = Duration::from_secs(600);

/// An alarm about one function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneAlarm {
    /// What is wrong, for how many calls, and what fixes it.
    pub what: String,
    /// When it began (monotonic time).
    pub began: Duration,
}

/// What the alarm is about.
pub fn subject(lane: &LaneId) -> String {
    match lane.function.as_str() {
        URL | FORWARD => lane.destination.to_string(),
        function => {
            let name = function.split_once(":function:").map_or(function, |(_, name)| name);
            format!("{}, function {name}", lane.destination)
        }
    }
}

/// What damage took from a function, and what to do.
pub fn lost(losses: &Losses, destination: &SourceId) -> String {
    let calls = counted(lost_calls(losses), "call is lost", "calls are lost");
    let range = losses
        .iter()
        .next_back()
        .map(|(first, loss)| format!(", the last at positions {first} to {}", loss.last));
    format!(
        "{calls} to it at most, because its queue or the spool is damaged{}. The archive may have them: forebay destinations \
         replay {destination} --from TIME",
        range.unwrap_or_default()
    )
}

/// The alarm about a function, if it needs one. `removed`: whether the destination is no longer configured.
pub fn of(lane: &LaneId, seen: &Seen, removed: bool, now: Duration) -> Option<LaneAlarm> {
    let calls = seen.waiting_calls();
    let waiting = counted(calls, "call waits", "calls wait");
    let why = seen.failing.as_ref();
    let remedy = |class: Class| lane.remedy(class);
    let said = |class: Class, why: Option<&Failure>| {
        // The error of a function may hold personal data, which does not belong into a log.
        let what = why
            .filter(|failure| failure.class == class)
            .map(|failure| failure.what.masked())
            .filter(|what| !what.is_empty())
            .map(|what| format!(": {what}"));
        format!("{class}{}", what.unwrap_or_default())
    };
    let name = &lane.destination;
    let then = match removed {
        true => format!(
            "it is no longer configured: drop what waits with: forebay destinations remove {name} --discard"
        ),
        false => format!("test it with: forebay destinations test {name}"),
    };
    // The next call finds out whether the failure lasts.
    if let Some((class, began)) = seen.circuit.filter(|_| calls > 0) {
        let what = format!(
            "it gets no calls but one now and then, {}; {waiting}; {}; {then}",
            said(class, why),
            remedy(class)
        );
        return Some(LaneAlarm { what, began });
    }
    if let Some(refused) = &seen.refused {
        let others = match refused.others {
            0 => String::new(),
            count => format!(" and {}", counted(count as u64, "other", "others")),
        };
        let class = refused.why.class;
        let what = format!(
            "calls of the source {}{others} wait, {}; {waiting}; {}; {then}",
            refused.source,
            said(class, Some(&refused.why)),
            remedy(class)
        );
        return Some(LaneAlarm { what, began: refused.since });
    }
    if let Some(at) = seen.recursive_at.filter(|at| now.saturating_sub(*at) < RECURSIVE_FOR) {
        let what = format!(
            "AWS stopped a loop, {}; these calls are dead letters; {}",
            Class::Recursive,
            remedy(Class::Recursive)
        );
        return Some(LaneAlarm { what, began: at });
    }
    let began = seen.failing_since.filter(|since| now.saturating_sub(*since) >= FAILING_FOR)?;
    // A single call that failed, without any after it, is no lasting fault.
    let lately = seen.failed_at.is_some_and(|at| now.saturating_sub(at) < FAILING_FOR);
    if seen.waiting.0 == 0 && !lately {
        return None;
    }
    let failure = why?;
    let what = format!(
        "no call has succeeded for a minute or longer, {}; {waiting}; {}",
        said(failure.class, why),
        remedy(failure.class)
    );
    Some(LaneAlarm { what, began })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::Told;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn lane(function: &str) -> LaneId {
        LaneId { destination: SourceId::new("crm").unwrap(), function: function.to_owned() }
    }

    #[test]
    fn a_lasting_failure_is_an_alarm_with_its_remedy() {
        let arn = lane("arn:aws:lambda:eu-west-1:111122223333:function:on-track:live");
        assert_eq!(
            (subject(&arn).as_str(), subject(&lane(URL)).as_str()),
            ("crm, function on-track:live", "crm")
        );
        let mut seen = Seen::default();
        assert_eq!(of(&arn, &seen, false, at(9_000)), None);
        seen.failing = Some(Failure {
            class: Class::Unavailable,
            what: Told::plain("500: ").and(&Told::private("oh")),
            retry_after: None,
        });
        seen.failing_since = Some(at(100));
        assert_eq!(of(&arn, &seen, false, at(9_000)), None, "one call that failed long ago");
        seen.waiting = (3, 99);
        assert_eq!(of(&arn, &seen, false, at(159)), None);
        let alarm = of(&arn, &seen, false, at(160)).unwrap();
        assert_eq!(alarm.began, at(100));
        assert!(alarm.what.contains("Service Unavailable: 500: [hidden]; 3 calls wait;"), "{}", alarm.what);
        seen.circuit = Some((Class::AccessDenied, at(150)));
        seen.waiting = (1, 9);
        // What the log has besides is for others, or for nobody: the alarm said that 55 calls wait.
        (seen.read_through, seen.unread) = (3, (0, 0));
        assert_eq!(seen.unread_lines(57), 54);
        let alarm = of(&arn, &seen, false, at(151)).unwrap();
        assert!(alarm.what.contains("Accessdenied; 1 call waits;"), "{}", alarm.what);
        assert!(alarm.what.contains("lambda:InvokeFunction"), "{}", alarm.what);
        assert!(alarm.what.ends_with("forebay destinations test crm"), "{}", alarm.what);
        let removed = of(&arn, &seen, true, at(151)).unwrap();
        assert!(removed.what.ends_with("forebay destinations remove crm --discard"), "{}", removed.what);
        let idle = Seen { circuit: seen.circuit, ..Seen::default() };
        assert_eq!(of(&arn, &idle, false, at(9_000)), None, "nothing waits");
        let recursive = Seen { recursive_at: Some(at(10)), ..Seen::default() };
        assert!(of(&arn, &recursive, false, at(20)).is_some());
        assert_eq!(of(&arn, &recursive, false, at(620)), None);
    }
}
