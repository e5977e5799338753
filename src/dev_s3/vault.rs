//! The index in memory and its files, changed together: everything in the index is on disk.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};

use s3s::dto::ETagCondition;
use s3s::{S3Error, S3Result, s3_error};

use super::disk::{BUCKETS, Disk, OBJECTS, UPLOADS, digest};
use super::meta::{BucketMeta, ObjectMeta, PartMeta, UploadMeta};
use super::settings::{BUCKET, DevS3Error, DevS3Settings};
use crate::lock::{lock, read, write};
use crate::random::Random;
use crate::time::Clock;

/// The most buckets, as in an AWS account.
const BUCKETS_MAX: usize = 1_000;

/// The most multipart uploads in progress.
const UPLOADS_MAX: usize = 1_000;

/// The server's state. Its methods block on the disk: call them only from blocking threads.
#[derive(Debug)]
pub(super) struct Vault {
    pub(super) disk: Disk,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    index: RwLock<Index>,
    /// Held for each whole change, from its conditions to its last sync. The index is locked only to read or
    /// update it.
    changes: Mutex<()>,
}

#[derive(Debug, Default)]
pub(super) struct Index {
    pub(super) buckets: BTreeMap<String, Bucket>,
    pub(super) uploads: BTreeMap<String, UploadMeta>,
}

#[derive(Debug)]
pub(super) struct Bucket {
    pub(super) meta: BucketMeta,
    pub(super) objects: BTreeMap<String, Arc<ObjectMeta>>,
}

/// The conditions of a put.
#[derive(Debug, Default)]
pub(super) struct Conditions {
    pub(super) if_none_match: Option<ETagCondition>,
    pub(super) if_match: Option<ETagCondition>,
}

impl From<DevS3Error> for S3Error {
    fn from(err: DevS3Error) -> Self {
        tracing::error!(error = &err as &dyn std::error::Error, "the S3 server failed to use its disk");
        Self::internal_error(err)
    }
}

impl Vault {
    pub(super) fn open(settings: DevS3Settings) -> Result<Self, DevS3Error> {
        let disk = Disk::open(&settings.data_dir)?;
        let loaded = disk.load()?;
        let mut index = Index::default();
        for meta in loaded.buckets {
            index.buckets.insert(meta.name.clone(), Bucket { meta, objects: BTreeMap::new() });
        }
        for object in loaded.objects {
            if let Some(bucket) = index.buckets.get_mut(&object.bucket) {
                bucket.objects.insert(object.key.clone(), Arc::new(object));
            }
        }
        index.uploads.extend(loaded.uploads.into_iter().map(|upload| (upload.id.clone(), upload)));
        let vault = Self {
            disk,
            clock: settings.clock,
            random: settings.random,
            index: RwLock::new(index),
            changes: Mutex::new(()),
        };
        if !vault.read().buckets.contains_key(BUCKET) {
            vault.add_bucket(BUCKET)?;
        }
        Ok(vault)
    }

    fn add_bucket(&self, name: &str) -> Result<(), DevS3Error> {
        let meta = BucketMeta { name: name.to_owned(), created_ms: self.now_ms() };
        self.disk.write(BUCKETS, name, &meta)?;
        self.write().buckets.insert(name.to_owned(), Bucket { meta, objects: BTreeMap::new() });
        Ok(())
    }

    pub(super) fn now_ms(&self) -> i64 {
        self.clock.wall().0
    }

