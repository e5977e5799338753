//! What imports of buckets use.

use std::sync::Arc;

use super::plan::ImportStores;
use crate::alarms::Alarms;
use crate::import::Importer;
use crate::live::LiveView;
use crate::log::Reports;
use crate::metrics::Metrics;
use crate::random::Random;
use crate::time::Clock;

/// What imports of buckets use.
#[derive(Debug)]
pub struct ImportsDeps {
    /// The stores that are read.
    pub stores: ImportStores,
    /// Takes the rows, and has the journal.
    pub importer: Arc<Importer>,
    /// What is delivered, and the id of this instance.
    pub log: Arc<dyn Reports>,
    /// Raises alarms.
    pub alarms: Arc<Alarms>,
    /// Counts passes.
    pub metrics: Metrics,
    /// Wall time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub random: Arc<dyn Random>,
    /// Says how much is shown; `None`: everything, to the person whose command this is.
    pub live: Option<Arc<LiveView>>,
}
