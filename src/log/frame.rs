//! One frame: a line with its length, checksum, position, and the fields that show which batch it belongs to.
//!
//! ```text
//! frame := len u32 | crc u32 | position u64 | kind u8 | source_len u8 | flags u8 | name_len u8
//!        | received_at i64 | fingerprint u128 | source bytes | name bytes
//!        | [ file u64 | first_row u64 | last_row u64 ] | payload
//! ```
//!
//! The name is that of an object or dead-letter stream, and empty otherwise.
//!
//! `len` counts the whole frame, including itself. `crc` is CRC-32C over `len` and everything after `crc`,
//! beginning with the segment's salt ([`Salt`]), so that bytes of an earlier use of the file never look
//! valid. Integers are little-endian.

use std::borrow::Cow;

use crate::batch::BatchKey;
use crate::crc32c;
use crate::log::AccountKey;
use crate::object::{Collection, Stream};
use crate::planted_bugs::{PlantedBug, planted};
use crate::receipt;
use crate::sources::{SOURCE_ID_MAX, SourceId};
use crate::time::UnixMillis;

/// Bytes before the source id.
pub const FRAME_HEADER: usize = 44;
/// Bytes of an origin.
pub const ORIGIN_LEN: usize = 24;
/// Maximum length of a frame. It holds the largest rejected item that `max_body` (at most 2 MiB) allows, with
/// its wrapping.
pub const FRAME_MAX: usize = 2 * 1_024 * 1_024 + 64 * 1_024;
/// Flag: there is an origin between source and payload.
const FLAG_ORIGIN: u8 = 1;
/// Flag: the line has space for its position at its end ([`crate::receipt`]), which [`stamp`] fills in.
/// Readers that do not know the flag read such a frame like any other.
const FLAG_SAYS_POSITION: u8 = 2;
/// Flag of a frame of repeats: they repeat dead letters, so its name is that of a destination.
const FLAG_OF_DEAD: u8 = 4;
/// Flag of the first call of an imported row: in place of a fingerprint it has the key of its row, by which
/// the row is known for days. Only spools of format 4 have such frames.
const FLAG_ROW_KEY: u8 = 8;

/// The kind of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// A call's line.
    Call = 1,
    /// A line of the rejected stream.
    Rejected = 2,
    /// The progress of an import ([`ImportProgress`](crate::log::ImportProgress)). It is in the block of the
    /// calls that it covers.
    ImportProgress = 3,
    /// The clean close: the last frame of an orderly shutdown. Damage before it cannot be a torn write.
    /// Frames after it are from the next process, which copies the last segment, with this frame, into its
    /// own.
    CleanClose = 4,
    /// The number of a request's repeats, which are not stored again, so that the ledger counts them after a
    /// crash. It belongs to no batch and holds no segment.
    Repeats = 5,
    /// A line of an object stream, whose collection is the frame's name.
    ObjectSet = 6,
    /// A line of a dead-letter stream, whose destination is the frame's name.
    Dead = 7,
}

impl FrameKind {
    fn from_byte(byte: u8) -> Option<Self> {
        [
            Self::Call,
            Self::Rejected,
            Self::ImportProgress,
            Self::CleanClose,
            Self::Repeats,
            Self::ObjectSet,
            Self::Dead,
        ]
        .into_iter()
        .find(|kind| *kind as u8 == byte)
    }

    /// The kind of the frames of a stream.
    pub fn of(stream: &Stream) -> Self {
        match stream {
            Stream::Calls => Self::Call,
            Stream::Rejected => Self::Rejected,
            Stream::Objects(_) => Self::ObjectSet,
            Stream::Dead(_) => Self::Dead,
        }
    }

    /// Whether frames of this kind are delivered.
    pub fn is_line(self) -> bool {
        match self {
            Self::Call | Self::Rejected | Self::ObjectSet | Self::Dead => true,
            Self::ImportProgress | Self::CleanClose | Self::Repeats => false,
        }
    }
}

/// Where an imported call came from: a file and the rows it covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The file's number in the import journal.
    pub file: u64,
    /// First row covered.
    pub first_row: u64,
    /// Last row covered.
    pub last_row: u64,
}

/// By what an imported row is known in its source: a keyed hash of its source, `insert_id` and `device_id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowKey(pub u128);

