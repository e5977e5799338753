//! What a pass would do, without doing it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::decide::Skip;
use super::deps::PassDeps;
use super::object_end::given_up;
use super::object_import::{NotBegun, ObjectImport, on_disk};
use super::pass::{PassError, compared, never_read_again, sorted_page};
use super::report::{Became, PassReport};
use super::settings::BucketImport;
use super::sorted_out::{Left, SortedOut, Would};
use crate::import::at_once::at_once;
use crate::import::file_id::key_of;
use crate::import::import_id::ImportId;
use crate::import::import_names::known;
use crate::import::importer::Importer;
use crate::import::journal::{Journal, JournalError};
use crate::import::run::{FileEnd, FileReport};
use crate::sources::SourceId;

/// The most objects that are named.
const NAMED_MAX: usize = 20;
/// Objects that are looked at at once: nothing of them is read.
const LOOKS_AT_ONCE: usize = 32;

/// What a pass would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PassPlan {
    /// What it would count before it reads a row.
    pub report: PassReport,
    /// What it would do with the other objects.
    pub would: BTreeMap<Would, u64>,
    /// Rows of the objects that are done and would be imported again.
    pub rows_again: u64,
    /// The first objects that it would do something with.
    pub first: Vec<(String, Would)>,
    /// Whether it was stopped before the end of the listing.
    pub stopped: bool,
}

/// Lists the bucket of an import, looks at the objects that a pass would look at, and says what it would do
/// now. Nothing is changed.
/// Errors: [`PassError`]: a pass could not begin, or not go on.
pub async fn plan_pass(import: Arc<BucketImport>, deps: PassDeps) -> Result<PassPlan, PassError> {
    let (name, fixed) = (import.name.clone(), import.fixed());
    let id = on_disk(&deps.journal, move |journal| known(journal, &name, &fixed)).await?;
    // An import that was not seen before knows nothing, whatever its id will be.
    let id = id.unwrap_or_else(|| ImportId::new(&*deps.random));
    let import = never_read_again(import, &deps.journal, None).await?;
    let objects = Arc::new(ObjectImport::new(import, deps, id));
    let mut plan = PassPlan::default();
    let mut archives = BTreeSet::new();
    let mut next: Option<String> = None;
    loop {
        let scan = (&objects.deps.scan, next.as_deref());
        let page = sorted_page(&objects, scan, &mut BTreeSet::new(), &mut plan.report).await?;
        let (left, after) = match page {
            Some((left, after)) => (looked_at(&objects, left, &mut plan.report).await?, after),
            None => (None, None),
        };
        let Some(left) = left else {
            plan.stopped = true;
            return Ok(plan);
        };
        for Left { listed, would, .. } in &left {
            *plan.would.entry(*would).or_default() += 1;
            if plan.first.len() < NAMED_MAX {
                plan.first.push((objects.name_of(listed.key.as_str()), *would));
            }
        }
        let (importer, source) = (Arc::clone(&objects.deps.importer), objects.import.source.clone());
        let rows = on_disk(&objects.deps.journal, move |_| rows_of(&importer, (id, &source), left));
        let (rows, of_archives) = rows.await?;
        plan.rows_again += rows;
        archives.extend(of_archives.iter().map(|key| objects.name_of(key)));
        next = after;
        if next.is_none() {
            break;
        }
    }
    if !archives.is_empty() {
        let rows = move |journal: &dyn Journal| rows_in(journal, id, &archives);
        plan.rows_again += on_disk(&objects.deps.journal, rows).await?;
    }
    Ok(plan)
}

/// Looks at objects as a pass does before one begins, and counts those that do not. Returns the others;
/// `None`: it is stopped.
async fn looked_at(
    objects: &Arc<ObjectImport>,
    left: Vec<Left>,
    report: &mut PassReport,
) -> Result<Option<Vec<Left>>, JournalError> {
    let looks = at_once(left, LOOKS_AT_ONCE, |left| {
        let objects = Arc::clone(objects);
        async move {
            let name = objects.name_of(left.listed.key.as_str());
            let key = left.listed.key.as_str().to_owned();
            Ok::<_, JournalError>((key, objects.look(&name, left.listed).await))
        }
    });
    let mut there = Vec::new();
    for (key, looked) in looks.await? {
        match looked {
            Ok(looked) => there.push(looked.now),
            Err(NotBegun::Skipped(why)) => report.skip(why),
            Err(NotBegun::NotOurs(why)) => drop(report.not_ours(&key, why)),
            Err(NotBegun::Ended(Became::Stopped, _)) => return Ok(None),
            Err(NotBegun::Ended(became, end)) => {
                report.file(became, FileReport::new(objects.name_of(&key), end));
            }
        }
    }
    // The listing may be older, or show less.
    let SortedOut { known, left_out, skipped: _, given_up: given, left } =
        compared(objects, there, true).await?;
    (0..known).for_each(|_| {
        report.file(Became::DoneBefore, FileReport::new(String::new(), FileEnd::DoneBefore));
    });
    report.skip_more(Skip::Changed, left_out);
    for (key, stage, why) in given {
        let (became, error) = given_up(stage, why);
        report.file(became, FileReport::new(objects.name_of(&key), FileEnd::Failed(error)));
    }
    Ok(Some(left))
}

/// The rows of the objects that would be imported again, and the keys of those that are archives.
fn rows_of(
    importer: &Importer,
    (id, source): (ImportId, &SourceId),
    left: Vec<Left>,
) -> Result<(u64, Vec<String>), JournalError> {
    let (mut rows, mut archives) = (0, Vec::new());
    for Left { listed, would, known } in left {
        let Some(state) = known.filter(|_| would == Would::Again) else { continue };
        if state.is_archive {
            archives.push(listed.key.as_str().to_owned());
        } else if let Some(record) = importer.recorded(key_of(state.file, source, Some(id)))? {
            rows += record.progress.next_row;
        }
    }
    Ok((rows, archives))
}

/// The rows of the entries of these archives. Reads the whole journal.
fn rows_in(journal: &dyn Journal, id: ImportId, archives: &BTreeSet<String>) -> Result<u64, JournalError> {
    let mut rows = 0;
    journal.each(&mut |record| {
        // A key may have the character that stands between an archive and its entry.
        let mut ends = record.name.match_indices('!').filter_map(|(at, _)| record.name.get(..at));
        if record.import == Some(id) && ends.any(|name| archives.contains(name)) {
            rows += record.progress.next_row;
        }
    })?;
    Ok(rows)
}
