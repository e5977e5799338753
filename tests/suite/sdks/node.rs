//! Server-side Node SDKs.

use super::conformance::{Driver, as_made, script};
use crate::support::json::Numbers;
use crate::support::tools::{on_path, require};

pub(super) fn driver(sdk: &str) -> Option<Driver> {
    Some(Driver {
        program: on_path("node")?,
        script: vec![script("node/server.cjs"), sdk.to_owned()],
        flags: Vec::new(),
        environment: vec![("NODE_PATH", require("node/node_modules")?.into())],
        numbers: Numbers::AsDoubles,
        as_sent: as_made,
        only_tls: false,
    })
}

async fn conforms(sdk: &str) {
    if let Some(driver) = driver(sdk) {
        driver.conforms().await;
    }
}

#[tokio::test]
async fn segment_analytics_node_3_1_0() {
    conforms("analytics-node-3").await;
}

#[tokio::test]
async fn segment_analytics_node_2_1_2() {
    conforms("analytics-node-2").await;
}

#[tokio::test]
async fn customerio_cdp_analytics_node_0_5_9() {
    conforms("customerio-node").await;
}

#[tokio::test]
async fn analytics_node_6_2_0() {
    conforms("analytics-node-6").await;
}

#[tokio::test]
async fn rudder_sdk_node_3_0_13() {
    conforms("rudder-node").await;
}
