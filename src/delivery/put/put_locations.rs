//! What objects are put to, the slots of each location, and what wakes those that wait for it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

use tokio::sync::Notify;

use crate::delivery::in_turn::{Slots, Turns};
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

/// A bucket's share of the work, for all logs.
#[derive(Debug)]
struct OfAll {
    puts: Slots,
    failing_puts: Slots,
    sealed: Slots,
    accepted: Accepted,
}

/// The slots of every location that a log uses.
#[derive(Debug, Default)]
pub(in crate::delivery) struct SharedLocations(Mutex<BTreeMap<PutLocation, Weak<OfAll>>>);

impl SharedLocations {
    fn of(&self, location: &PutLocation) -> Arc<OfAll> {
        let mut known = lock(&self.0);
        known.get(location).and_then(Weak::upgrade).unwrap_or_else(|| {
            let new = Arc::new(OfAll {
                puts: Slots::new(PUTS_PER_LOCATION),
                failing_puts: Slots::new(FAILING_PUTS_PER_LOCATION),
                sealed: Slots::new(SEALED_PER_LOCATION),
                accepted: Accepted::default(),
            });
            known.insert(location.clone(), Arc::downgrade(&new));
            new
        })
    }

    /// Forgets the locations that no log uses.
    fn forget_unused(&self) {
        lock(&self.0).retain(|_, slots| slots.strong_count() > 0);
    }
}

/// A bucket's share of the work, as one log takes it.
#[derive(Debug)]
pub(in crate::delivery) struct LocationSlots {
    /// Puts in flight.
    pub(in crate::delivery) puts: Turns,
    /// Of those, puts of sources that fail. Such puts wait here first, so that no other source waits for
    /// them.
    pub(in crate::delivery) failing_puts: Turns,
    /// Notified when the bucket has accepted an object of any log, so that those that wait for it to recover
    /// are retried soon.
    pub(in crate::delivery) accepted: Accepted,
    /// Sealed objects that are neither stored nor parked.
    pub(in crate::delivery) sealed: Turns,
    /// Keeps them: as long as a log uses a location, others share its slots.
    _of_all: Arc<OfAll>,
}

impl LocationSlots {
    fn of(of_all: Arc<OfAll>) -> Self {
        Self {
            puts: of_all.puts.turns(),
            failing_puts: of_all.failing_puts.turns(),
            accepted: of_all.accepted.of_one_log(),
            sealed: of_all.sealed.turns(),
            _of_all: of_all,
        }
    }
}

/// The slots of every location that one log has used so far.
#[derive(Debug)]
pub(in crate::delivery) struct PutLocations {
    of_all: Arc<SharedLocations>,
    used: Mutex<BTreeMap<PutLocation, Arc<LocationSlots>>>,
}

impl PutLocations {
    pub(in crate::delivery) fn new(of_all: &Arc<SharedLocations>) -> Self {
        Self { of_all: Arc::clone(of_all), used: Mutex::default() }
    }

    pub(in crate::delivery) fn slots(&self, to: &S3Location) -> Arc<LocationSlots> {
        let location = put_location(to);
        let mut used = lock(&self.used);
        if let Some(slots) = used.get(&location) {
            return Arc::clone(slots);
        }
        let new = Arc::new(LocationSlots::of(self.of_all.of(&location)));
        used.insert(location, Arc::clone(&new));
        new
    }

    /// Forgets locations that are not `wanted`, unless something is put to them or waits for them.
    pub(in crate::delivery) fn forget_unused(&self, wanted: &BTreeSet<PutLocation>) {
        lock(&self.used).retain(|location, slots| {
            let is_used = Arc::strong_count(slots) > 1
                || slots.sealed.free() < SEALED_PER_LOCATION
                || slots.accepted.is_awaited();
            is_used || wanted.contains(location)
        });
        self.of_all.forget_unused();
    }

    /// Makes everything that waits for its bucket retry soon.
    pub(in crate::delivery) fn retry_all(&self) {
        for slots in lock(&self.used).values() {
            slots.accepted.notify();
        }
    }
}

/// Counts the objects that a bucket has accepted, and notifies those that wait for it, so that they are
/// retried before their wait ends. Cheap to clone; clones share their state.
///
/// They are notified in the order in which they began to wait, so that the same events lead to the same
/// steps. (A channel that wakes its waiters in random order would not do.)
#[derive(Clone, Debug, Default)]
pub(in crate::delivery) struct Accepted {
    state: Arc<State>,
    /// One clone for each waiter of this log.
    waiters: Arc<()>,
}

#[derive(Debug, Default)]
struct State {
    count: AtomicU64,
    notify: Notify,
}

/// Waits for a notification.
#[derive(Debug)]
pub(in crate::delivery) struct Waiter {
    from: Accepted,
    seen: u64,
}

impl Accepted {
    /// Notifies all waiters that the bucket has accepted an object.
    pub(in crate::delivery) fn notify(&self) {
        self.state.count.fetch_add(1, Ordering::AcqRel);
        self.state.notify.notify_waiters();
    }

    /// The same notifications, with the waiters of one log.
    fn of_one_log(&self) -> Self {
        Self { state: Arc::clone(&self.state), waiters: Arc::default() }
    }

    /// Waits for notifications from now on.
    pub(in crate::delivery) fn waiter(&self) -> Waiter {
        Waiter { from: self.clone(), seen: self.count() }
    }

    /// Whether anything of this log waits.
    pub(in crate::delivery) fn is_awaited(&self) -> bool {
        Arc::strong_count(&self.waiters) > 1
    }

    fn count(&self) -> u64 {
        self.state.count.load(Ordering::Acquire)
    }
}

impl Waiter {
    /// Ignores the notifications until now.
    pub(in crate::delivery) fn forget(&mut self) {
        self.seen = self.from.count();
    }

    /// Ready at the first notification that was neither received nor ignored. Cancel-safe.
    pub(in crate::delivery) async fn notified(&mut self) {
        loop {
            // Created before the count is read, so that a notification in between wakes it.
            let notified = self.from.state.notify.notified();
            let count = self.from.count();
            if count != self.seen {
                self.seen = count;
                return;
            }
            notified.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn earlier_notifications_are_received_once_and_ignored_ones_never() {
        let accepted = Accepted::default();
        let mut waiter = accepted.waiter();
        accepted.notify();
        accepted.notify();
        waiter.notified().await;
        accepted.notify();
        waiter.forget();
        let mut waits = Box::pin(waiter.notified());
        assert!(
            std::future::poll_fn(|context| std::task::Poll::Ready(waits.as_mut().poll(context).is_pending()))
                .await
        );
        accepted.notify();
        waits.await;
    }
}
