//! Reads the copy of a manifest.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::block::TaskBlock;
use super::format::{
    BlockPlace, HEADER_BYTES, INDEX_ENTRY_BYTES, TRAILER_BYTES, Trailer, VERSION, header_version, is_index,
    parse_block,
};
use crate::crc32c;
use crate::disk::{Disk, DiskFile, read_sound};
use crate::jobs::task::Task;
use crate::words::grouped;

/// The copy of a manifest, open for reading.
#[derive(Debug)]
pub struct TaskRows {
    file: Arc<dyn DiskFile>,
    name: String,
    rows: u64,
    pub(super) blocks: Vec<BlockPlace>,
    /// Where the last block ends.
    pub(super) blocks_end: u64,
}

/// Where a block is in the file.
#[derive(Clone, Debug)]
pub(in crate::jobs) struct BlockBytes {
    rows: Range<u64>,
    offset: u64,
    len: usize,
}

impl BlockBytes {
    /// Memory for its bytes.
    pub(in crate::jobs) fn memory(&self) -> Vec<u8> {
        vec![0; self.len]
    }
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
        match header_version(&read(0, HEADER_BYTES)?) {
            Some(VERSION) => {}
            Some(found) => return Err(TaskRowsError::OtherVersion { name: name.to_owned(), found }),
            None => return Err(damaged("its beginning is wrong")),
        }
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

    /// The block in which this row is. Errors: [`TaskRowsError`].
    pub fn block_of(&self, row: u64) -> Result<TaskBlock, TaskRowsError> {
        let place = self.place_of(row)?;
        let read = self.read(&place, place.memory())?;
        self.parse(&place, read)
    }

    /// Where the block is in which this row is. Errors: [`TaskRowsError`].
    pub(in crate::jobs) fn place_of(&self, row: u64) -> Result<BlockBytes, TaskRowsError> {
        let none = || TaskRowsError::NoRow { row, rows: self.rows };
        if row >= self.rows {
            return Err(none());
        }
        let after = self.blocks.partition_point(|block| block.first_row <= row);
        let place = after.checked_sub(1).and_then(|at| self.blocks.get(at)).ok_or_else(none)?;
        let (end_row, end) =
            self.blocks.get(after).map_or((self.rows, self.blocks_end), |next| (next.first_row, next.offset));
        let rows = place.first_row..end_row;
        // The index was checked: a block has a length that fits.
        let len = usize::try_from(end - place.offset).map_err(|_| self.damaged(rows.clone()))?;
        Ok(BlockBytes { rows, offset: place.offset, len })
    }

    /// Reads the bytes of a block into this memory. Waits for the disk. Errors: [`TaskRowsError`].
    pub(in crate::jobs) fn read(&self, of: &BlockBytes, mut into: Vec<u8>) -> Result<Vec<u8>, TaskRowsError> {
        let read = read_sound(self.file.as_ref(), &mut into, of.offset);
        let read = read.map_err(|cause| TaskRowsError::Disk { name: self.name.clone(), cause })?;
        into.truncate(read);
        Ok(into)
    }

    /// The block of these bytes. Errors: [`TaskRowsError`]: it is damaged.
    pub(in crate::jobs) fn parse(&self, of: &BlockBytes, bytes: Vec<u8>) -> Result<TaskBlock, TaskRowsError> {
        parse_block(bytes, &of.rows).ok_or_else(|| self.damaged(of.rows.clone()))
    }

    fn damaged(&self, rows: Range<u64>) -> TaskRowsError {
        TaskRowsError::DamagedRows { name: self.name.clone(), rows }
    }

    /// The task of a row, from 0. A whole block is read: [`TaskRows::from`] reads many rows faster.
    /// Errors: [`TaskRowsError`].
    pub fn get(&self, row: u64) -> Result<Task, TaskRowsError> {
        let block = self.block_of(row)?;
        block.task(row).ok_or_else(|| self.no_text(row))
    }

    /// The rows from this one on, with their numbers. A damaged block is one error, and the rows after it
    /// follow. An error of the disk is the end.
    pub fn from(&self, row: u64) -> RowsFrom<'_> {
        RowsFrom { rows: self, next: row, block: None }
    }

    fn no_text(&self, row: u64) -> TaskRowsError {
        self.damaged(row..row + 1)
    }
}

/// Rows, one after the other: see [`TaskRows::from`].
#[derive(Debug)]
pub struct RowsFrom<'a> {
    rows: &'a TaskRows,
    /// The number of the next row.
    next: u64,
    /// The block of that row, if it was read.
    block: Option<TaskBlock>,
}

impl Iterator for RowsFrom<'_> {
    type Item = Result<(u64, Task), TaskRowsError>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = self.next;
        if row >= self.rows.rows {
            return None;
        }
        let block = match self.block.take().filter(|block| block.rows().contains(&row)) {
            Some(block) => block,
            None => match self.rows.block_of(row) {
                Ok(block) => block,
                Err(error) => {
                    self.next = match &error {
                        TaskRowsError::DamagedRows { rows, .. } => rows.end,
                        _ => self.rows.rows,
                    };
                    return Some(Err(error));
                }
            },
        };
        self.next += 1;
        let task = block.task(row);
        self.block = Some(block);
        Some(task.map(|task| (row, task)).ok_or_else(|| self.rows.no_text(row)))
    }
}
