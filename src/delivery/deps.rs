//! What delivery needs from outside.

use std::sync::Arc;

use super::days::closed_day::DayHook;
use super::delivered::DeliveredList;
use crate::alarms::Alarms;
use crate::disk::StagingDisk;
use crate::log::Log;
use crate::metrics::Metrics;
use crate::random::Random;
use crate::store::ObjectStore;
use crate::time::Clock;

/// What delivery needs from outside.
#[derive(Clone, Debug)]
pub struct DeliveryDeps {
    /// Where batches come from.
    pub log: Arc<dyn Log>,
    /// Where objects are staged.
    pub staging: StagingDisk,
    /// Where objects go.
    pub store: Arc<dyn ObjectStore>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Chance, for jitter.
    pub random: Arc<dyn Random>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Alarms.
    pub alarms: Arc<Alarms>,
    /// Called for each closed day.
    pub hook: Option<Arc<dyn DayHook>>,
    /// Told of each delivered object.
    pub list: Option<Arc<dyn DeliveredList>>,
    /// Where objects are encoded. `None`: on the same threads as all other blocking work.
    pub background: Option<tokio::runtime::Handle>,
}
