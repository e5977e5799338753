//! Stages objects: in memory while they are small and the budget lasts, else in a file.
//!
//! A crash loses staged objects; they are made again from the spool.

use std::io::{self, IoSlice, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;

use crate::disk::{Disk, DiskFile, StagingDisk, read_all};
use crate::store::Body;

/// An object longer than this goes to a file, unless the settings say otherwise.
pub const OBJECT_IN_MEMORY_MAX: usize = 1_024 * 1_024;
/// Maximum bytes of all objects staged in memory.
const MEMORY_MAX: usize = 16 * 1_024 * 1_024;
/// Maximum bytes of the one object that may be staged in memory beyond that budget, if the disk has no space
/// for a sealed object.
const LAST_RESORT_MAX: usize = 256 * 1_024 * 1_024;

/// The memory in which all logs of a process stage objects. Cheap to clone; clones are the same memory.
#[derive(Clone, Debug, Default)]
pub struct StagingMemory {
    staged: Arc<AtomicUsize>,
    last_resort: Arc<AtomicUsize>,
}

/// Where objects of one log are staged.
#[derive(Debug)]
pub struct Staging {
    on: StagingDisk,
    memory: StagingMemory,
    in_memory_max: usize,
    next: AtomicU64,
}

/// An object being written.
#[derive(Debug)]
pub struct StagingWriter {
    disk: Arc<dyn Disk>,
    name: String,
    memory_max: usize,
    memory: Vec<u8>,
    reserved: Reserved,
    file: Option<Arc<dyn DiskFile>>,
    len: u64,
    crc32: crc32fast::Hasher,
}

/// A finished object.
#[derive(Debug)]
pub struct Staged {
    staged_in: StagedIn,
    /// Its length in bytes.
    pub len: u64,
    /// Its CRC-32.
    pub crc32: u32,
}

#[derive(Debug)]
enum StagedIn {
    Memory { bytes: Bytes, _reserved: Reserved },
    File(StagedFile),
}

/// A staged file, removed when it is dropped. It is not kept open: dozens of objects may wait for each
/// bucket, and each would hold a file handle.
#[derive(Debug)]
struct StagedFile {
    disk: Arc<dyn Disk>,
    name: String,
}

impl Drop for StagedFile {
    fn drop(&mut self) {
        if let Err(error) = self.disk.remove(&self.name) {
            tracing::warn!(%error, file = self.name, "a staged object could not be removed; the next start removes it");
        }
    }
}

/// A share of a memory budget.
#[derive(Debug)]
struct Reserved {
    budget: Arc<AtomicUsize>,
    /// What its log counts of it.
    of_log: Option<Arc<AtomicUsize>>,
    max: usize,
    bytes: usize,
}

impl Reserved {
    /// Takes `more` bytes of the budget, if it has them.
    fn grow(&mut self, more: usize) -> bool {
        let fits = self.budget.fetch_add(more, Ordering::AcqRel) + more <= self.max;
        if fits {
            self.bytes += more;
            if let Some(of_log) = &self.of_log {
                of_log.fetch_add(more, Ordering::AcqRel);
            }
        } else {
            self.budget.fetch_sub(more, Ordering::AcqRel);
        }
        fits
    }

    fn give_back(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        for counter in [Some(&self.budget), self.of_log.as_ref()].into_iter().flatten() {
            counter.fetch_sub(bytes, Ordering::AcqRel);
        }
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.give_back();
    }
}

impl Staging {
    /// Stages objects longer than `in_memory_max`, and those for which `memory` has no room, in files.
    pub fn new(on: StagingDisk, memory: StagingMemory, in_memory_max: usize) -> Self {
        Self { on, memory, in_memory_max, next: AtomicU64::new(1) }
    }

    /// Begins the one object of up to 256 MiB that may be staged in memory because the disk is full: it is
    /// sealed, and delivering it frees the segments that it pins. `None` while there is another, of any log.
    pub fn begin_in_memory(&self) -> Option<StagingWriter> {
        let mut writer = self.begin();
        let budget = Arc::clone(&self.memory.last_resort);
        writer.reserved = Reserved { budget, of_log: None, max: LAST_RESORT_MAX, bytes: 0 };
        writer.memory_max = LAST_RESORT_MAX;
        // One byte marks the budget as taken.
        let taken = self.memory.last_resort.compare_exchange(0, 1, Ordering::AcqRel, Ordering::Acquire);
        taken.ok().map(|_| {
            writer.reserved.bytes = 1;
            writer
        })
    }

    /// Begins an object.
    pub fn begin(&self) -> StagingWriter {
        StagingWriter {
            disk: Arc::clone(&self.on.disk),
            name: format!("staging/{}.gz", self.next.fetch_add(1, Ordering::Relaxed)),
            memory_max: self.in_memory_max,
            memory: Vec::new(),
            reserved: Reserved {
                budget: Arc::clone(&self.memory.staged),
                of_log: Some(Arc::clone(&self.on.in_memory)),
                max: MEMORY_MAX,
                bytes: 0,
            },
            file: None,
            len: 0,
            crc32: crc32fast::Hasher::new(),
        }
    }
}

impl StagingWriter {
    fn spill(&mut self) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.disk.create(&self.name)?;
        // Set before the write: if the disk is full, dropping this removes the file.
        self.file = Some(Arc::clone(&file));
        file.write_at(&[IoSlice::new(&self.memory)], 0)?;
        self.memory = Vec::new();
        self.reserved.give_back();
        Ok(file)
    }

    /// Finishes the object.
    pub fn finish(mut self) -> Staged {
        let crc32 = std::mem::take(&mut self.crc32).finalize();
        let staged_in = match self.file.take() {
            Some(_) => StagedIn::File(StagedFile { disk: Arc::clone(&self.disk), name: self.name.clone() }),
            None => {
                let reserved = Reserved {
                    budget: Arc::clone(&self.reserved.budget),
                    of_log: self.reserved.of_log.clone(),
                    max: self.reserved.max,
                    bytes: std::mem::take(&mut self.reserved.bytes),
                };
                StagedIn::Memory { bytes: std::mem::take(&mut self.memory).into(), _reserved: reserved }
            }
        };
        Staged { staged_in, len: self.len, crc32 }
    }
}

