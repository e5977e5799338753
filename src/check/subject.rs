//! A bucket under check, and the policy statements that fix it.

use std::collections::{BTreeSet, HashMap};

use crate::arn::Arn;
use crate::object::{AccountId, ExternalId, ObjectTags, Role, S3Location};
use crate::policy::{self, PolicyBucket, Template, Values};
use crate::sources::SourceId;
use crate::store::PutMode;
use crate::words::first_few;

use super::finding::{Outcome, Remedy, RoleUse};

/// The most sources named next to a bucket. Further ones are only counted.
const SOURCES_SHOWN: usize = 3;

/// The settings with which every bucket is reached.
#[derive(Clone, Debug)]
pub struct Reach {
    /// The endpoint of a store other than AWS.
    pub endpoint_url: Option<String>,
    /// An STS endpoint other than AWS's own.
    pub sts_endpoint_url: Option<String>,
    /// A KMS endpoint other than AWS's own.
    pub kms_endpoint_url: Option<String>,
    /// Whether puts carry a checksum even if the store does not require one.
    pub checksums: bool,
    /// Whether a put may replace an object.
    pub put: PutMode,
    /// Whether objects carry `Content-Encoding: gzip`.
    pub content_encoding: bool,
    /// The tags of each object.
    pub tags: ObjectTags,
    /// Whether the bucket's owner gets full control of objects.
    pub acl: bool,
}

impl Reach {
    /// Whether the store is AWS, possibly through a VPC endpoint.
    pub fn is_aws(&self) -> bool {
        self.endpoint_url.as_deref().is_none_or(Self::is_of_aws)
    }

    /// Whether an endpoint is one of AWS.
    pub fn is_of_aws(url: &str) -> bool {
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        let host = rest.split(['/', ':']).next().unwrap_or_default();
        host.strip_suffix(".cn").unwrap_or(host).ends_with(".amazonaws.com")
    }

    /// Whether requests are sent without TLS.
    pub fn is_in_clear(&self) -> bool {
        self.endpoint_url.as_ref().is_some_and(|url| url.starts_with("http://"))
    }

    /// Whether there is a token service to ask: AWS's own, or a configured one.
    pub fn has_token_service(&self) -> bool {
        self.is_aws() || self.sts_endpoint_url.is_some()
    }

    /// Whether there is a key service to ask.
    pub fn has_key_service(&self) -> bool {
        self.is_aws() || self.kms_endpoint_url.is_some()
    }
}

/// A bucket, and its sources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocationUnderCheck {
    /// The bucket.
    pub location: S3Location,
    /// Its sources; at least one.
    pub sources: Vec<SourceId>,
}

impl LocationUnderCheck {
    /// The sources in a few words.
    pub fn sources_in_words(&self) -> String {
        let what = if self.sources.len() == 1 { "source" } else { "sources" };
        format!("{what} {}", first_few(&self.sources, SOURCES_SHOWN))
    }
}

/// An identity as policies name it: the role of a session, not the session.
pub(super) fn principal_of(identity: &str) -> Option<Arn> {
    let arn: Arn = identity.parse().ok()?;
    let of = arn.parts();
    if of.service != "sts" {
        return Some(arn);
    }
    // The path of a role is missing in the ARN of its sessions, but most roles have none.
    let name = of.resource.strip_prefix("assumed-role/")?.split('/').next()?;
    format!("arn:{}:iam::{}:role/{name}", of.partition, of.account).parse().ok()
}

/// A statement of a template, filled in. If a value is unknown, the remedy says which command prints the
/// statement once the value is given.
pub(super) fn statement(template: Template, sid: &str, values: &Values, text: String) -> Remedy {
    match policy::statement(template, sid, values) {
        Ok(statement) => Remedy::paste(text, statement),
        Err(error) => {
            Remedy::say(format!("{text}: statement {sid} of `forebay policy {}` ({error})", template.name()))
        }
    }
}

/// Distinct buckets, each with its sources, in the order of the sources.
pub fn locations(sources: impl IntoIterator<Item = (SourceId, S3Location)>) -> Vec<LocationUnderCheck> {
    let mut places = HashMap::new();
    let mut locations: Vec<LocationUnderCheck> = Vec::new();
    for (source, location) in sources {
        let next = locations.len();
        let place = *places.entry(location.clone()).or_insert(next);
        match locations.get_mut(place) {
            Some(known) => known.sources.push(source),
            None => locations.push(LocationUnderCheck { location, sources: vec![source] }),
        }
    }
    locations
}

/// A bucket under check, and the identity that asks.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The settings with which it is reached.
    pub reach: &'a Reach,
    /// The bucket.
    pub location: &'a S3Location,
    /// The identity of the process according to STS; `None` if unknown.
    pub process: Option<&'a str>,
    /// The bucket's region, if known.
    pub region: Option<&'a str>,
    /// Whether the endpoint answers like a listener of Forebay that is no store.
    pub is_forebay: bool,
    /// The sources of the bucket.
    pub sources: &'a [SourceId],
    /// All external ids for its role, also of other sources: a trust policy names them all.
    pub external_ids: Option<&'a BTreeSet<ExternalId>>,
}

