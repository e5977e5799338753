//! Raises an alarm as long as a log does not know which rows it has.

use std::sync::Arc;
use std::time::Duration;

use crate::alarms::{AlarmKind, Alarms};
use crate::log::frame::RowKey;
use crate::log::{ImportKey, ImportProgress, Imports, OpenImport, RowsUnknown, Stopped};
use crate::sources::SourceId;
use crate::time::UnixMillis;

/// The subject of the alarm. No import has such a name.
const SUBJECT: &str = "insert_id window";

/// Passes everything on to a log, and raises an alarm if rows must wait because the log cannot compare them.
#[derive(Debug)]
pub struct WatchedRows {
    imports: Arc<dyn Imports>,
    alarms: Arc<Alarms>,
}

impl WatchedRows {
    /// Watches a log.
    pub fn new(imports: Arc<dyn Imports>, alarms: Arc<Alarms>) -> Self {
        Self { imports, alarms }
    }
}

/// Clears the alarm: the imports may be others now. One whose rows still wait raises it again.
pub fn clear(alarms: &Alarms) {
    alarms.clear(AlarmKind::BucketImport, SUBJECT);
}

impl Imports for WatchedRows {
    fn begin_import(&self, key: ImportKey, progress: ImportProgress) -> Result<OpenImport, Stopped> {
        self.imports.begin_import(key, progress)
    }

    fn open_imports(&self) -> Vec<OpenImport> {
        self.imports.open_imports()
    }

    fn end_imports(&self, files: &[u64]) -> Result<(), Stopped> {
        self.imports.end_imports(files)
    }

    fn rows_to_store(
        &self,
        source: &SourceId,
        rows: &[u128],
        now: UnixMillis,
        window: Duration,
    ) -> Result<Vec<Option<RowKey>>, RowsUnknown> {
        let found = self.imports.rows_to_store(source, rows, now, window);
        match &found {
            Ok(_) => clear(&self.alarms),
            Err(error) => self.alarms.raise(AlarmKind::BucketImport, SUBJECT, error.to_string()),
        }
        found
    }
}
