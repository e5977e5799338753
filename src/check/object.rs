//! Checks with the test object: put like delivery, put again, read and removed.

use crate::object::{AppliedEncryption, Encryption, KmsKey, ObjectKey};
use crate::store::{PutMode, Reason, Stored};

use super::finding::{CheckFinding, Remedy, Trial};
use super::fix;
use super::refusal::Refusal;
use super::subject::Subject;

/// The answers to putting the test object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutAnswer {
    /// The answer to the put as delivery sends it.
    pub answer: Result<Stored, Refusal>,
    /// The answer to a put without the condition, tried if the first may have failed because of it.
    pub unconditional: Option<Result<Stored, Refusal>>,
}

impl PutAnswer {
    /// What was stored, by either put.
    pub fn stored(&self) -> Option<&Stored> {
        self.answer.as_ref().ok().or_else(|| self.unconditional.as_ref()?.as_ref().ok())
    }

    /// Whether a refusal may concern the condition, so that a put without it should be tried.
    pub fn may_be_about_the_condition(refusal: &Refusal) -> bool {
        matches!(refusal.reason, Reason::NotImplemented | Reason::InvalidArgument)
    }
}

/// Whether the put is accepted.
pub fn put(subject: &Subject<'_>, key: &ObjectKey, put: &PutAnswer) -> CheckFinding {
    let trial = Trial::new("put", format!("PutObject {}/{key} ({})", subject.bucket(), subject.asked_for()));
    match (&put.answer, &put.unconditional) {
        (Ok(_), _) => trial.passed(format!("{key} is stored ({})", subject.asked_for())),
        (Err(refusal), Some(Ok(_))) => {
            trial.passed(format!("{key} is stored, without the condition ({refusal} with it)"))
        }
        (Err(refusal), _) => {
            trial.failed(refusal.to_string(), fix::put(subject, refusal, put.unconditional.is_some()))
        }
    }
}

/// The finding of a check that needs the object if none was stored.
pub fn without_object(check: &'static str, tried: &str) -> CheckFinding {
    Trial::new(check, tried).not_tested("not tested, because the put failed")
}

/// Whether the store encrypted as requested.
pub fn encryption(subject: &Subject<'_>, applied: Option<&AppliedEncryption>) -> CheckFinding {
    let asked = &subject.location.encryption;
    let trial =
        Trial::new("encryption", format!("the encryption that the store reports, with {asked} requested"));
    let nothing = AppliedEncryption::default();
    let applied = applied.unwrap_or(&nothing);
    match asked.mismatch(applied) {
        Some(what) => trial.failed(what, wrong_encryption(subject, applied)),
        None if applied.algorithm.is_none() => {
            trial.not_tested("none was requested, and the store does not report what it applied")
        }
        None if asked.algorithm().is_none() => trial.passed(format!("{applied}, the bucket's default")),
        None if asked.kms().is_some_and(|kms| kms.bucket_key == Some(true)) && !applied.bucket_key => trial
            .warning(
                format!(
                    "{applied}; the bucket key was requested, but the store does not report that it was used"
                ),
                vec![Remedy::say(
                    "this works, but without a bucket key each object costs a use of the KMS key",
                )],
            ),
        None => trial.passed(applied.to_string()),
    }
}

fn wrong_encryption(subject: &Subject<'_>, applied: &AppliedEncryption) -> Vec<Remedy> {
    let mut remedies = Vec::new();
    match applied.algorithm.as_deref() {
        None => remedies.push(Remedy::paste(
            "the store does not encrypt, or does not report it: if you know that it encrypts, request nothing",
            subject.setting("encryption = \"none\""),
        )),
        Some("AES256") => {
            let sse_s3 = subject.setting("encryption = \"sse-s3\"");
            remedies.push(Remedy::paste("if that is intended, configure it", sse_s3));
        }
        Some(_) => remedies.push(Remedy::paste(
            "if that key is intended, configure it",
            subject.setting(&format!(
                "encryption = {{ kms = \"{}\" }}",
                applied.kms_key.as_deref().filter(|key| KmsKey::parse(key).is_ok()).unwrap_or("…")
            )),
        )),
    }
    if subject.location.encryption != Encryption::None {
        remedies.push(Remedy::say(
            "if not, look for a proxy that changes the header between this machine and the store: S3 applies what is \
             requested",
        ));
    }
    remedies
}

/// Whether an existing object is protected. `again` is the answer to the same put a second time.
pub fn create_only(
    subject: &Subject<'_>,
    put: &PutAnswer,
    again: Option<&Result<Stored, Refusal>>,
) -> CheckFinding {
    let trial = Trial::new("create_only", "PutObject of the same key again, with If-None-Match: *");
    let overwrite = |text: &str| {
        vec![Remedy::paste(
            format!(
                "{text} (each call is still delivered once, but an object of the same name by another writer is replaced \
                 unnoticed)"
            ),
            "[s3]\nput = \"overwrite\"",
        )]
    };
    if subject.reach.put == PutMode::Overwrite {
        return trial.not_tested("s3.put = \"overwrite\": puts carry no condition");
    }
    if let (Err(refusal), Some(Ok(_))) = (&put.answer, &put.unconditional) {
        return trial.failed(
            format!("{refusal}: the store does not support the condition"),
            overwrite("put without the condition"),
        );
    }
    match again {
        None => trial.not_tested("not tested, because the put failed"),
        Some(Ok(_)) => trial.failed(
            "the second put was accepted: the store ignores the condition",
            overwrite("if the store has no conditional writes, put without the condition"),
        ),
        Some(Err(refusal)) if refusal.status == Some(412) => {
            trial.passed("the second put is refused with 412, as it should be")
        }
        Some(Err(refusal)) => trial.not_tested(format!(
            "the answer does not show whether the store supports the condition ({refusal})"
        )),
    }
}

/// Whether the object can be read with a HEAD, which avoids a second upload after a lost answer.
pub fn look(found: &Result<u64, Refusal>, len: u64) -> CheckFinding {
    let trial = Trial::new("look", "HeadObject of the test object");
    match found {
        Ok(theirs) if *theirs == len => trial.passed(format!("the object has the expected {len} bytes")),
        Ok(theirs) => trial.failed(
            format!("the object has {theirs} bytes, but {len} were put"),
            vec![Remedy::say("look for a proxy between this machine and the store that changes bodies")],
        ),
        Err(refusal) if refusal.is_denied() => trial.not_tested(format!(
            "not testable with these rights (s3:GetObject); not required, but without it another writer's object under \
             one of Forebay's keys is replaced without an alarm ({refusal})"
        )),
        Err(refusal) => trial.not_tested(format!("the object cannot be read; deliveries work without this ({refusal})")),
    }
}

/// The result of removing the test object. `Ok`: whether the bucket has versioning, so that the object is now
/// below a delete marker.
pub fn removal(subject: &Subject<'_>, key: &ObjectKey, removed: &Result<bool, Refusal>) -> CheckFinding {
    let trial = Trial::new("cleanup", format!("DeleteObject {}/{key}", subject.bucket()));
    match removed {
        Ok(false) => trial.passed("the test object is removed"),
        Ok(true) => {
            trial.passed("the test object is removed; the bucket keeps its version under a delete marker")
        }
        Err(refusal) => trial.not_tested(format!(
            "the test object stays, because it cannot be removed; the right to remove it is not required ({refusal})"
        )),
    }
}
