//! The segment that this process begins, and the last process's frames that are copied into it.

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::found::Found;
use super::restore::{restore_closed, restore_parts};
use super::room::with_room;
use crate::batch::BatchKey;
use crate::spool::disk::{self, DiskFile, is_no_space, read_sound};
use crate::spool::frame::{self, Salt};
use crate::spool::housekeeper::write_zeros;
use crate::spool::index::{Part, Runs, SegmentState};
use crate::spool::ledger::FrameCounts;
use crate::spool::note::Note;
use crate::spool::reader::ScannedRuns;
use crate::spool::scan::{FoundBlock, Frames, Item};
use crate::spool::segment::{BLOCK_HEADER, Block, SEGMENT_HEADER, encode_header, seen_name, segment_name};
use crate::spool::shared::{Shared, lock};
use crate::spool::writer::OpenSegment;

/// Begins the segment that this process writes to. Where the last process left frames in its open segment they are copied:
/// a page cache may show bytes that a failed sync never stored, and only a new write and sync makes sure.
///
/// `None` where the disk has no space: the frames stay where they are, are written there once more, and calls are refused
/// until deliveries make room for a segment.
pub(super) fn begin_segment(shared: &Shared, last: Option<Found>) -> io::Result<Option<OpenSegment>> {
    let number = shared.state().next_segment;
    let name = segment_name(number);
    let needed = last.as_ref().map_or(0, |last| last.blocks.last().map_or(0, FoundBlock::end));
    let len = shared.segment_bytes.max(needed);
    // A closed last segment stays as it is; only its successor is needed.
    let copied = last.as_ref().filter(|last| !last.indexed);
    let written = with_room(&*shared.disk, || {
        let written = write_segment(shared, copied, number, len)?;
        // xfs may have no space for a name.
        shared.disk.rename(&disk::temporary_name(&name), &name)?;
        Ok(written)
    });
    let (file, Copied { end, parts, counts }) = match written {
        Err(error) if is_no_space(&error) => {
            shared.disk.remove(&disk::temporary_name(&name))?;
            shared.disk_full.store(true, Ordering::Release);
            shared.set_next(|next| (next.no_space, next.wanted) = (true, true));
            tracing::warn!(%error, "there is no space for a segment: calls are refused until deliveries free some");
            stay_in_place(shared, last)?;
            return Ok(None);
        }
        written => written?,
    };
    disk::sync_name(&*shared.disk, &name)?;
    let note = match copied {
        Some(last) => Note::Replaced { old: last.number, new: number },
        None => Note::Segment { number },
    };
    shared.note(vec![note]).map_err(io::Error::other)?;
    let len = file.len()?;
    let mut index = lock(&shared.index);
    let state = index.segments.entry(number).or_default();
    state.len = len;
    if let Some(last) = copied {
        (state.first, state.last) = last.span;
    }
    for ((source, hour), row) in &counts.rows {
        index.ledger.count(source, *hour, row);
    }
    drop(index);
    // In the order of segments.
    if copied.is_some() {
        restore_parts(shared, &parts);
    }
    settle_last(shared, last, number)?;
    Ok(Some(OpenSegment { number, file, len, end }))
}

/// Makes the frames of the last segment durable where they are, and closes it. What is stored of them is the same afterwards,
/// whatever a crash keeps of the write; what only the page cache holds is stored by it.
fn stay_in_place(shared: &Shared, last: Option<Found>) -> io::Result<()> {
    let Some(mut last) = last else { return Ok(()) };
    if last.indexed {
        return settle_indexed(shared, last);
    }
    for block in &last.blocks {
        let mut bytes = vec![0; usize::try_from(block.end() - block.offset).map_err(io::Error::other)?];
        let read = read_sound(&*last.file, &mut bytes, block.offset)?;
        // What cannot be read any more is left as it is.
        if read == bytes.len() && block.lost.is_empty() {
            last.file.write_at(&[IoSlice::new(&bytes)], block.offset)?;
        }
    }
    last.clear_tail()?;
    last.file.sync()?;
    last.forget_torn()?;
    restore_closed(shared, &[last], &BTreeMap::new());
    Ok(())
}

/// What was copied into a segment: where its blocks end, what they hold, and what of it no tally holds.
struct Copied {
    end: u64,
    parts: Vec<(BatchKey, Part)>,
    counts: FrameCounts,
}

/// Writes a segment of `len` bytes, or as long as what is copied into it, under its temporary name.
fn write_segment(
    shared: &Shared,
    copied: Option<&Found>,
    number: u64,
    len: u64,
) -> io::Result<(Arc<dyn DiskFile>, Copied)> {
    let file = shared.disk.create(&disk::temporary_name(&segment_name(number)))?;
    file.write_at(&[IoSlice::new(&encode_header(&shared.ident.spool_id, number))], 0)?;
    write_zeros(&*file, 64, SEGMENT_HEADER - 64)?;
    let copied = match copied {
        Some(last) => copy_frames(shared, last, &*file, number)?,
        None => Copied { end: SEGMENT_HEADER, parts: Vec::new(), counts: FrameCounts::default() },
    };
    write_zeros(&*file, copied.end, len.saturating_sub(copied.end))?;
    file.sync()?;
    Ok((file, copied))
}

