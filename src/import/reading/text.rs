//! Decodes text to UTF-8 while it is read.

use std::io::{self, Read};

use encoding_rs::{Decoder, DecoderResult, Encoding, UTF_8, UTF_16BE, UTF_16LE};

/// The bytes that are decoded at a time.
const BUFFER_BYTES: usize = 64 * 1024;

/// The most bytes that a decoder may add for one more byte of input, and a little more.
const ROOM_BYTES: usize = 32;

/// The byte that replaces bytes without a meaning in their encoding. The byte occurs in no valid UTF-8, so
/// the check of the row finds it: a replacement character would be imported in silence.
const MALFORMED: u8 = 0xFF;

/// Why a text cannot be decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// No encoding has this name.
    #[error(
        "unknown encoding {0:?}; known are the names of the WHATWG Encoding Standard, such as utf-8, \
             utf-16le, windows-1252, iso-8859-2, shift_jis and gb18030"
    )]
    UnknownEncoding(String),
    /// The text begins with the byte order mark of UTF-32.
    #[error("UTF-32 is not supported; convert the file: iconv -f UTF-32 -t UTF-8 FILE > NEW")]
    Utf32,
}

/// The encoding with this name, as `--encoding` takes it. `None`: `auto`, which is UTF-8 unless a byte order
/// mark says otherwise. Errors: [`TextError::UnknownEncoding`].
pub fn encoding(name: &str) -> Result<Option<&'static Encoding>, TextError> {
    if name.eq_ignore_ascii_case("auto") {
        return Ok(None);
    }
    let known = Encoding::for_label_no_replacement(name.as_bytes());
    known.map(Some).ok_or_else(|| TextError::UnknownEncoding(name.to_owned()))
}

/// Text as UTF-8.
///
/// - A byte order mark of UTF-8, UTF-16LE or UTF-16BE decides, whatever encoding was named, and is removed.
/// - Otherwise the named encoding counts.
/// - Otherwise the bytes are passed on unchanged: the reader of rows checks that each row is UTF-8.
///
/// Bytes without a meaning become one byte `0xFF`, so the same check finds their row.
pub struct Utf8<R> {
    inner: R,
    named: Option<&'static Encoding>,
    state: State,
}

enum State {
    /// Nothing was read yet.
    Start,
    /// The bytes after a byte order mark, then the rest unchanged.
    Plain(io::Cursor<Vec<u8>>),
    Decode(Box<Decode>),
}

struct Decode {
    encoding: &'static Encoding,
    decoder: Decoder,
    raw: Buffer,
    text: Buffer,
    /// Whether the source has ended.
    ended: bool,
    /// Whether the decoder has ended too.
    done: bool,
}

/// Bytes, some of them used.
struct Buffer {
    bytes: Vec<u8>,
    from: usize,
    to: usize,
}

impl<R> Utf8<R> {
    /// Decodes `inner`, in `named` if no byte order mark says otherwise.
    pub fn new(inner: R, named: Option<&'static Encoding>) -> Self {
        Self { inner, named, state: State::Start }
    }

    /// The encoding of the text, known after the first read.
    pub fn encoding(&self) -> &'static Encoding {
        match &self.state {
            State::Start => self.named.unwrap_or(UTF_8),
            State::Plain(_) => UTF_8,
            State::Decode(decode) => decode.encoding,
        }
    }
}

impl<R: Read> Utf8<R> {
    fn start(&mut self) -> io::Result<State> {
        let mut head = Vec::with_capacity(4);
        self.inner.by_ref().take(4).read_to_end(&mut head)?;
        let (encoding, mark) = match head.as_slice() {
            [0xEF, 0xBB, 0xBF, ..] => (UTF_8, 3),
            [0xFF, 0xFE, 0, 0] | [0, 0, 0xFE, 0xFF] => {
                return Err(io::Error::new(io::ErrorKind::InvalidData, TextError::Utf32));
            }
            [0xFF, 0xFE, ..] => (UTF_16LE, 2),
            [0xFE, 0xFF, ..] => (UTF_16BE, 2),
            _ => (self.named.unwrap_or(UTF_8), 0),
        };
        let mut head = io::Cursor::new(head);
        head.set_position(mark);
        if encoding == UTF_8 {
            return Ok(State::Plain(head));
        }
        let mut raw = Buffer::new();
        raw.to = head.read(&mut raw.bytes)?;
        let decoder = encoding.new_decoder_without_bom_handling();
        let text = Buffer::new();
        Ok(State::Decode(Box::new(Decode { encoding, decoder, raw, text, ended: false, done: false })))
    }
}

