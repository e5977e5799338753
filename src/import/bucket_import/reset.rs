//! Lets objects begin again that are given up, or that changed after rows of them were stored.

use std::sync::Arc;
use std::time::Duration;

use super::admit::{Version, is_stored};
use super::cut_short::cut_short;
use super::deps::PassDeps;
use super::object_import::{ObjectImport, on_disk};
use super::object_state::{ObjectState, Stage, Standing};
use super::read_on::{ReadOn, Rest};
use super::rejected::settled::records_of;
use super::rules::Rules;
use super::settings::BucketImport;
use crate::import::claims::ClaimsError;
use crate::import::file_id::key_of;
use crate::import::import_id::ImportId;
use crate::import::import_names::{NameError, known};
use crate::import::importer::Importer;
use crate::import::journal::{Change, Journal, JournalError};
use crate::import::record::ImportState;
use crate::import::run::FileEnd;
use crate::log::ImportProgress;
use crate::sources::SourceId;
use crate::words::shell_word;

/// How long the store may take to say which version of an object is there.
const PATIENCE: Duration = Duration::from_secs(30);
/// The objects that one turn looks at. No import of an object can begin during a turn.
const AT_ONCE: usize = 1_000;
/// What an object does not have of which no row was read.
const NOTHING: &str = "there is nothing to reset";
/// The most objects that are named.
const NAMED_MAX: usize = 20;

closed_list! {
    /// Where an object begins again.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Begins by slug {
        /// At its next row.
        NextRow = "next_row",
        /// At the first row of the object that is there now: it is another one.
        NewObject = "new_object",
        /// Nowhere: the object is gone, and a person knows of it.
        Gone = "gone",
    }
}

/// An object that the next pass begins again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResetObject {
    /// Its name.
    pub name: String,
    /// Where it begins again.
    pub begins: Begins,
    /// Rows that were read of the object that was given up or replaced.
    pub rows: u64,
    /// Calls that are stored of them.
    pub calls: u64,
}

/// Objects that the next pass begins again, each at its next row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResetObjects {
    /// How many.
    pub count: u64,
    /// The names of the first ones.
    pub names: Vec<String>,
}

/// Why an object does not begin again.
#[derive(Debug, thiserror::Error)]
pub enum ResetError {
    /// The import cannot be used under its name, or its settings changed.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The journal cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// It is not known which files belong to other instances.
    #[error(transparent)]
    Claims(ClaimsError),
    /// There is nothing that could be changed: the text says what happens, and what to do.
    #[error("{0}")]
    Refused(String),
    /// The store does not say which version of the object is there.
    #[error("{name}: the store does not say which version is there")]
    Unknown {
        /// The object's name.
        name: String,
        /// How it ended; `None`: the store did not answer in time.
        end: Option<FileEnd>,
    },
}

impl From<ClaimsError> for ResetError {
    fn from(error: ClaimsError) -> Self {
        match error {
            ClaimsError::Journal(error) => Self::Journal(error),
            ClaimsError::Name(error) => Self::Name(error),
            error @ (ClaimsError::Unusable(_) | ClaimsError::Refused(_)) => Self::Claims(error),
        }
    }
}

/// What works with the objects of an import that has begun.
/// Errors: [`ResetError`]: the import cannot be used, or nothing has begun.
pub(super) async fn objects_of(
    import: Arc<BucketImport>,
    deps: PassDeps,
) -> Result<ObjectImport, ResetError> {
    let (name, fixed) = (import.name.clone(), import.fixed());
    let id = on_disk(&deps.journal, move |journal| known(journal, &name, &fixed)).await?;
    let never = || ResetError::Refused(format!("no file of import {} has begun here", import.name));
    Ok(ObjectImport::new(Arc::clone(&import), deps, id.ok_or_else(never)?))
}

/// Lets the object with this key begin again.
/// Errors: [`ResetError`]: nothing has changed.
pub async fn reset_object(
    import: Arc<BucketImport>,
    deps: PassDeps,
    key: &str,
) -> Result<ResetObject, ResetError> {
    let objects = objects_of(import, deps).await?;
    let (id, name) = (objects.id, objects.name_of(key));
    if let Some(instance) = objects.elsewhere(key).await? {
        return Err(ResetError::Refused(format!(
            "{name} belongs to the instance {instance}, which has its rows: reset it there"
        )));
    }
    let by = key.to_owned();
    if on_disk(&objects.deps.journal, move |journal| ObjectState::read(journal, id, &by)).await?.is_none() {
        return Err(ResetError::Refused(objects.nothing(key, NOTHING)));
    }
    let version = match tokio::time::timeout(PATIENCE, objects.version_now(key)).await {
        Ok(Ok(version)) => version,
        Ok(Err(None)) => return objects.accept_gone(key.to_owned()).await,
        Ok(Err(end)) => return Err(ResetError::Unknown { name, end }),
        Err(_) => return Err(ResetError::Unknown { name, end: None }),
    };
    let (importer, journal) = (Arc::clone(&objects.deps.importer), Arc::clone(&objects.deps.journal));
    let (import, rules, read_on) = (objects.import.name.clone(), objects.rules(), ReadOn::of(&objects));
    let work = move |journal: &dyn Journal| {
        let of_object = |name: &str, state: &ObjectState| read_on.rest(journal, name, state);
        reset_now(journal, &importer, &rules, (&import, &name), (&version, &of_object))
    };
    on_disk(&journal, work).await
}

