//! A disk that counts the bytes of its files and refuses to grow beyond a cap.
//!
//! Everything in the spool's directory counts: segments, spares, staged and parked objects, quarantine, what
//! destinations have queued, indexes, fingerprints, the manifest and its reserve. The list of deliveries does
//! not: nothing depends on it, so it must not take space from calls. So `spool.max_bytes` holds without a
//! check anywhere else, and a spool at its cap behaves like one whose disk is full.

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::disk::real_disk::SUBDIRECTORIES;
use crate::disk::{Disk, DiskFile};
use crate::lock::lock;
use crate::spool::manifest::RESERVE;
use crate::spool::options::{DELIVERIES, full_mark};

/// Prefix of the names of staged objects.
const STAGING: &str = "staging/";
/// Prefix of the names of manifests.
const MANIFEST: &str = "MANIFEST";

/// The disk and its cap.
#[derive(Debug)]
pub(super) struct CappedDisk {
    inner: Arc<dyn Disk>,
    /// The configured cap, in bytes.
    max: AtomicU64,
    /// The cap in force: never more than the disk can hold.
    cap: AtomicU64,
    /// The length of an ordinary manifest, in bytes.
    manifest_bytes: u64,
    total: Arc<AtomicU64>,
    /// The length of each file.
    files: Mutex<BTreeMap<String, Arc<Length>>>,
}

/// The limits on a file's length.
#[derive(Clone, Copy, Debug)]
struct Bound {
    /// The file may always grow to this length.
    always: u64,
    /// Beyond that length, it may grow while all files together take at most this many bytes.
    cap: u64,
}

/// The length of a file. A file that grows has one writer at a time.
#[derive(Debug)]
struct Length {
    bytes: AtomicU64,
    total: Arc<AtomicU64>,
}

impl Length {
    fn new(bytes: u64, total: &Arc<AtomicU64>) -> Arc<Self> {
        total.fetch_add(bytes, Ordering::AcqRel);
        Arc::new(Self { bytes: AtomicU64::new(bytes), total: Arc::clone(total) })
    }

    /// Reserves the bytes up to `len` under the cap. Returns the previous length.
    fn grow(&self, len: u64, bound: Bound) -> io::Result<u64> {
        let before = self.bytes.load(Ordering::Acquire);
        let more = len.saturating_sub(before);
        if more > 0 {
            let may = |total: u64| len <= bound.always || total <= bound.cap;
            let fits = |total: u64| total.checked_add(more).filter(|total| may(*total));
            self.total.fetch_update(Ordering::AcqRel, Ordering::Acquire, fits).map_err(|_| no_space())?;
            self.bytes.store(len, Ordering::Release);
        }
        Ok(before)
    }

    fn set(&self, len: u64) {
        let before = self.bytes.swap(len, Ordering::AcqRel);
        self.total.fetch_add(len, Ordering::AcqRel);
        self.total.fetch_sub(before, Ordering::AcqRel);
    }
}

fn no_space() -> io::Error {
    io::Error::new(io::ErrorKind::StorageFull, "the spool has reached its cap")
}

impl CappedDisk {
    /// Counts all files of `disk`. The cap is `max` bytes, or the disk's capacity if that is less. The
    /// manifest and its reserve may always be `manifest_bytes` long.
    pub(super) fn new(disk: Arc<dyn Disk>, max: u64, manifest_bytes: u64) -> io::Result<Self> {
        let total = Arc::new(AtomicU64::new(0));
        let mut files = BTreeMap::new();
        for (name, len) in disk.list("")?.into_iter().filter(|(name, _)| name != DELIVERIES) {
            files.insert(name, Length::new(len, &total));
        }
        for dir in SUBDIRECTORIES {
            for (name, len) in disk.list(dir)? {
                files.insert(format!("{dir}/{name}"), Length::new(len, &total));
            }
        }
        let cap = AtomicU64::new(max);
        let capped = Self {
            inner: disk,
            max: AtomicU64::new(max),
            cap,
            manifest_bytes,
            total,
            files: Mutex::new(files),
        };
        capped.measure();
        Ok(capped)
    }

    /// Bytes of all files.
    pub(super) fn used(&self) -> u64 {
        self.total.load(Ordering::Acquire)
    }

