//! The rows of a parquet file, in order.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ::parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, RowGroupMetaData};

use super::chunk::{Chunk, Piece, Source};
use super::column::Column;
use super::fault::ParquetFault;
use super::footer;
use super::kind::Kind;
use super::leaf::Leaf;
use super::pages::MaxLevels;
use super::ranges::Ranges;
use super::shape;
use crate::convert::{Columns, Row, RowReject};
use crate::words::outside_text;

/// The most rows of a batch.
const BATCH_ROWS_MAX: usize = 1_024;

/// The values that a batch has about at most, if lists are long or columns many.
const BATCH_VALUES: u64 = 256 * 1_024;

/// The bytes of values that a batch has about at most.
const BATCH_BYTES: u64 = 8 * 1024 * 1024;

/// Bytes that nobody needs are read if they are at most as many and others beside them are read.
const GAP_BYTES_MAX: u64 = 64 * 1024;

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

/// Reads the columns that are needed, a batch of rows at a time. Reading blocks.
///
/// The library that decodes the pages may panic on a damaged file: use it behind
/// [`crate::tasks::caught_quietly`]. After a panic or an error the reader is of no use.
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
    /// The values of lists in the pages of the present batch.
    in_batch: Arc<AtomicU64>,
}

debug_fields!(ParquetRows { position });

