//! A body's bytes, undone of their content coding as they arrive, and never longer than the limit.

use bytes::Bytes;
use flate2::{Decompress, FlushDecompress, Status};

/// How many bytes are inflated before the limit is looked at again.
pub(super) const INFLATE_STEP: usize = 8 * 1_024;
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const GZIP_WINDOW_BITS: u8 = 15;

/// What `Content-Encoding` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// Nothing, or `identity`. Gzip is still recognised by its first bytes: some SDKs forget the header.
    Unsaid,
    /// `gzip` or `x-gzip`.
    Gzip,
}

impl Coding {
    /// Reads the values of all `Content-Encoding` lines. `None` where it is one we do not take, or more than one.
    pub fn of<'h>(values: impl IntoIterator<Item = &'h [u8]>) -> Option<Self> {
        let mut coding = Self::Unsaid;
        for name in values.into_iter().flat_map(|line| line.split(|b| *b == b',')) {
            let name = name.trim_ascii();
            if name.eq_ignore_ascii_case(b"gzip") || name.eq_ignore_ascii_case(b"x-gzip") {
                if coding == Self::Gzip {
                    return None;
                }
                coding = Self::Gzip;
            } else if !name.is_empty() && !name.eq_ignore_ascii_case(b"identity") {
                return None;
            }
        }
        Some(coding)
    }
}

/// Why a body cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// More bytes than the limit, as sent or inflated.
    TooLarge,
    /// Not gzip, or damaged.
    BadGzip,
    /// The gzip data ends too early.
    TruncatedGzip,
    /// Gzip inside gzip.
    DoubleGzip,
}

/// A decoded body in one piece. A body that came in one piece was not copied.
#[derive(Debug, PartialEq, Eq)]
pub enum Decoded {
    /// As it came.
    Whole(Bytes),
    /// Put together or inflated.
    Built(Vec<u8>),
}

impl AsRef<[u8]> for Decoded {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Whole(bytes) => bytes,
            Self::Built(bytes) => bytes,
        }
    }
}

/// Decodes one body from the pieces it arrives in.
#[derive(Debug)]
pub struct Decoder {
    max: usize,
    expected: usize,
    wire_bytes: usize,
    coding: Coding,
    state: State,
}

#[derive(Debug)]
enum State {
    Empty,
    Whole(Bytes),
    Built(Vec<u8>),
    Gzip(Box<Inflater>),
}

impl Decoder {
    /// A decoder for a body of at most `max` bytes, before and after inflating. `expected` is how many will probably come;
    /// room for them is made at once, so that nothing is copied twice.
    pub fn new(coding: Coding, max: usize, expected: usize) -> Self {
        let state = match coding {
            Coding::Unsaid => State::Empty,
            Coding::Gzip => State::Gzip(Box::new(Inflater::new(max))),
        };
        Self { max, expected: expected.min(max), wire_bytes: 0, coding, state }
    }

    /// Bytes of the body so far. What is set aside beyond them is not in memory until it is written to.
    pub fn held(&self) -> usize {
        match &self.state {
            State::Empty => 0,
            State::Whole(bytes) => bytes.len(),
            State::Built(bytes) => bytes.len(),
            State::Gzip(inflater) => inflater.out.len(),
        }
    }

    /// Takes the next piece.
    ///
    /// # Errors
    /// [`DecodeError`]; then the body is refused and the decoder of no more use.
    pub fn push(&mut self, piece: Bytes) -> Result<(), DecodeError> {
        if piece.is_empty() {
            return Ok(());
        }
        self.wire_bytes = self.wire_bytes.saturating_add(piece.len());
        if self.wire_bytes > self.max {
            return Err(DecodeError::TooLarge);
        }
        match std::mem::replace(&mut self.state, State::Empty) {
            State::Empty => self.state = State::Whole(piece),
            State::Whole(first) => {
                let mut built = Vec::with_capacity(self.expected.max(first.len() + piece.len()));
                built.extend_from_slice(&first);
                built.extend_from_slice(&piece);
                self.state = State::Built(built);
            }
            State::Built(mut built) => {
                built.extend_from_slice(&piece);
                self.state = State::Built(built);
            }
            State::Gzip(mut inflater) => {
                inflater.push(&piece)?;
                self.state = State::Gzip(inflater);
                return Ok(());
            }
        }
        self.recognise_gzip()
    }

