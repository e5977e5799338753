//! What a writer needs from outside.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::alarms::Alarms;
use crate::delivery::DeliveryEquipment;
use crate::kafka::owner::Wanted;
use crate::kafka::settings::Settings;
use crate::metrics::Metrics;
use crate::random::Random;
use crate::time::Clock;

/// What a writer needs.
#[derive(Debug)]
pub struct WriterDeps {
    /// What it knows of Kafka.
    pub settings: Settings,
    /// What the deliveries of all partitions share.
    pub equipment: Arc<DeliveryEquipment>,
    /// The name under which the process is a member of the group, also after a restart.
    pub instance: Option<String>,
    /// How long after a day it is ended.
    pub day_grace: Duration,
    /// The bucket of each source.
    pub wanted: Wanted,
    /// A folder for the caches of all partitions. No other process may use it, and what is in it is removed.
    pub cache_dir: PathBuf,
    /// Bytes of all caches together.
    pub cache_bytes: u64,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// For tokens of terms.
    pub random: Arc<dyn Random>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Alarms of the process.
    pub alarms: Arc<Alarms>,
    /// The release, for people who read the notes.
    pub version: String,
    /// The machine, for the same people.
    pub host: String,
    /// Where deliveries run.
    pub runtime: tokio::runtime::Handle,
}
