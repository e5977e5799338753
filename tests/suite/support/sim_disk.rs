//! A disk in memory that forgets unsynced data at a crash, and fails on request.
//!
//! Names and bytes become durable separately: a name by a sync of its directory, bytes by a sync of their
//! file. At a crash each unsynced write is kept whole, in pieces of 512 bytes or not at all, by chance and
//! independently of other writes; of the name changes, a prefix is kept. A failed sync drops the data that it
//! should store; reads still show that data, and the next sync succeeds silently.
//!
//! A disk outlives the processes that use it. Each process has its own handle ([`SimDisk::process`]), which a
//! kill makes useless, and one process at a time holds the lock.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSlice};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use forebay::disk::Disk;
use forebay::disk::DiskFile;
use forebay::planted_bugs::{PlantedBug, planted};

pub(crate) use super::dice::Dice;
use super::trace::Trace;

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The machine stops at this change; this and all later changes fail.
    Crash,
    /// Only this change fails.
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
    /// A sync failed: reads show data that is not stored.
    lies: bool,
}

#[derive(Debug, Default)]
struct State {
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    changes: Vec<NameChange>,
    files: Vec<Content>,
    troubles: Vec<(u64, Trouble)>,
    changes_made: u64,
    failures: u64,
    errors: u64,
    space_missed: u64,
    /// How often a manifest was changed: its bytes, its name, its removal.
    manifest_changes: u64,
    capacity: Option<u64>,
    unreadable: Option<(String, u64)>,
    down: bool,
    holder: Option<Arc<AtomicBool>>,
    dice: Dice,
    trace: Trace,
}

/// The disk. Clones are the same disk, used by the same process.
#[derive(Clone, Debug)]
pub(crate) struct SimDisk {
    state: Arc<Mutex<State>>,
    alive: Arc<AtomicBool>,
    starved: Arc<Mutex<Starved>>,
}

/// When a process runs out of file handles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Starved {
    /// After so many calls that still get one.
    after: u64,
    /// For so many calls.
    calls: u64,
    /// How many calls got none.
    met: u64,
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    id: usize,
    name: String,
}

pub(crate) const EIO: i32 = 5;
pub(crate) const ENOSPC: i32 = 28;
pub(crate) const EMFILE: i32 = 24;
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

/// The sectors that a write touches, each with its start.
fn sectors(at: usize, bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let (first, rest) = bytes.split_at(bytes.len().min(SECTOR - at % SECTOR));
    let behind = at + first.len();
    let rest = rest.chunks(SECTOR).enumerate().map(move |(n, sector)| (behind + n * SECTOR, sector));
    std::iter::once((at, first)).chain(rest)
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
        let changed = self.try_change();
        self.failures += u64::from(changed.is_err());
        changed
    }

    /// Behaves like xfs when no block is free and the directory needs one. The names of the manifest and its
    /// reserve alternate, so the directory has space for both.
    fn has_no_space_for_a_name(&mut self, name: &str) -> bool {
        let is_full = self.capacity.is_some_and(|capacity| capacity <= self.used());
        let is_new = name.starts_with("wal-") || name.starts_with("spare-");
        is_full && is_new && self.dice.chance(100)
    }

    fn try_change(&mut self) -> io::Result<()> {
        self.changes_made += 1;
        if self.down {
            return Err(io::Error::from_raw_os_error(EIO));
        }
        let now = self.changes_made;
        if self.troubles.iter().any(|(at, trouble)| *trouble == Trouble::Crash && *at <= now) {
            self.down = true;
            self.trace.note("the machine stops", "", &[]);
            return Err(io::Error::from_raw_os_error(EIO));
        }
        let fails = self.troubles.iter().find_map(|(at, trouble)| match trouble {
            Trouble::Fails(errno) if *at == now => Some(*errno),
            _ => None,
        });
        match fails {
            Some(errno) => {
                self.errors += 1;
                self.trace.count("disk: a change failed");
                self.trace.note("fails", "", &[u64::try_from(errno).unwrap()]);
                Err(io::Error::from_raw_os_error(errno))
            }
            None => Ok(()),
        }
    }

    /// The names show what the spool is doing.
    fn count_rename(&self, from: &str, to: &str) {
        let what = match (from.split('-').next(), to.split('-').next()) {
            (Some("spare"), Some("wal")) => "disk: a released segment used again",
            (Some("wal"), Some("wal")) => "disk: a segment made",
            (Some("wal"), Some("spare")) => "disk: a segment released",
            (Some("wal"), Some("quarantine/wal")) => "disk: a damaged segment kept",
            (Some("seen"), _) => "disk: fingerprints kept",
            (Some("MANIFEST"), Some("reserve")) => return,
            (Some("reserve"), _) => "disk: a manifest begun in the reserve",
            (Some("MANIFEST"), _) => "disk: a manifest begun",
            _ => return,
        };
        self.trace.count(what);
    }

    fn used(&self) -> u64 {
        self.names.values().map(|id| self.files[*id].seen.len() as u64).sum()
    }

    fn rename(&mut self, change: NameChange) {
        self.manifest_changes += 1;
        change.apply(&mut self.names);
        self.changes.push(change);
    }
}

