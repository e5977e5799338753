//! The first lines of an object, from its first bytes. Pure.

use std::io::Read as _;

use flate2::read::GzDecoder;

/// Lines that are shown at most.
pub const LINES_MAX: usize = 20;
/// Bytes of a line that are kept. Of a longer one the rest is left out.
pub const LINE_BYTES_MAX: usize = 64 * 1_024;
/// Bytes of text that are decompressed at most: a few hundred KiB can become a thousand times as much.
const TEXT_BYTES_MAX: usize = 4 * 1_024 * 1_024;
/// Bytes that are decompressed at a time.
const PIECE_BYTES: usize = 64 * 1_024;

/// A line, without its line break.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FirstLine {
    /// Its first bytes, at most [`LINE_BYTES_MAX`].
    pub text: Vec<u8>,
    /// Its length, as far as it was read.
    pub bytes: usize,
}

impl FirstLine {
    /// Whether its end is left out.
    pub fn is_cut(&self) -> bool {
        self.bytes > self.text.len()
    }

    fn push(&mut self, part: &[u8]) {
        let room = LINE_BYTES_MAX.saturating_sub(self.text.len()).min(part.len());
        self.text.extend_from_slice(part.get(..room).unwrap_or_default());
        self.bytes += part.len();
    }
}

/// The beginning of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FirstLines {
    /// Complete lines, at most [`LINES_MAX`]; or the beginning of one that is too long.
    pub lines: Vec<FirstLine>,
    /// Whether there are more.
    pub more: bool,
    /// What is wrong with the bytes.
    pub damage: Option<String>,
}

/// The first lines of a gzip member that begins with `bytes`. `is_whole`: these are all of its bytes.
pub fn first_lines(bytes: &[u8], is_whole: bool) -> FirstLines {
    if bytes.is_empty() {
        return FirstLines { more: !is_whole, ..FirstLines::default() };
    }
    let mut gzip = GzDecoder::new(bytes);
    let (mut found, mut open, mut read) = (FirstLines::default(), FirstLine::default(), 0);
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let mut rest = match gzip.read(&mut piece) {
            Ok(len) if len > 0 => piece.get(..len).unwrap_or_default(),
            ended => {
                found.more = !is_whole;
                // What was not read may be what is missing.
                found.damage = ended.err().filter(|_| is_whole).map(|error| error.to_string());
                break;
            }
        };
        read += rest.len();
        while let Some(end) = memchr::memchr(b'\n', rest).filter(|_| found.lines.len() < LINES_MAX) {
            let (line, after) = rest.split_at(end);
            open.push(line);
            found.lines.push(std::mem::take(&mut open));
            rest = after.get(1..).unwrap_or_default();
        }
        open.push(rest);
        if (found.lines.len() >= LINES_MAX && open.bytes > 0) || read >= TEXT_BYTES_MAX {
            found.more = true;
            break;
        }
    }
    if open.bytes > 0 {
        if found.lines.is_empty() && open.is_cut() {
            found.lines.push(open);
        }
        found.more = true;
    }
    found
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        gzip.write_all(text).unwrap();
        gzip.finish().unwrap()
    }

    fn lines(found: &FirstLines) -> Vec<&str> {
        found.lines.iter().map(|line| std::str::from_utf8(&line.text).unwrap()).collect()
    }

    #[test]
    fn lines_are_counted_to_the_limit() {
        let text = |lines: usize| (0..lines).map(|n| format!("{n}\n")).collect::<String>();
        let check = |count: usize, shown: usize, more: bool| {
            let found = first_lines(&gzip(text(count).as_bytes()), true);
            assert_eq!((found.lines.len(), found.more, found.damage), (shown, more, None), "{count}");
        };
        check(0, 0, false);
        check(3, 3, false);
        check(LINES_MAX, LINES_MAX, false);
        check(LINES_MAX + 1, LINES_MAX, true);
        check(100_000, LINES_MAX, true);
    }

    #[test]
    fn the_beginning_of_an_object_is_enough() {
        // Numbers that hardly compress.
        let text: String =
            (0..30_000_u64).map(|n| format!("{:x}\n", n.wrapping_mul(0x9E37_79B9_7F4A_7C15))).collect();
        let whole = gzip(text.as_bytes());
        let found = first_lines(whole.get(..10_000).unwrap(), false);
        assert_eq!(lines(&found), text.lines().take(LINES_MAX).collect::<Vec<_>>());
        assert!(found.more && found.damage.is_none());
        let cut = first_lines(whole.get(..40).unwrap(), true);
        assert!(cut.damage.is_some(), "{cut:?}");
        let none = first_lines(whole.get(..12).unwrap(), false);
        assert_eq!((none.lines.len(), none.more, none.damage), (0, true, None));
        assert!(first_lines(b"{}\n", true).damage.is_some(), "it is no gzip");
        assert!(!first_lines(b"", true).more);
    }

    #[test]
    fn long_lines_are_cut_and_bombs_are_not_inflated() {
        let long = format!("{}\nb\n", "a".repeat(LINE_BYTES_MAX + 5));
        let found = first_lines(&gzip(long.as_bytes()), true);
        assert_eq!(found.lines.len(), 2);
        assert!(found.lines[0].is_cut() && !found.lines[1].is_cut());
        assert_eq!((found.lines[0].bytes, found.lines[0].text.len()), (LINE_BYTES_MAX + 5, LINE_BYTES_MAX));
        let bomb = gzip(&vec![b'a'; 64 * 1_024 * 1_024]);
        assert!(bomb.len() < 512 * 1_024);
        let found = first_lines(&bomb, true);
        assert!(found.more && found.lines.len() == 1 && found.lines[0].is_cut());
        assert!(found.lines[0].bytes <= TEXT_BYTES_MAX + PIECE_BYTES, "{}", found.lines[0].bytes);
    }
}
