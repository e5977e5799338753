//! Answers the four listing operations.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use s3s::dto::*;
use s3s::{S3Result, s3_error};

use super::listing::{PAGE_ENTRIES_MAX, Page, Query, page, url_encoded};
use super::meta::{ObjectMeta, UploadMeta};
use super::multipart::find;
use super::objects::{etag, timestamp};
use super::sums::set_sums;
use super::vault::Vault;

pub(super) fn list_objects_v2(vault: &Vault, input: ListObjectsV2Input) -> S3Result<ListObjectsV2Output> {
    let shown = Shown::of(input.encoding_type.as_ref())?;
    let after = match &input.continuation_token {
        Some(token) => from_page_token(token)?,
        None => input.start_after.clone().unwrap_or_default(),
    };
    let query = Query {
        prefix: input.prefix.clone().unwrap_or_default(),
        delimiter: input.delimiter.clone().unwrap_or_default(),
        after,
        max: entries_asked_for(input.max_keys)?,
    };
    let index = vault.read();
    let page = page(&index.bucket(&input.bucket)?.objects, &query);
    Ok(ListObjectsV2Output {
        key_count: as_i32(page.objects.len() + page.common_prefixes.len()),
        contents: Some(shown.objects(&page)),
        common_prefixes: Some(shown.common_prefixes(&page)),
        is_truncated: Some(page.next_after.is_some()),
        next_continuation_token: page.next_after.map(|after| URL_SAFE_NO_PAD.encode(after)),
        name: Some(input.bucket),
        max_keys: as_i32(query.max),
        prefix: Some(shown.text(&query.prefix)),
        delimiter: shown.some(input.delimiter.as_deref()),
        start_after: shown.some(input.start_after.as_deref()),
        continuation_token: input.continuation_token,
        encoding_type: input.encoding_type,
        ..ListObjectsV2Output::default()
    })
}

pub(super) fn list_objects(vault: &Vault, input: ListObjectsInput) -> S3Result<ListObjectsOutput> {
    let shown = Shown::of(input.encoding_type.as_ref())?;
    let query = Query {
        prefix: input.prefix.clone().unwrap_or_default(),
        delimiter: input.delimiter.clone().unwrap_or_default(),
        after: input.marker.clone().unwrap_or_default(),
        max: entries_asked_for(input.max_keys)?,
    };
    let index = vault.read();
    let page = page(&index.bucket(&input.bucket)?.objects, &query);
    Ok(ListObjectsOutput {
        contents: Some(shown.objects(&page)),
        common_prefixes: Some(shown.common_prefixes(&page)),
        is_truncated: Some(page.next_after.is_some()),
        next_marker: shown.some(page.next_after),
        name: Some(input.bucket),
        max_keys: as_i32(query.max),
        prefix: Some(shown.text(&query.prefix)),
        delimiter: shown.some(input.delimiter.as_deref()),
        marker: Some(shown.text(&query.after)),
        encoding_type: input.encoding_type,
        ..ListObjectsOutput::default()
    })
}

pub(super) fn list_parts(vault: &Vault, input: ListPartsInput) -> S3Result<ListPartsOutput> {
    let upload = find(vault, &input.upload_id, &input.bucket, &input.key)?;
    let (after, max) = (input.part_number_marker.unwrap_or(0), entries_asked_for(input.max_parts)?);
    let mut later = upload.parts.range(after.saturating_add(1)..).peekable();
    let mut parts = Vec::new();
    for (number, part) in later.by_ref().take(max) {
        let mut shown = Part {
            part_number: Some(*number),
            size: i64::try_from(part.len).ok(),
            e_tag: etag(&part.etag),
            last_modified: Some(timestamp(part.modified_ms)),
            ..Part::default()
        };
        set_sums!(shown, &part.sums);
        parts.push(shown);
    }
    Ok(ListPartsOutput {
        is_truncated: Some(later.peek().is_some()),
        next_part_number_marker: parts.last().and_then(|part| part.part_number),
        part_number_marker: Some(after),
        max_parts: as_i32(max),
        parts: Some(parts),
        bucket: Some(input.bucket),
        key: Some(input.key),
        upload_id: Some(input.upload_id),
        ..ListPartsOutput::default()
    })
}

