//! Writes the copy of a manifest.

use std::fmt;
use std::io::{self, IoSlice};
use std::sync::Arc;

use super::format::{
    BLOCK_BYTES, BLOCK_ROWS, BlockPlace, HEADER_BYTES, INDEX_ENTRY_BYTES, Trailer, block_head, header,
};
use super::row_code::encode;
use crate::crc32c;
use crate::disk::{Disk, DiskFile, publish, temporary_name};
use crate::jobs::task::Task;

/// Writes the copy of a manifest, row by row. After an error nothing more is written, and the copy is never
/// published: a new writer begins again.
pub struct TaskRowsWriter<'a> {
    disk: &'a dyn Disk,
    name: String,
    file: Arc<dyn DiskFile>,
    blocks: Vec<BlockPlace>,
    /// Where the next block begins.
    at: u64,
    /// The rows of the blocks that are written.
    written: u64,
    body: Vec<u8>,
    body_rows: u32,
    /// The bucket of the last row.
    bucket: String,
    /// Rows of a block, at most.
    block_rows: u32,
    failed: bool,
}

impl fmt::Debug for TaskRowsWriter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskRowsWriter")
            .field("name", &self.name)
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

impl<'a> TaskRowsWriter<'a> {
    /// Begins the copy that will have this name. A copy that was begun and not ended is replaced.
    /// Errors: the file system's error.
    pub fn create(disk: &'a dyn Disk, name: &str) -> io::Result<Self> {
        let file = disk.create(&temporary_name(name))?;
        file.write_at(&[IoSlice::new(&header())], 0)?;
        Ok(Self {
            disk,
            name: name.to_owned(),
            file,
            blocks: Vec::new(),
            at: HEADER_BYTES as u64,
            written: 0,
            body: Vec::with_capacity(2 * BLOCK_BYTES),
            body_rows: 0,
            bucket: String::new(),
            block_rows: BLOCK_ROWS,
            failed: false,
        })
    }

    /// The number of rows so far.
    pub fn len(&self) -> u64 {
        self.written + u64::from(self.body_rows)
    }

    /// Whether there is no row so far.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds the next row. Errors: the file system's error, or the row is too long; both are final.
    pub fn push(&mut self, task: &Task) -> io::Result<()> {
        self.once(|writer| {
            let before = (writer.body_rows > 0).then_some(writer.bucket.as_str());
            encode(&mut writer.body, task, before).map_err(io::Error::other)?;
            if writer.bucket != task.bucket {
                task.bucket.clone_into(&mut writer.bucket);
            }
            writer.body_rows += 1;
            match writer.body.len() >= BLOCK_BYTES || writer.body_rows == writer.block_rows {
                true => writer.end_block(),
                false => Ok(()),
            }
        })
    }

    /// Ends the copy, and publishes it under its name. `Ok`: it is durable. Errors: the file system's error.
    pub fn finish(mut self) -> io::Result<()> {
        self.once(|writer| {
            if writer.body_rows > 0 {
                writer.end_block()?;
            }
            let mut index = Vec::with_capacity(writer.blocks.len().saturating_mul(INDEX_ENTRY_BYTES));
            for place in &writer.blocks {
                index.extend_from_slice(&place.first_row.to_le_bytes());
                index.extend_from_slice(&place.offset.to_le_bytes());
            }
            let index_crc = crc32c::crc32c(&index);
            let trailer =
                Trailer { blocks: writer.blocks.len() as u64, rows: writer.written, index_crc }.bytes();
            writer.file.write_at(&[IoSlice::new(&index), IoSlice::new(&trailer)], writer.at)?;
            writer.file.sync()?;
            publish(writer.disk, &writer.name)
        })
    }

    /// Does a step, unless an earlier one failed: what is on disk is unknown then.
    fn once(&mut self, step: impl FnOnce(&mut Self) -> io::Result<()>) -> io::Result<()> {
        if self.failed {
            return Err(io::Error::other(
                "an earlier write of the manifest's copy failed; the job begins it again",
            ));
        }
        self.failed = true;
        step(self)?;
        self.failed = false;
        Ok(())
    }

    fn end_block(&mut self) -> io::Result<()> {
        let head = block_head(self.body.len(), self.written, self.body_rows);
        let mut head = head.ok_or_else(|| io::Error::other("a block of the manifest's copy is too long"))?;
        let crc = crc32c::append(crc32c::crc32c(&head), &self.body);
        head.extend_from_slice(&crc.to_le_bytes());
        self.file.write_at(&[IoSlice::new(&head), IoSlice::new(&self.body)], self.at)?;
        self.blocks.push(BlockPlace { first_row: self.written, offset: self.at });
        self.at += (head.len() + self.body.len()) as u64;
        self.written += u64::from(self.body_rows);
        self.body.clear();
        self.body_rows = 0;
        Ok(())
    }
}

/// Writes a copy of these tasks, and opens it.
#[cfg(test)]
pub(super) fn written(disk: &dyn Disk, name: &str, tasks: &[Task]) -> super::TaskRows {
    written_in_blocks(disk, name, tasks, BLOCK_ROWS)
}

/// The same with blocks of so many rows.
#[cfg(test)]
pub(super) fn written_in_blocks(
    disk: &dyn Disk,
    name: &str,
    tasks: &[Task],
    block_rows: u32,
) -> super::TaskRows {
    let mut writer = TaskRowsWriter { block_rows, ..TaskRowsWriter::create(disk, name).unwrap() };
    tasks.iter().for_each(|task| writer.push(task).unwrap());
    assert_eq!(writer.len(), tasks.len() as u64);
    writer.finish().unwrap();
    super::TaskRows::open(disk, name).unwrap()
}
