//! A disk in memory that forgets at a crash what was not synced, and fails where it is told to.
//!
//! Names and bytes are durable apart: a name by the sync of its directory, bytes by the sync of their file. At a crash each
//! write that was not synced is kept whole, in part or not at all, as chance has it; of the changes of names a beginning is
//! kept. A sync that fails drops what it was to store, and the next one says nothing of it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSlice};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use forebay::spool::{Disk, DiskFile};

/// A small generator: what it gives is a function of its seed.
#[derive(Clone, Debug)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The machine stops at this change and at every later one.
    Crash,
    /// This change alone fails.
    Fails(i32),
}

#[derive(Clone, Debug)]
enum NameChange {
    Create(String, usize),
    Rename(String, String),
    Remove(String),
}

#[derive(Clone, Debug, Default)]
struct Content {
    seen: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<(usize, Vec<u8>)>,
}

#[derive(Debug, Default)]
struct State {
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    changes: Vec<NameChange>,
    files: Vec<Content>,
    trouble: Option<(u64, Trouble)>,
    changes_made: u64,
    capacity: Option<u64>,
    unreadable: Option<(String, u64)>,
    down: bool,
}

/// The disk. Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct SimDisk(Arc<Mutex<State>>);

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    id: usize,
    name: String,
}

pub(crate) const EIO: i32 = 5;
pub(crate) const ENOSPC: i32 = 28;
const SECTOR: usize = 512;

fn dir_of(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(dir, _)| dir)
}

fn put(bytes: &mut Vec<u8>, at: usize, what: &[u8]) {
    if bytes.len() < at + what.len() {
        bytes.resize(at + what.len(), 0);
    }
    bytes[at..at + what.len()].copy_from_slice(what);
}

impl NameChange {
    fn is_of(&self, dir: &str) -> bool {
        match self {
            Self::Create(name, _) | Self::Remove(name) => dir_of(name) == dir,
            Self::Rename(from, to) => dir_of(from) == dir || dir_of(to) == dir,
        }
    }

    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            Self::Create(name, id) => drop(names.insert(name.clone(), *id)),
            Self::Remove(name) => drop(names.remove(name)),
            Self::Rename(from, to) => {
                if let Some(id) = names.remove(from) {
                    names.insert(to.clone(), id);
                }
            }
        }
    }
}

impl State {
    fn change(&mut self) -> io::Result<()> {
        self.changes_made += 1;
        if self.down {
            return Err(io::Error::from_raw_os_error(EIO));
        }
        match self.trouble {
            Some((at, Trouble::Crash)) if self.changes_made >= at => {
                self.down = true;
                Err(io::Error::from_raw_os_error(EIO))
            }
            Some((at, Trouble::Fails(errno))) if self.changes_made == at => {
                Err(io::Error::from_raw_os_error(errno))
            }
            _ => Ok(()),
        }
    }

    fn used(&self) -> u64 {
        self.names.values().map(|id| self.files[*id].seen.len() as u64).sum()
    }

    fn rename(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.changes.push(change);
    }
}

impl SimDisk {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the change that comes `after` others from now on fail.
    pub(crate) fn trouble(&self, after: u64, trouble: Trouble) {
        let mut state = self.lock();
        state.trouble = Some((state.changes_made + 1 + after, trouble));
    }

    /// How many bytes fit; writes that need more find no space.
    pub(crate) fn set_capacity(&self, bytes: Option<u64>) {
        self.lock().capacity = bytes;
    }

    /// Bytes that files take.
    pub(crate) fn used(&self) -> u64 {
        self.lock().used()
    }

    /// Lets reads fail that touch this byte of a file.
    pub(crate) fn set_unreadable(&self, name: &str, at: u64) {
        self.lock().unreadable = Some((name.to_owned(), at));
    }

    /// Another disk with what this one holds.
    pub(crate) fn copy(&self) -> Self {
        let state = self.lock();
        let copy = State {
            names: state.names.clone(),
            durable_names: state.durable_names.clone(),
            files: state.files.clone(),
            ..State::default()
        };
        Self(Arc::new(Mutex::new(copy)))
    }

    /// The bytes of a file, for a test to change.
    pub(crate) fn rewrite(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.lock();
        let id = state.names[name];
        change(&mut state.files[id].seen);
        let seen = state.files[id].seen.clone();
        (state.files[id].durable, state.files[id].unsynced) = (seen, Vec::new());
    }

