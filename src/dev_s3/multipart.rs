//! Multipart uploads, which `aws s3 cp` uses for large files.

use std::sync::Arc;

use s3s::dto::{CompleteMultipartUploadInput, CompletedPart};
use s3s::{S3Result, s3_error};

use super::meta::{ObjectMeta, PartMeta, UploadMeta};
use super::receive::{Received, copy};
use super::sums::{Algorithm, Hasher, Sums, composite, sums_of};
use super::vault::{Conditions, Vault};

/// The minimum length of every part except the last, in bytes, as in S3.
pub(super) const PART_BYTES_MIN: u64 = 5 * 1024 * 1024;

/// The largest part number, as in S3.
const PART_NUMBER_MAX: i32 = 10_000;

/// Checks a part number.
pub(super) fn check_part_number(number: i32) -> S3Result<()> {
    if (1..=PART_NUMBER_MAX).contains(&number) {
        return Ok(());
    }
    Err(s3_error!(InvalidArgument, "a part number must be from 1 to {PART_NUMBER_MAX}"))
}

/// An upload; it must belong to this bucket and key.
pub(super) fn find(vault: &Vault, id: &str, bucket: &str, key: &str) -> S3Result<UploadMeta> {
    let index = vault.read();
    index.bucket(bucket)?;
    let upload = index.upload(id)?;
    if (upload.bucket.as_str(), upload.key.as_str()) == (bucket, key) {
        return Ok(upload);
    }
    Err(s3_error!(NoSuchUpload))
}

/// The metadata of a received part.
pub(super) fn part_of(received: &Received, modified_ms: i64) -> PartMeta {
    PartMeta {
        body: received.id.clone(),
        len: received.len,
        etag: hex::encode(received.md5),
        modified_ms,
        sums: received.sums.clone(),
    }
}

/// Creates the object from the named parts.
pub(super) async fn complete(
    vault: &Arc<Vault>,
    input: CompleteMultipartUploadInput,
) -> S3Result<Arc<ObjectMeta>> {
    let upload = find(vault, &input.upload_id, &input.bucket, &input.key)?;
    let named =
        input.multipart_upload.as_ref().and_then(|upload| upload.parts.as_deref()).unwrap_or_default();
    let parts = chosen_parts(&upload, named)?;
    let bodies: Vec<_> = parts.iter().map(|part| (part.body.clone(), 0..part.len)).collect();
    let claimed = sums_of!(input);
    let computed = upload.algorithm.filter(|_| upload.full_object_sums).into_iter();
    let received = copy(vault, &bodies, computed.chain(claimed.keys().copied())).await?;

    let sums = if upload.full_object_sums {
        received.sums.clone()
    } else {
        upload.algorithm.map(|algorithm| composite_sums(algorithm, &parts)).unwrap_or_default()
    };
    for (algorithm, claimed) in &claimed {
        let of_bytes = received.sums.get(algorithm);
        if of_bytes != Some(claimed) && sums.get(algorithm) != Some(claimed) {
            return Err(s3_error!(BadDigest, "the {} does not match the object", algorithm.name()));
        }
    }
    let object = ObjectMeta {
        bucket: upload.bucket.clone(),
        key: upload.key.clone(),
        body: received.id.clone(),
        len: received.len,
        etag: etag_of(&parts),
        modified_ms: vault.now_ms(),
        described: upload.described.clone(),
        sums,
        sums_are_composite: !upload.full_object_sums,
    };
    let conditions = Conditions { if_none_match: input.if_none_match, if_match: input.if_match };
    let vault = Arc::clone(vault);
    // Moved into the closure, so that its file has left `tmp` when it is dropped.
    blocking(move || {
        let object = vault.put_object(object, &conditions, Some(&upload.id));
        drop(received);
        object
    })
    .await
}

/// Runs work that blocks on the disk in a blocking thread.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> S3Result<T> + Send + 'static,
) -> S3Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(s3s::S3Error::internal_error)?
}

/// The parts that a request names, compared with the uploaded ones.
fn chosen_parts<'a>(upload: &'a UploadMeta, named: &[CompletedPart]) -> S3Result<Vec<&'a PartMeta>> {
    if named.is_empty() {
        return Err(s3_error!(MalformedXML, "the request names no part"));
    }
    let mut parts: Vec<&PartMeta> = Vec::with_capacity(named.len());
    let mut before = 0;
    for name in named {
        let number = name.part_number.unwrap_or(0);
        if number <= before {
            return Err(s3_error!(InvalidPartOrder));
        }
        before = number;
        let part = upload.parts.get(&number).ok_or_else(|| s3_error!(InvalidPart))?;
        let same_tag = name.e_tag.as_ref().is_none_or(|etag| etag.value() == part.etag);
        let same_sums = sums_of!(name).iter().all(|(algorithm, sum)| part.sums.get(algorithm) == Some(sum));
        if !same_tag || !same_sums {
            return Err(s3_error!(InvalidPart));
        }
        parts.push(part);
    }
    if let Some((_, all_but_last)) = parts.split_last()
        && all_but_last.iter().any(|part| part.len < PART_BYTES_MIN)
    {
        return Err(s3_error!(EntityTooSmall));
    }
    Ok(parts)
}

fn composite_sums(algorithm: Algorithm, parts: &[&PartMeta]) -> Sums {
    let of_parts: Option<Vec<&String>> = parts.iter().map(|part| part.sums.get(&algorithm)).collect();
    let sum = of_parts.and_then(|of_parts| composite(algorithm, &of_parts));
    sum.map(|sum| (algorithm, sum)).into_iter().collect()
}

/// The MD5 of the parts' MD5s, followed by their number.
fn etag_of(parts: &[&PartMeta]) -> String {
    let mut hasher = Hasher::new([]);
    for part in parts {
        // The server wrote the tag itself, as the hexadecimal digits of an MD5.
        hasher.update(&hex::decode(&part.etag).unwrap_or_default());
    }
    let (md5, _) = hasher.finish();
    format!("{}-{}", hex::encode(md5), parts.len())
}
