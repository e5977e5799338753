//! A disk in memory that counts writes and syncs, and a clock that stands still: the same work makes the same
//! calls on every run.

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use forebay::disk::Disk;
use forebay::disk::DiskFile;
use forebay::metrics::Metrics;
use forebay::random::Random;
use forebay::spool::{SpoolOptions, Stepped};
use forebay::time::{Clock, UnixMillis};

/// When all calls are received.
pub(crate) const NOON: UnixMillis = UnixMillis(1_795_176_000_123);

/// The requests to a disk so far.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    /// Bytes written to all files.
    pub(crate) bytes: AtomicU64,
    /// Calls that write.
    pub(crate) writes: AtomicU64,
    /// Syncs of files and directories.
    pub(crate) syncs: AtomicU64,
}

#[derive(Debug)]
struct MemoryFile {
    bytes: Mutex<Vec<u8>>,
    counted: Arc<Counted>,
}

impl DiskFile for MemoryFile {
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        let bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let rest = bytes.get(usize::try_from(at).map_err(io::Error::other)?..).unwrap_or_default();
        let len = rest.len().min(buf.len());
        buf.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        Ok(len)
    }

    fn write_at(&self, parts: &[IoSlice<'_>], at: u64) -> io::Result<()> {
        let mut bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut at = usize::try_from(at).map_err(io::Error::other)?;
        for part in parts {
            let end = at + part.len();
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            bytes.get_mut(at..end).expect("the file was extended").copy_from_slice(part);
            at = end;
            self.counted.bytes.fetch_add(part.len() as u64, Ordering::Relaxed);
        }
        self.counted.writes.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.counted.syncs.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.bytes.lock().unwrap_or_else(PoisonError::into_inner).len() as u64)
    }
}

/// The files of one spool.
#[derive(Debug)]
pub(crate) struct MemoryDisk {
    files: Mutex<BTreeMap<String, Arc<MemoryFile>>>,
    counted: Arc<Counted>,
}

impl MemoryDisk {
    /// An empty disk.
    pub(crate) fn new(counted: Arc<Counted>) -> Self {
        Self { files: Mutex::default(), counted }
    }

    fn with_files<T>(&self, body: impl FnOnce(&mut BTreeMap<String, Arc<MemoryFile>>) -> T) -> T {
        body(&mut self.files.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Disk for MemoryDisk {
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.with_files(|files| files.get(name).cloned());
        Ok(file.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?)
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = MemoryFile { bytes: Mutex::default(), counted: Arc::clone(&self.counted) };
        let file = Arc::new(file);
        self.with_files(|files| files.insert(name.to_owned(), Arc::<MemoryFile>::clone(&file)));
        Ok(file)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.with_files(|files| {
            let file = files.remove(from).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
            files.insert(to.to_owned(), file);
            Ok(())
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.with_files(|files| files.remove(name));
        Ok(())
    }

    fn sync_dir(&self, _dir: &str) -> io::Result<()> {
        self.counted.syncs.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn list(&self, dir: &str) -> io::Result<Vec<(String, u64)>> {
        let inside = |name: &str| match name.rsplit_once('/') {
            Some((parent, name)) => (parent == dir).then(|| name.to_owned()),
            None => dir.is_empty().then(|| name.to_owned()),
        };
        self.with_files(|files| {
            let named = files.iter().filter_map(|(name, file)| Some((inside(name)?, file)));
            named.map(|(name, file)| Ok((name, file.len()?))).collect()
        })
    }

    fn path(&self, _name: &str) -> Option<PathBuf> {
        None
    }
}

#[derive(Debug)]
struct Still;

impl Clock for Still {
    fn wall(&self) -> UnixMillis {
        NOON
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

#[derive(Debug)]
struct Fixed;

impl Random for Fixed {
    fn next_u64(&self) -> u64 {
        7
    }
}

/// A spool without threads on an empty disk, ready for its first commit.
pub(crate) fn open(disk: Arc<MemoryDisk>, options: SpoolOptions) -> Stepped {
    let metrics = Arc::new(Metrics::new());
    let (mut spool, _) =
        Stepped::open(disk, options, Arc::new(Still), &Fixed, metrics).expect("an empty disk");
    spool.keep().expect("a working spool");
    spool
}
