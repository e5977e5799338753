//! Keeps the records of [`SharedProgress`](super::SharedProgress), and the journals that several instances
//! share, as small objects in S3, one for each file.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::Unusable;
use super::claims::{ClaimFiles, FilesPage, ListedFile};
use super::discovery::inputs::{location_of, s3_folder};
use super::shared_progress::{Answer, SharedRecords, Stored, Tag, WriteError};
use crate::log::ImportKey;
use crate::object::{ObjectKey, S3Location};
use crate::store::reader::{ByteRange, ListFrom, Listed, Store};
use crate::store::{ObjectVersion, Outlook, Put, PutMode, StoreError};
use crate::words::Told;

/// The most bytes of a record. The record has the file's name, which S3 limits to 1,024 bytes.
const RECORD_MAX: u64 = 64 * 1_024;
/// How often a record that changes during a read is read again.
const READS_MAX: usize = 5;

/// Records below a prefix of a bucket.
#[derive(Debug)]
pub struct S3Records {
    store: Arc<dyn Store>,
    location: S3Location,
    prefix: String,
}

impl S3Records {
    /// The records below this URL of a folder, `s3://bucket/prefix/`, which `option` has. They are not
    /// usable before [`Self::open`]. Errors: [`Unusable`]: this is not a folder in S3.
    pub fn named(option: &str, name: &str, store: Arc<dyn Store>) -> Result<Self, Unusable> {
        let (bucket, prefix) = s3_folder(name)
            .ok_or_else(|| Unusable::Wrong(format!("{option} {name}: expected s3://bucket/prefix/")))?;
        Ok(Self { store, location: location_of(bucket)?, prefix })
    }

    /// Opens the records of imports to one collector and write key, or of one function, which `id` stands
    /// for. The store must keep conditions: without them, two importers would import one file. A put that
    /// must fail shows that it does. Errors: [`Unusable`]: the store ignores conditions, refuses the put,
    /// or cannot be reached.
    pub async fn open(self, id: &str) -> Result<Arc<Self>, Unusable> {
        let records = Self { prefix: format!("{}{id}/", self.prefix), ..self };
        let put = records.put("conditions", Bytes::new());
        let answer = records.store.replace(&put, "\"00000000000000000000000000000000\"").await;
        let journal = |error: &dyn fmt::Display| format!("the journal: {error}");
        match answer.map_err(failed) {
            Err(WriteError::Changed) => Ok(Arc::new(records)),
            Err(error @ WriteError::Unknown(_)) => Err(Unusable::Unreachable(journal(&error))),
            Err(error @ WriteError::Refused(_)) => Err(Unusable::Failed(journal(&error))),
            Ok(_) => Err(Unusable::Failed(journal(
                &"this store ignores the condition If-Match, so it cannot keep two importers from one file",
            ))),
        }
    }

    fn key(&self, name: &str) -> ObjectKey {
        ObjectKey::listed(format!("{}{name}", self.prefix))
    }

    fn put(&self, name: &str, bytes: Bytes) -> Put {
        Put::plain(self.location.clone(), self.key(name), bytes, PutMode::CreateOnly)
    }
}

fn failed(error: StoreError) -> WriteError {
    match error.outlook() {
        Outlook::Missing | Outlook::Changed => WriteError::Changed,
        Outlook::Denied => {
            let what =
                "access denied; it needs s3:GetObject and s3:PutObject below its prefix, and s3:ListBucket: ";
            WriteError::Refused(Told::plain(what).and(&error.told()))
        }
        Outlook::Refused => WriteError::Refused(error.told()),
        Outlook::Passing => WriteError::Unknown(error.told()),
    }
}

impl SharedRecords for S3Records {
    fn read(&self, key: ImportKey) -> Answer<'_, Option<Stored>> {
        Box::pin(async move { self.read_named(&format!("{key}.json")).await })
    }

    fn write(&self, key: ImportKey, record: Bytes, replaces: Option<Tag>) -> Answer<'_, Tag> {
        Box::pin(async move { self.write_named(&format!("{key}.json"), record, replaces).await })
    }
}

impl ClaimFiles for S3Records {
    fn read_file<'a>(&'a self, name: &'a str) -> Answer<'a, Option<Stored>> {
        Box::pin(async move {
            let read = self.read_named(name).await;
            // S3 answers 403 for an object that is not there if the whole bucket may not be listed.
            if let Err(WriteError::Refused(_)) = &read
                && let Ok(page) = self.list(name, None).await
                && page.next.is_none()
                && page.files.iter().all(|file| !file.name.is_empty())
            {
                return Ok(None);
            }
            read
        })
    }

