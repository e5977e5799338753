//! From the spool to the store: a due batch is encoded, sealed, put and committed, in that order.
//!
//! Everything here is a function of the spool. A crash at any instant loses nothing and doubles nothing: before the seal
//! the work is thrown away, after it the same object is made again and put under the same key.
//!
//! One task looks at the batches and starts one task for each that is due; a batch has one at a time. A put holds one of
//! its destination's slots and gives it back while it waits to try again, so a failing bucket delays no other.

pub mod after_put;
mod busy;
mod clock_watch;
pub mod closing;
mod conflict;
pub mod encode;
mod estimate;
mod flush;
mod give_way;
mod health;
mod judge;
mod ledger_watch;
mod measure;
mod parking;
pub mod progress;
mod reach;
mod reached;
mod scheduler;
pub mod settings;
pub mod share;
pub mod staging;
mod supervise;
mod upload;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use flush::Flushed;
pub use settings::{DeliverySettings, DiskWork};

use crate::alarms::Alarms;
use crate::batch::{AFTER_DAY, BatchKey};
use crate::metrics::Metrics;
use crate::object::{BucketString, Destination, KmsKey, RoleArn, Stream};
use crate::once_a_minute::OnceAMinute;
use crate::random::Random;
use crate::sources::SourceId;
use crate::spool::delivered_day::DayPlace;
use crate::spool::ledger::Difference;
use crate::spool::{OpenBatch, Outlet};
use crate::store::ObjectStore;
use crate::tasks;
use crate::time::{Clock, ReceivedDay, UnixMillis};
use health::Health;
use progress::Progress;
use share::Division;
use staging::Staging;

/// What delivery needs from outside.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The way out of the spool.
    pub outlet: Outlet,
    /// Where objects go.
    pub store: Arc<dyn ObjectStore>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Chance, for jitter.
    pub random: Arc<dyn Random>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Alarms.
    pub alarms: Arc<Alarms>,
    /// Who is told of closed days.
    pub hook: Option<Arc<dyn closing::DayHook>>,
    /// Where objects are encoded. `None`: where all other work is done that blocks.
    pub background: Option<tokio::runtime::Handle>,
}

/// A destination's share of the work.
#[derive(Debug)]
struct Slots {
    /// Puts under way.
    puts: Semaphore,
    /// Of those, puts of sources that fail. They wait here first, so that nobody waits behind them.
    failing_puts: Semaphore,
    /// Told when the destination has taken an object: whoever waits for it to come back need not wait to the end.
    reached: reached::Reached,
    /// Sealed objects that are neither stored nor parked.
    sealed: Arc<Semaphore>,
}

/// What can fail for one destination and not for another: its bucket, role and key. Sources that differ in their external
/// id alone share it, so that many sources do not mean many puts at once.
type Way = (BucketString, Option<RoleArn>, Option<KmsKey>);

fn way_to(to: &Destination) -> Way {
    let role = to.role.as_ref().map(|role| role.arn.clone());
    (to.bucket.clone(), role, to.encryption.kms().map(|kms| kms.key.clone()))
}

/// How many ways to stores these destinations make: each has puts of its own.
pub fn ways<'a>(destinations: impl Iterator<Item = &'a Destination>) -> usize {
    destinations.map(way_to).collect::<BTreeSet<Way>>().len()
}