impl Write for StagingWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let file = match &self.file {
            Some(file) => Some(Arc::clone(file)),
            None if self.memory.len() + bytes.len() > self.memory_max || !self.reserved.grow(bytes.len()) => {
                Some(self.spill()?)
            }
            None => None,
        };
        match file {
            Some(file) => file.write_at(&[IoSlice::new(bytes)], self.len)?,
            None => self.memory.extend_from_slice(bytes),
        }
        self.crc32.update(bytes);
        self.len += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for StagingWriter {
    fn drop(&mut self) {
        if self.file.take().is_some()
            && let Err(error) = self.disk.remove(&self.name)
        {
            tracing::warn!(%error, file = self.name, "an unfinished object could not be removed; the next start removes it");
        }
    }
}

impl Staged {
    /// Whether it is the one object of [`Staging::begin_in_memory`].
    pub fn is_last_resort(&self) -> bool {
        matches!(&self.staged_in, StagedIn::Memory { _reserved, .. } if _reserved.max == LAST_RESORT_MAX)
    }

    /// The object as the body of a put.
    pub fn body(&self) -> io::Result<Body> {
        match &self.staged_in {
            StagedIn::Memory { bytes, .. } => Ok(Body::Bytes(bytes.clone())),
            StagedIn::File(StagedFile { disk, name }) => match disk.path(name) {
                Some(path) => Ok(Body::File { path, len: self.len }),
                // Files of this disk have no path.
                None => Ok(Body::Bytes(read_all(&*disk.open(name)?)?.into())),
            },
        }
    }

    /// The object's bytes, from the beginning.
    pub fn reader(&self) -> Box<dyn Read + Send + '_> {
        match &self.staged_in {
            StagedIn::Memory { bytes, .. } => Box::new(bytes.as_ref()),
            StagedIn::File(staged) => Box::new(FileReader { staged, file: None, at: 0 }),
        }
    }
}

struct FileReader<'a> {
    staged: &'a StagedFile,
    /// Opened by the first read.
    file: Option<Arc<dyn DiskFile>>,
    at: u64,
}

