//! Removes sets of rejected rows whose round has ended: a process that was killed before that left them behind.

use super::moving::sets_in;
use super::set::{Set, remove};
use crate::import::bucket_import::object_import::{ObjectImport, on_disk};
use crate::import::file_id::key_of;
use crate::import::journal::{Journal, JournalError};

impl ObjectImport {
    /// Removes such sets from the folder, once in a process.
    /// Errors: [`JournalError`]: the journal cannot be read, and some are left.
    pub(in crate::import::bucket_import) async fn remove_old_sets(&self) -> Result<(), JournalError> {
        if !self.deps.importer.objects().old_sets.look(self.id) {
            return Ok(());
        }
        let (id, source, place) = (self.id, self.import.source.clone(), self.import.rejects.clone());
        let importer = std::sync::Arc::clone(&self.deps.importer);
        let removed = move |_: &dyn Journal| {
            let sets = match sets_in(&place.of(id)) {
                Ok(sets) => sets,
                Err(error) => {
                    // Where rejected rows cannot be kept, the pass says so.
                    tracing::debug!(%error, "the folder of rejected rows cannot be read");
                    return Ok(());
                }
            };
            for (path, file) in sets {
                let Some(record) = importer.recorded(key_of(file, &source, Some(id)))? else { continue };
                let generation = record.generation;
                let is_old = |rounds| place.file(id, Set { file, generation, rounds }) == path;
                // The record of the file says so before its set is removed.
                if (0..record.retries.rounds).any(is_old) {
                    remove(&path);
                }
            }
            Ok(())
        };
        on_disk(&self.deps.journal, removed).await
    }
}
