//! What an answer means: from a status and an error code to a [`Fault`]. Pure.
//!
//! The rule behind the table: [`Fault::Transient`] only where the same request may fare better by itself. Where the
//! store has read the request and says no, trying again changes nothing until a person does something, and the person
//! has to be told: [`Fault::Refused`]. Both are retried for ever; they differ in pace and in alarm.

use super::Fault;

/// Outside text in a message, in bytes. What is longer is cut.
pub const OUTSIDE_TEXT_BYTES_MAX: usize = 256;

/// Which request was answered: a 404 says another thing to each.
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
    /// `HeadBucket`.
    HeadBucket,
    /// `AssumeRole` of the token service.
    AssumeRole,
}

/// How a try ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending<'a> {
    /// With an answer of HTTP.
    Answer {
        /// The status.
        status: u16,
        /// The store's error code, where the body or a header named one.
        code: Option<&'a str>,
    },
    /// Without an answer: timeout, reset, refused connection, a name that does not resolve, half an answer.
    NoAnswer,
    /// Before anything was sent: no credentials, or they could not be had.
    NoCredentials,
    /// Before anything was sent: the request cannot be built from this configuration.
    Unbuildable,
}

/// Codes that say: the bytes were not those of the checksum.
const DIGEST: &[&str] =
    &["BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch"];

/// Whether a store's error code says that the bytes were not those of the checksum.
pub fn is_digest(code: &str) -> bool {
    DIGEST.contains(&code)
}

/// Codes that say: the credentials have ended, or are not what they were.
const EXPIRED: &[&str] = &["ExpiredToken", "ExpiredTokenException", "InvalidToken", "TokenRefreshRequired"];

/// Codes that say: ask another region.
const REGION: &[&str] = &[
    "PermanentRedirect",
    "AuthorizationHeaderMalformed",
    "IncorrectRegion",
    "IncorrectEndpoint",
    "IllegalLocationConstraintException",
    "InvalidRegion",
];

/// Codes below 500 that pass by themselves.
const PASSING: &[&str] = &[
    "RequestTimeout",
    "IncompleteBody",
    "SlowDown",
    "ServiceUnavailable",
    "InternalError",
    "Throttling",
    "ThrottlingException",
    "RequestLimitExceeded",
    "TooManyRequests",
    "TemporaryRedirect",
    "ClientDisconnected",
];

/// Codes at or above 500 that do not.
const LASTING: &[&str] = &["NotImplemented", "MethodNotAllowed", "NoSuchBucket", "AccessDenied"];

/// What kind of failure this is.
pub fn classify(asked: Asked, ending: Ending<'_>) -> Fault {
    let (status, code) = match ending {
        Ending::Answer { status, code } => (status, code.unwrap_or("")),
        Ending::NoAnswer => return Fault::Transient,
        Ending::NoCredentials => return Fault::NoAccess,
        Ending::Unbuildable => return Fault::Refused,
    };
    if is_digest(code) {
        return Fault::Digest;
    }
    if EXPIRED.contains(&code) {
        return Fault::Expired;
    }
    if REGION.contains(&code) {
        return Fault::Region;
    }
    if let Some(kms) = code.strip_prefix("KMS.") {
        // A key that is off, gone or forbidden waits for a person; the key service being busy does not.
        let busy = ["Throttling", "LimitExceeded", "Internal", "DependencyTimeout", "KeyUnavailable"];
        return if busy.iter().any(|word| kms.contains(word)) { Fault::Transient } else { Fault::Refused };
    }
    if PASSING.contains(&code) {
        return Fault::Transient;
    }
    match (status, asked) {
        (301 | 308, _) => Fault::Region,
        (404, Asked::Head) => Fault::NotFound,
        (404, Asked::Get) if code == "NoSuchKey" => Fault::NotFound,
        (412, Asked::Put) => Fault::Exists,
        (409, _) => Fault::Busy,
        (408 | 425 | 429, _) => Fault::Transient,
        // Of a HEAD there is no body to say so: this is how S3 answers one whose session has ended.
        (400, Asked::Head) => Fault::Expired,
        (400..=499, Asked::AssumeRole) => Fault::NoAccess,
        (400..=499, _) => Fault::Refused,
        (500.., _) if LASTING.contains(&code) => Fault::Refused,
        // 307 comes while a young bucket's name spreads; a success that cannot be read is an unknown outcome.
        _ => Fault::Transient,
    }
}

/// One line of at most [`OUTSIDE_TEXT_BYTES_MAX`] bytes from a text that came from outside: control characters escaped.
pub fn outside_text(text: &str) -> String {
    let mut line = String::new();
    for char in text.trim().chars() {
        let escaped: String =
            if char.is_control() || matches!(char, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}') {
                char.escape_default().collect()
            } else {
                char.to_string()
            };
        if line.len() + escaped.len() > OUTSIDE_TEXT_BYTES_MAX {
            break;
        }
        line.push_str(&escaped);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, code: &str) -> Ending<'_> {
        Ending::Answer { status, code: if code.is_empty() { None } else { Some(code) } }
    }

    #[test]
    fn what_a_put_was_answered() {
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
    fn what_a_head_was_answered() {
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
    fn what_the_token_service_answered() {
        let check = |status, code, fault| {
            assert_eq!(classify(Asked::AssumeRole, answer(status, code)), fault, "{status} {code}");
        };
        check(403, "AccessDenied", Fault::NoAccess);
        check(403, "InvalidClientTokenId", Fault::NoAccess);
        check(403, "RegionDisabledException", Fault::NoAccess);
        check(400, "ValidationError", Fault::NoAccess);
        check(403, "ExpiredToken", Fault::Expired);
        check(400, "Throttling", Fault::Transient);
        check(503, "", Fault::Transient);
    }

    #[test]
    fn what_was_never_answered() {
        assert_eq!(classify(Asked::Put, Ending::NoAnswer), Fault::Transient);
        assert_eq!(classify(Asked::Put, Ending::NoCredentials), Fault::NoAccess);
        assert_eq!(classify(Asked::Put, Ending::Unbuildable), Fault::Refused);
    }

    #[test]
    fn outside_text_is_one_bounded_line() {
        assert_eq!(outside_text(" Access\nDenied\u{1b}[31m "), r"Access\nDenied\u{1b}[31m");
        assert_eq!(outside_text("ünïcode"), "ünïcode");
        assert_eq!(outside_text(&"ü".repeat(1_000)).len(), OUTSIDE_TEXT_BYTES_MAX);
    }
}