impl<R: Read> Read for Utf8<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        if let State::Start = self.state {
            self.state = self.start()?;
        }
        match &mut self.state {
            State::Start => Ok(0),
            State::Plain(head) => match head.read(buf)? {
                0 => self.inner.read(buf),
                copied => Ok(copied),
            },
            State::Decode(decode) => loop {
                let copied = decode.text.used().read(buf)?;
                decode.text.from += copied;
                if copied > 0 || decode.done {
                    return Ok(copied);
                }
                decode.fill(&mut self.inner)?;
                decode.step();
            },
        }
    }
}

impl Buffer {
    fn new() -> Self {
        Self { bytes: vec![0; BUFFER_BYTES], from: 0, to: 0 }
    }

    fn used(&self) -> &[u8] {
        self.bytes.get(self.from..self.to).unwrap_or_default()
    }
}

impl Decode {
    /// Reads more if all input was decoded.
    fn fill<R: Read>(&mut self, inner: &mut R) -> io::Result<()> {
        if self.raw.used().is_empty() && !self.ended {
            (self.raw.from, self.raw.to) = (0, 0);
            self.raw.to = inner.read(&mut self.raw.bytes)?;
            self.ended = self.raw.to == 0;
        }
        Ok(())
    }

    /// Decodes until the input or the room for text is used up.
    fn step(&mut self) {
        (self.text.from, self.text.to) = (0, 0);
        loop {
            // One byte of room is kept for the one that replaces malformed bytes.
            let end = self.text.bytes.len() - 1;
            let Some(room) =
                self.text.bytes.get_mut(self.text.to..end).filter(|room| room.len() >= ROOM_BYTES)
            else {
                return;
            };
            let (result, used, made) =
                self.decoder.decode_to_utf8_without_replacement(self.raw.used(), room, self.ended);
            self.raw.from += used;
            self.text.to += made;
            match result {
                DecoderResult::InputEmpty => {
                    self.done = self.ended;
                    return;
                }
                DecoderResult::OutputFull => return,
                DecoderResult::Malformed(..) => {
                    if let Some(byte) = self.text.bytes.get_mut(self.text.to) {
                        *byte = MALFORMED;
                        self.text.to += 1;
                    }
                }
            }
        }
    }
}

debug_fields!(Utf8<R> { named });

/// A likely encoding of a text that is not UTF-8, as `--encoding` takes it, by a sample from its beginning
/// (64 KiB are enough). `None`: the text is UTF-8, is not text, or shows no encoding.
pub fn suggest_encoding(sample: &[u8]) -> Option<&'static str> {
    if let Some(utf16) = utf16_of(sample) {
        return Some(utf16);
    }
    if sample.contains(&0) {
        return None;
    }
    // Without a length of the error, the sample ends within a character.
    std::str::from_utf8(sample).err()?.error_len()?;
    // Western text has letters with accents alone among ASCII; in Cyrillic text whole words have none of
    // ASCII.
    let (mut high, mut runs, mut cyrillic, mut inside) = (0_usize, 0_usize, 0_usize, false);
    for &byte in sample {
        let is_high = byte >= 0x80;
        high += usize::from(is_high);
        runs += usize::from(is_high && !inside);
        cyrillic += usize::from(matches!(byte, 0xC0..|0xA8| 0xB8));
        inside = is_high;
    }
    if high < runs.saturating_mul(2) {
        Some("windows-1252")
    } else if cyrillic.saturating_mul(10) >= high.saturating_mul(9) {
        Some("windows-1251")
    } else {
        // Chinese, Japanese and Korean encodings cannot be distinguished in this way.
        None
    }
}