impl ParquetRows {
    /// Opens a file and reads its footer. A needed column that the file does not have is missing in its rows.
    /// Errors: [`ParquetFault`]; also if a needed column is of a type that cannot be read.
    pub fn open(ranges: Box<dyn Ranges>, needed: &Columns) -> Result<Self, ParquetFault> {
        let source = Arc::new(Source::new(ranges));
        let (metadata, encrypted) = footer::read(&source)?;
        let columns = columns_of(&metadata, needed, &encrypted)?;
        let rows = Self {
            source,
            metadata,
            columns,
            next_group: 0,
            left: 0,
            group_rows: 0,
            batch_rows_max: BATCH_ROWS_MAX,
            batch_rows: 0,
            at: 0,
            position: 0,
            in_batch: Arc::default(),
        };
        let with_rows = |group: &&RowGroupMetaData| group.num_rows() > 0;
        for group in rows.metadata.row_groups().iter().filter(with_rows) {
            for leaf in rows.columns.iter().flat_map(|column| &column.leaves) {
                let found = range_of(group, leaf, rows.source.ranges.size()).map(drop);
                found.map_err(|error| of_group(&rows.columns, leaf, error))?;
            }
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

    /// Reads the next row into an empty one. Errors: [`ParquetFault`].
    pub fn read<'a>(&'a mut self, row: &mut Row<'a>) -> Result<RowRead, ParquetFault> {
        if self.at >= self.batch_rows && !self.read_batch()? {
            return Ok(RowRead::End);
        }
        let at = self.at;
        self.at += 1;
        self.position += 1;
        self.columns.iter_mut().for_each(Column::step);
        let mut rejected = None;
        for column in &self.columns {
            match column.value(at) {
                Ok(value) => row.set(column.slot, value),
                Err(reject) => rejected = Some(reject),
            }
        }
        Ok(rejected.map_or(RowRead::Row, RowRead::Rejected))
    }

    /// Passes over rows. Whole row groups are not read. Returns how many rows there were, which are fewer only
    /// at the end. Errors: [`ParquetFault`].
    pub fn skip(&mut self, rows: u64) -> Result<u64, ParquetFault> {
        let mut wanted = rows;
        while wanted > 0 {
            let in_batch = (self.batch_rows - self.at) as u64;
            if in_batch > 0 {
                let passed = in_batch.min(wanted);
                for _ in 0..passed {
                    self.columns.iter_mut().for_each(Column::step);
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
            let torn = |what| ParquetFault::damaged(format!("{} is damaged: {what}", part()));
            column.make(rows).map_err(torn)?;
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

/// The needed columns that the file has. Of equal names the last counts, as in JSON.
fn columns_of(
    metadata: &ParquetMetaData,
    needed: &Columns,
    encrypted: &BTreeSet<usize>,
) -> Result<Vec<Column>, ParquetFault> {
    let schema = metadata.file_metadata().schema_descr();
    let mut columns: Vec<Column> = Vec::new();
    let mut first_leaf = 0;
    for field in schema.root_schema().get_fields() {
        let from = first_leaf;
        first_leaf += leaves_in(field);
        let Some(slot) = needed.slot(field.name().as_bytes()) else { continue };
        let name = outside_text(field.name()).to_string();
        if encrypted.range(from..first_leaf).next().is_some() {
            let text = format!("column {name} is encrypted; write it without encryption");
            return Err(ParquetFault::Refused(text));
        }
        let (root, kinds) = shape::shape_of(field).map_err(|what| {
            ParquetFault::Refused(format!("column {name} has {what}, which cannot be read"))
        })?;
        let leaf = |(at, kind): (usize, Kind)| {
            let about = schema.columns().get(from + at)?;
            let max = MaxLevels { definition: about.max_def_level(), repetition: about.max_rep_level() };
            Some(Leaf::new(from + at, kind, max))
        };
        let leaves: Option<Vec<Leaf>> = kinds.into_iter().enumerate().map(leaf).collect();
        let leaves = leaves.ok_or_else(|| ParquetFault::damaged("its schema is incomplete"))?;
        columns.retain(|column| column.slot != slot);
        columns.push(Column::new(slot, name, root, leaves));
    }
    Ok(columns)
}

/// How many leaves a part of the schema has.
fn leaves_in(part: &::parquet::schema::types::Type) -> usize {
    if part.is_primitive() { 1 } else { part.get_fields().iter().map(|field| leaves_in(field)).sum() }
}

/// A column in a row group, for people.
fn part_of(column: &str, group: usize) -> String {
    format!("column {column} in row group {group}")
}

fn ended(part: &str, rows: u64, said: u64) -> ParquetFault {
    ParquetFault::damaged(format!("{part} ends after {rows} of {said} rows"))
}

fn of_group(columns: &[Column], leaf: &Leaf, error: ParquetFault) -> ParquetFault {
    let column = columns.iter().find(|column| column.leaves.iter().any(|of_it| of_it.column == leaf.column));
    let name = column.map_or("", |column| &*column.name);
    match error {
        ParquetFault::Damaged(text) => ParquetFault::Damaged(format!("column {name} {text}")),
        ParquetFault::Refused(text) => ParquetFault::Refused(format!("column {name} {text}")),
        unread @ ParquetFault::Unread(_) => unread,
    }
}

/// Where the bytes of a leaf are in the file: from and to. Errors: the text goes on after the column's name.
fn range_of<'m>(
    group: &'m RowGroupMetaData,
    leaf: &Leaf,
    size: u64,
) -> Result<(&'m ColumnChunkMetaData, u64, u64), ParquetFault> {
    let outside = || ParquetFault::damaged("lies outside of the file");
    let about = group.columns().get(leaf.column).ok_or_else(outside)?;
    if about.file_path().is_some() {
        return Err(ParquetFault::Refused("is in another file".to_owned()));
    }
    let from = about.dictionary_page_offset().unwrap_or_else(|| about.data_page_offset());
    let found = u64::try_from(from).ok().zip(u64::try_from(about.compressed_size()).ok());
    let (from, len) = found.ok_or_else(outside)?;
    match from.checked_add(len) {
        // No column is before the first bytes, or in the last ones.
        Some(to) if from >= 4 && to <= size.saturating_sub(8) => Ok((about, from, to)),
        _ => Err(outside()),
    }
}

/// The rows of a batch: fewer where each row has many values, or long ones.
fn batch_rows(group: &RowGroupMetaData, columns: &[Column]) -> usize {
    let rows = u64::try_from(group.num_rows()).unwrap_or(1).max(1);
    let (mut values, mut bytes) = (0_u64, 0_u64);
    for leaf in columns.iter().flat_map(|column| &column.leaves) {
        let Some(about) = group.columns().get(leaf.column) else { continue };
        values = values.saturating_add(u64::try_from(about.num_values()).unwrap_or(0));
        bytes = bytes.saturating_add(u64::try_from(about.uncompressed_size()).unwrap_or(0));
    }
    let fit = |most: u64, all: u64| most / all.div_ceil(rows).max(1);
    let fit = fit(BATCH_VALUES, values).min(fit(BATCH_BYTES, bytes));
    usize::try_from(fit).unwrap_or(1).clamp(1, BATCH_ROWS_MAX)
}

/// Begins a row group: reads the first bytes of each column, and begins its leaves.
fn begin_group(
    source: &Arc<Source>,
    group: &RowGroupMetaData,
    number: usize,
    columns: &mut [Column],
    in_batch: &Arc<AtomicU64>,
) -> Result<(), ParquetFault> {
    let size = source.ranges.size();
    let rows = usize::try_from(group.num_rows()).unwrap_or(0);
    let mut firsts = Vec::new();
    for leaf in columns.iter().flat_map(|column| &column.leaves) {
        let (_, from, to) = range_of(group, leaf, size)?;
        let piece = source.ranges.piece_bytes().max(1) as u64;
        firsts.push((from, to.min(from.saturating_add(piece))));
    }
    let mut pieces = first_pieces(source, &firsts)?.into_iter();
    for column in columns {
        let name = &column.name;
        for leaf in &mut column.leaves {
            let (about, _, to) = range_of(group, leaf, size)?;
            let chunk = Chunk::new(Arc::clone(source), to, pieces.next().unwrap_or_default());
            let begun = leaf.begin(chunk, about, rows, in_batch);
            begun.map_err(|error| source.fault(&part_of(name, number), &error))?;
        }
    }
    Ok(())
}

/// Reads these ranges (from, to), those near each other as one. The pieces are in the order of the ranges.
fn first_pieces(source: &Source, ranges: &[(u64, u64)]) -> Result<Vec<Piece>, ParquetFault> {
    let mut sorted = ranges.to_vec();
    sorted.sort_unstable();
    let most = source.ranges.piece_bytes().max(1) as u64;
    let mut joined: Vec<(u64, u64)> = Vec::new();
    for (from, to) in sorted {
        match joined.last_mut() {
            Some((first, last)) if from <= last.saturating_add(GAP_BYTES_MAX) && to - *first <= most => {
                *last = to.max(*last);
            }
            _ => joined.push((from, to)),
        }
    }
    let len = |from: u64, to: u64| usize::try_from(to - from).unwrap_or(0);
    let wanted: Vec<_> = joined.iter().map(|(from, to)| (*from, len(*from, *to))).collect();
    let read = source.ranges.read_all(&wanted).map_err(ParquetFault::Unread)?;
    let piece = |(from, to): &(u64, u64)| {
        let (at, bytes) = joined.iter().zip(&read).find(|((first, last), _)| first <= from && to <= last)?;
        let skipped = len(at.0, *from);
        let range = skipped..skipped + len(*from, *to);
        bytes.get(range.clone())?;
        Some(Piece { from: *from, bytes: bytes.slice(range) })
    };
    // A piece that is missing is read when it is needed.
    Ok(ranges.iter().map(|range| piece(range).unwrap_or_default()).collect())
}
