//! How fast an import is, and how long it still takes.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::Snapshot;

/// The time over which a rate is measured.
const RATE_OVER: Duration = Duration::from_secs(5);

/// The estimated seconds until the end, at least one, at this rate and with rows of the same length.
pub fn seconds_left(now: &Snapshot, rows_per_second: f64) -> Option<u64> {
    if now.rows == 0 || now.bytes_read == 0 || now.bytes_read >= now.bytes_total || rows_per_second <= 0.0 {
        return None;
    }
    #[expect(clippy::cast_precision_loss, reason = "an estimate for people")]
    let seconds = {
        let per_row = now.bytes_read as f64 / now.rows as f64;
        (now.bytes_total - now.bytes_read) as f64 / per_row / rows_per_second
    };
    Duration::try_from_secs_f64(seconds.round()).ok().map(|left| left.as_secs().max(1))
}

/// Measures rows per second over the last few seconds.
#[derive(Debug)]
pub struct RowRate {
    seen: VecDeque<(Instant, u64)>,
}

impl Default for RowRate {
    fn default() -> Self {
        Self { seen: [(Instant::now(), 0)].into() }
    }
}

impl RowRate {
    /// The rate, now that so many rows were read.
    pub fn of(&mut self, rows: u64) -> f64 {
        let now = Instant::now();
        self.seen.push_back((now, rows));
        while self.seen.len() > 2 && self.seen.front().is_some_and(|(at, _)| now - *at > RATE_OVER) {
            self.seen.pop_front();
        }
        let Some((since, before)) = self.seen.front().copied() else { return 0.0 };
        let seconds = (now - since).as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "an estimate for people")]
        if seconds > 0.0 { rows.saturating_sub(before) as f64 / seconds } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_follows_from_bytes_and_rate() {
        let now = Snapshot { bytes_read: 1_000, bytes_total: 4_000, rows: 100, ..Snapshot::default() };
        assert_eq!(seconds_left(&now, 10.0), Some(30));
        assert_eq!(seconds_left(&now, 10_000.0), Some(1));
        assert_eq!(seconds_left(&now, 0.0), None);
        assert_eq!(seconds_left(&Snapshot { bytes_total: 0, ..now }, 10.0), None);
    }
}
