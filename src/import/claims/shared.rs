//! One import that several instances share: which files are this instance's.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::task::JoinSet;

use super::decide::{Closing, Look, Turn, closing, look, turn};
use super::files::{ClaimFiles, ListedFile};
use super::form::{Checked as _, Claim, ClaimState, claim_name};
use super::note::{Found, Note};
use crate::import::import_id::ImportId;
use crate::import::import_names::NameError;
use crate::import::journal::{Journal, JournalError};
use crate::import::on_disk::on_disk;
use crate::import::shared_progress::{Tag, WriteError};
use crate::lock::lock;
use crate::sources::SourceId;
use crate::words::Told;

/// How often a claim is written that changes meanwhile, or whose answer is lost.
const TRIES: usize = 5;
/// Requests that are under way at once.
pub(super) const AT_ONCE: usize = 16;
/// The object with which the store shows that it keeps conditions.
const CONDITIONS: &str = "conditions.json";

/// Why claims cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ClaimsError {
    /// The journal of this instance cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The import cannot be used under its name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The store of the shared journal refuses a request, or cannot be reached.
    #[error("{}", .0.masked())]
    Unusable(Told),
    /// A person has to decide; the text says what.
    #[error("E-IMPORT-CLAIMS: {0}")]
    Refused(String),
}

/// What of a source is not in the bucket yet.
pub trait Undelivered: Send + Sync + fmt::Debug {
    /// The first and the last position that the log has of a source and that is not delivered. The first may be
    /// too low, never too high. `None`: everything is delivered.
    fn undelivered(&self, source: &SourceId) -> Option<(u64, u64)>;
}

/// Whose a file is that was to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// This instance's.
    Ours,
    /// That of the instance with this id.
    Theirs(String),
    /// Not known before a person has decided; the text says why.
    Waits(String),
}

/// What became of claims whose files are delivered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Closed {
    /// Claims that say now that all is delivered.
    pub closed: u64,
    /// Files that were released meanwhile: their keys, and who has them now.
    pub lost: Vec<(String, String)>,
}

/// A file whose rows are all stored, and may not be delivered yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) key: String,
    pub(crate) version: (String, u64),
    /// The rows of the file and the calls that they became, if they are known.
    pub(crate) counts: Option<(u64, u64)>,
    /// The last position that was not delivered when all was stored.
    pub(crate) until: Option<u64>,
}

#[derive(Debug, Default)]
struct State {
    keeps_conditions: bool,
    is_restored: bool,
    stored: VecDeque<Stored>,
}

/// An import that several instances share, for the life of a process.
#[derive(Debug)]
pub struct SharedImport {
    pub(super) files: Arc<dyn ClaimFiles>,
    url: String,
    pub(super) instance: String,
    delivered: Arc<dyn Undelivered>,
    state: Mutex<State>,
    closing: tokio::sync::Mutex<()>,
}

impl SharedImport {
    /// An import whose shared journal is at `url`, for the instance with this id.
    pub fn new(
        files: Arc<dyn ClaimFiles>,
        url: String,
        instance: String,
        delivered: Arc<dyn Undelivered>,
    ) -> Self {
        let (state, closing) = (Mutex::default(), tokio::sync::Mutex::default());
        Self { files, url, instance, delivered, state, closing }
    }

    /// The folder of the shared journal, as a URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The id of this instance.
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// Makes sure that the store keeps conditions: without them, two instances would have one claim. A put that
    /// must fail shows it. Asks once. Errors: [`ClaimsError`]: it does not, or does not answer.
    pub async fn ready(&self) -> Result<(), ClaimsError> {
        if lock(&self.state).keeps_conditions {
            return Ok(());
        }
        let other = Tag("\"00000000000000000000000000000000\"".to_owned());
        let empty = || Bytes::from_static(b"{}");
        let ignores = |condition: &str| {
            ClaimsError::Refused(format!(
                "the store of {} ignores the condition {condition}, so two instances could import one file: use a store that \
                 keeps it, or journal = \"local\" and one instance",
                self.url
            ))
        };
        // The first may make the object, the second must not.
        if !is_kept(self.files.write_file(CONDITIONS, empty(), None).await)?
            && !is_kept(self.files.write_file(CONDITIONS, empty(), None).await)?
        {
            return Err(ignores("If-None-Match"));
        }
        if !is_kept(self.files.write_file(CONDITIONS, empty(), Some(&other)).await)? {
            return Err(ignores("If-Match"));
        }
        lock(&self.state).keeps_conditions = true;
        Ok(())
    }

