//! One pass over a bucket: lists it, and imports what is wanted in the order in which it was stored.

use std::collections::BTreeSet;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;

use super::admit::is_stored;
use super::after::After;
use super::after::moved::{PutThere, put_below};
use super::after::sweep::{after_import, sweep};
use super::claimed::shared;
use super::conversions::{forget_unneeded, keep};
use super::decide::{Skip, Wanted};
use super::deps::PassDeps;
use super::object_end::{ObjectEnd, given_up};
use super::object_import::{ObjectImport, on_disk};
use super::report::{Became, PassReport};
use super::scan::{FULL_REQUESTS_MAX, Scan};
use super::settings::BucketImport;
use super::sorted_out::{Left, Reasons, SortedOut};
use crate::import::at_once::at_once;
use crate::import::claims::ClaimsError;
use crate::import::file_error::FileFault;
use crate::import::import_id::ImportId;
use crate::import::import_names::{NameError, begin_named};
use crate::import::journal::{Journal, JournalError};
use crate::import::own_thread::bug;
use crate::import::run::{FileEnd, FileReport, Waits};
use crate::store::reader::{ListFrom, ListPage, Listed, Named};
use crate::store::{Outlook, StoreError};

/// The most objects that one pass imports. It keeps their keys in memory; the next pass takes the others.
const OBJECTS_MAX: usize = 1_000_000;
/// So many objects in a row that cannot be read for now, and at least twice as many as are read at once, are an outage of
/// the store.
const UNREAD_MIN: usize = 8;

/// Why a pass cannot begin, or not go on.
#[derive(Debug, thiserror::Error)]
pub enum PassError {
    /// The import cannot be used under its name, or its settings changed.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The journal cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// It is not known which files belong to other instances.
    #[error(transparent)]
    Claims(ClaimsError),
    /// The bucket cannot be listed. The `Display` is for the people who own the bucket.
    #[error("list s3://{bucket}/{prefix}: {}", cause.with_remedy().full())]
    List {
        /// The bucket.
        bucket: String,
        /// What the keys begin with.
        prefix: String,
        /// The store's error.
        cause: StoreError,
    },
}

impl From<ClaimsError> for PassError {
    fn from(error: ClaimsError) -> Self {
        match error {
            ClaimsError::Journal(error) => Self::Journal(error),
            ClaimsError::Name(error) => Self::Name(error),
            error @ (ClaimsError::Unusable(_) | ClaimsError::Refused(_)) => Self::Claims(error),
        }
    }
}

/// The objects that are to be imported.
#[derive(Default)]
struct Found {
    objects: Vec<Listed>,
    report: PassReport,
    is_stopped: bool,
}

impl Found {
    /// Adds objects of a page, as long as there are fewer than `most`.
    fn take(&mut self, unknown: Vec<Listed>, most: usize) {
        let room = most.saturating_sub(self.objects.len());
        self.report.not_begun += unknown.len().saturating_sub(room) as u64;
        self.objects.extend(unknown.into_iter().take(room));
    }

    /// The report of a pass that imports none of the objects.
    fn unread(mut self) -> PassReport {
        self.report.not_begun += self.objects.len() as u64;
        self.report
    }
}

