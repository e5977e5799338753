//! Checks the folders of the sources: whether a policy that allows the test object also allows their objects.
//!
//! A put with a wrong checksum stores nothing. A store that checks rights before checksums answers that
//! access is denied if the right is missing, and that the checksum is wrong if the right is there. A first
//! put, next to the test object, shows whether the store works this way.

use crate::object::{ObjectKey, S3Location};
use crate::sources::SourceId;
use crate::store::Reason;
use crate::time::ReceivedDay;
use crate::words::first_few;

use super::finding::{CheckFinding, Trial};
use super::fix;
use super::refusal::Refusal;
use super::subject::Subject;

/// The most sources of a bucket whose folders are tried, with three requests each.
pub const SOURCES_MAX: usize = 100;
/// The most refused folders shown by name.
const NAMED_MAX: usize = 3;

/// The answers to puts with a wrong checksum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answers {
    /// The put next to the test object was not refused for its checksum, so others would prove nothing.
    Unfit(Result<(), Refusal>),
    /// The answer for each folder.
    Of(Vec<(String, Result<(), Refusal>)>),
}

/// The keys to try, one in each folder that delivery writes to: those of each source's calls, rejected items
/// and markers.
pub(super) fn keys(to: &S3Location, sources: &[SourceId], day: ReceivedDay, name: &str) -> Vec<ObjectKey> {
    let root = to.bucket.below("segment-logs");
    let folders =
        |source| ["", "_rejected/", "_closed/"].map(|beside| format!("{root}/{beside}{source}/{day}/{name}"));
    sources.iter().take(SOURCES_MAX).flat_map(folders).map(ObjectKey::listed).collect()
}

/// Whether the store refused the checksum, and nothing else.
pub(super) fn is_about_the_checksum(answer: &Result<(), Refusal>) -> bool {
    answer.as_ref().is_err_and(|refusal| refusal.reason == Reason::Digest)
}

/// Whether the sources' objects are allowed.
pub fn judge(subject: &Subject<'_>, answers: &Answers) -> CheckFinding {
    let all = subject.sources.len();
    let trial = Trial::new("folders", format!("PutObject with a wrong checksum, below {}", subject.bucket()));
    let untold = "not tested whether a policy denies puts into the folder of a source; the first delivery will show it";
    let tried = match answers {
        Answers::Of(tried) => tried,
        Answers::Unfit(Ok(())) => {
            return trial.not_tested(format!("{untold}: the store accepts puts with a wrong checksum"));
        }
        Answers::Unfit(Err(refusal)) => return trial.not_tested(format!("{untold} ({refusal})")),
    };
    let refused = tried.iter().filter_map(|(folder, answer)| Some((folder, answer.as_ref().err()?)));
    let denied: Vec<(&String, &Refusal)> = refused.filter(|(_, refusal)| refusal.is_denied()).collect();
    if let Some((_, refusal)) = denied.first() {
        let folders = first_few(denied.iter().map(|(folder, _)| folder), NAMED_MAX);
        let found = format!("{folders} cannot be written to: {refusal}");
        return trial.failed(found, fix::put(subject, refusal, false));
    }
    let odd = tried.iter().find(|(_, answer)| !is_about_the_checksum(answer));
    match odd {
        Some((folder, Ok(()))) => trial.not_tested(format!(
            "{untold}: the store accepted a put with a wrong checksum; look for an object of this check in {folder}, \
             and remove it"
        )),
        Some((folder, Err(refusal))) => trial.not_tested(format!("{untold}: {folder}: {refusal}")),
        None if all > SOURCES_MAX => trial.passed(format!(
            "the folders of the first {SOURCES_MAX} of {all} sources are writable; the others are not tested"
        )),
        None if all == 1 => trial.passed("the folders of the source are writable"),
        None => trial.passed(format!("the folders of all {all} sources are writable")),
    }
}
