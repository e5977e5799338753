//! The source configuration document that RudderStack's browser SDK loads first.

use bytes::Bytes;
use serde_json::json;

/// The document's date of change; it never changes.
const UPDATED_AT: &str = "2026-11-22T00:00:00.000Z";

/// The document for a write key: an enabled source with no destinations in the browser. The SDK does not
/// report its own errors and metrics.
pub(super) fn document(write_key: &str) -> Bytes {
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
    fn the_source_is_enabled_and_the_sdks_own_reports_are_off() {
        let found: Value = serde_json::from_slice(&document("k\"1")).unwrap();
        assert_eq!(
            (&found["source"]["writeKey"], &found["source"]["enabled"]),
            (&json!("k\"1"), &json!(true))
        );
        assert_eq!(found["source"]["config"]["statsCollection"]["errors"]["enabled"], false);
        assert_eq!(found["source"]["destinations"], json!([]));
    }
}
