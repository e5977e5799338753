//! The way into the spool: hands a request's frames to the commit loop and waits until they are on disk.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::boxed_future::BoxFuture;
use crate::lock::wait_while;
use crate::log::{
    Append, AppendError, Appended, InLog, LOCATION_FULL, LogId, RequestFrames, SPOOL_FULL, frame,
};
use crate::metrics::ReasonLabel;
use crate::planted_bugs::{PlantedBug, PlantedPanic, panic_if_planted, planted};
use crate::sources::SourceId;
use crate::spool::format::segment::{BLOCK_BODY_MAX, BLOCK_HEADER, SEGMENT_HEADER};
use crate::spool::shared::{PanicGuard, Shared, lock};
use crate::spool::writing::writer::{CommitError, Incoming, Outcome, Writer};
use crate::time::UnixMillis;

/// Bytes of frames that may wait for the disk. At the limit an append waits for [`QUEUE_WAIT`] and is then
/// refused as busy.
pub(crate) const QUEUE_BYTES_MAX: usize = 64 * 1_024 * 1_024;
/// How long an append waits for space in the queue.
pub(crate) const QUEUE_WAIT: Duration = Duration::from_secs(1);
/// The queue's space is counted in units of this many bytes, so at most 65,536 requests wait.
const QUEUE_UNIT: usize = 1_024;

impl Outcome {
    /// The same, for whoever appended to this log.
    pub(crate) fn appended_to(self, log: LogId) -> Appended {
        let stored_in = self.first.map(|first| InLog { log, first, frames: self.stored });
        Appended {
            stored: self.stored,
            repeats: self.repeats,
            stored_in: stored_in.into(),
            import: self.import,
        }
    }
}

#[derive(Debug)]
struct Waiting {
    incoming: Incoming,
    done: oneshot::Sender<Result<Outcome, AppendError>>,
    _room: OwnedSemaphorePermit,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    closed: bool,
}

#[derive(Debug)]
struct Line {
    shared: Arc<Shared>,
    queue: Mutex<Queue>,
    arrived: Condvar,
    room: Arc<Semaphore>,
}

impl Line {
    /// Bytes of frames that are written as one block: it must fit into a new segment. Only tests have
    /// segments so short that this matters.
    fn group_bytes_max(&self) -> usize {
        let headers = SEGMENT_HEADER + BLOCK_HEADER as u64;
        let in_segment = usize::try_from(self.shared.segment_bytes.saturating_sub(headers));
        in_segment.map_or(BLOCK_BODY_MAX, |in_segment| in_segment.min(BLOCK_BODY_MAX))
    }
}

/// Appends requests. Cheap to clone; every clone feeds the same commit loop.
#[derive(Clone, Debug)]
pub(crate) struct Appender {
    line: Arc<Line>,
}

impl Append for Appender {
    fn not_before(&self) -> UnixMillis {
        UnixMillis(self.line.shared.not_before.load(Ordering::Acquire))
    }

    fn append(&self, frames: RequestFrames) -> BoxFuture<'_, Result<Appended, AppendError>> {
        Box::pin(self.store(frames))
    }
}