/// Lists the bucket of an import, and imports each object that is wanted. One pass at a time may run for an
/// import. Not cancel-safe: stop it with [`PassDeps::stop`].
/// Errors: [`PassError`]: nothing more is imported.
pub async fn pass(import: Arc<BucketImport>, deps: PassDeps) -> Result<PassReport, PassError> {
    let id = id_of(&import, &deps, false).await?;
    let import = never_read_again(import, &deps.journal, Some(id)).await?;
    let objects = Arc::new(shared(ObjectImport::new(import, deps, id)).await?);
    let id = objects.id;
    objects.remove_old_sets().await?;
    objects.room.measure_again();
    let mut not_done = objects.not_done().await?;
    let mut found = found(&objects, &objects.deps.scan, &mut not_done).await?;
    if !found.is_stopped {
        objects.end_gone(not_done, &mut found.report).await?;
    }
    found.report.claims.problem = objects.claims_problem();
    if found.is_stopped || found.objects.is_empty() {
        let mut report = PassReport { after: sweep(&objects).await?, ..found.unread() };
        objects.look_after_rejects(&mut report).await;
        return Ok(report);
    }
    let Found { objects: mut wanted, mut report, .. } = found;
    // A file is about to begin: from now on the settings that say which files there are cannot change.
    let is_shared = objects.share_name().await?;
    let begun = id_of(&objects.import, &objects.deps, true).await?;
    if begun != id || !is_shared {
        // The name was given to another import since the listing: what that one has done is not known here.
        report.not_begun = wanted.len() as u64;
        return Ok(report);
    }
    let (import, chosen) = (Arc::clone(&objects.import), objects.chosen.clone());
    on_disk(&objects.deps.journal, move |journal| keep(journal, id, &import, &chosen)).await?;
    wanted.sort_by(|one, other| in_order(one).cmp(&in_order(other)));
    import_all(Arc::clone(&objects), wanted, &mut report).await;
    objects.look_after_rejects(&mut report).await;
    objects.close_claims().await;
    report.claims.problem = objects.claims_problem();
    // A converter is no longer needed when the last file that began with it ends.
    if report.files_that(Became::Done) > 0 {
        forget_converters(&objects).await;
    }
    report.other_compression = objects.deps.other_compressions.since(objects.now);
    report.after = sweep(&objects).await?;
    Ok(report)
}

/// The id of an import under its name. `begins`: a file is about to begin, so the settings that say which files
/// there are cannot change any more. Errors: [`PassError`]: the import cannot be used under its name.
pub(super) async fn id_of(
    import: &BucketImport,
    deps: &PassDeps,
    begins: bool,
) -> Result<ImportId, PassError> {
    let (name, fixed, random) = (import.name.clone(), import.fixed(), Arc::clone(&deps.random));
    let importer = Arc::clone(&deps.importer);
    let begin = move |journal: &dyn Journal| {
        importer.with_names(|| begin_named(journal, &name, &fixed, &*random, begins))
    };
    Ok(on_disk(&deps.journal, begin).await?)
}

/// The import, which never reads what imports of this journal have moved away or rejected, or what it moves or rejects
/// itself. `writes`: it may do so from now on under this id, which is noted.
pub(super) async fn never_read_again(
    mut import: Arc<BucketImport>,
    journal: &Arc<dyn Journal>,
    writes: Option<ImportId>,
) -> Result<Arc<BucketImport>, JournalError> {
    let to = match &import.after {
        Some(After::Move(to)) => Some(to.clone()),
        _ => None,
    };
    let moved_to: Vec<String> = to.iter().filter(|_| writes.is_some()).cloned().collect();
    let rejects = writes.zip(import.rejects.in_store.as_ref()).map(|(id, place)| {
        (place.endpoint.clone(), place.location.bucket.bucket().to_owned(), place.keys_of(id))
    });
    let (endpoint, bucket) = (import.endpoint.clone(), import.location.bucket.bucket().to_owned());
    let noted = move |journal: &dyn Journal| {
        if let Some((endpoint, bucket, keys)) = rejects {
            put_below(journal, PutThere::Rejects, (&endpoint, &bucket), &keys)?;
        }
        let mut never = put_below(journal, PutThere::Rejects, (&endpoint, &bucket), &[])?;
        never.extend(put_below(journal, PutThere::Moved, (&endpoint, &bucket), &moved_to)?);
        Ok(never)
    };
    let mut never = on_disk(journal, noted).await?;
    never.extend(to);
    if !never.is_empty() {
        Arc::make_mut(&mut import).never.extend(never);
    }
    Ok(import)
}

/// Forgets the converters that no file needs any more.
pub(super) async fn forget_converters(objects: &ObjectImport) {
    let (id, chosen, importer) = (objects.id, objects.chosen.clone(), Arc::clone(&objects.deps.importer));
    let forget =
        move |journal: &dyn Journal| forget_unneeded(journal, &importer.logged_progress(), id, &chosen);
    if let Err(error) = on_disk(&objects.deps.journal, forget).await {
        // They do no harm: the next pass that ends a file tries again.
        tracing::warn!(%error, "converters that no file needs any more are still kept");
    }
}

