//! Whether the bucket is there, and in which region.

use super::finding::{Finding, Remedy, Trial};
use super::mend::{self, Service};
use super::refusal::{Kind, Refusal};
use super::subject::Subject;

/// What `HeadBucket` was answered. A refusal has no body, so no code: status and headers are all there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadBucket {
    /// In which region it was asked.
    pub asked_in: String,
    /// Whether it succeeded.
    pub answer: Result<(), Refusal>,
    /// The region that the answer names.
    pub region: Option<String>,
}

impl HeadBucket {
    /// Whether the bucket must be asked elsewhere: the answer names another region, and does not say 200 or 404.
    pub fn elsewhere(&self) -> Option<&str> {
        let refusal = self.answer.as_ref().err()?;
        let moved = matches!(refusal.status, Some(301 | 307 | 308 | 400));
        self.region.as_deref().filter(|region| moved && *region != self.asked_in)
    }

    /// Whether the service answered at all.
    pub fn is_answered(&self) -> bool {
        self.answer.as_ref().err().is_none_or(|refusal| refusal.kind == Kind::Answered)
    }
}

/// Whether the bucket is there. `head` is the last answer, of the region that the first one named.
pub fn exists(subject: &Subject<'_>, head: &HeadBucket) -> Finding {
    let bucket = subject.bucket();
    let trial = Trial::new("bucket", format!("HeadBucket {bucket} in {}", head.asked_in));
    let refusal = match &head.answer {
        Ok(()) => return trial.passed(format!("{bucket} is there")),
        Err(refusal) => refusal,
    };
    if refusal.status == Some(404) {
        return trial.failed(format!("404: there is no bucket {bucket}"), mend::no_such_bucket(subject));
    }
    if let Some(remedies) = mend::common(Service::Store, refusal) {
        return trial.failed(refusal.to_string(), remedies);
    }
    match refusal.status {
        Some(403) => {
            let owner = subject
                .owner()
                .map_or_else(String::new, |owner| format!(", or it is not of account {owner}"));
            trial.not_tested(format!(
                "403: not testable with these rights (s3:ListBucket{owner}); nothing needs it, the put tells"
            ))
        }
        Some(301 | 400) => trial.not_tested(format!("{refusal}: the region must be known first")),
        _ => trial.failed(refusal.to_string(), vec![Remedy::say("the store's own words say what it misses")]),
    }
}

/// Whether the region is known, and the configured one is right. `first` is the answer of where was asked first.
pub fn region(subject: &Subject<'_>, first: &HeadBucket, last: &HeadBucket) -> Finding {
    let bucket = subject.bucket();
    let trial = Trial::new(
        "region",
        format!("the region in the answer to HeadBucket {bucket} in {}", first.asked_in),
    );
    let configured = subject.destination.region.as_deref();
    let found = last.region.as_deref().or(first.region.as_deref());
    let sent_away = first.elsewhere().is_some();
    match (found, configured) {
        (Some(found), Some(configured)) if found != configured && (subject.reach.is_aws() || sent_away) => {
            trial.warning(
                format!("{bucket} is in {found}, and {configured} is configured: Forebay goes where the bucket is, \
                         and asks again at each start"),
                vec![Remedy::paste("name the region that the bucket is in", mend::region_line(subject, found))],
            )
        }
        // A store that is not AWS says what it likes, as long as it takes requests for the region that is configured.
        (Some(found), _) => trial.passed(format!("{bucket} is in {found}")),
        (None, Some(configured)) if last.is_answered() && !matches!(status(last), Some(301 | 400 | 404)) => {
            trial.passed(format!("{configured}, as configured; the store does not name it"))
        }
        (None, _) if !last.is_answered() => trial.not_tested("not tested, because the store did not answer"),
        (None, _) if status(last) == Some(404) => trial.not_tested("not tested, because there is no such bucket"),
        // A session that has ended is answered like this, without a body that says so.
        (None, _) if status(last) == Some(400) => {
            trial.not_tested("the answer (400) names no region and gives no reason; the put tells")
        }
        (None, _) => trial.failed(
            format!("the answer ({}) names no region", status(last).unwrap_or(200)),
            vec![Remedy::paste(
                "name the bucket's region (`aws s3api get-bucket-location --bucket …` tells its owner)",
                mend::region_line(subject, "…"),
            )],
        ),
    }
}

fn status(head: &HeadBucket) -> Option<u16> {
    head.answer.as_ref().err().and_then(|refusal| refusal.status)
}
