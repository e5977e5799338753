//! What must be in the archives at the end: each row once, but where a claim was released.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{File, Kind, Objects, State, Version};
use crate::sim::world::Violation;

/// The sets of rejected rows that have a row: by the instance, and the name of the set.
type Sets = Vec<(usize, String)>;

impl Objects {
    /// Notes what is in the archive of the instance: the copies of each message. Checks all if it is the last
    /// one.
    pub(in crate::sim) fn check(&self, stored: &BTreeMap<usize, Vec<usize>>) -> Result<(), Violation> {
        let mut state = self.lock();
        for (message, copies) in stored {
            let of_instance = copies.iter().map(|copy| (self.instance, *copy));
            state.archived.entry(*message).or_default().extend(of_instance);
        }
        state.read += 1;
        if state.read < state.instances.len() { Ok(()) } else { self.check_all(&state) }
    }

    /// The rows that an instance has rejected, by their numbers.
    fn rejected(&self, instance: usize, rejected: &mut BTreeMap<usize, Sets>) -> Result<(), Violation> {
        let text = |error: &dyn std::fmt::Display| format!("I11: rejected rows cannot be read: {error}");
        let Ok(folders) = std::fs::read_dir(self.rejects(instance)) else { return Ok(()) };
        for folder in folders {
            let folder = folder.map_err(|error| text(&error))?.path();
            for file in std::fs::read_dir(folder).map_err(|error| text(&error))? {
                let path = file.map_err(|error| text(&error))?.path();
                if path.extension().is_none_or(|extension| extension != "ndjson") {
                    continue;
                }
                let name = path.file_stem().unwrap().to_string_lossy().into_owned();
                for line in std::fs::read_to_string(path).map_err(|error| text(&error))?.lines() {
                    let reject: Value = serde_json::from_str(line).map_err(|error| text(&error))?;
                    let raw = reject["raw"].as_str().unwrap_or_default();
                    let digits = raw.trim_start_matches(|letter: char| !letter.is_ascii_digit());
                    let digits: String = digits.chars().take_while(char::is_ascii_digit).collect();
                    let number = digits.parse().map_err(|error| text(&error))?;
                    rejected.entry(number).or_default().push((instance, name.clone()));
                }
            }
        }
        Ok(())
    }

    /// Each row of the version of an object that was met first must be in the archives once, and each bad one
    /// among the rejected rows once. Where a claim was released, each instance may have both once.
    fn check_all(&self, state: &State) -> Result<(), Violation> {
        let mut rejected = BTreeMap::new();
        for instance in 0..state.instances.len() {
            self.rejected(instance, &mut rejected)?;
        }
        for (number, sets) in &rejected {
            state.check_rejected(*number, sets)?;
        }
        let mut met: BTreeMap<(usize, &str), BTreeSet<usize>> = BTreeMap::new();
        for file in &state.files {
            let key = state.versions[file.version].key;
            for instance in 0..state.instances.len() {
                if state.check_file(file, instance)? {
                    met.entry((instance, key)).or_default().insert(file.version);
                }
            }
            self.check_copies(state, file)?;
        }
        if let Some((key, versions)) = met.iter().find(|(_, versions)| versions.len() > 1) {
            return Err(format!("I11: several versions of {key:?} are imported: {versions:?}"));
        }
        for version in &state.gone {
            state.is_whole(&state.versions[*version], None)?;
        }
        for (key, version) in &state.now {
            let wanted = &state.versions[*version];
            let of_key = || (0..state.instances.len()).filter_map(|instance| met.get(&(instance, *key)));
            let first_met: BTreeSet<usize> = of_key().flatten().copied().collect();
            if first_met.len() > 1 && !state.released.contains(*key) {
                return Err(format!("I11: several versions of {key} are imported: {first_met:?}"));
            }
            if wanted.is_broken || first_met.iter().any(|met| met != version) {
                self.trace.count("an object of which nothing is imported");
                continue;
            }
            // Of an archive that was replaced, it is not known whether a call of an entry is stored.
            let earlier = || state.versions.iter().take(*version).filter(|other| other.key == *key);
            if first_met.is_empty() && earlier().any(|other| other.is_archive) {
                continue;
            }
            state.is_whole(wanted, Some(&rejected))?;
            self.trace.count("an object imported as a whole");
        }
        Ok(())
    }

