//! Reads gzip and zstd to their very end.

use std::io::{self, BufRead, BufReader, Read};
use std::mem;

use flate2::bufread::GzDecoder;
use zstd::stream::raw::{DParameter, Decoder, Operation};

use super::Limits;
use super::compression::Compression;
use super::counted::Counted;
use crate::words::Told;

/// The raw bytes that are read at a time.
const RAW_BUFFER_BYTES: usize = 64 * 1024;

/// Why a compressed file cannot be decoded to its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecompressError {
    /// The file has no bytes at all: even an empty file has some when it is compressed.
    #[error("the {0} file is empty: it was not written to its end")]
    Empty(Compression),
    /// The file ends too early.
    #[error("the {0} file is cut off: it was not written or copied to its end")]
    Truncated(Compression),
    /// The file does not begin as such a file does.
    #[error(
        "named or labelled as {0}, but the content is something else; if it is plain text, \
         rename the file or remove its Content-Encoding"
    )]
    SomethingElse(Compression),
    /// Bytes are damaged, or a checksum does not match.
    #[error("the {0} file is damaged: {1}")]
    Corrupt(Compression, String),
    /// Other bytes follow the compressed ones.
    #[error("the {0} file is damaged: other bytes follow the compressed ones")]
    Trailing(Compression),
    /// The file needs a longer window than allowed: the limit, as a power of two.
    #[error(
        "the zstd file needs a window of more than {} MiB of memory; write it again without --long: \
         zstd -dc --long=31 FILE | zstd > NEW", (1_u64 << .0.min(&63)) >> 20
    )]
    Window(u32),
    /// The file needs a dictionary.
    #[error("the zstd file needs a dictionary; write it again without one")]
    Dictionary,
}

impl DecompressError {
    /// The error as a text. What a library says may be hidden, and is replaced by our own words then.
    pub fn told(&self) -> Told {
        match self {
            Self::Corrupt(compression, _) => Told::masked_as(
                self.to_string(),
                format!("the {compression} file is damaged: write or copy it again"),
            ),
            _ => Told::plain(self.to_string()),
        }
    }
}

impl From<DecompressError> for io::Error {
    fn from(error: DecompressError) -> Self {
        let kind = match &error {
            DecompressError::Empty(_) | DecompressError::Truncated(_) => io::ErrorKind::UnexpectedEof,
            _ => io::ErrorKind::InvalidData,
        };
        Self::new(kind, error)
    }
}

/// The error of bytes that are not compressed; `any`: they follow compressed ones.
fn other_bytes(compression: Compression, any: bool) -> DecompressError {
    if any { DecompressError::Trailing(compression) } else { DecompressError::SomethingElse(compression) }
}

/// The raw bytes below a decoder.
type Input<R> = BufReader<Counted<R>>;

/// A reader of the decoded bytes of `source`. [`super::zip`] reads archives. Errors: the decoder cannot be
/// made, or the source is a zip archive, within another one. Errors of reading carry a [`DecompressError`],
/// or are those of the source.
pub fn decompress<R: Read + Send + 'static>(
    source: Counted<R>,
    compression: Compression,
    limits: &Limits,
) -> io::Result<Box<dyn Read + Send>> {
    let input = |source| BufReader::with_capacity(RAW_BUFFER_BYTES, source);
    Ok(match compression {
        Compression::None => Box::new(source),
        Compression::Gzip => Box::new(Gzip::new(input(source))),
        Compression::Zstd => Box::new(Zstd::new(input(source), limits.zstd_window_log_max)?),
        Compression::Zip => return Err(super::zip::ZipError::Nested.into()),
    })
}

/// Reads all members of a gzip file. Zeros after the last one are skipped, as gzip skips them: tapes and
/// block devices pad with zeros.
struct Gzip<R> {
    state: GzipState<R>,
    /// Whether a member was read to its end.
    any: bool,
}

enum GzipState<R> {
    Between(Input<R>),
    Member(Box<GzDecoder<Input<R>>>),
    Padding(Input<R>),
    Done,
}

impl<R: Read> Gzip<R> {
    fn new(input: Input<R>) -> Self {
        Self { state: GzipState::Between(input), any: false }
    }