    fn read_listed<'a>(&'a self, name: &'a str, tag: &'a Tag) -> Answer<'a, Bytes> {
        Box::pin(async move {
            let version = ObjectVersion { etag: tag.0.clone(), id: None };
            let (key, some) = (self.key(name), ByteRange { from: 0, len: RECORD_MAX });
            let range = self.store.range(&self.location, &key, Some(&version), some).await.map_err(failed)?;
            match range.object_len {
                // It is no record, whatever it begins with.
                Some(len) if len > RECORD_MAX => Ok(Bytes::new()),
                Some(len) if len > range.bytes.len() as u64 => {
                    Err(WriteError::Unknown(Told::plain(format!("{key} was read only in part"))))
                }
                _ => Ok(range.bytes),
            }
        })
    }

    fn write_file<'a>(&'a self, name: &'a str, bytes: Bytes, replaces: Option<&'a Tag>) -> Answer<'a, Tag> {
        Box::pin(self.write_named(name, bytes, replaces.cloned()))
    }

    fn list<'a>(&'a self, folder: &'a str, next: Option<&'a str>) -> Answer<'a, FilesPage> {
        Box::pin(async move {
            let below = format!("{}{folder}", self.prefix);
            let from = ListFrom { prefix: &below, next, ..ListFrom::default() };
            let page = self.store.list(&self.location, from).await.map_err(failed)?;
            let file = |listed: Listed| {
                let name = listed.key.as_str().strip_prefix(below.as_str())?.to_owned();
                Some(ListedFile { name, tag: Tag(listed.etag?), at: listed.last_modified })
            };
            let files = page.objects.into_iter().filter_map(file).collect();
            Ok(FilesPage { files, next: page.next })
        })
    }
}

impl S3Records {
    /// The folder, as a URL that ends with a slash.
    pub fn url(&self) -> String {
        format!("s3://{}/{}", self.location.bucket.bucket(), self.prefix)
    }

    async fn read_named(&self, name: &str) -> Result<Option<Stored>, WriteError> {
        let key = self.key(name);
        for _ in 0..READS_MAX {
            let head = match self.store.head_of(&self.location, &key, None).await {
                Err(error) if error.outlook() == Outlook::Missing => return Ok(None),
                head => head.map_err(failed)?,
            };
            let (version, len) = head.pinned().map_err(failed)?;
            if len == 0 || len > RECORD_MAX {
                let what = format!("{key} is not a record of Forebay's");
                return Err(WriteError::Refused(Told::plain(what)));
            }
            let whole = ByteRange { from: 0, len };
            let range = self.store.range(&self.location, &key, Some(version), whole).await;
            match range.map_err(failed) {
                Ok(range) if range.bytes.len() as u64 == len => {
                    return Ok(Some((range.bytes, Tag(version.etag.clone()))));
                }
                Ok(_) | Err(WriteError::Changed) => {}
                Err(error) => return Err(error),
            }
        }
        Err(WriteError::Unknown(Told::plain(format!("{key} changes again and again"))))
    }

    async fn write_named(&self, name: &str, record: Bytes, replaces: Option<Tag>) -> Result<Tag, WriteError> {
        let put = self.put(name, record);
        let stored = match &replaces {
            Some(tag) => self.store.replace(&put, &tag.0).await,
            None => self.store.put(&put).await,
        };
        let stored = stored.map_err(failed)?;
        stored.etag.map(Tag).ok_or_else(|| WriteError::Refused("the store's answer names no ETag".into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::fake::{FakeStore, Step};

    async fn records(store: &FakeStore) -> Arc<S3Records> {
        let records = S3Records::named("--journal", "s3://lake/imports/", Arc::new(store.clone())).unwrap();
        records.open("id").await.unwrap()
    }

    #[tokio::test]
    async fn a_record_is_replaced_only_by_whoever_read_it() {
        let store = FakeStore::new();
        let (records, key) = (records(&store).await, ImportKey(7));
        assert!(records.read(key).await.unwrap().is_none());
        records.write(key, "one".into(), None).await.unwrap();
        assert!(matches!(records.write(key, "two".into(), None).await, Err(WriteError::Changed)));
        let (bytes, tag) = records.read(key).await.unwrap().unwrap();
        assert_eq!(bytes, "one");
        records.write(key, "two".into(), Some(tag.clone())).await.unwrap();
        let late = records.write(key, "three".into(), Some(tag)).await;
        assert!(matches!(late, Err(WriteError::Changed)));
        assert_eq!(records.read(key).await.unwrap().unwrap().0, "two");
    }

    #[tokio::test]
    async fn a_record_that_cannot_be_read_says_why() {
        let store = FakeStore::new();
        let (records, key) = (records(&store).await, ImportKey(7));
        records.write(key, "one".into(), None).await.unwrap();
        // The first step is of the HEAD, the second of the range.
        store.script_reads([Step::Proper, Step::CHANGED, Step::Proper, Step::Cut(1)]);
        assert_eq!(records.read(key).await.unwrap().unwrap().0, "one", "it is read again");
        store.script_reads([Step::REFUSED]);
        let denied = records.read(key).await.unwrap_err();
        assert!(denied.to_string().contains("s3:ListBucket"), "{denied}");
        store.script_reads([Step::Proper, Step::RESET]);
        assert!(matches!(records.read(key).await, Err(WriteError::Unknown(_))));
        store.script_reads(vec![Step::MISSING]);
        assert!(records.read(key).await.unwrap().is_none());
    }
}
