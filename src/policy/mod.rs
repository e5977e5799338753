//! The policies under `policies/`, filled in for a configuration. They grant in AWS exactly the rights that
//! Forebay needs. Pure: a template and values become a text.
//!
//! People can read the files under `policies/` and fill them in by hand. The program embeds the same files,
//! so the two cannot differ. A placeholder is a word in capitals inside a JSON string (`BUCKET`, `PREFIX/`,
//! `COLLECTOR_ARN` …). If a configuration has several values for it, the string becomes a list.

mod asked;
mod batch;
mod cloudformation;
mod csv_lambda;
mod fill;
mod imports;
mod lambda_destination;
mod location;
mod manifest;
mod names;
mod placeholders;
mod places;
mod problem;
mod rows;
mod template;
mod tree;
mod values;

use template::Limit;

pub use asked::{Asked, Configured, known, values};
pub use fill::{document, statement};
pub use manifest::{PolicyManifest, place_of_reports};
pub use names::{KafkaPolicy, PolicyName};
pub use problem::PolicyError;
pub use template::Template;
pub use values::{
    CsvFunction, PolicyAfter, PolicyBatch, PolicyBucket, PolicyDestination, PolicyImport, Values,
};

/// Reports a policy that is longer than AWS accepts. The length is counted as AWS counts it, in characters or
/// bytes.
pub fn too_long(template: Template, policy: &str) -> Option<String> {
    let (length, limit, unit) = match template.limit() {
        Limit::Characters(limit) => {
            (policy.chars().filter(|c| !c.is_whitespace()).count(), limit, "characters without white space")
        }
        Limit::Bytes(limit) => (policy.len(), limit, "bytes"),
        Limit::None => return None,
    };
    (length > limit).then(|| format!("the policy has {length} {unit}, but AWS accepts at most {limit}"))
}

#[cfg(test)]
mod tests;
