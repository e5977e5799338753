//! The threads of a collector: one polls the producer and replaces it after an error, one answers requests that
//! have waited too long, and one asks the brokers for what the collector must know.

use std::io;
use std::sync::{Arc, Mutex, RwLock, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use super::appender::{Appender, Spreads};
use super::beat::Beat;
use super::group::Offsets;
use super::hints::Hints;
use super::producer::{Hears, Producer};
use super::sending::{Sending, Standing};
use super::settings::{NoClient, Settings};
use crate::lock::lock;
use crate::metrics::Metrics;
use crate::metrics::kafka::CollectorMetrics;
use crate::partition::group::Owners;
use crate::random::Random;
use crate::sources::SourceId;
use crate::time::Clock;

/// How long one poll waits for reports. A report that comes is passed on at once.
const POLL: Duration = Duration::from_millis(100);
/// How often requests that have waited too long are looked for.
const EXPIRE_EVERY: Duration = Duration::from_millis(100);
/// The time before a failed producer is replaced: what made it fail may last.
const REPLACE_AFTER: Duration = Duration::from_millis(500);
/// How often the brokers are asked for partitions, and the group for whom owners refuse.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// The same until they have said it once.
const LOOK_SOON: Duration = Duration::from_millis(500);

/// What a collector needs.
#[derive(Debug)]
pub struct CollectingDeps {
    /// What it knows of Kafka.
    pub settings: Settings,
    /// How long a request waits for the reports of its blocks.
    pub answer_within: Duration,
    /// Over how many partitions the calls of sources go.
    pub spreads: Spreads,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// For ids of producers.
    pub random: Arc<dyn Random>,
    /// Counts refused requests.
    pub metrics: Metrics,
}

/// A collector's side of the log, while it runs.
#[derive(Debug)]
pub struct Collecting {
    appender: Appender,
    threads: Mutex<Vec<Thread>>,
    metrics: CollectorMetrics,
}

/// One of its threads.
#[derive(Debug)]
struct Thread {
    name: &'static str,
    handle: JoinHandle<()>,
    beat: Arc<Beat>,
}

/// What a collector says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectingStatus {
    /// Partitions of the log; 0 if no broker has said it yet.
    pub partitions: u32,
    /// The log id, once it is known: without it there are no receipts.
    pub log_id: Option<String>,
    /// What owners say; `None` until the group has answered.
    pub owners: Option<Owners>,
    /// For how long no broker says how many partitions the log has, and why.
    pub without_partitions: Option<(Duration, String)>,
    /// For how long the group does not say what owners tell it, and why. Whom they refuse is not known meanwhile.
    pub without_owners: Option<(Duration, String)>,
    /// How sending goes.
    pub standing: Standing,
}

