//! The counters of sources that were forgotten: one series for all of them.
//!
//! The sum over all series stays what it was. The rates stay true, too: they are taken series by series, and
//! what a new series begins with is no increase. So the series gets a new name whenever it takes over more.

use std::hash::Hash;
use std::sync::PoisonError;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use super::{BECAME, Metrics, ReasonLabel, RowsLabel, SourceLabel, count};

impl Metrics {
    /// Moves the counters of `sources` into those of one series, whose `source` is `as_one`, together with
    /// what the series before it had. `reasons` are all reasons for which an item may be rejected or a
    /// request refused.
    pub fn forget<'a>(
        &self,
        sources: impl IntoIterator<Item = &'a str>,
        as_one: &str,
        reasons: &[&'static str],
    ) {
        // Nobody sees half of it.
        let mut removed = self.removed.lock().unwrap_or_else(PoisonError::into_inner);
        let before = removed.replace(as_one.to_owned());
        let from: Vec<String> = sources.into_iter().map(str::to_owned).chain(before).collect();
        for family in [
            &self.received,
            &self.stored,
            &self.repeated,
            &self.delivered,
            &self.object_sets_received,
            &self.object_sets_stored,
            &self.object_sets_repeated,
            &self.object_sets_delivered,
        ] {
            fold(family, &from, as_one, |source| SourceLabel { source });
        }
        for &reason in reasons {
            fold(&self.rejected, &from, as_one, |source| ReasonLabel { source, reason });
            fold(&self.refused, &from, as_one, |source| ReasonLabel { source, reason });
        }
        for became in BECAME {
            fold(&self.import_rows, &from, as_one, |source| RowsLabel { source, became });
        }
    }

    /// The name of the series of forgotten sources, if there is one.
    pub fn removed_source(&self) -> Option<String> {
        self.removed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn fold<L>(family: &Family<L, Counter>, from: &[String], to: &str, label: impl Fn(String) -> L)
where
    L: Clone + Eq + Hash + EncodeLabelSet,
{
    let mut sum = 0;
    for source in from {
        let label = label(source.clone());
        sum += count(family, &label);
        family.remove(&label);
    }
    if sum > 0 {
        family.get_or_create(&label(to.to_owned())).inc_by(sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values of a metric's series, by source and, if there is one, reason.
    fn series(metrics: &Metrics, name: &str) -> Vec<(String, u64)> {
        let text = metrics.render().unwrap();
        let mut series: Vec<(String, u64)> = text
            .lines()
            .filter_map(|line| line.strip_prefix(name)?.rsplit_once(' '))
            .map(|(labels, value)| (labels.to_owned(), value.parse().unwrap()))
            .collect();
        series.sort();
        series
    }

    #[test]
    fn the_sum_stays_and_each_series_is_new_or_unchanged() {
        let metrics = Metrics::new();
        let received = |source: &str, calls: u64| {
            metrics.received.get_or_create(&SourceLabel { source: source.to_owned() }).inc_by(calls);
        };
        let rejected = |source: &str, reason, calls: u64| {
            let label = ReasonLabel { source: source.to_owned(), reason };
            metrics.rejected.get_or_create(&label).inc_by(calls);
        };
        for (source, calls) in [("a", 1), ("b", 20), ("c", 300), ("none", 0)] {
            received(source, calls);
        }
        rejected("a", "bad_type", 3);
        rejected("b", "too_deep", 4);
        let of = |name: &str, labels: &[(&str, u64)]| {
            let expected: Vec<(String, u64)> =
                labels.iter().map(|(labels, value)| ((*labels).to_owned(), *value)).collect();
            assert_eq!(series(&metrics, name), expected);
        };
        let reasons = ["bad_type", "too_deep"];
        metrics.forget(["a", "none"], "(2 removed)", &reasons);
        of(
            "forebay_calls_received_total",
            &[("{source=\"(2 removed)\"}", 1), ("{source=\"b\"}", 20), ("{source=\"c\"}", 300)],
        );
        metrics.forget(["b"], "(3 removed)", &reasons);
        of("forebay_calls_received_total", &[("{source=\"(3 removed)\"}", 21), ("{source=\"c\"}", 300)]);
        of(
            "forebay_calls_rejected_total",
            &[
                ("{source=\"(3 removed)\",reason=\"bad_type\"}", 3),
                ("{source=\"(3 removed)\",reason=\"too_deep\"}", 4),
            ],
        );
        // A source that comes back has counters of its own.
        received("a", 5);
        of(
            "forebay_calls_received_total",
            &[("{source=\"(3 removed)\"}", 21), ("{source=\"a\"}", 5), ("{source=\"c\"}", 300)],
        );
        assert_eq!(metrics.removed_source().as_deref(), Some("(3 removed)"));
    }
}