    /// Bytes of staged objects. They are freed without further action.
    pub(super) fn staged(&self) -> u64 {
        self.of(STAGING)
    }

    /// Bytes of the manifest and its reserve.
    pub(super) fn manifests(&self) -> u64 {
        self.of(MANIFEST).saturating_add(self.of(RESERVE))
    }

    fn of(&self, prefix: &str) -> u64 {
        let files = self.files();
        let of_prefix = files.range(prefix.to_owned()..).take_while(|(name, _)| name.starts_with(prefix));
        of_prefix.map(|(_, length)| length.bytes.load(Ordering::Acquire)).sum()
    }

    /// The cap in force, in bytes.
    pub(super) fn cap(&self) -> u64 {
        self.cap.load(Ordering::Acquire)
    }

    /// The configured cap, in bytes.
    pub(super) fn max(&self) -> u64 {
        self.max.load(Ordering::Acquire)
    }

    /// Changes the configured cap. A file that is open keeps the one that it was opened with.
    #[cfg(any(test, feature = "testing", feature = "kafka"))]
    pub(super) fn set_max(&self, max: u64) {
        self.max.store(max, Ordering::Release);
        self.measure();
    }

    /// Whether the disk can hold less than is configured.
    pub(super) fn is_smaller_than_configured(&self) -> bool {
        self.cap() < self.max()
    }

    /// Sets the cap by the space left on the disk, which other programs may take or free. Returns how many
    /// bytes the spool may still take.
    pub(super) fn measure(&self) -> u64 {
        let free = self.inner.free_bytes().unwrap_or(u64::MAX);
        let used = self.used();
        let cap = self.max().min(used.saturating_add(free));
        self.cap.store(cap, Ordering::Release);
        cap.saturating_sub(used)
    }

    fn files(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Length>>> {
        lock(&self.files)
    }

    /// The limits on a file's length. They do not depend on the cap in force, because only the disk itself
    /// knows how much space other programs leave.
    fn bound_of(&self, name: &str) -> Bound {
        let cap = |cap| Bound { always: 0, cap };
        match name {
            _ if name.starts_with("IDENT") => Bound { always: u64::MAX, cap: self.max() },
            // Space can be freed only with notes in these files. If many objects are pending, the files must
            // be longer; they then grow before an object is sealed, so that later notes about the object need
            // no more space.
            _ if name.starts_with(MANIFEST) || name == RESERVE => {
                Bound { always: self.manifest_bytes, cap: self.max() }
            }
            // Staging and parking objects empties a full spool, so objects may use all space that other files
            // leave. So may what destinations queue, because that frees segments.
            // And only once the positions of destinations are written, what they have finished is freed.
            _ if [STAGING, "parked/", "queued/", "destinations."].iter().any(|dir| name.starts_with(dir)) => {
                cap(self.max())
            }
            _ => cap(full_mark(self.max())),
        }
    }

    fn wrap(&self, name: &str, file: Arc<dyn DiskFile>, length: Arc<Length>) -> Arc<dyn DiskFile> {
        Arc::new(CappedFile { inner: file, length, bound: self.bound_of(name) })
    }
}

impl Disk for CappedDisk {
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.inner.open(name)?;
        let mut files = self.files();
        let length = match files.get(name) {
            Some(length) => Arc::clone(length),
            None => {
                let length = Length::new(file.len()?, &self.total);
                files.insert(name.to_owned(), Arc::clone(&length));
                length
            }
        };
        drop(files);
        Ok(self.wrap(name, file, length))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.inner.create(name)?;
        let length = Length::new(0, &self.total);
        if let Some(replaced) = self.files().insert(name.to_owned(), Arc::clone(&length)) {
            replaced.set(0);
        }
        Ok(self.wrap(name, file, length))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.inner.rename(from, to)?;
        let mut files = self.files();
        if let Some(length) = files.remove(from)
            && let Some(replaced) = files.insert(to.to_owned(), length)
        {
            replaced.set(0);
        }
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.inner.remove(name)?;
        if let Some(removed) = self.files().remove(name) {
            removed.set(0);
        }
        Ok(())
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        self.inner.sync_dir(dir)
    }

    fn list(&self, dir: &str) -> io::Result<Vec<(String, u64)>> {
        self.inner.list(dir)
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        self.inner.path(name)
    }

