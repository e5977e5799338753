//! What a [`Log`] and its [`Append`] promise, written once and run on every log: the spool in a directory,
//! whose process is killed, and the spool on a simulated disk, whose machine loses what was not synced.

#![expect(clippy::indexing_slicing, reason = "tests fail by a panic that names the line")]

pub(crate) mod contract;
mod imports;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use forebay::disk::Disk;
use forebay::disk::real_disk::{DirectoryError, RealDisk};
use forebay::log::{Append, Follow, Imports, Log, Reports, SetLocations};
use forebay::metrics::Metrics;
use forebay::random::Random;
use forebay::spool::{Spool, SpoolOptions};
use forebay::time::{Clock, UnixMillis};
use tempfile::TempDir;

use crate::support::crash::copy;
use crate::support::sim_disk::{Dice, SimDisk};

/// 2023-11-14, 22:13:20.
const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

/// A log that a test holds, and can take away from the process that runs it.
trait Held: Sized {
    fn log(&self) -> Arc<dyn Log>;
    fn reports(&self) -> Arc<dyn Reports>;
    fn locations(&self) -> Arc<dyn SetLocations>;
    fn imports(&self) -> Arc<dyn Imports>;
    fn follow(&self) -> Arc<dyn Follow>;
    fn appender(&self) -> Arc<dyn Append>;
    /// Opens the log again after its process ended without notice.
    fn crashed(self) -> Self;
    /// Opens the log again after its process ended in order.
    fn restarted(self) -> Self;
}

/// Time stands still: nothing in the contract depends on it.
#[derive(Debug)]
struct Still;

impl Clock for Still {
    fn wall(&self) -> UnixMillis {
        NOW
    }

    fn monotonic(&self) -> Duration {
        Duration::from_secs(1)
    }
}

#[derive(Debug, Default)]
struct Counting(AtomicU64);

impl Random for Counting {
    fn next_u64(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

fn open(disk: Arc<dyn Disk>) -> Spool {
    let options =
        SpoolOptions { segment_bytes: 128 * 1_024, manifest_bytes: 64 * 1_024, ..SpoolOptions::default() };
    Spool::open(disk, options, Arc::new(Still), &Counting::default(), Arc::new(Metrics::new())).unwrap().0
}

/// The spool in a directory. Its crash is that of the process: what the page cache holds survives.
struct InDirectory {
    spool: Spool,
    dir: PathBuf,
    root: TempDir,
}

impl InDirectory {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("0");
        Self { spool: open(Arc::new(RealDisk::open(&dir).unwrap())), dir, root }
    }
}

impl Held for InDirectory {
    fn log(&self) -> Arc<dyn Log> {
        self.spool.log()
    }

    fn reports(&self) -> Arc<dyn Reports> {
        self.spool.reports()
    }

    fn locations(&self) -> Arc<dyn SetLocations> {
        self.spool.locations()
    }

    fn imports(&self) -> Arc<dyn Imports> {
        self.spool.imports()
    }

    fn follow(&self) -> Arc<dyn Follow> {
        self.spool.follow()
    }

    fn appender(&self) -> Arc<dyn Append> {
        self.spool.appender()
    }

    fn crashed(self) -> Self {
        // The copy is what a killed process leaves; the spool itself is closed elsewhere.
        let dir = self.root.path().join(format!("{}", fs::read_dir(self.root.path()).unwrap().count()));
        copy(&self.dir, &dir);
        drop(self.spool);
        Self { spool: open(Arc::new(RealDisk::open(&dir).unwrap())), dir, root: self.root }
    }

    fn restarted(self) -> Self {
        self.spool.close();
        Self { spool: open(Arc::new(reopened(&self.dir))), ..self }
    }
}

/// The directory of a spool that was closed. A test that starts a program meanwhile has a handle of its lock, too,
/// between fork and exec.
fn reopened(dir: &Path) -> RealDisk {
    let opened = (0..2_000).find_map(|_| match RealDisk::open(dir) {
        Err(DirectoryError::Locked(_)) => {
            std::thread::sleep(Duration::from_millis(5));
            None
        }
        opened => Some(opened.unwrap()),
    });
    opened.expect("a lock that is free within ten seconds")
}

/// The spool on a simulated disk. Its crash is that of the machine: what was not synced is lost, torn or kept
/// by chance.
struct OnSimDisk {
    spool: Spool,
    process: SimDisk,
    disk: SimDisk,
    dice: Dice,
}

impl OnSimDisk {
    fn new(seed: u64) -> Self {
        let disk = SimDisk::default();
        let process = disk.process().unwrap();
        Self { spool: open(Arc::new(process.clone())), process, disk, dice: Dice(seed) }
    }
}

impl Held for OnSimDisk {
    fn log(&self) -> Arc<dyn Log> {
        self.spool.log()
    }

    fn reports(&self) -> Arc<dyn Reports> {
        self.spool.reports()
    }

    fn locations(&self) -> Arc<dyn SetLocations> {
        self.spool.locations()
    }

    fn imports(&self) -> Arc<dyn Imports> {
        self.spool.imports()
    }

    fn follow(&self) -> Arc<dyn Follow> {
        self.spool.follow()
    }

    fn appender(&self) -> Arc<dyn Append> {
        self.spool.appender()
    }

    fn crashed(mut self) -> Self {
        self.process.kill();
        drop(self.spool);
        self.disk.crash(&mut self.dice);
        let process = self.disk.process().unwrap();
        Self { spool: open(Arc::new(process.clone())), process, ..self }
    }

    fn restarted(self) -> Self {
        self.spool.close();
        self.process.kill();
        let process = self.disk.process().unwrap();
        Self { spool: open(Arc::new(process.clone())), process, ..self }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_spool_in_a_directory_keeps_the_contract_of_a_log() {
    contract::log(InDirectory::new).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_spool_on_a_disk_that_loses_what_is_not_synced_keeps_the_contract_of_a_log() {
    for seed in 1..=5 {
        contract::log(|| OnSimDisk::new(seed)).await;
    }
}
