//! Faults that seeds found, each in the fewest steps that reproduce it.

use std::io::IoSlice;
use std::sync::Arc;
use std::time::Duration;

use forebay::batch::BatchKey;
use forebay::call::LineSink as _;
use forebay::disk;
use forebay::disk::Disk;
use forebay::log::frame::Origin;
use forebay::log::{
    AppendError, Encoded, Go, Hour, ImportKey, ImportProgress, ImportStep, Parked, Range, Read,
    RequestFrames, Seal, Stopped,
};
use forebay::metrics::Metrics;
use forebay::object::{BucketString, Encryption, ObjectKey, ObjectName, S3Location, Stream};
use forebay::random::Random;
use forebay::sources::SourceId;
use forebay::spool::format::{BLOCK_HEADER, SEGMENT_HEADER, index_name, parked_name, segment_name};
use forebay::spool::manifest::{self, FileNote, Manifest, State};
use forebay::spool::{OpenError, Recovered, SpoolOptions, Stepped};
use forebay::time::UnixMillis;

use super::clock::SimClock;
use crate::support::sim_disk::{Dice, EIO, SimDisk, Trouble};

pub(super) const NOON: UnixMillis = UnixMillis(1_700_049_600_000);
const SEGMENT: u64 = 16 * 1_024;

#[derive(Debug)]
struct Fixed;
impl Random for Fixed {
    fn next_u64(&self) -> u64 {
        41
    }
}

pub(super) fn options() -> SpoolOptions {
    SpoolOptions {
        segment_bytes: SEGMENT,
        max_bytes: 100 * SEGMENT,
        manifest_bytes: 4_096,
        dedupe_max: 1_000,
        ..SpoolOptions::default()
    }
}

pub(super) fn try_open(disk: &SimDisk, options: SpoolOptions) -> Result<(Stepped, Recovered), OpenError> {
    try_open_at(disk, options, NOON)
}

pub(super) fn try_open_at(
    disk: &SimDisk,
    options: SpoolOptions,
    at: UnixMillis,
) -> Result<(Stepped, Recovered), OpenError> {
    let clock = Arc::new(SimClock::new(at.0));
    Stepped::open(Arc::new(disk.clone()), options, clock, &Fixed, Arc::new(Metrics::new()))
}

pub(super) fn open(disk: &SimDisk) -> (Stepped, Recovered) {
    try_open(disk, options()).unwrap()
}

fn batch(source: &str) -> BatchKey {
    BatchKey { source: SourceId::new(source).unwrap(), day: NOON.day(), stream: Stream::Calls }
}

/// Stores one line in its own block.
pub(super) fn append(spool: &mut Stepped, source: &str, line: &str) {
    append_at(spool, source, line, NOON);
}

/// Stores one line, received at `at`, in its own block.
pub(super) fn append_at(spool: &mut Stepped, source: &str, line: &str, at: UnixMillis) {
    let frames = || {
        let mut frames = RequestFrames::new(batch(source).source, at, 0);
        frames.line().extend_from_slice(line.as_bytes());
        frames.call(0);
        frames
    };
    let mut stored = spool.append([frames()]);
    if stored == Err(AppendError::Full) {
        spool.keep().unwrap();
        stored = spool.append([frames()]);
    }
    assert_eq!(stored.unwrap().len(), 1);
}

/// Stores lines of another source until the open segment is full, and lets the housekeeper close it.
pub(super) fn fill_segment(spool: &mut Stepped) {
    fill_segment_at(spool, NOON);
}

pub(super) fn fill_segment_at(spool: &mut Stepped, at: UnixMillis) {
    let before = spool.log().usage().segments;
    while spool.log().usage().segments == before {
        append_at(spool, "other", &"x".repeat(1_000), at);
    }
    spool.keep().unwrap();
}

/// Reads a batch: its lines, and the lost ranges.
pub(super) fn read(spool: &Stepped, source: &str) -> (Vec<String>, Vec<Range>) {
    let (mut lines, mut lost) = (Vec::new(), Vec::new());
    let read = spool.log().read(&batch(source), 0, u64::MAX, &mut |read| {
        match read {
            Read::Frame(frame) => lines.push(String::from_utf8(frame.payload.to_vec()).unwrap()),
            Read::Lost(range) => lost.push(range),
        }
        Ok(Go::On)
    });
    read.unwrap();
    (lines, lost)
}

