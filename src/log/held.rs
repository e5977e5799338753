//! Space of a spool that pending calls hold.

use super::seals::PendingSeal;

/// Bytes that a line takes in a segment besides its own: frame header, source id, and its share of a block
/// and an index.
pub const FRAME_BYTES: u64 = 80;
/// Bytes that a pending object takes besides its calls: the manifest stores its note twice and keeps as much
/// space after it, and the reserve is as long as the manifest. A note has 600 to 1,000 bytes.
pub const NOTE_BYTES: u64 = 8 * 1_024;

/// Space held by pending calls, in bytes of the spool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Parked objects, and the notes of all sealed ones.
    pub parked: u64,
    /// Frames in segments, sealed or not.
    pub frames: u64,
}

impl Held {
    /// Lines of this total length, in segments.
    pub fn of_lines(lines: u64, bytes: u64) -> Self {
        Self { parked: 0, frames: bytes.saturating_add(lines.saturating_mul(FRAME_BYTES)) }
    }

    /// What a sealed object takes that is not known to be in the store.
    pub fn of_pending(pending: &PendingSeal) -> Self {
        match pending.parked {
            Some(parked) => Self { parked: parked.len.saturating_add(NOTE_BYTES), frames: 0 },
            None => Self { parked: NOTE_BYTES, ..Self::of_lines(pending.seal.frames, pending.seal.bytes) },
        }
    }

    /// The sum.
    pub fn bytes(self) -> u64 {
        self.parked.saturating_add(self.frames)
    }

    /// Adds what is held elsewhere.
    pub fn add(&mut self, other: Self) {
        self.parked = self.parked.saturating_add(other.parked);
        self.frames = self.frames.saturating_add(other.frames);
    }
}
