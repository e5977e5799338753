//! What a start counts in the frames of a segment.

use std::collections::BTreeMap;

use crate::log::frame::Frame;
use crate::log::notes::counts_of;
use crate::log::{AccountKey, Hour, Row};
use crate::spool::imports::FoundProgress;

/// Counts frames of a scan that are in no tally yet.
#[derive(Clone, Debug, Default)]
pub(super) struct FrameCounts {
    /// Frames up to this position are counted already.
    pub tallied_through: u64,
    /// Counts by account and hour.
    pub rows: BTreeMap<(AccountKey, Hour), Row>,
    /// The progress of imports.
    pub imports: FoundProgress,
}

impl FrameCounts {
    /// Counts only frames after this position.
    pub(super) fn after(tallied_through: u64) -> Self {
        Self { tallied_through, ..Self::default() }
    }

    /// Counts a frame, unless it is in a tally.
    pub(super) fn count(&mut self, frame: &Frame<'_>) {
        if frame.position <= self.tallied_through {
            return;
        }
        self.imports.take(frame);
        if let (Some(counts), Some(account)) = (counts_of(frame), frame.account()) {
            self.rows.entry((account, Hour::of(frame.received_at))).or_default().add(&counts);
        }
    }
}
