//! How far the reading of a manifest is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::import::reading::counted::RawBytes;

/// How far the reading of a manifest is. Clones share the counts, so another thread may show them.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    pub(super) raw: RawBytes,
    expected: Arc<AtomicU64>,
    rows: Arc<AtomicU64>,
}

impl Progress {
    /// The bytes read so far, as stored.
    pub fn bytes(&self) -> u64 {
        self.raw.get()
    }

    /// The bytes that there are, as far as known: a manifest that names files says so when it was read. 0 if
    /// unknown.
    pub fn bytes_expected(&self) -> u64 {
        self.expected.load(Ordering::Relaxed)
    }

    /// The tasks handed on so far.
    pub fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    pub(super) fn add_row(&self) {
        self.rows.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn expect(&self, more: u64) {
        // Lengths come from outside, so their sum may be beyond reason.
        let add = |now: u64| Some(now.saturating_add(more));
        self.expected.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).unwrap_or_default();
    }
}
