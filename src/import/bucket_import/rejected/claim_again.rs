//! Claims a file again before more rows of it are stored: its claim may say that all is delivered.

use super::find::FileWithRejects;
use crate::import::bucket_import::claimed::shared;
use crate::import::bucket_import::object_import::ObjectImport;
use crate::import::bucket_import::report::Became;
use crate::import::bucket_import::reset::ResetError;
use crate::import::claims::{Claimed, ClaimsError};
use crate::import::file_error::{FileError, FileFault};
use crate::import::run::FileEnd;
use crate::words::Told;

/// A file whose claim is open. Dropped, it is one whose rows are all stored: its claim is closed when they are
/// delivered.
pub(super) struct ClaimedAgain<'f> {
    objects: &'f ObjectImport,
    file: &'f FileWithRejects,
    is_ours: bool,
}

impl Drop for ClaimedAgain<'_> {
    fn drop(&mut self) {
        let Some(claims) = self.objects.claims.as_ref().filter(|_| self.is_ours) else { return };
        let FileWithRejects { key, state, record, .. } = self.file;
        // Of an archive, this is the record of one entry.
        let counts = (!state.is_archive).then_some((record.progress.next_row, record.progress.stored));
        claims.shared.stored(&self.objects.import.source, key.clone(), state.version(), counts);
    }
}

/// The objects of an import, with what other instances have claimed by now. `stores`: rows are to be stored.
/// Errors: [`ResetError`]: it is not known whose the files are.
pub(super) async fn asked(objects: ObjectImport, stores: bool) -> Result<ObjectImport, ResetError> {
    let objects = shared(objects).await?;
    match objects.claims_problem().filter(|_| stores) {
        Some(why) => Err(ClaimsError::Unusable(why).into()),
        None => Ok(objects),
    }
}

impl ObjectImport {
    /// Opens the claim of a file again, because more of its rows are about to be stored. `None`: no other instance can have it.
    /// Errors: why nothing of it may be stored here.
    pub(super) async fn claim_again<'f>(
        &'f self,
        file: &'f FileWithRejects,
    ) -> Result<Option<ClaimedAgain<'f>>, (Became, FileEnd)> {
        let Some(claims) = &self.claims else { return Ok(None) };
        let refused = |what: Told| {
            (Became::Refused, FileEnd::Failed(FileError::new(FileFault::Local, "E-REJECTS", what)))
        };
        let mut claimed = ClaimedAgain { objects: self, file, is_ours: true };
        let (etag, size) = file.state.version();
        let (of, journal) = ((self.id, file.key.as_str()), &self.deps.journal);
        match claims.shared.claim(journal, of, (&etag, size), true).await {
            Ok(Claimed::Ours) => Ok(Some(claimed)),
            Ok(Claimed::Theirs(instance)) => {
                claimed.is_ours = false;
                Err(refused(Told::plain(theirs(&instance))))
            }
            Ok(Claimed::Waits(why)) => {
                claimed.is_ours = false;
                Err(refused(Told::plain(format!("its claim waits for a person: {why}"))))
            }
            Err(ClaimsError::Unusable(why)) => {
                Err(refused(Told::plain("it cannot be claimed again in the shared journal: ").and(&why.told)))
            }
            Err(error) => Err(refused(Told::plain(error.to_string()))),
        }
    }
}

/// Why the rows of a file are not read again here.
pub(super) fn theirs(instance: &str) -> String {
    format!("it was released, and belongs to the instance {instance} now: read its rows again there")
}
