//! What objects are put to, and the slots of each location.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use tokio::sync::Semaphore;

use super::accepted::Accepted;
use crate::delivery::settings::{FAILING_PUTS_PER_LOCATION, PUTS_PER_LOCATION, SEALED_PER_LOCATION};
use crate::lock::lock;
use crate::object::S3Location;

pub(in crate::delivery) use crate::object::PutLocation;

pub(in crate::delivery) fn put_location(to: &S3Location) -> PutLocation {
    let role = to.role.as_ref().map(|role| role.arn.clone());
    (to.bucket.clone(), role, to.encryption.kms().map(|kms| kms.key.clone()))
}

/// The number of these that can fail apart. Each has its own slots for puts.
pub fn put_locations<'a>(locations: impl Iterator<Item = &'a S3Location>) -> usize {
    locations.map(put_location).collect::<BTreeSet<PutLocation>>().len()
}

pub(in crate::delivery) fn in_words((bucket, role, key): &PutLocation) -> String {
    let role = role.as_ref().map_or_else(String::new, |role| format!(" as {role}"));
    let key = key.as_ref().map_or_else(String::new, |key| format!(" under {key}"));
    format!("{bucket}{role}{key}")
}

/// A bucket's share of the work.
#[derive(Debug)]
pub(in crate::delivery) struct Slots {
    /// Puts in flight.
    pub(in crate::delivery) puts: Semaphore,
    /// Of those, puts of sources that fail. Such puts wait here first, so that no other source waits for
    /// them.
    pub(in crate::delivery) failing_puts: Semaphore,
    /// Notified when the bucket has accepted an object, so that those that wait for it to recover are
    /// retried soon.
    pub(in crate::delivery) accepted: Accepted,
    /// Sealed objects that are neither stored nor parked.
    pub(in crate::delivery) sealed: Arc<Semaphore>,
}

impl Slots {
    fn new() -> Self {
        Self {
            puts: Semaphore::new(PUTS_PER_LOCATION),
            failing_puts: Semaphore::new(FAILING_PUTS_PER_LOCATION),
            accepted: Accepted::default(),
            sealed: Arc::new(Semaphore::new(SEALED_PER_LOCATION)),
        }
    }
}

/// The slots of every location that was used so far.
#[derive(Debug, Default)]
pub(in crate::delivery) struct PutLocations(Mutex<BTreeMap<PutLocation, Arc<Slots>>>);

impl PutLocations {
    pub(in crate::delivery) fn slots(&self, to: &S3Location) -> Arc<Slots> {
        let mut slots = lock(&self.0);
        Arc::clone(slots.entry(put_location(to)).or_insert_with(|| Arc::new(Slots::new())))
    }

    /// Forgets locations that are not `wanted`, unless something is put to them or waits for them.
    pub(in crate::delivery) fn forget_unused(&self, wanted: &BTreeSet<PutLocation>) {
        lock(&self.0).retain(|location, slots| {
            let is_used = Arc::strong_count(slots) > 1
                || Arc::strong_count(&slots.sealed) > 1
                || slots.accepted.is_awaited();
            is_used || wanted.contains(location)
        });
    }

    /// Makes everything that waits for its bucket retry soon.
    pub(in crate::delivery) fn retry_all(&self) {
        for slots in lock(&self.0).values() {
            slots.accepted.notify();
        }
    }
}
