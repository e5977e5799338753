//! `forebay destinations replay`: stored calls are sent to a destination's functions again.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::args::{FROM_FORM, ReplayArgs};
use super::configured::{configured, named};
use super::sent;
use crate::admin_client::AdminToken;
use crate::cli::failure::{Failure, INTERRUPTED};
use crate::cli::print_json::print_either;
use crate::destinations::replay::{ReplayError, ReplayFrom, ReplayOrder, Standing, Watch};
use crate::node::bucket_reader::BucketReader;
use crate::node::chosen_target::dev_admin;
use crate::node::replay;
use crate::runtime::SystemClock;
use crate::runtime::meter::Meter;
use crate::runtime::shutdown::{Shutdown, StageWords};
use crate::time::Clock;
use crate::words::{counted, grouped};

const STAGE_WORDS: StageWords =
    StageWords { orderly: "waiting for the invocations under way", immediate: "stopping at once" };
/// The reader's name in the role's session.
const SESSION: &str = "replay";
/// Requests to a bucket at a time.
const REQUESTS: u16 = 4;
/// How often people see the progress.
const SHOW_EVERY: Duration = Duration::from_millis(500);
/// How often the log has the progress.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// Sends stored calls again, and prints what became of them.
/// Errors: [`Failure`]: see the exit codes of the command.
pub(super) async fn run(args: &ReplayArgs, out: &mut (dyn Write + Send)) -> Result<(), Failure> {
    let shutdown = Shutdown::new();
    let _signals = shutdown.listen_saying(STAGE_WORDS)?;
    tokio::select! {
        done = replay(args, &shutdown.orderly, out) => done,
        () = shutdown.immediate.cancelled() => Err(Failure::with_code(
            INTERRUPTED,
            "stopped at once: what was delivered last is not noted, and the next replay sends it again",
        )),
    }
}

async fn replay(
    args: &ReplayArgs,
    stop: &CancellationToken,
    out: &mut (dyn Write + Send),
) -> Result<(), Failure> {
    check(args)?;
    let (destinations, config) = configured(&args.config)?;
    let settings = named(&args.config, &args.name, destinations)?;
    let reader = BucketReader {
        config: config.map(Arc::new),
        endpoint_url: args.endpoint_url.clone(),
        region: None,
        path_style: args.path_style,
        dev_s3: None,
        requests: REQUESTS,
        session: SESSION,
    };
    let reader = reader.or_endpoint_of_environment().map_err(Failure::usage)?;
    let reader = reader.or_dev(dev_admin()?, AdminToken::of_command(None)?).await;
    let failed = |error| failure(args, error);
    let order = order(args);
    let bucket = args.bucket.clone().or_else(|| reader.bucket_of_dev());
    let (replay, shelves) =
        replay::open(settings, &reader, bucket.as_ref(), order, stop).await.map_err(failed)?;
    if let Some(path) = args.failed.as_deref().filter(|path| path.exists()) {
        return Err(Failure::usage(format!("--failed {}: the file exists already", path.display())));
    }
    let watch = replay.watch();
    let sent = tokio::select! {
        sent = replay.run(&shelves) => sent.map_err(failed)?,
        never = show(&watch) => match never {},
    };
    print_either(out, args.json, &sent::json(&sent, args), || sent::text(&sent, args))?;
    sent::result(&sent, args)
}

/// Refuses options that do not fit each other.
fn check(args: &ReplayArgs) -> Result<(), Failure> {
    let is_time = matches!(args.from, ReplayFrom::Time(_));
    let wrong = |what: &str| Err(Failure::usage(what.to_owned()));
    match (&args.from, args.to) {
        (ReplayFrom::Time(from), Some(to)) if to <= *from => return wrong("--to must be later than --from"),
        (ReplayFrom::Time(_), _) | (_, None) => {}
        (_, Some(_)) => return wrong("--to goes with --from TIME only"),
    }
    if args.class.is_some() && is_time {
        return wrong(
            "--class is the cause of dead letters: it goes with --from DLQ, or a file with dead letters",
        );
    }
    if args.again && args.from != ReplayFrom::Dlq {
        return wrong("--again goes with --from DLQ only");
    }
    Ok(())
}

fn order(args: &ReplayArgs) -> ReplayOrder {
    let default = || PathBuf::from(format!("replay-{}-{}.ndjson", args.name, SystemClock::new().wall().0));
    ReplayOrder {
        from: args.from.clone(),
        to: args.to,
        source: args.source.clone(),
        class: args.class.clone(),
        again: args.again,
        dry_run: args.dry_run,
        failed: args.failed.clone().or_else(|| (args.from != ReplayFrom::Dlq).then(default)),
    }
}

/// The failure for an error, with what a person can do about it.
fn failure(args: &ReplayArgs, error: ReplayError) -> Failure {
    match error {
        ReplayError::File(path, cause) => {
            let hint = if cause.kind() == io::ErrorKind::NotFound { FROM_FORM } else { "it cannot be read" };
            Failure::usage(format!("--from {}: {cause}; {hint}", path.display()))
        }
        ReplayError::NoBucket => Failure::usage(format!(
            "{} names no bucket: add --bucket, and --endpoint-url for a store other than AWS",
            args.config.display()
        )),
        ReplayError::NotTaken { .. } => Failure::usage(error.to_string()),
        ReplayError::Archive(error) => error.into(),
        ReplayError::Died(_) | ReplayError::Io(_) => error.into(),
    }
}

/// Shows the progress.
async fn show(watch: &Watch) -> std::convert::Infallible {
    let mut meter = Meter::new("replayed");
    let clock = SystemClock::new();
    let mut log_at = clock.monotonic() + LOG_EVERY;
    let mut every = tokio::time::interval(SHOW_EVERY);
    loop {
        every.tick().await;
        let text = shown(watch.standing());
        meter.show(&text);
        if clock.monotonic() >= log_at {
            log_at = clock.monotonic() + LOG_EVERY;
            tracing::info!("{text}");
        }
    }
}

fn shown(standing: Standing) -> String {
    let Standing { objects, given, delivered, failed, in_flight, failing } = standing;
    let state = failing.map_or(String::new(), |class| format!("; now: {class}"));
    format!(
        "{} of {} calls delivered, {} failed, {}, {in_flight} in flight{state}",
        grouped(delivered),
        grouped(given),
        grouped(failed),
        counted(objects, "object", "objects")
    )
}
