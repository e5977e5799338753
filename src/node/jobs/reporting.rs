//! Puts the completion report of a job into its bucket.

use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use super::tools::location;
use crate::disk::Disk;
use crate::jobs::job::spec::ReportSpec;
use crate::jobs::job::troubles::{TroubleOf, Troubles};
use crate::jobs::missing_bucket::missing_bucket;
use crate::jobs::report::report_file::ReportFile;
use crate::jobs::report::write::{Report, ReportObject};
use crate::jobs::store_advice::{Use, advised};
use crate::object::{ObjectKey, RoleArn, S3Location};
use crate::random::Random;
use crate::retry::Backoff;
use crate::store::reader::StoreReader;
use crate::store::{Body, ObjectStore, Outlook, Put, PutMode, StoreError};
use crate::time::Clock;
use crate::words::Told;

/// How long a store that cannot be reached is tried again for each object, before the job fails without its
/// report.
pub(super) const TRIED_FOR: Duration = Duration::from_secs(600);
/// Bytes that are read at once for the checksum of a file.
const READ_BYTES: usize = 64 * 1_024;

/// Why a report is not stored.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotStored {
    /// The store refuses an object, or could not be reached for [`TRIED_FOR`].
    #[error("put {key} to {bucket}: {}", said.full())]
    Store {
        /// The object.
        key: String,
        /// The bucket.
        bucket: String,
        /// Why not, and what to do.
        said: Told,
        /// The same for programs.
        cause: Box<StoreError>,
    },
    /// A staged file cannot be read.
    #[error("read a file of the report")]
    Disk(#[from] std::io::Error),
    /// The process is being ended. The job goes on with its report.
    #[error("stopped while the report was stored")]
    Stopped,
}

/// Puts reports.
pub(super) struct ReportStore<'a> {
    pub(super) store: &'a dyn ObjectStore,
    pub(super) clock: &'a dyn Clock,
    pub(super) random: &'a dyn Random,
    pub(super) stop: &'a CancellationToken,
    pub(super) troubles: &'a Troubles,
}

impl ReportStore<'_> {
    /// Puts all objects of a report, in their order. Written again after a crash they are the same.
    /// Errors: [`NotStored`].
    pub(super) async fn put(
        &self,
        report: Report,
        role: Option<&RoleArn>,
        disk: Arc<dyn Disk>,
    ) -> Result<(), NotStored> {
        let location = location(&report.bucket, role).map_err(std::io::Error::other)?;
        for file in &report.files {
            let (path, crc32) = of_file(&disk, file).await?;
            let body = Body::File { path, len: file.bytes };
            self.put_one(&location, &file.key, body, crc32).await?;
        }
        for ReportObject { key, body } in [report.manifest, report.manifest_md5] {
            let crc32 = crc32fast::hash(&body);
            self.put_one(&location, &key, Body::Bytes(body.into()), crc32).await?;
        }
        Ok(())
    }

    async fn put_one(
        &self,
        location: &S3Location,
        key: &str,
        body: Body,
        crc32: u32,
    ) -> Result<(), NotStored> {
        let put = Put {
            location: location.clone(),
            key: ObjectKey::listed(key),
            body,
            crc32,
            content_encoding: None,
            metadata: Vec::new(),
            tags: Vec::new(),
            mode: PutMode::Overwrite,
        };
        let until = self.clock.monotonic() + TRIED_FOR;
        let mut tries = 0;
        loop {
            let cause = match self.store.put(&put).await {
                Ok(_) => {
                    self.troubles.is_over(TroubleOf::Report);
                    return Ok(());
                }
                Err(error) => Box::new(error),
            };
            tries += 1;
            let bucket = location.bucket.bucket();
            let said = advised(&cause, Use::Report { bucket, key }, location.role.as_ref());
            if cause.outlook() != Outlook::Passing || self.clock.monotonic() >= until {
                return Err(NotStored::Store { key: key.to_owned(), bucket: bucket.to_owned(), said, cause });
            }
            self.troubles.waits(TroubleOf::Report, &why_it_waits(bucket, &said));
            let wait = tokio::time::sleep(Backoff::DELIVERY.wait(tries, self.random));
            if self.stop.run_until_cancelled(wait).await.is_none() {
                return Err(NotStored::Stopped);
            }
        }
    }
}

/// Why the report of a job can never be put, if that is certain before its tasks run: its bucket is not there.
pub(super) async fn never_stored(
    to: &ReportSpec,
    role: Option<&RoleArn>,
    store: &dyn StoreReader,
) -> Option<String> {
    let location = location(&to.bucket, role).ok()?;
    let cause = missing_bucket(store, &location).await?;
    let used = Use::Report { bucket: &to.bucket, key: &to.prefix };
    let said = advised(&cause, used, location.role.as_ref());
    Some(format!("no task was run, since the report cannot be put to {}: {}", to.bucket, said.full()))
}

fn why_it_waits(bucket: &str, said: &Told) -> String {
    let minutes = TRIED_FOR.as_secs() / 60;
    format!(
        "bucket {bucket} takes no report now, and each object is tried for {minutes} minutes: {}",
        said.masked()
    )
}

/// The path of a staged file, and its CRC-32.
async fn of_file(disk: &Arc<dyn Disk>, file: &ReportFile) -> Result<(std::path::PathBuf, u32), NotStored> {
    let none = || std::io::Error::other(format!("{} has no path", file.staged));
    let path = disk.path(&file.staged).ok_or_else(none)?;
    let read = {
        let path = path.clone();
        move || -> std::io::Result<u32> {
            let mut file = std::fs::File::open(path)?;
            let (mut hasher, mut buffer) = (crc32fast::Hasher::new(), vec![0; READ_BYTES]);
            loop {
                match file.read(&mut buffer)? {
                    0 => return Ok(hasher.finalize()),
                    read => hasher.update(buffer.get(..read).unwrap_or_default()),
                }
            }
        }
    };
    let crc32 = spawn_blocking(read).await.map_err(std::io::Error::other)??;
    Ok((path, crc32))
}
