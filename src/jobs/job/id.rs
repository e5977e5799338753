//! The id of a job, in the form that AWS gives it: a UUID.

use std::fmt;

use crate::random::Random;

/// The id of a job: a random UUID (version 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JobId(u128);

/// A text that is no job id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a job id such as f3cc4f60-61f6-4a2b-8a21-d07600c373ce; `forebay batch list` shows those of all jobs"
)]
pub struct NotAJobId;

/// The bits of a UUID that say its version and variant, and their values in version 4.
const FIXED_BITS: u128 = 0xF000_C000_0000_0000_0000;
const FIXED: u128 = 0x4000_8000_0000_0000_0000;

impl JobId {
    /// A new id.
    pub fn random(random: &dyn Random) -> Self {
        Self(random.next_u128() & !FIXED_BITS | FIXED)
    }

    /// Parses the form that is shown: lower case, with hyphens.
    /// Errors: the expected form.
    pub fn parse(text: &str) -> Result<Self, NotAJobId> {
        let digits: String = text.chars().filter(|c| *c != '-').collect();
        let id = u128::from_str_radix(&digits, 16).map(Self).map_err(|_| NotAJobId)?;
        // The one form of each id: it names a folder.
        if id.to_string() == text { Ok(id) } else { Err(NotAJobId) }
    }

    /// Its 16 bytes.
    pub fn bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// The id with these bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }

    /// The ARN of the job in an account (12 digits) and a region.
    pub fn arn(self, region: &str, account: &str) -> String {
        format!("arn:{}:s3:{region}:{account}:job/{self}", crate::arn::partition_of(region))
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |shift: u32, digits: u32| (self.0 >> shift) & ((1 << (4 * digits)) - 1);
        let (a, b, c, d, e) = (part(96, 8), part(80, 4), part(64, 4), part(48, 4), part(0, 12));
        write!(f, "{a:08x}-{b:04x}-{c:04x}-{d:04x}-{e:012x}")
    }
}

text_form!(JobId, NotAJobId, JobId::parse);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::job::crash_disk::Dice;

    const AWS: &str = "f3cc4f60-61f6-4a2b-8a21-d07600c373ce";

    #[test]
    fn an_id_is_a_uuid_of_version_4_and_reads_back() {
        let dice = Dice::new(1);
        for _ in 0..1_000 {
            let text = JobId::random(&dice).to_string();
            assert_eq!((text.len(), text.chars().nth(14)), (36, Some('4')), "{text}");
            assert!("89ab".contains(text.chars().nth(19).unwrap()), "{text}");
            assert_eq!(JobId::parse(&text).unwrap().to_string(), text);
        }
        assert_ne!(JobId::random(&dice), JobId::random(&dice));
    }

    #[test]
    fn other_texts_are_no_ids() {
        assert_eq!(JobId::parse(AWS).unwrap().to_string(), AWS);
        let upper = AWS.to_uppercase();
        let plain = AWS.replace('-', "");
        for text in [
            "",
            "..",
            "f3cc4f60",
            &upper,
            &plain,
            "f3cc4f60-61f6-4a2b-8a21-d07600c373c",
            "+3cc4f60-61f6-4a2b-8a21-d07600c373ce",
        ] {
            assert_eq!(JobId::parse(text), Err(NotAJobId), "{text}");
        }
    }

    #[test]
    fn the_arn_is_that_of_aws() {
        let id = JobId::parse(AWS).unwrap();
        assert_eq!(
            id.arn("us-east-1", "123456789012"),
            format!("arn:aws:s3:us-east-1:123456789012:job/{AWS}")
        );
        assert_eq!(
            id.arn("cn-north-1", "123456789012"),
            format!("arn:aws-cn:s3:cn-north-1:123456789012:job/{AWS}")
        );
    }
}
