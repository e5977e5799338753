//! What became of a file of an import.

use std::collections::BTreeMap;

use super::RejectedRows;
use super::run::{FileEnd, FileReport};
use crate::log::ImportProgress;

/// What became of one file, or of an input that could not be opened.
#[derive(Debug)]
pub struct FileResult {
    /// How the file ended, and its counts.
    pub report: FileReport,
    /// What the file's rows became, if the file was opened.
    pub kind: Option<String>,
    /// Where the file's rejected rows were uploaded to.
    pub uploaded: Option<String>,
    /// What was imported of an earlier version of the file, and what that led to.
    pub note: Option<String>,
}

/// What became of all files.
#[derive(Debug, Default)]
pub struct Results {
    /// The results, in the order of the inputs.
    pub results: Vec<FileResult>,
    /// Inputs that had not begun when the import was stopped.
    pub not_begun: u64,
}

impl Results {
    /// The sum over all files.
    pub fn sum(&self, of: impl Fn(&FileResult) -> u64) -> u64 {
        self.results.iter().map(of).sum()
    }

    /// The calls that this run stored, by type.
    pub fn calls(&self) -> BTreeMap<String, u64> {
        let mut calls = BTreeMap::new();
        for result in &self.results {
            if let Some(kind) = &result.kind {
                *calls.entry(kind.clone()).or_default() += result.since(|progress| progress.stored);
            }
        }
        calls
    }

    /// Whether the import was stopped before its end.
    pub fn is_stopped(&self) -> bool {
        self.not_begun > 0 || self.results.iter().any(|result| result.report.end == FileEnd::Stopped)
    }
}

impl FileResult {
    /// The result of an input that ended before its import began.
    pub fn not_opened(name: String, end: FileEnd) -> Self {
        Self { report: FileReport::new(name, end), kind: None, uploaded: None, note: None }
    }

    /// Rows that this run settled.
    pub fn rows(&self) -> u64 {
        self.since(|of| of.stored + of.repeats + of.refused + of.rejected)
    }

    /// All rows of the file that are settled, also by earlier runs.
    pub fn all_rows(&self) -> u64 {
        let ImportProgress { stored, repeats, refused, rejected, .. } = self.report.progress;
        stored + repeats + refused + rejected
    }

    /// How much a count grew in this run.
    pub fn since(&self, of: fn(&ImportProgress) -> u64) -> u64 {
        of(&self.report.progress).saturating_sub(of(&self.report.before))
    }

    /// Rows rejected by the import or by the collector, with those of earlier runs of the same import.
    pub fn rejected(&self) -> u64 {
        self.report.progress.rejected + self.report.progress.refused
    }

    /// The rows that this run rejected, by code.
    pub fn by_code(&self) -> impl Iterator<Item = RejectedRows> {
        self.report.by_code.clone().into_rows().into_iter()
    }

    /// How the file ended, in a word or two.
    pub fn ended(&self) -> &'static str {
        match &self.report.end {
            FileEnd::Done => "done",
            FileEnd::DoneBefore => "done before",
            FileEnd::RangeDone => "range done",
            FileEnd::Failed(_) => "failed",
            FileEnd::Refused(_) => "refused",
            FileEnd::Stopped => "stopped",
        }
    }
}
