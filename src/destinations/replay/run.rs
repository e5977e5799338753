//! One replay: stored calls are read, given to the lanes of a destination, and noted once they are delivered.

use std::collections::{BTreeSet, VecDeque};
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::task::coop::consume_budget;
use tokio_util::sync::CancellationToken;

use super::failed_calls::FailedCalls;
use super::lanes::{Lanes, ReplayDeps};
use super::order::{ReplayError, ReplayFrom, ReplayOrder, Sent, Shelf, Standing};
use super::stored_call::StoredLine;
use crate::archive::bucket::Got;
use crate::archive::{Archive, Objects, Span, StoredLines};
use crate::destinations::dead_letter::Letters;
use crate::destinations::progress::Progress;
use crate::destinations::settings::DestinationSettings;
use crate::object::replay_note::{Lines, NOTE_BYTES_MAX, ReplayNote};
use crate::object::{ObjectKey, Stream};
use crate::sources::SourceId;
use crate::time::{Clock, UnixMillis};

/// The longest object that is read, in bytes as stored: many times that of a batch.
const OBJECT_BYTES_MAX: u64 = 1 << 30;
/// Objects whose calls are being sent at a time.
const OPEN_OBJECTS_MAX: usize = 64;

/// What was counted, also for those who watch.
#[derive(Debug, Default)]
struct Counts {
    objects: AtomicU64,
    given: AtomicU64,
    not_taken: AtomicU64,
}

fn count(of: &AtomicU64) -> u64 {
    of.load(Ordering::Relaxed)
}

/// How far a replay is, for those who watch.
#[derive(Clone, Debug)]
pub struct Watch {
    counts: Arc<Counts>,
    functions: Vec<Arc<Progress>>,
}

impl Watch {
    /// How far it is now.
    pub fn standing(&self) -> Standing {
        let (objects, given) = (count(&self.counts.objects), count(&self.counts.given));
        let mut standing = Standing { objects, given, ..Standing::default() };
        for function in &self.functions {
            let seen = function.seen();
            standing.delivered += seen.succeeded();
            standing.failed += seen.all_dead();
            standing.in_flight += seen.in_flight;
            standing.failing =
                standing.failing.or_else(|| seen.failing.as_ref().map(|failure| failure.class));
        }
        standing
    }
}

/// An object, or a file, whose calls are being sent.
#[derive(Debug)]
struct Open {
    archive: Arc<Archive>,
    /// The key of its note, and its own; `None` if nothing is noted.
    noted: Option<(ObjectKey, ObjectKey)>,
    sent: SentLines,
    /// The position of the last call that was given until then.
    last: u64,
}

/// Calls that are sent again.
#[derive(Debug)]
pub struct Replay {
    order: ReplayOrder,
    stop: CancellationToken,
    lanes: Lanes,
    failed: Arc<FailedCalls>,
    counts: Arc<Counts>,
    clock: Arc<dyn Clock>,
    open: VecDeque<Open>,
    /// Objects that could not be read, or not to their end.
    unreadable: Vec<String>,
    /// Why what was delivered can no longer be noted.
    noted: Result<(), String>,
}

impl Replay {
    /// Begins with no calls. `stop` ends it in order.
    pub fn start(
        settings: DestinationSettings,
        order: ReplayOrder,
        deps: ReplayDeps,
        stop: CancellationToken,
    ) -> Self {
        let clock = Arc::clone(&deps.clock);
        let failed = Arc::new(FailedCalls::new(order.failed.clone()));
        let letters: Arc<dyn Letters> = Arc::<FailedCalls>::clone(&failed);
        let lanes = Lanes::start(settings, deps, &letters);
        Self {
            order,
            stop,
            lanes,
            failed,
            counts: Arc::default(),
            clock,
            open: VecDeque::new(),
            unreadable: Vec::new(),
            noted: Ok(()),
        }
    }

    /// For those who watch it.
    pub fn watch(&self) -> Watch {
        Watch { counts: Arc::clone(&self.counts), functions: self.lanes.functions() }
    }

