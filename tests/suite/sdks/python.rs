//! Python SDKs.

use super::conformance::{Driver, Traits, script};
use crate::support::json::Numbers;
use crate::support::tools::{in_venv, require};

/// `packages`: where the SDK is, if it cannot share an environment with the others.
async fn conforms(sdk: &str, packages: Option<&str>, flags: &[&'static str]) {
    let Some(program) = in_venv("python") else { return };
    let environment = match packages {
        None => Vec::new(),
        Some(packages) => match require(packages) {
            None => return,
            Some(folder) => vec![("PYTHONPATH", folder.into())],
        },
    };
    let driver = Driver {
        program,
        sdk: [script("python/server.py"), sdk.to_owned()],
        flags: flags.to_vec(),
        environment,
        numbers: Numbers::AsWritten,
        traits: if sdk == "rudder" { Traits::Context } else { Traits::TopLevel },
    };
    driver.conforms().await;
}

#[tokio::test]
async fn segment_analytics_python_2_4_0() {
    conforms("segment", None, &["gzip"]).await;
}

#[tokio::test]
async fn segment_analytics_python_2_3_2() {
    conforms("segment", Some("segment-2.3.2"), &[]).await;
}

#[tokio::test]
async fn rudder_sdk_python_2_1_9() {
    conforms("rudder", Some("rudder"), &["gzip"]).await;
}

#[tokio::test]
async fn analytics_python_1_4() {
    conforms("segment-1", Some("segment-1.4"), &["gzip"]).await;
}

#[tokio::test]
async fn customerio_cdp_analytics_1_1_0() {
    conforms("customerio", Some("customerio"), &["gzip"]).await;
}

#[tokio::test]
async fn events_sdk_python_0_0_4() {
    conforms("hightouch", Some("hightouch"), &["gzip"]).await;
}
