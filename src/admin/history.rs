//! The last ten minutes: what `GET /api/history` answers. Pure.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde::Serialize;

use crate::sources::SourceId;

/// The time between two samples.
pub const STEP: Duration = Duration::from_secs(5);
/// Samples kept: ten minutes.
pub const SAMPLES_MAX: usize = 120;
/// Sources with samples. If there are more, those that send nothing are left out first.
pub const SOURCES_MAX: usize = 1_000;

/// What `GET /api/history` answers. Samples are in order, the newest last.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct History {
    /// Seconds between two samples.
    pub step_seconds: u64,
    /// The process's wall clock.
    pub now_ms: i64,
    /// Calls a second of each source, as means over a step.
    pub sources: BTreeMap<SourceId, VecDeque<f32>>,
    /// Calls a second of all sources.
    pub received: VecDeque<f32>,
    /// Bytes a second of objects that the store has confirmed.
    pub delivered_bytes: VecDeque<f32>,
    /// Bytes of the spool in use.
    pub spool_bytes: VecDeque<u64>,
}

/// Counts at one time, since the process started.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// Monotonic time.
    pub at: Duration,
    /// Calls received from each source.
    pub sources: BTreeMap<SourceId, u64>,
    /// Bytes of delivered objects.
    pub object_bytes: u64,
    /// Bytes of the spool in use.
    pub spool_bytes: u64,
}

/// Samples of the last ten minutes.
#[derive(Debug, Default)]
pub struct HistoryRing {
    last: Option<Reading>,
    /// Without its times, which each answer sets.
    history: History,
}

impl HistoryRing {
    /// Adds a sample: the change from the last reading to this one.
    #[expect(clippy::cast_precision_loss, reason = "rates for people")]
    pub fn add(&mut self, reading: Reading) {
        let Some(last) = self.last.replace(reading) else { return };
        let Some(now) = &self.last else { return };
        let seconds = now.at.saturating_sub(last.at).as_secs_f32();
        if seconds <= 0.0 {
            return;
        }
        let rate = |before: u64, after: u64| after.saturating_sub(before) as f32 / seconds;
        let mut sum = 0.0;
        let samples = &mut self.history;
        samples.sources.retain(|source, samples| {
            now.sources.contains_key(source) && samples.iter().any(|calls| *calls > 0.0)
        });
        let before = samples.received.len();
        for (source, after) in &now.sources {
            let calls = rate(last.sources.get(source).copied().unwrap_or(0), *after);
            sum += calls;
            if let Some(known) = samples.sources.get_mut(source) {
                push(known, calls);
                continue;
            }
            let has_room = samples.sources.len() < SOURCES_MAX;
            let comes_before = samples.sources.last_key_value().is_some_and(|(last, _)| source < last);
            if calls > 0.0 && (has_room || comes_before) {
                let mut new: VecDeque<f32> = std::iter::repeat_n(0.0, before).collect();
                push(&mut new, calls);
                samples.sources.insert(source.clone(), new);
            }
            if samples.sources.len() > SOURCES_MAX {
                samples.sources.pop_last();
            }
        }
        push(&mut samples.received, sum);
        push(&mut samples.delivered_bytes, rate(last.object_bytes, now.object_bytes));
        push(&mut samples.spool_bytes, now.spool_bytes);
    }

    /// The samples, oldest first.
    pub fn show(&self, now_ms: i64) -> History {
        History { step_seconds: STEP.as_secs(), now_ms, ..self.history.clone() }
    }
}

fn push<T>(samples: &mut VecDeque<T>, sample: T) {
    if samples.len() >= SAMPLES_MAX {
        samples.pop_front();
    }
    samples.push_back(sample);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(second: u64, calls: &[(&str, u64)]) -> Reading {
        let sources = calls.iter().map(|(source, calls)| (SourceId::new(source).unwrap(), *calls)).collect();
        Reading { at: Duration::from_secs(second), sources, object_bytes: second * 10, spool_bytes: second }
    }

    #[test]
    fn samples_are_rates_between_readings() {
        let mut ring = HistoryRing::default();
        ring.add(reading(0, &[("web", 100)]));
        assert_eq!(ring.show(0).received.len(), 0, "one reading is no rate");
        ring.add(reading(5, &[("web", 150), ("ios", 0)]));
        ring.add(reading(15, &[("web", 150), ("ios", 20)]));
        let shown = ring.show(7);
        assert_eq!((shown.received, shown.spool_bytes), ([10.0, 2.0].into(), [5, 15].into()));
        let of = |source| &shown.sources[&SourceId::new(source).unwrap()];
        assert_eq!(*of("web"), [10.0, 0.0]);
        assert_eq!(*of("ios"), [0.0, 2.0], "samples of all sources end at the same time");
        assert_eq!(shown.delivered_bytes, [10.0, 10.0]);
    }

    #[test]
    fn ten_minutes_and_a_thousand_sources_are_kept() {
        let mut ring = HistoryRing::default();
        let names: Vec<String> = (0..2_000).map(|n| format!("s{n:04}")).collect();
        for second in 0..300_u64 {
            let calls: Vec<(&str, u64)> = names.iter().map(|name| (name.as_str(), second)).collect();
            ring.add(reading(second * 5, &calls));
        }
        let shown = ring.show(0);
        assert_eq!((shown.received.len(), shown.sources.len()), (SAMPLES_MAX, SOURCES_MAX));
        assert!(shown.sources.values().all(|samples| samples.len() == SAMPLES_MAX));
    }

    #[test]
    fn a_silent_source_leaves() {
        let mut ring = HistoryRing::default();
        for step in 0..200 {
            ring.add(reading(step * 5, &[("web", step.min(3))]));
        }
        assert!(ring.show(0).sources.is_empty());
    }
}
