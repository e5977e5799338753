//! Segments found on disk: what their indexes or frames show, the torn write at the end of the last one, and
//! how they are added to the index.

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::sync::Arc;

use super::open_error::{OpenError, failed};
use crate::batch::BatchKey;
use crate::disk::{self, Disk, DiskFile, if_there, is_no_space, read_sound};
use crate::log::frame::{Frame, Salt};
use crate::log::notes::counts_of;
use crate::log::{AccountKey, Hour, Row};
use crate::planted_bugs::{PlantedBug, planted};
use crate::spool::format::ident::Ident;
use crate::spool::format::runs::{Runs, ScannedRuns, Stretch};
use crate::spool::format::scan::{FoundBlock, scan_noting};
use crate::spool::format::seen_file::SeenEntries;
use crate::spool::format::segment::{HeaderCheck, SEGMENT_HEADER, check_header, index_name, number_in};
use crate::spool::format::segment_index::read_directory;
use crate::spool::imports::FoundProgress;
use crate::spool::index::SegmentState;
use crate::spool::manifest::state::State;
use crate::spool::shared::{Shared, lock};
use crate::time::UnixMillis;

/// Keeps the bytes of the last torn write.
const TORN_TAIL: &str = "quarantine/torn-tail";

/// Counts frames of a scan that are in no tally yet.
#[derive(Clone, Debug, Default)]
pub(super) struct FrameCounts {
    /// Frames up to this position are counted already.
    pub(super) tallied_through: u64,
    /// Counts by account and hour.
    pub(super) rows: BTreeMap<(AccountKey, Hour), Row>,
    /// The progress of imports.
    pub(super) imports: FoundProgress,
}

impl FrameCounts {
    /// Counts only frames after this position.
    pub(super) fn after(tallied_through: u64) -> Self {
        Self { tallied_through, ..Self::default() }
    }

    /// Counts a frame, unless it is in a tally.
    pub(super) fn count(&mut self, frame: &Frame<'_>) {
        if frame.position <= self.tallied_through {
            return;
        }
        self.imports.take(frame);
        if let (Some(counts), Some(account)) = (counts_of(frame), frame.account()) {
            self.rows.entry((account, Hour::of(frame.received_at))).or_default().add(&counts);
        }
    }
}

/// A segment found on disk.
pub(super) struct Found {
    pub(super) number: u64,
    salt: Salt,
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) len: u64,
    pub(super) blocks: Vec<FoundBlock>,
    pub(super) stretches: Vec<(BatchKey, Stretch)>,
    /// First and last position; zeros if it has no frames.
    pub(super) span: (u64, u64),
    /// The position of the last call or object set that was found; 0 if there is none.
    followed: u64,
    /// The last position that its block headers call durable, including headers of blocks that are cut off as
    /// torn.
    pub(super) synced: u64,
    pub(super) indexed: bool,
    pub(super) damaged: bool,
    /// The disk could not read all of it.
    pub(super) unreadable: bool,
    pub(super) newest: UnixMillis,
    /// The end of the torn write that was cut off; 0 if there was none.
    torn_end: u64,
    /// Counts of its frames that are not yet in a tally.
    pub(super) counts: FrameCounts,
}

impl Found {
    pub(super) fn is_damaged(&self) -> bool {
        self.damaged || self.unreadable || self.blocks.iter().any(|block| !block.lost.is_empty())
    }

    /// No call or object set is after this position. What damaged frames were is unknown.
    pub(super) fn followed_through(&self) -> u64 {
        if self.is_damaged() { self.span.1 } else { self.followed }
    }

    /// Its state once nothing more is written to it.
    pub(super) fn state(&self, seen_kept: bool) -> SegmentState {
        SegmentState {
            len: self.len,
            closed: true,
            seen_kept,
            damaged: self.is_damaged(),
            first: self.span.0,
            last: self.span.1,
            followed_through: self.followed_through(),
            ..SegmentState::default()
        }
    }

