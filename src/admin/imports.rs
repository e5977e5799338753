//! The answer of `/api/imports`: what became of each imported file.

use serde::{Deserialize, Serialize};

use crate::words::{counted, outside_text};

/// Imports, the one that began last first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Imports {
    /// The newest imports.
    pub imports: Vec<ImportStatus>,
    /// The number of imports that the node remembers.
    pub total: u64,
    /// Whether the journal is still being read, so that some may be missing.
    pub loading: bool,
    /// Why the journal cannot be read.
    pub problem: Option<String>,
}

/// One file, imported into one source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ImportStatus {
    /// The import's id.
    pub id: String,
    /// The file: a path, or `s3://…`.
    pub what: String,
    /// The import of a bucket that reads the file, if one does: several may read the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub import: Option<String>,
    /// The source; empty if it is not known.
    pub source: String,
    /// The state: `running`, `stopped` (the same command continues the import), `done`, `failed` (the import
    /// is retried), `given_up`, `changed` or `replaced` (its object was replaced before its end), `gone` or `claimed` (it
    /// belongs to another instance).
    pub state: String,
    /// When the import was first seen (Unix milliseconds).
    pub begun_ms: i64,
    /// When the import ended (Unix milliseconds).
    pub ended_ms: Option<i64>,
    /// Bytes of the file, if known.
    pub bytes: Option<u64>,
    /// Rows covered so far.
    pub rows_read: u64,
    /// Rows stored as calls.
    pub stored: u64,
    /// Rows whose calls were stored before.
    pub repeated: u64,
    /// Rows that the node stored in the rejected stream.
    pub refused: u64,
    /// Rows that the importer found not to be calls, and that are not settled since.
    pub rejected: u64,
    /// Rows that were rejected first, and corrected and sent again since.
    pub sent_again: u64,
    /// Rows that are left out on purpose, as a converter says. Reported when the import ends.
    pub left_out: u64,
    /// Rows of a file of a bucket that were rejected first, and that a pass read again since: they became calls, repeat
    /// others, or are left out.
    pub settled: u64,
    /// Rejected rows of a file of a bucket without which a person does.
    pub accepted: u64,
    /// Rejected rows of another import that this one read again, and that are still rejected: they count as
    /// `rejected` in that import alone.
    pub rejected_again: u64,
    /// The rejected rows by error code, the most frequent first, as far as the importer reported them. The
    /// importer reports them when it ends.
    pub errors: Vec<ImportErrors>,
    /// The file with the rows that the importer rejected: its absolute path on the machine that ran the
    /// import. The importer reports it when it ends.
    pub rejects_file: Option<String>,
    /// The command that imports the rejected rows after they were corrected, if there are any. Add the options with which the
    /// import reached the node, such as `--admin`.
    pub retry: Option<String>,
    /// Failures since the last success.
    pub attempts: u32,
    /// Why the import failed.
    pub why: Option<String>,
    /// What is left to do, if the import ended before the end of its file.
    pub next: Option<String>,
}

impl ImportStatus {
    /// The file, its source and its state, in a line.
    pub fn title(&self) -> String {
        let mut state = self.state.replace('_', " ");
        if self.state == "done" && self.rejected > 0 {
            state += &format!(", but {}", counted(self.rejected, "row is rejected", "rows are rejected"));
        }
        let [what, source, state] =
            [&self.what, &self.source, &state].map(|text| outside_text(text).to_string());
        // Several imports may read one file.
        let by =
            self.import.as_ref().map_or_else(String::new, |name| format!(" (import {})", outside_text(name)));
        format!("{what} into {source}{by}: {state}")
    }
}

impl ImportErrors {
    /// How many, why, and the first of them.
    pub fn text(&self) -> String {
        let of = if self.not_stored { " of the step that was not stored" } else { "" };
        let example =
            self.example.as_deref().map_or_else(String::new, |example| format!(", first {example}"));
        format!("{} {}{of}{example}", counted(self.count, "row", "rows"), self.code)
    }
}

/// Rejected rows with the same error code.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ImportErrors {
    /// The code, such as `missing:userId`.
    pub code: String,
    /// How many rows.
    pub count: u64,
    /// Where the first of these rows was, and why it was rejected.
    pub example: Option<String>,
    /// Whether they are of the step that made the file fail. It was not stored, so they do not count as rejected, and
    /// will be read again.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub not_stored: bool,
}
