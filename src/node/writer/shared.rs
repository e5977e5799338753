//! What the threads of a writer share.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;

use super::deps::WriterDeps;
use super::place::{Live, Place, Places, Standing};
use crate::alarms::AlarmKind;
use crate::kafka::beat::Beat;
use crate::lock::lock;
use crate::metrics::kafka::WriterMetrics;
use crate::partition::group::Owners;

/// What the threads of a writer share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) deps: Arc<WriterDeps>,
    pub(super) places: Mutex<Places>,
    pub(super) ends: AtomicBool,
    pub(super) failed: watch::Sender<Option<Arc<str>>>,
    /// When the thread of the group was last between two calls.
    pub(super) beat: Beat,
    /// When the thread that tells the group was last between two calls.
    pub(super) tells_beat: Beat,
    /// What the brokers say of the log.
    pub(super) of_log: Mutex<OfLog>,
    /// What owners say; `None` until the group has answered.
    pub(super) owners: Mutex<Option<Owners>>,
    pub(super) metrics: WriterMetrics,
}

/// What the brokers say of the log.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct OfLog {
    /// How many partitions it has.
    pub(super) partitions: Option<u32>,
    /// For how long it keeps records; `None` if it deletes none, or does not say it.
    pub(super) retention: Option<Duration>,
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

    /// The partitions whose terms are delivered.
    pub(super) fn live(&self) -> impl Iterator<Item = (u32, Arc<Place>, Box<Live>)> {
        self.places().into_iter().filter_map(|(partition, place)| match place.standing() {
            Standing::Live(live) => Some((partition, place, live)),
            Standing::Begins | Standing::Waits(_) | Standing::Stopped(_) => None,
        })
    }
}
