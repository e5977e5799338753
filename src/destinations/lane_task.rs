//! Runs one lane: reads the log, sends calls, and stores dead letters.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{RwLock, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::age::Ages;
use super::class::Class;
use super::dead_letter::{Letter, Letters};
use super::disk_work::DiskWork;
use super::invoke::{Carried, Invoke, Invoked, Outgoing, Unusable};
use super::lane::{Fate, Lane, LaneSettings, Now};
use super::outcome::Failure;
use super::positions::{Ahead, Kept, LaneId, Loss, Losses, Route, add_loss};
use super::progress::{Progress, counted_type};
use super::queue::{Queue, QueueReadThrough};
use super::reaction::Bounds;
use super::read_ahead::{New, Turn};
use super::records::Record;
use super::select::Head;
use super::settings::{DestinationSettings, FORWARD, URL};
use crate::log::frame::Frame;
use crate::log::{AppendError, Follow, Go, Read};
use crate::metrics::{InvocationLabel, Metrics};
use crate::once_a_minute::OnceAMinute;
use crate::planted_bugs::{PlantedBug, planted};
use crate::random::Random;
use crate::sources::SourceId;
use crate::tasks::{Panicked, caught, joined};
use crate::time::{Clock, UnixMillis, whole_millis};
use crate::words::Told;

/// Lines that are read at a time.
const READ_LINES: usize = 1_000;
/// Bytes of lines that are read at a time.
const READ_BYTES: usize = 512 << 10;
/// Characters of a request id or version that are kept: many times what AWS sends.
const SHOWN_CHARACTERS_MAX: usize = 200;
/// How often an idle lane looks for new lines: the log does not say when it grows.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How often the lane notes which calls are finished behind one that waits.
const AHEAD_EVERY: Duration = Duration::from_millis(100);
/// How often a lane looks for calls that have become too old.
const EXPIRE_EVERY: Duration = Duration::from_secs(1);
/// Calls that become dead letters at a time because they are too old.
const EXPIRE_MOST: usize = 100;
/// How long to wait before a dead letter that the log did not take is tried again.
const BURY_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// How a lane works now.
#[derive(Clone, Debug)]
pub(super) struct Orders {
    /// Which calls it takes.
    pub(super) routes: Vec<Route>,
    /// The destination's settings.
    pub(super) settings: DestinationSettings,
    /// What sends.
    pub(super) invoke: Arc<dyn Invoke>,
    /// Whether the settings are those of the destination. If not, `invoke` says why, and calls wait.
    pub(super) is_usable: bool,
}

impl Orders {
    fn lane(&self, function: &str) -> LaneSettings {
        let settings = &self.settings;
        LaneSettings {
            concurrency: settings.concurrency,
            batch: settings.batch.map_or(1, |batch| batch.calls),
            in_order: settings.in_order,
            bounds: Bounds {
                max_age: settings.max_age,
                retry_execution_errors: settings.retry_execution_errors,
                refuses_calls: function == URL,
                knows_repeats: function == FORWARD,
            },
        }
    }
}

/// A call that was read and is not finished.
#[derive(Clone, Debug)]
struct Taken {
    position: u64,
    source: SourceId,
    received_at: UnixMillis,
    head: Head,
    line: Bytes,
}

/// Calls that were read together.
struct Chunk {
    place: QueueReadThrough,
    taken: Vec<Taken>,
    lost: Losses,
}

enum Ended {
    Invoked { calls: Vec<(u64, u32)>, took: Duration, invoked: Box<Invoked> },
    Buried { position: u64, class: Class, result: Result<(), AppendError> },
}

/// What a lane works with.
#[derive(Clone, Debug)]
pub(super) struct LaneDeps {
    /// The log to follow.
    pub(super) follow: Arc<dyn Follow>,
    /// Where dead letters go.
    pub(super) letters: Arc<dyn Letters>,
    /// Metrics.
    pub(super) metrics: Metrics,
    /// Time.
    pub(super) clock: Arc<dyn Clock>,
    /// Chance.
    pub(super) random: Arc<dyn Random>,
    /// Where work that waits for the disk runs.
    pub(super) disk_work: DiskWork,
}

