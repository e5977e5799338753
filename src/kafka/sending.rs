//! What a collector has on its way to the log, and who waits for it: the shell of
//! [`Producing`](crate::partition::producing).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use rdkafka::error::KafkaError;
use tokio::sync::oneshot;

use super::producer::{Hears, InLog, Producer};
use super::sent::{Sent, SentCounts};
use crate::lock::{lock, wait_while_at_most};
use crate::log::{AccountKey, AppendError, KnownStreams, NewStreams};
use crate::metrics::kafka::CollectorMetrics;
use crate::partition::block::{CollectorId, Part};
use crate::partition::brokers_clock::BrokersClock;
use crate::partition::producing::{Answer, Producing, StoredPart};
use crate::random::Random;
use crate::time::{Clock, UnixMillis};

/// A report that came later says nothing of the brokers' clock: the block may have been in the log for a while.
const PROMPT: Duration = Duration::from_secs(5);

/// How old what was told may be: the monotonic clock stands still while a machine sleeps.
const YOUNG: Duration = Duration::from_secs(60);

/// Where the frames of a request are; `None` if it is not known whether they are in the log.
pub(super) type Outcome = Option<Vec<StoredPart>>;

/// What is on its way.
#[derive(Debug)]
pub(super) struct Sending {
    state: Mutex<State>,
    /// The producer has failed, the last request has its answer, or the end has come.
    changed: Condvar,
    answer_within: Duration,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    sent: Sent,
}

#[derive(Debug)]
struct State {
    producing: Producing,
    /// `None` while there is none: what comes meanwhile waits for the next one.
    producer: Option<Arc<Producer>>,
    /// Since when there is none.
    without_since: Duration,
    waiting: HashMap<u64, oneshot::Sender<Outcome>>,
    last: u64,
    /// When the block in flight of each partition was sent, and how many frames it has.
    sent_at: BTreeMap<u32, (Duration, u64)>,
    streams: Streams,
    /// The brokers' clock, as the last prompt report told it.
    brokers: Option<BrokersClock>,
    /// Why the last producer failed, until a block is in the log again.
    error: Option<String>,
    /// Since when blocks have failed or requests have waited for too long, and no block was stored.
    failing: Option<Duration>,
    closed: bool,
    ends: bool,
}

/// Streams of objects that calls of this process began.
#[derive(Debug, Default)]
struct Streams(BTreeSet<AccountKey>);

impl KnownStreams for Streams {
    fn knows(&self, account: &AccountKey) -> bool {
        self.0.contains(account)
    }

    fn named_streams(&self) -> usize {
        self.0.len()
    }
}

/// How it goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Bytes that wait or are in flight.
    pub bytes: usize,
    /// Requests without an answer.
    pub requests: usize,
    /// Partitions whose block in flight has no report for longer than a request waits.
    pub silent: Vec<u32>,
    /// For how long there is no producer: it has failed, and the library does not let go of it, or makes no other.
    pub without_producer: Duration,
    /// How far the own clock is off that of the brokers, by blocks of the last minute; zero while it is not known.
    pub clock_off: Duration,
    /// Why the last producer failed, if no block was stored since.
    pub error: Option<String>,
    /// For how long blocks have failed or requests have waited for too long, and no block was stored.
    pub failing: Duration,
    /// What was sent so far.
    pub counts: SentCounts,
}

impl Sending {
    pub(super) fn new(
        answer_within: Duration,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        metrics: CollectorMetrics,
    ) -> Self {
        let state = State {
            producing: Producing::new(CollectorId(random.next_u128()), answer_within),
            producer: None,
            without_since: clock.monotonic(),
            waiting: HashMap::new(),
            last: 0,
            sent_at: BTreeMap::new(),
            streams: Streams::default(),
            brokers: None,
            error: None,
            failing: None,
            closed: false,
            ends: false,
        };
        let (state, changed, sent) = (Mutex::new(state), Condvar::new(), Sent::new(metrics));
        Self { state, changed, answer_within, clock, random, sent }
    }

    /// Takes a request. Its outcome comes within the time that a request waits.
    /// Errors: [`AppendError`]: nothing of it is sent.
    pub(super) fn offer(
        &self,
        account: AccountKey,
        parts: Vec<(u32, Part)>,
    ) -> Result<oneshot::Receiver<Outcome>, AppendError> {
        let partitions: Vec<u32> = parts.iter().map(|(partition, _)| *partition).collect();
        let (sender, receiver) = oneshot::channel();
        {
            let mut state = lock(&self.state);
            if state.closed {
                return Err(AppendError::Stopped);
            }
            let begins = NewStreams::default().begins(&account, &state.streams)?;
            state.last += 1;
            let request = state.last;
            if state.producing.offer(request, parts, self.clock.monotonic()).is_err() {
                self.sent.refused();
                return Err(AppendError::Busy);
            }
            if begins {
                state.streams.0.insert(account);
            }
            state.waiting.insert(request, sender);
        }
        partitions.into_iter().for_each(|partition| self.send_next(partition));
        Ok(receiver)
    }

