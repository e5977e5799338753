//! Nothing arrives: the page says which requests were refused, of which client, and what to change.

use http::Request;
use http_body_util::Full;
use serde_json::json;

use super::browser::Browser;
use crate::support::forebay::{Flush, Forebay};
use crate::support::http::Http;

const WIDTHS: [u32; 5] = [390, 800, 1_024, 1_280, 1_920];
/// As long as the user agents of browsers in phones are.
const AGENT: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5";

async fn refused(forebay: &Forebay, path: &str, authorization: &str, status: u16) {
    let request = Request::post(format!("{}{path}", forebay.collector))
        .header("authorization", authorization)
        .header("user-agent", AGENT)
        .body(Full::new(r#"{"event":"E","userId":"u"}"#.into()))
        .unwrap();
    assert_eq!(Http::new().send(request).await.unwrap().status, status);
}

#[tokio::test]
async fn refused_requests_are_found_filtered_and_explained_at_every_width() {
    let Some(mut page) = Browser::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let forebay = Forebay::dev(folder.path(), Flush::LATE).await;
    let url = format!("{}/#/live", forebay.console);
    page.open(&url).await;
    page.act("see", json!({ "css": ".empty pre" })).await;
    refused(&forebay, "/v1/track", "Bearer eyJhbGciOiJIUzI1NiJ9.abcdefgh.ijklmnop", 401).await;
    refused(&forebay, "/collect/v2/0123456789abcdef0123456789abcdef/trak", "Basic a2V5Og==", 404).await;
    refused(&forebay, "/v1/batch", "Digest 0123456789abcdef", 401).await;
    // They appear while somebody looks.
    page.see_in(".refused", "1 request refused with 401 other_authorization, POST /v1/batch, key 0123…")
        .await;
    for width in WIDTHS {
        page.act("open", json!({ "url": url, "width": width, "height": 844 })).await;
        page.see_in(".refused", "401 other_authorization").await;
        page.accessible(&format!("refused requests above the calls at {width}")).await;
        assert_eq!(page.act("sideways", json!({})).await, 0, "at {width}");
        page.press("What to change, and 1 more kind").await;
        page.see_in(".refused-group", "To change: send the write key with Authorization: Basic").await;
        page.see_in(".refused-group", "/collect/v2/012345…/trak").await;
        page.see_in(".refused-group", "the nearest is /v1/track").await;
        page.see_in(".refused-group", "eyJhbG…").await;
        page.see_in(".refused-group", "127.0.0.1").await;
        page.accessible(&format!("refused requests at {width}")).await;
        assert_eq!(page.act("sideways", json!({})).await, 0, "at {width}");
        assert_eq!(
            page.act("cut", json!({ "css": ".refused-groups *:not(.sr), main" })).await,
            json!([]),
            "at {width}"
        );
    }
    page.act("fill", json!({ "label": "Text", "value": "bearer" })).await;
    page.act("gone", json!({ "css": ".refused-group", "text": "other_authorization" })).await;
    page.see_in(".refused-group", "bearer_token").await;
    page.act("select", json!({ "label": "Type", "value": "track" })).await;
    page.see("No call fits the filter yet").await;
    page.act("gone", json!({ "css": ".refused" })).await;
    page.nothing_wrong().await;
}
