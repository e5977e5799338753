//! Requests that were read but that no thread has started yet.
//!
//! One read from an HTTP/2 connection may bring a hundred requests, each with a task of its own. If every
//! connection were read whenever it has data, a burst over many connections would fill the memory long before
//! the requests are answered. So HTTP/2 connections are not read while the backlog is full: further requests
//! wait in the kernel or at the client. No client can hold a place here, because a place is free as soon as a
//! thread starts the request.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of memory that waiting requests may hold before reading pauses: about a thousand requests.
const BYTES_MAX: usize = 4 * 1_024 * 1_024;

/// The requests of the whole process that wait for a thread.
#[derive(Clone, Debug, Default)]
pub(super) struct Backlog {
    bytes: Arc<AtomicUsize>,
}

/// A request that waits for a thread. Drop it when a thread starts the request.
#[derive(Debug)]
pub(super) struct InBacklog {
    backlog: Backlog,
    bytes: usize,
}

impl Backlog {
    /// Adds a waiting request that holds `bytes` bytes of memory.
    pub(super) fn enter(&self, bytes: usize) -> InBacklog {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        InBacklog { backlog: self.clone(), bytes }
    }

    /// Whether reading must pause.
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
    fn the_backlog_is_full_until_threads_start_some_requests() {
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
