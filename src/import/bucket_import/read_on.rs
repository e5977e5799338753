//! Lets files of which rows are stored be read on with the converter of now, because a person says so. By
//! itself a file ends with the converter that it began with.

use std::sync::Arc;

use super::conversions::{Chosen, keep, needed};
use super::object_import::ObjectImport;
use super::object_state::ObjectState;
use super::rejected::set::Set;
use super::rejected::settled::records_of;
use super::settings::BucketImport;
use crate::import::import_id::ImportId;
use crate::import::importer::Importer;
use crate::import::journal::{Journal, JournalError};
use crate::import::record::ImportRecord;
use crate::import::rejects_file::describe_with;

/// What decides with which converter the rest of a file is read.
#[derive(Clone)]
pub(super) struct ReadOn {
    importer: Arc<Importer>,
    import: Arc<BucketImport>,
    id: ImportId,
    chosen: Chosen,
}

debug_fields!(ReadOn { id });

/// The files of an object that begins again.
#[derive(Debug, Default)]
pub(super) struct Rest {
    /// The records of those that are read on with the converter of now, as they are to be written.
    pub(super) records: Vec<ImportRecord>,
    /// The name of a file whose rows the converter of now would count otherwise: it needs its own one.
    pub(super) counts_otherwise: Option<String>,
}

impl ReadOn {
    pub(super) fn of(objects: &ObjectImport) -> Self {
        let (importer, import) = (Arc::clone(&objects.deps.importer), Arc::clone(&objects.import));
        Self { importer, import, id: objects.id, chosen: objects.chosen.clone() }
    }

    /// The files of an object with this name. Waits for the disk.
    /// Errors: [`JournalError`]: the journal, or what describes the rejected rows of a file, cannot be used.
    pub(super) fn rest(
        &self,
        journal: &dyn Journal,
        name: &str,
        state: &ObjectState,
    ) -> Result<Rest, JournalError> {
        let mut rest = Rest::default();
        for record in records_of(journal, &self.importer, (self.id, &self.import.source), name, state)? {
            let Some(began_with) = needed(&record).filter(|options| !self.chosen.options.is(options)) else {
                continue;
            };
            match self.chosen.counts_rows_as(journal, self.id, began_with)? {
                Some(true) => {}
                Some(false) => {
                    rest.counts_otherwise = Some(record.name);
                    continue;
                }
                // A pass says that the converter is gone, and what to do.
                None => continue,
            }
            self.describe_rejects(&record)?;
            let options = self.chosen.options.recorded().to_owned();
            rest.records.push(ImportRecord { options, ..record });
        }
        if !rest.records.is_empty() {
            keep(journal, self.id, &self.import, &self.chosen)?;
        }
        Ok(rest)
    }

    /// Says of the rejected rows that a file has already that others will follow which were read otherwise:
    /// all of them are read again by their numbers, whatever read them first.
    fn describe_rejects(&self, record: &ImportRecord) -> Result<(), JournalError> {
        let Some(file) = record.file else { return Ok(()) };
        let path = self.import.rejects.file(self.id, Set { file, generation: 0, rounds: 0 });
        describe_with(&path, &self.chosen.options).map_err(|error| {
            JournalError::of(format!(
                "what describes the rejected rows in {} cannot be changed: {error}",
                path.display()
            ))
        })
    }
}