impl Default for SimDisk {
    fn default() -> Self {
        Self::new(Dice(0), Trace::default())
    }
}

impl SimDisk {
    /// An empty disk; `dice` decide how much of a failed write is stored.
    pub(crate) fn new(dice: Dice, trace: Trace) -> Self {
        Self::of(Arc::new(Mutex::new(State { dice, trace, ..State::default() })))
    }

    fn of(state: Arc<Mutex<State>>) -> Self {
        Self { state, alive: Arc::new(AtomicBool::new(true)), starved: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The disk for a new process, which takes the lock. `None` if another living process holds it.
    pub(crate) fn process(&self) -> Option<Self> {
        let mut state = self.lock();
        let held = state.holder.as_ref().is_some_and(|holder| holder.load(Ordering::SeqCst));
        if held && !planted(PlantedBug::ZombieWriter) {
            return None;
        }
        let process = Self::of(Arc::clone(&self.state));
        state.holder = Some(Arc::clone(&process.alive));
        Some(process)
    }

    /// Ends this process: nothing that it does from now on has an effect.
    pub(crate) fn kill(&self) {
        self.alive.store(false, Ordering::SeqCst);
    }

    /// Whether this process can still act: it was not killed, and its machine runs.
    pub(crate) fn is_alive(&self) -> bool {
        self.alive.load(Ordering::SeqCst) && !self.lock().down
    }

    /// Makes the change that follows `after` further changes fail.
    pub(crate) fn trouble(&self, after: u64, trouble: Trouble) {
        let mut state = self.lock();
        let at = state.changes_made + 1 + after;
        state.troubles.push((at, trouble));
    }

    /// How many changes failed although there was space for them.
    pub(crate) fn errors(&self) -> u64 {
        self.lock().errors
    }

    /// How many writes found no space.
    pub(crate) fn space_missed(&self) -> u64 {
        self.lock().space_missed
    }

    /// How many changes failed for reasons other than missing space.
    pub(crate) fn failures(&self) -> u64 {
        self.lock().failures
    }

    /// A count that changes whenever a manifest may have changed.
    pub(crate) fn manifest_changes(&self) -> u64 {
        self.lock().manifest_changes
    }

    /// Removes the faults that have not occurred.
    pub(crate) fn clear_troubles(&self) {
        self.lock().troubles.clear();
    }

    /// How many bytes fit; writes that need more find no space.
    pub(crate) fn set_capacity(&self, bytes: Option<u64>) {
        self.lock().capacity = bytes;
    }

    /// Bytes used by files.
    pub(crate) fn used(&self) -> u64 {
        self.lock().used()
    }

    /// Makes reads fail that touch this byte of a file.
    pub(crate) fn set_unreadable(&self, name: &str, at: u64) {
        self.lock().unreadable = Some((name.to_owned(), at));
    }

    /// A separate disk with the same content.
    pub(crate) fn copy(&self) -> Self {
        let state = self.lock();
        let copy = State {
            names: state.names.clone(),
            durable_names: state.durable_names.clone(),
            changes: state.changes.clone(),
            files: state.files.clone(),
            ..State::default()
        };
        Self::of(Arc::new(Mutex::new(copy)))
    }

    /// Makes `calls` calls of this process that need a file handle fail, after `after` such calls that
    /// succeed.
    pub(crate) fn starve(&self, after: u64, calls: u64) {
        let mut starved = self.starved();
        *starved = Starved { after, calls, ..*starved };
    }

    /// Does work for which file handles are always left.
    pub(crate) fn without_starving<T>(&self, work: impl FnOnce() -> T) -> T {
        let before = std::mem::take(&mut *self.starved());
        let done = work();
        *self.starved() = before;
        done
    }

    /// How many calls got no file handle.
    pub(crate) fn handles_missed(&self) -> u64 {
        self.starved().met
    }

    fn starved(&self) -> MutexGuard<'_, Starved> {
        self.starved.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a file handle, if one is left.
    fn handle(&self, name: &str) -> io::Result<()> {
        let mut starved = self.starved();
        if starved.after > 0 || starved.calls == 0 {
            starved.after = starved.after.saturating_sub(1);
            return Ok(());
        }
        starved.calls -= 1;
        starved.met += 1;
        drop(starved);
        let state = self.lock();
        state.trace.note("no handle for", name, &[]);
        state.trace.count("disk: no file handle");
        Err(io::Error::from_raw_os_error(EMFILE))
    }

    /// Lets a test change the bytes of a file.
    pub(crate) fn rewrite(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.lock();
        state.manifest_changes += 1;
        let id = state.names[name];
        change(&mut state.files[id].seen);
        let seen = state.files[id].seen.clone();
        (state.files[id].durable, state.files[id].unsynced) = (seen, Vec::new());
    }

    /// The durable content of a file; `None` if its name is not durable.
    pub(crate) fn durable(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.lock();
        state.durable_names.get(name).map(|id| state.files[*id].durable.clone())
    }

    /// The content of a file whose stored and visible bytes are equal.
    pub(crate) fn stored(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.lock();
        let id = *state.names.get(name)?;
        let file = &state.files[id];
        let stored = file.unsynced.is_empty() && !file.lies && state.durable_names.get(name) == Some(&id);
        stored.then(|| file.durable.clone())
    }

    /// A file is gone.
    pub(crate) fn lose(&self, name: &str) {
        let mut state = self.lock();
        state.trace.note("lose", name, &[]);
        state.names.remove(name);
        state.durable_names.remove(name);
    }

    /// Flips a bit of a file, both as stored and as read.
    pub(crate) fn flip(&self, name: &str, at: usize, bit: u32) {
        let mut state = self.lock();
        state.trace.note("flip", name, &[at as u64, u64::from(bit)]);
        state.manifest_changes += 1;
        let id = state.names[name];
        let file = &mut state.files[id];
        for bytes in [&mut file.durable, &mut file.seen] {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << bit;
            }
        }
    }

    /// Flips a bit of a file whose stored and visible bytes are equal. Returns the file, for
    /// [`Self::flip_back`].
    pub(crate) fn flip_stored(&self, name: &str, at: usize, bit: u32) -> Option<usize> {
        let state = self.lock();
        let id = *state.names.get(name)?;
        let file = &state.files[id];
        let stored = file.unsynced.is_empty() && !file.lies && state.durable_names.get(name) == Some(&id);
        drop(state);
        stored.then(|| self.flip(name, at, bit))?;
        Some(id)
    }

    /// Flips a bit back, whatever the file is called now.
    pub(crate) fn flip_back(&self, file: usize, at: usize, bit: u32) {
        let mut state = self.lock();
        state.trace.note("flip back", "", &[file as u64, at as u64, u64::from(bit)]);
        state.manifest_changes += 1;
        let file = &mut state.files[file];
        for bytes in [&mut file.durable, &mut file.seen] {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << bit;
            }
        }
    }

