//! Whether a bucket is certainly not there.

use crate::object::S3Location;
use crate::store::reader::{ListFrom, StoreReader};
use crate::store::{Reason, StoreError};

/// The answer of a store that has no such bucket. `None`: it has one, or says nothing about it: it may refuse to list the
/// bucket to those who may read and write in it.
pub async fn missing_bucket(store: &dyn StoreReader, location: &S3Location) -> Option<StoreError> {
    let listed = store.list(location, ListFrom::default()).await;
    listed.err().filter(|error| error.reason == Reason::NoSuchBucket)
}
