//! Group commit: one write and one sync for many requests.
//!
//! Order O1: the block is synced, then its requests are answered. Repeats are found here, before the write.
//! The first copy of a repeat is either in an earlier block, which is synced, or in this one, which is synced
//! before any request is answered.

use std::collections::{BTreeMap, BTreeSet};
use std::io::IoSlice;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard};

use crate::batch::BatchKey;
use crate::disk::DiskFile;
use crate::log::frame::{self, FrameKind, Head, RowKey, Salt};
use crate::log::notes::Ledger;
#[cfg(any(test, feature = "testing", feature = "kafka"))]
use crate::log::notes::NoteKeeper as _;
use crate::log::{
    AccountKey, AppendError, Hour, ImportProgress, ImportStep, KnownStreams, RequestFrames, Row,
};
use crate::object::Stream;
use crate::planted_bugs::{PlantedBug, planted};
use crate::spool::format::runs::Run;
use crate::spool::format::seen_file::Fingerprints;
use crate::spool::format::segment::{BLOCK_HEADER, Block, SEGMENT_HEADER};
use crate::spool::index::Added;
use crate::spool::options::Holds;
use crate::spool::shared::{NextSegments, Shared, lock};
use crate::spool::writing::seen::Windows;
use crate::time::UnixMillis;

/// One request's frames.
#[derive(Debug)]
pub(in crate::spool) struct Incoming {
    /// The account of its lines. `None` for the clean close.
    pub(in crate::spool) account: Option<AccountKey>,
    pub(in crate::spool) received_at: UnixMillis,
    /// Items of the request, counted by the collector.
    pub(in crate::spool) received: u32,
    /// The step of an import that the request is.
    pub(in crate::spool) import: Option<Box<ImportStep>>,
    /// The items that must not repeat a stored call, in order.
    pub(in crate::spool) only_if_new: Vec<u32>,
    pub(in crate::spool) bytes: Vec<u8>,
}

impl Incoming {
    /// Whether it may use the segment that is set aside: a dead letter, and the clean close.
    pub(in crate::spool) fn may_use_last(&self) -> bool {
        self.account.as_ref().is_none_or(|account| account.stream().is_dead())
    }
}

impl From<RequestFrames> for Incoming {
    fn from(frames: RequestFrames) -> Self {
        Self {
            received: frames.items(),
            account: Some(AccountKey::new(frames.source, &frames.stream)),
            received_at: frames.received_at,
            import: frames.import,
            only_if_new: frames.only_if_new,
            bytes: frames.bytes,
        }
    }
}

/// The outcome of one request: frames stored, and repeats that were not.
#[derive(Debug, Default)]
pub(in crate::spool) struct Outcome {
    pub(in crate::spool) stored: u32,
    /// The position of the first stored frame; the others follow without a gap. `None` if none was stored.
    pub(in crate::spool) first: Option<u64>,
    pub(in crate::spool) repeats: u32,
    /// Why nothing was stored, if the request itself is refused.
    pub(in crate::spool) refused: Option<AppendError>,
    /// The file's progress after a step of an import.
    pub(in crate::spool) import: Option<Box<ImportProgress>>,
}

/// Why a group was not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::spool) enum CommitError {
    /// The open segment is full, and no other one is free for this group. Nothing was changed, so the group
    /// can be retried later.
    NoSpace {
        /// How many segments must be prepared before that.
        wanted: usize,
    },
    /// The write or sync of the group failed, and the spool has stopped. A restart may find the group on the
    /// disk, or not.
    Unknown,
    /// The spool had stopped before anything of the group was written.
    Stopped,
}

/// The segment being written.
#[derive(Debug)]
pub(in crate::spool) struct OpenSegment {
    pub(in crate::spool) number: u64,
    pub(in crate::spool) file: Arc<dyn DiskFile>,
    pub(in crate::spool) len: u64,
    pub(in crate::spool) end: u64,
}

/// Owns the open segment. A spool has one writer, on one thread.
#[derive(Debug)]
pub(in crate::spool) struct Writer {
    shared: Arc<Shared>,
    /// The segment being written. `None` until the next one is made, if this one is full or the process
    /// started on a full disk.
    open: Option<OpenSegment>,
    seen: Windows,
    /// The open segment's fingerprints. `None` if it began with frames of an earlier process.
    fingerprints: Option<Fingerprints>,
    next_position: u64,
}

