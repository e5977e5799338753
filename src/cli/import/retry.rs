//! `forebay import retry-rejects`: imports rejected rows after a person corrected them in their file.
//!
//! Beside each file of rejected rows stands one that says how the rows were read, so that they are read the same way
//! again. A corrected row keeps the messageId of its place in the file that it came from.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio_util::sync::CancellationToken;

use super::args::RetryRejectsArgs;
use super::files::{CsvFile, Watched};
use super::options::{limits_hash, short_hash};
use super::s3::RejectsPlace;
use super::show::{Shown, show};
use super::summary::{Result as FileResult, Summary};
use super::way::Way;
use super::{announce, finish, not_opened, state_of, unwritable, wanted};
use crate::call::CallKind;
use crate::cli::failure::Failure;
use crate::import::csv::{CsvOptions, RejectRows};
use crate::import::file_id::FileId;
use crate::import::identity::Identity;
use crate::import::reading::local::LocalFile;

use crate::import::{
    Begin, Counters, FileEnd, FileError, FileFault, Job, RejectsOf, RowLimits, WantedSource, import_file,
    rename_durably,
};
use crate::runtime::Background;
use crate::sources::SourceId;

/// How the rows of a file were read.
#[derive(serde::Serialize, serde::Deserialize)]
struct HowRead {
    name: String,
    file: FileId,
    #[serde(rename = "type")]
    kind: String,
    /// The source that was named by its id. A write key is not kept.
    #[serde(default)]
    source: Option<SourceId>,
    /// Where the file is, for rows that are known by their content.
    #[serde(default)]
    place: String,
    csv: CsvOptions,
}

/// The file beside one of rejected rows. Its name is longer, because that one may have any extension.
fn beside(rejects: &Path) -> PathBuf {
    rejects.with_added_extension("how.json")
}

/// Whether there are rejected rows, and nothing says how they were read.
pub(super) fn is_undescribed(rejects: &Path) -> bool {
    rejects.is_file() && !beside(rejects).exists()
}

/// Writes beside the rejected rows of `file` how they were read.
///
/// # Errors
/// [`Failure`]: the rejected rows cannot be imported with `retry-rejects`.
pub(super) fn describe(rejects: &Path, file: &CsvFile, wanted: &WantedSource) -> Result<(), Failure> {
    let csv = file.how_read().map_err(|error| Failure::failed(error.to_string()))?;
    let source = match wanted {
        WantedSource::Id(id) => Some(id.clone()),
        WantedSource::Default | WantedSource::WriteKey(_) => None,
    };
    let (name, kind) = (file.name.clone(), file.kind.name().to_owned());
    let how = HowRead { name, file: file.id, kind, source, place: file.place.clone(), csv };
    let path = beside(rejects);
    let is_ours = |json: Vec<u8>| json.is_empty() || serde_json::from_slice::<HowRead>(&json).is_ok();
    if fs::read(&path).is_ok_and(|json| !is_ours(json)) {
        return Err(unwritable(&path, &"it holds something else"));
    }
    write(&path, &serde_json::to_vec_pretty(&how)?)
}

/// Whether the file for the rejected rows of `file` holds rows that were read in another way: of another file, or for
/// another source. Rows of both could not be told apart.
pub(super) fn is_of_others(rejects: &Path, file: FileId, wanted: &WantedSource) -> bool {
    let how = fs::read(beside(rejects)).ok().and_then(|json| serde_json::from_slice::<HowRead>(&json).ok());
    let source = match wanted {
        WantedSource::Id(id) => Some(id),
        WantedSource::Default | WantedSource::WriteKey(_) => None,
    };
    rejects.exists() && how.is_some_and(|how| how.file != file || how.source.as_ref() != source)
}

/// Writes a file beside rejected rows, whole or not at all. Like these it is for its owner only.
fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let temporary = path.with_added_extension("tmp");
    let mut options = fs::OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(&temporary);
    file.and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_data()))
        .and_then(|()| rename_durably(&temporary, path))
        .map_err(|error| unwritable(path, &error))
}

