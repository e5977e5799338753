//! Tests of runs of keys on a real directory.

use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::disk::real_disk::RealDisk;
use crate::spool::format::key_run::PAGE;

const ID: [u8; 16] = [7; 16];
const CAP: u64 = 1 << 40;
/// The beginning of a day.
const DAY: i64 = 20_000 * 86_400;

fn real(dir: &Path) -> Arc<dyn Disk> {
    Arc::new(RealDisk::open(dir).unwrap())
}

fn at(second: i64) -> UnixMillis {
    UnixMillis((DAY + second) * 1_000)
}

/// A key as a hash gives it.
fn key(number: u64) -> RowKey {
    let mut bits = [0; 16];
    blake3::Hasher::new().update(&number.to_le_bytes()).finalize_xof().fill(&mut bits);
    RowKey(u128::from_le_bytes(bits))
}

fn empty(disk: &Arc<dyn Disk>) -> RowKeys {
    RowKeys::of_notes(Arc::clone(disk), ID, std::iter::empty(), 1)
}

fn written(keys: &RowKeys) -> KeyRun {
    let new = keys.write_newest().unwrap().unwrap();
    let note = new.note();
    keys.replace(new);
    note
}

/// Merges as long as something is due. Returns the notes of merged runs, and removes replaced files.
fn merged(keys: &RowKeys, dir: &Path, now: UnixMillis) -> Vec<KeyRun> {
    let mut notes = Vec::new();
    while let Some(new) = keys.merge(now, CAP).unwrap() {
        let replaced = new.replaces.clone();
        notes.push(new.note());
        keys.replace(new);
        replaced.iter().for_each(|number| fs::remove_file(dir.join(run_name(*number))).unwrap());
    }
    notes
}

