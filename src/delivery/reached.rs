//! Tells the objects that wait for a destination that it has taken one: whoever hears it need not wait to the end.
//!
//! They are told in the order in which they began to wait, so that the same events lead to the same steps. (A channel
//! that spreads its waiters by chance would tell them in another order each time.)

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

/// Counts what a destination has taken, and tells it. Cheap to clone; clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Reached(Arc<Told>);

#[derive(Debug, Default)]
struct Told {
    count: AtomicU64,
    notify: Notify,
}

/// One that waits to be told.
#[derive(Debug)]
pub(super) struct Hearer {
    from: Reached,
    heard: u64,
}

impl Reached {
    /// Tells all that the destination has taken an object.
    pub(super) fn tell(&self) {
        self.0.count.fetch_add(1, Ordering::AcqRel);
        self.0.notify.notify_waiters();
    }

    /// Hears what is told from now on.
    pub(super) fn hearer(&self) -> Hearer {
        Hearer { from: self.clone(), heard: self.count() }
    }

    fn count(&self) -> u64 {
        self.0.count.load(Ordering::Acquire)
    }
}

impl Hearer {
    /// What was told until now is old.
    pub(super) fn forget(&mut self) {
        self.heard = self.from.count();
    }

    /// Ready once something was told that was not heard before. Cancel-safe.
    pub(super) async fn told(&mut self) {
        loop {
            // Before the count is read: what is told in between wakes it.
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
    async fn what_was_told_before_is_heard_once_and_what_is_old_not_at_all() {
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
