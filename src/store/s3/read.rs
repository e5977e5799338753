//! Requests of the reading commands: lists of keys, and objects. Each makes one attempt.

use std::time::Duration;

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::EncodingType;
use aws_smithy_checksums::body::validate::Error as ChecksumError;
use bytes::Bytes;
use percent_encoding::percent_decode_str;
use tokio::time::timeout;

use super::{Asked, Context, S3Store, owner_of, store_error};
use crate::object::{Destination, ObjectKey};
use crate::store::{Fault, StoreError};
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
    pub async fn list(&self, destination: &Destination, from: ListFrom<'_>) -> Result<ListPage, StoreError> {
        let region = self.region_of(destination).await?;
        let used = self.used(destination).await;
        let request = self
            .client_for(destination, &region)
            .list_objects_v2()
            .bucket(destination.bucket.bucket())
            .prefix(from.prefix)
            // Keys may contain characters that XML cannot.
            .encoding_type(EncodingType::Url)
            .set_delimiter(from.folders.then(|| "/".to_owned()))
            .set_start_after(from.after.map(str::to_owned))
            .set_continuation_token(from.next.map(str::to_owned))
            .set_expected_bucket_owner(owner_of(destination))
            .set_request_payer(self.request_payer());
        let context = Context { asked: Asked::List, region: &region };
        let page = match request.send().await {
            Ok(page) => page,
            Err(err) => {
                let failed = store_error(context, &err);
                return Err(self.failed(destination, context, &used, failed));
            }
        };
        let encoded = page.encoding_type() == Some(&EncodingType::Url);
        let plain = |text: &str| if encoded { url_decoded(text) } else { text.to_owned() };
        let objects = page.contents().iter().filter_map(|object| {
            let len = object.size().and_then(|len| u64::try_from(len).ok()).unwrap_or(0);
            Some(Listed { key: ObjectKey::listed(plain(object.key()?)), len })
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
    pub async fn get(&self, destination: &Destination, key: &ObjectKey) -> Result<GetBody, StoreError> {
        let region = self.region_of(destination).await?;
        let used = self.used(destination).await;
        let request = self
            .client_for(destination, &region)
            .get_object()
            .bucket(destination.bucket.bucket())
            .key(key.as_str())
            .set_expected_bucket_owner(owner_of(destination))
            .set_request_payer(self.request_payer());
        let context = Context { asked: Asked::Get, region: &region };
        match request.send().await {
            Ok(object) => Ok(GetBody { stream: object.body }),
            Err(err) => {
                let failed = store_error(context, &err);
                Err(self.failed(destination, context, &used, failed))
            }
        }
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
