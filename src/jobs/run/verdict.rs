//! What the end of an invocation means for its task. Pure.

use std::time::Duration;

use crate::jobs::answer::{self, Expected, Outcome, kept};
use crate::jobs::handlers::{Ended, Failure, FailureKind, Refusal};

/// The error code of a task that has failed for good.
pub const PERMANENT: &str = "PermanentFailure";
/// The error code of a task whose function answered TemporaryFailure to its last try.
pub const TEMPORARY: &str = "TemporaryFailure";

/// What one invocation means for its task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The task has its result.
    Final(Told),
    /// The task is tried again if it has tries left; else this is its result.
    Temporary(Told),
    /// The function takes no more requests now: the task waits, and no try is counted.
    Throttled {
        /// How long the other side asks to wait.
        pause: Option<Duration>,
    },
    /// This machine has nothing left to run it with: the task waits, and no try is counted.
    Starved,
    /// The job fails: no task of it can succeed.
    Refused(Refusal),
}

/// What the report says of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Whether it succeeded.
    pub succeeded: bool,
    /// The HTTP status of the answer, if one came.
    pub http_status: Option<u16>,
    /// Empty if it succeeded.
    pub error_code: &'static str,
    /// At most `task::MESSAGE_MAX` bytes.
    pub message: String,
}

impl Told {
    /// A task that has failed for good.
    pub fn failed(http_status: Option<u16>, message: String) -> Self {
        Self { succeeded: false, http_status, error_code: PERMANENT, message: kept(message) }
    }
}

/// What the end of an invocation means, and how many results of its answer were ignored.
pub fn verdict(ended: Ended, expected: Expected<'_>) -> (Verdict, u64) {
    let verdict = match ended {
        Ended::Answered { status, body } => {
            let read = answer::read(&body, expected);
            return (of_outcome(read.outcome, status), read.ignored);
        }
        Ended::TooLarge { status } => Verdict::Final(Told::failed(Some(status), answer::too_large(None))),
        Ended::Throttled { pause } => Verdict::Throttled { pause },
        Ended::Starved => Verdict::Starved,
        Ended::Refused(refusal) => Verdict::Refused(refusal),
        Ended::NotTaken(failure) => Verdict::Final(of_failure(failure)),
        Ended::Failed(failure) => Verdict::Temporary(of_failure(failure)),
    };
    (verdict, 0)
}

fn of_outcome(outcome: Outcome, status: u16) -> Verdict {
    let told =
        |succeeded, error_code, message| Told { succeeded, http_status: Some(status), error_code, message };
    match outcome {
        Outcome::Succeeded(message) => Verdict::Final(told(true, "", message)),
        Outcome::PermanentFailure(message) => Verdict::Final(told(false, PERMANENT, message)),
        Outcome::TemporaryFailure(message) => Verdict::Temporary(told(false, TEMPORARY, message)),
    }
}

fn of_failure(failure: Failure) -> Told {
    let message = match failure.kind {
        // The words of S3 Batch Operations.
        FailureKind::Function => format!("Lambda returned function error: {}", failure.what),
        _ => failure.what,
    };
    Told::failed(failure.status, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::invocation::Schema;
    use crate::jobs::task::MESSAGE_MAX;

    const EXPECTED: Expected<'static> =
        Expected { schema: Schema::V1, invocation_id: "i", task_id: "t", form: None };

    fn check(ended: Ended, expected: (Verdict, u64)) {
        assert_eq!(verdict(ended, EXPECTED), expected);
    }

    fn answered(code: &str) -> Ended {
        let body = format!(
            r#"{{"invocationSchemaVersion":"1.0","invocationId":"i","results":[{{"taskId":"t","resultCode":"{code}","resultString":"s"}},{{}}]}}"#
        );
        Ended::Answered { status: 200, body: body.into() }
    }

    #[test]
    fn each_end_has_its_effect() {
        let told = |succeeded, error_code, message: &str| Told {
            succeeded,
            http_status: Some(200),
            error_code,
            message: message.into(),
        };
        check(answered("Succeeded"), (Verdict::Final(told(true, "", "s")), 1));
        check(answered("PermanentFailure"), (Verdict::Final(told(false, PERMANENT, "s")), 1));
        check(answered("TemporaryFailure"), (Verdict::Temporary(told(false, TEMPORARY, "s")), 1));
        let too_large = "the answer has more than 6 MiB, and at most 6 MiB are read: answer less, and store large \
                         results elsewhere";
        check(Ended::TooLarge { status: 200 }, (Verdict::Final(told(false, PERMANENT, too_large)), 0));
        let failure = |kind, status, what: &str| Failure { kind, status, what: what.into() };
        check(
            Ended::Failed(failure(FailureKind::Function, Some(200), r#"{"errorType":"E"}"#)),
            (
                Verdict::Temporary(told(
                    false,
                    PERMANENT,
                    r#"Lambda returned function error: {"errorType":"E"}"#,
                )),
                0,
            ),
        );
        for kind in [FailureKind::Timeout, FailureKind::Network, FailureKind::Died, FailureKind::Unavailable]
        {
            let expected = Told::failed(None, "why".into());
            check(Ended::Failed(failure(kind, None, "why")), (Verdict::Temporary(expected), 0));
        }
        check(
            Ended::NotTaken(failure(FailureKind::Refused, Some(404), "404: no")),
            (Verdict::Final(Told::failed(Some(404), "404: no".into())), 0),
        );
        let pause = Some(Duration::from_secs(3));
        check(Ended::Throttled { pause }, (Verdict::Throttled { pause }, 0));
        check(Ended::Starved, (Verdict::Starved, 0));
    }

    #[test]
    fn messages_are_cut() {
        let failure = Failure::new(FailureKind::Function, "ü".repeat(2_000));
        match verdict(Ended::Failed(failure), EXPECTED).0 {
            Verdict::Temporary(told) => {
                assert!((1_020..=MESSAGE_MAX).contains(&told.message.len()));
                assert!(told.message.ends_with("… (cut: 4,032 bytes in all)"), "{}", told.message);
            }
            other => panic!("{other:?}"),
        }
    }
}
