//! How many bytes of bodies the process holds, all requests together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A number of bytes that requests reserve from as their bodies arrive.
#[derive(Debug)]
pub(super) struct ByteBudget {
    free: AtomicUsize,
}

impl ByteBudget {
    /// A budget of `bytes`.
    pub(super) fn new(bytes: usize) -> Arc<Self> {
        Arc::new(Self { free: AtomicUsize::new(bytes) })
    }

    /// A reservation of nothing yet.
    pub(super) fn reserve_nothing(self: &Arc<Self>) -> Reservation {
        Reservation { budget: Arc::clone(self), held: 0 }
    }
}

/// Bytes reserved for one body; given back when dropped.
#[derive(Debug)]
pub(super) struct Reservation {
    budget: Arc<ByteBudget>,
    held: usize,
}

impl Reservation {
    /// Makes the reservation at least `bytes` large. `false` where the budget does not have them; then nothing changes.
    #[must_use]
    pub(super) fn grow_to(&mut self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(self.held);
        let taken =
            self.budget.free.fetch_update(Ordering::AcqRel, Ordering::Acquire, |free| free.checked_sub(more));
        if taken.is_ok() {
            self.held += more;
        }
        taken.is_ok()
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.free.fetch_add(self.held, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_never_overdrawn_and_comes_back() {
        let budget = ByteBudget::new(100);
        let (mut a, mut b) = (budget.reserve_nothing(), budget.reserve_nothing());
        assert!(a.grow_to(60));
        assert!(a.grow_to(50), "smaller is no growth");
        assert!(!b.grow_to(41));
        assert!(b.grow_to(40));
        assert!(!a.grow_to(61));
        drop(b);
        assert!(a.grow_to(100));
        drop(a);
        assert_eq!(budget.free.load(Ordering::Acquire), 100);
    }
}
