//! Amazon Resource Names.

use std::str::FromStr;

/// The longest ARN, in bytes (STS `AssumeRole`, parameter `RoleArn`).
const BYTES_MAX: usize = 2_048;

/// `arn:partition:service:region:account:resource`, as AWS writes it. Region and account may be empty.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Arn(String);

/// The parts of an ARN.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ArnParts<'a> {
    /// `aws`, `aws-cn`, `aws-us-gov`.
    pub partition: &'a str,
    /// `iam`, `kms`.
    pub service: &'a str,
    /// Empty if the service has none.
    pub region: &'a str,
    /// Twelve digits; empty if the ARN has no account.
    pub account: &'a str,
    /// The text after the account: `role/forebay`, `key/1234…`.
    pub resource: &'a str,
}

impl<'a> ArnParts<'a> {
    /// Parses the parts of a text; `None` if it is not an ARN.
    pub fn of(text: &'a str) -> Option<Self> {
        let mut parts = text.splitn(6, ':');
        let (arn, partition, service) = (parts.next()?, parts.next()?, parts.next()?);
        let (region, account, resource) = (parts.next()?, parts.next()?, parts.next()?);
        let word = |part: &str| {
            !part.is_empty()
                && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        let digits = account.bytes().all(|b| b.is_ascii_digit()) && [0, 12].contains(&account.len());
        // ASCII without spaces and quotes. IAM, STS and KMS allow nothing else in names, and no later use
        // needs to escape it.
        let plain = text.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\');
        let sound = arn == "arn"
            && partition.starts_with("aws")
            && word(partition)
            && word(service)
            && digits
            && !resource.is_empty()
            && plain
            && text.len() <= BYTES_MAX;
        sound.then_some(Self { partition, service, region, account, resource })
    }
}

impl Arn {
    /// Its parts.
    pub fn parts(&self) -> ArnParts<'_> {
        ArnParts::of(&self.0).unwrap_or_default()
    }

    /// The whole ARN.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The ARN of a role, of a user, or of a whole account: what a policy may name for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity(Arn);

impl Identity {
    /// Its ARN.
    pub fn arn(&self) -> Arn {
        self.0.clone()
    }
}

/// An ARN that is no [`Identity`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAnIdentity {
    /// It is no ARN.
    #[error(transparent)]
    NoArn(#[from] NotAnArn),
    /// It is a session, and ends with it.
    #[error(
        "this is a session of a role, and a policy for it would hold until the session ends: give the role itself, such as \
         arn:{partition}:iam::{account}:role/{role} (`aws iam get-role --role-name {role}` shows it, with its path)"
    )]
    Session {
        /// Its partition.
        partition: String,
        /// Its account.
        account: String,
        /// The name of the role, without its path.
        role: String,
    },
    /// It is something else.
    #[error(
        "expected the ARN of a role or user, such as arn:aws:iam::111122223333:role/forebay or \
         arn:aws:iam::111122223333:user/forebay"
    )]
    Other,
}

impl FromStr for Identity {
    type Err = NotAnIdentity;

    fn from_str(text: &str) -> Result<Self, NotAnIdentity> {
        let arn: Arn = text.parse()?;
        let ArnParts { partition, service, account, resource, .. } = arn.parts();
        let mut names = resource.split('/');
        let (kind, name) = (names.next().unwrap_or_default(), names.next().unwrap_or_default());
        match (service, kind) {
            ("iam", "role" | "user") if !name.is_empty() && !account.is_empty() => Ok(Self(arn)),
            ("iam", "root") if resource == "root" && !account.is_empty() => Ok(Self(arn)),
            ("sts", "assumed-role") => Err(NotAnIdentity::Session {
                partition: partition.to_owned(),
                account: account.to_owned(),
                role: name.to_owned(),
            }),
            _ => Err(NotAnIdentity::Other),
        }
    }
}

/// The partition of a region.
pub fn partition_of(region: &str) -> &'static str {
    match region {
        cn if cn.starts_with("cn-") => "aws-cn",
        gov if gov.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    }
}

/// A text that is not an ARN.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected an ARN such as arn:aws:iam::111122223333:role/forebay")]
pub struct NotAnArn;

impl FromStr for Arn {
    type Err = NotAnArn;
    fn from_str(text: &str) -> Result<Self, NotAnArn> {
        ArnParts::of(text).map(|_| Self(text.to_owned())).ok_or(NotAnArn)
    }
}

shown_as_text!(Arn);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_is_split_into_its_parts() {
        let arn: Arn = "arn:aws-cn:kms:cn-north-1:111122223333:key/12-ab".parse().unwrap();
        let ArnParts { partition, service, region, account, resource } = arn.parts();
        let parts = [partition, service, region, account, resource];
        assert_eq!(parts, ["aws-cn", "kms", "cn-north-1", "111122223333", "key/12-ab"]);
        let arn: Arn = "arn:aws:iam::111122223333:role/a:b".parse().unwrap();
        assert_eq!((arn.parts().region, arn.parts().resource), ("", "role/a:b"));
    }

    #[test]
    fn an_identity_is_a_role_or_a_user_and_no_session() {
        for good in ["role/forebay", "role/a/b/forebay", "user/x", "root"] {
            format!("arn:aws:iam::111122223333:{good}").parse::<Identity>().unwrap();
        }
        let refused = |text: &str| text.parse::<Identity>().unwrap_err().to_string();
        let session = refused("arn:aws:sts::111122223333:assumed-role/forebay/i-0abc");
        assert!(session.contains("give the role itself, such as arn:aws:iam::111122223333:role/forebay ("));
        for bad in
            ["arn:aws:iam::111122223333:rol/forebay", "arn:aws:iam::111122223333:role/", "arn:aws:s3:::b"]
        {
            assert!(refused(bad).starts_with("expected the ARN of a role or user"), "{bad}");
        }
        assert!(refused("forebay").starts_with("expected an ARN"));
    }

    #[test]
    fn texts_that_are_not_arns_are_refused() {
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
