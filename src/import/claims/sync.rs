//! Notes in the journal of this instance which claims there are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::files::ListedFile;
use super::note::{Found, Note};
use super::shared::{AT_ONCE, ClaimsError, SharedImport, path_of, unusable};
use crate::import::at_once::at_once;
use crate::import::import_id::ImportId;
use crate::import::journal::{Journal, JournalError};
use crate::import::on_disk::on_disk;
use crate::import::shared_progress::WriteError;
use crate::lock::lock;

/// Requests of a listing of all claims up to which each pass over all keys lists them, and how often it does
/// if there are more.
const REQUESTS_MAX: u64 = 100;
const LIST_EVERY: Duration = Duration::from_secs(3_600);

impl SharedImport {
    /// As [`SharedImport::sync`], unless there are many claims and they were listed less than an hour ago: a
    /// bucket may have few files, and its journal the claims of all that ever were there.
    /// Errors: [`ClaimsError`]: some may be noted, and others not.
    pub async fn sync_if_due(
        &self,
        journal: &Arc<dyn Journal>,
        import: ImportId,
        now: Duration,
    ) -> Result<(), ClaimsError> {
        let is_fresh = lock(&self.state)
            .listed
            .is_some_and(|(at, requests)| requests > REQUESTS_MAX && now.saturating_sub(at) < LIST_EVERY);
        if is_fresh {
            return Ok(());
        }
        let requests = self.sync(journal, import).await?;
        lock(&self.state).listed = Some((now, requests));
        Ok(())
    }

    /// Notes in the journal here which claims there are now. Claims that are known are not read again.
    /// Returns the requests of the listing.
    /// Errors: [`ClaimsError`]: some may be noted, and others not.
    pub async fn sync(&self, journal: &Arc<dyn Journal>, import: ImportId) -> Result<u64, ClaimsError> {
        let mut requests = 0;
        let folder = format!("{import}/");
        let (mut next, mut after, mut is_sorted) = (None::<String>, String::new(), true);
        loop {
            let page = self.files.list(&folder, next.as_deref()).await.map_err(unusable)?;
            requests += 1;
            let is_last = page.next.is_none();
            let named = |file: ListedFile| Some(ListedFile { name: claim_of(&file.name)?, ..file });
            let listed: Vec<ListedFile> = page.files.into_iter().filter_map(named).collect();
            is_sorted &= listed.is_sorted_by(|one, other| one.name < other.name)
                && listed.first().is_none_or(|first| first.name > after);
            let range = is_sorted.then(|| (after.clone(), is_last));
            let (known, listed) = on_disk(journal, move |journal| {
                notes_of(journal, import, &listed, range).map(|known| (known, listed))
            })
            .await?;
            let names: BTreeSet<&str> = listed.iter().map(|file| file.name.as_str()).collect();
            let is_gone = |name: &String| is_sorted && !names.contains(name.as_str());
            let mut notes: Vec<(String, Option<Note>)> = Vec::new();
            for (name, note) in known.iter().filter(|(name, _)| is_gone(name)) {
                match &note.found {
                    Found::Claim(_) => notes.push((name.clone(), Some(note.clone().missing()))),
                    // A person has removed it.
                    Found::Damaged(_) => notes.push((name.clone(), None)),
                    Found::Missing(_) => {}
                }
            }
            if let Some(last) = listed.last() {
                after.clone_from(&last.name);
            }
            let is_known = |file: &ListedFile| {
                known.get(&file.name).is_some_and(|note| is_same(&note.tag, &file.tag.0) && note.is_there())
            };
            let changed = listed.into_iter().filter(|file| !is_known(file)).collect();
            notes.extend(self.read_all(import, changed).await?);
            on_disk(journal, move |journal| Note::write(journal, import, &notes)).await?;
            next = page.next;
            if next.is_none() {
                return Ok(requests);
            }
        }
    }

    /// Reads claims that a listing showed.
    async fn read_all(
        &self,
        import: ImportId,
        listed: Vec<ListedFile>,
    ) -> Result<Vec<(String, Option<Note>)>, ClaimsError> {
        let notes = at_once(listed, AT_ONCE, |file| {
            let files = Arc::clone(&self.files);
            async move {
                match files.read_listed(&path_of(import, &file.name), &file.tag).await {
                    Ok(bytes) => {
                        let note = Note::of_bytes(&bytes, &file.tag, file.at, (import, &file.name));
                        Ok(Some((file.name, Some(note))))
                    }
                    // The next listing shows what it is now.
                    Err(WriteError::Changed) => Ok(None),
                    Err(error) => Err(unusable(error)),
                }
            }
        });
        Ok(notes.await?.into_iter().flatten().collect())
    }
}

impl Note {
    /// Whether its object was there when it was noted.
    fn is_there(&self) -> bool {
        !matches!(self.found, Found::Missing(_))
    }
}

/// The notes of the claims of a page, or, with a range, of all that could be on it: after a name, and up to
/// the last of the page unless it is the last page.
fn notes_of(
    journal: &dyn Journal,
    import: ImportId,
    listed: &[ListedFile],
    range: Option<(String, bool)>,
) -> Result<BTreeMap<String, Note>, JournalError> {
    let mut known = BTreeMap::new();
    let Some((after, is_last)) = range else {
        for file in listed {
            known.extend(Note::read(journal, import, &file.name)?.map(|note| (file.name.clone(), note)));
        }
        return Ok(known);
    };
    let last = listed.last().map(|last| last.name.as_str());
    let from = if after.is_empty() { after } else { format!("{after}\0") };
    Note::each_from(journal, import, &from, &mut |name, note| {
        let is_on_page = is_last || last.is_some_and(|last| name <= last);
        if is_on_page {
            known.insert(name.to_owned(), note);
        }
        is_on_page
    })?;
    Ok(known)
}

/// The name of the claim in an object of this name. Others are none of ours.
fn claim_of(file: &str) -> Option<String> {
    let name = file.strip_suffix(".json")?;
    let is_hash = name.len() == 32 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    is_hash.then(|| name.to_owned())
}

fn is_same(one: &str, other: &str) -> bool {
    one.trim_matches('"') == other.trim_matches('"')
}
