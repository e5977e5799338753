//! Decodes a body's content coding. The input is the body as sent, or a text that is gzipped first, in
//! members, and then damaged.
//!
//! - The output never exceeds the limit, and neither does the memory held on the way.
//! - The pieces in which a body arrives make no difference.
//! - The output equals that of `flate2`'s own reader, and a body that this reader refuses is refused.

use std::io::{Read, Write};

use bytes::Bytes;
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use forebay::collector::decode::{Coding, DecodeError, Decoder};

use super::choices::Choices;

const MAGIC: [u8; 2] = [0x1F, 0x8B];

/// Runs one input.
pub fn run(input: &[u8]) {
    let mut choices = Choices::of(input);
    let how = choices.byte();
    let coding = if how & 1 == 0 { Coding::Gzip } else { Coding::Unsaid };
    let max = choices.one(&[0, 1, 100, 8_192, 8_193, 20_000, 100_000]);
    let piece = 1 + choices.short();
    let wire = if how & 2 == 0 { zipped(&mut choices) } else { choices.rest().to_vec() };
    let found = decoded(coding, max, &wire, piece);
    // Which of two faults is found first may depend on the pieces.
    let whole = decoded(coding, max, &wire, usize::MAX);
    assert_eq!(found.as_ref().ok(), whole.as_ref().ok(), "pieces of {piece} change the result");
    check(coding, max, &wire, &found);
}

fn check(coding: Coding, max: usize, wire: &[u8], found: &Result<Vec<u8>, DecodeError>) {
    if wire.len() > max {
        assert!(found.is_err(), "a body over the limit was accepted");
        return;
    }
    if coding == Coding::Unsaid && !wire.starts_with(&MAGIC) {
        assert_eq!(found.as_deref(), Ok(wire));
        return;
    }
    let mut theirs = Vec::new();
    // One more than the limit, so that an over-long body is noticed, whatever follows.
    let limit = u64::try_from(max).unwrap() + 1;
    let read = MultiGzDecoder::new(wire).take(limit).read_to_end(&mut theirs);
    match found {
        Ok(body) => {
            assert!(body.len() <= max && !body.starts_with(&MAGIC));
            assert!(read.is_ok() && *body == theirs, "accepted with a wrong content");
        }
        Err(DecodeError::TooLarge) => {
            assert!(theirs.len() > max || read.is_err(), "a body within the limit was refused")
        }
        Err(DecodeError::DoubleGzip) => assert!(read.is_ok() && theirs.starts_with(&MAGIC)),
        Err(DecodeError::BadGzip | DecodeError::TruncatedGzip) => {
            assert!(read.is_err() || theirs.len() > max || wire.is_empty(), "valid gzip was refused");
        }
    }
}

fn decoded(coding: Coding, max: usize, wire: &[u8], piece: usize) -> Result<Vec<u8>, DecodeError> {
    let mut decoder = Decoder::new(coding, max, wire.len());
    for piece in wire.chunks(piece.min(wire.len().max(1))) {
        decoder.push(Bytes::copy_from_slice(piece))?;
        assert!(decoder.wait() <= max, "more is held than the limit allows");
    }
    decoder.finish().map(|decoded| decoded.as_ref().to_vec())
}

/// Gzip members around pieces of the input, and some damage.
fn zipped(choices: &mut Choices<'_>) -> Vec<u8> {
    let mut wire = Vec::new();
    let members = choices.below(4);
    let damages = choices.below(4);
    let places: Vec<(usize, u8)> = (0..damages).map(|_| (choices.short(), choices.byte())).collect();
    for _ in 0..members {
        let level = u32::try_from(choices.below(10)).unwrap();
        let (len, times) = (choices.short() % 1_024, 1 + choices.below(64));
        let text = choices.take(len).repeat(times);
        let mut encoder = GzEncoder::new(Vec::new(), Compression::new(level));
        encoder.write_all(&text).unwrap();
        wire.extend_from_slice(&encoder.finish().unwrap());
    }
    for (at, flip) in places {
        let len = wire.len().max(1);
        match flip {
            0 => wire.truncate(at % len),
            _ => wire.iter_mut().skip(at % len).take(1).for_each(|byte| *byte ^= flip),
        }
    }
    wire.extend_from_slice(choices.clone().rest());
    wire
}
