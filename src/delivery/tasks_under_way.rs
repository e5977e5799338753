//! The tasks under way, and the panics of tasks. Each piece of work has one task at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;

use crate::alarms::{AlarmKind, Alarms};
use crate::batch::BatchKey;
use crate::lock::lock;
use crate::log::DayInBucket;

/// What one delivery task works on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Work {
    /// A batch, up to its seal.
    Batch(BatchKey),
    /// A sealed object, by its seal's number.
    Seal(u64),
    /// A day that is over.
    Day(DayInBucket),
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Batch(batch) => write!(f, "batch {batch}"),
            Self::Seal(number) => write!(f, "sealed object {number}"),
            Self::Day(place) => write!(f, "day {} of {}", place.day, place.source),
        }
    }
}

/// Panics in a row of the tasks of one piece of work.
#[derive(Clone, Copy, Debug, Default)]
struct Panics {
    number: u32,
    /// When the work is restarted. `None` until the scheduler has noticed the last panic.
    rests_until: Option<Duration>,
}

impl Panics {
    fn rests(&self, now: Duration) -> bool {
        self.rests_until.is_none_or(|until| now < until)
    }
}

/// The sealed objects that have a task, and the panics. (Which batches have one: `busy.rs`; which days:
/// `closing_days.rs`.)
#[derive(Debug)]
pub(super) struct TasksUnderWay {
    table: Mutex<Table>,
    kick: Arc<Notify>,
    alarms: Arc<Alarms>,
}

#[derive(Debug, Default)]
struct Table {
    seals: BTreeSet<u64>,
    panics: BTreeMap<Work, Panics>,
}

impl TasksUnderWay {
    /// `kick` wakes the scheduler.
    pub(super) fn new(kick: Arc<Notify>, alarms: Arc<Alarms>) -> Self {
        Self { table: Mutex::default(), kick, alarms }
    }

    /// Records that a task begins. `None` if the sealed object has a task already.
    pub(super) fn begin(self: &Arc<Self>, work: Work) -> Option<UnderWay> {
        if let Work::Seal(number) = work
            && !lock(&self.table).seals.insert(number)
        {
            return None;
        }
        Some(UnderWay { all: Arc::clone(self), work })
    }

    /// The numbers of those of these sealed objects that have no task.
    pub(super) fn without_task(&self, mut numbers: Vec<u64>) -> Vec<u64> {
        let table = lock(&self.table);
        numbers.retain(|number| !table.seals.contains(number));
        numbers
    }

    /// The work that has panicked since this was last called, and how often in a row. The work rests for
    /// `pause` of that number.
    pub(super) fn new_panics(
        &self,
        now: Duration,
        mut pause: impl FnMut(u32) -> Duration,
    ) -> Vec<(Work, u32)> {
        let mut new = Vec::new();
        for (work, panics) in &mut lock(&self.table).panics {
            if panics.rests_until.is_none() {
                panics.rests_until = Some(now.saturating_add(pause(panics.number)));
                new.push((work.clone(), panics.number));
            }
        }
        new
    }

    /// The work that has panicked and is not restarted yet.
    pub(super) fn resting(&self, now: Duration) -> BTreeSet<Work> {
        let table = lock(&self.table);
        table.panics.iter().filter(|(_, panics)| panics.rests(now)).map(|(work, _)| work.clone()).collect()
    }

    /// Forgets the panics of work that has ended well, or that other work has replaced.
    pub(super) fn forget_panics(&self, work: &Work) {
        let had_panicked = lock(&self.table).panics.remove(work).is_some();
        if had_panicked {
            self.alarms.clear(AlarmKind::Task, &work.to_string());
        }
    }
}

/// A task under way. If a panic drops it, its work is restarted after a pause.
#[derive(Debug)]
pub(super) struct UnderWay {
    all: Arc<TasksUnderWay>,
    work: Work,
}

impl UnderWay {
    /// The batch has been sealed: from here on the task works on the object.
    pub(super) fn sealed(self, number: u64) -> Option<Self> {
        self.all.begin(Work::Seal(number))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut table = lock(&self.all.table);
        if let Work::Seal(number) = self.work {
            table.seals.remove(&number);
        }
        if std::thread::panicking() {
            let panics = table.panics.entry(self.work.clone()).or_default();
            *panics = Panics { number: panics.number.saturating_add(1), rests_until: None };
            drop(table);
            self.all.kick.notify_one();
        } else {
            drop(table);
            self.all.forget_panics(&self.work);
        }
    }
}
