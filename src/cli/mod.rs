//! The commands: arguments in, printed text and exit code out. What they do stands in the rooms below.

pub mod admin_args;
pub mod args;
pub mod batch;
pub mod check;
pub mod completions;
pub mod destinations;
#[cfg(feature = "dev")]
pub mod dev;
pub mod failure;
pub mod find;
pub mod flush;
pub mod import;
#[cfg(feature = "kafka")]
pub mod kafka;
#[cfg(feature = "lambda")]
pub mod lambda;
pub mod man;
pub mod policy;
pub mod print_json;
pub mod receipt;
pub mod resolve_action;
pub mod results;
pub mod serve;
pub mod spool;
pub mod status;
pub mod tail;
pub mod verify;
pub mod wait;

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use args::{Cli, Command};
use failure::Failure;
use results::Results;

use crate::runtime::{Background, memory, telemetry};
use crate::words::counted;

/// Threads for blocking work: reading and writing files, and name lookups. Each has its own heap, and more
/// threads would only wait for each other to release the spool's manifest (decision 0075).
const BLOCKING_THREADS_MAX: usize = 16;
/// The same in the process of one job, which writes one log: each more would keep memory, however many rows it has.
const JOB_BLOCKING_THREADS_MAX: usize = 4;
/// How long the end of a command waits until its programs are killed.
const PROGRAMS_END: Duration = Duration::from_secs(1);

/// Runs one command. Results go to standard output, logs and errors to standard error.
pub fn main(cli: Cli) -> ExitCode {
    let log = match telemetry::start(cli.log) {
        Ok(log) => log,
        Err(error) => {
            // There is no log to write to, and nothing is running yet.
            drop(writeln!(std::io::stderr(), "forebay: start logging: {error}"));
            return ExitCode::from(failure::FAILED);
        }
    };
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            tracing::debug!(code = failure.code(), "failed");
            log.say(&format!("forebay: {failure}"));
            ExitCode::from(failure.code())
        }
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
    let (holds_calls, is_long, starts_programs) = match cli.command {
        #[cfg(feature = "dev")]
        Command::Dev(_) => (true, true, true),
        Command::Serve(_) => (true, true, false),
        Command::Check(_) => (true, false, false),
        Command::Import(_) => (false, true, false),
        Command::Batch(_) => (false, true, true),
        #[cfg(feature = "lambda")]
        Command::Lambda => (false, true, false),
        _ => (false, false, false),
    };
    if holds_calls {
        memory::enough()?;
    }
    if is_long {
        memory::without_huge_pages();
    }
    let is_job = matches!(cli.command, Command::Batch(batch::args::BatchCommand::Run(_)));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .max_blocking_threads(if is_job { JOB_BLOCKING_THREADS_MAX } else { BLOCKING_THREADS_MAX })
        .enable_all()
        .build()?;
    let background = Background::start()?;
    let mut results = Results::of_process();
    let done = runtime.block_on(async {
        match cli.command {
            #[cfg(feature = "dev")]
            Command::Dev(args) => dev::run(&args, &background).await,
            Command::Serve(args) => serve::run(&args, &background).await,
            Command::Check(args) => check::run(&args, &mut results).await,
            // A watch writes to standard output itself, because it should end when its reader leaves.
            Command::Status(args) if args.watch => status::run(&args, &mut std::io::stdout()).await,
            Command::Status(args) => status::run(&args, &mut results).await,
            Command::Tail(args) => tail::run(&args, &mut std::io::stdout()).await,
            Command::Flush(args) => match flush::run(&args, &mut results).await?.pending {
                0 => Ok(()),
                pending => {
                    let batches = counted(pending, "batch is", "batches are");
                    Err(Failure::failed(format!("{batches} not delivered yet")))
                }
            },
            Command::Destinations(command) => destinations::run(&command, &mut results).await,
            Command::Policy(args) => policy::run(&args, &mut results),
            Command::Spool(command) => spool::run(&command, &mut results).await,
            Command::Wait(args) => wait::run(&args, &mut results).await,
            Command::Find(args) => find::run(&args, &mut results).await,
            Command::Receipt(args) => receipt::run(&args, &mut results).await,
            Command::Import(command) => import::run(&command, &background, &mut results).await,
            #[cfg(feature = "kafka")]
            Command::Kafka(command) => kafka::run(&command, &mut results).await,
            #[cfg(feature = "lambda")]
            Command::Lambda => lambda::run().await,
            Command::Batch(command) => batch::run(&command, &background, &mut results).await,
            Command::Verify(args) => verify::run(&args, &mut results).await,
            Command::Completions(args) => Ok(completions::run(&args, &mut results)?),
            Command::Man(args) => man::run(&args, &mut results),
        }
    });
    // Blocked threads can be abandoned: a restart recovers whatever they were doing.
    background.end();
    match starts_programs {
        // Programs are killed when the tasks are dropped that wait for their answers.
        true => runtime.shutdown_timeout(PROGRAMS_END),
        false => runtime.shutdown_background(),
    }
    done
}
