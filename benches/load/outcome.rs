//! The outcome of a run, for people and for programs.

use std::fmt;
use std::io;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

/// The longest latency that is recorded exactly.
const LATENCY_MAX: Duration = Duration::from_secs(60);
/// Significant digits of a latency.
const LATENCY_DIGITS: u8 = 3;
/// Points of the curve for each halving of the distance to 100 %.
const CURVE_STEPS: u32 = 2;

/// The outcome of a run.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Requests answered 2xx.
    pub(crate) requests: u64,
    /// Calls in them.
    pub(crate) calls: u64,
    /// Requests with other answers.
    pub(crate) refused: u64,
    /// From the first request to the last answer.
    pub(crate) took: Duration,
    /// Latencies of requests answered 2xx, in nanoseconds.
    pub(crate) latencies: Histogram<u64>,
    /// What ended the run early: the first connection that broke.
    pub(super) broken: Option<io::Error>,
}

impl Outcome {
    pub(super) fn new() -> Self {
        let longest = u64::try_from(LATENCY_MAX.as_nanos()).expect("a minute");
        let latencies =
            Histogram::new_with_max(longest, LATENCY_DIGITS).expect("valid bounds of a histogram");
        Self { requests: 0, calls: 0, refused: 0, took: Duration::ZERO, latencies, broken: None }
    }

    pub(super) fn accepted(&mut self, calls: u64, latency: Duration) {
        self.requests += 1;
        self.calls += calls;
        self.latencies.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
    }

    /// A latency of the requests answered 2xx, in milliseconds.
    #[expect(clippy::cast_precision_loss, reason = "a latency in nanoseconds")]
    pub(crate) fn latency_ms(&self, quantile: f64) -> f64 {
        self.latencies.value_at_quantile(quantile) as f64 / 1e6
    }

    /// Calls answered 2xx, per second.
    #[expect(clippy::cast_precision_loss, reason = "calls of some seconds")]
    pub(crate) fn calls_per_second(&self) -> f64 {
        self.calls as f64 / self.took.as_secs_f64()
    }

    /// Requests answered 2xx, per second.
    #[expect(clippy::cast_precision_loss, reason = "requests of some seconds")]
    pub(crate) fn requests_per_second(&self) -> f64 {
        self.requests as f64 / self.took.as_secs_f64()
    }

    /// All figures, with the curve of latencies as pairs of a quantile and milliseconds.
    #[expect(clippy::cast_precision_loss, reason = "a latency in nanoseconds")]
    pub(crate) fn json(&self) -> Value {
        let curve: Vec<(f64, f64)> = self
            .latencies
            .iter_quantiles(CURVE_STEPS)
            .map(|step| (step.quantile_iterated_to(), step.value_iterated_to() as f64 / 1e6))
            .collect();
        json!({
            "requests": self.requests,
            "calls": self.calls,
            "refused": self.refused,
            "took_s": self.took.as_secs_f64(),
            "requests_per_s": self.requests_per_second(),
            "calls_per_s": self.calls_per_second(),
            "latency_ms": {
                "p50": self.latency_ms(0.5),
                "p90": self.latency_ms(0.9),
                "p99": self.latency_ms(0.99),
                "p99.9": self.latency_ms(0.999),
                "max": self.latency_ms(1.0),
            },
            "quantiles": curve,
            "broken": self.broken.as_ref().map(ToString::to_string),
        })
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} calls in {} requests answered 2xx in {:.2} s: {:.0} calls/s, {:.0} requests/s",
            self.calls,
            self.requests,
            self.took.as_secs_f64(),
            self.calls_per_second(),
            self.requests_per_second(),
        )?;
        let quantiles = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)];
        let latencies: Vec<String> = quantiles
            .iter()
            .map(|(name, quantile)| format!("{name} {:.3}", self.latency_ms(*quantile)))
            .collect();
        writeln!(f, "latency, ms: {}", latencies.join(", "))?;
        write!(f, "refused: {} requests", self.refused)?;
        match &self.broken {
            Some(error) => write!(f, "\nended by a broken connection: {error}"),
            None => Ok(()),
        }
    }
}
