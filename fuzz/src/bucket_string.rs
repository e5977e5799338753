//! Bucket strings.
//!
//! - The printed form parses back to the same value, also through JSON, and prints the same again.
//! - No leading, doubled or trailing slash, no control character and no part `.` or `..` reaches a key, and
//!   no key is too long.
//! - A key built with it parses into the parts it was built from.

use forebay::object::object_key::ParsedObjectKey;
use forebay::object::{BucketString, ObjectKey, Stream};
use forebay::sources::SourceId;
use forebay::time::UnixMillis;

/// The longest key that S3 accepts, in bytes.
const KEY_MAX: usize = 1_024;

/// Runs one input.
pub fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let bucket = match BucketString::parse(text) {
        Ok(bucket) => bucket,
        Err(error) => {
            assert!(!error.to_string().chars().any(|c| c.is_control()), "an error with control characters");
            return;
        }
    };
    let printed = bucket.to_string();
    assert_eq!(BucketString::parse(&printed).as_ref().ok(), Some(&bucket));
    let json = serde_json::to_string(&bucket).unwrap();
    assert_eq!(serde_json::from_str::<BucketString>(&json).unwrap(), bucket);
    let given: Vec<&str> = text.split('/').filter(|part| !part.is_empty()).collect();
    assert_eq!(printed, given.join("/"));
    assert!((3..=63).contains(&bucket.bucket().len()) && !bucket.bucket().contains('/'));

    let first_received_at = UnixMillis(1_432_684_812_345);
    let place = ParsedObjectKey {
        stream: Stream::Rejected,
        source: SourceId::new(&"s".repeat(64)).unwrap(),
        day: first_received_at.day(),
        first_received_at,
        node: "n".repeat(32),
        spool_id: "0123456789abcdef".repeat(2),
        first_position: u64::MAX,
    };
    let key: ObjectKey = place.key(&bucket);
    let key = key.as_str();
    assert!(key.len() <= KEY_MAX && !key.chars().any(char::is_control));
    assert!(key.split('/').all(|part| !matches!(part, "" | "." | "..")), "{key}");
    assert_eq!(ParsedObjectKey::of(&bucket, key), Some(place));
}
