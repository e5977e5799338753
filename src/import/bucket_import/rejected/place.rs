//! Where the rejected rows of an import are kept.

use std::path::PathBuf;

use super::in_store::RejectsInStore;
use super::set::Set;
use crate::import::import_id::ImportId;
use crate::import::record::ImportRecord;

/// Where rejected rows are kept.
#[derive(Clone, Debug)]
pub struct RejectsPlace {
    /// A folder of this machine. Each import has a folder of its own there.
    pub folder: PathBuf,
    /// The most bytes that an import has there.
    pub max_bytes: u64,
    /// Whether the last pass found no room there; `None`: none has looked.
    pub was_full: Option<bool>,
    /// The store that the rows of files go to when these are done; `None`: they stay in the folder.
    pub in_store: Option<RejectsInStore>,
}

impl RejectsPlace {
    /// A folder of this machine, with room for so many bytes of each import.
    pub fn folder(folder: PathBuf, max_bytes: u64) -> Self {
        Self { folder, max_bytes, was_full: Some(false), in_store: None }
    }

    /// The folder of an import.
    pub(in crate::import) fn of(&self, import: ImportId) -> PathBuf {
        self.folder.join(import.to_string())
    }

    /// The path of the rejected rows of a file, if they are in the folder. Looks at the disk.
    pub(in crate::import::bucket_import) fn kept(
        &self,
        import: ImportId,
        record: &ImportRecord,
    ) -> Option<String> {
        let set = Set { file: record.file?, generation: record.generation, rounds: record.retries.rounds };
        // Readers of the path may be in another folder.
        let path = std::path::absolute(self.file(import, set)).ok()?;
        path.exists().then(|| path.to_string_lossy().into_owned())
    }

    /// The file with a set of rejected rows.
    pub(in crate::import) fn file(&self, import: ImportId, set: Set) -> PathBuf {
        self.of(import).join(format!("{}.ndjson", set.name()))
    }
}