    /// Tries the rights that a shared journal needs: to list, to write and to read, in this order. Nothing is
    /// changed, but for an object of two bytes if it is not there.
    pub async fn rights(&self) -> [Result<(), ClaimsError>; 3] {
        let list = self.files.list("names/", None).await.map(drop).map_err(unusable);
        let write = self.ready().await;
        let read = self.files.read_file(CONDITIONS).await.map(drop).map_err(unusable);
        [list, write, read]
    }

    /// Notes in the journal here which claims there are now. Claims that are known are not read again.
    /// Errors: [`ClaimsError`]: some may be noted, and others not.
    pub async fn sync(&self, journal: &Arc<dyn Journal>, import: ImportId) -> Result<(), ClaimsError> {
        let folder = format!("{import}/");
        let (mut next, mut after, mut is_sorted) = (None::<String>, String::new(), true);
        loop {
            let page = self.files.list(&folder, next.as_deref()).await.map_err(unusable)?;
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
                return Ok(());
            }
        }
    }

    /// Reads claims that a listing showed.
    async fn read_all(
        &self,
        import: ImportId,
        listed: Vec<ListedFile>,
    ) -> Result<Vec<(String, Option<Note>)>, ClaimsError> {
        let (mut tasks, mut listed, mut notes) = (JoinSet::new(), listed.into_iter(), Vec::new());
        loop {
            while tasks.len() < AT_ONCE
                && let Some(file) = listed.next()
            {
                let files = Arc::clone(&self.files);
                tasks.spawn(async move {
                    let bytes = files.read_listed(&path_of(import, &file.name), &file.tag).await;
                    bytes.map(|bytes| {
                        let note = Note::of_bytes(&bytes, &file.tag, file.at, (import, &file.name));
                        (file.name, Some(note))
                    })
                });
            }
            match tasks.join_next().await {
                None => return Ok(notes),
                Some(Ok(Ok(note))) => notes.push(note),
                // The next listing shows what it is now.
                Some(Ok(Err(WriteError::Changed))) => {}
                Some(Ok(Err(error))) => return Err(unusable(error)),
                Some(Err(error)) => return Err(JournalError::of(error).into()),
            }
        }
    }

    /// Whose the files with these keys are, as far as the journal here knows. Waits for the disk.
    /// Errors: [`JournalError`]: it cannot be read.
    pub(crate) fn look(
        &self,
        journal: &dyn Journal,
        import: ImportId,
        key: &str,
    ) -> Result<Known, JournalError> {
        let note = Note::read(journal, import, &claim_name(key))?;
        let since = note.as_ref().and_then(|note| note.since);
        Ok(match look(note.as_ref(), &self.instance) {
            Look::Free => Known::Free,
            Look::Ours => Known::Ours,
            Look::Theirs { instance, waits } => Known::Theirs { instance, waits, since },
            Look::Unknown(why) => Known::Unknown(why),
        })
    }

    /// Claims a file whose version with this tag and length is about to be imported, unless it is claimed.
    /// `again`: it is imported again although it may be done. Errors: [`ClaimsError`]: it must not begin now.
    pub async fn claim(
        &self,
        journal: &Arc<dyn Journal>,
        (import, key): (ImportId, &str),
        (etag, size): (&str, u64),
        again: bool,
    ) -> Result<Claimed, ClaimsError> {
        let etag = etag.trim_matches('"');
        let name = claim_name(key);
        let mut note = self.noted(journal, import, &name).await?;
        for _ in 0..TRIES {
            let replaces = match turn(note.as_ref(), &self.instance, (etag, size), again) {
                Turn::Begin => return Ok(Claimed::Ours),
                Turn::Leave(instance) => return Ok(Claimed::Theirs(instance)),
                Turn::Wait(why) => return Ok(Claimed::Waits(why)),
                Turn::Create => None,
                Turn::Replace => note.as_ref().map(Note::tag),
            };
            let claim = Claim::open(import, key, &self.instance, (etag, size));
            if self.write(journal, &name, claim, replaces.as_ref(), &mut note).await? {
                return Ok(Claimed::Ours);
            }
        }
        Err(ClaimsError::Unusable(format!("the claim of {key} changes again and again").into()))
    }

    /// Writes a claim in place of the one that is known. If it was not written, or nobody knows, what is there
    /// now is noted: `false`.
    pub(super) async fn write(
        &self,
        journal: &Arc<dyn Journal>,
        name: &str,
        claim: Claim,
        replaces: Option<&Tag>,
        note: &mut Option<Note>,
    ) -> Result<bool, ClaimsError> {
        let revision = note.as_ref().and_then(Note::claim).map_or(0, |known| known.revision) + 1;
        let (import, claim) = (claim.import, Claim { revision, ..claim });
        let bytes = claim.written().map_err(JournalError::of)?;
        let path = path_of(import, name);
        let is_written = match self.files.write_file(&path, bytes, replaces).await {
            Ok(tag) => {
                *note = Some(Note::of_claim(&claim, &tag));
                true
            }
            Err(WriteError::Changed | WriteError::Unknown(_)) => {
                let there = self.files.read_file(&path).await.map_err(unusable)?;
                *note = there.map(|(bytes, tag)| Note::of_bytes(&bytes, &tag, None, (import, name)));
                false
            }
            Err(error @ WriteError::Refused(_)) => return Err(unusable(error)),
        };
        let notes = vec![(name.to_owned(), note.clone())];
        on_disk(journal, move |journal| Note::write(journal, import, &notes)).await?;
        Ok(is_written)
    }

    pub(super) async fn noted(
        &self,
        journal: &Arc<dyn Journal>,
        import: ImportId,
        name: &str,
    ) -> Result<Option<Note>, JournalError> {
        let name = name.to_owned();
        on_disk(journal, move |journal| Note::read(journal, import, &name)).await
    }

    /// The keys whose claims are this instance's and open, once for the life of this value: what an earlier
    /// process has imported may be delivered by now. Waits for the disk.
    /// Errors: [`JournalError`]: the journal cannot be read.
    pub(crate) fn open_before(
        &self,
        journal: &dyn Journal,
        import: ImportId,
    ) -> Result<Vec<String>, JournalError> {
        let mut keys = Vec::new();
        if lock(&self.state).is_restored {
            return Ok(keys);
        }
        Note::each_from(journal, import, "", &mut |_, note| {
            if let Some(claim) = note.claim()
                && claim.instance == self.instance
                && claim.state == ClaimState::Open
            {
                keys.push(claim.key.clone());
            }
            true
        })?;
        lock(&self.state).is_restored = true;
        Ok(keys)
    }

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
                Ok(None) => closed.closed += 1,
                Ok(Some(instance)) => closed.lost.push((stored.key, instance)),
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

    /// Closes one claim. Returns the instance that has the file now, if it is another one.
    async fn close(
        &self,
        journal: &Arc<dyn Journal>,
        import: ImportId,
        stored: &Stored,
    ) -> Result<Option<String>, ClaimsError> {
        let name = claim_name(&stored.key);
        let mut note = self.noted(journal, import, &name).await?;
        for _ in 0..TRIES {
            let replaces = match closing(note.as_ref(), &self.instance) {
                Closing::Nothing => return Ok(None),
                Closing::Lost(instance) => return Ok(Some(instance)),
                // It is counted, and a person is told, as long as the listing shows it.
                Closing::Wait(_) => return Ok(None),
                Closing::Create => None,
                Closing::Replace => note.as_ref().map(Note::tag),
            };
            let (etag, size) = (stored.version.0.as_str(), stored.version.1);
            let (rows, calls) = stored.counts.unzip();
            let open = Claim::open(import, &stored.key, &self.instance, (etag, size));
            let claim = Claim { state: ClaimState::Delivered, rows, calls, ..open };
            if self.write(journal, &name, claim, replaces.as_ref(), &mut note).await? {
                return Ok(None);
            }
        }
        Err(ClaimsError::Unusable(format!("the claim of {} changes again and again", stored.key).into()))
    }
}

/// Whose a file is, as far as the journal here knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    Free,
    Ours,
    Theirs { instance: String, waits: bool, since: Option<crate::time::UnixMillis> },
    Unknown(String),
}

impl Note {
    /// Whether its object was there when it was noted.
    fn is_there(&self) -> bool {
        !matches!(self.found, Found::Missing(_))
    }
}

/// The notes of the claims of a page, or, with a range, of all that could be on it: after a name, and up to the
/// last of the page unless it is the last page.
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

pub(super) fn path_of(import: ImportId, name: &str) -> String {
    format!("{import}/{name}.json")
}

fn is_same(one: &str, other: &str) -> bool {
    one.trim_matches('"') == other.trim_matches('"')
}

/// Whether a write that must fail failed.
fn is_kept(answer: Result<Tag, WriteError>) -> Result<bool, ClaimsError> {
    match answer {
        Ok(_) => Ok(false),
        Err(WriteError::Changed) => Ok(true),
        Err(error) => Err(unusable(error)),
    }
}

pub(super) fn unusable(error: WriteError) -> ClaimsError {
    ClaimsError::Unusable(match error {
        WriteError::Changed => "an object of it changes while it is read".into(),
        WriteError::Unknown(said) | WriteError::Refused(said) => said,
    })
}
