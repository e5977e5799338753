//! What delivery shows of itself: per source, what was last delivered and what it waits for.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::object::{AppliedEncryption, ObjectKey};
use crate::sources::SourceId;
use crate::spool::note::Seal;
use crate::time::UnixMillis;

/// The last object of a source that the store has confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastObject {
    /// Its key.
    pub key: ObjectKey,
    /// When the store confirmed it.
    pub at: UnixMillis,
    /// Lines in it.
    pub calls: u64,
    /// Its bytes.
    pub bytes: u64,
    /// The server-side encryption that the store says it applied.
    pub encryption: Option<AppliedEncryption>,
}

/// How a source is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceProgress {
    /// The last object.
    pub last_object: Option<LastObject>,
    /// Why its objects wait, if a try failed and none has succeeded since.
    pub waiting: Option<String>,
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
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes an object that the store has confirmed.
    pub fn delivered(&self, seal: &Seal, object: LastObject) {
        let mut sources = self.lock();
        let source = sources.entry(seal.batch.source.clone()).or_default();
        source.waiting = None;
        source.delivered += object.calls;
        source.last_object = Some(object);
    }

    /// Notes why a source's objects wait.
    pub fn waiting(&self, source: &SourceId, why: String) {
        self.lock().entry(source.clone()).or_default().waiting = Some(why);
    }

    /// How one source is doing.
    pub fn of(&self, source: &SourceId) -> SourceProgress {
        self.lock().get(source).cloned().unwrap_or_default()
    }

    /// Every source that was heard of.
    pub fn sources(&self) -> Vec<SourceId> {
        self.lock().keys().cloned().collect()
    }
}
