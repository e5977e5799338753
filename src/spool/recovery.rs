//! Opening a spool: what is on disk becomes the state that its frames and notes make.
//!
//! Nothing that was answered is dropped, nothing that is damaged is destroyed, and doing it twice changes nothing more.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSlice};
use std::sync::Arc;

use super::damaged_manifest;
use super::disk::{self, Disk, DiskFile, is_no_space, read_sound};
use super::frame::{self, Salt};
use super::housekeeper::{
    Housekeeper, keep_cursors_from, oldest_position, read_seen, seen_number, write_zeros,
};
use super::ident::{Ident, IdentError};
use super::index::{Part, Runs, SegmentState};
use super::manifest::{self, Manifest, ManifestError};
use super::note::{Note, State};
use super::reader::{self, ScannedRuns};
use super::scan::{FoundBlock, Frames, Item, Range, scan};
use super::seen::Seen;
use super::segment::{
    BLOCK_HEADER, Block, HeaderCheck, SEGMENT_HEADER, check_header, encode_header, index_name, number_in,
    seen_name, segment_name, spare_name,
};
use super::segment_index::read_directory;
use super::shared::{Shared, SpoolOptions, lock};
use super::writer::{OpenSegment, Writer};
use crate::batch::BatchKey;
use crate::metrics::Metrics;
use crate::random::Random;
use crate::time::{Clock, UnixMillis};

/// Why a spool cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The disk says no.
    #[error("open the spool: {what}")]
    Disk {
        /// What was tried.
        what: &'static str,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// Its identity cannot be read.
    #[error(transparent)]
    Ident(#[from] IdentError),
    /// Its manifest cannot be read.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A newer release wrote a segment.
    #[error(
        "segment {segment} was written by a newer release (format {major}); start that release, or drain the spool with it first"
    )]
    Newer {
        /// The segment.
        segment: u64,
        /// Its format.
        major: u16,
    },
    /// Damage was found and the configuration says to stop.
    #[error("the spool has lost {} (positions {first} to {last} first); `spool.on_corruption = \"stop\"` refuses to start: see `forebay spool verify`", frames_text(*.count))]
    Damaged {
        /// First position lost.
        first: u64,
        /// Last position of that range.
        last: u64,
        /// Frames lost in all.
        count: u64,
    },
    /// The spool stopped while it was opened.
    #[error("the spool stopped while it was opened; the log says why")]
    Stopped,
}

fn frames_text(count: u64) -> String {
    if count == 1 { "1 frame".to_owned() } else { format!("{count} frames") }
}

/// What an opening found.
#[derive(Clone, Debug, Default)]
pub struct Recovered {
    /// Segments with frames.
    pub segments: usize,
    /// Frames not yet delivered.
    pub frames: u64,
    /// Batches sealed and not committed.
    pub seals: usize,
    /// Positions lost, found by this opening.
    pub lost: Vec<Range>,
    /// Bytes of never-answered writes that were cut off.
    pub torn_bytes: u64,
    /// Whether the wall clock is more than a day behind the newest frame.
    pub clock_behind: bool,
    /// Whether notes of the manifest could not be read: what they said is done again, and a call may be delivered twice.
    pub manifest_damaged: bool,
}

/// An opened spool, not yet running.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) shared: Arc<Shared>,
    pub(super) writer: Writer,
    pub(super) housekeeper: Housekeeper,
    pub(super) recovered: Recovered,
}

fn failed(what: &'static str) -> impl FnOnce(io::Error) -> OpenError {
    move |cause| OpenError::Disk { what, cause }
}

/// The clock may be this far behind the newest frame without a word.
const CLOCK_BEHIND_MS: i64 = 86_400_000;

/// A segment as it was found.
pub(super) struct Found {
    pub(super) number: u64,
    file: Arc<dyn DiskFile>,
    len: u64,
    blocks: Vec<FoundBlock>,
    parts: Vec<(BatchKey, Part)>,
    /// First and last position, 0 where there are none.
    pub(super) span: (u64, u64),
    indexed: bool,
    damaged: bool,
    newest: UnixMillis,
}

