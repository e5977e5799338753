//! What delivery needs from outside, and what it tells others of.

use std::fmt;
use std::sync::Arc;

use crate::alarms::Alarms;
use crate::boxed_future::BoxFuture;
use crate::disk::StagingDisk;
use crate::log::Log;
use crate::metrics::Metrics;
use crate::object::{AppliedEncryption, BucketString, ClosedMarker, ObjectKey, Stream};
use crate::random::Random;
use crate::sources::SourceId;
use crate::store::ObjectStore;
use crate::time::{Clock, ReceivedDay, UnixMillis};

/// What the deliveries of all logs need from outside.
#[derive(Clone, Debug)]
pub struct DeliveryDeps {
    /// Where objects go.
    pub store: Arc<dyn ObjectStore>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Chance, for jitter.
    pub random: Arc<dyn Random>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Alarms. Each log raises them as a part of its own.
    pub alarms: Arc<Alarms>,
    /// Called for each closed day.
    pub hook: Option<Arc<dyn DayHook>>,
    /// Told of each delivered object.
    pub list: Option<Arc<dyn DeliveredList>>,
    /// Where objects are encoded. `None`: on the same threads as all other blocking work.
    pub background: Option<tokio::runtime::Handle>,
}

/// A log to deliver.
#[derive(Clone, Debug)]
pub struct LogDeps {
    /// Where batches come from.
    pub log: Arc<dyn Log>,
    /// Where its objects are staged.
    pub staging: StagingDisk,
}

/// What the delivery of one log uses: that of all logs, and its own.
#[derive(Clone, Debug)]
pub(super) struct Deps {
    pub(super) log: Arc<dyn Log>,
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) random: Arc<dyn Random>,
    pub(super) metrics: Arc<Metrics>,
    /// The log's own part of the alarms.
    pub(super) alarms: Arc<Alarms>,
    pub(super) hook: Option<Arc<dyn DayHook>>,
    pub(super) list: Option<Arc<dyn DeliveredList>>,
    pub(super) background: Option<tokio::runtime::Handle>,
}

impl Deps {
    pub(super) fn new(of_all: &DeliveryDeps, log: Arc<dyn Log>) -> Self {
        let DeliveryDeps { store, clock, random, metrics, alarms, hook, list, background } = of_all.clone();
        Self {
            log,
            store,
            clock,
            random,
            metrics,
            alarms: Arc::new(alarms.of_part()),
            hook,
            list,
            background,
        }
    }
}

/// A day that is closed: its marker is in the store.
#[derive(Clone, Debug)]
pub struct ClosedDay {
    /// The bucket and prefix.
    pub bucket: BucketString,
    /// The marker's key.
    pub key: ObjectKey,
    /// The marker.
    pub marker: ClosedMarker,
}

/// Called for each closed day, at least once, after its marker is in the store.
pub trait DayHook: Send + Sync + fmt::Debug {
    /// Reports a closed day. Errors: the reason for the failure. The hook is called again after a wait.
    fn call<'a>(&'a self, day: &'a ClosedDay) -> BoxFuture<'a, Result<(), String>>;
}

/// An object whose commit is noted. The list of deliveries stores its JSON, so fields are only added, and
/// with a default.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Delivered {
    /// When the commit was noted.
    pub delivered_at: UnixMillis,
    /// The source.
    pub source: SourceId,
    /// The stream.
    pub stream: Stream,
    /// The received-day.
    pub day: ReceivedDay,
    /// Bucket and prefix.
    pub bucket: BucketString,
    /// Its key.
    pub key: ObjectKey,
    /// Lines in it.
    pub calls: u64,
    /// Its bytes as stored.
    pub bytes: u64,
    /// The server-side encryption that the store reported; `None` if it reported nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<AppliedEncryption>,
    /// When its first line was received.
    pub first_received_at: UnixMillis,
    /// Milliseconds that the put took that stored it; `None` if the store had it from an earlier try.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub put_ms: Option<u64>,
    /// Why its batch was due ([`crate::batch::Reason::slug`]); `None` if an earlier process sealed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Keeps a list of delivered objects, for people.
pub trait DeliveredList: Send + Sync + fmt::Debug {
    /// Takes over one. It returns at once and never fails: a delivery depends on no list.
    fn add(&self, object: Delivered);
}
