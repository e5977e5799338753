//! The id of a file: 128 bits, the same for the same file.

use super::import_id::ImportId;
use crate::log::ImportKey;
use crate::sources::SourceId;
use std::fmt;
use std::str::FromStr;

use data_encoding::BASE32_NOPAD;

/// The first 16 bytes of a BLAKE3 hash over a file's identity. As text: base32, lower case, 26 characters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct FileId([u8; 16]);

impl FileId {
    /// The id of what a hasher was given.
    pub(crate) fn of_hash(hasher: &blake3::Hasher) -> Self {
        Self(first_128_bits(hasher))
    }

    /// The id with these bytes.
    pub(super) fn of_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes of the id.
    pub fn bytes(self) -> [u8; 16] {
        self.0
    }

    /// The id of an object that took the place of so many others with its key; the same, if there were none.
    #[must_use]
    pub(super) fn version(self, replaced: u32) -> Self {
        if replaced == 0 {
            return self;
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"forebay object version 1").update(&self.0).update(&replaced.to_be_bytes());
        Self::of_hash(&hasher)
    }

    /// The id of the rejected rows of a file that began at its first row so often, in a round over them. The
    /// rows of each round have a progress of their own.
    #[must_use]
    pub(super) fn rejects(self, generation: u64, round: u32) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"forebay rejected rows 1").update(&self.0);
        hasher.update(&generation.to_be_bytes()).update(&round.to_be_bytes());
        Self::of_hash(&hasher)
    }

    /// The id of one entry of an archive.
    #[must_use]
    pub fn entry(&self, name: &str) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"forebay zip entry 1");
        hasher.update(&self.0);
        hasher.update(name.as_bytes());
        Self::of_hash(&hasher)
    }
}

/// The first 128 bits of what a hasher was given.
pub(super) fn first_128_bits(hasher: &blake3::Hasher) -> [u8; 16] {
    let mut bits = [0; 16];
    hasher.finalize_xof().fill(&mut bits);
    bits
}

impl fmt::Display for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE32_NOPAD.encode(&self.0).to_ascii_lowercase())
    }
}

impl fmt::Debug for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileId({self})")
    }
}

/// Why a text is not the id of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the id of a file has 26 characters of a-z and 2-7")]
pub struct NoFileId;

impl FromStr for FileId {
    type Err = NoFileId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut upper: [u8; 26] = text.as_bytes().try_into().map_err(|_| NoFileId)?;
        if upper.iter().any(u8::is_ascii_uppercase) {
            return Err(NoFileId);
        }
        upper.make_ascii_uppercase();
        let mut bytes = [0; 16];
        match BASE32_NOPAD.decode_mut(&upper, &mut bytes) {
            Ok(_) => Ok(Self(bytes)),
            Err(_) => Err(NoFileId),
        }
    }
}

text_form!(FileId, NoFileId, str::parse);

/// The key of a file's import. A file that is imported into two sources, or by two imports that have ids, has
/// two keys.
pub(super) fn key_of(file: FileId, source: &SourceId, import: Option<ImportId>) -> ImportKey {
    let mut hasher = blake3::Hasher::new();
    match import {
        None => hasher.update(b"forebay import 1\0"),
        Some(import) => hasher.update(b"forebay import 2\0").update(&import.bytes()),
    };
    hasher.update(&file.bytes());
    hasher.update(source.as_str().as_bytes());
    ImportKey(u128::from_be_bytes(first_128_bits(&hasher)))
}

/// What the messageIds of an import's rows begin with, if they have its key and no file's id.
pub(super) fn id_prefix_of(key: ImportKey) -> String {
    format!("imp_{}_", FileId(key.0.to_be_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A change of any of these would import every file once more.
    #[test]
    fn keys_are_the_same_in_every_release() {
        let file: FileId = "unw446h7bvkguk7rnc2jjbggs4".parse().unwrap();
        let source = SourceId::new("csv").unwrap();
        let own = key_of(file, &source, Some(ImportId::of_bits(7)));
        assert_eq!(key_of(file, &source, None).to_string(), "1dc9a0a9330e2285b198f58ee28dc98b");
        assert_eq!(own.to_string(), "608d4bd02b82b94aef0023c9c8dcb153");
        assert_eq!(id_prefix_of(own), "imp_mcguxublqk4uv3yaepe4rxfrkm_");
        assert_ne!(key_of(file, &source, Some(ImportId::of_bits(8))), own);
    }

    #[test]
    fn an_id_reads_back_from_its_text() {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"a file");
        let id = FileId::of_hash(&hasher);
        let text = id.to_string();
        assert_eq!((text.len(), text.parse()), (26, Ok(id)));
        assert_ne!(id.entry("a.csv"), id.entry("b.csv"));
        for wrong in
            ["", "abc", &text.to_uppercase(), &format!("{text}a"), &text.replace(|_: char| true, "1")]
        {
            assert_eq!(wrong.parse::<FileId>(), Err(NoFileId), "{wrong}");
        }
    }
}
