//! The log: on standard error, for a person on a terminal and as JSON lines otherwise.

use std::fmt::{self, Write};
use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

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

/// Starts logging, once in a process.
///
/// # Errors
/// Where it was started already.
pub fn start(level: LogLevel) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let builder = tracing_subscriber::fmt().with_writer(io::stderr).with_env_filter(filter(level));
    if io::stderr().is_terminal() {
        builder.with_target(false).try_init()
    } else {
        builder.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init()
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
    OutsideText(text)
}

struct OutsideText<'a>(&'a str);

impl fmt::Display for OutsideText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = OUTSIDE_TEXT_MAX;
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
