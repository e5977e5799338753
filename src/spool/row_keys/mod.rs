//! The keys of imported rows that are stored: of two rows of a source with one `insert_id` and `device_id`,
//! the one that is read later within days of the other is dropped.
//!
//! A key is in the frame of its row, so it is durable together with it. The newest keys are in memory, and a
//! start finds them in the frames again. Before a segment is released, all newest keys go to a *run*, a file
//! of keys in order beside the segments ([`key_run`](crate::spool::format::key_run)), which the manifest names. Runs of
//! a day are merged, so that few have to be asked. A run is removed as a whole once no window covers it.
//!
//! Only importers ask, on threads of their own, and only they merge. The commit loop adds keys after its
//! sync; a block without keys does not notice any of this. Between a question and the append of the rows that
//! it is about, no other rows with keys may be appended: importers see to that.
//!
//! A run that is missing or damaged is never taken for one without keys: questions fail as long as a
//! window covers it.

mod filter;
mod run;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::{Arc, Mutex};

use run::{Run, RunError, RunWriter};

use crate::disk::{self, Disk};
use crate::lock::lock;
use crate::log::RowsUnknown;
use crate::log::frame::{RowKey, Salt};
use crate::spool::format::key_run::{KeyEntry, run_len, run_name, run_number};
use crate::spool::manifest::key_run::KeyRun;
use crate::time::UnixMillis;
use crate::words::rfc3339;

/// So many runs of a day that were merged equally often become one.
const MERGED: usize = 8;
/// The longest window, and a day: older runs are removed.
const KEPT_SECONDS: u32 = 8 * DAY_SECONDS;
const DAY_SECONDS: u32 = 86_400;
/// The part of the spool's cap that keys may take.
const PART_OF_CAP: u64 = 10;

/// The keys of a spool.
#[derive(Debug)]
pub(in crate::spool) struct RowKeys {
    disk: Arc<dyn Disk>,
    spool_id: [u8; 16],
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Keys that are in no run, with the second in which their row was received.
    newest: HashMap<u128, u32>,
    /// Keys that are being written to a run.
    writing: Arc<HashMap<u128, u32>>,
    runs: Vec<Arc<Run>>,
    next_number: u64,
}

/// What the keys of a spool are and take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::spool) struct KeysHeld {
    /// Keys. One may count twice, if its row came again after a window.
    pub(in crate::spool) keys: u64,
    /// Bytes on disk, counting those keys that will be written.
    pub(in crate::spool) bytes: u64,
    /// Runs that cannot be used.
    pub(in crate::spool) damaged: u64,
}

/// A run that is written, and that no note names yet.
#[derive(Debug)]
pub(in crate::spool) struct NewRun {
    run: Arc<Run>,
    /// The runs that it replaces.
    pub(in crate::spool) replaces: Vec<u64>,
}

impl NewRun {
    pub(in crate::spool) fn note(&self) -> KeyRun {
        self.run.note
    }
}

