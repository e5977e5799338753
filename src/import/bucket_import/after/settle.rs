//! Settles the rejected rows of objects, so that they are no longer kept because of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::entry::{AfterEntry, Kept};
use crate::import::bucket_import::deps::PassDeps;
use crate::import::bucket_import::object_import::ObjectImport;
use crate::import::bucket_import::object_state::ObjectState;
use crate::import::bucket_import::rejected::find::{objects_named, with_rejects};
use crate::import::bucket_import::rejected::set::{Set, remove};
use crate::import::bucket_import::rejected::settled::records_of;
use crate::import::bucket_import::reset::{ResetError, objects_of};
use crate::import::bucket_import::settings::BucketImport;
use crate::import::file_id::key_of;
use crate::import::import_id::ImportId;
use crate::import::importer::Importer;
use crate::import::journal::{Change, Journal, JournalError};
use crate::import::record::{ImportRecord, ImportState};
use crate::import::reject_counts::RejectCounts;
use crate::log::{ImportKey, ImportProgress};
use crate::sources::SourceId;

/// The objects that one turn looks at.
const AT_ONCE: usize = 1_000;
/// The most objects that are named.
const NAMED_MAX: usize = 20;

/// Objects whose rejected rows are settled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SettledObjects {
    /// How many.
    pub count: u64,
    /// The names of the first ones.
    pub names: Vec<String>,
    /// Rows of all of them that were rejected until now.
    pub rows: u64,
}

/// What became of the rejected rows of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Settled {
    /// So many are settled: the next pass does what is to be done with the object.
    Rows(u64),
    /// The object is not kept because of rejected rows.
    NotKept,
    /// The object is being imported now, or something is being done with it.
    InUse,
}

/// Says that the rejected rows of an object are settled, which nobody has: all are stored, or a person does
/// without them. `first` is done before, while nobody else has the object. Waits for the disk.
/// Errors: [`JournalError`]: the object is still kept because of them.
fn settle_rejects(
    journal: &dyn Journal,
    importer: &Importer,
    (id, key): (ImportId, &str),
    first: impl FnOnce() -> Result<(), JournalError>,
) -> Result<Settled, JournalError> {
    let Some(in_use) = importer.objects().turn().take(id, key) else { return Ok(Settled::InUse) };
    first()?;
    let entry = AfterEntry::read(journal, id, key)?.and_then(Result::ok);
    let Some((due, rows)) = entry.and_then(settled) else { return Ok(Settled::NotKept) };
    journal.change(Change { kept: &[due.kept(id, key)?], ..Change::default() })?;
    drop(in_use);
    Ok(Settled::Rows(rows))
}

/// Settles the rejected rows of an object without which a person does: those in these records, of the version that is
/// there now and of those before it. Waits for the disk. Errors: [`JournalError`]: the same again goes on.
fn accept(
    journal: &dyn Journal,
    objects: &ObjectImport,
    key: &str,
    records: &[ImportKey],
) -> Result<Settled, JournalError> {
    let mut rows = 0;
    // Rows that can still be read are given up only once no others are left.
    let unreadable = not_readable(journal, objects, key, records)?;
    if !unreadable.is_empty() && unreadable.len() < records.len() {
        let turn = objects.deps.importer.objects().turn();
        let Some(in_use) = turn.take(objects.id, key) else { return Ok(Settled::InUse) };
        for record in &unreadable {
            rows += forget_rejects(objects, *record)?;
        }
        drop(in_use);
        return Ok(Settled::Rows(rows));
    }
    let settled = settle_rejects(journal, &objects.deps.importer, (objects.id, key), || {
        for record in records {
            rows += forget_rejects(objects, *record)?;
        }
        Ok(())
    })?;
    // What an object is kept for was counted before a retry of its rows, which may have stored all of them.
    Ok(match settled {
        Settled::Rows(kept) if records.is_empty() => {
            let (of, name) = ((objects.id, &objects.import.source), objects.name_of(key));
            let left = left_of(journal, &objects.deps.importer, of, (&name, key))?;
            Settled::Rows(left.map_or(kept, |left| left.rows))
        }
        Settled::Rows(_) => Settled::Rows(rows),
        Settled::NotKept if rows > 0 => Settled::Rows(rows),
        settled => settled,
    })
}

