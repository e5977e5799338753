//! The end of an archive, which says where its directory is.

use std::io;

use super::error::ZipError;
use super::little_endian::{u16_at, u32_at, u64_at};
use crate::import::reading::local::LocalFile;

const END: u32 = 0x0605_4B50;
pub(super) const END_BYTES: usize = 22;
const COMMENT_BYTES_MAX: usize = 0xFFFF;
const LOCATOR64: u32 = 0x0706_4B50;
const LOCATOR64_BYTES: usize = 20;
const END64: u32 = 0x0606_4B50;
const END64_BYTES: usize = 56;

/// What the end of an archive says.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    /// Where the archive begins: other bytes may precede it, as in a self-extracting one.
    pub(super) prefix: u64,
    /// Where the directory begins in the file.
    pub(super) directory_at: u64,
    pub(super) directory_bytes: u64,
    /// The number of entries, and how many of its values can be told apart.
    pub(super) entries: u64,
    pub(super) entries_modulo: u64,
}

/// Finds the end record, which a comment may follow.
pub(super) fn find_end(file: &LocalFile) -> io::Result<End> {
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
