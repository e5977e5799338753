//! What was done with imported files of a bucket, and with which ones nothing is done yet.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::words::{counted, grouped, outside_text, outside_text_within};

/// The longest sentence that is shown, in bytes.
const TEXT_BYTES_MAX: usize = 4_096;

/// Why a file waits of which rows were rejected.
const REJECTED_ROWS: &str = "rejected_rows";

/// What was done with imported files, and with which ones nothing is done yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AfterStatus {
    /// What is to be done: `tag`, `move` or `delete`.
    pub action: String,
    /// How many files the pass did it for, by what was done: `tagged`, `moved`, `deleted` or `gone`.
    pub done: BTreeMap<String, u64>,
    /// How many files wait for it, by the reason, such as `rejected_rows`.
    pub waiting: BTreeMap<String, u64>,
    /// Rows that were rejected of the files that wait because of them.
    pub rejected_rows: u64,
    /// The first of the files that wait for a person or for the store.
    pub first: Vec<FileWaits>,
    /// What a person can do about them, in sentences.
    pub remedies: Vec<String>,
}

/// An imported file with which nothing is done yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FileWaits {
    /// The file's name.
    pub name: String,
    /// Why, such as `denied`.
    pub why: String,
    /// What the store said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl AfterStatus {
    /// How many files wait for this reason.
    pub fn waiting_for(&self, why: &str) -> u64 {
        self.waiting.get(why).copied().unwrap_or(0)
    }

    /// For people: names of lines and their texts, with the first so many files.
    pub fn lines(&self, named_max: usize) -> Vec<(&'static str, String)> {
        let Self { action, done, waiting, rejected_rows, first, remedies } = self;
        let mut lines = Vec::new();
        let list = |counts: &BTreeMap<String, u64>| {
            let some = counts.iter().filter(|(_, count)| **count > 0);
            let shown = some.map(|(what, count)| {
                format!("{} {}", grouped(*count), outside_text(&what.replace('_', " ")))
            });
            shown.collect::<Vec<_>>().join(", ")
        };
        let done = list(done);
        if !done.is_empty() {
            lines.push(("after:", done));
        }
        let files: u64 = waiting.values().sum();
        if files == 0 {
            return lines;
        }
        let mut others = waiting.clone();
        let with_rejects = others.remove(REJECTED_ROWS).filter(|files| *files > 0).map(|files| {
            format!("{} with {}", grouped(files), counted(*rejected_rows, "rejected row", "rejected rows"))
        });
        let why = with_rejects.into_iter().chain(Some(list(&others)).filter(|others| !others.is_empty()));
        let why = why.collect::<Vec<_>>().join(", ");
        let files = counted(files, "file", "files");
        lines.push(("waiting:", format!("{files} to {}: {why}", outside_text(action))));
        for FileWaits { name, why, error } in first.iter().take(named_max) {
            let error = error.as_ref().map_or_else(String::new, |error| format!(": {error}"));
            let text = format!("{name}: {}{error}", why.replace('_', " "));
            lines.push(("kept:", outside_text(&text).to_string()));
        }
        let remedies = remedies.iter().map(|remedy| outside_text_within(remedy, TEXT_BYTES_MAX).to_string());
        lines.extend(remedies.map(|remedy| ("to fix it:", remedy)));
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_there_is_has_a_line() {
        assert_eq!(AfterStatus::default().lines(5), []);
        let counts = |pairs: &[(&str, u64)]| {
            pairs.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect::<BTreeMap<_, _>>()
        };
        let waits = |name: &str, error: Option<&str>| FileWaits {
            name: name.to_owned(),
            why: "rejected_rows".to_owned(),
            error: error.map(str::to_owned),
        };
        let status = AfterStatus {
            action: "delete".to_owned(),
            done: counts(&[("deleted", 1_000), ("gone", 0)]),
            waiting: counts(&[("rejected_rows", 2), ("denied", 1_000), ("due", 0)]),
            rejected_rows: 7,
            first: vec![waits("s3://lake/a", None), waits("s3://lake/b", Some("403: no"))],
            remedies: vec!["do something".to_owned()],
        };
        let expected = [
            ("after:", "1,000 deleted"),
            ("waiting:", "1,002 files to delete: 2 with 7 rejected rows, 1,000 denied"),
            ("kept:", "s3://lake/a: rejected rows"),
            ("to fix it:", "do something"),
        ];
        assert_eq!(status.lines(1), expected.map(|(name, text)| (name, text.to_owned())));
        assert_eq!(status.waiting_for("rejected_rows"), 2);
        let done = AfterStatus { done: counts(&[("moved", 1)]), ..AfterStatus::default() };
        assert_eq!(done.lines(5), [("after:", "1 moved".to_owned())]);
    }
}
