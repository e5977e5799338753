//! Does for one object what is to be done once it is imported.

use std::sync::Arc;

use super::action::{After, Step, Tagged, next, tagged};
use super::entry::{AfterEntry, Kept};
use super::mark::{BEFORE, MARK, before, folders_of, mark, moved_from};
use super::report::{AfterDone, AfterWaits};
use crate::import::bucket_import::look::is_gone;
use crate::import::bucket_import::object_import::ObjectImport;
use crate::import::bucket_import::object_state::{ObjectState, Stage, bare};
use crate::import::claims::{Known, SharedImport};
use crate::import::import_id::ImportId;
use crate::import::importer::Importer;
use crate::import::journal::{Change, Journal, JournalError};
use crate::import::objects_in_use::ObjectInUse;
use crate::object::ObjectKey;
use crate::planted_bugs::{PlantedBug, planted};
use crate::store::changer::{ObjectCopy, StoreChanger};
use crate::store::reader::StoreReader;
use crate::store::{Head, ObjectVersion, Outlook, StoreError};
use crate::words::Told;

/// How often the object is looked at if another one takes its place meanwhile.
const LOOKS_MAX: usize = 3;

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Acted {
    /// It is done.
    Done(AfterDone),
    /// It is not done.
    Waits(AfterWaits, Option<Told>),
    /// There was nothing to do, or the object is being imported.
    Nothing,
}

impl Acted {
    /// What was done.
    pub(super) fn done(&self) -> Option<AfterDone> {
        if let Self::Done(done) = self { Some(*done) } else { None }
    }

    /// Whether a request failed.
    pub(super) fn has_failed(&self) -> bool {
        use AfterWaits::{Denied, ManyTags, Refused, Unreachable};
        matches!(self, Self::Waits(Denied | ManyTags | Refused | Unreachable, _))
    }
}

impl From<StoreError> for Acted {
    fn from(error: StoreError) -> Self {
        let why = match error.outlook() {
            Outlook::Denied => AfterWaits::Denied,
            Outlook::Passing => AfterWaits::Unreachable,
            Outlook::Missing | Outlook::Changed | Outlook::Refused => AfterWaits::Refused,
        };
        Self::Waits(why, Some(error.told()))
    }
}

/// What the store has under the key of an object.
enum Now {
    /// The imported object.
    Same(Box<Head>, ObjectVersion),
    /// Another one.
    Other,
    Gone,
}

/// An object that nobody else has, and its entry.
struct Taken {
    entry: AfterEntry,
    _in_use: ObjectInUse,
}

/// Does with an object what `after` says, if that is to be done.
/// Errors: [`JournalError`]: the journal cannot be used; it will be done by a later pass.
pub(in super::super) async fn act(
    objects: &ObjectImport,
    (after, changer): (&After, &dyn StoreChanger),
    key: &str,
) -> Result<Acted, JournalError> {
    let (id, importer, of) = (objects.id, Arc::clone(&objects.deps.importer), key.to_owned());
    let shared = objects.claims.as_ref().map(|claims| Arc::clone(&claims.shared));
    let taken = move |journal: &dyn Journal| match shared {
        Some(shared) => take_delivered(journal, (&importer, &shared), id, &of),
        None => take(journal, &importer, id, &of),
    };
    let taken = match objects.on_disk(taken).await? {
        Ok(taken) => taken,
        Err(acted) => return Ok(acted),
    };
    let acted = match next(after, &objects.import.prefix, key, &taken.entry) {
        Err(why) => return Ok(Acted::Waits(why, None)),
        Ok(step) => {
            do_step(objects, changer, &ObjectKey::listed(key.to_owned()), (&step, &taken.entry)).await
        }
    };
    let kept = match &acted {
        Acted::Done(_) => AfterEntry::removed(id, key),
        Acted::Waits(AfterWaits::Changed, _) => {
            tracing::warn!(
                "{} was replaced after it was imported, and stays: the import's `after` is not for the new object",
                objects.name_of(key)
            );
            taken.entry.clone().with(Some(Kept::Changed)).kept(id, key)?
        }
        _ => return Ok(acted),
    };
    // If this is not noted, a later pass finds the object as it is now.
    objects.on_disk(move |journal| journal.change(Change { kept: &[kept], ..Change::default() })).await?;
    drop(taken);
    Ok(acted)
}

