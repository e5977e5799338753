//! A disk that counts its calls by kind and by the role of their file, and lets one of them fail, or all of
//! its kind from then on.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, IoSlice};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use forebay::disk::Disk;
use forebay::disk::DiskFile;

use crate::support::sim_disk::SimDisk;

/// A kind of call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Op {
    Open,
    Create,
    Rename,
    Remove,
    SyncDir,
    List,
    Read,
    Write,
    Sync,
    Len,
}

impl Op {
    /// Whether it needs a new file handle. A sync of a directory does not, because the spool keeps its
    /// directories open.
    pub(super) fn needs_handle(self) -> bool {
        matches!(self, Self::Open | Self::Create | Self::List)
    }
}

/// The role of a file in the spool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    Ident,
    /// The manifest in use.
    Manifest,
    /// A manifest before its rename.
    NewManifest,
    /// A segment under its final name.
    Segment,
    /// A segment in preparation, or a released one waiting for reuse.
    NextSegment,
    Index,
    Fingerprints,
    Reserve,
    Staged,
    Parked,
    Quarantine,
    /// What destinations have queued.
    Queued,
    /// The spool's directory itself.
    Directory,
}

impl Role {
    fn of(name: &str) -> Self {
        let temporary = name.ends_with(".tmp");
        match name {
            "" => Self::Directory,
            "reserve" => Self::Reserve,
            _ if name.starts_with("IDENT") => Self::Ident,
            _ if name.starts_with("MANIFEST-") && temporary => Self::NewManifest,
            _ if name.starts_with("MANIFEST-") => Self::Manifest,
            _ if name.starts_with("spare-") || name.ends_with(".seg.tmp") => Self::NextSegment,
            _ if name.starts_with("wal-") && name.ends_with(".seg") => Self::Segment,
            _ if name.starts_with("wal-") => Self::Index,
            _ if name.starts_with("seen-") => Self::Fingerprints,
            _ if name.starts_with("staging") => Self::Staged,
            _ if name.starts_with("parked") => Self::Parked,
            _ if name.starts_with("quarantine") => Self::Quarantine,
            _ if name.starts_with("queued") => Self::Queued,
            _ => panic!("{name}: add the role of this file here"),
        }
    }
}

/// A call of a run: the `nth` (from 1) of its kind on files of its role.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Site {
    pub(super) op: Op,
    pub(super) role: Role,
    pub(super) nth: u64,
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} of {:?} number {}", self.op, self.role, self.nth)
    }
}

/// How much of a call is done although it fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Done {
    Nothing,
    /// For a write: the first half of its bytes.
    Half,
    All,
}

/// The error of the failing call, and how much it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) error: Error,
    pub(super) done: Done,
}

/// An error of the operating system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Error {
    Eio,
    Enospc,
    Edquot,
    Emfile,
}

impl Error {
    fn errno(self) -> i32 {
        use rustix::io::Errno;
        let errno = match self {
            Self::Eio => Errno::IO,
            Self::Enospc => Errno::NOSPC,
            Self::Edquot => Errno::DQUOT,
            Self::Emfile => Errno::MFILE,
        };
        errno.raw_os_error()
    }

    /// Whether it may be temporary: no space, or no file handles.
    pub(super) fn may_pass(self) -> bool {
        self != Self::Eio
    }
}

/// The failure of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Case {
    pub(super) site: Site,
    pub(super) fault: Fault,
    /// Whether every later call of this kind also fails, on any file.
    pub(super) lasting: bool,
}

/// The phase of the program at the failed call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Opening,
    Running,
}

/// The events of one run so far, over all lives of the spool.
#[derive(Debug, Default)]
pub(super) struct Record {
    pub(super) case: Option<Case>,
    pub(super) calls: BTreeMap<(Op, Role), u64>,
    pub(super) struck: Option<Phase>,
    pub(super) opening: bool,
    /// The failure is over.
    pub(super) mended: bool,
    /// Whether the fault occurred in this life.
    pub(super) struck_now: bool,
    pub(super) broken_rules: Vec<String>,
}

/// Shared by the lives of one run.
#[derive(Clone, Debug, Default)]
pub(super) struct Recorder(Arc<Mutex<Record>>);

impl Recorder {
    pub(super) fn new(case: Option<Case>) -> Self {
        Self(Arc::new(Mutex::new(Record { case, ..Record::default() })))
    }

    pub(super) fn get(&self) -> MutexGuard<'_, Record> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends all failures; returns the calls so far.
    pub(super) fn mend(&self) -> BTreeMap<(Op, Role), u64> {
        let mut record = self.get();
        (record.case, record.mended) = (None, true);
        record.calls.clone()
    }