    /// A unique name for a body or upload.
    pub(super) fn new_id(&self) -> String {
        format!("{:032x}", self.random.next_u128())
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, Index> {
        read(&self.index)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Index> {
        write(&self.index)
    }

    pub(super) fn create_bucket(&self, name: &str) -> S3Result<()> {
        let _change = lock(&self.changes);
        if self.read().buckets.contains_key(name) {
            return Err(s3_error!(BucketAlreadyOwnedByYou));
        }
        if self.read().buckets.len() >= BUCKETS_MAX {
            return Err(s3_error!(TooManyBuckets));
        }
        Ok(self.add_bucket(name)?)
    }

    pub(super) fn delete_bucket(&self, name: &str) -> S3Result<()> {
        let _change = lock(&self.changes);
        if !self.read().bucket(name)?.objects.is_empty() {
            return Err(s3_error!(BucketNotEmpty));
        }
        let uploads: Vec<UploadMeta> =
            self.read().uploads.values().filter(|upload| upload.bucket == name).cloned().collect();
        for upload in &uploads {
            self.end_upload(upload)?;
        }
        self.disk.remove(BUCKETS, name)?;
        self.write().buckets.remove(name);
        Ok(())
    }

    /// Creates an object from a received body, and ends `upload`.
    pub(super) fn put_object(
        &self,
        object: ObjectMeta,
        conditions: &Conditions,
        upload: Option<&str>,
    ) -> S3Result<Arc<ObjectMeta>> {
        let _change = lock(&self.changes);
        let before = self.read().bucket(&object.bucket)?.objects.get(&object.key).cloned();
        conditions.check(before.as_deref())?;
        let upload = upload.map(|id| self.read().upload(id)).transpose()?;
        self.disk.keep_body(&object.body)?;
        self.disk.write(OBJECTS, &digest(&object.bucket, &object.key), &object)?;
        let object = Arc::new(object);
        if let Some(bucket) = self.write().buckets.get_mut(&object.bucket) {
            bucket.objects.insert(object.key.clone(), Arc::clone(&object));
        }
        if let Some(before) = before {
            self.disk.drop_body(&before.body);
        }
        if let Some(upload) = upload {
            self.end_upload(&upload)?;
        }
        Ok(object)
    }

    /// Gives an object other tags. Its content and its time stay.
    pub(super) fn tag_object(&self, bucket: &str, key: &str, tags: BTreeMap<String, String>) -> S3Result<()> {
        let _change = lock(&self.changes);
        let mut object = ObjectMeta::clone(&*self.read().object(bucket, key)?);
        object.described.tags = tags;
        self.disk.write(OBJECTS, &digest(bucket, key), &object)?;
        if let Some(bucket) = self.write().buckets.get_mut(bucket) {
            bucket.objects.insert(key.to_owned(), Arc::new(object));
        }
        Ok(())
    }

    /// Removes an object if it exists. Deletes an object; with a condition only if it is there and so (S3
    /// User Guide, "How to perform conditional deletes").
    pub(super) fn delete_object(
        &self,
        bucket: &str,
        key: &str,
        if_match: Option<ETagCondition>,
    ) -> S3Result<()> {
        let _change = lock(&self.changes);
        let object = self.read().bucket(bucket)?.objects.get(key).cloned();
        Conditions { if_none_match: None, if_match }.check(object.as_deref())?;
        let Some(object) = object else { return Ok(()) };
        self.disk.remove(OBJECTS, &digest(bucket, key))?;
        if let Some(bucket) = self.write().buckets.get_mut(bucket) {
            bucket.objects.remove(key);
        }
        self.disk.drop_body(&object.body);
        Ok(())
    }

    pub(super) fn start_upload(&self, upload: UploadMeta) -> S3Result<()> {
        let _change = lock(&self.changes);
        self.read().bucket(&upload.bucket)?;
        if self.read().uploads.len() >= UPLOADS_MAX {
            return Err(s3_error!(SlowDown, "{UPLOADS_MAX} multipart uploads are in progress: abort some"));
        }
        self.disk.write(UPLOADS, &upload.id, &upload)?;
        self.write().uploads.insert(upload.id.clone(), upload);
        Ok(())
    }

    /// Adds a part whose body has been received, replacing one of the same number.
    pub(super) fn put_part(&self, id: &str, number: i32, part: PartMeta) -> S3Result<()> {
        let _change = lock(&self.changes);
        let mut upload = self.read().upload(id)?;
        self.disk.keep_body(&part.body)?;
        let before = upload.parts.insert(number, part);
        self.disk.write(UPLOADS, id, &upload)?;
        self.write().uploads.insert(id.to_owned(), upload);
        if let Some(before) = before {
            self.disk.drop_body(&before.body);
        }
        Ok(())
    }

    pub(super) fn abort_upload(&self, id: &str) -> S3Result<()> {
        let _change = lock(&self.changes);
        let upload = self.read().upload(id)?;
        self.end_upload(&upload)
    }

    fn end_upload(&self, upload: &UploadMeta) -> S3Result<()> {
        self.disk.remove(UPLOADS, &upload.id)?;
        self.write().uploads.remove(&upload.id);
        for part in upload.parts.values() {
            self.disk.drop_body(&part.body);
        }
        Ok(())
    }
}

impl Index {
    pub(super) fn bucket(&self, name: &str) -> S3Result<&Bucket> {
        self.buckets.get(name).ok_or_else(|| s3_error!(NoSuchBucket, "the bucket does not exist"))
    }

    pub(super) fn object(&self, bucket: &str, key: &str) -> S3Result<Arc<ObjectMeta>> {
        let object = self.bucket(bucket)?.objects.get(key).cloned();
        object.ok_or_else(|| s3_error!(NoSuchKey, "the key does not exist"))
    }

    pub(super) fn upload(&self, id: &str) -> S3Result<UploadMeta> {
        self.uploads.get(id).cloned().ok_or_else(|| s3_error!(NoSuchUpload))
    }
}

impl Conditions {
    fn check(&self, object: Option<&ObjectMeta>) -> S3Result<()> {
        match (&self.if_none_match, object) {
            (Some(ETagCondition::Any), Some(_)) => return Err(s3_error!(PreconditionFailed)),
            (Some(ETagCondition::ETag(_)), _) => {
                return Err(s3_error!(NotImplemented, "If-None-Match of a put must be *"));
            }
            (Some(ETagCondition::Any) | None, _) => {}
        }
        match (&self.if_match, object) {
            (Some(_), None) => Err(s3_error!(NoSuchKey, "the key does not exist")),
            (Some(ETagCondition::ETag(wanted)), Some(object)) if wanted.value() != object.etag => {
                Err(s3_error!(PreconditionFailed))
            }
            _ => Ok(()),
        }
    }
}
