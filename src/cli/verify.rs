//! `forebay verify`: proves from the bucket alone that no object is missing, damaged or duplicated.

pub mod report;

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::args::{ReachArgs, VerifyArgs};
use super::failure::Failure;
use crate::admin_client::AdminToken;
use crate::archive::summary::Summary;
use crate::archive::{DayReport, Options, Progress, Span, Verify};
use crate::config::{Environment, Loader};
use crate::node::bucket_reader::BucketReader;
use crate::node::chosen_target::dev_admin;
use crate::runtime::meter::Meter;
use crate::runtime::paint::{BAD, FAINT, GOOD, Mark, WARNING, painted};
use crate::runtime::{SystemClock, colour};
use crate::time::Clock;
use crate::words::count::percent;
use crate::words::{about_bytes, counted, grouped, if_any};

/// The configuration file that is read if none is given, unless an endpoint is given.
const DEFAULT_CONFIG: &str = "forebay.toml";
/// The interval of the progress display.
const CHECK_EVERY: Duration = Duration::from_millis(250);
/// The reader's name in the role's session.
pub(super) const SESSION: &str = "verify";

/// Verifies, and prints the result. Errors: [`Failure`] if there is a finding, or the bucket cannot be read.
pub async fn run(args: &VerifyArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let reader = reader(&args.reach, SESSION)?.or_dev(dev_admin()?, AdminToken::of_command(None)?).await;
    let archive = Arc::new(reader.open(&args.bucket, args.source.as_ref()).await);
    let options = Options {
        source: args.source.clone(),
        span: Span { from: args.day.or(args.from), to: args.day.or(args.to) },
        deep: args.deep,
        allow_foreign: args.allow_foreign,
        readers: Options::readers_for(usize::from(args.reach.concurrency)),
        now: SystemClock::new().wall(),
    };
    let mut meter = Meter::new("verified");
    let bucket = archive.bucket().to_string();
    let mut verify = Verify::start(Arc::clone(&archive), options).await?;
    let mut printer = Printer { json: args.json, days: 0 };
    let mut summary = Summary::new(verify.around().clone());
    printer.begin(out, &bucket, args.deep)?;
    while let Some(day) = next(&mut verify, &mut meter, archive.progress(), &summary).await? {
        if !day.findings.is_empty() {
            meter.clear();
        }
        printer.day(out, &day)?;
        summary.day(&day);
    }
    drop(meter);
    printer.end(out, &summary, archive.progress())?;
    match summary.totals.findings {
        // A nightly run must fail if the objects have gone, or if a name was mistyped.
        0 if summary.totals.days == 0 => {
            Err(Failure::failed(format!("{bucket} has no objects of {}", part(args))))
        }
        0 => Ok(()),
        count => Err(Failure::failed(counted(count, "finding", "findings") + " in " + &bucket)),
    }
}

/// The searched sources and days, in words.
fn part(args: &VerifyArgs) -> String {
    let source = args.source.as_ref().map_or_else(|| "Forebay".to_owned(), |id| format!("source {id}"));
    match args.day.or(args.from).or(args.to) {
        Some(_) => format!("{source} on these days"),
        None => source,
    }
}

/// Waits for the next day, and shows the progress.
async fn next(
    verify: &mut Verify,
    meter: &mut Meter,
    progress: &Progress,
    summary: &Summary,
) -> Result<Option<DayReport>, Failure> {
    let next = verify.next();
    tokio::pin!(next);
    loop {
        tokio::select! {
            day = &mut next => return Ok(day?),
            () = tokio::time::sleep(CHECK_EVERY) => meter.show(&shown(progress, summary)),
        }
    }
}

