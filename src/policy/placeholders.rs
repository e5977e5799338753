//! The placeholders of the templates, and their values.

use super::Template;

pub(super) const COLLECTOR: &str = "COLLECTOR_ARN";
pub(super) const READER: &str = "READER_ARN";
pub(super) const ROLE: &str = "ROLE_ARN";
pub(super) const BUCKET: &str = "BUCKET";
pub(super) const PREFIX: &str = "PREFIX/";
/// Where an import moves its files.
pub(super) const MOVED: &str = "MOVED_PREFIX/";
pub(super) const KMS_KEY: &str = "KMS_KEY_ARN";
pub(super) const REGION: &str = "REGION";
pub(super) const ACCOUNT: &str = "ACCOUNT_ID";
pub(super) const EXTERNAL_ID: &str = "EXTERNAL_ID";
pub(super) const OTHER_EXTERNAL_ID: &str = "ANOTHER_EXTERNAL_ID";
/// `arn:aws:`, and the host name after it, are no placeholders that people fill in. They are replaced because
/// they differ between AWS partitions. A service that is a principal has the same name in all of them.
pub(super) const ARN_START: &str = "arn:aws:";
pub(super) const REGION_HOST: &str = "REGION.amazonaws.com";
pub(super) const FUNCTION_ARN: &str = "FUNCTION_ARN";
/// The versions and aliases of a function that is named without one.
pub(super) const ANY_VERSION: &str = "FUNCTION_ARN:*";
pub(super) const FUNCTION: &str = "FUNCTION";
pub(super) const QUEUE: &str = "QUEUE_ARN";
pub(super) const FAILURES: &str = "FAILURES_ARN";
/// The buckets and prefixes besides those of the files, as placeholders.
pub(super) const JOURNAL: [&str; 2] = ["JOURNAL_BUCKET", "JOURNAL_PREFIX/"];
pub(super) const OUTPUT: [&str; 2] = ["OUTPUT_BUCKET", "OUTPUT_PREFIX/"];
pub(super) const REJECTS: [&str; 2] = ["REJECTS_BUCKET", "REJECTS_PREFIX/"];
/// The manifest of a job: one object, or what is below a prefix.
pub(super) const MANIFEST: [&str; 3] = ["MANIFEST_BUCKET", "MANIFEST_KEY", "MANIFEST_PREFIX/"];
pub(super) const REPORT: [&str; 2] = ["REPORT_BUCKET", "REPORT_PREFIX/"];

/// The placeholders that only templates of the CSV function have, and `JOURNAL` those of imports, too.
const OF_FUNCTION: [&str; 9] =
    [FUNCTION, QUEUE, FAILURES, JOURNAL[0], JOURNAL[1], OUTPUT[0], OUTPUT[1], REJECTS[0], REJECTS[1]];
/// The placeholders of jobs of S3 Batch Operations.
const OF_BATCH: [&str; 5] = [MANIFEST[0], MANIFEST[1], MANIFEST[2], REPORT[0], REPORT[1]];
/// Placeholders that are object keys or prefixes of them, as a person wrote them.
const KEYS: [&str; 8] =
    [PREFIX, MOVED, JOURNAL[1], OUTPUT[1], REJECTS[1], MANIFEST[1], MANIFEST[2], REPORT[1]];

/// The placeholders of all templates. A word with which another one begins comes after it.
const PLACEHOLDERS: [&str; 15] = [
    COLLECTOR, READER, ROLE, BUCKET, PREFIX, MOVED, KMS_KEY, REGION_HOST, REGION, ACCOUNT, OTHER_EXTERNAL_ID,
    EXTERNAL_ID, ANY_VERSION, FUNCTION_ARN, ARN_START,
];

/// The placeholder with which `text` begins, and the text after it.
fn begins_with_placeholder(text: &str) -> Option<(&'static str, &str)> {
    let mut all = PLACEHOLDERS.iter().chain(&OF_FUNCTION).chain(&OF_BATCH);
    all.find_map(|known| text.strip_prefix(known).map(|behind| (*known, behind)))
}

/// Values for the placeholders of one text.
#[derive(Clone, Debug, Default)]
pub(super) struct Row(Vec<(&'static str, String)>);

impl Row {
    pub(super) fn set(&mut self, placeholder: &'static str, value: impl Into<String>) {
        self.0.push((placeholder, value.into()));
    }

    /// The text with every placeholder replaced, in one pass: values that contain a placeholder's word stay
    /// as they are. `None` if this row has no value for one of them.
    pub(super) fn fill(&self, template: Template, text: &str) -> Option<String> {
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            if let Some((placeholder, behind)) = begins_with_placeholder(rest) {
                let (_, value) = self.0.iter().find(|(known, _)| *known == placeholder)?;
                let literal = KEYS.contains(&placeholder) && template != Template::Lifecycle;
                filled.push_str(&if literal { as_literal(value) } else { value.clone() });
                rest = behind;
            } else {
                filled.push(first);
                rest = rest.strip_prefix(first).unwrap_or_default();
            }
        }
        Some(filled)
    }
}

/// A key or prefix for a policy, in which `*`, `?` and `$` are literal only in this form ("IAM policy elements:
/// Variables and tags").
fn as_literal(prefix: &str) -> String {
    let mut literal = String::with_capacity(prefix.len());
    for c in prefix.chars() {
        if matches!(c, '*' | '?' | '$') {
            literal.extend(["${", c.encode_utf8(&mut [0; 4]), "}"]);
        } else {
            literal.push(c);
        }
    }
    literal
}
