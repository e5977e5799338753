//! Reads all frames in the order of positions, for a second reader.

use std::io;

use super::reader::{Piece, read_run};
use crate::disk::{DiskFile, if_there};
use crate::log::{Go, Range, Read, ReadThrough, Visit};
use crate::spool::format::runs::Run;
use crate::spool::format::scan::find_block;
use crate::spool::format::segment::{BLOCK_HEADER, SEGMENT_HEADER, segment_name};
use crate::spool::shared::{Shared, lock};

/// A segment with positions that were not read.
struct Unread {
    number: u64,
    first: u64,
    /// Its last durable position.
    last: u64,
}

/// Passes every durable frame after `read_through` to `visit`, in order.
/// Errors: the disk's error, or that of `visit`.
pub(in crate::spool) fn follow(
    shared: &Shared,
    read_through: &mut ReadThrough,
    visit: &mut Visit<'_>,
) -> io::Result<()> {
    let (unread, durable): (Vec<Unread>, u64) = {
        let index = lock(&shared.index);
        let segments = index.segments.iter().filter(|(_, state)| state.last > read_through.through);
        let unread =
            segments.map(|(number, state)| Unread { number: *number, first: state.first, last: state.last });
        (unread.collect(), index.durable_through)
    };
    // Losses inside a segment that still has its file are found when the segment is read.
    let gone = lost_with_files(
        shared,
        &unread,
        Range { first: read_through.through.saturating_add(1), last: durable },
    );
    for segment in unread {
        if pass_lost(&gone, read_through, segment.first, visit)? == Go::Stop {
            return Ok(());
        }
        // One that is missing was not held, and was released in the meantime.
        let Some(file) = if_there(shared.disk.open(&segment_name(segment.number)))? else { continue };
        let mut released = false;
        let go = follow_segment(shared, &*file, &segment, read_through, &mut |read| {
            let Read::Lost(range) = read else { return visit(read) };
            // A segment that is not held may be released and overwritten while it is read.
            released = !lock(&shared.index).segments.contains_key(&segment.number);
            if released {
                return Ok(Go::Stop);
            }
            for lost in unreleased(shared, range) {
                if visit(Read::Lost(lost))? == Go::Stop {
                    return Ok(Go::Stop);
                }
            }
            Ok(Go::On)
        });
        if go? == Go::Stop && !released {
            return Ok(());
        }
    }
    if pass_lost(&gone, read_through, durable.saturating_add(1), visit)? == Go::Stop {
        return Ok(());
    }
    // Other positions behind the last segment belong to frames that were released, or to none.
    read_through.through = read_through.through.max(durable);
    Ok(())
}

/// The positions among `wanted` that were noted as lost and lie in none of the segments: their files are
/// gone.
fn lost_with_files(shared: &Shared, segments: &[Unread], wanted: Range) -> Vec<Range> {
    let state = shared.state();
    if state.calls.lost.is_empty() {
        return Vec::new();
    }
    let there = segments.iter().filter_map(|segment| Range::between(segment.first, segment.last + 1));
    let there = Range::merge(there.chain(state.files.released.iter().copied()));
    let lost = state.calls.lost.iter().filter_map(|lost| lost.range().within(wanted.first, wanted.last));
    Range::merge(lost).into_iter().flat_map(|lost| lost.outside(&there)).collect()
}

/// Passes the lost positions after `read_through` and before `end`.
fn pass_lost(
    lost: &[Range],
    read_through: &mut ReadThrough,
    end: u64,
    visit: &mut Visit<'_>,
) -> io::Result<Go> {
    for range in lost {
        let unpassed = Range::between(range.first.max(read_through.through + 1), end.min(range.last + 1));
        if let Some(range) = unpassed
            && pass(read_through, range.last, Read::Lost(range), visit)? == Go::Stop
        {
            return Ok(Go::Stop);
        }
    }
    Ok(Go::On)
}

/// The parts of a range that were not released. A segment that is continued after a restart may have such a
/// gap: later segments were released before that.
fn unreleased(shared: &Shared, range: Range) -> Vec<Range> {
    let released = Range::merge(shared.state().files.released.iter().copied());
    range.outside(&released)
}

fn follow_segment(
    shared: &Shared,
    file: &dyn DiskFile,
    segment: &Unread,
    read_through: &mut ReadThrough,
    visit: &mut Visit<'_>,
) -> io::Result<Go> {
    let salt = shared.salt(segment.number);
    let (hint, offset) = read_through.hint;
    let mut at = if hint == segment.number { offset } else { SEGMENT_HEADER };
    // Other positions between two segments belong to frames that were released, or to none.
    let mut next = segment.first.max(read_through.through + 1);
    // Unreadable positions are passed as lost, like damaged ones.
    let mut buffer = Vec::new();
    let (mut piece, mut unreadable) = (Piece::of(file, &mut buffer), false);
    while next <= segment.last {
        let Some((offset, header)) = find_block(file, salt, at, &mut unreadable)? else { break };
        let last = header.last_position();
        // Bytes behind the last durable block may be those of a block that is being written.
        if last > segment.last {
            break;
        }
        at = header.end(offset);
        if last < next {
            continue;
        }
        if let Some(lost) = Range::between(next, header.first_position)
            && pass(read_through, lost.last, Read::Lost(lost), visit)? == Go::Stop
        {
            return Ok(Go::Stop);
        }
        let run = Run {
            offset: u32::try_from(offset + BLOCK_HEADER as u64).unwrap_or(u32::MAX),
            len: header.body_len,
            first: header.first_position,
            frames: header.frames,
        };
        let mut passed = |read: Read<'_>| {
            let through = match &read {
                Read::Frame(frame) => frame.position,
                Read::Lost(range) => range.last,
            };
            pass(read_through, through, read, visit)
        };
        let unread = (next - 1, u64::MAX);
        // Losses are passed; what they mean for the segment is decided by those who release it.
        if read_run(&mut piece, salt, run, unread, &|| Ok(()), &mut passed)? == Go::Stop {
            return Ok(Go::Stop);
        }
        next = last + 1;
        read_through.hint = (segment.number, at);
    }
    match Range::between(next, segment.last + 1) {
        Some(lost) => pass(read_through, lost.last, Read::Lost(lost), visit),
        None => Ok(Go::On),
    }
}

fn pass(
    read_through: &mut ReadThrough,
    through: u64,
    read: Read<'_>,
    visit: &mut Visit<'_>,
) -> io::Result<Go> {
    let go = visit(read)?;
    read_through.through = read_through.through.max(through);
    Ok(go)
}
