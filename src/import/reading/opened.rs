//! Opens a file: detects its compression, and puts the readers together.

use std::io::{self, Read};
use std::path::PathBuf;

use encoding_rs::Encoding;

use super::Limits;
use super::compression::{Compression, MAGIC_BYTES, detect};
use super::counted::{Counted, RawBytes};
use super::decompress::decompress;
use super::guard::Guard;
use super::local::LocalFile;
use super::temporary::Copied;
use super::text::Utf8;
use super::zip::{Entry, ZipFile};

/// How files are opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// The encoding of text without a byte order mark; `None`: UTF-8. See [`super::text::encoding`].
    pub encoding: Option<&'static Encoding>,
    /// The limits of readers.
    pub limits: Limits,
    /// The folder for copies of archives that have no random access. The disk must have room for a copy.
    pub temporary: PathBuf,
}

/// An open file.
#[derive(Debug)]
pub enum Opened {
    /// One text.
    Text(Text),
    /// An archive with a text in each entry.
    Zip(ZipFile),
}

/// A text as UTF-8, and how far it was read.
pub struct Text {
    reader: Utf8<Guard<Box<dyn Read + Send>>>,
    raw: RawBytes,
    compression: Compression,
}

/// Opens a local file, or a copy of standard input or of a pipe. Of the name only the extension counts,
/// here and below. Errors: those of the raw bytes, and [`ZipError`](super::zip::ZipError).
pub fn open_file(file: LocalFile, name: &str, options: &Options) -> io::Result<Opened> {
    match detect(&magic(&mut file.reader())?, None, name) {
        Compression::Zip => ZipFile::open(file, options.limits).map(Opened::Zip),
        compression => Text::new(file.reader(), compression, options).map(Opened::Text),
    }
}

/// Opens a stream, such as [`super::s3::RangeReader`]. Reads the first bytes; of an archive, reads and copies
/// everything. Errors: as for [`open_file`].
pub fn open_stream(
    mut reader: impl Read + Send + 'static,
    name: &str,
    content_encoding: Option<&str>,
    options: &Options,
) -> io::Result<Opened> {
    let head = magic(&mut reader)?;
    let compression = detect(&head, content_encoding, name);
    let mut whole = io::Cursor::new(head).chain(reader);
    if compression == Compression::Zip {
        let copied = Copied::to_folder(&mut whole, &options.temporary)?;
        return ZipFile::open(copied.file, options.limits).map(Opened::Zip);
    }
    Text::new(whole, compression, options).map(Opened::Text)
}

/// Opens an entry, which may itself be compressed with gzip or zstd. The limit of expansion compares the
/// entry's text with its bytes in the archive. Errors: as for [`open_file`], also for an archive in the
/// archive.
pub fn open_entry(archive: &ZipFile, entry: &Entry, options: &Options) -> io::Result<Text> {
    let raw = RawBytes::default();
    let mut reader = archive.read(entry, raw.clone())?;
    let head = magic(&mut reader)?;
    let compression = detect(&head, None, &entry.name);
    let whole = io::Cursor::new(head).chain(reader);
    // Only the bytes of the archive are raw bytes, so those of the entry's decoder are not counted.
    let decoded = decompress(Counted::new(whole, RawBytes::default()), compression, &options.limits)?;
    Ok(Text::of_decoded(decoded, raw, compression, options))
}

impl Text {
    fn new(
        source: impl Read + Send + 'static,
        compression: Compression,
        options: &Options,
    ) -> io::Result<Self> {
        let raw = RawBytes::default();
        let decoded = decompress(Counted::new(source, raw.clone()), compression, &options.limits)?;
        Ok(Self::of_decoded(decoded, raw, compression, options))
    }

    fn of_decoded(
        decoded: Box<dyn Read + Send>,
        raw: RawBytes,
        compression: Compression,
        options: &Options,
    ) -> Self {
        let guard = Guard::new(decoded, raw.clone(), options.limits);
        Self { reader: Utf8::new(guard, options.encoding), raw, compression }
    }

