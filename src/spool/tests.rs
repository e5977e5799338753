//! Tests of the whole spool on a real directory.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use super::format::{seen_file, segment};

use super::offline::{View, verify};
use super::*;
use crate::batch::BatchKey;
use crate::call::{LineSink, RejectReason};
use crate::crc32c;
use crate::disk::real_disk::RealDisk;
use crate::log::frame::Origin;
use crate::log::refusals::{Division, Flow, FlowState, Party};
use crate::log::{
    AppendError, Appended, Difference, Encoded, Follow, Go, Held, ImportKey, ImportProgress, ImportStep,
    InLog, Log, LogId, NewStreams, Parked, Range, Read, ReadThrough, RequestFrames, RowsUnknown, Seal, frame,
};
use crate::object::{BucketString, Encryption, ObjectKey, PutLocation, S3Location, Stream};
use crate::sources::SourceId;
use crate::spool::format::parked_name;
use crate::spool::share::Rule;
use crate::spool::shared::lock;
use crate::time::{DAY_MS, UnixMillis};

#[derive(Debug, Default)]
struct TestClock(AtomicI64);
impl Clock for TestClock {
    fn wall(&self) -> UnixMillis {
        UnixMillis(self.0.load(Ordering::Relaxed))
    }
    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

#[derive(Debug, Default)]
struct Counting(AtomicU64);
impl Random for Counting {
    fn next_u64(&self) -> u64 {
        self.0.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed)
    }
}

const SEGMENT: u64 = 256 * 1_024;
const NOON: i64 = 1_700_000_000_000;

fn options() -> SpoolOptions {
    SpoolOptions {
        segment_bytes: SEGMENT,
        max_bytes: 200 * SEGMENT,
        manifest_bytes: 4_096,
        dedupe_max: 10_000,
        ..SpoolOptions::default()
    }
}

fn open(dir: &Path) -> (Spool, Recovered) {
    let disk = Arc::new(RealDisk::open(dir).unwrap());
    let clock = Arc::new(TestClock(AtomicI64::new(NOON)));
    Spool::open(disk, options(), clock, &Counting::default(), Arc::new(Metrics::new())).unwrap()
}

fn source(name: &str) -> SourceId {
    SourceId::new(name).unwrap()
}

fn key(name: &str) -> BatchKey {
    BatchKey { source: source(name), day: UnixMillis(NOON).day(), stream: Stream::Calls }
}

/// A request of `lines`. Each line's fingerprint is its hash, so equal lines are repeats.
fn request(name: &str, lines: &[String]) -> RequestFrames {
    request_in(Stream::Calls, name, lines)
}

fn request_in(stream: Stream, name: &str, lines: &[String]) -> RequestFrames {
    let mut frames = RequestFrames::new(source(name), UnixMillis(NOON), 0);
    frames.set_stream(stream);
    for line in lines {
        frames.line().extend_from_slice(line.as_bytes());
        frames.call(
            u128::from(crc32c::crc32c(line.as_bytes())) << 32 | u128::from(crc32c::crc32c(name.as_bytes())),
        );
    }
    frames
}

fn append(spool: &Spool, frames: RequestFrames) -> Result<Appended, AppendError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(spool.appender().append(frames))
}

fn lines(spool: &Spool, key: &BatchKey, after: u64, through: u64) -> Vec<String> {
    lines_in(&*spool.log(), key, after, through)
}

fn lines_in(log: &dyn Log, key: &BatchKey, after: u64, through: u64) -> Vec<String> {
    let mut lines = Vec::new();
    let read = log.read(key, after, through, &mut |read| {
        match read {
            Read::Frame(frame) => lines.push(String::from_utf8(frame.payload.to_vec()).unwrap()),
            Read::Lost(range) => lines.push(format!("lost {}-{}", range.first, range.last)),
        }
        Ok(Go::On)
    });
    read.unwrap();
    lines
}

fn numbered(from: u32, count: u32, len: usize) -> Vec<String> {
    (from..from + count).map(|n| format!("{{\"n\":{n},\"pad\":\"{}\"}}", "x".repeat(len))).collect()
}

/// Copies the directory in its present state, as a kill would leave it.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else if let Err(error) = fs::copy(entry.path(), to) {
            // The housekeeper has renamed it in the meantime.
            let is_temporary = entry.path().extension().is_some_and(|extension| extension == "tmp");
            assert!(is_temporary && error.kind() == io::ErrorKind::NotFound, "{:?}: {error}", entry.path());
        }
    }
}

fn location() -> S3Location {
    S3Location::new(BucketString::parse("bucket").unwrap(), Encryption::None)
}

fn seal_through(spool: &Spool, key: &BatchKey, last: u64) -> Seal {
    seal_in(&*spool.log(), key, last)
}

fn seal_in(log: &dyn Log, key: &BatchKey, last: u64) -> Seal {
    let open = log.open_batch(key).unwrap();
    let first = open.first.max(open.sealed_through + 1);
    let text = lines_in(log, key, first - 1, last);
    let next = open.last > last;
    let encoded = Encoded {
        first,
        last,
        frames: text.len() as u64,
        bytes: text.iter().map(|line| line.len() as u64 + 1).sum(),
        sha256: String::new(),
        named_at: UnixMillis(NOON),
        first_received_at: UnixMillis(NOON),
        last_received_at: UnixMillis(NOON),
        encoder: "test".into(),
        next_received_at: next.then_some(UnixMillis(NOON)),
        hours: Vec::new(),
    };
    let name = crate::object::ObjectName {
        first_received_at: UnixMillis(NOON),
        node: "n",
        spool_id: &log.spool_id(),
        first_position: first,
    };
    let object_key = ObjectKey::of_batch(&location().bucket, &key.stream, &key.source, key.day, name);
    log.seal(key, &encoded, location(), object_key).unwrap()
}

#[test]
fn answered_calls_survive_a_kill_and_a_clean_close() {
    let dir = tempfile::tempdir().unwrap();
    let all = numbered(0, 500, 1_000);
    let (spool, recovered) = open(&dir.path().join("a"));
    assert_eq!(recovered.frames, 0);
    for piece in all.chunks(7) {
        let appended = append(&spool, request("web", piece)).unwrap();
        assert_eq!((appended.stored as usize, appended.repeats), (piece.len(), 0));
    }
    assert_eq!(lines(&spool, &key("web"), 0, u64::MAX), all);
    assert_eq!(lines(&spool, &key("web"), 250, 252), all[250..252]);
    copy(&dir.path().join("a"), &dir.path().join("b"));
    let (killed, recovered) = open(&dir.path().join("b"));
    assert_eq!((recovered.frames, recovered.lost.len()), (500, 0));
    assert_eq!(lines(&killed, &key("web"), 0, u64::MAX), all);
    spool.close();
    let (again, recovered) = open(&dir.path().join("a"));
    assert_eq!((recovered.frames, recovered.lost.len(), recovered.torn_bytes), (500, 0, 0));
    let more = numbered(500, 3, 10);
    append(&again, request("web", &more)).unwrap();
    assert_eq!(
        lines(&again, &key("web"), 500, u64::MAX),
        more[..],
        "positions continue after the clean close, which took one"
    );
}

