//! The imports view, with a real import that rejected rows.

use std::fs;

use serde_json::json;

use super::browser::Browser;
use super::{import_some, run};
use crate::support::forebay::{Flush, Forebay, Starting};

#[tokio::test]
async fn an_import_shows_what_was_rejected_and_the_command_that_retries_it() {
    let Some(mut page) = Browser::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let forebay = Forebay::dev(&folder.path().join("dev"), Flush::LATE).await;
    page.open(&format!("{}/#/imports", forebay.console)).await;
    page.see("Nothing was imported yet").await;
    page.accessible("no imports").await;

    let rejects = import_some(&forebay, folder.path()).await;
    // Two of four rows are rejected, so it is no green "done".
    page.see_in("tbody tr .state.tone-notice", "rows rejected").await;
    let row = page.act("texts", json!({ "css": "tbody tr:first-child td.number" })).await;
    assert_eq!(row, json!(["4", "2", "0", "2"]), "read, stored, repeated, rejected");
    page.click_in("table .row-button", "track_1.csv").await;
    page.see_in(".side", "line 3: column timestamp is not a time: \"soon\"").await;
    page.see_in(".side .errors", "bad-time 1 row").await;
    page.see_in(".side .errors", "width 1 row").await;
    page.see_in(".side .facts", rejects.to_str().unwrap()).await;
    page.accessible("an opened import").await;

    // The command that the page shows works as it is.
    let shown = page.act("text", json!({ "css": ".side pre" })).await;
    let words = shlex::split(shown.as_str().unwrap()).unwrap();
    assert_eq!((words[0].as_str(), words[2].as_str()), ("forebay", "retry-rejects"));
    let corrected = fs::read_to_string(&rejects).unwrap().replace("soon", "2026-11-21");
    fs::write(&rejects, corrected).unwrap();
    // One of the two rows is as wrong as before.
    run(folder.path(), &words[1..], 3).await;
    page.see_in("table .row-button", "(rejected rows)").await;
    page.see("2 imports").await;
    // What was sent again is no longer asked for.
    page.see_in(".side .facts", "1 row that was rejected first; 1 left").await;
    let last = fs::read_to_string(&rejects).unwrap();
    let last = last.lines().map(|line| {
        let mut row: serde_json::Value = serde_json::from_str(line).unwrap();
        if row["code"] == "width" {
            row["raw"] = "u3,e,2026-11-21".into();
        }
        row.to_string() + "\n"
    });
    fs::write(&rejects, last.collect::<String>()).unwrap();
    run(folder.path(), &words[1..], 0).await;
    page.see_in(".side .facts", "2 rows that were rejected first; none is left").await;
    page.see_in(".side .state.tone-well", "done").await;
    page.act("gone", json!({ "css": ".side pre" })).await;
    page.accessible("an import whose rejected rows were sent again").await;

    // A file that is given up, on a phone.
    fs::write(folder.path().join("track_2.csv"), "no,such,columns\n1,2,3\n").unwrap();
    for _ in 0..3 {
        let import = ["import", "csv", "track_2.csv", "--admin", &forebay.console];
        run(folder.path(), &import, 1).await;
    }
    let url = format!("{}/#/imports", forebay.console);
    page.act("open", json!({ "url": url, "theme": "dark", "width": 390, "height": 844 })).await;
    page.see_in("tbody tr .state", "given up").await;
    page.click_in("table .row-button", "track_2.csv").await;
    page.see_in(".side .facts", "3 in a row").await;
    page.see_in(".side", "--force").await;
    page.accessible("an import that was given up").await;
    assert_eq!(page.act("sideways", json!({})).await, 0);
    page.nothing_wrong().await;
}

const CONVERTER: &str = r#"{"converterConfig":{"fileType":"json","convertToAmplitudeFunc":{
    "event_type":["path","e"],"user_id":["path","u"]}}}"#;

#[tokio::test]
async fn an_import_of_a_bucket_shows_its_last_pass_and_what_is_not_done() {
    let Some(mut page) = Browser::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("dev.toml");
    fs::write(folder.path().join("c.json"), CONVERTER).unwrap();
    let import = |enabled: bool| {
        format!(
            "[[import]]\nname = \"orders\"\nbucket = \"forebay\"\nprefix = \"in/\"\nconverter = \"c.json\"\n\
             insert_id_window = \"0 s\"\nenabled = {enabled}\n"
        )
    };
    fs::write(&file, import(true)).unwrap();
    let more = ["--config", file.to_str().unwrap()];
    let forebay = Starting::dev_with(&folder.path().join("dev"), Flush::LATE, &more).dev_ready().await;
    let bucket = forebay.bucket();
    for (key, text) in
        [("in/a", "{\"e\":\"a\",\"u\":\"u\"}\n"), ("in/b", "[{\"e\":\"b\",\"u\":\"u\"}]\n"), ("in/c/", "")]
    {
        let body = text.as_bytes().to_vec().into();
        bucket.client.put_object().bucket("forebay").key(key).body(body).send().await.unwrap();
    }
    let url = format!("{}/#/imports", forebay.console);
    page.open(&url).await;
    page.see("1 import of a bucket").await;
    page.see_in("tbody tr .state", "1 file not done").await;
    page.click_in("table .row-button", "orders").await;
    page.see_in(".side .bar", "1 of 2").await;
    page.see_in(".side .errors", "1 folder markers").await;
    page.see_in(".side .errors", "s3://forebay/in/b").await;
    page.see_in(".side .errors", "E-FORMAT").await;
    page.see_in(".side pre", "forebay import run orders").await;
    page.accessible("an opened import of a bucket").await;

    fs::write(&file, import(false)).unwrap();
    page.see_in("tbody tr .state", "paused").await;
    page.act("open", json!({ "url": url, "theme": "dark", "width": 390, "height": 844 })).await;
    page.see_in("tbody tr .state", "paused").await;
    page.accessible("a paused import of a bucket").await;
    assert_eq!(page.act("sideways", json!({})).await, 0);
    page.nothing_wrong().await;
}
