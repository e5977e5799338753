//! `[closed_days]`: how the operator is notified of closed days.

use std::fmt;
use std::time::Duration;

use super::problem::ConfigProblem;
use super::raw::{Table, Typed};
use super::reader::{self, Reader};
use super::units::Period;
use super::values::refuse_link_local;

/// The most words of a command: the program and its arguments.
const WORDS_MAX: usize = 64;

/// `[closed_days]`: how the operator is notified of closed days.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClosedDays {
    /// A URL that receives a POST.
    pub webhook: Option<WebAddress>,
    /// A program and its arguments.
    pub command: Vec<String>,
    /// How long one webhook request or command may take.
    pub timeout: Duration,
}

impl Default for ClosedDays {
    fn default() -> Self {
        Self { webhook: None, command: Vec::new(), timeout: Duration::from_secs(30) }
    }
}

/// The URL of a webhook. Its path and query may contain a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct WebAddress(http::Uri);

impl WebAddress {
    /// The whole address.
    pub fn uri(&self) -> &http::Uri {
        &self.0
    }
}

/// Shows only the host.
impl fmt::Debug for WebAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WebAddress({}/…)", self.0.host().unwrap_or_default())
    }
}

pub(super) fn check(table: &Table, problems: &mut Vec<ConfigProblem>) -> ClosedDays {
    let default = ClosedDays::default();
    let mut reader = Reader::new(table, problems);
    ClosedDays {
        webhook: reader.optional("webhook", web_address),
        command: reader.get("command", default.command, command),
        timeout: reader.get(
            "timeout",
            default.timeout,
            reader::period(Period::from_secs(1), Period::from_secs(3_600)),
        ),
    }
}

fn web_address(value: &Typed) -> Result<WebAddress, String> {
    let form = || "expected a URL such as \"https://scheduler.example.com/day-closed\"".to_owned();
    let text = reader::text(value).map_err(|_| form())?.trim();
    let uri: http::Uri = text.parse().map_err(|_| form())?;
    let authority = uri.authority().ok_or_else(form)?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) || authority.host().is_empty() {
        return Err(form());
    }
    if authority.as_str().contains('@') {
        return Err("expected a URL without user and password: put a token into its path or query".to_owned());
    }
    refuse_link_local(authority.host())?;
    Ok(WebAddress(uri))
}

fn command(value: &Typed) -> Result<Vec<String>, String> {
    let form = "a list such as [\"/usr/local/bin/day-closed\", \"--notify\"]";
    let word = |text: &str| match text {
        text if text.contains('\0') => Err("expected words without NUL characters".to_owned()),
        text => Ok(text.to_owned()),
    };
    let words = reader::list(form, word)(value)?;
    match words.first() {
        Some(program) if program.is_empty() => Err("expected a program as the first word".to_owned()),
        _ if words.len() > WORDS_MAX => Err(format!("expected at most {WORDS_MAX} words")),
        _ => Ok(words),
    }
}
