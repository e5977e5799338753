//! Phase 3: the losses. Compares the frames that the notes require with those that the segments hold.

use std::collections::BTreeSet;

use super::damaged_manifest::find_unnoted_parked;
use super::found::Found;
use super::notes::Notes;
use super::open_error::{OpenError, failed};
use super::segments::Segments;
use crate::disk::Disk;
use crate::log::{Lost, Range};
use crate::spool::manifest::state::State;

/// Losses, and what the search for them found.
pub(super) struct Losses {
    /// Positions that are in no segment, and whose absence no note explains.
    pub(super) lost: Vec<Range>,
    /// Segments that a note names and that are missing. Their positions are among the lost.
    pub(super) missing_segments: Vec<u64>,
    /// Whether frames or segments are missing.
    pub(super) any_missing: bool,
    /// Whether a parked file was found whose note cannot be read.
    pub(super) parked_file_found: bool,
}

impl Losses {
    /// Compares notes and segments. Marks `notes` as damaged if losses show it, and adds parked files that
    /// are found. With `stop`, any loss is an error.
    pub(super) fn find(
        disk: &dyn Disk,
        notes: &mut Notes,
        segments: &Segments,
        stop: bool,
    ) -> Result<Self, OpenError> {
        let mut lost = lost_ranges(&segments.used, &notes.state);
        let missing_segments = missing_segments(&notes.state, segments);
        let any_missing = !missing_segments.is_empty() || !lost.is_empty();
        let mut parked_file_found = false;
        if notes.damaged || any_missing {
            parked_file_found =
                find_unnoted_parked(disk, &mut notes.state).map_err(failed("check parked files"))?;
            if notes.damaged || notes.unread_end.is_some() || parked_file_found {
                // The note that released the frames of a parked object may be among the unreadable ones.
                notes.state.files.released.extend(ranges_held_by_parked(&notes.state));
                lost = lost_ranges(&segments.used, &notes.state);
            }
        }
        report_losses(&lost, stop)?;
        if any_missing {
            notes.treat_end_as_damaged(stop)?;
        }
        Ok(Self { lost, missing_segments, any_missing, parked_file_found })
    }
}

/// Logs every lost range. With `stop`, the first one is returned as an error.
fn report_losses(lost: &[Range], stop: bool) -> Result<(), OpenError> {
    let count = lost.iter().map(|range| range.last - range.first + 1).sum();
    for range in lost {
        tracing::error!(
            first = range.first,
            last = range.last,
            "the spool is damaged: these positions can no longer be read; `forebay spool verify SPOOL` lists \
             the damage, with Forebay stopped"
        );
    }
    match lost.first() {
        Some(first) if stop => Err(OpenError::Damaged { first: first.first, last: first.last, count }),
        _ => Ok(()),
    }
}

/// Segments that the notes name and that are missing.
fn missing_segments(state: &State, segments: &Segments) -> Vec<u64> {
    let present: BTreeSet<u64> =
        segments.used.iter().chain(&segments.unused).map(|found| found.number).collect();
    let missing: Vec<u64> = state.files.segments.difference(&present).copied().collect();
    for number in &missing {
        tracing::error!(segment = number, "a spool segment is missing");
    }
    missing
}

/// Positions that no segment holds, and that were neither released nor noted as lost before. Unreadable notes
/// may have released some of them: naming too many positions is safer than hiding one.
fn lost_ranges(found: &[Found], state: &State) -> Vec<Range> {
    let mut lost: Vec<Range> = Vec::new();
    let known =
        Range::merge(state.files.released.iter().copied().chain(state.calls.lost.iter().map(Lost::range)));
    // Positions from here on were never written, or never acknowledged. Each block states which positions
    // were synced before it.
    let synced = found.iter().map(|found| found.synced + 1).max().unwrap_or(0).max(state.calls.next_position);
    let first = found.iter().map(|found| found.span.0).find(|first| *first > 0).unwrap_or(synced);
    // The first frame found may not be the first one required.
    let mut next = match state.files.kept_from {
        kept_from if kept_from > 0 => kept_from.min(first),
        _ => first,
    };
    for segment in found {
        if segment.indexed {
            lost.extend(Range::between(next, segment.span.0));
            next = segment.span.1 + 1;
            continue;
        }
        for block in &segment.blocks {
            lost.extend(Range::between(next, block.header.first_position));
            lost.extend(block.lost.iter().copied());
            next = block.last_position() + 1;
        }
    }
    lost.extend(Range::between(next, synced));
    lost.into_iter().flat_map(|range| range.outside(&known)).collect()
}

/// Ranges whose positions are all in parked objects: the seals of such a range have as many frames as it has
/// positions.
fn ranges_held_by_parked(state: &State) -> Vec<Range> {
    let whole =
        state.calls.seals.values().filter(|pending| pending.parked.is_some() && pending.amended.is_none());
    let mut seals: Vec<(Range, u64)> =
        whole.map(|pending| (pending.seal.range(), pending.seal.frames)).collect();
    seals.sort();
    let mut held: Vec<(Range, u64)> = Vec::new();
    for (range, frames) in seals {
        match held.last_mut() {
            Some((before, sum)) if range.first <= before.last => {
                before.last = before.last.max(range.last);
                *sum = sum.saturating_add(frames);
            }
            _ => held.push((range, frames)),
        }
    }
    held.retain(|(range, frames)| range.last.checked_sub(range.first) == frames.checked_sub(1));
    held.into_iter().map(|(range, _)| range).collect()
}
