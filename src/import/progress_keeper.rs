//! Where the progress of imports stands, if no log keeps it: rows go to a collector elsewhere, or become objects.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use super::journal::{JournalError, LocalJournal};
use super::{
    Begin, Begun, Earlier, End, NewCalls, ProgressJournal, Rows, RowsTaken, SharedProgress, Taken,
    TargetError, Unusable, blocking,
};
use crate::disk::own_files;
use crate::sources::SourceId;
use crate::time::Clock;

/// The progress of imports.
#[derive(Clone, Debug)]
pub enum ProgressKeeper {
    /// In a journal of this process.
    Local(Arc<ProgressJournal>),
    /// Where several importers share the files.
    Shared(Arc<SharedProgress>),
}

impl ProgressKeeper {
    /// Progress in a file.
    ///
    /// # Errors
    /// [`Unusable`]: the file cannot be used.
    pub async fn in_file(path: PathBuf, clock: Arc<dyn Clock>) -> Result<Self, Unusable> {
        let journal = tokio::task::spawn_blocking(move || -> Result<_, Unusable> {
            if let Some(folder) = path.parent() {
                own_files::make_folders(folder).map_err(|error| Unusable::failed(&error))?;
            }
            LocalJournal::open(&path).map_err(|error| Unusable::failed(&error))
        });
        let journal = journal.await.map_err(|error| Unusable::failed(&error))??;
        Ok(Self::of(journal, clock))
    }

    /// Progress that ends with the process.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn in_memory(clock: Arc<dyn Clock>) -> Result<Self, JournalError> {
        Ok(Self::of(LocalJournal::over(redb::backends::InMemoryBackend::new())?, clock))
    }

    fn of(journal: LocalJournal, clock: Arc<dyn Clock>) -> Self {
        Self::Local(Arc::new(ProgressJournal::new(Arc::new(journal), clock)))
    }

    /// See [`super::Target::begin`].
    ///
    /// # Errors
    /// [`TargetError`].
    pub async fn begin(&self, file: Begin, source: SourceId) -> Result<Begun, TargetError> {
        match self.clone() {
            Self::Local(journal) => blocking(move || journal.begin(&file, &source)).await,
            Self::Shared(progress) => progress.begin(&file, &source).await,
        }
    }

    /// See [`super::Target::earlier`].
    ///
    /// # Errors
    /// [`TargetError`].
    pub async fn earlier(&self, file: Begin, source: SourceId) -> Result<Option<Earlier>, TargetError> {
        match self.clone() {
            Self::Local(journal) => blocking(move || journal.earlier(&file, &source)).await,
            // It keeps nothing of what files begin with.
            Self::Shared(_) => Ok(None),
        }
    }

    /// The calls of a step that are not known by their content, and what to record once they are taken.
    ///
    /// # Errors
    /// [`TargetError`].
    pub async fn new_rows(&self, rows: Rows, calls: Bytes) -> Result<(Bytes, Taken), TargetError> {
        match self.clone() {
            Self::Local(journal) => {
                let NewCalls { calls, taken } = blocking(move || journal.new_rows(rows, &calls)).await?;
                Ok((calls, taken))
            }
            // It begins no import whose rows are known by their content.
            Self::Shared(_) => Err(TargetError::NotOpen),
        }
    }

    /// Makes sure that these are the next rows, and that nobody else imports them now.
    ///
    /// # Errors
    /// [`TargetError`].
    pub async fn may_take(&self, rows: Rows) -> Result<(), TargetError> {
        match self {
            // Only this process uses it, and it refuses other rows when they are recorded.
            Self::Local(_) => Ok(()),
            Self::Shared(progress) => progress.may_send(rows).await,
        }
    }

    /// Records rows that were taken.
    ///
    /// # Errors
    /// [`TargetError`].
    pub async fn taken(&self, rows: Rows, taken: Taken) -> Result<RowsTaken, TargetError> {
        match self.clone() {
            Self::Local(journal) => blocking(move || journal.advance(rows, taken)).await,
            Self::Shared(progress) => progress.sent(rows, taken.new).await,
        }
    }

    /// See [`super::Target::end`].
    ///
    /// # Errors
    /// [`TargetError`].
    pub async fn end(&self, end: End) -> Result<(), TargetError> {
        match self.clone() {
            Self::Local(journal) => blocking(move || journal.end(end)).await,
            Self::Shared(progress) => progress.end(end).await,
        }
    }
}
