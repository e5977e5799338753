//! What Forebay counts. Every room gets this struct; `admin` renders it as Prometheus text.
//!
//! Label values come only from the configuration or from closed lists, so outsiders cannot create series.
//! Sources that are forgotten become one series ([`Metrics::forget`]).

mod removed;
mod timing;

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::encoding::{EncodeLabelSet, LabelSetEncoder, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::exponential_buckets;
use prometheus_client::registry::{Registry, Unit};

pub use timing::{Timing, Timings};

/// A configured source (in dev mode: one of the first 1,000).
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct SourceLabel {
    /// The source id.
    pub source: String,
}

/// A source and the reason why its items were rejected.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RejectedLabel {
    /// The source id.
    pub source: String,
    /// A slug of [`crate::call::RejectReason`].
    pub reason: &'static str,
}

/// A source and the reason why its requests were refused.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RefusedLabel {
    /// The source id.
    pub source: String,
    /// The error code of the answer, from a closed list.
    pub reason: &'static str,
}

/// What becomes of imported rows.
const BECAME: [&str; 4] = ["stored", "repeated", "refused", "rejected"];

/// A source and what became of imported rows.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RowsLabel {
    /// The source id.
    pub source: String,
    /// `stored`, `repeated`, `refused` (stored in the rejected stream) or `rejected` (by the importer).
    pub became: &'static str,
}

/// A source and one of the accounts of its ledger.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct AccountLabel {
    /// The source id.
    pub source: String,
    /// The account's name, from a closed list.
    pub account: &'static str,
}

/// A source, one of its object or dead-letter streams, and one of the accounts of its ledger. A spool has a
/// largest number of such streams.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct StreamAccountLabel {
    /// The source id.
    pub source: String,
    /// `objects/<collection>` or `dead/<destination>`.
    pub stream: String,
    /// The account's name, from a closed list.
    pub account: &'static str,
}

/// A configured destination.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct DestinationLabel {
    /// Its name.
    pub dest: String,
}

/// A configured destination, a type of calls, and how an attempt to send one ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct InvocationLabel {
    /// The destination's name.
    pub dest: String,
    /// The type, from a closed list.
    pub kind: &'static str,
    /// `success`, or the class of the failure, from a closed list.
    pub class: &'static str,
}

// `type` is a word of the language, so the label cannot be the name of a field.
impl EncodeLabelSet for InvocationLabel {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        [("dest", self.dest.as_str()), ("type", self.kind), ("class", self.class)].encode(encoder)
    }
}

/// An HTTP status code.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct StatusLabel {
    /// The status code of the answer.
    pub status: u16,
}

/// A kind, from a closed list.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct KindLabel {
    /// Its slug.
    pub kind: &'static str,
}

/// A gauge that holds seconds.
pub type Seconds = Gauge<f64, AtomicU64>;

