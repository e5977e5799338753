//! The rows of a CSV manifest: `S3BatchOperations_CSV_20180820`.
//!
//! Keys are handed on as they are written, which is URL-encoded. There is no header. Without fields the first
//! row's width says what the columns are.

use std::io::BufRead;

use super::csv_reader::{CsvReader, Row};
use super::error::ManifestError;
use super::fields::Fields;
use super::outlet::Outlet;
use super::row_checks::{KEY_CHARS_MAX, check_key, is_raw_json, shown};
use crate::words::counted;

/// Reads all rows. The columns that they have. Errors: [`ManifestError`].
pub(super) fn read(
    name: &str,
    input: impl BufRead,
    fields: Option<&Fields>,
    outlet: &mut Outlet<'_>,
) -> Result<Option<Fields>, ManifestError> {
    let mut reader = CsvReader::new(name, input);
    let mut fields = fields.cloned();
    while let Some(row) = reader.next()? {
        let fields = match &mut fields {
            Some(fields) => fields,
            None => fields.insert(fields_of(row)?),
        };
        if row.width() != fields.width() {
            return Err(wrong_width(row, fields));
        }
        let version = fields.version().map(|at| row.field(at)).transpose()?;
        let (bucket, key) = (row.field(fields.bucket())?, row.field(fields.key())?);
        outlet.give(row.line, bucket, key, KEY_CHARS_MAX, version)?;
    }
    Ok(fields)
}

/// The fields of a manifest that nobody named: by the width of its first row.
fn fields_of(row: Row<'_>) -> Result<Fields, ManifestError> {
    let unknown = || {
        raw_json(row, 1).unwrap_or_else(|| {
            let columns = counted(row.width() as u64, "column", "columns");
            let what = "columns are Bucket,Key or Bucket,Key,VersionId unless the job's fields name others";
            ManifestError::line(row.line, format!("the row has {columns}; {what}"))
        })
    };
    let fields = Fields::by_width(row.width()).ok_or_else(unknown)?;
    // No version of S3 is a number, but each row of an inventory may have a size there.
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match fields.version().map(|at| row.field(at)).transpose()? {
        Some(version) if is_number(version) => {
            let what = "the third column is a number, as a size is in a part of an inventory, and would be the version; \
                        name the manifest.json of the inventory, or name the columns by the job's fields: \
                        Bucket,Key,Ignore, or Bucket,Key,VersionId if it is a version";
            Err(ManifestError::line(row.line, format!("{what}: {}", shown(version))))
        }
        _ => Ok(fields),
    }
}

/// A key of raw JSON has commas, which makes its row too wide: then it is said what is really wrong.
fn wrong_width(row: Row<'_>, fields: &Fields) -> ManifestError {
    raw_json(row, fields.key()).unwrap_or_else(|| {
        let columns = counted(row.width() as u64, "column", "columns");
        let values: Vec<&str> = (0..row.width()).filter_map(|at| row.field(at).ok()).collect();
        let (names, values) = (fields.names().join(","), shown(&values.join(",")));
        let what = "quote a value that has a comma, and URL-encode keys";
        let what = format!("the row has {columns} and not {} ({names}); {what}: {values}", fields.width());
        ManifestError::line(row.line, what)
    })
}

/// The error of a key that is raw JSON.
fn raw_json(row: Row<'_>, at: usize) -> Option<ManifestError> {
    let key = row.field(at).ok().filter(|key| is_raw_json(key))?;
    check_key(key, KEY_CHARS_MAX).err().map(|what| ManifestError::line(row.line, what))
}
