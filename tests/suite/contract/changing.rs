//! The contract of [`StoreChanger`]: an object is tagged, copied and deleted only as the version that is meant,
//! and a copy keeps what the object had.

use std::collections::BTreeMap;

use forebay::object::{AppliedEncryption, Encryption, S3Location};
use forebay::store::changer::{ObjectCopy, StoreChanger, Tags};
use forebay::store::reader::Store;
use forebay::store::{KeptHeaders, ObjectVersion, Outlook, Put, PutMode, StoreError};

use super::{location, object_key};

/// Keys of the contract begin with this.
const FOLDER: &str = "segment-logs/changing/";

/// A store with all that the contract needs.
pub(super) trait Changing: Store + StoreChanger {}
impl<S: Store + StoreChanger> Changing for S {}

/// The whole contract. `bucket` exists and is empty below [`FOLDER`].
pub(super) async fn store(store: &dyn Changing, bucket: &str) {
    let to = location(bucket, Encryption::SseS3);
    an_object_gets_tags_and_keeps_its_content(store, &to).await;
    a_copy_has_all_that_the_object_had(store, &to).await;
    a_version_that_was_replaced_is_neither_copied_nor_deleted(store, &to).await;
    what_is_not_there_is_missing(store, &to).await;
}

/// The same for a bucket with versions: tags are those of one version, and a delete hides the last one.
pub(super) async fn versions(store: &dyn Changing, bucket: &str) {
    let to = location(bucket, Encryption::SseS3);
    let first = put(store, &to, "versions", "abc").await;
    let second = put(store, &to, "versions", "abd").await;
    assert!(first.id.is_some() && first.id != second.id, "{first:?} {second:?}");
    let key = object_key(&format!("{FOLDER}versions"));
    store.tag(&to, &key, &first, &tags(&[("forebay-imported", "orders")])).await.unwrap();
    assert_eq!(sorted(store, &to, "versions", &first).await, tags(&[("forebay-imported", "orders")]));
    assert_eq!(sorted(store, &to, "versions", &second).await, tags(&[("kind", "a b+ü")]));
    assert_eq!(outlook(store.delete(&to, &key, &first.etag).await), Outlook::Changed);
    store.delete(&to, &key, &second.etag).await.unwrap();
    assert_eq!(outlook(store.head_of(&to, &key, None).await), Outlook::Missing);
    store.head_of(&to, &key, second.id.as_deref()).await.unwrap();
}

/// The version that is stored.
async fn put(store: &dyn Changing, to: &S3Location, name: &str, bytes: &str) -> ObjectVersion {
    let key = object_key(&format!("{FOLDER}{name}"));
    let put = Put {
        metadata: vec![("forebay-calls", "3".to_owned())],
        tags: vec![("kind", "a b+ü".to_owned())],
        content_encoding: Some("gzip"),
        ..Put::plain(to.clone(), key.clone(), bytes.to_owned(), PutMode::Overwrite)
    };
    store.put(&put).await.unwrap();
    store.head_of(to, &key, None).await.unwrap().version.unwrap()
}