/// UTF-16 without a byte order mark, by its zeros: in files of commas and digits, nearly every pair has a
/// zero in one half.
fn utf16_of(sample: &[u8]) -> Option<&'static str> {
    let pairs = sample.len() / 2;
    let zeros = |half: usize| sample.iter().skip(half).step_by(2).filter(|byte| **byte == 0).count();
    let (first, second) = (zeros(0), zeros(1));
    if pairs == 0 {
        None
    } else if second * 5 >= pairs && first * 20 <= second {
        Some("utf-16le")
    } else if first * 5 >= pairs && second * 20 <= first {
        Some("utf-16be")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use encoding_rs::{SHIFT_JIS, WINDOWS_1252};

    use super::super::test_bytes::{Dribble, FailsAfter, rows};
    use super::super::typed;
    use super::*;

    const TEXT: &str = "id,name\r\n1,Zoë\n2,日本\n3,😀\u{10FFFF}\n";

    /// Decodes with all sizes of reads, which must not matter.
    fn decode(bytes: &[u8], named: Option<&'static Encoding>) -> Vec<u8> {
        let mut reader = Utf8::new(bytes, named);
        let mut text = Vec::new();
        reader.read_to_end(&mut text).unwrap();
        for size in 1..8 {
            for to in [1, 2, 3, 5, 100] {
                let mut again = Utf8::new(Dribble(bytes, size), named);
                let mut dribbled = Vec::new();
                Dribble(&mut again, to).read_to_end(&mut dribbled).unwrap();
                assert!(dribbled == text, "{dribbled:?} != {text:?} by {size}, {to}");
                assert_eq!(again.encoding(), reader.encoding());
                assert_eq!(again.read(&mut [0; 8]).unwrap(), 0);
            }
        }
        text
    }

    fn utf16(text: &str, to_bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(to_bytes).collect()
    }

    #[test]
    fn a_byte_order_mark_decides_and_is_removed() {
        let check = |bytes: &[u8]| {
            for named in [None, Some(WINDOWS_1252), Some(UTF_16LE)] {
                assert_eq!(decode(bytes, named), TEXT.as_bytes().to_vec(), "{named:?}");
            }
        };
        check(&[b"\xEF\xBB\xBF", TEXT.as_bytes()].concat());
        check(&utf16(&format!("\u{FEFF}{TEXT}"), u16::to_le_bytes));
        check(&utf16(&format!("\u{FEFF}{TEXT}"), u16::to_be_bytes));
        // Only the first one is a mark.
        let twice = decode(b"\xEF\xBB\xBF\xEF\xBB\xBFid", None);
        assert_eq!(twice, b"\xEF\xBB\xBFid".to_vec());
    }

    #[test]
    fn text_without_a_mark_is_passed_on_unchanged() {
        let check = |bytes: &[u8]| assert_eq!(decode(bytes, None), bytes.to_vec());
        check(TEXT.as_bytes());
        check(b"");
        check(b"\xEF");
        check(b"\xEF\xBB");
        check(b"id\n\xFF\xFE\x80\n");
        check(b"i");
        check(&rows(100));
    }

    #[test]
    fn a_named_encoding_is_decoded() {
        assert_eq!(decode(b"Zo\xEB,\x80 5\n", Some(WINDOWS_1252)), "Zoë,€ 5\n".as_bytes().to_vec());
        assert_eq!(decode(b"\x93\xFA\x96\x7B,1\n", Some(SHIFT_JIS)), "日本,1\n".as_bytes().to_vec());
        assert_eq!(decode(&utf16(TEXT, u16::to_le_bytes), Some(UTF_16LE)), TEXT.as_bytes().to_vec());
        assert_eq!(decode(b"", Some(WINDOWS_1252)), b"");
        assert_eq!(decode(TEXT.as_bytes(), Some(UTF_8)), TEXT.as_bytes().to_vec());
    }

    #[test]
    fn long_texts_are_decoded_whole() {
        let text: String = "näme,日本,😀\n".repeat(30_000);
        let bytes = utf16(&text, u16::to_be_bytes);
        let mut read = Vec::new();
        Utf8::new(bytes.as_slice(), Some(UTF_16BE)).read_to_end(&mut read).unwrap();
        assert!(read == text.as_bytes());
    }

    #[test]
    fn malformed_bytes_spoil_their_row_alone() {
        let lone =
            [utf16("\u{FEFF}a\n", u16::to_le_bytes), vec![0x00, 0xD8], utf16("b\nc", u16::to_le_bytes)];
        assert_eq!(decode(&lone.concat(), None), b"a\n\xFFb\nc".to_vec());
        // Half a character at the end: the file is cut off.
        let odd = [utf16("\u{FEFF}a\nb", u16::to_le_bytes), vec![b'c']].concat();
        assert_eq!(decode(&odd, None), b"a\nb\xFF".to_vec());
        assert_eq!(decode(b"1\n\x81\n2\n", Some(SHIFT_JIS)), b"1\n\xFF\n2\n".to_vec());
        let many = vec![0xA0; 200_000];
        let mut read = Vec::new();
        Utf8::new(many.as_slice(), Some(SHIFT_JIS)).read_to_end(&mut read).unwrap();
        assert_eq!(read.len(), 200_000);
        assert!(read.iter().all(|byte| *byte == 0xFF));
    }

    #[test]
    fn utf_32_is_refused() {
        for bytes in [b"\xFF\xFE\0\0i\0\0\0", b"\0\0\xFE\xFF\0\0\0i"] {
            let error = Utf8::new(&bytes[..], None).read(&mut [0; 9]).unwrap_err();
            assert_eq!(typed::<TextError>(&error), Some(&TextError::Utf32));
        }
    }

    #[test]
    fn errors_of_the_source_are_passed_on() {
        for named in [None, Some(WINDOWS_1252)] {
            for len in [0, 2, 5] {
                let mut reader = Utf8::new(FailsAfter(io::Cursor::new(vec![b'a'; len])), named);
                let error = reader.read_to_end(&mut Vec::new()).unwrap_err();
                assert!(typed::<super::super::ReadingError>(&error).is_some());
            }
        }
    }

    #[test]
    fn names_of_encodings_are_those_of_the_standard() {
        assert_eq!(encoding("auto"), Ok(None));
        assert_eq!(encoding("Latin1"), Ok(Some(WINDOWS_1252)));
        assert_eq!(encoding("UTF-16"), Ok(Some(UTF_16LE)));
        assert_eq!(encoding("utf8"), Ok(Some(UTF_8)));
        assert!(encoding("utf-99").is_err());
        // A name of the standard under which browsers refuse to show a page.
        assert!(encoding("iso-2022-kr").is_err());
    }

    #[test]
    fn a_likely_encoding_is_suggested() {
        let check = |sample: &[u8], is| assert_eq!(suggest_encoding(sample), is, "{sample:?}");
        check(b"id,name\n1,Zo\xEB\n", Some("windows-1252"));
        check(b"id,name\n1,5 \x80\n", Some("windows-1252"));
        check(b"id\n1,\xCC\xEE\xF1\xEA\xE2\xE0\n2,\xC0\xED\xED\xE0\n", Some("windows-1251"));
        check(&utf16("id,name\n1,Zoë\n", u16::to_le_bytes), Some("utf-16le"));
        check(&utf16("id,name\n1,Zoë\n", u16::to_be_bytes), Some("utf-16be"));
        check(&utf16("号,名\n1,日本\n", u16::to_le_bytes), Some("utf-16le"));
        check("id,名\n".as_bytes(), None);
        check(&TEXT.as_bytes()[..TEXT.len() - 2], None);
        check(b"", None);
        check(b"\x7FELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\xEB\x90\0\0", None);
        check(b"\x93\xFA\x96\x7B\x8C\xEA\n", None);
    }
}
