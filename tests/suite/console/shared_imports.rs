//! The imports view with what instances share, what is done with imported files, and a queue.

use std::fs;
use std::path::Path;

use serde_json::json;

use super::browser::Browser;
use crate::serve::support::{PATIENCE, Rig, Settings, status};
use crate::support::wait;

const CONVERTER: &str = r#"{"converterConfig":{"fileType":"json","convertToAmplitudeFunc":{
    "event_type":["path","e"],"user_id":["path","u"]}}}"#;
const QUEUE: &str = "http://127.0.0.1:9/111122223333/files";

fn import(name: &str, more: &str) -> String {
    format!(
        "[[import]]\nname = \"{name}\"\nconverter = \"c.json\"\ninsert_id_window = \"0 s\"\nscan_interval = \"1 s\"\n\
         bucket = \"files\"\nprefix = \"{name}/\"\n{more}\n"
    )
}

/// The settings of an instance with its own folder and disk.
fn instance(folder: &Path, rig: &Rig) -> Settings {
    fs::create_dir(folder).unwrap();
    fs::write(folder.join("c.json"), CONVERTER).unwrap();
    let mut settings = Settings::new(folder, rig.url(), &["shop"]);
    settings.imports = import("orders", "journal = \"s3://files/journal/\"\nafter = \"tag\"");
    settings
}

async fn put(rig: &Rig, key: &str, text: &str) {
    let (client, body) = (rig.bucket("files").client, text.as_bytes().to_vec().into());
    client.put_object().bucket("files").key(key).body(body).send().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_shows_files_of_other_instances_what_is_done_after_it_and_its_queue() {
    let Some(mut page) = Browser::start() else { return };
    let rig = Rig::start(&["lake", "files"]).await;
    // An instance imports a file, and is gone before its rows are delivered.
    put(&rig, "orders/lost", "{\"e\":\"lost\",\"u\":\"u\"}\n").await;
    let mut gone = instance(&rig.folder.path().join("gone"), &rig);
    gone.flush = "max_age = \"1 h\"".to_owned();
    let node = gone.serve().await;
    let id = wait::until("the file that is imported", PATIENCE, async || {
        let status = status(&node).await;
        let is_done = status["imports"][0]["last"]["known"] == 1;
        is_done.then(|| status["spool_id"].as_str().unwrap().to_owned())
    })
    .await;
    node.kill().await;

    put(&rig, "orders/bad", "{\"e\":\"a\",\"u\":\"u\"}\nno json\n").await;
    let mut settings = instance(&rig.folder.path().join("here"), &rig);
    settings.imports += &import("mail", &format!("discovery = \"sqs\"\nqueue_url = \"{QUEUE}\""));
    let node = settings.serve().await;
    let url = format!("{}/#/imports", node.console);
    page.open(&url).await;
    page.see("2 imports of buckets").await;
    page.click_in("table .row-button", "orders").await;
    page.see_in(".side .instance", "1 file is not delivered").await;
    page.see_in(".side .instance", &id).await;
    page.see_in(".side .instance", "s3://files/orders/lost").await;
    page.see_in(".side pre", &format!("forebay import release orders --instance {id} --dry-run")).await;
    let own = status(&node).await["spool_id"].as_str().unwrap().to_owned();
    page.see_in(".side .facts", &own).await;
    page.see_in(".side", "After the import: tag").await;
    page.see_in(".side .errors", "1 file: rows were rejected").await;
    page.see_in(".side", "forebay import reset-file orders orders/bad --accept-rejects").await;
    page.accessible("an import that instances share").await;

    page.see_in("tbody tr .state", "cannot receive").await;
    page.click_in("table .row-button", "mail").await;
    page.see_in(".side .facts", QUEUE).await;
    page.see_in(".side .facts", "none yet").await;
    page.see_in(".side .source-why", "import mail cannot receive").await;
    page.accessible("an import whose queue cannot be read").await;
    page.act("open", json!({ "url": url, "theme": "dark", "width": 390, "height": 844 })).await;
    page.click_in("table .row-button", "orders").await;
    page.see_in(".side .instance", &id).await;
    page.accessible("an import that instances share, on a phone").await;
    assert_eq!(page.act("sideways", json!({})).await, 0);
    page.nothing_wrong().await;
    assert!(node.terminate().await.success());
}
