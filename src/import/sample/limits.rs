//! How much of the files a sample takes.

/// The most rows that are read from one file.
pub const ROWS_MAX: u64 = 1_000;
/// The most files that are read.
pub const FILES_MAX: usize = 3;
