//! Requests from outside that make batches due: flushes, removed sources, and the shutdown.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::batch::BatchKey;
use crate::lock::lock;
use crate::sources::SourceId;

/// All such requests. The locks are never held together.
#[derive(Debug, Default)]
pub(in crate::delivery) struct DueRequests {
    /// The batches that flushes requested, each with the last requested position.
    asked: Mutex<BTreeMap<BatchKey, u64>>,
    /// Sources that are no longer configured.
    removed: Mutex<BTreeSet<SourceId>>,
    shutting_down: AtomicBool,
}

impl DueRequests {
    /// Makes these batches due, up to these positions.
    pub(in crate::delivery) fn ask(&self, targets: BTreeMap<BatchKey, u64>) {
        lock(&self.asked).extend(targets);
    }

    pub(in crate::delivery) fn asked(&self) -> BTreeMap<BatchKey, u64> {
        lock(&self.asked).clone()
    }

    /// Forgets the requests that are done, unless more was requested in the meantime.
    pub(in crate::delivery) fn forget(&self, done: BTreeMap<BatchKey, u64>) {
        let mut asked = lock(&self.asked);
        for (key, through) in done {
            if asked.get(&key) == Some(&through) {
                asked.remove(&key);
            }
        }
    }

    /// Sets which sources are no longer configured: their remaining batches are due at once.
    pub(in crate::delivery) fn set_removed(&self, removed: BTreeSet<SourceId>) {
        *lock(&self.removed) = removed;
    }

    pub(in crate::delivery) fn removed(&self) -> BTreeSet<SourceId> {
        lock(&self.removed).clone()
    }

    /// Records that the process is shutting down. With `deliver`, everything is due.
    pub(in crate::delivery) fn shut_down(&self, deliver: bool) {
        self.shutting_down.store(deliver, Ordering::Release);
    }

    pub(in crate::delivery) fn is_shutting_down(&self) -> bool {
        self.shutting_down.load(Ordering::Acquire)
    }
}
