//! Zip archives: each entry is a file of its own.
//!
//! An own reader, because the `zip` crate keeps the last of two entries with the same name and drops the other
//! in silence, and holds the whole directory in memory before it can be bounded. What is read (little-endian):
//!
//! ```text
//! archive   := prefix? (local-header data descriptor?)* directory end64? locator64? end
//! directory := (header of 46 bytes, name, extra, comment)*
//! ```
//!
//! Only the directory counts: local headers are read for their lengths alone, so descriptors do not matter. The
//! methods are stored and deflate. Names are never used as paths.

use std::collections::HashSet;
use std::fmt;
use std::io::{self, BufReader, Read};

use flate2::Crc;
use flate2::bufread::DeflateDecoder;

use super::counted::{Counted, RawBytes};
use super::local::LocalFile;
use super::{Limits, SourceError};

const END: u32 = 0x0605_4B50;
const END_BYTES: usize = 22;
const COMMENT_BYTES_MAX: usize = 0xFFFF;
const LOCATOR64: u32 = 0x0706_4B50;
const LOCATOR64_BYTES: usize = 20;
const END64: u32 = 0x0606_4B50;
const END64_BYTES: usize = 56;
const ENTRY: u32 = 0x0201_4B50;
const ENTRY_BYTES: usize = 46;
const LOCAL: u32 = 0x0403_4B50;
const LOCAL_BYTES: usize = 30;

/// The extra field with sizes and places beyond 32 bits.
const EXTRA_64: u16 = 1;
/// The flag of encrypted data, and the one of an encrypted directory.
const FLAG_ENCRYPTED: u16 = 1 | 1 << 13;
/// The flag of a name in UTF-8.
const FLAG_UTF_8: u16 = 1 << 11;
const METHOD_STORED: u16 = 0;
const METHOD_DEFLATE: u16 = 8;

/// How many bytes are read at a time.
const BUFFER_BYTES: usize = 64 * 1024;

/// The upper half of code page 437, in which names are written that are not in UTF-8.
const CODE_PAGE_437: &str = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀\
                             αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{A0}";

/// Why an archive or an entry of it cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ZipError {
    /// The directory at the end is missing.
    #[error("the zip file is cut off, or is no zip file: its directory is missing at the end")]
    NoDirectory,
    /// The directory contradicts itself or the file.
    #[error("the zip file is damaged: {0}")]
    Damaged(&'static str),
    /// It is one part of several.
    #[error("the zip file is one part of a split archive; join the parts: zip -s 0 FILE --out NEW")]
    Split,
    /// It has too many entries.
    #[error("the zip file has over {max} entries")]
    TooManyEntries {
        /// The limit.
        max: u64,
    },
    /// The name of an entry is too long.
    #[error("the zip file has an entry with a name of {bytes} bytes; at most {max} are allowed")]
    LongName {
        /// Its length.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// Two entries have the same name, so they would count as the same file.
    #[error("the zip file has two entries named {0:?}")]
    SameName(String),
    /// An entry is encrypted.
    #[error("the entry {0:?} is encrypted; decrypt the zip file first")]
    Encrypted(String),
    /// An entry is compressed in another way.
    #[error(
        "the entry {name:?} is compressed with {}; only deflate and stored are supported: \
         unpack it and pack it again", method_name(*.method)
    )]
    Method {
        /// The entry.
        name: String,
        /// The method's number.
        method: u16,
    },
    /// An entry is damaged.
    #[error("the entry {name:?} is damaged: {what}")]
    DamagedEntry {
        /// The entry.
        name: String,
        /// What is wrong.
        what: &'static str,
    },
    /// An archive within an archive.
    #[error("a zip file within a zip file is not read; unpack the outer one")]
    Nested,
}

impl From<ZipError> for io::Error {
    fn from(error: ZipError) -> Self {
        let kind = match &error {
            ZipError::NoDirectory => io::ErrorKind::UnexpectedEof,
            _ => io::ErrorKind::InvalidData,
        };
        Self::new(kind, error)
    }
}

fn method_name(method: u16) -> String {
    let known = match method {
        9 => "deflate64",
        12 => "bzip2",
        14 => "lzma",
        93 => "zstd",
        95 => "xz",
        98 => "ppmd",
        _ => return format!("method {method}"),
    };
    known.to_owned()
}

