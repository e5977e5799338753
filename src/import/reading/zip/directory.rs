//! The directory of an archive: the names of its entries, and where they are.

use std::collections::HashSet;
use std::io;

use rawzip::{
    CompressionMethod, EntryFlags, ErrorKind, MAX_CENTRAL_DIRECTORY_RECORD_SIZE, ZipArchiveEntryWayfinder,
};

use super::end::ZipFile;
use super::error::{ZipError, of_crate};
use crate::import::reading::names::is_hidden;

/// Length in bytes of a local header without the name and the extra field that follow it.
pub(super) const LOCAL_BYTES: usize = 30;

/// The upper half of code page 437: the encoding of names that are not UTF-8.
const CODE_PAGE_437: &str = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀\
                             αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{A0}";

/// An entry, as the directory describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The entry's name, which may contain anything. That of a folder ends with `/`.
    pub name: String,
    /// The entry's decoded size in bytes.
    pub size: u64,
    /// The entry's raw size in bytes.
    pub compressed_size: u64,
    pub(super) crc32: u32,
    pub(super) method: CompressionMethod,
    pub(super) flags: EntryFlags,
    /// The byte of the archive at which the entry's local header begins.
    pub(super) header_at: u64,
    pub(super) place: ZipArchiveEntryWayfinder,
}

impl Entry {
    /// Whether the entry is a file, and no hidden one.
    pub fn is_file(&self) -> bool {
        !self.name.ends_with('/') && !is_hidden(&self.name)
    }
}

impl ZipFile {
    /// Passes each entry to `take`, in the order of the directory, folders included.
    /// Errors: [`ZipError`], or the file cannot be read: the archive is then not to be trusted.
    pub fn each_entry(&self, mut take: impl FnMut(Entry)) -> io::Result<()> {
        let Self { archive, limits } = self;
        let mut buffer = vec![0; MAX_CENTRAL_DIRECTORY_RECORD_SIZE];
        let mut headers = archive.entries(&mut buffer);
        // Hashes of the names so far.
        let mut names: HashSet<[u8; 16]> = HashSet::new();
        // The bytes of the archive that the entries so far claim. If they claim more than there are, they
        // overlap: a small file could then hold any amount of data.
        let mut claimed = 0_u64;
        while let Some(header) = headers.next_entry().map_err(damaged)? {
            if names.len() as u64 >= limits.zip_entries_max {
                return Err(ZipError::TooManyEntries(limits.zip_entries_max).into());
            }
            let path = header.file_path();
            let (name, max) = (path.as_bytes(), limits.zip_name_bytes_max);
            if name.len() > max {
                return Err(ZipError::LongName { bytes: name.len(), max }.into());
            }
            let mut hash = [0; 16];
            blake3::Hasher::new().update(name).finalize_xof().fill(&mut hash);
            let entry = Entry {
                name: name_of(name, header.flags().is_utf8()),
                size: header.uncompressed_size_hint(),
                compressed_size: header.compressed_size_hint(),
                crc32: header.crc32(),
                method: header.compression_method(),
                flags: header.flags(),
                header_at: header.local_header_offset(),
                place: header.wayfinder(),
            };
            if !names.insert(hash) {
                return Err(ZipError::SameName(entry.name).into());
            }
            let claims = (LOCAL_BYTES as u64 + name.len() as u64).saturating_add(entry.compressed_size);
            claimed = claimed.saturating_add(claims);
            if claimed > archive.directory_offset() {
                return Err(ZipError::Damaged("its entries overlap").into());
            }
            take(entry);
        }
        // Some programs let a number of 16 bits overflow.
        let (found, said) = (names.len() as u64, archive.entries_hint());
        if found != said && (said >= 1 << 16 || found % (1 << 16) != said) {
            return Err(ZipError::Damaged("its number of entries is wrong").into());
        }
        Ok(())
    }
}

fn damaged(error: rawzip::Error) -> io::Error {
    let what = match error.kind() {
        ErrorKind::InvalidSignature { .. } => "its directory has other bytes between the entries",
        _ => "its directory is cut off",
    };
    of_crate(error, ZipError::Damaged(what))
}

/// The text of a name. Many programs write UTF-8 without saying so. Two names never give the same text by
/// accident.
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
