//! The log: on standard error, for a person on a terminal and as JSON lines otherwise. Logging never waits and never
//! fails: [`log_queue`](super::log_queue) has the bounds.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fmt::{self, Write};
use std::io::{self, IsTerminal};
use std::panic::PanicHookInfo;
use std::sync::OnceLock;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

use super::log_queue::Dropped;
use super::log_writer::LogWriter;

/// Bytes of outside text that a log line shows.
pub const OUTSIDE_TEXT_MAX: usize = 256;

/// What the names of crates begin with whose finer levels show headers, bodies or credentials on the wire. They stay at
/// `warn`, whatever is asked for.
const WIRE_CRATES: [&str; 5] = ["aws_", "h2", "hyper", "rustls", "s3s"];

/// How much is logged of Forebay itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogLevel {
    /// Only what fails.
    Error,
    /// And what should be looked at.
    Warn,
    /// And what happens.
    #[default]
    Info,
    /// And how it happens.
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

/// How long the end of the process waits for lines that nobody takes.
const FLUSH_MAX: Duration = Duration::from_secs(1);

/// The log of this process.
static LOG: OnceLock<LogWriter> = OnceLock::new();

/// A started log. Dropped at the end of the process, it writes what still waits, within a second.
#[derive(Debug)]
pub struct Log {
    writer: LogWriter,
}

impl Log {
    /// Writes text for a person, as it is, among the lines.
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
///
/// # Errors
/// It was started already, or there is no thread or handle left.
pub fn start(level: LogLevel) -> Result<Log, Box<dyn std::error::Error + Send + Sync>> {
    let writer = LogWriter::to_stderr(report_dropped)?;
    // The subscriber would report its own errors with `eprintln!`, which panics where standard error is broken.
    let builder = tracing_subscriber::fmt()
        .with_writer(ToLog(writer.clone()))
        .log_internal_errors(false)
        .with_env_filter(filter(level));
    if io::stderr().is_terminal() {
        builder.with_target(false).try_init()?;
    } else {
        builder.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init()?;
    }
    // The default hook writes to standard error: it would wait for a reader, or panic in turn.
    std::panic::set_hook(Box::new(log_panic));
    LOG.get_or_init(|| writer.clone());
    Ok(Log { writer })
}

/// Lines of this process's log that were dropped: no room, or an error.
pub fn lines_dropped() -> u64 {
    LOG.get().map_or(0, LogWriter::dropped)
}

fn report_dropped(dropped: Dropped) {
    let since = DateTime::from_timestamp_millis(dropped.since.0)
        .map_or_else(String::new, |since| since.to_rfc3339_opts(SecondsFormat::Millis, true));
    tracing::error!(
        lines = dropped.lines,
        since,
        "the log could not be written, or not fast enough: log lines were dropped"
    );
}

fn log_panic(panic: &PanicHookInfo<'_>) {
    let location = panic.location().map(ToString::to_string).unwrap_or_default();
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or_default();
    // It may quote what came from outside.
    let panic = outside_text(panic.payload_as_str().unwrap_or_default());
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        tracing::error!(location, thread, %panic, %backtrace, "a task panicked; this is a bug in Forebay");
    } else {
        tracing::error!(location, thread, %panic, "a task panicked; this is a bug in Forebay");
    }
}

/// Where the subscriber writes.
struct ToLog(LogWriter);

impl<'a> MakeWriter<'a> for ToLog {
    type Writer = OneLine<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        OneLine(&self.0)
    }
}

/// The subscriber writes each line at once.
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
    // Where there is no instance metadata service the SDK says so with a dump of the answer; Forebay finds regions itself.
    match format!("aws_config::imds={}", LevelFilter::from(level).min(LevelFilter::ERROR)).parse() {
        Ok(directive) => quiet.add_directive(directive),
        Err(_) => quiet,
    }
}

/// Text from outside, made fit for a log: control characters escaped, cut at [`OUTSIDE_TEXT_MAX`] bytes.
pub fn outside_text(text: &str) -> impl fmt::Display + '_ {
    outside_text_within(text, OUTSIDE_TEXT_MAX)
}

/// The same, cut at `max` bytes.
pub fn outside_text_within(text: &str, max: usize) -> impl fmt::Display + '_ {
    OutsideText(text, max)
}

struct OutsideText<'a>(&'a str, usize);

impl fmt::Display for OutsideText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = self.1;
        for c in self.0.chars() {
            let unsafe_to_show = c.is_control() || is_invisible(c);
            let len = if unsafe_to_show { c.escape_default().count() } else { c.len_utf8() };
            if len > left {
                return f.write_char('…');
            }
            left -= len;
            if unsafe_to_show { write!(f, "{}", c.escape_default())? } else { f.write_char(c)? }
        }
        Ok(())
    }
}

/// Line and paragraph separators, and what turns the direction of the text around it.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outside_text_cannot_forge_a_line_or_fill_the_log() {
        let check = |text: &str, shown: &str| assert_eq!(outside_text(text).to_string(), shown);
        check("plain ü", "plain ü");
        check("a\nb\r\u{1b}[31m\0", "a\\nb\\r\\u{1b}[31m\\u{0}");
        check("a\u{2028}\u{202e}b", "a\\u{2028}\\u{202e}b");
        check(&"x".repeat(256), &"x".repeat(256));
        check(&"x".repeat(257), &format!("{}…", "x".repeat(256)));
        check(&"ü".repeat(200), &format!("{}…", "ü".repeat(128)));
        assert!(outside_text(&"\0".repeat(1_000)).to_string().len() <= OUTSIDE_TEXT_MAX + '…'.len_utf8());
    }

    #[test]
    fn the_wire_stays_silent_at_every_level() {
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
                tracing::warn!(target: "aws_config::profile", "said-warn");
                tracing::info!(target: "forebay::spool", "said-info");
                tracing::trace!(target: "forebay::spool", "said-trace");
            });
            let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
            assert!(!text.contains("wire-"), "{level:?}: {text}");
            let said =
                ["said-warn", "said-info", "said-trace"].into_iter().filter(|word| text.contains(word));
            assert_eq!(said.collect::<Vec<_>>().join(" "), expected, "{level:?}");
        };
        check(LogLevel::Error, "");
        check(LogLevel::Warn, "said-warn");
        check(LogLevel::Info, "said-warn said-info");
        check(LogLevel::Trace, "said-warn said-info said-trace");
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