impl Subject<'_> {
    /// The bucket's name.
    pub fn bucket(&self) -> &str {
        self.location.bucket.bucket()
    }

    /// Lines of the configuration, with the heading where they apply to this bucket. The configuration already has
    /// the tables of its sources, so a further one would be a second source.
    pub fn setting(&self, lines: &str) -> String {
        match self.sources {
            [source] => {
                format!(
                    "[s3]  # or in the table of source {source} if it overrides that or has its own bucket\n{lines}"
                )
            }
            _ => format!(
                "[s3]  # or in the table of each source that overrides it or has its own bucket\n{lines}"
            ),
        }
    }

    /// What a put requests besides storing bytes, in the words of the configuration.
    pub fn asked_for(&self) -> String {
        let bucket_key = self.location.encryption.kms().and_then(|kms| kms.bucket_key);
        let asked = [
            Some(format!("encryption {}", self.location.encryption)),
            bucket_key.map(|on| format!("bucket key {}", if on { "on" } else { "off" })),
            self.location.storage_class.map(|class| format!("storage class {class}")),
            self.reach.tags.any().then(|| "tags".to_owned()),
            self.reach.acl.then(|| "bucket-owner-full-control".to_owned()),
            self.owner().map(|owner| format!("owner {owner}")),
            self.reach.is_in_clear().then(|| "over plain HTTP".to_owned()),
            Some(if self.reach.put == PutMode::CreateOnly { "create-only" } else { "overwrite" }.to_owned()),
        ];
        asked.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }

    /// A statement that grants what was refused, filled in. If the writer's ARN is known, it is for the
    /// bucket's policy (which is enough within one account), otherwise for the writer's own policy.
    pub fn grant(&self, sid: &str, what: &str) -> Remedy {
        let role = self.location.role.as_ref();
        if role.is_none() && self.principal().is_some() {
            let template = if sid == "ForebayPuts" { Template::Bucket } else { Template::BucketCrossAccount };
            let bucket = self.bucket();
            let text = format!(
                "grant {what} in the policy of bucket {bucket} (if the bucket is in another account, also in the policy \
                 of {}: `forebay policy collector`)",
                self.process.unwrap_or("the user or role")
            );
            return self.statement(template, sid, text);
        }
        let (template, whom) = match role {
            Some(role) => (Template::Role, format!("the role {}", role.arn)),
            None => (Template::Collector, "the user or role of these credentials".to_owned()),
        };
        let text = format!(
            "grant {what} in the policy of {whom} (if the bucket is in another account, also in the bucket's policy: \
             `forebay policy bucket-cross-account`)"
        );
        self.statement(template, sid, text)
    }

    /// A statement of a template, filled in for the bucket.
    pub fn statement(&self, template: Template, sid: &str, text: String) -> Remedy {
        statement(template, sid, &self.values(), text)
    }

    /// The role that writes, and what fixes it.
    pub fn role_use<'r>(&self, role: &'r Role) -> RoleUse<'r> {
        let template = if self.external_ids.is_some_and(|ids| ids.len() > 1) {
            Template::RoleTrustMany
        } else {
            Template::RoleTrust
        };
        let text = format!("the trust policy of {} needs this statement", role.arn);
        RoleUse {
            role,
            purpose: "write",
            without_external_id: Outcome::Failed,
            trust: self.statement(template, "CollectorAssumes", text),
            others: vec![
                self.statement(
                    Template::Collector,
                    "ForebayAssumesRole",
                    "also allow the process to assume it, in the policy of its own user or role".to_owned(),
                ),
                Remedy::paste(
                    "or set the external id that the trust policy already requires",
                    self.setting("external_id = \"…\""),
                ),
            ],
        }
    }

    fn principal(&self) -> Option<Arn> {
        principal_of(self.process?)
    }

    fn values(&self) -> Values {
        let as_configured = PolicyBucket::of(self.location, self.reach.tags.any(), self.reach.acl);
        let region = self.region.map(str::to_owned).or_else(|| as_configured.region.clone());
        let place = PolicyBucket { region, ..as_configured };
        let with_id = |id: &ExternalId| PolicyBucket { external_id: Some(id.to_string()), ..place.clone() };
        let places = match self.external_ids {
            Some(ids) if ids.len() > 1 => ids.iter().map(with_id).collect(),
            _ => vec![place],
        };
        let principal = self.principal();
        Values {
            places,
            account: principal.as_ref().map(|arn| arn.parts().account.to_owned()),
            principals: principal.into_iter().collect(),
            ..Values::default()
        }
    }

    /// The owner that the bucket must have, if configured.
    pub fn owner(&self) -> Option<&AccountId> {
        self.location.expected_bucket_owner.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::{BucketString, Encryption};

    #[test]
    fn sources_with_the_same_bucket_are_one_target() {
        let to = |bucket: &str| S3Location::new(BucketString::parse(bucket).unwrap(), Encryption::SseS3);
        let source = |id: &str| SourceId::new(id).unwrap();
        let all = [("a", "one"), ("b", "two"), ("c", "one"), ("d", "one"), ("e", "one")];
        let found = locations(all.map(|(id, bucket)| (source(id), to(bucket))));
        let words: Vec<String> = found.iter().map(LocationUnderCheck::sources_in_words).collect();
        assert_eq!(words, ["sources a, c, d and 1 more", "source b"]);
    }

    #[test]
    fn a_vpc_endpoint_is_aws() {
        let check = |url: Option<&str>, yes| {
            let reach = Reach::of_test(url);
            assert_eq!(
                (reach.is_aws(), reach.has_token_service(), reach.has_key_service()),
                (yes, yes, yes),
                "{url:?}"
            );
        };
        check(None, true);
        check(Some("https://bucket.vpce-1a2b.s3.eu-west-1.vpce.amazonaws.com"), true);
        check(Some("https://s3.cn-north-1.amazonaws.com.cn"), true);
        check(Some("http://127.0.0.1:9000"), false);
        check(Some("https://amazonaws.com.example.com"), false);
    }
}
