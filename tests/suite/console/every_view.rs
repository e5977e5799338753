//! Every view with data, in light and dark, wide and narrow: accessible, still, with whole names, and never wider than
//! the screen.

use std::path::Path;
use std::time::Duration;

use serde_json::json;

use super::browser::Browser;
use super::import_some;
use crate::serve::support::status;
use crate::support::forebay::{Flush, Forebay, Starting};
use crate::support::scripted_http::{Reply, ScriptedHttp};
use crate::support::wait;

const VIEWS: [&str; 8] =
    ["live", "sources", "sources/checkout-api", "deliveries", "destinations", "archive", "imports", "health"];
const PATIENCE: Duration = Duration::from_secs(180);
/// What may move in a view while nobody does anything, as the score of Cumulative Layout Shift.
const SHIFT_MAX: f64 = 0.1;

/// A node with calls, destinations that fail, and imports; and the function of one, which must go on: it was dropped
/// before the first call came to it, if the node was slow.
async fn busy_node(folder: &Path) -> (Forebay, ScriptedHttp) {
    // A function that takes some of the calls, and one that nothing answers for.
    let function = ScriptedHttp::elsewhere(|request| {
        let failed = request.body.len() % 3 == 0;
        Reply::status(if failed { 400 } else { 200 })
    })
    .await;
    let config = folder.join("destinations.toml");
    let destination = |name: &str, url: &str| {
        format!("[[destination]]\nname = \"{name}\"\ntype = \"http\"\nurl = \"{url}\"\n")
    };
    std::fs::write(
        &config,
        destination("crm", &function.url()) + &destination("gone", "http://127.0.0.1:1/"),
    )
    .unwrap();
    let options = ["--demo", "--config", config.to_str().unwrap()];
    let forebay = Starting::dev_with(folder, Flush::SOON, &options).dev_ready().await;
    import_some(&forebay, folder).await;
    (forebay, function)
}

/// Waits until a view has its data.
async fn see_view(page: &mut Browser, view: &str) {
    page.act("see", json!({ "css": "main h1" })).await;
    page.act("see", json!({ "css": "main table tbody tr" })).await;
    if view == "health" {
        page.act("see", json!({ "css": ".config tbody tr" })).await;
    }
}

/// Names of sources had no room at all between 860 and 1,100 px, and Health moved by 0.31. With the variable
/// `FOREBAY_EVERY_WIDTH`, axe looks at each width, and there are three more of them.
#[tokio::test]
async fn every_view_is_accessible_and_still_and_shows_names_at_every_width() {
    let Some(mut page) = Browser::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (forebay, _function) = busy_node(folder.path()).await;
    // What appears while somebody looks moves the view, so all of it is there before.
    wait::until("the alarm, and a dead letter", PATIENCE, async || {
        let status = status(&forebay).await;
        let mut destinations = status["destinations"].as_array()?.iter();
        let has_letter = destinations.any(|one| one["name"] == "crm" && one["dead_left"].as_u64() > Some(0));
        let mut alarms = status["alarms"].as_array()?.iter();
        (has_letter && alarms.any(|alarm| alarm["subject"].as_str().unwrap().contains("gone"))).then_some(())
    })
    .await;
    let mut wrong = Vec::new();
    let is_long = std::env::var_os("FOREBAY_EVERY_WIDTH").is_some();
    for (theme, width, height) in [
        ("dark", 390, 844),
        ("light", 800, 1_000),
        ("dark", 860, 700),
        ("light", 1_024, 768),
        ("dark", 1_100, 800),
        ("light", 1_280, 800),
        ("dark", 1_920, 1_080),
    ] {
        if !is_long && [800, 860, 1_100].contains(&width) {
            continue;
        }
        for view in VIEWS {
            let url = format!("{}/#/{view}", forebay.console);
            page.act("open", json!({ "url": url, "theme": theme, "width": width, "height": height })).await;
            see_view(&mut page, view).await;
            // What moves with the second answer has moved.
            page.act("answered", json!({ "path": "/api/status" })).await;
            let shifts = page.act("shifts", json!({})).await;
            let short = page.act("short", json!({})).await;
            let sideways = page.act("sideways", json!({})).await;
            if shifts["sum"].as_f64().unwrap() > SHIFT_MAX || short != json!([]) || sideways != json!(0) {
                wrong.push(format!("{view} at {width}: {shifts}, short {short}, {sideways} px sideways"));
            }
            if is_long || [390, 1_024].contains(&width) {
                page.accessible(&format!("{view}, {theme}, {width}")).await;
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    page.nothing_wrong().await;
}

/// With Tab alone, on a wide screen and on a small one.
#[tokio::test]
async fn the_keyboard_reaches_everything_in_every_view() {
    let Some(mut page) = Browser::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (forebay, _function) = busy_node(folder.path()).await;
    for width in [1_280, 390] {
        for view in VIEWS {
            let url = format!("{}/#/{view}", forebay.console);
            page.act("open", json!({ "url": url, "width": width, "height": 800 })).await;
            see_view(&mut page, view).await;
            let unreached = page.act("unreached", json!({})).await;
            assert_eq!(unreached, json!([]), "{view} at {width}");
        }
    }
    page.nothing_wrong().await;
}

/// Two alarms covered half a phone, one had `destination` as its title, and none led anywhere.
#[tokio::test]
async fn problems_fold_on_a_phone_and_lead_to_where_one_acts() {
    let Some(mut page) = Browser::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (forebay, _function) = busy_node(folder.path()).await;
    let alarm = |kind: &str, subject: &str| json!({ "kind": kind, "subject": subject, "what": format!("{subject}: why"), "since_ms": 1 });
    let alarms =
        [alarm("destination", "crm, function on-track"), alarm("imports", "imports"), alarm("clock", "")];
    for (width, shown) in [(390, 1), (1_280, 3)] {
        let url = format!("{}/#/sources", forebay.console);
        page.act("open", json!({ "url": url, "width": width, "height": 844 })).await;
        page.act("alarms", json!({ "alarms": alarms })).await;
        page.see_in(".problem b", "A function takes no calls").await;
        let titles = page.act("texts", json!({ "css": ".problem b" })).await;
        assert_eq!(titles.as_array().unwrap().len(), shown, "{titles} at {width}");
        page.accessible(&format!("problems at {width}")).await;
        if shown == 1 {
            page.press("Show 2 more").await;
            page.see_in(".problem b", "Imports wait for their journal").await;
            page.accessible("all problems on a phone").await;
            page.press("Show fewer").await;
        }
        page.click_in(".problem-link", "Open Destinations: crm").await;
        page.see_in("main h2", "Functions of crm").await;
    }
    page.nothing_wrong().await;
}

#[tokio::test]
async fn the_views_fit_a_small_phone_in_light_and_dark() {
    let Some(mut page) = Browser::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (forebay, _function) = busy_node(folder.path()).await;
    for (theme, width, height) in [("dark", 1280, 800), ("light", 360, 740)] {
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
