//! Rows with keys, cut short at every change of the disk: of two rows with one key within the window none but the
//! first is stored, and no row is lost, although segments are delivered and days pass.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::time::Duration;

use forebay::batch::BatchKey;
use forebay::call::LineSink as _;
use forebay::log::frame::Origin;
use forebay::log::{
    AppendError, Encoded, Go, ImportKey, ImportProgress, ImportStep, Log, Read, RequestFrames, Seal,
};
use forebay::object::{BucketString, Encryption, ObjectKey, ObjectName, S3Location};
use forebay::sources::SourceId;
use forebay::spool::Stepped;
use forebay::time::{DAY_MS, UnixMillis};
use serde_json::Value;

use super::found::{NOON, options, try_open_at};
use crate::support::sim_disk::{Dice, SimDisk, Trouble};

const WINDOW: Duration = Duration::from_secs(7 * 86_400);
/// Different keys of rows.
const KEYS: u64 = 40;
/// Lives of the process. They are two days apart, so keys leave the window and their runs are removed.
const LIVES: i64 = 6;
/// Steps of a life, and rows of a step.
const STEPS: i64 = 14;
const ROWS: u64 = 4;
/// More changes of the disk than a start makes.
const START_CHANGES: u64 = 60;

/// What the world outside knows.
#[derive(Clone, Debug, Default)]
struct Outside {
    /// The lines of rows in the bucket, by position.
    bucket: BTreeMap<u64, String>,
    /// When a step with a row was tried.
    tried: BTreeMap<u64, Vec<i64>>,
    /// The life that comes next.
    life: i64,
    acknowledged: u64,
}

fn text(error: impl Display) -> String {
    error.to_string()
}

fn web() -> SourceId {
    SourceId::new("web").unwrap()
}

fn location() -> S3Location {
    S3Location::new(BucketString::parse("bucket").unwrap(), Encryption::None)
}

fn key_of(row: u64) -> u64 {
    Dice(row).below(KEYS)
}

/// Appends requests; if the open segment is full, the housekeeper makes the next one.
fn append(spool: &mut Stepped, frames: impl Fn() -> RequestFrames) -> Result<(), String> {
    let mut stored = spool.append([frames()]);
    if stored == Err(AppendError::Full) {
        spool.keep().map_err(text)?;
        stored = spool.append([frames()]);
    }
    stored.map(drop).map_err(text)
}

/// A call of a client, whose fingerprint is kept in a file of its own.
fn call(spool: &mut Stepped, number: i64, now: UnixMillis) -> Result<(), String> {
    append(spool, || {
        let mut frames = RequestFrames::new(SourceId::new("ios").unwrap(), now, 0);
        frames.line().extend_from_slice(format!("{{\"n\":{number}}}").as_bytes());
        frames.call(u128::try_from(number).unwrap() + 1);
        frames
    })
}

/// Stores the next step of the file, as an importer does.
fn step(
    spool: &mut Stepped,
    file: u64,
    first: u64,
    now: UnixMillis,
    outside: &mut Outside,
) -> Result<(), String> {
    let rows: Vec<u64> = (first..first + ROWS).collect();
    rows.iter().for_each(|row| outside.tried.entry(*row).or_default().push(now.0));
    let hashes: Vec<u128> = rows.iter().map(|row| u128::from(key_of(*row))).collect();
    let keys = spool.imports().rows_to_store(&web(), &hashes, now, WINDOW).map_err(text)?;
    let known = keys.iter().filter(|key| key.is_none()).count() as u64;
    append(spool, || {
        let mut frames = RequestFrames::new(web(), now, 0);
        let origin = Origin { file, first_row: first, last_row: first + ROWS - 1 };
        frames.set_import(ImportStep { origin, rejected: 0, known, text: None });
        let mut lines = Vec::new();
        for (row, key) in rows.iter().zip(&keys) {
            let Some(key) = key else { continue };
            let line = u32::try_from(lines.len()).unwrap();
            lines.push((line..line + 1, *key));
            let pad = "x".repeat(1_500);
            let text = format!("{{\"row\":{row},\"at\":{},\"pad\":\"{pad}\"}}", now.0);
            frames.line().extend_from_slice(text.as_bytes());
            frames.call(0);
        }
        frames.set_row_keys(&lines);
        frames.end_import_step();
        frames
    })?;
    outside.acknowledged = first + ROWS;
    Ok(())
}

/// Puts the frames of a seal and commits it.
fn put(log: &dyn Log, seal: &Seal, outside: &mut Outside) -> Result<(), String> {
    let mut lines = Vec::new();
    log.read(&seal.batch, seal.first - 1, seal.last, &mut |read| {
        let Read::Frame(frame) = read else { panic!("a frame is damaged") };
        lines.push((frame.position, String::from_utf8(frame.payload.to_vec()).unwrap()));
        Ok(Go::On)
    })
    .map_err(text)?;
    if seal.batch.source == web() {
        outside.bucket.extend(lines);
    }
    log.commit(seal, None).map_err(text)
}

