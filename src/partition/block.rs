//! The value of one record of the log: the frames of one or more requests.
//!
//! ```text
//! block   := magic "FBLK" | version u8 | 0 u8 ×3 | crc u32 | collector u128 | number u64 | request…
//! request := source_len u8 | stream_len u8 | 0 u8 ×2 | items u32 | frames u32 | len u32
//!          | source | stream | frames (len bytes)
//! ```
//!
//! `crc` is CRC-32C over magic and version, and over everything after it. Frames are those of
//! [`crate::log::frame`], stamped with position 0 and without salt: their positions follow from the offset of
//! the record. `items` counts the items that came to this partition, also those that left no frame. Integers
//! are little-endian. Records have no key and no headers.

use std::fmt;

use super::position::FRAMES_MAX;
use crate::crc32c;
use crate::log::frame::{self, Frame, FrameError, Salt};
use crate::object::Stream;
use crate::sources::SourceId;

/// Blocks fill up to this many bytes. A request that is longer has a block for itself.
pub const BLOCK_BYTES: usize = 1_024 * 1_024;
/// The version that is written.
pub const VERSION: u8 = 1;
/// The first bytes of every block.
const MAGIC: [u8; 4] = *b"FBLK";
/// Bytes before the first request.
const HEADER: usize = 36;
/// Where the checksum stands.
const CRC: std::ops::Range<usize> = 8..12;
/// Bytes of a request before its source.
const REQUEST_HEADER: usize = 16;

/// A producer of a collector: random, and new after each error, so that numbers of an old producer never
/// meet those of a new one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CollectorId(pub u128);

impl fmt::Display for CollectorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl serde::Serialize for CollectorId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for CollectorId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        u128::from_str_radix(&text, 16).map(Self).map_err(serde::de::Error::custom)
    }
}

/// Which block stands at an offset: what tells whether the log was cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct BlockAt {
    /// The offset of its record.
    pub offset: u64,
    /// Who produced it.
    pub collector: CollectorId,
    /// Its number among the blocks of that producer in this partition.
    pub number: u64,
}

/// What one request brings to one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The source of all frames.
    pub source: SourceId,
    /// The stream of the valid lines.
    pub stream: Stream,
    /// Items that came to this partition.
    pub items: u32,
    /// Frames in `bytes`: at most [`FRAMES_MAX`].
    pub frames: u32,
    /// The finished frames, one after the other.
    pub bytes: Vec<u8>,
}

impl Part {
    /// A part with these finished frames, which are stamped here.
    pub fn new(source: SourceId, stream: Stream, items: u32, mut bytes: Vec<u8>) -> Self {
        let (mut frames, mut rest) = (0, &mut bytes[..]);
        while let Some((one, behind)) = frame::length(rest).and_then(|len| rest.split_at_mut_checked(len)) {
            frame::stamp(one, 0, Salt::NONE);
            (frames, rest) = (frames + 1, behind);
        }
        Self { source, stream, items, frames, bytes }
    }

    /// Bytes that it takes in a block.
    pub fn stored_len(&self) -> usize {
        REQUEST_HEADER + self.source.as_str().len() + self.stream.to_string().len() + self.bytes.len()
    }
}

/// Writes a block of these parts.
pub fn write<'p>(collector: CollectorId, number: u64, parts: impl IntoIterator<Item = &'p Part>) -> Vec<u8> {
    let parts: Vec<&Part> = parts.into_iter().collect();
    let len = parts.iter().map(|part| part.stored_len()).sum::<usize>();
    let mut out = Vec::with_capacity(HEADER + len);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[VERSION, 0, 0, 0, 0, 0, 0, 0]);
    out.extend_from_slice(&collector.0.to_le_bytes());
    out.extend_from_slice(&number.to_le_bytes());
    for part in parts {
        let (source, stream) = (part.source.as_str(), part.stream.to_string());
        // A source id has at most 64 bytes, a stream a few more.
        let lens = [source.len(), stream.len()].map(|len| u8::try_from(len).unwrap_or(u8::MAX));
        let len = u32::try_from(part.bytes.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&lens);
        out.extend_from_slice(&[0, 0]);
        [part.items, part.frames, len].iter().for_each(|n| out.extend_from_slice(&n.to_le_bytes()));
        out.extend_from_slice(source.as_bytes());
        out.extend_from_slice(stream.as_bytes());
        out.extend_from_slice(&part.bytes);
    }
    let crc = checksum(&out);
    if let Some(place) = out.get_mut(CRC) {
        place.copy_from_slice(&crc.to_le_bytes());
    }
    out
}

/// Why the value of a record is no block that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// A newer release wrote it: the partition must stop, not name it as lost.
    #[error("a newer release wrote the block (version {0})")]
    Newer(u8),
    /// It is something else.
    #[error("the record is no block")]
    NoBlock,
    /// Its checksum differs.
    #[error("the block's checksum differs")]
    Checksum,
}

