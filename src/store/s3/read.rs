//! Requests of the reading commands: lists of keys, and objects. Each makes one attempt.

use std::time::Duration;

use aws_sdk_s3::config::ResponseChecksumValidation;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::EncodingType;
use aws_smithy_checksums::body::validate::Error as ChecksumError;
use bytes::{Bytes, BytesMut};
use percent_encoding::percent_decode_str;
use tokio::time::timeout;

use super::{Asked, Context, S3Store, owner_of, store_error};
use crate::boxed_future::BoxFuture;
use crate::object::{ObjectKey, S3Location};
use crate::store::reader::{Beginning, BucketReader};
use crate::store::{Fault, StoreError};
use crate::time::UnixMillis;
use crate::words::causes::chain;
use crate::words::{about_seconds, outside_text};

/// How long a body may stall before it is given up. Short stalls are common.
const STALL_MAX: Duration = Duration::from_secs(20);

/// An object as a listing shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its key.
    pub key: ObjectKey,
    /// Its length in bytes.
    pub len: u64,
    /// When it was stored, as the store says.
    pub last_modified: Option<UnixMillis>,
}

/// One page of a listing: at most 1,000 entries, in the order of their bytes.
#[derive(Clone, Debug, Default)]
pub struct ListPage {
    /// Objects.
    pub objects: Vec<Listed>,
    /// Common prefixes of keys up to the next slash, if requested.
    pub folders: Vec<String>,
    /// The token for the next page; `None` on the last.
    pub next: Option<String>,
}

/// Selects a page of a listing.
#[derive(Clone, Copy, Debug, Default)]
pub struct ListFrom<'a> {
    /// Only keys with this prefix.
    pub prefix: &'a str,
    /// Only keys after this one.
    pub after: Option<&'a str>,
    /// [`ListPage::next`] of the previous page.
    pub next: Option<&'a str>,
    /// Whether keys with a further slash are grouped into folders.
    pub folders: bool,
}

/// The body of an object, read in pieces.
#[derive(Debug)]
pub struct GetBody {
    pub(super) stream: ByteStream,
}

impl GetBody {
    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// The connection broke or stalled, or the body does not match the store's checksum ([`Fault::Digest`]):
    /// request the object again.
    pub async fn next(&mut self) -> Result<Option<Bytes>, StoreError> {
        let unread = |error: &(dyn std::error::Error + 'static)| {
            let cause = error.source().map_or_else(String::new, |cause| format!(": {cause}"));
            let what = format!("reading the body failed: {error}{cause}");
            let differs = chain(error).any(|error| error.is::<ChecksumError>());
            let fault = if differs { Fault::Digest } else { Fault::Transient };
            StoreError::local(fault, outside_text(&what).to_string())
        };
        match timeout(STALL_MAX, self.stream.next()).await {
            Ok(piece) => piece.transpose().map_err(|error| unread(&error)),
            Err(_) => {
                let quiet = about_seconds(STALL_MAX.as_secs());
                let what = format!("reading the body failed: no data for {quiet}");
                Err(StoreError::local(Fault::Transient, what))
            }
        }
    }
}