    /// Stops the machine and starts it again.
    pub(crate) fn crash(&self, dice: &mut Dice) {
        let mut state = self.lock();
        state.manifest_changes += 1;
        let kept = dice.index(state.changes.len() + 1);
        let changes = std::mem::take(&mut state.changes);
        if kept < changes.len() {
            state.trace.count("disk: names forgotten");
        }
        let mut names = std::mem::take(&mut state.durable_names);
        changes.iter().take(kept).for_each(|change| change.apply(&mut names));
        (state.names, state.durable_names) = (names.clone(), names);
        let trace = state.trace.clone();
        let live: BTreeSet<usize> = state.names.values().copied().collect();
        for (id, file) in state.files.iter_mut().enumerate() {
            if !live.contains(&id) {
                *file = Content::default();
                continue;
            }
            if file.unsynced.is_empty() && !file.lies {
                continue;
            }
            for (at, bytes) in std::mem::take(&mut file.unsynced) {
                match dice.below(3) {
                    0 => put(&mut file.durable, at, &bytes),
                    1 => {
                        trace.count("disk: an unsynced write torn");
                        for (at, sector) in sectors(at, &bytes) {
                            if dice.below(2) == 0 {
                                put(&mut file.durable, at, sector);
                            }
                        }
                    }
                    _ => trace.count("disk: an unsynced write lost"),
                }
            }
            file.lies = false;
            file.seen.clone_from(&file.durable);
        }
        state.trace.note("the machine starts again", "", &[kept as u64, changes.len() as u64]);
        state.troubles.clear();
        (state.down, state.changes_made) = (false, 0);
    }
}

