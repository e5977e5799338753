//! Asks whose a file is that several instances could import, and closes the claims of those that are
//! delivered.

use std::sync::Arc;

use super::admit::{Version, may_begin};
use super::claims_report::ClaimsReport;
use super::not_ours::NotOurs;
use super::object_import::{ObjectImport, on_disk};
use super::object_state::{ObjectState, Stage, bare};
use super::pass_claims::PassClaims;
use super::report::Became;
use super::scan::Scan;
use super::sorted_out::Left;
use crate::import::at_once::at_once;
use crate::import::claims::{Claimed, ClaimsError, Known, NameWith, Outage, SharedId, elsewhere};
use crate::import::file_id::key_of;
use crate::import::import_id::ImportId;
use crate::import::import_names::{begin_named, named};
use crate::import::journal::{Journal, JournalError};
use crate::import::run::FileReport;

/// Objects that are read from the journal at once.
const OBJECTS: usize = 1_000;

/// The objects of a pass under the id that all instances know, with what others have claimed.
/// Errors: [`ClaimsError`]: nothing may be imported.
pub(super) async fn shared(objects: ObjectImport) -> Result<ObjectImport, ClaimsError> {
    let Some(claims) = &objects.claims else { return Ok(objects) };
    let (shared, with) = (Arc::clone(&claims.shared), objects.name_with());
    let known = match shared.ready().await {
        Ok(()) => shared.id(&with, false).await,
        Err(error) => Err(error),
    };
    let id = match known {
        Ok(SharedId::Is(id)) => id,
        Ok(SharedId::Bring(id)) => objects.bring(id, &with).await?,
        Err(error) => {
            // What is claimed goes on, if this instance has ever claimed something.
            if !objects.is_known_as_shared(&with).await? {
                return Err(error);
            }
            claims.failed(error)?;
            objects.id
        }
    };
    let objects = ObjectImport { id, ..objects };
    objects.look_at_claims().await?;
    Ok(objects)
}

impl ObjectImport {
    fn name_with(&self) -> NameWith {
        NameWith {
            journal: Arc::clone(&self.deps.journal),
            importer: Arc::clone(&self.deps.importer),
            name: self.import.name.clone(),
            fixed: self.import.fixed(),
        }
    }

    /// Whether files have begun here that are shared.
    async fn is_known_as_shared(&self, with: &NameWith) -> Result<bool, ClaimsError> {
        let (name, journal) = (with.name.clone(), with.fixed.journal.clone());
        let here = on_disk(&self.deps.journal, move |journal| named(journal, &name)).await?;
        Ok(here.is_some_and(|here| here.fixed.is_some_and(|fixed| fixed.journal == journal)))
    }

    /// Claims what was imported before the journal was shared, and makes the name then: before that, no other
    /// instance can begin. Returns the id.
    async fn bring(&self, id: ImportId, with: &NameWith) -> Result<ImportId, ClaimsError> {
        let Some(claims) = &self.claims else { return Ok(id) };
        tracing::info!(
            import = self.import.name,
            "what was imported before is claimed in the shared journal"
        );
        let mut next = Some(String::new());
        while let Some(from) = next.take() {
            let some = move |journal: &dyn Journal| begun_objects(journal, id, &from);
            let (objects, more) = on_disk(&self.deps.journal, some).await?;
            next = more;
            let claimed = at_once(objects, claims.shared.at_once(), |(key, etag, size)| {
                let (shared, journal) = (Arc::clone(&claims.shared), Arc::clone(&self.deps.journal));
                let (name, url) = (with.name.clone(), with.fixed.journal.clone());
                async move {
                    match shared.claim(&journal, (id, &key), (&etag, size), false).await? {
                        Claimed::Ours => Ok(()),
                        Claimed::Theirs(why) | Claimed::Waits(why) => Err(ClaimsError::Refused(format!(
                            "import {name}: {key} was imported here before, and its claim in {url} is not this instance's: {why}"
                        ))),
                    }
                }
            });
            claimed.await?;
        }
        if !claims.shared.make(&with.name, id, &with.fixed).await? {
            return match claims.shared.id(with, false).await? {
                SharedId::Is(id) => Ok(id),
                SharedId::Bring(_) => {
                    let what = "nobody knows whether the import's name was made: the next pass looks again";
                    Err(ClaimsError::Unusable(Outage::passing(what)))
                }
            };
        }
        Ok(id)
    }

