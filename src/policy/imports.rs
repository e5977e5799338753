//! The values of an import of a bucket.

use super::location::{partition, set_key};
use super::placeholders::{
    ACCOUNT, ARN_START, BUCKET, COLLECTOR, EXTERNAL_ID, JOURNAL, KMS_KEY, MOVED, PREFIX, QUEUE, Row,
};
use super::problem::{Result, missing, no_collector, several, unusable};
use super::tree::Tree;
use super::{PolicyAfter, PolicyBucket, PolicyImport, Template, Values};

/// The rows of a statement, in groups: none if the import does not need it, else one with a row for each
/// principal.
pub(super) fn rows(template: Template, item: &Tree, values: &Values) -> Result<Vec<Vec<Row>>> {
    let import = only_import(template, values)?;
    if template == Template::ImportReadPrefix && import.prefix.is_empty() {
        let what = "the import has no prefix: print import-read, or give --bucket NAME/PREFIX";
        return Err(unusable(template, what));
    }
    if template == Template::ImportAfter && import.after.is_none() {
        let what = "the import does nothing with files that are imported: set `after` for it, and give --import NAME";
        return Err(unusable(template, what));
    }
    if !needs(template, item, import) {
        return Ok(Vec::new());
    }
    // S3 sends only to queues of the bucket's region.
    let of_queue = || import.queue.as_ref().map(|queue| queue.parts().region.to_owned());
    let place = PolicyBucket {
        region: import.region.clone().or_else(of_queue),
        kms_key: import.kms_key.clone(),
        role: import.role.clone(),
        ..PolicyBucket::default()
    };
    let of_import = Values {
        places: vec![place.clone()],
        destinations: Vec::new(),
        imports: Vec::new(),
        function: None,
        ..values.clone()
    };
    let partition = partition(template, &of_import)?;
    let mut row = Row::default();
    row.set(ARN_START, format!("arn:{partition}:"));
    // The name of the journal's bucket contains that of the files.
    if template != Template::ImportJournal && item.mentions(BUCKET) {
        let give = "--bucket NAME/PREFIX, or --config FILE with an [[import]]";
        row.set(BUCKET, import.bucket.as_ref().ok_or_else(|| missing(template, "the bucket", give))?);
        row.set(PREFIX, import.prefix.as_str());
        if let Some(PolicyAfter::Move(to)) = &import.after {
            row.set(MOVED, to.as_str());
        }
    }
    if item.mentions(JOURNAL[0]) {
        let none = || {
            missing(
                template,
                "the shared journal",
                "--config FILE with `journal = \"s3://…/\"` in the [[import]]",
            )
        };
        let (bucket, prefix) = import.journal.as_ref().ok_or_else(none)?;
        row.set(JOURNAL[0], bucket);
        row.set(JOURNAL[1], prefix);
    }
    if item.mentions(KMS_KEY) {
        set_key(&mut row, template, &place, &of_import)?;
    }
    if item.mentions(QUEUE) {
        let none = || missing(template, "the queue", "--queue ARN, or --config FILE with its queue_url");
        row.set(QUEUE, import.queue.as_ref().ok_or_else(none)?.as_str());
    }
    if item.mentions(ACCOUNT) {
        // Not that of the queue, which may be another one.
        let none = || missing(template, "the account of the bucket", "--account, twelve digits");
        row.set(ACCOUNT, values.account.as_ref().ok_or_else(none)?);
    }
    if item.mentions(EXTERNAL_ID) {
        let none = || missing(template, "the external id", "--external-id ID");
        row.set(EXTERNAL_ID, import.external_id.as_ref().ok_or_else(none)?);
    }
    if !item.mentions(COLLECTOR) {
        return Ok(vec![vec![row]]);
    }
    let principals = match &import.role {
        // The role reads; in its trust policy stands who assumes it.
        Some(role) if template != Template::ImportTrust => std::slice::from_ref(role),
        _ => values.principals.as_slice(),
    };
    if principals.is_empty() {
        return Err(no_collector(template));
    }
    let with = |arn: &crate::arn::Arn| {
        let mut row = row.clone();
        row.set(COLLECTOR, arn.as_str());
        row
    };
    Ok(vec![principals.iter().map(with).collect()])
}

/// The import that the policy is for.
fn only_import(template: Template, values: &Values) -> Result<&PolicyImport> {
    match values.imports.as_slice() {
        [] => {
            let give = "--import NAME, --bucket NAME/PREFIX, or --config FILE with an [[import]]";
            Err(missing(template, "the import", give))
        }
        [import] => Ok(import),
        all => {
            let names: Vec<String> = all.iter().map(|import| import.name.clone()).collect();
            Err(several(template, "import", "--import NAME", &names))
        }
    }
}

/// Whether an import needs the statement.
fn needs(template: Template, item: &Tree, import: &PolicyImport) -> bool {
    if let Some(after) = import.after.as_ref().filter(|_| template == Template::ImportAfter) {
        return needs_after(item, after) && (!item.mentions(KMS_KEY) || import.kms_key.is_some());
    }
    if item.mentions(KMS_KEY) {
        return import.kms_key.is_some();
    }
    if template == Template::ImportNotify {
        return !item.mentions(QUEUE) || import.asks_queue;
    }
    let lists = item.member("Action").and_then(Tree::text) == Some("s3:ListBucket");
    // The policy of a bucket has two statements for it, because one import has a prefix and another has none.
    template != Template::ImportBucket || !lists || item.mentions(PREFIX) != import.prefix.is_empty()
}

/// Whether an import that does this with its files needs the statement.
fn needs_after(item: &Tree, after: &PolicyAfter) -> bool {
    let moves = matches!(after, PolicyAfter::Move(_));
    match item.member("Action").and_then(Tree::text) {
        Some("s3:DeleteObject") => moves || *after == PolicyAfter::Delete,
        Some("s3:GetObjectTagging") => moves,
        _ if item.mentions(MOVED) => moves,
        _ => *after == PolicyAfter::Tag,
    }
}