    /// Sends what was ordered, from these shelves if it comes from buckets.
    /// Errors: [`ReplayError`]; what was delivered until then is noted.
    pub async fn run(mut self, shelves: &[Shelf]) -> Result<Sent, ReplayError> {
        let read = match self.order.from.clone() {
            ReplayFrom::File(path) => self.file(&path).await,
            ReplayFrom::Dlq | ReplayFrom::Time(_) => self.bucket(shelves).await,
        };
        let finished = match read {
            Ok(None) if !self.order.dry_run => tokio::select! {
                finished = self.lanes.finishes_through(count(&self.counts.given)) => finished,
                () = self.stop.cancelled() => Ok(()),
            },
            _ => Ok(()),
        };
        // Calls that were delivered are noted even if the reading failed or was stopped.
        self.lanes.stop().await;
        while let Some(open) = self.open.pop_front() {
            self.settle(open).await?;
        }
        finished?;
        let stopped_in = read?.or_else(|| self.stop.is_cancelled().then(|| "the last calls".to_owned()));
        let failed = self.failed.by_class();
        Ok(Sent {
            delivered: self.lanes.functions().iter().map(|one| one.seen().succeeded()).sum(),
            given: count(&self.counts.given),
            not_taken: count(&self.counts.not_taken),
            objects: count(&self.counts.objects),
            failed: failed.into_iter().map(|(class, (n, what))| (class, n, what)).collect(),
            failed_file: self.failed.written(),
            unreadable: self.unreadable,
            not_noted: self.noted.err(),
            stopped_in,
        })
    }

    /// Sends the calls of a file. Returns where a signal stopped it.
    async fn file(&mut self, path: &Path) -> Result<Option<String>, ReplayError> {
        let unread = |cause| ReplayError::File(path.to_owned(), cause);
        let lines = StoredLines::new(File::open(path).map_err(unread)?).map_err(unread)?;
        let name = path.display().to_string();
        self.lines(&name, lines, (None, None), &mut SentLines::default()).await?;
        self.counts.objects.fetch_add(1, Ordering::Relaxed);
        Ok(self.stop.is_cancelled().then_some(name))
    }

    /// Sends the calls of buckets. Returns where a signal stopped it.
    async fn bucket(&mut self, shelves: &[Shelf]) -> Result<Option<String>, ReplayError> {
        let span = match self.order.from {
            ReplayFrom::Time(from) => Span { from: Some(from.day()), to: self.order.to.map(UnixMillis::day) },
            ReplayFrom::Dlq | ReplayFrom::File(_) => Span::default(),
        };
        for Shelf { archive, source, streams } in shelves {
            for stream in streams {
                let mut objects = Objects::new(archive, stream, source, span);
                while let Some(listed) = objects.next().await? {
                    self.object(archive, (source, stream), &listed.key).await?;
                    if self.stop.is_cancelled() {
                        return Ok(Some(listed.key.to_string()));
                    }
                    self.settle_finished().await?;
                }
            }
        }
        Ok(None)
    }

    async fn object(
        &mut self,
        archive: &Arc<Archive>,
        known: (&SourceId, &Stream),
        key: &ObjectKey,
    ) -> Result<(), ReplayError> {
        let note = match self.order.from {
            ReplayFrom::Dlq => ReplayNote::key(archive.bucket(), key),
            ReplayFrom::Time(_) | ReplayFrom::File(_) => None,
        };
        let before = match &note {
            Some(note) if !self.order.again => self.note(archive, note).await?,
            _ => None,
        };
        if before.as_ref().is_some_and(Lines::is_empty) {
            return Ok(());
        }
        let unreadable = match archive.bytes(key, OBJECT_BYTES_MAX).await? {
            Got::Read(Some(pieces)) => {
                self.counts.objects.fetch_add(1, Ordering::Relaxed);
                let lines = StoredLines::of_pieces(pieces)?;
                let mut sent = SentLines::default();
                let read = self.lines(key.as_str(), lines, (Some(known), before.as_ref()), &mut sent).await;
                if !self.order.dry_run {
                    self.open.push_back(Open {
                        archive: Arc::clone(archive),
                        // Of a damaged object nothing is noted: its other lines may be read later.
                        noted: note.filter(|_| !sent.is_damaged).map(|note| (note, key.clone())),
                        sent,
                        last: count(&self.counts.given),
                    });
                }
                return read;
            }
            // Its retention may have ended.
            Got::Gone => return Ok(()),
            Got::Read(None) => "it is longer than any that Forebay writes".to_owned(),
            Got::Archived(why) | Got::Damaged(why) => why,
        };
        self.unreadable.push(format!("{key}: {unreadable}"));
        Ok(())
    }

    /// The lines of an object that still have to be sent, if some were sent before.
    async fn note(&self, archive: &Archive, key: &ObjectKey) -> Result<Option<Lines>, ReplayError> {
        let unusable = |why: &str| {
            let text =
                "a note about what was sent again cannot be used; the object's dead letters are all sent";
            tracing::warn!(note = %key, why, "{text}");
            Ok(None)
        };
        match archive.bytes(key, NOTE_BYTES_MAX).await? {
            Got::Read(Some(pieces)) => match ReplayNote::read(&pieces.concat()) {
                Ok(note) => Ok(Some(note.remaining)),
                Err(why) => unusable(&why),
            },
            Got::Read(None) => unusable("it is too long"),
            Got::Archived(why) | Got::Damaged(why) => unusable(&why),
            Got::Gone => Ok(None),
        }
    }

