//! `forebay batch`: a function over every object of a manifest.

pub mod args;
mod folder;
mod run;
#[cfg(feature = "dev")]
pub mod serve;
mod watch;

use std::io::Write;

use self::args::{BatchCommand, ManifestArgs, OfJobArgs, ReportArgs, RowsOfReport, StateArgs};
use self::folder::{below, endpoint, folder};
use crate::cli::failure::Failure;
use crate::cli::print_json::print_either;
use crate::jobs::job::spec::{ManifestPlace, ReportScope};
use crate::jobs::job::wish::Wish;
use crate::node::jobs::asking::{Asked, ask};
use crate::node::jobs::listing::{Listing, ListingError, PUT_BYTES_MAX, put_manifest};
use crate::node::jobs::new_job::manifest_place;
use crate::node::jobs::report_rows::print_rows;
use crate::node::jobs::shown::{JobsShown, ReportShown, goes_on, look_closely};
use crate::node::jobs::tools::store_at;
use crate::runtime::{Background, SystemClock, SystemRandom};
use crate::time::Clock as _;
use crate::words::{counted, outside_key};

fn report(args: &ReportArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let (job, folder) = (args.of.job, folder(&args.of.at));
    let seen = folder.look(job)?;
    if let Some(rows) = args.rows {
        let scope = match rows {
            RowsOfReport::Failed => ReportScope::FailedTasksOnly,
            RowsOfReport::All => ReportScope::AllTasks,
        };
        return match print_rows(&folder, &seen, scope, out)? {
            0 => Ok(()),
            left_out => {
                Err(Failure::failed(format!("{left_out} tasks are left out: their rows are damaged")))
            }
        };
    }
    let report = ReportShown::of(&folder, &seen)?;
    print_either(out, args.of.at.json, &report, || report.text())?;
    match report.why_none {
        None => Ok(()),
        Some(_) => Err(Failure::failed(format!("job {job} has no report"))),
    }
}

/// Runs one command on jobs.
/// Errors: [`Failure`], also if a job or a task failed: see the exit codes.
pub async fn run(
    command: &BatchCommand,
    background: &Background,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    match command {
        BatchCommand::Run(args) => run::run(args, background, out).await,
        BatchCommand::List(at) => list(at, out),
        BatchCommand::Describe(args) => {
            let shown = look_closely(&folder(&args.at), args.job, &SystemClock::new())?;
            Ok(print_either(out, args.at.json, &shown, || shown.text())?)
        }
        BatchCommand::Watch(args) => watch::run(args, out).await,
        BatchCommand::Cancel(args) => wish(&args.of, Wish::Cancel(args.reason.clone()), out).await,
        BatchCommand::Confirm(args) => wish(&args.of, Wish::Confirm(args.reason.clone()), out).await,
        BatchCommand::Pause(args) => wish(args, Wish::Pause, out).await,
        BatchCommand::Resume(args) => wish(args, Wish::Resume, out).await,
        BatchCommand::Priority(args) => wish(&args.of, Wish::Priority(args.priority), out).await,
        BatchCommand::Report(args) => report(args, out),
        BatchCommand::Manifest(args) => manifest(args, out).await,
        #[cfg(feature = "dev")]
        BatchCommand::Serve(args) => serve::run(args).await,
    }
}

fn list(at: &StateArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let shown = JobsShown::of(&folder(at).list()?, SystemClock::new().wall());
    print_either(out, at.json, &shown, || shown.text())?;
    match shown.damaged.len() {
        0 => Ok(()),
        damaged => Err(Failure::failed(format!("{} cannot be read", counted(damaged as u64, "job", "jobs")))),
    }
}

async fn wish(args: &OfJobArgs, wish: Wish, out: &mut dyn Write) -> Result<(), Failure> {
    #[derive(serde::Serialize)]
    struct WishShown {
        job: String,
        waits: bool,
        status: Option<String>,
    }
    let folder = below(args.at.state.as_ref())?;
    let asked = ask(&folder, args.job, &wish, &SystemClock::new(), &SystemRandom).await?;
    let (job, status) =
        (args.job.to_string(), if let Asked::Done(status) = &asked { Some(status.clone()) } else { None });
    let shown = WishShown { job: job.clone(), waits: status.is_none(), status };
    let goes_on = goes_on(&folder.look(args.job)?.spec, args.job, folder.option());
    let text = match asked {
        Asked::Done(status) => format!("job {job} is {status}\n"),
        Asked::Waits => format!("no process holds job {job}: the request waits, and {goes_on}\n"),
        Asked::Unanswered(Some(id)) => {
            format!(
                "process {id} holds job {job} and has not answered yet: the request waits; if it hangs, end it, and {goes_on}\n"
            )
        }
        Asked::Unanswered(None) => {
            format!("the process that holds job {job} has not answered yet: the request waits\n")
        }
    };
    Ok(print_either(out, args.at.json, &shown, || text)?)
}

async fn manifest(args: &ManifestArgs, out: &mut dyn Write) -> Result<(), Failure> {
    #[derive(serde::Serialize)]
    struct ManifestShown {
        manifest: String,
        objects: u64,
        etag: Option<String>,
    }
    let to = args.to.as_deref().map(manifest_place).transpose().map_err(Failure::usage)?;
    let listing = Listing {
        bucket: args.bucket.clone(),
        prefix: args.prefix.clone(),
        matches: args.matches.clone(),
        newer_than: args.newer_than,
    };
    let store = store_at(endpoint(args.endpoint_url.as_ref())?.as_deref()).await;
    let (store, random) = (&*store, &SystemRandom);
    let mut text = String::new();
    let Some(to) = to else {
        let mut print = |lines: &str| Ok(std::io::stdout().write_all(lines.as_bytes())?);
        return match listing.write(store, random, &mut print).await {
            // The reader, such as `head`, has seen enough.
            Err(ListingError::Write(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            listed => listed.map(drop).map_err(failure_of),
        };
    };
    let ManifestPlace::Object { bucket, key, .. } = to else {
        return Err(Failure::usage("--to: expected s3://bucket/key; without --to the manifest is printed"));
    };
    let mut keep = |lines: &str| {
        text.push_str(lines);
        if text.len() > PUT_BYTES_MAX { Err(ListingError::TooLarge) } else { Ok(()) }
    };
    let objects = listing.write(store, random, &mut keep).await.map_err(failure_of)?;
    let etag = put_manifest(store, random, (&bucket, &key), text).await.map_err(failure_of)?;
    let shown = ManifestShown { manifest: format!("s3://{bucket}/{}", outside_key(&key)), objects, etag };
    let for_people = || {
        let etag = shown.etag.as_deref().unwrap_or("not named by the store");
        format!("{}: {}, ETag {etag}\n", shown.manifest, counted(objects, "object", "objects"))
    };
    Ok(print_either(out, args.json, &shown, for_people)?)
}

fn failure_of(error: ListingError) -> Failure {
    let code = run::exit_code(error.outcome());
    Failure::with_code(code, Failure::from(error).to_string())
}
