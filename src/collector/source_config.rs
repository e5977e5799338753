//! The source configuration document, with which RudderStack's browser SDK begins.

use bytes::Bytes;
use serde_json::json;

/// When it was changed last: never since it is served.
const UPDATED_AT: &str = "2026-11-22T00:00:00.000Z";

/// The document for a write key: a source that is switched on, without destinations in the browser, and without reports of
/// the SDK's own errors and times.
pub(super) fn document(write_key: &str) -> Bytes {
    let off = json!({ "enabled": false });
    let document = json!({
        "source": {
            // The source's own id is not told to whoever asks.
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
    fn the_source_is_on_and_the_sdk_reports_nothing_of_itself() {
        let found: Value = serde_json::from_slice(&document("k\"1")).unwrap();
        assert_eq!(
            (&found["source"]["writeKey"], &found["source"]["enabled"]),
            (&json!("k\"1"), &json!(true))
        );
        assert_eq!(found["source"]["config"]["statsCollection"]["errors"]["enabled"], false);
        assert_eq!(found["source"]["destinations"], json!([]));
    }
}
