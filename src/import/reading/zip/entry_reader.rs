//! Reads the content of an entry, and checks its size and checksum.

use std::fmt;
use std::io::{self, BufReader, Read};

use flate2::Crc;
use flate2::bufread::DeflateDecoder;

use super::directory::Entry;
use super::error::ZipError;
use super::little_endian::{u16_at, u32_at};
use super::section::Section;
use super::{BUFFER_BYTES, LOCAL_BYTES};
use crate::import::reading::counted::{Counted, RawBytes};
use crate::import::reading::local::LocalFile;

const LOCAL: u32 = 0x0403_4B50;
/// The flag of encrypted data, and the one of an encrypted directory.
const FLAG_ENCRYPTED: u16 = 1 | 1 << 13;
const METHOD_STORED: u16 = 0;
const METHOD_DEFLATE: u16 = 8;
/// Says that the data is encrypted with AES.
const METHOD_AES: u16 = 99;

/// Reads the content of an entry.
pub struct EntryReader {
    data: Data,
    entry: Entry,
    read: u64,
    crc: Crc,
}

enum Data {
    Stored(Counted<Section>),
    Deflated(Box<DeflateDecoder<BufReader<Counted<Section>>>>),
}

impl EntryReader {
    /// Reads `entry` of `file`, whose directory begins at `directory_at`: see [`super::ZipFile::read`].
    pub(super) fn new(file: &LocalFile, entry: &Entry, directory_at: u64, raw: RawBytes) -> io::Result<Self> {
        let name = || entry.name.clone();
        if entry.flags & FLAG_ENCRYPTED != 0 || entry.method == METHOD_AES {
            return Err(ZipError::Encrypted(name()).into());
        }
        if !matches!(entry.method, METHOD_STORED | METHOD_DEFLATE) {
            return Err(ZipError::Method { name: name(), method: entry.method }.into());
        }
        let damaged = |what| io::Error::from(ZipError::DamagedEntry { name: name(), what });
        let mut header = [0; LOCAL_BYTES];
        if entry.header_at.saturating_add(LOCAL_BYTES as u64) > directory_at {
            return Err(damaged("its header is missing"));
        }
        file.read_exact_at(&mut header, entry.header_at)?;
        if u32_at(&header, 0) != LOCAL || u16_at(&header, 8) != entry.method {
            return Err(damaged("its header does not match the directory"));
        }
        let lengths = LOCAL_BYTES as u64 + u64::from(u16_at(&header, 26)) + u64::from(u16_at(&header, 28));
        let at = entry.header_at.saturating_add(lengths);
        let end = at.saturating_add(entry.compressed_size);
        if end > directory_at {
            return Err(damaged("it reaches into the directory"));
        }
        let section = Counted::new(Section { file: file.clone(), at, end }, raw);
        let data = match entry.method {
            METHOD_STORED => Data::Stored(section),
            _ => {
                let data = BufReader::with_capacity(BUFFER_BYTES, section);
                Data::Deflated(Box::new(DeflateDecoder::new(data)))
            }
        };
        Ok(Self { data, entry: entry.clone(), read: 0, crc: Crc::new() })
    }

    fn damaged(&self, what: &'static str) -> io::Error {
        ZipError::DamagedEntry { name: self.entry.name.clone(), what }.into()
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

impl fmt::Debug for EntryReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EntryReader")
            .field("entry", &self.entry)
            .field("read", &self.read)
            .finish_non_exhaustive()
    }
}
