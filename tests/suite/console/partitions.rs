//! A log over Kafka in the console: the real page and the real listener, with a process that the test makes.

use forebay::admin::{ElsewhereStatus, SendingStatus, Status};
use serde_json::json;

use super::browser::Browser;
use crate::admin::start;
use crate::support::kafka_status::{
    NOW_MS, collector, elsewhere, partition, silent, troubled_writer, writer,
};

/// What may move in a view while nobody does anything, as the score of Cumulative Layout Shift.
const SHIFT_MAX: f64 = 0.1;

/// The views that the navigation has, in its order.
async fn views(page: &mut Browser) -> Vec<String> {
    let names = page.act("texts", json!({ "css": ".nav a span" })).await;
    serde_json::from_value(names).unwrap()
}

/// Each of these views is accessible and still, in light and dark, on narrow and wide screens.
async fn is_well_shown(page: &mut Browser, url: &str, views: &[&str]) {
    for (theme, width, height) in [("dark", 390, 844), ("light", 860, 700), ("light", 1_280, 800)] {
        for view in views {
            let url = format!("{url}/#/{view}");
            page.act("open", json!({ "url": url, "theme": theme, "width": width, "height": height })).await;
            page.act("see", json!({ "css": "main h1" })).await;
            page.act("see", json!({ "css": "main :is(.card, .table)" })).await;
            page.act("answered", json!({ "path": "/api/status" })).await;
            let shifts = page.act("shifts", json!({})).await;
            assert!(shifts["sum"].as_f64().unwrap() <= SHIFT_MAX, "{view} at {width}: {shifts}");
            assert_eq!(page.act("short", json!({})).await, json!([]), "{view} at {width}");
            assert_eq!(page.act("sideways", json!({})).await, json!(0), "{view} at {width}");
            page.accessible(&format!("{view}, {theme}, {width}")).await;
        }
    }
}

#[tokio::test]
async fn a_writer_shows_what_each_partition_waits_for() {
    let Some(mut page) = Browser::start() else { return };
    let running = start(&[]).await;
    let url = format!("http://{}", running.address);
    running.process.shows(troubled_writer());
    page.open(&url).await;
    // It takes no calls, so the first view is that of the partitions.
    page.see("What waits, and for how long").await;
    assert_eq!(views(&mut page).await, ["Partitions", "Sources", "Health"]);
    page.see_in(".problem", "Kafka will soon delete calls that are not delivered").await;
    page.see_in(".stat", "4 of 12").await;
    page.see_in(".line", "the log was cut at offset 812").await;
    page.see_in(".line", "ios for 5 d 18 h: its bucket refuses").await;
    page.click_in(".line-name a", "6").await;
    page.see_in(".side", "raise retention.ms of lake-calls").await;
    page.see_in(".side", "3, 2 of them ended by the brokers").await;
    page.see_in(".side", "the log ends at 49,100").await;
    page.act("press", json!({ "key": "Escape" })).await;
    page.act("gone", json!({ "css": ".side" })).await;

    running.process.shows(writer(vec![partition(0, "delivers"), partition(3, "delivers")]));
    page.see("All is well").await;
    page.see("small sources get 6 objects an hour").await;
    running.process.shows(writer(Vec::new()));
    page.see("No partition is here").await;

    let mut troubled = troubled_writer();
    let nobody = ElsewhereStatus { partition: 2, ..ElsewhereStatus::default() };
    let kafka = troubled.kafka.as_mut().unwrap();
    kafka.elsewhere = vec![elsewhere(1, 4), nobody, elsewhere(5, 600)];
    kafka.heard_ms = Some(NOW_MS - 300_000);
    running.process.shows(troubled);
    page.see("On other writers").await;
    page.see_in(".source-why", "1 partition whose owner has said nothing for two minutes or more: 5").await;
    page.see_in("td", "writer-2").await;
    page.see_in(".state", "no owner").await;
    page.see("the group does not answer").await;
    is_well_shown(&mut page, &url, &["partitions", "partitions/6", "sources", "sources/web", "health"]).await;
    for width in [1_280, 390] {
        let url = format!("{url}/#/partitions/6");
        page.act("open", json!({ "url": url, "width": width, "height": 800 })).await;
        page.act("see", json!({ "css": ".side .facts" })).await;
        assert_eq!(page.act("unreached", json!({})).await, json!([]), "at {width}");
    }
    page.nothing_wrong().await;
}

#[tokio::test]
async fn a_collector_shows_what_is_on_its_way_and_nothing_of_a_disk() {
    let Some(mut page) = Browser::start() else { return };
    let running = start(&[]).await;
    let url = format!("http://{}", running.address);
    running.process.shows(collector(SendingStatus { blocks: 1_234, ..SendingStatus::default() }));
    page.open(&format!("{url}/#/partitions")).await;
    page.see("12 partitions, none of them silent").await;
    assert_eq!(views(&mut page).await, ["Live", "Partitions", "Sources", "Health"]);
    page.see("nothing waits for the brokers").await;

    let mut silent = collector(silent());
    silent.kafka.as_mut().unwrap().elsewhere = vec![elsewhere(3, 4)];
    running.process.shows(silent);
    page.see("What writers say").await;
    page.see_in(".source-why", "2 partitions: 3, 7").await;
    page.see_in(".cells .silent", "7").await;
    page.go("#/health").await;
    page.see("Configuration in force").await;
    let cards = page.act("texts", json!({ "css": ".card h2" })).await;
    let cards: Vec<String> = serde_json::from_value(cards).unwrap();
    assert!(
        !cards.iter().any(|card| ["Spool", "Sync to disk", "Puts to S3"].contains(&card.as_str())),
        "{cards:?}"
    );
    is_well_shown(&mut page, &url, &["partitions", "sources", "sources/web", "health"]).await;
    page.nothing_wrong().await;
}

#[tokio::test]
async fn a_process_with_a_spool_has_no_partitions() {
    let Some(mut page) = Browser::start() else { return };
    let running = start(&[]).await;
    running.process.shows(Status { ready: true, ..Status::default() });
    page.open(&format!("http://{}/#/partitions", running.address)).await;
    page.see("everything is delivered").await;
    let all = ["Live", "Sources", "Deliveries", "Destinations", "Archive", "Imports", "Health"];
    assert_eq!(views(&mut page).await, all);
}
