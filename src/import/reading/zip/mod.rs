//! Zip archives: each entry is a file of its own.
//!
//! The crate `rawzip` reads the directory as a stream, in its order, and keeps entries of one name (decision
//! 0202). This folder does what the crate leaves to its callers: which end record is the archive's (`end`),
//! which archives are refused (`directory`), and reading an entry to an end that is checked (`entry_reader`).
//!
//! Only the directory counts: local headers are read for their lengths alone, so descriptors do not matter.
//! The methods are stored and deflate. Names are never used as paths.

mod directory;
mod end;
mod entry_reader;
mod error;

pub use self::directory::Entry;
pub use self::end::ZipFile;
pub use self::entry_reader::EntryReader;
pub use self::error::ZipError;

#[cfg(test)]
mod tests {
    use std::io::{self, Read as _, Write as _};

    use flate2::Crc;

    use super::directory::LOCAL_BYTES;
    use super::end::END_BYTES;
    use super::*;
    use crate::import::reading::counted::RawBytes;
    use crate::import::reading::local::LocalFile;
    use crate::import::reading::test_bytes::{Dribble, rows};
    use crate::import::reading::{Limits, ReadingError, typed};

    const FLAG_UTF_8: u16 = 1 << 11;

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

    fn open(bytes: &[u8], limits: Limits) -> io::Result<Vec<(ZipFile, Entry)>> {
        let archive = ZipFile::open(local(bytes), limits)?;
        let mut entries = Vec::new();
        archive.each_entry(|entry| entries.push((archive.clone(), entry)))?;
        Ok(entries)
    }

    /// Names and contents of all entries.
    fn unpack(bytes: &[u8]) -> io::Result<Vec<(String, Vec<u8>)>> {
        let unpacked = |(archive, entry): (ZipFile, Entry)| {
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
        assert!(entries[0].1.name.ends_with('/') && !entries[1].1.name.ends_with('/'));
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
            assert!(matches!(refused(&changed), ZipError::DamagedEntry(..)), "byte {at}");
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

    /// The others are read.
    #[test]
    fn an_entry_that_is_not_in_the_archive_fails_alone() {
        let mut pack = Pack::default();
        pack.add(b"a.csv", &rows(20), true, &Lies::default());
        // As much as the others claim.
        pack.files.extend([0; 200]);
        for (name, header_at) in [(b"b.csv", 9_999), (b"c.csv", u32::MAX), (b"d.csv", 3)] {
            pack.add(name, b"", true, &Lies { header_at: Some(header_at), ..Lies::default() });
        }
        let entries = open(&pack.end(b""), Limits::default()).unwrap();
        let read = |at: usize| entries[at].0.read(&entries[at].1, RawBytes::default());
        let mut text = Vec::new();
        read(0).unwrap().read_to_end(&mut text).unwrap();
        assert!(text == rows(20));
        for (at, what) in [
            (1, "its header is missing"),
            (2, "its header is missing"),
            (3, "its header does not match the directory"),
        ] {
            let name = entries[at].1.name.clone();
            let error = read(at).unwrap_err();
            assert_eq!(typed::<ZipError>(&error), Some(&ZipError::DamagedEntry(name, what)));
        }
    }

    #[test]
    fn a_file_that_shrinks_has_changed_and_is_not_damaged() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&one(&rows(30_000), true, &Lies::default())).unwrap();
        let archive =
            ZipFile::open(LocalFile::of_open(file.try_clone().unwrap()).unwrap(), Limits::default());
        let archive = archive.unwrap();
        let mut entries = Vec::new();
        archive.each_entry(|entry| entries.push(entry)).unwrap();
        let mut reader = archive.read(&entries[0], RawBytes::default()).unwrap();
        file.set_len(100_000).unwrap();
        let is_changed = |error: &io::Error| typed(error) == Some(&ReadingError::Changed);
        assert!(is_changed(&reader.read_to_end(&mut Vec::new()).unwrap_err()));
        assert!(is_changed(&archive.each_entry(|_| {}).unwrap_err()));
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
}
