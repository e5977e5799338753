//! What Forebay counts. Every room gets this struct; `admin` renders it as Prometheus text.
//!
//! Label values come only from the configuration or from closed lists, so outsiders cannot create series.
//! Sources that are forgotten become one series ([`Metrics::forget`]).

mod removed;
mod timing;

use std::fmt;
use std::hash::Hash;
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

/// A source and the reason why its items were rejected, or its requests refused.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReasonLabel {
    /// The source id.
    pub source: String,
    /// A slug of [`crate::call::RejectReason`], or the error code of the answer, from a closed list.
    pub reason: &'static str,
}

/// What becomes of imported rows.
const BECAME: [&str; 5] = ["stored", "repeated", "refused", "rejected", "left_out"];

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

/// A configured import of a bucket.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ImportLabel {
    /// Its name.
    pub import: String,
}

/// A configured import of a bucket, and what became of objects, or how a pass ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PassLabel {
    /// The import's name.
    pub import: String,
    /// From a closed list.
    pub became: &'static str,
}

/// A configured import of a bucket, and a state of the messages of its queue.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct QueueLabel {
    /// The import's name.
    pub import: String,
    /// `waiting` or `in_flight`.
    pub state: &'static str,
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

/// A status of jobs, from a closed list.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct JobsLabel {
    /// Its name in the API of jobs, or `damaged`.
    pub status: &'static str,
}

/// How tasks of jobs ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct TasksLabel {
    /// `succeeded` or `failed`.
    pub outcome: &'static str,
}

/// A gauge that holds seconds.
pub type Seconds = Gauge<f64, AtomicU64>;

