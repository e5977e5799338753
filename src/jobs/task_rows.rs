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

mod row_code;
#[cfg(test)]
mod tests;
mod writer;

pub use writer::TaskRowsWriter;

use std::io;
use std::ops::Range;
use std::sync::Arc;

use crate::disk::{Disk, DiskFile, read_sound};
use crate::jobs::task::Task;
use crate::words::grouped;

/// A block of rows ends after so many bytes.
pub const BLOCK_BYTES: usize = 64 * 1_024;
/// A block of rows ends after so many rows.
pub const BLOCK_ROWS: u32 = 1_024;
/// The most bytes of a row. Keys, versions and arguments of manifests are bounded below it.
pub const ROW_BYTES_MAX: usize = 64 * 1_024;

const MAGIC: &[u8; 8] = b"FBTASKS\0";
const END_MAGIC: &[u8; 8] = b"FBTASKE\0";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 16;
const BLOCK_HEAD_BYTES: usize = 20;
const INDEX_ENTRY_BYTES: usize = 16;
const TRAILER_BYTES: usize = 32;

/// The copy of a manifest, open for reading.
#[derive(Debug)]
pub struct TaskRows {
    file: Arc<dyn DiskFile>,
    name: String,
    rows: u64,
    blocks: Vec<BlockPlace>,
    /// Where the last block ends.
    blocks_end: u64,
}

/// Where a block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct BlockPlace {
    first_row: u64,
    offset: u64,
}

/// Why rows cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TaskRowsError {
    /// There is no copy, although there must be one.
    #[error("the copy {0} of the job's manifest is missing; make the job again")]
    Missing(String),
    /// The copy was written by another version of the program.
    #[error(
        "the copy {name} of the job's manifest has version {found}, and this program reads {VERSION}; use the \
         program that made the job"
    )]
    OtherVersion {
        /// The file.
        name: String,
        /// The version that it has.
        found: u32,
    },
    /// Rows cannot be found, because what says where they are is damaged.
    #[error("the copy {name} of the job's manifest is damaged: {what}; make the job again")]
    Damaged {
        /// The file.
        name: String,
        /// What is damaged.
        what: &'static str,
    },
    /// A block is damaged: these rows cannot be read, others can.
    #[error(
        "the copy {name} of the job's manifest is damaged: rows {} to {} cannot be read",
        grouped(.rows.start + 1),
        grouped(rows.end)
    )]
    DamagedRows {
        /// The file.
        name: String,
        /// The rows, from 0.
        rows: Range<u64>,
    },
    /// There is no row with this number.
    #[error("row {} is asked for, and the copy of the job's manifest has {}", grouped(row + 1), grouped(*.rows))]
    NoRow {
        /// The number, from 0.
        row: u64,
        /// How many rows there are.
        rows: u64,
    },
    /// The file cannot be read or written.
    #[error("the copy {name} of the job's manifest")]
    Disk {
        /// The file.
        name: String,
        /// Why not.
        #[source]
        cause: io::Error,
    },
}

impl TaskRows {
    /// Opens a copy. Only its ends are read. Errors: [`TaskRowsError`].
    pub fn open(disk: &dyn Disk, name: &str) -> Result<Self, TaskRowsError> {
        let of_io = |cause: io::Error| match cause.kind() {
            io::ErrorKind::NotFound => TaskRowsError::Missing(name.to_owned()),
            _ => TaskRowsError::Disk { name: name.to_owned(), cause },
        };
        let damaged = |what| TaskRowsError::Damaged { name: name.to_owned(), what };
        let file = disk.open(name).map_err(of_io)?;
        let len = file.len().map_err(of_io)?;
        let read = |at: u64, len: usize| {
            let mut bytes = vec![0; len];
            let read = read_sound(file.as_ref(), &mut bytes, at).map_err(of_io)?;
            bytes.truncate(read);
            Ok(bytes)
        };
        check_header(name, &read(0, HEADER_BYTES)?)?;
        let trailer_at = len.checked_sub(TRAILER_BYTES as u64).ok_or_else(|| damaged("it ends too early"))?;
        let end =
            Trailer::parse(&read(trailer_at, TRAILER_BYTES)?).ok_or_else(|| damaged("its end is wrong"))?;
        let index_bytes = end.blocks.checked_mul(INDEX_ENTRY_BYTES as u64);
        let blocks_end = index_bytes.and_then(|bytes| trailer_at.checked_sub(bytes));
        let blocks_end = blocks_end.filter(|end| *end >= HEADER_BYTES as u64);
        let blocks_end = blocks_end.ok_or_else(|| damaged("its index is longer than the file"))?;
        let index_len =
            usize::try_from(trailer_at - blocks_end).map_err(|_| damaged("its index is too long"))?;
        let index = read(blocks_end, index_len)?;
        if index.len() != index_len || crc32c::crc32c(&index) != end.index_crc {
            return Err(damaged("its index is wrong"));
        }
        let blocks: Vec<BlockPlace> =
            index.chunks_exact(INDEX_ENTRY_BYTES).filter_map(BlockPlace::parse).collect();
        if !is_index(&blocks, end.rows, blocks_end) {
            return Err(damaged("its index is not in order"));
        }
        Ok(Self { file, name: name.to_owned(), rows: end.rows, blocks, blocks_end })
    }

