//! The operations of the S3 protocol, from input to answer. Other operations get 501.

use std::collections::BTreeSet;
use std::io::SeekFrom;
use std::sync::Arc;

use s3s::dto::*;
use s3s::{S3, S3Error, S3Request, S3Response, S3Result, s3_error};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;

use super::listing::{self, PAGE_ENTRIES_MAX, url_encoded};
use super::meta::{Described, ObjectMeta, UploadMeta};
use super::multipart::{self, blocking, check_part_number, part_of};
use super::objects::{
    ReadConditions, checked_tags, described_by_copy, described_by_put, described_by_upload, encryption, etag,
    get_output, head_output, sums_type, timestamp,
};
use super::receive::{Claimed, Received, copy, receive};
use super::settings::REGION;
use super::sums::{Algorithm, set_sums, sums_of};
use super::vault::{Conditions, Vault};

/// How many bytes of a body are read at a time for an answer.
const READ_CHUNK_BYTES: usize = 64 * 1024;

/// How often opening a body is attempted, because an object may be replaced between lookup and opening.
const OPEN_TRIES: usize = 8;

type Answer<T> = S3Result<S3Response<T>>;

/// Implements the operations.
#[derive(Debug)]
pub(super) struct Service {
    vault: Arc<Vault>,
}

impl Service {
    pub(super) fn new(vault: Arc<Vault>) -> Self {
        Self { vault }
    }

    fn found(&self, bucket: &str, key: &str) -> S3Result<Arc<ObjectMeta>> {
        self.vault.read().object(bucket, key)
    }

    /// An object and its opened body. They match even if the object is replaced in the meantime.
    async fn opened(&self, bucket: &str, key: &str) -> S3Result<(Arc<ObjectMeta>, File)> {
        for _ in 0..OPEN_TRIES {
            let object = self.found(bucket, key)?;
            match File::open(self.vault.disk.body(&object.body)).await {
                Ok(file) => return Ok((object, file)),
                Err(err) if err.kind() == std::io::ErrorKind::NotFound => {}
                Err(err) => return Err(S3Error::internal_error(err)),
            }
        }
        Err(s3_error!(InternalError, "the body of this object is missing on disk"))
    }

    /// Creates an object from a received body.
    async fn kept(
        &self,
        (bucket, key): (String, String),
        described: Described,
        received: Received,
        conditions: Conditions,
    ) -> S3Result<Arc<ObjectMeta>> {
        let object = ObjectMeta {
            bucket,
            key,
            body: received.id.clone(),
            len: received.len,
            etag: hex::encode(received.md5),
            modified_ms: self.vault.now_ms(),
            described,
            sums: received.sums.clone(),
            sums_are_composite: false,
        };
        self.change(move |vault| {
            let object = vault.put_object(object, &conditions, None);
            drop(received);
            object
        })
        .await
    }

    async fn kept_part(&self, upload: String, number: i32, received: Received) -> S3Result<()> {
        self.change(move |vault| vault.put_part(&upload, number, part_of(&received, vault.now_ms()))).await
    }

    /// Changes the vault in a blocking thread.
    async fn change<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Vault) -> S3Result<T> + Send + 'static,
    ) -> S3Result<T> {
        let vault = Arc::clone(&self.vault);
        blocking(move || work(&vault)).await
    }

    /// The source object of a copy.
    fn source(&self, source: &CopySource) -> S3Result<Arc<ObjectMeta>> {
        match source {
            CopySource::Bucket { bucket, key, version_id, .. } => {
                only_version(version_id.as_deref())?;
                self.found(bucket, key)
            }
            _ => Err(s3_error!(NotImplemented, "only objects of a bucket can be copied")),
        }
    }
}

/// Objects have no versions but the one that S3 calls `null`. Another one answered with the object that is there now
/// would be taken for what was asked.
fn only_version(asked: Option<&str>) -> S3Result<()> {
    match asked {
        None | Some("null") => Ok(()),
        Some(_) => Err(s3_error!(NoSuchVersion, "this server keeps no versions of objects")),
    }
}

