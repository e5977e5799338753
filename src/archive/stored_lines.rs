//! The lines of an object or a file, one after the other. Pure.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, BufRead, BufReader, Read};

use bytes::{Buf as _, Bytes};
use flate2::bufread::MultiGzDecoder;

use super::lines::LINE_BYTES_MAX;

/// How a gzip member begins (RFC 1952, 2.3.1).
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// The lines of a text that may be gzipped, with their numbers from 1, without their line breaks. Empty lines
/// are passed over. After an error there are no more.
pub struct StoredLines<'r> {
    text: Box<dyn BufRead + Send + 'r>,
    number: u64,
    ended: bool,
}

impl fmt::Debug for StoredLines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoredLines(after {})", self.number)
    }
}

impl<'r> StoredLines<'r> {
    /// The lines of what `bytes` reads. Errors: why the beginning cannot be read.
    pub fn new(bytes: impl Read + Send + 'r) -> io::Result<Self> {
        let mut bytes = BufReader::new(bytes);
        let is_gzip = bytes.fill_buf()?.starts_with(&GZIP);
        let text: Box<dyn BufRead + Send + 'r> = match is_gzip {
            true => Box::new(BufReader::new(MultiGzDecoder::new(bytes))),
            false => Box::new(bytes),
        };
        Ok(Self { text, number: 0, ended: false })
    }

    /// The lines of an object's bytes. Errors: as [`StoredLines::new`].
    pub fn of_pieces(pieces: Vec<Bytes>) -> io::Result<Self> {
        Self::new(Pieces(pieces.into()))
    }

    fn line(&mut self) -> io::Result<Option<(u64, Vec<u8>)>> {
        loop {
            let mut line = Vec::new();
            let longest = LINE_BYTES_MAX as u64 + 1;
            if (&mut self.text).take(longest).read_until(b'\n', &mut line)? == 0 {
                return Ok(None);
            }
            self.number += 1;
            if line.last() == Some(&b'\n') {
                line.pop();
            } else if line.len() > LINE_BYTES_MAX {
                let what = format!("line {} is longer than any that Forebay writes", self.number);
                return Err(io::Error::new(io::ErrorKind::InvalidData, what));
            }
            if !line.is_empty() {
                return Ok(Some((self.number, line)));
            }
        }
    }
}

/// Reads one piece after the other, and frees each.
struct Pieces(VecDeque<Bytes>);

impl Read for Pieces {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while let Some(piece) = self.0.front_mut() {
            if piece.is_empty() {
                self.0.pop_front();
                continue;
            }
            return piece.reader().read(into);
        }
        Ok(0)
    }
}

impl Iterator for StoredLines<'_> {
    type Item = io::Result<(u64, Vec<u8>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let line = self.line().transpose();
        self.ended = !matches!(line, Some(Ok(_)));
        line
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn gzip(text: &str) -> Vec<u8> {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(text.as_bytes()).unwrap();
        gzip.finish().unwrap()
    }

    fn read(bytes: &[u8]) -> (Vec<(u64, String)>, Option<String>) {
        let (mut lines, mut error) = (Vec::new(), None);
        for line in StoredLines::new(bytes).unwrap() {
            match line {
                Ok((number, line)) => lines.push((number, String::from_utf8(line).unwrap())),
                Err(found) => error = Some(found.to_string()),
            }
        }
        (lines, error)
    }

    #[test]
    fn lines_are_read_from_gzip_of_several_members_and_from_plain_text() {
        let expected = vec![(1, "a".to_owned()), (3, "b".to_owned()), (4, "c".to_owned())];
        assert_eq!(read(b"a\n\nb\nc"), (expected.clone(), None));
        let members = [gzip("a\n\n"), gzip("b\nc\n")].concat();
        assert_eq!(read(&members), (expected.clone(), None));
        let pieces = members.chunks(3).map(Bytes::copy_from_slice).collect();
        let lines: Vec<_> = StoredLines::of_pieces(pieces).unwrap().map(Result::unwrap).collect();
        assert_eq!(lines.len(), expected.len());
        assert_eq!(read(b""), (Vec::new(), None));
    }

    #[test]
    fn damage_is_reported_after_the_lines_before_it() {
        let whole = gzip(&"a\n".repeat(100_000));
        let (lines, error) = read(whole.get(..whole.len() - 9).unwrap());
        assert!(lines.len() > 1_000 && error.is_some(), "{} {error:?}", lines.len());
        let (lines, error) = read(&[b"a\n".as_slice(), &vec![b'x'; LINE_BYTES_MAX + 2]].concat());
        assert_eq!(lines.len(), 1);
        assert!(error.unwrap().starts_with("line 2 is longer"));
    }
}
