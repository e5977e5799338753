//! A role to assume for access to a bucket, and the external id that its trust policy requires.

use std::fmt;

use crate::arn::{Arn, ArnParts};

/// Bounds of an external id (STS `AssumeRole`, parameter `ExternalId`).
const EXTERNAL_ID_BYTES: std::ops::RangeInclusive<usize> = 2..=1_224;

/// A role to assume.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct Role {
    /// The role.
    pub arn: RoleArn,
    /// The external id in the role's trust policy. It protects against the confused deputy.
    pub external_id: ExternalId,
}

/// `arn:aws:iam::111122223333:role/path/name`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RoleArn(Arn);

/// An external id: 2 to 1,224 characters of letters, digits and `+=,.@:/-_`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ExternalId(String);

/// The 12 digits of an AWS account.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AccountId(String);

impl RoleArn {
    /// Parses an ARN. Errors: the expected form.
    pub fn parse(text: &str) -> Result<Self, String> {
        let legal = |b: u8| b.is_ascii_alphanumeric() || b"+=,.@-_/".contains(&b);
        let is_role = |arn: &Arn| {
            let ArnParts { service, region, account, resource, .. } = arn.parts();
            let name = resource.strip_prefix("role/").unwrap_or_default();
            let named = service == "iam" && region.is_empty() && !account.is_empty();
            named && !name.is_empty() && !name.ends_with('/') && name.bytes().all(legal)
        };
        text.parse().ok().filter(is_role).map(Self).ok_or_else(|| {
            "expected the ARN of a role, such as \"arn:aws:iam::111122223333:role/forebay\"".to_owned()
        })
    }

    /// The ARN.
    pub fn arn(&self) -> &Arn {
        &self.0
    }

    /// The ARN as text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The account of the role.
    pub fn account(&self) -> &str {
        self.0.parts().account
    }
}

impl ExternalId {
    /// Parses an external id. Errors: the expected form.
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
    /// Parses an account id. Errors: the expected form.
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

shown_as_text!(RoleArn, ExternalId, AccountId);
text_form!(RoleArn, String, RoleArn::parse);
text_form!(ExternalId, String, ExternalId::parse);
text_form!(AccountId, String, AccountId::parse);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn role_arns_are_checked() {
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
    fn external_ids_and_accounts_are_checked() {
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