#[test]
fn a_start_makes_no_new_identity_beside_old_data() {
    let tmp = tempfile::tempdir().unwrap();
    let made = tmp.path().join("made");
    let (spool, _) = open(&fresh(&made));
    append(&spool, request("web", &numbered(0, 3, 10))).unwrap();
    drop(spool);
    let segment = fs::read_dir(&made).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let segment = segment.into_iter().find(|name| name.ends_with(".seg")).unwrap();
    // All of the directory, and each kind of file as the only one that is left.
    let everything = ["everything"];
    let alone = [
        segment.as_str(),
        "MANIFEST-00000000000000000001",
        "seen-00000000000000000001",
        "keys-00000000000000000001",
        "parked/00000000000000000001.gz",
        "quarantine/wal-00000000000000000001.seg",
        "queued/crm-track-00000000000000000001",
        "destinations.json",
        "destinations.copy.json",
        "imports.redb",
    ];
    for name in everything.into_iter().chain(alone) {
        let dir = tmp.path().join(name.replace('/', "_"));
        if name == "everything" {
            copy(&made, &dir);
            fs::remove_file(dir.join("IDENT")).unwrap();
            fs::remove_file(dir.join("IDENT.copy")).unwrap();
        } else {
            fs::create_dir_all(dir.join(name).parent().unwrap()).unwrap();
            fs::write(dir.join(name), b"old").unwrap();
        }
        let before = names_in(&dir);
        let disk = Arc::new(RealDisk::open(&dir).unwrap());
        let clock = Arc::new(TestClock(AtomicI64::new(NOON)));
        let opened = Spool::open(disk, options(), clock, &Counting::default(), Arc::new(Metrics::new()));
        let said = opened.expect_err(name).to_string();
        assert!(said.contains("IDENT and IDENT.copy are missing") && said.contains("restore"), "{said}");
        assert!(name == "everything" || said.contains(name), "{name} is not named: {said}");
        for (file, bytes) in before {
            assert_eq!(fs::read(dir.join(&file)).ok(), Some(bytes), "{name}: {file} changed");
        }
        assert!(!dir.join("IDENT").exists() && !dir.join("IDENT.copy").exists(), "{name}");
    }
    // With either of the two, everything is there.
    for gone in ["IDENT", "IDENT.copy"] {
        let dir = tmp.path().join(format!("without {gone}"));
        copy(&made, &dir);
        fs::remove_file(dir.join(gone)).unwrap();
        let view = View::open(&dir).unwrap_or_else(|error| panic!("without {gone}: {error}"));
        drop(view);
        let (spool, recovered) = open(&dir);
        assert_eq!((recovered.frames, recovered.lost.len()), (3, 0), "without {gone}");
        drop(spool);
        assert!(dir.join(gone).exists());
    }
}

/// Makes the directory.
fn fresh(dir: &Path) -> std::path::PathBuf {
    fs::create_dir_all(dir).unwrap();
    dir.to_owned()
}

/// The files of a directory and of those in it, with their bytes.
fn names_in(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_dir() {
            let within = names_in(&entry.path()).into_iter();
            found.extend(within.map(|(file, bytes)| (format!("{name}/{file}"), bytes)));
        } else if name != "LOCK" {
            found.push((name, fs::read(entry.path()).unwrap()));
        }
    }
    found
}

#[test]
fn repeats_are_not_stored_again_even_after_restarts_and_released_segments() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = open(dir.path());
    let all = numbered(0, 600, 1_000);
    append(&spool, request("web", &[all[0].clone(), all[0].clone(), all[1].clone()])).unwrap();
    for piece in all.chunks(50) {
        append(&spool, request("web", piece)).unwrap();
    }
    let again = append(&spool, request("web", &all[..10])).unwrap();
    assert_eq!((again.stored, again.repeats), (0, 10));
    assert_eq!(lines(&spool, &key("web"), 0, u64::MAX), all);
    let last = spool.log().open_batch(&key("web")).unwrap().last;
    let seal = seal_through(&spool, &key("web"), last);
    spool.log().commit(&seal, None).unwrap();
    spool.close();
    let (spool, recovered) = open(dir.path());
    assert_eq!(recovered.frames, 0);
    assert!(spool.log().usage().segments <= 2, "{:?}", spool.log().usage());
    let again = append(&spool, request("web", &all)).unwrap();
    assert_eq!((again.stored, again.repeats), (0, 600));
    let other = append(&spool, request("ios", &numbered(0, 1, 9))).unwrap();
    assert_eq!(other.stored, 1);
}

#[test]
fn a_seal_survives_a_kill_and_later_frames_go_to_the_next_seal() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = open(&dir.path().join("a"));
    let all = numbered(0, 300, 1_000);
    append(&spool, request("web", &all[..150])).unwrap();
    append(&spool, request("ios", &all[..5])).unwrap();
    append(&spool, request("web", &all[150..])).unwrap();
    let seal = seal_through(&spool, &key("web"), 100);
    assert_eq!((seal.number, seal.first, seal.last, seal.previous_last), (1, 1, 100, None));
    copy(&dir.path().join("a"), &dir.path().join("b"));
    drop(spool);
    let (spool, recovered) = open(&dir.path().join("b"));
    let log = spool.log();
    assert_eq!((recovered.frames, recovered.seals), (205, 1));
    let pending = log.pending_seals();
    assert_eq!(pending[0].seal, seal);
    assert_eq!(lines(&spool, &key("web"), seal.first - 1, seal.last), all[..100]);
    let open_batch = log.open_batch(&key("web")).unwrap();
    assert_eq!((open_batch.sealed_through, open_batch.frames), (100, 200));
    log.commit(&seal, None).unwrap();
    let next = seal_through(&spool, &key("web"), 305);
    assert_eq!((next.number, next.first, next.previous_last, next.frames), (2, 101, Some(100), 200));
    log.commit(&next, None).unwrap();
    assert!(log.open_batch(&key("web")).is_none());
    assert_eq!(spool.reports().undelivered()[&source("ios")].0, 5);
}

#[test]
fn a_torn_write_is_cut_off_and_earlier_damage_is_named_exactly() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a");
    let (spool, _) = open(&path);
    let all = numbered(0, 30, 100);
    for piece in all.chunks(10) {
        append(&spool, request("web", piece)).unwrap();
    }
    copy(&path, &dir.path().join("torn"));
    copy(&path, &dir.path().join("holed"));
    drop(spool);
    let damage = |name: &str, needle: &str| {
        let dir = dir.path().join(name);
        let segment = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path());
        let damaged = segment.filter(|path| path.extension().is_some_and(|ext| ext == "seg")).any(|path| {
            let mut bytes = fs::read(&path).unwrap();
            let Some(at) = memchr::memmem::find(&bytes, needle.as_bytes()) else { return false };
            bytes[at + 3] ^= 0x40;
            fs::write(&path, bytes).unwrap();
            true
        });
        assert!(damaged, "{needle} is in no segment");
        open(&dir)
    };
    let (spool, recovered) = damage("torn", "{\"n\":25,");
    assert!(recovered.torn_bytes > 0 && recovered.lost.is_empty());
    assert_eq!(
        lines(&spool, &key("web"), 0, u64::MAX),
        all[..20],
        "a group is stored as a whole or not at all"
    );
    let (spool, recovered) = damage("holed", "{\"n\":12,");
    assert_eq!(recovered.lost, [Range { first: 13, last: 13 }]);
    let left: Vec<String> = all.iter().filter(|line| !line.starts_with("{\"n\":12,")).cloned().collect();
    assert_eq!(lines(&spool, &key("web"), 0, u64::MAX), left);
    drop(spool);
    let (_, recovered) = open(&dir.path().join("holed"));
    assert_eq!(recovered.lost, [], "a loss is reported once");
}

