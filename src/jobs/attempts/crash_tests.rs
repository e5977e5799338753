//! Logs on disks that stop, tear and rot.

use std::collections::{BTreeMap, BTreeSet};

use super::entry::{Change, Mark, attempt_body, change_body, mark_body, result_body};
use super::frame::{FIRST_VERSION, HEADER, VERSION, header_of, push_frame};
use super::log::{AttemptsLog, PENDING_BYTES_MAX, ResultNumber, create};
use super::logged::{LoggedAttempt, LoggedText};
use super::peek::peek;
use super::replay::{Replayed, Visit, read};
use super::{LOG, LogError};
use crate::jobs::job::crash_disk::{CrashDisk, Dice};
use crate::jobs::job::id::JobId;
use crate::jobs::job::state::{FAILURES_MAX, JobState, Priority};
use crate::jobs::job::status::{Failure, FailureClass, Status, UPDATE_REASON_MAX, first_chars};
use crate::jobs::job::wish::{Answer, WishId};
use crate::jobs::task::TaskResult;
use crate::time::UnixMillis;

fn job() -> JobId {
    JobId::random(&Dice::new(7))
}

fn change(status: Status, at: i64) -> Change {
    let state = JobState { status, ..JobState::new(Priority::default(), UnixMillis(at)) };
    Change { at: UnixMillis(at), state, wish: None }
}

fn result(row: u64) -> TaskResult {
    let succeeded = !row.is_multiple_of(3);
    TaskResult {
        row,
        succeeded,
        http_status: succeeded.then_some(200),
        error_code: if succeeded { String::new() } else { "PermanentFailure".to_owned() },
        message: format!("row {row}, \"ü\"\n{}", "x".repeat(usize::try_from(row % 50).unwrap())),
    }
}

fn new_log(seed: u64) -> CrashDisk {
    let disk = CrashDisk::new(seed);
    create(&disk, job(), &change(Status::New, 1)).unwrap();
    disk
}

type Seen = (Replayed, Vec<TaskResult>, Vec<(u64, u32, String)>);

