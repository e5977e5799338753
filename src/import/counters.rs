//! The counts of an import so far, for those who watch it.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts that the reading and the sending side of an import add to.
#[derive(Debug, Default)]
pub struct Counters {
    /// Bytes of files read, in the form in which they are stored.
    pub bytes_read: AtomicU64,
    /// Bytes of all files, as far as they are known.
    pub bytes_total: AtomicU64,
    /// Rows read in this run.
    pub rows: AtomicU64,
    /// Rows stored as calls.
    pub stored: AtomicU64,
    /// Rows that are not calls.
    pub rejected: AtomicU64,
    /// Rows whose calls were stored before, within the dedupe window.
    pub repeats: AtomicU64,
    /// Files that ended.
    pub files: AtomicU64,
}

/// The counts at one instant.
#[expect(missing_docs, reason = "each field is the one of `Counters`")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Snapshot {
    pub bytes_read: u64,
    pub bytes_total: u64,
    pub rows: u64,
    pub stored: u64,
    pub rejected: u64,
    pub repeats: u64,
    pub files: u64,
}

impl Counters {
    /// The counts now.
    pub fn snapshot(&self) -> Snapshot {
        let now = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Snapshot {
            bytes_read: now(&self.bytes_read),
            bytes_total: now(&self.bytes_total),
            rows: now(&self.rows),
            stored: now(&self.stored),
            rejected: now(&self.rejected),
            repeats: now(&self.repeats),
            files: now(&self.files),
        }
    }
}

/// Adds to a count.
pub(super) fn add(count: &AtomicU64, more: u64) {
    count.fetch_add(more, Ordering::Relaxed);
}