    /// The number of rows.
    pub fn len(&self) -> u64 {
        self.rows
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The rows of the block in which this row is, with the number of the first. Errors: [`TaskRowsError`].
    pub fn block_of(&self, row: u64) -> Result<(u64, Vec<Task>), TaskRowsError> {
        let none = || TaskRowsError::NoRow { row, rows: self.rows };
        if row >= self.rows {
            return Err(none());
        }
        let after = self.blocks.partition_point(|block| block.first_row <= row);
        let place = after.checked_sub(1).and_then(|at| self.blocks.get(at)).ok_or_else(none)?;
        let (end_row, end) =
            self.blocks.get(after).map_or((self.rows, self.blocks_end), |next| (next.first_row, next.offset));
        let rows = place.first_row..end_row;
        let damaged = || TaskRowsError::DamagedRows { name: self.name.clone(), rows: rows.clone() };
        let mut bytes = vec![0; usize::try_from(end - place.offset).map_err(|_| damaged())?];
        let read = read_sound(self.file.as_ref(), &mut bytes, place.offset);
        let read = read.map_err(|cause| TaskRowsError::Disk { name: self.name.clone(), cause })?;
        bytes.truncate(read);
        let tasks = parse_block(&bytes, &rows).ok_or_else(damaged)?;
        Ok((place.first_row, tasks))
    }

    /// The task of a row, from 0. A whole block is read: [`TaskRows::from`] reads many rows faster.
    /// Errors: [`TaskRowsError`].
    pub fn get(&self, row: u64) -> Result<Task, TaskRowsError> {
        let (first, tasks) = self.block_of(row)?;
        let at = usize::try_from(row - first).ok();
        let none = TaskRowsError::NoRow { row, rows: self.rows };
        at.and_then(|at| tasks.into_iter().nth(at)).ok_or(none)
    }

    /// The rows from this one on, with their numbers. A damaged block is one error, and the rows after it
    /// follow. An error of the disk is the end.
    pub fn from(&self, row: u64) -> RowsFrom<'_> {
        RowsFrom { rows: self, next: row, block: Vec::new().into_iter() }
    }
}

/// Rows, one after the other: see [`TaskRows::from`].
#[derive(Debug)]
pub struct RowsFrom<'a> {
    rows: &'a TaskRows,
    /// The number of the next row.
    next: u64,
    /// What is left of the present block.
    block: std::vec::IntoIter<Task>,
}

impl Iterator for RowsFrom<'_> {
    type Item = Result<(u64, Task), TaskRowsError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.block.as_slice().is_empty() {
            if self.next >= self.rows.rows {
                return None;
            }
            match self.rows.block_of(self.next) {
                Ok((first, tasks)) => {
                    let skipped = usize::try_from(self.next - first).unwrap_or(usize::MAX);
                    self.block = tasks.into_iter();
                    self.block.by_ref().take(skipped).for_each(drop);
                }
                Err(error) => {
                    self.next = match &error {
                        TaskRowsError::DamagedRows { rows, .. } => rows.end,
                        _ => self.rows.rows,
                    };
                    return Some(Err(error));
                }
            }
        }
        let row = self.next;
        let task = self.block.next()?;
        self.next += 1;
        Some(Ok((row, task)))
    }
}

