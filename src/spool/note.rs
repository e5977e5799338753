//! The notes of a manifest, and what they speak of: seals, parked objects, what is left of them.

use super::delivered_day::DayPlace;
use super::ledger::{Hour, Hours, Tally};
use super::scan::Range;
use super::state::State;
use crate::batch::BatchKey;
use crate::object::{AppliedEncryption, Destination, ObjectKey};
use crate::sources::SourceId;
use crate::time::{ReceivedDay, UnixMillis};

/// What one object holds and where it goes. Once synced it never changes.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Seal {
    /// Its number; seals of one spool count up.
    pub number: u64,
    /// Source, day and stream.
    pub batch: BatchKey,
    /// First position.
    pub first: u64,
    /// Last position.
    pub last: u64,
    /// Lines.
    pub frames: u64,
    /// Bytes of lines, with their `\n`.
    pub bytes: u64,
    /// SHA-256 of the lines, in hexadecimal.
    pub sha256: String,
    /// The earliest `receivedAt`.
    pub first_received_at: UnixMillis,
    /// The latest `receivedAt`.
    pub last_received_at: UnixMillis,
    /// Which encoder made the staged object, and at which level. Another may make it again: equality is judged by `sha256`.
    pub encoder: String,
    /// Bucket, region and encryption.
    pub destination: Destination,
    /// The object's key.
    pub object_key: ObjectKey,
    /// The last position of the object before it of the same batch and bucket string; `None` in the first.
    pub previous_last: Option<u64>,
    /// Lines by the hour in which they were received. Empty where a release wrote it that did not note this.
    #[serde(default)]
    pub hours: Hours,
}

impl Seal {
    /// Lines by the hour in which they were received; all in the hour of the first where that was not noted.
    pub fn hours(&self) -> Hours {
        if self.hours.is_empty() && self.frames > 0 {
            return vec![(Hour::of(self.first_received_at), self.frames)];
        }
        self.hours.clone()
    }
}

/// A seal whose object is not yet known to be in the store.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PendingSeal {
    /// The seal.
    pub seal: Seal,
    /// The parked object's length and CRC-32, where it is parked.
    pub parked: Option<Parked>,
    /// Another object with this key and other content is in the store: waits for a person.
    pub conflict: bool,
    /// A person has decided that ours takes the place of what is there: it is put without the condition.
    #[serde(default)]
    pub overwrite: bool,
    /// Set where frames were lost after the seal: what the object holds instead.
    pub amended: Option<Amend>,
}

impl PendingSeal {
    /// Lines by hour that are delivered with its object.
    pub fn hours(&self) -> Hours {
        match &self.amended {
            None => self.seal.hours(),
            Some(amend) if amend.hours.is_empty() && amend.frames > 0 => {
                vec![(Hour::of(self.seal.first_received_at), amend.frames)]
            }
            Some(amend) => amend.hours.clone(),
        }
    }
}

/// A parked object: the staged gzip, synced, in a file of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Parked {
    /// Its bytes.
    pub len: u64,
    /// Its CRC-32.
    pub crc32: u32,
}

/// What is left of a sealed range of which frames were lost.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Amend {
    /// Lines left.
    pub frames: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Their SHA-256.
    pub sha256: String,
    /// The positions lost.
    pub lost: Vec<Range>,
    /// Lines left by the hour in which they were received. Empty where a release wrote it that did not note this.
    #[serde(default)]
    pub hours: Hours,
}

/// One note of the manifest.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Note {
    /// Everything so far, in one: the first note of each manifest file.
    State(Box<State>),
    /// Several, written at once: either all of them count or none.
    Together(Vec<Note>),
    /// From `from` on, frames of `source` go to `destination`.
    Destination {
        /// The source.
        source: SourceId,
        /// The first position.
        from: u64,
        /// Where.
        destination: Destination,
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
        /// The server-side encryption that the store said it applied; `None` where nothing was said, or a person decided.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        applied: Option<AppliedEncryption>,
        /// The seal once more: should its own note rot, what it holds is not delivered again.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seal: Option<Box<Seal>>,
        /// What the object holds, where that is not what was sealed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        amended: Option<Box<Amend>>,
    },
    /// The object is parked.
    Parked {
        /// Its seal.
        number: u64,
        /// The file.
        parked: Parked,
        /// The seal once more: the segments may go now, so should its own note rot the file would be all that is left.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seal: Option<Box<Seal>>,
        /// What the file holds, where that is not what was sealed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        amended: Option<Box<Amend>>,
    },
    /// Another object has the key.
    Conflict {
        /// The seal.
        number: u64,
    },
    /// A person has decided: the seal is tried again.
    Retry {
        /// The seal.
        number: u64,
        /// Whether it may take the place of what is there.
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
    /// The store has all lines of an amended seal after all: nothing of it is lost.
    Restored {
        /// The seal.
        number: u64,
    },
    /// Positions that can no longer be read.
    Lost(Range),
    /// What the ledger counted since the last tally. It is noted before a segment that it covers is released.
    Tallied(Tally),
    /// A segment is no longer needed.
    Released {
        /// Its number.
        number: u64,
        /// Its positions, where it had any.
        positions: Option<Range>,
    },
    /// A segment's frames now stand in another, and only there.
    Replaced {
        /// The old one.
        old: u64,
        /// The new one.
        new: u64,
    },
    /// No call is received in this day or one before it any more, whatever the clock says.
    DaysOver {
        /// The last of them.
        through: ReceivedDay,
    },
    /// The marker of a day is in the store, and whoever was to be told has been told.
    Closed(DayPlace),
    /// The wall clock stepped back by more than it may unnoticed.
    Clock {
        /// Where it stood.
        from: UnixMillis,
        /// Where it stands.
        to: UnixMillis,
    },
}

impl Note {
    /// Several notes as one; `None` of none.
    pub fn together(mut notes: Vec<Self>) -> Option<Self> {
        match notes.len() {
            0 | 1 => notes.pop(),
            _ => Some(Self::Together(notes)),
        }
    }
}
