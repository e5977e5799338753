//! Finds the write key of a request outside its body.

use base64::Engine as _;

use crate::call::pixel::LENIENT;
use crate::words::percent;

/// Why an `Authorization` header is refused with 401, regardless of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// Basic, but not base64 of UTF-8 text.
    #[error("the authorization header must be Basic with base64 of the write key and a colon")]
    Malformed,
    /// A scheme other than Basic and Bearer.
    #[error("the authorization scheme must be Basic")]
    Scheme,
    /// Bearer, which the configuration does not accept.
    #[error("bearer tokens are not accepted: send a write key")]
    Bearer,
}

/// The write key of an `Authorization` header. `None` if the header is absent, holds an empty key, or is an
/// accepted Bearer.
pub fn basic_key(header: Option<&[u8]>, accept_bearer: bool) -> Result<Option<String>, AuthError> {
    let value = header.unwrap_or_default().trim_ascii();
    if value.is_empty() {
        return Ok(None);
    }
    let end = value.iter().position(|b| *b == b' ' || *b == b'\t').unwrap_or(value.len());
    let (scheme, credentials) = value.split_at(end);
    if scheme.eq_ignore_ascii_case(b"bearer") {
        return if accept_bearer { Ok(None) } else { Err(AuthError::Bearer) };
    }
    if !scheme.eq_ignore_ascii_case(b"basic") {
        return Err(AuthError::Scheme);
    }
    let standard: Vec<u8> = credentials
        .trim_ascii()
        .iter()
        .map(|b| match b {
            b'-' => b'+',
            b'_' => b'/',
            other => *other,
        })
        .collect();
    let decoded = LENIENT.decode(standard).map_err(|_| AuthError::Malformed)?;
    let text = String::from_utf8(decoded).map_err(|_| AuthError::Malformed)?;
    Ok(trimmed(text.split(':').next().unwrap_or_default()))
}

/// The write key of an `X-Write-Key` header.
pub fn plain_key(header: Option<&[u8]>) -> Option<String> {
    header.and_then(|value| std::str::from_utf8(value).ok()).and_then(trimmed)
}

/// The write key in a query.
pub fn query_key(query: Option<&str>) -> Option<String> {
    query
        .unwrap_or_default()
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .filter(|(name, _)| percent::decoded(name, true).as_deref() == Some("writeKey"))
        .find_map(|(_, value)| trimmed(&percent::decoded(value, true)?))
}

// Only spaces and tabs are trimmed: a key with a line break in it must match no source, not a shorter key.
fn trimmed(key: &str) -> Option<String> {
    let key = key.trim_matches([' ', '\t']);
    (!key.is_empty()).then(|| key.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorization_gives_a_key_or_is_refused() {
        let check = |header: &str, expected: Result<Option<&str>, AuthError>| {
            let found = basic_key(Some(header.as_bytes()), false);
            assert_eq!(found, expected.map(|key| key.map(str::to_owned)), "{header:?}");
        };
        check("", Ok(None));
        check("  ", Ok(None));
        check("Basic a2V5Og==", Ok(Some("key")));
        check("bAsIc   a2V5Og==  ", Ok(Some("key")));
        check("Basic\ta2V5Og==", Ok(Some("key")));
        check("Basic a2V5Og", Ok(Some("key")));
        check("Basic a2V5", Ok(Some("key")));
        check("Basic a2V5OnBhc3M6d29yZA==", Ok(Some("key")));
        check("Basic IGtleSA6", Ok(Some("key")));
        check("Basic Og==", Ok(None));
        check("Basic", Ok(None));
        check("Basic fn5-fj8_Pzo=", Ok(Some("~~~~???")));
        check("Basic a2V5DQo6", Ok(Some("key\r\n")));
        check("Basic %%%", Err(AuthError::Malformed));
        check("Basic a2V5 Og==", Err(AuthError::Malformed));
        check("Basic //79", Err(AuthError::Malformed));
        check("Digest a2V5Og==", Err(AuthError::Scheme));
        check("a2V5Og==", Err(AuthError::Scheme));
        check("Bearer abc", Err(AuthError::Bearer));
        assert_eq!(basic_key(None, false), Ok(None));
        assert_eq!(basic_key(Some(b"bearer abc"), true), Ok(None));
        assert_eq!(basic_key(Some(b"\xff"), true), Err(AuthError::Scheme));
    }

    #[test]
    fn queries_and_x_write_key_give_a_key() {
        let check = |query: &str, expected: Option<&str>| {
            assert_eq!(query_key(Some(query)).as_deref(), expected, "{query:?}");
        };
        check("", None);
        check("writeKey=abc", Some("abc"));
        check("a=b&writeKey=a%2Bb+c%20&x", Some("a+b c"));
        check("writeKey=&writeKey=second", Some("second"));
        check("writekey=abc", None);
        check("write%4Bey=abc", Some("abc"));
        check("writeKey=%ff", None);
        check("writeKey=100%", Some("100%"));
        check("writeKey=%zz1", Some("%zz1"));
        assert_eq!(plain_key(Some(b" k\t")).as_deref(), Some("k"));
        assert_eq!(plain_key(Some(b" ")), None);
        assert_eq!(plain_key(Some(b"\xff")), None);
        assert_eq!(plain_key(None), None);
    }

    #[test]
    fn a_plus_in_a_path_is_kept() {
        assert_eq!(percent::decoded("a+b%20c", false).as_deref(), Some("a+b c"));
    }
}
