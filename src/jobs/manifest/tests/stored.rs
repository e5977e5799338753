//! Manifests in a store.

use std::sync::Arc;

use super::*;
use crate::import::FileFault;
use crate::jobs::manifest::files::{LocalManifest, StoredFiles, StoredManifest};
use crate::object::{BucketString, Encryption, ObjectKey, S3Location};
use crate::random::Random;
use crate::store::fake::{FakeStore, Step};
use crate::store::{ObjectStore as _, Put, PutMode};

#[derive(Debug)]
struct Zero;

impl Random for Zero {
    fn next_u64(&self) -> u64 {
        0
    }
}

struct Stored {
    runtime: tokio::runtime::Runtime,
    store: FakeStore,
}

impl Stored {
    fn new() -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        Self { runtime, store: FakeStore::new() }
    }

    /// Puts an object. Its ETag.
    fn put(&self, bucket: &str, key: &str, bytes: &[u8]) -> String {
        let location = S3Location::new(BucketString::parse(bucket).unwrap(), Encryption::None);
        let put = Put::plain(location, ObjectKey::listed(key), bytes.to_vec(), PutMode::CreateOnly);
        self.runtime.block_on(self.store.put(&put)).unwrap().etag.unwrap()
    }

    fn files(&self) -> StoredFiles {
        StoredFiles {
            store: Arc::new(self.store.clone()),
            location: S3Location::new(BucketString::parse("my-bucket").unwrap(), Encryption::None),
            runtime: self.runtime.handle().clone(),
            random: Arc::new(Zero),
        }
    }

    fn manifest(&self, key: &str) -> StoredManifest {
        StoredManifest {
            files: self.files(),
            bucket: "my-bucket".to_owned(),
            key: key.to_owned(),
            version: None,
        }
    }
}

fn tasks(files: &dyn ManifestFiles, etag: Option<&str>) -> Result<Vec<String>, ManifestError> {
    let wanted = Wanted { etag: etag.map(str::to_owned), ..Wanted::default() };
    let mut tasks = Vec::new();
    read_manifest(files, &wanted, &Progress::default(), &mut |task| {
        tasks.push(task.clone());
        Ok(())
    })?;
    Ok(short(&tasks))
}

#[test]
fn a_manifest_is_read_from_a_store() {
    let stored = Stored::new();
    let etag = stored.put("my-bucket", "jobs/m.csv", b"my-bucket,a\n");
    let manifest = stored.manifest("jobs/m.csv");
    assert_eq!(tasks(&manifest, Some(&etag)).unwrap(), ["my-bucket|a"]);
    let error = tasks(&manifest, Some("0")).unwrap_err();
    assert!(error.to_string().contains("s3://my-bucket/jobs/m.csv is "), "{error}");
    // Passing errors are retried; others are not.
    stored.store.script_reads([Step::SLOW_DOWN, Step::RESET]);
    assert_eq!(tasks(&manifest, None).unwrap(), ["my-bucket|a"]);
    let check = |step: Step, says: &str, fault: FileFault| {
        stored.store.script_reads([Step::Proper, step]);
        let error = tasks(&manifest, None).unwrap_err();
        assert_eq!((error.fault(), error.code()), (fault, "ManifestUnreadable"));
        let ManifestError::Unread { name, cause } = &error else { panic!("{error:?}") };
        assert_eq!(name, "s3://my-bucket/jobs/m.csv");
        assert!(cause.to_string().contains(says), "{cause}");
    };
    check(Step::CHANGED, "it changed while it was read", FileFault::Changed);
    check(Step::MISSING, "it does not exist", FileFault::Missing);
    check(Step::REFUSED, "access denied", FileFault::Denied);
    let missing = tasks(&stored.manifest("none.csv"), None).unwrap_err();
    assert!(matches!(missing, ManifestError::Unread { cause: ReadingError::Missing, .. }), "{missing:?}");
}

#[test]
fn an_inventory_is_read_from_its_own_bucket() {
    let stored = Stored::new();
    let part = gzip(b"\"my-bucket\",\"a\"\n");
    let manifest = |md5: &str| {
        format!(
            "{{\"destinationBucket\":\"arn:aws:s3:::dest-bucket\",\"fileFormat\":\"CSV\",\"fileSchema\":\"Bucket, Key\",\
             \"files\":[{{\"key\":\"data/1.csv.gz\",\"size\":{},\"MD5checksum\":\"{md5}\"}}]}}",
            part.len()
        )
    };
    stored.put("dest-bucket", "data/1.csv.gz", &part);
    let good = manifest(&md5_of(&part));
    stored.put("my-bucket", "2026/manifest.json", good.as_bytes());
    stored.put("my-bucket", "2026/manifest.checksum", md5_of(good.as_bytes()).as_bytes());
    assert_eq!(tasks(&stored.manifest("2026/manifest.json"), None).unwrap(), ["my-bucket|a"]);
    // At the top of a bucket its checksum is there too.
    stored.put("my-bucket", "manifest.json", good.as_bytes());
    stored.put("my-bucket", "manifest.checksum", md5_of(b"other").as_bytes());
    let error = tasks(&stored.manifest("manifest.json"), None).unwrap_err();
    assert!(error.to_string().contains("manifest.checksum says"), "{error}");
    // A copy of it on this machine names the same parts.
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("manifest.json");
    std::fs::write(&path, &good).unwrap();
    let local = LocalManifest { path: Some(path.clone()), files: Some(stored.files()) };
    assert_eq!(tasks(&local, None).unwrap(), ["my-bucket|a"]);
    let without = LocalManifest { path: Some(path.clone()), files: None };
    let ManifestError::Unread { cause, .. } = tasks(&without, None).unwrap_err() else { panic!("read") };
    assert!(cause.to_string().contains("there is no store"), "{cause}");
    std::fs::write(dir.path().join("manifest.checksum"), md5_of(b"other")).unwrap();
    assert!(tasks(&local, None).unwrap_err().to_string().contains("manifest.checksum says"));
    std::fs::write(&path, manifest(&md5_of(b"other"))).unwrap();
    std::fs::remove_file(dir.path().join("manifest.checksum")).unwrap();
    let error = tasks(&local, None).unwrap_err();
    assert!(error.to_string().contains("data/1.csv.gz: the file's MD5 is"), "{error}");
    std::fs::write(&path, "my-bucket,a\n").unwrap();
    assert_eq!(tasks(&without, None).unwrap(), ["my-bucket|a"]);
    let folder = LocalManifest { path: Some(dir.path().to_owned()), files: Some(stored.files()) };
    let error = tasks(&folder, None).unwrap_err();
    assert_eq!(error.code(), "ManifestUnreadable");
}
