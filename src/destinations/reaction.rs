//! What happens to a call after an invocation failed. Pure.

use std::time::Duration;

use super::class::Class;
use super::outcome::Failure;
use crate::random::Random;
use crate::retry::Backoff;

/// Retries of a call that was not answered in time: the function may have run each time.
const TIMEOUT_RETRIES: u32 = 2;
/// Retries of a call after the connection broke with which it was sent: the function may have run each time.
const UNANSWERED_RETRIES: u32 = 4;
/// Retries of a call that a web address refuses although it took others in between: the answer is about the
/// call.
const REFUSED_RETRIES: u32 = 4;
/// How long to wait before the next try: 1 s, doubling, at most 5 min.
pub const BACKOFF: Backoff = Backoff { first: Duration::from_secs(1), cap: Duration::from_secs(300) };
/// How long to wait after a refusal: at most half a minute, because a person may have fixed the cause.
const BACKOFF_OF_REFUSED: Backoff = Backoff { first: Duration::from_secs(1), cap: Duration::from_secs(30) };

/// A call that failed.
#[derive(Clone, Copy, Debug)]
pub struct Failed<'a> {
    /// The failure.
    pub failure: &'a Failure,
    /// How often it was sent, this time included.
    pub attempts: u32,
    /// How often it failed so, this time included, where that is bounded
    /// ([`ReadAhead::failed`](super::read_ahead::ReadAhead::failed)).
    pub so_often: u32,
    /// How long it has waited since it was received.
    pub age: Duration,
}

/// The bounds of a destination.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// The age after which a call becomes a dead letter.
    pub max_age: Duration,
    /// Retries of a call whose function failed.
    pub retry_execution_errors: u32,
    /// Whether a refusal may be about one call, as that of a web address.
    pub refuses_calls: bool,
    /// Whether a call that is sent twice is taken once, as by a collector.
    pub knows_repeats: bool,
}

/// After how long a call that failed is sent again. `None`: it becomes a dead letter.
pub fn next_try(failed: &Failed<'_>, bounds: &Bounds, random: &dyn Random) -> Option<Duration> {
    let Failed { failure, attempts, so_often, age } = failed;
    // Other failures, such as those of a service that is down for an hour, use up no retry.
    let retries = so_often.saturating_sub(1);
    let wait =
        |backoff: Backoff| Some(backoff.wait(*attempts, random).max(failure.pause().unwrap_or_default()));
    match failure.class {
        Class::TooLarge | Class::BadRequest | Class::Recursive => None,
        _ if *age >= bounds.max_age => None,
        Class::ExecutionError if retries >= bounds.retry_execution_errors => None,
        Class::Timeout if retries >= TIMEOUT_RETRIES => None,
        Class::Unanswered if retries >= UNANSWERED_RETRIES && !bounds.knows_repeats => None,
        Class::AccessDenied | Class::NotFound | Class::Redirected
            if bounds.refuses_calls && retries >= REFUSED_RETRIES =>
        {
            None
        }
        Class::AccessDenied | Class::InvalidCredentials | Class::NotFound | Class::Redirected => {
            wait(BACKOFF_OF_REFUSED)
        }
        Class::ExecutionError
        | Class::Timeout
        | Class::Throttled
        | Class::Unavailable
        | Class::Network
        | Class::Unanswered => wait(BACKOFF),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Shortest;
    impl Random for Shortest {
        fn next_u64(&self) -> u64 {
            0
        }
    }

    const HOUR: Duration = Duration::from_secs(3_600);

    fn after(class: Class, attempts: u32, age: Duration) -> Option<Duration> {
        let failure = Failure { class, what: "".into(), retry_after: None };
        let bounds =
            Bounds { max_age: HOUR, retry_execution_errors: 1, refuses_calls: true, knows_repeats: false };
        next_try(&Failed { failure: &failure, attempts, so_often: attempts, age }, &bounds, &Shortest)
    }

    #[test]
    fn each_class_has_its_retries() {
        let retried = |class, attempts| after(class, attempts, Duration::ZERO).is_some();
        for class in [Class::Throttled, Class::Unavailable, Class::Network] {
            assert!(retried(class, 1_000), "{class}");
        }
        assert_eq!([1, 2].map(|attempts| retried(Class::ExecutionError, attempts)), [true, false]);
        assert_eq!([2, 3].map(|attempts| retried(Class::Timeout, attempts)), [true, false]);
        for class in [Class::TooLarge, Class::BadRequest, Class::Recursive] {
            assert_eq!(after(class, 1, Duration::ZERO), None, "{class}");
        }
        assert_eq!([4, 5].map(|attempts| retried(Class::Unanswered, attempts)), [true, false]);
        for class in [Class::AccessDenied, Class::NotFound, Class::Redirected] {
            assert_eq!([4, 5].map(|attempts| retried(class, attempts)), [true, false], "{class} of one call");
        }
        assert!(retried(Class::InvalidCredentials, 1_000), "it is about no call");
    }

    #[test]
    fn no_class_outlives_the_age() {
        for class in Class::ALL {
            assert_eq!(after(class, 1, HOUR), None, "{class}");
        }
    }

    #[test]
    fn a_service_that_says_when_is_followed_within_reason() {
        let bounds =
            Bounds { max_age: HOUR, retry_execution_errors: 0, refuses_calls: false, knows_repeats: false };
        let wait = |seconds| {
            let retry_after = Some(Duration::from_secs(seconds));
            let failure = Failure { class: Class::Throttled, what: "".into(), retry_after };
            let failed = Failed { failure: &failure, attempts: 1, so_often: 0, age: Duration::ZERO };
            next_try(&failed, &bounds, &Shortest)
        };
        assert_eq!(wait(7), Some(Duration::from_secs(7)));
        assert_eq!(wait(86_400), Some(Duration::from_secs(300)));
    }
}