/// A restart copies the clean close into its own segment, so the writes of the new process come after it.
#[test]
fn the_first_write_after_a_clean_restart_may_be_torn() {
    let dir = tempfile::tempdir().unwrap();
    let (path, killed) = (dir.path().join("a"), dir.path().join("killed"));
    let (spool, _) = open(&path);
    let all = numbered(0, 20, 100);
    append(&spool, request("web", &all[..10])).unwrap();
    spool.close();
    let (spool, _) = open(&path);
    append(&spool, request("web", &all[10..])).unwrap();
    copy(&path, &killed);
    drop(spool);
    let segments = fs::read_dir(&killed).unwrap().map(|entry| entry.unwrap().path());
    for path in segments.filter(|path| path.extension().is_some_and(|extension| extension == "seg")) {
        let mut bytes = fs::read(&path).unwrap();
        if let Some(at) = memchr::memmem::find(&bytes, b"{\"n\":15,") {
            bytes[at..].fill(0);
            fs::write(&path, bytes).unwrap();
        }
    }
    let view = View::open(&killed).unwrap();
    let verified = verify(&view, &mut |_, _| ()).unwrap();
    assert!(verified.sound, "{verified:?}");
    drop(view);
    let (spool, recovered) = open(&killed);
    assert!(recovered.torn_bytes > 0 && recovered.lost.is_empty(), "{recovered:?}");
    assert_eq!(lines(&spool, &key("web"), 0, u64::MAX), all[..10]);
}

#[test]
fn a_parked_file_that_no_note_claims_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = open(dir.path());
    append(&spool, request("web", &numbered(0, 5, 10))).unwrap();
    let seal = seal_through(&spool, &key("web"), 5);
    fs::write(dir.path().join(parked_name(seal.number)), b"the beginning of an object").unwrap();
    drop(spool);
    let (spool, _) = open(dir.path());
    assert_eq!(spool.disk().list("parked").unwrap(), [], "no note claims the file");
    let parked = Parked { len: 6, crc32: 1 };
    assert_eq!(spool.log().make_room(&seal, &mut &b"object"[..], parked), Ok(true));
    let (space, max) = (spool.log.space(), spool.log().usage().max);
    assert!(space.parked >= parked.len && space.cap > 0 && space.cap <= max, "{space:?}");
    drop(spool);
    let (spool, _) = open(dir.path());
    assert_eq!(spool.disk().list("parked").unwrap().len(), 1);
}

#[test]
fn the_rule_that_a_spool_is_given_decides_who_is_refused() {
    let rule: Rule = |space, flows, _, refused| {
        assert!(space.cap > 0 && refused.len() == 1);
        let party = |flow: &Flow<PutLocation>| Party::Source(flow.source.clone(), flow.location.clone());
        let refused = flows.iter().map(|flow| (flow.source.clone(), party(flow))).collect();
        Division { refused, ..Division::default() }
    };
    let dir = tempfile::tempdir().unwrap();
    let spool = open_stepped(dir.path(), SpoolOptions { refusals: rule, ..options() });
    spool.log().refuse([source("web")].into());
    let flow = Flow {
        source: source("ios"),
        location: (location().bucket, None, None),
        current: true,
        standing: FlowState::Failing,
        held: Held::default(),
    };
    let refused = spool.log().divide(&[flow], &BTreeMap::new()).refused;
    assert_eq!(refused.into_keys().collect::<Vec<_>>(), [source("ios")]);
}

/// Of one group and across groups.
#[test]
fn the_rule_that_a_spool_is_given_decides_which_streams_may_begin() {
    let of = |name: &str| request_in(Stream::Dead(source(name)), "web", &numbered(0, 1, 10));
    let check = |rule: NewStreams, taken: usize| {
        let dir = tempfile::tempdir().unwrap();
        let mut spool = open_stepped(dir.path(), SpoolOptions { new_streams: rule, ..options() });
        let mut stored = 0;
        for group in [vec![of("a")], vec![of("b")], vec![request("web", &numbered(0, 1, 10)), of("a")]] {
            match spool.append(group) {
                Ok(_) => stored += 1,
                Err(error) => assert_eq!(error, AppendError::TooManyStreams),
            }
        }
        assert_eq!(stored, taken, "{rule:?}");
    };
    check(NewStreams::UpTo(0), 0);
    check(NewStreams::UpTo(1), 2);
    check(NewStreams::Any, 3);
}

#[test]
fn a_request_with_a_frame_too_large_to_store_is_refused_whole() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = open(dir.path());
    let mut frames = request("web", &numbered(0, 1, 10));
    let longest = frame::FRAME_MAX - frame::FRAME_HEADER - "web".len();
    frames.line().extend_from_slice(&vec![b'x'; longest + 1]);
    frames.rejected(RejectReason::EventTooLarge);
    assert_eq!(append(&spool, frames), Err(AppendError::TooLarge));
    assert_eq!(append(&spool, request("web", &numbered(0, 50, 100_000))), Err(AppendError::TooLarge));
    assert_eq!(lines(&spool, &key("web"), 0, u64::MAX), [""; 0]);
}

#[test]
fn an_item_without_a_line_shows_in_the_ledger() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = open(dir.path());
    let mut frames = RequestFrames::new(source("web"), UnixMillis(NOON), 0);
    frames.came(2);
    frames.line().extend_from_slice(b"{\"good\":1}");
    frames.call(0);
    append(&spool, frames).unwrap();
    let differences = spool.log().ledger_differences();
    assert!(
        matches!(&differences[..], [Difference::Received { row, .. }] if row.received == 2),
        "{differences:?}"
    );
}

#[test]
fn rejected_lines_and_other_days_form_separate_batches() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = open(dir.path());
    let mut frames = RequestFrames::new(source("web"), UnixMillis(NOON), 0);
    frames.line().extend_from_slice(b"{\"good\":1}");
    frames.call(0);
    frames.line().extend_from_slice(b"{\"bad\":1}");
    frames.rejected(RejectReason::UnknownType);
    frames.line().extend_from_slice(b"taken back");
    frames.discard();
    frames.line().extend_from_slice(b"{\"good\":2}");
    frames.call(0);
    assert_eq!(frames.rejected_by_reason().collect::<Vec<_>>(), [(RejectReason::UnknownType, 1)]);
    let log = LogId(spool.log.shared.ident.spool_id);
    let stored_in = [InLog { log, first: 1, frames: 3 }].into_iter().collect();
    assert_eq!(append(&spool, frames).unwrap(), Appended { stored: 3, repeats: 0, stored_in, import: None });
    let mut tomorrow = RequestFrames::new(source("web"), UnixMillis(NOON + DAY_MS), 0);
    tomorrow.line().extend_from_slice(b"{\"good\":3}");
    tomorrow.call(0);
    append(&spool, tomorrow).unwrap();
    let rejected = BatchKey { stream: Stream::Rejected, ..key("web") };
    let next_day = BatchKey { day: UnixMillis(NOON + DAY_MS).day(), ..key("web") };
    assert_eq!(lines(&spool, &key("web"), 0, u64::MAX), ["{\"good\":1}", "{\"good\":2}"]);
    assert_eq!(lines(&spool, &rejected, 0, u64::MAX), ["{\"bad\":1}"]);
    assert_eq!(lines(&spool, &next_day, 0, u64::MAX), ["{\"good\":3}"]);
}

