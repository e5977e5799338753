//! The taking side's records where no log keeps the progress: rows go elsewhere, and each step is recorded after it
//! was taken there.

use std::sync::{Arc, Mutex};

use super::importer::{admitted, key_of, unwritten};
use super::journal::Journal;
use super::record::Record;
use super::target::{Begin, Begun, End, Rows, RowsTaken, Standing, TargetError};
use crate::lock::lock;
use crate::sources::SourceId;
use crate::time::Clock;

/// The progress of imports, in a journal alone.
#[derive(Debug)]
pub struct ProgressJournal {
    journal: Arc<dyn Journal>,
    clock: Arc<dyn Clock>,
    writing: Mutex<()>,
}

impl ProgressJournal {
    /// Keeps progress in `journal`.
    pub fn new(journal: Arc<dyn Journal>, clock: Arc<dyn Clock>) -> Self {
        Self { journal, clock, writing: Mutex::default() }
    }

    /// Begins an import, or continues it. Waits for the disk, like the other methods.
    ///
    /// # Errors
    /// [`TargetError`].
    pub fn begin(&self, begin: &Begin, source: &SourceId) -> Result<Begun, TargetError> {
        let _writing = lock(&self.writing);
        let key = key_of(begin, source);
        let known = self.journal.read(key).map_err(unwritten)?;
        let (record, standing) = admitted(known, begin, (key, source), self.clock.wall())?;
        if standing != Standing::Done {
            self.journal.write(std::slice::from_ref(&record)).map_err(unwritten)?;
        }
        Ok(Begun { import: key, source: source.clone(), standing, progress: record.progress })
    }

    /// Records a step: `sent` of its rows were taken as calls.
    ///
    /// # Errors
    /// [`TargetError`].
    pub fn advance(&self, rows: Rows, sent: u64) -> Result<RowsTaken, TargetError> {
        let _writing = lock(&self.writing);
        let mut record = self.journal.read(rows.import).map_err(unwritten)?.ok_or(TargetError::NotOpen)?;
        if record.progress.next_row != rows.first {
            return Err(TargetError::OtherRow);
        }
        record.progress.next_row = rows.first.saturating_add(rows.rows);
        record.progress.stored += sent;
        record.progress.rejected += rows.rejected;
        self.journal.write(std::slice::from_ref(&record)).map_err(unwritten)?;
        Ok(RowsTaken { progress: record.progress })
    }

    /// Records how an import ended.
    ///
    /// # Errors
    /// [`TargetError`].
    pub fn end(&self, end: End) -> Result<(), TargetError> {
        let _writing = lock(&self.writing);
        let mut record: Record =
            self.journal.read(end.import).map_err(unwritten)?.ok_or(TargetError::NotOpen)?;
        record.ended(end.outcome, self.clock.wall());
        self.journal.write(&[record]).map_err(unwritten)
    }
}
