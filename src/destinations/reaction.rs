//! What happens to a call after an invocation failed. Pure.

use std::time::Duration;

use super::class::Class;
use super::outcome::Failure;
use crate::random::Random;
use crate::retry::Backoff;

/// Retries of a call that was not answered in time: the function may have run each time.
const TIMEOUT_RETRIES: u32 = 2;
/// How long to wait before the next try: 1 s, doubling, at most 5 min.
pub const BACKOFF: Backoff = Backoff { first: Duration::from_secs(1), cap: Duration::from_secs(300) };

/// What happens next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// It is sent again after this time.
    Retry(Duration),
    /// It is sent again when the function can be used again: its circuit is open now.
    WaitForCircuit,
    /// It becomes a dead letter.
    Dead,
}

/// A call that failed.
#[derive(Clone, Copy, Debug)]
pub struct Failed<'a> {
    /// How.
    pub failure: &'a Failure,
    /// How often it was sent, this time included.
    pub attempts: u32,
    /// How often it was not answered in time, or the function failed with it, if it failed so this time, which is included.
    pub so_often: u32,
    /// How long ago it was received.
    pub age: Duration,
}

/// The bounds of a destination.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// The age after which a call becomes a dead letter.
    pub max_age: Duration,
    /// Retries of a call whose function failed.
    pub retry_execution_errors: u32,
}

/// What happens to a call after it failed.
pub fn reaction(failed: &Failed<'_>, bounds: &Bounds, random: &dyn Random) -> Reaction {
    let Failed { failure, attempts, so_often, age } = failed;
    // Other failures, such as those of a service that is down for an hour, use up no retry.
    let retries = so_often.saturating_sub(1);
    let later = || BACKOFF.wait(*attempts, random).max(failure.pause().unwrap_or_default());
    match failure.class {
        Class::TooLarge | Class::BadRequest | Class::Recursive => Reaction::Dead,
        _ if *age >= bounds.max_age => Reaction::Dead,
        Class::ExecutionError if retries >= bounds.retry_execution_errors => Reaction::Dead,
        Class::Timeout if retries >= TIMEOUT_RETRIES => Reaction::Dead,
        Class::AccessDenied | Class::InvalidCredentials | Class::NotFound | Class::Redirected => {
            Reaction::WaitForCircuit
        }
        Class::ExecutionError | Class::Timeout | Class::Throttled | Class::Unavailable | Class::Network => {
            Reaction::Retry(later())
        }
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

    fn after(class: Class, attempts: u32, age: Duration) -> Reaction {
        let failure = Failure { class, what: String::new(), retry_after: None };
        let bounds = Bounds { max_age: HOUR, retry_execution_errors: 1 };
        reaction(&Failed { failure: &failure, attempts, so_often: attempts, age }, &bounds, &Shortest)
    }

    #[test]
    fn each_class_has_its_retries() {
        let retried = |class, attempts| matches!(after(class, attempts, Duration::ZERO), Reaction::Retry(_));
        for class in [Class::Throttled, Class::Unavailable, Class::Network] {
            assert!(retried(class, 1_000), "{class}");
        }
        assert_eq!([1, 2].map(|attempts| retried(Class::ExecutionError, attempts)), [true, false]);
        assert_eq!([2, 3].map(|attempts| retried(Class::Timeout, attempts)), [true, false]);
        for class in [Class::TooLarge, Class::BadRequest, Class::Recursive] {
            assert_eq!(after(class, 1, Duration::ZERO), Reaction::Dead, "{class}");
        }
        for class in [Class::AccessDenied, Class::InvalidCredentials, Class::NotFound, Class::Redirected] {
            assert_eq!(after(class, 9, Duration::ZERO), Reaction::WaitForCircuit, "{class}");
        }
    }

    #[test]
    fn no_class_outlives_the_age() {
        for class in Class::ALL {
            assert_eq!(after(class, 1, HOUR), Reaction::Dead, "{class}");
        }
    }

    #[test]
    fn a_service_that_says_when_is_followed_within_reason() {
        let bounds = Bounds { max_age: HOUR, retry_execution_errors: 0 };
        let wait = |seconds| {
            let retry_after = Some(Duration::from_secs(seconds));
            let failure = Failure { class: Class::Throttled, what: String::new(), retry_after };
            let failed = Failed { failure: &failure, attempts: 1, so_often: 0, age: Duration::ZERO };
            reaction(&failed, &bounds, &Shortest)
        };
        assert_eq!(wait(7), Reaction::Retry(Duration::from_secs(7)));
        assert_eq!(wait(86_400), Reaction::Retry(Duration::from_secs(300)));
    }
}
