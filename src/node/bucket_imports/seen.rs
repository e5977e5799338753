//! What is known of an import of a bucket while it works.

use std::collections::BTreeSet;

use tokio_util::sync::CancellationToken;

use super::scan_memory::ScanMemory;
use super::views::{Found, InViews};
use crate::import::Counters;
use crate::time::UnixMillis;

/// What is known of an import.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) pass_since: Option<UnixMillis>,
    /// Whether the alarm that stands was raised by a pass that listed nothing.
    pub(super) raised_unlisted: bool,
    /// Whether a pass over all keys found files that are given up.
    pub(super) has_given_up: bool,
    /// Stops the pass under way, or the one that is about to begin.
    pub(super) pass_stop: CancellationToken,
    /// Stops the work on rejected rows.
    pub(super) retry_stop: CancellationToken,
    pub(super) counters: Counters,
    /// What passes found.
    pub(super) found: InViews<Found>,
    pub(super) next: Option<UnixMillis>,
    /// Whether the next pass lists all keys.
    pub(super) scans: ScanMemory,
    /// What became of objects, as far as there are gauges of it.
    pub(super) gauges: BTreeSet<&'static str>,
    /// Whether the last pass found no room for rejected rows; `None`: none has looked.
    pub(super) rejects_full: Option<bool>,
    /// Whether its alarms and gauges are no longer updated: it was removed, or its settings changed.
    pub(super) is_gone: bool,
}

impl Seen {
    /// What the import that goes on with other settings needs, so that alarms and gauges end that no longer hold. This
    /// one no longer updates them.
    pub(super) fn leave(&mut self) -> Self {
        self.is_gone = true;
        Self {
            raised_unlisted: self.raised_unlisted,
            has_given_up: self.has_given_up,
            gauges: std::mem::take(&mut self.gauges),
            ..Self::default()
        }
    }
}