/// Says in the record of a file that none of its rejected rows is to be read again, and removes those that are kept in
/// the folder. Returns how many are given up by that: a round that was stopped in the middle has read some already. Waits
/// for the disk.
fn forget_rejects(objects: &ObjectImport, of: ImportKey) -> Result<u64, JournalError> {
    let (id, source, importer) = (objects.id, &objects.import.source, &objects.deps.importer);
    let Some(record) = importer.recorded(of)? else { return Ok(0) };
    let Some(file) = record.file else { return Ok(0) };
    let set = Set { file, generation: record.generation, rounds: record.retries.rounds };
    // A round that was stopped in the middle has a record and a set of its own.
    let round = key_of(file.rejects(set.generation, set.rounds), source, Some(id));
    importer.settle(round)?;
    let read_again = importer.recorded(round)?.map_or(0, |round| {
        let ImportProgress { next_row, rejected, .. } = round.progress;
        next_row.saturating_sub(rejected)
    });
    let accepted = record.unsettled_rejects().saturating_sub(read_again);
    let forget = |record: &mut ImportRecord| {
        record.retries.settled = record.progress.rejected;
        record.retries.under_way = String::new();
        record.retries.in_store = Vec::new();
        record.rejects = RejectCounts::default();
        record.rejects_file = None;
    };
    importer.change_record(record.key, |record| {
        // The same again, after a crash, finds none that are not settled.
        if record.unsettled_rejects() > 0 {
            record.retries.accepted += accepted;
        }
        forget(record);
    })?;
    importer.change_record(round, |record| {
        // Nothing goes on with it.
        record.retries.is_round = true;
        if record.state != ImportState::Done {
            (record.state, record.error, record.ended_at) = (ImportState::Done, None, Some(objects.now));
        }
        forget(record);
    })?;
    for set in [set, set.next()] {
        remove(&objects.import.rejects.file(id, set));
    }
    Ok(accepted)
}

/// The entry of an object once its rejected rows are settled, and how many there were. `None`: the object is not
/// kept because of rejected rows.
fn settled(entry: AfterEntry) -> Option<(AfterEntry, u64)> {
    match entry.kept {
        Some(Kept::Rejected(rows)) => Some((entry.with(None), rows)),
        Some(Kept::Changed) | None => None,
    }
}

/// Settles the rejected rows of the object with this key, although they are not stored.
/// Errors: [`ResetError`]: nothing has changed.
pub async fn accept_rejects(
    import: Arc<BucketImport>,
    deps: PassDeps,
    key: &str,
) -> Result<SettledObjects, ResetError> {
    let objects = Arc::new(objects_of(import, deps).await?);
    let (name, of, by) = (objects.name_of(key), Arc::clone(&objects), key.to_owned());
    let accept = move |journal: &dyn Journal| {
        let records = rejecting(journal, &of)?.remove(&by).unwrap_or_default();
        accept(journal, &of, &by, &records)
    };
    let settled = objects.on_disk(accept).await?;
    match settled {
        Settled::Rows(rows) => Ok(SettledObjects { count: 1, names: vec![name], rows }),
        Settled::InUse => {
            let what = format!("{name} is being read now: wait until the pass has ended");
            Err(ResetError::Refused(what))
        }
        Settled::NotKept => {
            let what = format!(
                "{name} has no rejected rows that wait: `forebay import list --import {}` shows which files have",
                objects.import.name
            );
            Err(ResetError::Refused(what))
        }
    }
}

