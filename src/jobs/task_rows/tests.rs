use std::fs;
use std::path::Path;

use super::writer::written;
use super::*;
use crate::disk::real_disk::RealDisk;

fn task(bucket: &str, key: &str, version: Option<&str>, args: &[(&str, &str)]) -> Task {
    let args = args.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Task { bucket: bucket.to_owned(), key: key.to_owned(), version: version.map(str::to_owned), args }
}

fn numbered(count: u32) -> Vec<Task> {
    (0..count).map(|n| task("my-bucket", &format!("key-{n}"), None, &[])).collect()
}

fn disk(dir: &Path) -> RealDisk {
    RealDisk::open(dir).unwrap()
}

/// All rows from one on, where `None` is a row that cannot be read.
fn all_from(rows: &TaskRows, from: u64) -> Vec<Option<Task>> {
    let mut found = Vec::new();
    for row in rows.from(from) {
        match row {
            Ok((number, task)) => {
                assert_eq!(number, from + found.len() as u64);
                found.push(Some(task));
            }
            Err(TaskRowsError::DamagedRows { rows: lost, .. }) => {
                assert!(lost.start <= from + found.len() as u64);
                found.resize(usize::try_from(lost.end - from).unwrap(), None);
            }
            Err(error) => panic!("{error}"),
        }
    }
    found
}

#[test]
fn rows_are_read_by_number_and_from_a_number_on() {
    let dir = tempfile::tempdir().unwrap();
    let disk = disk(dir.path());
    let mut tasks = numbered(2_500);
    tasks[1_023] = task("other-bucket", "ü", Some("v1"), &[("b", "1"), ("a", "")]);
    tasks[1_024] = task("other-bucket", "", None, &[]);
    tasks[1_025] = task("my-bucket", "%20", Some(""), &[]);
    let rows = written(&disk, "tasks", &tasks);
    assert_eq!((rows.len(), rows.blocks.len()), (2_500, 3));
    for at in [0, 1, 1_022, 1_023, 1_024, 1_025, 2_047, 2_048, 2_499] {
        assert_eq!(rows.get(at as u64).unwrap(), tasks[at], "{at}");
        let rest: Vec<Task> = all_from(&rows, at as u64).into_iter().flatten().collect();
        assert!(rest == tasks[at..], "{at}");
    }
    let error = rows.get(2_500).unwrap_err().to_string();
    assert_eq!(error, "row 2,501 is asked for, and the copy of the job's manifest has 2,500");
    assert!(rows.from(2_500).next().is_none());
    assert!(rows.from(u64::MAX).next().is_none());
}

#[test]
fn copies_of_any_length_are_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let disk = disk(dir.path());
    for count in [0, 1, 2, 1_023, 1_024, 1_025, 2_048] {
        let tasks = numbered(count);
        let rows = written(&disk, "tasks", &tasks);
        assert_eq!((rows.len(), rows.is_empty()), (u64::from(count), count == 0));
        assert!(all_from(&rows, 0).into_iter().flatten().eq(tasks), "{count}");
    }
}

#[test]
fn blocks_of_long_rows_end_early() {
    let dir = tempfile::tempdir().unwrap();
    let disk = disk(dir.path());
    let long = "x".repeat(3_000);
    let tasks: Vec<Task> = (0..100).map(|n| task("my-bucket", &format!("{long}{n}"), None, &[])).collect();
    let rows = written(&disk, "tasks", &tasks);
    assert!(rows.blocks.len() >= 4, "{}", rows.blocks.len());
    assert!(all_from(&rows, 0).into_iter().flatten().eq(tasks));
    // The most that a block can have: one byte less than its end, and then the longest row.
    let row = |len: usize| task("b", &"x".repeat(len - 6), None, &[]);
    let tasks = [row(BLOCK_BYTES - 1), row(ROW_BYTES_MAX), row(10)];
    let rows = written(&disk, "tasks", &tasks);
    assert!(all_from(&rows, 0).into_iter().flatten().eq(tasks));
    let mut writer = TaskRowsWriter::create(&disk, "tasks").unwrap();
    writer.push(&row(ROW_BYTES_MAX)).unwrap();
    assert!(
        writer
            .push(&task("bb", &"x".repeat(ROW_BYTES_MAX), None, &[]))
            .unwrap_err()
            .to_string()
            .contains("longer than")
    );
    // A row that is missing must not be published.
    assert!(writer.push(&row(10)).unwrap_err().to_string().contains("an earlier write"));
    writer.finish().unwrap_err();
    assert_eq!(TaskRows::open(&disk, "tasks").unwrap().len(), 3);
}