    // Asked until two bytes are there; JSON never begins with these two, so nothing else is taken for gzip.
    fn recognise_gzip(&mut self) -> Result<(), DecodeError> {
        let so_far = match &self.state {
            State::Whole(bytes) => bytes.as_ref(),
            State::Built(bytes) => bytes.as_slice(),
            State::Empty | State::Gzip(_) => return Ok(()),
        };
        if self.coding == Coding::Unsaid && so_far.starts_with(&GZIP_MAGIC) {
            let mut inflater = Box::new(Inflater::new(self.max));
            inflater.push(so_far)?;
            self.coding = Coding::Gzip;
            self.state = State::Gzip(inflater);
        }
        Ok(())
    }

    /// The whole body, after its last piece.
    ///
    /// # Errors
    /// [`DecodeError`] where gzip data is cut short or holds gzip again.
    pub fn finish(self) -> Result<Decoded, DecodeError> {
        match self.state {
            State::Empty => Ok(Decoded::Whole(Bytes::new())),
            State::Whole(bytes) => Ok(Decoded::Whole(bytes)),
            State::Built(bytes) => Ok(Decoded::Built(bytes)),
            State::Gzip(inflater) => inflater.finish().map(Decoded::Built),
        }
    }
}

/// Inflates gzip members, one after the other.
#[derive(Debug)]
struct Inflater {
    max: usize,
    stream: Decompress,
    in_member: bool,
    members: usize,
    out: Vec<u8>,
}

impl Inflater {
    fn new(max: usize) -> Self {
        let stream = Decompress::new_gzip(GZIP_WINDOW_BITS);
        Self { max, stream, in_member: false, members: 0, out: Vec::new() }
    }

    fn push(&mut self, mut input: &[u8]) -> Result<(), DecodeError> {
        let mut step = [0_u8; INFLATE_STEP];
        loop {
            if !self.in_member {
                if input.is_empty() {
                    return Ok(());
                }
                if self.members > 0 {
                    self.stream = Decompress::new_gzip(GZIP_WINDOW_BITS);
                }
                self.in_member = true;
                self.members += 1;
            }
            let (read_before, made_before) = (self.stream.total_in(), self.stream.total_out());
            let status = self
                .stream
                .decompress(input, &mut step, FlushDecompress::None)
                .map_err(|_| DecodeError::BadGzip)?;
            let read = usize::try_from(self.stream.total_in() - read_before).unwrap_or(usize::MAX);
            let made = usize::try_from(self.stream.total_out() - made_before).unwrap_or(usize::MAX);
            input = input.get(read..).unwrap_or_default();
            if self.out.len().saturating_add(made) > self.max {
                return Err(DecodeError::TooLarge);
            }
            self.out.extend_from_slice(step.get(..made).unwrap_or_default());
            match status {
                Status::StreamEnd => self.in_member = false,
                // A full step may have left more behind, without any input.
                Status::Ok | Status::BufError if made == INFLATE_STEP => {}
                Status::Ok | Status::BufError if input.is_empty() => return Ok(()),
                Status::Ok | Status::BufError if read == 0 && made == 0 => return Err(DecodeError::BadGzip),
                Status::Ok | Status::BufError => {}
            }
        }
    }

