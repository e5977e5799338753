//! The rows of a parquet file, in order.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ::parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};

use super::chunk::Source;
use super::column::Column;
use super::fault::{ParquetFault, caught};
use super::footer;
use super::group::{BATCH_ROWS_MAX, batch_rows, begin_group, check_places, ended, part_of};
use super::leaf::Leaf;
use super::needed::{NO_SLOT, columns_of, whole};
use super::ranges::Ranges;
use crate::convert::{Columns, Row, RowReject};

/// What a read of a row gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowRead {
    /// A row.
    Row,
    /// A row with a value that cannot be used.
    Rejected(RowReject),
    /// There are no more rows.
    End,
}

/// The rows of a file with all columns that can be read.
#[derive(Debug)]
pub struct WholeRows {
    /// The rows.
    pub rows: ParquetRows,
    /// Their columns: first those that were asked for, in the same slots.
    pub columns: Columns,
    /// The columns that cannot be read, and why: a text for each.
    pub unread: Vec<String>,
}

/// Reads the columns that are needed, a batch of rows at a time. Reading blocks. After an error each further
/// read is one, too.
pub struct ParquetRows {
    source: Arc<Source>,
    metadata: ParquetMetaData,
    columns: Vec<Column>,
    /// The number of the next row group.
    next_group: usize,
    /// The rows of the present row group that were not read into a batch.
    left: u64,
    /// The rows of the present row group.
    group_rows: u64,
    batch_rows_max: usize,
    /// The rows of the batch.
    batch_rows: usize,
    /// The row of the batch that is next.
    at: usize,
    position: u64,
    has_failed: bool,
    /// The values of lists in the pages of the present batch.
    in_batch: Arc<AtomicU64>,
}

debug_fields!(ParquetRows { position });

impl ParquetRows {
    /// Opens a file and reads its footer. A needed column that the file does not have is missing in its rows.
    /// Errors: [`ParquetFault`]; also if a needed column is of a type that cannot be read, or there are several of its name.
    pub fn open(ranges: Box<dyn Ranges>, needed: &Columns) -> Result<Self, ParquetFault> {
        caught(|| {
            let source = Source::new(ranges);
            let (metadata, encrypted) = footer::read(&source)?;
            let columns = columns_of(&metadata, needed, &encrypted)?;
            Self::new(source, metadata, columns)
        })
    }

    /// Opens a file to read all columns that can be read; those that are needed must be among them.
    /// Errors: as for [`ParquetRows::open`].
    pub fn open_whole(ranges: Box<dyn Ranges>, needed: &Columns) -> Result<WholeRows, ParquetFault> {
        caught(|| {
            let source = Source::new(ranges);
            let (metadata, encrypted) = footer::read(&source)?;
            let (all, unread) = whole(&metadata, needed, &encrypted)?;
            let columns = columns_of(&metadata, &all, &encrypted)?;
            Ok(WholeRows { rows: Self::new(source, metadata, columns)?, columns: all, unread })
        })
    }

    fn new(
        mut source: Source,
        metadata: ParquetMetaData,
        columns: Vec<Column>,
    ) -> Result<Self, ParquetFault> {
        source.share_memory(columns.iter().map(|column| column.leaves.len()).sum());
        let rows = Self {
            source: Arc::new(source),
            metadata,
            columns,
            next_group: 0,
            left: 0,
            group_rows: 0,
            batch_rows_max: BATCH_ROWS_MAX,
            batch_rows: 0,
            at: 0,
            position: 0,
            has_failed: false,
            in_batch: Arc::default(),
        };
        let with_rows = |group: &&RowGroupMetaData| group.num_rows() > 0;
        for group in rows.metadata.row_groups().iter().filter(with_rows) {
            check_places(group, &rows.columns, rows.source.ranges.size())?;
        }
        Ok(rows)
    }

    /// How many rows the file has.
    pub fn len(&self) -> u64 {
        u64::try_from(self.metadata.file_metadata().num_rows()).unwrap_or(0)
    }

    /// Whether the file has no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of the row that is next, from 0.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// How many numbers JSON does not have, such as infinity. They are null. Rows that are not yet read may
    /// be among those counted.
    pub fn not_in_json(&self) -> u64 {
        self.columns.iter().map(|column| column.not_in_json).sum()
    }