#[test]
fn a_copy_that_was_not_ended_is_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let disk = disk(dir.path());
    let mut writer = TaskRowsWriter::create(&disk, "tasks").unwrap();
    for task in numbered(3_000) {
        writer.push(&task).unwrap();
    }
    drop(writer);
    assert!(matches!(TaskRows::open(&disk, "tasks"), Err(TaskRowsError::Missing(name)) if name == "tasks"));
    assert_eq!(written(&disk, "tasks", &numbered(2)).len(), 2);
    assert!(!dir.path().join("tasks.tmp").exists());
}

/// Every byte of a small copy counts: a changed one is noticed, and stops no row of another block.
#[test]
fn a_changed_byte_anywhere_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let disk = disk(dir.path());
    let long = "x".repeat(2_000);
    let tasks: Vec<Task> =
        (0..90).map(|n| task("my-bucket", &format!("{long}{n}"), Some("v"), &[])).collect();
    let rows = written(&disk, "tasks", &tasks);
    let starts: Vec<u64> = rows.blocks.iter().map(|block| block.offset).collect();
    let (first_rows, blocks_end) =
        (rows.blocks.iter().map(|block| block.first_row).collect::<Vec<_>>(), rows.blocks_end);
    assert_eq!(starts.len(), 3);
    let path = dir.path().join("tasks");
    let good = fs::read(&path).unwrap();
    // Bytes within keys are alike, so of the long blocks only some are changed.
    let places = (0..good.len())
        .filter(|at| (*at as u64) < starts[0] + 300 || at % 97 == 0 || *at as u64 + 300 > blocks_end);
    for at in places {
        let mut changed = good.clone();
        changed[at] ^= 0x40;
        fs::write(&path, &changed).unwrap();
        let opened = TaskRows::open(&disk, "tasks");
        let at = at as u64;
        if at < starts[0] || at >= blocks_end {
            assert!(matches!(opened, Err(TaskRowsError::Damaged { .. })), "byte {at}: {opened:?}");
            continue;
        }
        let block = starts.partition_point(|start| *start <= at) - 1;
        let end = first_rows.get(block + 1).copied().unwrap_or(90);
        let found = all_from(&opened.unwrap(), 0);
        assert_eq!(found.len(), tasks.len(), "byte {at}");
        for (row, (found, task)) in found.iter().zip(&tasks).enumerate() {
            let lost = (first_rows[block]..end).contains(&(row as u64));
            assert_eq!(found.as_ref(), (!lost).then_some(task), "byte {at}, row {row}");
        }
    }
}

#[test]
fn a_cut_or_longer_copy_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let disk = disk(dir.path());
    drop(written(&disk, "tasks", &numbered(5)));
    let path = dir.path().join("tasks");
    let good = fs::read(&path).unwrap();
    for len in 0..good.len() {
        fs::write(&path, &good[..len]).unwrap();
        assert!(matches!(TaskRows::open(&disk, "tasks"), Err(TaskRowsError::Damaged { .. })), "cut at {len}");
    }
    fs::write(&path, [good.as_slice(), b"x"].concat()).unwrap();
    assert!(TaskRows::open(&disk, "tasks").is_err());
    let mut other = good.clone();
    other[8] = 2;
    let crc = crc32c::crc32c(&other[..12]).to_le_bytes();
    other[12..16].copy_from_slice(&crc);
    fs::write(&path, &other).unwrap();
    assert!(matches!(TaskRows::open(&disk, "tasks"), Err(TaskRowsError::OtherVersion { found: 2, .. })));
}

#[test]
fn memory_is_a_few_bytes_a_block() {
    let dir = tempfile::tempdir().unwrap();
    let rows = written(&disk(dir.path()), "tasks", &numbered(100_000));
    let bytes = std::mem::size_of_val(rows.blocks.as_slice());
    assert!(bytes * 50 < 100_000, "{bytes} bytes for 100,000 rows");
}
