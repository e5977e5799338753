//! `forebay verify`: proves from the bucket alone that no object is missing, damaged or duplicated.

pub mod report;

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::args::{PartArgs, ReachArgs, VerifyArgs};
use super::failure::Failure;
use super::paint::{BAD, FAINT, GOOD, Mark, WARNING, painted};
use super::spool::meter::Meter;
use crate::archive::{Archive, DayReport, Options, Progress, Span, Verify};
use crate::config::{Config, Environment, Loader};
use crate::node::settings::store_settings;
use crate::object::{BucketString, Destination, Encryption};
use crate::runtime::{SystemClock, SystemRandom, colour};
use crate::sources::SourceId;
use crate::store::s3::{S3Settings, S3Store};
use crate::time::Clock;
use crate::words::count::percent;
use crate::words::{about_bytes, counted, grouped};

use report::Summary;

/// The configuration file that is read if none is given, unless an endpoint is given.
const DEFAULT_CONFIG: &str = "forebay.toml";
/// The interval of the progress display.
const CHECK_EVERY: Duration = Duration::from_millis(250);
/// The most objects that are read concurrently: the facts about each one's lines are kept until its turn.
const READERS_MAX: usize = 16;
/// The reader's name in the role's session.
pub(super) const SESSION: &str = "verify";

/// Verifies, and prints the result.
///
/// # Errors
/// [`Failure`] if there is a finding, or the bucket cannot be read.
pub async fn run(args: &VerifyArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let archive =
        Arc::new(archive(&args.bucket.bucket, &args.bucket.reach, args.part.source.as_ref()).await?);
    let options = Options {
        source: args.part.source.clone(),
        span: span(&args.part),
        deep: args.deep,
        allow_foreign: args.allow_foreign,
        readers: readers(usize::from(args.bucket.reach.concurrency)),
        now: SystemClock::new().wall(),
    };
    let mut meter = Meter::new("verified");
    let bucket = archive.bucket().to_string();
    let mut verify = Verify::start(Arc::clone(&archive), options).await?;
    let mut printer = if args.json { Printer::Json { days: 0 } } else { Printer::Text };
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
    match summary.findings() {
        // A nightly run must fail if the objects have gone, or if a name was mistyped.
        0 if summary.days() == 0 => {
            Err(Failure::failed(format!("{bucket} has no objects of {}", part(&args.part))))
        }
        0 => Ok(()),
        1 => Err(Failure::failed(format!("1 finding in {bucket}"))),
        count => Err(Failure::failed(format!("{} findings in {bucket}", grouped(count)))),
    }
}