#[test]
fn a_moved_source_keeps_its_old_bucket_for_earlier_frames() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = open(dir.path());
    let locations = spool.locations();
    let to = |bucket: &str| S3Location { bucket: BucketString::parse(bucket).unwrap(), ..location() };
    assert_eq!(locations.set_locations(vec![(source("web"), to("one"))]).unwrap(), []);
    append(&spool, request("web", &numbered(0, 3, 1))).unwrap();
    assert_eq!(locations.set_locations(vec![(source("web"), to("one"))]).unwrap(), []);
    assert_eq!(locations.set_locations(vec![(source("web"), to("two"))]).unwrap(), [source("web")]);
    append(&spool, request("web", &numbered(3, 3, 1))).unwrap();
    drop(locations);
    spool.close();
    let (spool, _) = open(dir.path());
    let log = spool.log();
    assert_eq!(log.location(&source("web"), 1), Some((to("one"), Some(4))));
    assert_eq!(log.location(&source("web"), 4), Some((to("two"), None)));
}

#[test]
fn a_full_spool_refuses_calls_until_space_is_freed() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(RealDisk::open(dir.path()).unwrap());
    let clock = Arc::new(TestClock(AtomicI64::new(NOON)));
    let small = SpoolOptions { max_bytes: 5 * SEGMENT + 20_000, ..options() };
    let (spool, _) = Spool::open(disk, small, clock, &Counting::default(), Arc::new(Metrics::new())).unwrap();
    let mut next = 0;
    let refused = (0..2_000).any(|_| {
        next += 10;
        append(&spool, request("web", &numbered(next, 10, 1_000))) == Err(AppendError::Full)
    });
    assert!(refused, "five segments cannot hold 20 MB");
    let last = spool.log().open_batch(&key("web")).unwrap().last;
    let seal = seal_through(&spool, &key("web"), last);
    spool.log().commit(&seal, None).unwrap();
    let deadline = std::time::Duration::from_secs(5);
    #[expect(clippy::disallowed_methods, reason = "the deadline of a test")]
    let start = std::time::Instant::now();
    while append(&spool, request("web", &numbered(next, 1, 10))).is_err() {
        assert!(start.elapsed() < deadline, "the spool is still full");
        std::thread::yield_now();
    }
}

#[test]
fn the_fingerprints_kept_during_writing_match_those_of_the_frames() {
    let (dir, again) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let real = |dir: &Path| Arc::new(RealDisk::open(dir).unwrap());
    let (disk, other) = (real(dir.path()), real(again.path()));
    let clock = Arc::new(TestClock(AtomicI64::new(NOON)));
    let opened = stepped::Stepped::open(
        Arc::clone(&disk) as _,
        options(),
        clock,
        &Counting::default(),
        Arc::new(Metrics::new()),
    );
    let (mut spool, _) = opened.unwrap();
    // Each request repeats half of the previous one.
    for number in 0..200 {
        let group = || [request("web", &numbered(number * 5, 10, 500))];
        if spool.append(group()) == Err(AppendError::Full) {
            spool.keep().unwrap();
            spool.append(group()).unwrap();
        }
    }
    spool.keep().unwrap();
    let closed: Vec<u64> =
        (0..10).filter(|number| dir.path().join(segment::seen_name(*number)).exists()).collect();
    assert!(closed.len() > 1, "{closed:?}");
    for number in closed {
        let file = disk.open(&segment::segment_name(number)).unwrap();
        let salt = spool.log.shared.salt(number);
        let scanned = seen_file::Fingerprints::of_segment(&*file, salt).unwrap();
        assert!(scanned.halves().iter().any(|half| half.count > 0));
        scanned.write(&*other, salt, number).unwrap();
        let bytes = |dir: &Path| fs::read(dir.join(segment::seen_name(number))).unwrap();
        assert_eq!(bytes(dir.path()), bytes(again.path()), "segment {number}");
    }
}

/// Rows of an import, as `request`.
fn rows(file: u64, first: u64, count: u32, len: usize) -> RequestFrames {
    let mut frames = RequestFrames::new(source("web"), UnixMillis(NOON), 0);
    let last_row = first + u64::from(count) - 1;
    let origin = Origin { file, first_row: first, last_row };
    frames.set_import(ImportStep { origin, rejected: 0, known: 0, text: None });
    for line in numbered(1_000_000 + u32::try_from(first).unwrap(), count, len) {
        frames.line().extend_from_slice(line.as_bytes());
        frames.call(u128::from(crc32c::crc32c(line.as_bytes())) << 32 | 1);
    }
    frames.end_import_step();
    frames
}

/// An import of more rows than the window holds leaves the calls of clients in it: also after a restart, when
/// the segments of both are delivered and their fingerprints are in files, which do not grow with the import.
#[test]
fn an_import_of_any_size_pushes_no_call_out_of_the_window() {
    let dir = tempfile::tempdir().unwrap();
    let clock = || Arc::new(TestClock(AtomicI64::new(NOON)));
    let small = || SpoolOptions { dedupe_max: 1_000, max_bytes: 50_000_000, ..options() };
    let open = || {
        let disk = Arc::new(RealDisk::open(dir.path()).unwrap());
        stepped::Stepped::open(disk, small(), clock(), &Counting::default(), Arc::new(Metrics::new()))
            .unwrap()
            .0
    };
    let mut spool = open();
    let sent = || request("web", &numbered(0, 100, 10));
    assert_eq!(spool.append([sent()]).unwrap().first().unwrap().stored, 100);
    let file = spool.imports().begin_import(ImportKey(7), ImportProgress::default()).unwrap().file;
    for step in 0..500_u64 {
        let group = || [rows(file, step * 10, 10, 500)];
        if spool.append(group()) == Err(AppendError::Full) {
            spool.keep().unwrap();
            spool.append(group()).unwrap();
        }
        spool.keep().unwrap();
    }
    let repeats = |spool: &mut stepped::Stepped| {
        let took = spool.append([sent()]).unwrap();
        took.first().unwrap().repeats
    };
    assert_eq!(repeats(&mut spool), 100);
    drop(spool);
    assert_eq!(repeats(&mut open()), 100);
}

/// Rows of an import with keys: those among these numbers that repeat none. Returns how many do not.
fn keyed_rows(
    spool: &mut stepped::Stepped,
    (file, first): (u64, u64),
    numbers: std::ops::Range<u64>,
    now: UnixMillis,
) -> Result<u64, RowsUnknown> {
    let hashes: Vec<u128> = numbers.clone().map(u128::from).collect();
    let keys = spool.imports().rows_to_store(&source("web"), &hashes, now, WEEK)?;
    let request = || {
        let mut frames = RequestFrames::new(source("web"), now, 0);
        let last_row = first + numbers.end - numbers.start - 1;
        let origin = Origin { file, first_row: first, last_row };
        let known = keys.iter().filter(|key| key.is_none()).count() as u64;
        frames.set_import(ImportStep { origin, rejected: 0, known, text: None });
        let mut lines = Vec::new();
        for (number, key) in numbers.clone().zip(&keys) {
            let Some(key) = key else { continue };
            let line = u32::try_from(lines.len() * 2).unwrap();
            lines.push((line..line + 2, *key));
            // A row gives two calls.
            for call in 0..2 {
                let text = format!("{{\"n\":{number},\"call\":{call},\"pad\":\"{}\"}}", "x".repeat(500));
                frames.line().extend_from_slice(text.as_bytes());
                frames.call(0);
            }
        }
        frames.set_row_keys(&lines);
        frames.end_import_step();
        frames
    };
    let stored = match spool.append([request()]) {
        Err(AppendError::Full) => {
            spool.keep().unwrap();
            spool.append([request()]).unwrap()
        }
        stored => stored.unwrap(),
    };
    spool.keep().unwrap();
    let new = keys.iter().flatten().count() as u64;
    assert_eq!((u64::from(stored[0].stored), stored[0].repeats), (new * 2, 0));
    Ok(new)
}

