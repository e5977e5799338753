//! Requests that were read and that no thread has begun yet.
//!
//! One read from an HTTP/2 connection may bring a hundred requests, each with a task of its own. Were every connection read
//! whenever it can be, a burst over many of them would be in memory at once, long before it is answered. So nothing is read
//! from an HTTP/2 connection while there are too many: they wait in the kernel, or with the client. Nobody can hold
//! a place here: each is free as soon as a thread comes to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of memory that requests may hold while they wait for a thread, before reading pauses: about a thousand.
const BYTES_MAX: usize = 4 * 1_024 * 1_024;

/// The requests of the whole process that wait for a thread.
#[derive(Clone, Debug, Default)]
pub(super) struct Backlog {
    bytes: Arc<AtomicUsize>,
}

/// A request that waits for a thread; dropped when one has come.
#[derive(Debug)]
pub(super) struct InBacklog {
    backlog: Backlog,
    bytes: usize,
}

impl Backlog {
    /// One more request waits, which holds so many bytes.
    pub(super) fn enter(&self, bytes: usize) -> InBacklog {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        InBacklog { backlog: self.clone(), bytes }
    }

    /// Whether reading has to pause.
    pub(super) fn is_full(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) >= BYTES_MAX
    }
}

impl Drop for InBacklog {
    fn drop(&mut self) {
        self.backlog.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_full_until_a_thread_has_come_to_some() {
        let backlog = Backlog::default();
        let first = backlog.enter(BYTES_MAX - 1);
        assert!(!backlog.is_full());
        let second = backlog.enter(1);
        assert!(backlog.is_full());
        drop(first);
        assert!(!backlog.is_full());
        drop(second);
        assert_eq!(backlog.bytes.load(Ordering::Relaxed), 0);
    }
}
