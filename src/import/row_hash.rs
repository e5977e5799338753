//! Rows that are known by their content: the same row is imported once, in whichever file it comes again.
//!
//! A row's hash covers its bytes and a scope. Equal rows of one file are distinguished by counting: the
//! second copy of a row is new only if no file of the scope had a second copy before. The journal has the
//! counts, 32 bytes for each different row.

use std::fmt;

use data_encoding::BASE32_NOPAD;

use super::file_id::first_128_bits;

/// The hash of a row and its scope. As text: base32, lower case, 26 characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RowHash(pub u128);

impl RowHash {
    /// The hash of a row's bytes.
    pub fn of(scope: &RowScope, raw: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&scope.0).update(raw);
        Self(u128::from_be_bytes(first_128_bits(&hasher)))
    }

    /// The hash of what a rejected row contains in its file, or of the row's id.
    pub fn of_content(bytes: &[u8]) -> Self {
        Self::of(&RowScope::of("content"), bytes)
    }

    /// The hash of cells, each with its length. The hash has no scope: it is compared only within one file.
    pub fn of_cells<'c>(cells: impl IntoIterator<Item = &'c [u8]>) -> Self {
        let mut hasher = blake3::Hasher::new();
        for cell in cells {
            hasher.update(&(cell.len() as u64).to_le_bytes()).update(cell);
        }
        Self(u128::from_be_bytes(first_128_bits(&hasher)))
    }

    /// The hash of a row that a person corrected: by its position, `in_file` and `row`, and by what the file
    /// has there.
    pub fn of_corrected(in_file: &RowScope, row: u64, content: &str) -> Self {
        Self::of(in_file, format!("{row} {content}").as_bytes())
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let bytes = BASE32_NOPAD.decode(text.to_ascii_uppercase().as_bytes()).ok()?;
        Some(Self(u128::from_be_bytes(bytes.try_into().ok()?)))
    }
}

impl fmt::Display for RowHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE32_NOPAD.encode(&self.0.to_be_bytes()).to_ascii_lowercase())
    }
}

/// The rows that are compared with each other: those of a file's name, or all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RowScope([u8; 16]);

impl RowScope {
    /// The scope with this name. The source may be left out, because each source has its own counts.
    pub fn of(name: &str) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"forebay rows 1\0").update(name.as_bytes());
        Self(first_128_bits(&hasher))
    }
}

/// How often a row is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RowCount {
    /// Copies stored.
    pub stored: u32,
    /// Copies seen in the file that had one last.
    pub in_file: u32,
    /// The file that had a copy last.
    pub file: u64,
}

impl RowCount {
    /// Counts one more copy in `file`. Returns the copy's number if it is to be stored.
    pub(super) fn see(&mut self, file: u64) -> Option<u32> {
        if self.file != file {
            (self.file, self.in_file) = (file, 0);
        }
        self.in_file = self.in_file.saturating_add(1);
        let is_new = self.in_file > self.stored;
        self.stored = self.stored.max(self.in_file);
        is_new.then_some(self.in_file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_new_only_if_no_file_had_as_many() {
        let mut count = RowCount::default();
        assert_eq!([count.see(1), count.see(1)], [Some(1), Some(2)]);
        assert_eq!([count.see(2), count.see(2), count.see(2)], [None, None, Some(3)]);
        assert_eq!([count.see(1), count.see(1), count.see(1), count.see(1)], [None, None, None, Some(4)]);
    }

    #[test]
    fn a_hash_reads_back_from_its_text() {
        let hash = RowHash::of(&RowScope::of("a.csv"), b"1,2");
        assert_eq!(RowHash::parse(&hash.to_string()), Some(hash));
        assert_ne!(hash, RowHash::of(&RowScope::of("b.csv"), b"1,2"));
        assert_eq!(RowHash::parse("abc"), None);
    }
}
