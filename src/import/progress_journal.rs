//! Keeps the progress of imports in a journal of this process. Rows go elsewhere, and each step is recorded
//! after it was taken there.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use super::end::End;
use super::file_id::key_of;
use super::find_earlier::{earlier, links};
use super::importer::admitted;
use super::journal::{Change, Journal, JournalError, LocalJournal};
use super::new_rows::new_rows;
use super::progress_keeper::{ProgressKeeper, Taken};
use super::record::ImportRecord;
use super::target::{Begin, Begun, Earlier, Rows, RowsTaken, Standing, TargetError, blocking, unwritten};
use super::unusable::Unusable;
use crate::boxed_future::BoxFuture;
use crate::disk::own_files;
use crate::lock::lock;
use crate::log::ImportKey;
use crate::sources::SourceId;
use crate::time::Clock;

/// The progress of imports, in a journal alone.
#[derive(Clone, Debug)]
pub struct ProgressJournal {
    journal: Arc<dyn Journal>,
    clock: Arc<dyn Clock>,
    writing: Arc<Mutex<()>>,
}

impl ProgressJournal {
    /// Keeps progress in a file. Errors: [`Unusable`]: the file cannot be used.
    pub async fn in_file(path: PathBuf, clock: Arc<dyn Clock>) -> Result<Self, Unusable> {
        let journal = tokio::task::spawn_blocking(move || -> Result<_, Unusable> {
            if let Some(folder) = path.parent() {
                own_files::make_folders(folder).map_err(|error| Unusable::failed(&error))?;
            }
            LocalJournal::open(&path).map_err(|error| Unusable::failed(&error))
        });
        let journal = journal.await.map_err(|error| Unusable::failed(&error))??;
        Ok(Self::new(Arc::new(journal), clock))
    }

    /// Keeps progress in memory, so it ends with the process.
    /// Errors: [`JournalError`]: the database cannot be made.
    pub fn in_memory(clock: Arc<dyn Clock>) -> Result<Self, JournalError> {
        let journal = LocalJournal::over(redb::backends::InMemoryBackend::new())?;
        Ok(Self::new(Arc::new(journal), clock))
    }

    fn new(journal: Arc<dyn Journal>, clock: Arc<dyn Clock>) -> Self {
        Self { journal, clock, writing: Arc::default() }
    }

    /// Does work that waits for the disk.
    fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, TargetError> + Send + 'static,
    ) -> BoxFuture<'_, Result<T, TargetError>> {
        let this = self.clone();
        Box::pin(blocking(move || work(&this)))
    }

    fn open_record(&self, import: ImportKey) -> Result<ImportRecord, TargetError> {
        self.journal.read(import).map_err(unwritten)?.ok_or(TargetError::NotOpen)
    }

    /// The record of the import, if these are its next rows.
    fn record_before(&self, rows: Rows) -> Result<ImportRecord, TargetError> {
        let record = self.open_record(rows.import)?;
        if record.progress.next_row != rows.first {
            return Err(TargetError::OtherRow);
        }
        Ok(record)
    }
}

impl ProgressKeeper for ProgressJournal {
    fn begin(&self, begin: Begin, source: SourceId) -> BoxFuture<'_, Result<Begun, TargetError>> {
        self.on_disk(move |this| {
            let _writing = lock(&this.writing);
            let key = key_of(begin.file, &source, begin.import);
            let mut known = this.journal.read(key).map_err(unwritten)?;
            let links = links(&*this.journal, known.as_mut(), &begin, (key, &source))?;
            let admitted = admitted(known, &begin, (key, &source), this.clock.wall())?;
            if admitted.standing != Standing::Done {
                let records = std::slice::from_ref(&admitted.record);
                let change = Change { records, links: &links, ..Change::default() };
                this.journal.change(change).map_err(unwritten)?;
            }
            let progress = admitted.record.progress;
            Ok(admitted.begun(source, begin.place.is_some(), progress, progress.next_row))
        })
    }

    fn earlier(&self, begin: Begin, source: SourceId) -> BoxFuture<'_, Result<Option<Earlier>, TargetError>> {
        self.on_disk(move |this| {
            earlier(&*this.journal, &begin, &source, &|key| this.journal.read(key)).map_err(unwritten)
        })
    }

    fn new_rows(&self, rows: Rows, calls: Bytes) -> BoxFuture<'_, Result<(Bytes, Taken), TargetError>> {
        self.on_disk(move |this| {
            let record = this.record_before(rows)?;
            let source = record.source.as_ref().map_or("", SourceId::as_str);
            let new = new_rows(&*this.journal, (source, record.rows_name()), &calls, &[])?;
            Ok((new.calls, Taken { new: new.new, known: new.known, counts: new.counts }))
        })
    }

    fn taken(&self, rows: Rows, taken: Taken) -> BoxFuture<'_, Result<RowsTaken, TargetError>> {
        self.on_disk(move |this| {
            let _writing = lock(&this.writing);
            let mut record = this.record_before(rows)?;
            record.progress.next_row = rows.first.saturating_add(rows.rows);
            record.counted = record.progress.next_row;
            record.prefix = rows.prefix;
            record.progress.stored += taken.new;
            record.progress.repeats += taken.known + rows.repeats;
            record.progress.rejected += rows.rejected;
            let progress = record.progress;
            let change = Change { records: &[record], counts: &taken.counts, ..Change::default() };
            this.journal.change(change).map_err(unwritten)?;
            Ok(RowsTaken { progress })
        })
    }

    fn end(&self, end: End) -> BoxFuture<'_, Result<(), TargetError>> {
        self.on_disk(move |this| {
            let _writing = lock(&this.writing);
            let mut record = this.open_record(end.import)?;
            record.ended(end, this.clock.wall());
            this.journal.write(&[record]).map_err(unwritten)
        })
    }
}