/// Writes the sound frames of `last` into `file`, restamped. Returns where they end, and what they are.
fn copy_frames(shared: &Shared, last: &Found, file: &dyn DiskFile, number: u64) -> io::Result<Copied> {
    let (old, new) = (shared.salt(last.number), shared.salt(number));
    let mut end = SEGMENT_HEADER;
    // What its torn end held was counted when it was found, and is not copied.
    let counts = FrameCounts::behind(last.counts.tallied_through);
    let mut copied = (ScannedRuns::default(), counts);
    for block in &last.blocks {
        let mut body = vec![0; block.header.body_len as usize];
        let read = read_sound(&*last.file, &mut body, block.offset + BLOCK_HEADER as u64)?;
        body.truncate(read);
        let runs = sound_runs(&body, block.header, old);
        let lost: u64 = block.lost.iter().map(|range| range.last - range.first + 1).sum();
        if runs.iter().map(|(.., count)| u64::from(*count)).sum::<u64>() + lost
            != u64::from(block.header.frames)
        {
            // Else they would be gone with the old segment, and no note would name them.
            return Err(io::Error::other(
                "frames that were sound when they were looked at cannot be read any more",
            ));
        }
        for run in runs {
            end = copy_run(&mut body, run, (block, new), file, end, &mut copied)?;
        }
    }
    let part = |(key, (part, runs))| (key, Part { segment: number, runs: Runs::Open(runs), ..part });
    let (scanned, counts) = copied;
    Ok(Copied { end, parts: scanned.runs.into_iter().map(part).collect(), counts })
}

/// Frames one behind the other without a hole: where in the body, the first position, how many.
type SoundRun = (std::ops::Range<usize>, u64, u32);

fn sound_runs(body: &[u8], header: Block, salt: Salt) -> Vec<SoundRun> {
    let mut runs: Vec<SoundRun> = Vec::new();
    let mut broken = true;
    for item in Frames::new(body, header, salt) {
        match item {
            Item::Lost(_) => broken = true,
            Item::Frame { offset, frame } => match runs.last_mut() {
                Some((bytes, _, count)) if !broken => {
                    bytes.end = offset + frame.len();
                    *count += 1;
                }
                _ => {
                    runs.push((offset..offset + frame.len(), frame.position, 1));
                    broken = false;
                }
            },
        }
    }
    runs
}

fn copy_run(
    body: &mut [u8],
    (bytes, first, count): SoundRun,
    (block, salt): (&FoundBlock, Salt),
    file: &dyn DiskFile,
    at: u64,
    (scanned, counts): &mut (ScannedRuns, FrameCounts),
) -> io::Result<u64> {
    let Some(frames) = body.get_mut(bytes) else { return Ok(at) };
    let header = Block {
        body_len: u32::try_from(frames.len()).unwrap_or(u32::MAX),
        frames: count,
        first_position: first,
        durable_position: block.header.durable_position,
    };
    let mut from = 0;
    for position in first..first + u64::from(count) {
        let Some(len) = frames.get(from..).and_then(frame::length) else { break };
        if let Some(frame) = frames.get_mut(from..from + len) {
            frame::stamp(frame, position, salt);
            let offset = at + (BLOCK_HEADER + from) as u64;
            if let Some(fields) = frame::fields(frame) {
                scanned.take(offset, &fields);
                counts.take(&fields);
            }
        }
        from += len;
    }
    file.write_at(&[IoSlice::new(&header.encode(salt)), IoSlice::new(frames)], at)?;
    Ok(at + (BLOCK_HEADER + frames.len()) as u64)
}

/// A last segment that was closed stays as it is.
fn settle_indexed(shared: &Shared, last: Found) -> io::Result<()> {
    let seen_kept = shared.disk.open(&seen_name(last.number)).is_ok();
    let state = SegmentState {
        len: last.len,
        closed: true,
        seen_kept,
        damaged: last.damaged,
        pending: 0,
        first: last.span.0,
        last: last.span.1,
        fingerprints: None,
    };
    lock(&shared.index).segments.insert(last.number, state);
    restore_parts(shared, &last.parts);
    Ok(())
}

/// What becomes of the last process's open segment once its frames stand in segment `new`.
fn settle_last(shared: &Shared, last: Option<Found>, new: u64) -> io::Result<()> {
    let Some(last) = last else { return Ok(()) };
    if last.indexed {
        return settle_indexed(shared, last);
    }
    let damaged = last.is_damaged();
    let name = segment_name(last.number);
    tracing::debug!(old = last.number, new, "the last segment's frames were copied into a new one");
    if damaged { shared.disk.rename(&name, &format!("quarantine/{name}")) } else { shared.disk.remove(&name) }
}