    /// How the file is compressed that the text is read from.
    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// The raw bytes read so far; any thread may ask. Of an entry: the bytes in the archive.
    pub fn raw_bytes(&self) -> RawBytes {
        self.raw.clone()
    }

    /// The encoding: see [`Utf8::encoding`].
    pub fn encoding(&self) -> &'static Encoding {
        self.reader.encoding()
    }
}

impl Read for Text {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buf)
    }
}

/// The first bytes of a file.
fn magic(reader: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut magic = Vec::with_capacity(MAGIC_BYTES);
    reader.take(MAGIC_BYTES as u64).read_to_end(&mut magic)?;
    Ok(magic)
}

debug_fields!(Text { raw });

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::super::guard::ExpansionError;
    use super::super::test_bytes::{Dribble, gzip, rows};
    use super::super::typed;
    use super::*;

    /// Written by Python's `zipfile`: `a/1.csv` deflated (`id,name\n1,a\n1,a\n1,a\n`), `2.csv` stored
    /// (`id\n2\n`), `3.csv.gz` stored (`id\n3\n`, gzipped); each entry streamed, so with a descriptor.
    const ARCHIVE: &str = "\
        504b03041400080008000000215000000000000000000000000007000000612f312e637376cb4cd1c94bcc4d\
        e532d449846300504b0708c5065fb70e00000014000000504b03041400080000000000215000000000000000\
        000000000005000000322e63737669640a320a504b0708ccba76e60500000005000000504b03041400080000\
        000000215000000000000000000000000008000000332e6373762e677a1f8b0800000000000203cb4ce132e6\
        02008d8b6dff05000000504b0708423837131900000019000000504b0102140314000800080000002150c506\
        5fb70e00000014000000070000000000000000000000800100000000612f312e637376504b01021403140008\
        00000000002150ccba76e60500000005000000050000000000000000000000800143000000322e637376504b\
        010214031400080000000000215042383713190000001900000008000000000000000000000080017b000000\
        332e6373762e677a504b050600000000030003009e000000ca0000000000";

    fn options() -> (Options, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let temporary = dir.path().to_owned();
        (Options { encoding: None, limits: Limits::default(), temporary }, dir)
    }

    /// Opens a source as a file and as a stream.
    fn open(bytes: &[u8], name: &str, options: &Options) -> [io::Result<Opened>; 2] {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        let stream = Dribble(io::Cursor::new(bytes.to_vec()), 3);
        [
            open_file(LocalFile::of_open(file).unwrap(), name, options),
            open_stream(stream, name, None, options),
        ]
    }

    fn text_of(opened: Opened) -> Text {
        match opened {
            Opened::Text(text) => text,
            Opened::Zip(_) => panic!("an archive"),
        }
    }

    fn read(mut text: Text) -> io::Result<Vec<u8>> {
        let mut read = Vec::new();
        text.read_to_end(&mut read)?;
        Ok(read)
    }

    #[test]
    fn a_text_is_read_whatever_its_compression() {
        let (options, _dir) = options();
        let check = |bytes: &[u8], name: &str, expected: &[u8]| {
            for opened in open(bytes, name, &options) {
                let text = text_of(opened.unwrap());
                let raw = text.raw_bytes();
                assert!(read(text).unwrap() == expected);
                assert_eq!(raw.get(), bytes.len() as u64);
            }
        };
        let text = rows(2_000);
        check(&text, "a.csv", &text);
        check(&gzip(&text), "a.csv", &text);
        check(&zstd::encode_all(text.as_slice(), 3).unwrap(), "a.csv.gz", &text);
        check(&gzip(b"\xFF\xFEi\0d\0"), "a.csv.gz", b"id");
        check(b"\xEF\xBB\xBFid", "a.csv", b"id");
        check(b"id", "a", b"id");
        check(b"", "a.csv", b"");
    }

    #[test]
    fn a_compressed_name_without_compressed_bytes_is_refused() {
        let (options, _dir) = options();
        for name in ["a.csv.gz", "a.csv.zst", "a.csv.zip"] {
            for bytes in [&b""[..], b"id,name\n1,a\n"] {
                for text in open(bytes, name, &options) {
                    assert!(text.and_then(|opened| read(text_of(opened))).is_err(), "{name}");
                }
            }
        }
    }

    fn unhex(hex: &str) -> Vec<u8> {
        hex.as_bytes()
            .chunks(2)
            .map(|two| u8::from_str_radix(str::from_utf8(two).unwrap(), 16).unwrap())
            .collect()
    }

    #[test]
    fn an_archive_of_another_program_is_read() {
        let (options, _dir) = options();
        for opened in open(&unhex(ARCHIVE), "a.zip", &options) {
            let Opened::Zip(archive) = opened.unwrap() else { panic!("a text") };
            let (mut entries, mut found) = (Vec::new(), Vec::new());
            archive.each_entry(|entry| entries.push(entry)).unwrap();
            for entry in entries {
                let text = open_entry(&archive, &entry, &options).unwrap();
                let raw = text.raw_bytes();
                let text = String::from_utf8(read(text).unwrap()).unwrap();
                assert_eq!(raw.get(), entry.compressed_size);
                found.push((entry.name, text));
            }
            let expected =
                [("a/1.csv", "id,name\n1,a\n1,a\n1,a\n"), ("2.csv", "id\n2\n"), ("3.csv.gz", "id\n3\n")];
            assert_eq!(found, expected.map(|(name, text)| (name.to_owned(), text.to_owned())));
        }
    }

    /// Written by Python's `zipfile`: `in.zip`, stored, is an archive without entries.
    const NESTED: &str = "\
        504b0304140000000000000021000ec5cbd7160000001600000006000000696e2e7a6970504b050600000000\
        0000000000000000000000000000504b01021403140000000000000021000ec5cbd716000000160000000600\
        00000000000000000000800100000000696e2e7a6970504b05060000000001000100340000003a0000000000";

    #[test]
    fn an_archive_in_an_archive_is_refused() {
        let (options, _dir) = options();
        for opened in open(&unhex(NESTED), "a.zip", &options) {
            let Opened::Zip(archive) = opened.unwrap() else { panic!("a text") };
            let mut entries = Vec::new();
            archive.each_entry(|entry| entries.push(entry)).unwrap();
            assert_eq!(entries.len(), 1);
            let error = open_entry(&archive, &entries[0], &options).map(|_| ()).unwrap_err();
            assert!(matches!(typed(&error), Some(super::super::zip::ZipError::Nested)), "{error:?}");
        }
    }

    #[test]
    fn a_bomb_is_stopped_early() {
        let (mut options, _dir) = options();
        options.limits = Limits { ratio_from_bytes: 1 << 20, ratio_max: 500, ..options.limits };
        // The layers count together: neither alone expands 500 times.
        let zeros = vec![0; 16 << 20];
        for bomb in [gzip(&zeros), zstd::encode_all(zeros.as_slice(), 3).unwrap()] {
            for opened in open(&bomb, "a.csv", &options) {
                let mut text = text_of(opened.unwrap());
                let mut decoded = 0;
                let error = loop {
                    match text.read(&mut [0; 65_536]) {
                        Ok(0) => panic!("read to the end"),
                        Ok(read) => decoded += read,
                        Err(error) => break error,
                    }
                };
                assert!(typed::<ExpansionError>(&error).is_some(), "{error:?}");
                assert!(decoded < 16 << 20);
                assert!(text.read(&mut [0; 9]).is_err());
            }
            let allowed = Limits { allow_expansion: true, ..options.limits };
            for opened in open(&bomb, "a.csv", &Options { limits: allowed, ..options.clone() }) {
                assert_eq!(read(text_of(opened.unwrap())).unwrap().len(), 16 << 20);
            }
        }
    }

    #[test]
    fn errors_keep_their_types_through_all_layers() {
        let (options, _dir) = options();
        let cut = gzip(&rows(100));
        for opened in open(&cut[..cut.len() - 1], "a.csv.gz", &options) {
            let error = read(text_of(opened.unwrap())).unwrap_err();
            assert!(typed::<super::super::decompress::DecompressError>(&error).is_some(), "{error:?}");
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        }
    }
}
