//! Notes of a partition, one a record of the notes topic, and several in one transaction.
//!
//! Kafka keeps what it acknowledged, so notes need no checksums and no copies of each other.

use super::block::BlockAt;
use super::numbers::Numbers;
use crate::batch::BatchKey;
use crate::log::notes::CallNote;
use crate::log::{Parked, Range};
use crate::sources::SourceId;
use crate::time::ReceivedDay;

/// The version of notes and rules that this release writes.
pub const VERSION: u32 = 1;
/// Bytes of one part of a snapshot.
const PART_BYTES: usize = 1_024 * 1_024;

/// One note.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::large_enum_variant, reason = "a note is made, written and forgotten; there are never many")]
pub enum Note {
    /// A part of a snapshot: all parts are in one transaction, and together they are the whole state.
    Snapshot {
        /// Which part, from 1.
        part: u32,
        /// How many there are.
        of: u32,
        /// A part of the state's JSON.
        text: String,
    },
    /// An owner's first note: what stands before it is all there is.
    Term(TermNote),
    /// A note about calls.
    Call(CallNote),
    /// Positions that cannot be read. It is final: later owners do not read them even if they could, or their
    /// windows of repeats would differ.
    Unread(Range),
    /// How far the owner had read when it sealed, in the seal's transaction.
    Covered(Covered),
    /// Where a new owner begins to read.
    Base(Box<Base>),
    /// All lines of a source's day are in the store: see [`super::days::to_settle`].
    Settled {
        /// The source.
        source: SourceId,
        /// The day.
        day: ReceivedDay,
    },
    /// These frames of a batch repeat calls: see [`super::repeats`].
    Repeats {
        /// The batch.
        batch: BatchKey,
        /// Their positions.
        ranges: Vec<Range>,
    },
    /// The log was cut: another block, or none, stands at this offset. The partition stays stopped, also when
    /// retention has deleted what shows it.
    LogCut(u64),
    /// A sealed object stays in the log, and its frames are forgotten: see [`super::left`].
    Left {
        /// The number of the seal.
        number: u64,
        /// Length and checksum of the object as it was put.
        parked: Parked,
        /// The record from which on its window of repeats is complete.
        from: u64,
    },
}

/// Who owns the partition from now on.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct TermNote {
    /// Random.
    pub token: String,
    /// The release.
    pub version: String,
    /// The machine, for people.
    pub host: String,
}

/// How far the log was read when a seal or a base was noted.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Covered {
    /// The last block. `None` if there was none yet.
    pub last: Option<BlockAt>,
    /// The offsets of second copies that no earlier note names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub copies: Vec<u64>,
}

/// Where a new owner begins to read, and what it must know there.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Base {
    /// The first position that is neither released nor left.
    pub read_from: u64,
    /// The offset from which on the window of repeats is complete at `read_from`.
    pub window_from: u64,
    /// The last numbers of producers in the records before `window_from`.
    pub numbers: Numbers,
    /// How far the log was read.
    pub covered: Covered,
}

/// Why a note cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("a note cannot be read; a newer release may have written it")]
pub struct UnreadableNote(#[from] serde_json::Error);

impl Note {
    /// The value of its record.
    pub fn encode(&self) -> Vec<u8> {
        // Writing to memory fails only for maps whose keys are no text, and a note has none.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads the value of a record.
    /// Errors: [`UnreadableNote`], for a newer release's note too.
    pub fn decode(value: &[u8]) -> Result<Self, UnreadableNote> {
        Ok(serde_json::from_slice(value)?)
    }

    /// The parts of a snapshot with this text.
    pub(super) fn snapshot(text: &str) -> Vec<Self> {
        let mut parts = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            // A character has at most four bytes.
            let cut = (0..4).map(|less| PART_BYTES.min(rest.len()) - less);
            let at = cut.into_iter().find(|at| rest.is_char_boundary(*at)).unwrap_or(rest.len());
            let (part, behind) = rest.split_at(at);
            parts.push(part.to_owned());
            rest = behind;
        }
        let of = u32::try_from(parts.len()).unwrap_or(u32::MAX);
        let numbered = parts.into_iter().zip(1..);
        numbered.map(|(text, part)| Self::Snapshot { part, of, text }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_cut_between_characters() {
        let text = "a".repeat(PART_BYTES - 1) + &"\u{1F600}".repeat(PART_BYTES / 4);
        let parts = Note::snapshot(&text);
        let joined: String = parts
            .iter()
            .map(|part| match part {
                Note::Snapshot { text, of: 2 | 3, .. } => text.as_str(),
                _ => panic!("{part:?}"),
            })
            .collect();
        assert_eq!(joined, text);
    }

    #[test]
    fn notes_read_back_as_written() {
        let parked = Parked { len: 3, crc32: 4 };
        let notes = [
            Note::Term(TermNote { token: "t".into(), version: "1".into(), host: "h".into() }),
            Note::Call(CallNote::Conflict { number: 3 }),
            Note::Base(Box::default()),
            Note::Covered(Covered { last: None, copies: vec![4] }),
            Note::LogCut(5),
            Note::Left { number: 1, parked, from: 3 },
        ];
        for note in notes {
            assert_eq!(Note::decode(&note.encode()).unwrap(), note);
        }
        assert!(Note::decode(br#"{"newer":{}}"#).is_err());
    }
}
