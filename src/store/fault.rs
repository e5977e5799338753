//! Classifies an answer: from a status and an error code to a [`Fault`]. Pure.
//!
//! The rule for the table: [`Fault::Transient`] only if the same request may succeed later by itself. If the
//! store understood the request and refuses it, retrying does not help until a person acts, and an alarm must
//! say so: [`Fault::Refused`]. Both are retried forever; they differ in pace and in the alarm.

use super::reason::{DIGEST, REGION, is_throttling};
use super::{Fault, StoreError};

/// The request that was answered: a 404 means something different for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// `PutObject`.
    Put,
    /// `HeadObject`.
    Head,
    /// `GetObject`.
    Get,
    /// `ListObjectsV2`.
    List,
    /// `CopyObject`, `DeleteObject`, `GetObjectTagging` or `PutObjectTagging`.
    Change,
    /// `GetBucketNotificationConfiguration` or `PutBucketNotificationConfiguration`.
    Notifications,
    /// `HeadBucket`.
    HeadBucket,
    /// `AssumeRole` of STS.
    AssumeRole,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending<'a> {
    /// With an HTTP answer.
    Answer {
        /// The status.
        status: u16,
        /// The store's error code, if the body or a header contains one.
        code: Option<&'a str>,
    },
    /// Without an answer: timeout, reset, refused connection, unresolved name, incomplete answer.
    NoAnswer,
    /// Before anything was sent: there are no credentials, or fetching them failed.
    NoCredentials,
    /// Before anything was sent: the request cannot be built from this configuration.
    Unbuildable,
}

/// What whoever sent a request, and decides nothing by itself, can do about its failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outlook {
    /// Nothing: there is no such object, or no such version of it.
    Missing,
    /// Look again: the object is another one now.
    Changed,
    /// Nothing until a person gives access, or credentials.
    Denied,
    /// Nothing until a person does something else.
    Refused,
    /// Send the same request later: it may succeed.
    Passing,
}

impl StoreError {
    /// What can be done about it.
    pub fn outlook(&self) -> Outlook {
        match (self.fault, self.status, self.code.as_deref()) {
            // A condition on an object that is not there is answered like this.
            (Fault::NotFound, ..) | (Fault::Refused, Some(404), Some("NoSuchKey" | "NoSuchVersion")) => {
                Outlook::Missing
            }
            // 416: the object is shorter, and the store does not know `If-Match`.
            (Fault::Exists, ..) | (Fault::Refused, Some(412 | 416), _) => Outlook::Changed,
            (Fault::Refused, Some(401 | 403), _) | (Fault::NoAccess, ..) => Outlook::Denied,
            (Fault::Refused | Fault::Local, ..) => Outlook::Refused,
            // After the last two the next attempt uses other credentials or another region.
            (Fault::Transient | Fault::Busy | Fault::Digest | Fault::Expired | Fault::Region, ..) => {
                Outlook::Passing
            }
        }
    }
}

/// Codes that mean that the credentials have expired or became invalid.
const EXPIRED: &[&str] = &["ExpiredToken", "ExpiredTokenException", "InvalidToken", "TokenRefreshRequired"];

/// Codes with a status below 500 that are transient, besides those of a store that is asked too often.
const PASSING: &[&str] = &[
    "RequestTimeout", "IncompleteBody", "ServiceUnavailable", "InternalError", "TemporaryRedirect",
    "ClientDisconnected",
];

/// Codes with a status of 500 or more that are not transient.
const LASTING: &[&str] = &["NotImplemented", "MethodNotAllowed", "NoSuchBucket", "AccessDenied"];

