//! `[closed_days]`: how the operator is notified of closed days.

use std::time::Duration;

use super::problem::ConfigProblem;
use super::raw::{Table, Typed};
use super::reader::{self, Reader};
use super::web_address::{WebAddress, web_address};

/// The most words of a command: the program and its arguments.
const WORDS_MAX: usize = 64;

section! {
    /// `[closed_days]`: how the operator is notified of closed days.
    pub struct ClosedDays {
        /// A URL that receives a POST.
        webhook: Option<WebAddress> = None,
        /// A program and its arguments.
        command: Vec<String> = Vec::new(),
        /// How long one webhook request or command may take.
        timeout: Duration = Duration::from_secs(30),
    }
}

pub(super) fn check(table: &Table, problems: &mut Vec<ConfigProblem>) -> ClosedDays {
    let default = ClosedDays::default();
    let mut reader = Reader::new(table, problems);
    ClosedDays {
        webhook: reader.optional("webhook", web_address("https://scheduler.example.com/day-closed")),
        command: reader.get("command", default.command, command),
        timeout: reader.seconds("timeout", default.timeout, 1..=3_600),
    }
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