    /// Overwrites the torn write after the last block with zeros. Otherwise it would look like damage once
    /// other segments follow.
    pub(super) fn zero_torn_write(&self) -> io::Result<()> {
        let end = self.blocks.last().map_or(SEGMENT_HEADER, FoundBlock::end);
        disk::write_zeros(&*self.file, end, self.torn_end.saturating_sub(end))
    }

    /// Forgets the intact frames of a torn write that was zeroed. The scan had counted them.
    pub(super) fn forget_torn_frames(&mut self) -> io::Result<()> {
        if self.torn_end > 0 {
            self.scan()?;
        }
        Ok(())
    }

    /// Scans the segment for its stretches, counts and newest frame. Returns its blocks.
    fn scan(&mut self) -> io::Result<Vec<FoundBlock>> {
        let mut scanned = ScannedRuns::default();
        let (mut newest, mut counts) =
            (UnixMillis::default(), FrameCounts::after(self.counts.tallied_through));
        let mut visit = |offset: u64, frame: &Frame<'_>| {
            newest = newest.max(frame.received_at);
            scanned.take(offset, frame);
            counts.count(frame);
        };
        let blocks = scan_noting(&*self.file, self.salt, &mut visit, &mut self.unreadable)?;
        let stretch = |(key, (stretch, runs))| {
            (key, Stretch { segment: self.number, runs: Runs::Open(runs), ..stretch })
        };
        self.stretches = scanned.runs.into_iter().map(stretch).collect();
        (self.newest, self.counts) = (newest, counts);
        self.followed = scanned.followed_through;
        Ok(blocks)
    }

    fn set_span(&mut self) {
        self.span = match (self.blocks.first(), self.blocks.last()) {
            (Some(first), Some(last)) => (first.header.first_position, last.last_position()),
            _ => (0, 0),
        };
    }
}

pub(super) fn find_segments(disk: &dyn Disk, ident: &Ident, state: &State) -> Result<Vec<Found>, OpenError> {
    let mut all = Vec::new();
    for (name, len) in disk.list("").map_err(failed("list the directory"))? {
        let Some(number) =
            number_in(&name, "wal-", ".seg").filter(|number| state.files.segments.contains(number))
        else {
            continue;
        };
        all.push(find_segment(disk, ident, &name, (number, len), state)?);
    }
    all.sort_by_key(|found| found.number);
    Ok(all)
}

/// Reads a segment's index. If it has none that is usable, scans its frames.
fn find_segment(
    disk: &dyn Disk,
    ident: &Ident,
    name: &str,
    (number, len): (u64, u64),
    state: &State,
) -> Result<Found, OpenError> {
    // Without a noted tally the ledger begins with the pending frames, so frames are not counted one by one.
    let tallied_through =
        if state.calls.ledger.began { state.calls.ledger.tallied_through } else { u64::MAX };
    let salt = Salt::new(&ident.spool_id, number);
    let file = disk.open(name).map_err(failed("open a segment"))?;
    let mut header = [0; 64];
    read_sound(&*file, &mut header, 0).map_err(failed("read a segment's header"))?;
    // A damaged file header hides no frames: every block has its own checksum.
    let damaged = match check_header(&header, &ident.spool_id, number) {
        HeaderCheck::Good => false,
        HeaderCheck::Bad => true,
        HeaderCheck::Newer(major) => return Err(OpenError::Newer(number, major)),
    };
    let index = if_there(disk.open(&index_name(number))).map_err(failed("open a segment's index"))?;
    // The index is only a cache. If it cannot be read, the frames are scanned.
    let index = index.and_then(|index| read_directory(&*index, salt, number).unwrap_or_default());
    let mut found = Found {
        number,
        salt,
        file,
        len,
        blocks: Vec::new(),
        stretches: Vec::new(),
        span: (0, 0),
        followed: 0,
        synced: 0,
        indexed: false,
        damaged,
        unreadable: false,
        newest: UnixMillis::default(),
        torn_end: 0,
        counts: FrameCounts::after(tallied_through),
    };
    let tallied = |last: u64| last <= tallied_through;
    if let Some(directory) = index.filter(|directory| directory.first > 0 && tallied(directory.last)) {
        found.span = (directory.first, directory.last);
        found.followed = directory.followed_through;
        found.newest = directory
            .stretches
            .iter()
            .map(|(_, stretch)| stretch.first_received_at)
            .max()
            .unwrap_or_default();
        found.stretches = directory.stretches;
        found.indexed = true;
        return Ok(found);
    }
    found.blocks = found.scan().map_err(failed("read a segment"))?;
    found.synced = found.blocks.iter().map(|block| block.header.durable_position).max().unwrap_or(0);
    found.set_span();
    Ok(found)
}