/// Seals one line at one position.
fn seal(spool: &Stepped, source: &str, position: u64) -> Seal {
    seal_with(spool, source, position, "sha")
}

/// Seals one line with the given hash at one position.
pub(super) fn seal_with(spool: &Stepped, source: &str, position: u64, sha256: &str) -> Seal {
    seal_lines(spool, source, Range { first: position, last: position }, 1, sha256)
}

/// Seals a number of lines with the given hash.
pub(super) fn seal_lines(spool: &Stepped, source: &str, range: Range, frames: u64, sha256: &str) -> Seal {
    let encoded = Encoded { first: range.first, last: range.last, ..encoded(frames, sha256, NOON) };
    seal_encoded(spool, source, &encoded)
}

/// Seals one line, received at `at`, at one position.
pub(super) fn seal_at(spool: &Stepped, source: &str, position: u64, at: UnixMillis) -> Seal {
    let encoded = Encoded { first: position, last: position, ..encoded(1, "sha", at) };
    seal_encoded(spool, source, &encoded)
}

fn encoded(frames: u64, sha256: &str, at: UnixMillis) -> Encoded {
    Encoded {
        first: 0,
        last: 0,
        frames,
        bytes: 2 * frames,
        sha256: sha256.to_owned(),
        named_at: at,
        first_received_at: at,
        last_received_at: at,
        encoder: "test/6".to_owned(),
        next_received_at: None,
        hours: vec![(Hour::of(at), frames)],
    }
}

fn seal_encoded(spool: &Stepped, source: &str, encoded: &Encoded) -> Seal {
    try_seal_encoded(spool, source, encoded).unwrap()
}

/// Seals one line at one position, if there is space for the note.
pub(super) fn try_seal(spool: &Stepped, source: &str, position: u64) -> Result<Seal, Stopped> {
    try_seal_encoded(spool, source, &Encoded { first: position, last: position, ..encoded(1, "sha", NOON) })
}

fn try_seal_encoded(spool: &Stepped, source: &str, encoded: &Encoded) -> Result<Seal, Stopped> {
    let (log, key) = (spool.log(), batch(source));
    let to = S3Location::new(BucketString::parse("bucket").unwrap(), Encryption::SseS3);
    let name =
        ObjectName { first_received_at: NOON, node: "n", spool_id: "s", first_position: encoded.first };
    let object_key = ObjectKey::of_batch(&to.bucket, &key.stream, &key.source, key.day, name);
    log.seal(&key, encoded, to, object_key)
}

/// Damages the byte after `needle` in a file.
pub(super) fn damage(disk: &SimDisk, name: &str, needle: &str) {
    disk.rewrite(name, |bytes| {
        let at = memchr::memmem::find(bytes, needle.as_bytes()).unwrap();
        bytes[at + needle.len()] ^= 1;
    });
}

/// Damages the header of a segment's first block.
pub(super) fn damage_first_block(disk: &SimDisk, segment: u64) {
    let at = usize::try_from(SEGMENT_HEADER).unwrap() + BLOCK_HEADER / 2;
    disk.flip(&segment_name(segment), at, 1);
}

/// Stops the machine at each change of the disk during a start, and passes what the next start finds to
/// `look`.
fn after_starts_cut_short(disk: &SimDisk, mut look: impl FnMut(u64, &SimDisk, &Stepped)) {
    for after in 0..60 {
        let disk = disk.copy();
        disk.trouble(after, Trouble::Crash);
        drop(try_open(&disk, options()));
        disk.crash(&mut Dice(after));
        let (spool, _) = open(&disk);
        look(after, &disk, &spool);
    }
}

pub(super) fn lost(first: u64, last: u64) -> Vec<Range> {
    vec![Range { first, last }]
}

#[test]
fn a_segment_begun_on_a_full_disk_is_not_named_as_lost() {
    let disk = SimDisk::default();
    disk.set_capacity(Some(SEGMENT_HEADER + 2_048));
    let (mut spool, _) = open(&disk);
    disk.set_capacity(None);
    spool.keep().unwrap();
    append(&mut spool, "web", "1");
    drop(spool);
    let (spool, recovered) = open(&disk);
    assert_eq!((recovered.lost, read(&spool, "web").0), (vec![], vec!["1".to_owned()]));
}

