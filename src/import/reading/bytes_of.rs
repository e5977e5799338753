//! Where the bytes of a file are, and how they are opened.

use std::io;
use std::sync::Arc;

use tokio::runtime::Handle;

use super::local::LocalFile;
use super::opened::{Opened, Options, Text, open_entry, open_file, open_stream};
use super::s3::{RangeReader, RangeSettings};
use super::s3_object::S3Object;
use super::zip::{Entry, ZipFile};
use crate::random::Random;

/// Where a file's bytes are.
#[derive(Clone, Debug)]
pub(in crate::import) enum BytesOf {
    /// On this machine.
    File(LocalFile),
    /// In a store; requests run on the runtime.
    Object(Arc<S3Object>, Handle),
    /// In an archive.
    Entry(Arc<ZipFile>, Entry),
}

impl BytesOf {
    /// The length, as stored.
    pub(in crate::import) fn len(&self) -> u64 {
        match self {
            Self::File(file) => file.size(),
            Self::Object(object, _) => object.len,
            Self::Entry(_, entry) => entry.compressed_size,
        }
    }

    /// Opens the file, which has this name if it is a local one. Blocks.
    pub(in crate::import) fn open(
        &self,
        name: &str,
        reading: &Options,
        random: &Arc<dyn Random>,
    ) -> io::Result<Opened> {
        match self {
            Self::File(file) => open_file(file.clone(), name, reading),
            Self::Object(object, runtime) => {
                let settings = RangeSettings::new(Arc::clone(random));
                let reader = RangeReader::new(Arc::clone(object), runtime.clone(), settings);
                open_stream(reader, object.key.as_str(), object.content_encoding.as_deref(), reading)
            }
            Self::Entry(archive, entry) => open_entry(archive, entry, reading).map(Opened::Text),
        }
    }

    /// Opens the text of a file that was found to be no archive. Blocks.
    /// Errors: it cannot be read, or has become an archive.
    pub(in crate::import) fn text(
        &self,
        name: &str,
        reading: &Options,
        random: &Arc<dyn Random>,
    ) -> io::Result<Text> {
        match self.open(name, reading, random)? {
            Opened::Text(text) => Ok(text),
            Opened::Zip(_) => Err(io::Error::other("it has become an archive")),
        }
    }
}
