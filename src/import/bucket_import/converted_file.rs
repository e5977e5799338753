//! The files of an object: the object itself, or the entries of an archive.

use std::sync::{Arc, Mutex};

use tokio::runtime::Handle;

use super::conversions::Chosen;
use crate::convert::{FileFormat, sequence_prefix};
use crate::import::column_names::ColumnsMet;
use crate::import::converted::{Conversion, ConvertedRows};
use crate::import::csv::of_io;
use crate::import::file_error::FileError;
use crate::import::file_id::{FileId, id_prefix_of};
use crate::import::reading::bytes_of::BytesOf;
use crate::import::reading::compression::Compression;
use crate::import::reading::open_file::{OpenFile, OpenObject};
use crate::import::reading::opened::Options;
use crate::import::reading::s3_object::S3Object;
use crate::lock::lock;
use crate::log::ImportKey;
use crate::random::Random;
use crate::time::UnixMillis;

/// How files are opened.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    pub(super) options: Options,
    /// The format that files have, unless they began with another one.
    pub(super) format: FileFormat,
    /// Where the columns of files are noted.
    pub(super) columns: Arc<ColumnsMet>,
    pub(super) random: Arc<dyn Random>,
}

/// A file of an object.
#[derive(Clone, Debug)]
pub(super) struct ConvertedFile {
    /// Its name, for people.
    pub(super) name: String,
    /// Its key in the bucket, with its name in an archive.
    pub(super) key: String,
    /// Its id.
    pub(super) id: FileId,
    /// Its length, as stored.
    pub(super) bytes: u64,
    bytes_of: BytesOf,
    /// The file as it was opened to see what the object is, for whoever opens it first.
    opened: Arc<Mutex<Option<OpenFile>>>,
}

/// What an object has.
#[derive(Debug)]
pub(super) struct FilesOf {
    /// The object itself, or the files of an archive.
    pub(super) files: Vec<ConvertedFile>,
    pub(super) is_archive: bool,
    /// How it is compressed.
    pub(super) compression: Compression,
}

/// The files of an object, whose id is `id`. The same bytes have another version if they are uploaded again,
/// so the object does not say which file it began as. Blocks.
/// Errors: [`FileError`]: the object cannot be read, or is an archive without files.
pub(super) fn files_of(
    (object, id): (S3Object, FileId),
    name: &str,
    runtime: Handle,
    reading: &Reading,
) -> Result<FilesOf, FileError> {
    let key = object.key.as_str().to_owned();
    let bytes_of = BytesOf::Object(Arc::new(object), runtime);
    let opened = bytes_of.open_as(reading.format, &key, &reading.options, &reading.random);
    let opened = opened.map_err(|error| of_io(&error))?;
    let compression = opened.compression();
    let file = |(name, key): (String, String), id, bytes_of: BytesOf, opened| ConvertedFile {
        name,
        key,
        id,
        bytes: bytes_of.len(),
        bytes_of,
        opened: Arc::new(Mutex::new(opened)),
    };
    let zip = match opened {
        OpenObject::File(input) => {
            let files = vec![file((name.to_owned(), key), id, bytes_of, Some(input))];
            return Ok(FilesOf { files, is_archive: false, compression });
        }
        OpenObject::Archive(zip) => Arc::new(zip),
    };
    let mut entries = Vec::new();
    let listed = zip.each_entry(|entry| {
        if entry.is_file() {
            entries.push(entry);
        }
    });
    listed.map_err(|error| of_io(&error))?;
    if entries.is_empty() {
        return Err(FileError::content("E-EMPTY", "the archive has no file"));
    }
    let of_entry = |entry: crate::import::reading::zip::Entry| {
        let names = (format!("{name}!{}", entry.name), format!("{key}!{}", entry.name));
        file(names, id.entry(&entry.name), BytesOf::Entry(Arc::clone(&zip), entry), None)
    };
    let files = entries.into_iter().map(of_entry).collect();
    Ok(FilesOf { files, is_archive: true, compression })
}

impl ConvertedFile {
    /// How the rows of the file become calls. `import` is the key of the file's import.
    pub(super) fn conversion(
        &self,
        chosen: &Chosen,
        import: ImportKey,
        stored_at: UnixMillis,
        now: UnixMillis,
    ) -> Conversion {
        Conversion {
            converter: Arc::clone(&chosen.converter),
            id_prefix: id_prefix_of(import),
            sequence_prefix: sequence_prefix(stored_at.0, &self.key),
            now,
        }
    }

    /// Opens the file at its first row. Blocks.
    /// Errors: [`FileError`]: the file cannot be read as the converter says.
    pub(super) fn open(&self, how: Conversion, reading: &Reading) -> Result<ConvertedRows, FileError> {
        let (format, encoding) = (how.converter.file().format, how.converter.file().csv.encoding);
        // What was opened was opened for the import's converter.
        let is_same = (format, encoding) == (reading.format, reading.options.encoding);
        let input = match lock(&self.opened).take().filter(|_| is_same) {
            Some(input) => input,
            None => {
                let options = Options { encoding, ..reading.options.clone() };
                let input = self.bytes_of.file_as(format, &self.key, &options, &reading.random);
                input.map_err(|error| of_io(&error))?
            }
        };
        Ok(ConvertedRows::open(&self.name, input, how)?.noting_columns(&reading.columns))
    }
}