fn algorithm_of(named: Option<&ChecksumAlgorithm>, trailer: Option<&http::HeaderValue>) -> Option<Algorithm> {
    let in_trailer = trailer.and_then(|value| value.to_str().ok()?.trim().strip_prefix("x-amz-checksum-"));
    in_trailer.or(named.map(ChecksumAlgorithm::as_str)).and_then(Algorithm::named)
}

#[async_trait::async_trait]
impl S3 for Service {
    async fn create_bucket(&self, req: S3Request<CreateBucketInput>) -> Answer<CreateBucketOutput> {
        let constraint = req.input.create_bucket_configuration.and_then(|config| config.location_constraint);
        if constraint.is_some_and(|region| !["", REGION].contains(&region.as_str())) {
            return Err(s3_error!(InvalidLocationConstraint, "every bucket is in {REGION}"));
        }
        let bucket = req.input.bucket;
        let location = Some(format!("/{bucket}"));
        self.change(move |vault| vault.create_bucket(&bucket)).await?;
        Ok(S3Response::new(CreateBucketOutput { location }))
    }

    async fn delete_bucket(&self, req: S3Request<DeleteBucketInput>) -> Answer<DeleteBucketOutput> {
        self.change(move |vault| vault.delete_bucket(&req.input.bucket)).await?;
        Ok(S3Response::with_status(DeleteBucketOutput::default(), http::StatusCode::NO_CONTENT))
    }

    async fn head_bucket(&self, req: S3Request<HeadBucketInput>) -> Answer<HeadBucketOutput> {
        self.vault.read().bucket(&req.input.bucket)?;
        let bucket_region = Some(REGION.to_owned());
        Ok(S3Response::new(HeadBucketOutput { bucket_region, ..HeadBucketOutput::default() }))
    }

    async fn list_buckets(&self, _req: S3Request<ListBucketsInput>) -> Answer<ListBucketsOutput> {
        let index = self.vault.read();
        let bucket = |bucket: &super::vault::Bucket| Bucket {
            name: Some(bucket.meta.name.clone()),
            creation_date: Some(timestamp(bucket.meta.created_ms)),
            bucket_region: Some(REGION.to_owned()),
        };
        let buckets = Some(index.buckets.values().map(bucket).collect());
        Ok(S3Response::new(ListBucketsOutput { buckets, ..ListBucketsOutput::default() }))
    }

    /// us-east-1 is answered with an empty location, as S3 does.
    async fn get_bucket_location(
        &self,
        req: S3Request<GetBucketLocationInput>,
    ) -> Answer<GetBucketLocationOutput> {
        self.vault.read().bucket(&req.input.bucket)?;
        Ok(S3Response::new(GetBucketLocationOutput::default()))
    }

    async fn put_object(&self, req: S3Request<PutObjectInput>) -> Answer<PutObjectOutput> {
        let trailer = req.headers.get("x-amz-trailer");
        let input = req.input;
        self.vault.read().bucket(&input.bucket)?;
        let described = described_by_put(&input)?;
        let claimed = Claimed {
            len: input.content_length,
            md5: input.content_md5.clone(),
            sums: sums_of!(input),
            algorithm: algorithm_of(input.checksum_algorithm.as_ref(), trailer),
            trailers: req.trailing_headers,
        };
        let received = receive(&self.vault, input.body, claimed).await?;
        let conditions = Conditions { if_none_match: input.if_none_match, if_match: input.if_match };
        let object = self.kept((input.bucket, input.key), described, received, conditions).await?;
        let mut output = PutObjectOutput {
            e_tag: etag(&object.etag),
            server_side_encryption: encryption(&object.described),
            ssekms_key_id: object.described.kms_key_id.clone(),
            bucket_key_enabled: object.described.bucket_key_enabled,
            checksum_type: sums_type(&object),
            ..PutObjectOutput::default()
        };
        set_sums!(output, &object.sums);
        Ok(S3Response::new(output))
    }

