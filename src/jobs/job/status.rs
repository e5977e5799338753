//! The statuses of a job, by the names of S3 Batch Operations, and why a job failed.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Status {
    /// Made; nothing is done yet.
    New,
    /// Its manifest is read and copied.
    Preparing,
    /// Prepared; waits for a person to confirm it.
    Suspended,
    /// Waits for a slot.
    Ready,
    /// Its tasks run.
    Active,
    /// No new tasks start; those in flight end.
    Pausing(PausedBy),
    /// No task runs.
    Paused(PausedBy),
    /// All tasks ended; the report is written.
    Completing,
    /// Done.
    Complete,
    /// Cancelled by a person; the tasks in flight end, then the report is written.
    Cancelling,
    /// Cancelled.
    Cancelled,
    /// Failed; the tasks in flight end, then the report is written.
    Failing,
    /// Failed.
    Failed,
}

/// Why a job is paused, which decides how it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum PausedBy {
    /// A person paused it: it goes on by `resume` alone.
    Person,
    /// A job of higher priority took its slot: it goes on as soon as a slot is free.
    Preemption,
}

impl Status {
    /// The name in AWS's API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "New",
            Self::Preparing => "Preparing",
            Self::Suspended => "Suspended",
            Self::Ready => "Ready",
            Self::Active => "Active",
            Self::Pausing(_) => "Pausing",
            Self::Paused(_) => "Paused",
            Self::Completing => "Completing",
            Self::Complete => "Complete",
            Self::Cancelling => "Cancelling",
            Self::Cancelled => "Cancelled",
            Self::Failing => "Failing",
            Self::Failed => "Failed",
        }
    }

    /// Whether nothing changes it any more.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Complete | Self::Cancelled | Self::Failed)
    }

    /// Whether the job waits for a slot.
    pub const fn wants_slot(self) -> bool {
        matches!(self, Self::Ready | Self::Paused(PausedBy::Preemption))
    }

    /// Whether the job takes a slot. One that pauses takes it until its tasks in flight have ended.
    pub const fn holds_slot(self) -> bool {
        matches!(self, Self::Active | Self::Pausing(_))
    }

    /// Whether the report is due: no further task starts, and those in flight end first.
    pub const fn is_ending(self) -> bool {
        matches!(self, Self::Completing | Self::Cancelling | Self::Failing)
    }
}

shown_as_text!(Status);

/// All names of statuses in AWS's API, as a filter of a list may name them.
pub const STATUS_NAMES: [&str; 13] = [
    "Active", "Cancelled", "Cancelling", "Complete", "Completing", "Failed", "Failing", "New", "Paused",
    "Pausing", "Preparing", "Ready", "Suspended",
];

/// What AWS's API says of a job that waits to be confirmed (`SuspendedCause`).
pub const SUSPENDED_CAUSE: &str = "AwaitingConfirmation";

/// The longest code of a failure, in characters (`JobFailureCode`).
pub const FAILURE_CODE_MAX: usize = 64;
/// The longest reason of a failure (`JobFailureReason`), in bytes of JSON: it has room for a statement of a
/// policy, and two of them fit into a frame of the log.
pub const FAILURE_REASON_MAX: usize = 2_048;
/// The longest reason of a person's request, in characters (`JobStatusUpdateReason`).
pub const UPDATE_REASON_MAX: usize = 256;

/// The kind of a failure. It decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureClass {
    /// The manifest is wrong.
    Manifest,
    /// The store cannot be reached.
    Unreachable,
    /// A right is missing, or the function does not exist.
    Access,
    /// Anything else, such as too many failed tasks.
    Other,
}

/// Why a job failed (`FailureReasons` of the API).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Its kind.
    pub class: FailureClass,
    /// The code, such as `InvalidManifestContent`: at most [`FAILURE_CODE_MAX`] characters.
    pub code: String,
    /// What happened and what to do, in words: at most [`FAILURE_REASON_MAX`] bytes of JSON.
    pub reason: String,
}

impl Failure {
    /// A failure. Texts that are too long are cut at a character.
    pub fn new(class: FailureClass, code: &str, reason: &str) -> Self {
        let (code, reason) = (first_chars(code, FAILURE_CODE_MAX), first_of_json(reason, FAILURE_REASON_MAX));
        Self { class, code, reason }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.reason)
    }
}

/// The first `max` characters of a text; a cut shows as `…`, which counts.
pub fn first_chars(text: &str, max: usize) -> String {
    if text.chars().nth(max).is_none() {
        return text.to_owned();
    }
    text.chars().take(max.saturating_sub(1)).chain(['…']).collect()
}

/// The beginning of a text that has at most `max` bytes as a string of JSON; a cut shows as `…`, which counts.
fn first_of_json(text: &str, max: usize) -> String {
    let bytes = |char: char| match char {
        '"' | '\\' => 2,
        char if char.is_ascii_control() => 6,
        char => char.len_utf8(),
    };
    if text.chars().map(bytes).sum::<usize>() <= max {
        return text.to_owned();
    }
    let mut left = max.saturating_sub('…'.len_utf8());
    let fits = |char: &char| match left.checked_sub(bytes(*char)) {
        Some(less) => {
            left = less;
            true
        }
        None => false,
    };
    text.chars().take_while(fits).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_a_failure_keep_the_bounds_of_the_api() {
        let check = |text: &str, max, cut: &str| assert_eq!(first_chars(text, max), cut);
        check("", 4, "");
        check("üüüü", 4, "üüüü");
        check("üüüüü", 4, "üüü…");
        let failure = Failure::new(FailureClass::Other, &"c".repeat(65), "");
        assert_eq!(failure.code.chars().count(), 64);
    }

    #[test]
    fn a_reason_has_room_for_the_statement_of_a_policy() {
        let reason = |text: &str| Failure::new(FailureClass::Access, "", text).reason;
        let statement = r#"{"Effect":"Allow","Action":"lambda:InvokeFunction","Resource":"arn"}"#;
        let long = format!("{}; add {statement}", "w".repeat(1_000));
        assert_eq!(reason(&long), long);
        for text in ["x", "ü", "\"", "\\", "\u{1}", "\n"] {
            let json = |text: &str| serde_json::to_string(text).unwrap().len() - 2;
            let cut = reason(&text.repeat(2_100));
            assert!(cut.ends_with('…') && cut.starts_with(text), "{cut}");
            assert!(json(&cut) <= FAILURE_REASON_MAX, "{text:?}");
            let whole = text.repeat(FAILURE_REASON_MAX / 6);
            assert_eq!(reason(&whole), whole);
        }
    }
}
