//! Looks at an object as it is now, before anything of it is read: a pass, a message and a dry run decide by
//! one look whether it is skipped.

use std::sync::Arc;
use std::time::Duration;

use super::admit::Version;
use super::after::mark::moved_from;
use super::decide::{Skip, Wanted};
use super::not_ours::NotOurs;
use super::object_end::became_of;
use super::object_import::{Looked, NotBegun, ObjectImport};
use super::object_state::{ObjectState, Stage, bare};
use super::report::Became;
use super::settings::OnMissing;
use crate::import::discovery::files::unread;
use crate::import::file_error::FileError;
use crate::import::journal::JournalError;
use crate::import::reading::s3_object::S3Object;
use crate::import::run::{FileEnd, Waits};
use crate::import::seen_moved::MovedOf;
use crate::object::S3Location;
use crate::store::reader::{ListFrom, Listed, StoreReader};
use crate::store::{Head, Outlook, StoreError};
use crate::time::UnixMillis;

/// How old a version must be so that a listing that shows it again needs no second look. Listings show times
/// in seconds, and the clocks of a store and of this machine may differ.
const SETTLED: Duration = Duration::from_secs(60);

impl ObjectImport {
    /// Looks at the version of an object that is there now.
    /// Errors: [`NotBegun`]: why nothing of it is read.
    pub(super) async fn look(&self, name: &str, listed: Listed) -> Result<Looked, NotBegun> {
        let (object, head) = match self.head(name, &listed).await {
            Err(NotBegun::Ended(Became::Missing, end)) => return Err(self.gone(&listed, end).await?),
            head => head?,
        };
        let (len, etag) = (object.len, Some(object.version.etag.clone()));
        let last_modified = stored_at(&listed, (&object.version.etag, len), head.last_modified);
        let now = Listed { len, etag, last_modified, ..listed.clone() };
        let moved = self.skips_moved(&head, now.key.as_str());
        let why = moved.or_else(|| Wanted::of(&self.import).skips(&now));
        let is_unwanted = why.is_some();
        let Some(why) = self.skip_of(why, now.key.as_str()).await? else {
            return Ok(Looked { object, now, is_unwanted });
        };
        if moved.is_some() {
            self.note_moved(&listed, &now, head.last_modified);
        }
        Err(NotBegun::Skipped(why))
    }

    /// What of this import decides about moved objects.
    pub(super) fn moved_of(&self) -> MovedOf {
        let import = &self.import;
        let converter = import.converter.file().id.to_string();
        let settings = [import.location.bucket.bucket(), &import.endpoint, &import.prefix, &converter];
        let never = import.never.all();
        MovedOf::new(self.id, settings.into_iter().chain(never.iter().map(String::as_str)))
    }

    /// Remembers that the object of a listing was moved here, if the listing shows the version that was
    /// looked at, and no other one can look the same to it.
    fn note_moved(&self, listed: &Listed, now: &Listed, head_time: Option<UnixMillis>) {
        let is_seen =
            listed.len == now.len && listed.etag.as_deref().map(bare) == now.etag.as_deref().map(bare);
        let in_seconds = |at: UnixMillis| at.0.div_euclid(1_000);
        let is_settled = listed.last_modified.is_some_and(|at| {
            head_time.is_none_or(|head| in_seconds(head) == in_seconds(at))
                && self.deps.clock.wall().minus(SETTLED) >= at
        });
        if is_seen && is_settled {
            self.deps.importer.objects().moved.note(&self.moved_of(), listed);
        }
    }

    /// Whether an object is skipped because the import itself has moved it here. This instance may not know:
    /// another one did, or one whose spool is gone. The mark counts for this object alone.
    fn skips_moved(&self, head: &Head, key: &str) -> Option<Skip> {
        let moved = moved_from(&head.metadata, (self.import.location.bucket.bucket(), key))?;
        Wanted::of(&self.import).was_wanted(&moved).then_some(Skip::Own)
    }

    /// What an object is that is gone: one that is imported may have been moved or deleted since.
    async fn gone(&self, listed: &Listed, end: FileEnd) -> Result<NotBegun, JournalError> {
        let (id, key) = (self.id, listed.key.as_str().to_owned());
        if let Some(instance) = self.elsewhere(&key).await? {
            return Ok(NotBegun::NotOurs(NotOurs::Theirs { instance, had_begun: false, version: None }));
        }
        let state = self.on_disk(move |journal| ObjectState::read(journal, id, &key)).await?;
        let is_done = state.is_some_and(|state| {
            let is_same = |etag: &str| bare(etag) == state.version().0;
            state.stage == Stage::Done && listed.etag.as_deref().is_none_or(is_same)
        });
        Ok(match is_done && !self.deps.again {
            true => NotBegun::Ended(Became::DoneBefore, FileEnd::DoneBefore),
            false => NotBegun::Ended(Became::Missing, end),
        })
    }

