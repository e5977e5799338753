//! Amazon Resource Names.

use std::fmt;
use std::str::FromStr;

/// `arn:partition:service:region:account:resource`, as AWS writes it. Region and account may be empty.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Arn(String);

impl Arn {
    fn part(&self, index: usize) -> &str {
        self.0.splitn(6, ':').nth(index).unwrap_or_default()
    }

    /// `aws`, `aws-cn`, `aws-us-gov` …
    pub fn partition(&self) -> &str {
        self.part(1)
    }

    /// `iam`, `kms`, `sts` …
    pub fn service(&self) -> &str {
        self.part(2)
    }

    /// The region; empty where the service has none.
    pub fn region(&self) -> &str {
        self.part(3)
    }

    /// The account's twelve digits; empty where the ARN names none.
    pub fn account(&self) -> &str {
        self.part(4)
    }

    /// What stands behind the account: `role/forebay`, `key/1234…`.
    pub fn resource(&self) -> &str {
        self.part(5)
    }

    /// The whole text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A text that is no ARN.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected an ARN such as arn:aws:iam::111122223333:role/forebay")]
pub struct NotAnArn;

impl FromStr for Arn {
    type Err = NotAnArn;
    fn from_str(text: &str) -> Result<Self, NotAnArn> {
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        let [arn, partition, service, _, account, resource] = parts.as_slice() else { return Err(NotAnArn) };
        let word = |part: &str| {
            !part.is_empty()
                && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        let digits = account.bytes().all(|b| b.is_ascii_digit()) && [0, 12].contains(&account.len());
        // ASCII without spaces and quotes: all that IAM, STS and KMS allow in names, and nothing that would need care
        // later.
        let plain = text.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\');
        let sound = *arn == "arn"
            && partition.starts_with("aws")
            && word(partition)
            && word(service)
            && digits
            && !resource.is_empty()
            && plain
            && text.len() <= 2_048;
        if sound { Ok(Self(text.to_owned())) } else { Err(NotAnArn) }
    }
}

impl fmt::Display for Arn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_an_arn() {
        let arn: Arn = "arn:aws-cn:kms:cn-north-1:111122223333:key/12-ab".parse().unwrap();
        let parts = [arn.partition(), arn.service(), arn.region(), arn.account(), arn.resource()];
        assert_eq!(parts, ["aws-cn", "kms", "cn-north-1", "111122223333", "key/12-ab"]);
        let arn: Arn = "arn:aws:iam::111122223333:role/a:b".parse().unwrap();
        assert_eq!((arn.region(), arn.resource()), ("", "role/a:b"));
    }

    #[test]
    fn what_is_no_arn_is_refused() {
        for text in [
            "",
            "forebay",
            "arn:aws:iam::1111:role/x",
            "arn:aws:iam::111122223333:",
            "arn:gcp:iam::111122223333:x",
            "arn:aws:iam::111122223333:role/\"",
            "arn:aws:iam::111122223333:role/a b",
            "arn:aws::x:111122223333:r",
        ] {
            assert!(text.parse::<Arn>().is_err(), "{text:?}");
        }
    }
}
