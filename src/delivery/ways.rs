//! The ways to the stores, and the slots of each way.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use tokio::sync::Semaphore;

use super::reached::Reached;
use super::settings::{FAILING_PUTS_PER_DESTINATION, PUTS_PER_DESTINATION, SEALED_PER_DESTINATION};
use crate::lock::lock;
use crate::object::{BucketString, Destination, KmsKey, RoleArn};

/// What can fail for one destination and not for another: its bucket, role and key. Sources that differ only
/// in their external id share it, so that many sources do not mean many puts at once.
pub(super) type Way = (BucketString, Option<RoleArn>, Option<KmsKey>);

pub(super) fn way_to(to: &Destination) -> Way {
    let role = to.role.as_ref().map(|role| role.arn.clone());
    (to.bucket.clone(), role, to.encryption.kms().map(|kms| kms.key.clone()))
}

/// The number of different ways to stores that these destinations use. Each way has its own slots for puts.
pub fn ways<'a>(destinations: impl Iterator<Item = &'a Destination>) -> usize {
    destinations.map(way_to).collect::<BTreeSet<Way>>().len()
}

pub(super) fn in_words((bucket, role, key): &Way) -> String {
    let role = role.as_ref().map_or_else(String::new, |role| format!(" as {role}"));
    let key = key.as_ref().map_or_else(String::new, |key| format!(" under {key}"));
    format!("{bucket}{role}{key}")
}

/// A destination's share of the work.
#[derive(Debug)]
pub(super) struct Slots {
    /// Puts in flight.
    pub(super) puts: Semaphore,
    /// Of those, puts of sources that fail. Such puts wait here first, so that no other source waits for
    /// them.
    pub(super) failing_puts: Semaphore,
    /// Notified when the destination has accepted an object, so that those that wait for it to recover are
    /// retried soon.
    pub(super) reached: Reached,
    /// Sealed objects that are neither stored nor parked.
    pub(super) sealed: Arc<Semaphore>,
}

impl Slots {
    fn new() -> Self {
        Self {
            puts: Semaphore::new(PUTS_PER_DESTINATION),
            failing_puts: Semaphore::new(FAILING_PUTS_PER_DESTINATION),
            reached: Reached::default(),
            sealed: Arc::new(Semaphore::new(SEALED_PER_DESTINATION)),
        }
    }
}

/// The slots of every way that was used so far.
#[derive(Debug, Default)]
pub(super) struct Ways(Mutex<BTreeMap<Way, Arc<Slots>>>);

impl Ways {
    pub(super) fn slots(&self, to: &Destination) -> Arc<Slots> {
        let mut slots = lock(&self.0);
        Arc::clone(slots.entry(way_to(to)).or_insert_with(|| Arc::new(Slots::new())))
    }

    /// Makes everything that waits for its destination retry soon.
    pub(super) fn tell_all(&self) {
        for slots in lock(&self.0).values() {
            slots.reached.tell();
        }
    }
}
