//! Raises an alarm as long as a journal fails.

use std::sync::Arc;

use super::journal::{Change, EachKept, Journal, JournalError};
use super::kept::KeptOf;
use super::record::ImportRecord;
use super::row_hash::RowCount;
use crate::alarms::{AlarmKind, Alarms};
use crate::log::ImportKey;

/// The subject of the alarm.
const SUBJECT: &str = "journal";

/// Passes everything on to a journal, and raises an alarm if the journal fails.
#[derive(Debug)]
pub struct WatchedJournal {
    journal: Arc<dyn Journal>,
    alarms: Arc<Alarms>,
}

impl WatchedJournal {
    /// Watches a journal. A journal that cannot be used is an alarm at once.
    pub fn new(journal: Arc<dyn Journal>, alarms: Arc<Alarms>) -> Self {
        let watched = Self { journal, alarms };
        // A failure needs no other handling here: the alarm has its text.
        drop(watched.count());
        watched
    }

    fn watched<T>(&self, result: Result<T, JournalError>) -> Result<T, JournalError> {
        match &result {
            Ok(_) => self.alarms.clear(AlarmKind::Imports, SUBJECT),
            Err(error) if error.needs_a_person() => {
                self.alarms.raise(AlarmKind::Imports, SUBJECT, error.to_string());
            }
            Err(error) => {
                let what = format!(
                    "{error}; imports wait, and the journal is retried: free space on the disk, or repair it"
                );
                self.alarms.raise(AlarmKind::Imports, SUBJECT, what);
            }
        }
        result
    }
}

impl Journal for WatchedJournal {
    fn read(&self, key: ImportKey) -> Result<Option<ImportRecord>, JournalError> {
        self.watched(self.journal.read(key))
    }

    fn change(&self, change: Change<'_>) -> Result<(), JournalError> {
        self.watched(self.journal.change(change))
    }

    fn linked(&self, key: u128) -> Result<Option<ImportKey>, JournalError> {
        self.watched(self.journal.linked(key))
    }

    fn row_counts(&self, keys: &[u128]) -> Result<Vec<(u128, RowCount)>, JournalError> {
        self.watched(self.journal.row_counts(keys))
    }

    fn kept(&self, kind: KeptOf, by: &str) -> Result<Option<Vec<u8>>, JournalError> {
        self.watched(self.journal.kept(kind, by))
    }

    fn kept_by(&self, kind: KeptOf) -> Result<Vec<String>, JournalError> {
        self.watched(self.journal.kept_by(kind))
    }

    fn kept_from(&self, kind: KeptOf, from: &str, each: EachKept<'_>) -> Result<(), JournalError> {
        self.watched(self.journal.kept_from(kind, from, each))
    }

    fn each(&self, each: &mut dyn FnMut(ImportRecord)) -> Result<(), JournalError> {
        self.watched(self.journal.each(each))
    }

    fn count(&self) -> Result<u64, JournalError> {
        self.watched(self.journal.count())
    }
}