/// The plan for a group: the bytes to write of each request, and the changes to the index.
#[derive(Default)]
struct Plan {
    body_at: u64,
    pieces: Vec<(usize, std::ops::Range<usize>)>,
    adds: Vec<(BatchKey, Added)>,
    outcomes: Vec<Outcome>,
    /// By request, for the ledger.
    counts: Vec<Row>,
    /// Accounts of object and dead-letter streams that begin with this group.
    new_streams: BTreeSet<AccountKey>,
    /// The keys of imported rows, with the time at which they were received.
    row_keys: Vec<(RowKey, UnixMillis)>,
    /// The progress of imports after this group.
    imports: BTreeMap<u64, ImportProgress>,
    frames: u32,
    body_len: usize,
}

/// The streams of the ledger, and those that begin with a group. They are no part of each other.
struct WithGroup<'a> {
    ledger: &'a Ledger,
    new: &'a BTreeSet<AccountKey>,
}

impl KnownStreams for WithGroup<'_> {
    fn knows(&self, account: &AccountKey) -> bool {
        self.ledger.knows(account) || self.new.contains(account)
    }

    fn named_streams(&self) -> usize {
        self.ledger.named_streams() + self.new.len()
    }
}

/// Consecutive frames of one request and one kind, and so of one stream.
struct Piece {
    kind: FrameKind,
    bytes: std::ops::Range<usize>,
    first: u64,
    frames: u32,
    lines: u64,
}

impl Plan {
    /// An empty plan, with room for so many requests.
    fn of(requests: usize, body_at: u64) -> Self {
        Self {
            body_at,
            pieces: Vec::with_capacity(requests),
            adds: Vec::with_capacity(requests),
            outcomes: Vec::with_capacity(requests),
            counts: Vec::with_capacity(requests),
            ..Self::default()
        }
    }
}

impl Writer {
    pub(in crate::spool) fn new(
        shared: Arc<Shared>,
        open: Option<OpenSegment>,
        seen: Windows,
        next_position: u64,
    ) -> Self {
        shared.next_position.store(next_position, Ordering::Release);
        let began_empty = open.as_ref().is_none_or(|open| open.end == SEGMENT_HEADER);
        let wanted = began_empty && shared.options.dedupe_max > 0;
        let fingerprints = wanted.then(Fingerprints::default);
        Self { shared, open, seen, fingerprints, next_position }
    }

