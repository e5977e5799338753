//! The requests of a [`StoreChanger`]. Each makes one attempt.

use aws_sdk_s3::types::{MetadataDirective, ServerSideEncryption, StorageClass, Tag, Tagging};
use http::HeaderValue;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{Asked, S3Store, check_key};
use crate::object::{ObjectKey, S3Location};
use crate::store::changer::{ObjectCopy, StoreChanger, Tags};
use crate::store::{Attempted, Fault, ObjectVersion, StoreError};

/// What stands for itself in the header that names the object to copy.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');

impl S3Store {
    async fn copy_once(&self, location: &S3Location, copy: &ObjectCopy) -> Result<(), StoreError> {
        check_key(&copy.to)?;
        let headers = &copy.headers;
        if headers.lacks_metadata {
            let what = "the object has metadata that no header can show (x-amz-missing-meta), and the copy would lose it";
            return Err(StoreError::local(Fault::Refused, what));
        }
        let expires = headers.expires.as_deref().map(HeaderValue::from_str).transpose();
        let expires = expires
            .map_err(|_| StoreError::local(Fault::Refused, "the object's header Expires cannot be sent"))?;
        let attempt = self.attempt(location, Asked::Change).await?;
        let bucket = location.bucket.bucket();
        let (algorithm, kms_key, bucket_key) = match &copy.encryption {
            Some(applied) => (applied.algorithm.as_deref(), applied.kms_key.clone(), applied.bucket_key),
            None => (None, None, false),
        };
        let copied = attempt
            .client
            .copy_object()
            .bucket(bucket)
            .key(copy.to.as_str())
            .copy_source(format!("{bucket}/{}", utf8_percent_encode(copy.from.as_str(), PLAIN)))
            .copy_source_if_match(copy.etag.as_str())
            .set_server_side_encryption(algorithm.map(ServerSideEncryption::from))
            .set_ssekms_key_id(kms_key)
            .set_bucket_key_enabled(bucket_key.then_some(true))
            .set_storage_class(copy.storage_class.as_deref().map(StorageClass::from))
            .metadata_directive(MetadataDirective::Replace)
            .set_metadata(Some(copy.metadata.clone().into_iter().collect()))
            .set_content_encoding(copy.content_encoding.clone())
            .set_content_type(headers.content_type.clone())
            .set_content_disposition(headers.content_disposition.clone())
            .set_content_language(headers.content_language.clone())
            .set_cache_control(headers.cache_control.clone())
            .set_website_redirect_location(headers.redirect.clone())
            .set_expected_bucket_owner(attempt.owner())
            .set_expected_source_bucket_owner(attempt.owner())
            .set_request_payer(attempt.payer())
            .customize()
            .config_override(
                aws_sdk_s3::config::Builder::new().timeout_config(self.settings.timeouts.of_body(copy.len)),
            )
            .mutate_request(move |request| {
                // As it was put: it need not be a date that the client could write.
                if let Some(expires) = &expires {
                    request.headers_mut().insert("expires", expires.clone());
                }
            })
            .send()
            .await
            .map_err(|error| attempt.failed(&error))?;
        // An answer may begin before the copy has ended.
        match copied.copy_object_result().and_then(|result| result.e_tag()) {
            Some(_) => Ok(()),
            None => {
                Err(StoreError::local(Fault::Transient, "the answer does not say that the object was copied"))
            }
        }
    }

    async fn delete_once(
        &self,
        location: &S3Location,
        key: &ObjectKey,
        etag: &str,
    ) -> Result<(), StoreError> {
        check_key(key)?;
        let attempt = self.attempt(location, Asked::Change).await?;
        let request = attempt
            .client
            .delete_object()
            .bucket(location.bucket.bucket())
            .key(key.as_str())
            .if_match(etag)
            .set_expected_bucket_owner(attempt.owner())
            .set_request_payer(attempt.payer());
        request.send().await.map(drop).map_err(|error| attempt.failed(&error))
    }

    async fn tags_once(
        &self,
        location: &S3Location,
        key: &ObjectKey,
        version: &ObjectVersion,
    ) -> Result<Tags, StoreError> {
        check_key(key)?;
        let attempt = self.attempt(location, Asked::Change).await?;
        let request = attempt
            .client
            .get_object_tagging()
            .bucket(location.bucket.bucket())
            .key(key.as_str())
            .set_version_id(version.id.clone())
            .set_expected_bucket_owner(attempt.owner())
            .set_request_payer(attempt.payer());
        let tagging = request.send().await.map_err(|error| attempt.failed(&error))?;
        Ok(tagging.tag_set().iter().map(|tag| (tag.key().to_owned(), tag.value().to_owned())).collect())
    }

    async fn tag_once(
        &self,
        (location, key): (&S3Location, &ObjectKey),
        version: &ObjectVersion,
        tags: &Tags,
    ) -> Result<(), StoreError> {
        check_key(key)?;
        let attempt = self.attempt(location, Asked::Change).await?;
        let unbuildable = |error: &dyn std::fmt::Display| {
            StoreError::local(Fault::Refused, format!("these tags cannot be sent: {error}"))
        };
        let mut tagging = Tagging::builder();
        for (name, value) in tags {
            let tag = Tag::builder().key(name).value(value).build();
            tagging = tagging.tag_set(tag.map_err(|error| unbuildable(&error))?);
        }
        let request = attempt
            .client
            .put_object_tagging()
            .bucket(location.bucket.bucket())
            .key(key.as_str())
            .set_version_id(version.id.clone())
            .tagging(tagging.build().map_err(|error| unbuildable(&error))?)
            .set_expected_bucket_owner(attempt.owner())
            .set_request_payer(attempt.payer());
        request.send().await.map(drop).map_err(|error| attempt.failed(&error))
    }
}

impl StoreChanger for S3Store {
    fn copy<'a>(&'a self, location: &'a S3Location, copy: &'a ObjectCopy) -> Attempted<'a, ()> {
        Box::pin(self.copy_once(location, copy))
    }

    fn delete<'a>(
        &'a self,
        location: &'a S3Location,
        key: &'a ObjectKey,
        etag: &'a str,
    ) -> Attempted<'a, ()> {
        Box::pin(self.delete_once(location, key, etag))
    }

    fn tags<'a>(
        &'a self,
        location: &'a S3Location,
        key: &'a ObjectKey,
        version: &'a ObjectVersion,
    ) -> Attempted<'a, Tags> {
        Box::pin(self.tags_once(location, key, version))
    }

    fn tag<'a>(
        &'a self,
        location: &'a S3Location,
        key: &'a ObjectKey,
        version: &'a ObjectVersion,
        tags: &'a Tags,
    ) -> Attempted<'a, ()> {
        Box::pin(self.tag_once((location, key), version, tags))
    }
}