/// Every counter, gauge and histogram. Counters only ever grow, and the sum over the sources of one, too.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    /// The name of the series of forgotten sources. Locked while counters move to it.
    removed: Arc<Mutex<Option<String>>>,
    /// Calls in requests that were answered 200: stored, rejected or repeated.
    pub received: Family<SourceLabel, Counter>,
    /// Calls stored in the spool.
    pub stored: Family<SourceLabel, Counter>,
    /// Repeats of stored calls.
    pub repeated: Family<SourceLabel, Counter>,
    /// Items that went to the rejected stream.
    pub rejected: Family<RejectedLabel, Counter>,
    /// Calls in objects that the store has confirmed.
    pub delivered: Family<SourceLabel, Counter>,
    /// Object sets in requests that were answered 200: stored or repeated. Those that went to the rejected
    /// stream are counted there.
    pub object_sets_received: Family<SourceLabel, Counter>,
    /// Object sets stored in the spool.
    pub object_sets_stored: Family<SourceLabel, Counter>,
    /// Repeats of stored object sets.
    pub object_sets_repeated: Family<SourceLabel, Counter>,
    /// Object sets in objects that the store has confirmed.
    pub object_sets_delivered: Family<SourceLabel, Counter>,
    /// Requests with a valid write key that were answered 503 because the spool had no space left.
    pub refused: Family<RefusedLabel, Counter>,
    /// Answers by HTTP status.
    pub answers: Family<StatusLabel, Counter>,
    /// Bytes of request bodies, as received.
    pub body_bytes: Counter,
    /// Calls stored although strict validation would reject them.
    pub incomplete: Counter,
    /// Lone surrogate escapes replaced by `\ufffd`.
    pub surrogates_replaced: Counter,
    /// Pixels whose call could not be stored; they are answered with the image all the same.
    pub pixels_not_stored: Counter,
    /// Backward steps of the wall clock by more than 60 s.
    pub clock_steps: Counter,
    /// Closed days: their markers are in the store.
    pub days_closed: Counter,
    /// Requests received after the clock was set back into a day that was already over. They count as
    /// received just after that day.
    pub received_after_day: Counter,
    /// Rows of imported files, by what became of them.
    pub import_rows: Family<RowsLabel, Counter>,
    /// Imports that ended, by how they ended.
    pub import_files: Family<KindLabel, Counter>,
    /// Imports that are open.
    pub imports_open: Gauge,
    /// Attempts to send a call to a function.
    pub invocations: Family<InvocationLabel, Counter>,
    /// How long invocations take.
    pub invocation_seconds: Timing,
    /// Positions of the spool that the function furthest behind has not finished.
    pub destination_lag: Family<DestinationLabel, Gauge>,
    /// Bytes of the spool that only destinations keep.
    pub destinations_held_bytes: Gauge,
    /// Open connections of the public listeners.
    pub connections: Gauge,
    /// Connections closed at once, because all open ones had a request in flight.
    pub refused_connections: Counter,
    /// Connections reset because their clients did not read their answers.
    pub unread_connections: Counter,
    /// Bytes written to spool segments.
    pub spool_written_bytes: Counter,
    /// How long a sync of the spool took.
    pub sync_seconds: Timing,
    /// Objects that the store has confirmed.
    pub objects: Counter,
    /// Bytes of these objects, as stored.
    pub object_bytes: Counter,
    /// How long a successful put took.
    pub upload_seconds: Timing,
    /// Failed puts, by fault.
    pub upload_failures: Family<KindLabel, Counter>,
    /// Objects put without checking for an object with their key first, because the credentials do not allow
    /// it.
    pub puts_unasked: Counter,
    /// Batches with undelivered calls.
    pub open_batches: Gauge,
    /// The age of the oldest undelivered call: the most important figure. 0 if everything is delivered.
    pub oldest_undelivered_seconds: Seconds,
    /// Bytes of the spool in use, parked objects included.
    pub spool_bytes: Gauge,
    /// The spool's cap.
    pub spool_max_bytes: Gauge,
    /// How long the spool would last without deliveries, at the rate of the last minute.
    pub spool_seconds_left: Seconds,
    /// Bytes of parked objects.
    pub parked_bytes: Gauge,
    /// The ledger: calls of each source by account, since the spool was created.
    pub ledger_calls: Family<AccountLabel, Gauge>,
    /// The ledger: lines of each object and dead-letter stream by account.
    pub ledger_streams: Family<StreamAccountLabel, Gauge>,
    /// Mismatches between the two sides of the ledger.
    pub ledger_difference: Gauge,
    /// Dropped log lines. Set when metrics are rendered: the log has its own counter.
    pub log_lines_dropped: Counter,
    /// Requests to the admin listener that had a wrong token.
    pub admin_unauthorized: Counter,
    /// 1 while calls can be taken. Set when metrics are rendered.
    pub ready: Gauge,
    /// 1 while an alarm of this kind is active.
    pub alarm: Family<KindLabel, Gauge>,
}

