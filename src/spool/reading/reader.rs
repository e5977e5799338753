//! Reads a batch's frames back, in order, with at most one piece of a segment in memory.

use std::cell::Cell;
use std::io;

use crate::batch::BatchKey;
use crate::disk::{DiskFile, if_there, read_sound};
use crate::log::frame::Salt;
use crate::log::{Go, Range, Read, Visit};
use crate::spool::format::runs::{Run, Runs, ScannedRuns, Stretch};
use crate::spool::format::scan::{FoundBlock, Frames, Item};
use crate::spool::format::segment::{index_name, segment_name};
use crate::spool::format::segment_index;
use crate::spool::shared::{Shared, lock};

/// Bytes read from a segment at first: measurements want a few lines, each elsewhere. The next reads are twice as long
/// each time.
const FIRST_BYTES: usize = 32 * 1_024;
/// Bytes read from a segment at a time, at most. Longer runs are read in pieces.
const READ_BYTES: usize = 512 * 1_024;
/// Short runs within this many bytes are read together.
const TOGETHER_BYTES: u64 = 128 * 1_024;
/// Maximum gap between two runs read together, in bytes. Copying a longer gap costs more than another read.
const GAP_BYTES: u64 = 8 * 1_024;

/// The longest buffer that a thread keeps for its next read.
const KEPT_BYTES: usize = 128 * 1_024;

