//! One import that several instances share: which files are this instance's.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::ops::Bound;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;

use super::decide::{Look, Turn, look, turn, unclosed};
use super::files::ClaimFiles;
use super::form::{Checked as _, Claim, ClaimState, claim_name};
use super::note::{Note, Owned};
use super::outage::Outage;
use super::retried::Retried;
use super::stored::Stored;
use super::turns::Turns;
use crate::import::import_id::ImportId;
use crate::import::import_names::NameError;
use crate::import::journal::{Journal, JournalError};
use crate::import::on_disk::on_disk;
use crate::import::shared_progress::{Tag, WriteError};
use crate::lock::lock;
use crate::planted_bugs::{PlantedBug, planted};
use crate::random::Random;
use crate::sources::SourceId;

/// How often a claim is written that changes meanwhile, or whose answer is lost.
pub(super) const TRIES: usize = 5;
/// Claims that are read or written at once.
const AT_ONCE: usize = 16;
/// Unfinished keys that one pass looks at.
const UNFINISHED_AT_ONCE: usize = 100;
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
    #[error("{}", .0.told.masked())]
    Unusable(Outage),
    /// A person has to decide; the text says what.
    #[error("E-IMPORT-CLAIMS: {0}")]
    Refused(String),
}

/// Why something cannot be done in a shared journal.
#[derive(Clone, Debug)]
pub enum NoRight {
    /// The store does not do it.
    Store(WriteError),
    /// The store ignores a condition; the text says which, and what to do.
    Ignores(String),
}

/// What of a source is not in the bucket yet.
pub trait Undelivered: Send + Sync + fmt::Debug {
    /// The first and the last position that the log has of a source and that is not delivered. The first may
    /// be too low, never too high. `None`: everything is delivered.
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

#[derive(Debug, Default)]
pub(super) struct State {
    keeps_conditions: bool,
    pub(super) is_restored: bool,
    /// When the claims were listed last (monotonic), and with how many requests.
    pub(super) listed: Option<(Duration, u64)>,
    pub(super) stored: VecDeque<Stored>,
    /// How many files were stored so far.
    pub(super) numbered: u64,
    unfinished: BTreeSet<String>,
    /// The unfinished key that was looked at last.
    looked_at: String,
}

/// An import that several instances share, for the life of a process.
#[derive(Debug)]
pub struct SharedImport {
    pub(super) files: Arc<dyn ClaimFiles>,
    url: String,
    pub(super) instance: String,
    pub(super) delivered: Arc<dyn Undelivered>,
    pub(super) state: Mutex<State>,
    /// Held by whoever closes claims.
    pub(super) closer: tokio::sync::Mutex<()>,
    pub(super) turns: Turns,
    at_once: usize,
}

impl SharedImport {
    /// An import whose shared journal is at `url`, for the instance with this id. `random` spreads retries over time.
    pub fn new(
        files: Arc<dyn ClaimFiles>,
        url: String,
        instance: String,
        delivered: Arc<dyn Undelivered>,
        random: Arc<dyn Random>,
    ) -> Self {
        let (state, closer, turns) = (Mutex::default(), tokio::sync::Mutex::default(), Turns::default());
        let (files, at_once) = (Arc::new(Retried { files, random }), AT_ONCE);
        Self { files, url, instance, delivered, state, closer, turns, at_once }
    }

    /// Reads and writes one claim after the other. A simulation needs that: it repeats each schedule exactly.
    #[must_use]
    pub fn one_at_a_time(self) -> Self {
        Self { at_once: 1, ..self }
    }

    /// How many claims are read or written at once.
    pub(crate) fn at_once(&self) -> usize {
        self.at_once
    }

    /// The folder of the shared journal, as a URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The id of this instance.
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// Makes sure that the store keeps conditions: without them, two instances would have one claim. A put
    /// that must fail shows it. Asks once for the life of this value. Errors: [`ClaimsError`]: it does not, or does not
    /// answer.
    pub async fn ready(&self) -> Result<(), ClaimsError> {
        if lock(&self.state).keeps_conditions {
            return Ok(());
        }
        self.keeps_conditions().await.map_err(|error| match error {
            NoRight::Store(error) => unusable(error),
            NoRight::Ignores(what) => ClaimsError::Refused(what),
        })?;
        lock(&self.state).keeps_conditions = true;
        Ok(())
    }

