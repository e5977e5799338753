//! What all tasks of the delivery of one log share. What several logs share is in `equipment.rs`.
//!
//! Each struct owns what changes together, and its locks. No lock of one is taken while a lock of another is
//! held.
//!
//! | struct | what it owns |
//! | --- | --- |
//! | [`PutLocations`] | the turns of the log at the slots of each location of puts |
//! | [`Claims`] | which batches have a task, and which sealed objects |
//! | [`TasksUnderWay`] | what panicked |
//! | [`ClosingDays`] | which days have a task, and why they wait |
//! | [`DueRequests`] | requests from outside: flushes, removed sources, the shutdown |
//! | [`Sizes`] | how well lines compress |
//! | [`Failing`] | what each failing party may hold, which sources are refused, conflicts |
//! | [`Mismatches`] | buckets that encrypt differently from what was requested |
//! | [`Progress`] | what each source last delivered, and what it waits for |
//! | [`WaitingPuts`] | why each sealed object is not stored yet |

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::days::closing_days::ClosingDays;
use super::deps::{Deps, LogDeps};
use super::equipment::DeliveryEquipment;
use super::failures::encryption_mismatch::Mismatches;
use super::failures::failing::Failing;
use super::in_turn::Turns;
use super::logs::{LogNumber, Reading};
use super::make::staging::Staging;
use super::progress::{Progress, Repeated, WaitingPuts};
use super::put::put_locations::PutLocations;
use super::schedule::requests::DueRequests;
use super::schedule::sizes::Sizes;
use super::settings::DeliverySettings;
use super::tasks_under_way::{Claims, TasksUnderWay, Work};
use crate::batch::BatchKey;
use crate::log::{Seal, Stopped};
use crate::object::S3Location;
use crate::sources::SourceId;

#[derive(Debug)]
pub(super) struct Shared {
    equipment: Arc<DeliveryEquipment>,
    number: LogNumber,
    pub(super) deps: Deps,
    pub(super) settings: DeliverySettings,
    pub(super) staging: Staging,
    pub(super) look_ups: Turns,
    pub(super) encoders: Turns,

    pub(super) put_locations: PutLocations,
    /// Batches that have a task, up to their seal, and then as long as their frames are held.
    pub(super) busy: Arc<Claims<BatchKey>>,
    /// Sealed objects that have a task, by the number of their seal.
    pub(super) delivering: Arc<Claims<u64>>,
    pub(super) under_way: TasksUnderWay,
    pub(super) closing_days: Arc<ClosingDays>,
    pub(super) requests: DueRequests,
    pub(super) sizes: Sizes,
    pub(super) failing: Failing,
    pub(super) mismatches: Mismatches,
    pub(super) progress: Progress,
    pub(super) waiting_puts: WaitingPuts,
    pub(super) repeated: Arc<Repeated>,

    /// Wakes the scheduler.
    pub(super) kick: Arc<Notify>,
    /// Ends every task at its next wait.
    pub(super) stop: CancellationToken,
    /// All tasks but the scheduler, and all work on threads.
    pub(super) tasks: TaskTracker,
}

impl Shared {
    pub(super) fn new(equipment: &Arc<DeliveryEquipment>, log: LogDeps) -> Arc<Self> {
        let (kick, number, settings) = (Arc::new(Notify::new()), equipment.logs.begin(), equipment.settings);
        let LogDeps { log, staging } = log;
        let deps = Deps::new(&equipment.deps, log);
        Arc::new(Self {
            number,
            staging: Staging::new(staging, equipment.memory.clone(), settings.object_in_memory_max),
            look_ups: equipment.look_ups.turns(),
            encoders: equipment.encoders.turns(),
            put_locations: PutLocations::new(&equipment.locations),
            busy: Claims::new(Some(Arc::clone(&kick))),
            delivering: Claims::new(None),
            under_way: TasksUnderWay::new(deps.clone(), settings.backoff),
            closing_days: Arc::default(),
            requests: DueRequests::default(),
            sizes: Sizes::new(
                settings.rule.max_bytes,
                equipment.measurements.turns(),
                Arc::clone(&equipment.cost),
            ),
            failing: Failing::new(number, &equipment.health),
            mismatches: Mismatches::default(),
            progress: Progress::default(),
            waiting_puts: WaitingPuts::default(),
            repeated: Arc::clone(&equipment.repeated),
            kick,
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            deps,
            settings,
            equipment: Arc::clone(equipment),
        })
    }

