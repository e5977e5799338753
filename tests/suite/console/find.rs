//! A call is looked for in the page: in the spool, in its object, and one that never came.

use std::time::Duration;

use serde_json::json;

use super::browser::Browser;
use crate::support::forebay::{Flush, Forebay};
use crate::support::http::Http;
use crate::support::wait;

const WIDTHS: [u32; 5] = [390, 800, 1_024, 1_280, 1_920];
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_call_is_found_with_the_keyboard_at_every_width() {
    let Some(mut page) = Browser::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let forebay = Forebay::dev(folder.path(), Flush::LATE).await;
    let http = Http::new();
    let call = |id: &str, user: &str| json!({ "type": "track", "event": "Order Completed", "messageId": id, "userId": user });
    let batch = json!({ "batch": [call("m-1", "41"), call("m-2", "42"), call("m-3", "42")] });
    assert!(http.track(&forebay.collector, "my-app", &batch).await);
    let refused = http.post(&format!("{}/v1/track", forebay.collector), r#"{"event":"E"}"#).await.unwrap();
    assert_eq!(refused.status, 401);
    let url = format!("{}/#/live", forebay.console);
    let search = async |page: &mut Browser, value: &str| {
        page.act("fill", json!({ "css": "#find-value", "value": value })).await;
        page.act("press", json!({ "key": "Enter" })).await;
    };
    for width in WIDTHS {
        page.act("open", json!({ "url": url, "width": width, "height": 844 })).await;
        page.act("see", json!({ "css": ".live-table tbody tr" })).await;
        page.press("Find a call").await;
        search(&mut page, "42").await;
        page.see_in(".find-results", "2 calls found").await;
        page.see_in(".found li", "In the spool").await;
        page.see_in(".found li", "3 lines, due in").await;
        page.accessible(&format!("a call in the spool at {width}")).await;
        search(&mut page, "nobody").await;
        page.see_in(".find-results", "No such call was found").await;
        page.see_in(".find-results .refused-group", "no_write_key").await;
        page.accessible(&format!("a call that never came at {width}")).await;
        assert_eq!(page.act("sideways", json!({})).await, 0, "at {width}");
        let cut = json!({ "css": ".find-results *:not(.sr), main" });
        assert_eq!(page.act("cut", cut).await, json!([]), "at {width}");
    }
    forebay.flush().await;
    page.act("select", json!({ "label": "Find by", "value": "message_id" })).await;
    // The list of deliveries is written a moment after the commit.
    wait::until("the delivered call", PATIENCE, async || {
        search(&mut page, "m-3").await;
        page.see_in(".find-results", "1 call found").await;
        let seen = page.act("text", json!({ "css": ".found li" })).await;
        seen.as_str().unwrap().contains("Delivered").then_some(())
    })
    .await;
    page.see_in(".found .key", "s3://forebay/segment-logs/my-app/").await;
    page.accessible("a call in its object").await;
    page.press("Close the search").await;
    page.act("gone", json!({ "css": ".find" })).await;
    page.nothing_wrong().await;
}