/// A block as read.
#[derive(Clone, Debug)]
pub struct Block<'b> {
    /// Who produced it.
    pub collector: CollectorId,
    /// Its number.
    pub number: u64,
    /// Its requests.
    pub requests: Vec<Request<'b>>,
}

impl Block<'_> {
    /// Which block it is, if its record stands at this offset.
    pub fn at(&self, offset: u64) -> BlockAt {
        BlockAt { offset, collector: self.collector, number: self.number }
    }
}

/// One request of a block.
#[derive(Clone, Debug)]
pub struct Request<'b> {
    /// The source.
    pub source: SourceId,
    /// The stream of the valid lines.
    pub stream: Stream,
    /// Items that came to this partition.
    pub items: u32,
    /// Its frames, in order.
    pub frames: Vec<Found<'b>>,
}

/// One frame of a block.
#[derive(Clone, Copy, Debug)]
pub struct Found<'b> {
    /// Its bytes.
    pub bytes: &'b [u8],
    /// What it holds.
    pub frame: Result<Frame<'b>, FrameError>,
    /// Whether the frame before it in the request can be read, and has the same source, stream and time. Whoever compares
    /// them once all frames are read waits for memory.
    pub is_alike: bool,
}

/// Reads a block.
/// Errors: [`BlockError`].
pub fn read(value: &[u8]) -> Result<Block<'_>, BlockError> {
    let (header, mut rest) = value.split_first_chunk::<HEADER>().ok_or(BlockError::NoBlock)?;
    if header[..4] != MAGIC {
        return Err(BlockError::NoBlock);
    }
    // The version comes first: a newer one may have its checksum elsewhere.
    if header[4] > VERSION {
        return Err(BlockError::Newer(header[4]));
    }
    let mut reader = Fields(&header[CRC.end..]);
    let collector = CollectorId(u128::from_le_bytes(reader.take().ok_or(BlockError::NoBlock)?));
    let number = u64::from_le_bytes(reader.take().ok_or(BlockError::NoBlock)?);
    let (mut requests, mut frames, mut crc) = (Vec::new(), 0, checksum(header));
    // Each request is checked and parsed while the processor still has it: two passes over the block would load it
    // twice. The checksum is compared at the end, and only then is it known whether a request that cannot be parsed was
    // damaged or never was one.
    while let Some((request, behind)) = request(rest, &mut crc) {
        frames += request.frames.len();
        requests.push(request);
        rest = behind;
    }
    if header[CRC] != crc32c::append(crc, rest).to_le_bytes() {
        return Err(BlockError::Checksum);
    }
    if !rest.is_empty() {
        return Err(BlockError::NoBlock);
    }
    // More frames than positions would take those of the next record.
    if frames > FRAMES_MAX { Err(BlockError::NoBlock) } else { Ok(Block { collector, number, requests }) }
}

/// Parses the first request. Returns it and the bytes after it, and continues the checksum over it. `None` if these bytes
/// are no request: the checksum is then unchanged.
fn request<'b>(all: &'b [u8], crc: &mut u32) -> Option<(Request<'b>, &'b [u8])> {
    let mut fields = Fields(all);
    let [source_len, stream_len, ..] = fields.take::<4>()?;
    let [items, count, len] =
        [fields.take()?, fields.take()?, fields.take()?].map(|bytes: [u8; 4]| u32::from_le_bytes(bytes));
    let source = SourceId::new(fields.text(source_len)?).ok()?;
    let stream = fields.text(stream_len)?.parse().ok()?;
    let (mut bytes, behind) = fields.0.split_at_checked(usize::try_from(len).ok()?)?;
    let after = crc32c::append(*crc, all.get(..all.len() - behind.len())?);
    let count = usize::try_from(count).ok()?;
    // A record that no collector wrote may state any count.
    let fit = count.min(bytes.len() / frame::FRAME_HEADER);
    let (mut frames, mut before): (Vec<Found<'_>>, Option<Frame<'_>>) = (Vec::with_capacity(fit), None);
    while !bytes.is_empty() {
        let (one, rest) = bytes.split_at_checked(frame::length(bytes)?)?;
        let frame = frame::read(one, Salt::NONE).map(|(frame, _)| frame);
        let is_alike =
            frame.as_ref().is_ok_and(|frame| before.is_some_and(|before| are_alike(&before, frame)));
        before = frame.as_ref().ok().copied();
        frames.push(Found { bytes: one, frame, is_alike });
        bytes = rest;
    }
    if frames.len() != count {
        return None;
    }
    *crc = after;
    Some((Request { source, stream, items, frames }, behind))
}

fn are_alike(one: &Frame<'_>, other: &Frame<'_>) -> bool {
    (one.received_at, one.kind, one.source, one.name)
        == (other.received_at, other.kind, other.source, other.name)
}

/// The checksum over all bytes but itself.
fn checksum(block: &[u8]) -> u32 {
    let (before, rest) = block.split_at_checked(CRC.start).unwrap_or((block, &[]));
    crc32c::append(crc32c::crc32c(before), rest.get(4..).unwrap_or(&[]))
}

