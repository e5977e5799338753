//! Frees the open claims of an instance whose disk is lost.

use std::sync::Arc;

use super::decide::frees;
use super::form::{Claim, ClaimState};
use super::note::{Found, Note};
use super::shared::{AT_ONCE as CLAIMS, ClaimsError, SharedImport};
use crate::import::at_once::at_once;
use crate::import::import_id::ImportId;
use crate::import::journal::{Journal, JournalError};
use crate::import::on_disk::on_disk;

/// Claims that are looked at in one turn.
const AT_ONCE: usize = 1_000;
/// The most files that are named.
const NAMED_MAX: usize = 20;

/// What is released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Releasing<'r> {
    /// The instance whose claims they are.
    pub instance: &'r str,
    /// Whether nothing is changed.
    pub dry_run: bool,
}

/// Files that any instance may import now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Released {
    /// How many.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The keys of the first ones.
    pub first: Vec<String>,
}

impl SharedImport {
    /// Frees the open claims of an instance, or says which ones there are.
    /// Errors: [`ClaimsError`]: some may be free; the same again goes on.
    pub async fn release(
        self: &Arc<Self>,
        journal: &Arc<dyn Journal>,
        import: ImportId,
        asked: Releasing<'_>,
    ) -> Result<Released, ClaimsError> {
        let Releasing { instance, dry_run } = asked;
        if instance == self.instance {
            return Err(ClaimsError::Refused(format!(
                "{instance} is this instance, and its disk is here: it imports its files itself. Name an instance whose disk is lost"
            )));
        }
        self.ready().await?;
        self.sync(journal, import).await?;
        let (mut released, mut from) = (Released::default(), Some(String::new()));
        while let Some(start) = from.take() {
            let of = instance.to_owned();
            let some = move |journal: &dyn Journal| some(journal, import, &start, &of);
            let (notes, more) = on_disk(journal, some).await?;
            let freed = at_once(notes, CLAIMS, |(name, note)| {
                let (shared, journal) = (Arc::clone(self), Arc::clone(journal));
                async move {
                    let owned = match &note.found {
                        Found::Claim(owned) | Found::Missing(owned) => owned.clone(),
                        Found::Damaged(_) => return Ok(None),
                    };
                    let is_free = dry_run || shared.free(&journal, import, (&name, note)).await?;
                    Ok::<_, ClaimsError>(is_free.then_some(owned))
                }
            });
            for owned in freed.await?.into_iter().flatten() {
                released.files += 1;
                released.bytes += owned.size;
                if released.first.len() < NAMED_MAX {
                    released.first.push(owned.key);
                }
            }
            from = more;
        }
        Ok(released)
    }

    /// Frees one claim. `false`: it is no longer the instance's, or delivered by now.
    async fn free(
        &self,
        journal: &Arc<dyn Journal>,
        import: ImportId,
        (name, note): (&str, Note),
    ) -> Result<bool, ClaimsError> {
        let Found::Claim(owned) = &note.found else {
            // It is gone: nothing stands in the way of a new one.
            let notes = vec![(name.to_owned(), None)];
            on_disk(journal, move |journal| Note::write(journal, import, &notes)).await?;
            return Ok(true);
        };
        let open = Claim::open(import, &owned.key, &owned.instance, (&owned.etag, owned.size));
        let claim = Claim { state: ClaimState::Released, ..open };
        let (tag, instance, mut note) = (note.tag(), owned.instance.clone(), Some(note));
        if self.write(journal, name, claim, Some(&tag), &mut note).await? {
            return Ok(true);
        }
        // The answer may have been lost.
        let is_released = note
            .as_ref()
            .and_then(Note::claim)
            .is_some_and(|now| now.state == ClaimState::Released && now.instance == instance);
        match note.filter(|note| frees(note, &instance)) {
            Some(note) => Box::pin(self.free(journal, import, (name, note))).await,
            None => Ok(is_released),
        }
    }
}

/// Some notes of claims that a release frees, from a name on, and the name from which others follow.
type Chunk = (Vec<(String, Note)>, Option<String>);

fn some(journal: &dyn Journal, import: ImportId, from: &str, instance: &str) -> Result<Chunk, JournalError> {
    let (mut looked_at, mut notes, mut more) = (0, Vec::new(), None);
    Note::each_from(journal, import, from, &mut |name, note| {
        if looked_at == AT_ONCE {
            more = Some(name.to_owned());
            return false;
        }
        looked_at += 1;
        if frees(&note, instance) {
            notes.push((name.to_owned(), note));
        }
        true
    })?;
    Ok((notes, more))
}
