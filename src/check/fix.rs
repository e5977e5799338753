//! Remedies for a refused request: from the reason of the failure to a setting, a statement of a policy or a
//! command.

use crate::object::Encryption;
use crate::policy::Template;
use crate::store::PutMode;
use crate::store::reason::{Action, Denial, KeyTrouble, NoAnswer, Reason};

use super::finding::Remedy;
use super::refusal::Refusal;
use super::subject::Subject;

/// The service that received a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// The store.
    Store,
    /// STS, the token service.
    Token,
    /// KMS, the key service.
    Key,
}

/// Credentials in their most common form.
const CREDENTIALS: &str = "export AWS_ACCESS_KEY_ID=… AWS_SECRET_ACCESS_KEY=…";

/// How to provide credentials.
pub fn give_credentials() -> Vec<Remedy> {
    vec![
        Remedy::say(
            "give the process credentials, preferably a role of the machine that it runs on (EC2 instance profile, ECS \
             task role, EKS service account), which is renewed automatically",
        ),
        Remedy::paste("or set them in its environment (or in ~/.aws, with AWS_PROFILE)", CREDENTIALS),
    ]
}

/// Remedies for failures independent of the request: no answer, bad credentials, a wrong clock, a busy
/// service. `None` if the failure concerns the request itself.
pub fn common(service: Service, refusal: &Refusal) -> Option<Vec<Remedy>> {
    let (name, setting) = match service {
        Service::Store => ("the store", "s3.endpoint_url"),
        Service::Token => ("the token service", "s3.sts_endpoint_url"),
        Service::Key => ("the key service", "s3.kms_endpoint_url"),
    };
    let say = |text: String| Some(vec![Remedy::say(text)]);
    match refusal.reason {
        Reason::NoAnswer(NoAnswer::Name) => say(format!(
            "the host name of {name} cannot be resolved: fix {setting}, or the DNS of this machine (in a VPC without \
             internet access: add an endpoint for the service)"
        )),
        Reason::NoAnswer(NoAnswer::Connect) => say(format!(
            "nothing listens at that address, or it cannot be reached: fix {setting}, or allow outbound access to it \
             (security group, firewall, route, VPC endpoint)"
        )),
        Reason::NoAnswer(NoAnswer::Tls) => say(format!(
            "the TLS connection to {name} failed. If it speaks plain HTTP (as the error \"corrupt message\" suggests), begin \
             {setting} with http://. Else its certificate must be for its host name and trusted by this machine: add its CA to \
             the system's certificates, or name the CA's file in SSL_CERT_FILE"
        )),
        Reason::NoAnswer(NoAnswer::Timeout) => say(format!(
            "{name} did not answer in time: allow outbound access to it (security group, firewall, route, VPC endpoint), \
             or allow more time with --timeout"
        )),
        Reason::NoAnswer(NoAnswer::Broke) => {
            say(format!(
                "the connection to {name} broke: if it speaks TLS, begin {setting} with https://; else run the check again, and \
                 check proxies and firewalls in between"
            ))
        }
        Reason::NoCredentials(_) => Some(give_credentials()),
        Reason::UnknownAccessKey => Some(vec![Remedy::paste(
            "the access key is unknown there (deleted, disabled, or of another store): use a valid one",
            CREDENTIALS,
        )]),
        Reason::WrongSignature => Some(vec![Remedy::paste(
            "the secret key does not match the access key (or a proxy changes requests): set both again",
            CREDENTIALS,
        )]),
        Reason::SessionEnded => say(
            "the session of these credentials has expired: get new ones, or use ones that are renewed automatically (a \
             role of the machine, s3.role_arn)"
                .to_owned(),
        ),
        Reason::WrongSessionToken => say(
            "the session token does not match the access key: set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and \
             AWS_SESSION_TOKEN from the same session"
                .to_owned(),
        ),
        Reason::ClockSkew => Some(vec![set_the_clock()]),
        Reason::Busy => {
            say(format!("{name} is busy: run the check again; deliveries are retried automatically"))
        }
        Reason::Broken => say(format!(
            "{name} reports an internal error: run the check again; deliveries are retried automatically"
        )),
        _ => None,
    }
}

/// How to fix the clock.
pub fn set_the_clock() -> Remedy {
    Remedy::paste("synchronise this machine's clock", "timedatectl set-ntp true")
}

