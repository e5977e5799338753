//! What the thread of a partition shares with other threads of the writer.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use crate::delivery::Delivery;
use crate::kafka::beat::Beat;
use crate::kafka::serve::Served;
use crate::lock::{lock, wait_while_at_most};
use crate::partition::opening::Stop;
use crate::time::UnixMillis;

/// A term that is delivered.
#[derive(Clone, Debug)]
pub(super) struct Live {
    pub(super) served: Served,
    pub(super) delivery: Delivery,
}

/// Where a partition is.
#[derive(Clone, Debug, Default)]
pub(super) enum Standing {
    /// No term has begun yet.
    #[default]
    Begins,
    /// No term can begin, for this reason: the notes cannot be read at present.
    Waits(Arc<str>),
    /// A term is delivered.
    Live(Box<Live>),
    /// The partition stops until a person acts.
    Stopped(Stop),
}

/// What the thread of a partition shares with that of the group.
#[derive(Debug, Default)]
pub(super) struct Place {
    given_up: AtomicBool,
    standing: Mutex<Standing>,
    changed: Condvar,
    pub(super) beat: Beat,
    /// Its share of the cache in bytes.
    pub(super) cache_bytes: AtomicU64,
    /// Terms that began.
    pub(super) terms: AtomicU64,
    /// Terms that the brokers ended.
    pub(super) ended: AtomicU64,
    /// Batches that were due before their time because the cache was full to 70 %.
    pub(super) cut_early: AtomicU64,
    /// How long the last takeover took, once it has.
    pub(super) takeover: Mutex<Option<Duration>>,
    /// What is found out from time to time.
    pub(super) seen: Mutex<Seen>,
}

/// What is found out of a partition from time to time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    /// The offset of the log's next record.
    pub(super) end: Option<u64>,
    /// When that was asked for, by the brokers' clock. `None` until a note has told it.
    pub(super) end_at: Option<UnixMillis>,
    /// How long the log keeps what is needed: `None` if it is not known, within it `None` if nothing waits or the log
    /// deletes nothing.
    pub(super) time_left: Option<Option<Duration>>,
    /// Whether that is so little that an alarm is raised.
    pub(super) is_short: bool,
    /// Frames and bytes that were read in a second of the last minutes.
    pub(super) rates: Option<(f64, f64)>,
}

impl Place {
    /// The partition is not assigned any more: its thread ends.
    pub(super) fn give_up(&self) {
        self.given_up.store(true, Ordering::Release);
        let _locked = lock(&self.standing);
        self.changed.notify_all();
    }

    /// Where it is.
    pub(super) fn standing(&self) -> Standing {
        lock(&self.standing).clone()
    }

    /// Changes the share of the cache.
    pub(super) fn set_cache_bytes(&self, bytes: u64) {
        self.cache_bytes.store(bytes, Ordering::Release);
        if let Standing::Live(live) = self.standing() {
            live.served.set_cache_bytes(bytes);
        }
    }

    /// Whether it is still assigned to this process.
    pub(super) fn is_assigned(&self) -> bool {
        !self.given_up.load(Ordering::Acquire)
    }

    /// Whether a call of the library does not return: of its own thread, or of the one that builds left objects.
    pub(super) fn hangs(&self, now: Duration) -> bool {
        let builder_hangs =
            || matches!(self.standing(), Standing::Live(live) if live.served.builder_hangs(now));
        self.beat.hangs(now) || builder_hangs()
    }

    /// Changes where it is.
    pub(super) fn set(&self, standing: Standing) {
        *lock(&self.standing) = standing;
    }

    /// Waits until the partition is given up, for `at_most` at most.
    pub(super) fn wait(&self, at_most: Duration) {
        self.beat.rests();
        let waits = |_: &mut Standing| self.is_assigned();
        drop(wait_while_at_most(&self.changed, lock(&self.standing), at_most, waits));
    }
}

/// The places of all partitions that this process works on.
pub(super) type Places = BTreeMap<u32, Arc<Place>>;