/// What is left of the fields.
struct Fields<'b>(&'b [u8]);

impl<'b> Fields<'b> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*field)
    }

    fn text(&mut self, len: u8) -> Option<&'b str> {
        let (text, rest) = self.0.split_at_checked(usize::from(len))?;
        self.0 = rest;
        std::str::from_utf8(text).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::frame::{FRAME_HEADER, FrameKind};
    use crate::time::UnixMillis;

    fn part(lines: &[&str]) -> Part {
        let source = SourceId::new("web").unwrap();
        let mut bytes = Vec::new();
        for (line, fingerprint) in lines.iter().zip(5..) {
            let at = UnixMillis(1_700_000_000_123);
            let start = frame::begin(&mut bytes, FrameKind::Call, (Some(&source), ""), at, None);
            bytes.extend_from_slice(line.as_bytes());
            frame::finish(&mut bytes, start, fingerprint);
        }
        Part::new(source, Stream::Calls, 7, bytes)
    }

    #[test]
    fn a_block_reads_back_as_written() {
        let parts = [part(&["{\"a\":1}", "{}"]), part(&[]), part(&["{\"b\":2}"])];
        let bytes = write(CollectorId(9), 3, &parts);
        assert_eq!(bytes.len(), HEADER + parts.iter().map(Part::stored_len).sum::<usize>());
        let block = read(&bytes).unwrap();
        assert_eq!((block.collector, block.number, block.requests.len()), (CollectorId(9), 3, 3));
        let lines: Vec<_> = block.requests.iter().flat_map(|request| &request.frames).collect();
        let found: Vec<_> = lines.iter().map(|found| found.frame.unwrap()).collect();
        assert_eq!(found.iter().map(|frame| frame.fingerprint).collect::<Vec<_>>(), [5, 6, 5]);
        assert!(found.iter().all(|frame| frame.position == 0));
        assert_eq!((block.requests[0].items, &block.requests[0].stream), (7, &Stream::Calls));
        assert_eq!(lines.iter().map(|found| found.is_alike).collect::<Vec<_>>(), [false, true, false]);
    }

    #[test]
    fn frames_are_alike_if_they_are_of_one_source_stream_and_time() {
        let [web, ios] = ["web", "ios"].map(|name| SourceId::new(name).unwrap());
        let mut bytes = Vec::new();
        let mut frame = |kind, source, name, at| {
            let start = frame::begin(&mut bytes, kind, (Some(source), name), UnixMillis(at), None);
            frame::finish(&mut bytes, start, 1);
        };
        frame(FrameKind::Call, &web, "", 1);
        frame(FrameKind::Call, &web, "", 1);
        frame(FrameKind::Call, &web, "", 2);
        frame(FrameKind::Call, &ios, "", 2);
        frame(FrameKind::Rejected, &ios, "", 2);
        frame(FrameKind::ObjectSet, &ios, "a", 2);
        frame(FrameKind::ObjectSet, &ios, "b", 2);
        frame(FrameKind::ObjectSet, &ios, "b", 2);
        let mut part = Part::new(web, Stream::Calls, 8, bytes);
        let alike = |part: &Part| {
            let bytes = write(CollectorId(1), 1, [part]);
            read(&bytes).unwrap().requests[0].frames.iter().map(|found| found.is_alike).collect::<Vec<_>>()
        };
        assert_eq!(alike(&part), [false, true, false, false, false, false, false, true]);
        // Nothing is alike to what cannot be read.
        part.bytes[FRAME_HEADER] ^= 1;
        assert!(!alike(&part)[1]);
    }

    #[test]
    fn each_changed_byte_and_each_cut_is_noticed() {
        let bytes = write(CollectorId(u128::MAX), 3, &[part(&["{\"a\":1}"])]);
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0x10;
            assert!(read(&changed).is_err(), "byte {at}");
            assert!(read(&bytes[..at]).is_err(), "cut at {at}");
        }
        let mut newer = bytes;
        newer[4] = VERSION + 1;
        assert_eq!(read(&newer).unwrap_err(), BlockError::Newer(VERSION + 1));
    }

    #[test]
    fn more_frames_than_positions_are_no_block() {
        let check = |frames: usize| {
            let parts = [part(&vec!["{}"; frames])];
            read(&write(CollectorId(1), 1, &parts)).is_ok()
        };
        assert!(check(FRAMES_MAX) && !check(FRAMES_MAX + 1));
    }

    #[test]
    fn a_collector_id_is_written_as_text() {
        let at = BlockAt { offset: 1, collector: CollectorId(u128::MAX - 1), number: 2 };
        let text = serde_json::to_string(&at).unwrap();
        assert_eq!(serde_json::from_str::<BlockAt>(&text).unwrap(), at);
        assert!(text.contains("\"fffffffffffffffffffffffffffffffe\""), "{text}");
    }
}
