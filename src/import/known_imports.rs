//! The imports that people look at: what the journal says, and how far the open ones are.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::bucket_import::{each_unopened, object_key_of};
use super::import_names::named;
use super::importer::Importer;
use super::journal::Journal;
use super::recent::{ReadState, RecentJournal};
use super::record::ImportRecord;
use super::reject_counts::RejectCounts;
use crate::log::{ImportKey, ImportProgress};

/// An import, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownImport {
    /// What the journal says, with the progress of an open import.
    pub record: ImportRecord,
    /// Whether the import is open. One that has neither ended nor is open was stopped: the same command
    /// continues it.
    pub is_open: bool,
    /// Rejected rows of the last step, which made the file fail. They are not among those of the record, and will be read
    /// again.
    pub last_rejects: RejectCounts,
    /// The key of the object that the file is of, if an import of a bucket reads it: commands take that.
    pub object: Option<String>,
    /// Rejected rows that a retry has read and that are no longer rejected, while it has not ended: the record learns of
    /// them then.
    pub settled_by_retry: u64,
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

/// Says whether an import is wanted.
pub type IsWanted = Box<dyn Fn(&KnownImport) -> bool + Send>;

impl Importer {
    /// At most `limit` of the imports that are wanted, among all files of the journal, or those of the import
    /// of a bucket with this name: first the one that was begun, continued or ended last. Objects that were
    /// given up because they cannot be opened are among them. Reads the whole journal.
    pub async fn newest_of(
        this: &Arc<Self>,
        name: Option<String>,
        limit: usize,
        wanted: IsWanted,
    ) -> KnownImports {
        let importer = Arc::clone(this);
        let found = move || importer.matching(name.as_deref(), limit, &wanted);
        let found = tokio::task::spawn_blocking(found).await;
        let problem = match found {
            Ok(Ok(found)) => return found,
            Ok(Err(error)) => error,
            Err(error) => error.to_string(),
        };
        KnownImports { problem: Some(problem), ..KnownImports::default() }
    }

    fn matching(
        &self,
        name: Option<&str>,
        limit: usize,
        wanted: &dyn Fn(&KnownImport) -> bool,
    ) -> Result<KnownImports, String> {
        let journal = self.recent().stored();
        let of_name = match name.map(|name| named(journal, name)).transpose() {
            Ok(Some(None)) => return Ok(KnownImports::default()),
            Ok(named) => named.flatten().map(|import| import.id),
            Err(error) => return Err(error.to_string()),
        };
        let open = self.open_progress();
        let (mut newest, mut total) = (BTreeMap::new(), 0);
        let mut take = |record| {
            let known = known_import(record, &open);
            if !wanted(&known) {
                return;
            }
            let at = known.record.ended_at.unwrap_or(known.record.first_seen).max(known.record.first_seen);
            let before = newest.insert((known.is_open, at, known.record.key), known);
            total += u64::from(before.is_none());
            if newest.len() > limit {
                newest.pop_first();
            }
        };
        let read = journal.each(&mut |record| {
            if of_name.is_none() || record.import == of_name {
                take(record);
            }
        });
        read.map_err(|error| error.to_string())?;
        each_unopened(journal, name, &mut take).map_err(|error| error.to_string())?;
        let imports = newest.into_values().rev().map(|known| self.with_places(known, journal)).collect();
        Ok(KnownImports { imports, total, ..KnownImports::default() })
    }

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
            imports: records
                .into_iter()
                .map(|record| self.with_places(known_import(record, &open), journal.stored()))
                .collect(),
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
    let last_rejects = std::mem::take(&mut record.last_rejects);
    KnownImport { record, is_open: open.is_some(), last_rejects, object: None, settled_by_retry: 0 }
}

impl Importer {
    /// The same with its object and its retry, and without a file of rejected rows that is gone: a later round has taken
    /// its place. Waits for the disk.
    fn with_places(&self, mut known: KnownImport, journal: &dyn Journal) -> KnownImport {
        let record = &mut known.record;
        // The rows of other imports may be on the machine of a command.
        if record.import.is_some() {
            record.rejects_file.take_if(|file| !Path::new(file).exists());
        }
        // Without it, commands are shown without the key.
        known.object = object_key_of(journal, record).unwrap_or_default();
        known.settled_by_retry = self.settled_by_retry(record).unwrap_or_default();
        known
    }

    fn settled_by_retry(&self, record: &ImportRecord) -> Option<u64> {
        let round = record.round_under_way()?;
        // Without it, the rows count as rejected until the retry has ended.
        let ImportProgress { next_row, rejected, .. } = self.recorded(round).ok()??.progress;
        Some(next_row.saturating_sub(rejected))
    }
}
