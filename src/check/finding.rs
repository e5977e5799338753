//! The result of a check: what was tried, what was found, and the remedies.

use serde::Serialize;

use crate::object::Role;
use crate::words::outside_text_within;

/// The most bytes shown of what was found: enough for a few ARNs.
const FOUND_BYTES_MAX: usize = 2_048;

/// The outcome of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It works.
    Passed,
    /// Forebay would not work, or not as promised.
    Failed,
    /// It works, but needs attention.
    Warning,
    /// It could not be tried, or the result is not conclusive.
    NotTested,
}

impl Outcome {
    /// The mark at the beginning of its line.
    pub fn mark(self) -> char {
        match self {
            Self::Passed => '✓',
            Self::Failed => '✗',
            Self::Warning => '!',
            Self::NotTested => '–',
        }
    }
}

/// A remedy for a finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Remedy {
    /// What to do, as a sentence without a full stop.
    pub text: String,
    /// Text to paste: a setting, a statement of a policy, a command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paste: Option<String>,
}

impl Remedy {
    /// A remedy that only says what to do.
    pub fn say(text: impl Into<String>) -> Self {
        Self { text: text.into(), paste: None }
    }

    /// A remedy with text to paste.
    pub fn paste(text: impl Into<String>, paste: impl Into<String>) -> Self {
        // It may contain text from an answer: remove terminal escapes.
        let clean = |line| outside_text_within(line, usize::MAX).to_string();
        let lines: Vec<String> = paste.into().split('\n').map(clean).collect();
        Self { text: text.into(), paste: Some(lines.join("\n")) }
    }
}

/// A role that is assumed, and the remedies if that fails.
#[derive(Clone, Debug)]
pub struct RoleUse<'a> {
    /// The role.
    pub role: &'a Role,
    /// The purpose for which the role is assumed: `write`, `invoke`.
    pub purpose: &'static str,
    /// The outcome if the role can be assumed without its external id.
    pub without_external_id: Outcome,
    /// The statement that the role's trust policy needs.
    pub trust: Remedy,
    /// What else may be wrong if the role cannot be assumed.
    pub others: Vec<Remedy>,
}

/// The result of a check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckFinding {
    /// The check's name, which is stable between releases.
    pub check: &'static str,
    /// The outcome.
    pub outcome: Outcome,
    /// What was tried.
    pub tried: String,
    /// What was found.
    pub found: String,
    /// The end of the log of a function that ran for it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<String>,
    /// The remedies; none if nothing is wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remedies: Vec<Remedy>,
}

impl CheckFinding {
    /// The finding with the end of a function's log.
    #[must_use]
    pub fn with_log(mut self, log: &str) -> Self {
        self.log = log.lines().map(|line| outside_text_within(line, FOUND_BYTES_MAX).to_string()).collect();
        self
    }
}

/// A check before its judgement: its name and what was tried.
#[derive(Clone, Debug)]
pub struct Trial {
    check: &'static str,
    tried: String,
}

impl Trial {
    /// The check `check`, which tried `tried`.
    pub fn new(check: &'static str, tried: impl Into<String>) -> Self {
        Self { check, tried: tried.into() }
    }

    /// It ends so.
    pub fn end(self, outcome: Outcome, found: impl Into<String>, remedies: Vec<Remedy>) -> CheckFinding {
        CheckFinding {
            check: self.check,
            outcome,
            tried: self.tried,
            found: outside_text_within(&found.into(), FOUND_BYTES_MAX).to_string(),
            log: Vec::new(),
            remedies,
        }
    }

    /// It works.
    pub fn passed(self, found: impl Into<String>) -> CheckFinding {
        self.end(Outcome::Passed, found, Vec::new())
    }

    /// It fails, with these remedies.
    pub fn failed(self, found: impl Into<String>, remedies: Vec<Remedy>) -> CheckFinding {
        self.end(Outcome::Failed, found, remedies)
    }

    /// It works, but needs attention.
    pub fn warning(self, found: impl Into<String>, remedies: Vec<Remedy>) -> CheckFinding {
        self.end(Outcome::Warning, found, remedies)
    }

    /// It could not be tried, or was not conclusive, for this reason.
    pub fn not_tested(self, because: impl Into<String>) -> CheckFinding {
        self.end(Outcome::NotTested, because, Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn external_text_is_cleaned_and_bounded() {
        let found = |text: &str| Trial::new("x", "x").passed(text).found;
        assert_eq!(found("ünïcode stays"), "ünïcode stays");
        assert_eq!(found("a\u{1b}[31m\nb"), "a\\u{1b}[31m\\nb");
        let long = found(&"ü".repeat(10_000));
        assert!(long.len() <= FOUND_BYTES_MAX + 8 && long.ends_with('…'), "{}", long.len());
    }
}
