//! The tasks under way, supervised by what they work on. Each piece of work has one task at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::deps::DeliveryDeps;
use crate::batch::BatchKey;
use crate::lock::lock;
use crate::log::DayInBucket;
use crate::retry::Backoff;
use crate::tasks::{Panicked, Supervised, caught};

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

/// The sealed objects that have a task, and the work that panicked. (Which batches have one: `busy.rs`; which
/// days: `closing_days.rs`.)
#[derive(Debug)]
pub(super) struct TasksUnderWay {
    deps: DeliveryDeps,
    pauses: Backoff,
    seals: Mutex<BTreeSet<u64>>,
    /// The work that has panicked since it last ended well, and when it may be restarted (monotonic).
    panicked: Mutex<BTreeMap<Work, (Supervised, Duration)>>,
}

impl TasksUnderWay {
    pub(super) fn new(deps: DeliveryDeps, pauses: Backoff) -> Self {
        Self { deps, pauses, seals: Mutex::default(), panicked: Mutex::default() }
    }

    /// Takes a sealed object. `None` if a task has it already.
    pub(super) fn take(self: &Arc<Self>, number: u64) -> Option<Taken> {
        let new = lock(&self.seals).insert(number);
        new.then(|| Taken { all: Arc::clone(self), number })
    }

    /// The numbers of those of these sealed objects that have no task.
    pub(super) fn without_task(&self, mut numbers: Vec<u64>) -> Vec<u64> {
        let seals = lock(&self.seals);
        numbers.retain(|number| !seals.contains(number));
        numbers
    }

    /// Runs a task. `None` if it panics: its work then rests, and the scheduler restarts it. What keeps other
    /// tasks from the work must outlive this: the panic must be noted before another task begins.
    pub(super) async fn run<T>(&self, work: &Work, task: impl Future<Output = T>) -> Option<T> {
        match caught(task).await {
            Ok(outcome) => {
                self.forget_panics(work);
                Some(outcome)
            }
            Err(Panicked) => {
                self.panicked(work);
                None
            }
        }
    }

    fn panicked(&self, work: &Work) {
        let mut panicked = lock(&self.panicked);
        let (supervised, until) = panicked.entry(work.clone()).or_insert_with(|| {
            let supervised =
                Supervised::new(&self.deps.alarms, work.to_string()).with_restarts(u32::MAX, self.pauses);
            (supervised, Duration::ZERO)
        });
        let pause = supervised.panicked().unwrap_or_default();
        *until = self.deps.clock.monotonic().saturating_add(pause);
    }

    /// The work that has panicked and is not restarted yet.
    pub(super) fn resting(&self) -> BTreeSet<Work> {
        let now = self.deps.clock.monotonic();
        let panicked = lock(&self.panicked);
        panicked.iter().filter(|(_, (_, until))| now < *until).map(|(work, _)| work.clone()).collect()
    }

    /// Forgets the panics of work that has ended well, or that other work has replaced.
    pub(super) fn forget_panics(&self, work: &Work) {
        if let Some((mut supervised, _)) = lock(&self.panicked).remove(work) {
            supervised.sound();
        }
    }
}

/// A sealed object that one task works on, until this is dropped.
#[derive(Debug)]
pub(super) struct Taken {
    all: Arc<TasksUnderWay>,
    number: u64,
}

impl Drop for Taken {
    fn drop(&mut self) {
        lock(&self.all.seals).remove(&self.number);
    }
}
