//! What a pass over a bucket found and did.

use std::collections::BTreeMap;

use super::after::AfterReport;
use super::claims_report::ClaimsReport;
use super::decide::Skip;
use super::other_compression::OtherCompression;
use super::scan::Scanned;
use crate::import::file_error::FileError;
use crate::import::run::{FileEnd, FileReport};

/// The most files that a report names.
pub const NAMED_MAX: usize = 1_000;

closed_list! {
    /// What became of a file, or of an object that could not be opened.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum Became by slug {
        /// All of its rows are imported.
        Done = "done",
        /// All of its rows were imported before.
        DoneBefore = "done_before",
        /// It failed, and a later pass tries it again.
        Failed = "failed",
        /// It failed too often.
        Poison = "poison",
        /// It was replaced after rows of it were stored, and before the last one was.
        Changed = "changed",
        /// It is gone after rows of it were stored, and before the last one was.
        Gone = "gone",
        /// It was gone when it was to be read.
        Missing = "missing",
        /// Access to it is denied.
        Denied = "denied",
        /// It is refused for another reason than its content.
        Refused = "refused",
        /// The pass was stopped before its end.
        Stopped = "stopped",
    }
}

impl Became {
    /// Whether nothing is left to do for the file before a person decides, or before it is replaced.
    pub fn is_settled(self) -> bool {
        matches!(self, Self::Done | Self::DoneBefore | Self::Poison | Self::Changed | Self::Gone)
    }
}

/// A file that is not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotDone {
    /// The file's name.
    pub name: String,
    /// What became of it.
    pub became: Became,
    /// How its import ended.
    pub end: FileEnd,
}

/// What a pass found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PassReport {
    /// Objects that the listing showed.
    pub listed: u64,
    /// Requests of the listing.
    pub list_requests: u64,
    /// Objects that were not imported, by the reason.
    pub skipped: BTreeMap<Skip, u64>,
    /// Objects that were imported before, and were not asked for again.
    pub known: u64,
    /// Objects that were given up before, and were not asked for again. They are among `files`.
    pub given_up: u64,
    /// What became of the files of the others.
    pub files: BTreeMap<Became, u64>,
    /// Objects that had not begun when the pass ended: it was stopped, or one that failed holds back those
    /// after it, or there are more than a pass takes.
    pub not_begun: u64,
    /// Rows that this pass read.
    pub rows: u64,
    /// Calls that this pass stored.
    pub stored: u64,
    /// Rows that this pass dropped because they repeat others.
    pub repeats: u64,
    /// Rows that this pass rejected, and calls that the limits of a collector refuse.
    pub rejected: u64,
    /// Rows that the converter left out.
    pub skipped_rows: u64,
    /// Rejected rows that this pass could not keep, because the folder for them is full.
    pub rejects_not_kept: u64,
    /// Whether the folder is full: it was before the pass or has become so.
    pub rejects_full: bool,
    /// Why rejected rows are still in the folder that belong in a store.
    pub rejects_not_moved: Option<FileError>,
    /// Objects that are compressed in another way than the converter says, since the pass began.
    pub other_compression: Option<OtherCompression>,
    /// Which files belong to other instances.
    pub claims: ClaimsReport,
    /// What a later pass must know.
    pub scanned: Scanned,
    /// What was done with imported objects.
    pub after: AfterReport,
    /// The first files that are not done.
    pub not_done: Vec<NotDone>,
}

impl PassReport {
    /// Counts an object that is not imported.
    pub(super) fn skip(&mut self, why: Skip) {
        self.skip_more(why, 1);
    }

    /// Counts objects that are not imported.
    pub(super) fn skip_more(&mut self, why: Skip, objects: u64) {
        if objects > 0 {
            *self.skipped.entry(why).or_default() += objects;
        }
    }

    /// Counts a file.
    pub(super) fn file(&mut self, became: Became, report: FileReport) {
        *self.files.entry(became).or_default() += 1;
        let FileReport { name, end, before, progress, skipped_rows, .. } = report;
        let more = progress.since(before);
        self.rows += more.next_row;
        self.stored += more.stored;
        self.repeats += more.repeats;
        self.rejected += more.rejected + more.refused;
        self.skipped_rows += skipped_rows;
        if !matches!(became, Became::Done | Became::DoneBefore) && self.not_done.len() < NAMED_MAX {
            self.not_done.push(NotDone { name, became, end });
        }
    }

    /// How many files became this.
    pub fn files_that(&self, became: Became) -> u64 {
        self.files.get(&became).copied().unwrap_or(0)
    }

    /// How many objects were skipped for this reason.
    pub fn skipped_for(&self, why: Skip) -> u64 {
        self.skipped.get(&why).copied().unwrap_or(0)
    }
}
