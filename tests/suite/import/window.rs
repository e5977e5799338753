//! Calls that are sent again after an import with more rows than the log remembers calls.

use super::node::{Stand, import, import_status};
use crate::serve::support::{Caller, exactly};
use crate::support::forebay::Forebay;
use crate::support::http::is_accepted;
use crate::support::wait;

/// More than the 2,097,152 calls of all sources that the log remembers.
const ROWS: u32 = 2_200_000;
const FILES: u32 = 11;
/// Half an hour: a debug build on a busy machine reads some ten thousand rows a second.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(1_800);

/// Sends a request twice, first before and then after the import, and once more after a kill.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: tests/long"]
async fn a_call_that_is_sent_again_after_a_large_import_is_in_the_bucket_once() {
    let lines = "bucket = \"files\"\nprefix = \"in/\"\nsource = \"shop\"";
    let mut stand = Stand::start(&import("orders", lines)).await;
    stand.settings.sources.push(("web".to_owned(), "write_keys = [\"web-key\"]".to_owned()));
    let node = stand.settings.serve().await;
    let mut caller = Caller::new();
    let (ids, request) = caller.request(200, 10);
    let again = async |node: &Forebay| is_accepted(&caller.post(node, "web", request.clone()).await.unwrap());
    assert!(again(&node).await);

    for file in 0..FILES {
        stand.put(&format!("in/{file:02}"), 0..ROWS / FILES).await;
    }
    wait::until("the import", PATIENCE, async || {
        let stored = import_status(&node, "orders").await["since_start"]["stored"].as_u64();
        (stored == Some(ROWS.into())).then_some(())
    })
    .await;
    assert!(again(&node).await);
    node.kill().await;
    let node = stand.settings.serve().await;
    assert!(again(&node).await);
    assert!(node.terminate().await.success());
    exactly(&stand.rig.bucket("lake"), "", "web", &ids.into_iter().collect()).await;
}
