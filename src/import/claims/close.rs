//! Closes the claims of files whose rows are all in the bucket of the calls.

use std::sync::Arc;

use super::decide::{Closing, closing};
use super::form::{Claim, ClaimState, claim_name};
use super::note::Note;
use super::shared::{AT_ONCE, ClaimsError, SharedImport, TRIES, changes};
use super::stored::Stored;
use crate::import::at_once::at_once;
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
        let mut state = lock(&self.state);
        state.numbered += 1;
        let number = state.numbered;
        state.stored.push_back(Stored { number, key, version, counts, until });
    }

    /// Closes the claims of files that are delivered by now, several at once: each is that of another file, and none
    /// of them waits for another one.
    /// Errors: [`ClaimsError`]: some may be closed; the others are tried again later.
    pub async fn close_delivered(
        self: &Arc<Self>,
        journal: &Arc<dyn Journal>,
        import: ImportId,
        source: &SourceId,
    ) -> Result<Closed, ClaimsError> {
        if lock(&self.state).stored.is_empty() {
            return Ok(Closed::default());
        }
        let Ok(_one) = self.closer.try_lock() else { return Ok(Closed::default()) };
        let first = self.delivered.undelivered(source).map(|(first, _)| first);
        let is_delivered =
            |stored: &&Stored| stored.until.zip(first).is_none_or(|(until, first)| until < first);
        let due: Vec<(String, u64)> = {
            let state = lock(&self.state);
            let due = state.stored.iter().filter(is_delivered);
            due.map(|stored| (stored.key.clone(), stored.number)).collect()
        };
        let ends = at_once(due, AT_ONCE, |(key, number)| {
            let (shared, journal) = (Arc::clone(self), Arc::clone(journal));
            async move { shared.close_in_turn(&journal, import, (key, number)).await }
        });
        let mut closed = Closed::default();
        for end in ends.await?.into_iter().flatten() {
            match end {
                (_, End::Closed) => closed.closed += 1,
                (key, End::Lost(instance)) => closed.lost.push((key, instance)),
                // It is counted, and a person is told, as long as the listing shows it.
                (_, End::Waits) => {}
            }
        }
        Ok(closed)
    }

    /// Closes one claim, unless its file has begun again meanwhile. It is forgotten only when that is done.
    async fn close_in_turn(
        &self,
        journal: &Arc<dyn Journal>,
        import: ImportId,
        (key, number): (String, u64),
    ) -> Result<Option<(String, End)>, ClaimsError> {
        let _turn = self.turns.of(&key).await;
        let is_it = |stored: &&Stored| stored.number == number;
        let Some(stored) = lock(&self.state).stored.iter().find(is_it).cloned() else { return Ok(None) };
        let end = self.close(journal, import, &stored).await?;
        if !matches!(end, End::Waits) {
            lock(&self.state).stored.retain(|stored| stored.number != number);
        }
        Ok(Some((key, end)))
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
        Err(changes(format!("the claim of {}", stored.key)))
    }
}