fn shown(progress: &Progress, summary: &Summary) -> String {
    let now = |of: &AtomicU64| of.load(Ordering::Relaxed);
    let (listed, looked) = (now(&progress.listed), now(&progress.looked_at));
    let read = if_any(now(&progress.bytes_read), |bytes| format!(", {} read", about_bytes(bytes)));
    let found =
        if_any(summary.totals.findings, |found| format!(", {}", counted(found, "finding", "findings")));
    let percent = percent(looked, listed);
    let (days, listed) =
        (counted(summary.totals.days, "day", "days"), counted(listed, "listed object", "listed objects"));
    format!("{days}, {} of {listed} ({percent} %){read}{found}", grouped(looked))
}

/// How buckets are read, as the arguments and their configuration say. `session` is the reader's name in the
/// role's session. Errors: [`Failure`] if the configuration is invalid.
pub(super) fn reader(args: &ReachArgs, session: &'static str) -> Result<BucketReader, Failure> {
    let loader = |file| Loader::new(file, Environment::of_process()).with_dev_files();
    let load = |file| loader(file).without_secrets().without_converters().load();
    let loaded = config_file(args).map(load).transpose()?;
    let reader = BucketReader {
        config: loaded.map(|loaded| Arc::new(loaded.config)),
        endpoint_url: args.endpoint_url.clone(),
        region: args.region.clone(),
        path_style: args.path_style,
        dev_s3: None,
        requests: args.concurrency,
        session,
    };
    reader.or_endpoint_of_environment().map_err(Failure::usage)
}

/// The configuration file for the connection to a bucket.
pub(super) fn config_file(args: &ReachArgs) -> Option<&Path> {
    match &args.config {
        Some(file) => Some(file.as_path()),
        None => Some(Path::new(DEFAULT_CONFIG)).filter(|file| args.endpoint_url.is_none() && file.exists()),
    }
}

/// Words at the beginnings of lines.
const MARKS: [Mark; 4] = [("NOT SOUND:", BAD), ("sound:", GOOD), ("note:", WARNING), ("source ", FAINT)];

fn print_text(out: &mut dyn Write, text: &str) -> io::Result<()> {
    out.write_all(painted(text, &MARKS, colour::wanted(&io::stdout())).as_bytes())
}

/// Prints days as they are verified, so that memory does not grow with their number.
struct Printer {
    json: bool,
    days: u64,
}

impl Printer {
    fn begin(&self, out: &mut dyn Write, bucket: &str, deep: bool) -> io::Result<()> {
        if self.json {
            write!(out, "{{\"bucket\":{},\"deep\":{deep},\"days\":[", serde_json::to_string(bucket)?)?;
        }
        Ok(())
    }

    fn day(&mut self, out: &mut dyn Write, day: &DayReport) -> io::Result<()> {
        if !self.json {
            return print_text(out, &report::findings(&day.findings, day.findings_left_out));
        }
        out.write_all(if self.days == 0 { b"\n" } else { b",\n" })?;
        self.days += 1;
        Ok(serde_json::to_writer(out, day)?)
    }

    fn end(&self, out: &mut dyn Write, summary: &Summary, progress: &Progress) -> io::Result<()> {
        if !self.json {
            return print_text(out, &report::render(summary, progress.bytes_read.load(Ordering::Relaxed)));
        }
        write!(out, "\n],\"around\":{}", serde_json::to_string(&summary.around)?)?;
        write!(out, ",\"totals\":{}", serde_json::to_string(&summary.totals)?)?;
        writeln!(out, ",\"sound\":{}}}", summary.totals.findings == 0 && summary.totals.days > 0)
    }
}

#[cfg(test)]
mod tests {
    use crate::archive::repeats::{POSITIONS_MAX, SECONDS_MAX};
    use crate::spool::SEEN_MAX;
    use crate::spool::SpoolOptions;

    /// The two rooms do not know each other, so a test compares their constants.
    #[test]
    fn repeats_are_compared_over_the_collectors_window() {
        assert_eq!(POSITIONS_MAX, SEEN_MAX as u64);
        assert_eq!(u64::from(SECONDS_MAX), SpoolOptions::default().dedupe_window.as_secs());
    }
}
