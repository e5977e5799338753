//! Sending one call to its function: the trait between the rules and the networks.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::class::Class;
use super::outcome::Failure;
use crate::boxed_future::BoxFuture;
use crate::sources::SourceId;
use crate::words::about_duration;

/// A call on its way to a function.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// The destination's name.
    pub destination: Arc<str>,
    /// The function's ARN, or a web address.
    pub function: Arc<str>,
    /// The call's source.
    pub source: SourceId,
    /// How often the call is sent with this time.
    pub attempt: u32,
    /// The stored line: the payload.
    pub line: Bytes,
}

/// How an invocation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invoked {
    /// Whether the call was taken.
    pub result: Result<(), Failure>,
    /// The service's id of the request.
    pub request_id: Option<String>,
    /// The version of the function that ran.
    pub version: Option<String>,
    /// The end of the function's log, if it was asked for.
    pub log_tail: Option<String>,
}

impl Invoked {
    /// It failed, and the service said nothing more about it.
    pub fn failed(class: Class, what: String) -> Self {
        let result = Err(Failure { class, what, retry_after: None });
        Self { result, request_id: None, version: None, log_tail: None }
    }

    /// No answer came in time.
    pub fn timed_out(timeout: Duration) -> Self {
        Self::failed(Class::Timeout, format!("no answer within {}", about_duration(timeout)))
    }
}

/// Invokes functions. It tries once; what follows from a failure is decided elsewhere.
pub trait Invoke: Send + Sync + fmt::Debug {
    /// Sends a call and waits for the answer, not longer than the destination's timeout.
    fn invoke<'a>(&'a self, call: &'a Outgoing) -> BoxFuture<'a, Invoked>;
}
