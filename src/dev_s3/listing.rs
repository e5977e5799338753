//! Answers the four listing operations, and selects the keys of a page.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::dto::*;
use s3s::{S3Result, s3_error};

use super::meta::{ObjectMeta, UploadMeta};
use super::multipart::find;
use super::objects::{etag, timestamp};
use super::sums::set_sums;
use super::vault::Vault;

/// The most entries of a page, as in S3.
pub(super) const PAGE_ENTRIES_MAX: usize = 1_000;

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

/// A listing request.
#[derive(Clone, Debug, Default)]
struct Query {
    prefix: String,
    /// Keys that continue after it are grouped into one common prefix. Empty: no grouping.
    delimiter: String,
    /// Only entries after this one: a key, or a common prefix already listed.
    after: String,
    max: usize,
}

/// One page, in order.
#[derive(Debug, PartialEq, Eq)]
struct Page<'a, T> {
    objects: Vec<(&'a str, &'a T)>,
    common_prefixes: Vec<&'a str>,
    /// The last entry of the page if there are more: the `after` of the next page.
    next_after: Option<&'a str>,
}

/// The page that a query selects.
fn page<'a, T>(objects: &'a BTreeMap<String, T>, query: &Query) -> Page<'a, T> {
    let mut page = Page { objects: Vec::new(), common_prefixes: Vec::new(), next_after: None };
    if query.max == 0 {
        return page;
    }
    let start = if query.after >= query.prefix {
        Bound::Excluded(query.after.as_str())
    } else {
        Bound::Included(query.prefix.as_str())
    };
    let mut last = "";
    // The group of the current keys. They are a single entry, on this page or the previous one.
    let mut group: Option<&str> = None;
    for (key, object) in objects.range::<str, _>((start, Bound::Unbounded)) {
        let Some(rest) = key.strip_prefix(&query.prefix) else { break };
        if group.is_some_and(|group| key.starts_with(group)) {
            continue;
        }
        let common = common_prefix(key, rest, &query.delimiter);
        group = common;
        if common == Some(query.after.as_str()) {
            continue;
        }
        if page.objects.len() + page.common_prefixes.len() == query.max {
            page.next_after = Some(last);
            break;
        }
        match common {
            Some(common) => page.common_prefixes.push(common),
            None => page.objects.push((key, object)),
        }
        last = common.unwrap_or(key);
    }
    page
}

/// The common prefix of `key`, if it has one; `rest` is the key without the requested prefix.
fn common_prefix<'a>(key: &'a str, rest: &str, delimiter: &str) -> Option<&'a str> {
    if delimiter.is_empty() {
        return None;
    }
    let at = rest.find(delimiter)?;
    key.get(..key.len() - rest.len() + at + delimiter.len())
}

/// The characters escaped in a listing with `encoding-type=url`. A space becomes `%20`, which all clients
/// decode, whether or not they read `+` as a space.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');

/// A key as such a listing shows it.
pub(super) fn url_encoded(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: &[&str] =
        &["a", "a/", "a/1", "a/2", "a/b/1", "a/b/2", "b", "b+%/x", "c/1", "c/2", "d", "x", "x/y"];

    /// All pages of a listing, each with its entries in order.
    fn pages(prefix: &str, delimiter: &str, after: &str, max: usize) -> Vec<Vec<String>> {
        let objects: BTreeMap<String, ()> = KEYS.iter().map(|key| ((*key).to_owned(), ())).collect();
        let mut query =
            Query { prefix: prefix.into(), delimiter: delimiter.into(), after: after.into(), max };
        let mut pages = Vec::new();
        loop {
            let page = page(&objects, &query);
            let objects = page.objects.iter().map(|(key, ())| (*key).to_owned());
            let mut entries: Vec<String> =
                objects.chain(page.common_prefixes.iter().map(|common| format!("{common}*"))).collect();
            entries.sort_unstable_by(|a, b| a.trim_end_matches('*').cmp(b.trim_end_matches('*')));
            pages.push(entries);
            match page.next_after {
                Some(after) => query.after = after.to_owned(),
                None => return pages,
            }
        }
    }

    #[test]
    fn a_listing_is_the_same_for_every_page_size() {
        let check = |prefix, delimiter, after, expected: &[&str]| {
            for max in 1..=20 {
                let pages = pages(prefix, delimiter, after, max);
                assert!(pages.iter().rev().skip(1).all(|page| page.len() == max), "{max}: {pages:?}");
                assert_eq!(pages.concat(), expected, "{prefix:?} {delimiter:?} {after:?} {max}");
            }
        };
        check("", "", "", KEYS);
        check("", "/", "", &["a", "a/*", "b", "b+%/*", "c/*", "d", "x", "x/*"]);
        check("a/", "/", "", &["a/", "a/1", "a/2", "a/b/*"]);
        check("a/", "", "a/1", &["a/2", "a/b/1", "a/b/2"]);
        check("a", "/", "", &["a", "a/*"]);
        check("", "", "c/1", &["c/2", "d", "x", "x/y"]);
        // Starts at a key within a group: the rest of the group is still one entry.
        check("", "/", "c/1", &["c/*", "d", "x", "x/*"]);
        check("", "/", "c/", &["d", "x", "x/*"]);
        check("nothing", "/", "", &[]);
        check("", "b/", "", &["a", "a/", "a/1", "a/2", "a/b/*", "b", "b+%/x", "c/1", "c/2", "d", "x", "x/y"]);
    }

    #[test]
    fn a_request_for_no_entries_gets_an_empty_complete_listing() {
        assert_eq!(pages("", "", "", 0), [Vec::<String>::new()]);
    }

    #[test]
    fn keys_are_encoded_so_that_every_client_decodes_them() {
        let check = |text, expected| assert_eq!(url_encoded(text), expected);
        check("a+b%.gz", "a%2Bb%25.gz");
        check("a b/ü&<", "a%20b/%C3%BC%26%3C");
        check("A-z_0.~", "A-z_0.~");
    }
}
