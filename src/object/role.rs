//! A role that is assumed to reach a bucket, and the external id that its trust policy asks for.

use std::fmt;

/// The longest role ARN, in bytes (STS `AssumeRole`, parameter `RoleArn`).
const ARN_BYTES_MAX: usize = 2_048;
/// Bounds of an external id (STS `AssumeRole`, parameter `ExternalId`).
const EXTERNAL_ID_BYTES: std::ops::RangeInclusive<usize> = 2..=1_224;

/// A role to assume.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct Role {
    /// Which role.
    pub arn: RoleArn,
    /// What is told to the role's trust policy, so that nobody can be made to assume it for somebody else.
    pub external_id: ExternalId,
}

/// `arn:aws:iam::111122223333:role/path/name`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RoleArn(String);

/// An external id: 2 to 1,224 of letters, digits and `+=,.@:/-_`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ExternalId(String);

/// The 12 digits of an AWS account.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AccountId(String);

impl RoleArn {
    /// Reads an ARN.
    ///
    /// # Errors
    /// The form expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let fits = || {
            let mut parts = text.splitn(6, ':');
            let (arn, partition, service) = (parts.next()?, parts.next()?, parts.next()?);
            let (region, account, resource) = (parts.next()?, parts.next()?, parts.next()?);
            AccountId::parse(account).ok()?;
            let name = resource.strip_prefix("role/")?;
            let legal = |b: u8| b.is_ascii_alphanumeric() || b"+=,.@-_/".contains(&b);
            let named = arn == "arn" && partition.starts_with("aws") && service == "iam" && region.is_empty();
            (named && !name.is_empty() && !name.ends_with('/') && name.bytes().all(legal)).then_some(())
        };
        match fits() {
            Some(()) if text.len() <= ARN_BYTES_MAX => Ok(Self(text.to_owned())),
            _ => {
                Err("expected the ARN of a role, such as \"arn:aws:iam::111122223333:role/forebay\""
                    .to_owned())
            }
        }
    }

    /// The ARN as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The account that the role is of.
    pub fn account(&self) -> &str {
        self.0.split(':').nth(4).unwrap_or_default()
    }
}

impl ExternalId {
    /// Reads an external id.
    ///
    /// # Errors
    /// The form expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let legal = |b: u8| b.is_ascii_alphanumeric() || b"+=,.@:/-_".contains(&b);
        if EXTERNAL_ID_BYTES.contains(&text.len()) && text.bytes().all(legal) {
            Ok(Self(text.to_owned()))
        } else {
            Err("expected an external id: 2 to 1,224 of A-Z a-z 0-9 + = , . @ : / - _".to_owned())
        }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AccountId {
    /// Reads an account id.
    ///
    /// # Errors
    /// The form expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit()) {
            Ok(Self(text.to_owned()))
        } else {
            Err("expected an AWS account id, 12 digits in quotes".to_owned())
        }
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} with the external id {}", self.arn, self.external_id)
    }
}

macro_rules! text {
    ($type:ident) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $type {
            type Error = String;
            fn try_from(text: String) -> Result<Self, String> {
                Self::parse(&text)
            }
        }

        impl From<$type> for String {
            fn from(value: $type) -> Self {
                value.0
            }
        }
    };
}

text!(RoleArn);
text!(ExternalId);
text!(AccountId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_a_role() {
        for good in ["arn:aws:iam::111122223333:role/forebay", "arn:aws-cn:iam::111122223333:role/a/b+c=d"] {
            assert_eq!(RoleArn::parse(good).unwrap().as_str(), good);
        }
        assert_eq!(RoleArn::parse("arn:aws:iam::111122223333:role/x").unwrap().account(), "111122223333");
        for bad in [
            "",
            "forebay",
            "arn:aws:iam::111122223333:user/forebay",
            "arn:aws:iam::1:role/forebay",
            "arn:aws:iam::111122223333:role/",
            "arn:aws:iam::111122223333:role/a b",
            "arn:aws:sts::111122223333:assumed-role/a/b",
        ] {
            assert!(RoleArn::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_can_be_an_external_id_and_an_account() {
        assert!(ExternalId::parse("checkout-web").is_ok());
        for bad in ["", "a", "a b", "ü1", &"x".repeat(1_225)] {
            assert!(ExternalId::parse(bad).is_err(), "{bad:?}");
        }
        assert!(AccountId::parse("111122223333").is_ok());
        for bad in ["", "11112222333", "11112222333a"] {
            assert!(AccountId::parse(bad).is_err(), "{bad:?}");
        }
    }
}
