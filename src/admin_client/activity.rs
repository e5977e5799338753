//! How many calls came in lately: from the collector's history, or from snapshots that this command took.
//! Pure.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde::Deserialize;

use crate::admin::Status;

/// Snapshots that are kept for the rates of a watch.
const SNAPSHOTS_MAX: usize = 120;
/// The most points of a sparkline.
pub const POINTS_MAX: usize = 24;

/// Calls a second of each source and of all, oldest first: what `GET /api/history` answers, or its latest
/// points.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Activity {
    sources: BTreeMap<String, Vec<f64>>,
    #[serde(rename = "received")]
    all: Vec<f64>,
}

impl Activity {
    /// The latest points of a history; `None` if it has no point yet.
    pub fn of_history(history: Self) -> Option<Self> {
        let last = |mut points: Vec<f64>| points.split_off(points.len().saturating_sub(POINTS_MAX));
        let sources = history.sources.into_iter().map(|(id, points)| (id, last(points))).collect();
        (!history.all.is_empty()).then(|| Self { sources, all: last(history.all) })
    }

    /// Calls a second of a source now.
    pub fn rate(&self, source: &str) -> f64 {
        self.of(source).last().copied().unwrap_or(0.0)
    }

    /// Calls a second of all sources now.
    pub fn rate_of_all(&self) -> f64 {
        self.all.last().copied().unwrap_or(0.0)
    }

    /// The mean of a source. A mean changes slowly, so that an order by it does not jump.
    pub fn mean(&self, source: &str) -> f64 {
        let points = self.of(source);
        #[expect(clippy::cast_precision_loss, reason = "a few points")]
        let count = points.len().max(1) as f64;
        points.iter().sum::<f64>() / count
    }

    /// The points of a source.
    pub fn of(&self, source: &str) -> &[f64] {
        self.sources.get(source).map_or(&[], Vec::as_slice)
    }

    /// The points of all sources.
    pub fn of_all(&self) -> &[f64] {
        &self.all
    }
}

/// The totals of one snapshot.
#[derive(Debug)]
struct Snapshot {
    at: Duration,
    received: u64,
    sources: BTreeMap<String, u64>,
}

/// Snapshots of one collector, for a collector without a history.
#[derive(Debug, Default)]
pub struct Snapshots(VecDeque<Snapshot>);

impl Snapshots {
    /// Adds a snapshot taken at `now` on a clock that never goes back.
    pub fn add(&mut self, now: Duration, status: &Status) {
        let sources = status.sources.iter().map(|source| (source.id.clone(), source.totals.received));
        let snapshot = Snapshot { at: now, received: status.totals.received, sources: sources.collect() };
        // A restarted collector counts from zero.
        if self.0.back().is_some_and(|last| last.received > snapshot.received) {
            self.0.clear();
        }
        self.0.push_back(snapshot);
        while self.0.len() > SNAPSHOTS_MAX {
            self.0.pop_front();
        }
    }