#[derive(Debug)]
struct Inner {
    parts: Parts,
    settings: DeliverySettings,
    staging: Staging,
    progress: Progress,
    encoders: Semaphore,
    slots: Mutex<BTreeMap<Way, Arc<Slots>>>,
    /// Batches that a task is working on.
    busy: Mutex<BTreeSet<BatchKey>>,
    /// Up to where batches were asked for.
    asked: Mutex<BTreeMap<BatchKey, u64>>,
    /// Line bytes per object byte, learnt from the objects of each source and stream.
    ratios: Mutex<BTreeMap<(SourceId, Stream), f64>>,
    estimates: Mutex<measure::Estimates>,
    /// Batches that are being measured.
    measured_now: Mutex<BTreeSet<BatchKey>>,
    /// Measurements at a time: one, since none is urgent.
    measuring: Semaphore,
    /// Sources that are no longer configured: due at once.
    removed: Mutex<BTreeSet<SourceId>>,
    /// Sources with an upload conflict: nothing is put for them.
    conflicts: Mutex<BTreeSet<SourceId>>,
    /// Which puts fail.
    health: Mutex<Health>,
    /// What each that fails may hold of the spool, as of the last look.
    division: Mutex<Arc<Division<Way>>>,
    /// Who was refused lately.
    refusing: Mutex<judge::Refusing>,
    /// What lasts and is logged once a minute: what it is, and of whom.
    lasting: Mutex<OnceAMinute<(&'static str, String)>>,
    /// Destinations whose last object was given another encryption than was asked for.
    mismatched: Mutex<BTreeSet<Destination>>,
    /// Days that a task is closing, and why those wait that do.
    closing: Mutex<BTreeMap<DayPlace, closing::ClosingDay>>,
    supervised: supervise::Supervised,
    shutting_down: AtomicBool,
    kick: Notify,
    stop: CancellationToken,
    tasks: TaskTracker,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Running delivery. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Delivery {
    inner: Arc<Inner>,
}

/// What is left when delivery ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Batches that are not delivered: they are in the spool, and go out after the next start.
    pub left: usize,
}

impl Delivery {
    /// Starts delivering: first what was sealed before, then what becomes due.
    pub fn start(parts: Parts, settings: DeliverySettings) -> (Self, JoinHandle<()>) {
        let (disk, in_memory) = (Arc::clone(parts.outlet.disk()), parts.outlet.staged_in_memory());
        let staging = Staging::new(disk, settings.object_in_memory_max, in_memory);
        let alarms = Arc::clone(&parts.alarms);
        let inner = Arc::new(Inner {
            staging,
            settings,
            progress: Progress::default(),
            encoders: Semaphore::new(settings.encoders),
            slots: Mutex::default(),
            busy: Mutex::default(),
            asked: Mutex::default(),
            ratios: Mutex::default(),
            estimates: Mutex::default(),
            measured_now: Mutex::default(),
            measuring: Semaphore::new(1),
            removed: Mutex::default(),
            conflicts: Mutex::default(),
            health: Mutex::default(),
            division: Mutex::default(),
            refusing: Mutex::default(),
            lasting: Mutex::default(),
            mismatched: Mutex::default(),
            closing: Mutex::default(),
            supervised: supervise::Supervised::default(),
            shutting_down: AtomicBool::new(false),
            kick: Notify::new(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            parts,
        });
        supervise::resume_all(&inner);
        let scheduler = {
            let inner = Arc::clone(&inner);
            let start = move || scheduler::run(Arc::clone(&inner));
            tokio::spawn(tasks::keep(alarms, "scheduler", start))
        };
        (Self { inner }, scheduler)
    }

    /// How sources are doing.
    pub fn progress(&self) -> &Progress {
        &self.inner.progress
    }

    /// A configuration is taken over, with which these sources are no longer configured: what they have left is due at once.
    /// What waits for its destination is tried again soon, since that may just have been mended.
    pub fn set_removed(&self, removed: BTreeSet<SourceId>) {
        *lock(&self.inner.removed) = removed;
        self.inner.forget_mismatches();
        for slots in lock(&self.inner.slots).values() {
            slots.reached.tell();
        }
        self.inner.kick.notify_one();
    }

    /// What fails, in words: one of the destinations whose puts do.
    pub fn what_fails(&self) -> Option<String> {
        lock(&self.inner.health).in_words()
    }

    /// Why calls of a source are refused for what waits for its destination, where they are, and what to do.
    pub fn why_refused(&self, source: &SourceId) -> Option<String> {
        self.inner.why_refused(source)
    }

    /// The days that are being closed and wait, and why.
    pub fn waiting_to_close(&self) -> BTreeMap<(ReceivedDay, SourceId), String> {
        let closing = lock(&self.inner.closing);
        let waits = closing.iter().filter_map(|(place, under_way)| Some((place, under_way.why.clone()?)));
        waits.map(|(place, why)| ((place.day, place.source.clone()), why)).collect()
    }

    /// When a batch is due at the latest: by age, or because its day is over.
    pub fn due_at(&self, batch: &OpenBatch) -> UnixMillis {
        let (wall, monotonic) = (self.inner.parts.clock.wall(), self.inner.parts.clock.monotonic());
        let deadline = self.inner.settings.rule.deadline(batch.first_received_at, wall, monotonic);
        let by_age = wall.plus(deadline.saturating_sub(monotonic));
        by_age.min(batch.key.day.end().plus(AFTER_DAY)).max(batch.first_received_at)
    }

    /// Makes all of `source` (or of every source) due, and waits up to `wait` until what was there when it was called is
    /// in the store.
    pub async fn flush(&self, source: Option<&SourceId>, wait: Duration) -> Flushed {
        flush::flush(&self.inner, source, wait).await
    }

    /// Makes everything due, waits up to `grace` for it to be delivered, and ends all tasks. What is not delivered by then
    /// is still in the spool.
    pub async fn shutdown(self, deliver: bool, grace: Duration) -> Drained {
        self.inner.shutting_down.store(deliver, Ordering::Release);
        if deliver {
            flush::flush(&self.inner, None, grace).await;
        }
        self.inner.stop.cancel();
        self.inner.kick.notify_one();
        self.inner.tasks.close();
        // A task gives way at its next wait; one that is writing to the disk ends that first.
        self.inner.tasks.wait().await;
        let pending = self.inner.parts.outlet.pending_seals().len();
        Drained { left: self.inner.parts.outlet.open_batches().len() + pending }
    }

    /// Raises or takes back the alarm of the ledger, by where its two sides do not meet.
    pub fn judge_ledger(&self, differences: &[Difference]) {
        self.inner.judge_ledger(differences);
    }

    /// Brings the gauges up to date.
    pub fn refresh_gauges(&self) {
        self.inner.refresh_gauges();
    }
}

impl Inner {
    fn slots(&self, destination: &Destination) -> Arc<Slots> {
        let mut slots = lock(&self.slots);
        let new = || {
            Arc::new(Slots {
                puts: Semaphore::new(settings::PUTS_PER_DESTINATION),
                failing_puts: Semaphore::new(settings::FAILING_PUTS_PER_DESTINATION),
                reached: reached::Reached::default(),
                sealed: Arc::new(Semaphore::new(settings::SEALED_PER_DESTINATION)),
            })
        };
        Arc::clone(slots.entry(way_to(destination)).or_insert_with(new))
    }

    fn refresh_gauges(&self) {
        let (outlet, metrics) = (&self.parts.outlet, &self.parts.metrics);
        let usage = outlet.usage();
        let gauge = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        metrics.spool_bytes.set(gauge(usage.used));
        metrics.spool_max_bytes.set(gauge(usage.max));
        metrics.parked_bytes.set(gauge(usage.parked));
        metrics.open_batches.set(i64::try_from(outlet.batches_in_use()).unwrap_or(i64::MAX));
        let now = self.parts.clock.wall();
        let oldest = outlet.oldest_undelivered().map_or(Duration::ZERO, |at| now.since(at));
        metrics.oldest_undelivered_seconds.set(oldest.as_secs_f64());
    }
}