/// As [`take`], of a file that instances share: only once its claim says that its rows are delivered. If this disk
/// is lost before, whoever releases the claim imports the file again, and needs it. Waits for the disk.
fn take_delivered(
    journal: &dyn Journal,
    (importer, shared): (&Importer, &SharedImport),
    id: ImportId,
    key: &str,
) -> Result<Result<Taken, Acted>, JournalError> {
    if let Known::Theirs { .. } = shared.look(journal, id, key)? {
        // It was released, and what is to be done with it is up to the instance that has it now.
        let turn = importer.objects().turn();
        if !turn.is_in_use(id, key) && AfterEntry::read(journal, id, key)?.is_some() {
            journal.change(Change { kept: &[AfterEntry::removed(id, key)], ..Change::default() })?;
        }
        return Ok(Err(Acted::Nothing));
    }
    let taken = take(journal, importer, id, key)?;
    // Rejected rows are read again, which opens the claim, only by who has taken the object.
    let is_undelivered = taken.is_ok() && !shared.is_closed(journal, id, key)?;
    if is_undelivered && !planted(PlantedBug::ActedBeforeDelivery) {
        return Ok(Err(Acted::Waits(AfterWaits::Due, None)));
    }
    Ok(taken)
}

/// Takes an object for which something is to be done, so that no import of it goes on meanwhile. Waits for
/// the disk.
fn take(
    journal: &dyn Journal,
    importer: &Importer,
    id: ImportId,
    key: &str,
) -> Result<Result<Taken, Acted>, JournalError> {
    let turn = importer.objects().turn();
    if turn.is_in_use(id, key) {
        return Ok(Err(Acted::Nothing));
    }
    let entry = match AfterEntry::read(journal, id, key)? {
        None => return Ok(Err(Acted::Nothing)),
        Some(Err(what)) => return Ok(Err(Acted::Waits(AfterWaits::Unreadable, Some(Told::plain(what))))),
        Some(Ok(entry)) => entry,
    };
    let Some(state) = ObjectState::read(journal, id, key)?.filter(|state| state.stage == Stage::Done) else {
        // It is imported again, and the end of that writes the entry anew.
        return Ok(Err(Acted::Nothing));
    };
    if !state.is_of(&entry.etag, entry.size) {
        // Another version was imported after this one, while nothing was to be done with it.
        journal.change(Change { kept: &[AfterEntry::removed(id, key)], ..Change::default() })?;
        return Ok(Err(Acted::Nothing));
    }
    let in_use = turn.take(id, key);
    Ok(in_use.map(|_in_use| Taken { entry, _in_use }).ok_or(Acted::Nothing))
}

/// Does what is next, as long as the object is the imported one.
async fn do_step(
    objects: &ObjectImport,
    changer: &dyn StoreChanger,
    key: &ObjectKey,
    (step, entry): (&Step, &AfterEntry),
) -> Acted {
    let mut failed = None;
    for _ in 0..LOOKS_MAX {
        let (head, version) = match now(objects, changer, key, entry).await {
            Ok(Now::Same(head, version)) => (head, version),
            Ok(Now::Other) => return Acted::Waits(AfterWaits::Changed, None),
            Ok(Now::Gone) => return Acted::Done(AfterDone::Gone),
            Err(error) => return error.into(),
        };
        let done = match step {
            Step::Tag => tag(objects, changer, key, &version).await,
            Step::Move(to) => moved(objects, changer, (key, to), (&head, &version, entry.size)).await,
            Step::Delete => delete(objects, changer, key, &version).await,
        };
        match done {
            Ok(acted) => return acted,
            // It may be another one now, or gone.
            Err(error) if matches!(error.outlook(), Outlook::Changed | Outlook::Missing) => {
                failed = Some(error);
            }
            Err(error) => return error.into(),
        }
    }
    failed.map_or(Acted::Nothing, Acted::from)
}

