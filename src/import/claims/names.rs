//! The names of imports that instances share: `names/<name>.json` in the shared journal.

use std::sync::Arc;

use super::decide::{NameTurn, name_turn};
use super::files::ClaimFiles;
use super::form::{Checked as _, SharedName};
use super::shared::{ClaimsError, SharedImport, changes, unusable};
use crate::import::import_id::ImportId;
use crate::import::import_names::{FixedSettings, NameError, adopt, named};
use crate::import::importer::Importer;
use crate::import::journal::{Journal, JournalError};
use crate::import::on_disk::on_disk;
use crate::import::shared_progress::{Tag, WriteError};

/// How often a name is looked at again that changes meanwhile, or whose answer is lost.
const TRIES: usize = 5;

/// An import, and where its name is kept here.
#[derive(Clone, Debug)]
pub struct NameWith {
    /// The journal of this instance.
    pub journal: Arc<dyn Journal>,
    /// Whoever changes a name takes turns.
    pub importer: Arc<Importer>,
    /// The import's name.
    pub name: String,
    /// Its settings that cannot change.
    pub fixed: FixedSettings,
}

/// The id of an import that is shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SharedId {
    /// It is known to others, or is when a file begins.
    Is(ImportId),
    /// What was imported so far has to be claimed first.
    Bring(ImportId),
}

impl SharedImport {
    /// The id of an import that the journal here has seen. With `begins`, a file is about to begin: from then
    /// on other instances know the name. Errors: [`ClaimsError`]: nothing may begin under the name.
    pub(crate) async fn id(&self, with: &NameWith, begins: bool) -> Result<SharedId, ClaimsError> {
        let name = with.name.clone();
        for _ in 0..TRIES {
            let there = read(&*self.files, &name).await?.map(|(there, _)| there);
            let of = name.clone();
            let here = on_disk(&with.journal, move |journal| named(journal, &of)).await?;
            let refused = |what: String| Err(ClaimsError::Refused(format!("import {name}: {what}")));
            let url = self.url();
            let id = match name_turn(here.as_ref(), there.as_ref(), &with.fixed) {
                NameTurn::Use(id) => return Ok(SharedId::Is(id)),
                NameTurn::Adopt(id) => {
                    let with_of = with.clone();
                    let work = move |journal: &dyn Journal| {
                        let NameWith { importer, name, fixed, .. } = &with_of;
                        importer.with_names(|| adopt(journal, name, (id, fixed)))
                    };
                    on_disk(&with.journal, work).await?;
                    return Ok(SharedId::Is(id));
                }
                NameTurn::Fixed(changes) => return Err(NameError::Fixed { name, changes }.into()),
                NameTurn::Renamed(now) => {
                    return refused(format!(
                        "another instance gave it the name {now}: write name = \"{now}\" in the configuration here, too"
                    ));
                }
                NameTurn::OwnHistory => {
                    return refused(format!(
                        "files of it have begun here before, and another instance has made the name in {url}: only one of the \
                         two histories can be shared. Set journal = \"local\" here, or begin a new import under another name"
                    ));
                }
                NameTurn::Gone => {
                    return refused(format!(
                        "{url}{} is gone. Without it, an instance that comes new would import all files again: put it back",
                        path_of(&name)
                    ));
                }
                NameTurn::Bring => match here {
                    Some(here) => return Ok(SharedId::Bring(here.id)),
                    None => continue,
                },
                NameTurn::Make => match here {
                    Some(here) => here.id,
                    None => return Err(JournalError::of("the import's name was just removed").into()),
                },
            };
            if !begins || self.make(&name, id, &with.fixed).await? {
                return Ok(SharedId::Is(id));
            }
        }
        Err(changes(path_of(&with.name)))
    }

    /// Makes a name that nobody has made. `false`: look again.
    pub(crate) async fn make(
        &self,
        name: &str,
        id: ImportId,
        fixed: &FixedSettings,
    ) -> Result<bool, ClaimsError> {
        let shared = SharedName::new(name, id, fixed.clone(), &self.instance);
        written(&*self.files, &shared, None).await
    }
}

/// Gives the name `new` to the import that instances share as `old`, and marks the old name. Returns whether there is
/// such an import. The same again does no harm. Errors: [`ClaimsError`]: the old name may be marked or not; the same command goes on.
pub async fn rename_shared(
    files: &dyn ClaimFiles,
    instance: &str,
    (old, new): (&str, &str),
) -> Result<bool, ClaimsError> {
    for _ in 0..TRIES {
        let Some((of_old, tag)) = read(files, old).await? else {
            // No file has begun anywhere.
            return Ok(false);
        };
        let taken = || ClaimsError::Name(NameError::Taken(new.to_owned()));
        let of_new = read(files, new).await?;
        let replaces = match (&of_new, of_old.renamed_to.as_deref()) {
            (Some((other, _)), _) if other.id != of_old.id => return Err(taken()),
            (Some((other, _)), Some(marked)) if other.renamed_to.is_none() && marked == new => {
                return Ok(true);
            }
            // It had this name before.
            (Some((other, tag)), None) if other.renamed_to.is_some() => Some(tag),
            (_, Some(marked)) => {
                let what = format!("import {old} was already given the name {marked}");
                return Err(ClaimsError::Refused(what));
            }
            _ => None,
        };
        let is_new_there = of_new.as_ref().is_some_and(|(other, _)| other.renamed_to.is_none());
        let shared = SharedName::new(new, of_old.id, of_old.fixed.clone(), instance);
        if !is_new_there && !written(files, &shared, replaces).await? {
            continue;
        }
        let marked = SharedName { renamed_to: Some(new.to_owned()), ..of_old };
        if written(files, &marked, Some(&tag)).await? {
            return Ok(true);
        }
    }
    Err(changes(path_of(old)))
}

fn path_of(name: &str) -> String {
    format!("names/{name}.json")
}

async fn read(files: &dyn ClaimFiles, name: &str) -> Result<Option<(SharedName, Tag)>, ClaimsError> {
    let path = path_of(name);
    let Some((bytes, tag)) = files.read_file(&path).await.map_err(unusable)? else { return Ok(None) };
    let damaged = |what| {
        ClaimsError::Refused(format!(
            "{path} in the shared journal is damaged: {what}. Put back what was there, such as an earlier version of the object"
        ))
    };
    let shared = SharedName::read(&bytes).map_err(damaged)?;
    match shared.name == name {
        true => Ok(Some((shared, tag))),
        false => Err(damaged(format!("it is of import {}", shared.name))),
    }
}

/// Writes a name. `false`: another one is there, or nobody knows whether it was written.
async fn written(
    files: &dyn ClaimFiles,
    shared: &SharedName,
    replaces: Option<&Tag>,
) -> Result<bool, ClaimsError> {
    let bytes = shared.written().map_err(JournalError::of)?;
    match files.write_file(&path_of(&shared.name), bytes, replaces).await {
        Ok(_) => Ok(true),
        Err(WriteError::Changed | WriteError::Unknown(_)) => Ok(false),
        Err(error @ WriteError::Refused(_)) => Err(unusable(error)),
    }
}
