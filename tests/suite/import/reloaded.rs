//! A reload of the configuration touches only the imports whose settings changed, and nothing is forgotten by it that
//! still holds.

use std::time::Duration;

use serde_json::Value;

use super::node::{Stand, alarm_of, import, import_status, passed, reload};
use crate::serve::support::{PATIENCE, status};
use crate::support::forebay::Forebay;
use crate::support::wait;

const ORDERS: &str = "bucket = \"files\"\nprefix = \"in/\"";

/// What an import of a node shows that a reload must not forget: two alarms with their times, and the columns.
async fn shown(node: &Forebay) -> [Value; 3] {
    let status = status(node).await;
    let alarm = |subject: &str| alarm_of(&status, subject).map(|alarm| alarm["since_ms"].clone());
    let columns = import_status(node, "orders").await["unused_first"].clone();
    [alarm("orders (files for a person)").unwrap_or_default(), alarm("gone").unwrap_or_default(), columns]
}

/// Each import was restarted: its alarms were cleared and raised again, and the columns of its files were forgotten.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_import_that_moves_files_restarts_none_and_what_it_moves_is_read_by_none() {
    let before = import("orders", ORDERS) + &import("gone", "bucket = \"nowhere\"");
    let mut stand = Stand::start(&before).await;
    stand.put_text("in/a", "{\"e\":\"in/a 0\",\"u\":\"u\",\"plan\":\"pro\"}\n").await;
    stand.put_text("in/bad", "[1]").await;
    let node = stand.settings.serve().await;
    passed(&node, "orders", |last| last["known"] == 1 && last["given_up"] == 1).await;
    let known = wait::until("the alarms", PATIENCE, async || {
        Some(shown(&node).await).filter(|all| all.iter().all(|one| !one.is_null()))
    })
    .await;
    assert_eq!(known[2], serde_json::json!(["plan"]), "{known:?}");
    let runs = import_status(&node, "orders").await["last"]["began_ms"].as_i64().unwrap();

    // One more import, which moves its files to where the first one reads.
    stand.put("other/x", 0..3).await;
    let moves = "bucket = \"files\"\nprefix = \"other/\"\nafter = \"move:in/done/\"";
    stand.settings.imports = before + &import("mover", moves);
    reload(&stand.settings, &node).await;
    assert!(import_status(&node, "orders").await["last"]["began_ms"].as_i64().unwrap() >= runs);
    let seen = passed(&node, "orders", |last| last["skipped"]["own"] == 1).await;
    assert_eq!((&seen["last"]["known"], &seen["last"]["rows"]), (&1.into(), &0.into()), "{seen}");
    assert_eq!(shown(&node).await, known);
    stand.delivered(&[("in/a", 1), ("other/x", 3)]).await;

    // Other settings of the import itself, which change nothing of what was found.
    stand.settings.imports = stand.settings.imports.replace(ORDERS, &format!("{ORDERS}\nparallel = 2"));
    reload(&stand.settings, &node).await;
    assert_eq!(shown(&node).await, known, "before its first pass");
    passed(&node, "orders", |last| last["known"] == 1 && last["given_up"] == 1).await;
    assert_eq!(shown(&node).await, known, "after it");
    assert!(!node.log().contains("alarm cleared"), "{}", node.log());

    // What no longer holds ends.
    stand.settings.imports = stand.settings.imports.replace("parallel = 2", "parallel = 3");
    stand.rig.bucket("files").client.delete_object().bucket("files").key("in/bad").send().await.unwrap();
    reload(&stand.settings, &node).await;
    wait::until("one alarm less", PATIENCE, async || {
        alarm_of(&status(&node).await, "orders (files for a person)").is_none().then_some(())
    })
    .await;
    stand.settings.imports = import("orders", ORDERS);
    reload(&stand.settings, &node).await;
    wait::until("no alarm", Duration::from_secs(5), async || {
        status(&node).await["alarms"].as_array().unwrap().is_empty().then_some(())
    })
    .await;
    assert!(node.terminate().await.success());
}
