//! A second reader: every line in the order of positions, whatever its batch.

use std::fmt;
use std::io;

use super::batches::Visit;

/// Lets a second reader follow the log, and keeps what it has not read.
///
/// Delivery reads batch by batch and releases what it has delivered. A reader beside it needs only its own
/// position, and lines that are not released before it has read them. Of rejected items and dead letters
/// nothing is kept for it.
pub trait Follow: Send + Sync + fmt::Debug {
    /// The last position that is durable; 0 if there is none.
    fn durable_through(&self) -> u64;

    /// Keeps every call and object set after `position`, until the next call, and a part of the log for dead
    /// letters alone. `None`: the second reader keeps nothing. Released frames do not come back, so the first
    /// position is an option of the log when it is opened.
    fn hold_after(&self, position: Option<u64>);

    /// Bytes of the log's files that only the second reader keeps.
    fn held_bytes(&self) -> u64;

    /// The position up to which the second reader must have read, so that `bytes` of those, or all if they
    /// are fewer, are released.
    fn held_end(&self, bytes: u64) -> u64;

    /// Passes every durable frame after `read_through` that is not released to `visit`, in order, and moves
    /// `read_through` behind what was passed. Frames that are no lines, such as the progress of imports, are
    /// passed too.
    /// Errors: the disk's error, or that of `visit`. `read_through` is then behind the last frame that was
    /// passed.
    fn follow(&self, read_through: &mut ReadThrough, visit: &mut Visit<'_>) -> io::Result<()>;
}

/// How far a second reader has read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadThrough {
    /// Everything up to this position was read.
    pub through: u64,
    /// Where the log looks for the next position first, in numbers of its own.
    pub(crate) hint: (u64, u64),
}

impl ReadThrough {
    /// Behind a position.
    pub fn after(position: u64) -> Self {
        Self { through: position, hint: (0, 0) }
    }
}
