//! The tasks under way, supervised by what they work on. Each piece of work has one task at a time: otherwise
//! frames would be sealed twice, or objects put twice at once. Work that panicked rests.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit};

use super::deps::Deps;
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

/// Pieces of work of one kind that tasks have claimed.
#[derive(Debug)]
pub(super) struct Claims<K: Ord> {
    claimed: Mutex<BTreeSet<K>>,
    /// Notified when a claim ends.
    kick: Option<Arc<Notify>>,
}

impl<K: Ord + Clone> Claims<K> {
    /// `kick`, if there is one, is notified whenever a claim ends.
    pub(super) fn new(kick: Option<Arc<Notify>>) -> Arc<Self> {
        Arc::new(Self { claimed: Mutex::default(), kick })
    }

    /// Claims a piece of work. `None` if a task has it already.
    pub(super) fn take(self: &Arc<Self>, work: &K) -> Option<Claim<K>> {
        let new = lock(&self.claimed).insert(work.clone());
        new.then(|| Claim { all: Arc::clone(self), work: work.clone() })
    }

    pub(super) fn contains(&self, work: &K) -> bool {
        lock(&self.claimed).contains(work)
    }
}

/// A piece of work that one task has, until this is dropped.
#[derive(Debug)]
pub(super) struct Claim<K: Ord> {
    all: Arc<Claims<K>>,
    work: K,
}

impl<K: Ord> Drop for Claim<K> {
    fn drop(&mut self) {
        lock(&self.all.claimed).remove(&self.work);
        if let Some(kick) = &self.all.kick {
            kick.notify_one();
        }
    }
}

/// What a sealed object holds while its frames are in the spool's segments: its batch, and a place at its
/// bucket. Both are free when the task ends, or earlier, when its object is parked. The batch then continues
/// while the parked object waits.
pub(super) type Hold = (Claim<BatchKey>, OwnedSemaphorePermit);

/// The work that panicked.
#[derive(Debug)]
pub(super) struct TasksUnderWay {
    deps: Deps,
    pauses: Backoff,
    /// The work that has panicked since it last ended well, and when it may be restarted (monotonic).
    panicked: Mutex<BTreeMap<Work, (Supervised, Duration)>>,
}

impl TasksUnderWay {
    pub(super) fn new(deps: Deps, pauses: Backoff) -> Self {
        Self { deps, pauses, panicked: Mutex::default() }
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
        // The pause begins before the alarm stands, so that whoever sees the alarm sees all of the pause.
        let now = self.deps.clock.monotonic();
        let mut panicked = lock(&self.panicked);
        let (supervised, until) = panicked.entry(work.clone()).or_insert_with(|| {
            let supervised =
                Supervised::new(&self.deps.alarms, work.to_string()).with_restarts(u32::MAX, self.pauses);
            (supervised, Duration::ZERO)
        });
        let pause = supervised.panicked().unwrap_or_default();
        *until = now.saturating_add(pause);
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
