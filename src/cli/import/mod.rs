//! `forebay import`: rows of files become calls.

pub mod args;
mod dry_run;
mod list;
mod options;
mod resume;
mod retry;
mod show;
mod summary;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio_util::sync::CancellationToken;

use self::args::{ImportCommand, ImportCsvArgs, ShowArgs, ToArgs};
use self::show::{Shown, while_shown};
use self::summary::Summary;
use crate::cli::failure::{self, Failure};
use crate::cli::serve;
use crate::config::Config;
use crate::import::discovery::files::{Opening, temporary};
use crate::import::discovery::inputs::{Input, any_in_s3, inputs};
use crate::import::file_result::{FileResult, Results};
use crate::import::files_import::{Counted, FilesImport, all};
use crate::import::rejects_output::RejectsOutput;
use crate::import::shared_folder::SharedFolder;
use crate::import::state_folder::state_folder;
use crate::import::{RowLimits, WantedSource};
use crate::node::chosen_target::ChosenTarget;
use crate::node::import_store::{ImportStore, import_store};
use crate::random::Random as _;
use crate::runtime::say::say;
use crate::runtime::{Background, Shutdown, StageWords, SystemRandom};

/// What `forebay lambda` shares with the command.
#[cfg(feature = "lambda")]
pub(in crate::cli) mod shared {
    pub(in crate::cli) use super::options::{limits_hash, opening, options_hash};
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
    let opening = Arc::new(options::opening(&args.named_type, &args.format, temporary(&state), true)?);
    let store = match any_in_s3(&args.sources) {
        true => Some(store(&args.to).await?),
        false => None,
    };
    Ok((opening, inputs(&args.sources, store.map(|store| store as _).as_ref()).await?))
}

/// The store that `s3://` sources are read from.
async fn store(to: &ToArgs) -> Result<ImportStore, Failure> {
    Ok(import_store(config(to)?.as_ref(), to.endpoint_url.as_ref()).await)
}

fn config(to: &ToArgs) -> Result<Option<Config>, Failure> {
    let loaded = to.target.config.as_deref().map(serve::load).transpose()?;
    Ok(loaded.map(|(_, loaded)| loaded.config))
}

/// Where the calls go.
async fn chosen_target(to: &ToArgs, state: &Path, background: &Background) -> Result<ChosenTarget, Failure> {
    if let (Some(collector), Some(write_key)) = (&to.target.collector, &to.write_key) {
        let shared = match to.target.journal.as_deref() {
            Some(named) => Some(SharedFolder::named("--journal", named, store(to).await?)?),
            None => None,
        };
        return Ok(ChosenTarget::to_collector(collector, write_key, shared, state).await?);
    }
    let (admin, token_file) = (to.target.admin.as_ref(), to.target.token_file.as_deref());
    Ok(ChosenTarget::to_node(admin, token_file, config(to)?.as_ref(), background).await?)
}

fn state_of(to: &ToArgs) -> PathBuf {
    state_folder(to.state.as_ref(), |name| std::env::var_os(name).map(PathBuf::from))
}

async fn csv(
    args: &ImportCsvArgs,
    stop: CancellationToken,
    background: &Background,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let (opening, mut inputs) = opened(args).await?;
    let state = state_of(&args.to);
    let chosen = chosen_target(&args.to, &state, background).await?;
    announce(&args.show, &chosen);
    if args.to.target.journal.is_some() && !inputs.is_empty() {
        // Importers that share the files begin at different ones: a file that another one has is waited for.
        let first = SystemRandom.next_u64() % inputs.len() as u64;
        inputs.rotate_left(usize::try_from(first).unwrap_or(0));
    }
    let counted = Counted::default();
    let total: u64 = inputs.iter().filter_map(Input::bytes).sum();
    counted.counters.bytes_total.store(total, Ordering::Relaxed);
    let shown = Shown { counted: counted.clone(), files: inputs.len() as u64 };
    let import = FilesImport {
        target: Arc::clone(&chosen.target),
        options: options::options_hash(&args.named_type, &args.format, &opening),
        limits_hash: options::limits_hash(args.on_row_error, args.format.allow_expansion),
        opening,
        source: wanted(&args.to),
        force: args.force,
        limits: RowLimits { rows: args.rows.clone().unwrap_or(0..u64::MAX), on_row_error: args.on_row_error },
        rate: args.to.rate.map(std::num::NonZeroU32::get),
        rejects: RejectsOutput::new(args.to.rejects.as_deref(), inputs.len(), &state)?,
        reject_sink: None,
        part_bytes: None,
        counted,
        stop,
    };
    let importing = all(&import, inputs, usize::from(args.parallel));
    let mut results = while_shown(importing, &shown, args.show.progress).await;
    let uploaded = upload(&import.rejects, &mut results.results, &args.to).await;
    drop(import);
    finish(results, chosen, &args.show, out).await.and(uploaded)
}

/// Uploads the files with rejected rows, if they belong in S3.
async fn upload(rejects: &RejectsOutput, results: &mut [FileResult], to: &ToArgs) -> Result<(), Failure> {
    if !rejects.uploads(results) {
        return Ok(());
    }
    Ok(rejects.upload(results, &*store(to).await?).await?)
}

/// Prints the target as the first line, unless standard output is for JSON.
fn announce(show: &ShowArgs, chosen: &ChosenTarget) {
    if show.json {
        tracing::info!("importing {}", chosen.text);
    } else {
        say(&format!("importing {}", chosen.text));
    }
}

/// Prints the result, and delivers what a spool of this command holds.
async fn finish(
    results: Results,
    chosen: ChosenTarget,
    show: &ShowArgs,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let summary = Summary(results);
    let ended = chosen.end().await;
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
