//! Reads an object's headers from requests, and writes them into answers.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use s3s::dto::{
    ChecksumType, CopyObjectInput, CreateMultipartUploadInput, ETag, ETagCondition, GetObjectOutput,
    HeadObjectOutput, PutObjectInput, ServerSideEncryption, Timestamp,
};
use s3s::{S3Result, s3_error};

use super::meta::{Described, ObjectMeta};
use super::sums::set_sums;

/// The content type of objects put without one.
const DEFAULT_CONTENT_TYPE: &str = "binary/octet-stream";

/// The most user metadata, in bytes of names and values, as in S3.
const METADATA_BYTES_MAX: usize = 2 * 1024;

/// The most tags of an object, as in S3.
const TAGS_MAX: usize = 10;

/// The headers of an object from an input of `s3s`. A macro, because three inputs share fields but no type.
macro_rules! described {
    ($input:expr) => {
        checked(Described {
            content_type: $input.content_type.clone(),
            content_encoding: $input.content_encoding.as_deref().and_then(stored_encoding),
            cache_control: $input.cache_control.clone(),
            content_disposition: $input.content_disposition.clone(),
            content_language: $input.content_language.clone(),
            metadata: $input.metadata.clone().into_iter().flatten().collect(),
            encryption: $input.server_side_encryption.as_ref().map(|sse| sse.as_str().to_owned()),
            kms_key_id: $input.ssekms_key_id.clone(),
            bucket_key_enabled: $input.bucket_key_enabled,
            tags: tags_of_header($input.tagging.as_deref())?,
        })
    };
}

pub(super) fn described_by_put(input: &PutObjectInput) -> S3Result<Described> {
    described!(input)
}

pub(super) fn described_by_upload(input: &CreateMultipartUploadInput) -> S3Result<Described> {
    described!(input)
}

/// A copy keeps the source's headers and tags unless the request replaces them. Its encryption is always its own.
pub(super) fn described_by_copy(input: &CopyObjectInput, source: &Described) -> S3Result<Described> {
    let mut named = described!(input)?;
    if input.tagging_directive.as_ref().is_none_or(|directive| directive.as_str() != "REPLACE") {
        named.tags.clone_from(&source.tags);
    }
    if input.metadata_directive.as_ref().is_some_and(|directive| directive.as_str() == "REPLACE") {
        return Ok(named);
    }
    Ok(Described {
        encryption: named.encryption,
        kms_key_id: named.kms_key_id,
        bucket_key_enabled: named.bucket_key_enabled,
        tags: named.tags,
        ..source.clone()
    })
}

/// The tags in a header: a query string.
fn tags_of_header(header: Option<&str>) -> S3Result<BTreeMap<String, String>> {
    checked_tags(form_urlencoded::parse(header.unwrap_or_default().as_bytes()).into_owned())
}

/// Tags that an object may have: each name once.
pub(super) fn checked_tags(
    tags: impl Iterator<Item = (String, String)>,
) -> S3Result<BTreeMap<String, String>> {
    let mut checked = BTreeMap::new();
    for (name, value) in tags {
        if name.is_empty() || checked.insert(name, value).is_some() {
            return Err(s3_error!(InvalidTag, "each tag needs a name of its own"));
        }
    }
    if checked.len() > TAGS_MAX {
        return Err(s3_error!(InvalidTag, "an object has at most {TAGS_MAX} tags"));
    }
    Ok(checked)
}

/// Removes `aws-chunked`, which describes the transfer and not the object.
fn stored_encoding(header: &str) -> Option<String> {
    let is_kept = |coding: &&str| !coding.is_empty() && !coding.eq_ignore_ascii_case("aws-chunked");
    let codings: Vec<&str> = header.split(',').map(str::trim).filter(is_kept).collect();
    (!codings.is_empty()).then(|| codings.join(","))
}

fn checked(described: Described) -> S3Result<Described> {
    let bytes: usize = described.metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
    if bytes > METADATA_BYTES_MAX {
        return Err(s3_error!(MetadataTooLarge));
    }
    match (described.encryption.as_deref(), &described.kms_key_id) {
        (Some("aws:kms"), _) | (Some("AES256") | None, None) => Ok(described),
        (Some("AES256") | None, Some(_)) => {
            Err(s3_error!(InvalidArgument, "a KMS key id needs the server-side encryption aws:kms"))
        }
        (Some(other), _) => Err(s3_error!(
            InvalidEncryptionAlgorithmError,
            "the encryption {other:?} is not supported: use AES256 or aws:kms"
        )),
    }
}

pub(super) fn encryption(described: &Described) -> Option<ServerSideEncryption> {
    described.encryption.clone().map(ServerSideEncryption::from)
}

pub(super) fn etag(etag: &str) -> Option<ETag> {
    Some(ETag::Strong(etag.to_owned()))
}

pub(super) fn timestamp(ms: i64) -> Timestamp {
    let since = Duration::from_millis(u64::try_from(ms).unwrap_or(0));
    Timestamp::from(SystemTime::UNIX_EPOCH + since)
}