/// Seed 9930: if the segment stayed in place, the intact frames of a torn write were indexed, and named as
/// lost once the torn write was zeroed.
#[test]
fn a_torn_write_rewritten_in_place_is_not_named_as_lost() {
    let disk = SimDisk::default();
    let (mut spool, _) = open(&disk);
    append(&mut spool, "web", "1");
    let mut request = RequestFrames::new(batch("web").source, NOON, 0);
    for line in ["whole", "torn"] {
        request.line().extend_from_slice(line.as_bytes());
        request.call(0);
    }
    spool.append([request]).unwrap();
    drop(spool);
    let torn = disk.list("").unwrap().into_iter().find_map(|(name, len)| {
        let file = disk.open(&name).ok().filter(|_| name.starts_with("wal-"))?;
        let mut bytes = vec![0; usize::try_from(len).unwrap()];
        file.read_at(&mut bytes, 0).unwrap();
        let at = bytes.windows(4).position(|window| window == b"torn")?;
        Some((file, at as u64))
    });
    let (file, at) = torn.unwrap();
    file.write_at(&[IoSlice::new(b"TORN")], at).unwrap();
    let used: u64 = disk.list("").unwrap().iter().map(|(_, len)| len).sum();
    // Even the space that the start frees is not enough for a segment.
    disk.set_capacity(Some(used - SEGMENT));
    let (spool, recovered) = open(&disk);
    assert_eq!((recovered.lost, read(&spool, "web")), (vec![], (vec!["1".to_owned()], vec![])));
}

#[test]
fn frames_lost_before_the_first_one_found_are_named_once() {
    let disk = SimDisk::default();
    let (mut spool, _) = open(&disk);
    append(&mut spool, "web", "1");
    append(&mut spool, "web", "2");
    drop(spool);
    damage_first_block(&disk, 0);
    let (spool, recovered) = open(&disk);
    assert_eq!((recovered.lost, read(&spool, "web").0), (lost(1, 1), vec!["2".to_owned()]));
    drop(spool);
    assert_eq!(open(&disk).1.lost, []);
}

#[test]
fn a_known_loss_does_not_hide_an_earlier_one() {
    let disk = SimDisk::default();
    let (mut spool, _) = open(&disk);
    for line in ["1", "rots:", "3"] {
        append(&mut spool, "web", line);
    }
    fill_segment(&mut spool);
    drop(spool);
    disk.remove(&index_name(0)).unwrap();
    damage(&disk, &segment_name(0), "rots");
    assert_eq!(open(&disk).1.lost, lost(2, 2));
    damage_first_block(&disk, 0);
    disk.remove(&index_name(0)).unwrap();
    assert_eq!(open(&disk).1.lost, lost(1, 1));
}

#[test]
fn frames_released_long_ago_are_not_named_as_lost() {
    let disk = SimDisk::default();
    let (mut spool, _) = open(&disk);
    append(&mut spool, "other", "1");
    fill_segment(&mut spool);
    let last = spool.log().open_batches()[0].last;
    let sealed = seal(&spool, "other", last);
    spool.log().commit(&sealed, None).unwrap();
    spool.keep().unwrap();
    drop(spool);
    // The first start forgets the released positions; the second one reads the manifest of the first.
    for _ in 0..3 {
        let (mut spool, recovered) = open(&disk);
        assert_eq!(recovered.lost, []);
        append(&mut spool, "web", "2");
        spool.close().unwrap();
    }
}

#[test]
fn a_parked_file_that_a_crash_left_without_a_note_is_removed() {
    let disk = SimDisk::default();
    let (mut spool, _) = open(&disk);
    append(&mut spool, "web", "1");
    let sealed = seal(&spool, "web", 1);
    // The file is created, written, synced and named durably; the note would come next.
    disk.trouble(4, Trouble::Crash);
    let parked = Parked { len: 6, crc32: crc32fast::hash(b"object") };
    spool.log().make_room(&sealed, &mut b"object".as_slice(), parked).unwrap_err();
    drop(spool);
    disk.crash(&mut Dice(1));
    assert_eq!(disk.list("parked").unwrap().len(), 1);
    let (spool, _) = open(&disk);
    assert_eq!(disk.list("parked").unwrap(), []);
    assert_eq!(spool.log().pending_seals().len(), 1);
}

