//! `forebay import`: rows of files become calls.

pub mod args;
mod collector_target;
mod dry_run;
mod files;
mod inputs;
mod list;
mod node_target;
mod options;
mod progress;
mod resume;
mod retry;
mod s3;
mod show;
mod state_folder;
mod summary;
mod way;

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::args::{ImportCommand, ImportCsvArgs, ShowArgs, ToArgs};
use self::files::{CsvFile, files};
use self::inputs::{any_in_s3, inputs};
use self::show::show;
use self::state_folder::state_folder;
use self::summary::Summary;
use self::way::Way;
use crate::cli::failure::{self, Failure};
use crate::cli::say;
use crate::import::csv::IdFrom;
use crate::import::{
    Begin, CheckUnchanged, Counters, FileEnd, FileError, FileFault, FileReport, Job, OpenRows, RejectCounts,
    RejectSink, RejectsOf, RowLimits, Target, Waits, WantedSource, import_file, imported_as,
};
use crate::log::ImportProgress;
use crate::random::Random as _;
use crate::runtime::{Background, Shutdown, StageWords, SystemRandom};

pub(in crate::cli) use self::files::{Opening, Watched};
pub(in crate::cli) use self::inputs::Input;
pub(in crate::cli) use self::s3::RejectsPlace;
pub(in crate::cli) use self::show::Shown;
pub(in crate::cli) use self::summary::Result as FileResult;

/// What `forebay lambda` shares with the command.
#[cfg(feature = "lambda")]
pub(in crate::cli) mod shared {
    pub(in crate::cli) use super::collector_target::CollectorTarget;
    pub(in crate::cli) use super::files::{temporary, unread};
    pub(in crate::cli) use super::inputs::{place, s3_url};
    pub(in crate::cli) use super::options::{hash, limits_hash, opening, short_hash};
    pub(in crate::cli) use super::progress::Progress;
    pub(in crate::cli) use super::s3::{SharedPlace, store_at};
}

/// Runs one import command.
///
/// # Errors
/// [`Failure`], also if a file failed or rows were rejected: see the exit codes.
pub async fn run(
    command: &ImportCommand,
    background: &Background,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    match command {
        ImportCommand::Csv(args) if args.dry_run || args.preview => {
            let (opening, inputs) = opened(args).await?;
            dry_run::run(args, &opening, inputs, out).await
        }
        ImportCommand::Csv(args) => stoppable(async |stop| csv(args, stop, background, out).await).await,
        ImportCommand::RetryRejects(args) => {
            stoppable(async |stop| retry::run(args, stop, background, out).await).await
        }
        ImportCommand::List(args) => Ok(list::run(args, out).await?),
    }
}

const STAGE_WORDS: StageWords =
    StageWords { orderly: "stopping after the rows that are being stored", immediate: "stopping at once" };

/// Runs an import to its end. The first signal stops it after a step. After a second one it is abandoned where it is,
/// which is as safe as a kill.
async fn stoppable(
    import: impl AsyncFnOnce(CancellationToken) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let shutdown = Shutdown::new();
    let _signals = shutdown.listen_saying(STAGE_WORDS)?;
    tokio::select! {
        done = import(shutdown.orderly.clone()) => done,
        () = shutdown.immediate.cancelled() => Err(stopped()),
    }
}

/// An import was stopped by a signal.
fn stopped() -> Failure {
    let how = resume::how_to_continue(std::env::args_os());
    Failure::with_code(failure::INTERRUPTED, format!("stopped; {how}"))
}

/// How inputs are opened, and which ones there are.
async fn opened(args: &ImportCsvArgs) -> Result<(Arc<Opening>, Vec<Input>), Failure> {
    let state = state_of(&args.to);
    let opening = Arc::new(options::opening(&args.given, &args.format, files::temporary(&state), true)?);
    let store = match any_in_s3(&args.sources) {
        true => Some(s3::store(&args.to).await?),
        false => None,
    };
    Ok((opening, inputs(&args.sources, store.as_ref()).await?))
}

fn state_of(to: &ToArgs) -> PathBuf {
    state_folder(to.state.as_ref(), |name| std::env::var_os(name).map(PathBuf::from))
}

