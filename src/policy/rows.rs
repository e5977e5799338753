//! What the placeholders of one statement stand for: one row for each place, principal and external id that it is about.

use crate::object::BucketString;

use super::tree::Tree;
use super::{Arn, Place, PolicyError, Template, Values};

/// Values for the placeholders of one text.
#[derive(Clone, Debug, Default)]
pub(super) struct Row(Vec<(&'static str, String)>);

impl Row {
    fn set(&mut self, placeholder: &'static str, value: impl Into<String>) {
        self.0.push((placeholder, value.into()));
    }

    /// The text with every placeholder replaced, in one pass: what is filled in is not looked at again. `None` where this row
    /// has no value for one of them.
    pub(super) fn fill(&self, template: Template, text: &str) -> Option<String> {
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            if let Some((placeholder, behind)) = begins_with_placeholder(rest) {
                let (_, value) = self.0.iter().find(|(known, _)| *known == placeholder)?;
                let literal = placeholder == PREFIX && template != Template::Lifecycle;
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

const COLLECTOR: &str = "COLLECTOR_ARN";
const READER: &str = "READER_ARN";
const ROLE: &str = "ROLE_ARN";
const BUCKET: &str = "BUCKET";
const PREFIX: &str = "PREFIX/";
const KMS_KEY: &str = "KMS_KEY_ARN";
const REGION: &str = "REGION";
const ACCOUNT: &str = "ACCOUNT_ID";
const EXTERNAL_ID: &str = "EXTERNAL_ID";
const OTHER_EXTERNAL_ID: &str = "ANOTHER_EXTERNAL_ID";
/// No placeholders to a reader, but other in other partitions.
const ARN_START: &str = "arn:aws:";
const HOST_END: &str = ".amazonaws.com";

const PLACEHOLDERS: [&str; 12] = [
    COLLECTOR,
    READER,
    ROLE,
    BUCKET,
    PREFIX,
    KMS_KEY,
    REGION,
    ACCOUNT,
    OTHER_EXTERNAL_ID,
    EXTERNAL_ID,
    ARN_START,
    HOST_END,
];

fn begins_with_placeholder(text: &str) -> Option<(&'static str, &str)> {
    PLACEHOLDERS.iter().find_map(|known| text.strip_prefix(known).map(|behind| (*known, behind)))
}

/// `*`, `?` and `$` mean themselves in a policy only when written like this ("IAM policy elements: Variables and tags").
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

/// The rows of a statement, in groups: each group becomes a statement of its own.
pub(super) fn of(template: Template, item: &Tree, values: &Values) -> Result<Vec<Vec<Row>>, PolicyError> {
    if values.places.is_empty() {
        return Err(no_bucket(template));
    }
    let partition = partition(template, values)?;
    let places = asked_for(item, places(template, item, values)?);
    let mut rows = Vec::new();
    for (index, place) in places.iter().enumerate() {
        let mut row = Row::default();
        row.set(ARN_START, format!("arn:{partition}:"));
        row.set(HOST_END, if partition == "aws-cn" { ".amazonaws.com.cn" } else { HOST_END });
        if let Some(bucket) = &place.bucket {
            row.set(BUCKET, bucket.bucket());
            let prefix = bucket.prefix();
            row.set(PREFIX, if prefix.is_empty() { String::new() } else { format!("{prefix}/") });
        } else if item.mentions(BUCKET) || item.mentions(PREFIX) {
            return Err(no_bucket(template));
        }
        if let Some(role) = &place.role {
            row.set(ROLE, role.as_str());
        }
        if item.mentions(KMS_KEY) {
            row.set(KMS_KEY, key_arn(template, place, values)?.as_str());
        }
        if item.mentions(REGION) {
            row.set(REGION, region(template, place, values)?);
        }
        if item.mentions(ACCOUNT) {
            row.set(ACCOUNT, account(template, place, values)?);
        }
        if let Some(id) = &place.external_id {
            let first = places.iter().find_map(|place| place.external_id.as_ref());
            row.set(if first == Some(id) { EXTERNAL_ID } else { OTHER_EXTERNAL_ID }, id.as_str());
        }
        let whom = if item.mentions(COLLECTOR) { collectors(template, place, values)? } else { Vec::new() };
        if whom.is_empty() {
            rows.push((index, None, row.clone()));
        }
        for arn in whom {
            let mut row = row.clone();
            row.set(COLLECTOR, arn.as_str());
            rows.push((index, Some(arn), row));
        }
    }
    if item.mentions(READER) {
        rows = with_readers(rows, &values.readers);
    }
    Ok(group(template, item, rows))
}

type PlacedRow<'a> = (usize, Option<&'a Arn>, Row);

fn with_readers<'a>(rows: Vec<PlacedRow<'a>>, readers: &[Arn]) -> Vec<PlacedRow<'a>> {
    let each = |(index, whom, row): PlacedRow<'a>| {
        readers
            .iter()
            .map(move |reader| {
                let mut row = row.clone();
                row.set(READER, reader.as_str());
                (index, whom, row)
            })
            .collect::<Vec<_>>()
    };
    rows.into_iter().flat_map(each).collect()
}

/// What is granted to one principal, or for one key, stands apart from what is granted to another, unless it is the same.
fn group(template: Template, item: &Tree, rows: Vec<PlacedRow<'_>>) -> Vec<Vec<Row>> {
    let mut groups: Vec<(String, Vec<usize>, Vec<Row>)> = Vec::new();
    for (index, whom, row) in rows {
        let apart = match whom {
            Some(arn) => arn.to_string(),
            None if item.mentions(KMS_KEY) => row.fill(template, KMS_KEY).unwrap_or_default(),
            None if template == Template::Lifecycle => row.fill(template, PREFIX).unwrap_or_default(),
            None => String::new(),
        };
        match groups.iter_mut().find(|(known, ..)| *known == apart) {
            Some((_, places, rows)) => {
                places.push(index);
                rows.push(row);
            }
            None => groups.push((apart, vec![index], vec![row])),
        }
    }
    let mut merged: Vec<(Vec<usize>, Vec<Row>)> = Vec::new();
    for (_, places, rows) in groups {
        match merged.iter_mut().find(|(known, _)| *known == places) {
            Some((_, all)) => all.extend(rows),
            None => merged.push((places, rows)),
        }
    }
    merged.into_iter().map(|(_, rows)| rows).collect()
}

/// The places that a statement is about.
fn places<'a>(template: Template, item: &Tree, values: &'a Values) -> Result<Vec<&'a Place>, PolicyError> {
    let all: Vec<&Place> = values.places.iter().collect();
    let with_role = || all.iter().copied().filter(|place| place.role.is_some()).collect::<Vec<_>>();
    let with_key = || all.iter().copied().filter(|place| place.kms_key.is_some()).collect::<Vec<_>>();
    let or_all = |some: Vec<&'a Place>| if some.is_empty() { all.clone() } else { some };
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
            only(
                template,
                "KMS key",
                "--kms-key ARN",
                places.iter().filter_map(|place| place.kms_key.as_ref()),
            )?;
            Ok(places)
        }
        Template::Reader => Ok(all),
        Template::Bucket
        | Template::BucketCrossAccount
        | Template::BucketEnforceSseS3
        | Template::BucketEnforceSseKms
        | Template::BucketTlsOnly
        | Template::BucketCreateOnly
        | Template::Lifecycle
        | Template::Cloudformation => {
            only(
                template,
                "bucket",
                "--bucket NAME",
                all.iter().filter_map(|place| place.bucket.as_ref().map(BucketString::bucket)),
            )?;
            if template == Template::BucketEnforceSseKms && with_key().is_empty() {
                return Err(no_key(template));
            }
            Ok(all)
        }
    }
}

