//! The parts of the contract that hold for a directory. It has no buckets or entity tags and encrypts
//! nothing.

use forebay::store::directory::DirectoryStore;
use forebay::store::{Fault, ObjectStore};

use super::{
    a_file_is_put_completely, a_put, create_only_never_replaces, many_at_once, object_key, put_fault,
    wrong_bytes_are_a_digest_fault,
};

#[tokio::test]
async fn a_directory_keeps_objects_with_their_metadata() {
    let folder = tempfile::tempdir().unwrap();
    let store = DirectoryStore::open(&folder.path().join("not/there/yet")).unwrap();
    create_only_never_replaces(&store, "forebay").await;
    a_file_is_put_completely(&store, "forebay").await;
    wrong_bytes_are_a_digest_fault(&store, "forebay").await;
    many_at_once(&store, "forebay").await;
    let put = a_put("forebay", "segment-logs/contract/a+b%ü/x.gz", "three calls");
    store.put(&put).await.unwrap();
    let head = store.head(&put.location, &put.key).await.unwrap();
    assert_eq!(head.len, Some(11));
    for (name, value) in &put.metadata {
        assert_eq!(head.metadata.get(*name), Some(value), "{name}");
    }
    // A file of someone else has no metadata, so it is never taken for Forebay's.
    let theirs = folder.path().join("not/there/yet/segment-logs/contract/theirs.gz");
    std::fs::write(theirs, "theirs").unwrap();
    let key = object_key("segment-logs/contract/theirs.gz");
    assert!(store.head(&put.location, &key).await.unwrap().metadata.is_empty());
}

#[tokio::test]
async fn a_key_cannot_escape_the_directory() {
    let folder = tempfile::tempdir().unwrap();
    let store = DirectoryStore::open(&folder.path().join("in")).unwrap();
    for key in ["../out.gz", "a/../../out.gz", "/tmp/out.gz", ""] {
        assert_eq!(put_fault(&store, &a_put("forebay", key, "x")).await, Some(Fault::Refused), "{key}");
    }
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "only the directory itself");
}
