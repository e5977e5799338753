//! What delivery reports about itself: for each source, what was last delivered and why its objects wait.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};

use super::delivered::Delivered;
use crate::lock::lock;
use crate::sources::SourceId;
use crate::time::UnixMillis;

/// The progress of one source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceProgress {
    /// The last object.
    pub last_object: Option<Delivered>,
    /// Why its objects wait, if a try failed and none has succeeded since then.
    pub waiting: Option<String>,
    /// When the first of these tries failed.
    pub waiting_since: Option<UnixMillis>,
    /// Calls delivered by this process.
    pub delivered: u64,
}

/// All sources.
#[derive(Debug, Default)]
pub struct Progress {
    sources: Mutex<BTreeMap<SourceId, SourceProgress>>,
}

impl Progress {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<SourceId, SourceProgress>> {
        lock(&self.sources)
    }

    /// Records an object that the store has confirmed.
    pub fn delivered(&self, object: Delivered) {
        let mut sources = self.lock();
        let source = sources.entry(object.batch.source.clone()).or_default();
        (source.waiting, source.waiting_since) = (None, None);
        source.delivered += object.calls;
        source.last_object = Some(object);
    }

    /// Records at `now` why a source's objects wait.
    pub fn waiting(&self, source: &SourceId, why: String, now: UnixMillis) {
        let mut sources = self.lock();
        let source = sources.entry(source.clone()).or_default();
        source.waiting = Some(why);
        source.waiting_since.get_or_insert(now);
    }

    /// The progress of one source.
    pub fn of(&self, source: &SourceId) -> SourceProgress {
        self.lock().get(source).cloned().unwrap_or_default()
    }

    /// Every source with recorded progress.
    pub fn sources(&self) -> Vec<SourceId> {
        self.lock().keys().cloned().collect()
    }

    /// Forgets these sources.
    pub(super) fn forget(&self, sources: &BTreeSet<SourceId>) {
        self.lock().retain(|source, _| !sources.contains(source));
    }
}
