//! A disk in memory for tests: it stops after a number of changes, and forgets unsynced data at a power cut.
//!
//! A power cut keeps each unsynced write whole, in part or not at all, and a prefix of the unsynced changes
//! of names.

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::disk::{Disk, DiskFile};
use crate::lock::lock;
use crate::random::Random;

/// Randomness determined by a seed.
#[derive(Debug, Default)]
pub(crate) struct Dice(AtomicU64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// A number below `end`; 0 if `end` is 0.
    pub(crate) fn below(&self, end: u64) -> u64 {
        self.next_u64() % end.max(1)
    }

    /// One of these.
    pub(crate) fn of<T: Clone>(&self, choices: &[T]) -> T {
        choices[usize::try_from(self.below(choices.len() as u64)).unwrap()].clone()
    }
}

impl Random for Dice {
    fn next_u64(&self) -> u64 {
        const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
        let mut z = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

#[derive(Debug, Default)]
struct Content {
    seen: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<(usize, Vec<u8>)>,
}

#[derive(Clone, Debug)]
enum NameChange {
    Set(String, usize),
    Remove(String),
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            Self::Set(name, id) => {
                names.retain(|_, known| known != id);
                names.insert(name.clone(), *id);
            }
            Self::Remove(name) => drop(names.remove(name)),
        }
    }
}

#[derive(Debug, Default)]
struct State {
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    name_changes: Vec<NameChange>,
    files: Vec<Content>,
    changes: u64,
    /// The machine stops at this change.
    stop_at: Option<u64>,
    /// This sync fails.
    failing_sync: Option<u64>,
    syncs: u64,
    /// There is no space.
    is_full: bool,
}

/// The disk. Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct CrashDisk {
    state: Arc<Mutex<State>>,
    dice: Arc<Dice>,
}

#[derive(Debug)]
struct CrashFile {
    disk: CrashDisk,
    id: usize,
}

fn put(bytes: &mut Vec<u8>, at: usize, what: &[u8]) {
    if bytes.len() < at + what.len() {
        bytes.resize(at + what.len(), 0);
    }
    bytes[at..at + what.len()].copy_from_slice(what);
}

impl CrashDisk {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: Arc::default(), dice: Arc::new(Dice::new(seed)) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// A change: `false` if the machine stops at it, or has stopped.
    fn change(&self) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.lock();
        state.changes += 1;
        match state.stop_at {
            Some(at) if state.changes >= at => Err(io::Error::other("the machine stopped")),
            _ => Ok(state),
        }
    }

    /// Stops the machine at the change that follows `after` further ones.
    pub(crate) fn stop_after(&self, after: u64) {
        let mut state = self.lock();
        state.stop_at = Some(state.changes + after + 1);
    }

    /// Whether it stopped.
    pub(crate) fn stopped(&self) -> bool {
        let state = self.lock();
        state.stop_at.is_some_and(|at| state.changes >= at)
    }

    /// Makes the sync that follows `after` further ones fail.
    pub(crate) fn fail_sync_after(&self, after: u64) {
        let mut state = self.lock();
        state.failing_sync = Some(state.syncs + after + 1);
    }

    /// Takes all space, or gives it back.
    pub(crate) fn fill(&self, is_full: bool) {
        self.lock().is_full = is_full;
    }

    /// Starts the machine again. After a power cut unsynced data is kept by chance; after the end of a
    /// process all of it is.
    pub(crate) fn restart(&self, power_cut: bool) {
        let mut state = self.lock();
        state.stop_at = None;
        if !power_cut {
            return;
        }
        let kept = usize::try_from(self.dice.below(state.name_changes.len() as u64 + 1)).unwrap();
        let changes = std::mem::take(&mut state.name_changes);
        changes[..kept].iter().for_each(|change| change.apply(&mut state.durable_names));
        state.names = state.durable_names.clone();
        for file in &mut state.files {
            for (at, bytes) in std::mem::take(&mut file.unsynced) {
                match self.dice.below(3) {
                    0 => put(&mut file.durable, at, &bytes),
                    // A torn write: some runs of bytes are there, and the file may be long without its bytes.
                    1 => {
                        let run = usize::try_from(self.dice.below(40) + 1).unwrap();
                        for (n, piece) in bytes.chunks(run).enumerate() {
                            if self.dice.below(2) == 0 {
                                put(&mut file.durable, at + n * run, piece);
                            }
                        }
                    }
                    _ => {}
                }
            }
            file.seen.clone_from(&file.durable);
        }
    }

    /// The bytes of a file.
    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        let state = self.lock();
        state.files[state.names[name]].seen.clone()
    }

    /// Makes a file with these bytes, durably.
    pub(crate) fn put(&self, name: &str, bytes: &[u8]) {
        crate::disk::write_durably(self, name, bytes).unwrap();
    }

    /// The names of all files.
    pub(crate) fn names(&self) -> Vec<String> {
        self.lock().names.keys().cloned().collect()
    }

    fn name(&self, state: &mut State, change: NameChange) {
        change.apply(&mut state.names);
        state.name_changes.push(change);
    }
}

