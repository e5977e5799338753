//! A store in whose listings something happens.

use std::fmt;

use forebay::object::{ObjectKey, S3Location};
use forebay::store::fake::FakeStore;
use forebay::store::reader::{ByteRange, ListFrom, ListPage, ObjectBody, RangeBytes, StoreReader};
use forebay::store::{Attempted, Head, ObjectVersion};

/// A store that is as the fake, but for what happens to each page of a listing.
pub(super) struct OnListing {
    store: FakeStore,
    happens: Box<dyn Fn(&mut ListPage) + Send + Sync>,
}

impl OnListing {
    pub(super) fn new(store: &FakeStore, happens: impl Fn(&mut ListPage) + Send + Sync + 'static) -> Self {
        Self { store: store.clone(), happens: Box::new(happens) }
    }
}

impl fmt::Debug for OnListing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnListing").finish_non_exhaustive()
    }
}

impl StoreReader for OnListing {
    fn list<'a>(&'a self, location: &'a S3Location, from: ListFrom<'a>) -> Attempted<'a, ListPage> {
        Box::pin(async move {
            let mut page = self.store.list(location, from).await?;
            (self.happens)(&mut page);
            Ok(page)
        })
    }

    fn head_of<'a>(
        &'a self,
        location: &'a S3Location,
        key: &'a ObjectKey,
        version: Option<&'a str>,
    ) -> Attempted<'a, Head> {
        self.store.head_of(location, key, version)
    }

    fn get<'a>(&'a self, location: &'a S3Location, key: &'a ObjectKey) -> Attempted<'a, ObjectBody> {
        self.store.get(location, key)
    }

    fn range<'a>(
        &'a self,
        location: &'a S3Location,
        key: &'a ObjectKey,
        version: Option<&'a ObjectVersion>,
        wanted: ByteRange,
    ) -> Attempted<'a, RangeBytes> {
        self.store.range(location, key, version, wanted)
    }
}
