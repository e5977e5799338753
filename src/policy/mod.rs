//! The policies under `policies/`, filled in for a configuration: what AWS must be told so that Forebay may do what it
//! does, and nothing else. Pure: a template and values become a text.
//!
//! The files under `policies/` are what a person reads and fills in by hand; the program carries the same files, so the
//! two cannot differ. A placeholder is a word in capitals inside a JSON string (`BUCKET`, `PREFIX/`, `COLLECTOR_ARN`
//! …). Where a configuration gives several values for it, the string becomes a list.

mod arn;
mod cloudformation;
mod fill;
mod location;
mod places;
mod problem;
mod rows;
mod template;
mod tree;
mod values;

use template::Limit;

pub use arn::{Arn, NotAnArn};
pub use problem::PolicyError;
pub use template::Template;
pub use values::{Place, Values};

/// A whole policy, filled in: JSON as AWS takes it (YAML for [`Template::Cloudformation`]), without a newline behind
/// it.
///
/// Statements that the values give no reason for are left out: object tags, ACLs, KMS keys, roles.
///
/// # Errors
/// [`PolicyError`] names what is missing, and the flag or setting that gives it.
pub fn document(template: Template, values: &Values) -> Result<String, PolicyError> {
    fill::document(template, values)
}

/// What is wrong with the length of a policy, where AWS would not take it: in characters or bytes, as AWS counts.
pub fn too_long(template: Template, policy: &str) -> Option<String> {
    let (length, limit, unit) = match template::limit(template) {
        Limit::Characters(limit) => {
            (policy.chars().filter(|c| !c.is_whitespace()).count(), limit, "characters without white space")
        }
        Limit::Bytes(limit) => (policy.len(), limit, "bytes"),
        Limit::None => return None,
    };
    (length > limit).then(|| format!("the policy has {length} {unit}, and AWS takes {limit}"))
}

/// One statement of a policy, filled in, ready to be pasted into the `Statement` list of one that exists.
///
/// # Errors
/// [`PolicyError`] as [`document`], and where the template has no statement of that Sid.
pub fn statement(template: Template, sid: &str, values: &Values) -> Result<String, PolicyError> {
    fill::statement(template, sid, values)
}

#[cfg(test)]
mod tests;