impl SimDisk {
    /// The state, for a change by this process.
    fn change(&self, what: &'static str, name: &str) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.lock();
        if !self.alive.load(Ordering::SeqCst) {
            return Err(io::Error::from_raw_os_error(EIO));
        }
        state.trace.note(what, name, &[]);
        state.change()?;
        Ok(state)
    }
}

impl Disk for SimDisk {
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.handle(name)?;
        let id = *self.lock().names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(SimFile { disk: self.clone(), id, name: name.to_owned() }))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.handle(name)?;
        let mut state = self.change("create", name)?;
        let id = state.files.len();
        state.files.push(Content::default());
        match dir_of(name) {
            "parked" => state.trace.count("disk: an object parked"),
            "staging" => state.trace.count("disk: an object staged in a file"),
            _ => {}
        }
        state.rename(NameChange::Create(name.to_owned(), id));
        Ok(Arc::new(SimFile { disk: self.clone(), id, name: name.to_owned() }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.change("rename to", to)?;
        if !state.names.contains_key(from) {
            return Err(io::ErrorKind::NotFound.into());
        }
        if state.has_no_space_for_a_name(to) {
            state.space_missed += 1;
            state.trace.count("disk: no space for a name");
            return Err(io::ErrorKind::StorageFull.into());
        }
        state.count_rename(from, to);
        state.rename(NameChange::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        if self.lock().names.contains_key(name) {
            self.change("remove", name)?.rename(NameChange::Remove(name.to_owned()));
        }
        Ok(())
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        let mut state = self.change("sync the directory", dir)?;
        let (now, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut state.changes).into_iter().partition(|change| change.is_of(dir));
        now.iter().for_each(|change| change.apply(&mut state.durable_names));
        state.changes = later;
        Ok(())
    }

    fn list(&self, dir: &str) -> io::Result<Vec<(String, u64)>> {
        self.handle(dir)?;
        let state = self.lock();
        let here = state.names.iter().filter(|(name, _)| dir_of(name) == dir);
        let base = |name: &String| name.rsplit('/').next().unwrap_or(name).to_owned();
        Ok(here.map(|(name, id)| (base(name), state.files[*id].seen.len() as u64)).collect())
    }

    fn path(&self, _: &str) -> Option<PathBuf> {
        None
    }

    fn free_bytes(&self) -> Option<u64> {
        let state = self.lock();
        state.capacity.map(|capacity| capacity.saturating_sub(state.used()))
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
        if !self.disk.alive.load(Ordering::SeqCst) {
            return Err(io::Error::from_raw_os_error(EIO));
        }
        let len: usize = parts.iter().map(|part| part.len()).sum();
        let mut bytes = Vec::with_capacity(len);
        parts.iter().for_each(|part| bytes.extend_from_slice(part));
        state.trace.note_bytes("write", &self.name, at, &bytes);
        state.manifest_changes += u64::from(self.name.starts_with("MANIFEST"));
        let at = usize::try_from(at).unwrap();
        let was_down = state.down;
        let changed = state.change();
        let grows = (at + bytes.len()).saturating_sub(state.files[self.id].seen.len()) as u64;
        let full = state.capacity.is_some_and(|capacity| grows > 0 && state.used() + grows > capacity);
        let outcome = changed.and(if full { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) });
        state.space_missed += u64::from(full);
        if full {
            state.trace.count("disk: no space");
        }
        // A failed write, or one during which the machine stops, has written a part.
        let written = match &outcome {
            Ok(()) => bytes.len(),
            Err(_) if full || was_down => 0,
            Err(_) => state.dice.index(bytes.len() + 1),
        };
        let file = &mut state.files[self.id];
        put(&mut file.seen, at, &bytes[..written]);
        bytes.truncate(written);
        file.unsynced.push((at, bytes));
        outcome
    }

    fn sync(&self) -> io::Result<()> {
        let changed = self.disk.change("sync", &self.name).inspect_err(|_| {
            let mut state = self.disk.lock();
            if !state.down && self.disk.alive.load(Ordering::SeqCst) {
                // The kernel drops the pages but still shows them, and forgets the failure.
                let file = &mut state.files[self.id];
                if !std::mem::take(&mut file.unsynced).is_empty() {
                    file.lies = true;
                    state.trace.count("disk: a sync failed and dropped what it was to store");
                }
            }
        });
        let mut state = changed?;
        let file = &mut state.files[self.id];
        for (at, bytes) in std::mem::take(&mut file.unsynced) {
            put(&mut file.durable, at, &bytes);
        }
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.lock().files[self.id].seen.len() as u64)
    }
}
