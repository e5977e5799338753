//! Every view with data, in light and dark, wide and narrow: accessible, and never wider than the screen.

use serde_json::json;

use super::browser::Browser;
use super::import_some;
use crate::support::forebay::{Flush, Starting};
use crate::support::scripted_http::{Reply, ScriptedHttp};

const VIEWS: [&str; 8] =
    ["live", "sources", "sources/checkout-api", "deliveries", "destinations", "archive", "imports", "health"];

#[tokio::test]
async fn every_view_is_accessible_and_fits_the_screen() {
    let Some(mut page) = Browser::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    // A function that takes some of the calls, and one that nothing answers for.
    let function = ScriptedHttp::elsewhere(|request| {
        let failed = request.body.len() % 3 == 0;
        Reply::status(if failed { 400 } else { 200 })
    })
    .await;
    let config = folder.path().join("destinations.toml");
    let destination = |name: &str, url: &str| {
        format!("[[destination]]\nname = \"{name}\"\ntype = \"http\"\nurl = \"{url}\"\n")
    };
    std::fs::write(
        &config,
        destination("crm", &function.url()) + &destination("gone", "http://127.0.0.1:1/"),
    )
    .unwrap();
    let options = ["--demo", "--config", config.to_str().unwrap()];
    let forebay = Starting::dev_with(folder.path(), Flush::SOON, &options).dev_ready().await;
    import_some(&forebay, folder.path()).await;
    for (theme, width, height) in
        [("light", 1280, 800), ("dark", 390, 844), ("dark", 1280, 800), ("light", 360, 740)]
    {
        let url = format!("{}/#/live", forebay.console);
        page.act("open", json!({ "url": url, "theme": theme, "width": width, "height": height })).await;
        for view in VIEWS {
            page.go(&format!("#/{view}")).await;
            page.act("see", json!({ "css": "main h1" })).await;
            page.act("see", json!({ "css": "main table tbody tr" })).await;
            if view == "live" {
                // Every column, also on a phone: the user is the fifth.
                page.act("see", json!({ "css": ".live-table tbody td:nth-child(5)" })).await;
            }
            page.accessible(&format!("{view}, {theme}, {width}")).await;
            assert_eq!(page.act("sideways", json!({})).await, 0, "{view} scrolls sideways at {width}");
        }
    }
    page.nothing_wrong().await;
}

/// Keys alone: the skip link first, `/` to the filter, `j` through the list, Enter opens a call, Escape
/// closes it.
#[tokio::test]
async fn the_live_view_works_with_the_keyboard() {
    let Some(mut page) = Browser::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let forebay = Starting::dev_with(folder.path(), Flush::LATE, &["--demo"]).dev_ready().await;
    page.open(&forebay.console).await;
    page.act("see", json!({ "css": ".live-table tbody tr" })).await;
    let press = async |page: &mut Browser, key: &str| {
        page.act("press", json!({ "key": key })).await;
        page.act("focused", json!({})).await.as_str().unwrap().to_owned()
    };
    assert!(press(&mut page, "Tab").await.starts_with("A "), "the first stop is the skip link");
    assert!(press(&mut page, "/").await.starts_with("INPUT"));
    press(&mut page, "Escape").await;
    page.act("click", json!({ "css": "main h1" })).await;
    assert!(press(&mut page, "j").await.starts_with("BUTTON"));
    press(&mut page, "Enter").await;
    page.act("see", json!({ "css": ".detail" })).await;
    press(&mut page, "Escape").await;
    page.act("gone", json!({ "css": ".detail" })).await;
    page.nothing_wrong().await;
}
