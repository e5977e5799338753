//! Reading a bucket: lists, metadata and bodies, several at once, each tried again while there is hope.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;

use super::lines::{Content, Expected, ObjectReader};
use crate::object::closed_marker::{ClosedMarker, MARKER_BYTES_MAX, MarkerPlace};
use crate::object::{BucketString, Destination, ObjectKey};
use crate::random::Random;
use crate::retry::Backoff;
use crate::store::s3::{ListFrom, ListPage, S3Store};
use crate::store::{Fault, Head, StoreError};

/// Tries of one request. With the waits between them about a minute: what fails for longer is told.
const TRIES_MAX: u32 = 10;
/// Tries of a request whose time the store refuses: where its answers tell no time, more do not help.
const SKEWED_TRIES_MAX: u32 = 3;
/// The waits between tries.
const BACKOFF: Backoff = Backoff { first: Duration::from_millis(200), cap: Duration::from_secs(10) };
/// The error code of an object in a storage class that must be restored first.
const ARCHIVED: &str = "InvalidObjectState";

/// A bucket that cannot be read, and so cannot be judged.
#[derive(Debug, thiserror::Error)]
#[error("{what} in bucket {bucket}: {cause}{}", hint(.cause, .right))]
pub struct ArchiveError {
    what: String,
    bucket: String,
    right: &'static str,
    cause: StoreError,
}

fn hint(cause: &StoreError, right: &str) -> String {
    // Of the codes with these statuses the others name another reason, such as a clock that is wrong.
    let denied = cause.code.as_deref().is_none_or(|code| matches!(code, "AccessDenied" | "Forbidden"));
    let refused = cause.fault == Fault::Refused && matches!(cause.status, Some(401 | 403)) && denied;
    if refused { format!("; it needs the right {right}, see `forebay policy reader`") } else { String::new() }
}

/// How far a reading has come.
#[derive(Debug, Default)]
pub struct Progress {
    listed: AtomicU64,
    looked_at: AtomicU64,
    bytes_read: AtomicU64,
}

impl Progress {
    /// Objects and markers that were listed.
    pub fn listed(&self) -> u64 {
        self.listed.load(Ordering::Relaxed)
    }

    /// Of those, the ones whose metadata, or text, was read.
    pub fn looked_at(&self) -> u64 {
        self.looked_at.load(Ordering::Relaxed)
    }

    /// Bytes of objects that were read.
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Ordering::Relaxed)
    }
}

/// A bucket and prefix that is read. Share it by reference.
#[derive(Debug)]
pub struct Archive {
    store: S3Store,
    destination: Destination,
    random: Arc<dyn Random>,
    requests: Semaphore,
    requests_max: usize,
    progress: Progress,
}

/// What reading an object came to.
#[derive(Debug)]
pub enum Got<T> {
    /// This.
    Read(T),
    /// It is not there any more.
    Gone,
    /// It is kept where it must be restored from first.
    Archived(String),
}

impl Archive {
    /// Reads the bucket string of `destination`, with at most so many requests at once.
    pub fn new(store: S3Store, destination: Destination, requests: usize, random: Arc<dyn Random>) -> Self {
        let requests_max = requests.max(1);
        let requests = Semaphore::new(requests_max);
        Self { store, destination, random, requests, requests_max, progress: Progress::default() }
    }

    /// How many requests are under way at most.
    pub fn requests_max(&self) -> usize {
        self.requests_max
    }

    /// Bucket and prefix.
    pub fn bucket(&self) -> &BucketString {
        &self.destination.bucket
    }

    /// How far reading has come.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// `inside` below the bucket string's prefix.
    pub fn key(&self, inside: &str) -> String {
        self.bucket().below(inside)
    }

    /// One page of a listing.
    ///
    /// # Errors
    /// [`ArchiveError`].
    pub async fn list(&self, from: ListFrom<'_>) -> Result<ListPage, ArchiveError> {
        let page = self.again(|| self.store.list(&self.destination, from)).await;
        let page =
            page.map_err(|cause| self.error(format!("list {}", from.prefix), "s3:ListBucket", cause))?;
        self.progress.listed.fetch_add(page.objects.len() as u64, Ordering::Relaxed);
        Ok(page)
    }