    /// The names of the file's columns, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.metadata.file_metadata().schema().get_fields().iter().map(|field| field.name())
    }

    /// Works with the library, unless an earlier part of the file could not be read: what it has in memory
    /// then is undefined, and must not look like the end.
    fn guarded<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, ParquetFault>,
    ) -> Result<T, ParquetFault> {
        if self.has_failed {
            return Err(ParquetFault::damaged("an earlier part of it could not be read"));
        }
        let done = caught(|| work(self));
        self.has_failed = done.is_err();
        done
    }

    /// Reads the next row into an empty one. Errors: [`ParquetFault`].
    pub fn read<'a>(&'a mut self, row: &mut Row<'a>) -> Result<RowRead, ParquetFault> {
        if self.at >= self.batch_rows && !self.guarded(Self::read_batch)? {
            return Ok(RowRead::End);
        }
        let at = self.at;
        self.at += 1;
        self.position += 1;
        if self.columns.iter_mut().try_for_each(|column| column.step(at)).is_err() {
            self.has_failed = true;
            return Err(self.torn());
        }
        let mut rejected = None;
        for column in self.columns.iter().filter(|column| column.slot != NO_SLOT) {
            if let Err(reject) = column.put(at, row) {
                rejected = Some(reject);
            }
        }
        Ok(rejected.map_or(RowRead::Row, RowRead::Rejected))
    }

    /// Passes over rows. Whole row groups are not read. Returns how many rows there were, which are fewer
    /// only at the end. Errors: [`ParquetFault`].
    pub fn skip(&mut self, rows: u64) -> Result<u64, ParquetFault> {
        self.guarded(|reader| reader.pass_over(rows))
    }

    fn pass_over(&mut self, rows: u64) -> Result<u64, ParquetFault> {
        let mut wanted = rows;
        while wanted > 0 {
            let in_batch = (self.batch_rows - self.at) as u64;
            if in_batch > 0 {
                let passed = in_batch.min(wanted);
                for _ in 0..passed {
                    let at = self.at;
                    let stepped = self.columns.iter_mut().try_for_each(|column| column.step(at));
                    stepped.map_err(|_| self.torn())?;
                    self.at += 1;
                }
                wanted -= passed;
            } else if self.left == 0 {
                if !self.next_group(Some(wanted))? {
                    break;
                }
            } else if wanted >= self.left {
                wanted -= self.left;
                self.leave_group();
            } else {
                let passed = wanted.min(self.batch_rows_max as u64);
                self.skip_in_group(usize::try_from(passed).unwrap_or(0))?;
                wanted -= passed;
            }
        }
        self.position += rows - wanted;
        Ok(rows - wanted)
    }

    /// Passes over rows of the present row group.
    fn skip_in_group(&mut self, rows: usize) -> Result<(), ParquetFault> {
        self.in_batch.store(0, Ordering::Relaxed);
        let (group, last) = (self.next_group, self.group_rows - self.left);
        for column in &mut self.columns {
            for leaf in &mut column.leaves {
                let part = || part_of(&column.name, group);
                match leaf.skip(rows) {
                    Ok(passed) if passed == rows => {}
                    Ok(passed) => return Err(ended(&part(), last + passed as u64, self.group_rows)),
                    Err(error) => return Err(self.source.fault(&part(), &error)),
                }
            }
        }
        self.left -= rows as u64;
        Ok(())
    }

    /// The failure of a batch whose values do not belong together.
    fn torn(&self) -> ParquetFault {
        let group = self.next_group;
        ParquetFault::damaged(format!("a column in row group {group} is damaged: its levels do not agree"))
    }

    /// Forgets the rest of the present row group.
    fn leave_group(&mut self) {
        self.left = 0;
        self.columns.iter_mut().flat_map(|column| &mut column.leaves).for_each(Leaf::end);
    }

    /// Reads the next batch. `false` at the end of the file.
    fn read_batch(&mut self) -> Result<bool, ParquetFault> {
        (self.batch_rows, self.at) = (0, 0);
        if self.left == 0 && !self.next_group(None)? {
            return Ok(false);
        }
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        let rows = self.batch_rows_max.min(left);
        self.in_batch.store(0, Ordering::Relaxed);
        let (group, before) = (self.next_group, self.group_rows - self.left);
        let is_last = rows == left;
        for column in &mut self.columns {
            let name = column.name.clone();
            let part = || part_of(&name, group);
            for leaf in &mut column.leaves {
                match leaf.read(rows) {
                    Ok(read) if read == rows => {}
                    Ok(read) => return Err(ended(&part(), before + read as u64, self.group_rows)),
                    Err(error) => return Err(self.source.fault(&part(), &error)),
                }
            }
            let torn = |what| ParquetFault::damaged(format!("is damaged: {what}")).of_part(&part());
            column.begin(rows).map_err(torn)?;
            if is_last {
                for leaf in &mut column.leaves {
                    match leaf.skip(1) {
                        Ok(0) => {}
                        Ok(_) => return Err(torn("it has more rows than the footer says")),
                        Err(error) => return Err(self.source.fault(&part(), &error)),
                    }
                }
            }
        }
        self.left -= rows as u64;
        self.batch_rows = rows;
        Ok(true)
    }

    /// Begins the next row group with rows. One that has at most as many as are passed over anyway is not
    /// read. `false` at the end of the file.
    fn next_group(&mut self, passed_over: Option<u64>) -> Result<bool, ParquetFault> {
        self.leave_group();
        while let Some(group) = self.metadata.row_groups().get(self.next_group) {
            self.next_group += 1;
            let rows = u64::try_from(group.num_rows()).unwrap_or(0);
            if rows == 0 {
                continue;
            }
            (self.left, self.group_rows) = (rows, rows);
            if passed_over.is_none_or(|wanted| wanted < rows) {
                self.batch_rows_max = batch_rows(group, &self.columns);
                begin_group(&self.source, group, self.next_group, &mut self.columns, &self.in_batch)?;
            }
            return Ok(true);
        }
        Ok(false)
    }
}
