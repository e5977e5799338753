//! What mends a refused request: from a service's code to a setting, a statement of a policy or a command.

use crate::object::Encryption;
use crate::policy::Template;
use crate::store::PutMode;

use super::finding::Remedy;
use super::refusal::{Kind, Refusal};
use super::subject::Subject;

/// Whom a request was sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// The store.
    Store,
    /// The token service.
    Token,
    /// The key service.
    Key,
}

impl Service {
    fn name(self) -> &'static str {
        match self {
            Self::Store => "the store",
            Self::Token => "the token service",
            Self::Key => "the key service",
        }
    }

    fn setting(self) -> &'static str {
        match self {
            Self::Store => "s3.endpoint_url",
            Self::Token => "s3.sts_endpoint_url",
            Self::Key => "s3.kms_endpoint_url",
        }
    }
}

/// Credentials as they are commonly given.
const CREDENTIALS: &str = "export AWS_ACCESS_KEY_ID=… AWS_SECRET_ACCESS_KEY=…";

/// How credentials are given.
pub fn give_credentials() -> Vec<Remedy> {
    vec![
        Remedy::say(
            "give the process credentials: best a role of the machine it runs on (EC2 instance profile, ECS task \
             role, EKS service account), which renews itself",
        ),
        Remedy::paste("or, from elsewhere, in its environment (or in ~/.aws, with AWS_PROFILE)", CREDENTIALS),
    ]
}

/// What mends a failure that has nothing to do with what was asked for: no answer, bad credentials, a clock, a busy
/// service. `None` where it is about the request itself.
pub fn common(service: Service, refusal: &Refusal) -> Option<Vec<Remedy>> {
    let (name, setting) = (service.name(), service.setting());
    let say = |text: String| Some(vec![Remedy::say(text)]);
    match refusal.kind {
        Kind::Name => {
            return say(format!(
                "the name of {name} is not known here: correct {setting}, or the DNS of this machine (in a VPC \
                 without a way out: an endpoint for the service)"
            ));
        }
        Kind::Connect => {
            return say(format!(
                "nobody listens there or no way leads there: correct {setting}, or let this machine out to it \
                 (security group, firewall, route, VPC endpoint)"
            ));
        }
        Kind::Tls => {
            return say(format!(
                "no TLS connection to {name}: it must show a certificate for its name that this machine trusts; add \
                 its authority to the system's certificates or name its file in SSL_CERT_FILE"
            ));
        }
        Kind::Timeout => {
            return say(format!(
                "no answer from {name} in time: let this machine out to it (security group, firewall, route, VPC \
                 endpoint), or give it more time with --timeout"
            ));
        }
        Kind::Other => {
            return say(format!(
                "the connection to {name} broke: run the check again, and look at what is between"
            ));
        }
        Kind::Credentials => return Some(give_credentials()),
        Kind::Answered => {}
    }
    match refusal.code.as_deref().unwrap_or("") {
        "InvalidAccessKeyId" | "InvalidClientTokenId" | "UnrecognizedClientException" => {
            Some(vec![Remedy::paste(
                "the access key is not known there (deleted, switched off, or of another store): give one that is",
                CREDENTIALS,
            )])
        }
        "SignatureDoesNotMatch" | "InvalidSignatureException" | "IncompleteSignature" => {
            Some(vec![Remedy::paste(
                "the secret key does not belong to the access key (or something between changes requests): give the \
                 pair again",
                CREDENTIALS,
            )])
        }
        "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" => Some(vec![Remedy::say(
            "the session that these credentials are of has ended: get new ones, or use ones that renew themselves (a \
             role of the machine, s3.role_arn)",
        )]),
        "InvalidToken" => Some(vec![Remedy::say(
            "the session token does not belong to the access key: give all three of AWS_ACCESS_KEY_ID, \
             AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN of one session",
        )]),
        "RequestTimeTooSkewed" | "RequestExpired" => Some(vec![set_the_clock()]),
        "SlowDown" | "ServiceUnavailable" | "InternalError" | "Throttling" | "ThrottlingException" => {
            say(format!("{name} is busy: run the check again; deliveries wait and try again by themselves"))
        }
        _ if refusal.status.is_some_and(|status| status >= 500 && status != 501) => say(format!(
            "{name} has a fault of its own: run the check again; deliveries wait and try again by themselves"
        )),
        _ => None,
    }
}

/// How a clock is set.
pub fn set_the_clock() -> Remedy {
    Remedy::paste("set this machine's clock, and keep it set", "timedatectl set-ntp true")
}

