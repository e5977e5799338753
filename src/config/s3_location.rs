//! Reads the settings that say where and how objects are put (bucket, encryption, role and so on), from
//! `[s3]` or a source.

use std::collections::BTreeMap;

use crate::object::{
    AccountId, BucketString, Encryption, ExternalId, KmsContext, KmsKey, Role, RoleArn, S3Location, SseKms,
    StorageClass,
};
use crate::sources::SourceId;
use crate::store::region::{BucketInHost, bucket_in_host, region_of_endpoint};

use super::raw::{Entry, Typed};
use super::reader::{self, Reader};
use super::s3::S3;
use super::values::{self, Endpoint};

/// The value of `role_arn` with which a source uses the process's own credentials instead of the role of
/// `[s3]`.
const NO_ROLE: &str = "none";

const ENCRYPTION_FORM: &str =
    "expected \"sse-s3\", \"none\", \"kms:KEY\" or { kms = \"KEY\", bucket_key = true, context = { … } }";

/// Reads the bucket of a source from its own keys and those of `[s3]`. `None` if neither sets a valid
/// bucket.
pub(super) fn of_source(reader: &mut Reader<'_>, id: Option<&SourceId>, s3: &S3) -> Option<S3Location> {
    let bucket = reader.optional("bucket", bucket);
    let region = reader.optional("region", reader::from_text(values::region));
    let encryption = reader.get("encryption", s3.encryption.clone(), encryption);
    let role = role(reader, id, s3);
    let owner = reader.optional("expected_bucket_owner", account);
    let storage_class = reader.optional("storage_class", reader::from_text(StorageClass::parse));
    if let (Some(bucket), Some(endpoint)) = (&bucket, &s3.endpoint)
        && let Some(what) = twice(endpoint, bucket)
    {
        reader.refuse("bucket", what);
    }
    let bucket = bucket.or_else(|| s3.bucket.clone())?;
    let region = region_of(&bucket, region, s3);
    if let (Some(of_key), Some(of_bucket)) = (encryption.kms().and_then(|kms| kms.key.region()), &region)
        && of_key != of_bucket
    {
        let what = format!(
            "the key is in {of_key} and the bucket in {of_bucket}: S3 accepts only keys of the bucket's region"
        );
        reader.refuse("encryption", what);
    }
    Some(S3Location {
        bucket,
        region,
        encryption,
        role,
        expected_bucket_owner: owner.or_else(|| s3.expected_bucket_owner.clone()),
        storage_class: storage_class.or(s3.storage_class),
    })
}

/// Why an endpoint does not go with a bucket: its host has the bucket already.
pub(super) fn twice(endpoint: &Endpoint, bucket: &BucketString) -> Option<String> {
    match bucket_in_host(endpoint.as_str(), bucket.bucket()) {
        Some(BucketInHost::Surely(without)) => Some(format!(
            "the host of s3.endpoint_url begins with the bucket's name, so keys would begin with it, too: set \
             endpoint_url = \"{without}\""
        )),
        Some(BucketInHost::Perhaps(_)) | None => None,
    }
}

/// The role to assume: the source's own, else that of `[s3]`. The external id is found in the same way; if
/// neither sets one, it is the source id.
fn role(reader: &mut Reader<'_>, id: Option<&SourceId>, s3: &S3) -> Option<Role> {
    let own_arn = reader.optional("role_arn", |value| match reader::text(value)? {
        NO_ROLE => Ok(None),
        text => RoleArn::parse(text).map(Some),
    });
    let own_id = reader.optional("external_id", reader::from_text(ExternalId::parse));
    let Some(arn) = own_arn.unwrap_or_else(|| s3.role_arn.clone()) else {
        if reader.has("external_id") && !reader.has("role_arn") {
            reader.refuse("external_id", "is used only with a role: set role_arn, or remove external_id");
        }
        return None;
    };
    let external_id = own_id.or_else(|| s3.external_id.clone());
    let external_id = match (external_id, id) {
        (Some(external_id), _) => external_id,
        (None, Some(id)) => match ExternalId::parse(id.as_str()) {
            Ok(external_id) => external_id,
            Err(_) => {
                let what = "is not set, and the source id, used instead, is too short: an external id needs at least 2 \
                       characters";
                reader.refuse("external_id", what);
                return None;
            }
        },
        (None, None) => return None,
    };
    Some(Role { arn, external_id })
}

/// Another bucket does not inherit the region, but a store at a custom endpoint has one region for all its
/// buckets.
fn region_of(bucket: &BucketString, own: Option<String>, s3: &S3) -> Option<String> {
    let inherited = || match (&s3.endpoint, &s3.bucket) {
        (Some(endpoint), _) => {
            Some(s3.region.clone().unwrap_or_else(|| region_of_endpoint(endpoint.as_str()).to_owned()))
        }
        (None, Some(shared)) if shared.bucket() == bucket.bucket() => s3.region.clone(),
        (None, _) => None,
    };
    own.or_else(inherited)
}

pub(super) fn bucket(value: &Typed) -> Result<BucketString, String> {
    BucketString::parse(reader::text(value)?).map_err(|error| error.what().to_owned())
}

pub(super) fn account(value: &Typed) -> Result<AccountId, String> {
    let digits = match value {
        // A number would have lost its leading zeros.
        Typed::Integer(_) => "",
        other => reader::text(other)?,
    };
    AccountId::parse(digits)
}

pub(super) fn encryption(value: &Typed) -> Result<Encryption, String> {
    match value {
        Typed::Text(text) | Typed::Variable(text) => match text.as_str() {
            "sse-s3" => Ok(Encryption::SseS3),
            "none" => Ok(Encryption::None),
            "kms" | "sse-kms" => {
                Err("needs a key: expected \"kms:KEY\" or { kms = \"KEY\" }; for the bucket's default encryption use \"none\"".to_owned())
            }
            text => {
                let key = text.strip_prefix("kms:").ok_or_else(|| ENCRYPTION_FORM.to_owned())?;
                let key = KmsKey::parse(key)?;
                Ok(Encryption::Kms(SseKms { key, bucket_key: None, context: KmsContext::default() }))
            }
        },
        Typed::Table(entries) => kms(entries).map(Encryption::Kms),
        _ => Err(ENCRYPTION_FORM.to_owned()),
    }
}

fn kms(entries: &[(String, Entry)]) -> Result<SseKms, String> {
    let (mut key, mut bucket_key, mut context) = (None, None, KmsContext::default());
    for (name, entry) in entries {
        match name.as_str() {
            "kms" => key = Some(KmsKey::parse(reader::text(&entry.value)?)?),
            "bucket_key" => {
                let yes = reader::boolean(&entry.value).map_err(|what| format!("bucket_key: {what}"))?;
                bucket_key = Some(yes);
            }
            "context" => context = kms_context(&entry.value)?,
            _ => return Err(format!("{name} is not a key of this table: {ENCRYPTION_FORM}")),
        }
    }
    let key = key.ok_or_else(|| ENCRYPTION_FORM.to_owned())?;
    Ok(SseKms { key, bucket_key, context })
}

fn kms_context(value: &Typed) -> Result<KmsContext, String> {
    let form = || "context: expected a table with text values, such as { team = \"data\" }".to_owned();
    let Typed::Table(entries) = value else { return Err(form()) };
    let pair = |(name, entry): &(String, Entry)| {
        Ok((name.clone(), reader::text(&entry.value).map_err(|_| form())?.to_owned()))
    };
    let pairs = entries.iter().map(pair).collect::<Result<BTreeMap<_, _>, String>>()?;
    KmsContext::new(pairs).map_err(|what| format!("context: {what}"))
}
