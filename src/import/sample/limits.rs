//! How much is looked at.

/// The most rows of a file that are looked at.
pub const ROWS_MAX: u64 = 1_000;
/// The most files that are looked at.
pub const FILES_MAX: usize = 3;
