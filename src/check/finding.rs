//! What one check found: what was tried, what came back, and what mends it.

use serde::Serialize;

/// Bytes of what was found that are shown: room for a few ARNs.
const FOUND_BYTES_MAX: usize = 2_048;

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is as it should be.
    Passed,
    /// Forebay would not work, or not as promised.
    Failed,
    /// It works, and somebody should know this.
    Warning,
    /// It could not be tried, or what came back tells nothing.
    NotTested,
}

impl Outcome {
    /// The mark that begins its line.
    pub fn mark(self) -> char {
        match self {
            Self::Passed => '✓',
            Self::Failed => '✗',
            Self::Warning => '!',
            Self::NotTested => '–',
        }
    }
}

/// What mends a finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Remedy {
    /// What to do, as a sentence without its full stop.
    pub text: String,
    /// What to paste: a setting, a statement of a policy, a command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paste: Option<String>,
}

impl Remedy {
    /// Something to do.
    pub fn say(text: impl Into<String>) -> Self {
        Self { text: text.into(), paste: None }
    }

    /// Something to paste.
    pub fn paste(text: impl Into<String>, paste: impl Into<String>) -> Self {
        // Parts of it may be what somebody answered: no escape of a terminal is in it.
        let clean = |c: char| if c.is_control() && c != '\n' { '\u{fffd}' } else { c };
        Self { text: text.into(), paste: Some(paste.into().chars().map(clean).collect()) }
    }
}

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The check's name, which stays the same between releases.
    pub check: &'static str,
    /// How it ended.
    pub outcome: Outcome,
    /// What was tried.
    pub tried: String,
    /// What came back.
    pub found: String,
    /// What mends it; none where nothing is wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remedies: Vec<Remedy>,
}

/// One check about to be judged: its name and what was tried.
#[derive(Clone, Debug)]
pub struct Trial {
    check: &'static str,
    tried: String,
}

impl Trial {
    /// Of the check `check`, which tried `tried`.
    pub fn new(check: &'static str, tried: impl Into<String>) -> Self {
        Self { check, tried: tried.into() }
    }

    fn end(self, outcome: Outcome, found: impl Into<String>, remedies: Vec<Remedy>) -> Finding {
        Finding { check: self.check, outcome, tried: self.tried, found: bounded(found.into()), remedies }
    }

    /// It is as it should be.
    pub fn passed(self, found: impl Into<String>) -> Finding {
        self.end(Outcome::Passed, found, Vec::new())
    }

    /// It is not, and this mends it.
    pub fn failed(self, found: impl Into<String>, remedies: Vec<Remedy>) -> Finding {
        self.end(Outcome::Failed, found, remedies)
    }

    /// It works, and somebody should know this.
    pub fn warning(self, found: impl Into<String>, remedies: Vec<Remedy>) -> Finding {
        self.end(Outcome::Warning, found, remedies)
    }

    /// It tells nothing, because of this.
    pub fn not_tested(self, because: impl Into<String>) -> Finding {
        self.end(Outcome::NotTested, because, Vec::new())
    }

    /// The request was refused, and nothing that Forebay does needs it.
    pub fn not_needed(self, refusal: impl std::fmt::Display) -> Finding {
        self.not_tested(format!("not testable with these rights; nothing needs it ({refusal})"))
    }
}

/// What a service says stands in what was found: no control characters, and not more than a person reads.
fn bounded(text: String) -> String {
    if text.len() <= FOUND_BYTES_MAX && !text.chars().any(char::is_control) {
        return text;
    }
    let mut line = String::new();
    for char in text.chars() {
        if line.len() >= FOUND_BYTES_MAX {
            line.push('…');
            break;
        }
        line.extend(if char.is_control() { vec!['\u{fffd}'] } else { vec![char] });
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_service_says_is_bounded() {
        let found = |text: &str| Trial::new("x", "x").passed(text).found;
        assert_eq!(found("ünïcode stays"), "ünïcode stays");
        assert_eq!(found("a\u{1b}[31m\nb"), "a\u{fffd}[31m\u{fffd}b");
        let long = found(&"ü".repeat(10_000));
        assert!(long.len() <= FOUND_BYTES_MAX + 8 && long.ends_with('…'), "{}", long.len());
    }
}
