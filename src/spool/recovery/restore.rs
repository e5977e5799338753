//! Phase 5: the running spool. Restores the index, dedupe window, ledger and parked objects from disk, and
//! begins the segment that this process writes to.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use super::begin::begin_segment;
use super::durable::Durable;
use super::found::{Found, restore_closed};
use super::open_error::{OpenError, failed};
use super::spares::usable_spares;
use super::unclaimed_files::clean_up_parked;
use crate::disk::is_no_handle;
use crate::log::notes::Health;
use crate::log::{AccountKey, Go, Hour, Range, Read, Row};
use crate::spool::format::scan::scan;
use crate::spool::format::seen_file::{self, SeenEntries, SeenHalf};
use crate::spool::format::segment::seen_name;
use crate::spool::imports::RunningImports;
use crate::spool::index::Batch;
use crate::spool::manifest::FileNote;
use crate::spool::reading::reader;
use crate::spool::shared::{Shared, lock};
use crate::spool::writing::housekeeper::{Housekeeper, keep_cursors_from, oldest_position, unread_position};
use crate::spool::writing::seen::Windows;
use crate::spool::writing::writer::Writer;
use crate::time::UnixMillis;

/// How far the clock may be behind the newest frame without a warning.
const CLOCK_BEHIND_MS: i64 = 86_400_000;

/// The findings of a start.
#[derive(Clone, Debug, Default)]
pub struct Recovered {
    /// The number of segments with frames.
    pub segments: usize,
    /// The number of frames that are not delivered yet.
    pub frames: u64,
    /// The number of sealed batches that are not committed.
    pub seals: usize,
    /// Positions that this start found to be lost.
    pub lost: Vec<Range>,
    /// The last segment, if the disk cannot read all of it. An unknown number of frames may have followed the
    /// last one found. The segment is kept in quarantine.
    pub unreadable: Option<u64>,
    /// Bytes of torn writes that were cut off. They were never acknowledged.
    pub torn_bytes: u64,
    /// Whether the wall clock is more than a day earlier than the newest frame.
    pub clock_behind: bool,
    /// Whether notes of the manifest could not be read. The work that they recorded is done again, so a call
    /// may be delivered twice.
    pub manifest_damaged: bool,
}

/// An opened spool, not yet running.
#[derive(Debug)]
pub(in crate::spool) struct Opened {
    pub(in crate::spool) shared: Arc<Shared>,
    pub(in crate::spool) writer: Writer,
    pub(in crate::spool) housekeeper: Housekeeper,
    pub(in crate::spool) recovered: Recovered,
}

/// Restores the state that is kept in memory, and completes `recovered` with what it counts. `frames_missing`
/// states whether frames are known to be missing.
pub(super) fn restore(
    durable: Durable,
    mut found: Vec<Found>,
    frames_missing: bool,
    mut recovered: Recovered,
) -> Result<Opened, OpenError> {
    let Durable { shared, next_position, newest } = durable;
    let seen_files = restore_seen_files(&shared).map_err(failed("read fingerprints"))?;
    let mut seen = Windows::new(shared.options.dedupe_max, shared.options.dedupe_window);
    recovered.clock_behind = shared.clock.wall().0 < newest.0 - CLOCK_BEHIND_MS;
    restore_key_runs(&shared, recovered.manifest_damaged)?;
    let seen_counts =
        fill_seen(&shared, &mut seen, &seen_files, &found).map_err(failed("read fingerprints"))?;

    {
        let state = shared.state();
        let mut index = lock(&shared.index);
        index.ledger = state.calls.ledger.clone();
        index.imports = RunningImports::of(state.files.imports.values());
    }
    let last = found.pop();
    restore_closed(&shared, &found, &seen_files);
    let open = begin_segment(&shared, last).map_err(failed("copy the last segment"))?;
    clean_up_parked(&shared).map_err(failed("clean up parked files"))?;
    // Listed only now, because beginning a segment on a full disk may remove spares.
    let spares = usable_spares(&shared).map_err(failed("list spare segments"))?;
    let mut housekeeper = Housekeeper::new(Arc::clone(&shared), spares, seen_counts);
    let damage_met = restore_batches(&shared).map_err(failed("read the index"))?;
    restore_parked(&shared);
    restore_ledger(&shared, frames_missing || damage_met, next_position);
    lock(&shared.index).durable_through = next_position - 1;
    recovered.frames = lock(&shared.index).batches.values().map(|batch| batch.open_frames).sum();
    {
        let manifest = lock(&shared.manifest);
        recovered.seals = shared.state().calls.seals.len();
        let (oldest, unread) = (oldest_position(&shared), unread_position(&shared));
        manifest.state().prune(keep_cursors_from(shared.clock.wall()), oldest, unread);
    }
    shared.show_row_keys();
    let writer = Writer::new(Arc::clone(&shared), open, seen, next_position);
    // A note that found no space is tried again at the next pass.
    if housekeeper.pass().is_err() && shared.is_poisoned() {
        return Err(OpenError::Stopped);
    }
    Ok(Opened { shared, writer, housekeeper, recovered })
}

fn restore_seen_files(shared: &Shared) -> io::Result<BTreeMap<u64, SeenEntries>> {
    let mut files = BTreeMap::new();
    for (name, _) in shared.disk.list("")? {
        let Some(number) = seen_file::number(&name) else { continue };
        match seen_file::read(&*shared.disk, shared.salt(number), number) {
            Ok(Some(entries)) => drop(files.insert(number, entries)),
            Err(error) if is_no_handle(&error) => return Err(error),
            Ok(None) | Err(_) => {
                tracing::warn!(
                    segment = number,
                    "a damaged fingerprint file is removed; repeats of its calls may be stored"
                );
                shared.disk.remove(&seen_name(number))?;
            }
        }
    }
    Ok(files)
}

