//! Finds the region, account and partition of buckets and keys, and the ARN of a key.

use super::placeholders::{KMS_KEY, REGION, REGION_HOST, Row};
use super::problem::{Result, missing, no_key, several, unusable};
use super::{PolicyBucket, Template, Values};

use crate::arn::{Arn, ArnParts, partition_of};

/// The key's ARN: policies identify a key by its ARN alone.
pub(super) fn key_arn(template: Template, place: &PolicyBucket, values: &Values) -> Result<Arn> {
    let key = place.kms_key.as_deref().ok_or_else(|| no_key(template))?;
    let text = if key.starts_with("arn:") || key.starts_with("alias/") {
        key.to_owned()
    } else {
        let partition = partition(template, values)?;
        let region = region(template, place, values)?;
        format!("arn:{partition}:kms:{region}:{}:key/{key}", account(template, place, values)?)
    };
    match text.parse::<Arn>() {
        Ok(arn) if arn.parts().service == "kms" && arn.parts().resource.starts_with("key/") => Ok(arn),
        _ => Err(unusable(
            template,
            &format!(
                "policies match a KMS key only by its ARN, and {key} is not the ARN of a key: give --kms-key \
             arn:aws:kms:REGION:ACCOUNT_ID:key/KEY_ID (`aws kms describe-key --key-id {key}` shows it)"
            ),
        )),
    }
}

/// Sets the values of a statement about the key of a place.
pub(super) fn set_key(
    row: &mut Row,
    template: Template,
    place: &PolicyBucket,
    values: &Values,
) -> Result<()> {
    row.set(KMS_KEY, key_arn(template, place, values)?.as_str());
    let region = region(template, place, values)?;
    let end = if partition(template, values)? == "aws-cn" { ".cn" } else { "" };
    row.set(REGION_HOST, format!("{region}.amazonaws.com{end}"));
    row.set(REGION, region);
    Ok(())
}

/// A part of the key's ARN, if the key is configured by its ARN.
fn of_key(place: &PolicyBucket, part: impl Fn(ArnParts<'_>) -> &str) -> Option<String> {
    let part = ArnParts::of(place.kms_key.as_deref()?).map(part)?;
    (!part.is_empty()).then(|| part.to_owned())
}

/// The region of bucket and key, which is the same: S3 accepts only keys of the bucket's region.
pub(super) fn region(template: Template, place: &PolicyBucket, values: &Values) -> Result<String> {
    let known = of_key(place, |arn| arn.region).or_else(|| place.region.clone());
    let known = known.or_else(|| values.region.clone());
    known.ok_or_else(|| missing(template, "the region", "--region REGION, or s3.region in the configuration"))
}

pub(super) fn account(template: Template, place: &PolicyBucket, values: &Values) -> Result<String> {
    let known = of_key(place, |arn| arn.account).or_else(|| values.account.clone());
    known.ok_or_else(|| missing(template, "the key's account", "--account, twelve digits"))
}

/// The one partition of all resources.
pub(super) fn partition(template: Template, values: &Values) -> Result<String> {
    let keys = values.places.iter().filter_map(|place| of_key(place, |arn| arn.partition));
    let roles = values.places.iter().filter_map(|place| place.role.as_ref());
    let of_destinations = values.destinations.iter().filter_map(|destination| destination.role.as_ref());
    let of_imports = values.imports.iter().filter_map(|import| import.role.as_ref());
    let arns =
        roles.chain(of_destinations).chain(of_imports).chain(&values.principals).chain(&values.readers);
    let regions =
        values.places.iter().filter_map(|place| place.region.as_deref()).chain(values.region.as_deref());
    // A region of the partition `aws` proves nothing: other stores use such names, too.
    let of_region =
        |region: &str| Some(partition_of(region).to_owned()).filter(|partition| partition != "aws");
    let mut all: Vec<String> = keys
        .chain(arns.map(|arn| arn.parts().partition.to_owned()))
        .chain(regions.filter_map(of_region))
        .collect();
    all.sort();
    all.dedup();
    match all.as_slice() {
        [] => Ok("aws".to_owned()),
        [only] => Ok(only.clone()),
        _ => Err(several(template, "partition", "--bucket NAME", &all)),
    }
}
