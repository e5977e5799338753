//! What fixes a request that a store refused, in a sentence. Pure.
//!
//! An alarm, `status` and the console say it beside the error, and so do commands that read a bucket.
//! `forebay check` knows the settings, and so gives the exact statement or line.

use super::reason::{Action, Denial, KeyTrouble, NoAnswer, Reason};
use super::{Fault, StoreError};

/// What fixes a role that may not be assumed.
const ROLE_DENIED: &str = "let the role's trust policy name the user or role that Forebay runs as, with this external id, \
                           and allow sts:AssumeRole in the policy of that user or role";
/// What to do without credentials.
const GIVE_CREDENTIALS: &str =
    "give credentials: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or a role of the machine";

impl StoreError {
    /// What a person can do who configures deliveries. `None` if only the store's own message can say.
    pub fn remedy(&self) -> Option<&'static str> {
        if self.is_of_role() { Some(ROLE_DENIED) } else { self.reason.remedy() }
    }

    /// What a person can do whose command reads a bucket. `None` if the store's own message is enough.
    pub fn reader_remedy(&self) -> Option<&'static str> {
        match self.reason {
            _ if self.is_of_role() => Some(ROLE_DENIED),
            _ if self.fault == Fault::NoAccess => Some(GIVE_CREDENTIALS),
            Reason::NoSuchBucket => Some("check the bucket's name, its region and the endpoint"),
            Reason::UnknownAccessKey | Reason::WrongSignature => {
                Some("check the access key, its secret key and the endpoint")
            }
            Reason::Denied(_) => Some("`forebay policy reader` prints the policy of those who read a bucket"),
            _ => None,
        }
    }

    fn is_of_role(&self) -> bool {
        self.fault == Fault::NoAccess && matches!(self.reason, Reason::Denied(_))
    }
}

impl Reason {
    fn remedy(self) -> Option<&'static str> {
        Some(match self {
            Self::NoAnswer(NoAnswer::Name) => "fix s3.endpoint_url or s3.region, or the DNS of this machine",
            Self::NoAnswer(NoAnswer::Connect) => {
                "start the store, fix s3.endpoint_url, or allow outbound access to it (firewall, security group, route, \
                 VPC endpoint)"
            }
            Self::NoAnswer(NoAnswer::Tls) => {
                "fix the scheme of s3.endpoint_url (http or https), give the store a certificate for its host name that this \
                 machine trusts, or name its CA's file in SSL_CERT_FILE"
            }
            Self::NoAnswer(NoAnswer::Timeout) => {
                "check the network between this machine and the store, and the store itself"
            }
            Self::NoAnswer(NoAnswer::Broke) => {
                "fix the scheme of s3.endpoint_url (http or https), or check the network between this machine and the store"
            }
            Self::NoCredentials(_) => GIVE_CREDENTIALS,
            Self::UnknownAccessKey => "use an access key that the store knows",
            Self::WrongSignature => {
                "set the access key and its secret key again: they do not belong together; those of the environment are read \
                 at the start"
            }
            Self::SessionEnded => {
                "get new credentials, or use ones that are renewed automatically, such as a role"
            }
            Self::WrongSessionToken => {
                "set access key, secret key and session token from the same session: they do not belong together"
            }
            Self::ClockSkew => "synchronise this machine's clock (timedatectl set-ntp true)",
            Self::Denied(Denial::Missing(Action::PutObject)) => {
                "allow s3:PutObject on the bucket in the policy of the writer"
            }
            Self::Denied(Denial::Missing(Action::PutObjectTagging)) => {
                "allow s3:PutObjectTagging in the policy of the writer, or remove s3.object_tags"
            }
            Self::Denied(Denial::Missing(Action::PutObjectAcl)) => {
                "allow s3:PutObjectAcl in the policy of the writer, or remove s3.acl"
            }
            Self::Denied(Denial::Missing(Action::Kms)) => {
                "allow kms:GenerateDataKey in the policy of the key, and in that of the writer if the key is in another \
                 account"
            }
            Self::Denied(Denial::Explicit) => {
                "a policy denies this put explicitly: change its condition, or the encryption that is asked for"
            }
            Self::Denied(Denial::Missing(Action::Other) | Denial::Unsaid) => {
                "allow s3:PutObject (with KMS also kms:GenerateDataKey), or find the policy or the proxy that denies it"
            }
            Self::NoSuchBucket | Self::NotFound => "create the bucket, or fix its name in the configuration",
            Self::RegionNotFound | Self::OtherRegion => {
                "set s3.region (or the source's) to the bucket's region"
            }
            Self::RegionDisabled => "enable the token service for this region in the account",
            Self::AclNotSupported => "remove s3.acl: the bucket's owner owns every object",
            Self::UnknownStorageClass => {
                "remove s3.storage_class (or the source's): the store does not have it"
            }
            Self::Digest => "look for a proxy that changes request bodies",
            Self::ChecksumRequired => {
                "set s3.checksums = \"auto\": a bucket with Object Lock requires a checksum with each put"
            }
            Self::NotImplemented => {
                "if the store knows no checksums, set s3.checksums = \"when-required\"; if no conditional puts, s3.put = \
                 \"overwrite\""
            }
            Self::Key(KeyTrouble::Disabled) => "enable the KMS key",
            Self::Key(KeyTrouble::NotFound) => {
                "configure a KMS key that exists in the bucket's region, by its ARN"
            }
            Self::Key(KeyTrouble::InvalidUsage) => "configure a symmetric KMS key for encryption",
            Self::Key(KeyTrouble::InvalidState | KeyTrouble::Other) => "look at the state of the KMS key",
            Self::Busy | Self::Broken => "look at the store: it is overloaded or has a fault",
            Self::Exists | Self::InvalidArgument | Self::BadRequest | Self::DryRun | Self::Other => {
                return None;
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::store::{Fault, StoreError};

    #[test]
    fn an_error_is_followed_by_what_fixes_it() {
        let said = |status, code: &str, message: &str| {
            StoreError::answered(Fault::Refused, status, Some(code), message).with_remedy()
        };
        let missing = said(404, "NoSuchBucket", "The bucket does not exist");
        assert_eq!(
            missing.full(),
            "404 NoSuchBucket: The bucket does not exist; to fix it: create the bucket, or fix its name in the configuration"
        );
        assert_eq!(
            missing.masked(),
            "404 NoSuchBucket: [hidden]; to fix it: create the bucket, or fix its name in the configuration"
        );
        assert_eq!(said(400, "Odd", "no").full(), "400 Odd: no");
        assert_eq!(said(400, "no jane@example.com", "no").masked(), "400 [hidden]: [hidden]");
    }
}
