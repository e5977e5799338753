//! The contract of [`Store`]: what was put is listed, headed and read, and a version that is read stays that
//! version.

use forebay::object::{Encryption, S3Location};
use forebay::store::reader::{ByteRange, ListFrom, ObjectBody, RangeBytes, Store};
use forebay::store::{Outlook, Put, PutMode, StoreError};

use super::{a_put, location, object_key};

/// Keys of the contract begin with this.
const FOLDER: &str = "segment-logs/reading/";

/// The whole contract. `bucket` exists and is empty below [`FOLDER`]; `no_bucket` does not exist.
pub(super) async fn store(store: &dyn Store, bucket: &str, no_bucket: &str) {
    let to = location(bucket, Encryption::None);
    keys_are_listed_in_order_and_page_by_page(store, &to).await;
    a_head_names_the_version(store, &to).await;
    an_object_is_read_whole_and_in_ranges(store, &to).await;
    a_version_that_was_replaced_is_not_read(store, &to).await;
    a_version_is_replaced_once(store, &to).await;
    what_is_not_there_is_missing(store, &to, &location(no_bucket, Encryption::None)).await;
}

async fn put(store: &dyn Store, to: &S3Location, name: &str, bytes: &str) -> Put {
    let key = object_key(&format!("{FOLDER}{name}"));
    let put = Put::plain(to.clone(), key, bytes.to_owned(), PutMode::Overwrite);
    store.put(&put).await.unwrap();
    put
}

async fn list(store: &dyn Store, to: &S3Location, from: ListFrom<'_>) -> Vec<String> {
    let page = store.list(to, from).await.unwrap();
    assert_eq!(page.next, None);
    let objects = page.objects.iter().map(|listed| format!("{} {}", listed.key, listed.len));
    let found = objects.chain(page.folders);
    found.map(|shown| shown.strip_prefix(FOLDER).unwrap().to_owned()).collect()
}

async fn keys_are_listed_in_order_and_page_by_page(store: &dyn Store, to: &S3Location) {
    for name in ["list/b/2", "list/a+b%ü", "list/b/1", "list/c"] {
        put(store, to, name, name).await;
    }
    let below = format!("{FOLDER}list/");
    let from = ListFrom { prefix: &below, ..ListFrom::default() };
    assert_eq!(list(store, to, from).await, ["list/a+b%ü 11", "list/b/1 8", "list/b/2 8", "list/c 6"]);
    assert_eq!(
        list(store, to, ListFrom { folders: true, ..from }).await,
        ["list/a+b%ü 11", "list/c 6", "list/b/"]
    );
    let after = format!("{FOLDER}list/b/1");
    assert_eq!(list(store, to, ListFrom { after: Some(&after), ..from }).await, ["list/b/2 8", "list/c 6"]);
    assert_eq!(list(store, to, ListFrom { prefix: &format!("{FOLDER}none/"), ..from }).await.len(), 0);

    let names: Vec<String> = (0..1_001).map(|number| format!("pages/{number:04}")).collect();
    let puts: Vec<_> = names.iter().map(|name| put(store, to, name, "")).collect();
    for put in puts {
        put.await;
    }
    let below = format!("{FOLDER}pages/");
    let from = ListFrom { prefix: &below, ..ListFrom::default() };
    let first = store.list(to, from).await.unwrap();
    let last = store.list(to, ListFrom { next: first.next.as_deref(), ..from }).await.unwrap();
    assert_eq!((first.objects.len(), last.objects.len(), last.next), (1_000, 1, None));
    assert!(last.objects[0].key.as_str().ends_with("pages/1000"));
}

async fn a_head_names_the_version(store: &dyn Store, to: &S3Location) {
    let put = a_put(to.bucket.bucket(), &format!("{FOLDER}head.gz"), "three calls");
    let stored = store.put(&put).await.unwrap();
    let head = store.head_of(to, &put.key, None).await.unwrap();
    let (version, len) = head.pinned().unwrap();
    assert_eq!((Some(&version.etag), len), (stored.etag.as_ref(), 11));
    assert_eq!(head.content_encoding.as_deref(), Some("gzip"));
    for (name, value) in &put.metadata {
        assert_eq!(head.metadata.get(*name), Some(value), "{name}");
    }
    if let Some(id) = &version.id {
        let again = store.head_of(to, &put.key, Some(id)).await.unwrap();
        assert_eq!(again.version, head.version);
    }
}