fn seen(
    replay: impl FnOnce(&mut dyn FnMut(Visit<'_>) -> std::io::Result<()>) -> Result<Replayed, LogError>,
) -> Result<Seen, LogError> {
    let (mut results, mut attempts) = (Vec::new(), Vec::new());
    let replayed = replay(&mut |visit| {
        match visit {
            Visit::Results(result, count) => {
                results.extend(result.of_rows(count).map(|result| result.to_result()));
            }
            Visit::Attempt(attempt) => {
                attempts.push((attempt.row, attempt.attempts, attempt.cause.to_string()))
            }
        }
        Ok(())
    })?;
    Ok((replayed, results, attempts))
}

fn read_all(disk: &CrashDisk) -> Result<Seen, LogError> {
    seen(|visit| read(disk, job(), visit))
}

fn open(disk: &CrashDisk) -> Result<(AttemptsLog, Seen), LogError> {
    let mut log = None;
    let seen = seen(|visit| {
        let (opened, replayed) = AttemptsLog::open(disk, job(), visit)?;
        log = Some(opened);
        Ok(replayed)
    })?;
    Ok((log.unwrap(), seen))
}

#[test]
fn what_was_synced_reads_back_in_its_order() {
    let disk = new_log(1);
    let (mut log, (replayed, ..)) = open(&disk).unwrap();
    assert_eq!((replayed.state.status, replayed.succeeded), (Status::New, 0));
    assert_eq!(log.append_result(&result(5)).unwrap(), ResultNumber(1));
    log.append_attempt(9, 2, "timed out").unwrap();
    assert_eq!(log.append_result(&result(3)).unwrap(), ResultNumber(2));
    assert!(log.is_dirty() && log.synced().through == ResultNumber(0));
    let synced = log.sync(UnixMillis(1_200)).unwrap();
    assert_eq!((synced.through, synced.succeeded, synced.failed), (ResultNumber(2), 1, 1));
    log.change(&change(Status::Active, 1_400)).unwrap();
    log.append_result(&result(8)).unwrap();
    let (replayed, results, attempts) = read_all(&disk).unwrap();
    assert_eq!(results, [result(5), result(3)]);
    assert_eq!(attempts, [(9, 2, "timed out".to_owned())]);
    assert_eq!((replayed.state.status, replayed.last_seen), (Status::Active, UnixMillis(1_400)));
    let peeked = peek(&disk, job()).unwrap();
    assert_eq!((peeked.state, peeked.succeeded, peeked.failed), (replayed.state, 1, 1));
    // A process that ends without a sync loses what it did not sync, and nothing else.
    let (mut log, (replayed, results, _)) = open(&disk).unwrap();
    assert_eq!((results.len(), replayed.damage.ranges, replayed.torn_bytes), (2, 0, 0));
    log.append_result(&result(8)).unwrap();
    assert_eq!(log.sync(UnixMillis(1_000)).unwrap().succeeded, 2);
    assert_eq!(read_all(&disk).unwrap().0.last_seen, UnixMillis(1_400));
}

/// A log as releases before groups wrote it.
fn of_first_version() -> Vec<u8> {
    let mut bytes = header_of(FIRST_VERSION, job());
    let change = change_body(&change(Status::Active, 2)).unwrap();
    let attempt = attempt_body(LoggedAttempt { row: 9, attempts: 2, cause: LoggedText(b"timed out") });
    let mark = Mark { at: UnixMillis(3), succeeded: 1, failed: 1, change_at: HEADER as u64 };
    let bodies =
        [change.clone(), change, result_body(&result(5)), attempt, result_body(&result(3)), mark_body(mark)];
    for body in &bodies {
        let at = bytes.len() as u64;
        push_frame(&mut bytes, job(), at, body);
    }
    bytes
}

#[test]
fn a_log_of_the_first_version_is_read_and_goes_on_as_one_of_this() {
    let disk = CrashDisk::new(1);
    disk.put(LOG, &of_first_version());
    let expected = (vec![result(5), result(3)], vec![(9, 2, "timed out".to_owned())]);
    let (replayed, results, attempts) = read_all(&disk).unwrap();
    assert_eq!(((results, attempts), replayed.damage.ranges), (expected, 0));
    let peeked = peek(&disk, job()).unwrap();
    assert_eq!((peeked.succeeded, peeked.failed, peeked.state.status), (1, 1, Status::Active));
    let version = |disk: &CrashDisk| disk.bytes(LOG)[8];
    assert_eq!(u32::from(version(&disk)), FIRST_VERSION, "a look changes nothing");
    let (mut log, _) = open(&disk).unwrap();
    assert_eq!(u32::from(version(&disk)), VERSION);
    log.append_result(&result(7)).unwrap();
    log.sync(UnixMillis(4)).unwrap();
    let (replayed, results, _) = read_all(&disk).unwrap();
    assert_eq!((results, replayed.damage.ranges), (vec![result(5), result(3), result(7)], 0));
}

#[test]
fn a_missing_or_strange_log_is_never_an_empty_one() {
    let disk = CrashDisk::new(1);
    assert!(matches!(read_all(&disk), Err(LogError::Missing(_))));
    assert!(matches!(open(&disk), Err(LogError::Missing(_))));
    for bytes in [&b""[..], &[0; 4_096], b"FBJOBLOG"] {
        disk.put(LOG, bytes);
        assert!(matches!(open(&disk), Err(LogError::Damaged(..))), "{} bytes", bytes.len());
    }
}

/// A small log: its bytes, and the place of each result by its row.
fn small() -> (Vec<u8>, BTreeMap<u64, std::ops::Range<usize>>) {
    let disk = new_log(2);
    let (mut log, _) = open(&disk).unwrap();
    let mut places = BTreeMap::new();
    log.change(&change(Status::Active, 2)).unwrap();
    for row in 0..6 {
        let start = disk.bytes(LOG).len();
        log.append_result(&result(row)).unwrap();
        log.sync(UnixMillis(3)).unwrap();
        // Without the mark that ends it.
        places.insert(row, start..disk.bytes(LOG).len() - 41);
    }
    log.change(&change(Status::Completing, 4)).unwrap();
    (disk.bytes(LOG), places)
}

#[test]
fn a_flipped_byte_costs_the_frame_that_has_it_and_is_counted() {
    let (bytes, places) = small();
    let rows: BTreeSet<u64> = (0..6).collect();
    for at in 0..bytes.len() {
        for flip in [0x01, 0xFF] {
            let mut flipped = bytes.clone();
            flipped[at] ^= flip;
            let disk = CrashDisk::new(3);
            disk.put(LOG, &flipped);
            let (replayed, results, _) = read_all(&disk).unwrap();
            let found: BTreeSet<u64> = results.iter().map(|result| result.row).collect();
            let lost: BTreeSet<u64> =
                places.iter().filter(|(_, place)| place.contains(&at)).map(|(row, _)| *row).collect();
            assert_eq!(found, &rows - &lost, "byte {at}");
            assert!(results.iter().all(|found| *found == result(found.row)), "byte {at}");
            assert_eq!(replayed.state.status, Status::Completing, "byte {at}");
            let noticed = replayed.damage.ranges == 1 && replayed.torn_bytes == 0;
            // The last frame is a mark: nobody can tell damage there from a torn write.
            let torn = replayed.damage.ranges == 0 && replayed.torn_bytes > 0 && at >= bytes.len() - 41;
            assert!(noticed || torn, "byte {at}: {replayed:?}");
            if noticed {
                assert!(replayed.damage.named[0].contains(&(at as u64)), "byte {at}: {replayed:?}");
            }
            // Opening it again for writing keeps the frames around the damage.
            let (mut log, (again, ..)) = open(&disk).unwrap();
            assert_eq!(again, replayed);
            log.append_result(&result(7)).unwrap();
            log.sync(UnixMillis(9)).unwrap();
            let found: BTreeSet<u64> = read_all(&disk).unwrap().1.iter().map(|result| result.row).collect();
            assert_eq!(found, &(&rows - &lost) | &BTreeSet::from([7]), "byte {at}");
            peek(&disk, job()).unwrap();
        }
    }
}

#[test]
fn the_longest_state_fits_into_a_frame() {
    let disk = new_log(8);
    let (mut log, _) = open(&disk).unwrap();
    let mut longest = change(Status::Failed, i64::MIN);
    let (long, failure) = ("\u{1}".repeat(3_000), Failure::new(FailureClass::Unreachable, "", ""));
    longest.state.update_reason = Some(first_chars(&long, UPDATE_REASON_MAX));
    longest.state.failures = vec![Failure::new(failure.class, &long, &long); FAILURES_MAX];
    longest.wish = Some((
        WishId::parse("00000000000000000007-000000000000000a").unwrap(),
        Answer::Refused("r".repeat(500)),
    ));
    log.change(&longest).unwrap();
    let (replayed, ..) = read_all(&disk).unwrap();
    assert_eq!((replayed.state, replayed.last_wish), (longest.state, longest.wish));
}

#[test]
fn a_log_cut_anywhere_loses_its_end_alone() {
    let (bytes, places) = small();
    let last_change_of_new = 32;
    for len in 0..bytes.len() {
        let disk = CrashDisk::new(4);
        disk.put(LOG, &bytes[..len]);
        let whole: Vec<u64> =
            places.iter().filter(|(_, place)| place.end <= len).map(|(row, _)| *row).collect();
        match open(&disk) {
            Err(LogError::Damaged(..)) => {
                assert!(whole.is_empty() && len < last_change_of_new + 400, "{len} bytes")
            }
            Err(error) => panic!("{len} bytes: {error}"),
            Ok((_, (replayed, results, _))) => {
                let rows: Vec<u64> = results.iter().map(|result| result.row).collect();
                assert_eq!((rows, replayed.damage.ranges), (whole, 0), "{len} bytes");
                // The torn end is zeros now, and no longer reported.
                let (again, ..) = read_all(&disk).unwrap();
                assert_eq!(again.torn_bytes, 0, "{len} bytes");
            }
        }
    }
}

#[test]
fn a_failed_sync_is_final_and_a_failed_write_is_not() {
    let disk = new_log(5);
    let (mut log, _) = open(&disk).unwrap();
    log.append_result(&result(1)).unwrap();
    disk.stop_after(0);
    assert!(matches!(log.sync(UnixMillis(2)), Err(LogError::Disk("write", ..))));
    assert_eq!(log.synced().through, ResultNumber(0));
    disk.restart(false);
    log.append_result(&result(2)).unwrap();
    assert_eq!(log.sync(UnixMillis(3)).unwrap().through, ResultNumber(2));
    log.append_result(&result(4)).unwrap();
    disk.fail_sync_after(0);
    assert!(matches!(log.sync(UnixMillis(4)), Err(LogError::Disk("sync", ..))));
    assert!(matches!(log.sync(UnixMillis(5)), Err(LogError::Stopped(_))));
    assert!(matches!(log.append_result(&result(5)), Err(LogError::Stopped(_))));
    assert_eq!(log.synced().through, ResultNumber(2));
    disk.restart(true);
    let rows: Vec<u64> = read_all(&disk).unwrap().1.iter().map(|result| result.row).collect();
    assert_eq!(rows, [1, 2]);
}

#[test]
fn what_waits_for_a_sync_is_bounded() {
    let disk = new_log(6);
    let (mut log, _) = open(&disk).unwrap();
    let long = TaskResult { message: "m".repeat(1_024), ..result(1) };
    let mut appended = 0_usize;
    let refused = loop {
        match log.append_result(&long) {
            Ok(_) => appended += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, LogError::SyncFirst(_)), "{refused}");
    assert!(appended > PENDING_BYTES_MAX / 1_100, "{appended}");
    assert_eq!(log.sync(UnixMillis(2)).unwrap().through.0, appended as u64);
    log.append_result(&long).unwrap();
    let huge = JobState {
        update_reason: Some("r".repeat(9_000)),
        ..JobState::new(Priority::default(), UnixMillis(0))
    };
    let change = Change { at: UnixMillis(3), state: huge, wish: None };
    assert!(matches!(log.append_change(&change), Err(LogError::TooLong(..))));
    // The end of a long log is enough to show the job.
    assert_eq!(peek(&disk, job()).unwrap().succeeded, appended as u64);
}

/// A process appends, syncs and opens again, on a machine that stops at any change.
fn life(seed: u64, power_cut: bool) -> u64 {
    let dice = Dice::new(seed);
    let disk = new_log(seed);
    let mut durable: BTreeSet<u64> = BTreeSet::new();
    let mut ever: BTreeSet<u64> = BTreeSet::new();
    let mut known_status = Status::New;
    let mut next_row = 0;
    let mut stops = 0;
    for _ in 0..6 {
        disk.stop_after(dice.below(12));
        let mut tried_status = known_status;
        if let Ok((mut log, _)) = open(&disk) {
            let mut appended: Vec<u64> = Vec::new();
            while !disk.stopped() {
                for _ in 0..dice.below(5) {
                    log.append_result(&result(next_row)).unwrap();
                    ever.insert(next_row);
                    appended.push(next_row);
                    next_row += 1;
                }
                if dice.below(4) == 0 {
                    tried_status = dice.of(&[Status::Ready, Status::Active, Status::Completing]);
                    log.append_change(&change(tried_status, 5)).unwrap();
                }
                if let Ok(synced) = log.sync(UnixMillis(6)) {
                    durable.extend(appended.iter().take(usize::try_from(synced.through.0).unwrap()));
                    known_status = tried_status;
                } else {
                    assert_eq!(
                        log.synced().through.0,
                        appended.iter().filter(|row| durable.contains(row)).count() as u64
                    );
                }
                if log.append_attempt(1, 1, "again").is_err() {
                    break;
                }
            }
        }
        stops += u64::from(disk.stopped());
        disk.restart(power_cut);
        let (replayed, results, _) = read_all(&disk).unwrap();
        let rows: Vec<u64> = results.iter().map(|result| result.row).collect();
        let set: BTreeSet<u64> = rows.iter().copied().collect();
        assert_eq!(set.len(), rows.len(), "seed {seed}: a result twice");
        assert!(durable.is_subset(&set), "seed {seed}: synced results are lost: {:?}", &durable - &set);
        assert!(set.is_subset(&ever), "seed {seed}: invented results");
        assert!(results.iter().all(|found| *found == result(found.row)), "seed {seed}");
        let status = replayed.state.status;
        assert!(status == known_status || status == tried_status, "seed {seed}: {status}");
        known_status = status;
        // Everything that a start has seen is durable from then on: it is synced before it counts.
        if open(&disk).is_ok() {
            durable.extend(&set);
        }
        disk.restart(true);
        let after: BTreeSet<u64> = read_all(&disk).unwrap().1.iter().map(|result| result.row).collect();
        assert_eq!(after, set, "seed {seed}: a start changed what the log says");
        let peeked = peek(&disk, job()).unwrap();
        assert_eq!(peeked.succeeded + peeked.failed, set.len() as u64, "seed {seed}");
    }
    stops
}

#[test]
fn a_stop_between_any_two_changes_loses_no_synced_result_and_shows_no_other_as_done() {
    let mut stops = 0;
    for seed in 0..150 {
        stops += life(seed, false) + life(seed, true);
    }
    assert!(stops > 1_400, "only {stops} stops");
}
