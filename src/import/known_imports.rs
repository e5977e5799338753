//! The imports that people look at: what the journal says, and how far the open ones are.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::importer::Importer;
use super::recent::{ReadState, RecentJournal};
use super::record::ImportRecord;
use crate::log::{ImportKey, ImportProgress};

/// An import, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownImport {
    /// What the journal says, with the progress of an open import, and with all rejected rows as far as the
    /// importer reported them.
    pub record: ImportRecord,
    /// Whether the import is open. One that has neither ended nor is open was stopped: the same command
    /// continues it.
    pub is_open: bool,
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
fn known_import(mut record: ImportRecord, open: &HashMap<ImportKey, ImportProgress>) -> KnownImport {
    let open = open.get(&record.key);
    if let Some(now) = open {
        record.progress.advance(*now);
        record.ended_at = None;
    }
    record.rejects.add(&std::mem::take(&mut record.last_rejects));
    KnownImport { record, is_open: open.is_some() }
}
