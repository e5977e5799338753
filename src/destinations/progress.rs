//! What destinations have done since the start, for people and metrics.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::watch;

use super::class::Class;
use super::lane::RefusedSources;
use super::outcome::Failure;
use super::positions::{Ahead, Losses, lost_calls};
use super::records::Records;
use super::select::TYPES;
use crate::lock::lock;
use crate::time::UnixMillis;

/// The name under which types other than [`TYPES`] are counted.
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
    /// What damage of the log or of the queue took from the function.
    pub lost: Losses,
    /// How many of the lost calls were noted before the start.
    pub lost_before: u64,
    /// Calls that are finished beyond the position up to which everything is.
    pub ahead: Option<Ahead>,
    /// Calls in memory that are not finished, and their bytes.
    pub waiting: (usize, usize),
    /// How far its calls were read into memory.
    pub read_through: u64,
    /// Calls of its queue behind that, at most, and up to where it has its calls.
    pub unread: (u64, u64),
    /// Bytes of its lines in its queue file.
    pub queued: u64,
    /// When the oldest call in memory was received.
    pub oldest: Option<UnixMillis>,
    /// Invocations under way.
    pub in_flight: usize,
    /// Why no calls are sent, and since when (monotonic time).
    pub circuit: Option<(Class, Duration)>,
    /// Sources that are refused while others may not be.
    pub refused: Option<RefusedSources>,
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
    /// A function's progress when its lane starts: what it has finished and lost so far. `records` are those
    /// of its destination.
    pub fn new(
        finished_through: u64,
        ahead: Option<Ahead>,
        lost: Losses,
        records: Arc<Mutex<Records>>,
    ) -> Self {
        let (lost_before, read_through) = (lost_calls(&lost), finished_through);
        let seen = Seen { ahead, lost_before, lost, read_through, ..Seen::default() };
        Self { finished_through: watch::Sender::new(finished_through), seen: Mutex::new(seen), records }
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

    /// Calls for this function that were read or queued, and are neither taken nor dead letters yet.
    pub fn waiting_calls(&self) -> u64 {
        self.unread.0.saturating_add(self.waiting.0 as u64)
    }

    /// Lines of the log up to `end` that were not read yet. They may be for others, or no calls.
    pub fn unread_lines(&self, end: u64) -> u64 {
        end.saturating_sub(self.unread.1.max(self.read_through))
    }

    /// Calls that became dead letters.
    pub fn all_dead(&self) -> u64 {
        self.dead.values().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_counted_where_it_is() {
        let mut seen = Seen { read_through: 100, waiting: (7, 700), ..Seen::default() };
        let counts = |seen: &Seen, end| (seen.waiting_calls(), seen.unread_lines(end));
        // Everything was read, also what is not for this function.
        assert_eq!(counts(&seen, 100), (7, 0));
        // An alarm said that 37 calls wait, although nobody knew whose the other 30 are.
        assert_eq!(counts(&seen, 130), (7, 30));
        // The calls of a queue are counted, however many positions they span.
        seen.unread = (5, 1_000);
        assert_eq!(counts(&seen, 1_000), (12, 0));
        assert_eq!(counts(&seen, 1_003), (12, 3));
    }
}