/// An open zip archive.
#[derive(Clone, Debug)]
pub struct Archive {
    file: LocalFile,
    limits: Limits,
    end: End,
}

/// What the end of an archive says.
#[derive(Clone, Copy, Debug)]
struct End {
    /// Where the archive begins: other bytes may precede it, as in a self-extracting one.
    prefix: u64,
    /// Where the directory begins in the file.
    directory_at: u64,
    directory_bytes: u64,
    /// The number of entries, and how many of its values can be told apart.
    entries: u64,
    entries_modulo: u64,
}

/// An entry, as the directory describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name; it may contain anything.
    pub name: String,
    /// Its decoded size in bytes.
    pub size: u64,
    /// Its raw size in bytes.
    pub compressed_size: u64,
    crc32: u32,
    method: u16,
    flags: u16,
    /// Where its local header is in the file.
    header_at: u64,
}

impl Entry {
    /// Whether it is a folder, which has no content.
    pub fn is_folder(&self) -> bool {
        self.name.ends_with('/')
    }
}

impl Archive {
    /// Opens an archive and finds its directory.
    ///
    /// # Errors
    /// [`ZipError`]; the file cannot be read.
    pub fn open(file: LocalFile, limits: Limits) -> io::Result<Self> {
        let end = find_end(&file)?;
        Ok(Self { file, limits, end })
    }

    /// The entries, in the order of the directory, folders included. After an error there are no more.
    ///
    /// # Errors
    /// Each item may be an error: [`ZipError`], or the file cannot be read. An archive whose entries were not
    /// read to the end without an error is not to be trusted.
    pub fn entries(&self) -> Entries {
        let directory = Section {
            file: self.file.clone(),
            at: self.end.directory_at,
            end: self.end.directory_at.saturating_add(self.end.directory_bytes),
        };
        Entries {
            directory: BufReader::with_capacity(BUFFER_BYTES, directory),
            left_bytes: self.end.directory_bytes,
            end: self.end,
            limits: self.limits,
            names: HashSet::new(),
            claimed: 0,
            done: false,
        }
    }

    /// A reader of an entry's content. Its raw bytes are counted in `raw`. Size and checksum are verified at the
    /// end: until then the content is not to be trusted.
    ///
    /// # Errors
    /// [`ZipError`]; the file cannot be read.
    pub fn read(&self, entry: &Entry, raw: RawBytes) -> io::Result<EntryReader> {
        let name = || entry.name.clone();
        // 99 is AES.
        if entry.flags & FLAG_ENCRYPTED != 0 || entry.method == 99 {
            return Err(ZipError::Encrypted(name()).into());
        }
        if !matches!(entry.method, METHOD_STORED | METHOD_DEFLATE) {
            return Err(ZipError::Method { name: name(), method: entry.method }.into());
        }
        let damaged = |what| io::Error::from(ZipError::DamagedEntry { name: name(), what });
        let mut header = [0; LOCAL_BYTES];
        if entry.header_at.saturating_add(LOCAL_BYTES as u64) > self.end.directory_at {
            return Err(damaged("its header is missing"));
        }
        self.file.read_exact_at(&mut header, entry.header_at)?;
        if u32_at(&header, 0) != LOCAL || u16_at(&header, 8) != entry.method {
            return Err(damaged("its header does not match the directory"));
        }
        let lengths = LOCAL_BYTES as u64 + u64::from(u16_at(&header, 26)) + u64::from(u16_at(&header, 28));
        let at = entry.header_at.saturating_add(lengths);
        let end = at.saturating_add(entry.compressed_size);
        if end > self.end.directory_at {
            return Err(damaged("it reaches into the directory"));
        }
        let section = Counted::new(Section { file: self.file.clone(), at, end }, raw);
        let data = match entry.method {
            METHOD_STORED => Data::Stored(section),
            _ => {
                let data = BufReader::with_capacity(BUFFER_BYTES, section);
                Data::Deflated(Box::new(DeflateDecoder::new(data)))
            }
        };
        Ok(EntryReader { data, entry: entry.clone(), read: 0, crc: Crc::new() })
    }
}

