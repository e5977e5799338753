//! A piece of a queue: lines of a lane in a file.

use serde::{Deserialize, Serialize};

/// Lines of a lane in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// The file has the lane's lines after this position…
    pub after: u64,
    /// … and up to this one.
    pub through: u64,
    /// Bytes of its file; 0 if no line was the lane's, and there is no file.
    pub bytes: u64,
    /// Its lines. Unknown of a piece that was found without a list.
    pub calls: Option<u64>,
}

impl Piece {
    pub(super) fn positions(&self) -> u64 {
        self.through.saturating_sub(self.after)
    }
}
