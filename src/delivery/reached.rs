//! Notifies the objects that wait for a destination when it has accepted one, so that they are retried before
//! their wait ends.
//!
//! They are notified in the order in which they began to wait, so that the same events lead to the same
//! steps. (A channel that wakes its waiters in random order would not do.)

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

/// Counts the objects that a destination has accepted, and notifies those that wait. Cheap to clone; clones
/// share their state.
#[derive(Clone, Debug, Default)]
pub(super) struct Reached(Arc<Told>);

#[derive(Debug, Default)]
struct Told {
    count: AtomicU64,
    notify: Notify,
}

/// Waits for a notification.
#[derive(Debug)]
pub(super) struct Hearer {
    from: Reached,
    heard: u64,
}

impl Reached {
    /// Notifies all hearers that the destination has accepted an object.
    pub(super) fn tell(&self) {
        self.0.count.fetch_add(1, Ordering::AcqRel);
        self.0.notify.notify_waiters();
    }

    /// A hearer of the notifications from now on.
    pub(super) fn hearer(&self) -> Hearer {
        Hearer { from: self.clone(), heard: self.count() }
    }

    fn count(&self) -> u64 {
        self.0.count.load(Ordering::Acquire)
    }
}

impl Hearer {
    /// Ignores the notifications until now.
    pub(super) fn forget(&mut self) {
        self.heard = self.from.count();
    }

    /// Ready at the first notification that was neither heard nor ignored. Cancel-safe.
    pub(super) async fn told(&mut self) {
        loop {
            // Created before the count is read, so that a notification in between wakes it.
            let told = self.from.0.notify.notified();
            let count = self.from.count();
            if count != self.heard {
                self.heard = count;
                return;
            }
            told.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn earlier_notifications_are_heard_once_and_ignored_ones_never() {
        let reached = Reached::default();
        let mut hearer = reached.hearer();
        reached.tell();
        reached.tell();
        hearer.told().await;
        reached.tell();
        hearer.forget();
        let mut waits = Box::pin(hearer.told());
        assert!(
            std::future::poll_fn(|context| std::task::Poll::Ready(waits.as_mut().poll(context).is_pending()))
                .await
        );
        reached.tell();
        waits.await;
    }
}
