//! What an import needs of S3: the store that sources are read from, and a place there for rejected rows.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::args::ToArgs;
use super::inputs::{place, s3_url};
use super::summary::Summary;
use crate::cli::failure::Failure;
use crate::cli::serve;
use crate::config::Endpoint;
use crate::import::file_id::FileId;
use crate::import::s3_records::S3Records;
use crate::import::shared_progress::WriteError;
use crate::import::{SharedProgress, WantedSource};
use crate::node::settings::store_settings;
use crate::object::{Destination, ObjectKey};
use crate::random::Random as _;
use crate::runtime::{SystemClock, SystemRandom};
use crate::sources::WriteKeyHash;
use crate::store::s3::{S3Settings, S3Store};
use crate::store::{Body, ObjectStore as _, Put, PutMode};

/// The store that `s3://` sources are read from: as configured, or as the environment says.
///
/// # Errors
/// [`Failure`]: the configuration cannot be used.
pub(super) async fn store(to: &ToArgs) -> Result<Arc<S3Store>, Failure> {
    let mut settings = match &to.way.config {
        Some(config) => store_settings(&serve::load(config)?.1.config, "import"),
        None => S3Settings::default(),
    };
    if let Some(url) = &to.endpoint_url {
        at_endpoint(&mut settings, url);
    }
    Ok(Arc::new(S3Store::new(settings).await))
}

#[cfg(feature = "lambda")]
/// The store of the environment, at an endpoint of its own if it is not AWS. An endpoint cannot be asked for the region
/// of a bucket, and Lambda names that of the function.
pub(in crate::cli) async fn store_at(endpoint: Option<&Endpoint>, region: Option<&str>) -> Arc<S3Store> {
    let mut settings = S3Settings::default();
    if let Some(url) = endpoint {
        at_endpoint(&mut settings, url);
        settings.region = region.map(str::to_owned);
    }
    Arc::new(S3Store::new(settings).await)
}

fn at_endpoint(settings: &mut S3Settings, url: &Endpoint) {
    settings.endpoint_url = Some(url.as_str().to_owned());
    settings.path_style = true;
}

/// Where several importers share the progress of imports: `s3://bucket/prefix/`.
pub(in crate::cli) struct SharedPlace {
    store: Arc<S3Store>,
    bucket: Destination,
    prefix: String,
}

impl SharedPlace {
    /// The place that was named with `--journal`, if any.
    ///
    /// # Errors
    /// [`Failure`]: it is no place.
    pub(super) async fn of(to: &ToArgs) -> Result<Option<Self>, Failure> {
        let Some(named) = to.way.journal.as_deref() else { return Ok(None) };
        Self::named("--journal", named, store(to).await?).map(Some)
    }

    /// The place with this name in a store. `option` gave the name.
    ///
    /// # Errors
    /// [`Failure`]: it is no place.
    pub(in crate::cli) fn named(option: &str, name: &str, store: Arc<S3Store>) -> Result<Self, Failure> {
        let (bucket, prefix) = s3_url(name)
            .ok_or_else(|| Failure::usage(format!("{option} {name}: expected s3://bucket/prefix/")))?;
        let prefix = prefix.trim_end_matches('/');
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        Ok(Self { store, bucket: place(bucket)?, prefix })
    }

    /// The progress of imports to one collector and write key, which `id` stands for.
    ///
    /// # Errors
    /// [`Failure`]: the store cannot be used.
    pub(super) async fn open(self, id: &str) -> Result<Arc<SharedProgress>, Failure> {
        let records = self.records(id).await?;
        Ok(SharedProgress::start(records, Arc::new(SystemClock::new()), importer()))
    }

