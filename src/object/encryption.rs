//! Server-side encryption: what a put requests, what the store reports, and whether they agree.

use std::collections::BTreeMap;
use std::fmt;

use crate::arn::ArnParts;

/// The largest number of pairs in an encryption context.
const CONTEXT_PAIRS_MAX: usize = 10;
/// The largest encryption context as JSON, in bytes: it becomes a header.
const CONTEXT_BYTES_MAX: usize = 2_048;
/// The longest key id, alias or ARN, in bytes.
const KEY_BYTES_MAX: usize = 2_048;

/// The server-side encryption that a put requests.
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

/// SSE-KMS: the key service creates the object's key under a key that the operator names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct SseKms {
    /// The key.
    pub key: KmsKey,
    /// Whether the bucket key is requested or refused; `None`: the bucket's own setting applies.
    pub bucket_key: Option<bool>,
    /// The encryption context, which S3 passes to the key service with every use of the key.
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

    /// The KMS settings, if a key is requested.
    pub fn kms(&self) -> Option<&SseKms> {
        match self {
            Self::Kms(kms) => Some(kms),
            Self::None | Self::SseS3 => None,
        }
    }

    /// How the store's report differs from the request; `None` if it does not.
    ///
    /// Without a header anything is accepted. A key is compared only if the request names one key for
    /// certain, by its id or ARN: an alias may point to any key.
    pub fn mismatch(&self, applied: &AppliedEncryption) -> Option<String> {
        let asked = self.algorithm()?;
        match applied.algorithm.as_deref() {
            None => {
                return Some(format!(
                    "{asked} was requested, but the store does not report that it encrypted"
                ));
            }
            Some(other) if other != asked => {
                return Some(format!("{asked} was requested, but the store applied {other}"));
            }
            Some(_) => {}
        }
        let wanted = self.kms().and_then(|kms| kms.key.certain_id())?;
        match applied.kms_key.as_deref() {
            None => Some(format!(
                "the key {wanted} was requested, but the store does not report which key it used"
            )),
            Some(used) if KmsKey::id_in(used) == Some(wanted) => {
                let arn = self.kms().map(|kms| kms.key.as_str()).filter(|key| key.starts_with("arn:"));
                let other_arn = arn.filter(|arn| used.starts_with("arn:") && *arn != used)?;
                Some(format!("the key {other_arn} was requested, but the store used {used}"))
            }
            Some(used) => Some(format!("the key {wanted} was requested, but the store used {used}")),
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

/// The encryption that a store reports for an object. Kept in the note that commits the object.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct AppliedEncryption {
    /// `AES256`, `aws:kms`, `aws:kms:dsse`; `None` if the store reports nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<String>,
    /// The key, normally its ARN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kms_key: Option<String>,
    /// Whether the bucket key was used.
    #[serde(default)]
    pub bucket_key: bool,
}

/// One line for people: `AES256`, `aws:kms with arn:…`, `nothing`.
impl fmt::Display for AppliedEncryption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.algorithm.as_deref().unwrap_or("nothing"))?;
        if let Some(key) = &self.kms_key {
            write!(f, " with {key}")?;
        }
        f.write_str(if self.bucket_key { ", bucket key on" } else { "" })
    }
}

/// The name of a KMS key, in a form that S3 accepts: key id, `alias/…`, or the ARN of either.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KmsKey(String);

impl KmsKey {
    /// The allowed forms, for messages.
    pub const FORM: &str = "a KMS key: its id, \"alias/…\" or an ARN";

    /// Parses the name of a key. Errors: the expected forms.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || Err(format!("expected {}", Self::FORM));
        let resource = match text.strip_prefix("arn:") {
            Some(_) => match Self::arn_parts(text) {
                Some(arn) => arn.resource,
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

    /// The name as given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The region of the ARN, if the name is one.
    pub fn region(&self) -> Option<&str> {
        Self::arn_parts(&self.0).map(|arn| arn.region)
    }

    /// The id, if the name certainly means one key; `None` for an alias.
    pub fn certain_id(&self) -> Option<&str> {
        Self::id_in(&self.0)
    }

    fn id_in(name: &str) -> Option<&str> {
        match Self::arn_parts(name) {
            Some(arn) => arn.resource.strip_prefix("key/"),
            None => {
                // MinIO reports the bare name of its key after this.
                let name = name.strip_prefix("arn:aws:kms:").unwrap_or(name);
                (!name.starts_with("alias/")).then_some(name)
            }
        }
    }

    /// The parts of `arn:partition:kms:region:account:resource`.
    fn arn_parts(text: &str) -> Option<ArnParts<'_>> {
        ArnParts::of(text)
            .filter(|arn| arn.service == "kms" && !arn.region.is_empty() && !arn.account.is_empty())
    }
}

shown_as_text!(KmsKey);

text_form!(KmsKey, String, KmsKey::parse);

/// An encryption context: pairs of text. They are not secret, because the key service logs them.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct KmsContext(BTreeMap<String, String>);

impl KmsContext {
    /// Checks the pairs: at most 10, at most 2,048 bytes as JSON, no name that begins with `aws:` (S3 sets
    /// those itself), no control characters. Errors: what is wrong.
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

    /// As JSON, which goes into the header in base64; `None` if there are no pairs.
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
    fn the_reported_encryption_is_compared_with_the_requested_one() {
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
    fn encryption_in_older_notes_can_still_be_parsed() {
        let read = |json: &str| serde_json::from_str::<Encryption>(json).unwrap();
        assert_eq!(read("\"none\""), Encryption::None);
        assert_eq!(read("\"sse-s3\""), Encryption::SseS3);
        let one = kms("alias/events");
        assert_eq!(read(&serde_json::to_string(&one).unwrap()), one);
    }
}
