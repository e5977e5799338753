//! The settings document, for any write key and any public host that the configuration lets through.
//!
//! - It is JSON, names the key as it is, and the host without its scheme and with `/v1`.
//! - Whatever the key, nothing else in it changes.

use forebay::collector::auth::percent_decoded;
use forebay::collector::settings_document::document;
use serde_json::{Value, json};

use super::choices::Choices;

/// Runs one input.
pub fn run(input: &[u8]) {
    let mut choices = Choices::of(input);
    let with_host = choices.yes();
    let len = usize::from(choices.byte());
    let host = String::from_utf8_lossy(if with_host { choices.take(len) } else { b"" }).into_owned();
    let host = with_host.then_some(host);
    // As it comes: percent-encoded in a path.
    let Ok(encoded) = std::str::from_utf8(choices.rest()) else { return };
    let Some(key) = percent_decoded(encoded, false) else { return };
    let bytes = document(&key, host.as_deref());
    let mut found: Value = serde_json::from_slice(&bytes).expect("the document is JSON");
    assert!(!bytes.contains(&b'\n'));
    let tracking = found["integrations"]["Segment.io"].take();
    assert_eq!(tracking["apiKey"], json!(key));
    match &host {
        None => {
            assert_eq!(tracking["protocol"], json!("https"));
            assert!(tracking.get("apiHost").is_none());
        }
        Some(host) => {
            let (protocol, bare) = match host.split_once("://") {
                Some((scheme @ ("http" | "https"), rest)) => (scheme, rest),
                _ => ("https", host.as_str()),
            };
            assert_eq!(tracking["protocol"], json!(protocol));
            assert_eq!(tracking["apiHost"], json!(format!("{}/v1", bare.trim_end_matches('/'))));
        }
    }
    let mut plain: Value = serde_json::from_slice(&document("k", None)).unwrap();
    plain["integrations"]["Segment.io"] = Value::Null;
    assert_eq!(found, plain, "a key changes more than its own place");
}
