//! Group commit: many requests, one write, one sync.
//!
//! Order O1: the block is synced, then its requests are answered. A repeat is found here, before the write: whatever it
//! repeats is either in an earlier block, which is synced, or in this one, which will be before anybody is answered.

use std::io::IoSlice;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::disk::DiskFile;
use super::frame::{self, FrameKind, Salt};
use super::index::{Added, Run};
use super::ledger::{Hour, Row};
use super::request_frames::RequestFrames;
use super::seen::Seen;
use super::seen_file::Fingerprints;
use super::segment::{BLOCK_HEADER, Block, SEGMENT_HEADER};
use super::shared::{Shared, lock};
use crate::batch::BatchKey;
use crate::object::Stream;
use crate::planted::{PlantedBug, planted};
use crate::sources::SourceId;
use crate::time::UnixMillis;

/// One request's frames, as the commit loop takes them.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) source: Option<SourceId>,
    pub(super) received_at: UnixMillis,
    /// Items of the request, as the collector counted them.
    pub(super) received: u32,
    pub(super) bytes: Vec<u8>,
}

impl From<RequestFrames> for Incoming {
    fn from(frames: RequestFrames) -> Self {
        Self {
            source: Some(frames.source().clone()),
            received_at: frames.received_at(),
            received: frames.items(),
            bytes: frames.into_bytes(),
        }
    }
}

/// What became of one request: frames stored, and repeats that were not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) stored: u32,
    /// The position of the first stored; the others follow without a gap. Nothing where none is stored.
    pub(super) first: Option<u64>,
    pub(super) repeats: u32,
    /// Nothing was stored: the day of its `receivedAt` is over.
    pub(super) too_late: bool,
}

/// Why a group was not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CommitError {
    /// The open segment is full and there is no next one. Nothing is lost or changed; try again later.
    NoSpace,
    /// A write or sync failed. The spool has stopped.
    Stopped,
}

/// The segment that is written to.
#[derive(Debug)]
pub(super) struct OpenSegment {
    pub(super) number: u64,
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) len: u64,
    pub(super) end: u64,
}

/// Owns the open segment. There is one, on one thread.
#[derive(Debug)]
pub(super) struct Writer {
    shared: Arc<Shared>,
    /// The segment that is written to. None where it is full, or from the start on a full disk, until the next is made.
    open: Option<OpenSegment>,
    seen: Seen,
    /// What the open segment has; nothing where it began with frames of an earlier process.
    fingerprints: Option<Fingerprints>,
    next_position: u64,
}

/// What a group becomes: which bytes of which request are written, and what the index is told.
#[derive(Default)]
struct Plan {
    body_at: u64,
    pieces: Vec<(usize, std::ops::Range<usize>)>,
    adds: Vec<(BatchKey, Added)>,
    outcomes: Vec<Outcome>,
    /// By request, for the ledger.
    counts: Vec<Row>,
    frames: u32,
    body_len: usize,
}

/// Frames of one request and one stream that are written one behind the other.
struct Piece {
    stream: Option<Stream>,
    bytes: std::ops::Range<usize>,
    first: u64,
    frames: u32,
    lines: u64,
}

impl Writer {
    pub(super) fn new(
        shared: Arc<Shared>,
        open: Option<OpenSegment>,
        seen: Seen,
        next_position: u64,
    ) -> Self {
        shared.next_position.store(next_position, Ordering::Release);
        let began_empty = open.as_ref().is_none_or(|open| open.end == SEGMENT_HEADER);
        let wanted = began_empty && shared.options.dedupe_max > 0;
        let fingerprints = wanted.then(Fingerprints::default);
        Self { shared, open, seen, fingerprints, next_position }
    }

