//! What the queue of an import brought, as part of its status.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::file_not_done::FileNotDone;

/// How many messages a queue has, as it counts them itself: about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct QueueDepth {
    /// Messages that wait.
    pub waiting: u64,
    /// Messages that were received and are hidden, by whoever received them.
    pub in_flight: u64,
    /// When the queue said so (Unix milliseconds).
    pub read_ms: i64,
}

/// The notifications of an import, since the process started or the import's settings changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NotificationsStatus {
    /// The queue's URL.
    pub queue: String,
    /// How many messages were received; one that comes again counts again.
    pub received: u64,
    /// When the last one was received (Unix milliseconds).
    pub last_ms: Option<i64>,
    /// Messages whose files are not done.
    pub in_hand: u64,
    /// When the oldest of them was sent (Unix milliseconds).
    pub oldest_ms: Option<i64>,
    /// How many messages the queue has, when it was asked last; `None`: it has not answered yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub depth: Option<QueueDepth>,
    /// Why the queue does not say now how many it has, and what to do. Messages are received all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_counted: Option<String>,
    /// What became of messages: those that are `done`, `foreign` or `other` are deleted.
    pub messages: BTreeMap<String, u64>,
    /// Why nothing can be received, and what to do.
    pub failing: Option<String>,
    /// Since when (Unix milliseconds).
    pub failing_since_ms: Option<i64>,
    /// The last files whose messages went back to the queue.
    pub not_done: Vec<FileNotDone>,
}
