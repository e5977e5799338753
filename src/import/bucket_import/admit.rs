//! Decides about one version of an object by what the journal says of its key, and notes that its import
//! begins.

use super::cut_short::cut_short;
use super::decide::Skip;
use super::object_state::{IsStored, ObjectState, Stage, Standing};
use super::rules::Rules;
use super::settings::OnChange;
use crate::import::file_error::FileError;
use crate::import::file_id::{FileId, key_of};
use crate::import::import_id::ImportId;
use crate::import::importer::{Importer, has_stored};
use crate::import::journal::{Journal, JournalError};
use crate::import::objects_in_use::ObjectInUse;
use crate::import::reading::s3_object::S3Object;
use crate::import::record::{ImportState, LastError};
use crate::sources::SourceId;

/// A version of an object that may be imported.
#[derive(Clone, Debug)]
pub(super) struct Version {
    pub(super) key: String,
    pub(super) etag: String,
    pub(super) len: u64,
    /// The id of the object, as it follows from the version alone.
    pub(super) file: FileId,
    /// Whether the settings of now skip it. Only the version that its key has rows of goes on; another one never begins.
    pub(super) is_unwanted: bool,
}

impl Version {
    pub(super) fn of(object: &S3Object) -> Self {
        Self {
            key: object.key.as_str().to_owned(),
            etag: object.version.etag.clone(),
            len: object.len,
            file: object.ids().0,
            is_unwanted: false,
        }
    }

    /// Whether it does not take the place of one that has rows.
    fn is_left_out(&self, rules: &Rules) -> bool {
        self.is_unwanted || rules.on_change == OnChange::Ignore
    }
}

/// What becomes of a version.
#[derive(Debug)]
pub(super) enum Admission {
    /// Another version of the key is imported. `is_new`: it was not noted before that this one is left out.
    LeftOut { is_new: bool },
    /// It is imported.
    Done,
    /// It is given up, or was replaced before its end, for this reason.
    GivenUp(Stage, Option<LastError>),
    /// It is being imported by somebody else.
    InUse,
    /// Its import begins, or goes on. `anew`: it was done, and begins at its first row. `was_open`: an
    /// earlier pass began it, and what became of its files is not recorded. `replaced`: why the version before it
    /// ended before its last row, if rows of that are stored.
    Begins {
        state: Box<ObjectState>,
        anew: bool,
        was_open: bool,
        replaced: Option<FileError>,
        in_use: ObjectInUse,
    },
}

/// Whether calls of the version that is kept are stored, when another one was met. Waits for the disk.
/// Errors: [`JournalError`]: the journal cannot be read.
pub(super) fn is_stored(
    importer: &Importer,
    known: &ObjectState,
    standing: Standing,
    (id, source): (ImportId, &SourceId),
) -> Result<bool, JournalError> {
    Ok(match standing {
        Standing::Changed => true,
        Standing::Unsure => {
            let record = importer.recorded(key_of(known.file, source, Some(id)))?;
            record.is_some_and(|record| has_stored(record.progress))
        }
        Standing::Wanted | Standing::Done | Standing::Poison => false,
    })
}

/// Why an object is skipped, if `why` is what its key or a listing shows by the settings of now, and `known` what the
/// journal has of it: one that is half read goes on, or ends if another version is there. `version`: the tag and length
/// of the object, if only the same one goes on.
/// Errors: [`JournalError`]: the journal cannot be read.
pub(super) fn skip_of(
    why: Option<Skip>,
    known: Option<&ObjectState>,
    version: Option<(&str, u64)>,
    stored: IsStored<'_>,
) -> Result<Option<Skip>, JournalError> {
    let (Some(skip), Some(known)) = (why, known) else { return Ok(why) };
    let goes_on = !skip.is_for_half_read() && known.is_half_read(version, stored)?;
    Ok(why.filter(|_| !goes_on))
}

/// Whether the import of a version would begin or go on, if nobody else had the object. Waits for the disk.
/// Errors: [`JournalError`]: the journal cannot be read.
pub(super) fn may_begin(
    journal: &dyn Journal,
    importer: &Importer,
    version: &Version,
    rules: &Rules,
) -> Result<bool, JournalError> {
    let Some(known) = ObjectState::read(journal, rules.id, &version.key)? else { return Ok(true) };
    let standing = known.standing(&version.etag, version.len, &rules.options);
    Ok(match standing {
        Standing::Done => rules.again,
        Standing::Poison => false,
        _ if !version.is_left_out(rules) => true,
        _ => !is_stored(importer, &known, standing, (rules.id, &rules.source))?,
    })
}

/// Decides about a version. Waits for the disk.
/// Errors: [`JournalError`]: the journal cannot be used, and nothing begins.
pub(super) fn admit(
    journal: &dyn Journal,
    importer: &Importer,
    version: &Version,
    rules: &Rules,
) -> Result<Admission, JournalError> {
    let Version { key, etag, len, file, .. } = version;
    let turn = importer.objects().turn();
    if turn.is_in_use(rules.id, key) {
        return Ok(Admission::InUse);
    }
    let (ids, name) = ((rules.id, &rules.source), rules.name_of(key));
    let mut replaced = None;
    let known = ObjectState::read(journal, rules.id, key)?;
    let (mut state, anew, was_open) = match known {
        None => (ObjectState::open(etag, *len, *file), false, false),
        Some(mut known) => {
            let standing = known.standing(etag, *len, &rules.options);
            let is_stored = is_stored(importer, &known, standing, ids)?;
            if is_stored && version.is_left_out(rules) {
                let is_new = !known.has_left_out(etag);
                if is_new {
                    if known.stage != Stage::Done {
                        let of = (name.as_str(), &known);
                        let why = cut_short(journal, importer, rules, of, ImportState::Changed)?;
                        known.changed(&why);
                    }
                    known.leave_out(etag);
                    known.write(journal, rules.id, key)?;
                }
                return Ok(match known.stage {
                    Stage::Changed => Admission::GivenUp(known.stage, known.error),
                    _ => Admission::LeftOut { is_new },
                });
            }
            match standing {
                Standing::Done if rules.again => (known, true, false),
                Standing::Done => return Ok(Admission::Done),
                Standing::Poison => return Ok(Admission::GivenUp(known.stage, known.error)),
                _ if known.is_of(etag, *len) => {
                    let was_open = known.stage == Stage::Open;
                    (known, false, was_open)
                }
                _ => {
                    if known.stage != Stage::Done {
                        let of = (name.as_str(), &known);
                        let why = cut_short(journal, importer, rules, of, ImportState::Replaced)?;
                        // Of one that was replaced before, a person knows.
                        replaced = Some(why).filter(|_| is_stored && known.stage != Stage::Changed);
                    }
                    let other = known.other(etag, *len, *file, is_stored);
                    if other.stage == Stage::Done && !rules.again {
                        other.write(journal, rules.id, key)?;
                        return Ok(Admission::Done);
                    }
                    let anew = other.stage == Stage::Done;
                    (other, anew, false)
                }
            }
        }
    };
    if state.stage == Stage::Poison {
        // The options are others now.
        (state.attempts, state.given_up_with) = (0, String::new());
    }
    state.stage = Stage::Open;
    state.write(journal, rules.id, key)?;
    let in_use = turn.take(rules.id, key);
    Ok(match in_use {
        Some(in_use) => Admission::Begins { state: Box::new(state), anew, was_open, replaced, in_use },
        None => Admission::InUse,
    })
}
