//! What `GET /api/node` answers: the process, its machine, and its configuration.

use serde::Serialize;

use crate::metrics::Timings;

/// The most durations that are listed.
const RECENT_SHOWN_MAX: usize = 120;

/// The process and its machine. Times are Unix milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct NodeStatus {
    /// The program's version.
    pub version: String,
    /// The commit that it was built from, if that is known.
    pub commit: Option<String>,
    /// The day of the commit.
    pub built: Option<String>,
    /// Operating system and architecture.
    pub os: String,
    /// When the process started.
    pub started_ms: i64,
    /// The process's wall clock.
    pub now_ms: i64,
    /// How long the process has been running.
    pub uptime_seconds: u64,
    /// The wall clock.
    pub clock: ClockStatus,
    /// How long syncs of the spool took.
    pub sync: Latency,
    /// How long successful puts took.
    pub put: Latency,
    /// Failed puts since the start, by class.
    pub put_failures: Vec<KindCount>,
    /// Answers since the start, by HTTP status.
    pub answers: Vec<StatusCount>,
    /// Open connections of the public listeners.
    pub connections: i64,
    /// Resident memory; `None` if the system does not say.
    pub memory_bytes: Option<u64>,
    /// Open files.
    pub open_files: OpenFiles,
    /// The spool's directory.
    pub spool_dir: Option<String>,
    /// The configuration in force. Secrets are hidden.
    pub config: Vec<ConfigValue>,
    /// Where SDKs send to, as a URL.
    pub sdk_address: String,
    /// Whether any write key is accepted (`dev`).
    pub dev_key: bool,
}

/// The wall clock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ClockStatus {
    /// The wall clock's time.
    pub wall_ms: i64,
    /// Backward steps by more than 60 s since the start.
    pub steps: u64,
}

/// How long something takes, over the last few hundred times.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Latency {
    /// How often it happened since the start.
    pub count: u64,
    /// The median, in milliseconds.
    pub p50_ms: Option<f32>,
    /// The milliseconds within which 99 % ended.
    pub p99_ms: Option<f32>,
    /// The longest, in milliseconds.
    pub max_ms: Option<f32>,
    /// The last durations in milliseconds, oldest first.
    pub recent: Vec<f32>,
}

/// A class and a count.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct KindCount {
    /// The class.
    pub kind: String,
    /// How often.
    pub count: u64,
}

/// An HTTP status and a count.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StatusCount {
    /// The status.
    pub status: u16,
    /// How often.
    pub count: u64,
}

/// Open files of the process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OpenFiles {
    /// How many are open; `None` if the system does not say.
    pub used: Option<u64>,
    /// The limit; `None` if there is none.
    pub max: Option<u64>,
}

/// A value of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ConfigValue {
    /// The setting, such as `flush.max_age`.
    pub name: String,
    /// The setting's value; `(hidden)` for a secret.
    pub value: String,
    /// Where the value comes from: `default`, `file`, `environment` or `flag`.
    pub from: String,
}

impl From<Timings> for Latency {
    fn from(timings: Timings) -> Self {
        let ms = |seconds: f32| seconds * 1_000.0;
        let at = |share| timings.quantile(share).map(ms);
        let skipped = timings.recent.len().saturating_sub(RECENT_SHOWN_MAX);
        Self {
            count: timings.count,
            p50_ms: at(0.5),
            p99_ms: at(0.99),
            max_ms: at(1.0),
            recent: timings.recent.iter().skip(skipped).copied().map(ms).collect(),
        }
    }
}
