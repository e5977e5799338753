//! What makes two source files the same file.
//!
//! The hashed bytes are `forebay file identity` and a version byte, a byte for the kind, then each part with
//! its length as u64le before it. Change `VERSION` if any of this changes: every file then counts as new, so
//! rows that were imported before are imported again.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::file_id::FileId;
use super::reading::local::LocalFile;
use crate::store::ObjectVersion;

/// The version of the hashed form.
const VERSION: u8 = 1;

/// How many bytes are hashed at each end of a local file.
const END_BYTES: u64 = 64 * 1024;

/// The labels of the ids of files, and of where they are.
const FILE: &[u8] = b"forebay file identity";
const PLACE: &[u8] = b"forebay file place";

/// The id of an open local file, and that of its place, which is the same for all of its versions. They are
/// safe before a read: no other file can take the place of an open one. `path` is the file's canonical
/// path. Errors: the file is unreadable, or it shrank during the call.
pub fn of_open_file(file: &LocalFile, path: &Path) -> io::Result<(FileId, FileId)> {
    let size = file.size();
    let mut hash = blake3::Hasher::new();
    let mut end = vec![0; usize::try_from(size.min(END_BYTES)).unwrap_or(0)];
    file.read_exact_at(&mut end, 0)?;
    hash.update(&end);
    file.read_exact_at(&mut end, size.saturating_sub(END_BYTES))?;
    hash.update(&end);
    let id = of_local(path, size, file.modified_ns(), hash.finalize().as_bytes());
    Ok((id, id_of(PLACE, b"l", &[path.as_os_str().as_bytes()])))
}

/// The id of a file that was modified so many nanoseconds after 1970. `ends` is BLAKE3 of its first and its
/// last 64 KiB, which overlap in a shorter file.
fn of_local(path: &Path, size: u64, modified_ns: i128, ends: &[u8; 32]) -> FileId {
    let (size, modified_ns) = (size.to_le_bytes(), modified_ns.to_le_bytes());
    id_of(FILE, b"l", &[path.as_os_str().as_bytes(), &size, &modified_ns, ends])
}

/// The id of an object in S3, and that of its place. The entity tag counts only without a version, which
/// objects in buckets with versions have; `null`, the version of older objects, counts as none.
///
/// Times of events and S3's `LastModified` are not part of the id: they differ between two notifications of
/// one object.
pub fn of_object(bucket: &str, key: &str, version: &ObjectVersion, size: u64) -> (FileId, FileId) {
    let (name, value) = match version.id.as_deref() {
        Some(id) if !id.is_empty() && id != "null" => ("version", id),
        // Answers of S3 have quotes around the tag, events do not.
        _ => ("etag", version.etag.trim_matches('"')),
    };
    let [bucket, key, name, value] = [bucket, key, name, value].map(str::as_bytes);
    let id = id_of(FILE, b"s", &[bucket, key, name, value, &size.to_le_bytes()]);
    (id, id_of(PLACE, b"s", &[bucket, key]))
}

/// The id of so many bytes without a name, such as standard input, by BLAKE3 of all of them: the same bytes
/// are the same file.
pub fn of_content(hash: &[u8; 32], size: u64) -> FileId {
    id_of(FILE, b"c", &[hash, &size.to_le_bytes()])
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

    fn identity(path: &Path) -> io::Result<FileId> {
        Ok(of_open_file(&LocalFile::open(path)?, &path.canonicalize()?)?.0)
    }

    fn id(path: &Path) -> FileId {
        identity(path).unwrap()
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
        let version = ObjectVersion { id: version.map(str::to_owned), etag: etag.to_owned() };
        of_object("lake", key, &version, size).0
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
        assert_eq!(of_content(&[7; 32], 5).to_string(), "zsgp5ipybhv7vydbhyb4t4teg4");
        let local = of_local(Path::new("/data/a.csv"), 5, -1, &[9; 32]);
        assert_eq!(local.to_string(), "fbkq42hveschjqvdigfhfxylhu");
        assert_eq!(local.entry("b.csv").to_string(), "55zatcxhjlqrl3gefz3nbaonie");
    }
}
