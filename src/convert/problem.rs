//! What is wrong with a converter file: all problems at once, each with the place as a JSON pointer.

use std::fmt;

use crate::words::{counted, nearest, outside_text_within};

/// The most problems that are kept. A person corrects these first.
const PROBLEMS_MAX: usize = 100;
/// The most bytes of a name or value of the file that a message shows.
const SHOWN_MAX: usize = 64;

/// The code of all problems of a file itself.
const CODE: &str = "E-CONV";

/// One problem of a converter file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// `E-CONV`, or `E-STRATEGY` if the data type does not support the strategy.
    pub code: &'static str,
    /// The place as a JSON pointer (RFC 6901); empty for the whole file.
    pub pointer: String,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let space = if self.pointer.is_empty() { "" } else { " " };
        write!(f, "{}{space}{}: {}", self.code, outside_text_within(&self.pointer, 1_024), self.what)
    }
}

/// Why a converter file cannot be used: at least one problem.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n"))]
pub struct ConvertError(pub Vec<Problem>);

/// Collects the problems of a file while a reader moves through it.
#[derive(Debug, Default)]
pub(super) struct Problems {
    found: Vec<Problem>,
    more: usize,
    /// The parts of the pointer to the present place.
    at: Vec<String>,
}

impl Problems {
    /// Moves to a member or element of the present place: problems from now on are there.
    pub(super) fn enter(&mut self, part: impl fmt::Display) {
        self.at.push(part.to_string());
    }

    /// Moves back.
    pub(super) fn leave(&mut self) {
        self.at.pop();
    }

    /// Adds a problem of a member or element.
    pub(super) fn add_at(&mut self, part: impl fmt::Display, what: impl Into<String>) {
        self.enter(part);
        self.add(what);
        self.leave();
    }

    /// Adds a problem of the present place.
    pub(super) fn add(&mut self, what: impl Into<String>) {
        if self.found.len() >= PROBLEMS_MAX {
            self.more += 1;
            return;
        }
        let escaped = |part: &String| format!("/{}", part.replace('~', "~0").replace('/', "~1"));
        let pointer = self.at.iter().map(escaped).collect();
        self.found.push(Problem { code: CODE, pointer, what: what.into() });
    }

    /// Adds a problem with a name that is not among the known ones: `unknown key "fileTyp" (did you mean …)`.
    pub(super) fn unknown<'k>(&mut self, what: &str, name: &str, known: impl Iterator<Item = &'k str>) {
        let near = if self.found.len() < PROBLEMS_MAX { nearest(name, known) } else { None };
        let hint = near.map(|near| format!(" (did you mean {near:?}?)")).unwrap_or_default();
        self.add(format!("unknown {what} {}{hint}", shown(name)));
    }

    /// The value that was read, if no problem was found.
    pub(super) fn checked<T>(mut self, read: Option<T>) -> Result<T, ConvertError> {
        if self.more > 0 {
            let what = format!("and {}", counted(self.more as u64, "more problem", "more problems"));
            self.found.push(Problem { code: CODE, pointer: String::new(), what });
        }
        match read {
            Some(read) if self.found.is_empty() => Ok(read),
            _ => Err(ConvertError(self.found)),
        }
    }
}

/// A text of the file in quotes, safe for one line, and cut.
pub(super) fn shown(text: &str) -> String {
    format!("\"{}\"", outside_text_within(text, SHOWN_MAX))
}
