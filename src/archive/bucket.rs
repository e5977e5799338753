//! Reads a bucket: listings, metadata and bodies, several at once, each retried while that may help.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Semaphore;

use super::lines::{Content, Expected, ObjectReader};
use crate::object::closed_marker::{ClosedMarker, MARKER_BYTES_MAX, ParsedMarkerKey};
use crate::object::{BucketString, ObjectKey, S3Location};
use crate::random::Random;
use crate::retry::Backoff;
use crate::store::reader::{ListFrom, ListPage, Store};
use crate::store::{Fault, Outlook, Put, PutMode, StoreError};

/// The most attempts of a request. With the pauses this takes about a minute; a longer failure is reported.
const TRIES_MAX: u32 = 10;
/// The most attempts of a request whose time the store refuses. More do not help if its answers contain no
/// time.
const SKEWED_TRIES_MAX: u32 = 3;
/// The pauses between attempts.
const BACKOFF: Backoff = Backoff { first: Duration::from_millis(200), cap: Duration::from_secs(10) };
/// The error code for an object in a storage class from which it must be restored first.
const ARCHIVED: &str = "InvalidObjectState";

/// A bucket that cannot be read, and therefore not judged. Its `Display` is for whoever has the bucket.
#[derive(Debug, thiserror::Error)]
#[error("{what} in bucket {bucket}: {}{}", cause.told().full(), hint(.cause, .right))]
pub struct ArchiveError {
    what: String,
    bucket: String,
    right: &'static str,
    // Boxed: it is much larger than what a success holds.
    cause: Box<StoreError>,
}

impl ArchiveError {
    /// What fixes it, unless its text names the right that is missing.
    pub fn remedy(&self) -> Option<&'static str> {
        self.cause.reader_remedy().filter(|_| hint(&self.cause, self.right).is_empty())
    }
}

fn hint(cause: &StoreError, right: &str) -> String {
    // Other codes with these statuses have other reasons, such as a wrong clock.
    let denied = cause.code.as_deref().is_none_or(|code| matches!(code, "AccessDenied" | "Forbidden"));
    if cause.outlook() == Outlook::Denied && cause.status.is_some() && denied {
        format!("; reading needs the right {right}: see `forebay policy reader`")
    } else {
        String::new()
    }
}

/// The progress of reading.
#[derive(Debug, Default)]
pub struct Progress {
    /// Objects and markers listed so far.
    pub listed: AtomicU64,
    /// Objects whose metadata was read, and markers whose text was read.
    pub looked_at: AtomicU64,
    /// Bytes of objects read so far.
    pub bytes_read: AtomicU64,
}

/// A bucket and prefix to read. Share it by reference.
#[derive(Debug)]
pub struct Archive {
    store: Arc<dyn Store>,
    location: S3Location,
    random: Arc<dyn Random>,
    requests: Semaphore,
    requests_max: usize,
    progress: Progress,
}

/// The length and metadata of an object.
#[derive(Clone, Debug)]
pub struct LenAndMetadata {
    /// Its length in bytes.
    pub len: u64,
    /// Its user metadata by name, without `x-amz-meta-`.
    pub metadata: BTreeMap<String, String>,
}

/// The result of reading an object or marker.
#[derive(Debug)]
pub enum Got<T> {
    /// It was read.
    Read(T),
    /// It no longer exists.
    Gone,
    /// It is in a storage class from which it must be restored first; the text is the store's error.
    Archived(String),
    /// Each time it was read, its bytes did not match the store's checksum.
    Damaged(String),
}

impl Archive {
    /// Reads the bucket string of `location` with at most `requests` requests at once.
    pub fn new(
        store: Arc<dyn Store>,
        location: S3Location,
        requests: usize,
        random: Arc<dyn Random>,
    ) -> Self {
        let requests_max = requests.max(1);
        let requests = Semaphore::new(requests_max);
        Self { store, location, random, requests, requests_max, progress: Progress::default() }
    }

    /// The most requests in flight.
    pub fn requests_max(&self) -> usize {
        self.requests_max
    }

    /// The bucket string.
    pub fn bucket(&self) -> &BucketString {
        &self.location.bucket
    }

    /// The progress of reading.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// The key of `inside`, below the bucket string's prefix.
    pub fn key(&self, inside: &str) -> String {
        self.bucket().below(inside)
    }

    /// One page of a listing.
    pub async fn list(&self, from: ListFrom<'_>) -> Result<ListPage, ArchiveError> {
        let failed = |cause| self.error(format!("list {}", from.prefix), "s3:ListBucket", cause);
        let page = self.again(|| self.store.list(&self.location, from)).await.map_err(failed)?;
        self.progress.listed.fetch_add(page.objects.len() as u64, Ordering::Relaxed);
        Ok(page)
    }

    /// The length and metadata of an object.
    pub async fn head(&self, key: &ObjectKey) -> Result<Got<LenAndMetadata>, ArchiveError> {
        let head = self.again(|| self.store.head_of(&self.location, key, None)).await;
        let head = head.and_then(|head| Ok(LenAndMetadata { len: head.length()?, metadata: head.metadata }));
        self.progress.looked_at.fetch_add(1, Ordering::Relaxed);
        self.got(head, key, "read the metadata of")
    }