    /// The state after a member, or at the beginning.
    fn next(&self, mut input: Input<R>) -> io::Result<GzipState<R>> {
        Ok(match input.fill_buf()?.first() {
            None if self.any => GzipState::Done,
            None => return Err(DecompressError::Empty(Compression::Gzip).into()),
            Some(0) if self.any => GzipState::Padding(input),
            Some(0x1F) => GzipState::Member(Box::new(GzDecoder::new(input))),
            Some(_) => return Err(other_bytes(Compression::Gzip, self.any).into()),
        })
    }

    fn explain(&self, error: io::Error, in_header: bool) -> io::Error {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => DecompressError::Truncated(Compression::Gzip).into(),
            _ if in_header => other_bytes(Compression::Gzip, self.any).into(),
            _ => DecompressError::Corrupt(Compression::Gzip, error.to_string()).into(),
        }
    }
}

impl<R: Read> Read for Gzip<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        loop {
            match mem::replace(&mut self.state, GzipState::Done) {
                GzipState::Between(input) => self.state = self.next(input)?,
                GzipState::Member(mut member) => match member.read(buf) {
                    Ok(0) => {
                        self.any = true;
                        self.state = GzipState::Between(member.into_inner());
                    }
                    Ok(read) => {
                        self.state = GzipState::Member(member);
                        return Ok(read);
                    }
                    Err(error) if member.get_ref().get_ref().failed() => return Err(error),
                    Err(error) => return Err(self.explain(error, member.header().is_none())),
                },
                GzipState::Padding(mut input) => {
                    let padding = input.fill_buf()?;
                    let len = padding.len();
                    if padding.iter().any(|byte| *byte != 0) {
                        return Err(DecompressError::Trailing(Compression::Gzip).into());
                    }
                    if len > 0 {
                        input.consume(len);
                        self.state = GzipState::Padding(input);
                    }
                }
                GzipState::Done => return Ok(0),
            }
        }
    }
}

/// Reads all frames of a zstd file, and skips its skippable ones.
struct Zstd<R> {
    input: Input<R>,
    decoder: Decoder<'static>,
    window_log_max: u32,
    /// Whether the decoder is within a frame, or has more output of one.
    in_frame: bool,
    /// Whether a frame was read to its end.
    any: bool,
}

impl<R: Read> Zstd<R> {
    fn new(input: Input<R>, window_log_max: u32) -> io::Result<Self> {
        let mut decoder = Decoder::new()?;
        decoder.set_parameter(DParameter::WindowLogMax(window_log_max))?;
        Ok(Self { input, decoder, window_log_max, in_frame: false, any: false })
    }

    /// The error's cause, by its text: the library distinguishes its errors by nothing else.
    fn explain(&self, error: &io::Error) -> DecompressError {
        let text = error.to_string();
        if text.contains("too much memory") {
            DecompressError::Window(self.window_log_max)
        } else if text.contains("Dictionary mismatch") {
            DecompressError::Dictionary
        } else if text.contains("Unknown frame descriptor") {
            other_bytes(Compression::Zstd, self.any)
        } else {
            DecompressError::Corrupt(Compression::Zstd, text)
        }
    }
}

impl<R: Read> Read for Zstd<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        loop {
            let raw = self.input.fill_buf()?;
            let at_end = raw.is_empty();
            if at_end && !self.in_frame {
                let empty = DecompressError::Empty(Compression::Zstd);
                return if self.any { Ok(0) } else { Err(empty.into()) };
            }
            let status = self.decoder.run_on_buffers(raw, buf);
            let status = status.map_err(|error| self.explain(&error))?;
            self.input.consume(status.bytes_read);
            // Zero means that the frame has ended, and all of its output was returned.
            self.in_frame = status.remaining != 0;
            self.any |= !self.in_frame;
            if status.bytes_written > 0 {
                return Ok(status.bytes_written);
            }
            if at_end && self.in_frame {
                return Err(DecompressError::Truncated(Compression::Zstd).into());
            }
        }
    }
}

debug_fields!(Gzip<R> { any });

