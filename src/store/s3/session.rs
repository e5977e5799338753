//! When the session of an assumed role is renewed, and when a role that was refused is asked for again. Pure.

use std::time::{Duration, SystemTime};

/// A session is renewed when this much of it is left, or a third, whichever is less.
const RENEW_BEFORE_END: Duration = Duration::from_secs(300);
/// A session with less left than this is not used: a request has to arrive, too.
const UNUSABLE: Duration = Duration::from_secs(5);
/// A refused session is replaced when it is this old, so at most as often.
const REVOKED_AFTER: Duration = Duration::from_secs(180);
/// Waits after a first failure, and at most.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// From when until when a session holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Term {
    pub(super) begun: SystemTime,
    pub(super) ends: SystemTime,
}

/// What to do for credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The session at hand is good.
    Use,
    /// Ask for a new one; if that fails, the one at hand is still good where there is one that has not ended.
    Renew,
    /// It was refused a moment ago: do not ask again yet.
    Wait,
}

/// What to do now, given the session at hand and for how long nothing is to be asked after a failure.
pub(super) fn next(now: SystemTime, term: Option<Term>, silent_for: Duration) -> Next {
    let usable = term.is_some_and(|term| is_usable(now, term));
    let fresh = term.is_some_and(|term| {
        let whole = term.ends.duration_since(term.begun).unwrap_or_default();
        let left = term.ends.duration_since(now).unwrap_or_default();
        // A clock that was set back makes the session look younger than it can be: its length is still an end.
        left > RENEW_BEFORE_END.min(whole / 3) && left <= whole + UNUSABLE
    });
    match (fresh, usable, silent_for.is_zero()) {
        (true, _, _) | (false, true, false) => Next::Use,
        (false, _, true) => Next::Renew,
        (false, false, false) => Next::Wait,
    }
}

/// Whether requests may still be signed with it.
pub(super) fn is_usable(now: SystemTime, term: Term) -> bool {
    term.ends.duration_since(now).is_ok_and(|left| left > UNUSABLE)
}

/// Whether a session that is refused is old enough that a new one may fare better: one that has just begun was made with the
/// rights that there are, and asking for one all the time would help nobody.
pub(super) fn may_be_revoked(now: SystemTime, term: Term) -> bool {
    now.duration_since(term.begun).is_ok_and(|age| age >= REVOKED_AFTER)
}

/// How long to ask nothing after so many failures in a row.
pub(super) fn silence(failures: u32) -> Duration {
    let (first, most) = RETRY;
    first.saturating_mul(1 << failures.saturating_sub(1).min(10)).min(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_renewed_before_it_ends_and_used_until_it_does() {
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
        // One that is short from the start is not renewed with every request.
        check(0, 240, 0, Next::Use);
        check(159, 240, 0, Next::Use);
        check(161, 240, 0, Next::Renew);
        check(-7_200, 3_600, 0, Next::Renew);
        assert_eq!(next(begun, None, Duration::ZERO), Next::Renew);
        assert_eq!(next(begun, None, Duration::from_secs(1)), Next::Wait);
    }

    #[test]
    fn only_an_old_session_is_thought_to_be_revoked() {
        let begun = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let term = Term { begun, ends: begun + Duration::from_secs(3_600) };
        assert!(!may_be_revoked(begun + Duration::from_secs(179), term));
        assert!(may_be_revoked(begun + Duration::from_secs(180), term));
        assert!(!may_be_revoked(begun - Duration::from_secs(1_000), term));
    }

    #[test]
    fn a_role_that_is_refused_is_asked_for_ever_more_seldom() {
        let seconds: Vec<u64> = (1..9).map(|failures| silence(failures).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(silence(u32::MAX).as_secs(), 60);
    }
}
