//! The imports that people look at: what the journal says, and how far the open ones are.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::importer::Importer;
use super::recent::{ReadState, RecentJournal};
use super::record::{ImportRecord, State};
use super::reject_counts::RejectedRows;
use crate::log::{ImportKey, ImportProgress};
use crate::sources::SourceId;
use crate::time::UnixMillis;
use crate::words::Told;

/// An import, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownImport {
    /// The import's key.
    pub key: ImportKey,
    /// The name of the imported file; empty if only the log knew the import.
    pub name: String,
    /// The source of the calls.
    pub source: Option<SourceId>,
    /// The state of the import.
    pub state: ImportState,
    /// When the import was first seen.
    pub first_seen: UnixMillis,
    /// When the import ended.
    pub ended_at: Option<UnixMillis>,
    /// The length of the file in bytes, if known.
    pub bytes: Option<u64>,
    /// The progress that is stored.
    pub progress: ImportProgress,
    /// Rejected rows by code, the most frequent first, as far as the importer reported them.
    pub rejects: Vec<RejectedRows>,
    /// The file with the rejected rows, on the importer's machine, as far as the importer reported it.
    pub rejects_file: Option<String>,
    /// Failures since the last success.
    pub attempts: u32,
    /// The code and the text of the last failure.
    pub error: Option<(String, Told)>,
}

/// The state of an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportState {
    /// The import is open.
    Running,
    /// The import has begun and not ended, and is not open: the same command continues it.
    Stopped,
    /// All rows of the file are imported.
    Done,
    /// The import failed, and will be retried.
    Failed,
    /// The import failed too often.
    GivenUp,
}

/// The newest imports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownImports {
    /// The imports: first the one that was begun, continued or ended last.
    pub imports: Vec<KnownImport>,
    /// The number of imports in the journal.
    pub total: u64,
    /// Whether the journal is still being read.
    pub loading: bool,
    /// Why the journal cannot be read.
    pub problem: Option<String>,
}

impl Importer {
    /// At most `limit` imports: first the one that was begun, continued or ended last. The first call reads
    /// the whole journal; it waits for at most `patience`, and shows what is known by then.
    pub async fn newest(this: &Arc<Self>, limit: usize, patience: Duration) -> KnownImports {
        let journal = Arc::clone(this.recent());
        if journal.begin_to_read() {
            let reading = {
                let journal = Arc::clone(&journal);
                tokio::task::spawn_blocking(move || journal.read_all())
            };
            // The reading continues by itself after this wait.
            drop(tokio::time::timeout(patience, reading).await);
        }
        let importer = Arc::clone(this);
        let known = tokio::task::spawn_blocking(move || importer.known(&journal, limit)).await;
        known.unwrap_or_else(|error| KnownImports {
            problem: Some(error.to_string()),
            ..KnownImports::default()
        })
    }

    fn known(&self, journal: &RecentJournal, limit: usize) -> KnownImports {
        let (total, uncounted) = match journal.stored().count() {
            Ok(total) => (total, None),
            Err(error) => (0, Some(error.to_string())),
        };
        let (records, read) = journal.newest(limit);
        let open = self.open_progress();
        let problem = match &read {
            ReadState::Failed(_, why) => Some(why.clone()),
            _ => uncounted,
        };
        KnownImports {
            imports: records.into_iter().map(|record| known_import(record, &open)).collect(),
            total,
            loading: matches!(read, ReadState::Now),
            problem,
        }
    }
}

/// An import, for people. `open`: the progress of open imports.
fn known_import(record: ImportRecord, open: &HashMap<ImportKey, ImportProgress>) -> KnownImport {
    let (mut progress, open) = (record.progress, open.get(&record.key));
    if let Some(now) = open {
        progress.advance(*now);
    }
    let state = match record.state {
        _ if open.is_some() => ImportState::Running,
        State::Reading => ImportState::Stopped,
        State::Done => ImportState::Done,
        State::Failed => ImportState::Failed,
        State::Poison => ImportState::GivenUp,
    };
    let mut rejects = record.rejects;
    rejects.add(&record.last_rejects);
    KnownImport {
        key: record.key,
        name: record.name,
        source: record.source,
        state,
        first_seen: record.first_seen,
        ended_at: record.ended_at.filter(|_| state != ImportState::Running),
        bytes: record.bytes,
        progress,
        rejects: rejects.into_rows(),
        rejects_file: record.rejects_file,
        attempts: record.attempts,
        error: record.error.map(|error| (error.code, error.message)),
    }
}
