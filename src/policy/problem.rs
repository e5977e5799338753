//! Why a policy cannot be printed.

use super::Template;
use super::rows::{KMS_KEY, READER};
use super::tree::Tree;

/// Why a policy cannot be filled in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// Something that the template needs is not there.
    #[error("policy {}: {what} is missing: give {give}", .template.name())]
    Missing {
        /// The template.
        template: Template,
        /// What is missing.
        what: &'static str,
        /// The flag or setting that gives it.
        give: &'static str,
    },
    /// There are several, and the policy is for one.
    #[error("policy {} is for one {what}: pick one by {flag} ({})", .template.name(), .among.join(", "))]
    Several {
        /// The template.
        template: Template,
        /// Of what.
        what: &'static str,
        /// The flag that picks.
        flag: &'static str,
        /// What there is.
        among: Vec<String>,
    },
    /// What is there cannot be used.
    #[error("policy {}: {what}", .template.name())]
    Unusable {
        /// The template.
        template: Template,
        /// What is wrong with it, and what to give in its place.
        what: String,
    },
    /// There is no statement of that name.
    #[error("policy {} has no statement {sid}", .template.name())]
    NoStatement {
        /// The template.
        template: Template,
        /// Its name.
        sid: String,
    },
}

pub(super) fn missing(template: Template, what: &'static str, give: &'static str) -> PolicyError {
    PolicyError::Missing { template, what, give }
}

pub(super) fn no_bucket(template: Template) -> PolicyError {
    missing(template, "the bucket", "--bucket NAME/PREFIX, or --config FILE with s3.bucket")
}

pub(super) fn no_key(template: Template) -> PolicyError {
    missing(template, "the KMS key", "--kms-key ARN, or encryption = { kms = \"…\" } in the configuration")
}

/// What is missing where a policy has nothing to say.
pub(super) fn nothing(template: Template) -> PolicyError {
    missing(
        template,
        "anything to grant",
        "--bucket NAME/PREFIX, or --config FILE with sources that deliver so",
    )
}

/// What is missing where nothing asks for a statement.
pub(super) fn nothing_for(template: Template, item: &Tree) -> PolicyError {
    let action = item.member("Action").and_then(Tree::text).unwrap_or_default();
    match action {
        "s3:PutObjectTagging" => missing(template, "a source with object tags", "them in the configuration"),
        "s3:PutObjectAcl" => missing(template, "a source with an object ACL", "it in the configuration"),
        "sts:AssumeRole" => missing(template, "a role", "--role ARN, or role_arn in the configuration"),
        _ if item.mentions(READER) => missing(template, "who reads", "--reader ARN"),
        _ if item.mentions(KMS_KEY) => no_key(template),
        _ => nothing(template),
    }
}