fn damaged(keys: &RowKeys, since: i64) -> Option<String> {
    match keys.find(&[key(1_000_000_000)], at(since)) {
        Ok(_) => None,
        Err(RowsUnknown::Damaged { what, .. }) => Some(what),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn a_million_keys_take_16_bytes_on_disk_and_less_than_one_and_a_half_in_memory() {
    const KEYS: u64 = 1_000_000;
    let dir = tempfile::tempdir().unwrap();
    let disk = real(dir.path());
    let keys = empty(&disk);
    keys.add((0..KEYS).map(|number| (key(number), at(5))));
    let note = written(&keys);
    assert_eq!((note.keys, note.level, i64::from(note.newest)), (KEYS, 0, DAY + 5));
    let len = fs::metadata(dir.path().join(run_name(note.number))).unwrap().len();
    assert!(len * 100 <= KEYS * 1_607, "{len} bytes");
    let reopened = RowKeys::of_notes(Arc::clone(&disk), ID, [note].iter(), 2);
    assert_eq!(reopened.compare_files(false).unwrap(), []);
    let asked: Vec<RowKey> = (0..KEYS).step_by(997).chain(KEYS..KEYS + 2_000).map(key).collect();
    let expected: Vec<bool> = (0..KEYS).step_by(997).map(|_| true).chain((0..2_000).map(|_| false)).collect();
    for keys in [&keys, &reopened] {
        assert_eq!(keys.find(&asked, at(5)).unwrap(), expected);
        assert_eq!(keys.find(&asked, at(6)).unwrap(), vec![false; asked.len()], "received before that");
        let memory: usize = lock(&keys.state).runs.iter().map(|run| run.memory()).sum();
        assert!(memory as u64 * 10 <= KEYS * 15, "{memory} bytes");
        let held = keys.held();
        assert_eq!((held.keys, held.bytes, held.damaged), (KEYS, len, 0));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    /// Keys of three days, written and merged at random moments, against a map.
    #[test]
    fn any_runs_answer_like_a_plain_map(
        steps in prop::collection::vec((0_u64..300, 1_u64..40, 0_i64..9_000, 0_u8..4), 1..80),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let keys = empty(&real(dir.path()));
        let mut model: HashMap<u64, i64> = HashMap::new();
        let mut now = 0;
        for (first, count, pause, action) in steps {
            now += pause;
            for number in first..first + count {
                keys.add([(key(number), at(now))]);
                model.insert(number, now);
            }
            if action > 0 && keys.write_newest().unwrap().map(|new| keys.replace(new)).is_some() && action > 2 {
                merged(&keys, dir.path(), at(now));
            }
            let all: Vec<RowKey> = (0..340).map(key).collect();
            for since in [0, now - 20_000, now] {
                let expected: Vec<bool> =
                    (0..340).map(|number| model.get(&number).is_some_and(|at| *at >= since)).collect();
                prop_assert_eq!(keys.find(&all, at(since)).unwrap(), expected);
            }
        }
    }
}

#[test]
fn eight_runs_become_one_and_so_do_all_of_a_day_that_is_over() {
    let dir = tempfile::tempdir().unwrap();
    let disk = real(dir.path());
    let keys = empty(&disk);
    let write = |number: u64, second: i64| {
        keys.add((number * 100..number * 100 + 150).map(|number| (key(number), at(second))));
        written(&keys)
    };
    for number in 0..7 {
        write(number, 10);
    }
    assert_eq!(merged(&keys, dir.path(), at(20)), []);
    write(7, 10);
    let eight = merged(&keys, dir.path(), at(20));
    assert_eq!(eight.iter().map(|run| (run.level, run.keys)).collect::<Vec<_>>(), [(1, 850)]);
    write(8, 30);
    let tomorrow = at(i64::from(DAY_SECONDS));
    let all = merged(&keys, dir.path(), tomorrow);
    assert_eq!(all.iter().map(|run| (run.level, run.keys, run.day)).collect::<Vec<_>>(), [(2, 950, 20_000)]);
    let files = disk.list("").unwrap();
    assert_eq!(files.iter().filter(|(name, _)| run_number(name).is_some()).count(), 1);
    // Only what fits twice into a tenth of the cap is merged.
    for number in 0..8 {
        write(number, 40);
    }
    let used = keys.held().bytes;
    assert!(keys.merge(at(50), (used + 4_096) * 10).unwrap().is_none());
    assert!(keys.merge(at(50), (used * 2) * 10).unwrap().is_some());
    // Runs are removed as a whole, a day after the longest window.
    assert!(keys.expired(at(30 + 8 * i64::from(DAY_SECONDS))).is_empty());
    assert_eq!(keys.expired(at(40 + 8 * i64::from(DAY_SECONDS))).len(), 1);
    assert_eq!(keys.expired(at(41 + 8 * i64::from(DAY_SECONDS))).len(), 9);
}

#[test]
fn keys_take_a_tenth_of_the_cap_at_most() {
    let dir = tempfile::tempdir().unwrap();
    let disk = real(dir.path());
    let keys = empty(&disk);
    let page = PAGE as u64;
    keys.check_room(255, page * 10).unwrap();
    let full = keys.check_room(256, page * 10).unwrap_err();
    assert_eq!(full, RowsUnknown::Full { max: page });
    let said = full.to_string();
    assert!(said.contains("spool.max_bytes") && said.contains("insert_id_window"), "{said}");
    keys.add((0..255).map(|number| (key(number), at(1))));
    keys.check_room(1, page * 10).unwrap_err();
    written(&keys);
    keys.check_room(1, page * 10).unwrap_err();
    keys.check_room(255, page * 20).unwrap();
}

#[test]
fn a_run_that_is_damaged_or_missing_is_never_one_without_keys() {
    let dir = tempfile::tempdir().unwrap();
    let disk = real(dir.path());
    let keys = empty(&disk);
    keys.add((0..600).map(|number| (key(number), at(5))));
    let note = written(&keys);
    let path = dir.path().join(run_name(note.number));
    let sound = fs::read(&path).unwrap();
    let opened = || {
        let keys = RowKeys::of_notes(Arc::clone(&disk), ID, [note].iter(), 2);
        assert_eq!(keys.compare_files(false).unwrap(), []);
        keys
    };
    assert_eq!(damaged(&opened(), 0), None);
    for byte in (0..sound.len()).step_by(997) {
        let mut bytes = sound.clone();
        bytes[byte] ^= 4;
        fs::write(&path, bytes).unwrap();
        let keys = opened();
        assert_eq!(damaged(&keys, 5).as_deref(), Some("a checksum of it differs"), "byte {byte}");
        assert_eq!(damaged(&keys, 6), None, "no window covers it");
        assert_eq!(keys.held().damaged, 1);
        // It is left out of merges, and what is in memory is still known.
        keys.add([(key(1), at(6))]);
        assert_eq!(keys.find(&[key(1)], at(0)).unwrap(), [true]);
    }
    fs::write(&path, &sound[..sound.len() - PAGE]).unwrap();
    assert!(damaged(&opened(), 0).unwrap().contains("bytes in place of 12288"));
    fs::remove_file(&path).unwrap();
    let keys = opened();
    assert_eq!(damaged(&keys, 0).as_deref(), Some("it is missing"));
    // While it runs, too.
    fs::write(&path, &sound).unwrap();
    let keys = opened();
    fs::remove_file(&path).unwrap();
    assert_eq!(damaged(&keys, 0).as_deref(), Some("it is missing"));
}

#[test]
fn files_that_no_note_names_are_removed_unless_notes_are_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let disk = real(dir.path());
    let keys = empty(&disk);
    keys.add((0..600).map(|number| (key(number), at(5))));
    let note = written(&keys);
    let path = dir.path().join(run_name(note.number));
    let adopting = empty(&disk);
    let adopted = adopting.compare_files(true).unwrap();
    let kept = |run: &KeyRun| (run.number, run.keys, run.day, run.newest >= note.newest);
    assert_eq!(adopted.iter().map(kept).collect::<Vec<_>>(), [(note.number, 600, note.day, true)]);
    assert_eq!(adopting.find(&[key(599), key(600)], at(5)).unwrap(), [true, false]);
    adopting.add([(key(1), at(6))]);
    assert!(written(&adopting).number > note.number);
    assert_eq!(empty(&disk).compare_files(false).unwrap(), []);
    assert!(!path.exists());
}

#[test]
fn keys_of_a_run_that_is_not_noted_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let disk = real(dir.path());
    let keys = empty(&disk);
    keys.add([(key(1), at(1)), (key(2), at(1))]);
    let first = keys.write_newest().unwrap().unwrap();
    keys.add([(key(1), at(9))]);
    assert_eq!(keys.find(&[key(1), key(2)], at(1)).unwrap(), [true, true]);
    drop(first);
    keys.put_back();
    assert_eq!(keys.find(&[key(1), key(2)], at(9)).unwrap(), [true, false]);
    assert_eq!(written(&keys).keys, 2);
    assert!(keys.write_newest().unwrap().is_none());
}
