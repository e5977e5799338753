//! The thread of a partition that is assigned to this process: terms begin and end in it, each delivered as a log
//! of its own.

use std::cell::Cell;
use std::fs;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::caches;
use super::deps::WriterDeps;
use super::looks::{Counted, Removed, Takeover};
use super::place::{Live, Place, Standing};
use super::watch::Watch;
use crate::alarms::{AlarmKind, Alarms};
use crate::delivery::{Delivery, LogDeps};
use crate::disk::real_disk::RealDisk;
use crate::kafka::begin::{Began, Beginning, Follows, Term, begin};
use crate::kafka::cache::{CacheDeps, Unusable};
use crate::kafka::group::Offsets;
use crate::kafka::owner::{End, Kept, Owner};
use crate::kafka::serve::Serving;
use crate::lock::lock;
use crate::metrics::kafka::{PartitionLabel, WriterMetrics};
use crate::partition::answer::may_begin;
use crate::partition::note::TermNote;
use crate::partition::opening::{Stop, WaitsFor};
use crate::partition::position::before;

/// Pause before a term is tried again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// How long a partition may be without a term before that is an alarm. A broker that restarts usually takes less.
const SILENT_FOR: Duration = Duration::from_secs(60);
/// How long a term lasts until a cache that failed before counts as well.
const WELL_AFTER: Duration = Duration::from_secs(300);
/// A term that has lasted for so long has begun well: longer than a transaction may.
const LASTING: Duration = Duration::from_secs(40);
/// The alarm about a partition that has stopped, or does not begin.
const STOPPED: AlarmKind = AlarmKind::Damage;

/// What the thread of a partition works with.
#[derive(Debug)]
pub(super) struct PartitionThread {
    pub(super) deps: Arc<WriterDeps>,
    pub(super) partition: u32,
    pub(super) offsets: Offsets,
    pub(super) place: Arc<Place>,
    /// Locked by whoever builds left objects.
    pub(super) passes: Arc<Mutex<()>>,
    pub(super) metrics: WriterMetrics,
    /// Since when no term could begin, on the monotonic clock.
    pub(super) failing: Cell<Option<Duration>>,
    /// When the first of the terms ended whose caches failed one after the other.
    pub(super) cache_failing: Cell<Option<Duration>>,
    /// What a term waits for before it can read its notes.
    pub(super) waits_for: Cell<Option<WaitsFor>>,
}

impl PartitionThread {
    /// Owns the partition while it is assigned.
    pub(super) fn run(self) {
        let alarms = self.deps.alarms.of_part();
        self.terms(&alarms);
        // Whatever another process delivers needs no disk here.
        if let Err(error) = caches::remove(&self.deps.cache_dir, self.partition) {
            tracing::warn!(%error, partition = self.partition, "the cache of a partition cannot be removed");
        }
        alarms.end_part();
        self.place.set(Standing::Begins);
        self.place.beat.rests();
    }

    fn terms(&self, alarms: &Alarms) {
        let mut kept = None;
        while may_begin(self.place.is_assigned()) {
            match self.term(kept.take(), alarms) {
                Next::Again(next) => kept = next,
                Next::Later(why) => {
                    if let Some(why) = why {
                        self.cannot_begin(&why, alarms);
                    }
                    self.place.wait(AGAIN_AFTER);
                }
                Next::Stopped(stop) => {
                    let what = format!("partition {} stops: {stop}; others go on", self.partition);
                    alarms.raise(STOPPED, &self.name(), what);
                    self.cache_failing.set(None);
                    alarms.clear(AlarmKind::Damage, &self.cache_name());
                    self.place.set(Standing::Stopped(stop));
                    while self.place.is_assigned() {
                        self.place.wait(Duration::from_secs(3_600));
                    }
                }
            }
        }
    }

    fn name(&self) -> String {
        format!("partition {}", self.partition)
    }

    fn label(&self) -> PartitionLabel {
        PartitionLabel { partition: self.partition }
    }

    fn lives(&self) -> bool {
        self.place.beat.lives(self.deps.clock.monotonic());
        self.place.is_assigned()
    }

