//! Checks that the bucket exists, and finds its region.

use super::finding::{CheckFinding, Remedy, Trial};
use super::fix::{self, Service};
use super::refusal::Refusal;
use super::subject::Subject;

/// The answer to `HeadBucket`. A refusal has no body, so no code: only status and headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadBucket {
    /// The region that was asked.
    pub asked_in: String,
    /// Whether it succeeded.
    pub answer: Result<(), Refusal>,
    /// The region that the answer names.
    pub region: Option<String>,
}

impl HeadBucket {
    /// The region to ask instead: the answer names another one, and is not 200 or 404.
    pub fn elsewhere(&self) -> Option<&str> {
        let refusal = self.answer.as_ref().err()?;
        let moved = matches!(refusal.status, Some(301 | 307 | 308 | 400));
        self.region.as_deref().filter(|region| moved && *region != self.asked_in)
    }

    /// Whether the service answered at all.
    pub fn is_answered(&self) -> bool {
        self.answer.as_ref().err().is_none_or(Refusal::is_answered)
    }
}

/// Whether the bucket exists. `head` is the last answer, from the region that the first one named.
pub fn exists(subject: &Subject<'_>, head: &HeadBucket) -> CheckFinding {
    let bucket = subject.bucket();
    let trial = Trial::new("bucket", format!("HeadBucket {bucket} in {}", head.asked_in));
    let Err(refusal) = &head.answer else { return trial.passed(format!("{bucket} exists")) };
    if refusal.status == Some(404) {
        return trial.failed(format!("404: bucket {bucket} does not exist"), fix::no_such_bucket(subject));
    }
    if let Some(remedies) = fix::common(Service::Store, refusal) {
        return trial.failed(refusal.to_string(), remedies);
    }
    match refusal.status {
        Some(403) => {
            let owner = subject.owner().map(|owner| format!(", or the owner is not account {owner}"));
            let owner = owner.unwrap_or_default();
            trial.not_tested(format!(
                "403: not testable with these rights (s3:ListBucket{owner}); not required: the put test below covers it"
            ))
        }
        Some(301 | 400) => trial.not_tested(format!("{refusal}: the region must be found first")),
        _ => trial.failed(refusal.to_string(), vec![Remedy::say("see the store's error message")]),
    }
}

/// Whether the region is known and configured correctly. `first` is the answer from the region that was asked
/// first.
pub fn region(subject: &Subject<'_>, first: &HeadBucket, last: &HeadBucket) -> CheckFinding {
    let bucket = subject.bucket();
    let trial = Trial::new(
        "region",
        format!("the region in the answer to HeadBucket {bucket} in {}", first.asked_in),
    );
    let configured = subject.location.region.as_deref();
    let found = last.region.as_deref().or(first.region.as_deref());
    let sent_away = first.elsewhere().is_some();
    match (found, configured) {
        (Some(found), Some(configured)) if found != configured && (subject.reach.is_aws() || sent_away) => {
            trial.warning(
                format!("{bucket} is in {found}, but {configured} is configured: Forebay uses the bucket's region, but \
                         must find it again at each start"),
                vec![Remedy::paste("set the bucket's region", fix::region_line(subject, Some(found)))],
            )
        }
        // A store other than AWS may name any region if it accepts requests for the configured one.
        (Some(found), _) => trial.passed(format!("{bucket} is in {found}")),
        (None, Some(configured)) if last.is_answered() && !matches!(status(last), Some(301 | 400 | 404)) => {
            trial.passed(format!("{configured}, as configured; the store does not report a region"))
        }
        (None, _) if !last.is_answered() => trial.not_tested("not tested, because the store did not answer"),
        (None, _) if status(last) == Some(404) => trial.not_tested("not tested, because the bucket does not exist"),
        // An expired session is also answered like this, without a body that gives the reason.
        (None, _) if status(last) == Some(400) => {
            trial.not_tested("the answer (400) names no region and gives no reason; the put test below covers it")
        }
        (None, _) => trial.failed(
            format!("the answer ({}) names no region", status(last).unwrap_or(200)),
            vec![Remedy::paste(
                "set the bucket's region (its owner can run `aws s3api get-bucket-location --bucket …`)",
                fix::region_line(subject, None),
            )],
        ),
    }
}

fn status(head: &HeadBucket) -> Option<u16> {
    head.answer.as_ref().err().and_then(|refusal| refusal.status)
}
