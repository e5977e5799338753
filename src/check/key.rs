//! Checks the KMS key: that it exists, its state, and whether it can generate data keys.

use crate::object::KmsKey;
use crate::store::reason::{KeyTrouble, Reason};

use super::finding::{CheckFinding, Remedy, Trial};
use super::fix::{self, Service};
use super::refusal::Refusal;
use super::subject::Subject;

/// A key, as described by KMS.
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
    /// When it will be deleted, if scheduled.
    pub deletion: Option<String>,
}

/// Whether the key exists, is enabled, and is of a kind that S3 can use. `put`: whether the put with it
/// succeeded.
pub fn state(subject: &Subject<'_>, described: &Result<KeyFacts, Refusal>, put: bool) -> CheckFinding {
    let key = subject.location.encryption.kms().map_or("", |kms| kms.key.as_str());
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

/// The first reason why S3 cannot use the key ("Key states of AWS KMS keys"; "Using SSE-KMS": only symmetric
/// keys).
fn wrong_with(subject: &Subject<'_>, facts: &KeyFacts) -> Option<(String, Vec<Remedy>)> {
    // The reported ARN becomes part of a command, so it is used only if it is valid.
    let configured = || subject.location.encryption.kms().map_or("…", |kms| kms.key.as_str());
    let arn = KmsKey::parse(&facts.arn).map_or_else(|_| configured().to_owned(), |key| key.to_string());
    let arn = arn.as_str();
    let command = |verb: &str| format!("aws kms {verb} --key-id {arn}{}", fix::key_service(subject));
    let of_arn = arn.split(':').nth(3).unwrap_or_default();
    if let Some(region) = subject.region.filter(|region| !of_arn.is_empty() && *region != of_arn) {
        return Some((
            format!(
                "{arn} is in {of_arn} and the bucket in {region}: S3 accepts only keys of the bucket's region"
            ),
            vec![Remedy::paste(
                format!("configure a key in {region}"),
                format!("aws kms list-aliases --region {region}"),
            )],
        ));
    }
    if facts.usage != "ENCRYPT_DECRYPT" || facts.spec != "SYMMETRIC_DEFAULT" {
        return Some((
            format!(
                "{arn} has the usage {} and the spec {}, but S3 accepts only symmetric ENCRYPT_DECRYPT keys",
                facts.usage, facts.spec
            ),
            vec![Remedy::paste("configure another key, or create one", "aws kms create-key")],
        ));
    }
    let (what, remedies) = match facts.state.as_str() {
        "Enabled" => return None,
        "Disabled" => ("is disabled".to_owned(), vec![Remedy::paste("enable it", command("enable-key"))]),
        "PendingDeletion" | "PendingReplicaDeletion" => (
            match &facts.deletion {
                Some(at) => format!("is pending deletion on {at}"),
                None => "is pending deletion".to_owned(),
            },
            vec![Remedy::paste(
                "cancel the deletion (objects encrypted with a deleted key can never be read again), and enable the key",
                format!("{}\n{}", command("cancel-key-deletion"), command("enable-key")),
            )],
        ),
        "PendingImport" => (
            "has no key material: it was not imported yet, or it has expired".to_owned(),
            vec![Remedy::say("import the key material")],
        ),
        "Unavailable" => (
            "is unavailable: its custom key store is not connected".to_owned(),
            vec![Remedy::say("connect its custom key store")],
        ),
        "Creating" | "Updating" => {
            ("is not ready yet".to_owned(), vec![Remedy::say("run the check again in a minute")])
        }
        other => {
            (format!("is in the state {other}"), vec![Remedy::say("S3 can use it only in the state Enabled")])
        }
    };
    Some((format!("{arn} {what}"), remedies))
}

/// Whether data keys can be generated. A dry run that would succeed is answered with
/// `DryRunOperationException`.
pub fn usable(subject: &Subject<'_>, answer: &Result<(), Refusal>, put: bool) -> CheckFinding {
    let key = subject.location.encryption.kms().map_or("", |kms| kms.key.as_str());
    let trial =
        Trial::new("kms_use", format!("kms:GenerateDataKey {key}{} as a dry run", in_region(subject)));
    match answer {
        Err(refusal) if refusal.reason != Reason::DryRun => refused(subject, trial, refusal, put),
        _ => trial.passed("data keys can be generated with it"),
    }
}

/// The finding of a key check without a key service.
pub fn nobody_to_ask(check: &'static str, tried: &str) -> CheckFinding {
    Trial::new(check, tried)
        .not_tested("the store is not AWS and s3.kms_endpoint_url is not set, so the key cannot be checked")
}

fn refused(subject: &Subject<'_>, trial: Trial, refusal: &Refusal, put: bool) -> CheckFinding {
    // S3 uses the key on behalf of the writer; rights to use KMS directly are separate.
    if refusal.is_denied() && put {
        return trial.not_tested(format!(
            "not testable with these rights; the put with this key succeeded ({refusal})"
        ));
    }
    if !refusal.is_answered() {
        return trial
            .not_tested(format!("the key service cannot be reached; only S3 needs to reach it ({refusal})"));
    }
    if let Some(remedies) = fix::common(Service::Key, refusal) {
        return if put {
            trial.warning(format!("{refusal}; the put with this key succeeded"), remedies)
        } else {
            trial.failed(refusal.to_string(), remedies)
        };
    }
    if refusal.is_denied() {
        // The key's policy may allow only S3 to use it; the finding of the put names what is missing.
        return trial.not_tested(format!(
            "not testable with these rights, and the put with the key failed ({refusal})"
        ));
    }
    let trouble = match refusal.reason {
        Reason::Key(trouble) => trouble,
        _ => KeyTrouble::Other,
    };
    trial.failed(refusal.to_string(), vec![fix::key_state(subject, trouble)])
}
