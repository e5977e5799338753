//! Notifies the objects that wait for a bucket when it has accepted one, so that they are retried before
//! their wait ends.
//!
//! They are notified in the order in which they began to wait, so that the same events lead to the same
//! steps. (A channel that wakes its waiters in random order would not do.)

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

/// Counts the objects that a bucket has accepted, and notifies those that wait. Cheap to clone; clones
/// share their state.
#[derive(Clone, Debug, Default)]
pub(in crate::delivery) struct Accepted(Arc<State>);

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
        self.0.count.fetch_add(1, Ordering::AcqRel);
        self.0.notify.notify_waiters();
    }

    /// Waits for notifications from now on.
    pub(in crate::delivery) fn waiter(&self) -> Waiter {
        Waiter { from: self.clone(), seen: self.count() }
    }

    /// Whether anything waits, or another clone may be notified.
    pub(in crate::delivery) fn is_awaited(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    fn count(&self) -> u64 {
        self.0.count.load(Ordering::Acquire)
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
            let notified = self.from.0.notify.notified();
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