/// Compares the runs of keys of imported rows with their files. If notes are damaged, files that none names
/// are noted again.
fn restore_key_runs(shared: &Shared, manifest_damaged: bool) -> Result<(), OpenError> {
    let adopted =
        shared.row_keys.compare_files(manifest_damaged).map_err(failed("read the insert_ids of rows"))?;
    let note = |run| FileNote::KeyRuns { added: Some(run), removed: Vec::new(), through: 0 };
    if !adopted.is_empty() {
        shared.note(adopted.into_iter().map(note).collect()).map_err(|_| OpenError::Stopped)?;
    }
    Ok(())
}

/// Fills the dedupe window in order, from the fingerprint files, or from the frames of segments that have
/// none. A segment with such a file has its keys of imported rows in runs, because these are written first;
/// of others, the keys are taken from the frames. Returns the segment number of each file, and what it has.
fn fill_seen(
    shared: &Shared,
    seen: &mut Windows,
    files: &BTreeMap<u64, SeenEntries>,
    found: &[Found],
) -> io::Result<Vec<(u64, [SeenHalf; 2])>> {
    let instant = |second: u32| UnixMillis(i64::from(second) * 1_000);
    let live: BTreeMap<u64, &Found> = found.iter().map(|found| (found.number, found)).collect();
    let numbers: BTreeSet<u64> = files.keys().chain(live.keys()).copied().collect();
    let mut counts = Vec::new();
    let keys_through = shared.state().files.keys_through;
    for number in numbers {
        if let Some(entries) = files.get(&number) {
            let halves = [(&entries.sent, false), (&entries.imported, true)].map(|(half, is_imported)| {
                for (fingerprint, second) in half {
                    seen.insert(*fingerprint, instant(*second), is_imported);
                }
                let newest = half.iter().map(|(_, second)| *second).max().unwrap_or(0);
                SeenHalf { count: half.len() as u64, newest }
            });
            counts.push((number, halves));
        } else if let Some(found) = live.get(&number) {
            let cut = found.span.1;
            scan(&*found.file, shared.salt(number), &mut |_, frame| {
                if frame.position <= cut {
                    seen.insert(frame.fingerprint, frame.received_at, frame.origin.is_some());
                    let key = frame.row_key.filter(|_| frame.position > keys_through);
                    shared.row_keys.add(key.map(|key| (key, frame.received_at)));
                }
            })?;
        }
    }
    Ok(counts)
}

/// Counts the frames of each batch after its last seal. Returns whether it met damage that no note names yet.
fn restore_batches(shared: &Shared) -> io::Result<bool> {
    let mut frames_missing = false;
    let batches: Vec<_> = {
        let index = lock(&shared.index);
        index
            .batches
            .iter()
            .map(|(key, batch)| (key.clone(), batch.sealed_through, batch.stretches.clone()))
            .collect()
    };
    for (key, sealed, stretches) in batches {
        let (mut frames, mut bytes, mut first) = (0, 0, None);
        for stretch in stretches.iter().filter(|stretch| stretch.last > sealed) {
            if stretch.first > sealed {
                frames += stretch.frames;
                bytes += stretch.bytes;
                first = first.or(Some((stretch.first, stretch.first_received_at)));
                continue;
            }
            // The seal ends inside this stretch, so its frames are read to count those after the seal.
            reader::read(shared, &key, sealed, stretch.last, &mut |read| {
                match read {
                    Read::Frame(frame) => {
                        frames += 1;
                        bytes += frame.payload.len() as u64 + 1;
                        first = first.or(Some((frame.position, frame.received_at)));
                    }
                    // Counted, so that a delivery reads the batch and notes the loss.
                    Read::Lost(range) => {
                        frames_missing = true;
                        frames += range.last - range.first + 1;
                    }
                }
                Ok(Go::On)
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
    Ok(frames_missing)
}

/// Brings the ledger up to date: books what is sealed, and reconciles it with damage or with a spool of an
/// older release. The counts of this start become a tally at once, so that the next start counts from here.
fn restore_ledger(shared: &Shared, frames_missing: bool, next_position: u64) {
    let state = shared.state();
    let mut index = lock(&shared.index);
    for pending in state.calls.seals.values() {
        let (batch, hours) = (&pending.seal.batch, pending.seal.hours());
        if !state.calls.ledger.began {
            for (hour, frames) in &hours {
                let account = AccountKey::of_batch(batch);
                index.ledger.count(&account, *hour, &Row::stored_in(&batch.stream, *frames));
            }
        }
        index.ledger.seal(batch, &hours);
    }
    let hour = |batch: &Batch| Hour::of(batch.first_received_at);
    let open: Vec<_> =
        index.batches.iter().map(|(key, batch)| (key.clone(), batch.open_frames, hour(batch))).collect();
    let health = Health { lost: frames_missing, unknown: !state.calls.ledger.began };
    index.ledger.reconcile(&open, health);
    index.gather(next_position - 1);
}

/// Sums the length of parked files by source.
fn restore_parked(shared: &Shared) {
    let state = shared.state();
    let mut index = lock(&shared.index);
    for pending in state.calls.seals.values() {
        if let Some(parked) = pending.parked {
            *index.parked.entry(pending.seal.batch.source.clone()).or_default() += parked.len;
        }
    }
}
