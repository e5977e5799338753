//! The contracts of [`ObjectStore`] and of [`Store`], which is also read, written once and run against every
//! store; and tests of single stores.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "test helpers fail like tests: with a panic that names the line"
)]

mod changing;
mod clients;
mod dev_s3;
mod dev_s3_requests;
mod directory;
mod headers;
mod ministack;
mod reading;
mod roles;
mod wire;

use std::task::Poll;

use bytes::Bytes;
use forebay::object::{BucketString, Encryption, ObjectKey, S3Location};
use forebay::store::fake::FakeStore;
use forebay::store::s3::S3Store;
use forebay::store::{Body, Fault, ObjectStore, Put, PutMode};

/// A destination in a bucket.
fn location(bucket: &str, encryption: Encryption) -> S3Location {
    S3Location::new(BucketString::parse(bucket).unwrap(), encryption)
}

/// A client of the store's in a region, without a role.
fn client(store: &S3Store, region: &str) -> aws_sdk_s3::Client {
    store.client_for(&location("bucket", Encryption::None), region)
}

/// An object key with any text.
fn object_key(text: &str) -> ObjectKey {
    serde_json::from_value(text.into()).unwrap()
}

/// A create-only put of `bytes` with SSE-S3, gzip and some metadata.
pub(crate) fn a_put(bucket: &str, key: &str, bytes: impl Into<Bytes>) -> Put {
    let bytes = bytes.into();
    Put {
        location: location(bucket, Encryption::SseS3),
        key: object_key(key),
        crc32: crc32fast::hash(&bytes),
        body: Body::Bytes(bytes),
        content_encoding: Some("gzip"),
        metadata: vec![("forebay-calls", "3".to_owned()), ("forebay-sha256", "ab".repeat(32))],
        tags: Vec::new(),
        mode: PutMode::CreateOnly,
    }
}

async fn put_fault(store: &dyn ObjectStore, put: &Put) -> Option<Fault> {
    store.put(put).await.err().map(|err| err.fault)
}

/// The whole contract. `bucket` exists and is empty below `segment-logs/contract/`; `no_bucket` does not
/// exist.
async fn object_store(store: &dyn ObjectStore, bucket: &str, no_bucket: &str) {
    a_put_is_stored_with_its_metadata(store, bucket).await;
    create_only_never_replaces(store, bucket).await;
    a_file_is_put_completely(store, bucket).await;
    wrong_bytes_are_a_digest_fault(store, bucket).await;
    many_at_once(store, bucket).await;
    let missing = a_put(no_bucket, "segment-logs/contract/x.gz", "x");
    assert_eq!(put_fault(store, &missing).await, Some(Fault::Refused), "no such bucket");
    let missing =
        store.head(&location(bucket, Encryption::None), &object_key("segment-logs/contract/no")).await;
    assert_eq!(missing.unwrap_err().fault, Fault::NotFound);
}

async fn a_put_is_stored_with_its_metadata(store: &dyn ObjectStore, bucket: &str) {
    for (encryption, applied) in [(Encryption::SseS3, Some("AES256")), (Encryption::None, None)] {
        let mut put = a_put(bucket, &format!("segment-logs/contract/a+b%ü/{applied:?}.gz"), "three calls");
        put.location.encryption = encryption;
        let stored = store.put(&put).await.unwrap();
        assert!(stored.etag.is_some());
        let head = store.head(&put.location, &put.key).await.unwrap();
        assert_eq!(head.len, Some(11));
        for (name, value) in &put.metadata {
            assert_eq!(head.metadata.get(*name), Some(value), "{name}");
        }
        // A store may encrypt without a request, as AWS does, but must not omit a requested encryption.
        if applied.is_some() {
            assert_eq!(stored.applied.unwrap().algorithm.as_deref(), applied);
            assert_eq!(head.applied.unwrap().algorithm.as_deref(), applied);
        }
    }
}

async fn create_only_never_replaces(store: &dyn ObjectStore, bucket: &str) {
    let first = a_put(bucket, "segment-logs/contract/once.gz", "first");
    let mut second = a_put(bucket, "segment-logs/contract/once.gz", "second, longer");
    store.put(&first).await.unwrap();
    assert_eq!(put_fault(store, &second).await, Some(Fault::Exists));
    assert_eq!(store.head(&first.location, &first.key).await.unwrap().len, Some(5));
    second.mode = PutMode::Overwrite;
    store.put(&second).await.unwrap();
    assert_eq!(store.head(&first.location, &first.key).await.unwrap().len, Some(14));
}

async fn a_file_is_put_completely(store: &dyn ObjectStore, bucket: &str) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("staged");
    let bytes: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
    std::fs::write(&path, &bytes).unwrap();
    let mut put = a_put(bucket, "segment-logs/contract/file.gz", "");
    put.crc32 = crc32fast::hash(&bytes);
    put.body = Body::File { path: path.clone(), len: bytes.len() as u64 };
    store.put(&put).await.unwrap();
    assert_eq!(store.head(&put.location, &put.key).await.unwrap().len, Some(bytes.len() as u64));

    // Unreadable local bytes are not the store's fault.
    put.key = object_key("segment-logs/contract/file-2.gz");
    std::fs::write(&path, &bytes[..10]).unwrap();
    assert_eq!(put_fault(store, &put).await, Some(Fault::Local), "a truncated file");
    std::fs::remove_file(&path).unwrap();
    assert_eq!(put_fault(store, &put).await, Some(Fault::Local), "no file");
}

async fn wrong_bytes_are_a_digest_fault(store: &dyn ObjectStore, bucket: &str) {
    let mut put = a_put(bucket, "segment-logs/contract/wrong.gz", "bytes");
    put.crc32 ^= 1;
    assert_eq!(put_fault(store, &put).await, Some(Fault::Digest));
    let head = store.head(&put.location, &put.key).await;
    assert_eq!(head.unwrap_err().fault, Fault::NotFound, "nothing was stored");
}

async fn many_at_once(store: &dyn ObjectStore, bucket: &str) {
    let puts: Vec<Put> = (0..16)
        .map(|n| a_put(bucket, &format!("segment-logs/contract/many/{}.gz", n / 2), format!("body {n}")))
        .collect();
    let mut pending: Vec<_> = puts.iter().map(|put| Some(store.put(put))).collect();
    let mut faults: Vec<Option<Fault>> = vec![None; puts.len()];
    // All are polled from one task, so all are in flight before the first is answered.
    std::future::poll_fn(|context| {
        for (slot, fault) in pending.iter_mut().zip(&mut faults) {
            if let Some(Poll::Ready(answer)) = slot.as_mut().map(|put| put.as_mut().poll(context)) {
                *fault = answer.err().map(|err| err.fault);
                *slot = None;
            }
        }
        if pending.iter().all(Option::is_none) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    for pair in faults.chunks(2) {
        assert_eq!(
            pair.iter().filter(|fault| fault.is_none()).count(),
            1,
            "exactly one of each pair must win: {pair:?}"
        );
    }
}

#[tokio::test]
async fn the_fake_store_keeps_the_contract() {
    let store = FakeStore::new();
    store.miss_bucket("no-such-bucket", true);
    object_store(&store, "forebay", "no-such-bucket").await;
    reading::store(&store, "forebay", "no-such-bucket").await;
    changing::store(&store, "forebay").await;
}