    fn count(&self, op: Op, role: Role) -> Option<Fault> {
        let mut record = self.get();
        let count = record.calls.entry((op, role)).or_default();
        *count += 1;
        let nth = *count;
        let case = record.case?;
        let hit = case.site == Site { op, role, nth };
        // Without handles, every call that needs one fails.
        let alike = case.site.op == op || (case.fault.error == Error::Emfile && op.needs_handle());
        let still = record.struck.is_some() && case.lasting && !record.mended && alike;
        if hit {
            record.struck = Some(if record.opening { Phase::Opening } else { Phase::Running });
        }
        record.struck_now |= hit || still;
        (hit || still).then_some(case.fault)
    }
}

/// The current name of a file, and whether a sync of it has failed.
#[derive(Debug)]
struct Known {
    name: Mutex<String>,
    sync_failed: AtomicBool,
}

/// The disk as seen by one life of the spool. Clones are the same disk.
#[derive(Clone, Debug)]
pub(super) struct FaultyDisk {
    inner: SimDisk,
    recorder: Recorder,
    files: Arc<Mutex<BTreeMap<String, Arc<Known>>>>,
    alive: Arc<RwLock<bool>>,
}

#[derive(Debug)]
struct FaultyFile {
    disk: FaultyDisk,
    inner: Arc<dyn DiskFile>,
    known: Arc<Known>,
}

impl FaultyDisk {
    pub(super) fn new(inner: SimDisk, recorder: Recorder) -> Self {
        Self { inner, recorder, files: Arc::default(), alive: Arc::new(RwLock::new(true)) }
    }

    /// The process is gone: later attempts of its threads are not executed or counted.
    pub(super) fn kill(&self) {
        *self.alive.write().unwrap_or_else(PoisonError::into_inner) = false;
    }

    /// Executes a call, or the part that its fault allows. `half` executes half of it.
    fn call<T>(
        &self,
        op: Op,
        name: &str,
        whole: impl FnOnce() -> io::Result<T>,
        half: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<T> {
        // Held to the end, so that nothing is executed after a kill.
        let alive = self.alive.read().unwrap_or_else(PoisonError::into_inner);
        if !*alive {
            return Err(io::Error::from_raw_os_error(Error::Eio.errno()));
        }
        let Some(fault) = self.recorder.count(op, Role::of(name)) else { return whole() };
        match fault.done {
            Done::Nothing => {}
            Done::Half => half()?,
            Done::All => drop(whole()?),
        }
        Err(io::Error::from_raw_os_error(fault.error.errno()))
    }

    fn known(&self, name: &str, new: bool) -> Arc<Known> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let make =
            || Arc::new(Known { name: Mutex::new(name.to_owned()), sync_failed: AtomicBool::new(false) });
        if new {
            files.insert(name.to_owned(), make());
        }
        Arc::clone(files.entry(name.to_owned()).or_insert_with(make))
    }
}

fn nothing() -> io::Result<()> {
    Ok(())
}

impl Disk for FaultyDisk {
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let inner = self.call(Op::Open, name, || self.inner.open(name), nothing)?;
        Ok(Arc::new(FaultyFile { disk: self.clone(), inner, known: self.known(name, false) }))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let inner = self.call(Op::Create, name, || self.inner.create(name), nothing)?;
        Ok(Arc::new(FaultyFile { disk: self.clone(), inner, known: self.known(name, true) }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let rename = || {
            self.inner.rename(from, to)?;
            let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(known) = files.remove(from) {
                to.clone_into(&mut known.name.lock().unwrap_or_else(PoisonError::into_inner));
                files.insert(to.to_owned(), known);
            }
            Ok(())
        };
        self.call(Op::Rename, from, rename, nothing)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.call(Op::Remove, name, || self.inner.remove(name), nothing)?;
        self.files.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        Ok(())
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        self.call(Op::SyncDir, dir, || self.inner.sync_dir(dir), nothing)
    }

    fn list(&self, dir: &str) -> io::Result<Vec<(String, u64)>> {
        self.call(Op::List, dir, || self.inner.list(dir), nothing)
    }

    fn path(&self, _: &str) -> Option<PathBuf> {
        None
    }
}

impl FaultyFile {
    fn name(&self) -> String {
        self.known.name.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl DiskFile for FaultyFile {
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        self.disk.call(Op::Read, &self.name(), || self.inner.read_at(buf, at), nothing)
    }

    fn write_at(&self, parts: &[IoSlice<'_>], at: u64) -> io::Result<()> {
        let half = || {
            let bytes: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
            self.inner.write_at(&[IoSlice::new(&bytes[..bytes.len() / 2])], at)
        };
        self.disk.call(Op::Write, &self.name(), || self.inner.write_at(parts, at), half)
    }

    fn sync(&self) -> io::Result<()> {
        let name = self.name();
        if self.known.sync_failed.load(Ordering::SeqCst) {
            self.disk.recorder.get().broken_rules.push(format!("{name} is synced after a failed sync"));
        }
        let synced = self.disk.call(Op::Sync, &name, || self.inner.sync(), nothing);
        self.known.sync_failed.fetch_or(synced.is_err(), Ordering::SeqCst);
        synced
    }

    fn len(&self) -> io::Result<u64> {
        self.disk.call(Op::Len, &self.name(), || self.inner.len(), nothing)
    }
}
