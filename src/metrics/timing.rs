//! Durations: a histogram for Prometheus, and the last ones for people.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::metrics::histogram::Histogram;

/// How many of the last durations are kept.
const RECENT_MAX: usize = 512;

/// Observed durations. Clones share them.
#[derive(Clone, Debug)]
pub struct Timing {
    pub(super) histogram: Histogram,
    recent: Arc<Mutex<Timings>>,
}

/// The last durations, in seconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Timings {
    /// Durations since the process started.
    pub count: u64,
    /// The last of them, oldest first, at most 512.
    pub recent: VecDeque<f32>,
}

impl Timing {
    pub(super) fn new(buckets: impl IntoIterator<Item = f64>) -> Self {
        Self { histogram: Histogram::new(buckets), recent: Arc::default() }
    }

    /// Adds a duration.
    pub fn observe(&self, took: Duration) {
        self.histogram.observe(took.as_secs_f64());
        let mut timings = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        timings.count += 1;
        if timings.recent.len() >= RECENT_MAX {
            timings.recent.pop_front();
        }
        timings.recent.push_back(took.as_secs_f32());
    }

    /// The last durations.
    pub fn recent(&self) -> Timings {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Timings {
    /// The duration below which this share (0 to 1) of the last ones lies. `None` if there is none.
    #[expect(clippy::cast_precision_loss, reason = "at most RECENT_MAX durations")]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index, clamped by get")]
    pub fn quantile(&self, share: f64) -> Option<f32> {
        let mut sorted = Vec::from(self.recent.clone());
        sorted.sort_by(f32::total_cmp);
        let rank = (share * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.saturating_sub(1)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_the_last_durations() {
        let timing = Timing::new([1.0]);
        assert_eq!(timing.recent().quantile(0.5), None);
        for ms in 0..600_u16 {
            timing.observe(Duration::from_millis(u64::from(ms)));
        }
        let timings = timing.recent();
        assert_eq!((timings.count, timings.recent.len()), (600, RECENT_MAX));
        assert_eq!(timings.quantile(1.0), Some(0.599));
        assert_eq!(timings.quantile(0.5), Some(0.343));
        assert_eq!(timings.quantile(0.0), Some(0.088));
    }
}
