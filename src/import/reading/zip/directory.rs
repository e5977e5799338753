//! The directory of an archive: what its entries are called, and where they are.

use std::collections::HashSet;
use std::fmt;
use std::io::{self, BufReader, Read};

use super::end::End;
use super::error::ZipError;
use super::little_endian::{u16_at, u32_at};
use super::section::Section;
use super::{BUFFER_BYTES, LOCAL_BYTES};
use crate::import::reading::Limits;
use crate::import::reading::local::LocalFile;

const ENTRY: u32 = 0x0201_4B50;
const ENTRY_BYTES: usize = 46;

/// The extra field with sizes and places beyond 32 bits.
const EXTRA_64: u16 = 1;
/// The flag of a name in UTF-8.
pub(super) const FLAG_UTF_8: u16 = 1 << 11;

/// The upper half of code page 437, in which names are written that are not in UTF-8.
const CODE_PAGE_437: &str = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀\
                             αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{A0}";

/// An entry, as the directory describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name; it may contain anything.
    pub name: String,
    /// Its decoded size in bytes.
    pub size: u64,
    /// Its raw size in bytes.
    pub compressed_size: u64,
    pub(super) crc32: u32,
    pub(super) method: u16,
    pub(super) flags: u16,
    /// Where its local header is in the file.
    pub(super) header_at: u64,
}

impl Entry {
    /// Whether it is a folder, which has no content.
    pub fn is_folder(&self) -> bool {
        self.name.ends_with('/')
    }
}

/// The entries of an archive: see [`super::ZipFile::entries`].
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
    pub(super) fn new(file: &LocalFile, end: End, limits: Limits) -> Self {
        let directory = Section {
            file: file.clone(),
            at: end.directory_at,
            end: end.directory_at.saturating_add(end.directory_bytes),
        };
        Self {
            directory: BufReader::with_capacity(BUFFER_BYTES, directory),
            left_bytes: end.directory_bytes,
            end,
            limits,
            names: HashSet::new(),
            claimed: 0,
            done: false,
        }
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_page_437_has_128_letters_in_its_upper_half() {
        let letters: HashSet<char> = CODE_PAGE_437.chars().collect();
        assert_eq!((letters.len(), CODE_PAGE_437.chars().count()), (128, 128));
    }
}