    fn finish(self) -> Result<Vec<u8>, DecodeError> {
        if self.in_member || self.members == 0 {
            Err(DecodeError::TruncatedGzip)
        } else if self.out.starts_with(&GZIP_MAGIC) {
            Err(DecodeError::DoubleGzip)
        } else {
            Ok(self.out)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn decode(coding: Coding, max: usize, wire: &[u8], piece: usize) -> Result<Vec<u8>, DecodeError> {
        let mut decoder = Decoder::new(coding, max, 0);
        for piece in wire.chunks(piece) {
            decoder.push(Bytes::copy_from_slice(piece))?;
        }
        decoder.finish().map(|decoded| decoded.as_ref().to_vec())
    }

    #[test]
    fn bodies_decode_alike_in_whatever_pieces_they_arrive() {
        let text: Vec<u8> = (0..40_000_u32).flat_map(|n| n.to_string().into_bytes()).collect();
        let check = |name: &str, coding: Coding, wire: &[u8], expected: Result<&[u8], DecodeError>| {
            for piece in [1, 2, 3, 1_000, 8_192, usize::MAX] {
                let found = decode(coding, 1 << 20, wire, piece);
                assert!(found.as_deref() == expected.as_ref().copied(), "{name} in pieces of {piece}");
            }
        };
        let zipped = gzip(&text);
        let both: Vec<u8> = [gzip(b"{\"a\":"), gzip(b""), gzip(b"1}")].concat();
        check("plain", Coding::Unsaid, b"{}", Ok(b"{}"));
        check("empty", Coding::Unsaid, b"", Ok(b""));
        check("half a magic", Coding::Unsaid, b"\x1f", Ok(b"\x1f"));
        check("gzip", Coding::Gzip, &zipped, Ok(&text));
        check("gzip unsaid", Coding::Unsaid, &zipped, Ok(&text));
        check("members", Coding::Gzip, &both, Ok(b"{\"a\":1}"));
        check("empty gzip", Coding::Gzip, b"", Err(DecodeError::TruncatedGzip));
        check("not gzip", Coding::Gzip, b"{\"batch\":[]}", Err(DecodeError::BadGzip));
        check("cut", Coding::Gzip, &zipped[..zipped.len() - 1], Err(DecodeError::TruncatedGzip));
        check("cut in the data", Coding::Gzip, &zipped[..zipped.len() / 2], Err(DecodeError::TruncatedGzip));
        let mut flipped = zipped.clone();
        let crc = flipped.len() - 8;
        flipped[crc] ^= 1;
        check("checksum", Coding::Gzip, &flipped, Err(DecodeError::BadGzip));
        let trailing = [zipped.as_slice(), b"xyz"].concat();
        check("trailing bytes", Coding::Gzip, &trailing, Err(DecodeError::BadGzip));
        check("gzip in gzip", Coding::Gzip, &gzip(&gzip(b"{}")), Err(DecodeError::DoubleGzip));
    }

    #[test]
    fn the_limit_holds_before_and_after_inflating() {
        let check = |wire: &[u8], max: usize, fits: bool| {
            let found = decode(Coding::Unsaid, max, wire, 700);
            assert_eq!(found.err(), (!fits).then_some(DecodeError::TooLarge), "{} bytes, {max}", wire.len());
        };
        check(&[b'x'; 2_000], 2_000, true);
        check(&[b'x'; 2_001], 2_000, false);
        check(&gzip(&[b'x'; 20_000]), 20_000, true);
        check(&gzip(&[b'x'; 20_001]), 20_000, false);
        check(&gzip(&[b'x'; 20_000]), 19_999, false);
    }

    #[test]
    fn a_bomb_is_given_up_after_a_limit_of_output() {
        let bomb = gzip(&vec![0_u8; 64 << 20]);
        let mut decoder = Decoder::new(Coding::Gzip, 1 << 20, 0);
        assert_eq!(decoder.push(Bytes::from(bomb)), Err(DecodeError::TooLarge));
    }

    #[test]
    fn one_piece_is_not_copied() {
        let piece = Bytes::from_static(b"{\"a\":1}");
        let mut decoder = Decoder::new(Coding::Unsaid, 100, 7);
        decoder.push(piece.clone()).unwrap();
        assert_eq!(decoder.held(), 7);
        assert_eq!(decoder.finish().unwrap().as_ref().as_ptr(), piece.as_ptr());
    }

    #[test]
    fn content_encodings_are_read() {
        let check = |lines: &[&str], expected: Option<Coding>| {
            assert_eq!(Coding::of(lines.iter().map(|line| line.as_bytes())), expected, "{lines:?}");
        };
        check(&[], Some(Coding::Unsaid));
        check(&[""], Some(Coding::Unsaid));
        check(&["identity"], Some(Coding::Unsaid));
        check(&["gzip"], Some(Coding::Gzip));
        check(&["GZip"], Some(Coding::Gzip));
        check(&[" x-gzip "], Some(Coding::Gzip));
        check(&["identity, gzip"], Some(Coding::Gzip));
        check(&["gzip, gzip"], None);
        check(&["gzip", "gzip"], None);
        check(&["br"], None);
        check(&["deflate"], None);
        check(&["gzip, br"], None);
    }
}
