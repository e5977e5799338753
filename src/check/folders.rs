//! The folders of the sources: whether a policy that lets the test object in lets their objects in, too.
//!
//! A put whose checksum is wrong stores nothing. Where the rights are missing the store says so, since it looks at them before
//! it looks at the bytes; where they are there it refuses the checksum. Whether it does is tried beside the test object first.

use std::fmt;

use crate::object::{Destination, ObjectKey};
use crate::sources::SourceId;
use crate::store::Put;
use crate::store::fault::is_digest;
use crate::time::ReceivedDay;

use super::finding::{Finding, Trial};
use super::mend;
use super::refusal::Refusal;
use super::subject::Subject;

/// Sources of one destination whose folders are tried, three requests each.
pub const SOURCES_MAX: usize = 100;
/// Refused folders that are named.
const NAMED_MAX: usize = 3;

/// What came back for puts with a wrong checksum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answers {
    /// The one beside the test object was not refused for its checksum, so that others would tell nothing.
    Unfit(Result<(), Refusal>),
    /// One for each folder.
    Of(Vec<(String, Result<(), Refusal>)>),
}

/// The keys that are tried, each in a folder that delivery writes to: of the calls of every source, of what was rejected, and of
/// its markers.
pub(super) fn keys(to: &Destination, sources: &[SourceId], day: ReceivedDay, name: &str) -> Vec<ObjectKey> {
    let root = to.bucket.below("segment-logs");
    let folders =
        |source| ["", "_rejected/", "_closed/"].map(|beside| format!("{root}/{beside}{source}/{day}/{name}"));
    sources.iter().take(SOURCES_MAX).flat_map(folders).map(ObjectKey::listed).collect()
}

/// `put` at another key, with a checksum that is not that of its bytes.
pub(super) fn with_wrong_checksum(put: &Put, key: ObjectKey) -> Put {
    Put { key, crc32: !put.crc32, ..put.clone() }
}

/// Whether a store said that the checksum is wrong, and nothing else.
pub(super) fn is_about_the_checksum(answer: &Result<(), Refusal>) -> bool {
    answer.as_ref().is_err_and(|refusal| refusal.code.as_deref().is_some_and(is_digest))
}

/// Whether the sources' objects are let in.
pub fn judge(subject: &Subject<'_>, answers: &Answers) -> Finding {
    let all = subject.sources.len();
    let trial = Trial::new("folders", format!("PutObject with a wrong checksum, below {}", subject.bucket()));
    let untold = "whether a policy refuses the folder of one source is not tested, and would show at its first delivery";
    let tried = match answers {
        Answers::Of(tried) => tried,
        Answers::Unfit(Ok(())) => {
            return trial.not_tested(format!("{untold}: the store takes a put whose checksum is wrong"));
        }
        Answers::Unfit(Err(refusal)) => return trial.not_tested(format!("{untold} ({refusal})")),
    };
    let denied: Vec<(&str, &Refusal)> = tried
        .iter()
        .filter_map(|(folder, answer)| Some((folder.as_str(), answer.as_ref().err()?)))
        .filter(|(_, refusal)| refusal.is_denied())
        .collect();
    if let Some((_, refusal)) = denied.first() {
        let found = format!("{} cannot be written to: {refusal}", Named(&denied));
        return trial.failed(found, mend::put(subject, refusal, false));
    }
    let odd = tried.iter().find(|(_, answer)| !is_about_the_checksum(answer));
    match odd {
        Some((folder, Ok(()))) => trial.not_tested(format!(
            "{untold}: the store took a put whose checksum is wrong; look into {folder} for an object of this check, \
             and remove it"
        )),
        Some((folder, Err(refusal))) => trial.not_tested(format!("{untold}: {folder}: {refusal}")),
        None if all > SOURCES_MAX => trial.passed(format!(
            "those of the first {SOURCES_MAX} of {all} sources may be written to; the others are not tested"
        )),
        None => trial.passed(format!("those of {} may be written to", Sources(all))),
    }
}

struct Sources(usize);

impl fmt::Display for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            1 => f.write_str("the source"),
            all => write!(f, "all {all} sources"),
        }
    }
}

/// Some of the folders, and how many more there are.
struct Named<'a>(&'a [(&'a str, &'a Refusal)]);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named: Vec<&str> = self.0.iter().take(NAMED_MAX).map(|(folder, _)| *folder).collect();
        f.write_str(&named.join(", "))?;
        match self.0.len() - named.len() {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}
