//! `forebay import retry-rejects`: imports rejected rows after a person corrected them in their file.
//!
//! Beside each file of rejected rows stands one that says how the rows were read, so that they are read the same way
//! again. A corrected row keeps the messageId of its place in the file that it came from.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
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
use super::{announce, finish, not_opened, state_of, wanted};
use crate::cli::failure::Failure;
use crate::import::csv::{CsvOptions, FileType, RejectRows};
use crate::import::file_id::FileId;
use crate::import::identity::Identity;
use crate::import::reading::local::LocalFile;
use crate::import::{
    Begin, Counters, FileEnd, FileError, FileFault, Job, RejectsOf, RejectsOwner, RowLimits, WantedSource,
    description, description_of, import_file,
};
use crate::runtime::Background;
use crate::sources::{SourceId, WriteKeyHash};

/// How the rows of a file were read.
#[derive(Clone, serde::Serialize, serde::Deserialize)]
struct HowRead {
    name: String,
    file: FileId,
    #[serde(rename = "type")]
    kind: FileType,
    /// The source that was named by its id. A write key is not kept.
    #[serde(default)]
    source: Option<SourceId>,
    /// Where the file is, for rows that are known by their content.
    #[serde(default)]
    place: String,
    csv: CsvOptions,
}

/// The source in words that tell it from others, without the secret of a write key.
fn into_words(wanted: &WantedSource) -> String {
    match wanted {
        WantedSource::WriteKey(key) => {
            format!("key {}", WriteKeyHash::of(key).map_or_else(String::new, |hash| hash.hex16()))
        }
        other => format!("{other:?}"),
    }
}

/// The source that was named by its id.
fn id_of(wanted: &WantedSource) -> Option<SourceId> {
    match wanted {
        WantedSource::Id(id) => Some(id.clone()),
        WantedSource::Default | WantedSource::WriteKey(_) => None,
    }
}

/// What tells the import of `file` from others in a rejects file, with what says how its rows were read.
pub(super) fn owner_of(file: &CsvFile, wanted: &WantedSource, options: &str) -> RejectsOwner {
    let import = short_hash(format!("file {} {}", file.id, into_words(wanted)).as_bytes());
    let (file, source) = (file.clone(), id_of(wanted));
    let describe = move || {
        let csv = file.how_read().map_err(io::Error::other)?;
        let (name, kind, place) = (file.name.clone(), file.kind.clone(), file.place.clone());
        let how = HowRead { name, file: file.id, kind, source: source.clone(), place, csv };
        serde_json::to_value(how).map_err(io::Error::from)
    };
    RejectsOwner { import, options: options.to_owned(), describe: Arc::new(describe) }
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
        if !description_of(file).is_file() {
            let (file, how) = (file.display(), description_of(file));
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
        let (job, kind) = match retry_of(args, rejects, &place) {
            Ok(retry) => retry,
            Err(error) => {
                let name = rejects.display().to_string();
                summary.results.push(not_opened(name, FileEnd::Failed(error)));
                continue;
            }
        };
        let report = import_file(&job, &*way.target, &shown.counters, &stop).await;
        shown.counters.files.fetch_add(1, Ordering::Relaxed);
        summary.results.push(FileResult { report, kind: Some(kind.to_string()), uploaded: None, note: None });
    }
    stop_showing.cancel();
    showing.await?;
    let uploaded = place.upload(&mut summary, &args.to).await;
    finish(summary, way, &args.show, out).await.and(uploaded)
}

/// The rows of one file, to be imported again, and the kind of their calls.
fn retry_of(
    args: &RetryRejectsArgs,
    rejects: &Path,
    place: &RejectsPlace,
) -> Result<(Job, FileType), FileError> {
    let how_path = description_of(rejects);
    let unread = |path: &Path, error: &dyn std::fmt::Display| {
        FileError::content("E-REJECTS", format!("{} cannot be read: {error}", path.display()))
    };
    let json = description(rejects).map_err(|error| unread(&how_path, &error))?;
    let how: HowRead = serde_json::from_slice(&json).map_err(|error| {
        unread(&how_path, &format!("{error}; import the file that the rows are of again, with --force"))
    })?;
    let kind = how.kind.clone();
    let file = LocalFile::open(rejects).map_err(|error| unread(rejects, &error))?;
    // Rows that look the same may be of different files.
    let mut hasher = blake3::Hasher::new();
    hasher.update(&json);
    hasher.update_reader(file.reader()).map_err(|error| unread(rejects, &error))?;
    let identity = Identity::Content { hash: *hasher.finalize().as_bytes(), size: file.size() };
    let id = identity.id();
    let rejected_again = place.of(id, &wanted(&args.to));
    if rejected_again.canonicalize().ok() == rejects.canonicalize().ok() {
        let what = format!("{} is read: name another file with --rejects", rejects.display());
        return Err(FileError::new(FileFault::Local, "E-REJECTS", what));
    }
    // Importers that share their progress share no memory of rows: the messageIds stay the same.
    let remembers = args.to.way.journal.is_none();
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
        by_content: remembers,
        force: false,
        // Its content names it.
        place: None,
        version: None,
    };
    let rejects_owner = {
        let import = short_hash(format!("retry {id} {}", into_words(&begin.source)).as_bytes());
        let again = HowRead { source: id_of(&begin.source), ..how.clone() };
        let describe = move || serde_json::to_value(&again).map_err(io::Error::from);
        RejectsOwner { import, options: begin.options.clone(), describe: Arc::new(describe) }
    };
    let open = {
        let how = Arc::new(how);
        Arc::new(move || {
            let of = (how.place.as_str(), how.file, how.kind.clone());
            let rows = RejectRows::open((id, file.reader()), of, &how.csv, remembers)?;
            Ok(Box::new(rows) as Box<dyn crate::import::RowReader>)
        })
    };
    let limits = RowLimits { on_row_error: args.on_row_error, ..RowLimits::default() };
    let rate = args.to.rate.map(std::num::NonZeroU32::get);
    let rejects_of = RejectsOf::Retry(id);
    let rejects = rejected_again;
    let (unchanged, reject_sink, part_bytes) = (None, None, None);
    Ok((
        Job {
            begin,
            open,
            unchanged,
            limits,
            rejects,
            rejects_of,
            rejects_owner,
            rate,
            reject_sink,
            part_bytes,
        },
        kind,
    ))
}