/// The one value there is, if any; two different ones are refused.
pub(super) fn only<T: PartialEq + std::fmt::Display>(
    template: Template,
    what: &'static str,
    flag: &'static str,
    among: impl IntoIterator<Item = T>,
) -> Result<Option<T>, PolicyError> {
    let mut all: Vec<T> = Vec::new();
    for value in among {
        if !all.contains(&value) {
            all.push(value);
        }
    }
    if all.len() < 2 {
        return Ok(all.pop());
    }
    let among = all.iter().map(ToString::to_string).collect();
    Err(PolicyError::Several { template, what, flag, among })
}

/// Without the places that do not use what the statement grants.
fn asked_for<'a>(item: &Tree, places: Vec<&'a Place>) -> Vec<&'a Place> {
    let action = item.member("Action").and_then(Tree::text).unwrap_or_default();
    let keyed = item.mentions(KMS_KEY);
    let used = |place: &&Place| match action {
        "s3:PutObjectTagging" => place.tags,
        "s3:PutObjectAcl" => place.acl,
        _ => !keyed || place.kms_key.is_some(),
    };
    places.into_iter().filter(used).collect()
}

/// Who writes there; for a trust policy, who assumes the role.
fn collectors<'a>(
    template: Template,
    place: &'a Place,
    values: &'a Values,
) -> Result<Vec<&'a Arn>, PolicyError> {
    let trust = matches!(template, Template::RoleTrust | Template::RoleTrustMany);
    match &place.role {
        Some(role) if !trust => Ok(vec![role]),
        _ if values.principals.is_empty() => Err(missing(
            template,
            "who the collector runs as",
            "--principal ARN, the role or user of its credentials (`aws sts get-caller-identity` names it)",
        )),
        _ => Ok(values.principals.iter().collect()),
    }
}

