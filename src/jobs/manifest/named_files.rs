//! The files that a manifest names: parts of an inventory, results of a report.

use std::io::{BufRead, Read as _};

use md5::{Digest as _, Md5};

use super::checked_file::{CheckedFile, Known, parse_md5};
use super::error::ManifestError;
use super::files::ManifestFiles;
use super::progress::Progress;
use super::row_checks::{check_bucket, shown};
use crate::import::reading::ReadingError;
use crate::words::outside_key;

/// The most bytes of a file with a checksum.
const CHECKSUM_BYTES_MAX: u64 = 1_024;

/// A file that a manifest names.
#[derive(Clone, Copy, Debug)]
pub(super) struct NamedFile<'a> {
    pub(super) bucket: &'a str,
    pub(super) key: &'a str,
    pub(super) known: Known,
}

impl NamedFile<'_> {
    /// Reads the file, whose text goes to `rows`. Errors: with the file's key.
    pub(super) fn read(
        self,
        files: &dyn ManifestFiles,
        progress: &Progress,
        rows: impl FnOnce(&str, Box<dyn BufRead>) -> Result<(), ManifestError>,
    ) -> Result<(), ManifestError> {
        let name = format!("s3://{}/{}", self.bucket, outside_key(self.key));
        let whole = || {
            let file = files.object(self.bucket, self.key);
            let file = file.map_err(|cause| ManifestError::Unread { name: name.clone(), cause })?;
            if self.known.len.is_none() {
                progress.expect(file.len.unwrap_or(0));
            }
            let (checked, text) = CheckedFile::open(&name, file, self.known, progress)?;
            checked.end(rows(&name, text))
        };
        whole().map_err(|error| error.of_part(self.key))
    }
}

/// The name of a bucket that may be written as an ARN: `arn:aws:s3:::bucket`. Errors: it is none.
pub(super) fn bucket_name(text: &str) -> Result<&str, ManifestError> {
    let name = match text.strip_prefix("arn:").and_then(|arn| arn.split_once(":s3:::")) {
        Some((_, name)) => name,
        None => text,
    };
    check_bucket(name).map_err(ManifestError::content)?;
    Ok(name)
}

/// The columns that a schema names with commas between.
#[derive(Debug)]
pub(super) struct Schema<'a>(Vec<&'a str>);

impl<'a> Schema<'a> {
    pub(super) fn parse(text: &'a str) -> Self {
        Self(text.split(',').map(str::trim).collect())
    }

    pub(super) fn width(&self) -> usize {
        self.0.len()
    }

    /// The column with this name. Errors: it is there twice.
    pub(super) fn find(&self, name: &str) -> Result<Option<usize>, ManifestError> {
        let mut found = self.0.iter().enumerate().filter(|(_, column)| **column == name);
        let first = found.next().map(|(at, _)| at);
        match found.next() {
            None => Ok(first),
            Some(_) => Err(ManifestError::content(format!("the schema names the column {name} twice"))),
        }
    }

    /// The column with this name. Errors: it is there twice, or not at all.
    pub(super) fn need(&self, name: &str) -> Result<usize, ManifestError> {
        let (columns, width) = (self.0.join(", "), self.width());
        let none = || {
            let what = format!("the schema names no column {name}: {} ({width} columns)", shown(&columns));
            ManifestError::content(what)
        };
        self.find(name)?.ok_or_else(none)
    }
}

/// Compares a manifest with the MD5 in the file `name` beside it. `Ok` is why that could not be done, if it
/// could not: the file is not there, or not for us to read. (A role that may not list gets 403 for a file
/// that is not there.)
/// Errors: the manifest differs, or the file cannot be read for another reason.
pub(super) fn check_document(
    files: &dyn ManifestFiles,
    name: &str,
    document: &[u8],
) -> Result<Option<String>, ManifestError> {
    let unread = |cause| ManifestError::Unread { name: name.to_owned(), cause };
    let file = match files.beside(name) {
        Ok(file) => file,
        Err(cause @ (ReadingError::Missing | ReadingError::Denied(_))) => {
            return Ok(Some(format!("the manifest was not compared with {name}: {}", cause.told().masked())));
        }
        Err(cause) => return Err(unread(cause)),
    };
    let mut text = String::new();
    let read = file.bytes.take(CHECKSUM_BYTES_MAX).read_to_string(&mut text);
    read.map_err(|cause| ManifestError::of_io(name, cause))?;
    let known = parse_md5(&text).map_err(|what| ManifestError::content(what).of_part(name))?;
    let found = <[u8; 16]>::from(Md5::digest(document));
    if found == known {
        return Ok(None);
    }
    let (found, known) = (hex::encode(found), hex::encode(known));
    let what = format!("the manifest's MD5 is {found}, and {name} says {known}: copy both again");
    Err(ManifestError::content(what))
}