    fn term(&self, kept: Option<Box<Kept>>, alarms: &Alarms) -> Next {
        self.lives();
        let since = self.deps.clock.monotonic();
        let metadata = match self.offsets.told(self.partition) {
            Ok(told) => told.map(|(_, metadata)| metadata),
            Err(error) => {
                return Next::Later(Some(format!("what owners tell the group cannot be read: {error}")));
            }
        };
        let token = format!("{:032x}", self.deps.random.next_u128());
        let (version, host) = (self.deps.version.clone(), self.deps.host.clone());
        let beginning = Beginning {
            partition: self.partition,
            note: TermNote { token, version, host },
            metadata,
            cache_of: kept.as_ref().map(|kept| kept.token.clone()),
        };
        let follows =
            Follows { goes_on: &|| self.lives(), waits: &|waits_for| self.waits(waits_for, alarms) };
        let began = begin(&self.deps.settings, beginning, &self.deps.clock, follows);
        if began.is_ok() {
            self.waits(None, alarms);
        }
        match began {
            Ok(Began::Live(term)) => self.live(*term, kept, alarms, since),
            Ok(Began::GivenUp) => Next::Later(None),
            Ok(Began::Over) => Next::Later(Some(
                "another writer takes it, or the brokers refuse its transactions".to_owned(),
            )),
            Ok(Began::Stopped(stop)) => Next::Stopped(stop),
            Err(error) => Next::Later(Some(error.to_string())),
        }
    }

    /// No term can begin. While brokers come back that is usual.
    fn cannot_begin(&self, why: &str, alarms: &Alarms) {
        tracing::debug!(why, partition = self.partition, "no term can begin at present");
        let now = self.deps.clock.monotonic();
        let since = self.failing.get().unwrap_or(now);
        self.failing.set(Some(since));
        if now.saturating_sub(since) < SILENT_FOR {
            return;
        }
        let what = format!(
            "{} is not delivered, because no term of it can begin: {why}; its calls wait in the log, and others go on. \
             `forebay kafka check` says whether a right is missing or a broker does not answer",
            self.name()
        );
        alarms.raise(STOPPED, &self.name(), what.clone());
        self.place.set(Standing::Waits(what.into()));
    }

    fn lasts(&self, since: Duration) -> Duration {
        self.deps.clock.monotonic().saturating_sub(since)
    }

    /// A term has begun, and lasts.
    fn has_begun(&self, alarms: &Alarms) {
        self.failing.set(None);
        alarms.clear(STOPPED, &self.name());
    }

    /// The subject of the alarm about what a term waits for.
    fn subject_of(&self, waits_for: WaitsFor) -> String {
        match waits_for {
            WaitsFor::Transaction(_) => format!("notes of {}", self.name()),
            WaitsFor::FirstNote => self.name(),
        }
    }

    /// A term waits for this before it can read its notes, or for nothing.
    fn waits(&self, waits_for: Option<WaitsFor>, alarms: &Alarms) {
        let before = self.waits_for.replace(waits_for);
        if let Some(before) = before.filter(|_| before != waits_for) {
            alarms.clear(STOPPED, &self.subject_of(before));
        }
        let Some(waits_for) = waits_for else {
            if before.is_some() {
                self.place.set(Standing::Begins);
            }
            return;
        };
        let (brokers, topic) = (&self.deps.settings.brokers, &self.deps.settings.notes_topic);
        let why = match waits_for {
            WaitsFor::Transaction(from) => format!(
                "a transaction that was left open hides the notes from offset {from} on (notes_unreadable), so the partition \
                 waits until it ends; others go on. Kafka's tool shows it: kafka-transactions.sh --bootstrap-server {brokers} \
                 describe-producers --topic {topic} --partition {partition} (find-hanging, if no producer has it any more), \
                 and ends it: kafka-transactions.sh --bootstrap-server {brokers} abort --topic {topic} --partition \
                 {partition} --start-offset {from}",
                partition = self.partition
            ),
            WaitsFor::FirstNote => format!(
                "{topic} has no note of {}, so what comes in there waits in the log; others go on. Run `forebay kafka create`: \
                 it writes the first one, or says why it does not",
                self.name()
            ),
        };
        alarms.raise(STOPPED, &self.subject_of(waits_for), why.clone());
        self.place.set(Standing::Waits(why.into()));
    }

