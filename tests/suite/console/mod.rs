//! The console's page in a real browser, on the real program.

mod access;
mod browser;
mod every_view;
mod first_call;
mod outage;

use tokio::process::Command;

use crate::support::tools::{on_path, require};

/// Sends two calls, `First` and `Second`, with the Node SDK. `None` if that is not there.
async fn send_with_sdk(collector: &str, write_key: &str) -> Option<()> {
    let driver = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sdks/node/server.cjs");
    let status = Command::new(on_path("node")?)
        .args([driver, "analytics-node-3", write_key, collector, "two-calls"])
        .env("NODE_PATH", require("node/node_modules")?)
        .kill_on_drop(true)
        .status()
        .await
        .unwrap();
    assert!(status.success());
    Some(())
}
