//! A request that did not succeed: what the service answered, or why it gave no answer.

use std::fmt;

use crate::store::StoreError;
use crate::store::fault::outside_text;

/// The longest error code that is shown, in bytes.
const CODE_BYTES_MAX: usize = 64;

/// A request that did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What kind of failure it is.
    pub kind: Kind,
    /// HTTP status, where there was an answer.
    pub status: Option<u16>,
    /// The service's error code, where it gave one.
    pub code: Option<String>,
    /// What it says, in one bounded line.
    pub message: String,
}

/// What kind of failure a refusal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The service answered.
    Answered,
    /// The name of its host is not known.
    Name,
    /// Nobody listens there, or no way leads there.
    Connect,
    /// No TLS connection came about.
    Tls,
    /// No answer in time.
    Timeout,
    /// There are no credentials to ask with.
    Credentials,
    /// Anything else without an answer.
    Other,
}

impl Refusal {
    /// From what is known of it. Texts are cut; the kind is read from them where there was no answer.
    pub fn new(status: Option<u16>, code: Option<&str>, message: &str) -> Self {
        let kind = if status.is_some() { Kind::Answered } else { kind_of(message) };
        let code = code.map(|code| outside_text(code).chars().take(CODE_BYTES_MAX).collect());
        Self { kind, status, code, message: outside_text(message) }
    }

    /// Whether the code is this one. Services of AWS append what has a namespace to some.
    pub fn is(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }

    /// Whether the credentials are known and the request is refused all the same: 403 without a code that blames them.
    pub fn is_denied(&self) -> bool {
        let by_code = matches!(
            self.code.as_deref(),
            None | Some("AccessDenied" | "AccessDeniedException" | "Forbidden" | "AllAccessDisabled")
        );
        (self.status == Some(403) && by_code) || self.is("AccessDeniedException") || self.is("AccessDenied")
    }

    /// Whether a policy refuses it explicitly, in the words of AWS ("Troubleshoot access denied error messages").
    pub fn is_explicit_deny(&self) -> bool {
        self.message.contains("explicit deny")
    }

    /// The action that the service misses a right for, where it says so: `kms:GenerateDataKey`.
    pub fn missing_action(&self) -> Option<&str> {
        let (_, rest) = self.message.split_once("not authorized to perform: ")?;
        rest.split([' ', ',', '"']).next().filter(|action| action.contains(':'))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(status) = self.status {
            write!(f, "{status}")?;
        }
        if let Some(code) = &self.code {
            let space = if self.status.is_some() { " " } else { "" };
            write!(f, "{space}{code}")?;
        }
        let separator = if self.status.is_some() || self.code.is_some() { ": " } else { "" };
        if self.message.is_empty() { Ok(()) } else { write!(f, "{separator}{}", self.message) }
    }
}

impl From<&StoreError> for Refusal {
    fn from(error: &StoreError) -> Self {
        Self::new(error.status, error.code.as_deref(), &error.message)
    }
}

/// The client's errors are texts; these are the words in them.
fn kind_of(message: &str) -> Kind {
    let message = message.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if has(&["dns error", "failed to lookup", "name or service not known", "nodename nor servname"]) {
        Kind::Name
    } else if has(&["certificate", "tls", "handshake", "unknownissuer", "invalid peer"]) {
        Kind::Tls
    } else if has(&["connection refused", "no route to host", "network is unreachable"]) {
        Kind::Connect
    } else if has(&["credentials", "no providers in chain"]) {
        Kind::Credentials
    } else if has(&["timed out", "timeout", "deadline"]) {
        Kind::Timeout
    } else {
        Kind::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_there_was_no_answer_is_read_from_the_words_of_the_client() {
        let check =
            |message: &str, kind| assert_eq!(Refusal::new(None, None, message).kind, kind, "{message}");
        check("dispatch failure: io error: client error (Connect): dns error: failed to lookup", Kind::Name);
        check("dispatch failure: tcp connect error: Connection refused (os error 111)", Kind::Connect);
        check("dispatch failure: io error: invalid peer certificate: UnknownIssuer", Kind::Tls);
        check("request has timed out: HTTP connect timeout occurred after 5s", Kind::Timeout);
        check(
            "the credential provider was not enabled: no providers in chain provided credentials",
            Kind::Credentials,
        );
        check("connection reset by peer", Kind::Other);
        assert_eq!(Refusal::new(Some(403), None, "timed out").kind, Kind::Answered);
    }

    #[test]
    fn the_missing_action_is_read_from_the_message() {
        let refusal = |message: &str| Refusal::new(Some(403), Some("AccessDenied"), message);
        let aws = "User: arn:aws:iam::111122223333:user/x is not authorized to perform: kms:GenerateDataKey on \
                   resource: arn:aws:kms:eu-west-1:111122223333:key/1 because no identity-based policy allows it";
        assert_eq!(refusal(aws).missing_action(), Some("kms:GenerateDataKey"));
        assert_eq!(refusal("Access Denied").missing_action(), None);
        assert!(refusal("… with an explicit deny in a resource-based policy").is_explicit_deny());
    }

    #[test]
    fn a_denial_is_told_from_credentials_that_are_no_good() {
        let check = |status, code, denied| {
            assert_eq!(Refusal::new(status, code, "").is_denied(), denied, "{status:?} {code:?}");
        };
        check(Some(403), Some("AccessDenied"), true);
        check(Some(403), None, true);
        check(Some(400), Some("AccessDeniedException"), true);
        check(Some(403), Some("InvalidAccessKeyId"), false);
        check(Some(403), Some("SignatureDoesNotMatch"), false);
        check(Some(403), Some("RequestTimeTooSkewed"), false);
        check(Some(404), None, false);
        check(None, None, false);
    }

    #[test]
    fn it_reads_well_with_and_without_a_code() {
        let check = |status, code, message: &str, text: &str| {
            assert_eq!(Refusal::new(status, code, message).to_string(), text);
        };
        check(Some(403), Some("AccessDenied"), "no", "403 AccessDenied: no");
        check(Some(403), None, "", "403");
        check(None, None, "refused", "refused");
    }
}
