//! An import that several instances share: its claims, and the commands about them.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use super::claims_status::{is_denied, problem};
use super::deps::ImportsDeps;
use super::journal_outage::JournalFound;
use super::one_import::OneImport;
use super::plan::ImportPlan;
use crate::admin::{BucketImportError, ClaimsReleased, PassStatus};
use crate::alarms::AlarmKind;
use crate::check::{AccessEnd, JournalRefusal, TriedJournal, is_worth_more};
use crate::import::claims::{
    ClaimsError, NoRight, Outage, Releasing, SharedImport, Undelivered, rename_shared,
};
use crate::import::discovery::inputs::{location_of, s3_folder};
use crate::import::s3_records::S3Records;
use crate::import::shared_progress::WriteError;
use crate::import::{NameError, named};
use crate::log::Reports;
use crate::retry::Backoff;
use crate::runtime::SystemRandom;
use crate::sources::SourceId;
use crate::store::Fault;
use crate::store::reader::{ListFrom, StoreReader as _};
use crate::store::s3::S3Store;
use crate::words::Told;

/// The waits before a shared journal that cannot be reached is asked again.
const AGAIN: Backoff = Backoff { first: Duration::from_secs(1), cap: Duration::from_secs(30) };

/// What the log of a node has that is not delivered.
pub struct UndeliveredInLog(Arc<dyn Reports>);

impl UndeliveredInLog {
    /// That of this log.
    pub fn of(log: Arc<dyn Reports>) -> Self {
        Self(log)
    }
}

impl std::fmt::Debug for UndeliveredInLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("UndeliveredInLog")
    }
}

/// A process without a log.
#[derive(Debug)]
struct Nothing;

impl Undelivered for Nothing {
    fn undelivered(&self, _: &SourceId) -> Option<(u64, u64)> {
        None
    }
}

impl Undelivered for UndeliveredInLog {
    fn undelivered(&self, source: &SourceId) -> Option<(u64, u64)> {
        let mut range: Option<(u64, u64)> = None;
        let mut add = |first: u64, last: u64| {
            let (from, to) = range.unwrap_or((first, last));
            range = Some((from.min(first), to.max(last)));
        };
        // The seals come last: what is sealed meanwhile is in both.
        for batch in self.0.open_batches() {
            if batch.key.source == *source && batch.frames > 0 {
                add(batch.first, batch.last);
            }
        }
        self.0.each_pending_seal(&mut |pending| {
            if pending.seal.batch.source == *source {
                add(pending.seal.first, pending.seal.last);
            }
        });
        range
    }
}

/// The shared journal at `url`, in the store of `[s3]` with the collector's own credentials.
/// Errors: it is no folder in S3; the text says what is expected.
pub(super) fn records(url: &str, store: &Arc<S3Store>) -> Result<S3Records, String> {
    S3Records::named("journal", url, Arc::clone(store) as _).map_err(|error| error.to_string())
}

/// What instances share of an import. Errors: the settings cannot be used; the text says what to do.
pub(super) fn shared(plan: &ImportPlan, deps: &ImportsDeps) -> Result<Option<Arc<SharedImport>>, String> {
    let Some(url) = &plan.settings.journal else { return Ok(None) };
    let records = records(url, &deps.stores.own)?;
    let (url, instance) = (records.url(), deps.log.spool_id());
    let undelivered = Arc::new(UndeliveredInLog::of(Arc::clone(&deps.log)));
    let random = Arc::clone(&deps.random);
    Ok(Some(Arc::new(SharedImport::new(Arc::new(records), url, instance, undelivered, random))))
}