impl S3Store {
    /// One page of the bucket's keys. The prefix of the bucket string is not added: `from.prefix` is the full
    /// prefix.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list(&self, location: &S3Location, from: ListFrom<'_>) -> Result<ListPage, StoreError> {
        let region = self.region_of(location).await?;
        let used = self.used(location).await;
        let request = self
            .client_for(location, &region)
            .list_objects_v2()
            .bucket(location.bucket.bucket())
            .prefix(from.prefix)
            // Keys may contain characters that XML cannot.
            .encoding_type(EncodingType::Url)
            .set_delimiter(from.folders.then(|| "/".to_owned()))
            .set_start_after(from.after.map(str::to_owned))
            .set_continuation_token(from.next.map(str::to_owned))
            .set_expected_bucket_owner(owner_of(location))
            .set_request_payer(self.request_payer());
        let context = Context { asked: Asked::List, region: &region };
        let page = match request.send().await {
            Ok(page) => page,
            Err(err) => {
                let failed = store_error(context, &err);
                return Err(self.failed(location, context, &used, failed));
            }
        };
        let encoded = page.encoding_type() == Some(&EncodingType::Url);
        let plain = |text: &str| if encoded { url_decoded(text) } else { text.to_owned() };
        let objects = page.contents().iter().filter_map(|object| {
            let len = object.size().and_then(|len| u64::try_from(len).ok()).unwrap_or(0);
            let last_modified = object.last_modified().and_then(|at| Some(UnixMillis(at.to_millis().ok()?)));
            Some(Listed { key: ObjectKey::listed(plain(object.key()?)), len, last_modified })
        });
        let next = page.next_continuation_token().filter(|_| page.is_truncated() == Some(true));
        Ok(ListPage {
            objects: objects.collect(),
            folders: page.common_prefixes().iter().filter_map(|common| common.prefix()).map(plain).collect(),
            next: next.map(str::to_owned),
        })
    }

    /// Requests an object. `Ok`: the body follows.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn get(&self, location: &S3Location, key: &ObjectKey) -> Result<GetBody, StoreError> {
        let region = self.region_of(location).await?;
        let used = self.used(location).await;
        let request = self
            .client_for(location, &region)
            .get_object()
            .bucket(location.bucket.bucket())
            .key(key.as_str())
            .set_expected_bucket_owner(owner_of(location))
            .set_request_payer(self.request_payer());
        let context = Context { asked: Asked::Get, region: &region };
        match request.send().await {
            Ok(object) => Ok(GetBody { stream: object.body }),
            Err(err) => {
                let failed = store_error(context, &err);
                Err(self.failed(location, context, &used, failed))
            }
        }
    }
}

impl BucketReader for S3Store {
    fn list<'a>(
        &'a self,
        location: &'a S3Location,
        from: ListFrom<'a>,
    ) -> BoxFuture<'a, Result<ListPage, StoreError>> {
        Box::pin(self.list(location, from))
    }

    fn beginning<'a>(
        &'a self,
        location: &'a S3Location,
        key: &'a ObjectKey,
        len: usize,
    ) -> BoxFuture<'a, Result<Beginning, StoreError>> {
        Box::pin(self.beginning_of(location, key, len))
    }
}

impl S3Store {
    async fn beginning_of(
        &self,
        location: &S3Location,
        key: &ObjectKey,
        len: usize,
    ) -> Result<Beginning, StoreError> {
        let region = self.region_of(location).await?;
        let used = self.used(location).await;
        // Stores that answer a range with the checksum of the whole object would fail every range.
        let unchecked = aws_sdk_s3::config::Builder::new()
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
        let request = self
            .client_for(location, &region)
            .get_object()
            .bucket(location.bucket.bucket())
            .key(key.as_str())
            .range(format!("bytes=0-{}", len.saturating_sub(1)))
            .set_expected_bucket_owner(owner_of(location))
            .set_request_payer(self.request_payer())
            .customize()
            .config_override(unchecked);
        let context = Context { asked: Asked::Get, region: &region };
        let object = match request.send().await {
            Ok(object) => object,
            Err(err) => {
                let failed = self.failed(location, context, &used, store_error(context, &err));
                // An empty object has no first byte.
                let is_empty = failed.status == Some(416);
                return if is_empty {
                    Ok(Beginning { bytes: Bytes::new(), is_whole: true })
                } else {
                    Err(failed)
                };
            }
        };
        // `bytes 0-262143/1000000`; without it the store ignores ranges, and sends all of it.
        let total = object.content_range().and_then(|range| range.rsplit_once('/')?.1.parse::<u64>().ok());
        let mut body = GetBody { stream: object.body };
        let mut bytes = BytesMut::new();
        while let Some(piece) = body.next().await? {
            bytes.extend_from_slice(&piece);
            if bytes.len() >= len {
                break;
            }
        }
        let more = bytes.len() > len;
        bytes.truncate(len);
        let is_whole = !more && total.map_or(bytes.len() < len, |total| bytes.len() as u64 >= total);
        Ok(Beginning { bytes: bytes.freeze(), is_whole })
    }
}

/// Decodes a key from a listing with `encoding-type=url`: `%` and two digits, and `+` for a space.
fn url_decoded(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_a_listing_are_decoded() {
        let check = |shown, key| assert_eq!(url_decoded(shown), key);
        check("a/b-1_2.gz", "a/b-1_2.gz");
        check("a%2Bb%25.gz", "a+b%.gz");
        check("a+b%20c/%C3%BC", "a b c/ü");
        check("100%", "100%");
        check("%zz%4", "%zz%4");
    }
}
