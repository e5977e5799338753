//! From the spool to the store: a due batch is encoded, sealed, put and committed, in that order.
//!
//! Everything here is a function of the spool. A crash at any instant loses nothing and duplicates nothing:
//! work before the seal is repeated; after the seal the same object is made again and put under the same key.
//!
//! A process delivers any number of logs. Each has a [`Delivery`] of its own, which can end and begin again
//! while others go on. All of them use one [`DeliveryEquipment`].
//!
//! One task, the scheduler, checks the batches and starts a task for each one that is due. A batch has one
//! task at a time. A put holds one of its bucket's slots and releases it while it waits for the next
//! try, so a bucket that fails delays no other.
//!
//! # The way of a batch
//!
//! | folder | step |
//! | --- | --- |
//! | `schedule` | 1. which batches are due |
//! | `make` | 2. one object is made of a batch, and sealed |
//! | `put` | 3. it is put until the store has it, and committed |
//! | `days` | 4. a day is over and all of it is in the store: its marker is put, and the hook is called |
//! | `failures` | beside them: which puts fail, which sources are refused because of it, and the alarms |
//!
//! The files beside the folders serve all steps. `equipment` lists what all logs share, `in_turn` gives its
//! slots to them in turn, and `logs` adds up their gauges. `shared` lists the state that the tasks of one log
//! share;
//! `tasks_under_way` keeps one task for each piece of work, and what panicked rests; `blocking` runs what
//! waits for the disk; `resume` starts tasks for sealed objects that have none. `flush` delivers everything
//! now. `watches` notices a clock that was set back, and a ledger that does not balance. `progress` says what
//! was delivered, and why the rest is not stored yet.
//!
//! No two files use each other (`tests/suite/tidy.rs`).

pub mod days;
pub mod failures;
pub mod make;
mod put;
mod schedule;

mod blocking;
mod deps;
mod equipment;
mod flush;
mod in_turn;
mod logs;
pub mod progress;
mod resume;
pub mod settings;
mod shared;
mod tasks_under_way;
mod watches;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

pub use deps::{ClosedDay, DayHook, Delivered, DeliveredList, DeliveryDeps, LogDeps};
pub use equipment::DeliveryEquipment;
pub use flush::Flushed;
use put::put_locations::put_location;
pub use put::put_locations::put_locations;
use put::put_object::follow_decision;
pub use settings::{DeliverySettings, DiskWork};

use crate::alarms::Alarms;
use crate::log::{Difference, OpenBatch};
use crate::sources::SourceId;
use crate::tasks::{Supervised, keep};
use crate::time::{ReceivedDay, UnixMillis};
use progress::{Progress, WaitingPuts};
use shared::Shared;

/// Running delivery of one log. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Delivery {
    shared: Arc<Shared>,
}

/// What is left when delivery ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Batches that are not delivered. They stay in the spool and are delivered after the next start.
    pub left: usize,
}

impl Delivery {
    /// Starts delivery of a log: first of objects that were sealed earlier, then of batches as they become
    /// due. The task ends at [`shutdown`](Self::shutdown), or when the log has stopped.
    pub fn start(equipment: &Arc<DeliveryEquipment>, log: LogDeps) -> (Self, JoinHandle<()>) {
        let shared = Shared::new(equipment, log);
        let scheduler = Supervised::new(&shared.deps.alarms, "scheduler").ended_by(shared.stop.clone());
        resume::resume_all(&shared);
        let scheduler = {
            let of_task = Arc::clone(&shared);
            let start = move || schedule::scheduler::run(Arc::clone(&of_task));
            shared.tasks.spawn(keep(scheduler, start))
        };
        (Self { shared }, scheduler)
    }

    /// The log's own part of the alarms: they are cleared when its delivery [ends](Self::end).
    pub fn alarms(&self) -> &Arc<Alarms> {
        &self.shared.deps.alarms
    }

    /// The progress of each source.
    pub fn progress(&self) -> &Progress {
        &self.shared.progress
    }

    /// Why the puts of sealed objects fail.
    pub fn waiting_puts(&self) -> &WaitingPuts {
        &self.shared.waiting_puts
    }

