//! Finds where an archive begins and ends. The crate `rawzip` alone takes a mark within a comment for the
//! end, finds no directory of a large archive after other bytes, and does not notice that an archive is
//! split.

use std::io;
use std::ops::Range;

use rawzip::{ReaderAt, ZipArchive, ZipLocator};

use super::error::{ZipError, of_crate};
use crate::import::reading::local::LocalFile;
use crate::import::reading::{Limits, ReadingError};

/// The bytes that are read at a time.
pub(super) const BUFFER_BYTES: usize = 64 * 1024;

const END: &[u8] = b"PK\x05\x06";
pub(super) const END_BYTES: usize = 22;
const COMMENT_BYTES_MAX: usize = 0xFFFF;
const LOCATOR64: &[u8] = b"PK\x06\x07";
const LOCATOR64_BYTES: usize = 20;
const END64: &[u8] = b"PK\x06\x06";
const END64_BYTES: usize = 56;

/// An open zip archive.
#[derive(Clone, Debug)]
pub struct ZipFile {
    pub(super) archive: ZipArchive<ArchiveBytes>,
    pub(super) limits: Limits,
}

impl ZipFile {
    /// Opens an archive and finds its directory. Errors: [`ZipError`]; or the file cannot be read.
    pub fn open(file: LocalFile, limits: Limits) -> io::Result<Self> {
        Ok(Self { archive: locate(file)?, limits })
    }

    /// See [`LocalFile::check_unchanged`].
    pub fn check_unchanged(&self) -> io::Result<()> {
        self.archive.get_ref().file.check_unchanged()
    }
}

/// The bytes of an archive: those of a file after a prefix, such as that of a self-extracting archive.
#[derive(Clone, Debug)]
pub(super) struct ArchiveBytes {
    file: LocalFile,
    prefix: u64,
}

impl ReaderAt for ArchiveBytes {
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        let at = at.saturating_add(self.prefix);
        if at >= self.file.size() {
            return Ok(0);
        }
        match self.file.read_at(buf, at)? {
            0 if !buf.is_empty() => Err(ReadingError::Changed.into()),
            read => Ok(read),
        }
    }
}

/// Opens the archive that a file is, or ends with.
fn locate(file: LocalFile) -> io::Result<ZipArchive<ArchiveBytes>> {
    let tail_len = file.size().min((END64_BYTES + LOCATOR64_BYTES + END_BYTES + COMMENT_BYTES_MAX) as u64);
    let mut tail = vec![0; usize::try_from(tail_len).unwrap_or(0)];
    let tail_at = file.size() - tail_len;
    file.read_exact_at(&mut tail, tail_at)?;
    let is_end = |(at, record): &(usize, &[u8])| {
        record.starts_with(END) && number(record, 20..22) == (tail.len() - at - END_BYTES) as u64
    };
    let end = tail.windows(END_BYTES).enumerate().rev().find(is_end);
    let Some((at, record)) = end else { return Err(ZipError::NoDirectory.into()) };
    let (before, end_at) = (tail.get(..at).unwrap_or_default(), tail_at + at as u64);
    let damaged = || ZipError::Damaged("its directory is not where it should be");
    let prefix = prefix(before, record, end_at)?.ok_or_else(damaged)?;
    let mark_end = end_at - prefix + END.len() as u64;
    ZipLocator::new()
        .locate_in_reader(ArchiveBytes { file, prefix }, &mut vec![0; BUFFER_BYTES], mark_end)
        .map_err(|(_, error)| of_crate(error, damaged()))
}

/// The number of bytes before the archive with this end record; `None`: the record claims more bytes than
/// there are.
fn prefix(before: &[u8], record: &[u8], end_at: u64) -> Result<Option<u64>, ZipError> {
    let locator = before.len().checked_sub(LOCATOR64_BYTES).and_then(|at| before.split_at_checked(at));
    if let Some((before, locator)) = locator.filter(|(_, locator)| locator.starts_with(LOCATOR64)) {
        if number(locator, 4..8) != 0 || number(locator, 16..20) > 1 {
            return Err(ZipError::Split);
        }
        let record =
            before.len().checked_sub(END64_BYTES).and_then(|at| before.get(at..)).unwrap_or_default();
        if !record.starts_with(END64) {
            // A longer record has fields of other programs: such an archive must begin with the file.
            return Ok(Some(0));
        }
        if number(record, 16..24) != 0 {
            return Err(ZipError::Split);
        }
        let record_at = end_at - (LOCATOR64_BYTES + END64_BYTES) as u64;
        return Ok(record_at.checked_sub(number(locator, 8..16)));
    }
    if number(record, 4..8) != 0 || number(record, 8..10) != number(record, 10..12) {
        return Err(ZipError::Split);
    }
    Ok(end_at.checked_sub(number(record, 12..16)).and_then(|at| at.checked_sub(number(record, 16..20))))
}

/// Reads a number whose lowest byte comes first.
fn number(bytes: &[u8], at: Range<usize>) -> u64 {
    bytes.get(at).unwrap_or_default().iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}