    /// Gives the calls of lines.
    async fn lines(
        &mut self,
        name: &str,
        lines: StoredLines<'_>,
        (known, before): (Option<(&SourceId, &Stream)>, Option<&Lines>),
        sent: &mut SentLines,
    ) -> Result<(), ReplayError> {
        for line in lines {
            sent.lines += 1;
            let (number, line) = match line {
                Ok(line) => line,
                Err(error) => {
                    sent.is_damaged = true;
                    self.unreadable.push(format!("{name}: {error}"));
                    break;
                }
            };
            if before.is_some_and(|remaining| !remaining.has(number)) {
                continue;
            }
            let Some(stored) = StoredLine::of(&line, known) else {
                sent.is_damaged = true;
                self.unreadable.push(format!("{name}: line {number} is no call or dead letter"));
                continue;
            };
            if self.stop.is_cancelled() || !self.is_wanted(&stored) {
                sent.left.push(number);
                continue;
            }
            if self.order.dry_run {
                let taken = self.lanes.function_of(&stored.call).is_some();
                let count = if taken { &self.counts.given } else { &self.counts.not_taken };
                count.fetch_add(1, Ordering::Relaxed);
                consume_budget().await;
                continue;
            }
            let position = tokio::select! {
                biased;
                () = self.stop.cancelled() => {
                    sent.left.push(number);
                    continue;
                }
                position = self.lanes.give(stored.call) => position,
            };
            match position? {
                Some(position) => {
                    sent.add(number, position);
                    self.counts.given.fetch_add(1, Ordering::Relaxed);
                }
                // Another configuration may take it.
                None => {
                    sent.left.push(number);
                    self.counts.not_taken.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        Ok(())
    }

    fn is_wanted(&self, stored: &StoredLine) -> bool {
        let of_class = self.order.class.as_ref().is_none_or(|class| stored.class.as_ref() == Some(class));
        let of_source = self.order.source.as_ref().is_none_or(|only| *only == stored.call.source);
        let in_time = match (&self.order.from, stored.received_at) {
            (ReplayFrom::Time(from), Some(at)) => at >= *from && self.order.to.is_none_or(|to| at < to),
            (ReplayFrom::Time(_), None) => false,
            _ => true,
        };
        of_class && of_source && in_time
    }

    /// Notes what of finished objects was delivered, and waits if too many are not finished.
    async fn settle_finished(&mut self) -> Result<(), ReplayError> {
        while let Some(oldest) = self.open.front() {
            let last = oldest.last;
            if self.lanes.finished_through() < last {
                if self.open.len() < OPEN_OBJECTS_MAX {
                    break;
                }
                tokio::select! {
                    finished = self.lanes.finishes_through(last) => finished?,
                    () = self.stop.cancelled() => break,
                }
            }
            if let Some(open) = self.open.pop_front() {
                self.settle(open).await?;
            }
        }
        Ok(())
    }

    /// Notes what of an object was delivered.
    async fn settle(&mut self, open: Open) -> Result<(), ReplayError> {
        let failed = self.failed.take(open.last);
        let Some((note, object)) = open.noted else { return Ok(()) };
        let finished = self.lanes.finished_through();
        let mut remaining: BTreeSet<u64> = open.sent.left.into_iter().collect();
        for (line, position, len) in open.sent.runs {
            let failed = failed.range(position..position + len).copied();
            let unfinished = (finished + 1).max(position)..position + len;
            remaining.extend(failed.chain(unfinished).map(|at| line + (at - position)));
        }
        let mut lines = Lines::default();
        remaining.into_iter().for_each(|line| lines.push(line));
        let written = ReplayNote::new(&object, self.clock.wall(), open.sent.lines, lines);
        let text = written.text().map_err(io::Error::from)?;
        if self.noted.is_ok() {
            self.noted = open.archive.put_note(note, text).await.map_err(|error| error.to_string());
        }
        Ok(())
    }
}

/// The lines of one object or file that were handed to lanes.
#[derive(Debug, Default)]
struct SentLines {
    /// Lines, and their positions, in order: first line, first position, count.
    runs: Vec<(u64, u64, u64)>,
    /// Lines that were not handed over although they were not sent before.
    left: Vec<u64>,
    /// All lines of the object.
    lines: u64,
    /// Whether some could not be read.
    is_damaged: bool,
}

impl SentLines {
    fn add(&mut self, line: u64, position: u64) {
        match self.runs.last_mut() {
            Some((first, at, len)) if *first + *len == line && *at + *len == position => *len += 1,
            _ => self.runs.push((line, position, 1)),
        }
    }
}
