//! A store in whose listings something happens, or some of whose objects cannot be read.

use std::fmt;

use forebay::object::{ObjectKey, S3Location};
use forebay::store::fake::{FakeStore, Gate};
use forebay::store::reader::{ByteRange, ListFrom, ListPage, ObjectBody, RangeBytes, StoreReader};
use forebay::store::{Attempted, Fault, Head, ObjectVersion, StoreError};

/// A store that is as the fake, but for what happens to each page of a listing.
pub(super) struct OnListing {
    store: FakeStore,
    happens: Box<dyn Fn(&mut ListPage) + Send + Sync>,
    unreadable: Vec<&'static str>,
    slow: Option<(&'static str, Gate)>,
}

impl OnListing {
    pub(super) fn new(store: &FakeStore, happens: impl Fn(&mut ListPage) + Send + Sync + 'static) -> Self {
        Self { store: store.clone(), happens: Box::new(happens), unreadable: Vec::new(), slow: None }
    }

    /// The objects with these keys are listed, and each request for their bytes is answered 500.
    pub(super) fn unreadable(store: &FakeStore, keys: &[&'static str]) -> Self {
        Self { unreadable: keys.to_vec(), ..Self::new(store, |_| {}) }
    }

    /// The bytes of the object with this key come once the gate is open.
    pub(super) fn slow(store: &FakeStore, key: &'static str, gate: &Gate) -> Self {
        Self { slow: Some((key, gate.clone())), ..Self::new(store, |_| {}) }
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
        Box::pin(async move {
            if self.unreadable.contains(&key.as_str()) {
                return Err(StoreError::answered(Fault::Transient, 500, Some("InternalError"), "scripted"));
            }
            if let Some((_, gate)) = self.slow.as_ref().filter(|(slow, _)| *slow == key.as_str()) {
                gate.passed().await;
            }
            self.store.range(location, key, version, wanted).await
        })
    }
}