    /// Notes what others have claimed, and which files of this instance may be delivered by now.
    async fn look_at_claims(&self) -> Result<(), ClaimsError> {
        let Some(claims) = &self.claims else { return Ok(()) };
        let (id, shared) = (self.id, Arc::clone(&claims.shared));
        // A file has begun, here or elsewhere: whoever takes the journal away would import files again.
        let (with, random) = (self.name_with(), Arc::clone(&self.deps.random));
        let fix = move |journal: &dyn Journal| {
            let NameWith { importer, name, fixed, .. } = &with;
            importer.with_names(|| {
                let has_begun = named(journal, name)?.is_some_and(|here| here.fixed.is_some());
                begin_named(journal, name, fixed, &*random, has_begun)
            })
        };
        on_disk(&self.deps.journal, fix).await?;
        // Who hears of files by notifications alone must find what it has claimed: the answer to a claim may have
        // been lost with the process.
        let lists = match self.deps.scan {
            Scan::Full => true,
            Scan::Nothing => !shared.has_listed(),
            Scan::After { .. } => false,
        };
        if claims.is_usable()
            && lists
            && let Err(error) = shared.sync_if_due(&self.deps.journal, id, self.deps.clock.monotonic()).await
        {
            claims.failed(error)?;
        }
        if self.deps.scan == Scan::Nothing && !shared.has_listed() {
            return Ok(());
        }
        let (importer, source) = (Arc::clone(&self.deps.importer), self.import.source.clone());
        let done = move |journal: &dyn Journal| -> Result<(), JournalError> {
            for key in shared.unclosed_before(journal, id)? {
                let state = ObjectState::read(journal, id, &key)?;
                match state.as_ref().map(|state| (state, state.stage)) {
                    Some((state, Stage::Done)) => {
                        let record = importer.recorded(key_of(state.file, &source, Some(id)))?;
                        let counts = record.map(|record| (record.progress.next_row, record.progress.stored));
                        shared.stored(&source, key, state.version(), counts);
                    }
                    Some((_, Stage::Open | Stage::Waiting)) | None => shared.note_unfinished(key),
                    Some((_, Stage::Poison | Stage::Changed | Stage::Gone)) => {}
                }
            }
            Ok(())
        };
        on_disk(&self.deps.journal, done).await?;
        self.close_claims().await;
        Ok(())
    }

    /// Makes the name known to other instances: a file is about to begin. `false`: another instance has made
    /// it meanwhile, so what others have done is not known here.
    pub(super) async fn share_name(&self) -> Result<bool, ClaimsError> {
        let Some(claims) = &self.claims else { return Ok(true) };
        if let Some(problem) = claims.problem() {
            // Without the name, this instance would have a history of its own.
            let is_known = self.is_known_as_shared(&self.name_with()).await?;
            return if is_known { Ok(true) } else { Err(ClaimsError::Unusable(problem)) };
        }
        match claims.shared.id(&self.name_with(), true).await {
            Ok(SharedId::Is(id)) => Ok(id == self.id),
            Ok(SharedId::Bring(_)) => Ok(false),
            Err(error) => {
                // What others do not know by its name would be imported by them, too.
                if !self.is_known_as_shared(&self.name_with()).await? {
                    return Err(error);
                }
                claims.failed(error)?;
                Ok(true)
            }
        }
    }

    /// Why nothing new begins.
    pub(super) fn claims_problem(&self) -> Option<Outage> {
        self.claims.as_ref().and_then(PassClaims::problem)
    }

    /// The instance that has a file, if it is another one.
    pub(super) async fn elsewhere(&self, key: &str) -> Result<Option<String>, JournalError> {
        let Some(claims) = &self.claims else { return Ok(None) };
        let (id, key, shared) = (self.id, key.to_owned(), Arc::clone(&claims.shared));
        on_disk(&self.deps.journal, move |journal| elsewhere(journal, id, &key, shared.instance())).await
    }

    /// Takes out those of these objects that are not this instance's.
    pub(super) async fn sort_claimed(
        &self,
        left: Vec<Left>,
    ) -> Result<(Vec<Left>, ClaimsReport), JournalError> {
        let Some(claims) = &self.claims else { return Ok((left, ClaimsReport::default())) };
        let (id, shared) = (self.id, Arc::clone(&claims.shared));
        let sort = move |journal: &dyn Journal| {
            let (mut ours, mut report) = (Vec::with_capacity(left.len()), ClaimsReport::default());
            for left in left {
                let key = left.listed.key.as_str();
                match shared.look(journal, id, key)? {
                    Known::Free | Known::Ours => ours.push(left),
                    Known::Theirs { instance, waits, since } => {
                        report.released += u64::from(left.known.is_some());
                        report.theirs(key, (instance, waits), since);
                    }
                    Known::Unknown(why) => report.unknown(key, why),
                }
            }
            Ok((ours, report))
        };
        on_disk(&self.deps.journal, sort).await
    }

