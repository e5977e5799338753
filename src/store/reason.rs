//! What a failed request to any service is about: derives a [`Reason`] from status, error code and message.
//! Pure.
//!
//! [`super::fault`] decides what a delivery does after a failure; a reason decides what to advise a person.

/// What a failed request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// There was no answer.
    NoAnswer(NoAnswer),
    /// There were no credentials.
    NoCredentials(NoCredentials),
    /// The credentials are valid but the request is denied.
    Denied(Denial),
    /// The service does not know the access key.
    UnknownAccessKey,
    /// The signature is wrong: the secret key does not match the access key.
    WrongSignature,
    /// The session of the credentials has expired.
    SessionEnded,
    /// The session token does not match the access key.
    WrongSessionToken,
    /// The clocks differ too much.
    ClockSkew,
    /// The service is busy.
    Busy,
    /// The service reports an internal error.
    Broken,
    /// The bucket does not exist.
    NoSuchBucket,
    /// 404 without a code, so it is unknown what is missing.
    NotFound,
    /// The search for the bucket's region failed.
    RegionNotFound,
    /// The bucket is in another region.
    OtherRegion,
    /// The token service in the region is disabled for the account.
    RegionDisabled,
    /// The bucket accepts no ACLs.
    AclNotSupported,
    /// The store does not support the storage class.
    UnknownStorageClass,
    /// 412: an object of this name exists.
    Exists,
    /// The bytes did not match the checksum.
    Digest,
    /// The store does not support a part of the request.
    NotImplemented,
    /// The bucket requires a checksum, as those with Object Lock do.
    ChecksumRequired,
    /// An argument or the method is refused.
    InvalidArgument,
    /// Another 400.
    BadRequest,
    /// The KMS key cannot be used.
    Key(KeyTrouble),
    /// A dry run that would have succeeded.
    DryRun,
    /// Anything else, including failures on this machine.
    Other,
}

/// Why there was no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoAnswer {
    /// The host name cannot be resolved.
    Name,
    /// Nothing listens there, or it is unreachable.
    Connect,
    /// The TLS connection failed.
    Tls,
    /// No answer in time.
    Timeout,
    /// Anything else: the connection broke.
    Broke,
}

/// The places that are searched for credentials, in words.
pub const CREDENTIALS_TRIED: &str = "environment, profile, web identity, container and instance";

/// Why there are no credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoCredentials {
    /// No provider of the chain has credentials.
    NoneFound,
    /// A provider failed.
    Failed,
}

/// Why a request was denied, if the service gives a reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Denial {
    /// The service gives no reason.
    #[default]
    Unsaid,
    /// A policy denies the request explicitly.
    Explicit,
    /// No policy allows this action.
    Missing(Action),
}

/// An action that a policy can allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// `s3:PutObject`
    PutObject,
    /// `s3:PutObjectTagging`
    PutObjectTagging,
    /// `s3:PutObjectAcl`
    PutObjectAcl,
    /// Any action of the key service, such as `kms:GenerateDataKey`.
    Kms,
    /// Any other action.
    Other,
}

/// Why a KMS key cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyTrouble {
    /// The key is disabled.
    Disabled,
    /// The key does not exist in the region.
    NotFound,
    /// The key's state does not allow encryption.
    InvalidState,
    /// The key is not for encryption.
    InvalidUsage,
    /// Anything else.
    Other,
}

/// Codes of a service that is asked too often, with any status (AWS SDKs Reference Guide, "Retry behavior").
const THROTTLING: [&str; 11] = [
    "BandwidthLimitExceeded",
    "LimitExceededException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "SlowDown",
    "ThrottledException",
    "Throttling",
    "ThrottlingException",
    "TooManyRequests",
    "TooManyRequestsException",
];

/// Whether an answer of any service says that it is asked too often.
pub fn is_throttling(status: u16, code: &str) -> bool {
    status == 429 || THROTTLING.contains(&code)
}

/// Codes that mean that the bytes did not match the checksum.
pub(super) const DIGEST: &[&str] =
    &["BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch"];