/// What decides when an object is imported.
fn in_order(listed: &Listed) -> (Option<i64>, &str) {
    (listed.last_modified.map(|at| at.0), listed.key.as_str())
}

/// Imports objects: several at once, or one at a time. While some take long and a place is free, what comes meanwhile is
/// imported, too.
async fn import_all(objects: Arc<ObjectImport>, wanted: Vec<Listed>, report: &mut PassReport) {
    let is_serial = objects.import.serial;
    let parallel = objects.import.parallel_now();
    let list_again = objects.deps.list_again.filter(|_| !is_serial);
    let mut tasks = JoinSet::new();
    let mut wanted = wanted.into_iter();
    // Objects of this pass that are not done: a listing shows them again.
    let mut begun = BTreeSet::new();
    let (mut holds_back, mut unread) = (false, 0);
    loop {
        while tasks.len() >= parallel
            && let Some(ended) = tasks.join_next().await
        {
            holds_back |= count(ended, report, &mut begun, &mut unread);
        }
        // The store answers for none of them: the next pass tries again.
        let is_store_away = unread >= parallel.saturating_mul(2).max(UNREAD_MIN);
        if objects.deps.stop.is_cancelled() || (is_serial && holds_back) || is_store_away {
            break;
        }
        objects.close_claims().await;
        let Some(listed) = wanted.next() else {
            let waits = async {
                match list_again {
                    Some(after) => sleep(after).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                biased;
                ended = tasks.join_next() => match ended {
                    Some(ended) => holds_back |= count(ended, report, &mut begun, &mut unread),
                    None => break,
                },
                () = waits => wanted = come_meanwhile(&objects, &begun, report).await.into_iter(),
            }
            continue;
        };
        begun.insert(listed.key.as_str().to_owned());
        let objects = Arc::clone(&objects);
        tasks.spawn(async move {
            let key = listed.key.as_str().to_owned();
            let end = objects.run(listed).await;
            after_import(&objects, &key).await;
            (key, end)
        });
    }
    while let Some(ended) = tasks.join_next().await {
        count(ended, report, &mut begun, &mut unread);
    }
    report.not_begun += wanted.len() as u64;
}

/// The objects that came since the pass listed its bucket.
async fn come_meanwhile(
    objects: &Arc<ObjectImport>,
    begun: &BTreeSet<String>,
    report: &PassReport,
) -> Vec<Listed> {
    let scan = match &report.scanned.greatest {
        Some(greatest) if report.list_requests > FULL_REQUESTS_MAX => {
            Scan::After { key: greatest.clone(), also: Vec::new() }
        }
        _ => objects.deps.scan.clone(),
    };
    match found(objects, &scan, &mut BTreeSet::new()).await {
        Ok(found) => {
            let is_new = |listed: &Listed| !begun.contains(listed.key.as_str());
            let mut new: Vec<Listed> = found.objects.into_iter().filter(is_new).collect();
            new.sort_by(|one, other| in_order(one).cmp(&in_order(other)));
            new
        }
        Err(error) => {
            tracing::warn!(%error, "the objects that came during a pass wait for the next one");
            Vec::new()
        }
    }
}

type Ended = Result<(String, ObjectEnd), tokio::task::JoinError>;

/// Counts what became of an object. Returns whether it holds back those after it, where the order counts.
/// `begun`: the objects of the pass that are not done. `unread`: how many in a row could not be read for now.
fn count(ended: Ended, report: &mut PassReport, begun: &mut BTreeSet<String>, unread: &mut usize) -> bool {
    let files = match ended {
        Ok((_, ObjectEnd::Skipped(why))) => {
            report.skip(why);
            return false;
        }
        Ok((key, ObjectEnd::NotOurs(why))) => return report.not_ours(&key, why),
        Ok((key, ObjectEnd::Files(files))) => {
            if files.iter().any(|(became, _)| !became.is_settled()) {
                report.scanned.left(key);
            } else {
                begun.remove(&key);
            }
            files
        }
        Err(panicked) => {
            // Its key is not known here, so the next pass lists all of them.
            report.scanned.more_left = true;
            let end = FileEnd::Failed(bug(&panicked));
            vec![(Became::Failed, FileReport::new("an object".to_owned(), end))]
        }
    };
    let mut holds_back = false;
    let is_unread = |(_, file): &(Became, FileReport)| matches!(&file.end, FileEnd::Failed(error) if error.fault == FileFault::Transient);
    *unread = if files.iter().any(is_unread) { unread.saturating_add(1) } else { 0 };
    for (became, file) in files {
        holds_back |= !became.is_settled();
        report.file(became, file);
    }
    holds_back
}

/// Lists the keys of the import that the scan asks for, and decides about each. Takes those that the listing shows out of
/// `unlisted`.
async fn found(
    objects: &Arc<ObjectImport>,
    scan: &Scan,
    unlisted: &mut BTreeSet<String>,
) -> Result<Found, PassError> {
    let mut found = Found::default();
    let named = match scan {
        Scan::Full => Vec::new(),
        Scan::After { also, .. } => also.clone(),
        Scan::Nothing => objects.unfinished(),
    };
    // Each is a request of its own.
    let pages = at_once(named.clone(), objects.import.parallel_now(), |key| {
        let objects = Arc::clone(objects);
        async move { page_of(&objects, &key).await }
    });
    for (key, page) in named.into_iter().zip(pages.await?) {
        let Some((page, is_sure)) = page else {
            found.is_stopped = true;
            return Ok(found);
        };
        // If it may be there, the next pass lists all keys.
        found.report.scanned.more_left |= page.objects.is_empty() && !is_sure;
        if page.objects.is_empty() && is_sure {
            objects.report_gone(&key, &mut found.report).await?;
        }
        let left = sorted(objects, page, &mut found.report).await?;
        if left.is_empty() && *scan == Scan::Nothing {
            objects.finished(&key);
        }
        found.take(left.into_iter().map(|left| left.listed).collect(), OBJECTS_MAX);
    }
    if *scan == Scan::Nothing {
        return Ok(found);
    }
    let mut next: Option<String> = None;
    loop {
        let page = sorted_page(objects, (scan, next.as_deref()), unlisted, &mut found.report).await?;
        let Some((left, after)) = page else {
            found.is_stopped = true;
            return Ok(found);
        };
        found.take(left.into_iter().map(|left| left.listed).collect(), OBJECTS_MAX);
        next = after;
        if next.is_none() {
            return Ok(found);
        }
    }
}

/// Lists the next keys of the import, takes them out of `unlisted`, and counts what nothing is done about. Returns the
/// other objects, and what the listing continues with; `None`: the pass is stopped.
pub(super) async fn sorted_page(
    objects: &ObjectImport,
    (scan, next): (&Scan, Option<&str>),
    unlisted: &mut BTreeSet<String>,
    report: &mut PassReport,
) -> Result<Option<(Vec<Left>, Option<String>)>, PassError> {
    let after = match scan {
        // The token of a page says where it begins.
        Scan::After { key, .. } if next.is_none() => Some(key.as_str()),
        _ => None,
    };
    let from =
        ListFrom { prefix: &objects.import.prefix, next, after, restored: true, ..ListFrom::default() };
    let Some(page) = listed(objects, from).await? else { return Ok(None) };
    if let Some(last) = page.objects.last() {
        report.scanned.listed(last.key.as_str());
    }
    if !unlisted.is_empty() {
        for listed in &page.objects {
            unlisted.remove(listed.key.as_str());
        }
    }
    let next = page.next.clone();
    Ok(Some((sorted(objects, page, report).await?, next)))
}

/// Looks at one key that the listing does not have. Returns a page with its object, if that is there, and whether it
/// surely is not otherwise; `None`: the pass is stopped.
async fn page_of(objects: &ObjectImport, key: &str) -> Result<Option<(ListPage, bool)>, PassError> {
    let from = ListFrom { prefix: key, restored: true, ..ListFrom::default() };
    let Some(page) = listed(objects, from).await? else { return Ok(None) };
    let Named { listed, is_sure } = page.named(key);
    Ok(Some((ListPage { objects: listed.into_iter().collect(), ..ListPage::default() }, is_sure)))
}

/// Counts the objects of a page that nothing is done about. Returns the others.
async fn sorted(
    objects: &ObjectImport,
    page: ListPage,
    report: &mut PassReport,
) -> Result<Vec<Left>, PassError> {
    report.list_requests += 1;
    report.listed += page.objects.len() as u64;
    let SortedOut { known, left_out, skipped, given_up: given, left } =
        compared(objects, page.objects, false).await?;
    skipped.into_iter().for_each(|why| report.skip(why));
    let (left, elsewhere) = objects.sort_claimed(left).await?;
    report.claims.add(elsewhere);
    report.known += known;
    report.given_up += given.len() as u64;
    report.skip_more(Skip::Changed, left_out);
    for (key, stage, why) in given {
        let (became, error) = given_up(stage, why);
        report.file(became, FileReport::new(objects.name_of(&key), FileEnd::Failed(error)));
    }
    Ok(left)
}

/// Compares objects with what the journal knows of them. `are_looked_at`: nothing of a listing decides about
/// them any more.
pub(super) async fn compared(
    objects: &ObjectImport,
    listed: Vec<Listed>,
    are_looked_at: bool,
) -> Result<SortedOut, JournalError> {
    let (rules, importer, import) =
        (objects.rules(), Arc::clone(&objects.deps.importer), Arc::clone(&objects.import));
    let moved_of = objects.moved_of();
    let compare = move |journal: &dyn Journal| {
        let (of, wanted) = ((rules.id, &rules.source), Wanted::of(&import));
        let reasons = Reasons {
            skips: &|listed| if are_looked_at { None } else { wanted.skips(listed) },
            is_moved: &|listed| !are_looked_at && importer.objects().moved.has(&moved_of, listed),
            stored: &|state, standing| is_stored(&importer, state, standing, of),
        };
        SortedOut::of(journal, &rules, reasons, listed)
    };
    on_disk(&objects.deps.journal, compare).await
}

/// One page of the listing; `None` if the pass is stopped while the store cannot be reached.
pub(super) async fn listed(
    objects: &ObjectImport,
    from: ListFrom<'_>,
) -> Result<Option<ListPage>, PassError> {
    let (import, deps) = (&objects.import, &objects.deps);
    let mut waits = Waits::default();
    loop {
        if deps.stop.is_cancelled() {
            return Ok(None);
        }
        match deps.store.list(&import.location, from).await {
            Ok(page) => return Ok(Some(page)),
            Err(cause) if cause.outlook() == Outlook::Passing && !waits.is_longer_than(deps.patience) => {
                let why = format!("import {}: the listing of its bucket: {cause}", import.name);
                if waits.wait(Duration::ZERO, &why, &deps.stop).await.is_none() {
                    return Ok(None);
                }
            }
            Err(cause) => {
                let (bucket, prefix) = (import.location.bucket.bucket().to_owned(), import.prefix.clone());
                return Err(PassError::List { bucket, prefix, cause });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::ObjectKey;

    #[test]
    fn a_pass_that_is_stopped_counts_the_objects_beyond_its_bound() {
        let listed = |number: usize| Listed {
            key: ObjectKey::listed(format!("in/{number}.json")),
            len: 5,
            last_modified: None,
            etag: None,
            storage_class: None,
            is_restored: false,
        };
        let mut found = Found::default();
        found.take((0..3).map(listed).collect(), 4);
        found.take((3..8).map(listed).collect(), 4);
        assert_eq!((found.objects.len(), found.report.not_begun), (4, 4));
        assert_eq!(found.unread().not_begun, 8);
    }
}