    /// Sends the next block of a partition, if none is in flight there.
    fn send_next(&self, partition: u32) {
        let now = self.clock.monotonic();
        let (block, producer) = {
            let mut state = lock(&self.state);
            let Some(producer) = state.producer.clone() else { return };
            let Some(block) = state.producing.next_block(partition) else { return };
            let frames = block.parts.iter().map(|part| u64::from(part.frames)).sum();
            state.sent_at.insert(partition, (now, frames));
            (block, producer)
        };
        // No other block of the partition is sent until this one is reported, so order needs no lock.
        if let Err(error) = producer.send(&block) {
            self.hears(block.collector, partition, Err(error));
        }
    }

    /// The id of the producer that is to send now.
    pub(super) fn collector(&self) -> CollectorId {
        lock(&self.state).producing.collector()
    }

    /// A producer is there: it sends what has waited for it.
    pub(super) fn begin(&self, producer: &Arc<Producer>) {
        let partitions: Vec<u32> = {
            let mut state = lock(&self.state);
            state.producer = Some(Arc::clone(producer));
            state.producing.partitions().collect()
        };
        partitions.into_iter().for_each(|partition| self.send_next(partition));
    }

    /// The producer with this id sends nothing more.
    pub(super) fn forget(&self, id: CollectorId) {
        lock(&self.state).producer.take_if(|producer| producer.id() == id);
    }

    /// The producer that sends now.
    pub(super) fn producer(&self) -> Option<Arc<Producer>> {
        lock(&self.state).producer.clone()
    }

    /// Answers requests that have waited too long.
    pub(super) fn expire(&self) {
        let mut state = lock(&self.state);
        let now = self.clock.monotonic();
        let late = state.producing.timed_out(now);
        if !late.is_empty() {
            state.failing.get_or_insert(now);
        }
        self.answer(&mut state, late);
    }

    /// How it goes.
    pub(super) fn standing(&self) -> Standing {
        let now = self.clock.monotonic();
        let state = lock(&self.state);
        let silent = state.sent_at.iter().filter(|(_, (at, _))| now.saturating_sub(*at) > self.answer_within);
        Standing {
            bytes: state.producing.bytes(),
            requests: state.producing.asked(),
            silent: silent.map(|(partition, _)| *partition).collect(),
            without_producer: match state.producer {
                Some(_) => Duration::ZERO,
                None => now.saturating_sub(state.without_since),
            },
            clock_off: state
                .brokers
                .filter(|brokers| brokers.age(now) < YOUNG)
                .map_or(Duration::ZERO, |brokers| brokers.off(self.clock.wall(), now)),
            error: state.error.clone(),
            failing: state.failing.map_or(Duration::ZERO, |since| now.saturating_sub(since)),
            counts: self.sent.counts(),
        }
    }

    /// A source was refused because its owner says so.
    pub(super) fn refused(&self) {
        self.sent.refused();
    }

    /// Takes no more requests, and waits until each has its answer: at most for as long as a request waits.
    pub(super) fn close(&self) {
        let mut state = lock(&self.state);
        state.closed = true;
        let most = self.answer_within.saturating_mul(2);
        drop(wait_while_at_most(&self.changed, state, most, |state| {
            state.producing.asked() > 0 && !state.ends
        }));
    }

    /// The end has come: requests that wait have an unknown outcome.
    pub(super) fn end(&self) {
        let mut state = lock(&self.state);
        (state.closed, state.ends) = (true, true);
        state.waiting.clear();
        self.changed.notify_all();
    }

    /// The time by the clock.
    pub(super) fn wall(&self) -> UnixMillis {
        self.clock.wall()
    }

    /// The time of the monotonic clock.
    pub(super) fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }

    /// Waits for the end, for `at_most`. Returns whether it has come.
    pub(super) fn ends_within(&self, at_most: Duration) -> bool {
        wait_while_at_most(&self.changed, lock(&self.state), at_most, |state| !state.ends).ends
    }

    /// Sends answers. Whoever is gone needs none.
    fn answer(&self, state: &mut MutexGuard<'_, State>, answers: Vec<Answer>) {
        for Answer { request, stored } in answers {
            self.sent.answered(stored.is_some());
            let Some(waits) = state.waiting.remove(&request) else { continue };
            drop(waits.send(stored));
        }
        if state.closed {
            self.changed.notify_all();
        }
    }
}

