//! What is checked of one destination, and the statements of policies that mend it.

use std::collections::{BTreeSet, HashMap};

use crate::object::{AccountId, Destination, ExternalId, ObjectTags};
use crate::policy::{self, Arn, Place, Template, Values};
use crate::sources::SourceId;
use crate::store::PutMode;

use super::finding::Remedy;

/// Sources that are named beside a destination; of more only the number is told.
const SOURCES_SHOWN: usize = 3;

/// How every destination of a configuration is reached.
#[derive(Clone, Debug)]
pub struct Reach {
    /// A store that is not AWS's own.
    pub endpoint_url: Option<String>,
    /// A token service that is not AWS's own.
    pub sts_endpoint_url: Option<String>,
    /// A key service that is not AWS's own.
    pub kms_endpoint_url: Option<String>,
    /// Whether a put may replace an object.
    pub put: PutMode,
    /// Whether objects say that they are gzip.
    pub content_encoding: bool,
    /// The tags of each object.
    pub tags: ObjectTags,
    /// Whether objects are given to the bucket's owner.
    pub acl: bool,
}

impl Reach {
    /// Whether the store is AWS's own, perhaps by a VPC endpoint.
    pub fn is_aws(&self) -> bool {
        let Some(url) = &self.endpoint_url else { return true };
        let rest = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
        let host = rest.split(['/', ':']).next().unwrap_or_default();
        host.strip_suffix(".cn").unwrap_or(host).ends_with(".amazonaws.com")
    }

    /// Whether requests go without TLS.
    pub fn is_in_clear(&self) -> bool {
        self.endpoint_url.as_ref().is_some_and(|url| url.starts_with("http://"))
    }

    /// Whether a token service can be asked: AWS's own, or one that is configured.
    pub fn has_token_service(&self) -> bool {
        self.is_aws() || self.sts_endpoint_url.is_some()
    }

    /// Whether a key service can be asked.
    pub fn has_key_service(&self) -> bool {
        self.is_aws() || self.kms_endpoint_url.is_some()
    }
}

/// A destination, and the sources whose objects go there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Where and how.
    pub destination: Destination,
    /// Whose objects; at least one.
    pub sources: Vec<SourceId>,
}

impl Target {
    /// Which sources it stands for, in a few words.
    pub fn sources_in_words(&self) -> String {
        let shown: Vec<&str> = self.sources.iter().take(SOURCES_SHOWN).map(SourceId::as_str).collect();
        match self.sources.len().saturating_sub(shown.len()) {
            0 if shown.len() == 1 => format!("source {}", shown.join("")),
            0 => format!("sources {}", shown.join(", ")),
            more => format!("sources {} and {more} more", shown.join(", ")),
        }
    }
}

/// Distinct destinations, each with its sources, in the order of the sources.
pub fn targets(sources: impl IntoIterator<Item = (SourceId, Destination)>) -> Vec<Target> {
    let mut places = HashMap::new();
    let mut targets: Vec<Target> = Vec::new();
    for (source, destination) in sources {
        let next = targets.len();
        let place = *places.entry(destination.clone()).or_insert(next);
        match targets.get_mut(place) {
            Some(target) => target.sources.push(source),
            None => targets.push(Target { destination, sources: vec![source] }),
        }
    }
    targets
}

/// A destination under check: what is asked of it, and who asks.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// How it is reached.
    pub reach: &'a Reach,
    /// Where and how.
    pub destination: &'a Destination,
    /// Who the process is, as the token service says; `None` where that is not known.
    pub process: Option<&'a str>,
    /// The bucket's region where it is known.
    pub region: Option<&'a str>,
    /// The sources that go there.
    pub sources: &'a [SourceId],
    /// All external ids with which its role is assumed, for other sources too: a trust policy names them all.
    pub external_ids: Option<&'a BTreeSet<ExternalId>>,
}

