//! `forebay wait`: returns when every node that wrote to a source's received-day has closed it.

use std::io::Write;

use serde::Serialize;
use tokio::time::Instant;

use super::args::WaitArgs;
use super::failure::Failure;
use super::print_json::print_json;
use super::verify::{SESSION, config_file, reader};
use crate::admin_client::{AdminClient, AdminToken};
use crate::archive::closed_day::{Closed, SpoolDays};
use crate::node::bucket_reader::BucketReader;
use crate::node::chosen_target::dev_admin;
use crate::node::day_wait::{DayWait, DayWaitError, WaitStanding};
use crate::object::BucketString;
use crate::runtime::SystemClock;
use crate::runtime::meter::Meter;
use crate::time::Clock;
use crate::words::{counted, date, if_any};

/// The result, as printed.
#[derive(Serialize)]
struct WaitReport<'a> {
    bucket: String,
    source: &'a str,
    day: i64,
    date: String,
    closed: bool,
    waiting_for: Option<String>,
    spools: &'a SpoolDays,
}

/// Waits, and prints the state of the day.
/// Errors: [`Failure`] if the timeout is reached, the day can never be closed, or the bucket cannot be read.
pub async fn run(args: &WaitArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let token = AdminToken::of_command(args.token_file.as_deref())?;
    let reader = reader(&args.reach, SESSION)?.or_dev(dev_admin()?, token.clone()).await;
    let bucket = bucket(args, &reader)?;
    let archive = reader.open(&bucket, Some(&args.source)).await;
    let nodes = args.admin.iter().map(|url| AdminClient::new(url.clone(), token.clone()));
    let nodes: Vec<AdminClient> = nodes.collect();
    let (every, until) = (args.every.get(), Instant::now() + args.timeout.get());
    let mut meter = Meter::new("waiting");
    let wait = DayWait { archive: &archive, nodes: &nodes, source: &args.source, day: args.day };
    loop {
        let (standing, spools) = wait.look(SystemClock::new().wall()).await.map_err(failure)?;
        let left = until.saturating_duration_since(Instant::now());
        match standing {
            WaitStanding::WaitsFor(why) if !left.is_zero() => {
                meter.show(&why);
                tokio::time::sleep(every.min(left)).await;
            }
            standing => {
                drop(meter);
                let (waiting_for, ends) = match standing {
                    WaitStanding::Closed => (None, None),
                    WaitStanding::Broken(why) => (Some(why.clone()), Some(why)),
                    WaitStanding::WaitsFor(why) => (Some(why.clone()), Some(format!("timed out: {why}"))),
                };
                print(args, &archive.bucket().to_string(), &spools, waiting_for, out)?;
                let Some(why) = ends else { return Ok(()) };
                return Err(Failure::failed(format!("{} of {}: {why}", date(args.day), args.source)));
            }
        }
    }
}

fn failure(error: DayWaitError) -> Failure {
    match error {
        DayWaitError::Node(error) => error.into(),
        DayWaitError::Archive(error) => error.into(),
    }
}

/// The given bucket, or that of the source in the configuration.
fn bucket(args: &WaitArgs, reader: &BucketReader) -> Result<BucketString, Failure> {
    let known =
        args.bucket.clone().or_else(|| reader.bucket_of(&args.source)).or_else(|| reader.bucket_of_dev());
    known.ok_or_else(|| match config_file(&args.reach) {
        Some(file) => {
            Failure::usage(format!("{} has no source {}: give the bucket", file.display(), args.source))
        }
        None => Failure::usage("give the bucket, or with --config a configuration that has the source"),
    })
}

fn print(
    args: &WaitArgs,
    bucket: &str,
    spools: &SpoolDays,
    waiting_for: Option<String>,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let closed = waiting_for.is_none();
    if args.json {
        let report = WaitReport {
            bucket: bucket.to_owned(),
            source: args.source.as_str(),
            day: args.day.start().0,
            date: date(args.day),
            closed,
            waiting_for,
            spools,
        };
        print_json(out, &report)?;
    } else if closed {
        let sum = |of: fn(&Closed) -> u64| -> u64 {
            spools.values().filter_map(|spool_day| spool_day.closed.as_ref()).map(of).sum()
        };
        if spools.is_empty() {
            writeln!(out, "{} of {}: nothing was received", date(args.day), args.source)?;
        } else {
            writeln!(
                out,
                "{} of {} is closed: {} in {}{} by {}",
                date(args.day),
                args.source,
                counted(sum(|closed| closed.calls), "call", "calls"),
                counted(sum(|closed| closed.objects), "object", "objects"),
                if_any(sum(|closed| closed.others.values().sum()), |others| format!(
                    ", and {} of collections",
                    counted(others, "object", "objects")
                )),
                counted(spools.len() as u64, "spool", "spools"),
            )?;
        }
    }
    Ok(())
}
