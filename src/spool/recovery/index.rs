//! Adds segments that were found to the index.

use std::collections::BTreeMap;

use super::found::Found;
use crate::batch::BatchKey;
use crate::spool::format::runs::Stretch;
use crate::spool::format::seen_file::SeenEntries;
use crate::spool::shared::{Shared, lock};

/// Adds closed segments to the index.
pub(super) fn restore_closed(shared: &Shared, found: &[Found], seen_files: &BTreeMap<u64, SeenEntries>) {
    for segment in found {
        let is_known = seen_files.contains_key(&segment.number) || shared.options.dedupe_max == 0;
        let mut index = lock(&shared.index);
        index.segments.insert(segment.number, segment.state(segment.indexed && is_known));
        for ((source, hour), row) in &segment.counts.rows {
            index.ledger.count(source, *hour, row);
        }
        index.imports.take_found(&segment.counts.imports);
        drop(index);
        restore_stretches(shared, &segment.stretches);
    }
}

/// Adds the frames that are not released yet.
pub(super) fn restore_stretches(shared: &Shared, stretches: &[(BatchKey, Stretch)]) {
    let state = shared.state();
    let mut index = lock(&shared.index);
    for (key, stretch) in stretches {
        let cursor = state.calls.cursors.get(key).cloned().unwrap_or_default();
        if stretch.last > cursor.released {
            index.restore(key, stretch.clone(), cursor.sealed);
        }
    }
}
