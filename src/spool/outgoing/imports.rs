//! The imports that the spool knows.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::SpoolLog;
use crate::call::Fingerprinter;
use crate::log::frame::RowKey;
use crate::log::{ImportKey, ImportProgress, Imports, OpenImport, ROWS_PERCENT, RowsUnknown, Stopped};
use crate::sources::SourceId;
use crate::spool::manifest::FileNote;
use crate::spool::shared::lock;
use crate::time::UnixMillis;

impl Imports for SpoolLog {
    fn begin_import(&self, key: ImportKey, progress: ImportProgress) -> Result<OpenImport, Stopped> {
        let known = || lock(&self.shared.index).imports.find(key);
        if let Some(known) = known() {
            return Ok(known);
        }
        // The note lengthens the state, which a full disk has no space for.
        if self.shared.disk_full.load(Ordering::Acquire) {
            return Err(Stopped);
        }
        self.shared.note_from(
            |state| {
                // Another thread may have begun it meanwhile.
                let is_known = state.files.imports.values().any(|import| import.key == key);
                let import = OpenImport { file: state.files.next_import, key, progress };
                (if is_known { Vec::new() } else { vec![FileNote::ImportBegun(import)] }, ())
            },
            |(), state, index| {
                let noted = state.files.imports.values().find(|import| import.key == key).copied();
                noted.into_iter().for_each(|import| index.imports.begin(import));
            },
        )?;
        known().ok_or(Stopped)
    }

    fn open_imports(&self) -> Vec<OpenImport> {
        lock(&self.shared.index).imports.all().collect()
    }

    fn end_imports(&self, files: &[u64]) -> Result<(), Stopped> {
        if files.is_empty() {
            return Ok(());
        }
        self.shared.note_and(vec![FileNote::ImportsEnded { files: files.to_vec() }], |_, index| {
            files.iter().for_each(|file| index.imports.end(*file));
        })
    }

    fn has_room_for_rows(&self) -> bool {
        !self.shared.usage().reaches(ROWS_PERCENT)
    }

    fn rows_to_store(
        &self,
        source: &SourceId,
        rows: &[u128],
        now: UnixMillis,
        window: Duration,
    ) -> Result<Vec<Option<RowKey>>, RowsUnknown> {
        let shared = &self.shared;
        self.merge_row_keys();
        let prints = Fingerprinter::new(shared.ident.fingerprint_key);
        let keys: Vec<RowKey> = rows.iter().map(|row| RowKey(prints.of_row(source, *row))).collect();
        let found = shared.row_keys.find(&keys, now.minus(window));
        shared.show_row_keys();
        let known = found?;
        let mut new = HashSet::with_capacity(keys.len());
        let is_new = |(key, known): (RowKey, bool)| Some(key).filter(|key| !known && new.insert(*key));
        let to_store: Vec<Option<RowKey>> = keys.into_iter().zip(known).map(is_new).collect();
        if new.is_empty() {
            return Ok(to_store);
        }
        shared.row_keys.check_room(new.len() as u64, shared.capped.cap())?;
        // Earlier releases must refuse the spool before they could misread a key.
        if !shared.may_have_row_keys.load(Ordering::Acquire) {
            let added = shared.ident.add_row_keys(&*shared.disk);
            added.map_err(|error| RowsUnknown::Unread(format!("write the spool's IDENT file: {error}")))?;
            shared.may_have_row_keys.store(true, Ordering::Release);
        }
        Ok(to_store)
    }
}

impl SpoolLog {
    /// Merges runs of keys as long as some are due. Without that, questions only take longer.
    fn merge_row_keys(&self) {
        let shared = &self.shared;
        let merge = || shared.row_keys.merge(shared.clock.wall(), shared.capped.cap());
        loop {
            if shared.disk_full.load(Ordering::Acquire) || shared.is_poisoned() {
                return;
            }
            match merge() {
                Ok(None) => return,
                Ok(Some(run)) => {
                    if shared.use_key_run(run, 0).is_err() {
                        return;
                    }
                }
                Err(error) => {
                    if let Some(line) = shared.happened("merge") {
                        let times = line.times;
                        tracing::warn!(%error, times, "files with insert_ids of imported rows cannot be merged");
                    }
                    return;
                }
            }
        }
    }
}
