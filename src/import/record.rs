//! The journal's record of an imported file.

use crate::log::{ImportKey, ImportProgress};
use crate::sources::SourceId;
use crate::time::UnixMillis;
use crate::words::{Told, is_zero};

use super::csv::FoundTypes;
use super::end::{End, Outcome};
use super::file_error::FileError;
use super::file_id::{FileId, key_of};
use super::import_id::ImportId;
use super::prefix::Prefix;
use super::reject_counts::RejectCounts;
use super::retries::Retries;

/// Failures after which a file is retried only on request.
pub const ATTEMPTS_MAX: u32 = 3;

/// The longest path of a rejects file that is remembered, in bytes: the longest path of Linux.
const REJECTS_FILE_MAX: usize = 4_096;

/// The state of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImportState {
    /// The import has begun and not ended.
    #[default]
    Reading,
    /// The file is imported.
    Done,
    /// The file failed, and will be retried.
    Failed,
    /// The file failed too often.
    Poison,
    /// Its object was replaced after rows of it were stored, and the new one is not imported.
    Changed,
    /// Its object was replaced before its last row was read, and the new one is imported as another file.
    Replaced,
    /// Its object is gone, and rows of it are stored.
    Gone,
}

impl ImportState {
    /// Its name as a label.
    pub(super) fn slug(self) -> &'static str {
        match self {
            Self::Reading => "reading",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Poison => "poison",
            Self::Changed => "changed",
            Self::Replaced => "replaced",
            Self::Gone => "gone",
        }
    }

    /// Whether the file ended before its last row because its object is no longer there.
    pub fn is_cut_short(self) -> bool {
        matches!(self, Self::Changed | Self::Replaced | Self::Gone)
    }
}

/// The last failure of a file.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct LastError {
    /// The code for programs, such as `E-CSV-HEADER`.
    pub code: String,
    /// The text for people.
    #[serde(flatten)]
    pub message: Told,
}

impl From<&FileError> for LastError {
    fn from(error: &FileError) -> Self {
        Self { code: error.code.clone(), message: error.message.clone() }
    }
}

/// One file, imported into one source.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ImportRecord {
    /// The import's key.
    pub key: ImportKey,
    pub(super) file: Option<FileId>,
    /// The source of the calls.
    pub source: Option<SourceId>,
    /// The import of a bucket that reads the file, if one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub import: Option<ImportId>,
    /// The name of the file; empty if only the log knew the import.
    pub name: String,
    /// The length of the file in bytes, if known.
    pub bytes: Option<u64>,
    pub(super) options: String,
    /// See [`super::Begin::limits`].
    #[serde(default)]
    pub(super) limits: String,
    /// The state.
    pub state: ImportState,
    /// Failures since the last success.
    pub attempts: u32,
    /// The last failure.
    pub error: Option<LastError>,
    /// The least progress that is stored. While the import is open, the log knows more.
    pub progress: ImportProgress,
    /// The row up to which the counts of rows are recorded, if rows are known by their content.
    #[serde(default)]
    pub(super) counted: u64,
    /// Rows after `counted`, by their hashes, that were not stored because other calls have their ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) not_stored: Vec<String>,
    /// The types that were found for the columns of the file, before its first row was imported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) types: Option<FoundTypes>,
    /// What the file begins with, up to a row that was the next one at some time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) prefix: Option<Prefix>,
    /// The last version of the file that continued the import of the first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<FileId>,
    /// How often the import began at its first row.
    #[serde(default)]
    pub(super) generation: u64,
    /// Rejected rows by their code, as far as the reading side reported them, which it does at the end.
    #[serde(default, skip_serializing_if = "RejectCounts::is_empty")]
    pub rejects: RejectCounts,
    /// Rejected rows that made the last attempt fail. They will be read again.
    #[serde(default, skip_serializing_if = "RejectCounts::is_empty")]
    pub(super) last_rejects: RejectCounts,
    /// Rows that are to be left out, as far as the reading side reported them, which it does at the end.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub skipped: u64,
    /// The file that keeps the rejected rows, on the importer's machine; reported at the end of an import.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejects_file: Option<String>,
    /// What became of the rejected rows after the import.
    #[serde(default, skip_serializing_if = "Retries::are_none")]
    pub(super) retries: Retries,
    /// When the import was first seen.
    pub first_seen: UnixMillis,
    /// When the import ended.
    pub ended_at: Option<UnixMillis>,
}

impl ImportRecord {
    /// Rejected rows that are not calls yet, whether their numbers were kept or not. Those of a round are counted in the
    /// record of their file.
    pub fn unsettled_rejects(&self) -> u64 {
        if self.retries.is_round { 0 } else { self.progress.rejected.saturating_sub(self.retries.settled) }
    }

    /// Rejected rows that were corrected and sent again since, of an import whose rows a command read.
    pub fn sent_again(&self) -> u64 {
        if self.retries.of.is_some() || self.import.is_some() { 0 } else { self.retries.settled }
    }

    /// Rejected rows of a file of a bucket that a pass read again since, and that are no longer rejected.
    pub fn settled_by_passes(&self) -> u64 {
        if self.import.is_none() || self.retries.is_round {
            0
        } else {
            self.retries.settled.saturating_sub(self.retries.accepted)
        }
    }

