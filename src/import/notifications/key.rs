//! Object keys as notifications of S3 write them: like the value of an HTML form.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// What S3 does not encode in the keys of its notifications.
const KEPT: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'*').remove(b'/');

/// Why a key is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadKey {
    /// A `%` without two hexadecimal digits after it. S3 writes a percent sign as `%25`.
    #[error("it has a % without two hexadecimal digits after it; in a notification a percent sign is %25")]
    Escape,
    /// The bytes are not UTF-8, as all keys are.
    #[error("it is not UTF-8")]
    NotUtf8,
    /// The key is empty.
    #[error("it is empty")]
    Empty,
}

/// The key that a notification means: `+` is a space, and `%` begins an escape.
/// Errors: [`BadKey`]. No notification of S3 has such a key.
pub(super) fn decoded(key: &str) -> Result<String, BadKey> {
    let is_escape = |rest: &str| {
        let mut digits = rest.bytes().take(2);
        digits.len() == 2 && digits.all(|digit| digit.is_ascii_hexdigit())
    };
    if key.split('%').skip(1).any(|rest| !is_escape(rest)) {
        return Err(BadKey::Escape);
    }
    let spaced = key.replace('+', " ");
    let key = percent_decode_str(&spaced).decode_utf8().map_err(|_| BadKey::NotUtf8)?;
    if key.is_empty() { Err(BadKey::Empty) } else { Ok(key.into_owned()) }
}

/// A key as notifications write it: the inverse of [`decoded`].
pub(super) fn encoded(key: &str) -> String {
    key.split(' ').map(|part| utf8_percent_encode(part, &KEPT).to_string()).collect::<Vec<_>>().join("+")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_are_decoded_like_values_of_forms() {
        let check = |key: &str, is: Result<&str, BadKey>| {
            assert_eq!(decoded(key), is.map(str::to_owned), "{key}");
        };
        check("track_1.csv", Ok("track_1.csv"));
        check("my+folder/track_%C3%A9t%C3%A9.csv", Ok("my folder/track_été.csv"));
        check("a%2Bb%25c.csv", Ok("a+b%c.csv"));
        check("a%20b", Ok("a b"));
        // Keys that a person wrote by hand.
        check("typed by hand/é.csv", Ok("typed by hand/é.csv"));
        check("50%.csv", Err(BadKey::Escape));
        check("50%2", Err(BadKey::Escape));
        check("a%", Err(BadKey::Escape));
        check("a%ff.csv", Err(BadKey::NotUtf8));
        check("", Err(BadKey::Empty));
    }

    proptest! {
        #[test]
        fn an_encoded_key_is_decoded_to_itself(key in "\\PC{1,40}") {
            prop_assert_eq!(decoded(&encoded(&key)), Ok(key));
        }
    }
}
