//! What the threads of a writer share.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use super::beats::Beat;
use super::deps::WriterDeps;
use super::partition::Places;
use crate::alarms::AlarmKind;
use crate::lock::lock;

/// What the threads of a writer share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) deps: Arc<WriterDeps>,
    pub(super) places: Mutex<Places>,
    pub(super) ends: AtomicBool,
    pub(super) failed: watch::Sender<Option<Arc<str>>>,
    /// When the thread of the group was last between two calls.
    pub(super) beat: Beat,
}

impl Shared {
    pub(super) fn ends(&self) -> bool {
        self.ends.load(Ordering::Acquire)
    }

    /// The writer cannot go on.
    pub(super) fn fail(&self, why: &str) {
        self.failed.send_if_modified(|failed| {
            let first = failed.is_none();
            failed.get_or_insert_with(|| why.into());
            first
        });
        self.deps.alarms.raise(AlarmKind::Task, "writer", format!("{why}; the process ends"));
    }

    pub(super) fn places(&self) -> Places {
        lock(&self.places).clone()
    }
}
