//! Reads the content of an entry, and checks its size and checksum.

use std::io::{self, BufReader, Read};

use flate2::Crc;
use flate2::bufread::DeflateDecoder;
use rawzip::{CompressionMethod, RangeReader};

use super::directory::{Entry, LOCAL_BYTES};
use super::end::{ArchiveBytes, BUFFER_BYTES, ZipFile};
use super::error::{ZipError, of_crate};
use crate::import::reading::counted::{Counted, RawBytes};

/// Reads the content of an entry.
pub struct EntryReader {
    data: Data,
    entry: Entry,
    read: u64,
    crc: Crc,
}

enum Data {
    Stored(Counted<RangeReader<ArchiveBytes>>),
    Deflated(Box<DeflateDecoder<BufReader<Counted<RangeReader<ArchiveBytes>>>>>),
}

impl ZipFile {
    /// A reader of an entry's content, whose raw bytes are counted in `raw`. Size and checksum are verified
    /// at the end: until then the content is not to be trusted.
    /// Errors: [`ZipError`]; or the file cannot be read.
    pub fn read(&self, entry: &Entry, raw: RawBytes) -> io::Result<EntryReader> {
        let (archive, name) = (&self.archive, || entry.name.clone());
        if entry.flags.is_encrypted() || entry.flags.is_masked() || entry.method == CompressionMethod::AES {
            return Err(ZipError::Encrypted(name()).into());
        }
        if !matches!(entry.method, CompressionMethod::STORE | CompressionMethod::DEFLATE) {
            return Err(ZipError::Method(name(), entry.method.as_u16()).into());
        }
        let damaged = |what| ZipError::DamagedEntry(name(), what);
        if entry.header_at.saturating_add(LOCAL_BYTES as u64) > archive.directory_offset() {
            return Err(damaged("its header is missing").into());
        }
        let local = archive
            .get_entry(entry.place)
            .map_err(|error| of_crate(error, damaged("its header does not match the directory")))?;
        let (at, end) = local.compressed_data_range();
        if end > archive.directory_offset() {
            return Err(damaged("it reaches into the directory").into());
        }
        let section = Counted::new(RangeReader::new(archive.get_ref().clone(), at..end), raw);
        let data = match entry.method {
            CompressionMethod::STORE => Data::Stored(section),
            _ => {
                let data = BufReader::with_capacity(BUFFER_BYTES, section);
                Data::Deflated(Box::new(DeflateDecoder::new(data)))
            }
        };
        Ok(EntryReader { data, entry: entry.clone(), read: 0, crc: Crc::new() })
    }
}

impl EntryReader {
    fn damaged(&self, what: &'static str) -> io::Error {
        ZipError::DamagedEntry(self.entry.name.clone(), what).into()
    }

    fn check_end(&self) -> io::Result<()> {
        if let Data::Deflated(decoder) = &self.data
            && decoder.total_in() != self.entry.compressed_size
        {
            return Err(self.damaged("other bytes follow its data"));
        }
        if self.read != self.entry.size {
            return Err(self.damaged("it is shorter than the directory says"));
        }
        if self.crc.sum() != self.entry.crc32 {
            return Err(self.damaged("its checksum does not match"));
        }
        Ok(())
    }
}

impl Read for EntryReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        let (read, source_failed) = match &mut self.data {
            Data::Stored(data) => (data.read(buf), true),
            Data::Deflated(data) => {
                let read = data.read(buf);
                (read, data.get_ref().get_ref().failed())
            }
        };
        match read {
            Ok(0) => self.check_end().map(|()| 0),
            Ok(read) => {
                self.crc.update(buf.get(..read).unwrap_or_default());
                self.read += read as u64;
                if self.read > self.entry.size {
                    return Err(self.damaged("it is longer than the directory says"));
                }
                Ok(read)
            }
            Err(error) if source_failed => Err(error),
            Err(_) => Err(self.damaged("its data cannot be decoded")),
        }
    }
}

debug_fields!(EntryReader { entry, read });
