//! A new user: sends a call with a real SDK, and sees it appear, be batched, sealed and delivered, and reads
//! it back from the object, without leaving the page.

use forebay::runtime::SystemClock;
use forebay::time::Clock as _;
use forebay::words::date;
use serde_json::json;

use super::browser::Browser;
use super::send_with_sdk;
use crate::support::forebay::{Flush, Forebay};
use crate::support::http::Http;

#[tokio::test]
async fn a_call_is_seen_from_its_arrival_to_its_object() {
    let Some(mut page) = Browser::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let forebay = Forebay::dev(folder.path(), Flush::LATE).await;
    page.open(&forebay.console).await;
    // The empty page shows how to send the first call, to this collector.
    page.see(&format!("{}/v1/track", forebay.collector)).await;

    let Some(()) = send_with_sdk(&forebay.collector, "my-app").await else { return };
    page.see_in(".live-table .row-button", "Second").await;
    page.click_in(".live-table .row-button", "First").await;
    page.see_in(".detail .json", "receivedAt").await;
    page.see_in(".detail .json-mark", "added").await;
    page.see_in(".detail", "analytics-node 3.1.0").await;
    page.accessible("an opened call").await;
    page.act("press", json!({ "key": "Escape" })).await;
    page.act("gone", json!({ "css": ".detail" })).await;

    // Of a request that is refused as a whole there is no call to show.
    let refused =
        Http::new().post(&format!("{}/v1/track", forebay.collector), r#"{"event":"E"}"#).await.unwrap();
    assert_eq!(refused.status, 401, "{refused:?}");
    page.see_in(".refused", "1 request refused with 401 no_write_key").await;

    page.go("#/sources").await;
    page.see_in("table", "my-app").await;
    page.go("#/sources/my-app").await;
    page.see_in("main", "analytics-node").await;
    // One line of code for each SDK, with this collector and this key.
    page.see_in(".point-here pre", &forebay.collector).await;
    page.see_in(".point-here pre", "my-app").await;

    page.go("#/deliveries").await;
    page.see_in("main", "2 calls are in open batches").await;
    page.press("Flush now").await;
    page.see_in(".flush-outcome", "1 object delivered").await;
    page.see_in("table", "SSE-S3").await;
    page.click_in("table .row-button", ".gz").await;
    page.see_in(".side .facts", "2 calls, received on").await;
    page.accessible("an opened delivery").await;
    page.act("press", json!({ "key": "Escape" })).await;
    page.act("gone", json!({ "css": ".side" })).await;
    // Everything is delivered, but not all is well.
    page.see_in(".verdict a", "1 request was refused in the last 10 minutes").await;

    page.go("#/archive").await;
    page.see_in("table", "my-app").await;
    page.click_in("table a, table .row-button", &date(SystemClock::new().wall().day())).await;
    page.see_in("main pre", "aws s3 sync").await;
    page.click_in("table .row-button", ".gz").await;
    page.see_in(".peek summary", "track: First").await;
    page.see_in(".peek .json", "anon-7").await;
    page.accessible("the first lines of an object").await;
    page.press("The bucket").await;
    page.see_in("table .row-button", ".gz").await;

    page.go("#/health").await;
    page.see_in("main", "balanced").await;
    page.see_in(".stats", "without deliveries, at this rate").await;
    page.see_in(".config", "flush.max_age").await;
    page.nothing_wrong().await;
    assert!(forebay.terminate().await.success());
}
