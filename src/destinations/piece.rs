//! A piece of a queue: lines of a lane in a file.

use serde::{Deserialize, Serialize};

/// Lines of a lane in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// The position after which the file has the lane's lines.
    pub after: u64,
    /// The last position whose line the file may have.
    pub through: u64,
    /// The length of the file in bytes; 0 if no line was the lane's, and there is no file.
    pub bytes: u64,
    /// The number of lines. `None` for a piece that was found without a list.
    pub calls: Option<u64>,
}

impl Piece {
    pub(super) fn positions(&self) -> u64 {
        self.through.saturating_sub(self.after)
    }
}
