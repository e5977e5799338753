//! What a bucket, a key and a version of a manifest have to be.

use memchr::memchr_iter;
use percent_encoding::percent_decode_str;

use crate::object::BucketString;
use crate::words::{grouped, outside_text_within};

/// The most characters of a key of a CSV manifest, counted as written.
pub const KEY_CHARS_MAX: usize = 1_024;
/// The most bytes of a key in S3, without encoding.
pub const PLAIN_KEY_BYTES_MAX: usize = crate::object::KEY_BYTES_MAX;
/// The most characters of a key that a program encoded: a key of S3 of which each byte is an escape.
pub const ENCODED_KEY_CHARS_MAX: usize = 3 * PLAIN_KEY_BYTES_MAX;
/// The most bytes of a version.
pub const VERSION_BYTES_MAX: usize = 1_024;

/// How much of a wrong value is shown, in bytes.
const SHOWN_MAX: usize = 80;

/// A value as an error shows it.
pub(super) fn shown(value: &str) -> String {
    format!("\"{}\"", outside_text_within(value, SHOWN_MAX))
}

/// Errors: what is wrong with a bucket's name.
pub(super) fn check_bucket(bucket: &str) -> Result<(), String> {
    if bucket.is_empty() {
        return Err("the bucket is empty; each row names a bucket and a key".to_owned());
    }
    let what = match BucketString::parse(bucket) {
        Ok(parsed) if parsed.bucket() == bucket => return Ok(()),
        Ok(_) => "write the bucket's name alone, without a path",
        Err(error) => error.what(),
    };
    let header = if bucket.to_ascii_lowercase().starts_with("bucket") {
        "; if this is a line of column names, remove it and name the columns with the job's fields"
    } else {
        ""
    };
    Err(format!("{} is no bucket: {what}{header}", shown(bucket)))
}

/// Errors: what is wrong with an encoded key of at most `chars_max` characters as written.
pub(super) fn check_key(key: &str, chars_max: usize) -> Result<(), String> {
    if key.is_empty() {
        return Err("the key is empty; each row names a bucket and a key".to_owned());
    }
    if is_raw_json(key) {
        let what = "the key is raw JSON; URL-encode it, as Python's urllib.parse.quote does";
        return Err(format!("{what}: {}", shown(key)));
    }
    if key.len() > chars_max && key.chars().count() > chars_max {
        return Err(format!(
            "the key has more than {} characters as written: {}",
            grouped(chars_max as u64),
            shown(key)
        ));
    }
    if key.bytes().any(|byte| byte.is_ascii_control()) {
        let what = "the key has a control character; URL-encode keys, and end lines with LF or CR LF";
        return Err(format!("{what}: {}", shown(key)));
    }
    if is_percent_encoded(key) {
        return Ok(());
    }
    let what =
        "the key is not URL-encoded: a % begins an escape such as %20 of UTF-8, and stands for itself as %25";
    Err(format!("{what}: {}", shown(key)))
}

/// Whether a key is JSON that nobody encoded: an encoded key has no quotes. A blank may stand before it, also
/// an encoded one.
pub(super) fn is_raw_json(key: &str) -> bool {
    let mut rest = key;
    while let Some(after) = [" ", "\t", "%20", "%09"].iter().find_map(|blank| rest.strip_prefix(blank)) {
        rest = after;
    }
    rest.starts_with('{') || key.contains("{\"")
}

/// Whether each `%` begins an escape, and what they stand for is UTF-8.
fn is_percent_encoded(key: &str) -> bool {
    let mut all_ascii = true;
    for at in memchr_iter(b'%', key.as_bytes()) {
        match key.as_bytes().get(at + 1..at + 3) {
            Some([high, low]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                all_ascii &= (b'0'..b'8').contains(high);
            }
            _ => return false,
        }
    }
    // Escapes of ASCII stand between whole characters, so they need no second look.
    all_ascii || percent_decode_str(key).decode_utf8().is_ok()
}

/// Errors: what is wrong with a version.
pub(super) fn check_version(version: &str) -> Result<(), String> {
    if version.len() > VERSION_BYTES_MAX {
        let most = grouped(VERSION_BYTES_MAX as u64);
        return Err(format!("the version has more than {most} bytes: {}", shown(version)));
    }
    if version.bytes().any(|byte| byte.is_ascii_control() || byte == b' ') {
        return Err(format!("{} is no version: it has a space or a control character", shown(version)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_checked() {
        let good = |key: &str| assert_eq!(check_key(key, KEY_CHARS_MAX), Ok(()), "{key}");
        good("a");
        good("a/b+c d");
        good("%7B%22origKey%22%3A%20%22object1key%22%7D");
        good("%C3%bc");
        good("ü%25");
        good(&"x".repeat(KEY_CHARS_MAX));
        good(&"ü".repeat(KEY_CHARS_MAX));
        let wrong = |key: &str, says: &str| {
            let error = check_key(key, KEY_CHARS_MAX).unwrap_err();
            assert!(error.contains(says), "{key}: {error}");
        };
        wrong("", "the key is empty");
        for key in [
            r#"{"origKey": "object1key""#,
            r#" {"a":1}"#,
            r#"%20{"origKey": "object1key"}"#,
            "%20 {}",
            r#"a={"a":1}"#,
        ] {
            wrong(key, "raw JSON");
        }
        good("a/{b}");
        good("%20%7B%22a%22%3A1%7D");
        wrong(&"x".repeat(KEY_CHARS_MAX + 1), "more than 1,024 characters");
        wrong(&"ü".repeat(KEY_CHARS_MAX + 1), "more than 1,024 characters");
        for key in ["%", "a%2", "a%zz", "100%", "%%20", "%C3", "%C3x", "%ff"] {
            wrong(key, "not URL-encoded");
        }
        for key in ["a\nb", "a\r", "\u{7f}"] {
            wrong(key, "control character");
        }
        assert_eq!(check_key(&"%C3%BC".repeat(512), ENCODED_KEY_CHARS_MAX), Ok(()));
        assert!(check_key(&"%41".repeat(1_025), ENCODED_KEY_CHARS_MAX).is_err());
    }

    #[test]
    fn buckets_and_versions_are_checked() {
        assert_eq!(check_bucket("my-bucket.1"), Ok(()));
        assert_eq!(check_bucket("bucket"), Ok(()));
        let wrong = |bucket: &str, says: &str| {
            let error = check_bucket(bucket).unwrap_err();
            assert!(error.contains(says), "{bucket}: {error}");
        };
        wrong("", "the bucket is empty");
        wrong("Bucket", "a line of column names");
        wrong("bucket name", "a line of column names");
        wrong("s3://my-bucket", "without s3://");
        wrong("my-bucket/", "without a path");
        wrong("/my-bucket", "without a path");
        wrong("my-bucket/a", "without a path");
        wrong("My-bucket", "\"My-bucket\" is no bucket");
        wrong("ab", "3 to 63");
        wrong(&"a".repeat(64), "3 to 63");
        assert_eq!(check_bucket(&"a".repeat(63)), Ok(()));
        assert_eq!(check_version("null"), Ok(()));
        assert_eq!(check_version(&"v".repeat(VERSION_BYTES_MAX)), Ok(()));
        assert!(check_version(&"v".repeat(VERSION_BYTES_MAX + 1)).unwrap_err().contains("1,024"));
        assert!(check_version("a b").is_err());
    }
}
