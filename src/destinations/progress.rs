//! What destinations have done since the start, for people and metrics.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::watch;

use super::class::Class;
use super::outcome::Failure;
use super::records::Records;
use super::select::TYPES;
use crate::lock::lock;
use crate::time::UnixMillis;

/// What a type is counted as that is none of [`TYPES`].
const OTHER: &str = "other";

/// The counted name of a type.
pub fn counted_type(kind: &str) -> &'static str {
    TYPES.into_iter().find(|known| *known == kind).unwrap_or(OTHER)
}

/// One function.
#[derive(Debug)]
pub struct Progress {
    finished_through: watch::Sender<u64>,
    seen: Mutex<Seen>,
    records: Arc<Mutex<Records>>,
}

/// What people see of a function.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Attempts by type and how they failed; `None` is success.
    pub attempts: BTreeMap<(&'static str, Option<Class>), u64>,
    /// Calls that became dead letters, by cause.
    pub dead: BTreeMap<Class, u64>,
    /// Positions that could not be read, because the log is damaged there.
    pub lost: u64,
    /// Calls in memory that are not finished, and their bytes.
    pub waiting: (usize, usize),
    /// Bytes of its lines in its queue file.
    pub queued: u64,
    /// When the oldest call in memory was received.
    pub oldest: Option<UnixMillis>,
    /// Invocations under way.
    pub in_flight: usize,
    /// Why no calls are sent, and since when (monotonic time).
    pub circuit: Option<(Class, Duration)>,
    /// The last failure, unless a call has succeeded since.
    pub failing: Option<Failure>,
    /// Since when every attempt has failed (monotonic time).
    pub failing_since: Option<Duration>,
    /// When an attempt last failed (monotonic time).
    pub failed_at: Option<Duration>,
    /// When a function was last found to send back what it got (monotonic time).
    pub recursive_at: Option<Duration>,
}

impl Progress {
    /// A function that has finished everything up to a position. `records` are those of its destination.
    pub fn new(finished_through: u64, records: Arc<Mutex<Records>>) -> Self {
        Self { finished_through: watch::Sender::new(finished_through), seen: Mutex::default(), records }
    }

    /// Everything up to here is finished.
    pub fn finished_through(&self) -> u64 {
        *self.finished_through.borrow()
    }

    pub(super) fn finish_through(&self, position: u64) {
        self.finished_through.send_if_modified(|through| std::mem::replace(through, position) != position);
    }

    /// Waits until everything up to a position is finished.
    pub async fn finishes_through(&self, position: u64) {
        // The sender lives as long as this waits.
        self.finished_through.subscribe().wait_for(|through| *through >= position).await.map(drop).ok();
    }

    /// What people see.
    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        lock(&self.seen)
    }

    /// The last attempts of the destination.
    pub fn records(&self) -> MutexGuard<'_, Records> {
        lock(&self.records)
    }
}

impl Seen {
    /// Attempts that succeeded.
    pub fn succeeded(&self) -> u64 {
        self.attempts.iter().filter(|((_, class), _)| class.is_none()).map(|(_, count)| *count).sum()
    }

    /// Attempts that failed, by class.
    pub fn failed(&self) -> BTreeMap<Class, u64> {
        let mut failed = BTreeMap::new();
        for ((_, class), count) in &self.attempts {
            if let Some(class) = class {
                *failed.entry(*class).or_default() += count;
            }
        }
        failed
    }

    /// Calls that became dead letters.
    pub fn all_dead(&self) -> u64 {
        self.dead.values().sum()
    }
}
