//! Raises an alarm as long as a log does not know which rows it has.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::alarms::{AlarmKind, Alarms};
use crate::lock::lock;
use crate::log::frame::RowKey;
use crate::log::{ImportKey, ImportProgress, Imports, OpenImport, RowsUnknown, Stopped};
use crate::sources::SourceId;
use crate::time::UnixMillis;

/// The subject of the alarm. No import has such a name.
const SUBJECT: &str = "insert_id window";

/// What shows that the rows that wait can be compared again. Rows of another import may be compared
/// meanwhile.
#[derive(Clone, Copy, Debug)]
enum Proof {
    /// Rows that are to be remembered.
    NewRows,
    /// Rows that are compared with those of this window at least.
    Window(Duration),
}

impl Proof {
    fn of(error: &RowsUnknown, window: Duration) -> Self {
        match error {
            RowsUnknown::Full { .. } => Self::NewRows,
            RowsUnknown::Damaged { .. } | RowsUnknown::Unread(_) => Self::Window(window),
        }
    }

    fn is_given_by(self, found: &[Option<RowKey>], window: Duration) -> bool {
        match self {
            Self::NewRows => found.iter().any(Option::is_some),
            Self::Window(failed) => !found.is_empty() && window >= failed,
        }
    }
}

/// Passes everything on to a log, and raises an alarm if rows must wait because the log cannot compare them.
#[derive(Debug)]
pub struct WatchedRows {
    imports: Arc<dyn Imports>,
    alarms: Arc<Alarms>,
    /// What ends the alarm.
    ends_with: Mutex<Option<Proof>>,
}

impl WatchedRows {
    /// Watches a log.
    pub fn new(imports: Arc<dyn Imports>, alarms: Arc<Alarms>) -> Self {
        Self { imports, alarms, ends_with: Mutex::default() }
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

    fn has_room_for_rows(&self) -> bool {
        self.imports.has_room_for_rows()
    }

    fn rows_to_store(
        &self,
        source: &SourceId,
        rows: &[u128],
        now: UnixMillis,
        window: Duration,
    ) -> Result<Vec<Option<RowKey>>, RowsUnknown> {
        let found = self.imports.rows_to_store(source, rows, now, window);
        let mut ends_with = lock(&self.ends_with);
        match &found {
            Ok(found) => {
                if ends_with.take_if(|proof| proof.is_given_by(found, window)).is_some() {
                    clear(&self.alarms);
                }
            }
            Err(error) => {
                *ends_with = Some(Proof::of(error, window));
                self.alarms.raise(AlarmKind::BucketImport, SUBJECT, error.to_string());
            }
        }
        found
    }
}