/// Settles the rejected rows of all objects that are kept because of them.
/// Errors: [`ResetError`]: those of some may be settled, and others not.
pub async fn accept_all_rejects(
    import: Arc<BucketImport>,
    deps: PassDeps,
) -> Result<SettledObjects, ResetError> {
    let objects = Arc::new(objects_of(import, deps).await?);
    let (mut all, mut next) = (SettledObjects::default(), Some(String::new()));
    let of = Arc::clone(&objects);
    let mut records = objects.on_disk(move |journal| rejecting(journal, &of)).await?;
    while let Some(keys) = next_kept(&objects, &mut next).await? {
        for key in keys {
            let of_key = records.remove(&key).unwrap_or_default();
            all.accept(&objects, key, of_key).await?;
        }
    }
    // Nothing is to be done with these files afterwards.
    for (key, of_key) in records {
        all.accept(&objects, key, of_key).await?;
    }
    Ok(all)
}

/// Settles the objects that are kept because of rejected rows although each of these rows has become a call or was
/// left out since, and notes of others how many such rows they still have.
/// A retry that is killed before this leaves it to the next one, or to the next pass over all keys, which looks only at
/// objects that `were_retried`: one that is being imported again is kept for rows that are not read yet.
/// Errors: [`JournalError`]: those of some may be settled, and others not.
pub(in super::super) async fn settle_stored(
    objects: &ObjectImport,
    were_retried: bool,
) -> Result<(), JournalError> {
    let (id, mut next) = (objects.id, Some(String::new()));
    while let Some(keys) = next_kept(objects, &mut next).await? {
        for key in keys {
            let (importer, source) = (Arc::clone(&objects.deps.importer), objects.import.source.clone());
            let name = objects.name_of(&key);
            let settle =
                move |journal: &dyn Journal| match left_of(journal, &importer, (id, &source), (&name, &key))?
                {
                    Some(left) if were_retried && !left.were_retried => Ok(()),
                    Some(Left { rows: 0, .. }) => {
                        settle_rejects(journal, &importer, (id, &key), || Ok(())).map(drop)
                    }
                    Some(left) => note_left(journal, &importer, (id, &key), left.rows),
                    None => Ok(()),
                };
            objects.on_disk(settle).await?;
        }
    }
    Ok(())
}

/// The next keys of objects that are kept because of rejected rows, from the key `next` on, which becomes the one from
/// which others follow. `None`: there are no more.
async fn next_kept(
    objects: &ObjectImport,
    next: &mut Option<String>,
) -> Result<Option<Vec<String>>, JournalError> {
    let Some(from) = next.take() else { return Ok(None) };
    let id = objects.id;
    let (keys, more) = objects.on_disk(move |journal| kept_for_rejects(journal, id, &from)).await?;
    *next = more;
    Ok(Some(keys))
}

/// The next keys of objects that are kept because of rejected rows, and the key from which others follow.
fn kept_for_rejects(
    journal: &dyn Journal,
    id: ImportId,
    from: &str,
) -> Result<(Vec<String>, Option<String>), JournalError> {
    let (mut looked_at, mut keys, mut more) = (0, Vec::new(), None);
    AfterEntry::each_from(journal, id, from, &mut |key, entry| {
        if looked_at == AT_ONCE {
            more = Some(key.to_owned());
            return false;
        }
        looked_at += 1;
        if entry.is_ok_and(|entry| settled(entry).is_some()) {
            keys.push(key.to_owned());
        }
        true
    })?;
    Ok((keys, more))
}

/// What is left of the rejected rows of an object.
struct Left {
    /// Rows that are still rejected. Those that the collector refused are among them: they are not read again.
    rows: u64,
    /// Whether all of its files are done, and some of their rows were read again.
    were_retried: bool,
}