debug_fields!(Zstd<R> { any });

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::super::counted::RawBytes;
    use super::super::test_bytes::{Dribble, FailsAfter, gzip, rows};
    use super::super::{ReadingError, typed};
    use super::*;

    fn counted<R: Read>(reader: R) -> Counted<R> {
        Counted::new(reader, RawBytes::default())
    }

    fn decode(compression: Compression, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let source = counted(io::Cursor::new(bytes.to_vec()));
        let mut text = Vec::new();
        decompress(source, compression, &Limits::default())?.read_to_end(&mut text)?;
        Ok(text)
    }

    fn refused(compression: Compression, bytes: &[u8]) -> DecompressError {
        let error = decode(compression, bytes).unwrap_err();
        typed::<DecompressError>(&error).unwrap_or_else(|| panic!("{error:?}")).clone()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
        encoder.include_checksum(true).unwrap();
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn skippable(len: u8) -> Vec<u8> {
        let mut frame = vec![0x57, 0x2A, 0x4D, 0x18, len, 0, 0, 0];
        frame.resize(8 + usize::from(len), 0xAA);
        frame
    }

    #[test]
    fn all_members_of_a_gzip_file_are_read() {
        let file = [gzip(b"id\n"), gzip(b""), gzip(b"1\n2\n")].concat();
        assert_eq!(decode(Compression::Gzip, &file).unwrap(), b"id\n1\n2\n");
    }

    #[test]
    fn all_frames_of_a_zstd_file_are_read() {
        let file = [skippable(3), zstd(b"id\n"), skippable(0), zstd(b""), zstd(b"1\n2\n"), skippable(9)];
        assert_eq!(decode(Compression::Zstd, &file.concat()).unwrap(), b"id\n1\n2\n");
    }

    #[test]
    fn the_sizes_of_reads_do_not_matter() {
        let text = rows(3_000);
        let (head, tail) = text.split_at(20_000);
        let gzip = [gzip(head), gzip(tail), vec![0; 700]].concat();
        let zstd = [zstd(head), skippable(200), zstd(tail)].concat();
        for (compression, file) in
            [(Compression::Gzip, gzip), (Compression::Zstd, zstd), (Compression::None, text.clone())]
        {
            for size in [1, 2, 3, 5, 7, 4_096] {
                let source = counted(Dribble(io::Cursor::new(file.clone()), size));
                let mut reader = decompress(source, compression, &Limits::default()).unwrap();
                let mut read = Vec::new();
                Dribble(&mut reader, 8 - size.min(7)).read_to_end(&mut read).unwrap();
                assert!(read == text, "{compression:?} by {size}");
                assert_eq!(reader.read(&mut [0; 9]).unwrap(), 0);
            }
        }
    }

    /// A cut exactly between two members or frames is the one that nobody can notice.
    #[test]
    fn a_cut_anywhere_is_noticed() {
        let check = |compression, first: Vec<u8>, second: Vec<u8>| {
            let file = [first.as_slice(), second.as_slice()].concat();
            for cut in 0..file.len() {
                if cut == first.len() {
                    assert!(decode(compression, &file[..cut]).is_ok());
                    continue;
                }
                let expected = match cut {
                    0 => DecompressError::Empty(compression),
                    _ => DecompressError::Truncated(compression),
                };
                assert_eq!(refused(compression, &file[..cut]), expected, "cut at {cut}");
                let error = decode(compression, &file[..cut]).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
            }
        };
        check(Compression::Gzip, gzip(&rows(20)), gzip(&rows(10)));
        check(Compression::Zstd, zstd(&rows(20)), zstd(&rows(10)));
        check(Compression::Zstd, skippable(5), zstd(&rows(10)));
        // Larger than any buffer on the way.
        let (text, all) = (rows(40_000), |file: &[u8]| [file[..file.len() - 1].to_vec()].concat());
        assert_eq!(
            refused(Compression::Gzip, &all(&gzip(&text))),
            DecompressError::Truncated(Compression::Gzip)
        );
        assert_eq!(
            refused(Compression::Zstd, &all(&zstd(&text))),
            DecompressError::Truncated(Compression::Zstd)
        );
    }

    /// Some bits mean nothing, such as the time in the header of gzip.
    #[test]
    fn a_changed_byte_is_noticed_if_it_changes_the_text() {
        let text = rows(20);
        for (compression, file) in [(Compression::Gzip, gzip(&text)), (Compression::Zstd, zstd(&text))] {
            for at in 0..file.len() {
                for bit in [1, 0x10, 0x80] {
                    let mut changed = file.clone();
                    changed[at] ^= bit;
                    match decode(compression, &changed) {
                        Ok(read) => assert!(read == text, "byte {at} of {compression}"),
                        Err(error) => assert!(typed::<DecompressError>(&error).is_some(), "{at}: {error:?}"),
                    }
                }
            }
        }
        let mut file = gzip(b"id\n1\n");
        let crc = file.len() - 8;
        file[crc] ^= 1;
        assert!(matches!(refused(Compression::Gzip, &file), DecompressError::Corrupt(Compression::Gzip, _)));
        let mut file = zstd(&rows(10));
        *file.last_mut().unwrap() ^= 1;
        assert!(matches!(refused(Compression::Zstd, &file), DecompressError::Corrupt(Compression::Zstd, _)));
    }

    #[test]
    fn zeros_after_a_gzip_file_are_skipped_and_other_bytes_are_not() {
        let with = |tail: &[u8]| [gzip(b"id\n").as_slice(), tail].concat();
        assert_eq!(decode(Compression::Gzip, &with(&[0; 100_000])).unwrap(), b"id\n");
        assert_eq!(decode(Compression::Gzip, &with(&[0])).unwrap(), b"id\n");
        let trailing = DecompressError::Trailing(Compression::Gzip);
        assert_eq!(refused(Compression::Gzip, &with(b"\n")), trailing);
        assert_eq!(refused(Compression::Gzip, &with(b"some,other,bytes\n")), trailing);
        assert_eq!(refused(Compression::Gzip, &with(b"\x1F some,other,bytes\n")), trailing);
        assert_eq!(
            refused(Compression::Gzip, &with(&[&[0; 70_000], gzip(b"1\n").as_slice()].concat())),
            trailing
        );
        let zstd = [zstd(b"id\n"), b"id,name\n".to_vec()].concat();
        assert_eq!(refused(Compression::Zstd, &zstd), DecompressError::Trailing(Compression::Zstd));
    }

    #[test]
    fn plain_text_under_a_compressed_name_is_refused() {
        for compression in [Compression::Gzip, Compression::Zstd] {
            let is = refused(compression, b"id,name\n1,a\n2,b\n");
            assert_eq!(is, DecompressError::SomethingElse(compression));
        }
    }

    #[test]
    fn an_empty_compressed_file_is_read_as_empty() {
        assert_eq!(decode(Compression::Gzip, &gzip(b"")).unwrap(), b"");
        assert_eq!(decode(Compression::Zstd, &zstd(b"")).unwrap(), b"");
        assert_eq!(decode(Compression::None, b"").unwrap(), b"");
    }

    #[test]
    fn an_error_of_the_source_is_not_taken_for_a_damaged_file() {
        for (compression, file) in [
            (Compression::Gzip, gzip(&rows(50))),
            (Compression::Zstd, zstd(&rows(50))),
            (Compression::None, rows(5)),
        ] {
            for cut in [0, 3, 12, file.len()] {
                let source = counted(FailsAfter(io::Cursor::new(file[..cut].to_vec())));
                let mut reader = decompress(source, compression, &Limits::default()).unwrap();
                let error = reader.read_to_end(&mut Vec::new()).unwrap_err();
                assert_eq!(
                    typed::<ReadingError>(&error),
                    Some(&ReadingError::Changed),
                    "{compression:?} {cut}"
                );
            }
        }
    }

    #[test]
    fn a_window_beyond_the_limit_is_refused_with_advice() {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(24).unwrap();
        encoder.write_all(&rows(1_000)).unwrap();
        let file = encoder.finish().unwrap();
        let read = |window_log_max| {
            let limits = Limits { zstd_window_log_max: window_log_max, ..Limits::default() };
            let source = counted(io::Cursor::new(file.clone()));
            decompress(source, Compression::Zstd, &limits).unwrap().read_to_end(&mut Vec::new())
        };
        assert!(read(24).is_ok());
        let error = read(23).unwrap_err();
        assert_eq!(typed::<DecompressError>(&error), Some(&DecompressError::Window(23)));
        assert!(error.to_string().contains("more than 8 MiB"), "{error}");
    }
}
