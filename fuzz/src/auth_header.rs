//! The places for a write key outside a body: the `Authorization` header, `X-Write-Key`, the query.
//!
//! - A header built from a key by the rules of Basic, in any alphabet and padding, gives that key.
//! - If a header gives a key, a library's strict reading accepts the base64, and the key is the part before
//!   the colon.
//! - A query gives the key that `form_urlencoded` reads.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use forebay::collector::auth::{AuthError, basic_key, plain_key, query_key};
use forebay::words::percent::decoded as percent_decoded;

use super::choices::Choices;

/// Runs one input.
pub fn run(input: &[u8]) {
    let mut choices = Choices::of(input);
    match choices.below(4) {
        0 => given(&mut choices),
        1 => header(choices.yes(), choices.rest()),
        2 => plain(choices.rest()),
        _ => query(choices.rest()),
    }
}

/// The significant part of a key: without spaces and tabs around it, and `None` if empty.
fn trimmed(key: &str) -> Option<&str> {
    Some(key.trim_matches([' ', '\t'])).filter(|key| !key.is_empty())
}

/// A header built from a user and a password.
fn given(choices: &mut Choices<'_>) {
    let engine = choices.below(4);
    let scheme = choices.one(&["Basic ", "basic\t", "BASIC   ", " bAsIc "]);
    let behind = choices.one(&["", " ", "\t "]);
    let said = choices.clone().rest();
    let encoded = match engine {
        0 => STANDARD.encode(said),
        1 => STANDARD_NO_PAD.encode(said),
        2 => URL_SAFE.encode(said),
        _ => URL_SAFE_NO_PAD.encode(said),
    };
    let found = basic_key(Some(format!("{scheme}{encoded}{behind}").as_bytes()), false);
    match std::str::from_utf8(said) {
        Ok(said) => {
            let user = said.split_once(':').map_or(said, |(user, _)| user);
            assert_eq!(found.as_ref().map(Option::as_deref), Ok(trimmed(user)));
        }
        Err(_) => assert_eq!(found, Err(AuthError::Malformed)),
    }
}

/// Any header.
fn header(accept_bearer: bool, header: &[u8]) {
    let found = basic_key(Some(header), accept_bearer);
    let header = header.trim_ascii();
    let scheme_len = header.iter().position(|byte| matches!(byte, b' ' | b'\t')).unwrap_or(header.len());
    let (scheme, credentials) = header.split_at(scheme_len);
    match found {
        Err(AuthError::Bearer) => assert!(!accept_bearer && scheme.eq_ignore_ascii_case(b"bearer")),
        Err(AuthError::Scheme) => {
            assert!(!scheme.eq_ignore_ascii_case(b"bearer") && !scheme.eq_ignore_ascii_case(b"basic"));
        }
        Err(AuthError::Malformed) => {
            assert!(scheme.eq_ignore_ascii_case(b"basic"));
            let read = STANDARD.decode(credentials.trim_ascii());
            assert!(read.is_err() || String::from_utf8(read.unwrap()).is_err(), "a valid header was refused");
        }
        Ok(None) if header.is_empty() => {}
        Ok(None) if scheme.eq_ignore_ascii_case(b"bearer") => assert!(accept_bearer),
        Ok(key) => {
            assert!(scheme.eq_ignore_ascii_case(b"basic"));
            let said = String::from_utf8(strictly(credentials.trim_ascii())).expect("a key that is not text");
            assert_eq!(key.as_deref(), trimmed(said.split(':').next().unwrap_or_default()));
        }
    }
}

/// Decodes base64 in either alphabet, padded or not, with non-zero trailing bits.
fn strictly(credentials: &[u8]) -> Vec<u8> {
    let mut digits: Vec<u8> = credentials.to_vec();
    for digit in &mut digits {
        *digit = match *digit {
            b'-' => b'+',
            b'_' => b'/',
            same => same,
        };
    }
    while digits.last() == Some(&b'=') {
        digits.pop();
    }
    // The unused bits of the last digit are set to zero, as a strict reader requires.
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let needless = match digits.len() % 4 {
        2 => 0b1111,
        3 => 0b11,
        _ => 0,
    };
    if let Some(last) = digits.last_mut()
        && let Some(value) = ALPHABET.iter().position(|known| known == last)
    {
        *last = ALPHABET[value & !needless];
    }
    STANDARD_NO_PAD.decode(digits).expect("a key from invalid base64")
}

fn plain(header: &[u8]) {
    let said = std::str::from_utf8(header).ok();
    assert_eq!(plain_key(Some(header)).as_deref(), said.and_then(trimmed));
}

fn query(query: &[u8]) {
    let Ok(query) = std::str::from_utf8(query) else { return };
    let found = query_key(Some(query));
    // The library inserts U+FFFD for invalid UTF-8; here such a name or value is ignored.
    let theirs = form_urlencoded::parse(query.as_bytes())
        .filter(|(name, value)| name == "writeKey" && !value.contains('\u{fffd}'))
        .find_map(|(_, value)| trimmed(&value).map(str::to_owned));
    if !query.contains('\u{fffd}') && !query.to_ascii_lowercase().contains("%ef%bf%bd") {
        assert_eq!(found, theirs);
    }
    let path = percent_decoded(query, false);
    let expected = percent_encoding::percent_decode_str(query).decode_utf8().ok();
    assert_eq!(path, expected);
}
