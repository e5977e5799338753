//! The tokens that open the admin listener. Only their hashes are kept. Pure.

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// The shortest admin token, in bytes.
pub const ADMIN_TOKEN_MIN: usize = 16;
/// The longest admin token, in bytes.
pub const ADMIN_TOKEN_MAX: usize = 256;

/// The SHA-256 of an admin token. The token itself is never stored, logged or shown.
#[derive(Clone, Copy)]
pub struct AdminToken([u8; 32]);

/// A text cannot be an admin token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "is not {ADMIN_TOKEN_MIN} to {ADMIN_TOKEN_MAX} visible ASCII characters without spaces: `openssl rand -hex 24` makes a good one"
)]
pub struct AdminTokenError;

impl AdminToken {
    /// Hashes a token.
    /// Errors: [`AdminTokenError`] if it is too short, too long, or cannot be sent in a header.
    pub fn of(text: &str) -> Result<Self, AdminTokenError> {
        let fits = (ADMIN_TOKEN_MIN..=ADMIN_TOKEN_MAX).contains(&text.len());
        if fits && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            Ok(Self(Sha256::digest(text).into()))
        } else {
            Err(AdminTokenError)
        }
    }

    /// Whether `given` is this token. How long this takes says nothing about the token, not even its length.
    pub fn is(&self, given: &[u8]) -> bool {
        self.0.ct_eq(&<[u8; 32]>::from(Sha256::digest(given))).into()
    }
}

impl PartialEq for AdminToken {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for AdminToken {}

impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_long_enough_and_can_be_sent_in_a_header() {
        for text in ["0123456789abcdef", "!~abcdefghijklmnop", &"x".repeat(ADMIN_TOKEN_MAX)] {
            assert!(AdminToken::of(text).is_ok(), "{text:?}");
        }
        let long = "x".repeat(ADMIN_TOKEN_MAX + 1);
        for text in
            ["", "0123456789abcde", "0123456789 abcdef", "0123456789abcdefé", "0123456789abcdef\n", &long]
        {
            assert_eq!(AdminToken::of(text), Err(AdminTokenError), "{text:?}");
        }
    }

    #[test]
    fn only_the_same_text_is_the_token_and_nothing_shows_it() {
        let token = AdminToken::of("0123456789abcdef").unwrap();
        assert!(token.is(b"0123456789abcdef"));
        for other in [&b""[..], b"0123456789abcde", b"0123456789abcdeF", b"0123456789abcdef "] {
            assert!(!token.is(other), "{other:?}");
        }
        assert_eq!(format!("{token:?}"), "AdminToken(hidden)");
        assert_eq!(token, AdminToken::of("0123456789abcdef").unwrap());
        assert_ne!(token, AdminToken::of("0123456789abcdeF").unwrap());
    }
}