/// The key's ARN: policies match no other name of a key.
pub(super) fn key_arn(template: Template, place: &Place, values: &Values) -> Result<Arn, PolicyError> {
    let unusable = |what| PolicyError::Unusable { template, what };
    let key = place.kms_key.as_deref().ok_or_else(|| no_key(template))?;
    let text = if key.starts_with("arn:") || key.starts_with("alias/") {
        key.to_owned()
    } else {
        let partition = partition(template, values)?;
        let region = region(template, place, values)?;
        format!("arn:{partition}:kms:{region}:{}:key/{key}", account(template, place, values)?)
    };
    match text.parse::<Arn>() {
        Ok(arn) if arn.service() == "kms" && arn.resource().starts_with("key/") => Ok(arn),
        _ => Err(unusable(format!(
            "the KMS key {key} is not named by its ARN, and a policy matches no other name: give \
             --kms-key arn:aws:kms:REGION:ACCOUNT_ID:key/KEY_ID (`aws kms describe-key --key-id {key}` names it)"
        ))),
    }
}

/// The part of a key's ARN that is wanted, where the key is named by one.
fn of_key(place: &Place, part: impl Fn(&Arn) -> String) -> Option<String> {
    place.kms_key.as_deref()?.parse::<Arn>().ok().map(|arn| part(&arn)).filter(|part| !part.is_empty())
}

/// The region of bucket and key: S3 encrypts with keys of the bucket's region only.
pub(super) fn region(template: Template, place: &Place, values: &Values) -> Result<String, PolicyError> {
    let known = of_key(place, |arn| arn.region().to_owned()).or_else(|| place.region.clone());
    let known = known.or_else(|| values.region.clone());
    known.ok_or_else(|| missing(template, "the region", "--region REGION, or s3.region in the configuration"))
}

fn account(template: Template, place: &Place, values: &Values) -> Result<String, PolicyError> {
    let known = of_key(place, |arn| arn.account().to_owned()).or_else(|| values.account.clone());
    known.ok_or_else(|| missing(template, "the key's account", "--account, twelve digits"))
}

/// The partition that everything is in.
pub(super) fn partition(template: Template, values: &Values) -> Result<String, PolicyError> {
    let keys = values.places.iter().filter_map(|place| of_key(place, |arn| arn.partition().to_owned()));
    let roles = values.places.iter().filter_map(|place| place.role.as_ref());
    let arns = roles.chain(&values.principals).chain(&values.readers);
    let regions =
        values.places.iter().filter_map(|place| place.region.as_deref()).chain(values.region.as_deref());
    let of_region = |region: &str| match region {
        cn if cn.starts_with("cn-") => Some("aws-cn".to_owned()),
        gov if gov.starts_with("us-gov-") => Some("aws-us-gov".to_owned()),
        _ => None,
    };
    let mut all: Vec<String> =
        keys.chain(arns.map(|arn| arn.partition().to_owned())).chain(regions.filter_map(of_region)).collect();
    all.sort();
    all.dedup();
    match all.as_slice() {
        [] => Ok("aws".to_owned()),
        [only] => Ok(only.clone()),
        _ => Err(PolicyError::Several { template, what: "partition", flag: "--bucket NAME", among: all }),
    }
}

fn missing(template: Template, what: &'static str, give: &'static str) -> PolicyError {
    PolicyError::Missing { template, what, give }
}

fn no_bucket(template: Template) -> PolicyError {
    missing(template, "the bucket", "--bucket NAME/PREFIX, or --config FILE with s3.bucket")
}

fn no_key(template: Template) -> PolicyError {
    missing(template, "the KMS key", "--kms-key ARN, or encryption = { kms = \"…\" } in the configuration")
}

/// What is missing where a policy has nothing to say.
pub(super) fn nothing(template: Template) -> PolicyError {
    missing(
        template,
        "anything to grant",
        "--bucket NAME/PREFIX, or --config FILE with sources that deliver so",
    )
}

/// What is missing where nothing asks for a statement.
pub(super) fn nothing_for(template: Template, item: &Tree) -> PolicyError {
    let action = item.member("Action").and_then(Tree::text).unwrap_or_default();
    match action {
        "s3:PutObjectTagging" => missing(template, "a source with object tags", "them in the configuration"),
        "s3:PutObjectAcl" => missing(template, "a source with an object ACL", "it in the configuration"),
        "sts:AssumeRole" => missing(template, "a role", "--role ARN, or role_arn in the configuration"),
        _ if item.mentions(READER) => missing(template, "who reads", "--reader ARN"),
        _ if item.mentions(KMS_KEY) => no_key(template),
        _ => nothing(template),
    }
}