/// Opens the spool on `disk`.
pub(super) fn open(
    disk: Arc<dyn Disk>,
    options: SpoolOptions,
    clock: Arc<dyn Clock>,
    random: &dyn Random,
    metrics: Arc<Metrics>,
) -> Result<Opened, OpenError> {
    let ident = Ident::open(&*disk, random)?;
    let mut recovered = Recovered::default();
    let (number, mut state) = if options.stop_on_corruption {
        manifest::read_newest(&*disk, &ident.spool_id)?.unwrap_or_default()
    } else {
        damaged_manifest::read(&*disk, &ident, &mut recovered)?
    };
    let adopted = damaged_manifest::adopt(&*disk, &ident, &mut state, recovered.manifest_damaged)
        .map_err(failed("look at segments without a note"))?;
    tidy(&*disk, &state, recovered.manifest_damaged).map_err(failed("remove leftovers"))?;
    let mut found = find_segments(&*disk, &ident, &state)?;
    damaged_manifest::drop_copies(&*disk, &mut found, &mut state, &adopted)
        .map_err(failed("set copies of segments aside"))?;
    // Segments behind the last with frames were made ahead and never used.
    let unused = found.split_off(found.iter().rposition(|found| found.span.0 > 0).map_or(0, |last| last + 1));
    recovered.torn_bytes = cut_torn_tail(&*disk, found.last_mut()).map_err(failed("keep a torn tail"))?;
    recovered.lost = lost_ranges(&found, &state);
    judge_damage(&recovered.lost, options.stop_on_corruption)?;

    // Positions of writes that a crash took away are given again: to whom it was known then.
    let held = found.iter().map(|found| found.span.1).max().unwrap_or(0);
    let next_position = state.next_position.max(held + 1).max(1);
    state.clamp_destinations(next_position);
    let begin = || Manifest::begin(Arc::clone(&disk), ident.spool_id, number + 1, state.clone());
    let manifest = with_room(&*disk, begin).map_err(failed("begin a manifest"))?;
    let shared = Arc::new(Shared::new(disk, clock, metrics, ident, options, manifest));
    let mut notes: Vec<Note> = recovered.lost.iter().map(|range| Note::Lost(*range)).collect();
    notes.extend(unused.iter().map(|found| Note::Released { number: found.number, positions: None }));
    notes.extend(missing(&shared, &found, &unused));
    if !notes.is_empty() {
        shared.note(notes).map_err(|_| OpenError::Stopped)?;
    }
    for found in &unused {
        let rename = shared.disk.rename(&segment_name(found.number), &spare_name(found.number));
        rename.map_err(failed("set an unused segment aside"))?;
    }

    let seen_files = restore_seen_files(&shared).map_err(failed("read fingerprints"))?;
    let mut seen = Seen::new(shared.options.dedupe_max, shared.options.dedupe_window);
    let newest = found.iter().map(|found| found.newest).max().unwrap_or_default();
    recovered.clock_behind = shared.clock.wall().0 < newest.0 - CLOCK_BEHIND_MS;
    let seen_counts =
        fill_seen(&shared, &mut seen, &seen_files, &found).map_err(failed("read fingerprints"))?;

    let last = found.pop();
    restore_closed(&shared, &found, &seen_files);
    recovered.segments = found.len() + usize::from(last.is_some());
    let open = begin_segment(&shared, last).map_err(failed("copy the last segment"))?;
    // Some may have been given up for room.
    let mut spares = spares(&*shared.disk).map_err(failed("list released segments"))?;
    spares.retain(|(_, len)| *len == shared.options.segment_bytes);
    let mut housekeeper = Housekeeper::new(Arc::clone(&shared), spares, seen_counts);
    restore_batches(&shared).map_err(failed("read the index"))?;
    restore_parked(&shared);
    let index = lock(&shared.index);
    recovered.frames = index.batches.values().map(|batch| batch.open_frames).sum();
    drop(index);
    {
        let mut manifest = lock(&shared.manifest);
        recovered.seals = manifest.state().seals.len();
        manifest.prune(keep_cursors_from(shared.clock.wall()), oldest_position(&shared));
    }
    let writer = Writer::new(Arc::clone(&shared), open, seen, next_position);
    housekeeper.pass().map_err(|_| OpenError::Stopped)?;
    Ok(Opened { shared, writer, housekeeper, recovered })
}

