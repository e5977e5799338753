//! The journal of imports on the simulated disk: one file, which every write replaces durably. It keeps the
//! contract of [`Journal`] with as few steps as possible, so that crashes hit each of them often. How the
//! real one keeps it is tested in `local_journal.rs`.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, PoisonError};

use forebay::disk::{self, Disk as _};
use forebay::import::journal::{Change, EachKept, Journal, JournalError};
use forebay::import::{ImportRecord, KeptOf, RowCount};
use forebay::log::ImportKey;

use crate::support::sim_disk::SimDisk;

const FILE: &str = "journal/imports";

type Records = BTreeMap<String, ImportRecord>;

/// A journal that one process has opened.
#[derive(Debug)]
pub(super) struct SimJournal {
    disk: SimDisk,
    /// `None` after a write of which it is unknown whether a crash would keep it.
    records: Mutex<Option<Records>>,
}

impl SimJournal {
    /// Opens the journal, which need not exist. What is read is durable from here on.
    pub(super) fn open(disk: &SimDisk) -> Result<Self, JournalError> {
        let records = match disk.open(FILE) {
            Ok(file) => {
                file.sync().map_err(JournalError::of)?;
                disk.sync_dir("journal").map_err(JournalError::of)?;
                let bytes = disk::read_all(&*file).map_err(JournalError::of)?;
                serde_json::from_slice(&bytes).map_err(JournalError::of)?
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Records::new(),
            Err(error) => return Err(JournalError::of(error)),
        };
        Ok(Self { disk: disk.clone(), records: Mutex::new(Some(records)) })
    }

    fn with<T>(
        &self,
        work: impl FnOnce(&mut Option<Records>) -> Result<T, JournalError>,
    ) -> Result<T, JournalError> {
        work(&mut self.records.lock().unwrap_or_else(PoisonError::into_inner))
    }
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
        self.with(|known| Ok(known.as_ref().ok_or_else(stopped)?.get(&key.to_string()).cloned()))
    }

    /// The files of the simulation have no place, and know their rows by theirs.
    fn change(&self, change: Change<'_>) -> Result<(), JournalError> {
        assert!(change.links.is_empty(), "no file has a place");
        assert!(change.counts.is_empty(), "no rows are counted");
        assert!(change.kept.is_empty(), "no import has a name");
        let records = change.records;
        self.with(|known| {
            let mut all = known.clone().ok_or_else(stopped)?;
            all.extend(records.iter().map(|record| (key_of(record), record.clone())));
            let bytes = serde_json::to_vec(&all).map_err(JournalError::of)?;
            disk::write_temporary(&self.disk, FILE, &[io::IoSlice::new(&bytes)]).map_err(JournalError::of)?;
            *known = None;
            disk::publish(&self.disk, FILE).map_err(JournalError::of)?;
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

    /// The imports of the simulation have no names.
    fn kept(&self, _: KeptOf, _: &str) -> Result<Option<Vec<u8>>, JournalError> {
        Ok(None)
    }

    fn kept_by(&self, _: KeptOf) -> Result<Vec<String>, JournalError> {
        Ok(Vec::new())
    }

    fn kept_from(&self, _: KeptOf, _: &str, _: EachKept<'_>) -> Result<(), JournalError> {
        Ok(())
    }

    fn each(&self, each: &mut dyn FnMut(ImportRecord)) -> Result<(), JournalError> {
        self.with(|known| {
            known.as_ref().ok_or_else(stopped)?.values().cloned().for_each(each);
            Ok(())
        })
    }

    fn count(&self) -> Result<u64, JournalError> {
        self.with(|known| Ok(known.as_ref().ok_or_else(stopped)?.len() as u64))
    }
}