/// What mends a refused put. `unconditional`: it was refused without the condition, too.
pub fn put(subject: &Subject<'_>, refusal: &Refusal, unconditional: bool) -> Vec<Remedy> {
    if let Some(kms) = subject.destination.encryption.kms()
        && refusal.code.as_deref() == Some("InvalidAccessKeyId")
    {
        // So Ceph says of a KMS key that it does not have.
        let key = format!(
            "the store does not know the KMS key {}, or, where it refuses every request, the access key: name a key that it has",
            kms.key
        );
        return vec![Remedy::paste(key, subject.setting("encryption = { kms = \"…\" }"))];
    }
    if let Some(remedies) = common(Service::Store, refusal) {
        return remedies;
    }
    if refusal.is_denied() {
        return denied_put(subject, refusal);
    }
    if refusal.message.starts_with("find the region") {
        let text = "name the bucket's region, so that it need not be found; credentials that are no good are another \
                    cause";
        return vec![Remedy::paste(text, region_line(subject, subject.region.unwrap_or("…")))];
    }
    let settings = |text: &str, paste: &str| vec![Remedy::paste(text, paste)];
    let code = refusal.code.as_deref().unwrap_or("");
    // `kms:` is MinIO's.
    if let Some(kms) = code.strip_prefix("KMS.").or_else(|| code.strip_prefix("kms:")) {
        return vec![key_state(subject, kms)];
    }
    match (refusal.status, code) {
        (Some(404), "") | (_, "NoSuchBucket") => no_such_bucket(subject),
        (Some(301), _)
        | (_, "PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException") => {
            vec![Remedy::paste(
                "the bucket is in another region: name it (or leave it out, and it is found)",
                region_line(subject, subject.region.unwrap_or("…")),
            )]
        }
        (_, "AccessControlListNotSupported") => settings(
            "the bucket takes no ACLs, and its owner owns every object: leave the ACL out",
            "[s3]\n# acl = \"bucket-owner-full-control\"",
        ),
        (_, "InvalidStorageClass") => vec![Remedy::say(
            "the store does not know this storage class: take s3.storage_class (or the source's) out",
        )],
        (Some(412), _) => vec![Remedy::say(
            "an object of this name is said to exist already, and it cannot: look whether something between this \
             machine and the store answers in its place",
        )],
        (Some(501), _) | (_, "NotImplemented") => not_implemented(subject, unconditional),
        (_, "BadDigest" | "InvalidDigest" | "XAmzContentSHA256Mismatch" | "XAmzContentChecksumMismatch") => {
            settings(
                "the store received other bytes than were sent, or counts the checksum in another way: look at what \
                 is between; a store that does not know checksums needs",
                "[s3]\nchecksums = \"when-required\"",
            )
        }
        (Some(400), _) => not_implemented(subject, unconditional),
        _ => vec![Remedy::say("the store's own words say what it misses")],
    }
}

fn not_implemented(subject: &Subject<'_>, unconditional: bool) -> Vec<Remedy> {
    let mut remedies = vec![if unconditional || subject.reach.put == PutMode::Overwrite {
        Remedy::paste(
            "the store does not take the request as it is sent, not without the condition either; where it does not know \
             checksums, this leaves them out",
            "[s3]\nchecksums = \"when-required\"",
        )
    } else {
        Remedy::paste(
            "the store does not take the request as it is sent; where it does not know checksums or conditional writes, \
             these leave them out",
            "[s3]\nchecksums = \"when-required\"\nput = \"overwrite\"",
        )
    }];
    if subject.destination.encryption != Encryption::None && subject.reach.endpoint_url.is_some() {
        let none = subject.setting("encryption = \"none\"");
        remedies.push(Remedy::paste("where it does not encrypt as asked", none));
    }
    remedies
}

/// What is to be done where a bucket is not there.
pub fn no_such_bucket(subject: &Subject<'_>) -> Vec<Remedy> {
    let bucket = subject.bucket();
    let region = subject.region.or(subject.destination.region.as_deref()).unwrap_or("us-east-1");
    let mut command = format!("aws s3api create-bucket --bucket {bucket} --region {region}");
    if region != "us-east-1" {
        command.push_str(&format!(" --create-bucket-configuration LocationConstraint={region}"));
    }
    if let Some(endpoint) = &subject.reach.endpoint_url {
        command.push_str(&format!(" --endpoint-url {endpoint}"));
    }
    vec![Remedy::paste("correct the bucket's name (s3.bucket, or the source's), or make it", command)]
}

/// A region, as a setting.
pub fn region_line(subject: &Subject<'_>, region: &str) -> String {
    subject.setting(&format!("region = \"{region}\""))
}