    /// Stores a group of requests and syncs them. Their frames together must fit into a block.
    ///
    /// `Ok` means that all frames counted as stored are on stable storage, and so are the first copies of all
    /// frames counted as repeats.
    pub(in crate::spool) fn commit(&mut self, group: &mut [Incoming]) -> Result<Vec<Outcome>, CommitError> {
        if self.shared.is_poisoned() {
            return Err(CommitError::Stopped);
        }
        let shared = Arc::clone(&self.shared);
        let _gate = lock(&shared.commit_gate);
        let most: usize = group.iter().map(|request| request.bytes.len()).sum();
        let may_use_last = group.iter().all(Incoming::may_use_last);
        // While what is set aside is missing, the open segment takes its place.
        drop(self.next(0, may_use_last)?);
        let fits = |open: &OpenSegment| open.end + (BLOCK_HEADER + most) as u64 <= open.len;
        let open = match self.open.take() {
            Some(open) if fits(&open) => open,
            full => self.rotate(full, may_use_last)?,
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
        if !plan.row_keys.is_empty() {
            // Before the position counts as durable: all keys up to it are then known.
            self.shared.row_keys.add(plan.row_keys);
            self.shared.show_row_keys();
        }
        let mut index = lock(&self.shared.index);
        for (key, added) in &plan.adds {
            index.add(number, key, *added);
        }
        for (file, progress) in &plan.imports {
            index.imports.advance(*file, *progress);
        }
        index.cover(number, first_position, self.next_position - 1);
        if self.shared.options.holds != Holds::Cache {
            count_all(&mut index.ledger, group, &plan.counts);
        }
        drop(index);
        Ok(plan.outcomes)
    }

    /// Stores frames that have positions already, in a cache: those of `group` have the positions from `first`
    /// on. No position is used twice, and between two groups some may be left out. The spool must be one that
    /// finds no repeats and refuses no stream ([`NewStreams::Any`](crate::log::NewStreams::Any)).
    ///
    /// Errors: as [`Writer::commit`]. The spool stops, because it is a bug, if a position was used, or if a
    /// frame was left out: those after it would have the positions of others.
    #[cfg(any(test, feature = "testing", feature = "kafka"))]
    pub(in crate::spool) fn commit_numbered(
        &mut self,
        first: u64,
        group: &mut [Incoming],
    ) -> Result<Vec<Outcome>, CommitError> {
        let options = &self.shared.options;
        // A frame that notes repeats would take the position of a frame that is left out.
        if options.holds != Holds::Cache || options.dedupe_max > 0 || first < self.next_position {
            self.shared.stop_for_bug("frames would be numbered twice");
            return Err(CommitError::Stopped);
        }
        let frames = group.iter().map(|request| frame::fingerprints(&request.bytes).count() as u64);
        let end = frames.fold(first, u64::saturating_add);
        self.next_position = first;
        let outcomes = self.commit(group)?;
        if self.next_position != end {
            self.shared.stop_for_bug("a frame of a cache was left out");
            return Err(CommitError::Stopped);
        }
        Ok(outcomes)
    }

    fn write_and_sync(&self, file: &dyn DiskFile, parts: &[IoSlice<'_>], at: u64) -> Result<(), CommitError> {
        let stop = |what: &str, error: &std::io::Error| {
            self.shared.poison(what, error);
            CommitError::Unknown
        };
        if planted(PlantedBug::AnswerBeforeSync) {
            // Syncs the previous block, whose requests are answered.
            file.sync().map_err(|error| stop("sync a spool segment", &error))?;
        }
        file.write_at(parts, at).map_err(|error| stop("write a spool segment", &error))?;
        if planted(PlantedBug::AnswerBeforeSync) || self.shared.options.holds == Holds::Cache {
            return Ok(());
        }
        let before = self.shared.clock.monotonic();
        let synced = match file.sync() {
            Err(_) if planted(PlantedBug::SyncRetried) => file.sync(),
            Err(_) if planted(PlantedBug::AppendedAfterFailedSync) => {
                return Err(CommitError::NoSpace { wanted: 1 });
            }
            synced => synced,
        };
        synced.map_err(|error| stop("sync a spool segment", &error))?;
        let took = self.shared.clock.monotonic().saturating_sub(before);
        self.shared.metrics.sync_seconds.observe(took);
        Ok(())
    }

    /// Assigns positions to the frames to store, and finds the repeats, which are not stored.
    fn plan(&mut self, group: &mut [Incoming], (salt, body_at): (Salt, u64)) -> Plan {
        let mut plan = Plan::of(group.len(), body_at);
        let not_before = self.shared.not_before.load(Ordering::Acquire);
        let sent = group.iter().filter(|request| request.import.is_none());
        if self.shared.options.dedupe_max > 0 {
            self.seen.prefetch(sent.flat_map(|request| frame::fingerprints(&request.bytes)));
        }
        for (index, request) in group.iter_mut().enumerate() {
            let mut outcome = Outcome::default();
            let is_late = request.account.is_some() && request.received_at.0 < not_before;
            let began = request.import.as_deref().map(|step| (*step, self.progress(&plan, *step)));
            let other_row = began.and_then(|(step, progress)| other_row(step, progress));
            let refused = is_late.then_some(AppendError::DayOver).or(other_row);
            let refused = refused.or_else(|| self.known(request));
            if let Some(refused) = refused.or_else(|| self.too_many_streams(&mut plan, request)) {
                plan.outcomes.push(Outcome { refused: Some(refused), ..outcome });
                plan.counts.push(Row::default());
                continue;
            }
            let mut counts = Row { received: u64::from(request.received), ..Row::default() };
            let mut piece: Option<Piece> = None;
            let mut repeated = 0..0;
            let mut at = 0;
            while let Some(len) = request.bytes.get(at..).and_then(frame::length) {
                let Some(bytes) = request.bytes.get_mut(at..at + len) else { break };
                let Some(head) = frame::head(bytes) else { break };
                let Head { kind, fingerprint, row_key, has_origin, payload_len } = head;
                let line = payload_len as u64 + 1;
                if kind == FrameKind::ImportProgress {
                    // It is the request's last frame, so what became of the others is known.
                    plan.close(index, request, piece.take());
                    let progress = began.and_then(|(step, before)| {
                        Some(after_step(before?, step, u64::from(outcome.repeats), &counts))
                    });
                    outcome.import = progress.map(Box::new);
                    if let Some(progress) = progress {
                        plan.note_progress(
                            index,
                            request,
                            at..at + len,
                            (progress, self.next_position, salt),
                        );
                        self.next_position += 1;
                    }
                    at += len;
                    continue;
                }
                if self.seen.insert(fingerprint, request.received_at, has_origin) {
                    if let Some(fingerprints) = &mut self.fingerprints {
                        fingerprints.push(fingerprint, request.received_at, has_origin);
                    }
                    plan.row_keys.extend(row_key.map(|key| (key, request.received_at)));
                    frame::stamp(bytes, self.next_position, salt);
                    if piece.as_ref().is_some_and(|piece| piece.kind != kind) {
                        plan.close(index, request, piece.take());
                    }
                    let first = self.next_position;
                    piece
                        .get_or_insert(Piece { kind, bytes: at..at, first, frames: 0, lines: 0 })
                        .add(len, line);
                    self.next_position += 1;
                    outcome.first.get_or_insert(first);
                    outcome.stored += 1;
                    match kind {
                        FrameKind::Rejected => counts.rejected += 1,
                        FrameKind::Call | FrameKind::ObjectSet | FrameKind::Dead => counts.stored += 1,
                        FrameKind::ImportProgress | FrameKind::CleanClose | FrameKind::Repeats => {}
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
                .and_then(|frame| self.note_repeats(frame, outcome.repeats, salt))
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

    /// Refuses a request with a repeat that must not be one.
    fn known(&mut self, request: &Incoming) -> Option<AppendError> {
        let is_asked = |item: &u32| request.only_if_new.binary_search(item).is_ok();
        let items = (0..=*request.only_if_new.last()?).zip(frame::fingerprints(&request.bytes));
        let mut asked = items.filter(|(item, _)| is_asked(item));
        let known = asked.find(|(_, fingerprint)| self.seen.knows(*fingerprint, request.received_at));
        known.map(|(item, _)| AppendError::Known { item })
    }

    /// Refuses a request that would be the first of its object or dead-letter stream, if there are too many.
    fn too_many_streams(&self, plan: &mut Plan, request: &Incoming) -> Option<AppendError> {
        let account = request.account.as_ref().filter(|account| !account.is_of_calls())?;
        let index = lock(&self.shared.index);
        let known = WithGroup { ledger: &index.ledger, new: &plan.new_streams };
        match self.shared.options.new_streams.begins(account, &known) {
            Ok(false) => {}
            Ok(true) => drop(plan.new_streams.insert(account.clone())),
            Err(refused) => return Some(refused),
        }
        None
    }

    /// The durable progress of a step's file, or that of an earlier step of this group.
    fn progress(&self, plan: &Plan, step: ImportStep) -> Option<ImportProgress> {
        let file = step.origin.file;
        plan.imports.get(&file).copied().or_else(|| lock(&self.shared.index).imports.progress(file))
    }

    /// Overwrites a repeat, which is not stored, with a frame that counts the request's repeats. Returns its
    /// length.
    fn note_repeats(&mut self, frame: &mut [u8], repeats: u32, salt: Salt) -> Option<usize> {
        if frame.is_empty() {
            return None;
        }
        let Some(len) = frame::into_repeats(frame, repeats) else {
            // Lines are JSON objects, so no frame of a line is too short for this.
            tracing::error!(
                "the repeats of a request would not be counted after a crash; this is a bug in Forebay"
            );
            return None;
        };
        frame::stamp(frame.get_mut(..len)?, self.next_position, salt);
        self.next_position += 1;
        Some(len)
    }

    /// The next segments, if `wanted` are prepared besides what is set aside for dead letters.
    fn next(&self, wanted: usize, may_use_last: bool) -> Result<MutexGuard<'_, NextSegments>, CommitError> {
        let mut next = lock(&self.shared.next);
        let wanted = if may_use_last { wanted } else { wanted + next.set_aside };
        if !may_use_last {
            next.wanted = wanted;
        }
        if next.prepared.len() < wanted { Err(CommitError::NoSpace { wanted }) } else { Ok(next) }
    }

    /// Closes the full segment and moves to the next one, which the housekeeper has made. The full one is
    /// closed even if there is no next one: once it is delivered, its space is used for the next.
    fn rotate(&mut self, full: Option<OpenSegment>, may_use_last: bool) -> Result<OpenSegment, CommitError> {
        if let Some(full) = full {
            self.close_segment(full.number);
        }
        let mut segments = self.next(1, may_use_last)?;
        let next = segments.prepared.pop_front().ok_or(CommitError::NoSpace { wanted: 1 })?;
        segments.wanted = segments.wanted.min(segments.set_aside);
        drop(segments);
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
        index.gather(self.next_position - 1);
    }

    /// Writes the clean close. Damage before this frame cannot be a torn write.
    pub(in crate::spool) fn close(mut self) -> Result<(), CommitError> {
        let mut bytes = Vec::new();
        let now = self.shared.clock.wall();
        let start = frame::begin(&mut bytes, FrameKind::CleanClose, (None, ""), now, None);
        frame::finish(&mut bytes, start, 0);
        let (account, import, only_if_new) = (None, None, Vec::new());
        self.commit(&mut [Incoming { account, received_at: now, received: 0, import, only_if_new, bytes }])
            .map(drop)
    }
}

impl Piece {
    fn add(&mut self, len: usize, line: u64) {
        self.bytes.end += len;
        self.frames += 1;
        self.lines += line;
    }
}

/// Counts a group. Requests of one account that stand together are summed first, because each count looks its
/// account up.
fn count_all(ledger: &mut Ledger, group: &[Incoming], counts: &[Row]) {
    let mut sum: Option<(&AccountKey, Hour, Row)> = None;
    for (request, counts) in group.iter().zip(counts) {
        let Some(account) = &request.account else { continue };
        let hour = Hour::of(request.received_at);
        match &mut sum {
            Some((of, at, sum)) if *at == hour && *of == account => sum.add(counts),
            _ => {
                if let Some((of, at, sum)) = sum.replace((account, hour, *counts)) {
                    count(ledger, of, at, &sum);
                }
            }
        }
    }
    if let Some((of, at, sum)) = sum {
        count(ledger, of, at, &sum);
    }
}

/// Counts a request. Its rejected items are counted with its source's calls, like those of every request.
fn count(ledger: &mut Ledger, account: &AccountKey, hour: Hour, counts: &Row) {
    let rejected = counts.rejected;
    if account.is_of_calls() || rejected == 0 {
        return ledger.count(account, hour, counts);
    }
    let received = counts.received.saturating_sub(rejected);
    ledger.count(account, hour, &Row { received, rejected: 0, ..*counts });
    let of_calls = AccountKey::of_calls(account.source.clone());
    ledger.count(&of_calls, hour, &Row::stored_in(&Stream::Rejected, rejected));
}

/// The file's progress after a step whose lines had this outcome.
fn after_step(before: ImportProgress, step: ImportStep, repeats: u64, counts: &Row) -> ImportProgress {
    ImportProgress {
        next_row: step.origin.last_row.saturating_add(1),
        stored: before.stored + counts.stored,
        repeats: before.repeats + repeats + step.known,
        refused: before.refused + counts.rejected,
        rejected: before.rejected + step.rejected,
        text: step.text,
    }
}

/// Why a step is refused: it does not begin at its file's next row.
fn other_row(step: ImportStep, progress: Option<ImportProgress>) -> Option<AppendError> {
    let next = progress.map(|progress| progress.next_row);
    if planted(PlantedBug::FirstRowUnchecked) && next.is_some() {
        return None;
    }
    (next != Some(step.origin.first_row)).then_some(AppendError::OtherRow { next })
}

impl Plan {
    /// Fills in the frame that records the progress of an import.
    fn note_progress(
        &mut self,
        index: usize,
        request: &mut Incoming,
        range: std::ops::Range<usize>,
        (progress, position, salt): (ImportProgress, u64, Salt),
    ) {
        let Some(bytes) = request.bytes.get_mut(range.clone()) else { return };
        frame::set_payload(bytes, &progress.encode());
        frame::stamp(bytes, position, salt);
        self.imports.extend(request.import.as_ref().map(|step| (step.origin.file, progress)));
        self.body_len += range.len();
        self.frames += 1;
        self.pieces.push((index, range));
    }

    fn close(&mut self, index: usize, request: &Incoming, piece: Option<Piece>) {
        let Some(piece) = piece else { return };
        let offset = self.body_at + self.body_len as u64;
        self.body_len += piece.bytes.len();
        if let Some(account) = request.account.as_ref().filter(|_| piece.kind.is_line()) {
            let run = Run {
                offset: u32::try_from(offset).unwrap_or(u32::MAX),
                len: u32::try_from(piece.bytes.len()).unwrap_or(u32::MAX),
                first: piece.first,
                frames: piece.frames,
            };
            let rejected = piece.kind == FrameKind::Rejected;
            let stream = if rejected { &Stream::Rejected } else { account.stream() };
            let day = request.received_at.day();
            let of_batch =
                |key: &BatchKey| key.source == account.source && key.day == day && key.stream == *stream;
            let last = self.adds.last_mut().filter(|(key, _)| of_batch(key));
            // One that is joined needs no look into the index of its own.
            if let Some((_, added)) = last
                && added.run.join(&run)
            {
                added.bytes += piece.lines;
            } else {
                let key = BatchKey { source: account.source.clone(), day, stream: stream.clone() };
                self.adds.push((key, Added { run, bytes: piece.lines, received_at: request.received_at }));
            }
        }
        self.pieces.push((index, piece.bytes));
    }
}
