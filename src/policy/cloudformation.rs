//! The CloudFormation template: the values become defaults of its parameters.

use crate::object::BucketString;

use super::places::only;
use super::problem::{nothing, unusable};
use super::{PolicyError, Template, Values};

/// The template with a default for each parameter that has a value.
pub(super) fn document(values: &Values) -> Result<String, PolicyError> {
    let template = Template::Cloudformation;
    let named = || values.places.iter().filter_map(|place| place.bucket.as_ref());
    let buckets = named().map(BucketString::bucket);
    let bucket = only(template, "bucket", "--bucket NAME", buckets)?;
    let bucket = bucket.ok_or_else(|| nothing(template))?;
    let mut defaults = vec![("BucketName", bucket.to_owned())];
    let prefixes = named().map(BucketString::prefix);
    let prefix = only(template, "prefix", "--bucket NAME/PREFIX", prefixes)?.unwrap_or_default();
    if prefix.contains(['*', '?', '$']) {
        let what = format!(
            "the prefix {prefix} contains * ? or $, which this template does not support: use the JSON templates"
        );
        return Err(unusable(template, &what));
    }
    if !prefix.is_empty() {
        defaults.push(("Prefix", format!("{prefix}/")));
    }
    if let Some(principal) = only(template, "principal", "--principal ARN", &values.principals)? {
        defaults.push(("CollectorArn", principal.to_string()));
    }
    let mut ids: Vec<&str> = values.places.iter().filter_map(|place| place.external_id.as_deref()).collect();
    ids.dedup();
    if !ids.is_empty() {
        defaults.push(("ExternalIds", list_of_ids(template, &ids)?));
    }
    if let Some(reader) = only(template, "reader", "--reader ARN", &values.readers)? {
        defaults.push(("ReaderArn", reader.to_string()));
    }
    let keys = values.places.iter().filter_map(|place| place.kms_key.as_deref());
    if let Some(key) = only(template, "KMS key", "--kms-key ARN", keys)? {
        if values.places.iter().any(|place| place.kms_key.is_none()) {
            let what =
                "sources request different encryptions, but the stack enforces one: select with --bucket";
            return Err(unusable(template, what));
        }
        defaults.push(("Encryption", "sse-kms".to_owned()));
        if key.starts_with("alias/") {
            defaults.push(("KeyAlias", key.to_owned()));
        }
    }
    if values.places.iter().any(|place| place.kms_key.is_none() && !place.sse_s3) {
        let what = "a source requests no encryption (encryption = \"none\"), but the stack refuses such puts: set \
                    \"sse-s3\" or a key, or use the JSON templates";
        return Err(unusable(template, what));
    }
    if values.places.iter().any(|place| place.acl) {
        let what = "objects are configured to carry an ACL (s3.acl), but the stack's bucket accepts none, because \
                    its owner owns every object: remove s3.acl";
        return Err(unusable(template, what));
    }
    if values.places.iter().any(|place| place.tags) {
        defaults.push(("ObjectTags", "true".to_owned()));
    }
    Ok(with_defaults(template.text().trim_end(), &defaults))
}

/// External ids as CloudFormation reads a list.
pub(super) fn list_of_ids(template: Template, ids: &[&str]) -> Result<String, PolicyError> {
    match ids.iter().find(|id| id.contains(',')) {
        None => Ok(ids.join(",")),
        Some(id) => {
            let what = format!(
                "the external id {id} contains a comma, which CloudFormation reads as a separator: use another id"
            );
            Err(unusable(template, &what))
        }
    }
}

/// Adds a `Default` line after the heading of each such parameter, replacing an existing one.
pub(super) fn with_defaults(template: &str, defaults: &[(&str, String)]) -> String {
    let mut out: Vec<String> = Vec::new();
    let (mut among_parameters, mut replacing) = (false, false);
    for line in template.lines() {
        if !line.starts_with(' ') && !line.is_empty() {
            among_parameters = line == "Parameters:";
        }
        let heading = line.strip_prefix("  ").and_then(|rest| rest.strip_suffix(':'));
        if let Some(name) = heading.filter(|name| among_parameters && !name.starts_with(' ')) {
            let default = defaults.iter().find(|(known, _)| *known == name);
            replacing = default.is_some();
            out.push(line.to_owned());
            // A JSON string is also valid YAML.
            out.extend(
                default.map(|(_, value)| format!("    Default: {}", serde_json::Value::from(value.as_str()))),
            );
        } else if !(among_parameters && replacing && line.starts_with("    Default:")) {
            out.push(line.to_owned());
        }
    }
    out.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_is_added_to_its_own_parameter() {
        let template = "Parameters:\n  A:\n    Type: String\n    Default: old\n  B:\n    Default: kept\nResources:\n  A:\n    Type: X";
        let filled = with_defaults(template, &[("A", "n\"w".to_owned())]);
        assert_eq!(
            filled,
            "Parameters:\n  A:\n    Default: \"n\\\"w\"\n    Type: String\n  B:\n    Default: kept\nResources:\n  A:\n    \
             Type: X"
        );
    }
}
