//! Which columns of a file are read.

use std::collections::{BTreeMap, BTreeSet};

use ::parquet::file::metadata::ParquetMetaData;
use ::parquet::schema::types::Type;

use super::column::Column;
use super::fault::ParquetFault;
use super::leaf::Leaf;
use super::pages::MaxLevels;
use super::shape;
use crate::convert::Columns;
use crate::words::{Told, grouped, outside_text};

/// The slot of a column that is read only to count the rows.
pub(super) const NO_SLOT: usize = usize::MAX;

/// The needed columns that the file has. If it has none of them, a short one is read all the same: the footer's
/// word for the number of rows is not enough.
/// Errors: [`ParquetFault`]: a needed column cannot be read, or the file has several of its name.
pub(super) fn columns_of(
    metadata: &ParquetMetaData,
    needed: &Columns,
    encrypted: &BTreeSet<usize>,
) -> Result<Vec<Column>, ParquetFault> {
    let mut columns: Vec<Column> = Vec::new();
    let mut shortest: Option<(i64, Column)> = None;
    let mut first_leaf = 0;
    refuse_repeated(&repeated(metadata), needed)?;
    for field in metadata.file_metadata().schema().get_fields() {
        let from = first_leaf;
        first_leaf += leaves_in(field);
        let is_encrypted = encrypted.range(from..first_leaf).next().is_some();
        if let Some(slot) = needed.slot(field.name().as_bytes()) {
            columns.push(column(metadata, field, slot, from, is_encrypted)?);
        } else if columns.is_empty() {
            let len = bytes_of(metadata, from..first_leaf);
            let is_shorter = shortest.as_ref().is_none_or(|(shortest, _)| len < *shortest);
            if is_shorter && let Ok(column) = column(metadata, field, NO_SLOT, from, is_encrypted) {
                shortest = Some((len, column));
            }
        }
    }
    if columns.is_empty() {
        columns.extend(shortest.map(|(_, column)| column));
    }
    Ok(columns)
}

/// All columns that can be read, those that are needed first and in the slots that they have there; and what
/// is said of those that cannot be read. Errors: [`ParquetFault`]: as of [`columns_of`].
pub(super) fn whole(
    metadata: &ParquetMetaData,
    needed: &Columns,
    encrypted: &BTreeSet<usize>,
) -> Result<(Columns, Vec<String>), ParquetFault> {
    let mut readable = Vec::new();
    let repeated = repeated(metadata);
    refuse_repeated(&repeated, needed)?;
    let mut unread: Vec<String> = repeated.iter().map(|(name, count)| several(name, *count)).collect();
    let mut first_leaf = 0;
    for field in metadata.file_metadata().schema().get_fields() {
        let from = first_leaf;
        first_leaf += leaves_in(field);
        let is_encrypted = encrypted.range(from..first_leaf).next().is_some();
        if repeated.contains_key(field.name()) {
            continue;
        }
        match column(metadata, field, NO_SLOT, from, is_encrypted) {
            Ok(_) => readable.push(field.name()),
            Err(error) if needed.slot(field.name().as_bytes()).is_some() => return Err(error),
            Err(error) => unread.push(error.to_string()),
        }
    }
    Ok((needed.names().chain(readable).collect(), unread))
}

/// The names that several columns of the file have, and how many.
fn repeated(metadata: &ParquetMetaData) -> BTreeMap<&str, u64> {
    let mut columns: BTreeMap<&str, u64> = BTreeMap::new();
    for field in metadata.file_metadata().schema().get_fields() {
        *columns.entry(field.name()).or_default() += 1;
    }
    columns.retain(|_, count| *count > 1);
    columns
}

/// Refuses a file with several columns of a needed name: nothing says which of them is meant. A CSV header with two
/// such columns is refused, too.
fn refuse_repeated(repeated: &BTreeMap<&str, u64>, needed: &Columns) -> Result<(), ParquetFault> {
    match repeated.iter().find(|(name, _)| needed.slot(name.as_bytes()).is_some()) {
        // The converter has the name, too, so it is not private.
        Some((name, count)) => Err(ParquetFault::Repeated(Told::plain(format!(
            "{}, and the converter reads it: give each of them a name of its own",
            several(name, *count)
        )))),
        None => Ok(()),
    }
}

fn several(name: &str, count: u64) -> String {
    format!("the file has {} columns \"{}\"", grouped(count), outside_text(name))
}

fn column(
    metadata: &ParquetMetaData,
    field: &Type,
    slot: usize,
    first_leaf: usize,
    is_encrypted: bool,
) -> Result<Column, ParquetFault> {
    let name = outside_text(field.name()).to_string();
    let refused = |text: String| ParquetFault::refused(text).of_part(&ParquetFault::column(&name));
    if is_encrypted {
        return Err(refused("is encrypted; write it without encryption".to_owned()));
    }
    if has_repeated_members(field) {
        let what = " has several members of one name: give each of them a name of its own";
        return Err(ParquetFault::Repeated(ParquetFault::column(&name).and(&Told::plain(what))));
    }
    let (root, kinds) =
        shape::shape_of(field).map_err(|what| refused(format!("has {what}, which cannot be read")))?;
    let about = metadata.file_metadata().schema_descr().columns().iter().enumerate().skip(first_leaf);
    let leaves: Vec<Leaf> = kinds
        .into_iter()
        .zip(about)
        .map(|(kind, (number, about))| {
            let max = MaxLevels { definition: about.max_def_level(), repetition: about.max_rep_level() };
            Leaf::new(number, kind, max)
        })
        .collect();
    if leaves.len() != root.leaves.len() {
        return Err(ParquetFault::damaged("its schema is incomplete"));
    }
    Ok(Column::new(slot, name, root, leaves))
}

/// Whether a part of the schema has a struct with several members of one name: a value has each name once.
fn has_repeated_members(part: &Type) -> bool {
    if part.is_primitive() {
        return false;
    }
    let mut names = BTreeSet::new();
    part.get_fields().iter().any(|field| !names.insert(field.name()) || has_repeated_members(field))
}

/// How many leaves a part of the schema has.
fn leaves_in(part: &Type) -> usize {
    if part.is_primitive() { 1 } else { part.get_fields().iter().map(|field| leaves_in(field)).sum() }
}

/// How many bytes these leaves have in the file.
fn bytes_of(metadata: &ParquetMetaData, leaves: std::ops::Range<usize>) -> i64 {
    let columns = metadata.row_groups().iter().filter_map(|group| group.columns().get(leaves.clone()));
    columns.flatten().fold(0, |sum: i64, about| sum.saturating_add(about.compressed_size()))
}