/// What steers a lane.
#[derive(Clone)]
pub(super) struct Steered {
    /// How the lane works.
    pub(super) orders: watch::Receiver<Arc<Orders>>,
    /// Held while lines are read, so that neither the orders nor the place of the lines change meanwhile.
    pub(super) reading: Arc<RwLock<()>>,
    /// Calls up to here become dead letters, because they take more of the disk than they may.
    pub(super) give_up_through: Arc<AtomicU64>,
}

/// One lane.
pub(super) struct LaneTask {
    deps: LaneDeps,
    id: LaneId,
    steered: Steered,
    current: Arc<Orders>,
    lane: Lane,
    ages: Ages,
    /// Its lines that are no longer in the log, if it may have any.
    queue: Option<Arc<Queue>>,
    place: QueueReadThrough,
    calls: BTreeMap<u64, Taken>,
    /// Calls that are sent alone, because a batch with them was refused.
    alone: BTreeSet<u64>,
    flying: JoinSet<Ended>,
    invocations: usize,
    progress: Arc<Progress>,
    names: (Arc<str>, Arc<str>),
    expire_at: Duration,
    /// Limits the log lines about dead letters that the log did not take.
    not_buried: OnceAMinute<()>,
    /// Limits the log lines about dead letters of refused sources.
    crowded: OnceAMinute<()>,
    /// No dead letters before this time, because the log did not take one.
    bury_at: Duration,
    /// Calls that an earlier run finished behind one that waited.
    before: Option<Ahead>,
    /// When the lane next notes which calls are finished behind one that waits.
    ahead_at: Duration,
}

impl LaneTask {
    pub(super) fn new(
        deps: LaneDeps,
        id: LaneId,
        mut steered: Steered,
        queue: Option<Arc<Queue>>,
        progress: Arc<Progress>,
    ) -> Self {
        let finished = progress.finished_through();
        let before = progress.seen().ahead.clone();
        let current = Arc::clone(&steered.orders.borrow_and_update());
        Self {
            lane: Lane::new(finished, current.lane(&id.function)),
            ages: Ages::new(deps.follow.durable_through(), deps.clock.monotonic(), deps.clock.wall()),
            names: (id.destination.as_str().into(), id.function.as_str().into()),
            deps,
            id,
            steered,
            not_buried: OnceAMinute::default(),
            crowded: OnceAMinute::default(),
            current,
            queue,
            place: QueueReadThrough::after(finished),
            calls: BTreeMap::new(),
            alone: BTreeSet::new(),
            flying: JoinSet::new(),
            invocations: 0,
            progress,
            expire_at: Duration::ZERO,
            bury_at: Duration::ZERO,
            before,
            ahead_at: Duration::ZERO,
        }
    }