/// A collector could not start.
#[derive(Debug, thiserror::Error)]
pub enum NotCollecting {
    /// A client could not be made.
    #[error(transparent)]
    NoClient(#[from] NoClient),
    /// There is no thread.
    #[error("start the threads of a collector")]
    Io(#[from] io::Error),
}

impl Collecting {
    /// Starts. Requests are refused until a broker has said how many partitions the log has.
    /// Errors: [`NotCollecting`].
    pub fn start(deps: CollectingDeps) -> Result<Self, NotCollecting> {
        let CollectingDeps { settings, answer_within, spreads, clock, random, metrics } = deps;
        let offsets = Offsets::of_outsider(&settings)?;
        let of_sending = CollectorMetrics::shown_with(&metrics);
        let sending = Arc::new(Sending::new(answer_within, clock, random, of_sending.clone()));
        // Settings that the library refuses are found here, not in a thread.
        let first = new_producer(&settings, &sending)?;
        let (hints, spreads) = (Arc::new(Hints::default()), Arc::new(RwLock::new(spreads)));
        let appender = Appender { sending, hints, spreads, metrics };
        let thread = |name: &'static str, work: Work| -> io::Result<Thread> {
            let (appender, beat) = (appender.clone(), Arc::new(Beat::default()));
            let lives = Lives { sending: Arc::clone(&appender.sending), beat: Arc::clone(&beat) };
            let thread = std::thread::Builder::new().name(name.to_owned());
            Ok(Thread { name, handle: thread.spawn(move || work(&appender, &lives))?, beat })
        };
        let threads = vec![
            thread(
                "kafka-produce",
                Box::new(move |of, lives| produce(&of.sending, &settings, first, lives)),
            )?,
            thread("kafka-answers", Box::new(|of, lives| expire(&of.sending, lives)))?,
            thread("kafka-hints", Box::new(move |of, lives| look(&of.sending, &of.hints, &offsets, lives)))?,
        ];
        Ok(Self { appender, threads: Mutex::new(threads), metrics: of_sending })
    }

    /// What intake appends with.
    pub fn appender(&self) -> Appender {
        self.appender.clone()
    }

    /// Whether owners refuse a source, or a partition that its calls go to.
    pub fn refuses(&self, source: &SourceId) -> bool {
        self.appender.refuses(source)
    }

    /// How it goes.
    pub fn status(&self) -> CollectingStatus {
        let hints = &self.appender.hints;
        let (unsaid, now) = (hints.unsaid(), self.monotonic());
        let lasts =
            |unsaid: Option<(Duration, String)>| unsaid.map(|(since, why)| (now.saturating_sub(since), why));
        CollectingStatus {
            without_partitions: lasts(unsaid.partitions),
            without_owners: lasts(unsaid.owners),
            partitions: hints.partitions(),
            log_id: hints.log_id(),
            owners: hints.owners(),
            standing: self.appender.sending.standing(),
        }
    }

    /// The time of its monotonic clock.
    pub fn monotonic(&self) -> Duration {
        self.appender.sending.monotonic()
    }

    /// Brings the gauges up to date.
    pub fn refresh_gauges(&self) {
        let standing = self.appender.sending.standing();
        let shown = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.metrics.waiting_bytes.set(shown(standing.bytes));
        self.metrics.silent.set(shown(standing.silent.len()));
    }

    /// Why it cannot go on, if that is so: a thread of it has panicked, or a call of the library hangs. Only another process
    /// can: a thread that answers nobody, or hears nobody, would be noticed by clients alone.
    pub fn failed(&self) -> Option<String> {
        let sending = &self.appender.sending;
        if sending.ends_within(Duration::ZERO) {
            return None;
        }
        let now = self.monotonic();
        lock(&self.threads).iter().find_map(|Thread { name, handle, beat }| {
            match (handle.is_finished(), beat.hangs(now)) {
                (true, _) => Some(format!("the thread {name} has panicked")),
                (_, true) => Some(format!("a call of Kafka's library does not return (thread {name})")),
                (false, false) => None,
            }
        })
    }

    /// Takes no more requests, and gives up those that have no answer: their outcome is unknown.
    pub fn give_up(&self) {
        self.appender.sending.end();
    }

    /// Takes no more requests, waits until each has its answer, and ends. Waits for threads and brokers, so do not
    /// call it on the runtime's threads.
    pub fn stop(&self) {
        let has_failed = self.failed().is_some();
        self.appender.sending.close();
        self.appender.sending.end();
        if has_failed {
            // Who waits for a call that does not return would keep the process.
            return;
        }
        for Thread { handle, .. } in std::mem::take(&mut *lock(&self.threads)) {
            if handle.join().is_err() {
                tracing::error!("a thread of the collector has panicked");
            }
        }
    }
}

/// What was given up is given up at once: the threads end by themselves.
impl Drop for Collecting {
    fn drop(&mut self) {
        self.give_up();
    }
}

fn new_producer(settings: &Settings, sending: &Arc<Sending>) -> Result<Arc<Producer>, NoClient> {
    let hears: Weak<dyn Hears> = Arc::<Sending>::downgrade(sending);
    Producer::new(settings, sending.collector(), hears).map(Arc::new)
}

/// What a thread does.
type Work = Box<dyn FnOnce(&Appender, &Lives) + Send>;

/// How a thread shows that its calls return.
struct Lives {
    sending: Arc<Sending>,
    beat: Arc<Beat>,
}

impl Lives {
    fn beats(&self) {
        self.beat.lives(self.sending.monotonic());
    }
}

/// Polls the producer, and replaces it after an error.
fn produce(sending: &Arc<Sending>, settings: &Settings, first: Arc<Producer>, lives: &Lives) {
    let mut next = Some(first);
    while !sending.ends_within(Duration::ZERO) {
        lives.beats();
        let made = next.take().map_or_else(|| new_producer(settings, sending), Ok);
        match made {
            Ok(producer) => {
                sending.begin(&producer);
                while producer.id() == sending.collector() && !sending.ends_within(Duration::ZERO) {
                    lives.beats();
                    producer.poll(POLL);
                }
                sending.forget(producer.id());
                end(producer, lives);
            }
            Err(error) => tracing::warn!(%error, "no producer"),
        }
        sending.ends_within(REPLACE_AFTER);
    }
}

/// Drops the producer here, where the library may wait, and not in a thread that is about to send with it.
fn end(mut producer: Arc<Producer>, lives: &Lives) {
    loop {
        lives.beats();
        match Arc::try_unwrap(producer) {
            Ok(last) => return drop(last),
            Err(still) => producer = still,
        }
        producer.poll(Duration::from_millis(10));
    }
}

fn expire(sending: &Sending, lives: &Lives) {
    while !sending.ends_within(EXPIRE_EVERY) {
        lives.beats();
        sending.expire();
    }
}

/// Asks for what the collector must know.
fn look(sending: &Sending, hints: &Hints, offsets: &Offsets, lives: &Lives) {
    loop {
        lives.beats();
        if let Some(producer) = sending.producer() {
            let asked = sending.monotonic();
            hints.hears_partitions(producer.partitions().map_err(|error| error.to_string()), asked);
        }
        let partitions = hints.partitions();
        if partitions > 0 {
            lives.beats();
            let asked = sending.monotonic();
            let answer = offsets.told_of(0..partitions);
            let answer = answer.as_ref().map_err(|error| format!("{error}: {}", error.cause));
            hints.hears_owners(answer, sending.wall(), asked);
            offsets.take_events();
        }
        let is_known = partitions > 0 && hints.log_id().is_some();
        if sending.ends_within(if is_known { LOOK_EVERY } else { LOOK_SOON }) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::runtime::{SystemClock, SystemRandom};
    use crate::time::UnixMillis;

    /// A clock that panics in one thread, once it is told to.
    #[derive(Debug)]
    struct Panics(SystemClock, AtomicBool);

    impl Clock for Panics {
        fn wall(&self) -> UnixMillis {
            self.0.wall()
        }

        fn monotonic(&self) -> Duration {
            let is_it = std::thread::current().name() == Some("kafka-answers");
            assert!(!is_it || !self.1.load(Ordering::Acquire), "planted");
            self.0.monotonic()
        }
    }

    /// Clients alone would have noticed: requests that waited for too long got no answer.
    #[test]
    fn a_thread_that_panics_fails_the_collector() {
        let clock = Arc::new(Panics(SystemClock::new(), AtomicBool::new(false)));
        let collecting = Collecting::start(CollectingDeps {
            settings: Settings::of_tests(),
            answer_within: Duration::from_secs(1),
            spreads: Spreads::new(),
            clock: Arc::<Panics>::clone(&clock),
            random: Arc::new(SystemRandom),
            metrics: Metrics::new(),
        })
        .unwrap();
        assert_eq!(collecting.failed(), None);
        clock.1.store(true, Ordering::Release);
        let until = clock.monotonic() + Duration::from_secs(60);
        let failed = loop {
            match collecting.failed() {
                Some(failed) => break failed,
                None => assert!(clock.monotonic() < until, "it goes on"),
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        assert!(failed.contains("kafka-answers"), "{failed}");
        collecting.give_up();
        assert_eq!(collecting.failed(), None, "it was given up");
    }
}