fn denied_put(subject: &Subject<'_>, refusal: &Refusal) -> Vec<Remedy> {
    let mut remedies = match refusal.missing_action() {
        _ if refusal.is_explicit_deny() => Vec::new(),
        Some("s3:PutObject") => vec![subject.grant("ForebayPuts", "s3:PutObject")],
        Some("s3:PutObjectTagging") => vec![tagging(subject)],
        Some("s3:PutObjectAcl") => vec![acl(subject)],
        Some(action) if action.starts_with("kms:") => key_use(subject),
        _ => {
            let mut all = vec![subject.grant("ForebayPuts", "s3:PutObject")];
            all.extend(subject.reach.tags.any().then(|| tagging(subject)));
            all.extend(subject.reach.acl.then(|| acl(subject)));
            if subject.destination.encryption.kms().is_some() {
                all.extend(key_use(subject));
            }
            all
        }
    };
    let explicitly = if refusal.is_explicit_deny() {
        "a policy refuses this put explicitly"
    } else {
        "where all of this is granted, a policy of the bucket (or of the organisation) refuses the put"
    };
    remedies.push(Remedy::paste(
        format!(
            "{explicitly}: compare its conditions with what is sent ({}); a bucket that demands another encryption \
             needs one of these",
            subject.asked_for()
        ),
        other_encryptions(subject),
    ));
    if subject.reach.is_in_clear() {
        remedies.push(Remedy::paste(
            "a bucket that demands TLS refuses what comes over plain HTTP",
            "[s3]\nendpoint_url = \"https://…\"",
        ));
    }
    if let Some(owner) = subject.owner() {
        remedies.push(Remedy::say(format!(
            "a bucket that is not of account {owner} is refused in the same way: compare expected_bucket_owner"
        )));
    }
    remedies
}

fn other_encryptions(subject: &Subject<'_>) -> String {
    let configured = &subject.destination.encryption;
    let lines = [
        (Encryption::SseS3.algorithm(), "encryption = \"sse-s3\""),
        (Some("aws:kms"), "encryption = { kms = \"arn:aws:kms:…\", bucket_key = true }"),
        (None, "encryption = \"none\"  # the bucket's default applies"),
    ];
    let other: Vec<&str> = lines
        .iter()
        .filter(|(algorithm, _)| *algorithm != configured.algorithm())
        .map(|(_, line)| *line)
        .collect();
    subject.setting(&other.join("\n"))
}

fn tagging(subject: &Subject<'_>) -> Remedy {
    subject.grant("ForebayTags", "s3:PutObjectTagging (or take s3.object_tags out)")
}

fn acl(subject: &Subject<'_>) -> Remedy {
    subject.grant("ForebayAcl", "s3:PutObjectAcl (or take s3.acl out)")
}

/// What allows the use of a key: its own policy, and in another account also the writer's.
pub fn key_use(subject: &Subject<'_>) -> Vec<Remedy> {
    let whose = match &subject.destination.role {
        Some(role) => (Template::Role, role.arn.to_string()),
        None => (Template::Collector, subject.process.unwrap_or("the user or role that writes").to_owned()),
    };
    vec![
        subject.statement(
            Template::KmsKey,
            "ForebayEncrypts",
            "allow kms:GenerateDataKey in the policy of the key".to_owned(),
        ),
        subject.statement(
            whose.0,
            "ForebayEncrypts",
            format!("and, of another account than the key's, in the policy of {}", whose.1),
        ),
    ]
}

/// The flags by which the AWS CLI finds the key service of a destination.
pub fn key_service(subject: &Subject<'_>) -> String {
    let flag =
        |name: &str, value: Option<&str>| value.map_or_else(String::new, |value| format!(" {name} {value}"));
    let endpoint = subject.reach.kms_endpoint_url.as_deref();
    format!("{}{}", flag("--region", subject.region), flag("--endpoint-url", endpoint))
}

/// What mends a key in the wrong state; `kms` is the code of the key service.
pub fn key_state(subject: &Subject<'_>, kms: &str) -> Remedy {
    let key = subject.destination.encryption.kms().map_or("…", |kms| kms.key.as_str());
    let region = key_service(subject);
    let command = |verb: &str| format!("aws kms {verb} --key-id {key}{region}");
    if kms.contains("Disabled") {
        Remedy::paste("the key is switched off: switch it on", command("enable-key"))
    } else if kms.contains("NotFound") {
        Remedy::paste(
            "there is no such key in the bucket's region: name one by its ARN (an alias is looked up in the account \
             of the caller)",
            format!("aws kms list-aliases{region}"),
        )
    } else if kms.contains("InvalidState") {
        Remedy::paste(
            "the key is in a state in which it encrypts nothing: look which",
            command("describe-key"),
        )
    } else if kms.contains("InvalidKeyUsage") {
        Remedy::say("the key is not for encrypting: name a symmetric one whose use is ENCRYPT_DECRYPT")
    } else {
        Remedy::paste("look at the key's state", command("describe-key"))
    }
}

#[cfg(test)]
mod tests;