/// Finds the end record, which a comment may follow.
fn find_end(file: &LocalFile) -> io::Result<End> {
    let tail_len = file.size().min((END_BYTES + COMMENT_BYTES_MAX + LOCATOR64_BYTES + END64_BYTES) as u64);
    let mut tail = vec![0; usize::try_from(tail_len).unwrap_or(0)];
    let tail_at = file.size() - tail_len;
    file.read_exact_at(&mut tail, tail_at)?;
    let found = tail.windows(END_BYTES).enumerate().rev().find(|(at, record)| {
        let comment = usize::from(u16_at(record, 20));
        u32_at(record, 0) == END && at + END_BYTES + comment == tail.len()
    });
    let Some((at, record)) = found else { return Err(ZipError::NoDirectory.into()) };
    let end_at = tail_at + at as u64;
    let locator = at.checked_sub(LOCATOR64_BYTES).and_then(|at| tail.get(at..));
    if let Some(locator) = locator.filter(|locator| u32_at(locator, 0) == LOCATOR64) {
        return end_64(file, locator, end_at);
    }
    let (disk, directory_disk) = (u16_at(record, 4), u16_at(record, 6));
    if disk != 0 || directory_disk != 0 || u16_at(record, 8) != u16_at(record, 10) {
        return Err(ZipError::Split.into());
    }
    let (bytes, at) = (u64::from(u32_at(record, 12)), u64::from(u32_at(record, 16)));
    // Some programs let the number overflow.
    end_of(end_at, bytes, at, u64::from(u16_at(record, 10)), 1 << 16)
}

/// Reads the end record of large archives.
fn end_64(file: &LocalFile, locator: &[u8], end_at: u64) -> io::Result<End> {
    if u32_at(locator, 4) != 0 || u32_at(locator, 16) > 1 {
        return Err(ZipError::Split.into());
    }
    // Just before the locator, even if bytes before the archive moved it; else where the locator says.
    let before = end_at.checked_sub((LOCATOR64_BYTES + END64_BYTES) as u64);
    for at in before.into_iter().chain([u64_at(locator, 8)]) {
        let mut record = [0; END64_BYTES];
        if at.saturating_add(END64_BYTES as u64) > end_at {
            continue;
        }
        file.read_exact_at(&mut record, at)?;
        if u32_at(&record, 0) == END64 {
            if u32_at(&record, 16) != 0 || u32_at(&record, 20) != 0 {
                return Err(ZipError::Split.into());
            }
            return end_of(at, u64_at(&record, 40), u64_at(&record, 48), u64_at(&record, 32), u64::MAX);
        }
    }
    Err(ZipError::Damaged("the end record of a large archive is missing").into())
}

/// The directory ends where the end record begins.
fn end_of(end_at: u64, bytes: u64, offset: u64, entries: u64, entries_modulo: u64) -> io::Result<End> {
    let damaged = || ZipError::Damaged("its directory is not where it should be");
    let directory_at = end_at.checked_sub(bytes).ok_or_else(damaged)?;
    let prefix = directory_at.checked_sub(offset).ok_or_else(damaged)?;
    Ok(End { prefix, directory_at, directory_bytes: bytes, entries, entries_modulo })
}

/// The entries of an archive: see [`Archive::entries`].
pub struct Entries {
    directory: BufReader<Section>,
    left_bytes: u64,
    end: End,
    limits: Limits,
    /// Hashes of the names so far.
    names: HashSet<[u8; 16]>,
    /// Bytes of the file that the entries so far claim. If it is more than there are, they overlap: a small file
    /// could then be made to hold any amount of data.
    claimed: u64,
    done: bool,
}

impl Entries {
    fn entry(&mut self) -> io::Result<Option<Entry>> {
        let count = self.names.len() as u64;
        if self.left_bytes == 0 {
            if count % self.end.entries_modulo != self.end.entries {
                return Err(ZipError::Damaged("its number of entries is wrong").into());
            }
            return Ok(None);
        }
        if count >= self.limits.zip_entries_max {
            return Err(ZipError::TooManyEntries { max: self.limits.zip_entries_max }.into());
        }
        let header = self.take(ENTRY_BYTES)?;
        if u32_at(&header, 0) != ENTRY {
            return Err(ZipError::Damaged("its directory has other bytes between the entries").into());
        }
        let name_len = usize::from(u16_at(&header, 28));
        if name_len > self.limits.zip_name_bytes_max {
            let max = self.limits.zip_name_bytes_max;
            return Err(ZipError::LongName { bytes: name_len, max }.into());
        }
        let name = self.take(name_len)?;
        let extra = self.take(usize::from(u16_at(&header, 30)))?;
        self.take(usize::from(u16_at(&header, 32)))?;

        let mut hash = [0; 16];
        blake3::Hasher::new().update(&name).finalize_xof().fill(&mut hash);
        let entry = self.end.entry(&header, &name, &extra)?;
        if !self.names.insert(hash) {
            return Err(ZipError::SameName(entry.name).into());
        }
        let claimed = (LOCAL_BYTES as u64 + name_len as u64).saturating_add(entry.compressed_size);
        self.claimed = self.claimed.saturating_add(claimed);
        if self.claimed > self.end.directory_at - self.end.prefix {
            return Err(ZipError::Damaged("its entries overlap").into());
        }
        Ok(Some(entry))
    }