/// How many rows of an object are still rejected. `None`: it is not known.
fn left_of(
    journal: &dyn Journal,
    importer: &Importer,
    of: (ImportId, &SourceId),
    (name, key): (&str, &str),
) -> Result<Option<Left>, JournalError> {
    let Some(state) = ObjectState::read(journal, of.0, key)? else { return Ok(None) };
    let records = records_of(journal, importer, of, name, &state)?;
    let left = |record: &ImportRecord| record.unsettled_rejects() + record.progress.refused;
    let are_done = records.iter().all(|record| record.state == ImportState::Done);
    let were_retried = are_done && records.iter().any(|record| record.retries.rounds > 0);
    Ok((!records.is_empty()).then(|| Left { rows: records.iter().map(left).sum(), were_retried }))
}

/// Notes how many rejected rows an object is kept for. Waits for the disk.
fn note_left(
    journal: &dyn Journal,
    importer: &Importer,
    (id, key): (ImportId, &str),
    left: u64,
) -> Result<(), JournalError> {
    // If it is in use, the next retry notes it.
    let Some(_in_use) = importer.objects().turn().take(id, key) else { return Ok(()) };
    let entry = AfterEntry::read(journal, id, key)?.and_then(Result::ok);
    let is_other = |entry: &AfterEntry| matches!(entry.kept, Some(Kept::Rejected(rows)) if rows != left);
    let Some(entry) = entry.filter(is_other) else { return Ok(()) };
    let kept = entry.with(Some(Kept::Rejected(left))).kept(id, key)?;
    journal.change(Change { kept: &[kept], ..Change::default() })
}

impl SettledObjects {
    /// Settles the rejected rows of one more object.
    async fn accept(
        &mut self,
        objects: &Arc<ObjectImport>,
        key: String,
        records: Vec<ImportKey>,
    ) -> Result<(), JournalError> {
        let (name, of) = (objects.name_of(&key), Arc::clone(objects));
        let settled = objects.on_disk(move |journal| accept(journal, &of, &key, &records)).await?;
        if let Settled::Rows(rows) = settled {
            self.count += 1;
            self.rows += rows;
            if self.names.len() < NAMED_MAX {
                self.names.push(name);
            }
        }
        Ok(())
    }
}

/// The records of files with rejected rows that are not settled, by the keys of their objects. Reads the whole journal.
/// Errors: [`JournalError`]: the journal cannot be read.
fn rejecting(
    journal: &dyn Journal,
    objects: &ObjectImport,
) -> Result<BTreeMap<String, Vec<ImportKey>>, JournalError> {
    let (id, importer, place) = (objects.id, &objects.deps.importer, objects.name_of(""));
    let mut rejecting: BTreeMap<String, Vec<ImportKey>> = BTreeMap::new();
    for of in with_rejects(journal, importer, id)? {
        let Some(record) = importer.recorded(of)?.filter(|record| !record.retries.is_round) else { continue };
        let Some(rest) = record.name.strip_prefix(&place) else { continue };
        for (object, _) in objects_named(rest) {
            if ObjectState::read(journal, id, object)?.is_some() {
                rejecting.entry(object.to_owned()).or_default().push(of);
                break;
            }
        }
    }
    Ok(rejecting)
}

/// Those of these records of an object whose rejected rows can surely not be read again: they are of a version before the
/// one that is there. Errors: [`JournalError`]: the journal cannot be read.
fn not_readable(
    journal: &dyn Journal,
    objects: &ObjectImport,
    key: &str,
    records: &[ImportKey],
) -> Result<Vec<ImportKey>, JournalError> {
    let Some(state) = ObjectState::read(journal, objects.id, key)? else { return Ok(Vec::new()) };
    let of = (objects.id, &objects.import.source);
    let now = records_of(journal, &objects.deps.importer, of, &objects.name_of(key), &state)?;
    let is_there =
        |of: &ImportKey| now.iter().any(|record| record.key == *of && !record.state.is_cut_short());
    Ok(records.iter().copied().filter(|of| !is_there(of)).collect())
}