async fn whole(mut body: ObjectBody) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(piece) = body.next().await.unwrap() {
        bytes.extend_from_slice(&piece);
    }
    bytes
}

async fn an_object_is_read_whole_and_in_ranges(store: &dyn Store, to: &S3Location) {
    let ten = put(store, to, "ten", "0123456789").await;
    assert_eq!(whole(store.get(to, &ten.key).await.unwrap()).await, b"0123456789");
    let head = store.head_of(to, &ten.key, None).await.unwrap();
    let version = head.version.as_ref();
    for version in [None, version] {
        let check = async |from, len, bytes: &'static str| {
            let range = store.range(to, &ten.key, version, ByteRange { from, len }).await.unwrap();
            assert_eq!(range, RangeBytes { bytes: bytes.into(), object_len: Some(10) });
            assert_eq!(range.is_whole(), bytes.len() == 10);
        };
        check(0, 4, "0123").await;
        check(4, 4, "4567").await;
        check(8, 4, "89").await;
        check(0, 10, "0123456789").await;
        check(0, 11, "0123456789").await;
    }
    let beyond = store.range(to, &ten.key, version, ByteRange { from: 10, len: 1 }).await;
    assert_eq!(outlook(beyond), Outlook::Changed);

    let empty = put(store, to, "empty", "").await;
    assert_eq!(whole(store.get(to, &empty.key).await.unwrap()).await, b"");
    let range = store.range(to, &empty.key, None, ByteRange { from: 0, len: 1 }).await.unwrap();
    assert!(range.bytes.is_empty() && range.is_whole());
}

fn outlook<T: std::fmt::Debug>(answer: Result<T, StoreError>) -> Outlook {
    answer.unwrap_err().outlook()
}

async fn a_version_that_was_replaced_is_not_read(store: &dyn Store, to: &S3Location) {
    let old = put(store, to, "replaced", "old").await;
    let version = store.head_of(to, &old.key, None).await.unwrap().version.unwrap();
    put(store, to, "replaced", "new").await;
    let range = ByteRange { from: 0, len: 3 };
    // A bucket with versions keeps the old one.
    if version.id.is_none() {
        assert_eq!(outlook(store.range(to, &old.key, Some(&version), range).await), Outlook::Changed);
    }
    assert_eq!(store.range(to, &old.key, None, range).await.unwrap().bytes, "new");
}

async fn a_version_is_replaced_once(store: &dyn Store, to: &S3Location) {
    let first = put(store, to, "once", "first").await;
    let etag = store.head_of(to, &first.key, None).await.unwrap().version.unwrap().etag;
    let put = |bytes: &'static str| Put::plain(to.clone(), first.key.clone(), bytes, PutMode::CreateOnly);
    let stored = store.replace(&put("second"), &etag).await.unwrap();
    assert_ne!(stored.etag, Some(etag.clone()));
    assert_eq!(outlook(store.replace(&put("third"), &etag).await), Outlook::Changed);
    assert_eq!(whole(store.get(to, &first.key).await.unwrap()).await, b"second");
    let nothing = Put::plain(to.clone(), object_key(&format!("{FOLDER}no")), "x", PutMode::CreateOnly);
    assert!(matches!(outlook(store.replace(&nothing, &etag).await), Outlook::Missing | Outlook::Changed));
}

async fn what_is_not_there_is_missing(store: &dyn Store, to: &S3Location, nowhere: &S3Location) {
    let key = object_key(&format!("{FOLDER}no"));
    let range = ByteRange { from: 0, len: 1 };
    assert_eq!(outlook(store.head_of(to, &key, None).await), Outlook::Missing);
    assert_eq!(outlook(store.get(to, &key).await), Outlook::Missing);
    assert_eq!(outlook(store.range(to, &key, None, range).await), Outlook::Missing);
    assert_eq!(outlook(store.list(nowhere, ListFrom::default()).await), Outlook::Refused);
    assert_eq!(outlook(store.get(nowhere, &key).await), Outlook::Refused);
}