/// The searched part, in words.
fn part(part: &PartArgs) -> String {
    let source = part.source.as_ref().map_or_else(|| "Forebay".to_owned(), |id| format!("source {id}"));
    match part.day.or(part.from).or(part.to) {
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
    let (listed, looked) = (progress.listed(), progress.looked_at());
    let read = match progress.bytes_read() {
        0 => String::new(),
        bytes => format!(", {} read", about_bytes(bytes)),
    };
    let found = match summary.findings() {
        0 => String::new(),
        found => format!(", {}", counted(found, "finding", "findings")),
    };
    let percent = percent(looked, listed);
    format!(
        "{}, {} of {} ({percent} %){read}{found}",
        counted(summary.days(), "day", "days"),
        grouped(looked),
        counted(listed, "listed object", "listed objects")
    )
}

fn span(part: &PartArgs) -> Span {
    Span { from: part.day.or(part.from), to: part.day.or(part.to) }
}

/// Reading is limited by the processor. Two objects per core keep it busy while one of them waits for its
/// bytes.
fn readers(requests: usize) -> usize {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    requests.min(processors * 2).min(READERS_MAX)
}

/// The configuration for the connection to a bucket, if there is one.
///
/// # Errors
/// [`Failure`] if it is invalid.
pub(super) fn configuration(args: &ReachArgs) -> Result<Option<Config>, Failure> {
    let load = |file| Loader::new(file, Environment::of_process()).load();
    let loaded = config_file(args).map(load).transpose();
    Ok(loaded.map_err(|error| Failure::usage(error.to_string()))?.map(|loaded| loaded.config))
}

/// The bucket, with the connection of the configuration, as overridden by the arguments.
///
/// # Errors
/// [`Failure`] if the configuration is invalid.
async fn archive(
    bucket: &BucketString,
    args: &ReachArgs,
    source: Option<&SourceId>,
) -> Result<Archive, Failure> {
    Ok(open(args, bucket, source, configuration(args)?.as_ref(), SESSION).await)
}

/// The same for a loaded configuration. `session` is the reader's name in the role's session.
pub(super) async fn open(
    args: &ReachArgs,
    bucket: &BucketString,
    source: Option<&SourceId>,
    config: Option<&Config>,
    session: &str,
) -> Archive {
    let store = S3Store::new(access_settings(args, config, session)).await;
    let destination = destination_of(args, bucket, source, config);
    Archive::new(store, destination, usize::from(args.concurrency), Arc::new(SystemRandom))
}

/// How the store is reached.
pub(super) fn access_settings(args: &ReachArgs, config: Option<&Config>, session: &str) -> S3Settings {
    let mut settings = match config {
        Some(config) => store_settings(config, session),
        None => S3Settings { session_name: format!("forebay-{session}"), ..S3Settings::default() },
    };
    if let Some(endpoint) = &args.endpoint_url {
        settings.endpoint_url = Some(endpoint.as_str().to_owned());
    }
    if let Some(region) = &args.region {
        settings.region = Some(region.clone());
    }
    settings.path_style |= args.path_style;
    settings
}

/// The bucket of a source, and how it is reached.
pub(super) fn destination_of(
    args: &ReachArgs,
    bucket: &BucketString,
    source: Option<&SourceId>,
    config: Option<&Config>,
) -> Destination {
    let mut destination = match config {
        Some(config) => configured(bucket, source, config),
        None => Destination::new(bucket.clone(), Encryption::None),
    };
    if let Some(region) = &args.region {
        destination.region = Some(region.clone());
    }
    destination
}

/// The bucket string of a source, if the configuration has it.
pub(super) fn bucket_of(source: &SourceId, config: &Config) -> Option<BucketString> {
    config.sources.iter().find(|known| known.id == *source).map(|known| known.destination.bucket.clone())
}

/// The configuration file for the connection to a bucket.
pub(super) fn config_file(args: &ReachArgs) -> Option<&Path> {
    match &args.config {
        Some(file) => Some(file.as_path()),
        None => Some(Path::new(DEFAULT_CONFIG)).filter(|file| args.endpoint_url.is_none() && file.exists()),
    }
}

/// How a bucket is reached: as configured for the given source, or else for the first one that writes there.
fn configured(bucket: &BucketString, source: Option<&SourceId>, config: &Config) -> Destination {
    let of = |wanted: &dyn Fn(&Destination) -> bool| {
        let mut sources = config.sources.iter();
        let asked = sources.clone().find(|known| source == Some(&known.id) && wanted(&known.destination));
        asked
            .or_else(|| sources.find(|known| wanted(&known.destination)))
            .map(|known| known.destination.clone())
    };
    let known = of(&|known| known.bucket == *bucket)
        .or_else(|| of(&|known| known.bucket.bucket() == bucket.bucket()));
    match known {
        Some(known) => Destination { bucket: bucket.clone(), ..known },
        None => Destination::new(bucket.clone(), Encryption::None),
    }
}

/// Words at the beginnings of lines.
const MARKS: [Mark; 4] = [("NOT SOUND:", BAD), ("sound:", GOOD), ("note:", WARNING), ("source ", FAINT)];

fn print_text(out: &mut dyn Write, text: &str) -> io::Result<()> {
    out.write_all(painted(text, &MARKS, colour::wanted(&io::stdout())).as_bytes())
}

/// Prints days as they are verified, so that memory does not grow with their number.
enum Printer {
    Text,
    Json { days: u64 },
}

impl Printer {
    fn begin(&self, out: &mut dyn Write, bucket: &str, deep: bool) -> io::Result<()> {
        match self {
            Self::Text => Ok(()),
            Self::Json { .. } => {
                write!(out, "{{\"bucket\":{},\"deep\":{deep},\"days\":[", serde_json::to_string(bucket)?)
            }
        }
    }

    fn day(&mut self, out: &mut dyn Write, day: &DayReport) -> io::Result<()> {
        match self {
            Self::Text => print_text(out, &report::findings(&day.findings, day.findings_left_out)),
            Self::Json { days } => {
                out.write_all(if *days == 0 { b"\n" } else { b",\n" })?;
                *days += 1;
                serde_json::to_writer(out, day).map_err(io::Error::from)
            }
        }
    }

    fn end(&self, out: &mut dyn Write, summary: &Summary, progress: &Progress) -> io::Result<()> {
        match self {
            Self::Text => print_text(out, &report::render(summary, progress.bytes_read())),
            Self::Json { .. } => {
                write!(out, "\n],\"around\":{}", serde_json::to_string(&summary.around)?)?;
                write!(out, ",\"totals\":{}", serde_json::to_string(&summary.totals)?)?;
                writeln!(out, ",\"sound\":{}}}", summary.findings() == 0 && summary.days() > 0)
            }
        }
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
