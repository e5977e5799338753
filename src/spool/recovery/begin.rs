//! Begins the segment that this process writes to, with a copy of the frames of the previous open segment.

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::found::{Found, FrameCounts, restore_closed, restore_stretches};
use super::spares::retry_without_spares;
use crate::batch::BatchKey;
use crate::disk::{self, DiskFile, is_no_space, read_sound};
use crate::log::frame::{self, Salt};
use crate::spool::format::runs::{Runs, ScannedRuns, Stretch};
use crate::spool::format::scan::{FoundBlock, Frames, Item};
use crate::spool::format::segment::{
    BLOCK_HEADER, Block, SEGMENT_HEADER, encode_header, seen_name, segment_name,
};
use crate::spool::manifest::FileNote;
use crate::spool::shared::{Shared, lock};
use crate::spool::writing::writer::OpenSegment;

/// Begins the segment that this process writes to. Frames in the previous process's open segment are copied
/// into it: the page cache may show bytes that a failed sync never stored, and only a new write and sync is
/// certain to store them.
///
/// Returns `None` if the disk has no space. The frames then stay in the old segment, where they are rewritten
/// in place, and calls are refused until deliveries free enough space for a segment.
pub(super) fn begin_segment(shared: &Shared, last: Option<Found>) -> io::Result<Option<OpenSegment>> {
    let number = shared.state().files.next_segment;
    let name = segment_name(number);
    let needed = last.as_ref().map_or(0, |last| last.blocks.last().map_or(0, FoundBlock::end));
    let len = shared.segment_bytes.max(needed);
    // If the last segment is closed, its frames are not copied; only a new segment is needed.
    let copied = last.as_ref().filter(|last| !last.indexed);
    let written = retry_without_spares(&*shared.disk, || {
        let written = write_segment(shared, copied, number, len)?;
        // On xfs even a rename may need space.
        shared.disk.rename(&disk::temporary_name(&name), &name)?;
        Ok(written)
    });
    let (file, Copied { end, stretches, counts }) = match written {
        Err(error) if is_no_space(&error) => {
            shared.disk.remove(&disk::temporary_name(&name))?;
            shared.disk_full.store(true, Ordering::Release);
            shared.set_next(|next| (next.no_space, next.wanted) = (true, 1 + next.set_aside));
            tracing::warn!(
                %error,
                "no space for a new segment: calls are refused until deliveries free enough space"
            );
            rewrite_in_place(shared, last)?;
            return Ok(None);
        }
        written => written?,
    };
    disk::sync_name(&*shared.disk, &name)?;
    let note = match copied {
        Some(last) => FileNote::Replaced { old: last.number, new: number },
        None => FileNote::Segment { number },
    };
    shared.note(vec![note]).map_err(io::Error::other)?;
    let len = file.len()?;
    let mut index = lock(&shared.index);
    let state = index.segments.entry(number).or_default();
    state.len = len;
    if let Some(last) = copied {
        (state.first, state.last) = last.span;
        state.followed_through = last.followed_through();
    }
    for ((source, hour), row) in &counts.rows {
        index.ledger.count(source, *hour, row);
    }
    index.imports.take_found(&counts.imports);
    drop(index);
    // Stretches must be restored in the order of their segments.
    if copied.is_some() {
        restore_stretches(shared, &stretches);
    }
    remove_copied_segment(shared, last, number)?;
    Ok(Some(OpenSegment { number, file, len, end }))
}

/// Makes the frames of the last segment durable in place, and closes it. Each block is rewritten with the
/// same bytes, so a crash cannot change what is already stored, and bytes that were only in the page cache
/// become durable.
fn rewrite_in_place(shared: &Shared, last: Option<Found>) -> io::Result<()> {
    let Some(mut last) = last else { return Ok(()) };
    if last.indexed {
        return keep_closed_segment(shared, last);
    }
    for block in &last.blocks {
        let mut bytes = vec![0; usize::try_from(block.end() - block.offset).map_err(io::Error::other)?];
        let read = read_sound(&*last.file, &mut bytes, block.offset)?;
        // A block that cannot be read any more is left unchanged.
        if read == bytes.len() && block.lost.is_empty() {
            last.file.write_at(&[IoSlice::new(&bytes)], block.offset)?;
        }
    }
    last.zero_torn_write()?;
    last.file.sync()?;
    last.forget_torn_frames()?;
    restore_closed(shared, &[last], &BTreeMap::new());
    Ok(())
}

