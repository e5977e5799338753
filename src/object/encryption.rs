//! Server-side encryption: what a put asks for, what the store says it did, and whether the two agree.

use std::collections::BTreeMap;
use std::fmt;

/// The most pairs of an encryption context.
const CONTEXT_PAIRS_MAX: usize = 10;
/// The most bytes of an encryption context as JSON: it becomes a header.
const CONTEXT_BYTES_MAX: usize = 2_048;
/// The longest key id, alias or ARN, in bytes.
const KEY_BYTES_MAX: usize = 2_048;

/// Which server-side encryption a put asks for.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Encryption {
    /// No header: the bucket's default encryption applies.
    None,
    /// `x-amz-server-side-encryption: AES256`.
    #[default]
    SseS3,
    /// `x-amz-server-side-encryption: aws:kms`, with a key.
    Kms(SseKms),
}

/// SSE-KMS: the object's key is made by the key service, under a key that the operator names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct SseKms {
    /// Under which key.
    pub key: KmsKey,
    /// Whether the bucket key is asked for or refused; what the bucket says where it is not set.
    pub bucket_key: Option<bool>,
    /// The encryption context, which S3 hands to the key service with every use of the key.
    pub context: KmsContext,
}

impl Encryption {
    /// The value of `x-amz-server-side-encryption`, if the header is sent.
    pub fn algorithm(&self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::SseS3 => Some("AES256"),
            Self::Kms(_) => Some("aws:kms"),
        }
    }

    /// The KMS settings, where a key is asked for.
    pub fn kms(&self) -> Option<&SseKms> {
        match self {
            Self::Kms(kms) => Some(kms),
            Self::None | Self::SseS3 => None,
        }
    }

    /// What is wrong with what the store says it applied; `None` where it is what was asked for.
    ///
    /// Where no header was sent anything goes. A key is compared where what was asked for names one key for certain: its
    /// id or ARN. An alias names whatever key it points at.
    pub fn mismatch(&self, applied: &AppliedEncryption) -> Option<String> {
        let asked = self.algorithm()?;
        match applied.algorithm.as_deref() {
            None => {
                return Some(format!("{asked} was asked for, and the store does not say that it encrypted"));
            }
            Some(other) if other != asked => {
                return Some(format!("{asked} was asked for, and the store applied {other}"));
            }
            Some(_) => {}
        }
        let wanted = self.kms().and_then(|kms| kms.key.certain_id())?;
        match applied.kms_key.as_deref() {
            None => Some(format!("the key {wanted} was asked for, and the store does not say which it used")),
            Some(used) if KmsKey::id_in(used) == Some(wanted) => {
                let arn = self.kms().map(|kms| kms.key.as_str()).filter(|key| key.starts_with("arn:"));
                let other_arn = arn.filter(|arn| used.starts_with("arn:") && *arn != used)?;
                Some(format!("the key {other_arn} was asked for, and the store used {used}"))
            }
            Some(used) => Some(format!("the key {wanted} was asked for, and the store used {used}")),
        }
    }
}

impl fmt::Display for Encryption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::SseS3 => f.write_str("sse-s3"),
            Self::Kms(kms) => write!(f, "kms {}", kms.key),
        }
    }
}

/// What a store says it did to an object. Kept in the note that the object is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct AppliedEncryption {
    /// `AES256`, `aws:kms`, `aws:kms:dsse`; `None` where it says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<String>,
    /// The key, normally its ARN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kms_key: Option<String>,
    /// Whether the bucket key was used.
    #[serde(default)]
    pub bucket_key: bool,
}

/// In one line, for people: `AES256`, `aws:kms with arn:…`, `nothing`.
impl fmt::Display for AppliedEncryption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.algorithm.as_deref().unwrap_or("nothing"))?;
        if let Some(key) = &self.kms_key {
            write!(f, " with {key}")?;
        }
        f.write_str(if self.bucket_key { ", bucket key on" } else { "" })
    }
}

/// A KMS key as it may be named to S3: key id, `alias/…`, or the ARN of either.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KmsKey(String);

impl KmsKey {
    /// The forms, for messages.
    pub const FORM: &str = "a KMS key: its id, \"alias/…\" or an ARN";

