//! Counts of what a collector sends.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::metrics::kafka::CollectorMetrics;

/// Counters that only grow.
#[derive(Debug)]
pub(super) struct Sent {
    metrics: CollectorMetrics,
    micros: AtomicU64,
    stored: AtomicU64,
}

/// Their values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SentCounts {
    /// Blocks that brokers have acknowledged.
    pub blocks: u64,
    /// Frames in them.
    pub frames: u64,
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
    pub(super) fn new(metrics: CollectorMetrics) -> Self {
        Self { metrics, micros: AtomicU64::new(0), stored: AtomicU64::new(0) }
    }

    /// A block of so many frames is in the log, so long after it was sent.
    pub(super) fn stored(&self, after: Duration, frames: u64) {
        self.metrics.blocks.inc();
        self.metrics.frames.inc_by(frames);
        self.metrics.produce_seconds.observe(after);
        self.micros.fetch_add(u64::try_from(after.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// A request has its answer.
    pub(super) fn answered(&self, stored: bool) {
        if stored {
            self.stored.fetch_add(1, Ordering::Relaxed);
        } else {
            self.metrics.unknown.inc();
        }
    }

    /// A request was refused.
    pub(super) fn refused(&self) {
        self.metrics.refused.inc();
    }

    /// A producer has failed.
    pub(super) fn failed(&self) {
        self.metrics.producers_failed.inc();
    }

    pub(super) fn counts(&self) -> SentCounts {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        SentCounts {
            blocks: self.metrics.blocks.get(),
            frames: self.metrics.frames.get(),
            in_flight: Duration::from_micros(of(&self.micros)),
            stored: of(&self.stored),
            unknown: self.metrics.unknown.get(),
            refused: self.metrics.refused.get(),
            producers_failed: self.metrics.producers_failed.get(),
        }
    }
}
