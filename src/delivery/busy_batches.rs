//! Records which batches have a task. A batch has one task at a time; otherwise its frames would be sealed
//! twice.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use tokio::sync::{Notify, OwnedSemaphorePermit};

use crate::batch::BatchKey;
use crate::lock::lock;

/// The batches that tasks work on.
#[derive(Debug)]
pub(super) struct BusyBatches {
    keys: Mutex<BTreeSet<BatchKey>>,
    kick: Arc<Notify>,
}

impl BusyBatches {
    /// `kick` wakes the scheduler.
    pub(super) fn new(kick: Arc<Notify>) -> Self {
        Self { keys: Mutex::default(), kick }
    }

    /// Takes a batch. `None` if a task has it already.
    pub(super) fn take(self: &Arc<Self>, batch: &BatchKey) -> Option<Busy> {
        let new = lock(&self.keys).insert(batch.clone());
        new.then(|| Busy { all: Arc::clone(self), batch: batch.clone() })
    }

    pub(super) fn contains(&self, batch: &BatchKey) -> bool {
        lock(&self.keys).contains(batch)
    }
}

/// A batch that one task works on, until this is dropped.
///
/// It is released once: when the task ends, or earlier, when its object is parked. The batch then continues
/// while the parked object waits.
#[derive(Debug)]
pub(super) struct Busy {
    all: Arc<BusyBatches>,
    batch: BatchKey,
}

impl Drop for Busy {
    fn drop(&mut self) {
        lock(&self.all.keys).remove(&self.batch);
        self.all.kick.notify_one();
    }
}

/// What a sealed object holds while its frames are in the spool's segments: its batch, and a place at its
/// bucket.
#[derive(Debug)]
pub(super) struct Hold {
    _busy: Busy,
    _place: OwnedSemaphorePermit,
}

impl Hold {
    pub(super) fn new(busy: Busy, place: OwnedSemaphorePermit) -> Self {
        Self { _busy: busy, _place: place }
    }
}
