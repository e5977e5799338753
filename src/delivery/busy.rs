//! Which batches are worked on: a batch has one task at a time, or its frames would be sealed twice.

use std::sync::Arc;

use super::{Inner, lock};
use crate::batch::BatchKey;

/// A batch that one task works on, until this is dropped.
///
/// It is given back once: by the task's end, or earlier, when the object is parked and the batch may go on beside it.
#[derive(Debug)]
pub(super) struct Busy {
    inner: Arc<Inner>,
    batch: BatchKey,
}

impl Busy {
    /// Takes a batch; `None` where a task has it already.
    pub(super) fn take(inner: &Arc<Inner>, batch: &BatchKey) -> Option<Self> {
        let new = lock(&inner.busy).insert(batch.clone());
        new.then(|| Self { inner: Arc::clone(inner), batch: batch.clone() })
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        lock(&self.inner.busy).remove(&self.batch);
        self.inner.kick.notify_one();
    }
}
