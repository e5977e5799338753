//! The bucket of an import as a pass sees it: each request waits for the world, which decides what becomes of it.

use std::sync::Arc;

use forebay::object::{ObjectKey, S3Location};
use forebay::store::changer::{ObjectCopy, StoreChanger, Tags};
use forebay::store::fake::FakeStore;
use forebay::store::reader::{ByteRange, ListFrom, ListPage, ObjectBody, RangeBytes, StoreReader};
use forebay::store::{Attempted, Fault, Head, ObjectVersion, StoreError};

use super::objects::Objects;
use super::passing::{At, Baton, Fate};

/// The bucket of one process.
#[derive(Debug)]
pub(super) struct Lake {
    fake: FakeStore,
    objects: Objects,
    baton: Arc<Baton>,
}

fn simulated() -> StoreError {
    StoreError::local(Fault::Transient, "simulated")
}

impl Lake {
    pub(super) fn new(objects: Objects, baton: Arc<Baton>) -> Self {
        Self { fake: objects.lake(), objects, baton }
    }

    async fn fate(&self, what: &'static str) -> Result<Fate, StoreError> {
        match self.baton.gate(At::Store(what)).await {
            Fate::Fails => Err(simulated()),
            Fate::Denied => Err(StoreError::answered(Fault::Refused, 403, Some("AccessDenied"), "simulated")),
            fate => Ok(fate),
        }
    }

    /// What is answered to a change that was made.
    fn answer<T>(fate: Fate, made: Result<T, StoreError>) -> Result<T, StoreError> {
        if fate == Fate::Lost { Err(simulated()) } else { made }
    }

    /// Whether the object is still the version with this entity tag.
    async fn is_now(&self, location: &S3Location, key: &ObjectKey, etag: &str) -> bool {
        let head = self.fake.head_of(location, key, None).await;
        head.is_ok_and(|head| head.version.is_some_and(|version| version.etag == etag))
    }
}

impl StoreReader for Lake {
    fn list<'a>(&'a self, location: &'a S3Location, from: ListFrom<'a>) -> Attempted<'a, ListPage> {
        Box::pin(async move {
            self.fate("list").await?;
            self.fake.list(location, from).await
        })
    }

    fn head_of<'a>(
        &'a self,
        location: &'a S3Location,
        key: &'a ObjectKey,
        version: Option<&'a str>,
    ) -> Attempted<'a, Head> {
        Box::pin(async move {
            self.fate("head").await?;
            self.fake.head_of(location, key, version).await
        })
    }

    fn get<'a>(&'a self, location: &'a S3Location, key: &'a ObjectKey) -> Attempted<'a, ObjectBody> {
        Box::pin(async move {
            self.fate("get").await?;
            self.fake.get(location, key).await
        })
    }

    fn range<'a>(
        &'a self,
        location: &'a S3Location,
        key: &'a ObjectKey,
        version: Option<&'a ObjectVersion>,
        wanted: ByteRange,
    ) -> Attempted<'a, RangeBytes> {
        Box::pin(async move {
            let fate = self.fate("range").await?;
            let mut range = self.fake.range(location, key, version, wanted).await?;
            if let Fate::Cut(to) = fate {
                range.bytes.truncate(to);
            }
            Ok(range)
        })
    }
}

impl StoreChanger for Lake {
    fn copy<'a>(&'a self, location: &'a S3Location, copy: &'a ObjectCopy) -> Attempted<'a, ()> {
        Box::pin(async move {
            let fate = self.fate("copy").await?;
            if self.is_now(location, &copy.from, &copy.etag).await {
                self.objects.is_about_to_change("copied", copy.from.as_str());
            }
            Self::answer(fate, self.fake.copy(location, copy).await)
        })
    }

    fn delete<'a>(
        &'a self,
        location: &'a S3Location,
        key: &'a ObjectKey,
        etag: &'a str,
    ) -> Attempted<'a, ()> {
        Box::pin(async move {
            let fate = self.fate("delete").await?;
            if self.is_now(location, key, etag).await {
                self.objects.is_about_to_change("deleted", key.as_str());
                self.objects.goes_after_import(key.as_str());
            }
            Self::answer(fate, StoreChanger::delete(&self.fake, location, key, etag).await)
        })
    }

    fn tags<'a>(
        &'a self,
        location: &'a S3Location,
        key: &'a ObjectKey,
        version: &'a ObjectVersion,
    ) -> Attempted<'a, Tags> {
        Box::pin(async move {
            self.fate("tags").await?;
            self.fake.tags(location, key, version).await
        })
    }

    fn tag<'a>(
        &'a self,
        location: &'a S3Location,
        key: &'a ObjectKey,
        version: &'a ObjectVersion,
        tags: &'a Tags,
    ) -> Attempted<'a, ()> {
        Box::pin(async move {
            let fate = self.fate("tag").await?;
            // Without versions the store knows no condition for tags, and an object that was just replaced gets it.
            if version.id.is_some() && self.is_now(location, key, &version.etag).await {
                self.objects.is_about_to_change("tagged", key.as_str());
            }
            Self::answer(fate, self.fake.tag(location, key, version, tags).await)
        })
    }
}
