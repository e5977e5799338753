//! Decides when the session of an assumed role is renewed, and when a refused role is requested again. Pure.

use std::time::{Duration, SystemTime};

/// A session is renewed when less than this or than a third of its length is left, whichever is shorter.
const RENEW_BEFORE_END: Duration = Duration::from_secs(300);
/// A session with less time left is not used, because the request needs time too.
const UNUSABLE: Duration = Duration::from_secs(5);
/// A refused session is replaced only if it is at least this old. So there is at most one replacement in this
/// time.
const REVOKED_AFTER: Duration = Duration::from_secs(180);
/// The pause after a first failure, and the longest pause.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// The lifetime of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Term {
    pub(super) begun: SystemTime,
    pub(super) ends: SystemTime,
}

/// What to do to get credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Use the current session.
    Use,
    /// Request a new session; if that fails, use the current one while it is valid.
    Renew,
    /// A request failed recently: do not request again yet.
    Wait,
}

/// What to do now, given the current session and the remaining pause after a failure.
pub(super) fn next(now: SystemTime, term: Option<Term>, silent_for: Duration) -> Next {
    let usable = term.is_some_and(|term| is_usable(now, term));
    let fresh = term.is_some_and(|term| {
        let whole = term.ends.duration_since(term.begun).unwrap_or_default();
        let left = term.ends.duration_since(now).unwrap_or_default();
        // After the clock was set back the session seems younger than possible: never assume more than its
        // whole length.
        left > RENEW_BEFORE_END.min(whole / 3) && left <= whole + UNUSABLE
    });
    match (fresh, usable, silent_for.is_zero()) {
        (true, _, _) | (false, true, false) => Next::Use,
        (false, _, true) => Next::Renew,
        (false, false, false) => Next::Wait,
    }
}

/// Whether requests may still be signed with the session.
pub(super) fn is_usable(now: SystemTime, term: Term) -> bool {
    term.ends.duration_since(now).is_ok_and(|left| left > UNUSABLE)
}

/// Whether a refused session is old enough to be replaced. A session that has just begun has the current
/// rights, and requesting new ones continuously would not help.
pub(super) fn may_be_revoked(now: SystemTime, term: Term) -> bool {
    now.duration_since(term.begun).is_ok_and(|age| age >= REVOKED_AFTER)
}

/// The pause after this number of failures in a row.
pub(super) fn silence(failures: u32) -> Duration {
    let (first, most) = RETRY;
    first.saturating_mul(1 << failures.saturating_sub(1).min(10)).min(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_renewed_early_and_used_until_its_end() {
        let begun = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let check = |age: i64, length: u64, silent: u64, expected| {
            let term = Term { begun, ends: begun + Duration::from_secs(length) };
            let now = match u64::try_from(age) {
                Ok(age) => begun + Duration::from_secs(age),
                Err(_) => begun - Duration::from_secs(age.unsigned_abs()),
            };
            assert_eq!(
                next(now, Some(term), Duration::from_secs(silent)),
                expected,
                "{age} of {length}, {silent}"
            );
        };
        check(0, 3_600, 0, Next::Use);
        check(3_299, 3_600, 0, Next::Use);
        check(3_300, 3_600, 0, Next::Renew);
        check(3_300, 3_600, 5, Next::Use);
        check(3_594, 3_600, 5, Next::Use);
        check(3_595, 3_600, 5, Next::Wait);
        check(4_000, 3_600, 0, Next::Renew);
        // A short session is not renewed with every request.
        check(0, 240, 0, Next::Use);
        check(159, 240, 0, Next::Use);
        check(161, 240, 0, Next::Renew);
        check(-7_200, 3_600, 0, Next::Renew);
        assert_eq!(next(begun, None, Duration::ZERO), Next::Renew);
        assert_eq!(next(begun, None, Duration::from_secs(1)), Next::Wait);
    }

    #[test]
    fn only_an_old_session_may_be_revoked() {
        let begun = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let term = Term { begun, ends: begun + Duration::from_secs(3_600) };
        assert!(!may_be_revoked(begun + Duration::from_secs(179), term));
        assert!(may_be_revoked(begun + Duration::from_secs(180), term));
        assert!(!may_be_revoked(begun - Duration::from_secs(1_000), term));
    }

    #[test]
    fn the_pause_grows_with_each_refusal_of_a_role() {
        let seconds: Vec<u64> = (1..9).map(|failures| silence(failures).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(silence(u32::MAX).as_secs(), 60);
    }
}
