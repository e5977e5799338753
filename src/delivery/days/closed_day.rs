//! A closed day, and the hook that is called for it.

use std::fmt;

use crate::boxed_future::BoxFuture;
use crate::object::{BucketString, ClosedMarker, ObjectKey};

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