/// Tries the rights that the shared journal of an import needs; `None`: it has none.
/// Errors: the settings cannot be used; the text says what to do.
pub(in crate::node) async fn tried_journal(
    plan: &ImportPlan,
    store: &Arc<S3Store>,
) -> Result<Option<TriedJournal>, String> {
    let Some(url) = &plan.settings.journal else { return Ok(None) };
    let records = records(url, store)?;
    let (name, url) = (plan.settings.name.to_string(), records.url());
    let place = s3_folder(&url).map(|(bucket, prefix)| (bucket.to_owned(), prefix)).unwrap_or_default();
    let location = location_of(&place.0).map_err(|error| error.to_string())?;
    let from = || ListFrom { prefix: &place.1, ..ListFrom::default() };
    let list = match store.list(&location, from()).await {
        Err(error) if error.fault == Fault::Region => store.list(&location, from()).await,
        answer => answer,
    };
    let list = list.map(drop);
    let rest = match is_worth_more(&list) {
        true => {
            let nobody = Arc::new(Nothing);
            let shared = SharedImport::new(
                Arc::new(records),
                url.clone(),
                String::new(),
                nobody,
                Arc::new(SystemRandom),
            );
            let (write, read) = shared.rights().await;
            Some((write.map_err(refusal), read.map_err(refusal)))
        }
        false => None,
    };
    Ok(Some(TriedJournal { name, url, place, list, rest }))
}

fn refusal(error: NoRight) -> JournalRefusal {
    let (told, end) = match error {
        NoRight::Ignores(what) => (Told::plain(what), AccessEnd::Wrong),
        NoRight::Store(WriteError::Refused(told)) => {
            let end = if is_denied(told.masked()) { AccessEnd::Denied } else { AccessEnd::Wrong };
            (told, end)
        }
        NoRight::Store(WriteError::Unknown(told)) => (told, AccessEnd::Unreachable),
        NoRight::Store(WriteError::Changed) => {
            ("another process changes an object of it at the same time".into(), AccessEnd::Unreachable)
        }
    };
    JournalRefusal { told, end }
}

/// Gives a name that instances share to another import name, if `old` is shared. Returns whether it is. `journal`: that of
/// the import with the new name in the configuration, if it has one: others may have begun what has not begun here. The
/// same again does no harm.
/// Errors: [`BucketImportError`]: nothing has changed here.
pub(super) async fn rename_elsewhere(
    deps: &ImportsDeps,
    (old, new): (&SourceId, &SourceId),
    journal_of_new: Option<&str>,
) -> Result<bool, BucketImportError> {
    let failed = |what: String| BucketImportError::Failed(what);
    let (journal, names) = (deps.importer.journal(), (old.to_string(), new.to_string()));
    let known = tokio::task::spawn_blocking(move || {
        Ok::<_, NameError>((named(&*journal, &names.0)?, named(&*journal, &names.1)?))
    });
    let known = known.await.map_err(|error| failed(error.to_string()))?;
    let (of_old, of_new) = known.map_err(|error| failed(error.to_string()))?;
    let begun = of_old.and_then(|import| Some((import.id, import.fixed?.journal)));
    if let Some((id, _)) = &begun
        && of_new.is_some_and(|other| other.fixed.is_some() && other.id != *id)
    {
        return Err(BucketImportError::Refused(NameError::Taken(new.to_string()).to_string()));
    }
    let journal = match &begun {
        Some((_, journal)) => Some(journal.as_str()).filter(|journal| !journal.is_empty()),
        None => journal_of_new,
    };
    let Some(journal) = journal else { return Ok(false) };
    let records = records(journal, &deps.stores.own).map_err(failed)?;
    let renamed = rename_shared(&records, &deps.log.spool_id(), (old.as_str(), new.as_str())).await;
    renamed.map_err(|error| refused_claims(&error, deps.live.is_none()))
}

impl OneImport {
    /// What instances share of the import. Errors: the settings cannot be used; the text says what to do.
    pub(super) fn claims(&self) -> Result<Option<Arc<SharedImport>>, String> {
        let claims = self.claims.get_or_init(|| shared(self.plan(), &self.deps));
        claims.clone()
    }