    fn is_in_place(&self) -> bool {
        self.inner.is_in_place()
    }

    fn free_bytes(&self) -> Option<u64> {
        self.inner.free_bytes()
    }
}

#[derive(Debug)]
struct CappedFile {
    inner: Arc<dyn DiskFile>,
    length: Arc<Length>,
    bound: Bound,
}

impl DiskFile for CappedFile {
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        self.inner.read_at(buf, at)
    }

    fn write_at(&self, parts: &[IoSlice<'_>], at: u64) -> io::Result<()> {
        let end = parts.iter().fold(at, |end, part| end.saturating_add(part.len() as u64));
        let before = self.length.grow(end, self.bound)?;
        self.inner.write_at(parts, at).inspect_err(|_| {
            // Only the disk knows how much of it was written.
            self.length.set(self.inner.len().unwrap_or(before));
        })
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        let before = self.length.grow(len, self.bound)?;
        self.inner.allocate(len).inspect_err(|_| self.length.set(self.inner.len().unwrap_or(before)))
    }

    fn sync(&self) -> io::Result<()> {
        self.inner.sync()
    }

    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }
}

/// A disk that is full at `max` bytes.
#[cfg(test)]
pub(crate) fn capped(disk: Arc<dyn Disk>, max: u64) -> Arc<dyn Disk> {
    Arc::new(CappedDisk::new(disk, max, 0).unwrap())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::is_no_space;
    use crate::disk::real_disk::RealDisk;

    #[test]
    fn every_file_counts_towards_the_cap() {
        let dir = tempfile::tempdir().unwrap();
        let real: Arc<dyn Disk> = Arc::new(RealDisk::open(dir.path()).unwrap());
        real.create("parked/old").unwrap().write_at(&[IoSlice::new(&[1; 100])], 0).unwrap();
        let capped = CappedDisk::new(Arc::clone(&real), 1_000, 80).unwrap();
        let on_disk = || {
            let of = |dir| real.list(dir).unwrap().into_iter().map(|(_, len)| len).sum::<u64>();
            [""].into_iter().chain(SUBDIRECTORIES).map(of).sum::<u64>()
        };
        let check = |used: u64| assert_eq!((capped.used(), on_disk()), (used, used));
        check(100);
        let staged = capped.create("staging/1").unwrap();
        staged.write_at(&[IoSlice::new(&[1; 300]), IoSlice::new(&[2; 200])], 0).unwrap();
        check(600);
        assert_eq!(capped.staged(), 500);
        staged.write_at(&[IoSlice::new(&[3; 500])], 0).unwrap();
        check(600);
        let refused = staged.write_at(&[IoSlice::new(&[3; 401])], 500).unwrap_err();
        assert!(is_no_space(&refused), "{refused}");
        check(600);
        staged.write_at(&[IoSlice::new(&[3; 400])], 500).unwrap();
        check(1_000);
        let more = capped.create("staging/2").unwrap();
        assert!(is_no_space(&more.allocate(1).unwrap_err()));
        check(1_000);
        let manifest = capped.create("MANIFEST-1").unwrap();
        manifest.write_at(&[IoSlice::new(&[3; 50])], 0).unwrap();
        check(1_050);
        let longer = |len: usize| manifest.write_at(&[IoSlice::new(&vec![3; len])], 50);
        assert!(is_no_space(&longer(31).unwrap_err()), "a long manifest is limited like any other file");
        longer(0).unwrap();
        check(1_050);
        assert!(is_no_space(
            &capped.create("wal-1").unwrap().write_at(&[IoSlice::new(&[0])], 0).unwrap_err()
        ));
        capped.rename("staging/1", "parked/old").unwrap();
        check(950);
        capped.create("parked/old").unwrap();
        check(50);
        capped.remove("MANIFEST-1").unwrap();
        capped.remove("MANIFEST-1").unwrap();
        check(0);
        assert_eq!((capped.cap(), capped.measure()), (1_000, 1_000));
        assert!(!capped.is_smaller_than_configured());
        let huge = CappedDisk::new(real, u64::MAX, 80).unwrap();
        assert!(huge.is_smaller_than_configured(), "no disk is that large");
    }
}
