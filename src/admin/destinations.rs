//! Destinations: what was sent to their functions, what failed and why. `GET /api/destinations` and below.

use serde::{Deserialize, Serialize};

use crate::boxed_future::BoxFuture;
use crate::sources::SourceId;

/// Every destination.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AllDestinations {
    /// All destinations, in the order of their names.
    pub destinations: Vec<DestinationStatus>,
    /// Bytes of the spool's segments that only destinations keep.
    pub held_bytes: u64,
}

/// One destination.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DestinationStatus {
    /// The destination's name.
    pub name: String,
    /// `lambda` or `http`.
    pub kind: String,
    /// The file of the collector's configuration, as an absolute path.
    pub config: Option<String>,
    /// Whether the configuration no longer has the destination: it sends what waits, and then ends.
    pub removed: bool,
    /// Calls that functions took, since the process started.
    pub succeeded: u64,
    /// Attempts that failed since the process started, by class. A call that is tried five times without
    /// success counts five times.
    pub failed: Vec<ClassCount>,
    /// Calls that became dead letters since the process started, by cause.
    pub dead: Vec<ClassCount>,
    /// Dead letters that the spool's ledger counts, including those of earlier processes.
    pub dead_stored: u64,
    /// How many of these a replay delivered, as its notes in the bucket say; at least so many if
    /// `dead_unknown` says why not all is known.
    pub dead_sent_again: u64,
    /// Why more dead letters may have been sent again than is known.
    pub dead_unknown: Option<String>,
    /// Each function.
    pub functions: Vec<FunctionStatus>,
}

impl DestinationStatus {
    /// Dead letters that no replay has delivered yet; at most so many if `dead_unknown` says why.
    pub fn dead_left(&self) -> u64 {
        self.dead_stored.saturating_sub(self.dead_sent_again)
    }
}

/// How often something happened, by class.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClassCount {
    /// The class, such as `access-denied`.
    pub class: String,
    /// The class's shown name, such as `Accessdenied`.
    pub shown: String,
    /// How often.
    pub count: u64,
}

/// One function of a destination.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FunctionStatus {
    /// The function's ARN; `url` or `forward` for a web address, because the address may hold a secret.
    pub function: String,
    /// The types that the function gets; empty if it gets all others.
    pub types: Vec<String>,
    /// `waiting` and `unread` together: 0 once the function has everything that the spool has for it.
    pub behind: u64,
    /// Calls for the function that were read or queued, and are neither taken nor dead letters yet.
    pub waiting: u64,
    /// Lines of the spool that were not read yet. They may be for others, or no calls.
    pub unread: u64,
    /// Bytes of calls in the function's queue file, beyond what the spool's segments keep.
    pub queued_bytes: u64,
    /// When the oldest call in memory was received.
    pub oldest_ms: Option<i64>,
    /// Invocations under way.
    pub in_flight: u64,
    /// Since when the function gets only a call now and then, to find out whether it works again; `None` if
    /// it gets all.
    pub open_since_ms: Option<i64>,
    /// The last failure, unless a call has succeeded since.
    pub failing: Option<FailureStatus>,
    /// The most calls that damage of the spool or of the queue took from the function. They were never sent.
    pub lost: u64,
}

/// A failure.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FailureStatus {
    /// The class.
    pub class: String,
    /// The class's shown name.
    pub shown: String,
    /// What happened.
    pub what: String,
    /// What fixes the failure.
    pub remedy: String,
    /// Since when every attempt has failed.
    pub since_ms: Option<i64>,
}

/// The last attempts of a destination, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Attempts {
    /// Each attempt.
    pub attempts: Vec<Attempt>,
    /// Whether error texts and logs of functions are left out, because they may hold personal data
    /// (`admin.live_view`).
    pub masked: bool,
}

/// One attempt to send a call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Attempt {
    /// When the attempt ended.
    pub at_ms: i64,
    /// The function.
    pub function: String,
    /// The call's source.
    pub source: String,
    /// The call's type.
    #[serde(rename = "type")]
    pub kind: String,
    /// The call's messageId.
    pub message_id: String,
    /// The number of this attempt among those of the call, from 1.
    pub attempt: u32,
    /// How long the attempt took, in milliseconds.
    pub millis: u64,
    /// How the attempt failed; `None` if it succeeded.
    pub failed: Option<FailureStatus>,
    /// The service's id of the request.
    pub request_id: Option<String>,
    /// The version of the function that ran.
    pub version: Option<String>,
    /// The end of the function's log.
    pub log_tail: Option<String>,
}

/// Which attempts of a destination are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedAttempts {
    /// The destination.
    pub name: SourceId,
    /// Only attempts with this result: `success`, or a class of failure.
    pub class: Option<String>,
    /// The most attempts in the answer.
    pub limit: usize,
}

/// Why nothing of a destination is shown, or nothing was done with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DestinationError {
    /// No such destination.
    #[error("there is no destination {0}")]
    Unknown(String),
    /// The destination is still configured.
    #[error("{0}")]
    Configured(String),
    /// What was asked for could not be done.
    #[error("{0}")]
    Failed(String),
}

/// What the rest of the process shows of destinations.
pub trait DestinationsView: Send + Sync {
    /// Every destination.
    fn destinations(&self) -> AllDestinations;

    /// The last attempts of one destination. Errors: [`DestinationError::Unknown`].
    fn attempts(&self, asked: &AskedAttempts) -> Result<Attempts, DestinationError>;

    /// Drops what waits for a destination that was removed from the configuration.
    /// Errors: [`DestinationError`]: the destination is unknown or still configured, or nothing could be
    /// dropped.
    fn discard(&self, name: SourceId) -> BoxFuture<'_, Result<(), DestinationError>>;
}