    /// The rates between the snapshots; `None` before the second one.
    pub fn activity(&self) -> Option<Activity> {
        let latest = self.0.back()?;
        let pairs = || self.0.iter().zip(self.0.iter().skip(1));
        let skip = pairs().count().saturating_sub(POINTS_MAX);
        let points = |received: &dyn Fn(&Snapshot) -> u64| -> Vec<f64> {
            pairs().skip(skip).map(|(before, after)| rate(before, after, received)).collect()
        };
        let of = |id: &String| {
            let received = |snapshot: &Snapshot| snapshot.sources.get(id).copied().unwrap_or(0);
            (id.clone(), points(&received))
        };
        let all = points(&|snapshot| snapshot.received);
        (!all.is_empty()).then(|| Activity { sources: latest.sources.keys().map(of).collect(), all })
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
fn rate(before: &Snapshot, after: &Snapshot, received: &dyn Fn(&Snapshot) -> u64) -> f64 {
    let seconds = after.at.saturating_sub(before.at).as_secs_f64();
    let calls = received(after).saturating_sub(received(before)) as f64;
    if seconds > 0.0 { calls / seconds } else { 0.0 }
}

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Points as bars, the highest of them as a full one. Zero is the lowest bar, and anything above zero is
/// higher.
pub fn sparkline(points: &[f64]) -> String {
    let highest = points.iter().copied().fold(0.0, f64::max);
    let bar = |point: f64| {
        let part = if highest > 0.0 { point / highest } else { 0.0 };
        let height = match part {
            part if part > 0.0 => BARS.iter().skip(1).zip(1_u8..).find(|(_, n)| part <= f64::from(*n) / 7.0),
            _ => BARS.iter().zip(0..).next(),
        };
        height.map_or('█', |(bar, _)| *bar)
    };
    points.iter().copied().map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::{SourceStatus, Totals};

    fn status(received: &[(&str, u64)]) -> Status {
        let source = |(id, received): &(&str, u64)| SourceStatus {
            id: (*id).to_owned(),
            totals: Totals { received: *received, ..Totals::default() },
            ..SourceStatus::default()
        };
        Status {
            totals: Totals { received: received.iter().map(|(_, calls)| calls).sum(), ..Totals::default() },
            sources: received.iter().map(source).collect(),
            ..Status::default()
        }
    }

    #[test]
    fn rates_are_those_between_snapshots() {
        let mut snapshots = Snapshots::default();
        let at = Duration::from_secs;
        snapshots.add(at(10), &status(&[("web", 100)]));
        assert_eq!(snapshots.activity(), None);
        snapshots.add(at(12), &status(&[("web", 140), ("ios", 1)]));
        snapshots.add(at(14), &status(&[("web", 140), ("ios", 5)]));
        let activity = snapshots.activity().unwrap();
        assert_eq!(activity.of("web"), [20.0, 0.0]);
        assert_eq!(activity.of("ios"), [0.5, 2.0]);
        assert_eq!(activity.of_all(), [20.5, 2.0]);
        assert_eq!((activity.rate("ios"), activity.rate_of_all(), activity.mean("web")), (2.0, 2.0, 10.0));
        assert_eq!(activity.rate("nobody"), 0.0);
        // A restarted collector counts from zero.
        snapshots.add(at(16), &status(&[("web", 4)]));
        assert_eq!(snapshots.activity(), None);
        snapshots.add(at(20), &status(&[("web", 8)]));
        assert_eq!(snapshots.activity().unwrap().of("web"), [1.0]);
    }

    #[test]
    fn snapshots_are_bounded() {
        let mut snapshots = Snapshots::default();
        for second in 0..1_000 {
            snapshots.add(Duration::from_secs(second), &status(&[("web", second * 3)]));
        }
        assert_eq!(snapshots.0.len(), SNAPSHOTS_MAX);
        assert_eq!(snapshots.activity().unwrap().of("web"), [3.0; POINTS_MAX]);
    }

    #[test]
    fn a_history_shows_its_latest_points() {
        let history = |points: Vec<f64>| {
            let sources = BTreeMap::from([("web".to_owned(), points.clone())]);
            Activity::of_history(Activity { sources, all: points })
        };
        assert_eq!(history(Vec::new()), None);
        let points: Vec<f64> = (0..120_u8).map(f64::from).collect();
        let activity = history(points).unwrap();
        assert_eq!((activity.of("web").len(), activity.rate("web")), (POINTS_MAX, 119.0));
    }

    #[test]
    fn a_sparkline_has_a_bar_for_each_point() {
        let check = |points: &[f64], expected: &str| assert_eq!(sparkline(points), expected, "{points:?}");
        check(&[], "");
        check(&[0.0, 0.0], "▁▁");
        check(&[0.0, 1.0, 7.0, 3.5, 0.001], "▁▂█▅▂");
        check(&[5.0], "█");
    }
}
