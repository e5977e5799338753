//! A failed request: the service's answer, or the reason why there is none.

use std::fmt;

use crate::store::StoreError;
use crate::store::reason::Reason;
use crate::words::outside_text;

/// A failed request, for whoever runs the check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What the failure is about.
    pub reason: Reason,
    /// The HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// The service's error code, if it gave one.
    pub code: Option<String>,
    /// The error message, in one bounded line.
    pub message: String,
}

impl Refusal {
    /// An answer that is not a refusal but lacks the requested information.
    pub fn odd(message: &str) -> Self {
        Self { reason: Reason::Other, status: Some(200), code: None, message: message.to_owned() }
    }

    /// Nothing was sent, because there are no credentials.
    pub fn without_credentials(reason: Reason, message: &str) -> Self {
        Self { reason, status: None, code: None, message: outside_text(message).to_string() }
    }

    /// Whether the service answered at all.
    pub fn is_answered(&self) -> bool {
        self.status.is_some()
    }

    /// Whether the credentials are valid but the request is denied.
    pub fn is_denied(&self) -> bool {
        matches!(self.reason, Reason::Denied(_))
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

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        let StoreError { fault: _, status, code, reason, message } = error;
        Self { reason, status, code, message: message.full().to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::reason::NoAnswer;

    #[test]
    fn a_denial_is_distinguished_from_bad_credentials() {
        let check = |status, code, denied| {
            assert_eq!(Refusal::answered(status, code, "").is_denied(), denied, "{code}")
        };
        check(403, "AccessDenied", true);
        check(403, "", true);
        check(400, "AccessDeniedException", true);
        check(403, "InvalidAccessKeyId", false);
        check(403, "SignatureDoesNotMatch", false);
        check(403, "RequestTimeTooSkewed", false);
        check(404, "", false);
    }

    #[test]
    fn a_refusal_is_printed_with_and_without_a_code() {
        let check = |refusal: Refusal, text: &str| assert_eq!(refusal.to_string(), text);
        check(Refusal::answered(403, "AccessDenied", "no"), "403 AccessDenied: no");
        check(Refusal::answered(403, "", ""), "403");
        check(Refusal::unanswered(NoAnswer::Connect), "refused");
    }
}
