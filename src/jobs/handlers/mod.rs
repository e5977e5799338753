//! What runs a job's function on one object, and how one invocation ends.
//!
//! A handler sends one request and waits for its answer. It does not retry and decides nothing: what follows
//! from an end is decided by `run`.

pub mod command;
#[cfg(feature = "lambda")]
pub mod lambda;
mod process;
#[cfg(test)]
pub(crate) mod test_server;
pub mod web;

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use super::invocation::Invocation;
use crate::boxed_future::BoxFuture;
use crate::destinations::class::Class;
use crate::words::about_duration;

/// How one invocation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The function answered.
    Answered {
        /// The HTTP status; 200 for a program.
        status: u16,
        /// The answer, at most `answer::ANSWER_MAX` bytes.
        body: Bytes,
    },
    /// The answer is larger than it may be, and was not read to its end.
    TooLarge {
        /// The HTTP status; 200 for a program.
        status: u16,
    },
    /// The function takes no more requests now. The task was not run.
    Throttled {
        /// How long the other side asks to wait.
        pause: Option<Duration>,
    },
    /// This machine has no file handle or process left for it. The task was not run.
    Starved,
    /// No request of this job can succeed: the function may not be invoked or does not exist.
    Refused(Refusal),
    /// This invocation failed, and another may succeed.
    Failed(Failure),
    /// The other side refuses this request: sent again it would be refused again.
    NotTaken(Failure),
}

/// Why no request of a job can succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The class.
    pub class: Class,
    /// What happened.
    pub what: String,
    /// What to change, with the statement of the policy that is missing.
    pub remedy: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.class.slug(), self.what, self.remedy)
    }
}

/// Why one invocation failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What kind of failure it is.
    pub kind: FailureKind,
    /// The HTTP status, if an answer came.
    pub status: Option<u16>,
    /// What happened, and what to change.
    pub what: String,
}

impl Failure {
    /// A failure without an answer.
    pub fn new(kind: FailureKind, what: impl Into<String>) -> Self {
        Self { kind, status: None, what: what.into() }
    }

    /// No answer came in time.
    pub fn timed_out(timeout: Duration) -> Self {
        let within = about_duration(timeout);
        Self::new(
            FailureKind::Timeout,
            format!("no answer within {within}: make the function faster, or raise --task-timeout"),
        )
    }
}

/// Kinds of failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The function ran and reported an error. What it said is the failure's text.
    Function,
    /// No answer came in time. The function may have run.
    Timeout,
    /// The function could not be reached, or the connection broke.
    Network,
    /// The program ended before it answered.
    Died,
    /// The service or the machine has a fault that may pass.
    Unavailable,
    /// The request was refused as it is.
    Refused,
}

/// Runs a function on the object of one request.
pub trait Handler: Send + Sync + fmt::Debug {
    /// Sends a request and waits for its end, not longer than the time that the handler was made for.
    fn invoke<'a>(&'a self, invocation: &'a Invocation) -> BoxFuture<'a, Ended>;

    /// Ends what the handler has opened, once no invocation is in flight. Errors: what is left, for people.
    fn close(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// What an answer must be besides what S3 Batch Operations wants, in the message of one that is not.
    fn answer_form(&self) -> Option<&'static str> {
        None
    }

    /// Called when no invocation runs and none follows soon: closes the file handles kept for the next one.
    fn rest(&self) {}
}
