use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::writer::{written, written_in_blocks};
use super::*;
use crate::crc32c;
use crate::disk::real_disk::RealDisk;
use crate::disk::{Disk, DiskFile};
use crate::jobs::task::Task;

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
    let tasks: Vec<Task> =
        (0..8).map(|n| task("my-bucket", &format!("k{n}"), Some("v"), &[("name", "value")])).collect();
    let rows = written_in_blocks(&disk, "tasks", &tasks, 3);
    let (blocks, blocks_end) = (rows.blocks.clone(), rows.blocks_end);
    assert_eq!(blocks.iter().map(|block| block.first_row).collect::<Vec<_>>(), [0, 3, 6]);
    let path = dir.path().join("tasks");
    let good = fs::read(&path).unwrap();
    for (at, bit) in (0..good.len()).flat_map(|at| [1, 2, 0x10, 0x80].map(|bit| (at, bit))) {
        let mut changed = good.clone();
        changed[at] ^= bit;
        fs::write(&path, &changed).unwrap();
        let (opened, at) = (TaskRows::open(&disk, "tasks"), at as u64);
        if at < blocks[0].offset || at >= blocks_end {
            assert!(matches!(opened, Err(TaskRowsError::Damaged { .. })), "byte {at}: {opened:?}");
            continue;
        }
        let opened = opened.unwrap();
        let after = blocks.partition_point(|block| block.offset <= at);
        let lost = blocks[after - 1].first_row..blocks.get(after).map_or(8, |block| block.first_row);
        for (row, task) in (0..8).zip(&tasks) {
            match opened.get(row) {
                Ok(found) => assert!(found == *task && !lost.contains(&row), "byte {at}, row {row}"),
                Err(TaskRowsError::DamagedRows { rows, .. }) => {
                    assert!(rows == lost && lost.contains(&row), "byte {at}, row {row}");
                }
                Err(error) => panic!("{error}"),
            }
        }
        for from in 0..8 {
            let expected = (from..8).zip(&tasks[usize::try_from(from).unwrap()..]);
            let expected: Vec<_> =
                expected.map(|(row, task)| (!lost.contains(&row)).then(|| task.clone())).collect();
            assert!(all_from(&opened, from) == expected, "byte {at}, from {from}");
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

/// A disk whose change with this number fails, and all after it.
#[derive(Debug)]
struct Failing {
    disk: RealDisk,
    left: Arc<AtomicU32>,
}

#[derive(Debug)]
struct FailingFile(Arc<dyn DiskFile>, Arc<AtomicU32>);

fn step(left: &AtomicU32) -> io::Result<()> {
    let one_less = |left: u32| left.checked_sub(1);
    let done = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less);
    done.map(drop).map_err(|_| io::ErrorKind::StorageFull.into())
}

impl Disk for Failing {
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.open(name)
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        step(&self.left)?;
        Ok(Arc::new(FailingFile(self.disk.create(name)?, Arc::clone(&self.left))))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        step(&self.left)?;
        self.disk.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        step(&self.left)?;
        self.disk.remove(name)
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        step(&self.left)?;
        self.disk.sync_dir(dir)
    }

    fn list(&self, dir: &str) -> io::Result<Vec<(String, u64)>> {
        self.disk.list(dir)
    }

    fn path(&self, name: &str) -> Option<std::path::PathBuf> {
        self.disk.path(name)
    }
}

impl DiskFile for FailingFile {
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        self.0.read_at(buf, at)
    }

    fn write_at(&self, parts: &[io::IoSlice<'_>], at: u64) -> io::Result<()> {
        step(&self.1)?;
        self.0.write_at(parts, at)
    }

    fn sync(&self) -> io::Result<()> {
        step(&self.1)?;
        self.0.sync()
    }

    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
}

/// Writes a copy whose change with this number fails. The result, and what was published.
fn failing_at(changes: u32, tasks: &[Task]) -> (io::Result<()>, Result<u64, TaskRowsError>) {
    let dir = tempfile::tempdir().unwrap();
    let disk = Failing { disk: disk(dir.path()), left: Arc::new(AtomicU32::new(changes)) };
    let write = || {
        let mut writer = TaskRowsWriter::create(&disk, "tasks")?;
        for task in tasks {
            writer.push(task)?;
        }
        writer.finish()
    };
    (write(), TaskRows::open(&disk.disk, "tasks").map(|rows| rows.len()))
}

#[test]
fn a_failed_change_is_an_error_and_publishes_nothing() {
    let tasks = numbered(2_500);
    // A file, its header, three blocks, the index, a sync, the rename and the sync of its folder.
    const CHANGES: u32 = 9;
    for changes in 0..CHANGES {
        let (written, published) = failing_at(changes, &tasks);
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::StorageFull, "{changes}");
        match changes + 1 {
            // The file has its name, and a crash may take it away.
            CHANGES => assert_eq!(published.unwrap(), 2_500),
            _ => assert!(matches!(published, Err(TaskRowsError::Missing(_))), "{changes}"),
        }
    }
    let (written, published) = failing_at(CHANGES, &tasks);
    written.unwrap();
    assert_eq!(published.unwrap(), 2_500);
}
