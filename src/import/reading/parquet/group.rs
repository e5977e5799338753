//! One row group: where its columns are, and the beginning of each.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use ::parquet::file::metadata::{ColumnChunkMetaData, RowGroupMetaData};

use super::chunk::{Chunk, Piece, Source};
use super::column::Column;
use super::fault::ParquetFault;
use super::leaf::Leaf;
use crate::words::Told;

/// The most rows of a batch.
pub(super) const BATCH_ROWS_MAX: usize = 1_024;

/// The values that a batch has about at most, if lists are long or columns many.
const BATCH_VALUES: u64 = 256 * 1_024;

/// The bytes of values that a batch has about at most.
const BATCH_BYTES: u64 = 8 * 1024 * 1024;

/// Bytes that nobody needs are read if they are at most as many and others beside them are read.
const GAP_BYTES_MAX: u64 = 64 * 1024;

/// A column in a row group, for people.
pub(super) fn part_of(column: &str, group: usize) -> Told {
    ParquetFault::column(column).and(&Told::plain(format!(" in row group {group}")))
}

pub(super) fn ended(part: &Told, rows: u64, said: u64) -> ParquetFault {
    ParquetFault::damaged(format!("ends after {rows} of {said} rows")).of_part(part)
}

/// Checks that the bytes of the columns lie in the file. Errors: [`ParquetFault`].
pub(super) fn check_places(
    group: &RowGroupMetaData,
    columns: &[Column],
    size: u64,
) -> Result<(), ParquetFault> {
    for column in columns {
        for leaf in &column.leaves {
            range_of(group, leaf, size)
                .map_err(|fault| fault.of_part(&ParquetFault::column(&column.name)))?;
        }
    }
    Ok(())
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
        return Err(ParquetFault::refused("is in another file"));
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
pub(super) fn batch_rows(group: &RowGroupMetaData, columns: &[Column]) -> usize {
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
pub(super) fn begin_group(
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
        let piece = source.piece as u64;
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
    let most = source.piece as u64;
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
