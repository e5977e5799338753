//! Closes the claims of files whose rows are all in the bucket of the calls.

use std::collections::VecDeque;
use std::sync::Arc;

use super::decide::{Closing, closing};
use super::form::{Claim, ClaimState, claim_name};
use super::note::Note;
use super::shared::{ClaimsError, SharedImport, TRIES};
use super::stored::Stored;
use crate::import::import_id::ImportId;
use crate::import::journal::Journal;
use crate::lock::lock;
use crate::sources::SourceId;

/// What became of claims whose files are delivered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Closed {
    /// Claims that say now that all is delivered.
    pub closed: u64,
    /// Files that were released meanwhile: their keys, and who has them now.
    pub lost: Vec<(String, String)>,
}

/// How a try to close a claim ended.
enum End {
    Closed,
    /// Another instance has the file now.
    Lost(String),
    /// The claim cannot be read before a person has decided.
    Waits,
}

impl SharedImport {
    /// Notes that all rows of a file are stored: its claim is closed when they are delivered.
    pub(crate) fn stored(
        &self,
        source: &SourceId,
        key: String,
        version: (String, u64),
        counts: Option<(u64, u64)>,
    ) {
        let until = self.delivered.undelivered(source).map(|(_, last)| last);
        lock(&self.state).stored.push_back(Stored { key, version, counts, until });
    }

    /// Closes the claims of files that are delivered by now.
    /// Errors: [`ClaimsError`]: some may be closed; the others are tried again later.
    pub async fn close_delivered(
        &self,
        journal: &Arc<dyn Journal>,
        import: ImportId,
        source: &SourceId,
    ) -> Result<Closed, ClaimsError> {
        let mut closed = Closed::default();
        if lock(&self.state).stored.is_empty() {
            return Ok(closed);
        }
        let Ok(_one) = self.closing.try_lock() else { return Ok(closed) };
        let first = self.delivered.undelivered(source).map(|(first, _)| first);
        let is_delivered =
            |stored: &Stored| stored.until.zip(first).is_none_or(|(until, first)| until < first);
        let due: Vec<Stored> = {
            let mut state = lock(&self.state);
            let (due, left): (VecDeque<_>, VecDeque<_>) = state.stored.drain(..).partition(is_delivered);
            state.stored = left;
            due.into()
        };
        let mut due = due.into_iter();
        for stored in due.by_ref() {
            match self.close(journal, import, &stored).await {
                Ok(End::Closed) => closed.closed += 1,
                Ok(End::Lost(instance)) => closed.lost.push((stored.key, instance)),
                // It is counted, and a person is told, as long as the listing shows it.
                Ok(End::Waits) => lock(&self.state).stored.push_back(stored),
                Err(error) => {
                    let mut state = lock(&self.state);
                    state.stored.push_back(stored);
                    state.stored.extend(due);
                    return Err(error);
                }
            }
        }
        Ok(closed)
    }

    /// Closes one claim.
    async fn close(
        &self,
        journal: &Arc<dyn Journal>,
        import: ImportId,
        stored: &Stored,
    ) -> Result<End, ClaimsError> {
        let name = claim_name(&stored.key);
        let mut note = self.noted(journal, import, &name).await?;
        for _ in 0..TRIES {
            let replaces = match closing(note.as_ref(), &self.instance) {
                Closing::Nothing => return Ok(End::Closed),
                Closing::Lost(instance) => return Ok(End::Lost(instance)),
                Closing::Wait(_) => return Ok(End::Waits),
                Closing::Create => None,
                Closing::Replace => note.as_ref().map(Note::tag),
            };
            let (etag, size) = (stored.version.0.as_str(), stored.version.1);
            let (rows, calls) = stored.counts.unzip();
            let open = Claim::open(import, &stored.key, &self.instance, (etag, size));
            let claim = Claim { state: ClaimState::Delivered, rows, calls, ..open };
            if self.write(journal, &name, claim, replaces.as_ref(), &mut note).await? {
                return Ok(End::Closed);
            }
        }
        Err(ClaimsError::Unusable(format!("the claim of {} changes again and again", stored.key).into()))
    }
}