/// The beginning of every checksum in a segment, made from the spool id and the segment's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Salt(u32);

impl Salt {
    /// No salt: of frames that are in no segment yet, because the log is made of other files.
    pub const NONE: Self = Self(0);

    /// The salt of one segment of one spool.
    pub fn new(spool_id: &[u8; 16], segment: u64) -> Self {
        if planted(PlantedBug::UnsaltedWithReuse) {
            return Self(crc32c::crc32c(spool_id));
        }
        Self(crc32c::append(crc32c::crc32c(spool_id), &segment.to_le_bytes()))
    }

    /// A salted CRC-32C over two pieces.
    pub fn checksum(self, first: &[u8], second: &[u8]) -> u32 {
        crc32c::append(crc32c::append(self.0, first), second)
    }
}

/// A frame as read back, borrowed from its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Its position in the spool.
    pub position: u64,
    /// Its kind.
    pub kind: FrameKind,
    /// The source's id; empty only in a clean-close frame.
    pub source: &'a str,
    /// The name of an object or dead-letter stream; empty in frames of others.
    pub name: &'a str,
    /// Whether a frame of repeats repeats dead letters.
    pub of_dead: bool,
    /// When its request was received.
    pub received_at: UnixMillis,
    /// Its dedupe fingerprint; 0 if it has none.
    pub fingerprint: u128,
    /// The key of its imported row, if it is the first call of a row that has one.
    pub row_key: Option<RowKey>,
    /// Where an imported call came from.
    pub origin: Option<Origin>,
    /// The line, without its `\n`.
    pub payload: &'a [u8],
}

impl Frame<'_> {
    /// Length of the whole frame in bytes.
    pub fn stored_len(&self) -> usize {
        let origin = if self.origin.is_some() { ORIGIN_LEN } else { 0 };
        FRAME_HEADER + self.source.len() + self.name.len() + origin + self.payload.len()
    }

    /// The stream that it is delivered in. `None` for frames that belong to none, and for a name that is not
    /// valid.
    pub fn stream(&self) -> Option<Stream> {
        match self.kind {
            FrameKind::Call => Some(Stream::Calls),
            FrameKind::Rejected => Some(Stream::Rejected),
            FrameKind::ObjectSet => Collection::new(self.name).ok().map(Stream::Objects),
            FrameKind::Dead => SourceId::new(self.name).ok().map(Stream::Dead),
            FrameKind::ImportProgress | FrameKind::CleanClose | FrameKind::Repeats => None,
        }
    }

    /// Its batch. `None` for frames that belong to none, and for a source id or name that is not valid.
    pub fn batch(&self) -> Option<BatchKey> {
        let stream = self.stream()?;
        let source = SourceId::new(self.source).ok()?;
        Some(BatchKey { source, day: self.received_at.day(), stream })
    }

    /// The account that counts it. `None` for frames that count as nothing, and for a source id or name that
    /// is not valid.
    pub fn account(&self) -> Option<AccountKey> {
        let stream = match self.kind {
            FrameKind::Repeats if self.name.is_empty() => Stream::Calls,
            FrameKind::Repeats if self.of_dead => Stream::Dead(SourceId::new(self.name).ok()?),
            FrameKind::Repeats => Stream::Objects(Collection::new(self.name).ok()?),
            _ => self.stream()?,
        };
        Some(AccountKey::new(SourceId::new(self.source).ok()?, &stream))
    }
}

/// Why bytes are not a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The length is impossible or runs past the bytes given.
    #[error("impossible frame length")]
    Length,
    /// The checksum differs.
    #[error("frame checksum differs")]
    Checksum,
    /// The checksum is right but a field is not: another program wrote it.
    #[error("frame holds an impossible field")]
    Field,
}