    /// `since`: when the takeover began, on the monotonic clock.
    fn live(&self, term: Term, kept: Option<Box<Kept>>, alarms: &Alarms, since: Duration) -> Next {
        let wanted = self.deps.wanted.clone();
        let takeover = Takeover { since, until: before(term.log_end) };
        let owner =
            match Owner::new(&self.deps.settings, term, kept.map(|kept| *kept), wanted, || self.cache()) {
                Ok(owner) => owner.with_day_grace(self.deps.day_grace),
                Err(error) => {
                    tracing::warn!(%error, partition = self.partition, "a term has no cache or no client");
                    return Next::Later(Some(error.to_string()));
                }
            };
        self.place.terms.fetch_add(1, Ordering::AcqRel);
        self.metrics.terms.get_or_create(&self.label()).inc();
        *lock(&self.place.takeover) = None;
        tracing::info!(partition = self.partition, "a term has begun");
        let serving = Serving::new(owner, &self.deps.settings, &self.passes);
        let served = serving.served();
        served.set_cache_bytes(self.place.cache_bytes.load(Ordering::Acquire));
        let log = LogDeps { log: Arc::new(served.log.clone()), staging: served.staging.clone() };
        let delivery = {
            let _runtime = self.deps.runtime.enter();
            // Its task ends with the delivery.
            Delivery::start(&self.deps.equipment, log).0
        };
        let live = Live { served: served.clone(), delivery: delivery.clone() };
        self.place.set(Standing::Live(Box::new(live)));
        let watch = Watch::new(alarms, self.name(), &self.deps.clock);
        let counted = Counted::new(&self.place, &self.metrics, self.label());
        let removed = Removed::new(self.deps.wanted.clone(), &delivery);
        let (ended, kept) = serving.run(&|| {
            takeover.look(&served, &self.place, &self.deps.clock);
            if watch.look(&served) {
                self.cache_works(since, alarms);
                if self.lasts(since) >= LASTING {
                    self.has_begun(alarms);
                }
                counted.look(&served, &delivery);
                removed.look(&served);
            }
            self.lives()
        });
        watch.end();
        counted.look(&served, &delivery);
        self.place.set(Standing::Begins);
        // Nobody gets an answer of the owner any more, so no task waits for one. A read of the disk may hang.
        self.lives();
        self.deps.runtime.block_on(delivery.end(false, Duration::ZERO));
        match ended {
            Ok(()) => Next::Again(kept.map(Box::new)),
            Err(End::Stopped(stop)) => Next::Stopped(stop),
            Err(end) => {
                tracing::info!(partition = self.partition, why = %end, "a term has ended");
                if matches!(end, End::Over(_)) {
                    self.place.ended.fetch_add(1, Ordering::AcqRel);
                    self.metrics.terms_ended.get_or_create(&self.label()).inc();
                }
                if matches!(end, End::Cache(_)) {
                    self.cache_failed(&end.to_string(), alarms);
                } else if self.lasts(since) < LASTING && self.place.is_assigned() {
                    self.cannot_begin(&format!("each one ends soon after it began ({end})"), alarms);
                }
                // While partitions move, the group may give one to two processes for a moment; and what a cache or the
                // log does not have may be missing again.
                self.place.wait(AGAIN_AFTER);
                Next::Again(kept.map(Box::new))
            }
        }
    }

    /// A term ended because its cache cannot be used. The next one may go on for a while, whatever is wrong with the disk.
    fn cache_failed(&self, why: &str, alarms: &Alarms) {
        let now = self.deps.clock.monotonic();
        let first = self.cache_failing.get().unwrap_or(now);
        self.cache_failing.set(Some(first));
        if now.saturating_sub(first) >= SILENT_FOR {
            let what = format!(
                "{why}, again and again: {} is read anew each time, and not delivered; look at the disk of kafka.cache_dir, or \
                 stop this writer, so that another one takes the partition over",
                self.name()
            );
            alarms.raise(AlarmKind::Damage, &self.cache_name(), what);
        }
    }

    /// A term that began at `since` goes on.
    fn cache_works(&self, since: Duration, alarms: &Alarms) {
        if self.lasts(since) >= WELL_AFTER && self.cache_failing.take().is_some() {
            alarms.clear(AlarmKind::Damage, &self.cache_name());
        }
    }

    fn cache_name(&self) -> String {
        format!("cache of {}", self.name())
    }

    /// A new cache begins in an empty folder.
    fn cache(&self) -> Result<CacheDeps, Unusable> {
        let folder = caches::folder_of(&self.deps.cache_dir, self.partition);
        let made = caches::remove(&self.deps.cache_dir, self.partition);
        let made = made.and_then(|()| fs::create_dir_all(&folder));
        let unusable = |error: &dyn std::fmt::Display| Unusable(format!("{}: {error}", folder.display()));
        made.map_err(|error| unusable(&error))?;
        let disk = RealDisk::open(&folder).map_err(|error| unusable(&error))?;
        Ok(CacheDeps {
            disk: Arc::new(disk),
            max_bytes: self.place.cache_bytes.load(Ordering::Acquire),
            clock: Arc::clone(&self.deps.clock),
            random: Arc::clone(&self.deps.random),
            metrics: Arc::clone(&self.deps.metrics),
        })
    }
}

/// What follows a term.
enum Next {
    /// Another one, at once, with what is kept.
    Again(Option<Box<Kept>>),
    /// Another one, after a pause: this one could not begin, for this reason.
    Later(Option<String>),
    /// None until a person acts.
    Stopped(Stop),
}
