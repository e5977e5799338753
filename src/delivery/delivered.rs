//! A delivered object, and the trait of the list that records each.

use std::fmt;
use std::time::Duration;

use crate::batch::{BatchKey, Reason};
use crate::object::{AppliedEncryption, BucketString, ObjectKey};
use crate::time::UnixMillis;

/// An object whose commit is noted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// When the commit was noted.
    pub at: UnixMillis,
    /// Source, day and stream.
    pub batch: BatchKey,
    /// Bucket and prefix.
    pub bucket: BucketString,
    /// Its key.
    pub key: ObjectKey,
    /// Lines in it.
    pub calls: u64,
    /// Its bytes as stored.
    pub bytes: u64,
    /// The server-side encryption that the store reported; `None` if it reported nothing.
    pub encryption: Option<AppliedEncryption>,
    /// When its first line was received.
    pub first_received_at: UnixMillis,
    /// How long the put took that stored it; `None` if the store had it from an earlier try.
    pub put: Option<Duration>,
    /// Why its batch was due; `None` if an earlier process sealed it.
    pub reason: Option<Reason>,
}

/// Keeps a list of delivered objects, for people.
pub trait DeliveredList: Send + Sync + fmt::Debug {
    /// Takes over one. It returns at once and never fails: a delivery depends on no list.
    fn add(&self, object: Delivered);
}