    /// Runs until `stop`; then waits for the invocations under way until `abort`.
    pub(super) async fn run(mut self, stop: CancellationToken, abort: CancellationToken) {
        while !stop.is_cancelled() {
            self.follow_orders();
            self.read(&stop).await;
            if stop.is_cancelled() {
                break;
            }
            self.expire();
            let next = self.send();
            self.show();
            let now = self.deps.clock.monotonic();
            let wait = next.map_or(LOOK_EVERY, |at| at.saturating_sub(now)).min(LOOK_EVERY);
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                Some(ended) = self.flying.join_next() => {
                    joined(ended).into_iter().for_each(|ended| self.ended(ended));
                    while let Some(ended) = self.flying.try_join_next().and_then(joined) {
                        self.ended(ended);
                    }
                }
                () = tokio::time::sleep(wait) => {}
            }
        }
        loop {
            tokio::select! {
                biased;
                () = abort.cancelled() => break,
                ended = self.flying.join_next() => match ended.and_then(joined) {
                    Some(ended) => self.ended(ended),
                    None => break,
                }
            }
        }
        self.ahead_at = Duration::ZERO;
        self.show();
    }

    fn follow_orders(&mut self) {
        if self.steered.orders.has_changed().unwrap_or(false) {
            let before =
                std::mem::replace(&mut self.current, Arc::clone(&self.steered.orders.borrow_and_update()));
            self.lane.set(self.current.lane(&self.id.function));
            // A change of another destination does not concern this lane.
            if before.settings != self.current.settings || before.is_usable != self.current.is_usable {
                self.lane.try_again();
            }
        }
    }

    /// Shows people how far the lane is.
    fn show(&mut self) {
        self.progress.finish_through(self.lane.finished_through());
        let waiting = self.lane.read_ahead().unfinished();
        let queued = self.queue.as_ref().map_or(0, |queue| queue.bytes());
        let read_through = self.place.through();
        let unread =
            self.queue.as_ref().map(|queue| (queue.calls_after(read_through), queue.copied_through()));
        let oldest = self.lane.read_ahead().oldest();
        let refused = self.lane.refused_sources();
        let now = self.deps.clock.monotonic();
        let ahead = (now >= self.ahead_at).then(|| {
            self.ahead_at = now.saturating_add(AHEAD_EVERY);
            self.lane.read_ahead().ahead(self.before.as_ref())
        });
        let mut seen = self.progress.seen();
        if let Some(ahead) = ahead {
            seen.ahead = ahead;
        }
        seen.waiting = waiting;
        seen.queued = queued;
        (seen.read_through, seen.unread) = (read_through, unread.unwrap_or_default());
        seen.oldest = oldest.and_then(|position| self.calls.get(&position)).map(|call| call.received_at);
        seen.in_flight = self.invocations;
        seen.circuit = self.lane.circuit();
        seen.refused = refused;
        if seen.failing.as_ref() != self.lane.failing() {
            seen.failing = self.lane.failing().cloned();
        }
        seen.failing_since = match (&seen.failing, seen.failing_since) {
            (None, _) => None,
            (Some(_), Some(since)) => Some(since),
            (Some(_), None) => Some(self.deps.clock.monotonic()),
        };
    }

    /// Reads what the read-ahead has room for.
    async fn read(&mut self, stop: &CancellationToken) {
        self.ages.note(self.deps.follow.durable_through(), self.deps.clock.monotonic());
        if !self.lane.read_ahead().has_room() || self.deps.follow.durable_through() <= self.place.through() {
            return;
        }
        // Orders may have changed before it was taken.
        let reading = Arc::clone(&self.steered.reading).read_owned().await;
        if stop.is_cancelled() {
            return;
        }
        self.follow_orders();
        let (queue, follow, place) = (self.queue.clone(), Arc::clone(&self.deps.follow), self.place);
        let (orders, function) = (Arc::clone(&self.current), Arc::clone(&self.names.1));
        let read = self
            .deps
            .disk_work
            .spawn(move || read_chunk((queue.as_deref(), &*follow), place, &orders.routes, &function));
        let Some(read) = joined(read.await) else { return };
        match read {
            Ok(Chunk { place, taken, lost }) => {
                self.place = place;
                let now = (self.deps.clock.monotonic(), self.deps.clock.wall());
                let before = self.before.as_ref();
                let is_finished = |position| before.is_some_and(|before| before.is_finished(position));
                for call in taken.into_iter().filter(|call| !is_finished(call.position)) {
                    let position = call.position;
                    self.lane.read_ahead().add(New {
                        position,
                        source: call.source.clone(),
                        user: call.head.user.clone(),
                        waiting: self.ages.waiting(position, call.received_at, now),
                        bytes: call.line.len(),
                    });
                    self.calls.insert(position, call);
                }
                let mut seen = self.progress.seen();
                lost.into_iter().for_each(|(first, loss)| add_loss(&mut seen.lost, first, loss));
                drop(seen);
                self.lane.read_ahead().read_through(place.through());
            }
            Err(error) => {
                drop(reading);
                tracing::error!(%error, destination = %self.id.destination, "a destination cannot read the spool; it is tried again");
                tokio::time::sleep(EXPIRE_EVERY).await;
            }
        }
    }

    /// Sends what may be sent. Returns when something else may be.
    fn send(&mut self) -> Option<Duration> {
        let batch = self.current.settings.batch;
        // Calls that wait for others of their source, to be sent together.
        let mut groups: BTreeMap<SourceId, (Vec<(u64, u32)>, usize)> = BTreeMap::new();
        let next = loop {
            let now = self.deps.clock.monotonic();
            let is_room = self.invocations + groups.len() < self.lane.invocations_max(now);
            if !is_room && groups.is_empty() {
                break None;
            }
            let Turn { position, attempt } = match self.lane.next(now) {
                Now::Send(turn) => turn,
                Now::WaitUntil(at) => break Some(at),
                Now::Wait => break None,
            };
            let Some(call) = self.calls.get(&position) else {
                tracing::error!(position, "a destination lost a call in memory; this is a bug in Forebay");
                self.lane.buried(position);
                continue;
            };
            let (source, len) = (call.source.clone(), call.line.len() + 1);
            let is_alone = self.alone.contains(&position) || self.current.invoke.goes_alone(&call.line);
            let joins = batch.filter(|_| !is_alone);
            let fits = joins.is_some_and(|bounds| {
                groups.get(&source).is_some_and(|(_, bytes)| bytes + len <= bounds.bytes)
            });
            if !fits && !is_room {
                self.lane.put_back(position, now);
                break None;
            }
            let Some(bounds) = joins else {
                self.fly(vec![(position, attempt)]);
                continue;
            };
            if !fits && let Some((full, _)) = groups.remove(&source) {
                self.fly(full);
            }
            let (group, bytes) = groups.entry(source.clone()).or_default();
            group.push((position, attempt));
            *bytes += len;
            if group.len() >= bounds.calls
                && let Some((full, _)) = groups.remove(&source)
            {
                self.fly(full);
            }
        };
        for (group, _) in groups.into_values() {
            self.fly(group);
        }
        next
    }

    /// Sends calls of one source.
    fn fly(&mut self, calls: Vec<(u64, u32)>) {
        let carried = |(position, attempt): &(u64, u32)| {
            let call = self.calls.get(position)?;
            Some(Carried {
                attempt: *attempt,
                message_id: call.head.message_id.clone(),
                line: call.line.clone(),
            })
        };
        let Some(source) =
            calls.first().and_then(|(first, _)| self.calls.get(first)).map(|call| call.source.clone())
        else {
            return;
        };
        let outgoing = Outgoing {
            destination: Arc::clone(&self.names.0),
            function: Arc::clone(&self.names.1),
            source,
            calls: calls.iter().filter_map(carried).collect(),
            batch: self.current.settings.batch.is_some(),
        };
        let served = !self.current.is_usable || self.current.settings.functions_at.serves(&self.names.1);
        let invoke = match served {
            true => Arc::clone(&self.current.invoke),
            false => Arc::new(Unusable {
                class: Class::BadRequest,
                what: "the type of the destination was changed while the call waited".into(),
            }),
        };
        let clock = Arc::clone(&self.deps.clock);
        self.invocations += 1;
        self.flying.spawn(async move {
            let began = clock.monotonic();
            let invoked = caught(invoke.invoke(&outgoing)).await.unwrap_or_else(|Panicked| {
                Invoked::failed(Class::Unavailable, "sending it panicked; this is a bug in Forebay")
            });
            let took = clock.monotonic().saturating_sub(began);
            Ended::Invoked { calls, took, invoked: Box::new(invoked) }
        });
    }

    fn ended(&mut self, ended: Ended) {
        match ended {
            Ended::Invoked { calls, took, invoked } => {
                self.invocations = self.invocations.saturating_sub(1);
                self.invoked(&calls, took, &invoked);
            }
            Ended::Buried { position, class, result: Ok(()) } => {
                *self.progress.seen().dead.entry(class).or_default() += 1;
                self.lane.buried(position);
                self.calls.remove(&position);
                self.alone.remove(&position);
            }
            // Of a letter that may be stored, too: a second copy is counted as one, a letter that is missing
            // is a lost call.
            Ended::Buried { position, result: Err(error), .. } => {
                let now = self.deps.clock.monotonic();
                if let Some(line) = self.not_buried.happened((), now) {
                    tracing::warn!(
                        %error,
                        position,
                        destination = %self.id.destination,
                        function = self.id.function,
                        times = line.times,
                        "a dead letter could not be stored; it is tried again"
                    );
                }
                let again = now.saturating_add(BURY_AGAIN_AFTER);
                self.lane.not_buried(position, again);
                // Calls are sent until then, and one that is taken needs no dead letter.
                self.bury_at = again.saturating_add(BURY_AGAIN_AFTER);
            }
        }
    }

    fn invoked(&mut self, calls: &[(u64, u32)], took: Duration, invoked: &Invoked) {
        if let Some(tail) = &invoked.log_tail {
            tracing::debug!(destination = %self.id.destination, function = self.id.function, request_id = invoked.request_id.as_ref().map(Told::masked), "log of the function: {tail}");
        }
        self.deps.metrics.invocation_seconds.observe(took);
        // One call may be why a batch is refused: each is then sent alone.
        let is_of_one = invoked
            .result
            .as_ref()
            .is_err_and(|failure| matches!(failure.class, Class::TooLarge | Class::BadRequest));
        let now = self.deps.clock.monotonic();
        if let Some((first, _)) = calls.first() {
            self.lane.answered((*first, invoked.result.as_ref().copied()), now, &*self.deps.random);
        }
        for (index, (position, attempt)) in calls.iter().enumerate() {
            let refused = invoked.refused.iter().find(|(place, _)| *place == index);
            let result = match &invoked.result {
                Ok(()) if let Some((_, why)) = refused => {
                    Err(Failure { class: Class::BadRequest, what: why.clone(), retry_after: None })
                }
                Ok(()) if invoked.not_taken.contains(&index) => Err(Failure {
                    class: Class::ExecutionError,
                    what: "the function reported this call of a batch as failed".into(),
                    retry_after: None,
                }),
                result => result.clone(),
            };
            self.record((*position, *attempt), took, result.as_ref().err(), invoked);
            if is_of_one && calls.len() > 1 {
                self.alone.insert(*position);
                self.lane.put_back(*position, now);
                continue;
            }
            match self.lane.ended((*position, *attempt), result, now, &*self.deps.random) {
                Fate::Done => {
                    self.calls.remove(position);
                    self.alone.remove(position);
                }
                Fate::Again => {}
                Fate::Dead(failure) => self.bury(*position, &failure),
            }
        }
    }

    /// Notes an attempt for people and metrics.
    fn record(
        &self,
        (position, attempt): (u64, u32),
        took: Duration,
        failure: Option<&Failure>,
        invoked: &Invoked,
    ) {
        let Some(call) = self.calls.get(&position) else { return };
        let (kind, class) = (counted_type(&call.head.kind), failure.map(|failure| failure.class));
        self.deps
            .metrics
            .invocations
            .get_or_create(&InvocationLabel {
                dest: self.id.destination.as_str().to_owned(),
                kind,
                class: class.map_or("success", Class::slug),
            })
            .inc();
        let mut seen = self.progress.seen();
        *seen.attempts.entry((kind, class)).or_default() += 1;
        if class.is_some() {
            seen.failed_at = Some(self.deps.clock.monotonic());
        }
        if class == Some(Class::Recursive) {
            seen.recursive_at = seen.failed_at;
        }
        drop(seen);
        self.progress.records().push(Record {
            at: self.deps.clock.wall(),
            function: Arc::clone(&self.names.1),
            source: call.source.clone(),
            kind: call.head.kind.clone(),
            message_id: call.head.message_id.clone(),
            attempt,
            millis: whole_millis(took),
            failed: failure.map(|failure| (failure.class, failure.what.clone())),
            request_id: invoked.request_id.as_ref().map(|id| id.map(brief)),
            version: invoked.version.as_ref().map(|version| version.map(brief)),
            log_tail: invoked.log_tail.clone(),
        });
    }

    fn expire(&mut self) {
        let now = self.deps.clock.monotonic();
        if now < self.bury_at {
            return;
        }
        let through = self.steered.give_up_through.load(Ordering::Relaxed);
        if through > self.lane.finished_through() {
            let oldest = self.lane.overflowing(through, EXPIRE_MOST);
            self.bury_all(&oldest);
        }
        let crowding = self.lane.crowding(EXPIRE_MOST);
        if let Some((_, cause)) = crowding.first()
            && let Some(line) = self.crowded.happened((), now)
        {
            tracing::warn!(
                destination = %self.id.destination,
                function = self.id.function,
                times = line.times,
                "calls of a source that is refused become dead letters, because those of other sources would stop: {}",
                cause.class
            );
        }
        self.bury_all(&crowding);
        if now < self.expire_at {
            return;
        }
        self.expire_at = now.saturating_add(EXPIRE_EVERY);
        let old = self.lane.expired(now, EXPIRE_MOST);
        if old.len() == EXPIRE_MOST {
            self.expire_at = now;
        }
        self.bury_all(&old);
    }

    fn bury_all(&mut self, calls: &[(u64, Failure)]) {
        for (position, cause) in calls {
            self.bury(*position, cause);
        }
    }

    /// Stores a dead letter. The call is finished once it is durable.
    fn bury(&mut self, position: u64, failure: &Failure) {
        let Some(call) = self.calls.get(&position) else { return self.lane.buried(position) };
        let attempts = self.lane.read_ahead().attempts(position);
        let letter =
            Letter { lane: &self.id, failure, attempts, position, source: &call.source, call: &call.line };
        let class = failure.class;
        if planted(PlantedBug::BuriedBeforeDurable) {
            self.lane.buried(position);
        }
        match self.deps.letters.store(&letter) {
            Ok(stored) => {
                self.flying.spawn(async move { Ended::Buried { position, class, result: stored.await } });
            }
            // The line is damaged: nothing can be kept of it but what the archive has.
            Err(error) => {
                tracing::error!(%error, position, destination = %self.id.destination, "a stored line is not JSON; it is in the archive, but gets no dead letter");
                add_loss(&mut self.progress.seen().lost, position, Loss { last: position, calls: 1 });
                self.lane.buried(position);
                self.calls.remove(&position);
            }
        }
    }
}

