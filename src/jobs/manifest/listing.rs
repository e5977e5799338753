//! Lines of a manifest that is made by listing: `batch manifest`.
//!
//! Keys are encoded so that Python's `unquote` and `unquote_plus` give the same key back: a space is `%20`
//! and a plus is `%2B`. So a line needs no quotes around its key.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::row_checks::KEY_CHARS_MAX;
use crate::words::outside_key;

/// The characters that are escaped: all but letters, digits, `-`, `.`, `_`, `~`, and `/`, which keeps keys
/// readable.
const ESCAPED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// A key that cannot stand in a manifest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the key {} has {chars} characters when it is encoded, and a manifest takes at most {KEY_CHARS_MAX}; leave it out by \
     --match, or name it in a manifest of JSON lines",
    outside_key(key)
)]
pub struct KeyTooLong {
    /// The key, plain.
    pub key: String,
    /// The characters of its encoded form.
    pub chars: usize,
}

/// A plain key as it stands in a manifest.
pub fn encoded_key(key: &str) -> Cow<'_, str> {
    utf8_percent_encode(key, &ESCAPED).into()
}

/// Adds the line of an object, with its end: `bucket,key` or `bucket,key,version`. The key is plain.
/// Errors: [`KeyTooLong`]; nothing was added.
pub fn push_line(out: &mut String, bucket: &str, key: &str, version: Option<&str>) -> Result<(), KeyTooLong> {
    let encoded = encoded_key(key);
    if encoded.len() > KEY_CHARS_MAX {
        return Err(KeyTooLong { key: key.to_owned(), chars: encoded.len() });
    }
    out.push_str(bucket);
    out.push(',');
    out.push_str(&encoded);
    if let Some(version) = version {
        out.push(',');
        // S3 calls versions opaque texts, so they may have a comma or a quote.
        if version.contains([',', '"']) {
            out.push('"');
            out.push_str(&version.replace('"', "\"\""));
            out.push('"');
        } else {
            out.push_str(version);
        }
    }
    out.push('\n');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_encoded_keys() {
        let check = |key: &str, version: Option<&str>, expected: &str| {
            let mut out = String::new();
            push_line(&mut out, "my-bucket", key, version).unwrap();
            assert_eq!(out, expected);
        };
        check("a/b.txt", None, "my-bucket,a/b.txt\n");
        check("a b+c%d", None, "my-bucket,a%20b%2Bc%25d\n");
        check("a,\"b\"\r\n", Some("v1"), "my-bucket,a%2C%22b%22%0D%0A,v1\n");
        check("ü~{1}", Some("a,\"b"), "my-bucket,%C3%BC~%7B1%7D,\"a,\"\"b\"\n");
        check(&"x".repeat(KEY_CHARS_MAX), None, &format!("my-bucket,{}\n", "x".repeat(KEY_CHARS_MAX)));
    }

    #[test]
    fn a_key_that_the_reader_would_refuse_is_refused() {
        let mut out = String::from("before\n");
        let error = push_line(&mut out, "my-bucket", &"ü".repeat(171), None).unwrap_err();
        assert_eq!(error.chars, 1_026);
        assert!(error.to_string().contains("has 1026 characters when it is encoded"), "{error}");
        assert_eq!(out, "before\n");
        push_line(&mut out, "my-bucket", &"ü".repeat(170), None).unwrap();
    }
}
