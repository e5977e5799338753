//! Opening a spool: what is on disk becomes the state that its frames and notes make.
//!
//! Nothing that was answered is dropped, nothing that is damaged is destroyed, and doing it twice changes nothing more.

mod begin;
mod found;
mod leftovers;
mod lost;
mod restore;
mod room;

use std::io;
use std::sync::Arc;

pub(super) use found::Found;

use super::capped_disk::CappedDisk;
use super::damaged_manifest;
use super::disk::Disk;
use super::housekeeper::{Housekeeper, keep_as_spare, keep_cursors_from, oldest_position};
use super::ident::{Ident, IdentError};
use super::manifest::{Manifest, ManifestError};
use super::note::Note;
use super::scan::Range;
use super::seen::Seen;
use super::shared::{Shared, SpoolOptions, lock};
use super::writer::Writer;
use crate::metrics::Metrics;
use crate::random::Random;
use crate::time::Clock;
use begin::begin_segment;
use found::{cut_torn_tail, find_segments, missing};
use leftovers::{clear, set_aside, tidy, tidy_parked};
use lost::{held_by_parked, lost_ranges};
use restore::{
    fill_seen, restore_batches, restore_closed, restore_ledger, restore_parked, restore_seen_files,
};
use room::{usable_spares, with_room};

/// Why a spool cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The disk says no.
    #[error("open the spool: {what}")]
    Disk {
        /// What was tried.
        what: &'static str,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// Its identity cannot be read.
    #[error(transparent)]
    Ident(#[from] IdentError),
    /// Its manifest cannot be read.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A newer release wrote a segment.
    #[error(
        "segment {segment} was written by a newer release (format {major}); start that release, or drain the spool with it first"
    )]
    Newer {
        /// The segment.
        segment: u64,
        /// Its format.
        major: u16,
    },
    /// Damage was found and the configuration says to stop.
    #[error("the spool has lost {} (positions {first} to {last} first); `spool.on_corruption = \"stop\"` refuses to start: see `forebay spool verify`", frames_text(*.count))]
    Damaged {
        /// First position lost.
        first: u64,
        /// Last position of that range.
        last: u64,
        /// Frames lost in all.
        count: u64,
    },
    /// The spool stopped while it was opened.
    #[error("the spool stopped while it was opened; the log says why")]
    Stopped,
}

fn frames_text(count: u64) -> String {
    if count == 1 { "1 frame".to_owned() } else { format!("{count} frames") }
}

/// What an opening found.
#[derive(Clone, Debug, Default)]
pub struct Recovered {
    /// Segments with frames.
    pub segments: usize,
    /// Frames not yet delivered.
    pub frames: u64,
    /// Batches sealed and not committed.
    pub seals: usize,
    /// Positions lost, found by this opening.
    pub lost: Vec<Range>,
    /// The last segment, where the disk cannot read all of it: behind the last position found there may have been others,
    /// and how many is not known. It is kept in quarantine.
    pub unreadable: Option<u64>,
    /// Bytes of never-answered writes that were cut off.
    pub torn_bytes: u64,
    /// Whether the wall clock is more than a day behind the newest frame.
    pub clock_behind: bool,
    /// Whether notes of the manifest could not be read: what they said is done again, and a call may be delivered twice.
    pub manifest_damaged: bool,
}

/// An opened spool, not yet running.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) shared: Arc<Shared>,
    pub(super) writer: Writer,
    pub(super) housekeeper: Housekeeper,
    pub(super) recovered: Recovered,
}

fn failed(what: &'static str) -> impl FnOnce(io::Error) -> OpenError {
    move |cause| OpenError::Disk { what, cause }
}

/// The clock may be this far behind the newest frame without a word.
const CLOCK_BEHIND_MS: i64 = 86_400_000;