impl Metrics {
    /// All metrics at zero.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("forebay");
        macro_rules! register {
            ($name:literal, $help:literal, $metric:expr) => {{
                let metric = $metric;
                registry.register($name, $help, metric.clone());
                metric
            }};
            ($name:literal, $unit:expr, $help:literal, $metric:expr) => {{
                let metric = $metric;
                registry.register_with_unit($name, $help, $unit, metric.clone());
                metric
            }};
        }
        macro_rules! register_timing {
            ($name:literal, $help:literal, $buckets:expr) => {{
                let timing = Timing::new($buckets);
                registry.register_with_unit($name, $help, Unit::Seconds, timing.histogram.clone());
                timing
            }};
        }
        // Syncs: 50 µs to 3.3 s, from a fast disk to a failing one. Puts: 5 ms to 160 s, from a near store to
        // a slow large put.
        let sync_buckets = exponential_buckets(50e-6, 2.0, 17);
        let upload_buckets = exponential_buckets(5e-3, 2.0, 16);
        // 1 ms to 16 min: from a function on this machine to the longest that AWS lets one run.
        let invocation_buckets = exponential_buckets(1e-3, 2.0, 20);
        Self {
            received: register!(
                "calls_received",
                "Calls in requests that were answered 200",
                Family::default()
            ),
            stored: register!("calls_stored", "Calls stored in the spool", Family::default()),
            repeated: register!(
                "calls_repeated",
                "Repeats of calls that are already stored",
                Family::default()
            ),
            rejected: register!(
                "calls_rejected",
                "Items that went to the rejected stream",
                Family::default()
            ),
            delivered: register!(
                "calls_delivered",
                "Calls in objects that the store has confirmed",
                Family::default()
            ),
            object_sets_received: register!(
                "object_sets_received",
                "Object sets in requests that were answered 200",
                Family::default()
            ),
            object_sets_stored: register!(
                "object_sets_stored",
                "Object sets stored in the spool",
                Family::default()
            ),
            object_sets_repeated: register!(
                "object_sets_repeated",
                "Repeats of object sets that are already stored",
                Family::default()
            ),
            object_sets_delivered: register!(
                "object_sets_delivered",
                "Object sets in objects that the store has confirmed",
                Family::default()
            ),
            refused: register!(
                "refused",
                "Requests answered 503 because the spool had no space left",
                Family::default()
            ),
            answers: register!("answers", "Answers by HTTP status", Family::default()),
            body_bytes: register!(
                "body",
                Unit::Bytes,
                "Bytes of request bodies, as received",
                Counter::default()
            ),
            incomplete: register!(
                "calls_incomplete",
                "Calls stored although strict validation would reject them",
                Counter::default()
            ),
            surrogates_replaced: register!(
                "surrogates_replaced",
                "Lone surrogate escapes replaced",
                Counter::default()
            ),
            pixels_not_stored: register!(
                "pixels_not_stored",
                "Pixels whose call could not be stored",
                Counter::default()
            ),
            clock_steps: register!(
                "clock_steps",
                "Backward steps of the wall clock by more than 60 s",
                Counter::default()
            ),
            days_closed: register!(
                "days_closed",
                "Days of sources that were closed: their markers are in the store",
                Counter::default()
            ),
            received_after_day: register!(
                "received_after_day",
                "Requests whose receivedAt was moved to the next day, because the clock was set back into a day that had ended",
                Counter::default()
            ),
            import_rows: register!(
                "import_rows",
                "Rows of imported files, by what became of them",
                Family::default()
            ),
            import_files: register!(
                "import_files",
                "Imports that ended, by how they ended",
                Family::default()
            ),
            imports_open: register!("imports_open", "Imports that are open", Gauge::default()),
            invocations: register!(
                "lambda_invocations",
                "Attempts to send a call to the function of a destination, by how they ended",
                Family::default()
            ),
            invocation_seconds: register_timing!(
                "lambda_invocation",
                "Duration of an invocation",
                invocation_buckets
            ),
            destination_lag: register!(
                "lambda_lag_events",
                "Positions of the spool that a destination has not finished",
                Family::default()
            ),
            destinations_held_bytes: register!(
                "destinations_held",
                Unit::Bytes,
                "Bytes of the spool that only destinations keep",
                Gauge::default()
            ),
            connections: register!(
                "connections",
                "Open connections of the public listeners",
                Gauge::default()
            ),
            refused_connections: register!(
                "refused_connections",
                "Connections closed at once because all open ones had a request in flight",
                Counter::default()
            ),
            unread_connections: register!(
                "unread_connections",
                "Connections reset because their clients did not read their answers",
                Counter::default()
            ),
            spool_written_bytes: register!(
                "spool_written",
                Unit::Bytes,
                "Bytes written to spool segments",
                Counter::default()
            ),
            sync_seconds: register_timing!("sync", "Duration of a sync of the spool", sync_buckets),
            objects: register!("objects", "Objects that the store has confirmed", Counter::default()),
            object_bytes: register!(
                "object",
                Unit::Bytes,
                "Bytes of objects that the store has confirmed",
                Counter::default()
            ),
            upload_seconds: register_timing!("upload", "Duration of a successful put", upload_buckets),
            upload_failures: register!("upload_failures", "Failed puts, by fault", Family::default()),
            puts_unasked: register!(
                "puts_unasked",
                "Objects put without checking their key first, because s3:GetObject is not allowed",
                Counter::default()
            ),
            open_batches: register!("open_batches", "Batches with undelivered calls", Gauge::default()),
            oldest_undelivered_seconds: register!(
                "oldest_undelivered",
                Unit::Seconds,
                "Age of the oldest undelivered call",
                Seconds::default()
            ),
            spool_bytes: register!("spool", Unit::Bytes, "Bytes of the spool in use", Gauge::default()),
            spool_max_bytes: register!("spool_max", Unit::Bytes, "The spool's cap", Gauge::default()),
            spool_seconds_left: register!(
                "spool_left",
                Unit::Seconds,
                "Time until the spool is full, at the current rate and without deliveries",
                Seconds::default()
            ),
            parked_bytes: register!("parked", Unit::Bytes, "Bytes of parked objects", Gauge::default()),
            ledger_calls: register!(
                "ledger_calls",
                "Calls of each source by account of the ledger, since the spool was created",
                Family::default()
            ),
            ledger_streams: register!(
                "ledger_streams",
                "Lines of each object and dead-letter stream by account of the ledger, since the spool was created",
                Family::default()
            ),
            ledger_difference: register!(
                "ledger_difference",
                "Mismatches between the two sides of the ledger",
                Gauge::default()
            ),
            log_lines_dropped: register!(
                "log_lines_dropped",
                "Log lines dropped because standard error is broken or not read fast enough",
                Counter::default()
            ),
            admin_unauthorized: register!(
                "admin_unauthorized",
                "Requests to the admin listener that had a wrong token",
                Counter::default()
            ),
            ready: register!(
                "ready",
                "1 while calls can be taken, else 0: /ready has the reasons",
                Gauge::default()
            ),
            alarm: register!("alarm", "1 while an alarm of this kind is active", Family::default()),
            removed: Arc::default(),
            registry: Arc::new(registry),
        }
    }

    /// Everything as Prometheus text (the OpenMetrics exposition).
    ///
    /// # Errors
    /// Only if formatting into a `String` fails, which never happens.
    pub fn render(&self) -> Result<String, fmt::Error> {
        // Nothing moves between series meanwhile.
        let _removed = self.removed.lock().unwrap_or_else(PoisonError::into_inner);
        let mut out = String::with_capacity(16 * 1_024);
        text::encode(&mut out, &self.registry)?;
        Ok(out)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn names_follow_the_exposition_format() {
        let metrics = Metrics::new();
        metrics.received.get_or_create(&SourceLabel { source: "web".into() }).inc_by(3);
        metrics.sync_seconds.observe(Duration::from_millis(1));
        let text = metrics.render().unwrap();
        assert!(text.contains("forebay_calls_received_total{source=\"web\"} 3"), "{text}");
        assert!(text.contains("forebay_oldest_undelivered_seconds 0.0"), "{text}");
        assert!(text.contains("forebay_sync_seconds_count 1"), "{text}");
        assert!(text.ends_with("# EOF\n"));
    }
}
