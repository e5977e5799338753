//! Why a policy cannot be printed.

use super::Template;
use super::placeholders::{KMS_KEY, READER};
use super::tree::Tree;

/// Why a policy cannot be filled in: the text says which value is missing or wrong, and what to give.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("policy {0}")]
pub struct PolicyError(String);

/// What needs values to be filled in.
pub(super) type Result<T> = std::result::Result<T, PolicyError>;

/// A value cannot be used.
pub(super) fn unusable(template: Template, what: &str) -> PolicyError {
    PolicyError(format!("{}: {what}", template.name()))
}

/// The template has no statement of this name.
pub(super) fn no_statement(template: Template, sid: &str) -> PolicyError {
    PolicyError(format!("{} has no statement {sid}", template.name()))
}

/// There are several values, but the policy can have only one; `flag` selects it.
pub(super) fn several(template: Template, what: &str, flag: &str, among: &[String]) -> PolicyError {
    PolicyError(format!(
        "{} is for one {what}: select one with {flag} ({})",
        template.name(),
        among.join(", ")
    ))
}

/// A value that the template needs is missing. `give`: the flag or setting that gives it.
pub(super) fn missing(template: Template, what: &str, give: &str) -> PolicyError {
    unusable(template, &format!("{what} is missing: give {give}"))
}

pub(super) fn no_bucket(template: Template) -> PolicyError {
    missing(template, "the bucket", "--bucket NAME/PREFIX, or --config FILE with s3.bucket")
}

pub(super) fn no_key(template: Template) -> PolicyError {
    missing(template, "the KMS key", "--kms-key ARN, or encryption = { kms = \"…\" } in the configuration")
}

pub(super) fn no_collector(template: Template) -> PolicyError {
    missing(
        template,
        "the identity of the collector",
        "--principal ARN, the role or user of its credentials (`aws sts get-caller-identity` names it; of a session \
         arn:aws:sts::ACCOUNT:assumed-role/NAME/… give the role arn:aws:iam::ACCOUNT:role/NAME)",
    )
}

/// The error of a policy that would be empty.
pub(super) fn nothing(template: Template) -> PolicyError {
    missing(
        template,
        "any place that needs this policy",
        "--bucket NAME/PREFIX, or --config FILE with sources that need it",
    )
}

/// The error of a statement that no value needs.
pub(super) fn nothing_for(template: Template, item: &Tree) -> PolicyError {
    let action = item.member("Action").and_then(Tree::text).unwrap_or_default();
    match action {
        "s3:PutObjectTagging" => {
            missing(template, "a source with object tags", "s3.object_tags in the configuration")
        }
        "s3:PutObjectAcl" => missing(template, "a source with an object ACL", "s3.acl in the configuration"),
        "sts:AssumeRole" => missing(template, "a role", "--role ARN, or role_arn in the configuration"),
        _ if item.mentions(READER) => missing(template, "a reader", "--reader ARN"),
        _ if item.mentions(KMS_KEY) => no_key(template),
        _ => nothing(template),
    }
}