/// Every file of an import goes the same way.
#[derive(Clone)]
pub(in crate::cli) struct Import {
    pub(in crate::cli) target: Arc<dyn Target>,
    pub(in crate::cli) opening: Arc<Opening>,
    /// See [`Begin::options`].
    pub(in crate::cli) options: String,
    /// See [`Begin::limits`].
    pub(in crate::cli) limits_hash: String,
    pub(in crate::cli) source: WantedSource,
    pub(in crate::cli) force: bool,
    pub(in crate::cli) limits: RowLimits,
    pub(in crate::cli) rate: Option<u32>,
    /// Unused if there is a `reject_sink`.
    pub(in crate::cli) rejects: RejectsPlace,
    pub(in crate::cli) reject_sink: Option<Arc<dyn RejectSink>>,
    /// See [`Job::part_bytes`].
    pub(in crate::cli) part_bytes: Option<usize>,
    pub(in crate::cli) shown: Shown,
    pub(in crate::cli) stop: CancellationToken,
}

async fn csv(
    args: &ImportCsvArgs,
    stop: CancellationToken,
    background: &Background,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let (opening, mut inputs) = opened(args).await?;
    let state = state_of(&args.to);
    let way = Way::choose(&args.to, &state, background).await?;
    announce(&args.show, &way);
    if args.to.way.journal.is_some() && !inputs.is_empty() {
        // Importers that share the files begin at different ones: a file that another one has is waited for.
        let first = SystemRandom.next_u64() % inputs.len() as u64;
        inputs.rotate_left(usize::try_from(first).unwrap_or(0));
    }
    let counters = Arc::new(Counters::default());
    let total: u64 = inputs.iter().filter_map(Input::bytes).sum();
    counters.bytes_total.store(total, Ordering::Relaxed);
    let shown = Shown { counters, watched: Watched::default(), files: inputs.len() as u64 };
    let import = Import {
        target: Arc::clone(&way.target),
        options: options::hash(&args.given, &args.format),
        limits_hash: options::limits_hash(args.on_row_error, args.format.allow_expansion),
        opening,
        source: wanted(&args.to),
        force: args.force,
        limits: RowLimits { rows: args.rows.clone().unwrap_or(0..u64::MAX), on_row_error: args.on_row_error },
        rate: args.to.rate.map(std::num::NonZeroU32::get),
        rejects: RejectsPlace::new(args.to.rejects.as_deref(), inputs.len(), &state)?,
        reject_sink: None,
        part_bytes: None,
        shown: shown.clone(),
        stop,
    };
    let stop_showing = CancellationToken::new();
    let showing = tokio::spawn(show(shown, args.show.progress, stop_showing.clone()));
    let mut summary = all(&import, inputs, usize::from(args.parallel)).await;
    stop_showing.cancel();
    showing.await?;
    let uploaded = import.rejects.upload(&mut summary, &args.to).await;
    drop(import);
    finish(summary, way, &args.show, out).await.and(uploaded)
}

/// Prints the way as the first line, unless standard output is for JSON.
fn announce(show: &ShowArgs, way: &Way) {
    if show.json {
        tracing::info!("importing {}", way.text);
    } else {
        say(&format!("importing {}", way.text));
    }
}

/// Prints the result, and delivers what a spool of this command holds.
async fn finish(summary: Summary, way: Way, show: &ShowArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let ended = way.end().await;
    let printed = match show.json {
        true => summary.print_json(out),
        false => summary.print(out),
    };
    printed.and_then(|()| out.flush())?;
    ended?;
    summary.failure().map_or(Ok(()), Err)
}

fn wanted(to: &ToArgs) -> WantedSource {
    match (&to.source, &to.write_key) {
        (Some(id), _) => WantedSource::Id(id.clone()),
        (None, Some(key)) => WantedSource::WriteKey(key.clone()),
        (None, None) => WantedSource::Default,
    }
}

/// Imports every input, several at once. Results are in the order of the inputs.
async fn all(import: &Import, inputs: Vec<Input>, parallel: usize) -> Summary {
    let turns = Arc::new(Semaphore::new(parallel));
    let mut tasks = JoinSet::new();
    let mut not_begun = inputs.len() as u64;
    for (number, input) in inputs.into_iter().enumerate() {
        let Ok(turn) = Arc::clone(&turns).acquire_owned().await else { break };
        if import.stop.is_cancelled() {
            break;
        }
        not_begun -= 1;
        let import = import.clone();
        tasks.spawn(async move {
            let results = one(&import, &input).await;
            import.shown.counters.files.fetch_add(1, Ordering::Relaxed);
            drop(turn);
            (number, results)
        });
    }
    let mut results = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        match ended {
            Ok(ended) => results.push(ended),
            Err(error) => {
                let error = FileError::content("E-BUG", format!("{error}; this is a bug in Forebay"));
                results.push((usize::MAX, vec![not_opened("a file".to_owned(), FileEnd::Failed(error))]));
            }
        }
    }
    results.sort_by_key(|(number, _)| *number);
    Summary { results: results.into_iter().flat_map(|(_, results)| results).collect(), not_begun }
}

