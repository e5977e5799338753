//! Opens a file as its format needs it: as a text, or as bytes in any order.
//!
//! Parquet begins at its end, so it is read in ranges: those of the object or the local file. One that is
//! compressed as a whole, or an entry of an archive, is first unpacked into the temporary folder.

use std::io::{self, Cursor, Read};
use std::sync::Arc;

use super::bytes_of::BytesOf;
use super::compression::{Compression, MAGIC_BYTES, detect};
use super::counted::{Counted, RawBytes};
use super::decompress::decompress;
use super::guard::Guard;
use super::local::LocalFile;
use super::opened::{Opened, Options, Text};
use super::parquet::{HEAD_BYTES, MAGIC, Ranges};
use super::ranged::Ranged;
use super::s3::{RangeReader, RangeSettings};
use super::temporary::Copied;
use super::zip::ZipFile;
use crate::convert::FileFormat;
use crate::random::Random;
use crate::words::grouped;

/// The longest file of parquet that is unpacked, in bytes: the disk must have room for one for each file that
/// is read at once.
pub const UNPACKED_BYTES_MAX: u64 = 5_000_000_000;

/// A file that is open.
#[derive(Debug)]
pub enum OpenFile {
    /// A text.
    Text(Text),
    /// Parquet, or what is to be parquet, and how the file is compressed as a whole.
    Parquet(Box<dyn Ranges>, Compression),
}

/// What the bytes of an object are.
#[derive(Debug)]
pub(in crate::import) enum OpenObject {
    File(OpenFile),
    Archive(ZipFile),
}

impl OpenObject {
    /// How it is compressed.
    pub(in crate::import) fn compression(&self) -> Compression {
        match self {
            Self::File(OpenFile::Text(text)) => text.compression(),
            Self::File(OpenFile::Parquet(_, compression)) => *compression,
            Self::Archive(_) => Compression::Zip,
        }
    }
}

impl BytesOf {
    /// Opens a file of this format, or an archive. Blocks. Errors: those of the bytes.
    pub(in crate::import) fn open_as(
        &self,
        format: FileFormat,
        name: &str,
        reading: &Options,
        random: &Arc<dyn Random>,
    ) -> io::Result<OpenObject> {
        if format != FileFormat::Parquet {
            return Ok(match self.open(name, reading, random)? {
                Opened::Text(text) => OpenObject::File(OpenFile::Text(text)),
                Opened::Zip(zip) => OpenObject::Archive(zip),
            });
        }
        let (compression, _) = self.looks(name, random)?;
        let ranges: Box<dyn Ranges> = match (compression, self) {
            (Compression::Zip, Self::File(_) | Self::Object(..)) => {
                return match self.open(name, reading, random)? {
                    Opened::Zip(zip) => Ok(OpenObject::Archive(zip)),
                    Opened::Text(_) => Err(io::Error::other("it is no longer an archive")),
                };
            }
            (Compression::None, Self::File(file)) => Box::new(file.clone()),
            (Compression::None, Self::Object(object, runtime)) => {
                let settings = RangeSettings::new(Arc::clone(random));
                Box::new(Ranged::new(Arc::clone(object), runtime.clone(), settings))
            }
            (_, Self::File(file)) => Box::new(unpacked(file.reader(), compression, reading)?),
            (_, Self::Object(object, runtime)) => {
                let settings = RangeSettings::new(Arc::clone(random));
                let reader = RangeReader::new(Arc::clone(object), runtime.clone(), settings);
                Box::new(unpacked(reader, compression, reading)?)
            }
            (_, Self::Entry(archive, entry)) => {
                let raw = RawBytes::default();
                let reader = archive.read(entry, raw.clone())?;
                Box::new(unpacked_of(Counted::new(reader, RawBytes::default()), raw, compression, reading)?)
            }
        };
        Ok(OpenObject::File(OpenFile::Parquet(ranges, compression)))
    }

    /// Opens a file that was found to be no archive. Blocks.
    /// Errors: it cannot be read, or has become an archive.
    pub(in crate::import) fn file_as(
        &self,
        format: FileFormat,
        name: &str,
        reading: &Options,
        random: &Arc<dyn Random>,
    ) -> io::Result<OpenFile> {
        match self.open_as(format, name, reading, random)? {
            OpenObject::File(input) => Ok(input),
            OpenObject::Archive(_) => Err(io::Error::other("it has become an archive")),
        }
    }