impl RowKeys {
    /// The keys of the runs that the manifest names. `next_number`: the number of the next run.
    pub(in crate::spool) fn of_notes<'n>(
        disk: Arc<dyn Disk>,
        spool_id: [u8; 16],
        noted: impl Iterator<Item = &'n KeyRun>,
        next_number: u64,
    ) -> Self {
        let runs = noted.map(|note| Arc::new(Run::noted(*note, Salt::new(&spool_id, note.number)))).collect();
        let state = State { newest: HashMap::new(), writing: Arc::default(), runs, next_number };
        Self { disk, spool_id, state: Mutex::new(state) }
    }

    fn salt(&self, number: u64) -> Salt {
        Salt::new(&self.spool_id, number)
    }

    /// Adds the keys of rows that are on stable storage.
    pub(in crate::spool) fn add(&self, rows: impl IntoIterator<Item = (RowKey, UnixMillis)>) {
        let mut state = lock(&self.state);
        for (key, received_at) in rows {
            state.newest.insert(KeyEntry::new(key.0, 0).key(), second(received_at));
        }
    }

    /// Which of these keys belong to rows that were received at `since` or later. Waits for the disk.
    /// Errors: [`RowsUnknown`]: a run that may have them cannot be read.
    pub(in crate::spool) fn find(
        &self,
        keys: &[RowKey],
        since: UnixMillis,
    ) -> Result<Vec<bool>, RowsUnknown> {
        let since = second(since);
        let keys: Vec<u128> = keys.iter().map(|key| KeyEntry::new(key.0, 0).key()).collect();
        let (mut known, runs) = {
            let state = lock(&self.state);
            let in_memory = |key: &u128| {
                let held = [state.newest.get(key), state.writing.get(key)];
                held.into_iter().flatten().any(|second| *second >= since)
            };
            let known: Vec<bool> = keys.iter().map(in_memory).collect();
            (known, state.runs.clone())
        };
        for run in runs.iter().rev().filter(|run| run.note.newest >= since) {
            if known.iter().all(|known| *known) {
                break;
            }
            run.find(&*self.disk, &keys, since, &mut known).map_err(|error| match error {
                RunError::Disk(error) => RowsUnknown::Unread(format!("read {}: {error}", run.name())),
                RunError::Damaged => RowsUnknown::Damaged {
                    file: run.name(),
                    what: run.damage().unwrap_or_default().to_owned(),
                    keys: run.note.keys,
                    newest: rfc3339(UnixMillis(i64::from(run.note.newest) * 1_000)),
                },
            })?;
        }
        Ok(known)
    }

    /// What there is.
    pub(in crate::spool) fn held(&self) -> KeysHeld {
        let state = lock(&self.state);
        let in_memory = (state.newest.len() + state.writing.len()) as u64;
        let mut held = KeysHeld { keys: in_memory, bytes: run_len(in_memory), damaged: 0 };
        for run in &state.runs {
            held.keys += run.note.keys;
            held.bytes += run.file_len();
            held.damaged += u64::from(run.damage().is_some());
        }
        held
    }

    /// Whether so many more keys fit into their part of a spool with this cap.
    /// Errors: [`RowsUnknown::Full`] if they do not.
    pub(in crate::spool) fn check_room(&self, more: u64, cap: u64) -> Result<(), RowsUnknown> {
        let in_memory = {
            let state = lock(&self.state);
            (state.newest.len() + state.writing.len()) as u64
        };
        let bytes = self.held().bytes - run_len(in_memory) + run_len(in_memory + more);
        let max = cap / PART_OF_CAP;
        if bytes > max { Err(RowsUnknown::Full { max }) } else { Ok(()) }
    }

    /// Writes the newest keys to a run, if there are any. The caller notes the run, and then calls
    /// [`RowKeys::replace`], or else [`RowKeys::put_back`]. Only one thread does so.
    /// Errors: the file system's error. Nothing has changed.
    pub(in crate::spool) fn write_newest(&self) -> io::Result<Option<NewRun>> {
        let (writing, number) = {
            let mut state = lock(&self.state);
            if state.newest.is_empty() {
                return Ok(None);
            }
            state.writing = Arc::new(std::mem::take(&mut state.newest));
            (Arc::clone(&state.writing), state.number())
        };
        let written = self.write(&writing, number);
        if written.is_err() {
            self.put_back();
            self.remove_unused(number);
        }
        written.map(Some)
    }

    fn write(&self, keys: &HashMap<u128, u32>, number: u64) -> io::Result<NewRun> {
        let mut entries: Vec<KeyEntry> =
            keys.iter().map(|(key, second)| KeyEntry::new(*key, *second)).collect();
        entries.sort_unstable();
        let day = keys.values().max().copied().unwrap_or(0) / DAY_SECONDS;
        let of = (day, entries.len() as u64);
        let mut writer = RunWriter::begin(&*self.disk, self.salt(number), (number, 0), of)?;
        entries.into_iter().try_for_each(|entry| writer.add(entry))?;
        Ok(NewRun { run: Arc::new(writer.end()?), replaces: Vec::new() })
    }

    /// Takes back the keys that [`RowKeys::write_newest`] wrote to a run that is not noted.
    pub(in crate::spool) fn put_back(&self) {
        let mut state = lock(&self.state);
        let writing = std::mem::take(&mut state.writing);
        for (key, second) in writing.iter() {
            // A newer second counts.
            state.newest.entry(*key).or_insert(*second);
        }
    }

    /// Uses a run that is noted, in place of those that it replaces, whose files may now be removed. Merged
    /// runs replace others, and the newest keys replace those in memory.
    pub(in crate::spool) fn replace(&self, new: NewRun) {
        let mut state = lock(&self.state);
        if new.replaces.is_empty() {
            state.writing = Arc::default();
        }
        state.runs.retain(|run| !new.replaces.contains(&run.note.number));
        state.runs.push(new.run);
    }

    /// Merges runs, if any should be: enough of a day, or all of a day that is over. The result is noted and
    /// used as that of [`RowKeys::write_newest`]. Reads and writes up to the keys of a day, so only importers
    /// merge.
    /// Errors: the file system's error. Nothing has changed.
    pub(in crate::spool) fn merge(&self, now: UnixMillis, cap: u64) -> io::Result<Option<NewRun>> {
        let (runs, number) = {
            let mut state = lock(&self.state);
            let Some(runs) = due(&state.runs, second(now) / DAY_SECONDS) else { return Ok(None) };
            (runs, state.number())
        };
        let keys = runs.iter().map(|run| run.note.keys).sum();
        // Until the merged run is noted, all of its keys are there twice.
        if self.held().bytes.saturating_add(run_len(keys)) > cap / PART_OF_CAP {
            return Ok(None);
        }
        match self.merged(&runs, number, keys) {
            Ok(run) => {
                let replaces = runs.iter().map(|run| run.note.number).collect();
                Ok(Some(NewRun { run: Arc::new(run), replaces }))
            }
            Err(error) => {
                self.remove_unused(number);
                match error {
                    // Questions say what is wrong. It is left out of merges from now on.
                    RunError::Damaged => Ok(None),
                    RunError::Disk(error) => Err(error),
                }
            }
        }
    }

    fn merged(&self, runs: &[Arc<Run>], number: u64, keys: u64) -> Result<Run, RunError> {
        let day = runs.iter().map(|run| run.note.day).max().unwrap_or(0);
        let level = runs.iter().map(|run| run.note.level).max().unwrap_or(0).saturating_add(1);
        let begun = RunWriter::begin(&*self.disk, self.salt(number), (number, level), (day, keys));
        let mut writer = begun.map_err(RunError::Disk)?;
        let mut inputs = Vec::with_capacity(runs.len());
        // The next entry of each run.
        let mut next = BTreeMap::new();
        for (input, run) in runs.iter().enumerate() {
            let mut entries = run.entries(&*self.disk)?;
            next.extend(entries.next()?.map(|entry| ((entry, input), ())));
            inputs.push(entries);
        }
        let mut held: Option<KeyEntry> = None;
        while let Some(((entry, input), ())) = next.pop_first() {
            // Of one key, the latest second counts, and it comes last.
            if let Some(before) = held.replace(entry).filter(|before| before.key() != entry.key()) {
                writer.add(before).map_err(RunError::Disk)?;
            }
            if let Some(entries) = inputs.get_mut(input) {
                next.extend(entries.next()?.map(|entry| ((entry, input), ())));
            }
        }
        if let Some(last) = held {
            writer.add(last).map_err(RunError::Disk)?;
        }
        writer.end().map_err(RunError::Disk)
    }

    /// Removes the file of a run that no note names.
    pub(in crate::spool) fn remove_unused(&self, number: u64) {
        let name = run_name(number);
        for name in [disk::temporary_name(&name), name] {
            if let Err(error) = self.disk.remove(&name) {
                tracing::debug!(%error, file = name, "an unused file stays until the next start");
            }
        }
    }

    /// The runs that no window covers any more.
    pub(in crate::spool) fn expired(&self, now: UnixMillis) -> Vec<u64> {
        let is_over = |run: &&Arc<Run>| run.note.newest.saturating_add(KEPT_SECONDS) < second(now);
        lock(&self.state).runs.iter().filter(is_over).map(|run| run.note.number).collect()
    }

    /// Forgets runs that are noted as removed.
    pub(in crate::spool) fn forget(&self, numbers: &[u64]) {
        lock(&self.state).runs.retain(|run| !numbers.contains(&run.note.number));
    }

    /// Compares the files with the notes at a start. Files that are missing or too short are damaged. Files
    /// that no note names are leftovers of a crash, and are removed; but if notes are damaged (`adopts`),
    /// they may be the only copy of their keys, and are used. Returns the runs to note.
    /// Errors: the file system's error.
    pub(in crate::spool) fn compare_files(&self, adopts: bool) -> io::Result<Vec<KeyRun>> {
        let files = self.disk.list("")?;
        let files: BTreeMap<u64, u64> =
            files.iter().filter_map(|(name, len)| Some((run_number(name)?, *len))).collect();
        let mut state = lock(&self.state);
        let known: Vec<u64> = state.runs.iter().map(|run| run.note.number).collect();
        for run in &state.runs {
            match files.get(&run.note.number) {
                Some(len) if *len == run.file_len() => {}
                // Said in the log, and by the first question.
                Some(len) => {
                    let what = format!("it has {len} bytes in place of {}", run.file_len());
                    drop(run.is_damaged(&what));
                }
                None => drop(run.is_damaged("it is missing")),
            }
        }
        let mut adopted = Vec::new();
        for number in files.keys().copied().filter(|number| !known.contains(number)) {
            state.next_number = state.next_number.max(number.saturating_add(1));
            if !adopts {
                self.disk.remove(&run_name(number))?;
                continue;
            }
            match run::describe(&*self.disk, self.salt(number), number)? {
                Some(note) => {
                    tracing::warn!(
                        file = run_name(number),
                        "no readable note names this file with insert_ids; it is used"
                    );
                    state.runs.push(Arc::new(Run::noted(note, self.salt(number))));
                    adopted.push(note);
                }
                None => tracing::error!(
                    file = run_name(number),
                    "no readable note names this file with insert_ids, and it is damaged: rows that repeat \
                     rows in it may be stored again"
                ),
            }
        }
        Ok(adopted)
    }
}