/// Cuts a bad block off the end of the last segment and keeps it in quarantine. Returns its length. Such a
/// block was never acknowledged, because nothing valid was written after it. Two cases are damage instead:
/// the disk cannot read the whole segment, so its end is unknown, or the block's positions are before
/// `synced`, so they were synced once.
pub(super) fn cut_torn_write(disk: &dyn Disk, last: Option<&mut Found>, synced: u64) -> io::Result<u64> {
    let Some(last) = last.filter(|last| !last.indexed && !last.unreadable) else { return Ok(0) };
    if planted(PlantedBug::MidLogCutAsTornTail) {
        let follows = |pair: &[FoundBlock]| matches!(pair, [block, next] if next.offset == block.end());
        let gap = last.blocks.windows(2).position(|pair| !follows(pair)).map(|at| at + 1);
        let bad = last.blocks.iter().position(|block| !block.lost.is_empty());
        last.blocks.truncate(gap.into_iter().chain(bad).min().unwrap_or(usize::MAX));
        last.synced = 0;
        last.set_span();
    }
    let is_torn = |block: &&FoundBlock| !block.lost.is_empty() && block.header.first_position >= synced;
    let Some(block) = last.blocks.last().filter(is_torn) else { return Ok(0) };
    let len = block.end() - block.offset;
    let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
    let read = read_sound(&*last.file, &mut bytes, block.offset)?;
    let keep = || {
        let kept = disk.create(TORN_TAIL)?;
        kept.write_at(&[IoSlice::new(bytes.get(..read).unwrap_or(&[]))], 0)?;
        kept.sync()
    };
    match keep() {
        Err(error) if is_no_space(&error) => {
            tracing::warn!(
                %error,
                bytes = len,
                "the disk is full: a copy of the torn last write is not kept; its calls were never \
                 acknowledged"
            );
            disk.remove(TORN_TAIL)?;
        }
        kept => kept?,
    }
    last.torn_end = block.end();
    last.blocks.pop();
    last.set_span();
    Ok(len)
}

/// Adds closed segments to the index.
pub(super) fn restore_closed(shared: &Shared, found: &[Found], seen_files: &BTreeMap<u64, SeenEntries>) {
    for segment in found {
        let is_known = seen_files.contains_key(&segment.number) || shared.options.dedupe_max == 0;
        let mut index = lock(&shared.index);
        index.segments.insert(segment.number, segment.state(segment.indexed && is_known));
        for ((source, hour), row) in &segment.counts.rows {
            index.ledger.count(source, *hour, row);
        }
        index.imports.take_found(&segment.counts.imports);
        drop(index);
        restore_stretches(shared, &segment.stretches);
    }
}

/// Adds the frames that are not released yet.
pub(super) fn restore_stretches(shared: &Shared, stretches: &[(BatchKey, Stretch)]) {
    let state = shared.state();
    let mut index = lock(&shared.index);
    for (key, stretch) in stretches {
        let cursor = state.calls.cursors.get(key).cloned().unwrap_or_default();
        if stretch.last > cursor.released {
            index.restore(key, stretch.clone(), cursor.sealed);
        }
    }
}