    /// How the bytes are compressed, and whether they begin as parquet does, which no name changes. Of an
    /// object only the first bytes are read. Blocks. Errors: they cannot be read.
    pub(in crate::import) fn looks(
        &self,
        name: &str,
        random: &Arc<dyn Random>,
    ) -> io::Result<(Compression, bool)> {
        let mut head = Vec::with_capacity(MAGIC_BYTES);
        let mut read = |reader: &mut dyn Read| reader.take(MAGIC_BYTES as u64).read_to_end(&mut head);
        let (encoding, name) = match self {
            Self::File(file) => {
                read(&mut file.reader())?;
                (None, name)
            }
            Self::Object(object, runtime) => {
                let first = RangeSettings {
                    range_bytes: MAGIC_BYTES as u64,
                    ahead: 0,
                    ..RangeSettings::new(Arc::clone(random))
                };
                read(&mut RangeReader::new(Arc::clone(object), runtime.clone(), first))?;
                (object.content_encoding.as_deref(), object.key.as_str())
            }
            Self::Entry(archive, entry) => {
                read(&mut archive.read(entry, RawBytes::default())?)?;
                (None, entry.name.as_str())
            }
        };
        let is_parquet = head == MAGIC;
        let compression = if is_parquet { Compression::None } else { detect(&head, encoding, name) };
        Ok((compression, is_parquet))
    }
}

fn unpacked(
    reader: impl Read + Send + 'static,
    compression: Compression,
    reading: &Options,
) -> io::Result<LocalFile> {
    let raw = RawBytes::default();
    unpacked_of(Counted::new(reader, raw.clone()), raw, compression, reading)
}

/// Unpacks a file into the temporary folder. `raw` counts its bytes as they are stored.
fn unpacked_of<R: Read + Send + 'static>(
    counted: Counted<R>,
    raw: RawBytes,
    compression: Compression,
    reading: &Options,
) -> io::Result<LocalFile> {
    let decoded = decompress(counted, compression, &reading.limits)?;
    within(UNPACKED_BYTES_MAX, Guard::new(decoded, raw, reading.limits), reading)
}

fn within(most: u64, mut unpacked: impl Read, reading: &Options) -> io::Result<LocalFile> {
    let mut head = Vec::with_capacity(MAGIC.len());
    unpacked.by_ref().take(MAGIC.len() as u64).read_to_end(&mut head)?;
    let is_parquet = head == MAGIC;
    // The beginning of another file is enough to say what it is.
    let wanted = if is_parquet { most.saturating_add(1) } else { HEAD_BYTES as u64 };
    let mut whole = Cursor::new(head).chain(unpacked).take(wanted);
    let copied = Copied::to_folder(&mut whole, &reading.temporary)?;
    if is_parquet && copied.file.size() > most {
        let most = grouped(most);
        let text = format!(
            "the parquet file in it has more than {most} bytes: store it as it is, since parquet compresses its pages"
        );
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
    }
    Ok(copied.file)
}

#[cfg(test)]
mod tests {
    use super::super::Limits;
    use super::super::test_bytes::FailsAfter;
    use super::*;

    #[test]
    fn a_file_is_unpacked_up_to_a_limit_and_another_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let temporary = dir.path().to_owned();
        let reading = Options { encoding: None, limits: Limits::default(), temporary };
        let unpacked = |bytes: &[u8]| within(1_000, bytes, &reading);
        let file = |first: &[u8], len: usize| [first, &vec![b'x'; len - first.len()]].concat();
        assert_eq!(unpacked(&file(MAGIC, 1_000)).unwrap().size(), 1_000);
        let error = unpacked(&file(MAGIC, 1_001)).unwrap_err();
        assert!(error.to_string().contains("has more than 1,000 bytes: store it as it is"), "{error}");
        assert_eq!(unpacked(&file(b"PARE", 20_000)).unwrap().size(), HEAD_BYTES as u64);
        assert_eq!(unpacked(b"").unwrap().size(), 0);
        // A stream that is cut off gives no shorter file.
        assert!(within(1_000, FailsAfter(Cursor::new(file(MAGIC, 100))), &reading).is_err());
    }
}
