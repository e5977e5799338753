//! What is read of a partition and not released: the segments of a spool, without syncs. Whatever goes wrong
//! with it, the log is read again.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use super::unsynced::Unsynced;
use crate::batch::BatchKey;
use crate::disk::{Disk, StagingDisk};
use crate::log::{AppendError, Encoded, Go, Log, NewStreams, Read, RequestFrames, Seal};
use crate::metrics::Metrics;
use crate::object::Stream;
use crate::partition::lines::Lines;
use crate::partition::open::FirstOpen;
use crate::partition::reader::ReadFrame;
use crate::partition::repeats::Repeats;
use crate::partition::share::segment_bytes;
use crate::random::Random;
use crate::spool::{Holds, SpoolOptions, Stepped};
use crate::time::Clock;

/// Segments that must fit in a share. With fewer, the space that is kept free for objects is most of it.
const SEGMENTS_MIN: u64 = 8;
/// Bytes of frames that are written at once, but for one long frame: also the shortest segment has room for them.
const RUN_BYTES: usize = 256 * 1_024;
/// Bytes of the buffers that are kept. Each grows to its longest request, and a run ends within one: with room for one
/// run, a third of them had to be made anew.
const SPARE_BYTES: usize = 2 * RUN_BYTES;

/// What a cache needs.
#[derive(Clone, Debug)]
pub struct CacheDeps {
    /// An empty folder.
    pub disk: Arc<dyn Disk>,
    /// The most bytes that it takes.
    pub max_bytes: u64,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// For the id of its files.
    pub random: Arc<dyn Random>,
    /// Counters of a spool.
    pub metrics: Arc<Metrics>,
}

/// The cache cannot be used any more: drop it and read the log again.
#[derive(Debug, thiserror::Error)]
#[error("the cache of a partition cannot be used: {0}")]
pub struct Unusable(pub String);

/// The segments of the cache are too long for its share: a new cache has shorter ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "its share of the cache is {max} bytes now, and a segment has {segment}: the next term has shorter ones"
)]
pub struct Shrunk {
    /// The share.
    pub max: u64,
    /// Bytes of a segment.
    pub segment: u64,
}

/// There is no space for what was read: it waits in memory, and reading pauses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// Frames of a partition, in segments.
#[derive(Debug)]
pub struct Cache {
    spool: Stepped,
    log: Arc<dyn Log>,
    /// Frames of the last record that are not written, in order.
    waiting: Vec<ReadFrame<'static>>,
    /// The first position of frames that were announced by [`Cache::expects`] and not taken yet.
    comes: Option<u64>,
    /// Buffers of what was written, for the next frames: at most [`SPARE_BYTES`] together. An allocator would give their
    /// memory back, and take it anew for each request.
    spare: Vec<Vec<u8>>,
    /// The seals of the partition that its frames are in, by number, as this spool has them.
    sealed: BTreeMap<u64, Seal>,
    /// Frames that are not in it, for they repeat calls.
    pub(super) repeats: Repeats,
    deps: CacheDeps,
}

impl Cache {
    /// An empty cache.
    /// Errors: [`Unusable`].
    pub fn new(deps: CacheDeps) -> Result<Self, Unusable> {
        let options = SpoolOptions {
            max_bytes: deps.max_bytes,
            segment_bytes: segment_bytes(deps.max_bytes),
            // The partition finds repeats.
            dedupe_max: 0,
            new_streams: NewStreams::Any,
            holds: Holds::Cache,
            ..SpoolOptions::default()
        };
        let disk = Arc::new(Unsynced(Arc::clone(&deps.disk)));
        let clock = Arc::clone(&deps.clock);
        let metrics = Arc::clone(&deps.metrics);
        let (spool, _) = Stepped::open(disk, options, clock, &*deps.random, metrics)
            .map_err(|error| Unusable(error.to_string()))?;
        let log = spool.log();
        Ok(Self {
            spool,
            log,
            waiting: Vec::new(),
            comes: None,
            spare: Vec::new(),
            sealed: BTreeMap::new(),
            repeats: Repeats::default(),
            deps,
        })
    }

    /// What it was made of.
    pub fn deps(&self) -> &CacheDeps {
        &self.deps
    }

    /// What reads its frames, from any thread.
    pub(super) fn log(&self) -> Arc<dyn Log> {
        Arc::clone(&self.log)
    }

    /// Where objects of its frames are staged.
    pub(super) fn staging(&self) -> StagingDisk {
        self.spool.staging_disk()
    }

