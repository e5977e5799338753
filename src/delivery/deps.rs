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