impl Read for FileReader<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let file = match &self.file {
            Some(file) => file,
            None => self.file.insert(self.staged.disk.open(&self.staged.name)?),
        };
        let read = file.read_at(buf, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::real_disk::RealDisk;

    #[test]
    fn small_objects_stay_in_memory_and_large_ones_or_those_over_budget_go_to_files() {
        let dir = tempfile::tempdir().unwrap();
        let disk: Arc<dyn Disk> = Arc::new(RealDisk::open(dir.path()).unwrap());
        let on = StagingDisk { disk: Arc::clone(&disk), in_memory: Arc::default() };
        let staging = Staging::new(on, StagingMemory::default(), OBJECT_IN_MEMORY_MAX);
        let make = |len: usize| {
            let mut writer = staging.begin();
            let bytes: Vec<u8> = (0..len).map(|i| u8::try_from(i % 251).unwrap()).collect();
            bytes.chunks(70_000).for_each(|chunk| writer.write_all(chunk).unwrap());
            let staged = writer.finish();
            let mut read = Vec::new();
            staged.reader().read_to_end(&mut read).unwrap();
            assert_eq!(read, bytes);
            assert_eq!((staged.len, staged.crc32), (len as u64, crc32fast::hash(&bytes)));
            staged
        };
        let in_memory = |staged: &Staged| matches!(staged.body().unwrap(), Body::Bytes(_));
        let small: Vec<Staged> = (0..16).map(|_| make(1_024 * 1_024)).collect();
        assert!(small.iter().all(in_memory));
        let over = make(1_000);
        assert!(!in_memory(&over), "the budget is used up");
        drop(small);
        assert!(in_memory(&make(1_000)));
        let large = make(3_000_000);
        assert!(!in_memory(&large));
        assert_eq!(disk.list("staging").unwrap().len(), 2);
        drop((over, large));
        drop(staging.begin());
        assert_eq!(disk.list("staging").unwrap(), []);
        let mut last = staging.begin_in_memory().unwrap();
        last.write_all(&[7; 3_000_000]).unwrap();
        let last = last.finish();
        assert!(last.is_last_resort() && in_memory(&last) && disk.list("staging").unwrap().is_empty());
        assert!(staging.begin_in_memory().is_none(), "only one at a time");
        drop(last);
        assert!(staging.begin_in_memory().is_some());
    }

    #[test]
    fn all_logs_share_one_budget_and_each_counts_its_own_part() {
        let memory = StagingMemory::default();
        let new = || {
            let dir = tempfile::tempdir().unwrap();
            let disk = Arc::new(RealDisk::open(dir.path()).unwrap());
            let on = StagingDisk { disk, in_memory: Arc::default() };
            (Staging::new(on.clone(), memory.clone(), OBJECT_IN_MEMORY_MAX), on.in_memory, dir)
        };
        let ((one, of_one, _one), (other, of_other, _other)) = (new(), new());
        let stage = |staging: &Staging, len: usize| {
            let mut writer = staging.begin();
            writer.write_all(&vec![7; len]).unwrap();
            writer.finish()
        };
        let in_memory = |staged: &Staged| matches!(staged.body().unwrap(), Body::Bytes(_));
        let counted = || (of_one.load(Ordering::Acquire), of_other.load(Ordering::Acquire));
        let mut held: Vec<Staged> = (0..15).map(|_| stage(&one, OBJECT_IN_MEMORY_MAX)).collect();
        held.push(stage(&other, OBJECT_IN_MEMORY_MAX));
        assert!(held.iter().all(in_memory));
        assert_eq!(counted(), (15 * OBJECT_IN_MEMORY_MAX, OBJECT_IN_MEMORY_MAX));
        assert!(!in_memory(&stage(&one, 1)) && !in_memory(&stage(&other, 1)), "the budget is used up");
        held.truncate(15);
        assert_eq!(counted(), (15 * OBJECT_IN_MEMORY_MAX, 0));
        assert!(in_memory(&stage(&other, 1)));
        let last = one.begin_in_memory().unwrap();
        assert!(other.begin_in_memory().is_none(), "one for the whole process");
        drop((last, held));
        assert!(other.begin_in_memory().is_some());
        assert_eq!(counted(), (0, 0));
    }
}