    async fn get_object(&self, req: S3Request<GetObjectInput>) -> Answer<GetObjectOutput> {
        let input = req.input;
        only_version(input.version_id.as_deref())?;
        let (object, mut file) = self.opened(&input.bucket, &input.key).await?;
        let conditions = ReadConditions {
            if_match: input.if_match,
            if_none_match: input.if_none_match,
            if_modified_since: input.if_modified_since,
            if_unmodified_since: input.if_unmodified_since,
        };
        conditions.check(&object)?;
        let range = input.range.map(|range| range.check(object.len)).transpose()?;
        // Checksums cover the whole object, so they are left out of partial answers.
        let mut output = get_output(&object, input.checksum_mode.is_some() && range.is_none());
        let mut len = object.len;
        if let Some(range) = range {
            len = range.end - range.start;
            file.seek(SeekFrom::Start(range.start)).await.map_err(S3Error::internal_error)?;
            output.content_length = i64::try_from(len).ok();
            output.content_range =
                Some(format!("bytes {}-{}/{}", range.start, range.end.saturating_sub(1), object.len));
        }
        let stream = ReaderStream::with_capacity(file.take(len), READ_CHUNK_BYTES);
        output.body = Some(StreamingBlob::wrap(stream));
        Ok(S3Response::new(output))
    }

    async fn head_object(&self, req: S3Request<HeadObjectInput>) -> Answer<HeadObjectOutput> {
        let input = req.input;
        only_version(input.version_id.as_deref())?;
        let object = self.found(&input.bucket, &input.key)?;
        let conditions = ReadConditions {
            if_match: input.if_match,
            if_none_match: input.if_none_match,
            if_modified_since: input.if_modified_since,
            if_unmodified_since: input.if_unmodified_since,
        };
        conditions.check(&object)?;
        Ok(S3Response::new(head_output(&object, input.checksum_mode.is_some())))
    }

    async fn list_objects_v2(&self, req: S3Request<ListObjectsV2Input>) -> Answer<ListObjectsV2Output> {
        Ok(S3Response::new(listing::list_objects_v2(&self.vault, req.input)?))
    }

    async fn list_objects(&self, req: S3Request<ListObjectsInput>) -> Answer<ListObjectsOutput> {
        Ok(S3Response::new(listing::list_objects(&self.vault, req.input)?))
    }

    async fn delete_object(&self, req: S3Request<DeleteObjectInput>) -> Answer<DeleteObjectOutput> {
        let input = req.input;
        only_version(input.version_id.as_deref())?;
        self.change(move |vault| vault.delete_object(&input.bucket, &input.key, input.if_match)).await?;
        Ok(S3Response::with_status(DeleteObjectOutput::default(), http::StatusCode::NO_CONTENT))
    }

    async fn delete_objects(&self, req: S3Request<DeleteObjectsInput>) -> Answer<DeleteObjectsOutput> {
        let input = req.input;
        self.vault.read().bucket(&input.bucket)?;
        if input.delete.objects.len() > PAGE_ENTRIES_MAX {
            return Err(s3_error!(MalformedXML, "at most {PAGE_ENTRIES_MAX} objects can be deleted at once"));
        }
        let quiet = input.delete.quiet.unwrap_or(false);
        let output = self.change(move |vault| {
            let (mut deleted, mut errors) = (Vec::new(), Vec::new());
            for object in input.delete.objects {
                match vault.delete_object(&input.bucket, &object.key, object.e_tag.map(ETagCondition::ETag)) {
                    Ok(()) => {
                        deleted.push(DeletedObject { key: Some(object.key), ..DeletedObject::default() })
                    }
                    Err(err) => errors.push(Error {
                        key: Some(object.key),
                        code: Some(err.code().as_str().to_owned()),
                        message: err.message().map(str::to_owned),
                        version_id: None,
                    }),
                }
            }
            let deleted = (!quiet).then_some(deleted);
            Ok(DeleteObjectsOutput { deleted, errors: Some(errors), ..DeleteObjectsOutput::default() })
        });
        Ok(S3Response::new(output.await?))
    }

