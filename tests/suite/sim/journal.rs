//! The journal of imports on the simulated disk: a file of records, and one of what is kept beside them. Every
//! write replaces one of them durably. It keeps the
//! contract of [`Journal`] with as few steps as possible, so that crashes hit each of them often. How the
//! real one keeps it is tested in `local_journal.rs`.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, PoisonError};

use forebay::disk::{self, Disk as _};
use forebay::import::journal::{Change, EachKept, Journal, JournalError};
use forebay::import::{ImportRecord, KeptOf, KeptValue, RowCount};
use forebay::log::ImportKey;

use crate::support::sim_disk::SimDisk;

const FILE: &str = "journal/imports";
const KEPT: &str = "journal/kept";

type Records = BTreeMap<String, ImportRecord>;
/// Values by their kind and text.
type Kept = BTreeMap<String, String>;

#[derive(Clone, Debug)]
struct Known {
    records: Records,
    kept: Kept,
}

/// A journal that one process has opened.
#[derive(Debug)]
pub(super) struct SimJournal {
    disk: SimDisk,
    /// `None` after a write of which it is unknown whether a crash would keep it.
    known: Mutex<Option<Known>>,
}

impl SimJournal {
    /// Opens the journal, which need not exist. What is read is durable from here on.
    pub(super) fn open(disk: &SimDisk) -> Result<Self, JournalError> {
        let known = Known { records: read(disk, FILE)?, kept: read(disk, KEPT)? };
        Ok(Self { disk: disk.clone(), known: Mutex::new(Some(known)) })
    }

    fn with<T>(
        &self,
        work: impl FnOnce(&mut Option<Known>) -> Result<T, JournalError>,
    ) -> Result<T, JournalError> {
        work(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What a file has, if there is one.
fn read<T: Default + serde::de::DeserializeOwned>(disk: &SimDisk, name: &str) -> Result<T, JournalError> {
    match disk.open(name) {
        Ok(file) => {
            file.sync().map_err(JournalError::of)?;
            disk.sync_dir("journal").map_err(JournalError::of)?;
            let bytes = disk::read_all(&*file).map_err(JournalError::of)?;
            serde_json::from_slice(&bytes).map_err(JournalError::of)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(T::default()),
        Err(error) => Err(JournalError::of(error)),
    }
}

fn name_of(kind: KeptOf, by: &str) -> String {
    format!("{kind:?} {by}")
}

fn stopped() -> JournalError {
    JournalError::of("an earlier write failed")
}

/// The member `key` of a record.
fn key_of(record: &ImportRecord) -> String {
    let record = serde_json::to_value(record).unwrap();
    record["key"].as_str().unwrap().to_owned()
}

impl Journal for SimJournal {
    fn read(&self, key: ImportKey) -> Result<Option<ImportRecord>, JournalError> {
        self.with(|known| Ok(known.as_ref().ok_or_else(stopped)?.records.get(&key.to_string()).cloned()))
    }

    /// The files of the simulation have no place, and know their rows by theirs.
    fn change(&self, change: Change<'_>) -> Result<(), JournalError> {
        assert!(change.links.is_empty(), "no file has a place");
        assert!(change.counts.is_empty(), "no rows are counted");
        assert!(change.kept.is_empty() || change.records.is_empty(), "one file is replaced");
        let Change { records, kept, .. } = change;
        self.with(|known| {
            let mut all = known.clone().ok_or_else(stopped)?;
            for record in records {
                // The folder of rejected rows is another one in each run.
                let mut record = record.clone();
                record.rejects_file = None;
                all.records.insert(key_of(&record), record);
            }
            for KeptValue { kind, by, value } in kept {
                let name = name_of(*kind, by);
                match value {
                    Some(value) => drop(all.kept.insert(name, String::from_utf8(value.clone()).unwrap())),
                    None => drop(all.kept.remove(&name)),
                }
            }
            let (file, bytes) = match kept.is_empty() {
                true => (FILE, serde_json::to_vec(&all.records)),
                false => (KEPT, serde_json::to_vec(&all.kept)),
            };
            let bytes = bytes.map_err(JournalError::of)?;
            disk::write_temporary(&self.disk, file, &[io::IoSlice::new(&bytes)]).map_err(JournalError::of)?;
            *known = None;
            disk::publish(&self.disk, file).map_err(JournalError::of)?;
            *known = Some(all);
            Ok(())
        })
    }

    /// The files of the simulation have no versions.
    fn linked(&self, _: u128) -> Result<Option<ImportKey>, JournalError> {
        Ok(None)
    }

    /// The files of the simulation know their rows by their place.
    fn row_counts(&self, _: &[u128]) -> Result<Vec<(u128, RowCount)>, JournalError> {
        Err(JournalError::of("no rows are counted"))
    }

    fn kept(&self, kind: KeptOf, by: &str) -> Result<Option<Vec<u8>>, JournalError> {
        let name = name_of(kind, by);
        self.with(|known| {
            let kept = known.as_ref().ok_or_else(stopped)?.kept.get(&name);
            Ok(kept.map(|value| value.as_bytes().to_vec()))
        })
    }

    fn kept_by(&self, kind: KeptOf) -> Result<Vec<String>, JournalError> {
        let prefix = name_of(kind, "");
        self.with(|known| {
            let names = known.as_ref().ok_or_else(stopped)?.kept.keys();
            Ok(names.filter_map(|name| name.strip_prefix(&prefix)).map(str::to_owned).collect())
        })
    }

    fn kept_from(&self, kind: KeptOf, from: &str, each: EachKept<'_>) -> Result<(), JournalError> {
        let prefix = name_of(kind, "");
        // The others may ask the journal meanwhile.
        let kept = self.with(|known| {
            let kept = known.as_ref().ok_or_else(stopped)?.kept.range(name_of(kind, from)..);
            let kept =
                kept.map_while(|(name, value)| Some((name.strip_prefix(&prefix)?.to_owned(), value.clone())));
            Ok::<Vec<(String, String)>, JournalError>(kept.collect())
        })?;
        for (by, value) in kept {
            if !each(&by, value.as_bytes()) {
                break;
            }
        }
        Ok(())
    }

    fn each(&self, each: &mut dyn FnMut(ImportRecord)) -> Result<(), JournalError> {
        self.with(|known| {
            known.as_ref().ok_or_else(stopped)?.records.values().cloned().for_each(each);
            Ok(())
        })
    }

    fn count(&self) -> Result<u64, JournalError> {
        self.with(|known| Ok(known.as_ref().ok_or_else(stopped)?.records.len() as u64))
    }
}
