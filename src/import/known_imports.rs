//! The imports that people look at: what the journal says, and how far the open ones are.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::importer::Importer;
use super::journal::Journal as _;
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
    /// Names it.
    pub key: ImportKey,
    /// The name of its file; empty if only the log knew it.
    pub name: String,
    /// Its source.
    pub source: Option<SourceId>,
    /// Its state.
    pub state: ImportState,
    /// When it was first seen.
    pub first_seen: UnixMillis,
    /// When it ended.
    pub ended_at: Option<UnixMillis>,
    /// Bytes of the file, if known.
    pub bytes: Option<u64>,
    /// What is stored.
    pub progress: ImportProgress,
    /// Rejected rows by code, the most frequent first, as far as they were reported.
    pub rejects: Vec<RejectedRows>,
    /// The file with the rejected rows, on the importer's machine, as far as it was reported.
    pub rejects_file: Option<String>,
    /// Failures since the last success.
    pub attempts: u32,
    /// The code and the text of the last failure.
    pub error: Option<(String, Told)>,
}

/// The state of an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportState {
    /// It is open.
    Running,
    /// It has begun, has not ended, and is not open: the same command continues it.
    Stopped,
    /// All of it is imported.
    Done,
    /// It failed, and is tried again.
    Failed,
    /// It failed too often.
    GivenUp,
}

/// The newest imports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownImports {
    /// The one that was begun, continued or ended last first.
    pub imports: Vec<KnownImport>,
    /// How many the journal has.
    pub total: u64,
    /// Whether the journal is still being read.
    pub loading: bool,
    /// Why the journal cannot be read.
    pub problem: Option<String>,
}

impl Importer {
    /// At most `limit` imports, the one that was begun, continued or ended last first. The first call reads the whole
    /// journal; it waits for that for at most `patience`, and shows what is known by then.
    pub async fn newest(this: &Arc<Self>, limit: usize, patience: Duration) -> KnownImports {
        let journal = Arc::clone(this.recent());
        if journal.begin_to_read() {
            let reading = {
                let journal = Arc::clone(&journal);
                tokio::task::spawn_blocking(move || journal.read_all())
            };
            // It goes on by itself.
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
        let (total, uncounted) = match journal.count() {
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

/// `open`: the progress of open imports.
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