    /// Reads the name of a key.
    ///
    /// # Errors
    /// The forms expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || Err(format!("expected {}", Self::FORM));
        let resource = match text.strip_prefix("arn:") {
            Some(_) => match Self::arn_parts(text) {
                Some((_, resource)) => resource,
                None => return wrong(),
            },
            None => text,
        };
        let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'/');
        let name =
            resource.strip_prefix("alias/").or_else(|| resource.strip_prefix("key/")).unwrap_or(resource);
        let in_arn = text.len() != resource.len();
        let form_fits = if in_arn {
            resource.starts_with("alias/") || resource.starts_with("key/")
        } else {
            !resource.starts_with("key/") && (resource.starts_with("alias/") || !resource.contains('/'))
        };
        if !form_fits || name.is_empty() || !name.bytes().all(legal) || text.len() > KEY_BYTES_MAX {
            return wrong();
        }
        Ok(Self(text.to_owned()))
    }

    /// The name as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The region in its ARN, where it is one.
    pub fn region(&self) -> Option<&str> {
        Self::arn_parts(&self.0).map(|(region, _)| region)
    }

    /// The id, where the name is that of one key for certain and not an alias.
    pub fn certain_id(&self) -> Option<&str> {
        Self::id_in(&self.0)
    }

    fn id_in(name: &str) -> Option<&str> {
        match Self::arn_parts(name) {
            Some((_, resource)) => resource.strip_prefix("key/"),
            None => {
                // MinIO answers with its key's bare name behind this.
                let name = name.strip_prefix("arn:aws:kms:").unwrap_or(name);
                (!name.starts_with("alias/")).then_some(name)
            }
        }
    }

    /// Region and resource of `arn:partition:kms:region:account:resource`.
    fn arn_parts(text: &str) -> Option<(&str, &str)> {
        let mut parts = text.splitn(6, ':');
        let (arn, partition, service) = (parts.next()?, parts.next()?, parts.next()?);
        let (region, account, resource) = (parts.next()?, parts.next()?, parts.next()?);
        let named = arn == "arn" && partition.starts_with("aws") && service == "kms" && !region.is_empty();
        let account_fits = account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit());
        (named && account_fits).then_some((region, resource))
    }
}

impl fmt::Display for KmsKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for KmsKey {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

impl From<KmsKey> for String {
    fn from(key: KmsKey) -> Self {
        key.0
    }
}

/// An encryption context: pairs of text, none of them secret (they stand in the key service's log).
#[derive(
    Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct KmsContext(BTreeMap<String, String>);

impl KmsContext {
    /// Checks pairs: at most 10, at most 2,048 bytes as JSON, no name that begins with `aws:` (S3 sets those itself), no
    /// control characters.
    ///
    /// # Errors
    /// What is wrong.
    pub fn new(pairs: BTreeMap<String, String>) -> Result<Self, String> {
        if pairs.len() > CONTEXT_PAIRS_MAX {
            return Err(format!("an encryption context has at most {CONTEXT_PAIRS_MAX} pairs"));
        }
        for (name, value) in &pairs {
            if name.is_empty() || value.is_empty() {
                return Err("the names and values of an encryption context cannot be empty".to_owned());
            }
            if name.starts_with("aws:") {
                return Err(format!("{name:?}: names that begin with aws: are set by AWS itself"));
            }
            if name.chars().chain(value.chars()).any(char::is_control) {
                return Err("an encryption context cannot hold control characters".to_owned());
            }
        }
        let context = Self(pairs);
        match context.json() {
            Some(json) if json.len() > CONTEXT_BYTES_MAX => {
                Err(format!("an encryption context is at most {CONTEXT_BYTES_MAX} bytes as JSON"))
            }
            _ => Ok(context),
        }
    }

    /// The pairs.
    pub fn pairs(&self) -> &BTreeMap<String, String> {
        &self.0
    }