    async fn keeps_conditions(&self) -> Result<(), NoRight> {
        let other = Tag("\"00000000000000000000000000000000\"".to_owned());
        let empty = || Bytes::from_static(b"{}");
        let ignores = |condition: &str| {
            NoRight::Ignores(format!(
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
        Ok(())
    }

    /// Whether the store of the shared journal can be reached again. Errors: [`ClaimsError`]: it cannot.
    pub async fn reached(&self) -> Result<(), ClaimsError> {
        self.files.list("names/", None).await.map(drop).map_err(unusable)
    }

    /// Tries the rights to write and to read, on an object of two bytes. It is written also if it is there,
    /// because S3 asks for the key of a bucket only then. Also returns whether there is something to read.
    pub async fn rights(&self) -> (Result<(), NoRight>, Result<bool, NoRight>) {
        let mut write = self.keeps_conditions().await;
        let read = self.files.read_file(CONDITIONS).await;
        if let (Ok(()), Ok(Some((_, tag)))) = (&write, &read) {
            let again = self.files.write_file(CONDITIONS, Bytes::from_static(b"{}"), Some(tag)).await;
            write = is_kept(again).map(drop);
        }
        (write, read.map(|found| found.is_some()).map_err(NoRight::Store))
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

    /// Whether the claim of a file is this instance's, and says that all is delivered, as far as the journal
    /// here knows: nobody releases it any more. Waits for the disk.
    /// Errors: [`JournalError`]: the journal cannot be read.
    pub(crate) fn is_closed(
        &self,
        journal: &dyn Journal,
        import: ImportId,
        key: &str,
    ) -> Result<bool, JournalError> {
        let note = Note::read(journal, import, &claim_name(key))?;
        let closed = |claim: &Owned| claim.instance == self.instance && claim.state == ClaimState::Delivered;
        Ok(note.as_ref().and_then(Note::claim).is_some_and(closed))
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
        let _until_begun = self.turns.of(key).await;
        let mut note = self.noted(journal, import, &name).await?;
        if look(note.as_ref(), &self.instance) == Look::Ours {
            // What was stored of the file may be delivered by now, and more comes: its claim must not be
            // closed meanwhile.
            lock(&self.state).stored.retain(|stored| stored.key != key);
        }
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
        Err(changes(format!("the claim of {key}")))
    }

    /// Writes a claim in place of the one that is known. If it was not written, or nobody knows, what is
    /// there now is noted: `false`.
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
        let there = match planted(PlantedBug::ClaimUnconditional) {
            true => self.files.read_file(&path).await.map_err(unusable)?,
            false => None,
        };
        let replaces = there.as_ref().map(|(_, tag)| tag).or(replaces);
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

    /// Whether this process has listed the claims.
    pub(crate) fn has_listed(&self) -> bool {
        lock(&self.state).listed.is_some()
    }

    /// Reads the claim of a file anew, and notes what it says. Returns whether another instance has delivered
    /// this version of it, or any without one. Errors: [`ClaimsError`]: it cannot be read now.
    pub(crate) async fn is_delivered(
        &self,
        journal: &Arc<dyn Journal>,
        (import, key): (ImportId, &str),
        version: Option<&(String, u64)>,
    ) -> Result<bool, ClaimsError> {
        let name = claim_name(key);
        let there = self.files.read_file(&path_of(import, &name)).await.map_err(unusable)?;
        // If it is gone, what the journal knows of it stays: a listing says so.
        let Some((bytes, tag)) = there else { return Ok(false) };
        let note = Note::of_bytes(&bytes, &tag, None, (import, &name));
        let owned = note.claim().cloned();
        let notes = vec![(name, Some(note))];
        on_disk(journal, move |journal| Note::write(journal, import, &notes)).await?;
        Ok(owned.is_some_and(|owned| {
            let is_of = |(etag, size): &(String, u64)| (&owned.etag, owned.size) == (etag, *size);
            owned.state == ClaimState::Delivered && version.is_none_or(is_of)
        }))
    }

    /// Notes the key of a file that this instance has claimed and not finished.
    pub(crate) fn note_unfinished(&self, key: String) {
        lock(&self.state).unfinished.insert(key);
    }

    /// The next of these keys, from the first on after the last one: not so many that they hold up a pass.
    pub(crate) fn unfinished(&self) -> Vec<String> {
        let mut state = lock(&self.state);
        let (all, last) = (&state.unfinished, state.looked_at.clone());
        let after = (Bound::Excluded(last.clone()), Bound::Unbounded);
        let next = all.range(after).chain(all.range(..=last));
        let next: Vec<String> = next.take(UNFINISHED_AT_ONCE).cloned().collect();
        if let Some(key) = next.last() {
            state.looked_at.clone_from(key);
        }
        next
    }

    /// Forgets such a key: nothing is left to do with its file.
    pub(crate) fn finished(&self, key: &str) {
        lock(&self.state).unfinished.remove(key);
    }

    /// The keys whose claims this instance has to close, once for the life of this value: what an earlier process has
    /// imported may be delivered by now. Waits for the disk.
    /// Errors: [`JournalError`]: the journal cannot be read.
    pub(crate) fn unclosed_before(
        &self,
        journal: &dyn Journal,
        import: ImportId,
    ) -> Result<Vec<String>, JournalError> {
        let mut keys = Vec::new();
        if lock(&self.state).is_restored {
            return Ok(keys);
        }
        Note::each_from(journal, import, "", &mut |_, note| {
            keys.extend(unclosed(&note, &self.instance).map(str::to_owned));
            true
        })?;
        lock(&self.state).is_restored = true;
        Ok(keys)
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

pub(super) fn path_of(import: ImportId, name: &str) -> String {
    format!("{import}/{name}.json")
}

/// Whether a write that must fail failed.
fn is_kept(answer: Result<Tag, WriteError>) -> Result<bool, NoRight> {
    match answer {
        Ok(_) => Ok(false),
        Err(WriteError::Changed) => Ok(true),
        Err(error) => Err(NoRight::Store(error)),
    }
}

pub(super) fn unusable(error: WriteError) -> ClaimsError {
    ClaimsError::Unusable(error.into())
}

/// What is to be written is another one each time.
pub(super) fn changes(what: String) -> ClaimsError {
    ClaimsError::Unusable(Outage::passing(format!("{what} changes again and again")))
}
