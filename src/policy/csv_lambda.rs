//! The values of the function that imports CSV files from a bucket.

use crate::object::BucketString;

use super::placeholders::{ACCOUNT, FAILURES, FUNCTION, JOURNAL, KMS_KEY, OUTPUT, QUEUE, REJECTS, Row};
use super::problem::{Result, missing};
use super::tree::Tree;
use super::{CsvFunction, PolicyBucket, Template, Values};

/// Whether the function needs the statement.
pub(super) fn needs(item: &Tree, place: &PolicyBucket, function: &CsvFunction) -> bool {
    let action = item.member("Action").and_then(Tree::text).unwrap_or_default();
    if item.mentions(KMS_KEY) {
        // Without a place to write to, the function uses no data key.
        return place.kms_key.is_some() && (action != "kms:GenerateDataKey" || writes(function));
    }
    if item.mentions(JOURNAL[0]) {
        return function.journal.is_some();
    }
    if item.mentions(OUTPUT[0]) {
        return function.output.is_some();
    }
    if item.mentions(REJECTS[0]) {
        return function.rejects.is_some();
    }
    if item.mentions(QUEUE) {
        return function.queue.is_some();
    }
    if item.mentions(FAILURES) {
        return function.failures.is_some();
    }
    // The statement of the bucket names a principal; without one it is the function that invokes itself.
    action != "lambda:InvokeFunction" || item.member("Principal").is_some() || function.invokes_itself
}

fn writes(function: &CsvFunction) -> bool {
    function.journal.is_some() || function.output.is_some() || function.rejects.is_some()
}

/// The values of one statement. A text with a placeholder that gets none is left out.
pub(super) fn set(row: &mut Row, template: Template, item: &Tree, values: &Values) -> Result<()> {
    let function = values.function.as_ref();
    if item.mentions(FUNCTION) {
        let name = function.and_then(|function| function.name.as_ref());
        row.set(FUNCTION, name.ok_or_else(|| missing(template, "the function's name", "--function NAME"))?);
    }
    if item.mentions(ACCOUNT) {
        // Not that of the KMS key, which may be another account's.
        let none = || missing(template, "the account", "--account, twelve digits");
        row.set(ACCOUNT, values.account.as_ref().ok_or_else(none)?);
    }
    let Some(function) = function else { return Ok(()) };
    let others = [(JOURNAL, &function.journal), (OUTPUT, &function.output), (REJECTS, &function.rejects)];
    for ([bucket, prefix], place) in others {
        if let Some(place) = place {
            row.set(bucket, place.bucket());
            row.set(prefix, with_slash(place));
        }
    }
    for (placeholder, arn) in [(QUEUE, &function.queue), (FAILURES, &function.failures)] {
        if let Some(arn) = arn {
            row.set(placeholder, arn.as_str());
        }
    }
    Ok(())
}

/// The prefix with a slash at its end, or nothing.
pub(super) fn with_slash(bucket: &BucketString) -> String {
    let prefix = bucket.prefix();
    if prefix.is_empty() { String::new() } else { format!("{prefix}/") }
}
