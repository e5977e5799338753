//! Encodes a range of the spool into a staged object.

use std::collections::BTreeMap;
use std::io;

use super::staging::{Staged, Staging, StagingWriter};
use crate::batch::BatchKey;
use crate::disk::is_no_space;
use crate::give_way::GiveWay;
use crate::log::{Batches, Encoded, Go, Hour, Range, Read, Seal};
use crate::object::gzip::{Fit, GzipLines};
use crate::planted_bugs::{PlantedBug, planted};
use crate::time::Clock;

/// Compression level when there is time: for objects that age or a person made due.
pub const LEVEL_AT_LEISURE: u32 = 6;
/// Compression level under load: for objects that size or pressure made due.
pub const LEVEL_UNDER_LOAD: u32 = 3;

/// What is to be encoded.
#[derive(Clone, Debug)]
pub struct Job {
    /// The batch.
    pub key: BatchKey,
    /// The last position that is already sealed.
    pub after: u64,
    /// The last position that may be in the object.
    pub through: u64,
    /// Maximum bytes of the object.
    pub max_bytes: u64,
    /// Compression level.
    pub level: u32,
}

/// An encoded range.
#[derive(Debug)]
pub struct Object {
    /// What its seal records.
    pub encoded: Encoded,
    /// Its bytes.
    pub staged: Staged,
    /// Positions that could not be read.
    pub lost: Vec<Range>,
}

/// The outcome of an encoding.
#[derive(Debug)]
pub enum Made {
    /// An object.
    Object(Box<Object>),
    /// No frame could be read: these positions could not.
    Nothing(Vec<Range>),
}

/// Encodes the frames of a batch until the object is full or the batch ends.
/// Errors: the disk's error. Nothing has changed then.
pub fn encode(log: &dyn Batches, staging: &Staging, clock: &dyn Clock, job: &Job) -> io::Result<Made> {
    encode_into(log, staging.begin(), clock, job)
}

fn encode_into(log: &dyn Batches, to: StagingWriter, clock: &dyn Clock, job: &Job) -> io::Result<Made> {
    let mut gzip: GzipLines<StagingWriter> = GzipLines::new(to, job.level, job.max_bytes);
    let (mut encoded, mut hours, mut lost) = (Encoded::default(), BTreeMap::<Hour, u64>::new(), Vec::new());
    let mut give_way = GiveWay::new(clock);
    log.read(&job.key, job.after, job.through, &mut |read| {
        let frame = match read {
            Read::Frame(frame) => frame,
            Read::Lost(range) => {
                lost.push(range);
                return Ok(Go::On);
            }
        };
        let at = frame.received_at;
        if gzip.push(frame.payload)? == Fit::Full {
            encoded.next_received_at = Some(at);
            return Ok(Go::Stop);
        }
        if encoded.first == 0 {
            encoded.first = frame.position;
            (encoded.named_at, encoded.first_received_at) = (at, at);
        }
        encoded.last = frame.position;
        *hours.entry(Hour::of(at)).or_default() += 1;
        encoded.first_received_at = encoded.first_received_at.min(at);
        encoded.last_received_at = encoded.last_received_at.max(at);
        give_way.after(frame.payload.len());
        Ok(Go::On)
    })?;
    if encoded.first == 0 {
        return Ok(Made::Nothing(lost));
    }
    let done = gzip.finish()?;
    (encoded.frames, encoded.bytes, encoded.sha256) = (done.lines, done.bytes, done.sha256);
    encoded.encoder = format!("zlib-rs/{}", job.level);
    encoded.hours = hours.into_iter().collect();
    // Nothing after the last frame of a full object was read, so `lost` holds only positions before it.
    Ok(Made::Object(Box::new(Object { encoded, staged: done.out.finish(), lost })))
}

/// Encodes again exactly what a seal holds.
pub fn encode_again(
    log: &dyn Batches,
    staging: &Staging,
    clock: &dyn Clock,
    seal: &Seal,
) -> io::Result<Made> {
    let level = seal.encoder.rsplit('/').next().and_then(|level| level.parse().ok());
    let job = Job {
        key: seal.batch.clone(),
        after: seal.first.saturating_sub(1),
        through: if planted(PlantedBug::NewRangeOnRetry) { u64::MAX } else { seal.last },
        max_bytes: u64::MAX,
        level: level.unwrap_or(LEVEL_AT_LEISURE),
    };
    match encode(log, staging, clock, &job) {
        // The disk is full because of the segments that this object pins, so it is staged in memory.
        Err(error) if is_no_space(&error) => match staging.begin_in_memory() {
            Some(to) => encode_into(log, to, clock, &job),
            None => Err(error),
        },
        made => made,
    }
}

/// Makes an object without lines, for a seal whose frames are all lost.
pub fn nothing_of(staging: &Staging, seal: &Seal, lost: Vec<Range>) -> io::Result<Object> {
    let done = GzipLines::new(staging.begin(), LEVEL_AT_LEISURE, u64::MAX).finish()?;
    let encoded = Encoded {
        first: seal.first,
        last: seal.last,
        sha256: done.sha256,
        named_at: seal.first_received_at,
        first_received_at: seal.first_received_at,
        last_received_at: seal.last_received_at,
        encoder: seal.encoder.clone(),
        frames: 0,
        bytes: 0,
        next_received_at: None,
        hours: Vec::new(),
    };
    Ok(Object { encoded, staged: done.out.finish(), lost })
}