    /// An object's length and metadata.
    ///
    /// # Errors
    /// [`ArchiveError`].
    pub async fn head(&self, key: &ObjectKey) -> Result<Got<Head>, ArchiveError> {
        use crate::store::ObjectStore;
        let head = self.again(|| self.store.head(&self.destination, key)).await;
        self.progress.looked_at.fetch_add(1, Ordering::Relaxed);
        self.got(head, key, "ask for the metadata of")
    }

    /// A marker: what it says, or why it says nothing.
    ///
    /// # Errors
    /// [`ArchiveError`].
    pub async fn marker(&self, at: &MarkerPlace) -> Result<Got<Result<ClosedMarker, String>>, ArchiveError> {
        let key = at.key(self.bucket());
        let body = self
            .again(async || {
                let mut body = self.store.get(&self.destination, &key).await?;
                let mut text = Vec::new();
                while let Some(piece) = body.next().await? {
                    text.extend_from_slice(&piece);
                    if text.len() > MARKER_BYTES_MAX {
                        return Ok(None);
                    }
                }
                Ok(Some(text))
            })
            .await;
        self.progress.looked_at.fetch_add(1, Ordering::Relaxed);
        Ok(match self.got(body, &key, "get")? {
            Got::Read(Some(text)) => {
                Got::Read(ClosedMarker::read(at, &text).map_err(|error| error.to_string()))
            }
            Got::Read(None) => Got::Read(Err(format!("it is longer than {MARKER_BYTES_MAX} bytes"))),
            Got::Gone => Got::Gone,
            Got::Archived(why) => Got::Archived(why),
        })
    }

    /// Reads an object to its end, and judges its lines by `expected`. Its memory is a line and the prints.
    ///
    /// # Errors
    /// [`ArchiveError`].
    pub async fn read(
        &self,
        key: &ObjectKey,
        expected: &Expected,
        hasher: &std::hash::RandomState,
    ) -> Result<Got<Content>, ArchiveError> {
        let content = self
            .again(async || {
                let mut body = self.store.get(&self.destination, key).await?;
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

    /// Tries in one of the slots for requests, and again after a wait where that may help.
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
            match answer {
                Err(error)
                    if tries < TRIES_MAX && (may_pass(error.fault) || clock_is_learnt(&error, tries)) =>
                {
                    tracing::debug!(%error, tries, "reading is tried again");
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
        match answer {
            Ok(read) => Ok(Got::Read(read)),
            Err(error) if error.fault == Fault::NotFound => Ok(Got::Gone),
            Err(error) if error.code.as_deref() == Some(ARCHIVED) => Ok(Got::Archived(error.to_string())),
            Err(cause) => {
                let right = "s3:GetObject (and kms:Decrypt for objects under a KMS key)";
                Err(self.error(format!("{what} {}", super::finding::shown(key)), right, cause))
            }
        }
    }

    fn error(&self, what: String, right: &'static str, cause: StoreError) -> ArchiveError {
        ArchiveError { what, bucket: self.bucket().bucket().to_owned(), right, cause }
    }
}

/// Whether the store refused the time that a request was signed with. Its answer has told the client what time it is there, so
/// the next request is signed with that.
fn clock_is_learnt(error: &StoreError, tries: u32) -> bool {
    error.code.as_deref() == Some("RequestTimeTooSkewed") && tries < SKEWED_TRIES_MAX
}

/// Whether the same request may fare better by itself.
fn may_pass(fault: Fault) -> bool {
    match fault {
        Fault::Transient | Fault::Busy | Fault::Region | Fault::Expired | Fault::Digest => true,
        Fault::Exists | Fault::NotFound | Fault::Refused | Fault::NoAccess | Fault::Local => false,
    }
}
