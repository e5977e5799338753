//! What a pass would do, without doing it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::deps::PassDeps;
use super::object_import::{ObjectImport, on_disk};
use super::pass::{PassError, never_read_again, sorted_page};
use super::report::PassReport;
use super::settings::BucketImport;
use super::sorted_out::{Left, Would};
use crate::import::file_id::key_of;
use crate::import::import_id::ImportId;
use crate::import::import_names::known;
use crate::import::importer::Importer;
use crate::import::journal::{Journal, JournalError};
use crate::sources::SourceId;

/// The most objects that are named.
const NAMED_MAX: usize = 20;

/// What a pass would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PassPlan {
    /// What it would count before it reads anything.
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

/// Lists the bucket of an import, and says what a pass would do now. Nothing is changed.
/// Errors: [`PassError`]: a pass could not begin, or not go on.
pub async fn plan_pass(import: Arc<BucketImport>, deps: PassDeps) -> Result<PassPlan, PassError> {
    let (name, fixed) = (import.name.clone(), import.fixed());
    let id = on_disk(&deps.journal, move |journal| known(journal, &name, &fixed)).await?;
    // An import that was not seen before knows nothing, whatever its id will be.
    let id = id.unwrap_or_else(|| ImportId::new(&*deps.random));
    let import = never_read_again(import, &deps.journal, (id, false)).await?;
    let objects = ObjectImport::new(import, deps, id);
    let mut plan = PassPlan::default();
    let mut archives = BTreeSet::new();
    let mut next: Option<String> = None;
    loop {
        let page = sorted_page(&objects, next.as_deref(), &mut plan.report).await?;
        let Some((left, after)) = page else {
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