/// The conditional headers of a read.
#[derive(Debug, Default)]
pub(super) struct ReadConditions {
    pub(super) if_match: Option<ETagCondition>,
    pub(super) if_none_match: Option<ETagCondition>,
    pub(super) if_modified_since: Option<Timestamp>,
    pub(super) if_unmodified_since: Option<Timestamp>,
}

impl ReadConditions {
    /// In the order of RFC 9110: an entity tag takes precedence over a date. Dates in headers are whole
    /// seconds.
    pub(super) fn check(&self, object: &ObjectMeta) -> S3Result<()> {
        let is = |condition: &ETagCondition| match condition {
            ETagCondition::Any => true,
            ETagCondition::ETag(etag) => etag.value() == object.etag,
        };
        let modified = timestamp(object.modified_ms.div_euclid(1_000) * 1_000);
        let met = match (&self.if_match, &self.if_unmodified_since) {
            (Some(condition), _) => is(condition),
            (None, Some(since)) => modified <= *since,
            (None, None) => true,
        };
        if !met {
            return Err(s3_error!(PreconditionFailed));
        }
        let changed = match (&self.if_none_match, &self.if_modified_since) {
            (Some(condition), _) => !is(condition),
            (None, Some(since)) => modified > *since,
            (None, None) => true,
        };
        if changed { Ok(()) } else { Err(s3_error!(NotModified)) }
    }
}

/// The headers of an object, as the answer to a HEAD or a GET. A macro, because the two share fields but no
/// type.
macro_rules! headers {
    ($output:ident, $object:expr, $with_sums:expr) => {{
        let described = &$object.described;
        let content_type = described.content_type.as_deref().unwrap_or(DEFAULT_CONTENT_TYPE);
        let mut output = $output {
            accept_ranges: Some("bytes".to_owned()),
            content_length: i64::try_from($object.len).ok(),
            content_type: Some(content_type.to_owned()),
            content_encoding: described.content_encoding.clone(),
            cache_control: described.cache_control.clone(),
            content_disposition: described.content_disposition.clone(),
            content_language: described.content_language.clone(),
            e_tag: etag(&$object.etag),
            last_modified: Some(timestamp($object.modified_ms)),
            metadata: Some(described.metadata.clone().into_iter().collect()),
            server_side_encryption: encryption(described),
            ssekms_key_id: described.kms_key_id.clone(),
            bucket_key_enabled: described.bucket_key_enabled,
            ..$output::default()
        };
        if $with_sums {
            set_sums!(output, &$object.sums);
            output.checksum_type = sums_type($object);
        }
        output
    }};
}

pub(super) fn head_output(object: &ObjectMeta, with_sums: bool) -> HeadObjectOutput {
    headers!(HeadObjectOutput, object, with_sums)
}

pub(super) fn get_output(object: &ObjectMeta, with_sums: bool) -> GetObjectOutput {
    headers!(GetObjectOutput, object, with_sums)
}

/// How the object's checksums were computed, if it has any.
pub(super) fn sums_type(object: &ObjectMeta) -> Option<ChecksumType> {
    let composite = object.sums_are_composite;
    let kind = if composite { ChecksumType::COMPOSITE } else { ChecksumType::FULL_OBJECT };
    (!object.sums.is_empty()).then(|| ChecksumType::from_static(kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aws_chunked_is_not_an_encoding_of_the_object() {
        let check = |header, stored: Option<&str>| assert_eq!(stored_encoding(header).as_deref(), stored);
        check("gzip", Some("gzip"));
        check("aws-chunked", None);
        check("gzip,aws-chunked", Some("gzip"));
        check("aws-chunked, gzip", Some("gzip"));
        check("", None);
    }

    #[test]
    fn conditions_of_a_read_follow_rfc_9110() {
        let object = ObjectMeta {
            bucket: "b".into(),
            key: "k".into(),
            body: "x".into(),
            len: 1,
            etag: "e".into(),
            modified_ms: 10_500,
            described: Described::default(),
            sums: super::super::sums::Sums::new(),
            sums_are_composite: false,
        };
        let tag = |tag: &str| Some(ETagCondition::ETag(ETag::Strong(tag.into())));
        let check = |conditions: ReadConditions, code: Option<&str>| {
            let answer = conditions.check(&object).err();
            assert_eq!(answer.as_ref().map(|err| err.code().as_str()), code, "{conditions:?}");
        };
        let none = ReadConditions::default;
        check(none(), None);
        check(ReadConditions { if_match: tag("e"), ..none() }, None);
        check(ReadConditions { if_match: tag("f"), ..none() }, Some("PreconditionFailed"));
        check(ReadConditions { if_none_match: tag("e"), ..none() }, Some("NotModified"));
        check(ReadConditions { if_none_match: tag("f"), ..none() }, None);
        check(ReadConditions { if_modified_since: Some(timestamp(10_000)), ..none() }, Some("NotModified"));
        check(ReadConditions { if_modified_since: Some(timestamp(9_000)), ..none() }, None);
        check(ReadConditions { if_unmodified_since: Some(timestamp(10_000)), ..none() }, None);
        let before = Some(timestamp(9_000));
        check(ReadConditions { if_unmodified_since: before.clone(), ..none() }, Some("PreconditionFailed"));
        check(ReadConditions { if_match: tag("e"), if_unmodified_since: before, ..none() }, None);
    }
}