/// Imports the rows of each file.
///
/// # Errors
/// [`Failure`].
pub(super) async fn run(
    args: &RetryRejectsArgs,
    stop: CancellationToken,
    background: &Background,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    for file in &args.files {
        if !file.is_file() {
            return Err(Failure::usage(format!("no such file: {}", file.display())));
        }
        if !beside(file).is_file() {
            let (file, how) = (file.display(), beside(file));
            let what =
                format!("{file} is not a file of rejected rows: {} is missing beside it", how.display());
            return Err(Failure::usage(what));
        }
    }
    let state = state_of(&args.to);
    let place = RejectsPlace::new(args.to.rejects.as_deref(), args.files.len(), &state)?;
    let way = Way::choose(&args.to, &state, background).await?;
    announce(&args.show, &way);
    let counters = Arc::new(Counters::default());
    let bytes = args.files.iter().filter_map(|file| fs::metadata(file).ok()).map(|of| of.len()).sum();
    counters.bytes_total.store(bytes, Ordering::Relaxed);
    let shown = Shown { counters, watched: Watched::default(), files: args.files.len() as u64 };
    let stop_showing = CancellationToken::new();
    let showing = tokio::spawn(show(shown.clone(), args.show.progress, stop_showing.clone()));
    let mut summary = Summary::default();
    for (done, rejects) in args.files.iter().enumerate() {
        if stop.is_cancelled() {
            summary.not_begun = (args.files.len() - done) as u64;
            break;
        }
        let Retry { job, kind, how } = match retry_of(args, rejects, &place) {
            Ok(retry) => retry,
            Err(error) => {
                let name = rejects.display().to_string();
                summary.results.push(not_opened(name, FileEnd::Failed(error)));
                continue;
            }
        };
        let report = import_file(&job, &*way.target, &shown.counters, &stop).await;
        shown.counters.files.fetch_add(1, Ordering::Relaxed);
        // A run that was killed at its end may have left rows without a description.
        let is_rejected = report.progress.rejected > 0;
        let undescribed = || (is_rejected && is_undescribed(&job.rejects)).then_some(&job.rejects);
        if let Some(again) = report.rejects.as_ref().or_else(undescribed) {
            write(&beside(again), &how)?;
        }
        summary.results.push(FileResult { report, kind: Some(kind.name()), uploaded: None });
    }
    stop_showing.cancel();
    showing.await?;
    let uploaded = place.upload(&mut summary, &args.to).await;
    finish(summary, way, &args.show, out).await.and(uploaded)
}

/// The rows of one file, to be imported again.
struct Retry {
    job: Job,
    kind: CallKind,
    /// The file beside it, which describes those that are rejected again, too.
    how: Vec<u8>,
}

fn retry_of(args: &RetryRejectsArgs, rejects: &Path, place: &RejectsPlace) -> Result<Retry, FileError> {
    let how_path = beside(rejects);
    let unread = |path: &Path, error: &dyn std::fmt::Display| {
        FileError::content("E-REJECTS", format!("{} cannot be read: {error}", path.display()))
    };
    let json = fs::read(&how_path).map_err(|error| unread(&how_path, &error))?;
    let how: HowRead = serde_json::from_slice(&json).map_err(|error| unread(&how_path, &error))?;
    let kind = CallKind::from_name(&how.kind).ok_or_else(|| unread(&how_path, &"unknown type"))?;
    let file = LocalFile::open(rejects).map_err(|error| unread(rejects, &error))?;
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(file.reader()).map_err(|error| unread(rejects, &error))?;
    let identity = Identity::Content { hash: *hasher.finalize().as_bytes(), size: file.size() };
    let id = identity.id();
    let rejected_again = place.of(id, &wanted(&args.to));
    if rejected_again.canonicalize().ok() == rejects.canonicalize().ok() {
        let what = format!("{} is read: name another file with --rejects", rejects.display());
        return Err(FileError::new(FileFault::Local, "E-REJECTS", what));
    }
    let begin = Begin {
        file: id,
        name: format!("{} (rejected rows)", how.name),
        bytes: Some(file.size()),
        source: match (wanted(&args.to), &how.source) {
            (WantedSource::Default, Some(id)) => WantedSource::Id(id.clone()),
            (named, _) => named,
        },
        options: short_hash(&json),
        limits: limits_hash(args.on_row_error, false),
        by_content: false,
        force: false,
    };
    let open = {
        let how = Arc::new(how);
        Arc::new(move || {
            let rows = RejectRows::open((id, file.reader()), (&how.place, how.file, kind), &how.csv)?;
            Ok(Box::new(rows) as Box<dyn crate::import::RowReader>)
        })
    };
    let limits = RowLimits { on_row_error: args.on_row_error, ..RowLimits::default() };
    let rate = args.to.rate.map(std::num::NonZeroU32::get);
    let job = Job { begin, open, limits, rejects: rejected_again, rejects_of: RejectsOf::Retry(id), rate };
    Ok(Retry { job, kind, how: json })
}