    /// No row may be in two archives, unless the claim of its file was released.
    fn check_copies(&self, state: &State, file: &File) -> Result<(), Violation> {
        let key = state.versions[file.version].key;
        let mut messages = (0..file.kinds.len()).flat_map(|row| file.messages(row));
        match messages.find(|message| state.copies(*message).len() > 1) {
            Some(_) if state.released.contains(key) => {
                self.trace.count("a file given twice after a release");
                Ok(())
            }
            Some(message) => Err(format!("I11: message {message} of {file:?} is in two archives")),
            None => Ok(()),
        }
    }
}

impl State {
    /// The copies of a message in the archives, each with its instance.
    fn copies(&self, message: usize) -> &[(usize, usize)] {
        self.archived.get(&message).map_or(&[], Vec::as_slice)
    }

    /// Checks where a row is rejected. A set stays until the record of its file names the next one, and after
    /// a kill just then for good.
    fn check_rejected(&self, number: usize, sets: &[(usize, String)]) -> Result<(), Violation> {
        let file_of = |set: &str| set.split(".again-").next().unwrap_or_default().to_owned();
        let files: BTreeSet<(usize, String)> = sets.iter().map(|(of, set)| (*of, file_of(set))).collect();
        let (instances, names): (BTreeSet<usize>, BTreeSet<&String>) =
            (files.iter().map(|(of, _)| *of).collect(), files.iter().map(|(_, name)| name).collect());
        let once: BTreeSet<&(usize, String)> = sets.iter().collect();
        let key = self.place(number).map(|(file, _)| self.versions[self.files[file].version].key);
        let is_shared = key.is_some_and(|key| self.released.contains(key));
        if once.len() < sets.len() || names.len() > 1 || (instances.len() > 1 && !is_shared) {
            return Err(format!("I11: row {number} of {key:?} is rejected twice: {sets:?}"));
        }
        Ok(())
    }

    /// Checks what is in the archive of an instance of a file. Returns whether it has stored a row.
    fn check_file(&self, file: &File, instance: usize) -> Result<bool, Violation> {
        let (mut by, mut missing, mut has_rows) = (BTreeSet::<char>::new(), None, false);
        for (row, kind) in file.kinds.iter().enumerate() {
            let copies = |message: usize| self.copies(message).iter().filter(|(of, _)| *of == instance);
            let there: Vec<usize> = file.messages(row).map(|message| copies(message).count()).collect();
            let is_stored = there.iter().all(|count| *count == 1);
            if there.iter().any(|count| *count > 1) || (!is_stored && there.iter().any(|at| *at > 0)) {
                return Err(format!("I11: calls of row {row} of {file:?} are stored {there:?} times"));
            }
            // A row that was rejected may be stored at any time.
            if there.is_empty() || *kind == Kind::Later {
                continue;
            }
            match missing {
                Some(earlier) if is_stored => {
                    return Err(format!("I11: {file:?} has row {row} without row {earlier}"));
                }
                None if !is_stored => missing = Some(row),
                _ => {}
            }
            if is_stored {
                has_rows = true;
                by.extend(file.messages(row).flat_map(copies).filter_map(|copy| self.made_by.get(copy)));
            }
        }
        if by.len() > 1 {
            return Err(format!("I11: {file:?} is imported by the converters {by:?}"));
        }
        Ok(has_rows)
    }

    /// Whether each row of a version is where it must be. `rejected`: the rows that are; `None`: none may be.
    fn is_whole(&self, version: &Version, rejected: Option<&BTreeMap<usize, Sets>>) -> Result<(), Violation> {
        for file in version.files.iter().map(|file| &self.files[*file]) {
            for (row, kind) in file.kinds.iter().enumerate() {
                let number = file.first + 2 * row;
                let is_there = match kind {
                    // The object is there, so that the rejected ones among them were read again.
                    Kind::Call | Kind::Two | Kind::Later => !self.copies(number).is_empty(),
                    Kind::Bad => rejected.is_some_and(|rejected| rejected.contains_key(&number)),
                    Kind::LeftOut => true,
                };
                if !is_there {
                    return Err(format!(
                        "I11: row {row} ({kind:?}) of {}, {file:?}, is nowhere",
                        version.key
                    ));
                }
            }
        }
        Ok(())
    }
}