impl Appender {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let line = Line {
            shared,
            queue: Mutex::new(Queue::default()),
            arrived: Condvar::new(),
            room: Arc::new(Semaphore::new(QUEUE_BYTES_MAX / QUEUE_UNIT)),
        };
        Self { line: Arc::new(line) }
    }

    /// See [`Append::append`].
    async fn store(&self, frames: RequestFrames) -> Result<Appended, AppendError> {
        let line = &self.line;
        if frames.bytes().len() > BLOCK_BODY_MAX || frames.has_oversize() {
            return Err(AppendError::TooLarge);
        }
        if line.shared.is_poisoned() {
            return Err(AppendError::Stopped);
        }
        // A call that is given up is in the spool already, and frees space there.
        let is_dead = frames.stream().is_dead();
        if let Some(error) = self.full(frames.source()).filter(|_| !is_dead) {
            return Err(self.refused(frames.source(), error));
        }
        if frames.is_empty() {
            return Ok(Appended::default());
        }
        let units = u32::try_from(frames.bytes().len().div_ceil(QUEUE_UNIT)).unwrap_or(u32::MAX);
        let room = tokio::time::timeout(QUEUE_WAIT, Arc::clone(&line.room).acquire_many_owned(units))
            .await
            .map_err(|_| AppendError::Busy)?
            .map_err(|_| AppendError::Stopped)?;
        let (done, answer) = oneshot::channel();
        let source = frames.source().clone();
        self.push(frames.into(), done, room)?;
        // What is still queued is refused, so this was being stored when the commit loop panicked.
        let outcome = answer.await.map_err(|_| AppendError::Unknown)?;
        let refused = |error| if is_dead { error } else { self.refused(&source, error) };
        let log = LogId(line.shared.ident.spool_id);
        outcome.map(|outcome| outcome.appended_to(log)).map_err(refused)
    }

    /// Why a source's requests are refused for now.
    fn full(&self, source: &SourceId) -> Option<AppendError> {
        let shared = &self.line.shared;
        if shared.full.load(Ordering::Acquire) {
            return Some(AppendError::Full);
        }
        let is_full_source =
            shared.any_full_source.load(Ordering::Acquire) && lock(&shared.full_sources).contains(source);
        is_full_source.then_some(AppendError::LocationFull)
    }

    /// Counts a request that is refused because there is no space.
    fn refused(&self, source: &SourceId, error: AppendError) -> AppendError {
        let shared = &self.line.shared;
        let reason = match error {
            AppendError::Full => {
                shared.refused_for_space.fetch_add(1, Ordering::AcqRel);
                SPOOL_FULL
            }
            AppendError::LocationFull => LOCATION_FULL,
            AppendError::TooLarge
            | AppendError::Busy
            | AppendError::NoBroker
            | AppendError::DayOver
            | AppendError::OtherRow { .. }
            | AppendError::Known { .. }
            | AppendError::TooManyStreams
            | AppendError::Unknown
            | AppendError::Stopped => return error,
        };
        let label = ReasonLabel { source: source.to_string(), reason };
        shared.metrics.refused.get_or_create(&label).inc();
        error
    }

    fn push(
        &self,
        incoming: Incoming,
        done: oneshot::Sender<Result<Outcome, AppendError>>,
        room: OwnedSemaphorePermit,
    ) -> Result<(), AppendError> {
        let mut queue = lock(&self.line.queue);
        if queue.closed {
            return Err(AppendError::Stopped);
        }
        if planted(PlantedBug::DedupeAnswersEarly) {
            let waiting =
                queue.waiting.iter().flat_map(|waiting| frame::fingerprints(&waiting.incoming.bytes));
            let known: Vec<u128> = waiting.collect();
            let new: Vec<u128> = frame::fingerprints(&incoming.bytes).collect();
            if new.iter().all(|new| *new != 0 && known.contains(new)) {
                let repeats = u32::try_from(new.len()).unwrap_or(u32::MAX);
                answer(done, Ok(Outcome { repeats, ..Outcome::default() }));
                return Ok(());
            }
        }
        queue.waiting.push_back(Waiting { incoming, done, _room: room });
        drop(queue);
        self.line.arrived.notify_one();
        Ok(())
    }

    /// Takes no more appends. Queued requests are still stored.
    pub(crate) fn close(&self) {
        lock(&self.line.queue).closed = true;
        self.line.room.close();
        self.line.arrived.notify_all();
    }

    /// The commit loop: takes the queued requests, up to one block, stores and syncs them, answers, and
    /// begins again. The next group gathers while a sync runs. Returns when the appender is closed and
    /// drained, or the spool has stopped.
    pub(crate) fn run(&self, mut writer: Writer) {
        let guard = (PanicGuard(Arc::clone(&self.line.shared)), CloseGuard(self));
        while let Some(group) = self.next_group() {
            panic_if_planted(PlantedPanic::Commit);
            if !self.commit(&mut writer, group, &mut |wanted| self.line.shared.wait_for_next(wanted)) {
                break;
            }
        }
        if !self.line.shared.is_poisoned()
            && let Err(error) = writer.close()
        {
            tracing::warn!(
                ?error,
                "the spool was not closed cleanly; nothing is lost, but the next start takes longer"
            );
        }
        drop(guard);
    }

    /// One turn of the commit loop, for a spool without threads: stores and answers queued requests without
    /// waiting for more. `make_next` makes the next segment and returns whether there is one. Returns whether
    /// the spool still runs; if not, queued requests are refused.
    #[cfg(any(test, feature = "testing", feature = "kafka"))]
    pub(crate) fn turn(&self, writer: &mut Writer, make_next: &mut dyn FnMut(usize) -> bool) -> bool {
        let group = take_group(&mut lock(&self.line.queue), self.line.group_bytes_max());
        let stands = group.is_none_or(|group| self.commit(writer, group, make_next));
        if !stands {
            drop(CloseGuard(self));
        }
        stands
    }

    /// Whether the queue is empty.
    #[cfg(any(test, feature = "testing", feature = "kafka"))]
    pub(crate) fn is_idle(&self) -> bool {
        lock(&self.line.queue).waiting.is_empty()
    }

    fn next_group(&self) -> Option<Vec<Waiting>> {
        let idle = |queue: &mut Queue| queue.waiting.is_empty() && !queue.closed;
        let mut queue = wait_while(&self.line.arrived, lock(&self.line.queue), idle);
        take_group(&mut queue, self.line.group_bytes_max())
    }

    /// Commits one group and answers it. Returns whether the spool still runs.
    fn commit(
        &self,
        writer: &mut Writer,
        group: Vec<Waiting>,
        wait_for_next: &mut dyn FnMut(usize) -> bool,
    ) -> bool {
        let Err((refusal, group)) = self.store_group(writer, group, wait_for_next) else { return true };
        let stopped = match refusal {
            CommitError::Unknown => Some(AppendError::Unknown),
            CommitError::Stopped => Some(AppendError::Stopped),
            CommitError::NoSpace { .. } => None,
        };
        if let Some(error) = stopped {
            refuse(group, error);
            return false;
        }
        // What is set aside for dead letters is not for requests that came with them.
        let (dead, others): (Vec<_>, Vec<_>) =
            group.into_iter().partition(|waiting| waiting.incoming.may_use_last());
        let is_mixed = !others.is_empty() && !dead.is_empty();
        refuse(others, AppendError::Full);
        if is_mixed {
            return self.commit(writer, dead, wait_for_next);
        }
        refuse(dead, AppendError::Full);
        true
    }

    /// Commits one group and answers it, or returns it.
    fn store_group(
        &self,
        writer: &mut Writer,
        group: Vec<Waiting>,
        wait_for_next: &mut dyn FnMut(usize) -> bool,
    ) -> Result<(), (CommitError, Vec<Waiting>)> {
        let (mut incoming, answers): (Vec<_>, Vec<_>) =
            group.into_iter().map(|waiting| (waiting.incoming, (waiting.done, waiting._room))).unzip();
        let mut result = writer.commit(&mut incoming);
        // The next segment may not be ready yet. A group that found no space has changed nothing, so it can
        // be retried.
        while let Err(CommitError::NoSpace { wanted }) = result
            && wait_for_next(wanted)
        {
            result = writer.commit(&mut incoming);
        }
        match result {
            Ok(outcomes) => {
                for ((done, _room), outcome) in answers.into_iter().zip(outcomes) {
                    answer(done, outcome.refused.map_or(Ok(outcome), Err));
                }
                Ok(())
            }
            Err(refusal) => {
                let waiting = incoming.into_iter().zip(answers);
                let group = waiting.map(|(incoming, (done, _room))| Waiting { incoming, done, _room });
                Err((refusal, group.collect()))
            }
        }
    }
}

fn refuse(group: impl IntoIterator<Item = Waiting>, error: AppendError) {
    for Waiting { done, .. } in group {
        answer(done, Err(error));
    }
}

/// All queued requests, up to so many bytes; at least one.
fn take_group(queue: &mut Queue, bytes_max: usize) -> Option<Vec<Waiting>> {
    let mut group = Vec::new();
    let mut bytes = 0;
    while let Some(next) = queue.waiting.front() {
        bytes += next.incoming.bytes.len();
        if bytes > bytes_max && !group.is_empty() {
            break;
        }
        group.extend(queue.waiting.pop_front());
    }
    (!group.is_empty()).then_some(group)
}

fn answer(done: oneshot::Sender<Result<Outcome, AppendError>>, result: Result<Outcome, AppendError>) {
    if done.send(result).is_err() {
        tracing::trace!("a client hung up; its calls are stored anyway");
    }
}

/// Refuses the requests that are still queued when the commit loop ends. None of them was written.
struct CloseGuard<'a>(&'a Appender);

impl Drop for CloseGuard<'_> {
    fn drop(&mut self) {
        self.0.close();
        let queued = std::mem::take(&mut lock(&self.0.line.queue).waiting);
        refuse(queued, AppendError::Stopped);
    }
}