    async fn copy_object(&self, req: S3Request<CopyObjectInput>) -> Answer<CopyObjectOutput> {
        let input = req.input;
        self.vault.read().bucket(&input.bucket)?;
        let source = self.source(&input.copy_source)?;
        let conditions = ReadConditions {
            if_match: input.copy_source_if_match.clone(),
            if_none_match: input.copy_source_if_none_match.clone(),
            if_modified_since: input.copy_source_if_modified_since.clone(),
            if_unmodified_since: input.copy_source_if_unmodified_since.clone(),
        };
        // For a copy, an unmodified source is also a failed precondition.
        conditions.check(&source).map_err(|_| s3_error!(PreconditionFailed))?;
        let described = described_by_copy(&input, &source.described)?;
        if (&source.bucket, &source.key) == (&input.bucket, &input.key) && described == source.described {
            return Err(s3_error!(
                InvalidRequest,
                "copying an object onto itself must change its headers or encryption"
            ));
        }
        let bodies = [(source.body.clone(), 0..source.len)];
        let kept = source.sums.keys().copied().filter(|_| !source.sums_are_composite);
        let named = algorithm_of(input.checksum_algorithm.as_ref(), None);
        let received = copy(&self.vault, &bodies, kept.chain(named).collect::<BTreeSet<_>>()).await?;
        let object = self.kept((input.bucket, input.key), described, received, Conditions::default()).await?;
        let mut result = CopyObjectResult {
            e_tag: etag(&object.etag),
            last_modified: Some(timestamp(object.modified_ms)),
            checksum_type: sums_type(&object),
            ..CopyObjectResult::default()
        };
        set_sums!(result, &object.sums);
        Ok(S3Response::new(CopyObjectOutput {
            copy_object_result: Some(result),
            server_side_encryption: encryption(&object.described),
            ssekms_key_id: object.described.kms_key_id.clone(),
            ..CopyObjectOutput::default()
        }))
    }

    async fn get_object_tagging(
        &self,
        req: S3Request<GetObjectTaggingInput>,
    ) -> Answer<GetObjectTaggingOutput> {
        let object = self.found(&req.input.bucket, &req.input.key)?;
        let tags = object.described.tags.iter();
        let tag =
            |(key, value): (&String, &String)| Tag { key: Some(key.clone()), value: Some(value.clone()) };
        let tag_set = tags.map(tag).collect();
        Ok(S3Response::new(GetObjectTaggingOutput { tag_set, ..GetObjectTaggingOutput::default() }))
    }

    async fn put_object_tagging(
        &self,
        req: S3Request<PutObjectTaggingInput>,
    ) -> Answer<PutObjectTaggingOutput> {
        let input = req.input;
        let named = input.tagging.tag_set.into_iter();
        let tags =
            checked_tags(named.map(|tag| (tag.key.unwrap_or_default(), tag.value.unwrap_or_default())))?;
        self.change(move |vault| vault.tag_object(&input.bucket, &input.key, tags)).await?;
        Ok(S3Response::new(PutObjectTaggingOutput::default()))
    }