/// Imports the files of one input, one after the other.
pub(in crate::cli) async fn one(import: &Import, input: &Input) -> Vec<FileResult> {
    let mut waits = Waits::default();
    let ended = |end| vec![not_opened(input.name(), end)];
    let files = loop {
        // Standard input may say nothing for hours: its reader is left behind.
        let found = files(input, &import.opening, &import.shown.watched);
        let found = import.stop.run_until_cancelled(found).await;
        match found {
            None => return ended(FileEnd::Stopped),
            Some(Ok(files)) => break files,
            Some(Err(error)) if error.fault == FileFault::Transient => {
                let wait =
                    waits.next(Duration::ZERO, &format!("{}: {}", input.name(), error.message.masked()));
                let waited = import.stop.run_until_cancelled(tokio::time::sleep(wait)).await;
                if waited.is_none() {
                    return ended(FileEnd::Stopped);
                }
            }
            Some(Err(error)) => return ended(FileEnd::Failed(error)),
        }
    };
    if files.len() > 1 && matches!(import.rejects, RejectsPlace::File(_)) {
        let what = "it is an archive of several files: name a folder with --rejects";
        return ended(FileEnd::Failed(FileError::new(FileFault::Local, "E-REJECTS", what)));
    }
    if input.bytes().is_none() {
        let bytes = files.iter().flatten().filter_map(|file| file.bytes).sum();
        import.shown.counters.bytes_total.fetch_add(bytes, Ordering::Relaxed);
    }
    let mut results = Vec::new();
    for file in files {
        results.push(match file {
            Ok(file) if import.stop.is_cancelled() => not_opened(file.name, FileEnd::Stopped),
            Ok(file) => imported(import, &file).await,
            Err((name, error)) => not_opened(name, FileEnd::Failed(error)),
        });
    }
    results
}

async fn imported(import: &Import, file: &CsvFile) -> FileResult {
    let begin = Begin {
        file: file.id,
        name: file.name.clone(),
        bytes: file.bytes,
        source: import.source.clone(),
        options: import.options.clone(),
        limits: import.limits_hash.clone(),
        by_content: matches!(import.opening.csv.id_from, IdFrom::RowHash { .. }),
        force: import.force,
        // Without a disk that outlives the process nothing remembers earlier versions.
        place: file.place_id.filter(|_| import.reject_sink.is_none()),
        version: None,
    };
    let look: OpenRows = {
        let file = file.clone();
        Arc::new(move || Ok(Box::new(file.open_unwatched()?)))
    };
    let imported_as = match imported_as(&begin, &look, &*import.target, &import.stop).await {
        Ok(imported_as) => imported_as,
        Err(end) => return not_opened(file.name.clone(), end),
    };
    let file = &file.clone().with_id(imported_as.file.unwrap_or(file.id));
    let job = Job {
        begin: Begin { file: file.id, version: imported_as.version, ..begin },
        open: {
            let file = file.clone();
            Arc::new(move || Ok(Box::new(file.open()?)))
        },
        unchanged: begin.place.map(|_| {
            let file = file.clone();
            Arc::new(move || file.check_unchanged()) as CheckUnchanged
        }),
        limits: import.limits.clone(),
        rejects: import.rejects.of(file.id, &import.source),
        rejects_of: RejectsOf::File,
        rejects_owner: retry::owner_of(file, &import.source, &import.options),
        rate: import.rate,
        reject_sink: import.reject_sink.clone(),
        part_bytes: import.part_bytes,
    };
    let mut report = import_file(&job, &*import.target, &import.shown.counters, &import.stop).await;
    if report.rejects.is_none() && report.progress.rejected > 0 && job.rejects.exists() {
        // An earlier run wrote them.
        report.rejects = Some(job.rejects);
    }
    FileResult { report, kind: Some(file.kind.to_string()), uploaded: None, note: imported_as.note }
}

/// The result of an input that ended before its import began.
fn not_opened(name: String, end: FileEnd) -> FileResult {
    let report = FileReport {
        equal_rows: 0,
        by_code: RejectCounts::default(),
        name,
        end,
        source: None,
        before: ImportProgress::default(),
        progress: ImportProgress::default(),
        rejects: None,
        other_options: false,
    };
    FileResult { report, kind: None, uploaded: None, note: None }
}
