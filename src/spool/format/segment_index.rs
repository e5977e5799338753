//! The index file of a closed segment: which batches have undelivered frames in it, and where these are.
//!
//! It is a cache: it is written without a sync, and rebuilt by a scan of the segment if it is missing or
//! damaged.
//!
//! ```text
//! index := magic "FOREBAY2" | crc u32 | directory_len u32 | first u64 | last u64 | followed u64 | entry* | runs*
//! runs  := run* | crc u32
//! entry := source_len u8 | stream u8 | name_len u8 | 0 u8 | day i64 | first u64 | last u64 | frames u64 | bytes u64
//!        | first_received_at i64 | runs_offset u64 | runs u32 | source bytes | name bytes
//! run   := offset u32 | len u32 | first u64 | frames u32
//! ```
//!
//! `followed` is the position of the last call or object set in the segment; 0 if there is none. Files with
//! the magic "FOREBAYI" do not have it.
//!
//! The first `crc` covers the directory (from `directory_len` to the last entry). The `crc` of each entry's
//! runs covers these runs: a wrong run would make sound frames look lost.

use std::io;

use crate::batch::BatchKey;
use crate::disk::DiskFile;
use crate::log::frame::Salt;
use crate::object::{Collection, Stream};
use crate::sources::SourceId;
use crate::spool::format::Cursor;
use crate::spool::format::runs::{Run, Runs, Stretch};
use crate::time::{ReceivedDay, UnixMillis};

const MAGIC: [u8; 8] = *b"FOREBAY2";
/// Of files that do not say up to where the segment is followed.
const OLDER_MAGIC: [u8; 8] = *b"FOREBAYI";
const HEADER: usize = 32;
/// Bytes of `followed`.
const FOLLOWED: usize = 8;
const ENTRY: usize = 64;
pub(in crate::spool) const RUN: usize = 20;
/// The maximum length of a directory. 20,000 batches with 64-byte ids take a tenth of it.
const DIRECTORY_MAX: usize = 32 * 1_024 * 1_024;

/// The bytes of an index file, and where each stretch's runs are in it (in the order given).
pub(crate) fn encode(
    salt: Salt,
    (first, last, followed): (u64, u64, u64),
    stretches: &[(BatchKey, Stretch, Vec<Run>)],
) -> (Vec<u8>, Vec<Runs>) {
    let names = |key: &BatchKey| key.source.as_str().len() + key.stream.name().len();
    let entries: usize = stretches.iter().map(|(key, ..)| ENTRY + names(key)).sum();
    let directory = FOLLOWED + entries;
    let mut covered = Vec::with_capacity(HEADER + directory);
    let mut runs_bytes = Vec::new();
    let mut places = Vec::with_capacity(stretches.len());
    covered.extend_from_slice(&u32::try_from(directory).unwrap_or(u32::MAX).to_le_bytes());
    covered.extend_from_slice(&first.to_le_bytes());
    covered.extend_from_slice(&last.to_le_bytes());
    covered.extend_from_slice(&followed.to_le_bytes());
    for (key, stretch, runs) in stretches {
        let offset = (HEADER + directory + runs_bytes.len()) as u64;
        let begin = runs_bytes.len();
        runs.iter().for_each(|run| encode_run(run, &mut runs_bytes));
        let crc = salt.checksum(b"runs", runs_bytes.get(begin..).unwrap_or(&[]));
        runs_bytes.extend_from_slice(&crc.to_le_bytes());
        let count = u32::try_from(runs.len()).unwrap_or(u32::MAX);
        encode_entry(key, stretch, offset, count, &mut covered);
        places.push(Runs::File { offset, count });
    }
    let crc = salt.checksum(&[], &covered).to_le_bytes();
    ([&MAGIC[..], &crc, &covered, &runs_bytes].concat(), places)
}

fn encode_entry(key: &BatchKey, stretch: &Stretch, offset: u64, count: u32, out: &mut Vec<u8>) {
    let (source, name) = (key.source.as_str().as_bytes(), key.stream.name().as_bytes());
    out.push(u8::try_from(source.len()).unwrap_or(0));
    out.push(match key.stream {
        Stream::Calls => 0,
        Stream::Rejected => 1,
        Stream::Objects(_) => 2,
        Stream::Dead(_) => 3,
    });
    out.push(u8::try_from(name.len()).unwrap_or(0));
    out.push(0);
    out.extend_from_slice(&key.day.start().0.to_le_bytes());
    for number in [stretch.first, stretch.last, stretch.frames, stretch.bytes] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.extend_from_slice(&stretch.first_received_at.0.to_le_bytes());
    out.extend_from_slice(&offset.to_le_bytes());
    out.extend_from_slice(&count.to_le_bytes());
    out.extend_from_slice(source);
    out.extend_from_slice(name);
}