/// Appends a frame without position and checksum, which [`stamp`] fills in. The caller then appends `payload`
/// and closes the frame with [`finish`]. Returns where the frame begins.
pub fn begin(
    out: &mut Vec<u8>,
    kind: FrameKind,
    (source, name): (Option<&SourceId>, &str),
    received_at: UnixMillis,
    origin: Option<Origin>,
) -> usize {
    let start = out.len();
    let source = source.map_or("", SourceId::as_str);
    let mut header = [0_u8; FRAME_HEADER];
    header[16] = kind as u8;
    // A source id has at most 64 bytes.
    header[17] = u8::try_from(source.len().min(SOURCE_ID_MAX)).unwrap_or(0);
    header[18] = if origin.is_some() { FLAG_ORIGIN } else { 0 };
    // The name of a stream has at most 100 bytes.
    header[19] = u8::try_from(name.len()).unwrap_or(0);
    header[20..28].copy_from_slice(&received_at.0.to_le_bytes());
    out.extend_from_slice(&header);
    out.extend_from_slice(source.as_bytes());
    out.extend_from_slice(name.as_bytes());
    if let Some(origin) = origin {
        for number in [origin.file, origin.first_row, origin.last_row] {
            out.extend_from_slice(&number.to_le_bytes());
        }
    }
    start
}

/// Sets the kind of the frame that begins at `start`. Whether a line is a call is known only after it is
/// written.
pub fn set_kind(out: &mut [u8], start: usize, kind: FrameKind) {
    if let Some(header) = header_at(out, start) {
        header[16] = kind as u8;
    }
}

/// Marks the line of the frame that begins at `start` as having space for its position.
pub fn set_says_position(out: &mut [u8], start: usize) {
    if let Some(header) = header_at(out, start) {
        header[18] |= FLAG_SAYS_POSITION;
    }
}

/// Closes the frame that begins at `start` and ends at the end of `out`.
pub fn finish(out: &mut [u8], start: usize, fingerprint: u128) {
    let len = u32::try_from(out.len().saturating_sub(start)).unwrap_or(u32::MAX);
    if let Some(header) = header_at(out, start) {
        header[..4].copy_from_slice(&len.to_le_bytes());
        header[28..44].copy_from_slice(&fingerprint.to_le_bytes());
    }
}

fn header_at(out: &mut [u8], start: usize) -> Option<&mut [u8; FRAME_HEADER]> {
    out.get_mut(start..)?.first_chunk_mut()
}

/// Turns a finished frame that is not stored into one of [`FrameKind::Repeats`], in place. Source, name and
/// `receivedAt` stay, and the payload becomes the count, little-endian, in as few bytes as possible. Returns
/// the new length, which is never longer than the old one; `None` if the count does not fit.
pub fn into_repeats(frame: &mut [u8], count: u32) -> Option<usize> {
    let source_end = FRAME_HEADER + usize::from(*frame.get(17)?) + usize::from(*frame.get(19)?);
    let bytes = count.to_le_bytes();
    let needed = bytes.iter().rposition(|byte| *byte > 0).map_or(1, |last| last + 1);
    let end = source_end + needed;
    frame.get_mut(source_end..end)?.copy_from_slice(bytes.get(..needed)?);
    let header = header_at(frame, 0)?;
    header[18] = if header[16] == FrameKind::Dead as u8 { FLAG_OF_DEAD } else { 0 };
    header[16] = FrameKind::Repeats as u8;
    finish(frame.get_mut(..end)?, 0, 0);
    Some(end)
}

/// The count in the payload of a frame of [`FrameKind::Repeats`].
pub fn repeats(payload: &[u8]) -> u64 {
    payload.iter().take(8).rev().fold(0, |count, byte| (count << 8) | u64::from(*byte))
}

/// Writes position and checksum into a finished frame, and the position into its line if that has space for
/// it. Does nothing to bytes that are shorter than a frame's header.
pub fn stamp(frame: &mut [u8], position: u64, salt: Salt) {
    let Some(header) = header_at(frame, 0) else { return };
    header[8..16].copy_from_slice(&position.to_le_bytes());
    if header[18] & FLAG_SAYS_POSITION != 0 {
        receipt::write_position(frame, position);
    }
    if let Some((len, rest)) = frame.split_first_chunk_mut::<4>()
        && let Some((crc, covered)) = rest.split_first_chunk_mut::<4>()
    {
        *crc = salt.checksum(len, covered).to_le_bytes();
    }
}

/// The line of an unstamped frame as it would be stored at a position.
pub fn line_at(frame: &[u8], position: u64) -> Cow<'_, [u8]> {
    let line = fields(frame).map_or_else(Cow::default, |fields| fields.payload.into());
    if frame.get(18).is_none_or(|flags| flags & FLAG_SAYS_POSITION == 0) {
        return line;
    }
    let mut line = line.into_owned();
    receipt::write_position(&mut line, position);
    line.into()
}