impl Disk for CrashDisk {
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let id = *self.lock().names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(CrashFile { disk: self.clone(), id }))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.change()?;
        let id = state.files.len();
        state.files.push(Content::default());
        self.name(&mut state, NameChange::Set(name.to_owned(), id));
        Ok(Arc::new(CrashFile { disk: self.clone(), id }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.change()?;
        let id = *state.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        self.name(&mut state, NameChange::Set(to.to_owned(), id));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.change()?;
        self.name(&mut state, NameChange::Remove(name.to_owned()));
        Ok(())
    }

    fn sync_dir(&self, _: &str) -> io::Result<()> {
        let mut state = self.change()?;
        let changes = std::mem::take(&mut state.name_changes);
        changes.iter().for_each(|change| change.apply(&mut state.durable_names));
        Ok(())
    }

    fn list(&self, _: &str) -> io::Result<Vec<(String, u64)>> {
        let state = self.lock();
        Ok(state.names.iter().map(|(name, id)| (name.clone(), state.files[*id].seen.len() as u64)).collect())
    }

    fn path(&self, _: &str) -> Option<PathBuf> {
        None
    }
}

impl DiskFile for CrashFile {
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        let state = self.disk.lock();
        let rest = state.files[self.id].seen.get(usize::try_from(at).unwrap()..).unwrap_or(&[]);
        let read = rest.len().min(buf.len());
        buf[..read].copy_from_slice(&rest[..read]);
        Ok(read)
    }

    fn write_at(&self, parts: &[IoSlice<'_>], at: u64) -> io::Result<()> {
        let bytes: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        let at = usize::try_from(at).unwrap();
        let was_down = self.disk.stopped();
        let (written, outcome) = match self.disk.change() {
            // What is written over bytes of the file needs no space.
            Ok(state) if state.is_full && at + bytes.len() > state.files[self.id].seen.len() => {
                let written = self.disk.dice.below(bytes.len() as u64);
                (usize::try_from(written).unwrap(), Err(io::ErrorKind::StorageFull.into()))
            }
            Ok(_) => (bytes.len(), Ok(())),
            Err(error) if was_down => (0, Err(error)),
            // The machine stops in the middle of the write.
            Err(error) => {
                (usize::try_from(self.disk.dice.below(bytes.len() as u64 + 1)).unwrap(), Err(error))
            }
        };
        let mut state = self.disk.lock();
        let file = &mut state.files[self.id];
        put(&mut file.seen, at, &bytes[..written]);
        file.unsynced.push((at, bytes[..written].to_vec()));
        outcome
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.change()?;
        state.syncs += 1;
        let fails = state.failing_sync == Some(state.syncs);
        let file = &mut state.files[self.id];
        let unsynced = std::mem::take(&mut file.unsynced);
        if fails {
            // The kernel drops the pages, still shows them, and forgets the failure.
            return Err(io::Error::other("the sync failed"));
        }
        for (at, bytes) in unsynced {
            put(&mut file.durable, at, &bytes);
        }
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.lock().files[self.id].seen.len() as u64)
    }
}