    /// Stores a group of requests, whose frames together are no longer than a block, and syncs them.
    ///
    /// `Ok` means that every frame counted as stored, and every frame that one counted as repeat repeats, is on stable
    /// storage.
    pub(super) fn commit(&mut self, group: &mut [Incoming]) -> Result<Vec<Outcome>, CommitError> {
        if self.shared.is_poisoned() {
            return Err(CommitError::Stopped);
        }
        let shared = Arc::clone(&self.shared);
        let _gate = lock(&shared.commit_gate);
        let most: usize = group.iter().map(|request| request.bytes.len()).sum();
        let fits = |open: &OpenSegment| open.end + (BLOCK_HEADER + most) as u64 <= open.len;
        let open = match self.open.take() {
            Some(open) if fits(&open) => open,
            full => self.rotate(full)?,
        };
        let (number, end, file) = (open.number, open.end, Arc::clone(&open.file));
        self.open = Some(open);
        let salt = self.shared.salt(number);
        let plan = self.plan(group, (salt, end + BLOCK_HEADER as u64));
        if plan.frames == 0 {
            return Ok(plan.outcomes);
        }
        let first_position = self.next_position - u64::from(plan.frames);
        let header = Block {
            body_len: u32::try_from(plan.body_len).unwrap_or(u32::MAX),
            frames: plan.frames,
            first_position,
            durable_position: first_position - 1,
        }
        .encode(salt);
        let mut parts = Vec::with_capacity(plan.pieces.len() + 1);
        parts.push(IoSlice::new(&header));
        for (request, range) in &plan.pieces {
            let bytes = group.get(*request).and_then(|request| request.bytes.get(range.clone()));
            parts.push(IoSlice::new(bytes.unwrap_or(&[])));
        }
        self.write_and_sync(&*file, &parts, end)?;
        let written = (BLOCK_HEADER + plan.body_len) as u64;
        if let Some(open) = &mut self.open {
            open.end += written;
        }
        self.shared.metrics.spool_written_bytes.inc_by(written);
        let mut index = lock(&self.shared.index);
        for (key, added) in &plan.adds {
            index.add(number, key, *added);
        }
        index.cover(number, first_position, self.next_position - 1);
        for (request, counts) in group.iter().zip(&plan.counts) {
            if let Some(source) = &request.source {
                index.ledger.count(source, Hour::of(request.received_at), counts);
            }
        }
        drop(index);
        self.shared.changed();
        Ok(plan.outcomes)
    }

