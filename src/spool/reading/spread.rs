//! Maps bytes of a batch's lines to positions, for callers that read a few lines spread over the batch.

use std::io;

use crate::log::OpenBatch;
use crate::spool::format::runs::{Run, Stretch};
use crate::spool::reading::reader::runs_of;
use crate::spool::shared::Shared;
use crate::spool::shared::lock;

/// Consecutive lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    first: u64,
    last: u64,
    /// Bytes of these lines.
    bytes: u64,
}

/// See [`crate::log::Batches::positions_at`].
pub(crate) fn positions_at(shared: &Shared, batch: &OpenBatch, offsets: &[u64]) -> io::Result<Vec<u64>> {
    let stretches: Vec<Stretch> = {
        let index = lock(&shared.index);
        let Some(known) = index.batches.get(&batch.key) else { return Ok(Vec::new()) };
        known.stretches.iter().filter(|stretch| stretch.last > batch.sealed_through).cloned().collect()
    };
    let (mut found, mut before) = (Vec::new(), 0);
    for stretch in stretches {
        let rest = offsets.get(found.len()..).unwrap_or(&[]);
        let seal_ends_here = stretch.first <= batch.sealed_through;
        if !seal_ends_here && rest.first().is_none_or(|next| *next >= before + stretch.bytes) {
            before += stretch.bytes;
            continue;
        }
        let runs = runs_of(shared, &batch.key, &stretch)?.runs;
        let spans = spans(&stretch, &runs, batch.sealed_through);
        let here: Vec<u64> = rest.iter().map(|offset| offset.saturating_sub(before)).collect();
        found.extend(positions(&spans, &here));
        before += spans.iter().map(|span| span.bytes).sum::<u64>();
    }
    Ok(found)
}

/// The lines of a stretch that are after a seal.
fn spans(stretch: &Stretch, runs: &[Run], sealed_through: u64) -> Vec<Span> {
    // All frames of a batch have the same number of bytes besides their line.
    let all: u64 = runs.iter().map(|run| u64::from(run.len)).sum();
    let of_frame = all.saturating_sub(stretch.bytes) / stretch.frames.max(1);
    let span = |run: &Run| {
        let first = run.first.max(sealed_through + 1);
        let frames = (run.last() + 1).checked_sub(first).filter(|frames| *frames > 0)?;
        let lines = u64::from(run.len).saturating_sub(of_frame * u64::from(run.frames));
        Some(Span { first, last: run.last(), bytes: lines * frames / u64::from(run.frames) })
    };
    runs.iter().filter_map(span).collect()
}

fn positions(spans: &[Span], offsets: &[u64]) -> Vec<u64> {
    let (mut spans, mut before) = (spans.iter().peekable(), 0);
    let mut position = |offset: &u64| {
        while let Some(span) = spans.next_if(|span| before + span.bytes <= *offset) {
            before += span.bytes;
        }
        let span = spans.peek()?;
        let into = u128::from(offset.saturating_sub(before)) * u128::from(span.last - span.first + 1);
        Some(span.first + u64::try_from(into / u128::from(span.bytes.max(1))).unwrap_or(0))
    };
    offsets.iter().map_while(&mut position).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_offsets_map_to_positions() {
        let span = |first, last, bytes| Span { first, last, bytes };
        let spans = [span(11, 20, 1_000), span(101, 104, 4_000), span(200, 200, 10)];
        let check = |offsets: &[u64], expected: &[u64]| {
            assert_eq!(positions(&spans, offsets), expected, "{offsets:?}");
        };
        check(&[0, 99, 100, 999], &[11, 11, 12, 20]);
        check(&[1_000, 1_999, 2_000, 4_999], &[101, 101, 102, 104]);
        check(&[500, 3_000, 5_000, 5_009], &[16, 103, 200, 200]);
        // Offsets after the end have no position.
        check(&[0, 5_010, 9_000], &[11]);
        assert!(positions(&[], &[0]).is_empty());
    }

    #[test]
    fn runs_show_how_long_lines_are() {
        let run = |first, frames, len| Run { offset: 0, len, first, frames };
        // 10 frames with lines of 900 bytes, then 100 with lines of 90, each with 60 further bytes.
        let runs = [run(5, 10, 9_600), run(40, 100, 15_000)];
        let stretch = Stretch {
            segment: 1,
            first: 5,
            last: 139,
            frames: 110,
            bytes: 18_000,
            first_received_at: crate::time::UnixMillis::default(),
            runs: crate::spool::format::runs::Runs::Open(Vec::new()),
        };
        let span = |first, last, bytes| Span { first, last, bytes };
        assert_eq!(spans(&stretch, &runs, 0), [span(5, 14, 9_000), span(40, 139, 9_000)]);
        assert_eq!(spans(&stretch, &runs, 9), [span(10, 14, 4_500), span(40, 139, 9_000)]);
        assert_eq!(spans(&stretch, &runs, 39), [span(40, 139, 9_000)]);
    }
}
