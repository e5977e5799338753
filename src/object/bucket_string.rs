//! `bucket/path/prefix`: a bucket and the prefix of its object keys.

use std::fmt;

use crate::words::outside_text_within;

/// How much of an invalid bucket string is shown, in bytes.
const SHOWN_MAX: usize = 120;

/// A bucket and an optional key prefix, configured as one text: `mytestbucket/path/prefix`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BucketString {
    bucket: String,
    prefix: String,
}

impl BucketString {
    /// Parses a bucket string. Leading and trailing slashes are dropped: none reaches a key.
    /// Errors: [`BucketStringError`] with the reason.
    pub fn parse(text: &str) -> Result<Self, BucketStringError> {
        let wrong = |what| BucketStringError { text: outside_text_within(text, SHOWN_MAX).to_string(), what };
        if text.starts_with("s3://") || text.starts_with("arn:") {
            return Err(wrong("write the bucket's name alone, without s3:// or arn:"));
        }
        if text.chars().any(char::is_control) {
            return Err(wrong("a bucket string cannot contain control characters"));
        }
        if text.contains("//") {
            return Err(wrong("two slashes in a row: a prefix cannot have an empty part"));
        }
        let mut parts = text.split('/').filter(|part| !part.is_empty());
        let bucket = parts.next().ok_or_else(|| wrong("a bucket name is needed"))?;
        let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
        let edge = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let bytes = bucket.as_bytes();
        if !(3..=63).contains(&bytes.len())
            || !bytes.iter().all(|b| legal(*b))
            || !edge(bytes.first())
            || !edge(bytes.last())
        {
            return Err(wrong(
                "a bucket name is 3 to 63 of a-z 0-9 - . and begins and ends with a letter or digit",
            ));
        }
        let prefix: Vec<&str> = parts.collect();
        if prefix.iter().any(|part| *part == "." || *part == "..") {
            return Err(wrong("a prefix cannot have . or .. as a part: clients would normalise it away"));
        }
        let prefix = prefix.join("/");
        if prefix.len() > 512 {
            return Err(wrong("the prefix is longer than 512 bytes"));
        }
        Ok(Self { bucket: bucket.to_owned(), prefix })
    }

    /// Parses an argument of a command, which may also be the URL of a prefix: `s3://bucket/prefix`.
    /// Errors: [`BucketStringError`] with the reason.
    pub fn of_argument(text: &str) -> Result<Self, BucketStringError> {
        Self::parse(text.strip_prefix("s3://").unwrap_or(text))
    }

    /// The bucket's name.
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// The prefix, without slashes at its ends; empty if there is none.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The key of `inside` below the prefix.
    pub fn below(&self, inside: &str) -> String {
        match self.prefix() {
            "" => inside.to_owned(),
            prefix => format!("{prefix}/{inside}"),
        }
    }
}

impl fmt::Display for BucketString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.bucket)?;
        if !self.prefix.is_empty() {
            write!(f, "/{}", self.prefix)?;
        }
        Ok(())
    }
}

text_form!(BucketString, BucketStringError, BucketString::parse);

/// A text is not a bucket string.
#[derive(Debug, thiserror::Error)]
#[error("bucket \"{text}\": {what}")]
pub struct BucketStringError {
    text: String,
    what: &'static str,
}

impl BucketStringError {
    /// The reason, without the text itself.
    pub fn what(&self) -> &'static str {
        self.what
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slashes_do_not_reach_a_key() {
        let check = |text: &str, bucket: &str, prefix: &str| {
            let parsed = BucketString::parse(text).unwrap();
            assert_eq!((parsed.bucket(), parsed.prefix()), (bucket, prefix), "{text}");
        };
        check("mytestbucket", "mytestbucket", "");
        check("mytestbucket/path/prefix", "mytestbucket", "path/prefix");
        check("/mytestbucket/path/prefix/", "mytestbucket", "path/prefix");
        check("my.bucket/ü +%", "my.bucket", "ü +%");
    }

    #[test]
    fn texts_that_name_no_bucket_are_refused() {
        for text in [
            "",
            "/",
            "mytestbucket//path",
            "mytestbucket/path//prefix",
            "ab",
            "Bucket",
            "-ab",
            "ab-",
            "s3://bucket",
            "arn:aws:s3:::bucket",
            "bucket/../x",
            "buc ket",
            "bucket/\n",
        ] {
            assert!(BucketString::parse(text).is_err(), "{text:?}");
        }
    }
}
