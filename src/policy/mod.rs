//! The policies under `policies/`, filled in for a configuration. They grant in AWS exactly the rights that
//! Forebay needs. Pure: a template and values become a text.
//!
//! People can read the files under `policies/` and fill them in by hand. The program embeds the same files,
//! so the two cannot differ. A placeholder is a word in capitals inside a JSON string (`BUCKET`, `PREFIX/`,
//! `COLLECTOR_ARN` …). If a configuration has several values for it, the string becomes a list.

mod cloudformation;
mod csv_lambda;
mod fill;
mod lambda_destination;
mod location;
mod placeholders;
mod places;
mod problem;
mod row;
mod rows;
mod template;
mod tree;
mod values;

use template::Limit;

pub use problem::PolicyError;
pub use template::Template;
pub use values::{CsvFunction, PolicyBucket, PolicyDestination, Values};

/// A whole policy, filled in: JSON in the form that AWS accepts (YAML for a stack of CloudFormation),
/// without a newline at the end.
///
/// Statements that no value needs are left out: object tags, ACLs, KMS keys, roles, the places of a function.
///
/// # Errors
/// [`PolicyError`] names the missing value, and the flag or setting that gives it.
pub fn document(template: Template, values: &Values) -> Result<String, PolicyError> {
    fill::document(template, values)
}

/// Reports a policy that is longer than AWS accepts. The length is counted as AWS counts it, in characters or
/// bytes.
pub fn too_long(template: Template, policy: &str) -> Option<String> {
    let (length, limit, unit) = match template::limit(template) {
        Limit::Characters(limit) => {
            (policy.chars().filter(|c| !c.is_whitespace()).count(), limit, "characters without white space")
        }
        Limit::Bytes(limit) => (policy.len(), limit, "bytes"),
        Limit::None => return None,
    };
    (length > limit).then(|| format!("the policy has {length} {unit}, but AWS accepts at most {limit}"))
}

/// One statement of a policy, filled in, ready to be pasted into the `Statement` list of an existing policy.
///
/// # Errors
/// [`PolicyError`] as for [`document`], or if the template has no statement with this Sid.
pub fn statement(template: Template, sid: &str, values: &Values) -> Result<String, PolicyError> {
    fill::statement(template, sid, values)
}

#[cfg(test)]
mod tests;