    /// The records of these imports.
    ///
    /// # Errors
    /// As [`SharedPlace::open`].
    pub(in crate::cli) async fn records(self, id: &str) -> Result<Arc<S3Records>, Failure> {
        let prefix = format!("{}{id}/", self.prefix);
        let records =
            S3Records::open(self.store, self.bucket, prefix).await.map_err(|error| match error {
                WriteError::Unknown(_) | WriteError::Changed => {
                    Failure::unreachable(format!("the journal: {error}"))
                }
                WriteError::Refused(_) => Failure::failed(format!("the journal: {error}")),
            })?;
        Ok(Arc::new(records))
    }
}

/// This process, told from all others.
fn importer() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("process {} on {} ({:016x})", std::process::id(), host.trim(), SystemRandom.next_u64())
}

/// Where rejected rows go.
#[derive(Clone, Debug)]
pub(in crate::cli) enum RejectsPlace {
    /// One file for each imported file, in a folder.
    Folder(PathBuf),
    /// All in one file.
    File(PathBuf),
    /// As `Folder`, and the files are uploaded at the end.
    S3 { folder: PathBuf, bucket: String, prefix: String },
}

impl RejectsPlace {
    /// The place that was named, or else the folder `rejects` in the state folder.
    ///
    /// # Errors
    /// [`Failure`]: it is no place.
    pub(super) fn new(named: Option<&str>, inputs: usize, state: &Path) -> Result<Self, Failure> {
        let folder = state.join("rejects");
        let Some(named) = named else { return Ok(Self::Folder(folder)) };
        if let Some((bucket, prefix)) = s3_url(named) {
            place(bucket)?;
            return Ok(Self::S3 { folder, bucket: bucket.to_owned(), prefix: prefix.to_owned() });
        }
        let path = PathBuf::from(named);
        let is_folder = named.ends_with('/') || path.is_dir();
        match (is_folder, inputs) {
            (true, _) => Ok(Self::Folder(path)),
            (false, 0 | 1) => Ok(Self::File(path)),
            (false, _) => Err(Failure::usage(format!(
                "--rejects {named}: name a folder (ending in /), because there are {inputs} files"
            ))),
        }
    }

    /// The file for the rejected rows of a file. A file may be imported into several sources.
    pub(super) fn of(&self, file: FileId, into: &WantedSource) -> PathBuf {
        let source = match into {
            WantedSource::Default => String::new(),
            WantedSource::Id(id) => format!(".{id}"),
            WantedSource::WriteKey(key) => {
                WriteKeyHash::of(key).map_or_else(String::new, |hash| format!(".k-{}", hash.hex16()))
            }
        };
        match self {
            Self::Folder(folder) | Self::S3 { folder, .. } => folder.join(format!("{file}{source}.ndjson")),
            Self::File(path) => path.clone(),
        }
    }

    /// Uploads the files with rejected rows, if they belong in S3, and notes where they are now.
    ///
    /// # Errors
    /// [`Failure`]: the files stay where they are.
    pub(super) async fn upload(&self, summary: &mut Summary, to: &ToArgs) -> Result<(), Failure> {
        let Self::S3 { bucket, prefix, .. } = self else { return Ok(()) };
        let written: Vec<_> = summary
            .results
            .iter_mut()
            .filter_map(|result| Some((result.report.rejects.as_ref()?, &mut result.uploaded)))
            .collect();
        if written.is_empty() {
            return Ok(());
        }
        let (store, destination) = (store(to).await?, place(bucket)?);
        for (path, uploaded) in written {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let bytes = Bytes::from(tokio::fs::read(path).await?);
            let key = ObjectKey::listed(format!("{prefix}{name}"));
            let put = Put {
                destination: destination.clone(),
                key,
                crc32: crc32fast::hash(&bytes),
                body: Body::Bytes(bytes),
                content_encoding: None,
                metadata: Vec::new(),
                tags: Vec::new(),
                mode: PutMode::Overwrite,
            };
            store.put(&put).await.map_err(|error| {
                let what = format!("put s3://{bucket}/{prefix}{name} (the rows are in {})", path.display());
                Failure::of_store(&what, &error)
            })?;
            *uploaded = Some(format!("s3://{bucket}/{prefix}{name}"));
        }
        Ok(())
    }
}
