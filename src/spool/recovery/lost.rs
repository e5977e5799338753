//! Which positions are lost: those that no segment holds, and that were neither released nor noted before.

use super::found::Found;
use crate::spool::scan::Range;
use crate::spool::state::State;

/// Positions that no segment holds although they were neither released nor noted as lost before. Where notes cannot be read
/// they may have let go of some that are named here: a hole that is none is named rather than one that is hidden.
pub(super) fn lost_ranges(found: &[Found], state: &State) -> Vec<Range> {
    let mut lost: Vec<Range> = Vec::new();
    let known = Range::merge(state.released.iter().chain(&state.lost).copied());
    // Behind these nothing was written, or nothing that was answered: a block tells what was synced before it.
    let synced = found.iter().map(|found| found.synced + 1).max().unwrap_or(0).max(state.next_position);
    let first = found.iter().map(|found| found.span.0).find(|first| *first > 0).unwrap_or(synced);
    // The first frame that is found need not be the first that there should be.
    let mut next = match state.kept_from {
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
    lost.into_iter().flat_map(|range| without(range, &known)).collect()
}

/// Ranges of which every position is in a parked object: what overlaps has as many frames as there are positions.
pub(super) fn held_by_parked(state: &State) -> Vec<Range> {
    let whole = state.seals.values().filter(|pending| pending.parked.is_some() && pending.amended.is_none());
    let mut seals: Vec<(Range, u64)> = whole
        .map(|pending| (Range { first: pending.seal.first, last: pending.seal.last }, pending.seal.frames))
        .collect();
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

/// What is left of a range without those, which are sorted and apart.
fn without(range: Range, known: &[Range]) -> Vec<Range> {
    let mut left = Vec::new();
    let mut next = range.first;
    for known in known.iter().filter(|known| known.last >= range.first && known.first <= range.last) {
        left.extend(Range::between(next, known.first));
        next = known.last + 1;
    }
    left.extend(Range::between(next, range.last + 1));
    left
}