    async fn create_multipart_upload(
        &self,
        req: S3Request<CreateMultipartUploadInput>,
    ) -> Answer<CreateMultipartUploadOutput> {
        let input = req.input;
        let algorithm = algorithm_of(input.checksum_algorithm.as_ref(), None);
        let full = input.checksum_type.as_ref().map(|kind| kind.as_str() == ChecksumType::FULL_OBJECT);
        let upload = UploadMeta {
            id: self.vault.new_id(),
            bucket: input.bucket.clone(),
            key: input.key.clone(),
            started_ms: self.vault.now_ms(),
            described: described_by_upload(&input)?,
            algorithm,
            full_object_sums: full.unwrap_or(algorithm == Some(Algorithm::Crc64Nvme)),
            parts: std::collections::BTreeMap::new(),
        };
        let output = CreateMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(upload.id.clone()),
            checksum_algorithm: input.checksum_algorithm,
            checksum_type: input.checksum_type,
            server_side_encryption: encryption(&upload.described),
            ssekms_key_id: upload.described.kms_key_id.clone(),
            ..CreateMultipartUploadOutput::default()
        };
        self.change(move |vault| vault.start_upload(upload)).await?;
        Ok(S3Response::new(output))
    }

    async fn upload_part(&self, req: S3Request<UploadPartInput>) -> Answer<UploadPartOutput> {
        let trailer = req.headers.get("x-amz-trailer");
        let input = req.input;
        check_part_number(input.part_number)?;
        let upload = multipart::find(&self.vault, &input.upload_id, &input.bucket, &input.key)?;
        let named = algorithm_of(input.checksum_algorithm.as_ref(), trailer);
        let claimed = Claimed {
            len: input.content_length,
            md5: input.content_md5.clone(),
            sums: sums_of!(input),
            algorithm: named.or(upload.algorithm),
            trailers: req.trailing_headers,
        };
        let received = receive(&self.vault, input.body, claimed).await?;
        let mut output = UploadPartOutput {
            e_tag: etag(&hex::encode(received.md5)),
            server_side_encryption: encryption(&upload.described),
            ssekms_key_id: upload.described.kms_key_id.clone(),
            ..UploadPartOutput::default()
        };
        set_sums!(output, &received.sums);
        self.kept_part(input.upload_id, input.part_number, received).await?;
        Ok(S3Response::new(output))
    }

    async fn upload_part_copy(&self, req: S3Request<UploadPartCopyInput>) -> Answer<UploadPartCopyOutput> {
        let input = req.input;
        check_part_number(input.part_number)?;
        let upload = multipart::find(&self.vault, &input.upload_id, &input.bucket, &input.key)?;
        let source = self.source(&input.copy_source)?;
        let range = match &input.copy_source_range {
            Some(range) => Range::parse(range)
                .map_err(|_| s3_error!(InvalidArgument, "the range of the copy is invalid"))?
                .check(source.len)?,
            None => 0..source.len,
        };
        let received = copy(&self.vault, &[(source.body.clone(), range)], upload.algorithm).await?;
        let mut result = CopyPartResult {
            e_tag: etag(&hex::encode(received.md5)),
            last_modified: Some(timestamp(self.vault.now_ms())),
            ..CopyPartResult::default()
        };
        set_sums!(result, &received.sums);
        self.kept_part(input.upload_id, input.part_number, received).await?;
        let copy_part_result = Some(result);
        Ok(S3Response::new(UploadPartCopyOutput { copy_part_result, ..UploadPartCopyOutput::default() }))
    }

    async fn complete_multipart_upload(
        &self,
        req: S3Request<CompleteMultipartUploadInput>,
    ) -> Answer<CompleteMultipartUploadOutput> {
        let object = multipart::complete(&self.vault, req.input).await?;
        let mut output = CompleteMultipartUploadOutput {
            bucket: Some(object.bucket.clone()),
            key: Some(object.key.clone()),
            location: Some(format!("/{}/{}", object.bucket, url_encoded(&object.key))),
            e_tag: etag(&object.etag),
            server_side_encryption: encryption(&object.described),
            ssekms_key_id: object.described.kms_key_id.clone(),
            checksum_type: sums_type(&object),
            ..CompleteMultipartUploadOutput::default()
        };
        set_sums!(output, &object.sums);
        Ok(S3Response::new(output))
    }

    async fn abort_multipart_upload(
        &self,
        req: S3Request<AbortMultipartUploadInput>,
    ) -> Answer<AbortMultipartUploadOutput> {
        let input = req.input;
        multipart::find(&self.vault, &input.upload_id, &input.bucket, &input.key)?;
        self.change(move |vault| vault.abort_upload(&input.upload_id)).await?;
        Ok(S3Response::with_status(AbortMultipartUploadOutput::default(), http::StatusCode::NO_CONTENT))
    }

    async fn list_parts(&self, req: S3Request<ListPartsInput>) -> Answer<ListPartsOutput> {
        Ok(S3Response::new(listing::list_parts(&self.vault, req.input)?))
    }

    async fn list_multipart_uploads(
        &self,
        req: S3Request<ListMultipartUploadsInput>,
    ) -> Answer<ListMultipartUploadsOutput> {
        Ok(S3Response::new(listing::list_multipart_uploads(&self.vault, req.input)?))
    }
}