    /// Frees the open claims of an instance, or says which ones there are.
    /// Errors: [`BucketImportError`]: why not, and what to do.
    pub(super) async fn release(
        &self,
        instance: &str,
        dry_run: bool,
    ) -> Result<ClaimsReleased, BucketImportError> {
        let shared = self.claims().map_err(BucketImportError::Failed)?;
        let name = self.name().to_owned();
        let not_possible = |what: &str| BucketImportError::NotPossible(format!("import {name} {what}"));
        let none = || not_possible("shares no journal with other instances: nothing of it is claimed");
        let claims = shared.ok_or_else(none)?;
        let (journal, of) = (self.deps.importer.journal(), self.name().to_owned());
        let known = tokio::task::spawn_blocking(move || named(&*journal, &of)).await;
        let known = known.map_err(|error| BucketImportError::Failed(error.to_string()))?;
        let known = known.map_err(|error| BucketImportError::Failed(error.to_string()))?;
        let begun = known.filter(|known| known.fixed.is_some());
        let id =
            begun.ok_or_else(|| not_possible("has not looked at its bucket here: make a pass first"))?.id;
        let journal = self.deps.importer.journal();
        let released = claims.release(&journal, id, Releasing { instance, dry_run }).await;
        if !dry_run {
            // Also if it failed, some may be free.
            self.want_full_scan();
        }
        let released = released.map_err(|error| refused_claims(&error, self.shows_all()))?;
        let named = |key: String| format!("s3://{}/{key}", self.plan().settings.bucket.bucket());
        Ok(ClaimsReleased {
            import: name,
            instance: instance.to_owned(),
            dry_run,
            files: released.files,
            bytes: released.bytes,
            first: released.first.into_iter().map(named).collect(),
        })
    }

    /// What a person must do about the claims of an import. `is_away`: the shared journal cannot be reached, which has
    /// an alarm of its own.
    pub(super) fn claims_problem(&self, found: &PassStatus, is_away: bool) -> Option<String> {
        let claims = found.claims.as_ref()?;
        let what = claims.problem.clone().filter(|_| !is_away).or_else(|| claims.unknown_text())?;
        Some(format!("import {}: {what}", self.name()))
    }
}

impl OneImport {
    fn of_journal(&self) -> String {
        format!("{} (shared journal)", self.name())
    }

    /// Notes what a pass found of the shared journal.
    pub(super) fn note_journal(&self, found: &JournalFound<'_>) {
        match found {
            JournalFound::Away(outage) => self.journal_failed(outage),
            JournalFound::Answered => self.clear_journal(),
            JournalFound::Unknown => {}
        }
    }

    fn journal_failed(&self, outage: &Outage) {
        self.journal_outage.failed(self.deps.clock.monotonic(), || {
            // A pause ends its alarms, and so does its end.
            if !self.pausing.now() && !self.stop.is_cancelled() {
                let what = problem(self.plan(), outage.told.masked());
                let what = format!("import {}: {what}; it is asked again until it answers", self.name());
                self.deps.alarms.raise(AlarmKind::BucketImport, &self.of_journal(), what);
            }
        });
    }

    /// Ends the alarm about the shared journal.
    pub(super) fn clear_journal(&self) {
        self.journal_outage.ended(|| {
            if self.plan().settings.journal.is_some() {
                self.deps.alarms.clear(AlarmKind::BucketImport, &self.of_journal());
            }
        });
    }

    /// Waits until the shared journal answers again: a pass then says what it answers. Without an outage this never
    /// ends. Cancel-safe.
    pub(super) async fn journal_back(&self) {
        while let (Some(tries), Ok(Some(shared))) = (self.journal_outage.tries(), self.claims()) {
            tokio::time::sleep(AGAIN.wait(tries, &*self.deps.random)).await;
            match shared.reached().await {
                Err(ClaimsError::Unusable(outage)) if outage.passes => self.journal_failed(&outage),
                _ => return,
            }
        }
        pending().await
    }
}

/// Why the claims of an import cannot be used, for whoever asked.
pub(super) fn refused_claims(error: &ClaimsError, full: bool) -> BucketImportError {
    match error {
        ClaimsError::Unusable(Outage { told, .. }) => {
            let what = format!("the shared journal: {}", told.shown(full));
            if is_denied(told.masked()) {
                BucketImportError::StoreDenied(what)
            } else {
                BucketImportError::StoreFailed(what)
            }
        }
        ClaimsError::Refused(_) => BucketImportError::NotPossible(error.to_string()),
        ClaimsError::Journal(_) | ClaimsError::Name(_) => BucketImportError::Failed(error.to_string()),
    }
}
