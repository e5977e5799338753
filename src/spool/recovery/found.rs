//! Segments as they are found on disk: what their indexes or their frames say, and the torn tail of the last.

use std::collections::BTreeSet;
use std::io::{self, IoSlice};
use std::sync::Arc;

use super::{OpenError, failed};
use crate::batch::BatchKey;
use crate::planted::{PlantedBug, planted};
use crate::spool::disk::{Disk, DiskFile, is_no_space, read_sound};
use crate::spool::frame::{Frame, Salt};
use crate::spool::housekeeper::write_zeros;
use crate::spool::ident::Ident;
use crate::spool::index::{Part, Runs};
use crate::spool::ledger::FrameCounts;
use crate::spool::reader::ScannedRuns;
use crate::spool::scan::{FoundBlock, scan_noting};
use crate::spool::segment::{HeaderCheck, SEGMENT_HEADER, check_header, index_name, number_in};
use crate::spool::segment_index::read_directory;
use crate::spool::state::State;
use crate::time::UnixMillis;

/// Where the bytes of the last torn write are kept.
const TORN_TAIL: &str = "quarantine/torn-tail";

/// A segment as it was found.
pub(in crate::spool) struct Found {
    pub(in crate::spool) number: u64,
    salt: Salt,
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) len: u64,
    pub(super) blocks: Vec<FoundBlock>,
    pub(super) parts: Vec<(BatchKey, Part)>,
    /// First and last position, 0 where there are none.
    pub(in crate::spool) span: (u64, u64),
    /// The last position that its blocks say was synced before them, also where they are cut off as torn.
    pub(super) synced: u64,
    pub(super) indexed: bool,
    pub(super) damaged: bool,
    /// The disk could not read some of it.
    pub(super) unreadable: bool,
    pub(super) newest: UnixMillis,
    /// Where a torn last write ended that was cut off; 0 where there was none.
    torn: u64,
    /// What its frames count as that no tally holds.
    pub(super) counts: FrameCounts,
}

impl Found {
    pub(in crate::spool) fn is_damaged(&self) -> bool {
        self.damaged || self.unreadable || self.blocks.iter().any(|block| !block.lost.is_empty())
    }

    /// Writes zeroes over what a torn last write left after the last block: once other segments follow, it would look like
    /// damage.
    pub(super) fn clear_tail(&self) -> io::Result<()> {
        let end = self.blocks.last().map_or(SEGMENT_HEADER, FoundBlock::end);
        write_zeros(&*self.file, end, self.torn.saturating_sub(end))
    }

    /// Forgets the whole frames of a torn last write that was cleared: they were taken in when it was read.
    pub(super) fn forget_torn(&mut self) -> io::Result<()> {
        if self.torn > 0 {
            self.scan()?;
        }
        Ok(())
    }

    /// Reads its frames and takes them in. Returns its blocks.
    fn scan(&mut self) -> io::Result<Vec<FoundBlock>> {
        let mut scanned = ScannedRuns::default();
        let (mut newest, mut counts) =
            (UnixMillis::default(), FrameCounts::behind(self.counts.tallied_through));
        let mut visit = |offset: u64, frame: &Frame<'_>| {
            newest = newest.max(frame.received_at);
            scanned.take(offset, frame);
            counts.take(frame);
        };
        let blocks = scan_noting(&*self.file, self.salt, &mut visit, &mut self.unreadable)?;
        let part = |(key, (part, runs))| (key, Part { segment: self.number, runs: Runs::Open(runs), ..part });
        self.parts = scanned.runs.into_iter().map(part).collect();
        (self.newest, self.counts) = (newest, counts);
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
        let Some(number) = number_in(&name, "wal-", ".seg").filter(|number| state.segments.contains(number))
        else {
            continue;
        };
        all.push(find_segment(disk, ident, &name, (number, len), state)?);
    }
    all.sort_by_key(|found| found.number);
    Ok(all)
}

/// Reads a segment's index, or, where there is none, its frames.
fn find_segment(
    disk: &dyn Disk,
    ident: &Ident,
    name: &str,
    (number, len): (u64, u64),
    state: &State,
) -> Result<Found, OpenError> {
    // Where no tally was ever noted the ledger begins with what is pending, and nothing is counted frame by frame.
    let tallied_through = if state.ledger.began { state.ledger.tallied_through } else { u64::MAX };
    let salt = Salt::new(&ident.spool_id, number);
    let file = disk.open(name).map_err(failed("open a segment"))?;
    let mut header = [0; 64];
    read_sound(&*file, &mut header, 0).map_err(failed("read a segment's header"))?;
    // A damaged header alone hides nothing: every block proves itself.
    let damaged = match check_header(&header, &ident.spool_id, number) {
        HeaderCheck::Good => false,
        HeaderCheck::Bad => true,
        HeaderCheck::Newer(major) => return Err(OpenError::Newer { segment: number, major }),
    };
    let index = match disk.open(&index_name(number)) {
        // A cache: where it cannot be read the frames are.
        Ok(index) => read_directory(&*index, salt, number).unwrap_or_default(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(failed("open a segment's index")(error)),
    };
    let mut found = Found {
        number,
        salt,
        file,
        len,
        blocks: Vec::new(),
        parts: Vec::new(),
        span: (0, 0),
        synced: 0,
        indexed: false,
        damaged,
        unreadable: false,
        newest: UnixMillis::default(),
        torn: 0,
        counts: FrameCounts::behind(tallied_through),
    };
    let tallied = |last: u64| last <= tallied_through;
    if let Some(directory) = index.filter(|directory| directory.first > 0 && tallied(directory.last)) {
        found.span = (directory.first, directory.last);
        found.newest =
            directory.parts.iter().map(|(_, part)| part.first_received_at).max().unwrap_or_default();
        found.parts = directory.parts;
        found.indexed = true;
        return Ok(found);
    }
    found.blocks = found.scan().map_err(failed("read a segment"))?;
    found.synced = found.blocks.iter().map(|block| block.header.durable_position).max().unwrap_or(0);
    found.set_span();
    Ok(found)
}

/// A bad block at the very end of the last segment was never answered: nothing valid was written after it. It is kept in
/// quarantine, and cut off. Returns its bytes. Where the disk cannot read all of the segment nothing is known of its end, and
/// what is before `synced` was synced once: that is damage.
pub(super) fn cut_torn_tail(disk: &dyn Disk, last: Option<&mut Found>, synced: u64) -> io::Result<u64> {
    let Some(last) = last.filter(|last| !last.indexed && !last.unreadable) else { return Ok(0) };
    if planted(PlantedBug::MidLogCutAsTornTail) {
        let follows = |pair: &[FoundBlock]| pair[1].offset == pair[0].end();
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
            tracing::warn!(%error, bytes = len, "a torn last write, which was never answered, is not kept");
            disk.remove(TORN_TAIL)?;
        }
        kept => kept?,
    }
    last.torn = block.end();
    last.blocks.pop();
    last.set_span();
    Ok(len)
}

/// Segments that the manifest names and that are gone: their positions are among the lost.
pub(super) fn missing(state: &State, found: &[Found], unused: &[Found]) -> Vec<u64> {
    let there: BTreeSet<u64> = found.iter().chain(unused).map(|found| found.number).collect();
    let gone: Vec<u64> = state.segments.difference(&there).copied().collect();
    for number in &gone {
        tracing::error!(segment = number, "a spool segment is missing");
    }
    gone
}