    /// A marker, or the reason why it is invalid.
    pub async fn marker(
        &self,
        at: &ParsedMarkerKey,
    ) -> Result<Got<Result<ClosedMarker, String>>, ArchiveError> {
        let key = at.key(self.bucket());
        let text = self.bytes(&key, MARKER_BYTES_MAX as u64).await;
        self.progress.looked_at.fetch_add(1, Ordering::Relaxed);
        Ok(match text? {
            Got::Read(Some(pieces)) => {
                Got::Read(ClosedMarker::read(at, &pieces.concat()).map_err(|error| error.to_string()))
            }
            Got::Read(None) => Got::Read(Err(format!("it is longer than {MARKER_BYTES_MAX} bytes"))),
            Got::Gone => Got::Gone,
            Got::Archived(why) => Got::Archived(why),
            Got::Damaged(why) => Got::Read(Err(why)),
        })
    }

    /// Reads an object to its end and judges its lines by `expected`. Keeps one line and the prints in
    /// memory.
    pub async fn read(
        &self,
        key: &ObjectKey,
        expected: &Expected,
        hasher: &std::hash::RandomState,
    ) -> Result<Got<Content>, ArchiveError> {
        let content = self
            .again(async || {
                let mut body = self.store.get(&self.location, key).await?;
                let mut reader = ObjectReader::new(expected.clone(), hasher.clone());
                while let Some(piece) = body.next().await? {
                    reader.push(&piece);
                    self.progress.bytes_read.fetch_add(piece.len() as u64, Ordering::Relaxed);
                }
                Ok(reader.finish())
            })
            .await;
        self.got(content, key, "get")
    }

    /// The bytes of an object, marker or note, checked against the store's checksum; `Read(None)` if it has
    /// more than `most`.
    pub async fn bytes(&self, key: &ObjectKey, most: u64) -> Result<Got<Option<Vec<Bytes>>>, ArchiveError> {
        let pieces = self
            .again(async || {
                let mut body = self.store.get(&self.location, key).await?;
                let (mut pieces, mut len) = (Vec::new(), 0);
                while let Some(piece) = body.next().await? {
                    len += piece.len() as u64;
                    if len > most {
                        return Ok(None);
                    }
                    pieces.push(piece);
                }
                Ok(Some(pieces))
            })
            .await;
        self.got(pieces, key, "get")
    }

    /// Writes a note beside the objects. A note replaces an earlier one with its key.
    pub async fn put_note(&self, key: ObjectKey, text: Vec<u8>) -> Result<(), ArchiveError> {
        let put = Put::plain(self.location.clone(), key, text, PutMode::Overwrite);
        let stored = self.again(|| self.store.put(&put)).await;
        stored.map(drop).map_err(|cause| self.error(format!("put {}", put.key), "s3:PutObject", cause))
    }

    /// Runs a request in one of the slots, and retries it after a pause while that may help.
    async fn again<T, F>(&self, once: impl Fn() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let mut tries = 0;
        loop {
            let answer = {
                // The semaphore is never closed.
                let _slot = self.requests.acquire().await.ok();
                once().await
            };
            tries += 1;
            let may_help = |error: &StoreError| {
                tries < TRIES_MAX && (error.outlook() == Outlook::Passing || clock_is_learnt(error, tries))
            };
            match answer {
                Err(error) if may_help(&error) => {
                    tracing::debug!(%error, tries, "retrying a request");
                    tokio::time::sleep(BACKOFF.wait(tries, &*self.random)).await;
                }
                answer => return answer,
            }
        }
    }

    fn got<T>(
        &self,
        answer: Result<T, StoreError>,
        key: &ObjectKey,
        what: &str,
    ) -> Result<Got<T>, ArchiveError> {
        let said = |error: StoreError| error.told().full().to_owned();
        match answer {
            Ok(read) => Ok(Got::Read(read)),
            Err(error) if error.fault == Fault::NotFound => Ok(Got::Gone),
            Err(error) if error.code.as_deref() == Some(ARCHIVED) => Ok(Got::Archived(said(error))),
            Err(error) if error.fault == Fault::Digest => Ok(Got::Damaged(said(error))),
            Err(cause) => {
                let right = "s3:GetObject (and kms:Decrypt for objects under a KMS key)";
                Err(self.error(format!("{what} {}", super::finding::shown(key)), right, cause))
            }
        }
    }

    fn error(&self, what: String, right: &'static str, cause: StoreError) -> ArchiveError {
        ArchiveError { what, bucket: self.bucket().bucket().to_owned(), right, cause: Box::new(cause) }
    }
}

/// Whether the store refused the time in the request's signature. The client has learnt the store's time from
/// the answer and signs the next request with it.
fn clock_is_learnt(error: &StoreError, tries: u32) -> bool {
    error.code.as_deref() == Some("RequestTimeTooSkewed") && tries < SKEWED_TRIES_MAX
}