    fn take(&mut self, len: usize) -> io::Result<Vec<u8>> {
        let left = self.left_bytes.checked_sub(len as u64);
        self.left_bytes = left.ok_or(ZipError::Damaged("its directory is cut off"))?;
        let mut bytes = vec![0; len];
        self.directory.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

impl Iterator for Entries {
    type Item = io::Result<Entry>;

    fn next(&mut self) -> Option<io::Result<Entry>> {
        if self.done {
            return None;
        }
        let entry = self.entry().transpose();
        self.done = !matches!(entry, Some(Ok(_)));
        entry
    }
}

impl fmt::Debug for Entries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entries").field("read", &self.names.len()).finish_non_exhaustive()
    }
}

impl End {
    fn entry(&self, header: &[u8], name: &[u8], extra: &[u8]) -> io::Result<Entry> {
        let mut wide = extra_64(extra);
        let mut wide_if = |narrow: u32| match narrow {
            u32::MAX => {
                let (value, rest) =
                    wide.split_first_chunk().ok_or(ZipError::Damaged("an entry has no size or place"))?;
                wide = rest;
                Ok(u64::from_le_bytes(*value))
            }
            narrow => Ok::<u64, ZipError>(u64::from(narrow)),
        };
        // In this order, which is not that of the header.
        let size = wide_if(u32_at(header, 24))?;
        let compressed_size = wide_if(u32_at(header, 20))?;
        let offset = wide_if(u32_at(header, 42))?;
        if !matches!(u16_at(header, 34), 0 | u16::MAX) {
            return Err(ZipError::Split.into());
        }
        let flags = u16_at(header, 8);
        Ok(Entry {
            name: name_of(name, flags & FLAG_UTF_8 != 0),
            size,
            compressed_size,
            crc32: u32_at(header, 16),
            method: u16_at(header, 10),
            flags,
            header_at: self.prefix.saturating_add(offset),
        })
    }
}

/// The extra field with wide numbers, or nothing.
fn extra_64(mut extra: &[u8]) -> &[u8] {
    while extra.len() >= 4 {
        let (id, len) = (u16_at(extra, 0), usize::from(u16_at(extra, 2)));
        let Some(field) = extra.get(4..4 + len) else { break };
        if id == EXTRA_64 {
            return field;
        }
        extra = extra.get(4 + len..).unwrap_or_default();
    }
    &[]
}

/// A name as text. Many programs write UTF-8 without saying so. No two names give the same text by accident.
fn name_of(name: &[u8], is_utf_8: bool) -> String {
    match std::str::from_utf8(name) {
        Ok(name) => name.to_owned(),
        Err(_) if is_utf_8 => name.escape_ascii().to_string(),
        Err(_) => name
            .iter()
            .map(|byte| match byte {
                0..0x80 => char::from(*byte),
                _ => {
                    CODE_PAGE_437.chars().nth(usize::from(byte - 0x80)).unwrap_or(char::REPLACEMENT_CHARACTER)
                }
            })
            .collect(),
    }
}

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

/// A part of a file.
#[derive(Debug)]
struct Section {
    file: LocalFile,
    at: u64,
    end: u64,
}

