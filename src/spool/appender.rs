//! The way into the spool: hands a request's frames to the commit loop and waits until they are on disk.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::RequestFrames;
use super::frame;
use super::segment::BLOCK_BODY_MAX;
use super::shared::{PanicGuard, Shared, lock};
use super::writer::{CommitError, Incoming, Outcome, Writer};
use crate::metrics::RefusedLabel;
use crate::planted::{PlantedBug, PlantedPanic, panic_if_planted, planted};
use crate::sources::SourceId;
use crate::time::UnixMillis;

/// The error code of [`AppendError::Full`].
pub const SPOOL_FULL: &str = "spool_full";
/// The error code of [`AppendError::DestinationFull`].
pub const DESTINATION_FULL: &str = "destination_full";
/// Bytes of frames that may wait for the disk. At the limit an append waits [`QUEUE_WAIT`], then is refused as busy.
pub const QUEUE_BYTES_MAX: usize = 64 * 1_024 * 1_024;
/// How long an append waits for room in the queue.
pub const QUEUE_WAIT: Duration = Duration::from_secs(1);
/// The queue counts in pieces of this many bytes, so at most 65,536 requests wait.
const QUEUE_UNIT: usize = 1_024;

/// What became of a request's frames, all of which are now on stable storage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Appended {
    /// Frames stored, of calls and of what was rejected.
    pub stored: u32,
    /// Calls that were repeats of calls already on stable storage.
    pub repeats: u32,
    /// The position of the first frame stored; the others follow without a gap. `None` where none was stored.
    pub first: Option<u64>,
}

impl From<Outcome> for Appended {
    fn from(outcome: Outcome) -> Self {
        Self { stored: outcome.stored, repeats: outcome.repeats, first: outcome.first }
    }
}

/// Why a request's frames are not stored. None of them is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// More lines than one block of the spool holds: 400, since it will never fit.
    #[error("the request's lines are longer than one block of the spool")]
    TooLarge,
    /// The queue before the disk stayed full for its bounded wait: 503.
    #[error("the queue before the disk is full")]
    Busy,
    /// No space: the disk is full or the spool's cap is reached: 503.
    #[error("the spool is full")]
    Full,
    /// The source's destination fails, and what waits for it has used its share of the spool: 503, for the sources of that
    /// destination alone.
    #[error("the destination of this source takes nothing, and its share of the spool is used")]
    DestinationFull,
    /// The day of its `receivedAt` ended while it waited, and is not to be added to: 503, the next try gets a new one.
    #[error("the day in which the request was received is over and closed")]
    DayOver,
    /// The spool has stopped: a write or sync failed, or the process is shutting down: 503.
    #[error("the spool has stopped")]
    Stopped,
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

/// Appends requests. Cheap to clone; every clone feeds the same commit loop.
#[derive(Clone, Debug)]
pub struct Appender {
    line: Arc<Line>,
}

