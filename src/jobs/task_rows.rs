//! The copy of a manifest in a job's folder: the tasks, by the number of their row.
//!
//! ```text
//! file    := header | block* | index | trailer
//! header  := "FBTASKS\0" | version u32 | crc32c u32 (of the 12 bytes before)
//! block   := len u32 | first row u64 | rows u32 | crc32c u32 (of the 16 bytes before and the body) | body
//! body    := row*, `len` bytes in all
//! row     := flags u8 | [bucket text] | key text | [version text] | [count u8 | (name text | value text)*]
//! text    := len u16 | UTF-8
//! index   := (first row u64 | offset u64)*, one for each block
//! trailer := "FBTASKE\0" | blocks u64 | rows u64 | crc32c u32 (of the index) | crc32c u32 (of the 28 bytes before)
//! ```
//! All numbers are little-endian. The flags say what a row has: 1 a bucket (without it, that of the row
//! before in its block; the first row of a block has one), 2 a version, 4 arguments. A block ends after
//! [`BLOCK_BYTES`] of body or [`BLOCK_ROWS`] rows, so it has fewer bytes than [`BLOCK_BYTES`] and one row
//! more. A program reads the version that it writes, and no other.
//!
//! The file is written under a temporary name and published by rename, so under its name it is whole. Memory
//! holds the index: 16 bytes for each block of about a thousand rows. A damaged block stops its rows only; a
//! damaged header, index or trailer stops the job, since its rows cannot be found.

mod block;
mod format;
mod reader;
mod row_code;
mod writer;

pub use block::TaskBlock;
pub use format::{BLOCK_BYTES, BLOCK_ROWS};
pub use reader::{RowsFrom, TaskRows, TaskRowsError};
pub use row_code::ROW_BYTES_MAX;
pub use writer::TaskRowsWriter;

/// The file, in the job's folder.
pub const ROWS: &str = "rows";

#[cfg(test)]
mod tests;
