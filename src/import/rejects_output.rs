//! Decides where the rejected rows of files go.

use std::path::{Path, PathBuf};

use super::discovery::inputs::{location_of, s3_url};
use super::file_id::FileId;
use super::file_result::FileResult;
use super::{Unusable, WantedSource};
use crate::object::ObjectKey;
use crate::sources::WriteKeyHash;
use crate::store::{ObjectStore, Put, PutMode};

/// Where rejected rows go.
#[derive(Clone, Debug)]
pub enum RejectsOutput {
    /// One file for each imported file, in a folder.
    Folder(PathBuf),
    /// All rows in one file.
    File(PathBuf),
    /// One file for each imported file, in a folder; the files are uploaded at the end.
    S3 {
        /// The folder.
        folder: PathBuf,
        /// The bucket of the upload.
        bucket: String,
        /// The prefix of the keys.
        prefix: String,
    },
}

impl RejectsOutput {
    /// The output that was named, or else the folder `rejects` in the state folder.
    /// Errors: [`Unusable`]: rows cannot go to what was named.
    pub fn new(named: Option<&str>, inputs: usize, state: &Path) -> Result<Self, Unusable> {
        let folder = state.join("rejects");
        let Some(named) = named else { return Ok(Self::Folder(folder)) };
        if let Some((bucket, prefix)) = s3_url(named) {
            location_of(bucket)?;
            return Ok(Self::S3 { folder, bucket: bucket.to_owned(), prefix: prefix.to_owned() });
        }
        let path = PathBuf::from(named);
        let is_folder = named.ends_with('/') || path.is_dir();
        match (is_folder, inputs) {
            (true, _) => Ok(Self::Folder(path)),
            (false, 0 | 1) => Ok(Self::File(path)),
            (false, _) => Err(Unusable::Wrong(format!(
                "--rejects {named}: name a folder (ending in /), because there are {inputs} files"
            ))),
        }
    }

    /// The path for the rejected rows of a file. Each source has its own, because a file may be imported into
    /// several.
    pub fn of(&self, file: FileId, into: &WantedSource) -> PathBuf {
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

    /// Whether these results have files with rejected rows that belong in S3.
    pub fn uploads(&self, results: &[FileResult]) -> bool {
        matches!(self, Self::S3 { .. }) && results.iter().any(|result| result.report.rejects.is_some())
    }

    /// Uploads the files with rejected rows, if they belong in S3, and notes their new URLs in the results.
    /// Errors: [`Unusable`]: an upload failed; the files stay where they are.
    pub async fn upload(&self, results: &mut [FileResult], store: &dyn ObjectStore) -> Result<(), Unusable> {
        let Self::S3 { bucket, prefix, .. } = self else { return Ok(()) };
        let location = location_of(bucket)?;
        for FileResult { report, uploaded, .. } in results {
            let Some(path) = &report.rejects else { continue };
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let bytes = tokio::fs::read(path).await.map_err(|error| Unusable::failed(&error))?;
            let key = ObjectKey::listed(format!("{prefix}{name}"));
            let put = Put::plain(location.clone(), key, bytes, PutMode::Overwrite);
            store.put(&put).await.map_err(|cause| Unusable::Store {
                what: format!("put s3://{bucket}/{prefix}{name} (the rows are in {})", path.display()),
                cause,
            })?;
            *uploaded = Some(format!("s3://{bucket}/{prefix}{name}"));
        }
        Ok(())
    }
}
