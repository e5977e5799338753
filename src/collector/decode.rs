//! Removes a body's content coding, and never inflates beyond the limit.

use bytes::Bytes;
use flate2::{Decompress, FlushDecompress, Status};

/// How many bytes are inflated between checks of the limit.
pub(super) const INFLATE_STEP: usize = 8 * 1_024;
/// The most memory that a body may reserve, as a multiple of the bytes that have arrived.
const GROWTH: usize = 4;
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const GZIP_WINDOW_BITS: u8 = 15;

/// What `Content-Encoding` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// No coding, or `identity`. Gzip is still recognised by its first bytes: some SDKs omit the header.
    Unsaid,
    /// `gzip` or `x-gzip`.
    Gzip,
}

impl Coding {
    /// Reads the values of all `Content-Encoding` lines. `None` if a coding is unsupported, or if there is
    /// more than one.
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// More bytes than the limit, as sent or after inflating. Whoever knows the limit answers with it.
    #[error("the body is too long")]
    TooLarge,
    /// Not gzip, or damaged.
    #[error("the body is not gzip, or is damaged")]
    BadGzip,
    /// The gzip data ends too early.
    #[error("the gzip data ends too early")]
    TruncatedGzip,
    /// Gzip inside gzip.
    #[error("the body is gzip inside gzip; send one layer")]
    DoubleGzip,
}

/// A decoded body in one piece. A body that arrived in one piece was not copied.
#[derive(Debug, PartialEq, Eq)]
pub enum Decoded {
    /// As it arrived.
    Whole(Bytes),
    /// Assembled from pieces, or inflated.
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

/// Decodes one body from the pieces in which it arrives.
///
/// Gzip is inflated only when it is complete: an unfinished body holds what was sent, not its inflated size.
#[derive(Debug)]
pub struct Decoder {
    max: usize,
    expected: usize,
    coding: Coding,
    /// What has arrived. A single piece is still in the buffer that it was read into.
    arrived: Decoded,
}

impl Decoder {
    /// A decoder for a body of at most `max` bytes, before and after inflating. `expected` is the length that
    /// the client announced.
    pub fn new(coding: Coding, max: usize, expected: usize) -> Self {
        Self { max, expected: expected.min(max), coding, arrived: Decoded::Whole(Bytes::new()) }
    }

    /// Bytes that arrived.
    pub fn arrived(&self) -> usize {
        self.arrived.as_ref().len()
    }

    /// Takes the next piece.
    /// Errors: [`DecodeError::TooLarge`]; then the body is refused and the decoder must not be used again.
    pub fn push(&mut self, piece: Bytes) -> Result<(), DecodeError> {
        let arrived = self.arrived() + piece.len();
        if arrived > self.max {
            return Err(DecodeError::TooLarge);
        }
        if piece.is_empty() {
            return Ok(());
        }
        let room = self.room_for(arrived);
        match &mut self.arrived {
            Decoded::Whole(nothing) if nothing.is_empty() => *nothing = piece,
            Decoded::Whole(first) => {
                let mut built = Vec::with_capacity(room);
                built.extend_from_slice(first);
                built.extend_from_slice(&piece);
                self.arrived = Decoded::Built(built);
            }
            Decoded::Built(built) => {
                if arrived > built.capacity() {
                    built.reserve_exact(room - built.len());
                }
                built.extend_from_slice(&piece);
            }
        }
        Ok(())
    }

    /// Must be called before waiting for the next piece. Returns the bytes of memory held meanwhile.
    ///
    /// A single piece is copied: it is a slice of the connection's read buffer, and a slice of one byte keeps
    /// the whole buffer allocated.
    pub fn wait(&mut self) -> usize {
        if let Decoded::Whole(first) = &self.arrived
            && !first.is_empty()
        {
            let mut built = Vec::with_capacity(self.room_for(first.len()));
            built.extend_from_slice(first);
            self.arrived = Decoded::Built(built);
        }
        match &self.arrived {
            Decoded::Whole(_) => 0,
            Decoded::Built(built) => built.capacity(),
        }
    }