/// Reads the whole file of a run, and says what is wrong with it. `None`: nothing is.
/// Errors: the file system's error.
pub(in crate::spool) fn damage_of(
    disk: &dyn Disk,
    spool_id: &[u8; 16],
    note: KeyRun,
) -> io::Result<Option<String>> {
    let run = Run::noted(note, Salt::new(spool_id, note.number));
    let read_all = || {
        let mut entries = run.entries(disk)?;
        while entries.next()?.is_some() {}
        Ok(())
    };
    match read_all() {
        Ok(()) => Ok(None),
        Err(RunError::Damaged) => Ok(run.damage().map(str::to_owned)),
        Err(RunError::Disk(error)) => Err(error),
    }
}

impl State {
    fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number - 1
    }
}

/// The runs to merge, if any.
fn due(runs: &[Arc<Run>], today: u32) -> Option<Vec<Arc<Run>>> {
    let mut groups: BTreeMap<(u32, u8), Vec<Arc<Run>>> = BTreeMap::new();
    for run in runs.iter().filter(|run| run.damage().is_none()) {
        // All runs of a day that is over are one group.
        let level = if run.note.day < today { u8::MAX } else { run.note.level };
        groups.entry((run.note.day, level)).or_default().push(Arc::clone(run));
    }
    groups.into_iter().map(|((_, level), runs)| (level, runs)).find_map(|(level, runs)| {
        let enough = if level == u8::MAX { 2 } else { MERGED };
        (runs.len() >= enough).then_some(runs)
    })
}

/// Whole seconds since 1970, up to the year 2106.
fn second(at: UnixMillis) -> u32 {
    u32::try_from(at.0.div_euclid(1_000).max(0)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
