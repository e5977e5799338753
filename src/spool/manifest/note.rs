//! The notes of a manifest: what happened to segments, seals, days, positions and counts.

use crate::log::{Amend, DayInBucket, OpenImport, Parked, Range, Seal};
use crate::object::{AppliedEncryption, S3Location};
use crate::sources::SourceId;
use crate::spool::ledger::Tally;
use crate::spool::manifest::state::State;
use crate::time::{ReceivedDay, UnixMillis};

/// One note of the manifest.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Note {
    /// The whole state: the first note of each manifest file.
    State(Box<State>),
    /// Several notes written at once. Either all of them count or none.
    Together(Vec<Note>),
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
    /// A segment has been made.
    Segment {
        /// Its number.
        number: u64,
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
    /// The object is parked.
    Parked {
        /// Its seal.
        number: u64,
        /// The file.
        parked: Parked,
        /// A copy of the seal. The segments may now be released, so if the seal's own note rots the file is
        /// the only copy of its calls.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seal: Option<Box<Seal>>,
        /// What the file holds, if it differs from what was sealed.
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
    Lost(Range),
    /// The ledger's counts since the last tally. It is noted before any segment that it covers is released.
    Tallied(Tally),
    /// An import has begun.
    ImportBegun(OpenImport),
    /// Imports whose progress is recorded elsewhere.
    ImportsEnded {
        /// Their numbers.
        files: Vec<u64>,
    },
    /// A segment is no longer needed.
    Released {
        /// Its number.
        number: u64,
        /// Its positions, if it had any.
        positions: Option<Range>,
    },
    /// A segment's frames were copied to another, which replaces it.
    Replaced {
        /// The old one.
        old: u64,
        /// The new one.
        new: u64,
    },
    /// No more calls are received on this day or an earlier one, whatever the clock shows.
    DaysOver {
        /// The last such day.
        through: ReceivedDay,
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

impl Note {
    /// Several notes as one; `None` if there are none.
    pub(crate) fn together(mut notes: Vec<Self>) -> Option<Self> {
        match notes.len() {
            0 | 1 => notes.pop(),
            _ => Some(Self::Together(notes)),
        }
    }
}