/// Codes that mean that the bucket is in another region.
pub(super) const REGION: &[&str] = &[
    "PermanentRedirect",
    "AuthorizationHeaderMalformed",
    "IncorrectRegion",
    "IncorrectEndpoint",
    "IllegalLocationConstraintException",
    "InvalidRegion",
];

impl Reason {
    /// The reason for an error answer. `message` is the service's complete message.
    pub fn of_answer(status: u16, code: Option<&str>, message: &str) -> Self {
        match code.unwrap_or("") {
            "InvalidAccessKeyId" | "InvalidClientTokenId" | "UnrecognizedClientException" => {
                Self::UnknownAccessKey
            }
            "SignatureDoesNotMatch" | "InvalidSignatureException" | "IncompleteSignature" => {
                Self::WrongSignature
            }
            "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" => Self::SessionEnded,
            "InvalidToken" => Self::WrongSessionToken,
            "RequestTimeTooSkewed" | "RequestExpired" => Self::ClockSkew,
            "ServiceUnavailable" | "InternalError" => Self::Busy,
            code if is_throttling(status, code) => Self::Busy,
            "AccessDenied" | "AccessDeniedException" => Self::Denied(Denial::said(message)),
            _ if status >= 500 && status != 501 => Self::Broken,
            "" | "Forbidden" | "AllAccessDisabled" if status == 403 => Self::Denied(Denial::said(message)),
            "NoSuchBucket" => Self::NoSuchBucket,
            "RegionDisabledException" => Self::RegionDisabled,
            "AccessControlListNotSupported" => Self::AclNotSupported,
            "InvalidStorageClass" => Self::UnknownStorageClass,
            "NotImplemented" => Self::NotImplemented,
            "MissingContentMD5" => Self::ChecksumRequired,
            // AWS has no code of its own for it.
            "InvalidRequest" if message.contains("Content-MD5") => Self::ChecksumRequired,
            "InvalidArgument" | "InvalidRequest" | "MethodNotAllowed" if status != 501 => {
                Self::InvalidArgument
            }
            "DryRunOperationException" => Self::DryRun,
            digest if DIGEST.contains(&digest) => Self::Digest,
            region if REGION.contains(&region) => Self::OtherRegion,
            code => KeyTrouble::of_code(code).map_or_else(|| Self::of_status(status, code), Self::Key),
        }
    }

    fn of_status(status: u16, code: &str) -> Self {
        match status {
            301 | 308 => Self::OtherRegion,
            400 => Self::BadRequest,
            404 if code.is_empty() => Self::NotFound,
            412 => Self::Exists,
            501 => Self::NotImplemented,
            _ => Self::Other,
        }
    }
}

impl Denial {
    /// Parses the service's message, in AWS's wording ("Troubleshoot access denied error messages"). The
    /// answer has these facts nowhere else.
    fn said(message: &str) -> Self {
        if message.contains("explicit deny") {
            return Self::Explicit;
        }
        let action = message
            .split_once("not authorized to perform: ")
            .and_then(|(_, rest)| rest.split([' ', ',', '"']).next())
            .filter(|action| action.contains(':'));
        action.map_or(Self::Unsaid, |action| Self::Missing(Action::of(action)))
    }
}

impl Action {
    fn of(name: &str) -> Self {
        match name {
            "s3:PutObject" => Self::PutObject,
            "s3:PutObjectTagging" => Self::PutObjectTagging,
            "s3:PutObjectAcl" => Self::PutObjectAcl,
            kms if kms.starts_with("kms:") => Self::Kms,
            _ => Self::Other,
        }
    }
}

