//! What is wrong with a configuration: each problem with its place, name, value and the form expected.

use std::fmt;
use std::path::Path;

use crate::words::{counted, outside_text_within};

/// The most bytes of a value that a problem shows.
const VALUE_SHOWN_MAX: usize = 120;

/// Where a value was set.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum SettingPlace {
    /// A line of the file, counted from 1.
    Line(usize),
    /// An environment variable.
    Variable(String),
    /// Nowhere: the value is missing.
    #[default]
    Nowhere,
}

/// One problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigProblem {
    /// Where the value was set.
    pub place: SettingPlace,
    /// The dotted name of the setting (`flush.max_bytes`); empty if the problem belongs to no setting.
    pub name: String,
    /// The value as typed; never that of a write key.
    pub value: Option<String>,
    /// What is wrong or which form is expected, in words that follow the name.
    pub what: String,
}

/// An unusable configuration, with all its problems in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The path of the file, as given.
    pub file: String,
    /// All problems; at least one.
    pub problems: Vec<ConfigProblem>,
}

impl ConfigProblem {
    /// A problem that shows no value.
    pub(super) fn new(place: SettingPlace, name: impl Into<String>, what: impl Into<String>) -> Self {
        Self { place, name: name.into(), value: None, what: what.into() }
    }
}

impl ConfigError {
    pub(super) fn of(file: &Path, problems: Vec<ConfigProblem>) -> Self {
        Self { file: file.display().to_string(), problems }
    }

    pub(super) fn unreadable(file: &Path, why: impl fmt::Display) -> Self {
        let what = format!("cannot be read: {why}");
        Self::of(file, vec![ConfigProblem::new(SettingPlace::Nowhere, "", what)])
    }
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            SettingPlace::Line(line) => write!(f, "line {line}: ")?,
            SettingPlace::Variable(name) => write!(f, "{name}: ")?,
            SettingPlace::Nowhere => {}
        }
        f.write_str(&self.name)?;
        if let Some(value) = &self.value {
            write!(f, " = {}", outside_text_within(value, VALUE_SHOWN_MAX))?;
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
        let count = self.problems.len() as u64;
        write!(f, "{} has {}:", self.file, counted(count, "problem", "problems"))?;
        self.problems.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl std::error::Error for ConfigError {}
