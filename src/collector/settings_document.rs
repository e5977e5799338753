//! The settings document that browser and mobile SDKs load first.

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};

use super::public_address::PublicAddress;

#[derive(Serialize)]
struct TrackingSettings<'a> {
    #[serde(rename = "apiKey")]
    api_key: &'a str,
    #[serde(rename = "apiHost", skip_serializing_if = "Option::is_none")]
    api_host: Option<String>,
    protocol: &'static str,
}

/// The document for a write key. It tells SDKs to send their calls to `address`, below `prefix`.
pub fn document(write_key: &str, address: &PublicAddress, prefix: &str) -> Bytes {
    let tracking = TrackingSettings {
        api_key: write_key,
        api_host: address.host.as_ref().map(|host| format!("{host}{prefix}/v1")),
        protocol: address.scheme,
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
        let check = |host: Option<&str>, prefix: &str, expected: &str| {
            let address = PublicAddress { scheme: "http", host: host.map(str::to_owned), of_request: true };
            let found: Value = serde_json::from_slice(&document("k\"1", &address, prefix)).unwrap();
            let rest = r#""plan":{"track":{"__default":{"enabled":true,"integrations":{}}},"identify":{"__default":{"enabled":true}},"group":{"__default":{"enabled":true}}},"metrics":{"sampleRate":0},"middlewareSettings":{},"enabledMiddleware":{},"legacyVideoPluginsEnabled":false,"remotePlugins":[]"#;
            let wanted = format!(r#"{{"integrations":{{"Segment.io":{expected}}},{rest}}}"#);
            assert_eq!(found, serde_json::from_str::<Value>(&wanted).unwrap(), "{host:?}");
        };
        check(None, "", r#"{"apiKey":"k\"1","protocol":"http"}"#);
        check(Some("c.example"), "", r#"{"apiKey":"k\"1","apiHost":"c.example/v1","protocol":"http"}"#);
        check(Some("a:1"), "/proxy", r#"{"apiKey":"k\"1","apiHost":"a:1/proxy/v1","protocol":"http"}"#);
    }
}
