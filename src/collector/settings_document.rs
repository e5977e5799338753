//! The documents that SDKs load first: the settings of browser and mobile SDKs, and the source configuration
//! of RudderStack's browser SDK.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::json;

use super::public_address::PublicAddress;

/// The date of change of a source's document; it never changes.
const UPDATED_AT: &str = "2026-11-22T00:00:00.000Z";

/// The document for a write key. It tells SDKs to send their calls to `address`, below `prefix`.
pub fn document(write_key: &str, address: &PublicAddress, prefix: &str) -> Bytes {
    let mut tracking = BTreeMap::from([("apiKey", write_key), ("protocol", address.scheme)]);
    let host = address.host.as_ref().map(|host| format!("{host}{prefix}/v1"));
    tracking.extend(host.as_deref().map(|host| ("apiHost", host)));
    let document = json!({
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

/// The document for a write key, for RudderStack's browser SDK: an enabled source with no destinations in the
/// browser. The SDK does not report its own errors and metrics.
pub(super) fn source_config(write_key: &str) -> Bytes {
    let off = json!({ "enabled": false });
    let document = json!({
        "source": {
            // Not the source's own id: anyone can request this document.
            "id": write_key,
            "name": write_key,
            "writeKey": write_key,
            "enabled": true,
            "config": { "statsCollection": { "errors": off, "metrics": off } },
            "destinations": [],
            "connections": [],
            "workspaceId": "forebay",
            "dataplanes": {},
            "updatedAt": UPDATED_AT,
        },
        "updatedAt": UPDATED_AT,
    });
    Bytes::from(document.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

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

    #[test]
    fn the_source_is_enabled_and_the_sdks_own_reports_are_off() {
        let found: Value = serde_json::from_slice(&source_config("k\"1")).unwrap();
        assert_eq!(
            (&found["source"]["writeKey"], &found["source"]["enabled"]),
            (&json!("k\"1"), &json!(true))
        );
        assert_eq!(found["source"]["config"]["statsCollection"]["errors"]["enabled"], false);
        assert_eq!(found["source"]["destinations"], json!([]));
    }
}
