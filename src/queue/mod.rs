//! Queues of messages: one narrow trait, SQS behind it, and one fake beside it. A queue tries once; retries
//! are its users'.

mod address;
mod error;
#[cfg(any(test, feature = "testing"))]
pub mod fake;
mod sqs;

use std::fmt;
use std::time::Duration;

use crate::boxed_future::BoxFuture;
use crate::time::UnixMillis;

pub use address::QueueAddress;
pub use error::{QueueError, QueueFault};
pub use sqs::Sqs;

/// The most messages that one request takes.
pub const RECEIVE_MAX: usize = 10;
/// How long a request waits for the first message.
pub const LONG_POLL: Duration = Duration::from_secs(20);
/// How long a message can be hidden after it was received, all renewals together.
pub const HIDDEN_MAX: Duration = Duration::from_secs(12 * 3_600);

/// What a request of a queue returns.
pub type Asked<'q, T> = BoxFuture<'q, Result<T, QueueError>>;

/// A message that was received, and that is hidden from others for a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueMessage {
    /// The id, the same whenever it is received.
    pub id: String,
    /// What names this receipt of it in later requests.
    pub receipt: String,
    /// The text.
    pub body: String,
    /// When it was sent, if the queue says so.
    pub sent: Option<UnixMillis>,
}

/// What a queue says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueFacts {
    /// Its ARN.
    pub arn: Option<String>,
    /// Messages that wait, as far as the queue counts them.
    pub waiting: Option<u64>,
    /// Messages that were received and are hidden, by whoever received them.
    pub in_flight: Option<u64>,
    /// Whether messages that were received too often go to another queue.
    pub has_redrive: bool,
    /// How long it keeps a message.
    pub retention: Option<Duration>,
}

/// A queue that messages are taken from.
pub trait Queue: Send + Sync + fmt::Debug {
    /// Takes up to `most` messages, and hides each for `hidden`. Waits up to [`LONG_POLL`] for the first one.
    /// If the future is dropped, messages that were taken show again after that time.
    fn receive(&self, most: usize, hidden: Duration) -> Asked<'_, Vec<QueueMessage>>;

    /// Hides a message for this time from now on; zero shows it at once.
    fn hide<'q>(&'q self, receipt: &'q str, hidden: Duration) -> Asked<'q, ()>;

    /// Removes a message for good.
    fn delete<'q>(&'q self, receipt: &'q str) -> Asked<'q, ()>;

    /// What the queue says of itself. It takes no message.
    fn facts(&self) -> Asked<'_, QueueFacts>;
}
