//! What makes two source files the same file.
//!
//! The hashed bytes are `forebay file identity` and a version byte, a byte for the kind, then each part with
//! its length as u64le before it. Change `VERSION` if any of this changes: every file then counts as new, so
//! rows that were imported before are imported again.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::file_id::FileId;
use super::reading::local::LocalFile;

/// The version of the hashed form.
const VERSION: u8 = 1;

/// How many bytes are hashed at each end of a local file.
const END_BYTES: u64 = 64 * 1024;

/// What makes two source files the same file.
///
/// Times of events and S3's `LastModified` are not part of the identity: they differ between two
/// notifications of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileIdentity {
    /// A local file.
    Local {
        /// The file's canonical path.
        path: PathBuf,
        /// The file's size in bytes.
        size: u64,
        /// When the file was modified, in nanoseconds since 1970.
        modified_ns: i128,
        /// BLAKE3 of the first and the last 64 KiB of the file. They overlap in a shorter file.
        ends: [u8; 32],
    },
    /// An object in S3.
    S3 {
        /// The object's bucket.
        bucket: String,
        /// The object's key.
        key: String,
        /// The object's version, in buckets with versions. `null`, the version of older objects, counts as
        /// none.
        version: Option<String>,
        /// The object's entity tag. The tag counts only without a version; quotes around it do not count.
        etag: String,
        /// The object's size in bytes.
        size: u64,
    },
    /// Bytes without a name, such as standard input: the same bytes are the same file.
    Content {
        /// BLAKE3 of all bytes.
        hash: [u8; 32],
        /// The number of bytes.
        size: u64,
    },
}

impl FileIdentity {
    /// The identity of an open file. This one is safe before a read: no other file can take the place of an
    /// open one. `path` is the path by which the file was opened.
    /// Errors: the file is unreadable, or it shrank during the call.
    pub fn of_open_file(file: &LocalFile, path: &Path) -> io::Result<Self> {
        let size = file.size();
        let mut hash = blake3::Hasher::new();
        let mut end = vec![0; usize::try_from(size.min(END_BYTES)).unwrap_or(0)];
        file.read_exact_at(&mut end, 0)?;
        hash.update(&end);
        file.read_exact_at(&mut end, size.saturating_sub(END_BYTES))?;
        hash.update(&end);
        Ok(Self::Local {
            path: path.canonicalize()?,
            size,
            modified_ns: file.modified_ns(),
            ends: *hash.finalize().as_bytes(),
        })
    }

    /// The id of where the file is: the same for all of its versions. Bytes without a name have none.
    pub fn path_id(&self) -> Option<FileId> {
        Some(match self {
            Self::Local { path, .. } => id_of(b"forebay file place", b"l", &[path.as_os_str().as_bytes()]),
            Self::S3 { bucket, key, .. } => {
                id_of(b"forebay file place", b"s", &[bucket.as_bytes(), key.as_bytes()])
            }
            Self::Content { .. } => return None,
        })
    }

    /// The id of the file: the same for equal identities only.
    pub fn id(&self) -> FileId {
        let of = |kind, parts: &[&[u8]]| id_of(b"forebay file identity", kind, parts);
        match self {
            Self::Local { path, size, modified_ns, ends } => {
                let (size, modified_ns) = (size.to_le_bytes(), modified_ns.to_le_bytes());
                of(b"l", &[path.as_os_str().as_bytes(), &size, &modified_ns, ends])
            }
            Self::S3 { bucket, key, version, etag, size } => {
                let (name, value) = match version.as_deref().filter(|version| is_version(version)) {
                    Some(version) => ("version", version),
                    // Answers of S3 have quotes around the tag, events do not.
                    None => ("etag", etag.trim_matches('"')),
                };
                let [bucket, key, name, value] = [bucket, key, name, value].map(str::as_bytes);
                of(b"s", &[bucket, key, name, value, &size.to_le_bytes()])
            }
            Self::Content { hash, size } => of(b"c", &[hash, &size.to_le_bytes()]),
        }
    }
}

/// Whether a version id names a version.
fn is_version(version: &str) -> bool {
    !version.is_empty() && version != "null"
}