/// Looks at what is under the key.
async fn now(
    objects: &ObjectImport,
    store: &dyn StoreReader,
    key: &ObjectKey,
    entry: &AfterEntry,
) -> Result<Now, StoreError> {
    let location = &objects.import.location;
    let head = match store.head_of(location, key, None).await {
        Ok(head) => head,
        Err(error) => match error.outlook() {
            Outlook::Missing => return Ok(Now::Gone),
            // S3 answers 403 for a missing object if the role may not list the whole bucket.
            Outlook::Denied if is_gone(store, location, key.as_str()).await => return Ok(Now::Gone),
            _ => return Err(error),
        },
    };
    let (version, len) = head.pinned()?;
    let is_same = bare(&version.etag) == entry.etag && len == entry.size;
    let version = version.clone();
    Ok(if is_same { Now::Same(Box::new(head), version) } else { Now::Other })
}

async fn tag(
    objects: &ObjectImport,
    changer: &dyn StoreChanger,
    key: &ObjectKey,
    version: &ObjectVersion,
) -> Result<Acted, StoreError> {
    let location = &objects.import.location;
    match tagged(changer.tags(location, key, version).await?, &objects.import.name) {
        Tagged::Already => {}
        Tagged::With(tags) => changer.tag(location, key, version, &tags).await?,
        Tagged::TooMany => return Ok(Acted::Waits(AfterWaits::ManyTags, None)),
    }
    Ok(Acted::Done(AfterDone::Tagged))
}

/// Why an object is not moved to a key: another import has moved it away from there, now or earlier, and
/// would read it again. The new mark takes the place of the one that says so. `folders`: those in which it
/// was.
fn back_again(folders: &[String], to: &str) -> Option<String> {
    let folder = folders.iter().find(|folder| to.starts_with(folder.as_str()))?;
    let below = if folder.is_empty() { "the whole bucket" } else { folder.as_str() };
    Some(format!(
        "an import that reads {below} has moved it away from there, and would read it again at {to}: choose a prefix of \
         move outside, or tag or delete"
    ))
}

/// Copies the object, and deletes it once the copy is there, with its mark. Both only if it is still this version: a
/// copy without the delete is made again.
async fn moved(
    objects: &ObjectImport,
    changer: &dyn StoreChanger,
    (from, to): (&ObjectKey, &ObjectKey),
    (head, version, len): (&Head, &ObjectVersion, u64),
) -> Result<Acted, StoreError> {
    let (location, prefix) = (&objects.import.location, &objects.import.prefix);
    let bucket = location.bucket.bucket();
    let folders = folders_of(&head.metadata, (bucket, from.as_str()));
    if let Some(why) = back_again(&folders, to.as_str()) {
        return Ok(Acted::Waits(AfterWaits::Refused, Some(Told::plain(why))));
    }
    let mut metadata = head.metadata.clone();
    metadata.insert(MARK.to_owned(), mark(bucket, prefix, (from.as_str(), to.as_str())));
    metadata.remove(BEFORE);
    metadata.extend(before((bucket, to.as_str()), &folders).map(|value| (BEFORE.to_owned(), value)));
    let copy = ObjectCopy {
        from: from.clone(),
        to: to.clone(),
        etag: version.etag.clone(),
        len,
        encryption: head.applied.clone(),
        storage_class: head.storage_class.clone(),
        content_encoding: head.content_encoding.clone(),
        metadata,
        headers: head.headers.clone(),
    };
    changer.copy(location, &copy).await?;
    let there = changer.head_of(location, &copy.to, None).await;
    let lacks = match there.and_then(|there| Ok((there.length()?, there))) {
        Ok((there, _)) if there != len => format!("has {there} bytes instead of {len}"),
        // Without it, another instance could import the copy.
        Ok((_, there)) if moved_from(&there.metadata, (bucket, to.as_str())).is_none() => {
            format!("lacks the metadata {MARK}, which the store did not keep")
        }
        Ok(_) => String::new(),
        // What is missing is the copy, not the object.
        Err(error) => return Ok(error.into()),
    };
    if !lacks.is_empty() {
        let what = format!("the copy {} {lacks}", to.as_str());
        return Ok(Acted::Waits(AfterWaits::Refused, Some(Told::plain(what))));
    }
    Ok(match delete(objects, changer, &copy.from, version).await? {
        Acted::Done(_) => Acted::Done(AfterDone::Moved),
        other => other,
    })
}

async fn delete(
    objects: &ObjectImport,
    changer: &dyn StoreChanger,
    key: &ObjectKey,
    version: &ObjectVersion,
) -> Result<Acted, StoreError> {
    changer.delete(&objects.import.location, key, &version.etag).await?;
    Ok(Acted::Done(AfterDone::Deleted))
}
