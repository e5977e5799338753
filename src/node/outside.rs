//! What the rooms of a node share of the outside world.

use std::sync::Arc;

use crate::metrics::Metrics;
use crate::random::Random;
use crate::runtime::{SystemClock, SystemRandom};
use crate::time::Clock;

/// The clock, random numbers and metrics that a node's rooms share.
#[derive(Clone, Debug)]
pub struct Outside {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Random numbers.
    pub random: Arc<dyn Random>,
    /// Metrics.
    pub metrics: Metrics,
}

impl Outside {
    /// Those of the operating system.
    pub fn system() -> Self {
        Self { clock: Arc::new(SystemClock::new()), random: Arc::new(SystemRandom), metrics: Metrics::new() }
    }
}