/// Removes what a crash left behind and nothing needs.
fn tidy(disk: &dyn Disk, state: &State, manifest_damaged: bool) -> io::Result<()> {
    for (name, _) in disk.list("staging")? {
        disk.remove(&format!("staging/{name}"))?;
    }
    for (name, _) in disk.list("parked")? {
        let known = name.strip_suffix(".gz").and_then(|number| number.parse::<u64>().ok());
        let parked = format!("parked/{name}");
        match known.is_some_and(|number| state.seals.contains_key(&number)) {
            true => {}
            // The note of it may be among those that cannot be read.
            false if manifest_damaged => disk.rename(&parked, &format!("quarantine/parked-{name}"))?,
            false => disk.remove(&parked)?,
        }
    }
    for (name, _) in disk.list("")? {
        if name.ends_with(".tmp") {
            disk.remove(&name)?;
        }
        // A segment that the manifest does not name was released, replaced, or never used.
        if let Some(number) =
            number_in(&name, "wal-", ".seg").filter(|number| !state.segments.contains(number))
        {
            disk.remove(&name)?;
            disk.remove(&index_name(number))?;
        }
        if number_in(&name, "wal-", ".idx").is_some_and(|number| !state.segments.contains(&number)) {
            disk.remove(&name)?;
        }
    }
    Ok(())
}

fn find_segments(disk: &dyn Disk, ident: &Ident, state: &State) -> Result<Vec<Found>, OpenError> {
    let mut all = Vec::new();
    for (name, len) in disk.list("").map_err(failed("list the directory"))? {
        let Some(number) = number_in(&name, "wal-", ".seg").filter(|number| state.segments.contains(number))
        else {
            continue;
        };
        all.push(find_segment(disk, ident, &name, number, len)?);
    }
    all.sort_by_key(|found| found.number);
    Ok(all)
}

/// Reads a segment's index, or, where there is none, its frames.
fn find_segment(
    disk: &dyn Disk,
    ident: &Ident,
    name: &str,
    number: u64,
    len: u64,
) -> Result<Found, OpenError> {
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
        file,
        len,
        blocks: Vec::new(),
        parts: Vec::new(),
        span: (0, 0),
        indexed: false,
        damaged,
        newest: UnixMillis::default(),
    };
    if let Some(directory) = index.filter(|directory| directory.first > 0) {
        found.span = (directory.first, directory.last);
        found.newest =
            directory.parts.iter().map(|(_, part)| part.first_received_at).max().unwrap_or_default();
        found.parts = directory.parts;
        found.indexed = true;
        return Ok(found);
    }
    let mut scanned = ScannedRuns::default();
    let mut newest = UnixMillis::default();
    let blocks = scan(&*found.file, salt, &mut |offset, frame| {
        newest = newest.max(frame.received_at);
        scanned.take(offset, frame);
    });
    found.newest = newest;
    found.blocks = blocks.map_err(failed("read a segment"))?;
    found.set_span();
    let part = |(key, (part, runs))| (key, Part { segment: number, runs: Runs::Open(runs), ..part });
    found.parts = scanned.runs.into_iter().map(part).collect();
    Ok(found)
}

impl Found {
    pub(super) fn is_damaged(&self) -> bool {
        self.damaged || self.blocks.iter().any(|block| !block.lost.is_empty())
    }

    fn set_span(&mut self) {
        self.span = match (self.blocks.first(), self.blocks.last()) {
            (Some(first), Some(last)) => (first.header.first_position, last.last_position()),
            _ => (0, 0),
        };
    }
}

