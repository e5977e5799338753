//! `forebay wait`: returns when every node that wrote to a source's received-day has closed it.

use std::io::Write;
use std::time::Duration;

use http::Method;
use serde::Serialize;
use tokio::time::Instant;

use super::args::WaitArgs;
use super::failure::Failure;
use super::meter::Meter;
use super::print_json::print_json;
use super::verify::{SESSION, config_file, reader};
use crate::admin::{Days, UnclosedDay};
use crate::admin_client::{AdminClient, AdminToken};
use crate::archive::closed_day::{Closed, DayStanding, SpoolDays, judge};
use crate::batch::AFTER_DAY;
use crate::delivery::days::closing::SETTLED;
use crate::node::bucket_reader::BucketReader;
use crate::object::BucketString;
use crate::runtime::SystemClock;
use crate::time::Clock;
use crate::words::{about_seconds, counted, date, if_any};

/// The time limit for a collector's answer.
const ADMIN_PATIENCE: Duration = Duration::from_secs(10);

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
    let reader = reader(&args.reach, SESSION)?;
    let bucket = bucket(args, &reader)?;
    let archive = reader.open(&bucket, Some(&args.source)).await;
    let token = AdminToken::of_command(args.token_file.as_deref())?;
    let nodes = args.admin.iter().map(|url| AdminClient::new(url.clone(), token.clone()));
    let nodes: Vec<AdminClient> = nodes.collect();
    let (every, until) = (args.every.get(), Instant::now() + args.timeout.get());
    let mut meter = Meter::new("waiting");
    loop {
        // Query the collectors first: whatever they deliver and close in the meantime is then in the listing.
        let at_nodes = at_nodes(&nodes, args).await?;
        let spools = archive.spool_days(&args.source, args.day).await?;
        let standing = judge(&spools);
        let broken = matches!(standing, DayStanding::Broken(_));
        let waiting_for = if broken { None } else { at_nodes }.or_else(|| in_bucket(args, standing, &spools));
        let left = until.saturating_duration_since(Instant::now());
        match waiting_for {
            Some(why) if !broken && !left.is_zero() => {
                meter.show(&why);
                tokio::time::sleep(every.min(left)).await;
            }
            why => {
                drop(meter);
                print(args, &archive.bucket().to_string(), &spools, why.clone(), out)?;
                let Some(why) = why else { return Ok(()) };
                let why = if broken { why } else { format!("timed out: {why}") };
                return Err(Failure::failed(format!("{} of {}: {why}", date(args.day), args.source)));
            }
        }
    }
}

/// The given bucket, or that of the source in the configuration.
fn bucket(args: &WaitArgs, reader: &BucketReader) -> Result<BucketString, Failure> {
    let known = args.bucket.clone().or_else(|| reader.bucket_of(&args.source));
    known.ok_or_else(|| match config_file(&args.reach) {
        Some(file) => {
            Failure::usage(format!("{} has no source {}: give the bucket", file.display(), args.source))
        }
        None => Failure::usage("give the bucket, or with --config a configuration that has the source"),
    })
}

/// What to wait for regardless of the bucket: the end of the day, and collectors that have not closed it.
/// Errors: [`Failure`] if a collector refuses to answer.
async fn at_nodes(nodes: &[AdminClient], args: &WaitArgs) -> Result<Option<String>, Failure> {
    let now = SystemClock::new().wall();
    // Nodes may still accept calls of the day until this time.
    let ends = args.day.end().plus(AFTER_DAY).plus(SETTLED);
    if now < ends {
        let left = about_seconds(ends.since(now).as_secs());
        return Ok(Some(format!("the day can be closed in {left}")));
    }
    for node in nodes {
        if let Some(why) = at_node(node, args).await? {
            return Ok(Some(format!("{}: {why}", node.url())));
        }
    }
    Ok(None)
}

/// What is missing in the bucket; `None` if every spool that has objects there has closed the day.
fn in_bucket(args: &WaitArgs, standing: DayStanding, spools: &SpoolDays) -> Option<String> {
    match standing {
        DayStanding::Closed => None,
        // Every collector was queried, and none has anything of the day.
        DayStanding::Empty if !args.admin.is_empty() => None,
        DayStanding::Empty => Some("the bucket has no objects of the day".to_owned()),
        DayStanding::Open => {
            let open = spools.iter().filter(|(_, spool_day)| spool_day.closed.is_none());
            let open: Vec<String> =
                open.map(|(spool, spool_day)| format!("{} (spool {spool})", spool_day.node)).collect();
            Some(format!("not closed by {}", open.join(", ")))
        }
        DayStanding::Broken(why) => Some(why),
    }
}

/// What a running collector still has of the day.
/// Errors: [`Failure`] if the collector refuses to answer: another query would be refused, too.
async fn at_node(node: &AdminClient, args: &WaitArgs) -> Result<Option<String>, Failure> {
    let path = format!("/api/days?source={}", args.source);
    let days: Days = match node.ask(Method::GET, &path, ADMIN_PATIENCE).await {
        Ok(days) => days,
        Err(error) if error.wants_other_token() => return Err(error.into()),
        // The collector may be restarting: its calls are on its disk, and it is queried again.
        Err(error) => return Ok(Some(error.to_string())),
    };
    let of_day = |day: &&UnclosedDay| day.day == args.day.start().0;
    let unclosed = days.unclosed.iter().find(of_day);
    Ok(unclosed.map(|day| match (&*day.stage, &day.why) {
        ("unsure", _) => {
            "this node never closes the day, because it is not certain which of its calls are in the bucket"
                .to_owned()
        }
        (stage, None) => format!("this node has not closed the day yet (stage: {stage})"),
        (stage, Some(why)) => format!("this node has not closed the day yet (stage: {stage}): {why}"),
    }))
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