    /// Claims an object that is about to begin. `None`: it may.
    pub(super) async fn not_ours(&self, version: Version) -> Result<Option<NotOurs>, JournalError> {
        let Some(claims) = &self.claims else { return Ok(None) };
        let (rules, importer) = (self.rules(), Arc::clone(&self.deps.importer));
        let (id, again, shared) = (self.id, self.deps.again, Arc::clone(&claims.shared));
        let of = version.clone();
        let (begins, had_begun, known) = on_disk(&self.deps.journal, move |journal| {
            let begins = may_begin(journal, &importer, &of, &rules)?;
            let had_begun = ObjectState::read(journal, id, &of.key)?.is_some();
            Ok::<_, JournalError>((begins, had_begun, shared.look(journal, id, &of.key)?))
        })
        .await?;
        if !begins {
            return Ok(None);
        }
        if !claims.is_usable() {
            // What is claimed goes on.
            return Ok((known != Known::Ours).then_some(NotOurs::Unclaimed));
        }
        let (etag, len) = (bare(&version.etag), version.len);
        let key = version.key.as_str();
        match claims.shared.claim(&self.deps.journal, (id, key), (etag, len), again).await {
            Ok(Claimed::Ours) => Ok(None),
            Ok(Claimed::Theirs(instance)) => {
                if had_begun {
                    tracing::warn!(
                        "{} had begun here, was released, and belongs to the instance {instance} now",
                        self.name_of(key)
                    );
                }
                Ok(Some(NotOurs::Theirs { instance, had_begun, version: Some((etag.to_owned(), len)) }))
            }
            Ok(Claimed::Waits(why)) => Ok(Some(NotOurs::Unknown(why))),
            Err(ClaimsError::Journal(error)) => Err(error),
            Err(error) => {
                claims.stop(error);
                Ok(Some(NotOurs::Unclaimed))
            }
        }
    }

    /// Notes that all rows of an object are stored.
    pub(super) fn stored_all(&self, key: &str, (etag, len): (String, u64), ends: &[(Became, FileReport)]) {
        let Some(claims) = &self.claims else { return };
        let add = |(rows, calls): (u64, u64), (_, report): &(Became, FileReport)| {
            (rows + report.progress.next_row, calls + report.progress.stored)
        };
        let counts = ends.iter().fold((0, 0), add);
        let version = (bare(&etag).to_owned(), len);
        claims.shared.stored(&self.import.source, key.to_owned(), version, Some(counts));
    }

    /// Asks the shared journal whether a file of another instance is delivered in this version, or in any one if it
    /// is gone. It may have been released since. Errors: the shared journal cannot be used.
    pub(super) async fn is_delivered_elsewhere(
        &self,
        key: &str,
        version: Option<&(String, u64)>,
    ) -> Result<bool, ClaimsError> {
        match &self.claims {
            Some(claims) => claims.shared.is_delivered(&self.deps.journal, (self.id, key), version).await,
            None => Ok(false),
        }
    }

    /// Notes the key of a file that is tried again although no message may tell of it any more: another instance can
    /// have received it.
    pub(super) fn unfinished_too(&self, key: &str) {
        self.claims.iter().for_each(|claims| claims.shared.note_unfinished(key.to_owned()));
    }

    /// Some of the keys that this instance has claimed and not finished, each time others.
    pub(super) fn unfinished(&self) -> Vec<String> {
        self.claims.as_ref().map_or_else(Vec::new, |claims| claims.shared.unfinished())
    }

    /// Notes that nothing is left to do with the file of such a key.
    pub(super) fn finished(&self, key: &str) {
        self.claims.iter().for_each(|claims| claims.shared.finished(key));
    }

    /// Closes the claims of objects that are delivered by now. Those that cannot be closed are tried again.
    pub(super) async fn close_claims(&self) {
        let Some(claims) = self.claims.as_ref().filter(|claims| claims.is_usable()) else { return };
        let closed = claims.shared.close_delivered(&self.deps.journal, self.id, &self.import.source).await;
        match closed {
            Ok(closed) => {
                for (key, instance) in closed.lost {
                    tracing::warn!(
                        "{} was imported here and released meanwhile: the instance {instance} imports it, too, and its rows \
                         come twice, with equal messageIds",
                        self.name_of(&key)
                    );
                }
            }
            Err(error) => claims.stop(error),
        }
    }
}

/// The keys and versions of objects that have begun, from a key on, and the key from which others follow.
type Objects = (Vec<(String, String, u64)>, Option<String>);

fn begun_objects(journal: &dyn Journal, id: ImportId, from: &str) -> Result<Objects, JournalError> {
    let (mut objects, mut more) = (Vec::new(), None);
    ObjectState::each_from(journal, id, from, &mut |key, json| {
        if objects.len() == OBJECTS {
            more = Some(key.to_owned());
            return Ok(false);
        }
        let (etag, size) = ObjectState::of_json(key, json)?.version();
        objects.push((key.to_owned(), etag, size));
        Ok(true)
    })?;
    Ok((objects, more))
}