/// Opens the spool on `disk`.
pub(super) fn open(
    disk: Arc<dyn Disk>,
    options: SpoolOptions,
    clock: Arc<dyn Clock>,
    random: &dyn Random,
    metrics: Arc<Metrics>,
) -> Result<Opened, OpenError> {
    let capped = Arc::new(
        CappedDisk::new(disk, options.max_bytes, options.manifest_bytes)
            .map_err(failed("look at its files"))?,
    );
    let disk: Arc<dyn Disk> = Arc::<CappedDisk>::clone(&capped);
    let ident = Ident::open(&*disk, random)?;
    let mut recovered = Recovered::default();
    let stop = options.stop_on_corruption;
    let (number, mut state, unread_end) = damaged_manifest::read(&*disk, &ident, stop, &mut recovered)?;
    let adopted = damaged_manifest::adopt(&*disk, &ident, &mut state, recovered.manifest_damaged)
        .map_err(failed("look at segments without a note"))?;
    if number == 0 && !adopted.is_empty() {
        // There are segments and no manifest: what was let go of before them is not known.
        state.kept_from = 0;
    }
    damaged_manifest::miss_parked(&*disk, &mut state).map_err(failed("look at parked objects"))?;
    clear(&*disk).map_err(failed("remove leftovers"))?;
    let mut found = find_segments(&*disk, &ident, &state)?;
    let copies = damaged_manifest::take_copies(&mut found, &mut state, &adopted);
    // Segments behind the last with frames were made ahead and never used.
    let used = |found: &Found| found.span.0 > 0 || found.unreadable;
    let unused = found.split_off(found.iter().rposition(used).map_or(0, |last| last + 1));
    // Elsewhere the next segment's first position names what is missing.
    recovered.unreadable = found.last().filter(|last| last.unreadable).map(|last| last.number);
    if stop && recovered.unreadable.is_some() {
        return Err(failed("read the last segment")(rustix::io::Errno::IO.into()));
    }
    recovered.torn_bytes =
        cut_torn_tail(&*disk, found.last_mut(), state.next_position).map_err(failed("keep a torn tail"))?;
    recovered.lost = lost_ranges(&found, &state);
    let gone = missing(&state, &found, &unused);
    let misses = !gone.is_empty() || !recovered.lost.is_empty();
    let mut parked = false;
    if recovered.manifest_damaged || misses {
        parked =
            damaged_manifest::find_parked(&*disk, &mut state).map_err(failed("look at parked objects"))?;
        if recovered.manifest_damaged || unread_end.is_some() || parked {
            // No note may be left that says that these were released.
            state.released.extend(held_by_parked(&state));
            recovered.lost = lost_ranges(&found, &state);
        }
    }
    judge_damage(&recovered.lost, stop)?;
    if misses {
        damaged_manifest::judge_end(number, unread_end, stop, &mut recovered)?;
    }
    set_aside(&*disk, &state, recovered.manifest_damaged).map_err(failed("set parked objects aside"))?;

    // Positions of writes that a crash took away are given again: to whom it was known then.
    let lost = recovered.lost.iter().map(|range| range.last);
    let held = found.iter().map(|found| found.span.1).chain(lost).max().unwrap_or(0);
    let next_position = state.next_position.max(held + 1).max(1);
    state.clamp_destinations(next_position);
    let newest = found.iter().map(|found| found.newest).max().unwrap_or_default();
    // A clock may have gone back behind days that only the manifest knows: of frames that rotted the counts alone.
    let known = state.cursors.keys().map(|batch| batch.day).chain(state.days.keys().map(|place| place.day));
    let known = known.chain(state.ledger.newest_day());
    let newest_day = known.chain([newest.max(clock.wall()).day()]).max();
    if recovered.manifest_damaged || (number == 0 && !adopted.is_empty()) {
        state.days_unsure = state.days_unsure.max(newest_day);
    }
    state.ledger.note_losses(newest_day);
    if recovered.manifest_damaged || parked {
        // Notes are missing that tallies would have been made by, and the next start finds a manifest that can be read.
        state.ledger.doubt_through = state.ledger.doubt_through.max(newest_day);
    }
    let begin = || {
        let (disk, bytes) = (Arc::clone(&disk), options.manifest_bytes);
        Manifest::begin_of(disk, ident.spool_id, number + 1, state.clone(), bytes)
    };
    let manifest = with_room(&*disk, begin).map_err(failed("begin a manifest"))?;
    // From here on the state is durable, and what it does not need can go.
    damaged_manifest::drop_copies(&*disk, &copies).map_err(failed("set copies of segments aside"))?;
    tidy(&*disk, &manifest.state()).map_err(failed("remove leftovers"))?;
    capped.look();
    let shared = Arc::new(Shared::new(capped, clock, metrics, ident, options, manifest));
    say_cap(&shared);
    let mut notes: Vec<Note> = recovered.lost.iter().map(|range| Note::Lost(*range)).collect();
    notes.extend(unused.iter().map(|found| Note::Released { number: found.number, positions: None }));
    notes.extend(gone.into_iter().map(|number| Note::Released { number, positions: None }));
    if !notes.is_empty() {
        shared.note(notes).map_err(|_| OpenError::Stopped)?;
    }
    for found in &unused {
        keep_as_spare(&*shared.disk, found.number).map_err(failed("set an unused segment aside"))?;
    }

    let seen_files = restore_seen_files(&shared).map_err(failed("read fingerprints"))?;
    let mut seen = Seen::new(shared.options.dedupe_max, shared.options.dedupe_window);
    recovered.clock_behind = shared.clock.wall().0 < newest.0 - CLOCK_BEHIND_MS;
    let seen_counts =
        fill_seen(&shared, &mut seen, &seen_files, &found).map_err(failed("read fingerprints"))?;

    let ledger = shared.state().ledger.clone();
    lock(&shared.index).ledger = ledger;
    let last = found.pop();
    restore_closed(&shared, &found, &seen_files);
    recovered.segments = found.len() + usize::from(last.is_some());
    let open = begin_segment(&shared, last).map_err(failed("copy the last segment"))?;
    tidy_parked(&shared).map_err(failed("tidy parked objects"))?;
    // Some may have been given up for room.
    let spares = usable_spares(&shared).map_err(failed("list released segments"))?;
    let mut housekeeper = Housekeeper::new(Arc::clone(&shared), spares, seen_counts);
    let holes = restore_batches(&shared).map_err(failed("read the index"))?;
    restore_parked(&shared);
    restore_ledger(&shared, holes || misses || recovered.unreadable.is_some(), next_position);
    let index = lock(&shared.index);
    recovered.frames = index.batches.values().map(|batch| batch.open_frames).sum();
    drop(index);
    {
        let mut manifest = lock(&shared.manifest);
        recovered.seals = shared.state().seals.len();
        manifest.prune(keep_cursors_from(shared.clock.wall()), oldest_position(&shared));
    }
    let writer = Writer::new(Arc::clone(&shared), open, seen, next_position);
    housekeeper.pass().map_err(|_| OpenError::Stopped)?;
    Ok(Opened { shared, writer, housekeeper, recovered })
}

/// Logs a cap that is the disk's, and segments that are shorter for it.
fn say_cap(shared: &Shared) {
    let (configured, cap) = (shared.options.max_bytes, shared.capped.cap());
    if shared.capped.is_smaller_than_configured() {
        tracing::warn!(
            configured,
            cap,
            segment_bytes = shared.segment_bytes,
            "the disk can hold less than spool.max_bytes: what it can hold is the cap, in bytes"
        );
    }
}

fn judge_damage(lost: &[Range], stop: bool) -> Result<(), OpenError> {
    let count = lost.iter().map(|range| range.last - range.first + 1).sum();
    for range in lost {
        tracing::error!(
            first = range.first,
            last = range.last,
            "the spool is damaged: these positions can no longer be read; `forebay spool verify` tells more"
        );
    }
    match lost.first() {
        Some(first) if stop => Err(OpenError::Damaged { first: first.first, last: first.last, count }),
        _ => Ok(()),
    }
}
