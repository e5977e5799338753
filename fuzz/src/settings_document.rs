//! The settings document, for any write key, any public host that the configuration allows, and any `Host`
//! header.
//!
//! - It is JSON, and has the key unchanged, and the host without its scheme and with `/v1`.
//! - A `Host` header is used only if it is a valid host.
//! - Whatever the key, nothing else changes.

use forebay::collector::public_address::{SentTo, public_address};
use forebay::collector::settings_document::document;
use forebay::words::percent::decoded as percent_decoded;
use http::header::HOST;
use http::{HeaderMap, HeaderValue, Uri};
use serde_json::{Value, json};

use super::choices::Choices;

/// A `Host` header with the text of a key, if a header may contain it.
fn host_header(key: &str) -> Option<HeaderValue> {
    HeaderValue::from_str(key).ok()
}

/// Runs one input.
pub fn run(input: &[u8]) {
    let mut choices = Choices::of(input);
    let with_host = choices.yes();
    let len = usize::from(choices.byte());
    let host = String::from_utf8_lossy(if with_host { choices.take(len) } else { b"" }).into_owned();
    let host = with_host.then_some(host);
    // As received: percent-encoded in a path.
    let Ok(encoded) = std::str::from_utf8(choices.rest()) else { return };
    let Some(key) = percent_decoded(encoded, false) else { return };
    let (uri, mut headers) = (Uri::from_static("/"), HeaderMap::new());
    let header = host_header(&key);
    headers.extend(header.clone().map(|value| (HOST, value)));
    let sent_to = SentTo { uri: &uri, headers: &headers, tls: false, by_trusted_proxy: false };
    let address = public_address(host.as_deref(), sent_to);
    let bytes = document(&key, &address, "");
    let mut found: Value = serde_json::from_slice(&bytes).expect("the document is JSON");
    assert!(!bytes.contains(&b'\n'));
    let tracking = found["integrations"]["Segment.io"].take();
    assert_eq!(tracking["apiKey"], json!(key));
    match &host {
        None => {
            assert_eq!(tracking["protocol"], json!("http"));
            if let Some(told) = tracking.get("apiHost") {
                let told = told.as_str().expect("a text").strip_suffix("/v1").expect("its end");
                assert!(told.parse::<http::uri::Authority>().is_ok() && !told.contains(['@', '/']), "{told}");
                assert!(header.is_some_and(|header| {
                    header.as_bytes().trim_ascii().eq_ignore_ascii_case(told.as_bytes())
                }));
            }
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
    let mut plain: Value = serde_json::from_slice(&document("k", &address, "")).unwrap();
    plain["integrations"]["Segment.io"] = Value::Null;
    assert_eq!(found, plain, "the key changes other parts of the document");
}