#[test]
fn frames_found_by_neither_index_nor_scan_are_named() {
    let disk = SimDisk::default();
    let (mut spool, _) = open(&disk);
    append(&mut spool, "web", "1");
    append(&mut spool, "web", "2");
    fill_segment(&mut spool);
    drop(spool);
    damage_first_block(&disk, 0);
    disk.rewrite(&index_name(0), |bytes| *bytes.last_mut().unwrap() ^= 1);
    disk.rewrite(&index_name(0), |bytes| {
        // The runs of all batches, which follow the directory.
        let at = bytes.len() - 4;
        bytes.iter_mut().skip(at - 40).for_each(|byte| *byte ^= 1);
    });
    let (spool, _) = open(&disk);
    assert_eq!(read(&spool, "web"), (vec!["2".to_owned()], lost(1, 1)));
}

#[test]
fn a_torn_write_after_a_clean_close_is_not_damage() {
    let disk = SimDisk::default();
    let (mut spool, _) = open(&disk);
    append(&mut spool, "web", "1");
    spool.close().unwrap();
    let (mut spool, _) = open(&disk);
    append(&mut spool, "web", "torn:");
    drop(spool);
    let open_segment = segment_name(2);
    damage(&disk, &open_segment, "torn");
    let (spool, recovered) = open(&disk);
    assert!(recovered.torn_bytes > 0 && recovered.lost.is_empty(), "{recovered:?}");
    assert_eq!(read(&spool, "web").0, ["1"]);
}

#[test]
fn a_rebuilt_index_contains_no_released_frames() {
    let disk = SimDisk::default();
    let (mut spool, _) = open(&disk);
    append(&mut spool, "web", "1");
    let sealed = seal(&spool, "web", 1);
    spool.log().commit(&sealed, None).unwrap();
    append(&mut spool, "web", "2");
    fill_segment(&mut spool);
    disk.rewrite(&index_name(0), |bytes| bytes.iter_mut().skip(32).for_each(|byte| *byte ^= 1));
    assert_eq!(read(&spool, "web"), (vec!["2".to_owned()], vec![]));
}

#[test]
fn an_unsynced_commit_releases_nothing() {
    let disk = SimDisk::default();
    let (mut spool, _) = open(&disk);
    append(&mut spool, "web", "1");
    let sealed = seal(&spool, "web", 1);
    let parked = Parked { len: 6, crc32: crc32fast::hash(b"object") };
    assert!(spool.log().make_room(&sealed, &mut b"object".as_slice(), parked).unwrap());
    // The sync of the commit's note fails: it can be read back but is not on the disk.
    disk.trouble(1, Trouble::Fails(EIO));
    spool.log().commit(&sealed, None).unwrap_err();
    drop(spool);
    let mut came_back = 0;
    after_starts_cut_short(&disk, |_, disk, spool| {
        for pending in spool.log().pending_seals() {
            came_back += 1;
            disk.open(&parked_name(pending.seal.number)).unwrap();
        }
    });
    assert!(came_back > 0, "no crash lost the unsynced commit");
}

#[test]
fn a_torn_write_does_not_hide_earlier_damage() {
    let disk = SimDisk::default();
    let (mut spool, _) = open(&disk);
    append(&mut spool, "web", "1");
    append(&mut spool, "web", "torn:");
    drop(spool);
    damage_first_block(&disk, 0);
    damage(&disk, &segment_name(0), "torn");
    let (mut spool, recovered) = open(&disk);
    assert!(recovered.torn_bytes > 0, "{recovered:?}");
    assert_eq!(recovered.lost, lost(1, 1));
    append(&mut spool, "web", "2");
    assert_eq!(read(&spool, "web"), (vec!["2".to_owned()], vec![]));
}

#[test]
fn sealed_frames_are_never_taken_for_a_torn_write() {
    let disk = SimDisk::default();
    let (mut spool, _) = open(&disk);
    append(&mut spool, "web", "rots:");
    let sealed = seal(&spool, "web", 1);
    drop(spool);
    damage(&disk, &segment_name(0), "rots");
    let (spool, recovered) = open(&disk);
    assert_eq!((recovered.lost, recovered.torn_bytes), (lost(1, 1), 0));
    assert_eq!(spool.log().pending_seal(sealed.number).unwrap().seal, sealed);
}

