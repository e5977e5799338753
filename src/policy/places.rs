//! Selects the places that a statement applies to, and the principals that write there.

use crate::arn::Arn;
use crate::object::BucketString;

use super::csv_lambda;
use super::placeholders::{KMS_KEY, ROLE};
use super::problem::{Result, missing, no_collector, no_key, several, unusable};
use super::tree::Tree;
use super::{PolicyBucket, Template, Values};

/// The places that a statement applies to.
pub(super) fn places<'a>(
    template: Template,
    item: &Tree,
    values: &'a Values,
) -> Result<Vec<&'a PolicyBucket>> {
    let all: Vec<&PolicyBucket> = values.places.iter().collect();
    let with_role = || all.iter().copied().filter(|place| place.role.is_some()).collect::<Vec<_>>();
    let with_key = || all.iter().copied().filter(|place| place.kms_key.is_some()).collect::<Vec<_>>();
    let or_all = |some: Vec<&'a PolicyBucket>| if some.is_empty() { all.clone() } else { some };
    match template {
        Template::Collector if item.mentions(ROLE) => Ok(with_role()),
        Template::Collector => Ok(all.into_iter().filter(|place| place.role.is_none()).collect()),
        Template::Role | Template::RoleTrust | Template::RoleTrustMany => {
            let places = or_all(with_role());
            only(template, "role", "--role ARN", places.iter().filter_map(|place| place.role.as_ref()))?;
            if template == Template::RoleTrust {
                let ids = places.iter().filter_map(|place| place.external_id.as_ref());
                only(template, "external id", "--external-id ID, or print role-trust-many", ids)?;
            }
            if template != Template::Role && places.iter().all(|place| place.external_id.is_none()) {
                return Err(missing(template, "the external id", "--external-id ID, or --config FILE"));
            }
            Ok(places)
        }
        Template::KmsKey => {
            let places = or_all(with_key());
            let keys = places.iter().filter_map(|place| place.kms_key.as_ref());
            only(template, "KMS key", "--kms-key ARN", keys)?;
            Ok(places)
        }
        // Those of destinations, imports and jobs depend on no place.
        Template::Reader
        | Template::LambdaDestinationInvoke
        | Template::LambdaDestinationTrust
        | Template::LambdaDestinationTrustMany
        | Template::LambdaDestinationCloudformation
        | Template::ImportRead
        | Template::ImportReadPrefix
        | Template::ImportAfter
        | Template::ImportTrust
        | Template::ImportBucket
        | Template::ImportSqs
        | Template::ImportQueue
        | Template::ImportNotify
        | Template::ImportJournal
        | Template::BatchTrust
        | Template::BatchRole => Ok(all),
        Template::Bucket
        | Template::BucketCrossAccount
        | Template::BucketEnforceSseS3
        | Template::BucketEnforceSseKms
        | Template::BucketTlsOnly
        | Template::BucketCreateOnly
        | Template::Lifecycle
        | Template::CsvLambdaExecution
        | Template::CsvLambdaResource
        | Template::CsvLambdaTrust
        | Template::Cloudformation => {
            let buckets = all.iter().filter_map(|place| place.bucket.as_ref()).map(BucketString::bucket);
            only(template, "bucket", "--bucket NAME", buckets)?;
            if item.member("Effect").and_then(Tree::text) == Some("Deny") {
                enforced(template, all)
            } else {
                Ok(all)
            }
        }
    }
}

/// The places that an enforced encryption applies to: those that request it.
fn enforced(template: Template, all: Vec<&PolicyBucket>) -> Result<Vec<&PolicyBucket>> {
    let (asks, none): (fn(&PolicyBucket) -> bool, _) = match template {
        Template::BucketEnforceSseS3 => {
            let give = "--bucket with such a bucket, or encryption = \"sse-s3\" in the configuration";
            (|place| place.sse_s3, missing(template, "a source that requests SSE-S3", give))
        }
        Template::BucketEnforceSseKms => (|place| place.kms_key.is_some(), no_key(template)),
        _ => return Ok(all),
    };
    let (bound, free): (Vec<&PolicyBucket>, Vec<&PolicyBucket>) =
        all.into_iter().partition(|place| asks(place));
    let shared = bound.iter().find(|place| free.iter().any(|other| other.bucket == place.bucket));
    match (bound.is_empty(), shared.and_then(|place| place.bucket.as_ref())) {
        (true, _) => Err(none),
        (_, Some(bucket)) => Err(unusable(
            template,
            &format!(
                "sources request different encryptions in {bucket}, so none can be enforced: give each encryption its own prefix"
            ),
        )),
        (false, None) => Ok(bound),
    }
}

/// The only value, if there is one. Different values are an error.
pub(super) fn only<T: PartialEq + std::fmt::Display>(
    template: Template,
    what: &str,
    flag: &str,
    among: impl IntoIterator<Item = T>,
) -> Result<Option<T>> {
    let mut all = each_once(among);
    if all.len() < 2 {
        return Ok(all.pop());
    }
    let among: Vec<String> = all.iter().map(ToString::to_string).collect();
    Err(several(template, what, flag, &among))
}

/// The values without duplicates, in the same order.
pub(super) fn each_once<T: PartialEq>(values: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut all = Vec::new();
    for value in values {
        if !all.contains(&value) {
            all.push(value);
        }
    }
    all
}

/// Only the places that use what the statement grants.
pub(super) fn asked_for<'a>(
    template: Template,
    item: &Tree,
    places: Vec<&'a PolicyBucket>,
    values: &Values,
) -> Vec<&'a PolicyBucket> {
    if let Some(function) = values.function.as_ref().filter(|_| template.is_of_function()) {
        return places.into_iter().filter(|place| csv_lambda::needs(item, place, function)).collect();
    }
    let action = item.member("Action").and_then(Tree::text).unwrap_or_default();
    let keyed = item.mentions(KMS_KEY);
    let used = |place: &&PolicyBucket| match action {
        "s3:PutObjectTagging" => place.tags,
        "s3:PutObjectAcl" => place.acl,
        _ => !keyed || place.kms_key.is_some(),
    };
    places.into_iter().filter(used).collect()
}

/// The principals that write there; for a trust policy, those that assume the role.
pub(super) fn collectors<'a>(
    template: Template,
    place: &'a PolicyBucket,
    values: &'a Values,
) -> Result<Vec<&'a Arn>> {
    let trust = matches!(template, Template::RoleTrust | Template::RoleTrustMany);
    match &place.role {
        Some(role) if !trust => Ok(vec![role]),
        _ if values.principals.is_empty() => Err(no_collector(template)),
        _ => Ok(values.principals.iter().collect()),
    }
}
