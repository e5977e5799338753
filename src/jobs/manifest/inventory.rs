//! An inventory as a manifest: `S3InventoryReport_CSV_20161130`.
//!
//! The manifest names its parts, with the MD5 of each, and the columns of their rows. Keys of inventories are
//! URL-encoded, as those of CSV manifests.
//!
//! An inventory of all versions has rows that are no objects, and rows of versions that are not the latest:
//! - Delete markers are left out and counted. The S3 User Guide says that Batch Operations runs on the
//!   objects of a manifest, and a marker is none: every task on one would fail.
//! - Versions that are not the latest are tasks, each with its version: the guide has a job run on the
//!   versions that its manifest names.
//! - An empty version is `null`. The guide ("Converting empty version ID strings in Amazon S3 Inventory
//!   reports to null strings") says that such inventories leave the version of null-versioned objects empty,
//!   that Batch Operations fails these tasks, and that one has to write `null` in its place.

use serde::Deserialize;

use super::checked_file::{Known, parse_md5};
use super::csv_reader::{COLUMNS_MAX, CsvReader, Row};
use super::error::ManifestError;
use super::files::ManifestFiles;
use super::named_files::{NamedFile, Schema, bucket_name};
use super::outlet::Outlet;
use super::row_checks::{ENCODED_KEY_CHARS_MAX, shown};
use crate::words::counted;

/// The version of objects that were stored while their bucket had no versions.
const NULL_VERSION: &str = "null";

/// The `manifest.json` of an inventory.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Inventory {
    destination_bucket: String,
    file_format: String,
    file_schema: String,
    files: Vec<InventoryPart>,
}

#[derive(Debug, Deserialize)]
struct InventoryPart {
    key: String,
    size: u64,
    #[serde(rename = "MD5checksum")]
    md5: String,
}

/// The columns of an inventory that count.
#[derive(Debug)]
struct Columns {
    width: usize,
    bucket: usize,
    key: usize,
    version: Option<usize>,
    is_latest: Option<usize>,
    is_delete_marker: Option<usize>,
}

/// Reads all parts. How many rows were delete markers. Errors: [`ManifestError`], with the part.
pub(super) fn read(
    inventory: &Inventory,
    files: &dyn ManifestFiles,
    outlet: &mut Outlet<'_>,
) -> Result<u64, ManifestError> {
    if inventory.file_format != "CSV" {
        let format = shown(&inventory.file_format);
        let what = format!(
            "the inventory's format is {format}; a job reads CSV inventories: make one with CSV as its format"
        );
        return Err(ManifestError::content(what));
    }
    let columns = Columns::of(&inventory.file_schema)?;
    let bucket = bucket_name(&inventory.destination_bucket)?;
    let progress = outlet.progress;
    for part in &inventory.files {
        progress.expect(part.size);
    }
    let mut markers = 0;
    for InventoryPart { key, size, md5 } in &inventory.files {
        let md5 = parse_md5(md5).map_err(|what| ManifestError::content(what).of_part(key))?;
        let file = NamedFile { bucket, key, known: Known { len: Some(*size), md5: Some(md5) } };
        file.read(files, progress, |name, text| {
            let mut rows = CsvReader::new(name, text);
            while let Some(row) = rows.next()? {
                markers += u64::from(!columns.give(row, outlet)?);
            }
            Ok(())
        })?;
    }
    Ok(markers)
}

impl Columns {
    /// Errors: a column is missing or there twice, or there are too many.
    fn of(schema: &str) -> Result<Self, ManifestError> {
        let schema = Schema::parse(schema);
        if schema.width() > COLUMNS_MAX {
            let what = format!("the inventory has more than {COLUMNS_MAX} columns; leave some out");
            return Err(ManifestError::content(what));
        }
        Ok(Self {
            width: schema.width(),
            bucket: schema.need("Bucket")?,
            key: schema.need("Key")?,
            version: schema.find("VersionId")?,
            is_latest: schema.find("IsLatest")?,
            is_delete_marker: schema.find("IsDeleteMarker")?,
        })
    }

    /// Hands on the task of a row. Whether it has one: a delete marker has none.
    fn give(&self, row: Row<'_>, outlet: &mut Outlet<'_>) -> Result<bool, ManifestError> {
        if row.width() != self.width {
            let columns = counted(row.width() as u64, "column", "columns");
            let what = format!("the row has {columns}, and the inventory's schema {}", self.width);
            return Err(ManifestError::line(row.line, what));
        }
        if is_true(row, self.is_delete_marker, false)? {
            return Ok(false);
        }
        if !is_true(row, self.is_latest, true)? && self.version.is_none() {
            let what = "the row is an old version, and the inventory has no VersionId column; make an inventory of current \
                        versions, or one with versions";
            return Err(ManifestError::line(row.line, what));
        }
        let version = self.version.map(|at| row.field(at)).transpose()?;
        let version = version.map(|version| if version.is_empty() { NULL_VERSION } else { version });
        let (bucket, key) = (row.field(self.bucket)?, row.field(self.key)?);
        outlet.give(row.line, bucket, key, ENCODED_KEY_CHARS_MAX, version)?;
        Ok(true)
    }
}

/// A value of a column, or what it is without the column. Errors: it is neither true nor false.
fn is_true(row: Row<'_>, at: Option<usize>, without: bool) -> Result<bool, ManifestError> {
    let Some(at) = at else { return Ok(without) };
    match row.field(at)? {
        value if value.eq_ignore_ascii_case("true") => Ok(true),
        value if value.eq_ignore_ascii_case("false") => Ok(false),
        // Inventories leave a column empty that does not apply to a row.
        "" => Ok(without),
        other => {
            let what = format!("column {} is {}, and must be true or false", at + 1, shown(other));
            Err(ManifestError::line(row.line, what))
        }
    }
}