/// Makes [`Metrics`] of a table, in the order of the exposition. The help of each is its documentation, too.
macro_rules! metrics {
    ($($(#[$more:meta])* $field:ident: $type:ty = $name:literal $(in $unit:ident)? $(over $buckets:expr)?, $help:literal;)*) => {
        /// Every counter, gauge and histogram. Counters only ever grow, and the sum over the sources of
        /// one, too.
        #[derive(Clone)]
        pub struct Metrics {
            registry: Arc<Registry>,
            /// The name of the series of forgotten sources. Locked while counters move to it.
            removed: Arc<Mutex<Option<String>>>,
            /// What a process with another log counts besides.
            more: Arc<Mutex<Vec<Registry>>>,
            $(
                #[doc = $help]
                #[doc = "."]
                $(#[$more])*
                pub $field: $type,
            )*
        }

        impl Metrics {
            /// All metrics at zero.
            pub fn new() -> Self {
                let mut registry = Registry::with_prefix("forebay");
                Self {
                    $($field: register!(registry, $type, $name, $help $(, in $unit)? $(, over $buckets)?),)*
                    removed: Arc::default(),
                    more: Arc::default(),
                    registry: Arc::new(registry),
                }
            }
        }
    };
}

macro_rules! register {
    ($registry:ident, $type:ty, $name:literal, $help:literal) => {{
        let metric = <$type>::default();
        $registry.register($name, $help, metric.clone());
        metric
    }};
    ($registry:ident, $type:ty, $name:literal, $help:literal, in $unit:ident) => {{
        let metric = <$type>::default();
        $registry.register_with_unit($name, $help, Unit::$unit, metric.clone());
        metric
    }};
    ($registry:ident, $type:ty, $name:literal, $help:literal, over $buckets:expr) => {{
        let timing = <$type>::new($buckets);
        $registry.register_with_unit($name, $help, Unit::Seconds, timing.histogram.clone());
        timing
    }};
}

#[cfg(feature = "kafka")]
pub mod kafka;

metrics! {
    /// Stored, rejected or repeated.
    received: Family<SourceLabel, Counter> = "calls_received", "Calls in requests that were answered 200";
    stored: Family<SourceLabel, Counter> = "calls_stored", "Calls stored in the spool";
    repeated: Family<SourceLabel, Counter> = "calls_repeated", "Repeats of calls that are already stored";
    rejected: Family<ReasonLabel, Counter> = "calls_rejected", "Items that went to the rejected stream";
    delivered: Family<SourceLabel, Counter> = "calls_delivered", "Calls in objects that the store has confirmed";
    /// Stored or repeated. Those that went to the rejected stream are counted there.
    object_sets_received: Family<SourceLabel, Counter> = "object_sets_received", "Object sets in requests that were answered 200";
    object_sets_stored: Family<SourceLabel, Counter> = "object_sets_stored", "Object sets stored in the spool";
    object_sets_repeated: Family<SourceLabel, Counter> = "object_sets_repeated", "Repeats of object sets that are already stored";
    object_sets_delivered: Family<SourceLabel, Counter> = "object_sets_delivered", "Object sets in objects that the store has confirmed";
    /// They had a valid write key.
    refused: Family<ReasonLabel, Counter> = "refused", "Requests answered 503 because the spool had no space left";
    answers: Family<StatusLabel, Counter> = "answers", "Answers by HTTP status";
    body_bytes: Counter = "body" in Bytes, "Bytes of request bodies, as received";
    incomplete: Counter = "calls_incomplete", "Calls stored although strict validation would reject them";
    /// With `\ufffd`.
    surrogates_replaced: Counter = "surrogates_replaced", "Lone surrogate escapes replaced";
    /// They are answered with the image all the same.
    pixels_not_stored: Counter = "pixels_not_stored", "Pixels whose call could not be stored";
    clock_steps: Counter = "clock_steps", "Backward steps of the wall clock by more than 60 s";
    days_closed: Counter = "days_closed", "Days of sources that were closed: their markers are in the store";
    received_after_day: Counter = "received_after_day", "Requests whose receivedAt was moved to the next day, because the clock was set back into a day that had ended";
    import_rows: Family<RowsLabel, Counter> = "import_rows", "Rows of imported files, by what became of them";
    import_files: Family<KindLabel, Counter> = "import_files", "Imports that ended, by how they ended";
    imports_open: Gauge = "imports_open", "Imports that are open";
    insert_ids: Gauge = "insert_ids", "Rows of imports that are kept to find rows with the same insert_id and device_id";
    insert_id_bytes: Gauge = "insert_id" in Bytes, "Bytes of the spool that they take";
    /// The files are `keys-…` in the directory of the spool.
    insert_id_files_damaged: Gauge = "insert_id_files_damaged", "Files with such rows that are missing or damaged";
    /// Of the last pass that worked.
    import_objects: Family<PassLabel, Gauge> = "import_objects", "Objects by what became of them in the last pass over the bucket of an import";
    /// Of the last pass that worked.
    import_after_waiting: Family<PassLabel, Gauge> = "import_after_waiting", "Imported files that are still to be tagged, moved or deleted, by the reason";
    import_after: Family<PassLabel, Counter> = "import_after", "Imported files that were tagged, moved or deleted";
    import_passes: Family<PassLabel, Counter> = "import_passes", "Passes over the bucket of an import, by how they ended";
    import_messages: Family<PassLabel, Counter> = "import_messages", "Messages of the queue of an import, by what became of them";
    /// Unix time.
    import_oldest_message: Family<ImportLabel, Seconds> = "import_oldest_message_timestamp" in Seconds, "When the oldest message in hand was sent to the queue of an import, in Unix time";
    /// About, as the queue counts them.
    import_queue_messages: Family<QueueLabel, Gauge> = "import_queue_messages", "Messages that the queue of an import has, by whether they wait or are in flight";
    /// Unix time.
    import_last_pass: Family<ImportLabel, Seconds> = "import_last_pass_timestamp" in Seconds, "End of the last successful pass over the bucket of an import, in Unix time";
    invocations: Family<InvocationLabel, Counter> = "lambda_invocations", "Attempts to send a call to the function of a destination, by how they ended";
    /// 1 ms to 16 min: from a function on this machine to the longest that AWS lets one run.
    invocation_seconds: Timing = "lambda_invocation" over exponential_buckets(1e-3, 2.0, 20), "Duration of an invocation";
    /// Of all its functions together.
    destination_waiting: Family<DestinationLabel, Gauge> = "lambda_lag_events", "Calls that wait for the functions of a destination";
    /// Of its function that is furthest behind.
    destination_unread: Family<DestinationLabel, Gauge> = "lambda_unread_lines", "Lines of the spool that a function of a destination has not read yet";
    destinations_held_bytes: Gauge = "destinations_held" in Bytes, "Bytes of the spool that only destinations keep";
    /// Those of other processes are not counted.
    batch_jobs: Family<JobsLabel, Gauge> = "batch_jobs", "Jobs over a manifest, by status";
    batch_tasks: Family<TasksLabel, Counter> = "batch_tasks", "Tasks of jobs that ended in this process, by how they ended";
    batch_invocations: Gauge = "batch_invocations", "Invocations of jobs under way";
    batch_throttles: Counter = "batch_throttles", "Answers to jobs that the function takes no more invocations now";
    connections: Gauge = "connections", "Open connections of the public listeners";
    refused_connections: Counter = "refused_connections", "Connections closed at once because all open ones had a request in flight";
    unread_connections: Counter = "unread_connections", "Connections reset because their clients did not read their answers";
    spool_written_bytes: Counter = "spool_written" in Bytes, "Bytes written to spool segments";
    /// 50 µs to 3.3 s: from a fast disk to a failing one.
    sync_seconds: Timing = "sync" over exponential_buckets(50e-6, 2.0, 17), "Duration of a sync of the spool";
    objects: Counter = "objects", "Objects that the store has confirmed";
    object_bytes: Counter = "object" in Bytes, "Bytes of objects that the store has confirmed";
    /// 5 ms to 160 s: from a near store to a slow large put.
    upload_seconds: Timing = "upload" over exponential_buckets(5e-3, 2.0, 16), "Duration of a successful put";
    upload_failures: Family<KindLabel, Counter> = "upload_failures", "Failed puts, by fault";
    puts_unasked: Counter = "puts_unasked", "Objects put without checking their key first, because s3:GetObject is not allowed";
    open_batches: Gauge = "open_batches", "Batches with undelivered calls";
    /// The most important figure. 0 if everything is delivered.
    oldest_undelivered_seconds: Seconds = "oldest_undelivered" in Seconds, "Age of the oldest undelivered call";
    /// Parked objects included.
    spool_bytes: Gauge = "spool" in Bytes, "Bytes of the spool in use";
    spool_max_bytes: Gauge = "spool_max" in Bytes, "The spool's cap";
    /// The rate is that of the last minute.
    spool_seconds_left: Seconds = "spool_left" in Seconds, "Time until the spool is full, at the current rate and without deliveries";
    parked_bytes: Gauge = "parked" in Bytes, "Bytes of parked objects";
    ledger_calls: Family<AccountLabel, Gauge> = "ledger_calls", "Calls of each source by account of the ledger, since the spool was created";
    ledger_streams: Family<StreamAccountLabel, Gauge> = "ledger_streams", "Lines of each object and dead-letter stream by account of the ledger, since the spool was created";
    ledger_difference: Gauge = "ledger_difference", "Mismatches between the two sides of the ledger";
    /// Set when metrics are rendered: the log has its own counter.
    log_lines_dropped: Counter = "log_lines_dropped", "Log lines dropped because standard error is broken or not read fast enough";
    admin_unauthorized: Counter = "admin_unauthorized", "Requests to the admin listener that had a wrong token";
    /// Set when metrics are rendered.
    ready: Gauge = "ready", "1 while calls can be taken, else 0: /ready has the reasons";
    alarm: Family<KindLabel, Gauge> = "alarm", "1 while an alarm of this kind is active";
    alarm_notices: Family<KindLabel, Counter> = "alarm_notices", "Posts of alarms to alarm.webhook that were sent or failed";
}

impl Metrics {
    /// Everything as Prometheus text (the OpenMetrics exposition).
    /// Errors: only if formatting into a `String` fails, which never happens.
    pub fn render(&self) -> Result<String, fmt::Error> {
        // Nothing moves between series meanwhile.
        let _removed = self.removed.lock().unwrap_or_else(PoisonError::into_inner);
        let mut out = String::with_capacity(16 * 1_024);
        text::encode(&mut out, &self.registry)?;
        for more in &*self.more.lock().unwrap_or_else(PoisonError::into_inner) {
            out.truncate(out.trim_end_matches(END).len());
            text::encode(&mut out, more)?;
        }
        Ok(out)
    }

    /// Shows these from now on, too. None of them may have the name of another one.
    #[cfg(feature = "kafka")]
    fn show_more(&self, registry: Registry) {
        self.more.lock().unwrap_or_else(PoisonError::into_inner).push(registry);
    }

    /// As [`Metrics::render`], but only those whose names begin with `prefix`, such as `forebay_batch_`.
    /// Errors: as [`Metrics::render`].
    pub fn render_of(&self, prefix: &str) -> Result<String, fmt::Error> {
        let about = ["# HELP ", "# TYPE ", "# UNIT "];
        let is_of = |line: &&str| {
            let name = about.iter().find_map(|about| line.strip_prefix(about)).unwrap_or(line);
            name.starts_with(prefix) || name.starts_with("# EOF")
        };
        Ok(self.render()?.split_inclusive('\n').filter(is_of).collect())
    }
}

/// The last line of an exposition.
const END: &str = "# EOF\n";

/// The value of a counter with this label; 0 if nothing was counted.
pub fn count<L: Clone + Eq + Hash>(family: &Family<L, Counter>, label: &L) -> u64 {
    family.get(label).map_or(0, |counter| counter.get())
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

debug_fields!(Metrics {});

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