impl KeyTrouble {
    /// Parses an error code of KMS. Stores prefix it with `KMS.`; MinIO has its own codes, prefixed with
    /// `kms:`.
    fn of_code(code: &str) -> Option<Self> {
        let by_store = code.strip_prefix("KMS.").or_else(|| code.strip_prefix("kms:"));
        match by_store.unwrap_or(code) {
            "DisabledException" | "KeyDisabled" => Some(Self::Disabled),
            "NotFoundException" | "KeyNotFound" => Some(Self::NotFound),
            "KMSInvalidStateException" | "InvalidStateException" => Some(Self::InvalidState),
            "InvalidKeyUsageException" => Some(Self::InvalidUsage),
            "KeyUnavailableException" => Some(Self::Other),
            _ => by_store.map(|_| Self::Other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_answer_has_its_reason() {
        use Reason as R;
        let check = |status, code: &str, reason: Reason| {
            let code = Some(code).filter(|code| !code.is_empty());
            assert_eq!(Reason::of_answer(status, code, ""), reason, "{status} {code:?}");
        };
        let denied = || R::Denied(Denial::Unsaid);
        check(403, "AccessDenied", denied());
        check(403, "", denied());
        check(403, "AllAccessDisabled", denied());
        check(400, "AccessDeniedException", denied());
        check(403, "InvalidAccessKeyId", R::UnknownAccessKey);
        check(403, "SignatureDoesNotMatch", R::WrongSignature);
        check(403, "RequestTimeTooSkewed", R::ClockSkew);
        check(400, "ExpiredToken", R::SessionEnded);
        check(400, "InvalidToken", R::WrongSessionToken);
        check(503, "SlowDown", R::Busy);
        check(400, "RequestLimitExceeded", R::Busy);
        check(429, "", R::Busy);
        check(503, "", R::Broken);
        check(500, "Odd", R::Broken);
        check(404, "", R::NotFound);
        check(404, "NoSuchBucket", R::NoSuchBucket);
        check(404, "NoSuchKey", R::Other);
        check(301, "", R::OtherRegion);
        check(400, "AuthorizationHeaderMalformed", R::OtherRegion);
        check(400, "AccessControlListNotSupported", R::AclNotSupported);
        check(400, "InvalidStorageClass", R::UnknownStorageClass);
        check(412, "PreconditionFailed", R::Exists);
        check(501, "", R::NotImplemented);
        check(400, "NotImplemented", R::NotImplemented);
        check(405, "MethodNotAllowed", R::InvalidArgument);
        check(400, "Odd", R::BadRequest);
        check(400, "BadDigest", R::Digest);
        check(400, "DryRunOperationException", R::DryRun);
        check(403, "RegionDisabledException", R::RegionDisabled);
        check(400, "KMS.DisabledException", R::Key(KeyTrouble::Disabled));
        check(400, "DisabledException", R::Key(KeyTrouble::Disabled));
        check(404, "kms:KeyNotFound", R::Key(KeyTrouble::NotFound));
        check(400, "KMS.NotFoundException", R::Key(KeyTrouble::NotFound));
        check(400, "KMS.KMSInvalidStateException", R::Key(KeyTrouble::InvalidState));
        check(400, "KMS.InvalidKeyUsageException", R::Key(KeyTrouble::InvalidUsage));
        check(400, "KMS.Novel", R::Key(KeyTrouble::Other));
        check(418, "", R::Other);
    }

    #[test]
    fn the_missing_action_is_read_from_the_message() {
        let denial = |message: &str| Reason::of_answer(403, Some("AccessDenied"), message);
        let aws = "User: arn:aws:iam::111122223333:user/x is not authorized to perform: kms:GenerateDataKey on \
                   resource: arn:aws:kms:eu-west-1:111122223333:key/1 because no identity-based policy allows it";
        assert_eq!(denial(aws), Reason::Denied(Denial::Missing(Action::Kms)));
        let put = aws.replace("kms:GenerateDataKey", "s3:PutObject");
        assert_eq!(denial(&put), Reason::Denied(Denial::Missing(Action::PutObject)));
        assert_eq!(denial("Access Denied"), Reason::Denied(Denial::Unsaid));
        let long = format!("{put} {} with an explicit deny in a resource-based policy", "x".repeat(1_000));
        assert_eq!(denial(&long), Reason::Denied(Denial::Explicit));
    }
}
