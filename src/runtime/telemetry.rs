//! The log on standard error: text for a person on a terminal, JSON lines otherwise. Logging never waits and
//! never fails: [`log_queue`](super::log_queue) has the bounds.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, IsTerminal};
use std::panic::PanicHookInfo;
use std::sync::OnceLock;
use std::time::Duration;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

use super::colour;
use super::log_queue::Dropped;
use super::log_writer::LogWriter;
use crate::tasks::is_panic_expected;
use crate::words::{outside_text, rfc3339};

/// The prefixes of crates whose finer levels log headers, bodies or credentials from the wire. They stay at
/// `warn`, whatever level is configured.
const WIRE_CRATES: [&str; 4] = ["aws_", "h2", "hyper", "rustls"];

/// How much Forebay logs about itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum LogLevel {
    /// Errors only.
    Error,
    /// Errors and warnings.
    Warn,
    /// Plus normal events.
    #[default]
    Info,
    /// Plus details of how they happen.
    Debug,
    /// Everything.
    Trace,
}

impl From<LogLevel> for LevelFilter {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Error => Self::ERROR,
            LogLevel::Warn => Self::WARN,
            LogLevel::Info => Self::INFO,
            LogLevel::Debug => Self::DEBUG,
            LogLevel::Trace => Self::TRACE,
        }
    }
}

/// How long the end of the process waits for lines that are not read.
const FLUSH_MAX: Duration = Duration::from_secs(1);

/// The log of this process.
static LOG: OnceLock<LogWriter> = OnceLock::new();

/// A started log. When dropped at the end of the process, it writes the waiting lines, for at most a second.
#[derive(Debug)]
pub struct Log {
    writer: LogWriter,
}

impl Log {
    /// Writes text for a person, unchanged, between the log lines.
    pub fn say(&self, text: &str) {
        self.writer.add(format!("{text}\n").as_bytes());
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.writer.flush(FLUSH_MAX);
    }
}

/// Starts logging, once in a process. Panics are logged too.
/// Errors: logging was started already, or no thread or handle is left.
pub fn start(level: LogLevel) -> Result<Log, Box<dyn std::error::Error + Send + Sync>> {
    let writer = LogWriter::to_stderr(report_dropped)?;
    // The subscriber would report its own errors with `eprintln!`, which panics if standard error is broken.
    let builder = tracing_subscriber::fmt()
        .with_writer(ToLog(writer.clone()))
        .log_internal_errors(false)
        .with_env_filter(filter(level));
    if io::stderr().is_terminal() {
        builder.with_target(false).with_ansi(colour::wanted(&io::stderr())).try_init()?;
    } else {
        builder.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init()?;
    }
    // The default hook writes to standard error: it could block on a reader, or panic in turn.
    std::panic::set_hook(Box::new(log_panic));
    LOG.get_or_init(|| writer.clone());
    Ok(Log { writer })
}

/// Lines of this process's log that were dropped because the queue was full or a write failed.
pub fn lines_dropped() -> u64 {
    LOG.get().map_or(0, LogWriter::dropped)
}

/// Waits until the lines so far are written, for at most a second.
pub fn flush() {
    if let Some(log) = LOG.get() {
        log.flush(FLUSH_MAX);
    }
}

fn report_dropped(dropped: Dropped) {
    let since = rfc3339(dropped.since);
    tracing::error!(
        lines = dropped.lines,
        since,
        "log lines were dropped, because standard error is broken or not read fast enough"
    );
}

fn log_panic(panic: &PanicHookInfo<'_>) {
    if is_panic_expected() {
        return;
    }
    let location = panic.location().map(ToString::to_string).unwrap_or_default();
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or_default();
    // It may quote outside text.
    let panic = outside_text(panic.payload_as_str().unwrap_or_default());
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        tracing::error!(location, thread, %panic, %backtrace, "a task panicked; this is a bug in Forebay");
    } else {
        tracing::error!(location, thread, %panic, "a task panicked; this is a bug in Forebay");
    }
}

/// Hands the subscriber's lines to the log.
struct ToLog(LogWriter);

impl<'a> MakeWriter<'a> for ToLog {
    type Writer = OneLine<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        OneLine(&self.0)
    }
}

/// The subscriber writes each line in one call.
struct OneLine<'a>(&'a LogWriter);

impl io::Write for OneLine<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.add(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn filter(level: LogLevel) -> EnvFilter {
    let capped = LevelFilter::from(level).min(LevelFilter::WARN);
    let directives = WIRE_CRATES.iter().filter_map(|name| format!("{name}={capped}").parse().ok());
    let base = EnvFilter::default().add_directive(LevelFilter::from(level).into());
    let quiet = directives.fold(base, EnvFilter::add_directive);
    // It repeats the errors that each invocation has logged, file by file.
    let quiet = match "lambda_runtime::layers::panic=off".parse() {
        Ok(directive) => quiet.add_directive(directive),
        Err(_) => quiet,
    };
    // It logs each refused request as an error, so that a client without keys would fill the log. The S3 server
    // logs refused requests once a minute.
    let refusals = if level < LogLevel::Debug { LevelFilter::OFF } else { capped };
    let quiet = match format!("s3s={refusals}").parse() {
        Ok(directive) => quiet.add_directive(directive),
        Err(_) => quiet,
    };
    // Without an instance metadata service the SDK logs a dump of the answer; Forebay discovers regions
    // itself.
    match format!("aws_config::imds={}", LevelFilter::from(level).min(LevelFilter::ERROR)).parse() {
        Ok(directive) => quiet.add_directive(directive),
        Err(_) => quiet,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wire_crates_stay_silent_at_every_level() {
        let check = |level, expected: &str| {
            let (log, subscriber) = (Buffer::default(), |log: Buffer| {
                tracing_subscriber::fmt()
                    .with_writer(move || log.clone())
                    .with_env_filter(filter(level))
                    .finish()
            });
            tracing::subscriber::with_default(subscriber(log.clone()), || {
                tracing::info!(target: "aws_smithy_runtime::client::http", "wire-1");
                tracing::debug!(target: "hyper_util::client", "wire-2");
                tracing::trace!(target: "rustls::conn", "wire-3");
                tracing::trace!(target: "h2::codec", "wire-4");
                tracing::debug!(target: "s3s::service", "wire-5");
                tracing::error!(target: "s3s::ops", "said-refusal");
                tracing::warn!(target: "aws_config::profile", "said-warn");
                tracing::info!(target: "forebay::spool", "said-info");
                tracing::trace!(target: "forebay::spool", "said-trace");
            });
            let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
            assert!(!text.contains("wire-"), "{level:?}: {text}");
            let said = ["said-refusal", "said-warn", "said-info", "said-trace"]
                .into_iter()
                .filter(|word| text.contains(word));
            assert_eq!(said.collect::<Vec<_>>().join(" "), expected, "{level:?}");
        };
        check(LogLevel::Error, "");
        check(LogLevel::Warn, "said-warn");
        check(LogLevel::Info, "said-warn said-info");
        check(LogLevel::Trace, "said-refusal said-warn said-info said-trace");
    }

    #[derive(Clone, Default)]
    struct Buffer(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

    impl io::Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
}
