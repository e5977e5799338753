//! The test object: put as delivery puts, put again, looked at, removed.

use crate::object::{AppliedEncryption, Encryption, KmsKey, ObjectKey};
use crate::store::{PutMode, Stored};

use super::finding::{Finding, Remedy, Trial};
use super::mend;
use super::refusal::Refusal;
use super::subject::Subject;

/// What becomes of a test object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removal {
    /// It was removed.
    Removed {
        /// Whether the bucket keeps versions, so that only a marker stands above it now.
        marker: bool,
    },
    /// It could not be.
    Refused(Refusal),
}

/// How the test object was put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutAnswer {
    /// What the store said to the put as delivery sends it.
    pub answer: Result<Stored, Refusal>,
    /// What it said to a put without the condition, tried where it did not take the first.
    pub unconditional: Option<Result<Stored, Refusal>>,
}

impl PutAnswer {
    /// What was stored, by whichever put.
    pub fn stored(&self) -> Option<&Stored> {
        self.answer.as_ref().ok().or_else(|| self.unconditional.as_ref()?.as_ref().ok())
    }

    /// Whether a refusal may be about the condition, so that a put without it tells more.
    pub fn may_be_about_the_condition(refusal: &Refusal) -> bool {
        let by_code = matches!(
            refusal.code.as_deref(),
            Some("NotImplemented" | "InvalidArgument" | "InvalidRequest" | "MethodNotAllowed")
        );
        refusal.status == Some(501)
            || (by_code && refusal.status.is_some_and(|status| (400..500).contains(&status)))
    }
}

/// Whether the put is taken as it is.
pub fn put(subject: &Subject<'_>, key: &ObjectKey, put: &PutAnswer) -> Finding {
    let trial = Trial::new("put", format!("PutObject {}/{key} ({})", subject.bucket(), subject.asked_for()));
    match (&put.answer, &put.unconditional) {
        (Ok(_), _) => trial.passed(format!("{key} is stored ({})", subject.asked_for())),
        (Err(refusal), Some(Ok(_))) => {
            trial.passed(format!("{key} is stored, without the condition ({refusal} with it)"))
        }
        (Err(refusal), _) => {
            trial.failed(refusal.to_string(), mend::put(subject, refusal, put.unconditional.is_some()))
        }
    }
}

/// What stands in for a check of the object where none was stored.
pub fn without_object(check: &'static str, tried: &str) -> Finding {
    Trial::new(check, tried).not_tested("not tested, because nothing could be put")
}

/// Whether the store encrypted as asked.
pub fn encryption(subject: &Subject<'_>, applied: Option<&AppliedEncryption>) -> Finding {
    let asked = &subject.destination.encryption;
    let trial =
        Trial::new("encryption", format!("what the store says that it applied, where {asked} was asked for"));
    let nothing = AppliedEncryption::default();
    let applied = applied.unwrap_or(&nothing);
    match asked.mismatch(applied) {
        Some(what) => trial.failed(what, wrong_encryption(subject, applied)),
        None if applied.algorithm.is_none() => {
            trial.not_tested("none was asked for, and the store does not say what it applied")
        }
        None if asked.algorithm().is_none() => trial.passed(format!("{applied}, the bucket's default")),
        None if asked.kms().is_some_and(|kms| kms.bucket_key == Some(true)) && !applied.bucket_key => trial
            .warning(
                format!(
                    "{applied}; the bucket key was asked for, and the store does not say that it used it"
                ),
                vec![Remedy::say("it works; without a bucket key each object costs a use of the KMS key")],
            ),
        None => trial.passed(applied.to_string()),
    }
}

