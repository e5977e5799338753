//! Requests that were read and that no thread has begun yet.
//!
//! One read from an HTTP/2 connection may bring a hundred requests, each with a task of its own. Were every connection read
//! whenever it can be, a burst over many of them would be in memory at once, long before it is answered. So nothing is read
//! from an HTTP/2 connection while there are too many: they wait in the kernel, or with the client. Nobody can hold
//! a place here: each is free as soon as a thread comes to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Requests that may wait for a thread before reading pauses.
const REQUESTS_MAX: usize = 2_048;

/// The requests of the whole process that wait for a thread.
#[derive(Clone, Debug, Default)]
pub(super) struct Backlog {
    requests: Arc<AtomicUsize>,
}

/// A request that waits for a thread; dropped when one has come.
#[derive(Debug)]
pub(super) struct InBacklog {
    backlog: Backlog,
}

impl Backlog {
    /// One more request waits.
    pub(super) fn enter(&self) -> InBacklog {
        self.requests.fetch_add(1, Ordering::Relaxed);
        InBacklog { backlog: self.clone() }
    }

    /// Whether reading has to pause.
    pub(super) fn is_full(&self) -> bool {
        self.requests.load(Ordering::Relaxed) >= REQUESTS_MAX
    }
}

impl Drop for InBacklog {
    fn drop(&mut self) {
        self.backlog.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_full_until_a_thread_has_come_to_one() {
        let backlog = Backlog::default();
        let mut waiting: Vec<_> = (1..REQUESTS_MAX).map(|_| backlog.enter()).collect();
        assert!(!backlog.is_full());
        waiting.push(backlog.enter());
        assert!(backlog.is_full());
        waiting.pop();
        assert!(!backlog.is_full());
    }
}
