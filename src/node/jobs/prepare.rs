//! Copies the manifest of a job into its folder.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::runtime::Handle;

use super::tools::location;
use crate::disk::{Disk, temporary_name};
use crate::import::FileFault;
use crate::import::reading::ReadingError;
use crate::jobs::invocation::Schema;
use crate::jobs::job::spec::{JobSpec, ManifestFormat, ManifestPlace};
use crate::jobs::job::status::{Failure, FailureClass};
use crate::jobs::manifest::fields::{Fields, FieldsError};
use crate::jobs::manifest::files::{LocalManifest, ManifestFiles, StoredFiles, StoredManifest};
use crate::jobs::manifest::{ManifestError, ManifestForm, ManifestRead, Progress, Wanted, read_manifest};
use crate::jobs::task::Task;
use crate::jobs::task_rows::{ROWS, TaskRowsWriter};
use crate::object::RoleArn;
use crate::object::bucket_string::BucketStringError;
use crate::random::Random;
use crate::store::reader::StoreReader;
use crate::words::with_causes;

/// Reads the manifest of a job.
#[derive(Debug)]
pub(super) struct ManifestReader {
    files: Box<dyn ManifestFiles + Send>,
    wanted: Wanted,
    schema: Schema,
    is_local: bool,
    /// How far the reading is.
    pub(super) progress: Progress,
    /// Ends the reading before the next row.
    pub(super) halt: Arc<AtomicBool>,
}

/// Why a manifest cannot be read as the job says. All of it is wrong usage.
#[derive(Debug, thiserror::Error)]
pub(super) enum PlaceError {
    /// Its columns.
    #[error(transparent)]
    Fields(#[from] FieldsError),
    /// Its bucket.
    #[error(transparent)]
    Bucket(#[from] BucketStringError),
}

impl ManifestReader {
    /// A reader of the manifest of a job, whose bucket is reached with `role`. `runtime` is where requests
    /// run. Errors: [`PlaceError`].
    pub(super) fn of(
        spec: &JobSpec,
        role: Option<&RoleArn>,
        store: Arc<dyn StoreReader>,
        runtime: Handle,
        random: Arc<dyn Random>,
    ) -> Result<Self, PlaceError> {
        // A local manifest has no bucket, and the objects that it names are in other ones.
        let bucket = match &spec.manifest.place {
            ManifestPlace::Object { bucket, .. } => bucket.as_str(),
            _ => "local-manifest",
        };
        let location = location(bucket, role)?;
        let files = StoredFiles { store, location, runtime, random };
        let (files, is_local): (Box<dyn ManifestFiles + Send>, _) = match &spec.manifest.place {
            ManifestPlace::Object { bucket, key, version } => {
                let (bucket, key, version) = (bucket.clone(), key.clone(), version.clone());
                (Box::new(StoredManifest { files, bucket, key, version }), false)
            }
            ManifestPlace::File(path) => {
                (Box::new(LocalManifest { path: Some(PathBuf::from(path)), files: Some(files) }), true)
            }
            ManifestPlace::StandardInput => {
                (Box::new(LocalManifest { path: None, files: Some(files) }), true)
            }
        };
        let fields = spec.manifest.fields.as_ref();
        let fields = fields.map(|names| Fields::new(names.iter().map(String::as_str))).transpose()?;
        let form = spec.manifest.format.map(|format| match format {
            ManifestFormat::Csv => ManifestForm::Csv,
            ManifestFormat::Inventory => ManifestForm::Inventory,
        });
        let wanted = Wanted { etag: spec.manifest.etag.clone(), form, fields };
        let (progress, halt) = (Progress::default(), Arc::default());
        Ok(Self { files, wanted, schema: spec.schema, is_local, progress, halt })
    }

    /// Reads the manifest to its end, and gives each task to `taker`. Blocks.
    /// Errors: [`ManifestError`].
    pub(super) fn read(
        &self,
        taker: &mut dyn FnMut(&Task) -> io::Result<()>,
    ) -> Result<ManifestRead, ManifestError> {
        let read = read_manifest(&*self.files, &self.wanted, &self.progress, &mut |task| match self
            .halt
            .load(Ordering::Relaxed)
        {
            true => Err(io::Error::other("the reading was ended")),
            false => taker(task),
        })?;
        if read.has_args && self.schema == Schema::V1 {
            let what =
                "rows have args, which invocation schema 1.0 cannot pass; make the job with --schema 2.0";
            return Err(ManifestError::content(what));
        }
        Ok(read)
    }

    /// Copies the manifest to `disk`. `Ok`: the copy is durable, and whole. Blocks.
    /// Errors: [`ManifestError`]; nothing of the copy is left, unless the reading was halted: see [`remove_part`].
    pub(super) fn copy(&self, disk: &dyn Disk) -> Result<ManifestRead, ManifestError> {
        self.written(disk).inspect_err(|_| {
            // A reading that was halted may end when another one has begun.
            if !self.halt.load(Ordering::Relaxed) {
                remove_part(disk);
            }
        })
    }

    fn written(&self, disk: &dyn Disk) -> Result<ManifestRead, ManifestError> {
        let mut writer = TaskRowsWriter::create(disk, ROWS).map_err(ManifestError::Taker)?;
        let read = self.read(&mut |task| writer.push(task))?;
        if self.halt.load(Ordering::Relaxed) {
            return Err(ManifestError::Taker(io::Error::other("the reading was ended")));
        }
        writer.finish().map_err(ManifestError::Taker)?;
        Ok(read)
    }

    /// Why the job fails by this error, if it does. `None`: the disk of this machine is at fault, so the job
    /// may be gone on with.
    pub(super) fn failure(&self, error: &ManifestError) -> Option<Failure> {
        let class = match error {
            ManifestError::Taker(_) => return None,
            ManifestError::Unread { cause: ReadingError::Refused(_), .. } if self.is_local => {
                FailureClass::Manifest
            }
            _ => match error.fault() {
                FileFault::Content | FileFault::Changed | FileFault::Missing => FailureClass::Manifest,
                FileFault::Denied => FailureClass::Access,
                FileFault::Transient => FailureClass::Unreachable,
                FileFault::Local => FailureClass::Other,
            },
        };
        let text = with_causes(error);
        // The code stands before the reason wherever both are shown.
        let reason =
            text.strip_prefix(error.code()).map_or(text.as_str(), |rest| rest.trim_start_matches([':', ' ']));
        Some(Failure::new(class, error.code(), reason))
    }
}

/// Removes what was copied of a manifest before the reading ended early: it would keep a full disk full.
pub(super) fn remove_part(disk: &dyn Disk) {
    if let Err(error) = disk.remove(&temporary_name(ROWS)) {
        tracing::warn!(%error, "a part of the manifest's copy stays in the folder of the job");
    }
}