    fn write_and_sync(&self, file: &dyn DiskFile, parts: &[IoSlice<'_>], at: u64) -> Result<(), CommitError> {
        let stop = |what: &str, error: &std::io::Error| {
            self.shared.poison(what, error);
            CommitError::Stopped
        };
        if planted(PlantedBug::AnswerBeforeSync) {
            // Of the block before, whose requests are answered.
            file.sync().map_err(|error| stop("sync a spool segment", &error))?;
        }
        file.write_at(parts, at).map_err(|error| stop("write a spool segment", &error))?;
        if planted(PlantedBug::AnswerBeforeSync) {
            return Ok(());
        }
        let before = self.shared.clock.monotonic();
        let synced = match file.sync() {
            Err(_) if planted(PlantedBug::SyncRetried) => file.sync(),
            Err(_) if planted(PlantedBug::AppendedAfterFailedSync) => return Err(CommitError::NoSpace),
            synced => synced,
        };
        synced.map_err(|error| stop("sync a spool segment", &error))?;
        let took = self.shared.clock.monotonic().saturating_sub(before);
        self.shared.metrics.sync_seconds.observe(took.as_secs_f64());
        Ok(())
    }

    /// Gives positions to the frames that are stored and finds the repeats that are not.
    fn plan(&mut self, group: &mut [Incoming], (salt, body_at): (Salt, u64)) -> Plan {
        let mut plan = Plan { body_at, ..Plan::default() };
        let not_before = self.shared.not_before.load(Ordering::Acquire);
        self.seen.look_ahead(group.iter().flat_map(|request| frame::fingerprints(&request.bytes)));
        for (index, request) in group.iter_mut().enumerate() {
            let mut outcome = Outcome::default();
            if request.source.is_some() && request.received_at.0 < not_before {
                plan.outcomes.push(Outcome { too_late: true, ..outcome });
                plan.counts.push(Row::default());
                continue;
            }
            let mut counts = Row { received: u64::from(request.received), ..Row::default() };
            let mut piece: Option<Piece> = None;
            let mut repeated = 0..0;
            let mut at = 0;
            while let Some(len) = request.bytes.get(at..).and_then(frame::length) {
                let Some(bytes) = request.bytes.get_mut(at..at + len) else { break };
                let Some(about) = frame::fields(bytes) else { break };
                let (stream, line) = (stream_of(about.kind), about.payload.len() as u64 + 1);
                if self.seen.insert(about.fingerprint, request.received_at) {
                    if let Some(fingerprints) = &mut self.fingerprints {
                        fingerprints.push(about.fingerprint, request.received_at);
                    }
                    frame::stamp(bytes, self.next_position, salt);
                    if piece.as_ref().is_some_and(|piece| piece.stream != stream) {
                        plan.close(index, request, piece.take());
                    }
                    let first = self.next_position;
                    piece
                        .get_or_insert(Piece { stream, bytes: at..at, first, frames: 0, lines: 0 })
                        .add(len, line);
                    self.next_position += 1;
                    outcome.first.get_or_insert(first);
                    outcome.stored += 1;
                    match stream {
                        Some(Stream::Calls) => counts.stored += 1,
                        Some(Stream::Rejected) => counts.rejected += 1,
                        None => {}
                    }
                } else {
                    outcome.repeats += 1;
                    counts.repeated += 1;
                    if len > repeated.len() {
                        repeated = at..at + len;
                    }
                    plan.close(index, request, piece.take());
                }
                at += len;
            }
            plan.close(index, request, piece.take());
            plan.frames += outcome.stored;
            if let Some(len) = request
                .bytes
                .get_mut(repeated.clone())
                .and_then(|frame| self.note_repeats(frame, outcome, salt))
            {
                plan.body_len += len;
                plan.frames += 1;
                plan.pieces.push((index, repeated.start..repeated.start + len));
            }
            plan.outcomes.push(outcome);
            plan.counts.push(counts);
        }
        self.shared.next_position.store(self.next_position, Ordering::Release);
        plan
    }

    /// Writes how many repeats a request had over a frame that is one of them, which is not stored. Returns its length.
    fn note_repeats(&mut self, frame: &mut [u8], outcome: Outcome, salt: Salt) -> Option<usize> {
        if frame.is_empty() {
            return None;
        }
        let Some(len) = frame::into_repeats(frame, outcome.repeats) else {
            // Lines are JSON objects, and none is so short.
            tracing::error!(
                "the repeats of a request will not be counted after a crash; this is a bug in Forebay"
            );
            return None;
        };
        frame::stamp(frame.get_mut(..len)?, self.next_position, salt);
        self.next_position += 1;
        Some(len)
    }

    /// Closes the segment that is full, and goes on to the next one, which the housekeeper has made. Where there is none the
    /// full one is closed all the same: once it is delivered, its space is that of the next.
    fn rotate(&mut self, full: Option<OpenSegment>) -> Result<OpenSegment, CommitError> {
        if let Some(full) = full {
            self.close_segment(full.number);
        }
        let mut next_segment = lock(&self.shared.next_segment);
        next_segment.wanted = next_segment.prepared.is_none();
        let Some(next) = next_segment.prepared.take() else { return Err(CommitError::NoSpace) };
        drop(next_segment);
        lock(&self.shared.index).segments.entry(next.number).or_default().len = next.len;
        self.shared.wake_housekeeper();
        Ok(OpenSegment { number: next.number, file: next.file, len: next.len, end: SEGMENT_HEADER })
    }

    fn close_segment(&mut self, number: u64) {
        let mut index = lock(&self.shared.index);
        let next_fingerprints = (self.shared.options.dedupe_max > 0).then(Fingerprints::default);
        let state = index.segments.entry(number).or_default();
        state.closed = true;
        state.fingerprints = std::mem::replace(&mut self.fingerprints, next_fingerprints);
        index.ledger.gather(self.next_position - 1);
    }

    /// Notes that the process ends in order: damage before this frame cannot be a torn tail.
    pub(super) fn close(mut self) -> Result<(), CommitError> {
        let mut bytes = Vec::new();
        let now = self.shared.clock.wall();
        let start = frame::begin(&mut bytes, FrameKind::CleanClose, None, now, None);
        frame::finish(&mut bytes, start, 0);
        self.commit(&mut [Incoming { source: None, received_at: now, received: 0, bytes }]).map(drop)
    }
}

/// The stream that frames of this kind are delivered in.
fn stream_of(kind: FrameKind) -> Option<Stream> {
    match kind {
        FrameKind::Call => Some(Stream::Calls),
        FrameKind::Rejected => Some(Stream::Rejected),
        FrameKind::ImportProgress | FrameKind::CleanClose | FrameKind::Repeats => None,
    }
}

impl Piece {
    fn add(&mut self, len: usize, line: u64) {
        self.bytes.end += len;
        self.frames += 1;
        self.lines += line;
    }
}

impl Plan {
    fn close(&mut self, index: usize, request: &Incoming, piece: Option<Piece>) {
        let Some(piece) = piece else { return };
        let offset = self.body_at + self.body_len as u64;
        self.body_len += piece.bytes.len();
        if let (Some(source), Some(stream)) = (&request.source, piece.stream) {
            let run = Run {
                offset: u32::try_from(offset).unwrap_or(u32::MAX),
                len: u32::try_from(piece.bytes.len()).unwrap_or(u32::MAX),
                first: piece.first,
                frames: piece.frames,
            };
            let key = BatchKey { source: source.clone(), day: request.received_at.day(), stream };
            self.adds.push((key, Added { run, bytes: piece.lines, received_at: request.received_at }));
        }
        self.pieces.push((index, piece.bytes));
    }
}
