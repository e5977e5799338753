//! Notes about calls: what happened to their seals, days, positions and counts.

use super::ledger::Tally;
use crate::log::{Amend, DayInBucket, Lost, Seal};
use crate::object::{AppliedEncryption, S3Location};
use crate::sources::SourceId;
use crate::time::{ReceivedDay, UnixMillis};

/// One note about calls.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallNote {
    /// From `from` on, frames of `source` go to `location`.
    #[serde(rename = "destination")]
    Location {
        /// The source.
        source: SourceId,
        /// The first position.
        from: u64,
        /// Where they go.
        #[serde(rename = "destination")]
        location: S3Location,
    },
    /// A batch is sealed.
    Sealed(Seal),
    /// The object is in the store.
    Committed {
        /// Its seal.
        number: u64,
        /// The server-side encryption that the store reported; `None` if it reported none, or a person
        /// decided.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        applied: Option<AppliedEncryption>,
        /// A copy of the seal. If its own note rots, its frames are not delivered again.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seal: Option<Box<Seal>>,
        /// What the object holds, if it differs from what was sealed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        amended: Option<Box<Amend>>,
    },
    /// The store has another object under the key.
    Conflict {
        /// The seal.
        number: u64,
    },
    /// A person decided to retry the seal.
    Retry {
        /// The seal.
        number: u64,
        /// Whether the put may overwrite the store's object.
        #[serde(default)]
        overwrite: bool,
        /// Whether the object is put beside the store's, which stays. A release that does not know this puts
        /// it under its own key again, and meets the conflict again.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        aside: bool,
    },
    /// Frames of a sealed range were lost before the object was stored.
    Amended {
        /// The seal.
        number: u64,
        /// What is left.
        amend: Amend,
    },
    /// The store turned out to have all lines of an amended seal, so nothing of it is lost.
    Restored {
        /// The seal.
        number: u64,
    },
    /// Positions that can no longer be read.
    Lost(Lost),
    /// The ledger's counts since the last tally. It is noted before any frame that it covers is let go.
    Tallied(Tally),
    /// No more calls are received on this day or an earlier one, whatever the clock shows.
    DaysOver {
        /// The last such day.
        through: ReceivedDay,
        /// The position at which these days end, in a log that others write: what stands before it and is
        /// not read yet still belongs to them, and nothing at it or later does. `None` in a log that refuses
        /// late calls itself: it has stored all of these days when it notes this.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<u64>,
    },
    /// A day's marker is in the store, and its hook, if any, has been notified.
    Closed(DayInBucket),
    /// Sources are forgotten: only the sum of their counts is kept. A source that still has something waiting
    /// is skipped, because notes before this one may be unreadable.
    Forgotten {
        /// The sources.
        sources: Vec<SourceId>,
    },
    /// The wall clock stepped back further than is tolerated.
    Clock {
        /// The time before the step.
        from: UnixMillis,
        /// The time after the step.
        to: UnixMillis,
    },
}