    /// The version of an object that is there now. Errors: why it is not known; `None`: the object is gone.
    pub(super) async fn version_now(&self, key: &str) -> Result<Version, Option<FileEnd>> {
        let listed = Listed::of_key(key.to_owned());
        match self.head(&self.name_of(key), &listed).await {
            // It is not what was there.
            Ok((_, head)) if self.skips_moved(&head, key).is_some() => Err(None),
            Ok((object, _)) => Ok(Version::of(&object)),
            Err(NotBegun::Skipped(_) | NotBegun::NotOurs(_) | NotBegun::Ended(Became::Missing, _)) => {
                Err(None)
            }
            Err(NotBegun::Ended(_, end)) => Err(Some(end)),
        }
    }

    /// The version of the object that is there now, and what the store says of it.
    async fn head(&self, name: &str, listed: &Listed) -> Result<(S3Object, Head), NotBegun> {
        let mut waits = Waits::default();
        let (store, location) = (&self.deps.store, &self.import.location);
        loop {
            let head = store.head_of(location, &listed.key, None).await;
            let found = match head {
                Ok(head) => {
                    let (store, to, key) = (Arc::clone(store), location.clone(), listed.key.clone());
                    let object = S3Object::find(store, to, key, Some(&head)).await;
                    object.map(|object| (object, head))
                }
                Err(error) => Err(error),
            };
            let error = match found {
                Ok(found) => return Ok(found),
                Err(error) => error,
            };
            let outlook = match error.outlook() {
                // S3 answers 403 for a missing object if the role may not list the whole bucket.
                Outlook::Denied if is_gone(&**store, location, listed.key.as_str()).await => Outlook::Missing,
                outlook => outlook,
            };
            match outlook {
                Outlook::Passing => {
                    let why = format!("{name}: {error}");
                    if waits.wait(Duration::ZERO, &why, &self.deps.stop).await.is_none() {
                        return Err(NotBegun::Ended(Became::Stopped, FileEnd::Stopped));
                    }
                }
                Outlook::Missing if self.import.on_missing == OnMissing::Skip => {
                    return Err(NotBegun::Skipped(Skip::Missing));
                }
                outlook => return Err(not_found(outlook, error)),
            }
        }
    }

    /// An object of the listing as it is now, and when it was stored. Errors: how its import ends.
    pub(super) async fn object_now(
        &self,
        listed: &Listed,
    ) -> Result<(S3Object, Option<UnixMillis>), (Became, FileEnd)> {
        match self.head(&self.name_of(listed.key.as_str()), listed).await {
            Ok((object, head)) => {
                let at = stored_at(listed, (&object.version.etag, object.len), head.last_modified);
                Ok((object, at))
            }
            Err(NotBegun::Skipped(_) | NotBegun::NotOurs(_)) => {
                let gone = FileError::unread(&crate::import::reading::ReadingError::Missing);
                Err((Became::Missing, FileEnd::Failed(gone)))
            }
            Err(NotBegun::Ended(became, end)) => Err((became, end)),
        }
    }
}

/// Whether a listing shows that there is no object with this key.
pub(super) async fn is_gone(store: &dyn StoreReader, location: &S3Location, key: &str) -> bool {
    let from = ListFrom { prefix: key, ..ListFrom::default() };
    let named = store.list(location, from).await.map(|page| page.named(key));
    named.is_ok_and(|named| named.listed.is_none() && named.is_sure)
}

/// When the version with this tag and length was stored. A listing that shows another version has the time of
/// that one.
fn stored_at(listed: &Listed, (etag, len): (&str, u64), head_time: Option<UnixMillis>) -> Option<UnixMillis> {
    let is_same = listed.len == len && listed.etag.as_deref().map(bare) == Some(bare(etag));
    if is_same { listed.last_modified.or(head_time) } else { head_time.or(listed.last_modified) }
}

/// The end of an object that cannot be found.
fn not_found(outlook: Outlook, error: StoreError) -> NotBegun {
    let error = match outlook {
        Outlook::Missing => FileError::unread(&crate::import::reading::ReadingError::Missing),
        _ => unread(error),
    };
    NotBegun::Ended(became_of(&error), FileEnd::Failed(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::ObjectKey;

    /// The order of mutations depends on it.
    #[test]
    fn a_replaced_object_has_the_time_of_its_own_version() {
        let (listing, head) = (Some(UnixMillis(1)), Some(UnixMillis(2)));
        let listed = |last_modified| Listed {
            key: ObjectKey::listed("in/a.json".to_owned()),
            len: 5,
            last_modified,
            etag: Some("\"a\"".to_owned()),
            storage_class: None,
            is_restored: false,
        };
        let check = |etag: &str, len: u64, expected: [Option<UnixMillis>; 3]| {
            let of = |listing, head| stored_at(&listed(listing), (etag, len), head);
            assert_eq!([of(listing, head), of(listing, None), of(None, head)], expected, "{etag} {len}");
        };
        check("\"a\"", 5, [listing, listing, head]);
        check("a", 5, [listing, listing, head]);
        check("\"b\"", 5, [head, listing, head]);
        check("\"a\"", 6, [head, listing, head]);
        assert_eq!(stored_at(&Listed { etag: None, ..listed(listing) }, ("a", 5), head), head);
    }
}