/// Remedies for a refused put. `unconditional`: it was also refused without the condition.
pub fn put(subject: &Subject<'_>, refusal: &Refusal, unconditional: bool) -> Vec<Remedy> {
    if let Some(kms) = subject.location.encryption.kms()
        && refusal.reason == Reason::UnknownAccessKey
    {
        // Ceph answers this for an unknown KMS key.
        let key = format!(
            "the store does not know the KMS key {} (or, if it refuses every request, the access key): configure a key that it has",
            kms.key
        );
        return vec![Remedy::paste(key, subject.setting("encryption = { kms = \"…\" }"))];
    }
    if let Some(remedies) = common(Service::Store, refusal) {
        return remedies;
    }
    let settings = |text: &str, paste: &str| vec![Remedy::paste(text, paste)];
    let region = || region_line(subject, subject.region);
    match refusal.reason {
        Reason::Denied(denial) => denied_put(subject, denial),
        Reason::RegionNotFound => settings(
            "set the bucket's region, so that Forebay need not find it; invalid credentials are another possible cause",
            &region(),
        ),
        Reason::Key(trouble) => vec![key_state(subject, trouble)],
        Reason::NotFound | Reason::NoSuchBucket => no_such_bucket(subject),
        Reason::OtherRegion => settings(
            "the bucket is in another region: set that region (or remove the setting, and Forebay finds it)",
            &region(),
        ),
        Reason::AclNotSupported => settings(
            "the bucket accepts no ACLs, because its owner owns every object: remove the ACL",
            "[s3]\n# acl = \"bucket-owner-full-control\"",
        ),
        Reason::UnknownStorageClass => vec![Remedy::say(
            "the store does not support this storage class: remove s3.storage_class (or the source's)",
        )],
        Reason::Exists => vec![Remedy::say(
            "the store reports that an object with this new key already exists: check whether a proxy answers instead \
             of the store",
        )],
        Reason::Digest if !subject.reach.checksums => vec![Remedy::say(
            "the store received different bytes: check whether a proxy changes request bodies",
        )],
        Reason::Digest => settings(
            "the store received different bytes, or computes the checksum differently: check whether a proxy changes \
             request bodies; if the store does not support checksums, set",
            "[s3]\nchecksums = \"when-required\"",
        ),
        Reason::ChecksumRequired => settings(
            "the bucket requires a checksum with each put, as buckets with Object Lock do: send one",
            "[s3]\nchecksums = \"auto\"",
        ),
        Reason::NotImplemented | Reason::InvalidArgument | Reason::BadRequest => {
            not_implemented(subject, unconditional)
        }
        _ => vec![Remedy::say("see the store's error message")],
    }
}

fn not_implemented(subject: &Subject<'_>, unconditional: bool) -> Vec<Remedy> {
    // What is omitted already cannot be the cause.
    let conditional = !unconditional && subject.reach.put == PutMode::CreateOnly;
    let remedy = match (subject.reach.checksums, conditional) {
        (true, true) => Remedy::paste(
            "the store does not accept the request; if it does not support checksums or conditional writes, these \
             settings omit them",
            "[s3]\nchecksums = \"when-required\"\nput = \"overwrite\"",
        ),
        (true, false) => Remedy::paste(
            "the store does not accept the request, with or without the condition; if it does not support checksums, \
             this omits them",
            "[s3]\nchecksums = \"when-required\"",
        ),
        (false, true) => Remedy::paste(
            "the store does not accept the request; if it does not support conditional writes, this omits the condition",
            "[s3]\nput = \"overwrite\"",
        ),
        (false, false) => Remedy::say(
            "the store does not accept the request, although it has neither a checksum nor a condition: see the store's error \
             message",
        ),
    };
    let mut remedies = vec![remedy];
    if subject.reach.is_in_clear() {
        remedies.push(Remedy::say("if the store speaks TLS there, begin s3.endpoint_url with https://"));
    }
    if subject.location.encryption != Encryption::None && subject.reach.endpoint_url.is_some() {
        let none = subject.setting("encryption = \"none\"");
        remedies.push(Remedy::paste("if it does not support the requested encryption", none));
    }
    remedies
}

/// Remedies for a missing bucket.
pub fn no_such_bucket(subject: &Subject<'_>) -> Vec<Remedy> {
    if subject.is_forebay {
        return vec![Remedy::say(
            "s3.endpoint_url is an address of Forebay itself, not of a store: set the store's address (`forebay dev` prints that of \
             its S3 as s3)",
        )];
    }
    let bucket = subject.bucket();
    let region = subject.region.or(subject.location.region.as_deref()).unwrap_or("us-east-1");
    let mut command = format!("aws s3api create-bucket --bucket {bucket} --region {region}");
    if region != "us-east-1" {
        command += &format!(" --create-bucket-configuration LocationConstraint={region}");
    }
    if let Some(endpoint) = &subject.reach.endpoint_url {
        command += &format!(" --endpoint-url {endpoint}");
    }
    vec![Remedy::paste("fix the bucket's name (s3.bucket, or the source's), or create the bucket", command)]
}

