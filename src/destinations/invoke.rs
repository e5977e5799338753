//! Sending calls to a function: the trait between the rules and the networks.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::class::Class;
use super::outcome::Failure;
use super::settings::DestinationSettings;
use crate::boxed_future::BoxFuture;
use crate::sources::SourceId;
use crate::words::{Told, about_duration};

/// The longest that a connection is waited for.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// How long a connection is waited for, if an answer is waited for as long as `timeout`. It is less: a call
/// that was never sent has not timed out, so it waits for the network instead of becoming a dead letter.
pub fn connect_timeout(timeout: Duration) -> Duration {
    CONNECT_MAX.min(timeout / 5 * 3)
}

/// What one invocation carries.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// The destination's name.
    pub destination: Arc<str>,
    /// The function's ARN, or what stands for it.
    pub function: Arc<str>,
    /// The source of the calls.
    pub source: SourceId,
    /// The calls; at least one, and more only in a batch.
    pub calls: Vec<Carried>,
    /// Whether they are sent as an array, even if it is one call.
    pub batch: bool,
}

/// One call of an invocation.
#[derive(Clone, Debug)]
pub struct Carried {
    /// How often the call is sent with this time.
    pub attempt: u32,
    /// The messageId.
    pub message_id: String,
    /// The stored line.
    pub line: Bytes,
}

impl Outgoing {
    /// What is sent to a function: the line, or an array of lines.
    pub fn payload(&self) -> Bytes {
        if let ([one], false) = (&self.calls[..], self.batch) {
            return one.line.clone();
        }
        let bytes: usize = self.calls.iter().map(|call| call.line.len() + 1).sum();
        let mut array = Vec::with_capacity(bytes + 1);
        array.push(b'[');
        for (index, call) in self.calls.iter().enumerate() {
            if index > 0 {
                array.push(b',');
            }
            array.extend_from_slice(&call.line);
        }
        array.push(b']');
        array.into()
    }

    /// How often the call that was sent most is sent with this time.
    pub fn attempt(&self) -> u32 {
        self.calls.iter().map(|call| call.attempt).max().unwrap_or(1)
    }
}

/// How an invocation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invoked {
    /// Whether it succeeded.
    pub result: Result<(), Failure>,
    /// The calls of a batch that the function could not take although the invocation succeeded: their places
    /// in [`Outgoing::calls`].
    pub not_taken: Vec<usize>,
    /// Calls of a batch that the other side will never take, and why, although the invocation succeeded.
    pub refused: Vec<(usize, Told)>,
    /// The service's id of the request.
    pub request_id: Option<Told>,
    /// The version of the function that ran.
    pub version: Option<Told>,
    /// The end of the function's log, if it was asked for. All of it is private.
    pub log_tail: Option<String>,
}

impl Invoked {
    /// An invocation that ended with this result. The service said nothing more about it.
    pub fn ended(result: Result<(), Failure>) -> Self {
        Self {
            result,
            not_taken: Vec::new(),
            refused: Vec::new(),
            request_id: None,
            version: None,
            log_tail: None,
        }
    }

    /// A failed invocation. The service said nothing more about it.
    pub fn failed(class: Class, what: impl Into<Told>) -> Self {
        Self::ended(Err(Failure { class, what: what.into(), retry_after: None }))
    }

    /// An invocation without an answer in time.
    pub fn timed_out(timeout: Duration) -> Self {
        Self::failed(Class::Timeout, Told::plain(format!("no answer within {}", about_duration(timeout))))
    }
}

/// Invokes functions. It tries once; what follows from a failure is decided elsewhere.
pub trait Invoke: Send + Sync + fmt::Debug {
    /// Sends calls and waits for the answer, not longer than the destination's timeout.
    fn invoke<'a>(&'a self, outgoing: &'a Outgoing) -> BoxFuture<'a, Invoked>;

    /// Whether a line is never sent with others.
    fn goes_alone(&self, _line: &[u8]) -> bool {
        false
    }
}

/// What destinations get from the rest of the program.
pub trait Equipment: Send + Sync + fmt::Debug {
    /// What invokes the functions of a destination. Errors: why no invoker can be made.
    fn invoker(&self, settings: &DestinationSettings) -> io::Result<Arc<dyn Invoke>>;

    /// The settings of a destination that is no longer configured, from the TOML that was kept.
    /// Errors: what is wrong with them now, such as a secret that is gone.
    fn settings(&self, typed: &str) -> Result<DestinationSettings, String>;
}

/// Stands for functions that cannot be invoked: each call fails so.
#[derive(Clone, Debug)]
pub struct Unusable {
    /// The class of the failure.
    pub class: Class,
    /// Why they cannot be invoked.
    pub what: Told,
}

impl Invoke for Unusable {
    fn invoke<'a>(&'a self, _outgoing: &'a Outgoing) -> BoxFuture<'a, Invoked> {
        Box::pin(async move { Invoked::failed(self.class, self.what.clone()) })
    }
}
