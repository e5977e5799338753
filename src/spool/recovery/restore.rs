//! What is kept in memory, restored from what is on disk: the index, its batches, fingerprints and parked objects.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::found::Found;
use crate::batch::BatchKey;
use crate::spool::disk::is_no_handle;
use crate::spool::index::{Batch, Part, SegmentState};
use crate::spool::ledger::{Health, Hour, Row};
use crate::spool::reader;
use crate::spool::scan::scan;
use crate::spool::seen::Seen;
use crate::spool::seen_file;
use crate::spool::segment::seen_name;
use crate::spool::shared::{Shared, lock};
use crate::time::UnixMillis;

pub(super) fn restore_seen_files(shared: &Shared) -> io::Result<BTreeMap<u64, Vec<(u128, u32)>>> {
    let mut files = BTreeMap::new();
    for (name, _) in shared.disk.list("")? {
        let Some(number) = seen_file::number(&name) else { continue };
        match seen_file::read(&*shared.disk, shared.salt(number), number) {
            Ok(Some(entries)) => drop(files.insert(number, entries)),
            Err(error) if is_no_handle(&error) => return Err(error),
            Ok(None) | Err(_) => {
                tracing::warn!(
                    segment = number,
                    "a file of fingerprints is damaged: repeats of its calls may be stored"
                );
                shared.disk.remove(&seen_name(number))?;
            }
        }
    }
    Ok(files)
}

/// Fills the dedupe window in order: from the files of fingerprints, and from the frames of segments that have none.
/// Returns number, newest second and count of each file.
pub(super) fn fill_seen(
    shared: &Shared,
    seen: &mut Seen,
    files: &BTreeMap<u64, Vec<(u128, u32)>>,
    found: &[Found],
) -> io::Result<Vec<(u64, u32, u64)>> {
    let instant = |second: u32| UnixMillis(i64::from(second) * 1_000);
    let live: BTreeMap<u64, &Found> = found.iter().map(|found| (found.number, found)).collect();
    let numbers: BTreeSet<u64> = files.keys().chain(live.keys()).copied().collect();
    let mut counts = Vec::new();
    for number in numbers {
        if let Some(entries) = files.get(&number) {
            for (fingerprint, second) in entries {
                seen.insert(*fingerprint, instant(*second));
            }
            let newest = entries.iter().map(|(_, second)| *second).max().unwrap_or(0);
            counts.push((number, newest, entries.len() as u64));
        } else if let Some(found) = live.get(&number) {
            let cut = found.span.1;
            scan(&*found.file, shared.salt(number), &mut |_, frame| {
                if frame.position <= cut {
                    seen.insert(frame.fingerprint, frame.received_at);
                }
            })?;
        }
    }
    Ok(counts)
}

/// Takes in the segments that no more frames will come to.
pub(super) fn restore_closed(shared: &Shared, found: &[Found], seen_files: &BTreeMap<u64, Vec<(u128, u32)>>) {
    for segment in found {
        let state = SegmentState {
            len: segment.len,
            closed: true,
            seen_kept: segment.indexed
                && (seen_files.contains_key(&segment.number) || shared.options.dedupe_max == 0),
            damaged: segment.is_damaged(),
            pending: 0,
            first: segment.span.0,
            last: segment.span.1,
            fingerprints: None,
        };
        let mut index = lock(&shared.index);
        index.segments.insert(segment.number, state);
        for ((source, hour), row) in &segment.counts.rows {
            index.ledger.count(source, *hour, row);
        }
        drop(index);
        restore_parts(shared, &segment.parts);
    }
}

pub(super) fn restore_parts(shared: &Shared, parts: &[(BatchKey, Part)]) {
    let state = shared.state();
    let mut index = lock(&shared.index);
    for (key, part) in parts {
        let cursor = state.cursors.get(key).cloned().unwrap_or_default();
        if part.last > cursor.released {
            index.restore(key, part.clone(), cursor.sealed);
        }
    }
}

/// Counts what each batch has behind its last seal. Returns whether it met damage that no note names yet.
pub(super) fn restore_batches(shared: &Shared) -> io::Result<bool> {
    let mut holes = false;
    let batches: Vec<_> = {
        let index = lock(&shared.index);
        index
            .batches
            .iter()
            .map(|(key, batch)| (key.clone(), batch.sealed_through, batch.parts.clone()))
            .collect()
    };
    for (key, sealed, parts) in batches {
        let (mut frames, mut bytes, mut first) = (0, 0, None);
        for part in parts.iter().filter(|part| part.last > sealed) {
            if part.first > sealed {
                frames += part.frames;
                bytes += part.bytes;
                first = first.or(Some((part.first, part.first_received_at)));
                continue;
            }
            // The seal ends inside this part: its frames tell what is behind it.
            reader::read(shared, &key, sealed, part.last, &mut |read| {
                match read {
                    reader::Read::Frame(frame) => {
                        frames += 1;
                        bytes += frame.payload.len() as u64 + 1;
                        first = first.or(Some((frame.position, frame.received_at)));
                    }
                    // Counted, so that somebody looks at the batch and lets go of it.
                    reader::Read::Lost(range) => {
                        holes = true;
                        frames += range.last - range.first + 1;
                    }
                }
                Ok(reader::Go::On)
            })?;
        }
        let mut index = lock(&shared.index);
        if let Some(batch) = index.batches.get_mut(&key) {
            batch.open_frames = frames;
            batch.open_bytes = bytes;
            (batch.first_open, batch.first_received_at) =
                first.unwrap_or((sealed + 1, batch.first_received_at));
        }
    }
    Ok(holes)
}

/// Makes the ledger whole: what is sealed, and what damage or an older release leaves open. What this start counted becomes
/// a tally at once, so that the next start counts on from here.
pub(super) fn restore_ledger(shared: &Shared, holes: bool, next_position: u64) {
    let state = shared.state();
    let mut index = lock(&shared.index);
    for pending in state.seals.values() {
        let (batch, hours) = (&pending.seal.batch, pending.seal.hours());
        if !state.ledger.began {
            for (hour, frames) in &hours {
                index.ledger.count(&batch.source, *hour, &Row::stored_in(batch.stream, *frames));
            }
        }
        index.ledger.seal(batch, &hours);
    }
    let hour = |batch: &Batch| Hour::of(batch.first_received_at);
    let open: Vec<_> =
        index.batches.iter().map(|(key, batch)| (key.clone(), batch.open_frames, hour(batch))).collect();
    let health = Health { lost: holes, unknown: !state.ledger.began };
    index.ledger.reconcile(&open, health);
    index.ledger.gather(next_position - 1);
}

/// Counts parked objects by source.
pub(super) fn restore_parked(shared: &Shared) {
    let state = shared.state();
    let mut index = lock(&shared.index);
    for pending in state.seals.values() {
        if let Some(parked) = pending.parked {
            *index.parked.entry(pending.seal.batch.source.clone()).or_default() += parked.len;
        }
    }
}