/// Changes when an unstamped frame was received. What its line says of that stays.
pub fn set_received_at(frame: &mut [u8], received_at: UnixMillis) {
    if let Some(header) = header_at(frame, 0) {
        header[20..28].copy_from_slice(&received_at.0.to_le_bytes());
    }
}

/// Replaces the payload of a finished frame with one of the same length or less that ends where the frame
/// ends.
pub fn set_payload(frame: &mut [u8], payload: &[u8]) {
    let at = frame.len().saturating_sub(payload.len());
    if let Some(place) = frame.get_mut(at..) {
        place.copy_from_slice(payload);
    }
}

/// The length in the header of the frame at the beginning of `bytes`. `None` if it is impossible.
pub fn length(bytes: &[u8]) -> Option<usize> {
    let len = usize::try_from(u32::from_le_bytes(*bytes.first_chunk()?)).ok()?;
    (FRAME_HEADER..=FRAME_MAX).contains(&len).then_some(len)
}

/// The position in the header of a stamped frame. Nothing shows whether it is right.
pub fn position(frame: &[u8]) -> Option<u64> {
    frame.get(8..16).and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes)
}

/// The fingerprint of an unstamped or stamped frame; 0 if it has none.
pub fn fingerprint(frame: &[u8]) -> u128 {
    frame.first_chunk().map_or(0, |header| fingerprint_or_key(header).0)
}

/// The fingerprint of a frame, or else the key of its row.
fn fingerprint_or_key(header: &[u8; FRAME_HEADER]) -> (u128, Option<RowKey>) {
    let bits = header.last_chunk().map_or(0, |bits| u128::from_le_bytes(*bits));
    if header[18] & FLAG_ROW_KEY == 0 { (bits, None) } else { (0, Some(RowKey(bits))) }
}

/// Gives an unstamped frame the key of its row in place of a fingerprint.
pub fn set_row_key(frame: &mut [u8], key: RowKey) {
    if let Some(header) = header_at(frame, 0) {
        header[18] |= FLAG_ROW_KEY;
        header[28..44].copy_from_slice(&key.0.to_le_bytes());
    }
}

/// The fingerprints of consecutive frames, unstamped or stamped.
pub fn fingerprints(frames: &[u8]) -> impl Iterator<Item = u128> + '_ {
    let mut rest = frames;
    std::iter::from_fn(move || {
        let (frame, behind) = rest.split_at_checked(length(rest)?)?;
        rest = behind;
        Some(fingerprint(frame))
    })
}

/// Takes the fingerprints of consecutive frames that are not stamped yet.
pub fn forget_fingerprints(mut frames: &mut [u8]) {
    while let Some((frame, rest)) = length(frames).and_then(|len| frames.split_at_mut_checked(len)) {
        if let Some(header) = header_at(frame, 0) {
            header[28..44].fill(0);
        }
        frames = rest;
    }
}

/// Reads and checks the frame at the beginning of `bytes`. Returns it and its length.
/// Errors: [`FrameError`] if the bytes are not a frame of this segment.
pub fn read(bytes: &[u8], salt: Salt) -> Result<(Frame<'_>, usize), FrameError> {
    let len = length(bytes).ok_or(FrameError::Length)?;
    let frame = bytes.get(..len).ok_or(FrameError::Length)?;
    let (len_field, rest) = frame.split_first_chunk::<4>().ok_or(FrameError::Length)?;
    let (crc, covered) = rest.split_first_chunk::<4>().ok_or(FrameError::Length)?;
    if salt.checksum(len_field, covered) != u32::from_le_bytes(*crc) {
        return Err(FrameError::Checksum);
    }
    fields(frame).map(|fields| (fields, len)).ok_or(FrameError::Field)
}

/// What a log has to know of a frame to store it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    /// Its kind.
    pub kind: FrameKind,
    /// Its fingerprint.
    pub fingerprint: u128,
    /// See [`Frame::row_key`].
    pub row_key: Option<RowKey>,
    /// Whether it has an [`Origin`].
    pub has_origin: bool,
    /// The length of its payload, in bytes.
    pub payload_len: usize,
}

