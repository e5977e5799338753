//! The taking side's records where no log keeps the progress: rows go elsewhere, and each step is recorded after it
//! was taken there.

use std::sync::{Arc, Mutex};

use bytes::Bytes;

use super::earlier::Earlier;
use super::end::End;
use super::file_id::key_of;
use super::find_earlier::{earlier, links};
use super::importer::{Admitted, admitted};
use super::journal::Journal;
use super::new_rows::new_rows;
use super::record::ImportRecord;
use super::row_hash::RowCount;
use super::target::unwritten;
use super::target::{Begin, Begun, Rows, RowsTaken, Standing, TargetError};
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

/// The calls of a step that are to be sent.
#[derive(Debug)]
pub struct NewCalls {
    /// An envelope.
    pub calls: Bytes,
    /// To be recorded once they are taken.
    pub taken: Taken,
}

/// What a step did.
#[derive(Debug, Default)]
pub struct Taken {
    /// Calls that were taken.
    pub new: u64,
    /// Rows that were known.
    pub known: u64,
    /// How often its rows are known now.
    pub counts: Vec<(u128, RowCount)>,
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
        let key = key_of(begin.file, source);
        let mut known = self.journal.read(key).map_err(unwritten)?;
        let links = links(&*self.journal, known.as_mut(), begin, (key, source))?;
        let Admitted { record, standing, other_options } =
            admitted(known, begin, (key, source), self.clock.wall())?;
        if standing != Standing::Done {
            self.journal.write_linked(&record, &links).map_err(unwritten)?;
        }
        let (progress, prefix) = (record.progress, record.prefix.filter(|_| begin.place.is_some()));
        let read_from = progress.next_row;
        let (source, keeps_prefix) = (source.clone(), begin.place.is_some());
        Ok(Begun { import: key, source, standing, progress, read_from, other_options, keeps_prefix, prefix })
    }

    /// See [`Target::earlier`](super::Target::earlier).
    ///
    /// # Errors
    /// [`TargetError`].
    pub fn earlier(&self, begin: &Begin, source: &SourceId) -> Result<Option<Earlier>, TargetError> {
        earlier(&*self.journal, begin, source, &|_| {}).map_err(unwritten)
    }

    /// The calls of a step whose rows are known by their content, without those that are known.
    ///
    /// # Errors
    /// [`TargetError`].
    pub fn new_rows(&self, rows: Rows, calls: &Bytes) -> Result<NewCalls, TargetError> {
        let record = self.journal.read(rows.import).map_err(unwritten)?.ok_or(TargetError::NotOpen)?;
        if record.progress.next_row != rows.first {
            return Err(TargetError::OtherRow);
        }
        let source = record.source.as_ref().map_or("", SourceId::as_str);
        let new = new_rows(&*self.journal, (source, record.rows_name()), calls, &[])?;
        Ok(NewCalls {
            calls: new.calls.clone(),
            taken: Taken { new: new.new, known: new.known, counts: new.counts },
        })
    }

    /// Records a step whose calls were taken.
    ///
    /// # Errors
    /// [`TargetError`].
    pub fn advance(&self, rows: Rows, taken: Taken) -> Result<RowsTaken, TargetError> {
        let _writing = lock(&self.writing);
        let mut record = self.journal.read(rows.import).map_err(unwritten)?.ok_or(TargetError::NotOpen)?;
        if record.progress.next_row != rows.first {
            return Err(TargetError::OtherRow);
        }
        record.progress.next_row = rows.first.saturating_add(rows.rows);
        record.counted = record.progress.next_row;
        record.prefix = rows.prefix;
        record.progress.stored += taken.new;
        record.progress.repeats += taken.known + rows.repeats;
        record.progress.rejected += rows.rejected;
        self.journal.write_rows(&taken.counts, &record).map_err(unwritten)?;
        Ok(RowsTaken { progress: record.progress })
    }

    /// Records how an import ended.
    ///
    /// # Errors
    /// [`TargetError`].
    pub fn end(&self, end: End) -> Result<(), TargetError> {
        let _writing = lock(&self.writing);
        let mut record: ImportRecord =
            self.journal.read(end.import).map_err(unwritten)?.ok_or(TargetError::NotOpen)?;
        record.ended(end, self.clock.wall());
        self.journal.write(&[record]).map_err(unwritten)
    }
}