/// The result of copying frames into a segment: where its blocks end, its stretches, and counts that are not
/// yet in a tally.
struct Copied {
    end: u64,
    stretches: Vec<(BatchKey, Stretch)>,
    counts: FrameCounts,
}

/// Writes a segment under its temporary name. It is `len` bytes long, or longer if the copied frames need it.
fn write_segment(
    shared: &Shared,
    copied: Option<&Found>,
    number: u64,
    len: u64,
) -> io::Result<(Arc<dyn DiskFile>, Copied)> {
    let file = shared.disk.create(&disk::temporary_name(&segment_name(number)))?;
    file.write_at(&[IoSlice::new(&encode_header(&shared.ident.spool_id, number))], 0)?;
    disk::write_zeros(&*file, 64, SEGMENT_HEADER - 64)?;
    let copied = match copied {
        Some(last) => copy_frames(shared, last, &*file, number)?,
        None => Copied { end: SEGMENT_HEADER, stretches: Vec::new(), counts: FrameCounts::default() },
    };
    disk::write_zeros(&*file, copied.end, len.saturating_sub(copied.end))?;
    file.sync()?;
    Ok((file, copied))
}

/// Copies the sound frames of `last` into `file`, restamped.
fn copy_frames(shared: &Shared, last: &Found, file: &dyn DiskFile, number: u64) -> io::Result<Copied> {
    let (old, new) = (shared.salt(last.number), shared.salt(number));
    let mut end = SEGMENT_HEADER;
    // Counting starts again, because the scan also counted the frames of the torn write, which are not
    // copied.
    let counts = FrameCounts::after(last.counts.tallied_through);
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
            // Without this error the missing frames would be removed with the old segment, and no note would
            // name them.
            return Err(io::Error::other(
                "frames that this start has already read once can no longer be read",
            ));
        }
        for run in runs {
            end = copy_run(&mut body, run, (block, new), file, end, &mut copied)?;
        }
    }
    let stretch =
        |(key, (stretch, runs))| (key, Stretch { segment: number, runs: Runs::Open(runs), ..stretch });
    let (scanned, counts) = copied;
    Ok(Copied { end, stretches: scanned.runs.into_iter().map(stretch).collect(), counts })
}

/// Consecutive frames without a gap: their bytes in the body, the first position, and the count.
type SoundRun = (std::ops::Range<usize>, u64, u32);

fn sound_runs(body: &[u8], header: Block, salt: Salt) -> Vec<SoundRun> {
    let mut runs: Vec<SoundRun> = Vec::new();
    let mut broken = true;
    for item in Frames::new(body, header, salt) {
        match item {
            Item::Lost(_) => broken = true,
            Item::Frame { offset, frame } => match runs.last_mut() {
                Some((bytes, _, count)) if !broken => {
                    bytes.end = offset + frame.stored_len();
                    *count += 1;
                }
                _ => {
                    runs.push((offset..offset + frame.stored_len(), frame.position, 1));
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
                counts.count(&fields);
            }
        }
        from += len;
    }
    file.write_at(&[IoSlice::new(&header.encode(salt)), IoSlice::new(frames)], at)?;
    Ok(at + (BLOCK_HEADER + frames.len()) as u64)
}

/// Keeps a last segment that was already closed as it is.
fn keep_closed_segment(shared: &Shared, last: Found) -> io::Result<()> {
    let seen_kept = shared.disk.open(&seen_name(last.number)).is_ok();
    lock(&shared.index).segments.insert(last.number, last.state(seen_kept));
    restore_stretches(shared, &last.stretches);
    Ok(())
}

/// Removes the last process's open segment once its frames are in segment `new`. If it is damaged, it goes to
/// quarantine.
fn remove_copied_segment(shared: &Shared, last: Option<Found>, new: u64) -> io::Result<()> {
    let Some(last) = last else { return Ok(()) };
    if last.indexed {
        return keep_closed_segment(shared, last);
    }
    let damaged = last.is_damaged();
    let name = segment_name(last.number);
    tracing::debug!(old = last.number, new, "the last segment's frames were copied into a new one");
    if damaged { shared.disk.rename(&name, &format!("quarantine/{name}")) } else { shared.disk.remove(&name) }
}