fn wrong_encryption(subject: &Subject<'_>, applied: &AppliedEncryption) -> Vec<Remedy> {
    let mut remedies = Vec::new();
    match applied.algorithm.as_deref() {
        None => remedies.push(Remedy::paste(
            "the store does not encrypt, or does not say so: where the latter is known, ask for nothing",
            subject.setting("encryption = \"none\""),
        )),
        Some("AES256") => {
            let sse_s3 = subject.setting("encryption = \"sse-s3\"");
            remedies.push(Remedy::paste("if that is what is wanted, say so", sse_s3));
        }
        Some(_) => remedies.push(Remedy::paste(
            "if that key is the one wanted, say so",
            subject.setting(&format!(
                "encryption = {{ kms = \"{}\" }}",
                applied.kms_key.as_deref().filter(|key| KmsKey::parse(key).is_ok()).unwrap_or("…")
            )),
        )),
    }
    if subject.destination.encryption != Encryption::None {
        remedies.push(Remedy::say(
            "if it is not, look at what rewrites the header between this machine and the store: S3 applies what it is \
             asked for",
        ));
    }
    remedies
}

/// Whether an object that exists is left alone. `again` is the answer to the same put a second time.
pub fn create_only(
    subject: &Subject<'_>,
    put: &PutAnswer,
    again: Option<&Result<Stored, Refusal>>,
) -> Finding {
    let trial = Trial::new("create_only", "PutObject of the same key again, with If-None-Match: *");
    let overwrite = |text: &str| {
        vec![Remedy::paste(
            format!(
                "{text} (each call is delivered once all the same; what is lost: an object of the same name by \
                 another writer is replaced without anybody noticing)"
            ),
            "[s3]\nput = \"overwrite\"",
        )]
    };
    if subject.reach.put == PutMode::Overwrite {
        return trial.not_tested("s3.put = \"overwrite\": nothing is put under the condition");
    }
    if let (Err(refusal), Some(Ok(_))) = (&put.answer, &put.unconditional) {
        return trial.failed(
            format!("{refusal}: the store does not know the condition"),
            overwrite("leave the condition out"),
        );
    }
    match again {
        None => trial.not_tested("not tested, because nothing could be put"),
        Some(Ok(_)) => trial.failed(
            "the second put was taken: the store does not heed the condition",
            overwrite("say that the store does not know conditional writes"),
        ),
        Some(Err(refusal)) if refusal.status == Some(412) => {
            trial.passed("the second put is refused with 412, as it should be")
        }
        Some(Err(refusal)) => {
            trial.not_tested(format!("what came back tells nothing of the condition ({refusal})"))
        }
    }
}

/// Whether the object can be looked at, which spares a second upload after an answer was lost.
pub fn look(found: &Result<u64, Refusal>, len: u64) -> Finding {
    let trial = Trial::new("look", "HeadObject of the test object");
    match found {
        Ok(theirs) if *theirs == len => trial.passed(format!("it has its {len} bytes")),
        Ok(theirs) => trial.failed(
            format!("it has {theirs} bytes, and {len} were put"),
            vec![Remedy::say("look at what is between this machine and the store: it changes bodies")],
        ),
        Err(refusal) if refusal.is_denied() => trial.not_tested(format!(
            "not testable with these rights (s3:GetObject); nothing needs it, but without it another writer's object \
             under a name of ours is replaced and only counted, where it would wait for a person ({refusal})"
        )),
        Err(refusal) => trial.not_tested(format!("it cannot be looked at; deliveries work without ({refusal})")),
    }
}

/// What becomes of the test object.
pub fn removal(subject: &Subject<'_>, key: &ObjectKey, removal: &Removal) -> Finding {
    let trial = Trial::new("cleanup", format!("DeleteObject {}/{key}", subject.bucket()));
    match removal {
        Removal::Removed { marker: false } => trial.passed("the test object is removed"),
        Removal::Removed { marker: true } => {
            trial.passed("the test object is removed; the bucket keeps its version under a delete marker")
        }
        Removal::Refused(refusal) => trial.not_tested(format!(
            "the test object stays: removing it is refused, and nothing needs it ({refusal})"
        )),
    }
}
