//! The KMS key: whether it is there, in which state, and whether data keys may be made with it.

use crate::object::KmsKey;

use super::finding::{Finding, Remedy, Trial};
use super::mend::{self, Service};
use super::refusal::{Kind, Refusal};
use super::subject::Subject;

/// What the key service says of a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyFacts {
    /// Its ARN.
    pub arn: String,
    /// `Enabled`, `Disabled`, `PendingDeletion` …
    pub state: String,
    /// `ENCRYPT_DECRYPT`, `SIGN_VERIFY` …
    pub usage: String,
    /// `SYMMETRIC_DEFAULT`, `RSA_2048` …
    pub spec: String,
    /// When it will be deleted, where that is set.
    pub deletion: Option<String>,
}

/// Whether the key is there, on, and of the kind that S3 can use. `put` says whether the test object was put under it.
pub fn state(subject: &Subject<'_>, described: &Result<KeyFacts, Refusal>, put: bool) -> Finding {
    let key = subject.destination.encryption.kms().map_or("", |kms| kms.key.as_str());
    let trial = Trial::new("kms_key", format!("kms:DescribeKey {key}{}", in_region(subject)));
    match described {
        Ok(facts) => match wrong_with(subject, facts) {
            None => trial.passed(format!("{} is enabled and symmetric, for {}", facts.arn, facts.usage)),
            Some((what, remedies)) => trial.failed(what, remedies),
        },
        Err(refusal) => refused(subject, trial, refusal, put),
    }
}

fn in_region(subject: &Subject<'_>) -> String {
    subject.region.map_or_else(String::new, |region| format!(" in {region}"))
}

/// The first thing that keeps S3 from using the key ("Key states of AWS KMS keys"; "Using SSE-KMS": symmetric keys
/// only).
fn wrong_with(subject: &Subject<'_>, facts: &KeyFacts) -> Option<(String, Vec<Remedy>)> {
    // It goes into a command, and it came from outside.
    let configured = || subject.destination.encryption.kms().map_or("…", |kms| kms.key.as_str());
    let arn = KmsKey::parse(&facts.arn).map_or_else(|_| configured().to_owned(), |key| key.to_string());
    let arn = arn.as_str();
    let command = |verb: &str| format!("aws kms {verb} --key-id {arn}{}", mend::key_service(subject));
    let of_arn = arn.split(':').nth(3).unwrap_or_default();
    if let Some(region) = subject.region.filter(|region| !of_arn.is_empty() && *region != of_arn) {
        return Some((
            format!(
                "{arn} is in {of_arn} and the bucket in {region}: S3 takes keys of the bucket's region only"
            ),
            vec![Remedy::paste(
                format!("name a key of {region}"),
                format!("aws kms list-aliases --region {region}"),
            )],
        ));
    }
    if facts.usage != "ENCRYPT_DECRYPT" || facts.spec != "SYMMETRIC_DEFAULT" {
        return Some((
            format!(
                "{arn} is a key for {} of the kind {}, and S3 takes symmetric ENCRYPT_DECRYPT keys only",
                facts.usage, facts.spec
            ),
            vec![Remedy::paste("name another key, or make one", "aws kms create-key")],
        ));
    }
    let (what, remedies) = match facts.state.as_str() {
        "Enabled" => return None,
        "Disabled" => {
            ("is switched off".to_owned(), vec![Remedy::paste("switch it on", command("enable-key"))])
        }
        "PendingDeletion" | "PendingReplicaDeletion" => (
            match &facts.deletion {
                Some(at) => format!("is about to be deleted, on {at}"),
                None => "is about to be deleted".to_owned(),
            },
            vec![Remedy::paste(
                "keep it (objects under a deleted key can never be read again), and switch it on",
                format!("{}\n{}", command("cancel-key-deletion"), command("enable-key")),
            )],
        ),
        "PendingImport" => (
            "has no key material: it waits for an import, or its material has expired".to_owned(),
            vec![Remedy::say("import the key material")],
        ),
        "Unavailable" => (
            "is unavailable: its custom key store is not connected".to_owned(),
            vec![Remedy::say("connect the key store that the key is in")],
        ),
        "Creating" | "Updating" => {
            ("is not ready yet".to_owned(), vec![Remedy::say("run the check again in a minute")])
        }
        other => (format!("is in the state {other}"), vec![Remedy::say("S3 can use it when it is Enabled")]),
    };
    Some((format!("{arn} {what}"), remedies))
}

/// Whether data keys may be made. A dry run that would have succeeded is answered `DryRunOperationException`.
pub fn usable(subject: &Subject<'_>, answer: &Result<(), Refusal>, put: bool) -> Finding {
    let key = subject.destination.encryption.kms().map_or("", |kms| kms.key.as_str());
    let trial =
        Trial::new("kms_use", format!("kms:GenerateDataKey {key}{} as a dry run", in_region(subject)));
    match answer {
        Ok(()) => trial.passed("data keys may be made with it"),
        Err(refusal) if refusal.is("DryRunOperationException") => {
            trial.passed("data keys may be made with it")
        }
        Err(refusal) => refused(subject, trial, refusal, put),
    }
}

/// What stands in for a check of the key where no key service can be asked.
pub fn nobody_to_ask(check: &'static str, tried: &str) -> Finding {
    Trial::new(check, tried)
        .not_tested("the store is not AWS's own and s3.kms_endpoint_url is not set, so nobody can be asked")
}

fn refused(subject: &Subject<'_>, trial: Trial, refusal: &Refusal, put: bool) -> Finding {
    // S3 uses the key on behalf of whoever puts; rights to ask the key service directly are another matter.
    if refusal.is_denied() && put {
        return trial.not_tested(format!(
            "not testable with these rights; the put under this key succeeded ({refusal})"
        ));
    }
    if refusal.kind != Kind::Answered {
        return trial
            .not_tested(format!("the key service cannot be reached; only S3 needs to reach it ({refusal})"));
    }
    if let Some(remedies) = mend::common(Service::Key, refusal) {
        return if put {
            trial.warning(format!("{refusal}; the put under this key succeeded"), remedies)
        } else {
            trial.failed(refusal.to_string(), remedies)
        };
    }
    if refusal.is_denied() {
        // A policy of the key may let S3 use it and nobody else ask: the finding of the put names what is missing.
        return trial.not_tested(format!(
            "not testable with these rights, and nothing could be put under the key ({refusal})"
        ));
    }
    let code = refusal.code.as_deref().unwrap_or("");
    trial.failed(refusal.to_string(), vec![mend::key_state(subject, code)])
}
