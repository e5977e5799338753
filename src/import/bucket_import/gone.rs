//! Objects that are gone before they were read to their end: a listing does not show them, so a pass that lists all keys
//! looks for those that the journal has as not done.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::admit::is_stored;
use super::cut_short::cut_short;
use super::object_end::given_up;
use super::object_import::ObjectImport;
use super::object_state::{ObjectState, Stage};
use super::rejected::settled::records_of;
use super::report::{Became, PassReport};
use super::reset::{Begins, ResetError, ResetObject, progress_of};
use super::scan::Scan;
use crate::import::file_error::FileError;
use crate::import::journal::{Journal, JournalError};
use crate::import::record::ImportState;
use crate::import::run::{FileEnd, FileReport};

/// What the state of a finished object contains. This text is searched first, because most objects of a bucket are
/// finished, and parsing each state takes longer.
const DONE: &[u8] = b"\"stage\":\"done\"";

impl ObjectImport {
    /// The keys of objects that are not done, if the pass lists all keys and would show them; empty if there are none.
    /// Errors: [`JournalError`]: the journal cannot be read.
    pub(super) async fn not_done(&self) -> Result<BTreeSet<String>, JournalError> {
        let mut not_done = BTreeSet::new();
        let half_read = &self.deps.importer.objects().half_read;
        if self.deps.scan != Scan::Full || !self.deps.whole || !half_read.look(self.id) {
            return Ok(not_done);
        }
        let id = self.id;
        let read = move |journal: &dyn Journal| {
            ObjectState::each_from(journal, id, "", &mut |key, json| {
                if memchr::memmem::find(json, DONE).is_none() {
                    let state = ObjectState::of_json(key, json)?;
                    if state.stage != Stage::Done && !state.is_accepted {
                        not_done.insert(key.to_owned());
                    }
                }
                Ok(true)
            })?;
            Ok(not_done)
        };
        let not_done = self.on_disk(read).await;
        if not_done.as_ref().map_or(true, |keys| !keys.is_empty()) {
            self.note_not_done();
        }
        not_done
    }

    /// Notes that an object is not done.
    pub(super) fn note_not_done(&self) {
        self.deps.importer.objects().half_read.note(self.id);
    }

    /// Checks objects that the listing does not show, and ends those that are gone. If rows of one are stored, each pass
    /// reports it until a person acknowledges it.
    /// Errors: [`JournalError`]: the next pass checks the remaining ones.
    pub(super) async fn end_gone(
        &self,
        unlisted: BTreeSet<String>,
        report: &mut PassReport,
    ) -> Result<(), JournalError> {
        for key in unlisted {
            if self.deps.stop.is_cancelled() {
                break;
            }
            // A listing of a store that is not S3 may be late.
            if !matches!(self.version_now(&key).await, Err(None)) {
                continue;
            }
            self.report_gone(&key, report).await?;
        }
        Ok(())
    }

    /// Ends an object that is gone, and reports it if rows of it are stored.
    /// Errors: [`JournalError`]: it is not noted.
    pub(super) async fn report_gone(&self, key: &str, report: &mut PassReport) -> Result<(), JournalError> {
        if let Some(error) = self.note_gone(key.to_owned()).await? {
            report.file(Became::Gone, FileReport::new(self.name_of(key), FileEnd::Failed(error)));
        }
        Ok(())
    }

    /// Notes that a person knows that an object is gone. Errors: [`ResetError`]: nothing has changed.
    pub(super) async fn accept_gone(&self, key: String) -> Result<ResetObject, ResetError> {
        let name = self.name_of(&key);
        if self.note_gone(key.clone()).await?.is_none() {
            let what = format!("{name} is gone, so nothing can begin: put an object there first");
            return Err(ResetError::Refused(what));
        }
        let (rules, importer) = (self.rules(), Arc::clone(&self.deps.importer));
        let accept = move |journal: &dyn Journal| {
            let turn = importer.objects().turn();
            let state = ObjectState::read(journal, rules.id, &key)?;
            let state = state.filter(|state| state.stage == Stage::Gone);
            let gone = || JournalError::of(format!("the state of {key} changed meanwhile: try again"));
            let mut state = state.ok_or_else(gone)?;
            state.is_accepted = true;
            // The list no longer asks for it.
            let of = (rules.id, &rules.source);
            for record in records_of(journal, &importer, of, &rules.name_of(&key), &state)? {
                importer.change_record(record.key, |record| record.error = None)?;
            }
            state.write(journal, rules.id, &key)?;
            drop(turn);
            progress_of(journal, &importer, (rules.id, &rules.source), &rules.name_of(&key), &state)
        };
        let progress = self.on_disk(accept).await?;
        Ok(ResetObject { name, begins: Begins::Gone, rows: progress.next_row, calls: progress.stored })
    }

    /// Notes that an object is gone that was not read to its end. `None`: no row of it is stored, it is done, somebody
    /// reads it, or it belongs to another instance. Errors: [`JournalError`]: it is not noted.
    pub(super) async fn note_gone(&self, key: String) -> Result<Option<FileError>, JournalError> {
        if self.elsewhere(&key).await?.is_some() {
            return Ok(None);
        }
        let rules = self.rules();
        let importer = Arc::clone(&self.deps.importer);
        let note = move |journal: &dyn Journal| {
            let of = (rules.id, &rules.source);
            let turn = importer.objects().turn();
            if turn.is_in_use(rules.id, &key) {
                return Ok(None);
            }
            let state = ObjectState::read(journal, rules.id, &key)?;
            let Some(mut state) = state.filter(|state| state.stage != Stage::Done) else { return Ok(None) };
            let has_rows = is_stored(&importer, &state, state.of_another(), of)?;
            if state.stage == Stage::Gone {
                let (_, error) = given_up(state.stage, state.error);
                return Ok(Some(error).filter(|_| has_rows && !state.is_accepted));
            }
            let name = rules.name_of(&key);
            let error = cut_short(journal, &importer, &rules, (&name, &state), ImportState::Gone)?;
            state.gone(&error, has_rows);
            state.write(journal, rules.id, &key)?;
            drop(turn);
            Ok(Some(error).filter(|_| has_rows))
        };
        self.on_disk(note).await
    }
}