/// A bad block at the very end of the last segment was never answered: nothing valid was written after it. It is kept in
/// quarantine, and cut off. Returns its bytes.
fn cut_torn_tail(disk: &dyn Disk, last: Option<&mut Found>) -> io::Result<u64> {
    let Some(last) = last.filter(|last| !last.indexed) else { return Ok(0) };
    let Some(block) = last.blocks.last().filter(|block| !block.lost.is_empty()) else { return Ok(0) };
    let before = last.blocks.len().checked_sub(2).and_then(|at| last.blocks.get(at));
    // Behind a clean close nothing was written: what is bad there is damage.
    if before.is_some_and(|before| before.clean_close) {
        return Ok(0);
    }
    let len = block.end() - block.offset;
    let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
    let read = read_sound(&*last.file, &mut bytes, block.offset)?;
    let kept = disk.create("quarantine/torn-tail")?;
    kept.write_at(&[IoSlice::new(bytes.get(..read).unwrap_or(&[]))], 0)?;
    kept.sync()?;
    last.blocks.pop();
    last.set_span();
    Ok(len)
}

/// Positions that no segment holds although they were neither released nor noted as lost before.
fn lost_ranges(found: &[Found], state: &State) -> Vec<Range> {
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

fn judge_damage(lost: &[Range], stop: bool) -> Result<(), OpenError> {
    let count = lost.iter().map(|range| range.last - range.first + 1).sum();
    for range in lost {
        tracing::error!(
            first = range.first,
            last = range.last,
            "the spool is damaged: these positions can no longer be read; `forebay spool verify` tells more"
        );
    }
    match lost.first() {
        Some(first) if stop => Err(OpenError::Damaged { first: first.first, last: first.last, count }),
        _ => Ok(()),
    }
}

/// Segments that the manifest names and that are gone: let go, their positions are among the lost.
fn missing(shared: &Shared, found: &[Found], unused: &[Found]) -> Vec<Note> {
    let there: BTreeSet<u64> = found.iter().chain(unused).map(|found| found.number).collect();
    let named = lock(&shared.manifest).state().segments.clone();
    let gone: Vec<u64> = named.difference(&there).copied().collect();
    for number in &gone {
        tracing::error!(segment = number, "a spool segment is missing");
    }
    gone.into_iter().map(|number| Note::Released { number, positions: None }).collect()
}

fn spares(disk: &dyn Disk) -> io::Result<Vec<(u64, u64)>> {
    let files = disk.list("")?;
    Ok(files.into_iter().filter_map(|(name, len)| Some((number_in(&name, "spare-", "")?, len))).collect())
}

fn restore_seen_files(shared: &Shared) -> io::Result<BTreeMap<u64, Vec<(u128, u32)>>> {
    let mut files = BTreeMap::new();
    for (name, _) in shared.disk.list("")? {
        let Some(number) = seen_number(&name) else { continue };
        match read_seen(&*shared.disk, shared.salt(number), number) {
            Ok(Some(entries)) => drop(files.insert(number, entries)),
            Ok(None) | Err(_) => {
                tracing::warn!(
                    segment = number,
                    "a file of fingerprints is damaged: repeats of its calls may be stored"
                );
                shared.disk.remove(&seen_name(number))?;
            }
        }
    }
    Ok(files)
}

/// Fills the dedupe window in order: from the files of fingerprints, and from the frames of segments that have none.
/// Returns number, newest second and count of each file.
fn fill_seen(
    shared: &Shared,
    seen: &mut Seen,
    files: &BTreeMap<u64, Vec<(u128, u32)>>,
    found: &[Found],
) -> io::Result<Vec<(u64, u32, u64)>> {
    let instant = |second: u32| UnixMillis(i64::from(second) * 1_000);
    let live: BTreeMap<u64, &Found> = found.iter().map(|found| (found.number, found)).collect();
    let numbers: BTreeSet<u64> = files.keys().chain(live.keys()).copied().collect();
    let mut counts = Vec::new();
    for number in numbers {
        if let Some(entries) = files.get(&number) {
            for (fingerprint, second) in entries {
                seen.insert(*fingerprint, instant(*second));
            }
            let newest = entries.iter().map(|(_, second)| *second).max().unwrap_or(0);
            counts.push((number, newest, entries.len() as u64));
        } else if let Some(found) = live.get(&number) {
            let cut = found.span.1;
            scan(&*found.file, shared.salt(number), &mut |_, frame| {
                if frame.position <= cut {
                    seen.insert(frame.fingerprint, frame.received_at);
                }
            })?;
        }
    }
    Ok(counts)
}

/// Takes in the segments that no more frames will come to.
fn restore_closed(shared: &Shared, found: &[Found], seen_files: &BTreeMap<u64, Vec<(u128, u32)>>) {
    for segment in found {
        let state = SegmentState {
            len: segment.len,
            closed: true,
            seen_kept: segment.indexed
                && (seen_files.contains_key(&segment.number) || shared.options.dedupe_max == 0),
            damaged: segment.is_damaged(),
            pending: 0,
            first: segment.span.0,
            last: segment.span.1,
        };
        lock(&shared.index).segments.insert(segment.number, state);
        restore_parts(shared, &segment.parts);
    }
}

fn restore_parts(shared: &Shared, parts: &[(BatchKey, Part)]) {
    let manifest = lock(&shared.manifest);
    let mut index = lock(&shared.index);
    for (key, part) in parts {
        let cursor = manifest.state().cursors.get(key).cloned().unwrap_or_default();
        if part.last > cursor.released {
            index.restore(key, part.clone(), cursor.sealed);
        }
    }
}

/// Does something that needs space; where there is none, once more without spare segments and reserve.
fn with_room<T>(disk: &dyn Disk, mut work: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    match work() {
        Err(error) if is_no_space(&error) => {
            tracing::warn!("the disk is full: what was set aside for later is given up");
            for (number, _) in spares(disk)? {
                disk.remove(&spare_name(number))?;
            }
            disk.remove(manifest::RESERVE)?;
            work()
        }
        done => done,
    }
}

/// Begins the segment that this process writes to. Where the last process left frames in its open segment they are copied:
/// a page cache may show bytes that a failed sync never stored, and only a new write and sync makes sure.
fn begin_segment(shared: &Shared, last: Option<Found>) -> io::Result<OpenSegment> {
    let number = lock(&shared.manifest).state().next_segment;
    let name = segment_name(number);
    let needed = last.as_ref().map_or(0, |last| last.blocks.last().map_or(0, FoundBlock::end));
    let len = shared.options.segment_bytes.max(needed);
    // A closed last segment stays as it is; only its successor is needed.
    let copied = last.as_ref().filter(|last| !last.indexed);
    let write = || match write_segment(shared, copied, number, len) {
        // Full from the beginning: calls are refused, and what is there can be delivered, which makes room.
        Err(error) if is_no_space(&error) => write_segment(shared, copied, number, 0),
        written => written,
    };
    let (file, end, parts) = with_room(&*shared.disk, write)?;
    disk::publish(&*shared.disk, &name)?;
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
    drop(index);
    // In the order of segments.
    if copied.is_some() {
        restore_parts(shared, &parts);
    }
    settle_last(shared, last, number)?;
    Ok(OpenSegment { number, file, len, end })
}

/// A segment that is written: its file, where its blocks end, and what it holds.
type Written = (Arc<dyn DiskFile>, u64, Vec<(BatchKey, Part)>);

/// Writes a segment of `len` bytes, or as long as what is copied into it, under its temporary name.
fn write_segment(shared: &Shared, copied: Option<&Found>, number: u64, len: u64) -> io::Result<Written> {
    let file = shared.disk.create(&disk::temporary_name(&segment_name(number)))?;
    file.write_at(&[IoSlice::new(&encode_header(&shared.ident.spool_id, number))], 0)?;
    write_zeros(&*file, 64, SEGMENT_HEADER - 64)?;
    let (end, parts) = match copied {
        Some(last) => copy_frames(shared, last, &*file, number)?,
        None => (SEGMENT_HEADER, Vec::new()),
    };
    write_zeros(&*file, end, len.saturating_sub(end))?;
    file.sync()?;
    Ok((file, end, parts))
}

/// Writes the sound frames of `last` into `file`, restamped. Returns where they end, and what they are.
fn copy_frames(
    shared: &Shared,
    last: &Found,
    file: &dyn DiskFile,
    number: u64,
) -> io::Result<(u64, Vec<(BatchKey, Part)>)> {
    let (old, new) = (shared.salt(last.number), shared.salt(number));
    let mut end = SEGMENT_HEADER;
    let mut scanned = ScannedRuns::default();
    for block in &last.blocks {
        let mut body = vec![0; block.header.body_len as usize];
        let read = read_sound(&*last.file, &mut body, block.offset + BLOCK_HEADER as u64)?;
        body.truncate(read);
        for run in sound_runs(&body, block.header, old) {
            end = copy_run(&mut body, run, (block, new), file, end, &mut scanned)?;
        }
    }
    let part = |(key, (part, runs))| (key, Part { segment: number, runs: Runs::Open(runs), ..part });
    Ok((end, scanned.runs.into_iter().map(part).collect()))
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
    scanned: &mut ScannedRuns,
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
            }
        }
        from += len;
    }
    file.write_at(&[IoSlice::new(&header.encode(salt)), IoSlice::new(frames)], at)?;
    Ok(at + (BLOCK_HEADER + frames.len()) as u64)
}