    /// Changes what gauges show of this log.
    pub(super) fn read(&self, read: impl FnOnce(&mut Reading)) {
        let show = (&*self.deps.metrics, self.deps.clock.wall());
        self.equipment.logs.read(self.number, show, read);
    }

    /// Removes from what all logs share whatever is there of this one. All its tasks have ended, so nothing
    /// adds to it any more.
    pub(super) fn leave(&self) {
        self.put_locations.forget_unused(&BTreeSet::new());
        self.failing.health().keep(self.number, |_, _| false, self.deps.clock.monotonic());
        self.equipment.logs.end(self.number, (&self.deps.metrics, self.deps.clock.wall()));
        self.deps.alarms.end_part();
    }

    /// Runs a task, supervised by its work, until delivery stops. `None` if it did not come to its end: it
    /// panicked, or delivery or the log has stopped. What keeps other tasks from the work must outlive this.
    pub(super) fn run<T>(
        &self,
        work: Work,
        task: impl Future<Output = Result<T, Stopped>>,
    ) -> impl Future<Output = Option<T>> {
        // Boxed: thousands of tasks may wait at once, and each future around one would have its bytes again.
        let task = Box::pin(task);
        async move {
            let until_stopped = async {
                tokio::select! {
                    biased;
                    () = self.stop.cancelled() => None,
                    outcome = task => outcome
                        .inspect_err(|Stopped| tracing::debug!(%work, "delivery ends: the spool has stopped"))
                        .ok(),
                }
            };
            self.under_way.run(&work, until_stopped).await.flatten()
        }
    }

    /// Notes why the objects of a source wait from now on.
    pub(super) fn waits(&self, source: &SourceId, why: String) {
        self.progress.waiting(source, why, self.deps.clock.wall());
    }

    /// Where, and how, a sealed object is put now.
    pub(super) fn location_now(&self, seal: &Seal) -> S3Location {
        // A seal fixes what an object holds, and its bucket and key. The role, the KMS key and similar
        // settings may be wrong, or become invalid while the object waits. So the settings of the running
        // configuration are used, as long as the source still goes to that bucket and prefix (decision 0080).
        self.current_location(&seal.batch.source, &seal.location)
    }

    /// How `noted`, a bucket of `source`, is reached now.
    pub(super) fn current_location(&self, source: &SourceId, noted: &S3Location) -> S3Location {
        self.deps
            .log
            .current_location(source)
            .filter(|current| current.bucket == noted.bucket)
            .unwrap_or_else(|| noted.clone())
    }

    /// Forgets wrong encryptions of buckets that are no longer in use.
    pub(super) fn forget_mismatches(&self) {
        self.mismatches.keep(&self.in_use(), &self.deps.alarms);
    }

    /// Every bucket to which something goes, or may go.
    fn in_use(&self) -> BTreeSet<S3Location> {
        let log = &self.deps.log;
        let removed = self.requests.removed();
        let current = log.current_locations().into_iter();
        let current = current.filter(|(source, _)| !removed.contains(source)).map(|(_, to)| to);
        let pending = log.pending_seals().into_iter().map(|pending| self.location_now(&pending.seal));
        let of_markers =
            log.day_locations().into_iter().map(|(source, to)| self.current_location(&source, &to));
        current.chain(pending).chain(of_markers).collect()
    }
}
