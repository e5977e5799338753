//! The figures of a case, and their medians.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::bucket::Contents;
use crate::load::Outcome;
use crate::path::Floor;

/// The measurements of one repeat of a case.
#[derive(Debug)]
pub(crate) struct Figures {
    /// The single-thread floor.
    pub(crate) floor: Floor,
    /// A server that only answers.
    pub(crate) bare: Outcome,
    /// Calls delivered per second with the spool in memory.
    pub(crate) in_memory: f64,
    /// The collector at its fastest rate of answers.
    pub(crate) peak: Outcome,
    /// From the first request of the peak until all of its calls were in the bucket.
    pub(crate) took: Duration,
    /// CPU time of the collector over `took`.
    pub(crate) cpu: Duration,
    /// Syncs of the spool in that time.
    pub(crate) syncs: f64,
    /// Bytes of a sync, on average.
    pub(crate) block: f64,
    /// Bytes written to the spool in that time.
    pub(crate) written: f64,
    /// The collector at half of its peak.
    pub(crate) half: Half,
    /// The peak memory of the collector, in bytes.
    pub(crate) peak_rss: u64,
    /// The content of the objects made under load.
    pub(crate) contents: Contents,
    /// The content of the objects made at leisure.
    pub(crate) at_leisure: Contents,
    /// Requests not answered 200.
    pub(crate) refused: u64,
}

/// The collector at half of its peak, at a fixed rate.
#[derive(Debug)]
pub(crate) struct Half {
    /// The answers.
    pub(crate) outcome: Outcome,
    /// The disk alone, with blocks of the same size at the same rate.
    pub(crate) disk: Histogram<u64>,
    /// All bytes written to the spool's disk until everything was delivered; `None` if it is not a disk.
    pub(crate) disk_bytes: Option<u64>,
}

/// Each figure: its name, its unit, its digits after the point.
const COLUMNS: [(&str, &str, usize); 29] = [
    ("delivered", "calls/s, until all are in the bucket", 0),
    ("answered", "calls/s, while requests are sent", 0),
    ("floor F", "calls/s", 0),
    ("B1", "delivered / F", 2),
    ("answered / F", "", 2),
    ("CPU", "us a call, from request to bucket", 2),
    ("CPU of F", "us a call", 2),
    ("B2", "CPU / CPU of F", 2),
    ("in memory", "calls/s, delivered with the spool on tmpfs", 0),
    ("B5", "delivered / in memory", 2),
    ("bare server", "requests/s", 0),
    ("B3", "requests/s / bare server", 2),
    ("p50 at peak", "ms", 2),
    ("p99 at peak", "ms", 2),
    ("requests a sync", "", 1),
    ("bytes a sync", "", 0),
    ("disk p50", "ms, write and sync in the rhythm of the collector at half of its peak", 3),
    ("disk p99", "ms", 3),
    ("p50 at half of peak", "ms", 2),
    ("p99 at half of peak", "ms", 2),
    ("B4", "p99 at half of peak / disk p99", 2),
    ("peak memory", "MB", 0),
    ("spool", "bytes written a call", 0),
    ("line", "bytes", 0),
    ("object", "bytes a line", 1),
    ("B11 under load", "object / gzip -6 of its lines", 3),
    ("B11 at leisure", "object / gzip -6 of its lines", 3),
    ("B12", "bytes written to disk / bytes of lines, at half of peak", 3),
    ("refused", "requests not answered 200", 0),
];

#[expect(clippy::cast_precision_loss, reason = "counts and bytes of some seconds")]
impl Figures {
    /// In the order of [`COLUMNS`].
    fn values(&self) -> [f64; COLUMNS.len()] {
        let (calls, requests) = (self.peak.calls as f64, self.peak.requests as f64);
        let delivered = calls / self.took.as_secs_f64();
        let cpu = self.cpu.as_secs_f64() * 1e6 / calls;
        let bare = self.bare.requests_per_second();
        let (lines, line_bytes) = (self.contents.lines as f64, self.contents.line_bytes as f64);
        let disk_ms = |quantile| self.half.disk.value_at_quantile(quantile) as f64 / 1e6;
        [
            delivered,
            self.peak.calls_per_second(),
            self.floor.calls_per_second(),
            delivered / self.floor.calls_per_second(),
            self.peak.calls_per_second() / self.floor.calls_per_second(),
            cpu,
            self.floor.cpu_us(),
            cpu / self.floor.cpu_us(),
            self.in_memory,
            delivered / self.in_memory,
            bare,
            self.peak.requests_per_second() / bare,
            self.peak.latency_ms(0.5),
            self.peak.latency_ms(0.99),
            requests / self.syncs.max(1.0),
            self.block,
            disk_ms(0.5),
            disk_ms(0.99),
            self.half.outcome.latency_ms(0.5),
            self.half.outcome.latency_ms(0.99),
            self.half.outcome.latency_ms(0.99) / disk_ms(0.99),
            self.peak_rss as f64 / 1e6,
            self.written / calls,
            line_bytes / lines,
            self.contents.object_bytes as f64 / lines,
            self.contents.to_gzip(),
            self.at_leisure.to_gzip(),
            self.half.disk_bytes.map_or(f64::NAN, |bytes| bytes as f64)
                / (self.half.outcome.calls as f64 * line_bytes / lines),
            self.refused as f64,
        ]
    }

    /// The most important figures on one line.
    pub(crate) fn line(&self) -> String {
        let wanted = ["delivered", "answered", "floor F", "CPU", "CPU of F", "p99 at peak", "disk p50"];
        let all = COLUMNS.iter().zip(self.values());
        all.filter(|((name, ..), _)| wanted.contains(name))
            .map(|((name, _, digits), value)| format!("{name} {value:.digits$}"))
            .collect::<Vec<_>>()
            .join(", ")
    }
}

/// All repeats of one case.
#[derive(Debug, Default)]
pub(crate) struct Report(Vec<[f64; COLUMNS.len()]>);

impl Report {
    pub(crate) fn push(&mut self, figures: Figures) {
        self.0.push(figures.values());
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (column, (name, unit, digits)) in COLUMNS.iter().enumerate() {
            let mut values: Vec<f64> = self.0.iter().filter_map(|row| row.get(column).copied()).collect();
            values.sort_by(f64::total_cmp);
            let (Some(least), Some(median), Some(most)) =
                (values.first(), values.get(values.len() / 2), values.last())
            else {
                continue;
            };
            let spread = format!("({least:.digits$} to {most:.digits$})");
            writeln!(f, "  {name:<20} {median:>12.digits$}  {spread:<24} {unit}")?;
        }
        Ok(())
    }
}