impl Read for Section {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let len = buf.len().min(left);
        let read = self.file.read_at(buf.get_mut(..len).unwrap_or_default(), self.at)?;
        if read == 0 && len > 0 {
            return Err(SourceError::Changed.into());
        }
        self.at += read as u64;
        Ok(read)
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u16::from_le_bytes(*bytes))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::super::test_bytes::{Dribble, rows};
    use super::super::typed;
    use super::*;

    /// An archive to be written.
    #[derive(Default)]
    struct Pack {
        files: Vec<u8>,
        directory: Vec<u8>,
        entries: u16,
    }

    /// What is written about an entry, where it is not what it should be.
    #[derive(Default)]
    struct Lies {
        method: Option<u16>,
        flags: u16,
        crc: u32,
        size: i64,
        raw_tail: &'static [u8],
        /// The place of another entry.
        header_at: Option<u32>,
    }

    impl Pack {
        fn add(&mut self, name: &[u8], text: &[u8], deflate: bool, lies: &Lies) {
            let raw = if deflate {
                let mut encoder =
                    flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
                encoder.write_all(text).unwrap();
                encoder.finish().unwrap()
            } else {
                text.to_vec()
            };
            let raw = [&raw, lies.raw_tail].concat();
            let mut crc = Crc::new();
            crc.update(text);
            let at = lies.header_at.unwrap_or(u32::try_from(self.files.len()).unwrap());
            let mut common = Vec::new();
            common.extend(lies.flags.to_le_bytes());
            common.extend(lies.method.unwrap_or(if deflate { 8 } else { 0 }).to_le_bytes());
            common.extend([0; 4]);
            common.extend((crc.sum() ^ lies.crc).to_le_bytes());
            common.extend(u32::try_from(raw.len()).unwrap().to_le_bytes());
            common
                .extend(u32::try_from(i64::try_from(text.len()).unwrap() + lies.size).unwrap().to_le_bytes());
            common.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
            if lies.header_at.is_none() {
                self.files.extend(b"PK\x03\x04\x14\0");
                self.files.extend(&common);
                // Local headers have extra fields of their own.
                self.files.extend(4_u16.to_le_bytes());
                self.files.extend([name, b"\x99\x99\0\0", &raw].concat());
            }
            self.directory.extend(b"PK\x01\x02\x14\0\x14\0");
            self.directory.extend(&common);
            self.directory.extend([0, 0, 3, 0]);
            self.directory.extend([0; 8]);
            self.directory.extend(at.to_le_bytes());
            self.directory.extend([name, b"abc"].concat());
            self.entries += 1;
        }

        fn end(&self, comment: &[u8]) -> Vec<u8> {
            let mut end = b"PK\x05\x06\0\0\0\0".to_vec();
            end.extend(self.entries.to_le_bytes());
            end.extend(self.entries.to_le_bytes());
            end.extend(u32::try_from(self.directory.len()).unwrap().to_le_bytes());
            end.extend(u32::try_from(self.files.len()).unwrap().to_le_bytes());
            end.extend(u16::try_from(comment.len()).unwrap().to_le_bytes());
            [&self.files, &self.directory, &end, comment].concat()
        }
    }

    fn local(bytes: &[u8]) -> LocalFile {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        LocalFile::of_open(file).unwrap()
    }

    fn open(bytes: &[u8], limits: Limits) -> io::Result<Vec<(Archive, Entry)>> {
        let archive = Archive::open(local(bytes), limits)?;
        archive.entries().map(|entry| Ok((archive.clone(), entry?))).collect()
    }

    /// Names and contents of all entries.
    fn unpack(bytes: &[u8]) -> io::Result<Vec<(String, Vec<u8>)>> {
        let unpacked = |(archive, entry): (Archive, Entry)| {
            let mut text = Vec::new();
            let raw = RawBytes::default();
            archive.read(&entry, raw.clone())?.read_to_end(&mut text)?;
            assert_eq!(raw.get(), entry.compressed_size);
            Ok((entry.name, text))
        };
        open(bytes, Limits::default())?.into_iter().map(unpacked).collect()
    }

    fn refused(bytes: &[u8]) -> ZipError {
        let error = unpack(bytes).unwrap_err();
        typed::<ZipError>(&error).unwrap_or_else(|| panic!("{error:?}")).clone()
    }

    fn one(text: &[u8], deflate: bool, lies: &Lies) -> Vec<u8> {
        let mut pack = Pack::default();
        pack.add(b"a.csv", text, deflate, lies);
        pack.end(b"")
    }

    #[test]
    fn each_entry_is_read() {
        let mut pack = Pack::default();
        pack.add(b"a/", b"", false, &Lies::default());
        pack.add(b"a/1.csv", b"id\n1\n", false, &Lies::default());
        pack.add(
            "a/é.csv".as_bytes(),
            &rows(30_000),
            true,
            &Lies { flags: FLAG_UTF_8 | 8, ..Lies::default() },
        );
        pack.add(b"../\x82.csv", b"", true, &Lies::default());
        let expected = [
            ("a/".to_owned(), Vec::new()),
            ("a/1.csv".to_owned(), b"id\n1\n".to_vec()),
            ("a/é.csv".to_owned(), rows(30_000)),
            ("../é.csv".to_owned(), Vec::new()),
        ];
        assert!(unpack(&pack.end(b"")).unwrap() == expected);
        assert!(unpack(&pack.end(&[b'x'; 65_535])).unwrap() == expected);
        // The marks of an end record within the comment.
        assert!(unpack(&pack.end(b"PK\x05\x06 and 18 or more bytes follow it")).unwrap() == expected);
        assert!(unpack(&[b"#!/bin/sh\n".to_vec(), pack.end(b"")].concat()).unwrap() == expected);
        assert!(unpack(&Pack::default().end(b"")).unwrap().is_empty());

        let entries = open(&pack.end(b""), Limits::default()).unwrap();
        assert!(entries[0].1.is_folder() && !entries[1].1.is_folder());
        assert_eq!(entries[1].1.size, 5);
    }

    #[test]
    fn the_sizes_of_reads_do_not_matter() {
        for deflate in [false, true] {
            let entries = open(&one(&rows(500), deflate, &Lies::default()), Limits::default()).unwrap();
            for size in [1, 7, 1_000] {
                let reader = entries[0].0.read(&entries[0].1, RawBytes::default()).unwrap();
                let mut text = Vec::new();
                Dribble(reader, size).read_to_end(&mut text).unwrap();
                assert!(text == rows(500));
            }
        }
    }

    /// As archives over 4 GiB have them, and small ones that were streamed.
    #[test]
    fn wide_numbers_are_read() {
        let mut pack = Pack::default();
        pack.add(b"a.csv", b"id\n1\n", false, &Lies::default());
        // The same entry with its numbers in the extra field.
        let mut directory = b"PK\x01\x02\x2D\0\x2D\0".to_vec();
        directory.extend(&pack.directory[8..20]);
        directory.extend([0xFF; 8]);
        directory.extend([5, 0, 34, 0, 0, 0, 0, 0]);
        directory.extend([0; 6]);
        directory.extend([0xFF; 4]);
        directory.extend(b"a.csv");
        // Another field comes first.
        directory.extend([0x55, 0x54, 2, 0, 1, 2]);
        directory.extend([1, 0, 24, 0]);
        for value in [5_u64, 5, 0] {
            directory.extend(value.to_le_bytes());
        }
        let mut end = b"PK\x06\x06".to_vec();
        end.extend(44_u64.to_le_bytes());
        end.extend([45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        for value in [1, 1, directory.len() as u64, pack.files.len() as u64] {
            end.extend(value.to_le_bytes());
        }
        end.extend(b"PK\x06\x07\0\0\0\0");
        end.extend(((pack.files.len() + directory.len()) as u64).to_le_bytes());
        end.extend(1_u32.to_le_bytes());
        end.extend(b"PK\x05\x06\0\0\0\0");
        end.extend([0xFF; 12]);
        end.extend([0; 2]);
        let file = [pack.files, directory, end].concat();
        let expected = [("a.csv".to_owned(), b"id\n1\n".to_vec())];
        assert_eq!(unpack(&file).unwrap(), expected);
        assert_eq!(unpack(&[b"prefix".to_vec(), file].concat()).unwrap(), expected);
    }

    #[test]
    fn a_cut_anywhere_is_noticed() {
        let file = one(&rows(20), true, &Lies::default());
        for cut in 0..file.len() {
            assert!(matches!(refused(&file[..cut]), ZipError::NoDirectory), "cut at {cut}");
        }
    }

    #[test]
    fn a_damaged_entry_is_noticed() {
        let check = |text: &[u8], lies: Lies, expected: &str| {
            for deflate in [false, true] {
                let error = refused(&one(text, deflate, &lies)).to_string();
                assert!(error.ends_with(expected), "{error}");
            }
        };
        check(b"id\n", Lies { crc: 1, ..Lies::default() }, "checksum does not match");
        check(b"id\n", Lies { size: 1, ..Lies::default() }, "shorter than the directory says");
        check(b"id\n", Lies { size: -1, ..Lies::default() }, "longer than the directory says");
        let tail = refused(&one(b"id\n", true, &Lies { raw_tail: b"1\n", ..Lies::default() }));
        assert!(tail.to_string().ends_with("other bytes follow its data"), "{tail}");

        // Every byte of the data in turn.
        let file = one(&rows(20), true, &Lies::default());
        let entries = open(&file, Limits::default()).unwrap();
        let raw = usize::try_from(entries[0].1.compressed_size).unwrap();
        for at in LOCAL_BYTES + 9..LOCAL_BYTES + 9 + raw {
            let mut changed = file.clone();
            changed[at] ^= 0x10;
            assert!(matches!(refused(&changed), ZipError::DamagedEntry { .. }), "byte {at}");
        }
    }

    /// No change makes a panic, an endless loop or other text under the name.
    #[test]
    fn a_changed_byte_anywhere_gives_the_same_text_or_an_error() {
        let text = rows(20);
        let file = one(&text, true, &Lies::default());
        for at in 0..file.len() {
            for bit in [1, 0x80] {
                let mut changed = file.clone();
                changed[at] ^= bit;
                if let Ok(entries) = unpack(&changed) {
                    assert!(entries.len() == 1 && entries[0].1 == text, "byte {at}");
                }
            }
        }
    }

    #[test]
    fn what_is_not_supported_is_said() {
        let encrypted = Lies { flags: 1, ..Lies::default() };
        assert_eq!(refused(&one(b"id\n", true, &encrypted)), ZipError::Encrypted("a.csv".to_owned()));
        let aes = Lies { method: Some(99), ..Lies::default() };
        assert_eq!(refused(&one(b"id\n", true, &aes)), ZipError::Encrypted("a.csv".to_owned()));
        let bzip2 = refused(&one(b"id\n", true, &Lies { method: Some(12), ..Lies::default() }));
        assert!(bzip2.to_string().contains("with bzip2"), "{bzip2}");
        let mut split = one(b"id\n", true, &Lies::default());
        let end = split.len() - END_BYTES;
        split[end + 4] = 1;
        assert_eq!(refused(&split), ZipError::Split);
        assert_eq!(refused(b""), ZipError::NoDirectory);
        assert_eq!(refused(b"id,name\n1,a\n"), ZipError::NoDirectory);
    }

    #[test]
    fn two_entries_with_one_name_are_refused() {
        let mut pack = Pack::default();
        pack.add(b"a.csv", b"id\n1\n", true, &Lies::default());
        pack.add(b"a.csv", b"id\n2\n", true, &Lies::default());
        assert_eq!(refused(&pack.end(b"")), ZipError::SameName("a.csv".to_owned()));
    }

    #[test]
    fn entries_that_share_their_data_are_refused() {
        let mut pack = Pack::default();
        pack.add(b"a.csv", &rows(10), true, &Lies::default());
        pack.add(b"b.csv", &rows(10), true, &Lies { header_at: Some(0), ..Lies::default() });
        assert_eq!(refused(&pack.end(b"")), ZipError::Damaged("its entries overlap"));
    }

    #[test]
    fn limits_hold() {
        let mut pack = Pack::default();
        for name in [b"a", b"b", b"c"] {
            pack.add(name, b"", false, &Lies::default());
        }
        let with = |zip_entries_max, zip_name_bytes_max| {
            open(&pack.end(b""), Limits { zip_entries_max, zip_name_bytes_max, ..Limits::default() })
        };
        assert_eq!(with(3, 1).unwrap().len(), 3);
        assert!(with(2, 1).unwrap_err().to_string().contains("over 2 entries"));
        assert!(with(3, 0).unwrap_err().to_string().contains("at most 0"));
        // An entry less than the end record says.
        let mut file = pack.end(b"");
        let end = file.len() - END_BYTES;
        (file[end + 8], file[end + 10]) = (4, 4);
        assert!(matches!(refused(&file), ZipError::Damaged(_)));
    }

    #[test]
    fn code_page_437_has_128_letters_in_its_upper_half() {
        let letters: HashSet<char> = CODE_PAGE_437.chars().collect();
        assert_eq!((letters.len(), CODE_PAGE_437.chars().count()), (128, 128));
    }
}