impl ObjectImport {
    /// Why nothing can be done for an object that has not begun, or is none of this import. `what`: what it does not
    /// have.
    pub(super) fn nothing(&self, key: &str, what: &str) -> String {
        let (import, prefix, name) = (&self.import.name, &self.import.prefix, self.name_of(key));
        match key.starts_with(prefix.as_str()) {
            true => nothing(import, &name, key, what),
            false => format!("{name} is no object of import {import}: its keys begin with {prefix:?}"),
        }
    }
}

fn nothing(import: &str, name: &str, key: &str, what: &str) -> String {
    let key = shell_word(key);
    format!(
        "no row of {name} was read, so {what}. What the next pass does with it: forebay import run {import} --dry-run --from {key} --to {key}"
    )
}

/// Finds what of an object with this name is read on with the converter of now.
type RestOf<'r> = &'r dyn Fn(&str, &ObjectState) -> Result<Rest, JournalError>;

/// Lets an object begin again. The bucket has this version of it now. Waits for the disk.
fn reset_now(
    journal: &dyn Journal,
    importer: &Importer,
    rules: &Rules,
    (import, name): (&str, &str),
    (version, rest_of): (&Version, RestOf<'_>),
) -> Result<ResetObject, ResetError> {
    let Version { key, etag, len, file, .. } = version;
    let (id, source) = (rules.id, &rules.source);
    let refused = |what: String| Err(ResetError::Refused(what));
    let turn = importer.objects().turn();
    if turn.is_in_use(id, key) {
        return refused(format!("{name} is being read now: wait until the pass has ended"));
    }
    let Some(state) = ObjectState::read(journal, id, key)? else {
        return refused(nothing(import, name, key, NOTHING));
    };
    // Whatever the options are now.
    let standing = state.standing(etag, *len, &state.given_up_with);
    let goes_on = |what: &str| refused(format!("{name} is not given up: {what}"));
    let mut records = Vec::new();
    let (next, begins) = match standing {
        Standing::Done => {
            let key = shell_word(key);
            return refused(format!(
                "{name} is imported. To import all of its rows again: forebay import run {import} --again --from {key} \
                 --to {key}"
            ));
        }
        Standing::Poison => {
            let rest = rest_of(name, &state)?;
            if let Some(file) = rest.counts_otherwise {
                return refused(format!(
                    "rows of {file} are stored, and the converter of now would count its rows otherwise: set back fileType and csv \
                     of the converter to what they were, or remove the object and put it under another key"
                ));
            }
            records = rest.records;
            (state.clone().reset(), Begins::NextRow)
        }
        Standing::Wanted if state.is_of(etag, *len) => return goes_on("the next pass goes on with it"),
        _ if is_stored(importer, &state, standing, (id, source))? => {
            if state.stage != Stage::Done {
                cut_short(journal, importer, rules, (name, &state), ImportState::Replaced)?;
            }
            (state.other(etag, *len, *file, true).at(Stage::Waiting), Begins::NewObject)
        }
        _ => return goes_on("nothing of it is stored, and the next pass begins it as it is now"),
    };
    let progress = progress_of(journal, importer, (id, source), name, &state)?;
    let kept = [next.kept(id, key)?];
    journal.change(Change { records: &records, kept: &kept, ..Change::default() })?;
    drop(turn);
    let (rows, calls) = (progress.next_row, progress.stored);
    Ok(ResetObject { name: name.to_owned(), begins, rows, calls })
}

/// How far the files of an object with this name are, and the calls that are stored of them, also by retries. Waits for
/// the disk.
/// Errors: [`JournalError`]: the journal cannot be read.
pub(super) fn progress_of(
    journal: &dyn Journal,
    importer: &Importer,
    (id, source): (ImportId, &SourceId),
    name: &str,
    state: &ObjectState,
) -> Result<ImportProgress, JournalError> {
    let records = records_of(journal, importer, (id, source), name, state)?;
    let mut sum = ImportProgress::default();
    for record in records {
        sum = sum.plus(record.progress);
        let Some(file) = record.file else { continue };
        // What became calls of its rejected rows since.
        for round in 0..=record.retries.rounds {
            let key = key_of(file.rejects(record.generation, round), source, Some(id));
            sum.stored += importer.recorded(key)?.map_or(0, |round| round.progress.stored);
        }
    }
    Ok(sum)
}

/// Lets all objects of an import begin again that are given up, each at its next row; also those that were reset
/// before and are not done since.
/// Errors: [`ResetError`]: some may begin again, and others not.
pub async fn reset_failed(import: Arc<BucketImport>, deps: PassDeps) -> Result<ResetObjects, ResetError> {
    let objects = objects_of(import, deps).await?;
    let (id, importer) = (objects.id, Arc::clone(&objects.deps.importer));
    let (read_on, place) = (ReadOn::of(&objects), objects.name_of(""));
    let mut reset = ResetObjects::default();
    let mut next = Some(String::new());
    while let Some(from) = next.take() {
        let (importer, read_on, place) = (Arc::clone(&importer), read_on.clone(), place.clone());
        let some = move |journal: &dyn Journal| {
            let turn = importer.objects().turn();
            let rest_of =
                |key: &str, state: &ObjectState| read_on.rest(journal, &format!("{place}{key}"), state);
            reset_some(journal, id, (&from, AT_ONCE), (&|key: &str| turn.is_in_use(id, key), &rest_of))
        };
        let (keys, more) = on_disk(&objects.deps.journal, some).await?;
        reset.count += keys.len() as u64;
        let room = NAMED_MAX.saturating_sub(reset.names.len());
        reset.names.extend(keys.iter().take(room).map(|key| objects.name_of(key)));
        next = more;
    }
    Ok(reset)
}

/// Looks at the next objects from a key on, at most so many, and resets those that are given up. Returns
/// their keys, and the key from which others follow. `rest_of` takes a key. Waits for the disk.
fn reset_some(
    journal: &dyn Journal,
    id: ImportId,
    (from, most): (&str, usize),
    (is_in_use, rest_of): (&dyn Fn(&str) -> bool, RestOf<'_>),
) -> Result<(Vec<String>, Option<String>), JournalError> {
    let (mut looked_at, mut found, mut more) = (0, Vec::new(), None);
    ObjectState::each_from(journal, id, from, &mut |key, json| {
        if looked_at == most {
            more = Some(key.to_owned());
            return Ok(false);
        }
        looked_at += 1;
        let state = ObjectState::of_json(key, json)?;
        // One that was reset before, and is not done since, may have failed meanwhile.
        let is_not_done = matches!(state.stage, Stage::Open | Stage::Waiting) && state.resets > 0;
        if (state.stage == Stage::Poison || is_not_done) && !is_in_use(key) {
            found.push((key.to_owned(), state));
        }
        Ok(true)
    })?;
    let (mut keys, mut kept, mut records) = (Vec::new(), Vec::new(), Vec::new());
    for (key, state) in found {
        // A file whose rows would be counted otherwise goes on with its own converter.
        records.extend(rest_of(&key, &state)?.records);
        kept.push(state.reset().kept(id, &key)?);
        keys.push(key);
    }
    if !kept.is_empty() {
        journal.change(Change { records: &records, kept: &kept, ..Change::default() })?;
    }
    Ok((keys, more))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::journal::LocalJournal;

    #[test]
    fn a_turn_ends_after_so_many_objects_whether_they_are_given_up_or_not() {
        let journal = LocalJournal::over(redb::backends::InMemoryBackend::new()).unwrap();
        let (id, file) = (ImportId::of_bits(1), "unw446h7bvkguk7rnc2jjbggs4".parse().unwrap());
        let (done, poison) = (Stage::Done, Stage::Poison);
        for (key, stage) in [("a", done), ("b", poison), ("c", done), ("d", poison), ("e", poison)] {
            ObjectState::open("t", 5, file).at(stage).write(&journal, id, key).unwrap();
        }
        let some = |from: &str| {
            let nothing: RestOf<'_> = &|_, _| Ok(Rest::default());
            let is_in_use = |key: &str| key == "e";
            let (keys, more) = reset_some(&journal, id, (from, 2), (&is_in_use, nothing)).unwrap();
            (keys.concat(), more.unwrap_or_default())
        };
        assert_eq!(some(""), ("b".to_owned(), "c".to_owned()));
        assert_eq!(some("c"), ("d".to_owned(), "e".to_owned()));
        assert_eq!(some("e"), (String::new(), String::new()), "it is in use");
        assert_eq!(some(""), ("b".to_owned(), "c".to_owned()), "it is not done yet");
        ObjectState::open("t", 5, file).at(Stage::Waiting).write(&journal, id, "b").unwrap();
        assert_eq!(some(""), (String::new(), "c".to_owned()), "nobody reset it");
    }
}
