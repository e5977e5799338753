//! `forebay import`: rows of files become calls.

pub mod args;
pub mod converter_args;
mod dry_run;
mod infer;
mod list;
pub(super) mod options;
mod pause;
mod preview;
mod reset;
mod resume;
mod retry;
mod retry_import;
mod run;
pub mod run_args;
mod setup_notifications;
mod show;
mod summary;
mod test_credentials;
mod to;

use std::io::Write;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use self::args::{ImportCommand, ImportCsvArgs};
use self::show::{Shown, while_shown};
use self::to::{announce, chosen_target, finish, state_of, store, upload, wanted};
use crate::cli::failure::Failure;
use crate::import::discovery::files::{Opening, temporary};
use crate::import::discovery::inputs::{Input, any_in_s3, inputs};
use crate::import::files_import::{FilesImport, all};
use crate::import::rejects_output::RejectsOutput;
use crate::import::{Counters, RowLimits};
use crate::random::Random as _;
use crate::runtime::{Background, Shutdown, StageWords, SystemRandom};
use crate::words::AddingOptions;

/// Runs one import command. What it prints for people repeats in further commands how they find the import.
/// Errors: [`Failure`], also if a file failed or rows were rejected: see the exit codes.
pub async fn run(
    command: &ImportCommand,
    background: &Background,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let typed = command.typed_for_people();
    let done = match command {
        // What they print is of people's files.
        ImportCommand::Preview(_) | ImportCommand::InferConverter(_) => {
            run_it(command, background, out).await
        }
        _ => {
            let mut out = AddingOptions::new(out, &typed);
            let done = run_it(command, background, &mut out).await;
            out.flush()?;
            done
        }
    };
    done.map_err(|failure| Failure::with_code(failure.code(), typed.added_to(&failure.to_string())))
}

async fn run_it(
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
        ImportCommand::InferConverter(args) => infer::run(args, out).await,
        ImportCommand::Preview(args) => preview::run(args, out).await,
        ImportCommand::Run(args) => stoppable(async |stop| run::run(args, stop, background, out).await).await,
        ImportCommand::ResetFile(args) => reset::run(args, background, out).await,
        ImportCommand::Pause(args) => pause::run(args, true, background, out).await,
        ImportCommand::Resume(args) => pause::run(args, false, background, out).await,
        ImportCommand::Status(args) => pause::status(args, background, out).await,
        ImportCommand::Rename(args) => run::rename(args, background, out).await,
        ImportCommand::Release(args) => run::release(args, background, out).await,
        ImportCommand::TestCredentials(args) => test_credentials::run(args, out).await,
        ImportCommand::SetupNotifications(args) => setup_notifications::run(args, out).await,
        ImportCommand::List(args) => list::run(args, background, out).await,
    }
}

const STAGE_WORDS: StageWords =
    StageWords { orderly: "stopping after the rows that are being stored", immediate: "stopping at once" };

/// Runs an import to its end. The first signal stops the import after a step. A second one abandons it where
/// it is, which is as safe as a kill.
async fn stoppable(
    import: impl AsyncFnOnce(CancellationToken) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let shutdown = Shutdown::new();
    let _signals = shutdown.listen_saying(STAGE_WORDS)?;
    tokio::select! {
        done = import(shutdown.orderly.clone()) => done,
        () = shutdown.immediate.cancelled() => Err(resume::stopped()),
    }
}

/// The inputs, and how they are opened.
async fn opened(args: &ImportCsvArgs) -> Result<(Arc<Opening>, Vec<Input>), Failure> {
    let state = state_of(&args.to);
    let opening = Arc::new(options::opening(&args.format, temporary(&state), true)?);
    let store = match any_in_s3(&args.sources) {
        true => Some(store(&args.to).await?),
        false => None,
    };
    Ok((opening, inputs(&args.sources, store.map(|store| store as _).as_ref()).await?))
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
        // Importers that share the files begin at different ones, because each waits for a file that another
        // one has.
        let first = SystemRandom.next_u64() % inputs.len() as u64;
        inputs.rotate_left(usize::try_from(first).unwrap_or(0));
    }
    let counters = Counters::default();
    let total: u64 = inputs.iter().filter_map(Input::bytes).sum();
    counters.change(|now| now.bytes_total = total);
    let shown = Shown { counters: counters.clone(), files: inputs.len() as u64 };
    let import = FilesImport {
        target: Arc::clone(&chosen.target),
        options: options::options_hash(&args.format, &opening),
        limits_hash: args.on_row_error.limits_hash(args.format.allow_expansion),
        opening,
        source: wanted(&args.to),
        force: args.force,
        limits: RowLimits {
            rows: args.rows.clone().unwrap_or(0..u64::MAX),
            on_row_error: args.on_row_error,
            ..RowLimits::default()
        },
        rate: args.to.rate.map(std::num::NonZeroU32::get),
        rejects: RejectsOutput::new(args.to.rejects.as_deref(), inputs.len(), &state)?,
        reject_sink: None,
        part_bytes: None,
        counters,
        stop,
    };
    let importing = all(&import, inputs, usize::from(args.parallel));
    let mut results = while_shown(importing, &shown, args.show.progress).await;
    let uploaded = upload(&import.rejects, &mut results.results, &args.to).await;
    drop(import);
    finish(results, chosen, &args.show, out).await.and(uploaded)
}