fn encode_run(run: &Run, out: &mut Vec<u8>) {
    out.extend_from_slice(&run.offset.to_le_bytes());
    out.extend_from_slice(&run.len.to_le_bytes());
    out.extend_from_slice(&run.first.to_le_bytes());
    out.extend_from_slice(&run.frames.to_le_bytes());
}

/// The directory of an index file.
#[derive(Debug)]
pub(crate) struct Directory {
    /// First position of the segment; 0 if it is empty.
    pub first: u64,
    /// Last position of the segment.
    pub last: u64,
    /// No call or object set is after this position.
    pub followed_through: u64,
    /// Batches with frames in it.
    pub stretches: Vec<(BatchKey, Stretch)>,
}

/// Reads the directory of an index file. `None` if it is damaged or belongs to another segment.
pub(crate) fn read_directory(file: &dyn DiskFile, salt: Salt, segment: u64) -> io::Result<Option<Directory>> {
    let mut header = [0; HEADER];
    let is_whole = file.read_at(&mut header, 0)? == HEADER;
    let is_older = header[..8] == OLDER_MAGIC;
    if !is_whole || !(is_older || header[..8] == MAGIC) {
        return Ok(None);
    }
    let mut cursor = Cursor { bytes: &header[8..] };
    let (Some(crc), Some(len), Some(first), Some(last)) =
        (cursor.u32(), cursor.u32(), cursor.u64(), cursor.u64())
    else {
        return Ok(None);
    };
    let len = len as usize;
    if len > DIRECTORY_MAX {
        return Ok(None);
    }
    let mut directory = vec![0; len];
    let read = file.read_at(&mut directory, HEADER as u64)?;
    if read < len || salt.checksum(&header[12..], &directory) != crc {
        return Ok(None);
    }
    let mut cursor = Cursor { bytes: &directory };
    let followed_through = if is_older { Some(last) } else { cursor.u64() };
    let Some(followed_through) = followed_through else { return Ok(None) };
    let mut stretches = Vec::new();
    while !cursor.bytes.is_empty() {
        let Some(entry) = decode_entry(&mut cursor, segment) else { return Ok(None) };
        stretches.push(entry);
    }
    Ok(Some(Directory { first, last, followed_through, stretches }))
}

fn decode_entry(cursor: &mut Cursor<'_>, segment: u64) -> Option<(BatchKey, Stretch)> {
    let head = cursor.take(4)?;
    let (source_len, stream, name_len) =
        (usize::from(*head.first()?), *head.get(1)?, usize::from(*head.get(2)?));
    let day = cursor.u64()?.cast_signed();
    let (first, last, frames, bytes) = (cursor.u64()?, cursor.u64()?, cursor.u64()?, cursor.u64()?);
    let first_received_at = UnixMillis(cursor.u64()?.cast_signed());
    let (offset, count) = (cursor.u64()?, cursor.u32()?);
    let source = SourceId::new(std::str::from_utf8(cursor.take(source_len)?).ok()?).ok()?;
    let name = std::str::from_utf8(cursor.take(name_len)?).ok()?;
    let stream = match stream {
        0 => Stream::Calls,
        1 => Stream::Rejected,
        2 => Stream::Objects(Collection::new(name).ok()?),
        3 => Stream::Dead(SourceId::new(name).ok()?),
        _ => return None,
    };
    let day: ReceivedDay = UnixMillis(day).day();
    let runs = Runs::File { offset, count };
    Some((
        BatchKey { source, day, stream },
        Stretch { segment, first, last, frames, bytes, first_received_at, runs },
    ))
}

/// Reads a stretch's runs. `None` if they are damaged.
pub(crate) fn read_runs(
    file: &dyn DiskFile,
    salt: Salt,
    offset: u64,
    count: u32,
    stretch: &Stretch,
) -> io::Result<Option<Vec<Run>>> {
    let len = count as usize * RUN + 4;
    if len > DIRECTORY_MAX {
        return Ok(None);
    }
    let mut bytes = vec![0; len];
    if file.read_at(&mut bytes, offset)? < len {
        return Ok(None);
    }
    let Some((body, crc)) = bytes.split_last_chunk::<4>() else { return Ok(None) };
    if salt.checksum(b"runs", body) != u32::from_le_bytes(*crc) {
        return Ok(None);
    }
    let mut cursor = Cursor { bytes: body };
    let mut runs = Vec::with_capacity(count as usize);
    while !cursor.bytes.is_empty() {
        let (Some(offset), Some(len), Some(first), Some(frames)) =
            (cursor.u32(), cursor.u32(), cursor.u64(), cursor.u32())
        else {
            return Ok(None);
        };
        runs.push(Run { offset, len, first, frames });
    }
    let frames: u64 = runs.iter().map(|run| u64::from(run.frames)).sum();
    Ok((frames == stretch.frames).then_some(runs))
}
