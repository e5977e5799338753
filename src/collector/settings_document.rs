//! The settings document, with which browser and mobile SDKs begin.

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};

/// How long SDKs and caches may keep the document.
pub(super) const CACHE_CONTROL: &str = "public, max-age=300";

#[derive(Serialize)]
struct TrackingSettings<'a> {
    #[serde(rename = "apiKey")]
    api_key: &'a str,
    #[serde(rename = "apiHost", skip_serializing_if = "Option::is_none")]
    api_host: Option<String>,
    protocol: &'static str,
}

/// The document for a write key. `public_host` is where SDKs are told to send their calls; it may begin with a scheme.
pub fn document(write_key: &str, public_host: Option<&str>) -> Bytes {
    let (protocol, host) = match public_host {
        Some(host) => match (host.strip_prefix("http://"), host.strip_prefix("https://")) {
            (Some(rest), _) => ("http", Some(rest)),
            (None, Some(rest)) => ("https", Some(rest)),
            (None, None) => ("https", Some(host)),
        },
        None => ("https", None),
    };
    let tracking = TrackingSettings {
        api_key: write_key,
        api_host: host.map(|host| format!("{}/v1", host.trim_end_matches('/'))),
        protocol,
    };
    let document: Value = json!({
        "integrations": { "Segment.io": tracking },
        "plan": {
            "track": { "__default": { "enabled": true, "integrations": {} } },
            "identify": { "__default": { "enabled": true } },
            "group": { "__default": { "enabled": true } },
        },
        "metrics": { "sampleRate": 0 },
        "middlewareSettings": {},
        "enabledMiddleware": {},
        "legacyVideoPluginsEnabled": false,
        "remotePlugins": [],
    });
    Bytes::from(document.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_names_the_key_and_the_host() {
        let check = |host: Option<&str>, expected: &str| {
            let found: Value = serde_json::from_slice(&document("k\"1", host)).unwrap();
            let rest = r#""plan":{"track":{"__default":{"enabled":true,"integrations":{}}},"identify":{"__default":{"enabled":true}},"group":{"__default":{"enabled":true}}},"metrics":{"sampleRate":0},"middlewareSettings":{},"enabledMiddleware":{},"legacyVideoPluginsEnabled":false,"remotePlugins":[]"#;
            let wanted = format!(r#"{{"integrations":{{"Segment.io":{expected}}},{rest}}}"#);
            assert_eq!(found, serde_json::from_str::<Value>(&wanted).unwrap(), "{host:?}");
        };
        check(None, r#"{"apiKey":"k\"1","protocol":"https"}"#);
        check(Some("c.example"), r#"{"apiKey":"k\"1","apiHost":"c.example/v1","protocol":"https"}"#);
        check(Some("https://c.example/"), r#"{"apiKey":"k\"1","apiHost":"c.example/v1","protocol":"https"}"#);
        check(
            Some("http://127.0.0.1:8080"),
            r#"{"apiKey":"k\"1","apiHost":"127.0.0.1:8080/v1","protocol":"http"}"#,
        );
    }
}