const WEEK: Duration = Duration::from_secs(7 * 86_400);

/// Opens a spool without threads at a time.
fn stepped_at(dir: &Path, options: SpoolOptions, at: UnixMillis) -> stepped::Stepped {
    let (disk, clock) = (Arc::new(RealDisk::open(dir).unwrap()), Arc::new(TestClock(AtomicI64::new(at.0))));
    stepped::Stepped::open(disk, options, clock, &Counting::default(), Arc::new(Metrics::new())).unwrap().0
}

/// Delivers all rows, and lets the housekeeper release their segments.
fn deliver_rows(spool: &mut stepped::Stepped) {
    let log = spool.log();
    let last = log.open_batch(&key("web")).unwrap().last;
    let seal = seal_in(&*log, &key("web"), last);
    log.commit(&seal, None).unwrap();
    drop(log);
    spool.keep().unwrap();
}

fn key_files(dir: &Path) -> Vec<String> {
    let names = names_in(dir).into_iter().map(|(name, _)| name);
    let mut names: Vec<String> = names.filter(|name| name.starts_with("keys-")).collect();
    names.sort();
    names
}

fn format_of(dir: &Path) -> u64 {
    let ident: serde_json::Value = serde_json::from_slice(&fs::read(dir.join("IDENT")).unwrap()).unwrap();
    ident["format"].as_u64().unwrap()
}

#[test]
fn rows_are_known_by_their_keys_until_the_window_is_over_whatever_becomes_of_their_segments() {
    let dir = tempfile::tempdir().unwrap();
    let now = UnixMillis(NOON);
    let mut spool = stepped_at(dir.path(), options(), now);
    let file = spool.imports().begin_import(ImportKey(7), ImportProgress::default()).unwrap().file;
    append_call(&mut spool);
    assert_eq!(format_of(dir.path()), 3, "earlier releases can still open it");
    for step in 0..100 {
        let first = step * 10;
        assert_eq!(keyed_rows(&mut spool, (file, first), first..first + 10, now).unwrap(), 10);
    }
    assert_eq!(format_of(dir.path()), 4);
    // Half of the next step's rows repeat earlier ones; equal rows within a step are found, too.
    assert_eq!(keyed_rows(&mut spool, (file, 1_000), 995..1_005, now).unwrap(), 5);
    let twice = spool.imports().rows_to_store(&source("web"), &[1_u128 << 90, 1 << 90], now, WEEK).unwrap();
    assert!(twice[0].is_some() && twice[1].is_none(), "{twice:?}");
    let other = spool.imports().rows_to_store(&source("ios"), &[5], now, WEEK).unwrap();
    assert!(other[0].is_some(), "another source");
    let first_row = 1_010;
    deliver_rows(&mut spool);
    assert!(spool.log().usage().segments <= 2, "{:?}", spool.log().usage());
    assert!(!key_files(dir.path()).is_empty());
    drop(spool);
    // A kill, and the clean files of one.
    let mut spool = stepped_at(dir.path(), options(), now.plus(WEEK));
    assert_eq!(keyed_rows(&mut spool, (file, first_row), 0..1_005, now.plus(WEEK)).unwrap(), 0);
    let copied = tempfile::tempdir().unwrap();
    copy(dir.path(), copied.path());
    assert!(verify(&View::open(copied.path()).unwrap(), &mut |_, _| ()).unwrap().sound);
    // The window is over.
    let later = now.plus(WEEK + Duration::from_secs(1));
    let again = spool.imports().rows_to_store(&source("web"), &[5], later, WEEK).unwrap();
    assert!(again[0].is_some());
    let shorter =
        spool.imports().rows_to_store(&source("web"), &[5], later, Duration::from_secs(60)).unwrap();
    assert!(shorter[0].is_some());
    drop(spool);
    let mut spool = stepped_at(dir.path(), options(), now.plus(WEEK * 2));
    spool.keep().unwrap();
    assert_eq!(key_files(dir.path()), Vec::<String>::new(), "removed as a whole");
    assert_eq!(keyed_rows(&mut spool, (file, first_row + 1_005), 0..10, now.plus(WEEK * 2)).unwrap(), 10);
}

fn append_call(spool: &mut stepped::Stepped) {
    spool.append([request("ios", &numbered(0, 1, 10))]).unwrap();
}

#[test]
fn rows_wait_for_a_run_that_is_damaged_and_calls_do_not() {
    let dir = tempfile::tempdir().unwrap();
    let now = UnixMillis(NOON);
    let mut spool = stepped_at(dir.path(), options(), now);
    let file = spool.imports().begin_import(ImportKey(7), ImportProgress::default()).unwrap().file;
    for step in 0..60 {
        keyed_rows(&mut spool, (file, step * 10), step * 10..step * 10 + 10, now).unwrap();
    }
    deliver_rows(&mut spool);
    drop(spool);
    let damaged = key_files(dir.path()).remove(0);
    let mut bytes = fs::read(dir.path().join(&damaged)).unwrap();
    bytes[100] ^= 1;
    fs::write(dir.path().join(&damaged), bytes).unwrap();
    let copied = tempfile::tempdir().unwrap();
    copy(dir.path(), copied.path());
    let verified = verify(&View::open(copied.path()).unwrap(), &mut |_, _| ()).unwrap();
    assert!(!verified.sound && format!("{:?}", verified.findings).contains(&damaged), "{verified:?}");
    let mut spool = stepped_at(dir.path(), options(), now);
    let refused = keyed_rows(&mut spool, (file, 600), 600..610, now).unwrap_err();
    assert!(refused.to_string().contains(&damaged), "{refused}");
    append_call(&mut spool);
    assert!(keyed_rows(&mut spool, (file, 600), 600..610, now.plus(WEEK + Duration::from_secs(1))).is_ok());
    drop(spool);
    fs::remove_file(dir.path().join(&damaged)).unwrap();
    let mut spool = stepped_at(dir.path(), options(), now);
    let refused = keyed_rows(&mut spool, (file, 610), 610..620, now).unwrap_err();
    assert!(refused.to_string().contains("it is missing"), "{refused}");
    append_call(&mut spool);
}

#[test]
fn rows_wait_while_their_keys_have_a_tenth_of_the_spool_and_calls_do_not() {
    let dir = tempfile::tempdir().unwrap();
    let now = UnixMillis(NOON);
    let small = SpoolOptions { max_bytes: 8 * SEGMENT, ..options() };
    let mut spool = stepped_at(dir.path(), small, now);
    let imports = spool.imports();
    let most = 8 * SEGMENT / 10 / 4_096 * 255;
    let rows = |count: u64| (0..u128::from(count)).collect::<Vec<_>>();
    assert!(imports.rows_to_store(&source("web"), &rows(most), now, WEEK).is_ok());
    let full = imports.rows_to_store(&source("web"), &rows(most + 1), now, WEEK).unwrap_err();
    assert_eq!(full, RowsUnknown::Full { max: 8 * SEGMENT / 10 });
    append_call(&mut spool);
}

