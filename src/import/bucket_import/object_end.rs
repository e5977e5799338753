//! How the import of an object ends, from how its files ended.

use super::decide::Skip;
use super::not_ours::NotOurs;
use super::object_state::{ObjectState, Stage};
use super::report::Became;
use crate::import::file_error::{FileError, FileFault};
use crate::import::journal::JournalError;
use crate::import::record::LastError;
use crate::import::run::{FileEnd, FileReport};
use crate::import::target::TargetError;
use crate::planted_bugs::{PlantedBug, planted};

/// What became of an object.
#[derive(Debug)]
pub(super) enum ObjectEnd {
    /// It is not imported.
    Skipped(Skip),
    /// It does not begin here, or not now.
    NotOurs(NotOurs),
    /// What became of its files, or of the object itself if it could not be opened.
    Files(Vec<(Became, FileReport)>),
}

/// Whether one of these files became this.
pub(super) fn any(ends: &[(Became, FileReport)], became: Became) -> bool {
    ends.iter().any(|(of_file, _)| *of_file == became)
}

/// How far an object is whose files ended so. `is_unknown`: it was not opened, and an earlier pass has not recorded what
/// became of its files.
pub(super) fn stage_of(ends: &[(Became, FileReport)], state: &ObjectState, is_unknown: bool) -> Stage {
    let stops = |became| became == Became::Stopped && planted(PlantedBug::StoppedTakenForDone);
    let is_done = |became| matches!(became, Became::Done | Became::DoneBefore) || stops(became);
    let is_changed = any(ends, Became::Changed);
    if ends.iter().all(|(became, _)| is_done(*became)) {
        Stage::Done
    } else if state.is_archive && (is_unknown || any(ends, Became::Stopped)) {
        // Whether calls of its files are stored is not known: it stays open.
        state.stage
    } else if state.has_calls && (any(ends, Became::Gone) || any(ends, Became::Missing)) {
        Stage::Gone
    } else if !ends.iter().all(|(became, _)| became.is_settled()) || (is_changed && !state.has_calls) {
        Stage::Waiting
    } else if is_changed {
        Stage::Changed
    } else {
        Stage::Poison
    }
}

/// The failure of a file while the journal cannot be used.
pub(super) fn unrecorded(error: &JournalError) -> FileError {
    FileError::new(FileFault::Local, "E-IMPORT-JOURNAL", error.to_string())
}

/// The failure of an object that is given up, or changed while it was read.
pub(super) fn given_up(stage: Stage, why: Option<LastError>) -> (Became, FileError) {
    let (became, fault) = match stage {
        Stage::Changed => (Became::Changed, FileFault::Changed),
        Stage::Gone => (Became::Gone, FileFault::Missing),
        _ => (Became::Poison, FileFault::Content),
    };
    let error = match why {
        Some(LastError { code, message }) => FileError { fault, code, message },
        // An earlier release did not keep it.
        None => {
            let what = "it failed too often: change it, the converter or the settings of the import";
            FileError::new(fault, "E-POISON", what)
        }
    };
    (became, error)
}

/// The error of a file that is not done.
pub(super) fn error_of(end: &FileEnd) -> Option<LastError> {
    match end {
        FileEnd::Failed(error) => Some(error.into()),
        FileEnd::Refused(TargetError::GivenUp { code, message, .. }) => {
            Some(LastError { code: code.clone(), message: message.clone() })
        }
        _ => None,
    }
}

/// What a failure makes of a file that is not given up.
pub(super) fn became_of(error: &FileError) -> Became {
    match error.fault {
        FileFault::Content | FileFault::Local | FileFault::Transient => Became::Failed,
        FileFault::Changed => Became::Changed,
        FileFault::Missing => Became::Missing,
        FileFault::Denied => Became::Denied,
    }
}