    /// Reports a new configuration, in which these sources are no longer configured: their remaining batches
    /// are due at once. Objects that wait for a bucket are retried soon, because the new configuration
    /// may have fixed it.
    pub fn set_removed(&self, removed: BTreeSet<SourceId>) {
        self.shared.requests.set_removed(removed);
        self.shared.forget_mismatches();
        self.shared.put_locations.retry_all();
        self.shared.kick.notify_one();
    }

    /// Forgets what is kept of sources that the log has forgotten, and the slots of locations that no source
    /// uses.
    pub fn forget(&self, sources: &BTreeSet<SourceId>) {
        self.shared.progress.forget(sources);
        self.shared.sizes.forget(sources);
        let current = self.shared.deps.log.current_locations();
        let wanted = current.iter().map(|(_, to)| put_location(to)).collect();
        self.shared.put_locations.forget_unused(&wanted);
    }

    /// Reports that the log has noted a person's decision about a conflict of this source. Its objects are put
    /// again within a second, unless another one waits for a person too.
    pub fn decided(&self, source: &SourceId) {
        follow_decision(&self.shared, source);
    }

    /// Describes one of the failures of puts; `None` if there are none.
    pub fn what_fails(&self) -> Option<String> {
        self.shared.failing.health().in_words()
    }

    /// If calls of a source are refused because too much waits for its bucket: the reason, and what to
    /// do.
    pub fn why_refused(&self, source: &SourceId) -> Option<String> {
        self.shared.failing.why_refused(source)
    }

    /// The days whose closing waits, and why.
    pub fn waiting_to_close(&self) -> BTreeMap<(ReceivedDay, SourceId), String> {
        self.shared.closing_days.waiting()
    }

    /// The latest time at which a batch becomes due: by age, or because its day is over.
    pub fn due_at(&self, batch: &OpenBatch) -> UnixMillis {
        let now = schedule::due::now(&self.shared);
        self.shared.settings.rule.due_at(batch.key.day, batch.first_received_at, &now)
    }

    /// The estimated size of the object that a batch would become now, in bytes.
    pub fn object_bytes(&self, batch: &OpenBatch) -> u64 {
        self.shared.sizes.likely(batch)
    }

    /// Makes all batches of `source` (or of every source) due, and waits up to `wait` until every frame that
    /// is in the spool now is in the store.
    pub async fn flush(&self, source: Option<&SourceId>, wait: Duration) -> Flushed {
        flush::flush(&self.shared, source, wait).await
    }

    /// Makes everything due, waits up to `grace` for it to be delivered, and ends all tasks. What is not
    /// delivered by then is still in the spool.
    pub async fn shutdown(self, deliver: bool, grace: Duration) -> Drained {
        self.shared.requests.shut_down(deliver);
        if deliver {
            flush::flush(&self.shared, None, grace).await;
        }
        self.shared.stop.cancel();
        self.shared.kick.notify_one();
        self.shared.tasks.close();
        // A task ends at its next wait. A task that is writing to the disk finishes the write first.
        self.shared.tasks.wait().await;
        let pending = self.shared.deps.log.pending_numbers().len();
        Drained { left: self.shared.deps.log.open_batches().len() + pending }
    }

    /// As [`Delivery::shutdown`], while the process goes on with other logs: then the alarms of this log are
    /// cleared, and gauges and health of buckets no longer have it. What it had of slots and memory, others
    /// have. Delivery of the log can start again at once.
    pub async fn end(self, deliver: bool, grace: Duration) -> Drained {
        let shared = Arc::clone(&self.shared);
        let drained = self.shutdown(deliver, grace).await;
        shared.leave();
        drained
    }

    /// Raises or clears the alarm of the ledger: `differences` lists the places where its two sides differ.
    pub fn judge_ledger(&self, differences: &[Difference]) {
        watches::judge_ledger(&self.shared, differences);
    }

    /// Brings the gauges up to date.
    pub fn refresh_gauges(&self) {
        watches::refresh_gauges(&self.shared);
    }
}
