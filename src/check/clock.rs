//! Compares this machine's clock with the store's.

use std::time::Duration;

use chrono::DateTime;

use crate::time::UnixMillis;
use crate::words::about_duration;

use super::finding::{CheckFinding, Trial};
use super::fix;

/// Above this difference the check warns, because the received-hours and received-days of calls depend on
/// this clock.
pub(super) const WARN_ABOVE: Duration = Duration::from_secs(5);
/// S3 refuses requests with a larger difference (`RequestTimeTooSkewed`).
const REFUSED_ABOVE: Duration = Duration::from_secs(15 * 60);

/// The time in an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// This machine's clock before the request.
    pub before: UnixMillis,
    /// This machine's clock after the answer.
    pub after: UnixMillis,
    /// The header `Date` of the answer.
    pub date: String,
}

/// By how many milliseconds this clock is at least ahead of the store's; negative if it is behind. The exact
/// difference is unknown, because the header has whole seconds and the request takes time. `None` if the
/// header is not a date.
pub fn ahead(reading: &Reading) -> Option<i64> {
    let first = DateTime::parse_from_rfc2822(&reading.date).ok()?.timestamp_millis();
    let last = first.saturating_add(999);
    Some(if reading.before.0 > last {
        reading.before.0.saturating_sub(last)
    } else if reading.after.0 < first {
        reading.after.0.saturating_sub(first)
    } else {
        0
    })
}

/// Judges the clock. `None`: no answer had a date.
pub fn difference(reading: Option<&Reading>) -> CheckFinding {
    let trial = Trial::new("clock", "compare the date of the store's answers with this machine's clock");
    let Some(ahead) = reading.and_then(ahead) else {
        return trial.not_tested("not tested, because no answer of a store had a date");
    };
    let off = Duration::from_millis(ahead.unsigned_abs());
    let way = if ahead > 0 { "ahead of" } else { "behind" };
    let about = about_duration(off);
    if off > REFUSED_ABOVE {
        let what = format!(
            "this machine's clock is {about} {way} the store's; S3 refuses requests with a difference above 15 min"
        );
        trial.failed(what, vec![fix::set_the_clock()])
    } else if off > WARN_ABOVE {
        let what = format!(
            "this machine's clock is {about} {way} the store's; the received-day of each call depends on it"
        );
        trial.warning(what, vec![fix::set_the_clock()])
    } else if off.is_zero() {
        trial.passed("agrees with the store's clock")
    } else {
        trial.passed(format!("{about} {way} the store's clock"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Outcome;
    use super::*;

    #[test]
    fn only_a_certain_difference_counts() {
        const AT: i64 = 1_432_684_812_000;
        let check = |before, after, ahead_by| {
            let date = "Wed, 27 May 2015 00:00:12 GMT".to_owned();
            let reading = Reading { before: UnixMillis(before), after: UnixMillis(after), date };
            assert_eq!(ahead(&reading), Some(ahead_by), "{before} {after}");
        };
        check(AT, AT + 10, 0);
        check(AT + 990, AT + 1_500, 0);
        check(AT + 5_999, AT + 6_100, 5_000);
        check(AT - 7_000, AT - 6_000, -6_000);
        check(AT - 7_000, AT + 1, 0);
    }

    #[test]
    fn a_small_difference_passes_and_a_large_one_fails() {
        let at = 1_432_684_812_000_i64;
        let check = |off: i64, outcome| {
            let (before, after) = (UnixMillis(at + off), UnixMillis(at + off));
            let reading = Reading { before, after, date: "Wed, 27 May 2015 00:00:12 GMT".to_owned() };
            assert_eq!(difference(Some(&reading)).outcome, outcome, "{off}");
        };
        check(0, Outcome::Passed);
        check(4_000, Outcome::Passed);
        check(-4_000, Outcome::Passed);
        check(8_000, Outcome::Warning);
        check(-8_000, Outcome::Warning);
        check(1_000_000, Outcome::Failed);
        check(-1_000_000, Outcome::Failed);
        assert_eq!(difference(None).outcome, Outcome::NotTested);
        let nonsense =
            Reading { before: UnixMillis(at), after: UnixMillis(at), date: "yesterday".to_owned() };
        assert_eq!(difference(Some(&nonsense)).outcome, Outcome::NotTested);
    }
}
