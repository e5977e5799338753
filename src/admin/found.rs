//! The answer of `/api/find`: where calls are now.

use form_urlencoded::Serializer;
use serde::{Deserialize, Serialize};

use super::archive::Denied;
use crate::live::RefusedGroup;
use crate::sources::SourceId;

/// The longest value that is looked for, in bytes.
pub const FIND_MAX: usize = 1_024;
/// The most calls in an answer.
pub const FOUND_MAX: usize = 100;

/// Which calls are looked for: those that fit everything that is set, exactly. At least one value beside the
/// source is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AskedCalls {
    /// `messageId`.
    pub message_id: Option<String>,
    /// `userId`; of an alias also `previousId`.
    pub user_id: Option<String>,
    /// `anonymousId`.
    pub anonymous_id: Option<String>,
    /// The event of a track call, or the name of a page or screen.
    pub event: Option<String>,
    /// Only of this source.
    pub source: Option<SourceId>,
}

impl AskedCalls {
    /// The path and query that ask for them.
    pub fn path(&self) -> String {
        let mut query = Serializer::new(String::new());
        let source = self.source.as_ref().map(ToString::to_string);
        let names = ["message_id", "user_id", "anonymous_id", "event", "source"];
        let values = [&self.message_id, &self.user_id, &self.anonymous_id, &self.event, &source];
        for (name, value) in names.iter().zip(values) {
            value.iter().for_each(|value| _ = query.append_pair(name, value));
        }
        format!("/api/find?{}", query.finish())
    }

    /// Whether nothing but the source is set.
    pub fn is_empty(&self) -> bool {
        let Self { message_id, user_id, anonymous_id, event, .. } = self;
        [message_id, user_id, anonymous_id, event].into_iter().all(Option::is_none)
    }
}

/// Calls that were found, and where they were looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Found {
    /// The calls, the one that was received last first; at most [`FOUND_MAX`].
    pub calls: Vec<FoundCall>,
    /// Whether there are more.
    pub more: bool,
    /// Where they were looked for.
    pub searched: Searched,
    /// The refused requests that may have held the calls: those of the source, and those of no known source.
    pub refused: Vec<RefusedGroup>,
    /// Whether personal data is hidden.
    pub masked: bool,
}

/// A call that was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FoundCall {
    /// The source.
    pub source: String,
    /// The stream: `calls`, `rejected` or `objects/<collection>`.
    pub stream: String,
    /// The call's type.
    #[serde(rename = "type")]
    pub kind: String,
    /// The event, the name of the page or screen, or the group.
    pub name: Option<String>,
    /// The user; only if nothing is hidden.
    pub user: Option<String>,
    /// `messageId`.
    pub message_id: Option<String>,
    /// When its request was received (Unix milliseconds).
    pub received_at_ms: i64,
    /// Why the item was rejected.
    pub reason: Option<String>,
    /// Where the call is now.
    #[serde(flatten)]
    pub place: FoundPlace,
}

/// Where a call is now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum FoundPlace {
    /// In the spool, in a batch that is in no object yet.
    Waiting {
        /// Its position.
        position: u64,
        /// The lines of its batch.
        batch_lines: u64,
        /// The latest time at which the batch is due (Unix milliseconds).
        due_ms: i64,
    },
    /// In a sealed object that the store does not have yet.
    Sealed {
        /// The object, as `bucket/key`.
        object: String,
        /// The line's number in it, from 1.
        line: u64,
        /// Whether the object waits in a file of its own.
        parked: bool,
        /// Why the store does not have it yet, if a put failed.
        waiting: Option<String>,
    },
    /// In an object in the store.
    Delivered {
        /// The bucket.
        bucket: String,
        /// The object's key.
        key: String,
        /// The line's number in it, from 1.
        line: u64,
        /// When the store confirmed the object (Unix milliseconds).
        delivered_at_ms: i64,
    },
    /// It was stored, as the live view saw, and is in no place that was searched.
    #[default]
    Stored,
    /// It was a repeat, which is not stored again: the live view saw it.
    Repeat,
}

/// Where calls were looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Searched {
    /// Calls in the live view's memory.
    pub live_calls: u64,
    /// Bytes of lines in the spool.
    pub spool_bytes: u64,
    /// Objects in the store.
    pub objects: u64,
    /// Bytes of these, as stored.
    pub object_bytes: u64,
    /// What was not searched, and why: one sentence each.
    pub left_out: Vec<String>,
    /// Why objects cannot be read, and what would allow it.
    pub denied: Option<Denied>,
}