/// Classifies a failure.
pub fn classify(asked: Asked, ending: Ending<'_>) -> Fault {
    let (status, code) = match ending {
        Ending::Answer { status, code } => (status, code.unwrap_or("")),
        Ending::NoAnswer => return Fault::Transient,
        Ending::NoCredentials => return Fault::NoAccess,
        Ending::Unbuildable => return Fault::Refused,
    };
    let by_code = [(DIGEST, Fault::Digest), (EXPIRED, Fault::Expired), (REGION, Fault::Region)];
    if let Some((_, fault)) = by_code.into_iter().find(|(codes, _)| codes.contains(&code)) {
        return fault;
    }
    if let Some(kms) = code.strip_prefix("KMS.") {
        // A key that is disabled, deleted or forbidden needs a person; a busy KMS does not.
        let busy = ["Throttling", "LimitExceeded", "Internal", "DependencyTimeout", "KeyUnavailable"];
        return if busy.iter().any(|word| kms.contains(word)) { Fault::Transient } else { Fault::Refused };
    }
    if PASSING.contains(&code) || is_throttling(status, code) {
        return Fault::Transient;
    }
    match (status, asked) {
        (301 | 308, _) => Fault::Region,
        (404, Asked::Head) => Fault::NotFound,
        (404, Asked::Get | Asked::Change) if matches!(code, "NoSuchKey" | "NoSuchVersion") => Fault::NotFound,
        (412, Asked::Put) => Fault::Exists,
        (409, _) => Fault::Busy,
        (408 | 425, _) => Fault::Transient,
        // S3 answers a HEAD like this when the session has expired; without a body there is no code.
        (400, Asked::Head) => Fault::Expired,
        (400..=499, Asked::AssumeRole) => Fault::NoAccess,
        (400..=499, _) => Fault::Refused,
        (500.., _) if LASTING.contains(&code) => Fault::Refused,
        // 307 occurs while the name of a new bucket propagates; after an unreadable success the outcome is
        // unknown.
        _ => Fault::Transient,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, code: &str) -> Ending<'_> {
        Ending::Answer { status, code: if code.is_empty() { None } else { Some(code) } }
    }

    #[test]
    fn answers_to_a_put_are_classified() {
        let check = |status, code, fault| {
            assert_eq!(classify(Asked::Put, answer(status, code)), fault, "{status} {code}");
        };
        check(412, "PreconditionFailed", Fault::Exists);
        check(412, "", Fault::Exists);
        check(409, "ConditionalRequestConflict", Fault::Busy);
        check(409, "OperationAborted", Fault::Busy);
        check(403, "AccessDenied", Fault::Refused);
        check(403, "", Fault::Refused);
        check(403, "InvalidAccessKeyId", Fault::Refused);
        check(403, "SignatureDoesNotMatch", Fault::Refused);
        check(403, "RequestTimeTooSkewed", Fault::Refused);
        check(404, "NoSuchBucket", Fault::Refused);
        check(404, "", Fault::Refused);
        check(400, "ExpiredToken", Fault::Expired);
        check(400, "InvalidToken", Fault::Expired);
        check(400, "KMS.DisabledException", Fault::Refused);
        check(400, "KMS.NotFoundException", Fault::Refused);
        check(400, "KMS.KMSInvalidStateException", Fault::Refused);
        check(400, "KMS.ThrottlingException", Fault::Transient);
        check(500, "KMS.InternalException", Fault::Transient);
        check(400, "InvalidRequest", Fault::Refused);
        check(400, "SomethingNew", Fault::Refused);
        check(400, "", Fault::Refused);
        check(413, "EntityTooLarge", Fault::Refused);
        check(400, "RequestTimeout", Fault::Transient);
        check(400, "IncompleteBody", Fault::Transient);
        check(400, "BadDigest", Fault::Digest);
        check(400, "InvalidDigest", Fault::Digest);
        check(400, "XAmzContentSHA256Mismatch", Fault::Digest);
        check(400, "XAmzContentChecksumMismatch", Fault::Digest);
        check(301, "PermanentRedirect", Fault::Region);
        check(301, "", Fault::Region);
        check(400, "AuthorizationHeaderMalformed", Fault::Region);
        check(400, "IllegalLocationConstraintException", Fault::Region);
        check(307, "TemporaryRedirect", Fault::Transient);
        check(429, "", Fault::Transient);
        check(408, "", Fault::Transient);
        check(500, "InternalError", Fault::Transient);
        check(503, "SlowDown", Fault::Transient);
        check(503, "", Fault::Transient);
        check(502, "", Fault::Transient);
        check(501, "NotImplemented", Fault::Refused);
        check(501, "", Fault::Transient);
        check(200, "", Fault::Transient);
    }

    #[test]
    fn answers_to_a_head_are_classified() {
        let check = |status, code, fault| {
            assert_eq!(classify(Asked::Head, answer(status, code)), fault, "{status} {code}");
        };
        check(404, "NotFound", Fault::NotFound);
        check(404, "", Fault::NotFound);
        check(403, "", Fault::Refused);
        check(403, "Forbidden", Fault::Refused);
        check(301, "", Fault::Region);
        check(400, "", Fault::Expired);
        check(503, "", Fault::Transient);
        assert_eq!(classify(Asked::HeadBucket, answer(404, "NotFound")), Fault::Refused);
    }

    #[test]
    fn answers_of_sts_are_classified() {
        let check = |status, code, fault| {
            assert_eq!(classify(Asked::AssumeRole, answer(status, code)), fault, "{status} {code}");
        };
        check(403, "AccessDenied", Fault::NoAccess);
        check(403, "InvalidClientTokenId", Fault::NoAccess);
        check(403, "RegionDisabledException", Fault::NoAccess);
        check(400, "ValidationError", Fault::NoAccess);
        check(403, "ExpiredToken", Fault::Expired);
        check(400, "Throttling", Fault::Transient);
        check(400, "RequestThrottledException", Fault::Transient);
        check(400, "TooManyRequestsException", Fault::Transient);
        check(503, "", Fault::Transient);
    }

    #[test]
    fn missing_answers_are_classified() {
        assert_eq!(classify(Asked::Put, Ending::NoAnswer), Fault::Transient);
        assert_eq!(classify(Asked::Put, Ending::NoCredentials), Fault::NoAccess);
        assert_eq!(classify(Asked::Put, Ending::Unbuildable), Fault::Refused);
    }

    #[test]
    fn failures_are_what_whoever_asked_can_act_on() {
        use Outlook::{Changed, Denied, Missing, Passing, Refused};
        let check = |asked, status, code: &str, outlook| {
            let fault = classify(asked, answer(status, code));
            let error = StoreError::answered(fault, status, (!code.is_empty()).then_some(code), "why");
            assert_eq!(error.outlook(), outlook, "{status} {code:?}");
        };
        check(Asked::Get, 412, "PreconditionFailed", Changed);
        check(Asked::Get, 412, "", Changed);
        check(Asked::Put, 412, "PreconditionFailed", Changed);
        check(Asked::Get, 416, "InvalidRange", Changed);
        check(Asked::Get, 404, "NoSuchKey", Missing);
        check(Asked::Put, 404, "NoSuchKey", Missing);
        check(Asked::Get, 404, "NoSuchVersion", Missing);
        check(Asked::Get, 404, "NoSuchBucket", Refused);
        check(Asked::Put, 404, "NoSuchBucket", Refused);
        check(Asked::Head, 404, "", Missing);
        check(Asked::Get, 403, "AccessDenied", Denied);
        check(Asked::Head, 403, "", Denied);
        check(Asked::Get, 403, "InvalidObjectState", Denied);
        check(Asked::Get, 400, "InvalidRequest", Refused);
        check(Asked::Get, 400, "ExpiredToken", Passing);
        check(Asked::Get, 301, "PermanentRedirect", Passing);
        check(Asked::Get, 503, "SlowDown", Passing);
        check(Asked::Get, 500, "", Passing);
        assert_eq!(StoreError::local(Fault::NoAccess, "no credentials").outlook(), Denied);
        assert_eq!(StoreError::local(Fault::Local, "no file").outlook(), Refused);
    }
}