impl Hears for Sending {
    fn hears(&self, of: CollectorId, partition: u32, report: Result<InLog, KafkaError>) {
        let now = self.clock.monotonic();
        let mut state = lock(&self.state);
        // At the end the library reports as purged what is in flight.
        if of != state.producing.collector() || state.ends {
            return;
        }
        match report {
            Ok(InLog { offset, at: told }) => {
                if let Some((at, frames)) = state.sent_at.remove(&partition) {
                    let took = now.saturating_sub(at);
                    self.sent.stored(took, frames);
                    if let Some(told) = told.filter(|_| took < PROMPT) {
                        state.brokers = Some(BrokersClock::told(told, now));
                    }
                }
                (state.error, state.failing) = (None, None);
                let answers = state.producing.reported(partition, of, offset);
                self.answer(&mut state, answers);
                drop(state);
                self.send_next(partition);
            }
            Err(error) => {
                tracing::warn!(%error, partition, "a block was not acknowledged: a new producer takes over");
                self.sent.failed();
                state.error = Some(error.to_string());
                state.failing.get_or_insert(now);
                state.producer = None;
                state.without_since = now;
                state.sent_at.clear();
                let new = CollectorId(self.random.next_u128());
                let answers = state.producing.failed(new);
                self.answer(&mut state, answers);
                self.changed.notify_all();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::log::frame::{self, FrameKind};
    use crate::metrics::Metrics;
    use crate::object::Stream;
    use crate::partition::producing::PARTITION_BYTES_MAX;
    use crate::sources::SourceId;
    use crate::time::UnixMillis;

    /// Seconds.
    #[derive(Debug, Default)]
    struct At(AtomicU64);

    impl Clock for At {
        fn wall(&self) -> UnixMillis {
            UnixMillis(0)
        }

        fn monotonic(&self) -> Duration {
            Duration::from_secs(self.0.load(Ordering::Relaxed))
        }
    }

    impl Random for At {
        fn next_u64(&self) -> u64 {
            7
        }
    }

    fn web() -> SourceId {
        SourceId::new("web").unwrap()
    }

    fn part(len: usize) -> Part {
        let mut bytes = Vec::new();
        let start = frame::begin(&mut bytes, FrameKind::Call, (Some(&web()), ""), UnixMillis(1), None);
        bytes.resize(bytes.len() + len, b'x');
        frame::finish(&mut bytes, start, 1);
        Part::new(web(), Stream::Calls, 1, bytes)
    }

    fn sending(clock: &Arc<At>) -> Sending {
        let metrics = CollectorMetrics::shown_with(&Metrics::new());
        Sending::new(Duration::from_secs(15), Arc::<At>::clone(clock), Arc::<At>::clone(clock), metrics)
    }

    /// There is no producer, as while no client can be made.
    #[test]
    fn without_a_producer_requests_wait_for_their_time_and_no_longer() {
        let clock = Arc::new(At::default());
        let sending = sending(&clock);
        let offer = |len| sending.offer(AccountKey::of_calls(web()), vec![(0, part(len))]);
        let mut waits = offer(9).unwrap();
        assert_eq!(offer(PARTITION_BYTES_MAX).unwrap_err(), AppendError::Busy);
        clock.0.store(14, Ordering::Relaxed);
        sending.expire();
        assert!(waits.try_recv().is_err(), "it waits");
        clock.0.store(15, Ordering::Relaxed);
        sending.expire();
        assert_eq!(waits.try_recv(), Ok(None), "its outcome is unknown");
        let standing = sending.standing();
        assert_eq!((standing.bytes, standing.requests), (0, 0), "nothing of it is sent any more");
        assert_eq!(standing.without_producer, Duration::from_secs(15));
        assert_eq!((standing.counts.unknown, standing.counts.refused), (1, 1));
        clock.0.store(20, Ordering::Relaxed);
        assert_eq!(sending.standing().failing, Duration::from_secs(5));
        let mut last = offer(9).unwrap();
        sending.end();
        assert!(last.try_recv().is_err() && sending.ends_within(Duration::ZERO));
        assert_eq!(offer(9).unwrap_err(), AppendError::Stopped);
    }

    #[test]
    fn reports_of_an_earlier_producer_change_nothing() {
        let clock = Arc::new(At::default());
        let sending = sending(&clock);
        let mut waits = sending.offer(AccountKey::of_calls(web()), vec![(0, part(9))]).unwrap();
        let first = sending.collector();
        sending.hears(CollectorId(first.0 + 1), 0, Err(KafkaError::Canceled));
        assert_eq!(sending.standing().error, None);
        sending.hears(first, 0, Err(KafkaError::Canceled));
        assert!(sending.standing().error.is_some());
        // Nothing of it was sent, so the next producer sends it.
        assert!(waits.try_recv().is_err() && sending.standing().requests == 1);
    }

    #[test]
    fn a_prompt_report_tells_the_clock_of_the_brokers() {
        let clock = Arc::new(At::default());
        let sending = sending(&clock);
        let reported = |took: u64, told: i64| {
            let of = sending.collector();
            lock(&sending.state).sent_at.insert(0, (sending.clock.monotonic(), 1));
            clock.0.fetch_add(took, Ordering::Relaxed);
            sending.hears(of, 0, Ok(InLog { offset: 0, at: Some(UnixMillis(told)) }));
            sending.standing().clock_off
        };
        assert_eq!(reported(5, 60_000), Duration::ZERO, "it may have been there for a while");
        assert_eq!(reported(4, 60_000), Duration::from_secs(60));
        assert_eq!(reported(1, -7_000), Duration::from_secs(7));
        assert_eq!(sending.standing().failing, Duration::ZERO);
        clock.0.fetch_add(60, Ordering::Relaxed);
        assert_eq!(sending.standing().clock_off, Duration::ZERO, "that was long ago");
    }
}
