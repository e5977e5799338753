//! The counts of an import so far, for those who watch it.

use std::sync::{Arc, Mutex};

use super::discovery::files::Watched;
use crate::lock::lock;

/// The counts at one instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Snapshot {
    /// Bytes of files read, in the form in which they are stored.
    pub bytes_read: u64,
    /// Bytes of all files, as far as they are known.
    pub bytes_total: u64,
    /// Rows read in this run.
    pub rows: u64,
    /// Rows stored as calls.
    pub stored: u64,
    /// Rows that are not calls.
    pub rejected: u64,
    /// Rows whose calls were stored before, within the dedupe window.
    pub repeats: u64,
    /// Files that ended.
    pub files: u64,
}

/// Counts that the reading and the sending side of an import add to. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    counts: Arc<Mutex<Snapshot>>,
    /// The texts that are open: their bytes are those that were read.
    pub watched: Watched,
}

impl Counters {
    /// The counts now.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot { bytes_read: self.watched.bytes(), ..*lock(&self.counts) }
    }

    /// Changes the counts.
    pub fn change(&self, change: impl FnOnce(&mut Snapshot)) {
        change(&mut lock(&self.counts));
    }
}
