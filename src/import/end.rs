//! How an import ends.

use super::file_id::FileId;
use super::reject_counts::RejectCounts;
use crate::log::ImportKey;
use crate::words::{Told, is_zero};

/// How an import ended.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Outcome {
    /// The end of the file was reached.
    Done,
    /// The file cannot be read as it stands. Network errors are not of this kind: they are retried.
    Failed {
        /// The code for programs, such as `E-CSV-HEADER`.
        code: String,
        /// The text for people.
        #[serde(flatten)]
        message: Told,
    },
    /// The importer stopped before the end; the import can be continued.
    Stopped,
}

impl Outcome {
    /// This outcome for a place where nothing of the file may be stored: without private text.
    pub(super) fn without_private(self) -> Self {
        match self {
            Self::Failed { code, message } => Self::Failed { code, message: message.without_private() },
            other => other,
        }
    }

    /// The outcome's name as a label.
    pub(super) fn slug(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed { .. } => "failed",
            Self::Stopped => "stopped",
        }
    }
}

/// The end of an import.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct End {
    /// The import.
    pub import: ImportKey,
    /// How it ended.
    pub outcome: Outcome,
    /// The rejected rows of the steps that were handed over in this run, by their code.
    #[serde(default)]
    pub rejects: RejectCounts,
    /// The rejected rows that made the file fail. No step with them was handed over, so they will be read
    /// again.
    #[serde(default)]
    pub last_rejects: RejectCounts,
    /// Rows of the steps that were handed over in this run and that are to be left out.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub skipped: u64,
    /// The file with the rejected rows, on the importer's machine, if there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejects_file: Option<String>,
    /// The version of the file that was read: see [`Begin::version`](super::Begin::version).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<FileId>,
}

impl End {
    /// The end of an import without rejected rows.
    pub fn of(import: ImportKey, outcome: Outcome) -> Self {
        let (rejects, last_rejects) = (RejectCounts::default(), RejectCounts::default());
        Self { import, outcome, rejects, last_rejects, skipped: 0, rejects_file: None, version: None }
    }
}
