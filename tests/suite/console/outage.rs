//! A store that cannot be reached is shown with its error, since when, and the next try; and its recovery.

use std::time::Duration;

use serde_json::json;
use tokio::time::timeout;

use super::browser::Browser;
use crate::serve::support::{Caller, Rig};
use crate::support::tcp_proxy::Link;

/// In this time an outage is seen.
const SEEN_WITHIN: Duration = Duration::from_secs(10);

#[tokio::test]
async fn an_outage_is_shown_and_healed() {
    let Some(mut page) = Browser::start() else { return };
    let rig = Rig::start(&["lake"]).await;
    let forebay = rig.settings(&["web"]).serve().await;
    let mut caller = Caller::new();
    page.open(&format!("{}/#/deliveries", forebay.console)).await;
    page.see("All is well").await;

    rig.link.set(Link::Cut);
    // Whoever looks at the page knows it soon, long before there is an alarm.
    let seen = async {
        caller.send(&forebay, "web", 3, 10).await;
        page.act("gone", json!({ "text": "All is well" })).await;
    };
    timeout(SEEN_WITHIN, seen).await.expect("the page still says that all is well");
    page.see_in(".waiting-head", "waiting").await;
    page.see_in(".waiting-error", "transient").await;
    page.see_in(".waiting-error", "Since").await;
    page.see_in(".waiting-next", "next try").await;
    // No put for a minute is an alarm, with what to do about it.
    page.see_in(".problem, [class*=alarm], [class*=problem]", "forebay check").await;
    page.accessible("an outage").await;
    page.act("size", json!({ "width": 390, "height": 844 })).await;
    page.accessible("an outage on a phone").await;
    assert_eq!(page.act("sideways", json!({})).await, 0);

    rig.link.set(Link::Up);
    page.see_in("table", ".gz").await;
    page.see("All is well").await;
    page.act("gone", json!({ "css": ".waiting-head" })).await;
    page.nothing_wrong().await;

    // The page survives the node, and says since when it does not answer.
    page.act("expect", json!({ "error": "Failed to load resource" })).await;
    forebay.kill().await;
    page.see_in(".banner", "since").await;
    page.accessible("a node that does not answer").await;
    page.see_in("table", ".gz").await;
}