impl Subject<'_> {
    /// The bucket's name.
    pub fn bucket(&self) -> &str {
        self.destination.bucket.bucket()
    }

    /// Lines of the configuration, under the heading where they hold for this destination: in a source's own table, which
    /// stands above `[s3]`, or for many sources there.
    pub fn setting(&self, lines: &str) -> String {
        match self.sources {
            [source] => format!("[[source]]\nid = \"{source}\"\n{lines}"),
            _ => format!(
                "[s3]  # or in the table of each source that sets it itself, or has a bucket of its own\n{lines}"
            ),
        }
    }

    /// What a put asks for beside the bytes, in the words of the configuration.
    pub fn asked_for(&self) -> String {
        let mut asked = vec![format!("encryption {}", self.destination.encryption)];
        if let Some(bucket_key) = self.destination.encryption.kms().and_then(|kms| kms.bucket_key) {
            asked.push(format!("bucket key {}", if bucket_key { "on" } else { "off" }));
        }
        if let Some(class) = self.destination.storage_class {
            asked.push(format!("storage class {class}"));
        }
        if self.reach.tags.any() {
            asked.push("tags".to_owned());
        }
        if self.reach.acl {
            asked.push("bucket-owner-full-control".to_owned());
        }
        if let Some(owner) = &self.destination.expected_bucket_owner {
            asked.push(format!("owner {owner}"));
        }
        if self.reach.is_in_clear() {
            asked.push("over plain HTTP".to_owned());
        }
        asked.push(match self.reach.put {
            PutMode::CreateOnly => "create-only".to_owned(),
            PutMode::Overwrite => "overwrite".to_owned(),
        });
        asked.join(", ")
    }

    /// A statement that grants what was refused, filled in. Where the writer's ARN is known it goes into the bucket's
    /// policy (which suffices within one account), else into the policy of whoever that is.
    pub fn grant(&self, sid: &str, what: &str) -> Remedy {
        let role = self.destination.role.as_ref();
        if role.is_none() && self.principal().is_some() {
            let template = if sid == "ForebayPuts" { Template::Bucket } else { Template::BucketCrossAccount };
            let bucket = self.bucket();
            let text = format!(
                "grant {what} in the policy of bucket {bucket} (of another account than the bucket's, also in the \
                 policy of {}: forebay policy collector)",
                self.process.unwrap_or("the user or role")
            );
            return self.statement(template, sid, text);
        }
        let (template, whom) = match role {
            Some(role) => (Template::Role, format!("the role {}", role.arn)),
            None => (Template::Collector, "the user or role whose credentials these are".to_owned()),
        };
        let text = format!(
            "grant {what} in the policy of {whom} (where the bucket is of another account, also in its own: forebay \
             policy bucket-cross-account)"
        );
        self.statement(template, sid, text)
    }

    /// A statement of one template, filled in; where a value for it is not known, how to print it with that.
    pub fn statement(&self, template: Template, sid: &str, text: String) -> Remedy {
        match policy::statement(template, sid, &self.values()) {
            Ok(statement) => Remedy::paste(text, statement),
            Err(error) => Remedy::say(format!(
                "{text}: statement {sid} of `forebay policy {}` ({error})",
                template.name()
            )),
        }
    }

    /// Who the process is, as a policy names it: the role of a session, not the session.
    fn principal(&self) -> Option<Arn> {
        let arn: Arn = self.process?.parse().ok()?;
        if arn.service() != "sts" {
            return Some(arn);
        }
        // The path of a role does not stand in the ARN of its sessions; most have none.
        let name = arn.resource().strip_prefix("assumed-role/")?.split('/').next()?.to_owned();
        format!("arn:{}:iam::{}:role/{name}", arn.partition(), arn.account()).parse().ok()
    }

    fn values(&self) -> Values {
        let as_configured = Place::of(self.destination, self.reach.tags.any(), self.reach.acl);
        let region = self.region.map(str::to_owned).or_else(|| as_configured.region.clone());
        let place = Place { region, ..as_configured };
        let with_id = |id: &ExternalId| Place { external_id: Some(id.to_string()), ..place.clone() };
        let places = match self.external_ids {
            Some(ids) if ids.len() > 1 => ids.iter().map(with_id).collect(),
            _ => vec![place],
        };
        let principal = self.principal();
        Values {
            places,
            account: principal.as_ref().map(|arn| arn.account().to_owned()),
            principals: principal.into_iter().collect(),
            ..Values::default()
        }
    }

    /// The owner that the bucket must have, where one is configured.
    pub fn owner(&self) -> Option<&AccountId> {
        self.destination.expected_bucket_owner.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::{BucketString, Encryption};

    #[test]
    fn sources_of_one_destination_are_one_target() {
        let to = |bucket: &str| Destination::new(BucketString::parse(bucket).unwrap(), Encryption::SseS3);
        let source = |id: &str| SourceId::new(id).unwrap();
        let all = [("a", "one"), ("b", "two"), ("c", "one"), ("d", "one"), ("e", "one")];
        let found = targets(all.map(|(id, bucket)| (source(id), to(bucket))));
        let words: Vec<String> = found.iter().map(Target::sources_in_words).collect();
        assert_eq!(words, ["sources a, c, d and 1 more", "source b"]);
    }

    #[test]
    fn a_vpc_endpoint_is_aws() {
        let check = |url: Option<&str>, yes| {
            let reach = Reach {
                endpoint_url: url.map(str::to_owned),
                sts_endpoint_url: None,
                kms_endpoint_url: None,
                put: PutMode::CreateOnly,
                content_encoding: true,
                tags: ObjectTags::default(),
                acl: false,
            };
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
