//! Counts of what a collector sends.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Counters that only grow.
#[derive(Debug, Default)]
pub(super) struct Sent {
    blocks: AtomicU64,
    micros: AtomicU64,
    stored: AtomicU64,
    unknown: AtomicU64,
    refused: AtomicU64,
    producers_failed: AtomicU64,
}

/// Their values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SentCounts {
    /// Blocks that brokers have acknowledged.
    pub blocks: u64,
    /// The time from sending each of them to its report, in total.
    pub in_flight: Duration,
    /// Requests that were answered with success.
    pub stored: u64,
    /// Requests with an unknown outcome.
    pub unknown: u64,
    /// Requests of which nothing was sent: there was no room, or the owner of a partition refuses the source.
    pub refused: u64,
    /// Producers that have failed.
    pub producers_failed: u64,
}

impl Sent {
    /// A block is in the log, so long after it was sent.
    pub(super) fn stored(&self, after: Duration) {
        self.blocks.fetch_add(1, Ordering::Relaxed);
        self.micros.fetch_add(u64::try_from(after.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// A request has its answer.
    pub(super) fn answered(&self, stored: bool) {
        let of = if stored { &self.stored } else { &self.unknown };
        of.fetch_add(1, Ordering::Relaxed);
    }

    /// A request was refused.
    pub(super) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// A producer has failed.
    pub(super) fn failed(&self) {
        self.producers_failed.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn counts(&self) -> SentCounts {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        SentCounts {
            blocks: of(&self.blocks),
            in_flight: Duration::from_micros(of(&self.micros)),
            stored: of(&self.stored),
            unknown: of(&self.unknown),
            refused: of(&self.refused),
            producers_failed: of(&self.producers_failed),
        }
    }
}
