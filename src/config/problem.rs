//! What is wrong with a configuration: every problem with its name, its value, the form expected and where it stands.

use std::fmt;

/// How much of a value is shown in a problem, in characters.
const VALUE_SHOWN_MAX: usize = 120;

/// Where a value was set.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A line of the file, counted from 1.
    Line(usize),
    /// An environment variable.
    Variable(String),
    /// Nowhere: it is missing.
    Nowhere,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// The setting's dotted name (`flush.max_bytes`); empty where the file is no TOML.
    pub name: String,
    /// The value as typed. Never that of a write key.
    pub value: Option<String>,
    /// What is wrong with it or which form is expected, in words that follow the name.
    pub what: String,
}

/// A configuration that cannot be used, with all its problems, in the order they stand in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The file, as it was named.
    pub file: String,
    /// Everything that is wrong; at least one.
    pub problems: Vec<Problem>,
}

impl ConfigError {
    /// An error with one problem that belongs to no setting.
    pub(crate) fn of_file(file: String, what: String) -> Self {
        Self {
            file,
            problems: vec![Problem { place: Place::Nowhere, name: String::new(), value: None, what }],
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Line(line) => write!(f, "line {line}: ")?,
            Place::Variable(name) => write!(f, "{name}: ")?,
            Place::Nowhere => {}
        }
        f.write_str(&self.name)?;
        if let Some(value) = &self.value {
            write!(f, " = {}", shorten(value))?;
        }
        let separator = match (self.name.is_empty(), &self.value) {
            (true, _) => "",
            (false, None) => " ",
            (false, Some(_)) => ": ",
        };
        write!(f, "{separator}{}", self.what)
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.problems.len();
        write!(f, "{} has {count} {}", self.file, if count == 1 { "problem:" } else { "problems:" })?;
        self.problems.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl std::error::Error for ConfigError {}

fn shorten(value: &str) -> String {
    let mut shown: String =
        value.chars().take(VALUE_SHOWN_MAX).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if value.chars().nth(VALUE_SHOWN_MAX).is_some() {
        shown.push('…');
    }
    shown
}