pub(super) fn list_multipart_uploads(
    vault: &Vault,
    input: ListMultipartUploadsInput,
) -> S3Result<ListMultipartUploadsOutput> {
    let shown = Shown::of(input.encoding_type.as_ref())?;
    let prefix = input.prefix.clone().unwrap_or_default();
    let after = (input.key_marker.clone().unwrap_or_default(), input.upload_id_marker.clone());
    let max = entries_asked_for(input.max_uploads)?;
    let index = vault.read();
    index.bucket(&input.bucket)?;
    let mut uploads: Vec<&UploadMeta> = index
        .uploads
        .values()
        .filter(|upload| upload.bucket == input.bucket && upload.key.starts_with(&prefix))
        .filter(|upload| match &after.1 {
            Some(id) => (&upload.key, &upload.id) > (&after.0, id),
            None => after.0.is_empty() || upload.key > after.0,
        })
        .collect();
    uploads.sort_by(|a, b| (&a.key, &a.id).cmp(&(&b.key, &b.id)));
    let is_truncated = uploads.len() > max;
    uploads.truncate(max);
    let last = uploads.last().filter(|_| is_truncated);
    let listed = |upload: &&UploadMeta| MultipartUpload {
        key: Some(shown.text(&upload.key)),
        upload_id: Some(upload.id.clone()),
        initiated: Some(timestamp(upload.started_ms)),
        ..MultipartUpload::default()
    };
    Ok(ListMultipartUploadsOutput {
        uploads: Some(uploads.iter().map(listed).collect()),
        is_truncated: Some(is_truncated),
        next_key_marker: last.map(|upload| shown.text(&upload.key)),
        next_upload_id_marker: last.map(|upload| upload.id.clone()),
        bucket: Some(input.bucket),
        prefix: shown.some(input.prefix.as_deref()),
        max_uploads: as_i32(max),
        encoding_type: input.encoding_type,
        ..ListMultipartUploadsOutput::default()
    })
}

fn entries_asked_for(max: Option<i32>) -> S3Result<usize> {
    let max = max.map_or(Ok(PAGE_ENTRIES_MAX), usize::try_from);
    max.map(|max| max.min(PAGE_ENTRIES_MAX)).map_err(|_| s3_error!(InvalidArgument, "max-keys is negative"))
}

fn as_i32(count: usize) -> Option<i32> {
    i32::try_from(count).ok()
}

/// Writes keys plainly or URL-encoded, as requested.
#[derive(Clone, Copy)]
struct Shown {
    encoded: bool,
}

impl Shown {
    fn of(encoding: Option<&EncodingType>) -> S3Result<Self> {
        match encoding.map(EncodingType::as_str) {
            None => Ok(Self { encoded: false }),
            Some("url") => Ok(Self { encoded: true }),
            Some(_) => Err(s3_error!(InvalidArgument, "the encoding type can only be url")),
        }
    }

    fn text(self, text: &str) -> String {
        if self.encoded { url_encoded(text) } else { text.to_owned() }
    }

    fn some(self, text: Option<&str>) -> Option<String> {
        text.map(|text| self.text(text))
    }

    fn objects(self, page: &Page<'_, Arc<ObjectMeta>>) -> Vec<Object> {
        let object = |(key, object): &(&str, &Arc<ObjectMeta>)| Object {
            key: Some(self.text(key)),
            e_tag: etag(&object.etag),
            last_modified: Some(timestamp(object.modified_ms)),
            size: i64::try_from(object.len).ok(),
            storage_class: Some(ObjectStorageClass::from_static(ObjectStorageClass::STANDARD)),
            ..Object::default()
        };
        page.objects.iter().map(object).collect()
    }

    fn common_prefixes(self, page: &Page<'_, Arc<ObjectMeta>>) -> Vec<CommonPrefix> {
        page.common_prefixes.iter().map(|prefix| CommonPrefix { prefix: Some(self.text(prefix)) }).collect()
    }
}

/// Decodes the token of a page. It is opaque to clients, so that any key survives the round trip.
fn from_page_token(token: &str) -> S3Result<String> {
    let wrong = || s3_error!(InvalidArgument, "the continuation token was not issued by this server");
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| wrong())?;
    String::from_utf8(bytes).map_err(|_| wrong())
}