    /// Rejected rows of a file of a bucket without which a person does.
    pub fn accepted_rejects(&self) -> u64 {
        self.retries.accepted
    }

    /// Whether the import read rows that another one had rejected. That one has those that are rejected again.
    pub fn is_retry(&self) -> bool {
        self.retries.is_round || (self.retries.of.is_some() && self.retries.settled == self.progress.rejected)
    }

    /// Rows of a file of a bucket that the converter leaves out. Whoever reads tells of them at the end, so of a process
    /// that was killed only those are known that are in no other count: each other row has at least one call, or is
    /// rejected.
    pub fn left_out(&self) -> u64 {
        let ImportProgress { next_row, stored, repeats, refused, rejected, .. } = self.progress;
        let counted = stored.saturating_add(repeats).saturating_add(refused).saturating_add(rejected);
        let rest = if self.import.is_some() { next_row.saturating_sub(counted) } else { 0 };
        self.skipped.max(rest)
    }

    /// The round over the rejected rows of this file that was begun and has not ended.
    pub(super) fn round_under_way(&self) -> Option<ImportKey> {
        if self.retries.under_way.is_empty() {
            return None;
        }
        let (id, file, source) = (self.import?, self.file?, self.source.as_ref()?);
        Some(key_of(file.rejects(self.generation, self.retries.rounds), source, Some(id)))
    }

    /// Whether rejected rows are kept, so that they can be read again: in a file, as far as this says, or in a store.
    pub fn keeps_rejects(&self) -> bool {
        self.rejects_file.is_some() || !self.retries.in_store.is_empty()
    }

    /// Whether the import is a round over the rejected rows of a file of a bucket: no pass goes on with it.
    pub fn is_round(&self) -> bool {
        self.retries.is_round
    }

    /// Takes over the progress in the log, if that is further.
    pub(super) fn advance(&mut self, progress: ImportProgress) {
        self.progress.advance(progress);
        self.prefix = Prefix::of_progress(self.progress).or(self.prefix);
    }

    /// A record for progress that the log knows and the journal does not: the journal was removed.
    pub(super) fn of_progress(key: ImportKey, progress: ImportProgress, now: UnixMillis) -> Self {
        Self {
            key,
            file: None,
            source: None,
            import: None,
            name: String::new(),
            bytes: None,
            options: String::new(),
            limits: String::new(),
            state: ImportState::Reading,
            attempts: 0,
            error: None,
            progress,
            counted: progress.next_row,
            not_stored: Vec::new(),
            types: None,
            prefix: Prefix::of_progress(progress),
            version: None,
            generation: 0,
            rejects: RejectCounts::default(),
            last_rejects: RejectCounts::default(),
            skipped: 0,
            rejects_file: None,
            retries: Retries::default(),
            first_seen: now,
            ended_at: None,
        }
    }

    /// The name of the file where rows are counted. A file that is imported again from its first row has
    /// another name, because its rows are seen again.
    pub(super) fn rows_name(&self) -> u64 {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.key.0.to_be_bytes()).update(&self.generation.to_be_bytes());
        let mut bytes = [0; 8];
        hasher.finalize_xof().fill(&mut bytes);
        u64::from_be_bytes(bytes)
    }

    /// Forgets failures, because their cause was changed.
    pub(super) fn forget_failures(&mut self) {
        if matches!(self.state, ImportState::Failed | ImportState::Poison) {
            (self.state, self.attempts, self.error) = (ImportState::Reading, 0, None);
        }
    }

    /// Records how an attempt ended. Success clears the failures.
    pub(super) fn ended(&mut self, end: End, now: UnixMillis) {
        self.rejects.add(&end.rejects.bounded());
        self.last_rejects = end.last_rejects.bounded();
        self.skipped = self.skipped.saturating_add(end.skipped);
        // A run that rejects nothing does not know the rejects file of an earlier run elsewhere, so that one
        // stays.
        if let Some(file) = end.rejects_file.filter(|file| file.len() <= REJECTS_FILE_MAX) {
            self.rejects_file = Some(file);
        }
        match end.outcome {
            Outcome::Stopped => {}
            // An earlier version of the file ended meanwhile. The last version has more rows.
            Outcome::Done if end.version != self.version => {}
            Outcome::Done => {
                (self.state, self.attempts, self.error) = (ImportState::Done, 0, None);
                self.ended_at = Some(now);
            }
            Outcome::Failed { code, message } => {
                self.attempts = self.attempts.saturating_add(1);
                self.state =
                    if self.attempts < ATTEMPTS_MAX { ImportState::Failed } else { ImportState::Poison };
                self.error = Some(LastError { code, message });
                self.ended_at = Some(now);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_fails_three_times_is_given_up_until_it_succeeds() {
        let now = UnixMillis(1);
        let mut record = ImportRecord::of_progress(ImportKey(1), ImportProgress::default(), now);
        let end = |outcome| End::of(ImportKey(1), outcome);
        let failed = || end(Outcome::Failed { code: "E-X".to_owned(), message: "why".into() });
        record.ended(failed(), now);
        record.ended(failed(), now);
        assert_eq!((record.state, record.attempts), (ImportState::Failed, 2));
        record.ended(failed(), now);
        assert_eq!(record.state, ImportState::Poison);
        record.ended(end(Outcome::Done), now);
        assert_eq!((record.state, record.attempts, record.error), (ImportState::Done, 0, None));
    }
}