    /// As JSON, which goes into the header in base64; `None` where there are no pairs.
    pub fn json(&self) -> Option<String> {
        (!self.0.is_empty()).then(|| serde_json::json!(self.0).to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "1234abcd-12ab-34cd-56ef-1234567890ab";

    fn arn(resource: &str) -> String {
        format!("arn:aws:kms:eu-west-1:111122223333:{resource}")
    }

    fn kms(key: &str) -> Encryption {
        let key = KmsKey::parse(key).unwrap();
        Encryption::Kms(SseKms { key, bucket_key: None, context: KmsContext::default() })
    }

    #[test]
    fn a_key_has_four_forms() {
        for good in [ID, "mrk-1234", "alias/events", &arn("key/1234-ab"), &arn("alias/a/b_c")] {
            assert_eq!(KmsKey::parse(good).unwrap().as_str(), good);
        }
        let bads =
            ["", "alias/", "key/x", "a b", "arn:aws:s3:::bucket", &arn("x"), &arn("key/"), "a/b", "alias/ü"];
        for bad in bads {
            assert!(KmsKey::parse(bad).is_err(), "{bad:?}");
        }
        assert_eq!(KmsKey::parse(&arn("key/x")).unwrap().region(), Some("eu-west-1"));
        assert_eq!(KmsKey::parse("alias/x").unwrap().region(), None);
    }

    #[test]
    fn what_was_applied_is_held_against_what_was_asked() {
        let check = |asked: &Encryption, algorithm: Option<&str>, key: Option<&str>, fits: bool| {
            let applied = AppliedEncryption {
                algorithm: algorithm.map(str::to_owned),
                kms_key: key.map(str::to_owned),
                bucket_key: false,
            };
            let wrong = asked.mismatch(&applied);
            assert_eq!(wrong.is_none(), fits, "{asked} {applied}: {wrong:?}");
        };
        check(&Encryption::None, Some("aws:kms"), Some("x"), true);
        check(&Encryption::None, None, None, true);
        check(&Encryption::SseS3, Some("AES256"), None, true);
        check(&Encryption::SseS3, Some("aws:kms"), None, false);
        check(&Encryption::SseS3, None, None, false);
        let by_arn = kms(&arn(&format!("key/{ID}")));
        check(&by_arn, Some("aws:kms"), Some(&arn(&format!("key/{ID}"))), true);
        check(&by_arn, Some("aws:kms"), Some(&arn("key/other")), false);
        check(&by_arn, Some("aws:kms"), Some(&arn(&format!("key/{ID}")).replace("eu-", "us-")), false);
        check(&by_arn, Some("aws:kms"), Some(ID), true);
        check(&by_arn, Some("aws:kms"), None, false);
        check(&by_arn, Some("AES256"), None, false);
        check(&kms(ID), Some("aws:kms"), Some(&arn(&format!("key/{ID}"))), true);
        check(&kms(ID), Some("aws:kms"), Some(&arn("key/other")), false);
        check(&kms("alias/events"), Some("aws:kms"), Some(&arn("key/other")), true);
        check(&kms("events-key"), Some("aws:kms"), Some("arn:aws:kms:events-key"), true);
        check(&kms("events-key"), Some("aws:kms"), Some("arn:aws:kms:other-key"), false);
    }

    #[test]
    fn a_context_is_bounded() {
        let pairs = |pairs: &[(&str, &str)]| {
            KmsContext::new(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
        };
        assert_eq!(pairs(&[]).unwrap().json(), None);
        assert_eq!(pairs(&[("team", "a \"b\"")]).unwrap().json().unwrap(), r#"{"team":"a \"b\""}"#);
        assert!(pairs(&[("aws:s3:arn", "x")]).is_err());
        assert!(pairs(&[("a", "\n")]).is_err());
        assert!(pairs(&[("a", "")]).is_err());
        assert!(pairs(&[("a", &"x".repeat(3_000))]).is_err());
        let many: Vec<String> = (0..11).map(|n| n.to_string()).collect();
        let many: Vec<(&str, &str)> = many.iter().map(|n| (n.as_str(), "x")).collect();
        assert!(pairs(&many).is_err());
    }

    #[test]
    fn what_older_versions_noted_is_still_read() {
        let read = |json: &str| serde_json::from_str::<Encryption>(json).unwrap();
        assert_eq!(read("\"none\""), Encryption::None);
        assert_eq!(read("\"sse-s3\""), Encryption::SseS3);
        let one = kms("alias/events");
        assert_eq!(read(&serde_json::to_string(&one).unwrap()), one);
    }
}