/// The id of these parts. Each is hashed after its length, so that no two lists of parts give the same bytes.
fn id_of(label: &[u8], kind: &[u8; 1], parts: &[&[u8]]) -> FileId {
    let mut hash = blake3::Hasher::new();
    hash.update(label).update(&[VERSION]).update(kind);
    for part in parts {
        hash.update(&(part.len() as u64).to_le_bytes()).update(part);
    }
    FileId::of_hash(&hash)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn write(path: &Path, bytes: &[u8], modified_s: u64) {
        fs::write(path, bytes).unwrap();
        touch(path, modified_s);
    }

    fn touch(path: &Path, modified_s: u64) {
        let file = fs::File::options().write(true).open(path).unwrap();
        file.set_modified(UNIX_EPOCH + Duration::new(modified_s, 7)).unwrap();
    }

    fn identity(path: &Path) -> io::Result<FileIdentity> {
        FileIdentity::of_open_file(&LocalFile::open(path)?, path)
    }

    fn id(path: &Path) -> FileId {
        identity(path).unwrap().id()
    }

    #[test]
    fn a_file_is_the_same_until_it_is_touched_or_grows() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.csv");
        write(&path, b"id\n1\n", 1_000);
        let first = id(&path);
        assert_eq!(id(&path), first);
        assert_eq!(id(&dir.path().join("../").join(dir.path().file_name().unwrap()).join("a.csv")), first);
        std::os::unix::fs::symlink(&path, dir.path().join("b.csv")).unwrap();
        assert_eq!(id(&dir.path().join("b.csv")), first);

        touch(&path, 1_001);
        assert_ne!(id(&path), first);
        write(&path, b"id\n1\n2\n", 1_000);
        assert_ne!(id(&path), first);
        write(&path, b"id\n2\n", 1_000);
        assert_ne!(id(&path), first);
        write(&path, b"id\n1\n", 1_000);
        assert_eq!(id(&path), first);

        let copy = dir.path().join("c.csv");
        write(&copy, b"id\n1\n", 1_000);
        assert_ne!(id(&copy), first);
    }

    #[test]
    fn a_change_near_either_end_of_a_long_file_makes_another_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.csv");
        let mut bytes = vec![b'x'; 300_000];
        let id_with = |at: usize, bytes: &mut Vec<u8>| {
            bytes[at] = b'y';
            write(&path, bytes, 1_000);
            bytes[at] = b'x';
            id(&path)
        };
        write(&path, &bytes, 1_000);
        let first = id(&path);
        assert_ne!(id_with(65_535, &mut bytes), first);
        assert_ne!(id_with(300_000 - 65_536, &mut bytes), first);
        // Between them the size and the time must do.
        assert_eq!(id_with(150_000, &mut bytes), first);
    }

    #[test]
    fn an_empty_file_has_an_id_and_a_missing_one_or_a_folder_has_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("empty.csv");
        write(&path, b"", 1_000);
        assert_eq!(id(&path), id(&path));
        let missing = identity(&dir.path().join("missing.csv")).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        assert!(identity(dir.path()).is_err());
    }

    fn object(key: &str, version: Option<&str>, etag: &str, size: u64) -> FileId {
        let version = version.map(str::to_owned);
        let (bucket, key) = ("lake".to_owned(), key.to_owned());
        FileIdentity::S3 { bucket, key, version, etag: etag.to_owned(), size }.id()
    }

    #[test]
    fn an_object_is_known_by_its_version_or_else_by_its_entity_tag() {
        let plain = object("a.csv", None, "\"abc\"", 5);
        assert_eq!(object("a.csv", None, "abc", 5), plain);
        assert_eq!(object("a.csv", Some("null"), "\"abc\"", 5), plain);
        assert_eq!(object("a.csv", Some(""), "\"abc\"", 5), plain);
        assert_ne!(object("a.csv", None, "\"abd\"", 5), plain);
        assert_ne!(object("a.csv", None, "\"abc\"", 6), plain);
        assert_ne!(object("b.csv", None, "\"abc\"", 5), plain);

        let versioned = object("a.csv", Some("v1"), "\"abc\"", 5);
        assert_ne!(versioned, plain);
        assert_eq!(object("a.csv", Some("v1"), "\"abd\"", 5), versioned);
        assert_ne!(object("a.csv", Some("v2"), "\"abc\"", 5), versioned);
        assert_ne!(object("a.csv", Some("abc"), "", 5), plain);
    }

    /// A change of any of these would import every file once more.
    #[test]
    fn ids_are_the_same_in_every_release() {
        assert_eq!(object("a.csv", None, "abc", 5).to_string(), "unw446h7bvkguk7rnc2jjbggs4");
        let content = FileIdentity::Content { hash: [7; 32], size: 5 };
        assert_eq!(content.id().to_string(), "zsgp5ipybhv7vydbhyb4t4teg4");
        let (path, ends) = (PathBuf::from("/data/a.csv"), [9; 32]);
        let local = FileIdentity::Local { path, size: 5, modified_ns: -1, ends };
        assert_eq!(local.id().to_string(), "fbkq42hveschjqvdigfhfxylhu");
        assert_eq!(local.id().entry("b.csv").to_string(), "55zatcxhjlqrl3gefz3nbaonie");
    }
}