/// The beginning of a text of a service, which may be of any length.
fn brief(text: &str) -> String {
    text.chars().take(SHOWN_CHARACTERS_MAX).collect()
}

fn read_chunk(
    (queue, log): (Option<&Queue>, &dyn Follow),
    mut place: QueueReadThrough,
    routes: &[Route],
    function: &str,
) -> io::Result<Chunk> {
    let (mut taken, mut bytes, mut lost, mut seen) = (Vec::new(), 0, Losses::new(), 0);
    let queued = queue.map_or(0, Queue::copied_through);
    let mut visit = |read: Read<'_>| {
        match read {
            // A queue reports its own losses, with the number of calls.
            Read::Lost(range) if range.last <= queued => {}
            Read::Lost(range) => {
                let loss = Loss { last: range.last, calls: range.last - range.first + 1 };
                add_loss(&mut lost, range.first, loss);
            }
            Read::Frame(frame) => {
                seen += 1;
                if let Some(call) = taken_from(&frame, routes, function, queued) {
                    bytes += call.line.len();
                    taken.push(call);
                }
            }
        }
        let enough = taken.len() >= READ_LINES || bytes >= READ_BYTES || seen >= 10 * READ_LINES;
        Ok(if enough { Go::Stop } else { Go::On })
    };
    match queue {
        Some(queue) => queue.follow(log, &mut place, &mut visit)?,
        None => place.follow(log, &mut visit)?,
    }
    lost.extend(queue.map(Queue::take_losses).unwrap_or_default());
    Ok(Chunk { place, taken, lost })
}

/// A frame as a call for the lane, if it is one.
fn taken_from(frame: &Frame<'_>, routes: &[Route], function: &str, queued: u64) -> Option<Taken> {
    let (source, head) = Kept::waiting_call_for(frame, routes, function, queued)?;
    Some(Taken {
        position: frame.position,
        source,
        received_at: frame.received_at,
        head,
        line: Bytes::copy_from_slice(frame.payload),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_id_of_a_service_is_cut_between_characters() {
        assert_eq!(brief("r-1"), "r-1");
        let cut = brief(&"é".repeat(5_000));
        assert_eq!(cut, "é".repeat(SHOWN_CHARACTERS_MAX));
    }
}