    /// The machine stops and starts again.
    pub(crate) fn crash(&self, dice: &mut Dice) {
        let mut state = self.lock();
        let kept = usize::try_from(dice.below(state.changes.len() as u64 + 1)).unwrap();
        let changes = std::mem::take(&mut state.changes);
        let mut names = std::mem::take(&mut state.durable_names);
        changes.iter().take(kept).for_each(|change| change.apply(&mut names));
        (state.names, state.durable_names) = (names.clone(), names);
        let live: BTreeSet<usize> = state.names.values().copied().collect();
        for (id, file) in state.files.iter_mut().enumerate() {
            if !live.contains(&id) {
                *file = Content::default();
            }
            for (at, bytes) in std::mem::take(&mut file.unsynced) {
                match dice.below(3) {
                    0 => put(&mut file.durable, at, &bytes),
                    1 => {
                        for (n, sector) in bytes.chunks(SECTOR).enumerate() {
                            if dice.below(2) == 0 {
                                put(&mut file.durable, at + n * SECTOR, sector);
                            }
                        }
                    }
                    _ => {}
                }
            }
            file.seen = file.durable.clone();
        }
        (state.trouble, state.down, state.changes_made) = (None, false, 0);
    }
}

impl Disk for SimDisk {
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let id = *self.lock().names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(SimFile { disk: self.clone(), id, name: name.to_owned() }))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.lock();
        state.change()?;
        let id = state.files.len();
        state.files.push(Content::default());
        state.rename(NameChange::Create(name.to_owned(), id));
        Ok(Arc::new(SimFile { disk: self.clone(), id, name: name.to_owned() }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.lock();
        state.change()?;
        if !state.names.contains_key(from) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.rename(NameChange::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.lock();
        if state.names.contains_key(name) {
            state.change()?;
            state.rename(NameChange::Remove(name.to_owned()));
        }
        Ok(())
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        let mut state = self.lock();
        state.change()?;
        let (now, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut state.changes).into_iter().partition(|change| change.is_of(dir));
        now.iter().for_each(|change| change.apply(&mut state.durable_names));
        state.changes = later;
        Ok(())
    }

    fn list(&self, dir: &str) -> io::Result<Vec<(String, u64)>> {
        let state = self.lock();
        let here = state.names.iter().filter(|(name, _)| dir_of(name) == dir);
        let base = |name: &String| name.rsplit('/').next().unwrap_or(name).to_owned();
        Ok(here.map(|(name, id)| (base(name), state.files[*id].seen.len() as u64)).collect())
    }

    fn path(&self, _: &str) -> Option<PathBuf> {
        None
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        let state = self.disk.lock();
        let end = at + buf.len() as u64;
        if state.unreadable.as_ref().is_some_and(|(name, bad)| *name == self.name && (at..end).contains(bad))
        {
            return Err(io::Error::from_raw_os_error(EIO));
        }
        let rest = state.files[self.id].seen.get(usize::try_from(at).unwrap()..).unwrap_or(&[]);
        let read = rest.len().min(buf.len());
        buf[..read].copy_from_slice(&rest[..read]);
        Ok(read)
    }

    fn write_at(&self, parts: &[IoSlice<'_>], at: u64) -> io::Result<()> {
        let mut state = self.disk.lock();
        let mut bytes = Vec::with_capacity(parts.iter().map(|part| part.len()).sum());
        parts.iter().for_each(|part| bytes.extend_from_slice(part));
        if self.name == "reserve" {
            // Nobody reads it: a part stands for the whole, which would take most of a simulation's time.
            bytes.truncate(bytes.len() / 256);
        }
        let at = usize::try_from(at).unwrap();
        let changed = state.change();
        let grows = (at + bytes.len()).saturating_sub(state.files[self.id].seen.len()) as u64;
        let full = state.capacity.is_some_and(|capacity| grows > 0 && state.used() + grows > capacity);
        let outcome = changed.and(if full { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) });
        // A write that fails has written a part.
        let written = if outcome.is_ok() { bytes.len() } else { 0 };
        let written = if state.down { bytes.len() / 2 } else { written };
        let file = &mut state.files[self.id];
        put(&mut file.seen, at, &bytes[..written]);
        file.unsynced.push((at, bytes[..written].to_vec()));
        outcome
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.lock();
        let outcome = state.change();
        let down = state.down;
        let file = &mut state.files[self.id];
        if down {
            return outcome;
        }
        let unsynced = std::mem::take(&mut file.unsynced);
        if outcome.is_ok() {
            unsynced.iter().for_each(|(at, bytes)| put(&mut file.durable, *at, bytes));
        }
        outcome
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.lock().files[self.id].seen.len() as u64)
    }
}