/// The end of a copy.
struct Trailer {
    blocks: u64,
    rows: u64,
    index_crc: u32,
}

impl Trailer {
    /// `None` if these bytes are none.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let (covered, crc) = bytes.split_last_chunk()?;
        let is_whole = bytes.len() == TRAILER_BYTES && crc32c::crc32c(covered) == u32::from_le_bytes(*crc);
        let rest = covered.strip_prefix(END_MAGIC).filter(|_| is_whole)?;
        let (blocks, rest) = rest.split_first_chunk()?;
        let (rows, rest) = rest.split_first_chunk()?;
        let (index_crc, _) = rest.split_first_chunk()?;
        Some(Self {
            blocks: u64::from_le_bytes(*blocks),
            rows: u64::from_le_bytes(*rows),
            index_crc: u32::from_le_bytes(*index_crc),
        })
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = END_MAGIC.to_vec();
        bytes.extend_from_slice(&self.blocks.to_le_bytes());
        bytes.extend_from_slice(&self.rows.to_le_bytes());
        bytes.extend_from_slice(&self.index_crc.to_le_bytes());
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        bytes
    }
}

impl BlockPlace {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let (first_row, rest) = bytes.split_first_chunk()?;
        let (offset, _) = rest.split_first_chunk()?;
        Some(Self { first_row: u64::from_le_bytes(*first_row), offset: u64::from_le_bytes(*offset) })
    }
}

/// The header of a copy.
fn header() -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
    bytes
}

fn check_header(name: &str, bytes: &[u8]) -> Result<(), TaskRowsError> {
    let damaged = || TaskRowsError::Damaged { name: name.to_owned(), what: "its beginning is wrong" };
    let (covered, crc) = bytes.split_last_chunk().ok_or_else(damaged)?;
    let version =
        covered.strip_prefix(MAGIC).and_then(|version| version.try_into().ok()).ok_or_else(damaged)?;
    if crc32c::crc32c(covered) != u32::from_le_bytes(*crc) {
        return Err(damaged());
    }
    match u32::from_le_bytes(version) {
        VERSION => Ok(()),
        found => Err(TaskRowsError::OtherVersion { name: name.to_owned(), found }),
    }
}

/// Whether an index covers all rows and bytes, in order and without a gap between the rows.
fn is_index(blocks: &[BlockPlace], rows: u64, blocks_end: u64) -> bool {
    let first = BlockPlace { first_row: 0, offset: HEADER_BYTES as u64 };
    let end = BlockPlace { first_row: rows, offset: blocks_end };
    let longest = (BLOCK_HEAD_BYTES + BLOCK_BYTES + ROW_BYTES_MAX) as u64;
    let places = || blocks.iter().chain(std::iter::once(&end));
    let follows = |(one, next): (&BlockPlace, &BlockPlace)| {
        one.first_row < next.first_row && one.offset < next.offset && next.offset - one.offset <= longest
    };
    places().next() == Some(blocks.first().map_or(&end, |_| &first))
        && blocks.iter().zip(places().skip(1)).all(follows)
}

/// The tasks of a block of these rows. `None`: it is damaged.
fn parse_block(bytes: &[u8], rows: &Range<u64>) -> Option<Vec<Task>> {
    let (head, body) = bytes.split_at_checked(BLOCK_HEAD_BYTES)?;
    let (covered, crc) = head.split_last_chunk()?;
    let crc_of = crc32c::crc32c_append(crc32c::crc32c(covered), body);
    let count = u32::try_from(rows.end - rows.start).ok()?;
    if crc_of != u32::from_le_bytes(*crc) || covered != block_head(body.len(), rows.start, count)? {
        return None;
    }
    row_code::decode(body, count)
}

/// The beginning of a block, without its checksum. `None` if it is longer than a block can be.
fn block_head(len: usize, first_row: u64, rows: u32) -> Option<Vec<u8>> {
    let mut head = u32::try_from(len).ok()?.to_le_bytes().to_vec();
    head.extend_from_slice(&first_row.to_le_bytes());
    head.extend_from_slice(&rows.to_le_bytes());
    Some(head)
}
