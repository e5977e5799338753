//! A manifest that is made by listing a bucket: `batch manifest`.

use std::io;
use std::time::Duration;

use regex::Regex;
use tokio::time::sleep;

use super::outcome::Outcome;
use super::tools::location;
use crate::jobs::job::status::FailureClass;
use crate::jobs::manifest::listing::{KeyTooLong, push_line};
use crate::jobs::store_advice::{Use, advised};
use crate::object::bucket_string::BucketStringError;
use crate::object::{ObjectKey, S3Location};
use crate::random::Random;
use crate::retry::Backoff;
use crate::store::reader::{ListFrom, ListPage, Store};
use crate::store::{Outlook, Put, PutMode, StoreError};
use crate::time::UnixMillis;
use crate::words::Told;

/// The largest manifest that is put into a bucket: it is made in memory. A larger one is printed into a file,
/// and copied by other tools.
pub const PUT_BYTES_MAX: usize = 256 * 1_024 * 1_024;
/// Tries of one request.
const TRIES_MAX: u32 = 6;

/// Which objects a manifest lists.
#[derive(Clone, Debug)]
pub struct Listing {
    /// The bucket's name.
    pub bucket: String,
    /// The beginning of the keys.
    pub prefix: String,
    /// Only keys that this matches.
    pub matches: Option<Regex>,
    /// Only objects that were stored after this.
    pub newer_than: Option<UnixMillis>,
}

/// Why a manifest is not made.
#[derive(Debug, thiserror::Error)]
pub enum ListingError {
    /// It is no bucket.
    #[error(transparent)]
    Bucket(#[from] BucketStringError),
    /// A key cannot stand in a manifest.
    #[error(transparent)]
    Key(#[from] KeyTooLong),
    /// The store refuses, or cannot be reached.
    #[error("{what}: {}", said.full())]
    Store {
        /// What was tried.
        what: String,
        /// Why not, and what to do.
        said: Told,
        /// The same for programs.
        cause: Box<StoreError>,
    },
    /// It cannot be written.
    #[error("write the manifest")]
    Write(#[from] io::Error),
    /// It is too large for a put.
    #[error(
        "the manifest has more than {PUT_BYTES_MAX} bytes: print it into a file without --to, and copy that to the bucket"
    )]
    TooLarge,
    /// There is nothing to list.
    #[error(
        "no object of {0} is wanted, and a manifest lists at least one; check --prefix, --match and --newer-than"
    )]
    Empty(String),
}

impl ListingError {
    /// How a command ends by this.
    pub fn outcome(&self) -> Outcome {
        Outcome::Failed(match self {
            Self::Bucket(_) | Self::Key(_) => FailureClass::Manifest,
            Self::Store { cause, .. } if cause.outlook() == Outlook::Passing => FailureClass::Unreachable,
            Self::Store { .. } => FailureClass::Access,
            Self::Write(_) | Self::TooLarge | Self::Empty(_) => FailureClass::Other,
        })
    }
}

impl Listing {
    /// Lists the objects, and gives the lines of each page to `write`. How many objects there are.
    /// Errors: [`ListingError`].
    pub async fn write(
        &self,
        store: &dyn Store,
        random: &dyn Random,
        write: &mut (dyn FnMut(&str) -> Result<(), ListingError> + Send),
    ) -> Result<u64, ListingError> {
        let location = location(&self.bucket, None)?;
        let (mut next, mut objects) = (None, 0);
        loop {
            let page = self.page(store, &location, next.as_deref(), random).await?;
            let mut lines = String::new();
            for listed in &page.objects {
                let key = listed.key.as_str();
                let is_newer =
                    self.newer_than.is_none_or(|than| listed.last_modified.is_some_and(|at| at > than));
                if is_newer && self.matches.as_ref().is_none_or(|matches| matches.is_match(key)) {
                    push_line(&mut lines, &self.bucket, key, None)?;
                    objects += 1;
                }
            }
            write(&lines)?;
            next = page.next;
            if next.is_none() {
                break;
            }
        }
        match objects {
            0 => Err(ListingError::Empty(format!("s3://{}/{}", self.bucket, self.prefix))),
            objects => Ok(objects),
        }
    }

    async fn page(
        &self,
        store: &dyn Store,
        location: &S3Location,
        next: Option<&str>,
        random: &dyn Random,
    ) -> Result<ListPage, ListingError> {
        let from = ListFrom { prefix: &self.prefix, next, ..ListFrom::default() };
        let mut tries = 0;
        loop {
            match store.list(location, from).await {
                Ok(page) => return Ok(page),
                Err(cause) => {
                    tries += 1;
                    let what = format!("list s3://{}/{}", self.bucket, self.prefix);
                    wait_or_fail(&what, Use::Listing { bucket: &self.bucket }, cause, tries, random).await?;
                }
            }
        }
    }
}

/// Puts a manifest into a bucket. Its ETag, without quotes, if the store names one.
/// Errors: [`ListingError`].
pub async fn put_manifest(
    store: &dyn Store,
    random: &dyn Random,
    (bucket, key): (&str, &str),
    text: String,
) -> Result<Option<String>, ListingError> {
    let put = Put::plain(location(bucket, None)?, ObjectKey::listed(key), text, PutMode::Overwrite);
    let mut tries = 0;
    loop {
        match store.put(&put).await {
            Ok(stored) => return Ok(stored.etag.map(|etag| etag.trim_matches('"').to_owned())),
            Err(cause) => {
                tries += 1;
                let what = format!("put s3://{bucket}/{key}");
                wait_or_fail(&what, Use::NewManifest { bucket, key }, cause, tries, random).await?;
            }
        }
    }
}

async fn wait_or_fail(
    what: &str,
    used: Use<'_>,
    cause: StoreError,
    tries: u32,
    random: &dyn Random,
) -> Result<(), ListingError> {
    if cause.outlook() != Outlook::Passing || tries >= TRIES_MAX {
        let said = advised(&cause, used, None);
        let (what, cause) = (what.to_owned(), Box::new(cause));
        return Err(ListingError::Store { what, said, cause });
    }
    let wait: Duration = Backoff::DELIVERY.wait(tries, random);
    sleep(wait).await;
    Ok(())
}