/// What becomes of the last process's open segment once its frames stand in segment `new`.
fn settle_last(shared: &Shared, last: Option<Found>, new: u64) -> io::Result<()> {
    let Some(last) = last else { return Ok(()) };
    if last.indexed {
        let seen_kept = shared.disk.open(&seen_name(last.number)).is_ok();
        let state = SegmentState {
            len: last.len,
            closed: true,
            seen_kept,
            damaged: last.damaged,
            pending: 0,
            first: last.span.0,
            last: last.span.1,
        };
        lock(&shared.index).segments.insert(last.number, state);
        restore_parts(shared, &last.parts);
        return Ok(());
    }
    let damaged = last.is_damaged();
    let name = segment_name(last.number);
    tracing::debug!(old = last.number, new, "the last segment's frames were copied into a new one");
    if damaged { shared.disk.rename(&name, &format!("quarantine/{name}")) } else { shared.disk.remove(&name) }
}

/// Counts what each batch has behind its last seal.
fn restore_batches(shared: &Shared) -> io::Result<()> {
    let batches: Vec<_> = {
        let index = lock(&shared.index);
        index
            .batches
            .iter()
            .map(|(key, batch)| (key.clone(), batch.sealed_through, batch.parts.clone()))
            .collect()
    };
    for (key, sealed, parts) in batches {
        let (mut frames, mut bytes, mut first) = (0, 0, None);
        for part in parts.iter().filter(|part| part.last > sealed) {
            if part.first > sealed {
                frames += part.frames;
                bytes += part.bytes;
                first = first.or(Some((part.first, part.first_received_at)));
                continue;
            }
            // The seal ends inside this part: its frames tell what is behind it.
            reader::read(shared, &key, sealed, part.last, &mut |read| {
                match read {
                    reader::Read::Frame(frame) => {
                        frames += 1;
                        bytes += frame.payload.len() as u64 + 1;
                        first = first.or(Some((frame.position, frame.received_at)));
                    }
                    // Counted, so that somebody looks at the batch and lets go of it.
                    reader::Read::Lost(range) => frames += range.last - range.first + 1,
                }
                Ok(reader::Go::On)
            })?;
        }
        let mut index = lock(&shared.index);
        if let Some(batch) = index.batches.get_mut(&key) {
            batch.open_frames = frames;
            batch.open_bytes = bytes;
            (batch.first_open, batch.first_received_at) =
                first.unwrap_or((sealed + 1, batch.first_received_at));
        }
    }
    Ok(())
}

/// Counts parked objects by source.
fn restore_parked(shared: &Shared) {
    let manifest = lock(&shared.manifest);
    let mut index = lock(&shared.index);
    for pending in manifest.state().seals.values() {
        if let Some(parked) = pending.parked {
            *index.parked.entry(pending.seal.batch.source.clone()).or_default() += parked.len;
        }
    }
}