    /// How much memory to reserve after `arrived` bytes of a body. It grows as bytes arrive: a client that
    /// only announces a large body gets little.
    fn room_for(&self, arrived: usize) -> usize {
        let likely = if self.expected >= arrived { self.expected } else { self.max };
        likely.min(arrived.saturating_mul(GROWTH)).max(arrived)
    }

    /// The whole body, after its last piece.
    /// Errors: [`DecodeError`] if gzip data is damaged, truncated, too large or contains gzip again.
    pub fn finish(self) -> Result<Decoded, DecodeError> {
        let decoded = self.arrived;
        // JSON never begins with these two bytes, so no JSON is mistaken for gzip.
        if self.coding == Coding::Unsaid && !decoded.as_ref().starts_with(&GZIP_MAGIC) {
            return Ok(decoded);
        }
        let mut inflater = Inflater::new(self.max, said_len(decoded.as_ref()));
        inflater.push(decoded.as_ref())?;
        inflater.finish().map(Decoded::Built)
    }
}

/// The inflated length according to the last bytes of a gzip member. It may be wrong.
fn said_len(gzip: &[u8]) -> usize {
    let said = gzip.last_chunk().map_or(0, |last| u32::from_le_bytes(*last));
    usize::try_from(said).unwrap_or(usize::MAX)
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
    /// Inflates at most `max` bytes; `expected` is the likely length.
    fn new(max: usize, expected: usize) -> Self {
        let stream = Decompress::new_gzip(GZIP_WINDOW_BITS);
        Self { max, stream, in_member: false, members: 0, out: Vec::with_capacity(expected.min(max)) }
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
                // After a full step more output may be pending, even without input.
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
    fn bodies_decode_the_same_in_any_pieces() {
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
        check("gzip without the header", Coding::Unsaid, &zipped, Ok(&text));
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
    fn an_unfinished_body_holds_little_more_than_what_arrived() {
        let megabyte = 1 << 20;
        let check = |coding: Coding, expected: usize, wire: &[u8]| {
            for piece in [1, 100, 1_400, 65_536] {
                let mut decoder = Decoder::new(coding, megabyte, expected);
                let mut arrived = 0;
                for piece in wire.chunks(piece) {
                    decoder.push(Bytes::copy_from_slice(piece)).unwrap();
                    arrived += piece.len();
                    let held = decoder.wait();
                    assert_eq!(decoder.arrived(), arrived);
                    assert!((arrived..=GROWTH * arrived).contains(&held), "{held} bytes for {arrived}");
                    assert!(held <= megabyte, "{held}");
                }
            }
        };
        let bomb = gzip(&vec![b' '; megabyte]);
        check(Coding::Gzip, 0, &bomb);
        check(Coding::Unsaid, bomb.len(), &bomb);
        check(Coding::Unsaid, megabyte, &[b' '; 3_000]);
        check(Coding::Unsaid, 10, &[b' '; 3_000]);
        check(Coding::Unsaid, megabyte, &vec![b' '; megabyte]);
    }

    #[test]
    fn a_bomb_is_refused_at_the_limit_of_output() {
        let bomb = gzip(&vec![0_u8; 64 << 20]);
        let mut decoder = Decoder::new(Coding::Gzip, 1 << 20, 0);
        decoder.push(Bytes::from(bomb)).unwrap();
        assert_eq!(decoder.finish(), Err(DecodeError::TooLarge));
    }

    #[test]
    fn a_single_piece_is_not_copied() {
        let piece = Bytes::from_static(b"{\"a\":1}");
        let mut decoder = Decoder::new(Coding::Unsaid, 100, 7);
        decoder.push(piece.clone()).unwrap();
        assert_eq!(decoder.finish().unwrap().as_ref().as_ptr(), piece.as_ptr());
    }

    #[test]
    fn content_encodings_are_parsed() {
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
