//! The placeholders of the templates.

pub(super) const COLLECTOR: &str = "COLLECTOR_ARN";
pub(super) const READER: &str = "READER_ARN";
pub(super) const ROLE: &str = "ROLE_ARN";
pub(super) const BUCKET: &str = "BUCKET";
pub(super) const PREFIX: &str = "PREFIX/";
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
pub(super) const FUNCTION: &str = "FUNCTION";
pub(super) const QUEUE: &str = "QUEUE_ARN";
pub(super) const FAILURES: &str = "FAILURES_ARN";
/// The buckets and prefixes besides those of the files, as placeholders.
pub(super) const JOURNAL: [&str; 2] = ["JOURNAL_BUCKET", "JOURNAL_PREFIX/"];
pub(super) const OUTPUT: [&str; 2] = ["OUTPUT_BUCKET", "OUTPUT_PREFIX/"];
pub(super) const REJECTS: [&str; 2] = ["REJECTS_BUCKET", "REJECTS_PREFIX/"];

/// The placeholders that only templates of the CSV function have.
const OF_FUNCTION: [&str; 9] =
    [FUNCTION, QUEUE, FAILURES, JOURNAL[0], JOURNAL[1], OUTPUT[0], OUTPUT[1], REJECTS[0], REJECTS[1]];
/// Placeholders of `OF_FUNCTION` that are prefixes of object keys.
const PREFIXES_OF_FUNCTION: [&str; 3] = [JOURNAL[1], OUTPUT[1], REJECTS[1]];

/// The placeholders of all templates. A word with which another one begins comes after it.
const PLACEHOLDERS: [&str; 13] = [
    COLLECTOR, READER, ROLE, BUCKET, PREFIX, KMS_KEY, REGION_HOST, REGION, ACCOUNT, OTHER_EXTERNAL_ID,
    EXTERNAL_ID, FUNCTION_ARN, ARN_START,
];

/// The placeholder with which `text` begins, and the text after it.
pub(super) fn begins_with_placeholder(text: &str) -> Option<(&'static str, &str)> {
    let mut all = PLACEHOLDERS.iter().chain(&OF_FUNCTION);
    all.find_map(|known| text.strip_prefix(known).map(|behind| (*known, behind)))
}

/// Whether a placeholder stands for a prefix of object keys.
pub(super) fn is_prefix(placeholder: &str) -> bool {
    placeholder == PREFIX || PREFIXES_OF_FUNCTION.contains(&placeholder)
}