fn deliver(spool: &mut Stepped, now: UnixMillis, outside: &mut Outside) -> Result<(), String> {
    let log = spool.log();
    let mut pending = Vec::new();
    log.each_pending_seal(&mut |seal| pending.push(seal.seal.clone()));
    pending.iter().try_for_each(|seal| put(&*log, seal, outside))?;
    let batches: Vec<BatchKey> = log.open_batches().into_iter().map(|batch| batch.key).collect();
    for key in batches {
        let Some(open) = log.open_batch(&key) else { continue };
        let (first, last) = (open.first.max(open.sealed_through + 1), open.last);
        let (mut frames, mut bytes, mut found) = (0, 0, None);
        log.read(&key, first - 1, last, &mut |read| {
            let Read::Frame(frame) = read else { panic!("a frame is damaged") };
            (frames, bytes) = (frames + 1, bytes + frame.payload.len() as u64 + 1);
            found = found.or(Some(frame.position));
            Ok(Go::On)
        })
        .map_err(text)?;
        let Some(first) = found else { continue };
        let encoded = Encoded {
            first,
            last,
            frames,
            bytes,
            sha256: String::new(),
            named_at: now,
            first_received_at: now,
            last_received_at: now,
            encoder: "test".into(),
            next_received_at: None,
            hours: Vec::new(),
        };
        let name = ObjectName {
            first_received_at: now,
            node: "n",
            spool_id: &log.spool_id(),
            first_position: first,
        };
        let object_key = ObjectKey::of_batch(&location().bucket, &key.stream, &key.source, key.day, name);
        let seal = log.seal(&key, &encoded, location(), object_key).map_err(text)?;
        put(&*log, &seal, outside)?;
    }
    Ok(())
}

fn life(disk: &SimDisk, outside: &mut Outside) -> Result<(), String> {
    let began = NOON.0 + outside.life * 2 * DAY_MS;
    let (mut spool, _) = try_open_at(disk, options(), UnixMillis(began)).map_err(text)?;
    let import = spool.imports().begin_import(ImportKey(7), ImportProgress::default()).map_err(text)?;
    let mut next = import.progress.next_row;
    assert!(next >= outside.acknowledged, "{next} of {}", outside.acknowledged);
    for number in 0..STEPS {
        let now = UnixMillis(began + number * 1_000);
        step(&mut spool, import.file, next, now, outside)?;
        next += ROWS;
        call(&mut spool, outside.life * STEPS + number, now)?;
        if number % 5 == 4 {
            deliver(&mut spool, now, outside)?;
        }
        spool.keep().map_err(text)?;
    }
    outside.life += 1;
    Ok(())
}

fn lives(disk: &SimDisk, outside: &mut Outside) -> Result<(), String> {
    while outside.life < LIVES {
        life(disk, outside)?;
    }
    Ok(())
}

/// Checks every row once all of them are in the bucket.
fn check(disk: &SimDisk, outside: &mut Outside, at: u64) {
    let now = UnixMillis(NOON.0 + LIVES * 2 * DAY_MS);
    let (mut spool, _) = try_open_at(disk, options(), now).unwrap();
    deliver(&mut spool, now, outside).unwrap();
    let rows = spool.imports().open_imports()[0].progress.next_row;
    let mut stored: BTreeMap<u64, i64> = BTreeMap::new();
    for line in outside.bucket.values() {
        let line: Value = serde_json::from_str(line).unwrap();
        let row = line["row"].as_u64().unwrap();
        let twice = stored.insert(row, line["at"].as_i64().unwrap());
        assert!(twice.is_none(), "row {row} is stored twice, cut short at change {at}");
    }
    let window = i64::try_from(WINDOW.as_millis()).unwrap();
    for row in 0..rows {
        let mut earlier =
            stored.range(..row).filter(|(other, _)| key_of(**other) == key_of(row)).map(|(_, at)| *at);
        match stored.get(&row) {
            Some(stored_at) => {
                let pair = earlier.find(|earlier| *earlier >= stored_at - window);
                assert!(pair.is_none(), "row {row} repeats one of {pair:?}, cut short at change {at}");
            }
            None => {
                let tried = &outside.tried[&row];
                let is_repeat = earlier.any(|earlier| tried.iter().any(|at| earlier >= at - window));
                assert!(is_repeat, "row {row} is lost, cut short at change {at}");
            }
        }
    }
    let all = stored.len() as u64;
    assert!(
        all > KEYS && all < rows,
        "{all} of {rows} rows are stored: some repeat, and some come after the window"
    );
}

/// Cuts lives short at every `stride`th change of the disk.
fn cut_short_every(stride: u64) {
    for at in (0..).step_by(usize::try_from(stride).unwrap()) {
        let (disk, mut dice, mut outside) = (SimDisk::default(), Dice(at), Outside::default());
        disk.trouble(at, Trouble::Crash);
        let whole = lives(&disk, &mut outside).is_ok();
        // A process that was killed, while the machine runs on: the next one reads what is not synced.
        let killed = disk.copy();
        let mut outside_killed = outside.clone();
        killed.trouble(dice.below(START_CHANGES), Trouble::Crash);
        let ended = lives(&killed, &mut outside_killed);
        assert!(ended.is_err() || whole, "cut short at change {at}");
        for (disk, mut outside) in [(disk, outside), (killed, outside_killed)] {
            disk.crash(&mut dice);
            lives(&disk, &mut outside).unwrap();
            check(&disk, &mut outside, at);
        }
        if whole {
            assert!(at > 150, "{at}");
            return;
        }
    }
}

#[test]
fn no_pair_within_the_window_is_stored_wherever_the_spool_is_cut_short() {
    cut_short_every(11);
}

#[test]
#[ignore = "long: tests/long"]
fn no_pair_within_the_window_is_stored_at_any_change_of_the_disk() {
    cut_short_every(1);
}