/// A region, as a setting; `…` if it is unknown.
pub fn region_line(subject: &Subject<'_>, region: Option<&str>) -> String {
    subject.setting(&format!("region = \"{}\"", region.unwrap_or("…")))
}

fn denied_put(subject: &Subject<'_>, denial: Denial) -> Vec<Remedy> {
    let mut remedies = match denial {
        Denial::Explicit => Vec::new(),
        Denial::Missing(Action::PutObject) => vec![subject.grant("ForebayPuts", "s3:PutObject")],
        Denial::Missing(Action::PutObjectTagging) => vec![tagging(subject)],
        Denial::Missing(Action::PutObjectAcl) => vec![acl(subject)],
        Denial::Missing(Action::Kms) => key_use(subject),
        Denial::Missing(Action::Other) | Denial::Unsaid => {
            let mut all = vec![subject.grant("ForebayPuts", "s3:PutObject")];
            all.extend(subject.reach.tags.any().then(|| tagging(subject)));
            all.extend(subject.reach.acl.then(|| acl(subject)));
            if subject.location.encryption.kms().is_some() {
                all.extend(key_use(subject));
            }
            all
        }
    };
    let explicitly = if denial == Denial::Explicit {
        "a policy denies this put explicitly"
    } else {
        "if all of this is granted, a policy of the bucket (or of the organisation) denies the put"
    };
    remedies.push(Remedy::paste(
        format!(
            "{explicitly}: compare its conditions with the request ({}); if the policy requires another encryption, \
             use one of these",
            subject.asked_for()
        ),
        other_encryptions(subject),
    ));
    if subject.reach.is_in_clear() {
        remedies.push(Remedy::paste(
            "a bucket that requires TLS refuses requests over plain HTTP",
            "[s3]\nendpoint_url = \"https://…\"",
        ));
    }
    if let Some(owner) = subject.owner() {
        remedies.push(Remedy::say(format!(
            "a bucket that account {owner} does not own is refused in the same way: check expected_bucket_owner"
        )));
    }
    remedies
}

fn other_encryptions(subject: &Subject<'_>) -> String {
    let configured = &subject.location.encryption;
    let lines = [
        (Encryption::SseS3.algorithm(), "encryption = \"sse-s3\""),
        (Some("aws:kms"), "encryption = { kms = \"arn:aws:kms:…\", bucket_key = true }"),
        (None, "encryption = \"none\"  # the bucket's default applies"),
    ];
    let other = lines.into_iter().filter(|(algorithm, _)| *algorithm != configured.algorithm());
    subject.setting(&other.map(|(_, line)| line).collect::<Vec<_>>().join("\n"))
}

fn tagging(subject: &Subject<'_>) -> Remedy {
    subject.grant("ForebayTags", "s3:PutObjectTagging (or remove s3.object_tags)")
}

fn acl(subject: &Subject<'_>) -> Remedy {
    subject.grant("ForebayAcl", "s3:PutObjectAcl (or remove s3.acl)")
}

/// Statements that allow the use of a key: in its own policy and, across accounts, also in the writer's.
pub fn key_use(subject: &Subject<'_>) -> Vec<Remedy> {
    let whose = match &subject.location.role {
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
            format!("and, if the key is in another account, also in the policy of {}", whose.1),
        ),
    ]
}

/// The AWS CLI options for the KMS of a bucket.
pub fn key_service(subject: &Subject<'_>) -> String {
    let flag =
        |name: &str, value: Option<&str>| value.map_or_else(String::new, |value| format!(" {name} {value}"));
    let endpoint = subject.reach.kms_endpoint_url.as_deref();
    format!("{}{}", flag("--region", subject.region), flag("--endpoint-url", endpoint))
}

/// The remedy for a key that cannot be used.
pub fn key_state(subject: &Subject<'_>, trouble: KeyTrouble) -> Remedy {
    let key = subject.location.encryption.kms().map_or("…", |kms| kms.key.as_str());
    let region = key_service(subject);
    let command = |verb: &str| format!("aws kms {verb} --key-id {key}{region}");
    match trouble {
        KeyTrouble::Disabled => Remedy::paste("the key is disabled: enable it", command("enable-key")),
        KeyTrouble::NotFound => Remedy::paste(
            "the key does not exist in the bucket's region: configure another one by its ARN (S3 looks an alias \
             up in the account of the caller)",
            format!("aws kms list-aliases{region}"),
        ),
        KeyTrouble::InvalidState => Remedy::paste(
            "the key's state does not allow encryption: show the state",
            command("describe-key"),
        ),
        KeyTrouble::InvalidUsage => Remedy::say(
            "the key is not for encryption: configure a symmetric key with the usage ENCRYPT_DECRYPT",
        ),
        KeyTrouble::Other => Remedy::paste("show the key's state", command("describe-key")),
    }
}

#[cfg(test)]
mod tests;
