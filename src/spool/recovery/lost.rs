//! Which positions are lost: those that no segment holds, and that were neither released nor noted before.

use super::found::Found;
use crate::spool::note::State;
use crate::spool::scan::Range;

/// Positions that no segment holds although they were neither released nor noted as lost before.
pub(super) fn lost_ranges(found: &[Found], state: &State) -> Vec<Range> {
    let mut lost: Vec<Range> = Vec::new();
    let mut next = found.first().map_or(0, |first| first.span.0);
    for segment in found {
        if segment.indexed {
            lost.extend(gap(next, segment.span.0));
            next = segment.span.1 + 1;
            continue;
        }
        for block in &segment.blocks {
            lost.extend(gap(next, block.header.first_position));
            lost.extend(block.lost.iter().copied());
            next = block.last_position() + 1;
        }
    }
    let known = merge(state.released.iter().chain(&state.lost).copied());
    lost.into_iter().flat_map(|range| without(range, &known)).collect()
}

/// What is left of a range without those, which are sorted and apart.
fn without(range: Range, known: &[Range]) -> Vec<Range> {
    let mut left = Vec::new();
    let mut next = range.first;
    for known in known.iter().filter(|known| known.last >= range.first && known.first <= range.last) {
        left.extend(gap(next, known.first));
        next = known.last + 1;
    }
    left.extend(gap(next, range.last + 1));
    left
}

fn gap(next: u64, first: u64) -> Option<Range> {
    (next < first).then(|| Range { first: next, last: first - 1 })
}

/// Joins ranges that touch.
fn merge(ranges: impl Iterator<Item = Range>) -> Vec<Range> {
    let mut sorted: Vec<Range> = ranges.collect();
    sorted.sort();
    let mut merged: Vec<Range> = Vec::new();
    for range in sorted {
        match merged.last_mut() {
            Some(last) if range.first <= last.last + 1 => last.last = last.last.max(range.last),
            _ => merged.push(range),
        }
    }
    merged
}