    /// Changes the most bytes that it takes.
    /// Errors: [`Shrunk`].
    pub(super) fn set_max_bytes(&mut self, max: u64) -> Result<(), Shrunk> {
        if std::mem::replace(&mut self.deps.max_bytes, max) == max {
            return Ok(());
        }
        let segment = self.log.usage().segment_bytes;
        if segment > segment_bytes(max) && max / SEGMENTS_MIN < segment {
            return Err(Shrunk { max, segment });
        }
        self.spool.set_max_bytes(max);
        Ok(())
    }

    /// These frames of the next record come next: until [`Cache::takes`], nothing counts them as read.
    pub fn expects(&mut self, frames: &[ReadFrame<'_>]) {
        self.comes = frames.first().map(|frame| frame.position);
    }

    /// Writes frames of the next record, in order.
    /// Errors: [`Unusable`]. What finds no space waits for [`Cache::makes_way`].
    pub fn takes(&mut self, frames: Vec<ReadFrame<'_>>) -> Result<Result<(), Full>, Unusable> {
        debug_assert!(self.waiting.is_empty(), "what waits comes first");
        let written = self.writes(&frames)?;
        self.comes = None;
        self.waiting.extend(frames.into_iter().skip(written).map(ReadFrame::into_owned));
        Ok(self.has_room())
    }

    /// Writes what waits. Until it has succeeded, nothing may be read.
    /// Errors: [`Unusable`]. What finds no space waits on.
    pub fn makes_way(&mut self) -> Result<Result<(), Full>, Unusable> {
        let waiting = std::mem::take(&mut self.waiting);
        let written = self.writes(&waiting);
        self.waiting = waiting;
        self.waiting.drain(..written?);
        Ok(self.has_room())
    }

    fn has_room(&self) -> Result<(), Full> {
        if self.waiting.is_empty() { Ok(()) } else { Err(Full) }
    }

    /// Writes frames until there is no space. Returns how many were written.
    fn writes(&mut self, frames: &[ReadFrame<'_>]) -> Result<usize, Unusable> {
        let mut rest = frames;
        while let Some((first, (run, behind))) = rest.first().zip(rest.split_at_checked(run_len(rest))) {
            let put = match self.spool.put_numbered(first.position, requests(run, &mut self.spare)) {
                Err(AppendError::Full) => {
                    // The next segment is made here.
                    self.spool.keep().map_err(|_| self.broken())?;
                    self.spool.put_numbered(first.position, requests(run, &mut self.spare))
                }
                put => put,
            };
            match put {
                Ok(buffers) => {
                    rest = behind;
                    self.keep_spare(buffers);
                }
                Err(AppendError::Full) => break,
                Err(_) => return Err(self.broken()),
            }
        }
        Ok(frames.len() - rest.len())
    }

    fn keep_spare(&mut self, buffers: Vec<Vec<u8>>) {
        let mut bytes: usize = self.spare.iter().map(Vec::capacity).sum();
        for mut buffer in buffers {
            bytes += buffer.capacity();
            if bytes > SPARE_BYTES {
                return;
            }
            buffer.clear();
            self.spare.push(buffer);
        }
    }

    /// The position of the first frame that is read and not written.
    pub fn waits_from(&self) -> Option<u64> {
        self.waiting.first().map(|frame| frame.position).or(self.comes)
    }

    /// Whether all lines of a sealed object can be read here.
    /// Errors: [`Unusable`].
    pub fn has_all_of(&self, seal: &Seal) -> Result<bool, Unusable> {
        let mut lines = Lines::default();
        let (after, through) = (seal.first.saturating_sub(1), seal.last);
        let read = self.log.read(&seal.batch, after, through, &mut |read| match read {
            Read::Frame(frame) => {
                lines.push_line(frame.position, frame.received_at, frame.payload);
                Ok(Go::On)
            }
            Read::Lost(range) => Err(io::Error::other(format!("positions {}–{}", range.first, range.last))),
        });
        read.map_err(|error| Unusable(error.to_string()))?;
        Ok(lines.are_those_of(seal))
    }

    /// The seals of the partition that are known here, by number.
    pub fn sealed(&self) -> impl Iterator<Item = u64> {
        self.sealed.keys().copied()
    }

    /// Whether a seal of the partition is known here.
    pub fn has_sealed(&self, number: u64) -> bool {
        self.sealed.contains_key(&number)
    }

    /// A seal of the partition is committed, and all its frames are here.
    /// Errors: [`Unusable`].
    pub fn seal(&mut self, seal: &Seal) -> Result<(), Unusable> {
        let encoded = Encoded {
            first: seal.first,
            last: seal.last,
            frames: seal.frames,
            bytes: seal.bytes,
            sha256: seal.sha256.clone(),
            named_at: seal.first_received_at,
            first_received_at: seal.first_received_at,
            last_received_at: seal.last_received_at,
            encoder: seal.encoder.clone(),
            next_received_at: None,
            hours: seal.hours(),
        };
        let (to, key) = (seal.location.clone(), seal.object_key.clone());
        let own = self.log.seal(&seal.batch, &encoded, to, key).map_err(|_| self.broken())?;
        self.sealed.insert(seal.number, own);
        Ok(())
    }

    /// The frames of a seal are not needed any more: its object is in the store, or stays in the log.
    /// Errors: [`Unusable`].
    pub fn forget(&mut self, number: u64) -> Result<(), Unusable> {
        let Some(own) = self.sealed.remove(&number) else { return Ok(()) };
        self.log.commit(&own, None).map_err(|_| self.broken())?;
        self.spool.keep().map_err(|_| self.broken())
    }

    /// Frames of a seal of which not all are here are not needed: its object stays in the log.
    /// Errors: [`Unusable`].
    pub(super) fn leaves(&mut self, seal: &Seal) -> Result<(), Unusable> {
        self.waiting.retain(|frame| frame.batch != seal.batch || frame.position > seal.last);
        if self.has_sealed(seal.number) {
            return self.forget(seal.number);
        }
        if self.log.open_batch(&seal.batch).is_none_or(|batch| batch.first > seal.last) {
            return Ok(());
        }
        self.seal(seal)?;
        self.forget(seal.number)
    }

    /// The first frame of each batch that is in it, sealed or not.
    pub fn firsts(&self) -> Vec<(BatchKey, FirstOpen)> {
        let of_seals = self
            .sealed
            .values()
            .map(|seal| (seal.batch.clone(), FirstOpen { position: seal.first, sealed: true }));
        let of_open = self
            .log
            .open_batches()
            .into_iter()
            .map(|batch| (batch.key, FirstOpen { position: batch.first, sealed: false }));
        let waits = self
            .waiting
            .iter()
            .map(|frame| (frame.batch.clone(), FirstOpen { position: frame.position, sealed: false }));
        of_seals.chain(of_open).chain(waits).collect()
    }

    fn broken(&self) -> Unusable {
        let why = self.log.stopped().borrow().as_deref().map(str::to_owned);
        Unusable(why.unwrap_or_else(|| "its disk is full".to_owned()))
    }
}

/// How many of these frames are written at once: their positions follow each other.
fn run_len(frames: &[ReadFrame<'_>]) -> usize {
    let (mut bytes, mut next) = (0, frames.first().map_or(0, |frame| frame.position));
    let is_of_run = |frame: &&ReadFrame<'_>| {
        bytes += frame.bytes.len();
        let (is_first, follows) = (bytes == frame.bytes.len(), frame.position == next);
        next += 1;
        follows && (is_first || bytes <= RUN_BYTES)
    };
    frames.iter().take_while(is_of_run).count()
}

/// Frames as requests of one source, stream and time each. Their buffers are `spare` ones, as long as there are any.
fn requests(run: &[ReadFrame<'_>], spare: &mut Vec<Vec<u8>>) -> Vec<RequestFrames> {
    let alike = |one: &ReadFrame<'_>, other: &ReadFrame<'_>| {
        one.received_at == other.received_at && one.batch == other.batch
    };
    run.chunk_by(alike)
        .filter_map(|frames| {
            let first = frames.first()?;
            // Rejected items are frames of their own kind among a source's calls.
            let stream = match &first.batch.stream {
                Stream::Rejected => Stream::Calls,
                stream => stream.clone(),
            };
            let mut bytes = spare.pop().unwrap_or_default();
            bytes.reserve_exact(frames.iter().map(|frame| frame.bytes.len()).sum());
            frames.iter().for_each(|frame| bytes.extend_from_slice(&frame.bytes));
            Some(RequestFrames::of_finished(first.batch.source.clone(), stream, first.received_at, bytes))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::disk::real_disk::RealDisk;
    use crate::log::frame::{self, FrameKind};
    use crate::log::{Hour, Rows};
    use crate::object::{BucketString, Encryption, ObjectKey, S3Location};
    use crate::runtime::{SystemClock, SystemRandom};
    use crate::sources::SourceId;
    use crate::time::UnixMillis;

    const AT: UnixMillis = UnixMillis(1_700_000_000_123);

    fn cache(dir: &Path, max_bytes: u64) -> Cache {
        Cache::new(CacheDeps {
            disk: Arc::new(RealDisk::open(dir).unwrap()),
            max_bytes,
            clock: Arc::new(SystemClock::new()),
            random: Arc::new(SystemRandom),
            metrics: Arc::new(Metrics::new()),
        })
        .unwrap()
    }

    /// Every third frame is of another source, and no two neighbours are of one length.
    fn batch_and_line(position: u64) -> (BatchKey, String) {
        let source = SourceId::new(if position.is_multiple_of(3) { "ios" } else { "web" }).unwrap();
        let len = 20_000 + usize::try_from(position % 7).unwrap() * 7_000;
        (BatchKey { source, stream: Stream::Calls, day: AT.day() }, format!("{position:0>len$}"))
    }

    fn frame(position: u64) -> ReadFrame<'static> {
        let (batch, line) = batch_and_line(position);
        let mut bytes = Vec::new();
        let start = frame::begin(&mut bytes, FrameKind::Call, (Some(&batch.source), ""), AT, None);
        bytes.extend_from_slice(line.as_bytes());
        frame::finish(&mut bytes, start, position.into());
        ReadFrame { position, batch, received_at: AT, late: false, repeat: false, bytes: bytes.into() }
    }

    #[test]
    fn a_record_may_find_no_room_in_its_middle_and_each_frame_is_written_once() {
        let dir = tempfile::tempdir().unwrap();
        let mut cache = cache(dir.path(), 70_000_000);
        let mut first = 1;
        loop {
            let record: Vec<_> = (first..first + 40).map(frame).collect();
            cache.expects(&record);
            assert_eq!(cache.waits_from(), Some(first), "it is not written yet");
            if cache.takes(record).unwrap().is_err() {
                break;
            }
            assert_eq!(cache.waits_from(), None);
            assert!(cache.spare.iter().map(Vec::capacity).sum::<usize>() <= SPARE_BYTES);
            first += 40;
        }
        let waits = cache.waits_from().unwrap();
        assert!(first > 1 && (first..first + 40).contains(&waits), "{first} {waits}");
        assert_eq!(cache.makes_way().unwrap(), Err(Full));
        assert_eq!(cache.waits_from(), Some(waits));
        cache.set_max_bytes(300_000_000).unwrap();
        assert_eq!(cache.makes_way().unwrap(), Ok(()));
        assert_eq!(cache.waits_from(), None);
        let mut written = Vec::new();
        for source in [1, 3] {
            let (batch, _) = batch_and_line(source);
            let mut look = |read: Read<'_>| {
                let Read::Frame(frame) = read else { panic!("lost") };
                let (of, line) = batch_and_line(frame.position);
                assert!(of == batch && frame.payload == line.as_bytes(), "position {}", frame.position);
                written.push(frame.position);
                Ok(Go::On)
            };
            cache.log.read(&batch, 0, u64::MAX, &mut look).unwrap();
        }
        written.sort_unstable();
        assert_eq!(written, (1..first + 40).collect::<Vec<_>>());
    }

    /// With ten thousand sources, a day of accounts and delivered days took 9 MB, until the term ended.
    #[test]
    fn nothing_of_an_object_is_kept_once_it_is_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let mut cache = cache(dir.path(), 70_000_000);
        assert_eq!(cache.takes((1..=6).map(frame).collect()).unwrap(), Ok(()));
        let bucket = BucketString::parse("bucket").unwrap();
        for (number, first, last, frames) in [(1, 3, 6, 2), (2, 1, 5, 4)] {
            let (batch, _) = batch_and_line(first);
            cache
                .seal(&Seal {
                    number,
                    batch,
                    first,
                    last,
                    frames,
                    bytes: 1,
                    sha256: String::new(),
                    first_received_at: AT,
                    last_received_at: AT,
                    encoder: String::new(),
                    location: S3Location::new(bucket.clone(), Encryption::None),
                    object_key: ObjectKey::listed("key"),
                    previous_last: None,
                    hours: vec![(Hour::of(AT), frames)],
                })
                .unwrap();
            cache.forget(number).unwrap();
        }
        assert!(cache.log.open_batches().is_empty() && cache.log.unclosed_days().is_empty());
        assert!(cache.log.ledger(Rows::All).accounts.is_empty());
    }

    #[test]
    fn a_share_may_shrink_until_eight_segments_do_not_fit() {
        let dir = tempfile::tempdir().unwrap();
        let mut cache = cache(dir.path(), 300_000_000);
        for (max, fits) in [(1_000_000_000, true), (200_000_000, true), (140_000_000, false)] {
            assert_eq!(cache.set_max_bytes(max).is_ok(), fits, "{max}");
            assert!(!fits || cache.log().usage().max == max, "{:?}", cache.log().usage());
        }
    }
}