impl Appender {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let line = Line {
            shared,
            queue: Mutex::new(Queue::default()),
            arrived: Condvar::new(),
            room: Arc::new(Semaphore::new(QUEUE_BYTES_MAX / QUEUE_UNIT)),
        };
        Self { line: Arc::new(line) }
    }

    /// The spool id, as it stands in object names.
    pub fn spool_id(&self) -> String {
        self.line.shared.ident.spool_id_hex()
    }

    /// Stores the frames and waits for the sync that covers them.
    ///
    /// `Ok` means every frame is on stable storage. Cancelling the future does not withdraw frames that already wait.
    ///
    /// # Errors
    /// [`AppendError`]; then no frame of the request has been, or will be, answered as stored.
    pub async fn append(&self, frames: RequestFrames) -> Result<Appended, AppendError> {
        let line = &self.line;
        if frames.bytes().len() > BLOCK_BODY_MAX || frames.has_oversize() {
            return Err(AppendError::TooLarge);
        }
        if line.shared.is_poisoned() {
            return Err(AppendError::Stopped);
        }
        if line.shared.full.load(Ordering::Acquire) {
            return Err(self.refused(frames.source(), AppendError::Full));
        }
        if line.shared.any_full_source.load(Ordering::Acquire)
            && lock(&line.shared.full_sources).contains(frames.source())
        {
            return Err(self.refused(frames.source(), AppendError::DestinationFull));
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
        let outcome = answer.await.map_err(|_| AppendError::Stopped)?;
        outcome.map(Appended::from).map_err(|error| self.refused(&source, error))
    }

    /// Counts a request that is refused for want of room.
    fn refused(&self, source: &SourceId, error: AppendError) -> AppendError {
        let shared = &self.line.shared;
        let reason = match error {
            AppendError::Full => {
                shared.refused_for_space.fetch_add(1, Ordering::AcqRel);
                SPOOL_FULL
            }
            AppendError::DestinationFull => DESTINATION_FULL,
            AppendError::TooLarge | AppendError::Busy | AppendError::DayOver | AppendError::Stopped => {
                return error;
            }
        };
        let label = RefusedLabel { source: source.to_string(), reason };
        shared.metrics.refused.get_or_create(&label).inc();
        error
    }

    /// The earliest `receivedAt` that is taken: the first instant behind the days that are over.
    pub fn not_before(&self) -> UnixMillis {
        UnixMillis(self.line.shared.not_before.load(Ordering::Acquire))
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

    /// Takes no more appends; those that wait are still stored.
    pub(super) fn close(&self) {
        lock(&self.line.queue).closed = true;
        self.line.room.close();
        self.line.arrived.notify_all();
    }

    /// The commit loop: takes all that waits, up to one block, stores and syncs it, answers, and begins again. The running
    /// sync is the window in which the next group gathers. Returns when the appender is closed and drained, or the spool
    /// has stopped.
    pub(super) fn run(&self, mut writer: Writer) {
        let guard = (PanicGuard(Arc::clone(&self.line.shared)), CloseGuard(self));
        while let Some(group) = self.next_group() {
            panic_if_planted(PlantedPanic::Commit);
            if !self.commit(&mut writer, group, &mut || self.line.shared.wait_for_next()) {
                break;
            }
        }
        if !self.line.shared.is_poisoned()
            && let Err(error) = writer.close()
        {
            tracing::warn!(
                ?error,
                "the spool was not closed in order; nothing is lost, the next start takes longer"
            );
        }
        drop(guard);
    }

    /// One turn of the commit loop for a spool without threads: stores and answers what waits, without waiting for more.
    /// `make_next` makes the next segment and returns whether there is one. Returns whether the spool still stands; where it
    /// does not, whoever waits is told.
    pub(super) fn turn(&self, writer: &mut Writer, make_next: &mut dyn FnMut() -> bool) -> bool {
        let group = take_group(&mut lock(&self.line.queue));
        let stands = group.is_none_or(|group| self.commit(writer, group, make_next));
        if !stands {
            drop(CloseGuard(self));
        }
        stands
    }

    /// Whether nobody waits.
    pub(super) fn is_idle(&self) -> bool {
        lock(&self.line.queue).waiting.is_empty()
    }

    fn next_group(&self) -> Option<Vec<Waiting>> {
        let idle = |queue: &mut Queue| queue.waiting.is_empty() && !queue.closed;
        let queue = self.line.arrived.wait_while(lock(&self.line.queue), idle);
        take_group(&mut queue.unwrap_or_else(PoisonError::into_inner))
    }

    /// Commits one group and answers it. Returns whether the spool still stands.
    fn commit(
        &self,
        writer: &mut Writer,
        group: Vec<Waiting>,
        wait_for_next: &mut dyn FnMut() -> bool,
    ) -> bool {
        let (mut incoming, answers): (Vec<_>, Vec<_>) =
            group.into_iter().map(|waiting| (waiting.incoming, (waiting.done, waiting._room))).unzip();
        let mut result = writer.commit(&mut incoming);
        // The next segment may only not be ready yet. A group that found no space has changed nothing.
        while result == Err(CommitError::NoSpace) && wait_for_next() {
            result = writer.commit(&mut incoming);
        }
        let refusal = match result {
            Ok(outcomes) => {
                for ((done, _room), outcome) in answers.into_iter().zip(outcomes) {
                    answer(done, if outcome.too_late { Err(AppendError::DayOver) } else { Ok(outcome) });
                }
                return true;
            }
            Err(CommitError::NoSpace) => AppendError::Full,
            Err(CommitError::Stopped) => AppendError::Stopped,
        };
        for (done, _room) in answers {
            answer(done, Err(refusal));
        }
        refusal != AppendError::Stopped
    }
}

/// All that waits, up to one block; at least one.
fn take_group(queue: &mut Queue) -> Option<Vec<Waiting>> {
    let mut group = Vec::new();
    let mut bytes = 0;
    while let Some(next) = queue.waiting.front() {
        bytes += next.incoming.bytes.len();
        if bytes > BLOCK_BODY_MAX && !group.is_empty() {
            break;
        }
        group.extend(queue.waiting.pop_front());
    }
    (!group.is_empty()).then_some(group)
}

fn answer(done: oneshot::Sender<Result<Outcome, AppendError>>, result: Result<Outcome, AppendError>) {
    if done.send(result).is_err() {
        tracing::trace!("a client hung up; its calls are stored all the same");
    }
}

/// Whoever still waits when the commit loop is gone learns that the answer is no: dropping a sender answers "stopped".
struct CloseGuard<'a>(&'a Appender);

impl Drop for CloseGuard<'_> {
    fn drop(&mut self) {
        self.0.close();
        lock(&self.0.line.queue).waiting.clear();
    }
}
