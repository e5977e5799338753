//! The parts of the outside world that the rooms of a node share.

use std::sync::Arc;

use crate::metrics::Metrics;
use crate::random::Random;
use crate::runtime::{SystemClock, SystemRandom};
use crate::time::Clock;

/// The clock, random numbers and metrics that a node's rooms share.
#[derive(Clone, Debug)]
pub struct Outside {
    /// Monotonic and wall time.
    pub clock: Arc<dyn Clock>,
    /// Random numbers.
    pub random: Arc<dyn Random>,
    /// Metrics to count into.
    pub metrics: Metrics,
}

impl Outside {
    /// The clock and random numbers of the operating system, and new metrics.
    pub fn system() -> Self {
        Self { clock: Arc::new(SystemClock::new()), random: Arc::new(SystemRandom), metrics: Metrics::new() }
    }
}