#[test]
fn spares_of_another_length_are_removed() {
    let disk = SimDisk::default();
    drop(open(&disk));
    for segment_bytes in [2 * SEGMENT, 3 * SEGMENT, SEGMENT] {
        drop(try_open(&disk, SpoolOptions { segment_bytes, ..options() }).unwrap());
    }
    let names = disk.list("").unwrap().into_iter().map(|(name, _)| name);
    assert_eq!(names.filter(|name| name.starts_with("spare-")).collect::<Vec<_>>(), [""; 0]);
}

/// Seed 700363: a call rotted whose day is later than all that is left. Only the counts know that day.
#[test]
fn the_ledger_balances_after_an_interrupted_start_that_lost_calls_of_a_later_day() {
    let disk = SimDisk::default();
    let later = NOON.plus(Duration::from_secs(3 * 86_400));
    let (mut spool, _) = try_open_at(&disk, options(), later).unwrap();
    append_at(&mut spool, "web", "rots:", later);
    drop(spool);
    let (mut spool, _) = open(&disk);
    append(&mut spool, "ios", "stays");
    drop(spool);
    let files = disk.list("").unwrap().into_iter().map(|(name, _)| name);
    damage(&disk, &files.filter(|name| name.starts_with("wal-")).min().unwrap(), "rots");
    after_starts_cut_short(&disk, |after, _, spool| {
        assert_eq!(spool.log().ledger_differences(), [], "cut short at change {after}");
    });
}

/// The frame that records a step's progress rots, and the step's calls do not.
#[test]
fn rows_are_not_stored_twice_although_the_frame_of_their_progress_rotted() {
    let disk = SimDisk::default();
    let (mut spool, _) = open(&disk);
    let file = spool.imports().begin_import(ImportKey(1), ImportProgress::default()).unwrap().file;
    let step = |rows: std::ops::Range<u64>| {
        let mut frames = RequestFrames::new(batch("web").source, NOON, 0);
        let origin = Origin { file, first_row: rows.start, last_row: rows.end - 1 };
        frames.set_import(ImportStep { origin, rejected: 0, known: 0, text: None });
        for row in rows {
            frames.line().extend_from_slice(row.to_string().as_bytes());
            frames.call(0);
        }
        frames.end_import_step();
        frames
    };
    let appended = spool.append([step(0..3)]).unwrap();
    assert_eq!(
        appended[0].import.as_deref().map(|progress| (progress.next_row, progress.stored)),
        Some((3, 3))
    );
    append(&mut spool, "web", "later");
    drop(spool);
    disk.rewrite(&segment_name(0), |bytes| {
        let progress = [3_u64, 3, 0, 0, 0].map(u64::to_le_bytes).concat();
        let at = memchr::memmem::find(bytes, &progress).unwrap();
        bytes[at] ^= 1;
    });
    let (mut spool, recovered) = open(&disk);
    assert_eq!(recovered.lost, lost(4, 4));
    assert_eq!(spool.append([step(0..3)]), Err(AppendError::OtherRow { next: Some(3) }));
    spool.append([step(3..5)]).unwrap();
    assert_eq!(read(&spool, "web").0, ["0", "1", "2", "later", "3", "4"]);
}

/// Seed 1349, with `on_corruption = "stop"`: an ordinary power cut was taken for damage.
#[test]
fn notes_written_together_are_torn_together() {
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::default());
    let id = [7; 16];
    let mut manifest =
        Manifest::begin(Arc::clone(&disk), id, 1, State::new(), SpoolOptions::default().manifest_bytes)
            .unwrap();
    let name = manifest::manifest_name(1);
    let read = || manifest::written(&disk::read_all(&*disk.open(&name).unwrap()).unwrap()).to_vec();
    let before = read().len();
    manifest.append(vec![FileNote::Segment { number: 1 }, FileNote::Segment { number: 2 }], |_| ()).unwrap();
    assert_eq!(manifest.state().files.segments.len(), 2);
    let whole = read();
    assert_eq!(manifest::replay(&name, &whole, &id, 1).unwrap().0, *manifest.state());
    for torn in before..whole.len() {
        // The machine stopped: the first part of the write is missing, and the last part is there.
        let mut bytes = whole.clone();
        bytes[before..=torn].fill(0);
        let (state, notes) = manifest::replay(&name, &bytes, &id, 1).unwrap();
        assert_eq!((state, notes), (State::new(), 1), "{torn}");
    }
}
