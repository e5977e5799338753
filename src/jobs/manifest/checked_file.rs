//! Reads a file of a manifest: decompressed, counted, and compared with the length and MD5 that are known of
//! it.

use std::io::{self, BufRead, BufReader, Read};
use std::sync::{Arc, Mutex};

use md5::{Digest as _, Md5};

use super::error::ManifestError;
use super::files::OpenFile;
use super::progress::Progress;
use crate::import::reading::Limits;
use crate::import::reading::compression::{Compression, MAGIC_BYTES, detect};
use crate::import::reading::counted::{Counted, RawBytes};
use crate::import::reading::decompress::decompress;
use crate::import::reading::guard::Guard;
use crate::lock::lock;
use crate::words::{grouped, outside_text_within};

/// The decoded bytes that are read at a time.
const BUFFER_BYTES: usize = 64 * 1_024;

/// What is known of a file before it is read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Known {
    pub(super) len: Option<u64>,
    pub(super) md5: Option<[u8; 16]>,
}

/// A file that is being read.
pub(super) struct CheckedFile {
    raw: Arc<Mutex<Raw>>,
    known: Known,
    name: String,
}

/// The bytes of the file as stored, and what they were so far.
struct Raw {
    bytes: Box<dyn Read + Send>,
    read: u64,
    md5: Option<Md5>,
}

impl CheckedFile {
    /// Begins to read a file. Its text is read first, and then [`CheckedFile::end`] is called.
    /// Errors: the first bytes cannot be read, or are those of an archive.
    pub(super) fn open(
        name: &str,
        file: OpenFile,
        known: Known,
        progress: &Progress,
    ) -> Result<(Self, Box<dyn BufRead>), ManifestError> {
        let of_io = |cause: io::Error| ManifestError::of_io(name, cause);
        let md5 = known.md5.map(|_| Md5::new());
        let raw = Arc::new(Mutex::new(Raw { bytes: file.bytes, read: 0, md5 }));
        let mut stored = SharedRaw(Arc::clone(&raw));
        let mut magic = Vec::with_capacity(MAGIC_BYTES);
        stored.by_ref().take(MAGIC_BYTES as u64).read_to_end(&mut magic).map_err(of_io)?;
        let compression = detect(&magic, file.content_encoding.as_deref(), name);
        if compression == Compression::Zip {
            let what = "it is a zip archive; store the manifest plain, or compress it with gzip or zstd";
            return Err(ManifestError::content(what));
        }
        // The bytes of all files are counted together, and those of this file for its own expansion.
        let own = RawBytes::default();
        let counted = Counted::new(io::Cursor::new(magic).chain(stored), progress.raw.clone());
        let limits = Limits::default();
        let text = decompress(Counted::new(counted, own.clone()), compression, &limits).map_err(of_io)?;
        let text = BufReader::with_capacity(BUFFER_BYTES, Guard::new(text, own, limits));
        Ok((Self { raw, known, name: name.to_owned() }, Box::new(text)))
    }

    /// The end of the reading, which gave this. Errors: the one that is given; or, if the content was at
    /// fault or not and the file is not the one that is known, that.
    pub(super) fn end<T>(self, read: Result<T, ManifestError>) -> Result<T, ManifestError> {
        if !matches!(read, Ok(_) | Err(ManifestError::Content(_))) {
            return read;
        }
        if self.known.len.is_none() && self.known.md5.is_none() {
            return read;
        }
        // Wrong rows of a damaged file are not the rows' fault. The rest decides, so it is read.
        let rest = io::copy(&mut SharedRaw(Arc::clone(&self.raw)), &mut io::sink());
        match (rest, read) {
            (Ok(_), read) => self.compare().and(read),
            (Err(cause), Ok(_)) => Err(ManifestError::of_io(&self.name, cause)),
            (Err(_), read) => read,
        }
    }

    fn compare(&self) -> Result<(), ManifestError> {
        let mut raw = lock(&self.raw);
        let again = "it was damaged or replaced; copy it again, or take a newer manifest";
        if let Some(known) = self.known.len.filter(|known| *known != raw.read) {
            let (found, known) = (grouped(raw.read), grouped(known));
            let what = format!("the file has {found} bytes, and the manifest says {known}: {again}");
            return Err(ManifestError::content(what));
        }
        if let (Some(md5), Some(known)) = (raw.md5.take(), self.known.md5) {
            let found = <[u8; 16]>::from(md5.finalize());
            if found != known {
                let (found, known) = (hex::encode(found), hex::encode(known));
                let what = format!("the file's MD5 is {found}, and the manifest says {known}: {again}");
                return Err(ManifestError::content(what));
            }
        }
        Ok(())
    }
}

/// The bytes of a file, for its decoder and for the one who compares it.
struct SharedRaw(Arc<Mutex<Raw>>);

impl Read for SharedRaw {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut raw = lock(&self.0);
        let read = raw.bytes.read(buf)?;
        raw.read += read as u64;
        if let (Some(md5), Some(bytes)) = (&mut raw.md5, buf.get(..read)) {
            md5.update(bytes);
        }
        Ok(read)
    }
}

/// An MD5 as text. Errors: what is wrong with the text.
pub(super) fn parse_md5(text: &str) -> Result<[u8; 16], String> {
    let mut md5 = [0; 16];
    hex::decode_to_slice(text.trim(), &mut md5)
        .map_err(|_| format!("\"{}\" is no MD5", outside_text_within(text.trim(), 64)))?;
    Ok(md5)
}