/// A batch whose first frames in a segment were delivered before the segment was closed: positions of other
/// sources lie between the delivered frames and the rest.
#[test]
fn an_index_need_not_name_frames_that_were_delivered_before_it_was_written() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = open(dir.path());
    append(&spool, request("web", &numbered(0, 5, 10))).unwrap();
    append(&spool, request("ios", &numbered(0, 1, 10))).unwrap();
    let seal = seal_through(&spool, &key("web"), 5);
    spool.log().commit(&seal, None).unwrap();
    for n in 0..6 {
        append(&spool, request("web", &numbered(100 + n, 1, 100_000))).unwrap();
    }
    spool.close();
    let view = View::open(dir.path()).unwrap();
    let verified = verify(&view, &mut |_, _| ()).unwrap();
    assert!(verified.checked.indexes > 0, "a segment was closed");
    assert!(verified.sound, "{verified:?}");
}

#[test]
fn no_fingerprints_are_kept_if_dedupe_is_off() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(RealDisk::open(dir.path()).unwrap());
    let clock = Arc::new(TestClock(AtomicI64::new(NOON)));
    let off = SpoolOptions { dedupe_max: 0, ..options() };
    let opened = stepped::Stepped::open(disk, off, clock, &Counting::default(), Arc::new(Metrics::new()));
    let (mut spool, _) = opened.unwrap();
    for number in 0..100 {
        let group = || [request("web", &numbered(number * 10, 10, 500))];
        if spool.append(group()) == Err(AppendError::Full) {
            spool.keep().unwrap();
            spool.append(group()).unwrap();
        }
    }
    let index = shared::lock(&spool.log.shared.index);
    assert!(index.segments.len() > 2, "{}", index.segments.len());
    assert!(index.segments.values().all(|segment| segment.fingerprints.is_none()));
}

/// What a second reader gets from `read_through` on.
fn followed(spool: &Spool, read_through: &mut ReadThrough) -> Vec<String> {
    followed_in(&*spool.follow(), read_through)
}

fn followed_in(log: &dyn Follow, read_through: &mut ReadThrough) -> Vec<String> {
    let mut lines = Vec::new();
    let read = log.follow(read_through, &mut |read| {
        match read {
            Read::Frame(frame) if frame.stream().is_some() => {
                lines.push(String::from_utf8(frame.payload.to_vec()).unwrap());
            }
            Read::Frame(_) => {}
            Read::Lost(range) => lines.push(format!("lost {}-{}", range.first, range.last)),
        }
        Ok(Go::On)
    });
    read.unwrap();
    lines
}

#[test]
fn a_second_reader_gets_every_line_in_order_whatever_its_batch() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = open(dir.path());
    let (mut read_through, mut all) = (ReadThrough::after(0), Vec::new());
    assert_eq!((followed(&spool, &mut read_through), spool.follow().durable_through()), (Vec::new(), 0));
    for round in 0..40 {
        let new = numbered(round * 20, 20, 1_000);
        let source = if round % 3 == 0 { "ios" } else { "web" };
        append(&spool, request(source, &new)).unwrap();
        assert_eq!(followed(&spool, &mut read_through), new, "round {round}");
        assert_eq!(read_through.through, spool.follow().durable_through());
        all.extend(new);
    }
    assert!(spool.log().usage().segments > 2);
    assert_eq!(followed(&spool, &mut ReadThrough::after(0)), all);
    assert_eq!(followed(&spool, &mut ReadThrough::after(333)), all[333..]);
    // It can stop anywhere, even within a block.
    let (mut read_through, mut some) = (ReadThrough::after(0), Vec::new());
    while read_through.through < 800 {
        let before = read_through.through;
        let mut passed = 0;
        let read = spool.follow().follow(&mut read_through, &mut |read| {
            let Read::Frame(frame) = read else { panic!("nothing is lost") };
            some.push(String::from_utf8(frame.payload.to_vec()).unwrap());
            passed += 1;
            Ok(if passed == 7 { Go::Stop } else { Go::On })
        });
        read.unwrap();
        assert!(read_through.through > before);
    }
    assert_eq!(some, all);
}

#[test]
fn what_a_second_reader_has_not_read_stays_until_it_has_even_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let open_holding = |after: Option<u64>| {
        let disk = Arc::new(RealDisk::open(dir.path()).unwrap());
        let clock = Arc::new(TestClock(AtomicI64::new(NOON)));
        let options = SpoolOptions { hold_after: after, ..options() };
        Spool::open(disk, options, clock, &Counting::default(), Arc::new(Metrics::new())).unwrap().0
    };
    let all = numbered(0, 1_000, 1_000);
    let spool = open_holding(Some(100));
    for piece in all.chunks(50) {
        append(&spool, request("web", piece)).unwrap();
    }
    let seal = seal_through(&spool, &key("web"), 1_000);
    spool.log().commit(&seal, None).unwrap();
    let still_there = |spool: &Spool| {
        let read = followed(spool, &mut ReadThrough::after(100));
        assert!(read == all[100..], "{} lines, the first is {:.12}", read.len(), read[0]);
    };
    still_there(&spool);
    spool.close();

    let spool = open_holding(Some(100));
    still_there(&spool);
    let held = spool.follow().held_bytes();
    assert!(held > 0);
    // As much is released as was asked for, and less than a segment more.
    let (half, all_held) = (spool.follow().held_end(held / 2), spool.follow().held_end(u64::MAX));
    assert!(100 < half && half < all_held && all_held <= 1_000, "{half}, {all_held}");
    assert_eq!((spool.follow().held_end(held), spool.follow().held_end(0)), (all_held, 0));
    spool.follow().hold_after(Some(half));
    assert!(spool.follow().held_bytes() <= held - held / 2);
    let files = || {
        fs::read_dir(dir.path())
            .unwrap()
            .filter(|file| {
                file.as_ref().unwrap().path().extension().is_some_and(|extension| extension == "seg")
            })
            .count()
    };
    let before = files();
    spool.follow().hold_after(Some(1_000));
    let mut looks = 0;
    while spool.follow().held_bytes() > 0 || files() >= before {
        looks += 1;
        assert!(looks < 4_000, "{} files are kept", files());
        std::thread::sleep(Duration::from_millis(5));
    }
    spool.close();
    let spool = open_holding(None);
    // The last segment was never closed, and is copied.
    let read = followed(&spool, &mut ReadThrough::after(100));
    assert!(read.len() < 300 && all.ends_with(&read), "{} lines", read.len());
}