/// Reads the head of a frame that this process built in memory. It runs for each call, and looks at far less
/// than [`fields`].
pub(crate) fn head(frame: &[u8]) -> Option<Head> {
    let header: &[u8; FRAME_HEADER] = frame.first_chunk()?;
    let has_origin = header[18] & FLAG_ORIGIN != 0;
    let names = usize::from(header[17]) + usize::from(header[19]);
    let before = FRAME_HEADER + names + if has_origin { ORIGIN_LEN } else { 0 };
    let (fingerprint, row_key) = fingerprint_or_key(header);
    Some(Head {
        kind: FrameKind::from_byte(header[16])?,
        fingerprint,
        row_key,
        has_origin,
        payload_len: frame.len().checked_sub(before)?,
    })
}

/// Reads a frame's fields without checking its checksum, for frames that this process built in memory.
pub fn fields(frame: &[u8]) -> Option<Frame<'_>> {
    let u64_at = |at: usize| frame.get(at..at + 8).and_then(|b| b.try_into().ok()).map(u64::from_le_bytes);
    let Head { kind, fingerprint, row_key, has_origin, payload_len } = head(frame)?;
    let source_end = FRAME_HEADER + usize::from(*frame.get(17)?);
    let name_end = source_end + usize::from(*frame.get(19)?);
    Some(Frame {
        position: u64_at(8)?,
        kind,
        source: std::str::from_utf8(frame.get(FRAME_HEADER..source_end)?).ok()?,
        // Nearly always there is none, and this runs for each frame that is stored.
        name: match name_end == source_end {
            true => "",
            false => std::str::from_utf8(frame.get(source_end..name_end)?).ok()?,
        },
        of_dead: *frame.get(18)? & FLAG_OF_DEAD != 0,
        received_at: UnixMillis(u64_at(20)?.cast_signed()),
        fingerprint,
        row_key,
        origin: if has_origin {
            Some(Origin {
                file: u64_at(name_end)?,
                first_row: u64_at(name_end + 8)?,
                last_row: u64_at(name_end + 16)?,
            })
        } else {
            None
        },
        payload: frame.get(frame.len() - payload_len..)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(origin: Option<Origin>) -> Vec<u8> {
        let mut out = b"before".to_vec();
        let source = SourceId::new("web").unwrap();
        let at = UnixMillis(1_700_000_000_123);
        let start = begin(&mut out, FrameKind::Call, (Some(&source), ""), at, origin);
        out.extend_from_slice(b"{\"a\":1}");
        finish(&mut out, start, 77);
        out.split_off(start)
    }

    #[test]
    fn a_frame_reads_back_as_written() {
        let salt = Salt::new(&[1; 16], 3);
        for origin in [None, Some(Origin { file: 1, first_row: 2, last_row: 3 })] {
            let mut bytes = sample(origin);
            stamp(&mut bytes, 9, salt);
            let (frame, len) = read(&bytes, salt).unwrap();
            assert_eq!(len, bytes.len());
            assert_eq!(
                frame,
                Frame {
                    position: 9,
                    kind: FrameKind::Call,
                    source: "web",
                    name: "",
                    of_dead: false,
                    received_at: UnixMillis(1_700_000_000_123),
                    fingerprint: 77,
                    row_key: None,
                    origin,
                    payload: b"{\"a\":1}",
                }
            );
        }
    }

    #[test]
    fn a_repeated_frame_becomes_a_count_of_repeats() {
        let salt = Salt::new(&[1; 16], 3);
        for origin in [None, Some(Origin { file: 1, first_row: 2, last_row: 3 })] {
            for count in [1, 255, 256, 65_535, 65_536, u32::MAX] {
                let mut bytes = sample(origin);
                let before = bytes.len();
                let len = into_repeats(&mut bytes, count).unwrap();
                assert!(len <= before);
                bytes.truncate(len);
                stamp(&mut bytes, 9, salt);
                let (frame, _) = read(&bytes, salt).unwrap();
                assert_eq!((frame.kind, frame.source, frame.fingerprint), (FrameKind::Repeats, "web", 0));
                assert_eq!(frame.received_at, UnixMillis(1_700_000_000_123));
                assert_eq!(repeats(frame.payload), u64::from(count));
            }
        }
        let mut short = Vec::new();
        begin(&mut short, FrameKind::Call, (Some(&SourceId::new("web").unwrap()), ""), UnixMillis(0), None);
        short.extend_from_slice(b"{}");
        finish(&mut short, 0, 1);
        assert!(into_repeats(&mut short.clone(), 65_535).is_some(), "a line has at least two bytes");
        assert_eq!(into_repeats(&mut short, 65_536), None);
    }

    #[test]
    fn a_frame_of_a_named_stream_has_its_name_before_its_origin() {
        let salt = Salt::new(&[1; 16], 3);
        let source = SourceId::new("web").unwrap();
        let rooms = Stream::Objects(Collection::new("rooms").unwrap());
        let dead = Stream::Dead(SourceId::new("to-lambda").unwrap());
        for origin in [None, Some(Origin { file: 1, first_row: 2, last_row: 3 })] {
            for stream in [&rooms, &dead] {
                let mut bytes = Vec::new();
                let place = (Some(&source), stream.name());
                begin(&mut bytes, FrameKind::of(stream), place, UnixMillis(5), origin);
                bytes.extend_from_slice(b"{\"id\":\"1\"}");
                finish(&mut bytes, 0, 7);
                stamp(&mut bytes, 9, salt);
                let (frame, len) = read(&bytes, salt).unwrap();
                assert_eq!((len, frame.stored_len()), (bytes.len(), bytes.len()));
                assert_eq!((frame.source, frame.name, frame.origin), ("web", stream.name(), origin));
                assert_eq!(frame.payload, b"{\"id\":\"1\"}");
                assert_eq!(frame.batch().unwrap().stream, *stream);
                assert_eq!(frame.account().unwrap(), AccountKey::new(source.clone(), stream));
            }
            for stream in [&Stream::Calls, &rooms, &dead] {
                let mut bytes = Vec::new();
                begin(
                    &mut bytes,
                    FrameKind::of(stream),
                    (Some(&source), stream.name()),
                    UnixMillis(5),
                    origin,
                );
                bytes.extend_from_slice(b"{}");
                finish(&mut bytes, 0, 7);
                let len = into_repeats(&mut bytes, 3).unwrap();
                let frame = fields(&bytes[..len]).unwrap();
                assert_eq!((frame.kind, repeats(frame.payload)), (FrameKind::Repeats, 3));
                assert_eq!(frame.account().unwrap(), AccountKey::new(source.clone(), stream));
            }
        }
    }

    #[test]
    fn every_flipped_bit_and_every_other_segment_is_detected() {
        let salt = Salt::new(&[1; 16], 3);
        let mut bytes = sample(None);
        stamp(&mut bytes, 9, salt);
        assert_eq!(read(&bytes, Salt::new(&[1; 16], 4)), Err(FrameError::Checksum));
        assert_eq!(read(&bytes, Salt::new(&[2; 16], 3)), Err(FrameError::Checksum));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&flipped, salt).is_err(), "bit {bit}");
        }
        for cut in 0..bytes.len() {
            assert_eq!(read(&bytes[..cut], salt), Err(FrameError::Length), "cut {cut}");
        }
    }

    #[test]
    fn only_a_line_with_space_for_its_position_gets_it() {
        let salt = Salt::new(&[1; 16], 3);
        for room in [true, false] {
            let mut bytes = sample(None);
            if room {
                assert!(receipt::keep_room(&mut bytes));
                set_says_position(&mut bytes, 0);
                finish(&mut bytes, 0, 77);
            }
            let unstamped = bytes.clone();
            // Stamping it again, as recovery does, changes nothing.
            for salt in [Salt::new(&[2; 16], 1), salt] {
                stamp(&mut bytes, u64::MAX, salt);
            }
            let (frame, _) = read(&bytes, salt).unwrap();
            let line = std::str::from_utf8(frame.payload).unwrap();
            let expected = r#"{"a":1,"forebayPosition":"18446744073709551615"}"#;
            assert_eq!(line, if room { expected } else { r#"{"a":1}"# });
            assert_eq!(receipt::position_of(frame.payload), room.then_some(u64::MAX));
            // An object that is built from a log of unstamped frames has the same line.
            assert_eq!(line_at(&unstamped, u64::MAX), frame.payload);
        }
    }
}
