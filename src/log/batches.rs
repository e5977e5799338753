//! Batches with unsealed frames, and how to read their frames.

use std::io;
use std::time::Duration;

use super::Stopped;
use super::frame::Frame;
use super::range::Range;
use crate::batch::BatchKey;
use crate::time::UnixMillis;

/// Frames that are stored and not sealed.
pub trait Batches {
    /// How far the reader of the log is behind its end: zero if frames are open as soon as they are stored.
    fn behind(&self) -> Duration;

    /// One batch, if it has unsealed frames.
    fn open_batch(&self, key: &BatchKey) -> Option<OpenBatch>;

    /// Passes the durable frames of `key` with `after < position <= through` to `visit`, in order.
    /// Errors: the disk's error, or that of `visit`.
    fn read(&self, key: &BatchKey, after: u64, through: u64, visit: &mut Visit<'_>) -> io::Result<()>;

    /// The positions of the lines that begin near these offsets, counted in bytes of the batch's unsealed
    /// lines. `offsets` must be sorted. Offsets after the end yield no position.
    fn positions_at(&self, batch: &OpenBatch, offsets: &[u64]) -> io::Result<Vec<u64>>;

    /// The last position of the batch in the oldest segment that has frames of it after `after`.
    fn end_of_oldest(&self, batch: &BatchKey, after: u64) -> Option<u64>;

    /// Corrects the number of bytes of a batch's unsealed lines, unless frames were added since `batch` was
    /// read.
    fn recount(&self, batch: &OpenBatch, bytes: u64);

    /// Records positions that can no longer be read, durably, unless they are already recorded.
    fn note_lost(&self, lost: &[Range]) -> Result<(), Stopped>;

    /// Releases a batch none of whose unsealed frames can be read. `lost` is recorded durably, and the batch
    /// no longer holds any segment. Call this only while each sealed object of the batch is stored or parked.
    fn give_up(&self, batch: &OpenBatch, lost: &[Range]) -> Result<(), Stopped>;
}

/// A batch with unsealed frames, as delivery sees it.
#[derive(Clone, Debug)]
pub struct OpenBatch {
    /// Source, day and stream.
    pub key: BatchKey,
    /// Number of unsealed frames.
    pub frames: u64,
    /// Their bytes as lines.
    pub bytes: u64,
    /// When the first of them was received.
    pub first_received_at: UnixMillis,
    /// Everything up to here is sealed.
    pub sealed_through: u64,
    /// The position of the first of them. It may be too low, never too high.
    pub first: u64,
    /// The last position.
    pub last: u64,
    /// Changes with `first_received_at`. Values computed from an older one are then stale.
    pub generation: u64,
}

/// The frames of a batch after its last seal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FirstOpen {
    /// The position of the first frame that can be read.
    At(u64),
    /// No frame can be read.
    Nothing {
        /// The positions of the unreadable frames.
        lost: Vec<Range>,
    },
}

/// One item.
#[derive(Debug)]
pub enum Read<'a> {
    /// A checked frame.
    Frame(Frame<'a>),
    /// Positions of damaged frames.
    Lost(Range),
}

/// Whether to continue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Go {
    /// Continue with the next item.
    On,
    /// Stop.
    Stop,
}

/// Gets the items.
pub type Visit<'v> = dyn FnMut(Read<'_>) -> io::Result<Go> + 'v;