#[test]
fn a_spool_full_of_what_a_second_reader_keeps_takes_dead_letters_and_frees_their_space() {
    let dir = tempfile::tempdir().unwrap();
    let open = || {
        let disk = Arc::new(RealDisk::open(dir.path()).unwrap());
        let clock = Arc::new(TestClock(AtomicI64::new(NOON)));
        let options = SpoolOptions {
            max_bytes: 10 * SEGMENT,
            manifest_bytes: 32_768,
            hold_after: Some(0),
            ..options()
        };
        Spool::open(disk, options, clock, &Counting::default(), Arc::new(Metrics::new())).unwrap().0
    };
    let mut spool = open();
    let mut stored = 0;
    let call = |n: u32| request("web", &numbered(n, 1, 1_000));
    while append(&spool, call(stored)).is_ok() {
        stored += 1;
        assert!(stored < 10_000, "ten segments cannot hold 10 MB");
    }
    let last = spool.log().open_batch(&key("web")).unwrap().last;
    let seal = seal_through(&spool, &key("web"), last);
    spool.log().commit(&seal, None).unwrap();
    let dead = Stream::Dead(source("crm"));
    let of_dead = BatchKey { stream: dead.clone(), ..key("web") };
    let deliver = |spool: &Spool| {
        let Some(batch) = spool.log().open_batch(&of_dead).filter(|batch| batch.frames > 0) else { return };
        let seal = seal_through(spool, &of_dead, batch.last);
        spool.log().commit(&seal, None).unwrap();
    };
    let (mut bytes, mut refused) = (0, 0);
    for n in 0.. {
        if bytes > 15 * SEGMENT {
            break;
        }
        if n % 1_000 == 999 {
            spool.close();
            spool = open();
        }
        let line = numbered(1_000_000 + n, 1, 1_000).remove(0);
        let letter = || request_in(dead.clone(), "web", std::slice::from_ref(&line));
        while let Err(error) = append(&spool, letter()) {
            assert_eq!(error, AppendError::Full);
            deliver(&spool);
            refused += 1;
            assert!(refused < 10_000_000, "{bytes} bytes of dead letters, and no more are taken");
            std::thread::yield_now();
        }
        bytes += line.len() as u64;
        assert_eq!(append(&spool, call(stored)), Err(AppendError::Full), "a call took their space");
    }
    let mut calls = followed(&spool, &mut ReadThrough::after(0));
    calls.truncate(stored as usize);
    assert!(calls == numbered(0, stored, 1_000), "{} of {stored} calls are kept", calls.len());
    // Once the calls are given up, there is space for others.
    spool.follow().hold_after(Some(spool.follow().durable_through()));
    while append(&spool, call(stored)).is_err() {
        deliver(&spool);
        refused += 1;
        assert!(refused < 200_000, "the spool is still full");
        std::thread::yield_now();
    }
    assert!(spool.log().usage().used <= 10 * SEGMENT);
}

fn open_stepped(dir: &Path, options: SpoolOptions) -> Stepped {
    let disk = Arc::new(RealDisk::open(dir).unwrap());
    let clock = Arc::new(TestClock(AtomicI64::new(NOON)));
    Stepped::open(disk, options, clock, &Counting::default(), Arc::new(Metrics::new())).unwrap().0
}

/// Delivers all frames of a batch.
fn deliver(log: &dyn Log, key: &BatchKey) {
    let batch = log.open_batch(key).unwrap();
    let seal = seal_in(log, key, batch.last);
    log.commit(&seal, None).unwrap();
}

#[test]
fn what_was_released_in_the_middle_of_a_continued_segment_is_not_lost() {
    let (dir, copied) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let holding =
        |max_bytes: u64| SpoolOptions { max_bytes, manifest_bytes: 32_768, hold_after: Some(0), ..options() };
    let mut spool = open_stepped(dir.path(), holding(10 * SEGMENT));
    let of_dead = BatchKey { stream: Stream::Dead(source("crm")), ..key("web") };
    // The last segment of calls has space for a short one.
    let mut fill = |key: &BatchKey, from: u32, len: usize| {
        (from..)
            .take_while(|n| {
                let request = request_in(key.stream.clone(), "web", &numbered(*n, 1, len));
                let stored = spool.append([request]);
                spool.keep().unwrap();
                stored.is_ok()
            })
            .count()
    };
    let (calls, letters) = (fill(&key("web"), 0, 60_000), fill(&of_dead, 1_000_000, 1_000));
    assert!(letters > 100, "{letters}");
    deliver(&*spool.log(), &of_dead);
    spool.keep().unwrap();
    copy(dir.path(), copied.path());
    // An index is only a cache. Without one, the last segment that has frames is continued.
    for file in fs::read_dir(copied.path()).unwrap().map(|file| file.unwrap().path()) {
        if file.extension().is_some_and(|extension| extension == "idx") {
            fs::remove_file(file).unwrap();
        }
    }
    let mut spool = open_stepped(copied.path(), holding(100 * SEGMENT));
    let mut all = numbered(0, u32::try_from(calls).unwrap(), 60_000);
    all.extend(numbered(500_000, 1, 1_000));
    spool.append([request("web", &all[calls..])]).unwrap();
    let mut read_through = ReadThrough::after(0);
    assert!(followed_in(&*spool.follow(), &mut read_through) == all, "all calls, and nothing lost");
    assert_eq!(read_through.through, all.len() as u64 + letters as u64);
}

#[test]
fn a_second_reader_is_told_of_positions_whose_segments_are_gone() {
    let dir = tempfile::tempdir().unwrap();
    let held = SpoolOptions { hold_after: Some(0), ..options() };
    let mut spool = open_stepped(dir.path(), held.clone());
    let all = numbered(0, 1_000, 1_000);
    for line in &all {
        while spool.append([request("web", std::slice::from_ref(line))]).is_err() {
            spool.keep().unwrap();
        }
    }
    // The archive has everything: the segments are kept for the second reader alone.
    deliver(&*spool.log(), &key("web"));
    spool.keep().unwrap();
    let segments: Vec<(u64, u64, u64)> = {
        let index = shared::lock(&spool.log.shared.index);
        index.segments.iter().map(|(number, state)| (*number, state.first, state.last)).collect()
    };
    assert!(segments.len() > 3 && segments.iter().all(|(_, first, _)| *first > 0), "{segments:?}");
    drop(spool);
    let mut told = all;
    for (number, first, last) in [segments[0], segments[2]] {
        fs::remove_file(dir.path().join(segment::segment_name(number))).unwrap();
        let range = usize::try_from(first - 1).unwrap()..usize::try_from(last).unwrap();
        told[range.clone()].fill(String::new());
        told[range.start] = format!("lost {first}-{last}");
    }
    told.retain(|line| !line.is_empty());
    // A note of the loss stays until it was read, however often the spool is opened.
    for _ in 0..3 {
        let spool = open_stepped(dir.path(), held.clone());
        assert_eq!(followed_in(&*spool.follow(), &mut ReadThrough::after(0)), told);
        let (first, last) = (segments[2].1, segments[2].2);
        let some = followed_in(&*spool.follow(), &mut ReadThrough::after(first + 4));
        assert_eq!(some[0], format!("lost {}-{last}", first + 5));
        assert!(followed_in(&*spool.follow(), &mut ReadThrough::after(last))[0].starts_with('{'));
    }
    let read = open_stepped(dir.path(), SpoolOptions { hold_after: Some(told.len() as u64), ..options() });
    let lost = read.log.shared.state().calls.lost.clone();
    assert_eq!(
        lost,
        [Range { first: segments[2].1, last: segments[2].2 }.into()],
        "the older one is read and forgotten"
    );
}

#[test]
fn a_segment_that_is_released_and_overwritten_while_it_is_read_is_not_lost() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = open_stepped(dir.path(), SpoolOptions { hold_after: Some(0), ..options() });
    for line in numbered(0, 2_000, 1_000) {
        while spool.append([request("web", std::slice::from_ref(&line))]).is_err() {
            spool.keep().unwrap();
        }
    }
    let (log, follow) = (spool.log(), spool.follow());
    let (mut read, mut lost) = (0, Vec::new());
    follow
        .follow(&mut ReadThrough::after(0), &mut |found| {
            match found {
                Read::Lost(range) => lost.push(range),
                Read::Frame(_) => read += 1,
            }
            if read == 1 {
                follow.hold_after(Some(follow.durable_through()));
                deliver(&*log, &key("web"));
                for line in numbered(1_000_000, 2_000, 1_000) {
                    while spool.append([request("web", std::slice::from_ref(&line))]).is_err() {
                        spool.keep().unwrap();
                    }
                }
            }
            Ok(Go::On)
        })
        .unwrap();
    assert_eq!(lost, []);
    assert!(read < 2_000, "{read} frames: nothing was overwritten");
}