thread_local! {
    /// The buffer of the thread's last read. New memory would cost more than a short read.
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Passes the durable frames of `key` with `after < position <= through` to `visit`, in order.
/// Errors: the disk's error, the error of `visit`, or [`CacheDamaged`](crate::spool::CacheDamaged) in a cache.
pub(in crate::spool) fn read(
    shared: &Shared,
    key: &BatchKey,
    after: u64,
    through: u64,
    visit: &mut Visit<'_>,
) -> io::Result<()> {
    let mut buffer = BUFFER.take();
    let read = read_with(&mut buffer, shared, key, (after, through), visit);
    if buffer.len() <= KEPT_BYTES {
        BUFFER.set(buffer);
    }
    read
}

fn read_with(
    buffer: &mut Vec<u8>,
    shared: &Shared,
    key: &BatchKey,
    (after, through): (u64, u64),
    visit: &mut Visit<'_>,
) -> io::Result<()> {
    let stretches: Vec<Stretch> = {
        let index = lock(&shared.index);
        let Some(batch) = index.batches.get(key) else { return Ok(()) };
        batch
            .stretches
            .iter()
            .filter(|stretch| stretch.last > after && stretch.first <= through)
            .cloned()
            .collect()
    };
    let mut most = FIRST_BYTES;
    for stretch in stretches {
        let Places { runs, lost } = runs_of(shared, key, &stretch)?;
        let file = shared.disk.open(&segment_name(stretch.segment))?;
        let mut lost = lost.into_iter().filter_map(|range| range.within(after + 1, through)).peekable();
        let runs: Vec<Run> =
            runs.into_iter().filter(|run| run.last() > after && run.first <= through).collect();
        let mut piece = Piece { most, ..Piece::of(&*file, buffer) };
        for (index, run) in runs.iter().enumerate() {
            while let Some(range) = lost.next_if(|range| range.first < run.first) {
                if visit(Read::Lost(range))? == Go::Stop {
                    return Ok(());
                }
            }
            piece.read_together(runs.get(index..).unwrap_or(&[]))?;
            let salt = shared.salt(stretch.segment);
            let on_damage = || damaged(shared, stretch.segment);
            if read_run(&mut piece, salt, *run, (after, through), &on_damage, visit)? == Go::Stop {
                return Ok(());
            }
        }
        most = piece.most;
        for range in lost {
            if visit(Read::Lost(range))? == Go::Stop {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Where a stretch's frames are, and positions of its segment that cannot be read. Some of these positions
/// belong to the stretch.
pub(in crate::spool) struct Places {
    pub(in crate::spool) runs: Vec<Run>,
    lost: Vec<Range>,
}

/// Finds the runs of a stretch.
pub(in crate::spool) fn runs_of(shared: &Shared, key: &BatchKey, stretch: &Stretch) -> io::Result<Places> {
    let (offset, count) = match &stretch.runs {
        Runs::Open(runs) => return Ok(Places { runs: runs.clone(), lost: Vec::new() }),
        Runs::File { offset, count } => (*offset, *count),
    };
    let read = shared.disk.open(&index_name(stretch.segment)).and_then(|file| {
        segment_index::read_runs(&*file, shared.salt(stretch.segment), offset, count, stretch)
    });
    match if_there(read)?.flatten() {
        Some(runs) => Ok(Places { runs, lost: Vec::new() }),
        None => rebuild_runs(shared, key, stretch),
    }
}

/// Finds the runs by a scan of the segment, because its index file cannot be used. If the scan finds fewer
/// frames than expected, the missing ones are in the ranges that cannot be read.
/// Errors: as [`read`].
fn rebuild_runs(shared: &Shared, key: &BatchKey, stretch: &Stretch) -> io::Result<Places> {
    tracing::warn!(
        segment = stretch.segment,
        batch = %key,
        "a segment's index is damaged; its frames are scanned instead"
    );
    let file = shared.disk.open(&segment_name(stretch.segment))?;
    let mut scanned = ScannedRuns::default();
    let blocks =
        crate::spool::format::scan::scan(&*file, shared.salt(stretch.segment), &mut |offset, frame| {
            // Frames of the batch before the stretch are released.
            if (stretch.first..=stretch.last).contains(&frame.position) {
                scanned.take(offset, frame);
            }
        })?;
    let runs = scanned.runs.remove(key).map(|(_, runs)| runs).unwrap_or_default();
    let frames: u64 = runs.iter().map(|run| u64::from(run.frames)).sum();
    if frames >= stretch.frames {
        return Ok(Places { runs, lost: Vec::new() });
    }
    damaged(shared, stretch.segment)?;
    Ok(Places { runs, lost: lost_positions(&blocks, stretch) })
}

/// The positions of a stretch that no sound frame of these blocks has: those of damaged frames, and the gaps
/// between blocks.
fn lost_positions(blocks: &[FoundBlock], stretch: &Stretch) -> Vec<Range> {
    let (mut lost, mut next) = (Vec::new(), stretch.first);
    for block in blocks {
        lost.extend(Range::between(next, block.header.first_position));
        lost.extend(&block.lost);
        next = next.max(block.last_position() + 1);
    }
    lost.extend(Range::between(next, stretch.last + 1));
    lost.into_iter().filter_map(|range| range.within(stretch.first, stretch.last)).collect()
}

/// The piece of a segment that is in memory. Its buffer is reused.
pub(super) struct Piece<'f> {
    file: &'f dyn DiskFile,
    at: u64,
    len: usize,
    buffer: &'f mut Vec<u8>,
    /// Bytes of the next read of a long run.
    most: usize,
}

impl<'f> Piece<'f> {
    /// Nothing of a file yet.
    pub(super) fn of(file: &'f dyn DiskFile, buffer: &'f mut Vec<u8>) -> Self {
        Self { file, at: 0, len: 0, buffer, most: READ_BYTES }
    }

    /// The `want` bytes from `offset` on, or fewer at the end of the segment.
    fn bytes(&mut self, offset: u64, want: usize) -> io::Result<&[u8]> {
        if !self.holds(offset, want as u64) {
            if self.buffer.len() < want {
                self.buffer.resize(want, 0);
            }
            let into = self.buffer.get_mut(..want).unwrap_or_default();
            (self.at, self.len) = (offset, 0);
            self.len = read_sound(self.file, into, offset)?;
            self.most = self.most.saturating_mul(2).min(READ_BYTES);
        }
        let from = usize::try_from(offset - self.at).unwrap_or(usize::MAX);
        let end = from.saturating_add(want).min(self.len);
        Ok(self.buffer.get(from..end).unwrap_or_default())
    }

    fn holds(&self, offset: u64, len: u64) -> bool {
        self.at <= offset && offset + len <= self.at + self.len as u64
    }

    /// Reads the first of `runs` and those close after it, unless the piece already holds the first. The
    /// bytes between durable runs no longer change.
    fn read_together(&mut self, runs: &[Run]) -> io::Result<()> {
        let Some((first, others)) = runs.split_first() else { return Ok(()) };
        let begin = u64::from(first.offset);
        if self.holds(begin, u64::from(first.len)) {
            return Ok(());
        }
        let mut end = begin + u64::from(first.len);
        let most = TOGETHER_BYTES.min(self.most as u64);
        for run in others {
            let (from, to) = (u64::from(run.offset), u64::from(run.offset) + u64::from(run.len));
            if from < end || from - end > GAP_BYTES || to - begin > most {
                break;
            }
            end = to;
        }
        if end - begin <= most {
            self.bytes(begin, usize::try_from(end - begin).unwrap_or(0))?;
        }
        Ok(())
    }
}

/// Passes the frames of a run with `after < position <= through`, and calls `on_damage` before each loss among
/// them.
/// Errors: the disk's error, or that of `on_damage` or `visit`.
pub(super) fn read_run(
    piece: &mut Piece<'_>,
    salt: Salt,
    run: Run,
    (after, through): (u64, u64),
    on_damage: &dyn Fn() -> io::Result<()>,
    visit: &mut Visit<'_>,
) -> io::Result<Go> {
    let (mut offset, mut next) = (u64::from(run.offset), run.first);
    let end = offset + u64::from(run.len);
    let mut size = piece.most;
    while offset < end && next <= run.last() {
        let rest = usize::try_from(end - offset).unwrap_or(usize::MAX);
        let want = if piece.holds(offset, end - offset) { rest } else { rest.min(size) };
        let bytes = piece.bytes(offset, want)?;
        let whole = offset + want as u64 == end;
        let (mut used, mut lost) = (0, None);
        for item in Frames::of_run(bytes, next, run.last() + 1 - next, salt) {
            match item {
                Item::Frame { offset, frame } => {
                    used = offset + frame.stored_len();
                    next = frame.position + 1;
                    if frame.position <= after {
                        continue;
                    }
                    if frame.position > through || visit(Read::Frame(frame))? == Go::Stop {
                        return Ok(Go::Stop);
                    }
                }
                Item::Lost(range) if range.last < run.last() || whole => lost = Some(range),
                // This is not damage: the end of the piece cuts the frame off.
                Item::Lost(_) => break,
            }
            if let Some(range) = lost.take() {
                on_damage()?;
                next = range.last + 1;
                if range.last > after && visit(Read::Lost(range))? == Go::Stop {
                    return Ok(Go::Stop);
                }
                if range.last >= run.last() {
                    return Ok(Go::On);
                }
            }
        }
        if used == 0 {
            if whole {
                return Ok(Go::On);
            }
            // A frame is longer than the piece (or damaged), so in the end the rest of the run is read at once.
            size = if size < READ_BYTES { READ_BYTES } else { rest };
            continue;
        }
        offset += used as u64;
        size = piece.most;
    }
    Ok(Go::On)
}

/// Marks a segment as damaged, so that it goes to quarantine when it is released.
/// Errors: [`CacheDamaged`](crate::spool::CacheDamaged): nothing is lost.
fn damaged(shared: &Shared, segment: u64) -> io::Result<()> {
    shared.options.holds.judge(segment)?;
    if let Some(state) = lock(&shared.index).segments.get_mut(&segment) {
        state.damaged = true;
    }
    Ok(())
}