fn tags(pairs: &[(&str, &str)]) -> Tags {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

async fn sorted(store: &dyn Changing, to: &S3Location, name: &str, version: &ObjectVersion) -> Tags {
    let mut tags = store.tags(to, &object_key(&format!("{FOLDER}{name}")), version).await.unwrap();
    tags.sort();
    tags
}

fn copy(from: &str, to: &str, version: &ObjectVersion) -> ObjectCopy {
    ObjectCopy {
        from: object_key(&format!("{FOLDER}{from}")),
        to: object_key(&format!("{FOLDER}{to}")),
        etag: version.etag.clone(),
        len: 3,
        encryption: Some(AppliedEncryption {
            algorithm: Some("AES256".to_owned()),
            ..AppliedEncryption::default()
        }),
        storage_class: None,
        content_encoding: Some("gzip".to_owned()),
        metadata: BTreeMap::from([("forebay-calls".to_owned(), "3".to_owned())]),
        headers: KeptHeaders::default(),
    }
}

fn outlook<T: std::fmt::Debug>(answer: Result<T, StoreError>) -> Outlook {
    answer.unwrap_err().outlook()
}

async fn an_object_gets_tags_and_keeps_its_content(store: &dyn Changing, to: &S3Location) {
    let version = put(store, to, "tagged", "abc").await;
    assert_eq!(sorted(store, to, "tagged", &version).await, tags(&[("kind", "a b+ü")]));
    let key = object_key(&format!("{FOLDER}tagged"));
    let all = tags(&[("forebay-imported", "orders"), ("kind", "a b+ü")]);
    store.tag(to, &key, &version, &all).await.unwrap();
    assert_eq!(sorted(store, to, "tagged", &version).await, all);
    let head = store.head_of(to, &key, None).await.unwrap();
    assert_eq!((head.version, head.len), (Some(version), Some(3)));
}

async fn a_copy_has_all_that_the_object_had(store: &dyn Changing, to: &S3Location) {
    // What a header cannot have as it is.
    let from = "from a+b%/ü?.json";
    let version = put(store, to, from, "abc").await;
    let head = store.head_of(to, &object_key(&format!("{FOLDER}{from}")), None).await.unwrap();
    let mut metadata = head.metadata.clone();
    metadata.insert("forebay-moved".to_owned(), "8-0-in%2F".to_owned());
    let headers = head.headers.clone();
    let all = ObjectCopy { metadata, headers: headers.clone(), ..copy(from, "copied", &version) };
    store.copy(to, &all).await.unwrap();
    let key = object_key(&format!("{FOLDER}copied"));
    let head = store.head_of(to, &key, None).await.unwrap();
    assert_eq!((head.len, head.content_encoding.as_deref()), (Some(3), Some("gzip")));
    assert_eq!((&head.metadata, &head.headers), (&all.metadata, &headers), "and more metadata than before");
    assert_eq!(head.applied.unwrap().algorithm.as_deref(), Some("AES256"));
    let copied = head.version.unwrap();
    assert_eq!(sorted(store, to, "copied", &copied).await, tags(&[("kind", "a b+ü")]));
    // Again, as after an answer that was lost.
    store.copy(to, &all).await.unwrap();
    let key = object_key(&format!("{FOLDER}{from}"));
    store.delete(to, &key, &version.etag).await.unwrap();
    assert_eq!(outlook(store.head_of(to, &key, None).await), Outlook::Missing);
}

async fn a_version_that_was_replaced_is_neither_copied_nor_deleted(store: &dyn Changing, to: &S3Location) {
    let first = put(store, to, "replaced", "abc").await;
    let second = put(store, to, "replaced", "abd").await;
    assert_eq!(outlook(store.copy(to, &copy("replaced", "none", &first)).await), Outlook::Changed);
    let key = object_key(&format!("{FOLDER}replaced"));
    assert_eq!(outlook(store.delete(to, &key, &first.etag).await), Outlook::Changed);
    assert_eq!(store.head_of(to, &key, None).await.unwrap().version.unwrap().etag, second.etag);
    let none = store.head_of(to, &object_key(&format!("{FOLDER}none")), None).await;
    assert_eq!(outlook(none), Outlook::Missing);
    store.delete(to, &key, &second.etag).await.unwrap();
}

async fn what_is_not_there_is_missing(store: &dyn Changing, to: &S3Location) {
    let version = ObjectVersion { etag: "\"0\"".to_owned(), id: None };
    let key = object_key(&format!("{FOLDER}gone"));
    assert_eq!(outlook(store.tags(to, &key, &version).await), Outlook::Missing);
    assert_eq!(outlook(store.tag(to, &key, &version, &tags(&[("a", "b")])).await), Outlook::Missing);
    assert_eq!(outlook(store.copy(to, &copy("gone", "none", &version)).await), Outlook::Missing);
    // Stores differ here; none of the answers is taken for a failure.
    let deleted = store.delete(to, &key, &version.etag).await;
    assert!(
        deleted.as_ref().is_ok_and(|()| true)
            || matches!(
                deleted.as_ref().map_err(StoreError::outlook),
                Err(Outlook::Missing | Outlook::Changed)
            ),
        "{deleted:?}"
    );
}