#[test]
fn a_second_reader_learns_what_is_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = open(dir.path());
    let all = numbered(0, 40, 100);
    for piece in all.chunks(10) {
        append(&spool, request("web", piece)).unwrap();
    }
    for entry in fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "seg") {
            let mut bytes = fs::read(&path).unwrap();
            if let Some(at) = memchr::memmem::find(&bytes, b"{\"n\":15,") {
                bytes[at + 3] ^= 0x40;
                fs::write(&path, bytes).unwrap();
            }
        }
    }
    let mut read_through = ReadThrough::after(0);
    let read = followed(&spool, &mut read_through);
    let expected: Vec<String> =
        all[..15].iter().cloned().chain(["lost 16-16".to_owned()]).chain(all[16..].iter().cloned()).collect();
    assert_eq!((read, read_through.through), (expected, 40));
}

/// The options of a cache: the log that it is filled from found the repeats, and decided what it takes.
fn cache() -> SpoolOptions {
    SpoolOptions { holds: Holds::Cache, dedupe_max: 0, new_streams: NewStreams::Any, ..options() }
}

/// The positions and lines of `web`.
fn positions(log: &dyn Log) -> Vec<(u64, String)> {
    let mut found = Vec::new();
    log.read(&key("web"), 0, u64::MAX, &mut |read| {
        match read {
            Read::Frame(frame) => {
                found.push((frame.position, String::from_utf8(frame.payload.to_vec()).unwrap()));
            }
            Read::Lost(range) => panic!("{range:?} is lost"),
        }
        Ok(Go::On)
    })
    .unwrap();
    found
}

#[test]
fn a_cache_keeps_the_numbers_that_frames_have_stores_repeats_and_syncs_no_block() {
    let dir = tempfile::tempdir().unwrap();
    let mut cache = open_stepped(dir.path(), cache());
    let all = numbered(0, 400, 1_000);
    // As records have them: up to 4,095 frames from the position after a multiple of 4,096 on.
    let mut expected = Vec::new();
    for (record, lines) in (1_u64..).zip(all.chunks(10)) {
        let first = record * 4_096 + 1;
        while cache.put_numbered(first, [request("web", lines)]) == Err(AppendError::Full) {
            cache.keep().unwrap();
        }
        expected.extend((first..).zip(lines.iter().cloned()));
    }
    let again = 100 * 4_096;
    cache.put_numbered(again, [request("web", &all[..1]), request("ios", &all[..1])]).unwrap();
    expected.push((again, all[0].clone()));
    assert!(cache.log().usage().segments > 1, "some of them are closed");
    assert_eq!(positions(&*cache.log()), expected);
    assert_eq!(cache.log().open_batch(&key("web")).unwrap().frames, 401);
    assert_eq!(cache.log.shared.metrics.sync_seconds.recent().count, 0);
    // What is delivered is let go as in a spool.
    let seal = seal_in(&*cache.log(), &key("web"), 20 * 4_096);
    cache.log().commit(&seal, None).unwrap();
    let open = cache.log().open_batch(&key("web")).unwrap();
    assert_eq!((open.first, open.frames), (20 * 4_096 + 1, 401 - 190));
    cache.keep().unwrap();
    assert_eq!(cache.log().ledger(crate::log::Rows::All).accounts, [], "its log keeps them");
}

#[test]
fn frames_of_a_cache_are_never_numbered_twice_nor_left_out() {
    let check = |options: SpoolOptions, stream: &Stream, firsts: &[u64], stops: bool| {
        let dir = tempfile::tempdir().unwrap();
        let mut cache = open_stepped(dir.path(), options);
        let line = numbered(0, 1, 100);
        let frames = || request_in(stream.clone(), "web", &line);
        let put: Vec<_> = firsts.iter().map(|first| cache.put_numbered(*first, [frames()])).collect();
        assert_eq!(put.last().unwrap().is_err(), stops, "{firsts:?} {put:?}");
        assert_eq!(cache.log().is_stopped(), stops, "{firsts:?}");
    };
    let (calls, dead) = (Stream::Calls, Stream::Dead(source("crm")));
    check(cache(), &calls, &[5, 6], false);
    check(cache(), &dead, &[5, 6], false);
    check(cache(), &calls, &[5, 5], true);
    check(SpoolOptions { dedupe_max: 10, ..cache() }, &calls, &[5], true);
    check(SpoolOptions { new_streams: NewStreams::UpTo(0), ..cache() }, &dead, &[5], true);
    check(options(), &calls, &[5], true);
}

/// In a cache that is no loss, and gaps between blocks are no frames.
#[test]
fn damage_is_a_loss_in_a_spool_and_in_a_cache_a_reason_to_read_again() {
    let check = |options: SpoolOptions, without_index: bool| {
        let dir = tempfile::tempdir().unwrap();
        let is_cache = options.holds == Holds::Cache;
        let mut spool = open_stepped(dir.path(), options);
        let all = numbered(0, 400, 1_000);
        for (number, lines) in (0_u64..).zip(all.chunks(10)) {
            let put = |spool: &mut Stepped| match is_cache {
                true => spool.put_numbered(number * 4_096 + 1, [request("web", lines)]).map(drop),
                false => spool.append([request("web", lines)]).map(drop),
            };
            while put(&mut spool) == Err(AppendError::Full) {
                spool.keep().unwrap();
            }
        }
        spool.keep().unwrap();
        let mut indexes = 0;
        for (name, bytes) in names_in(dir.path()) {
            let path = dir.path().join(&name);
            if without_index && name.ends_with(".idx") {
                indexes += 1;
                fs::write(path, vec![0; bytes.len()]).unwrap();
            } else if let Some(at) =
                memchr::memmem::find(&bytes, b"{\"n\":12,").filter(|_| name.ends_with(".seg"))
            {
                let file = fs::OpenOptions::new().write(true).open(path).unwrap();
                std::os::unix::fs::FileExt::write_all_at(&file, b"#", at as u64 + 3).unwrap();
            }
        }
        assert_eq!(indexes > 0, without_index);
        let mut lost = Vec::new();
        let read = spool.log().read(&key("web"), 0, u64::MAX, &mut |read| {
            if let Read::Lost(range) = read {
                lost.push(range);
            }
            Ok(Go::On)
        });
        let marked = lock(&spool.log.shared.index).segments.values().any(|state| state.damaged);
        if is_cache {
            let error = read.unwrap_err();
            let why = error.get_ref().and_then(|why| why.downcast_ref::<CacheDamaged>());
            assert!(why.is_some() && lost.is_empty() && !marked, "{error} {lost:?}");
        } else {
            read.unwrap();
            assert_eq!((lost, marked), (vec![Range { first: 13, last: 13 }], true));
        }
    };
    for without_index in [false, true] {
        check(options(), without_index);
        check(cache(), without_index);
    }
}

/// Its index is damaged, and every frame can still be found.
#[test]
fn a_cache_without_an_index_names_nothing_between_its_blocks_as_lost() {
    let dir = tempfile::tempdir().unwrap();
    let mut cache = open_stepped(dir.path(), cache());
    let all = numbered(0, 400, 1_000);
    for (record, lines) in (1_u64..).zip(all.chunks(10)) {
        while cache.put_numbered(record * 4_096, [request("web", lines)]) == Err(AppendError::Full) {
            cache.keep().unwrap();
        }
    }
    cache.keep().unwrap();
    for (name, bytes) in names_in(dir.path()).into_iter().filter(|(name, _)| name.ends_with(".idx")) {
        fs::write(dir.path().join(name), vec![0; bytes.len()]).unwrap();
    }
    assert_eq!(positions(&*cache.log()).len(), 400);
}
