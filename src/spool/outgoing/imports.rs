//! The imports that the spool knows.

use std::sync::atomic::Ordering;

use super::SpoolLog;
use crate::log::{ImportKey, ImportProgress, Imports, OpenImport, Stopped};
use crate::spool::manifest::FileNote;
use crate::spool::shared::lock;

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
}
