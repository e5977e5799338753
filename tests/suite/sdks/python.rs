//! Python SDKs.

use super::conformance::{Driver, as_made, script, traits_in_context};
use crate::support::json::Numbers;
use crate::support::tools::{in_venv, require};

/// `packages`: the folder of the SDK, if it cannot share an environment with the others.
pub(super) fn driver(sdk: &str, packages: Option<&str>, flags: &[&'static str]) -> Option<Driver> {
    let program = in_venv("python")?;
    let environment = match packages {
        None => Vec::new(),
        Some(packages) => vec![("PYTHONPATH", require(packages)?.into())],
    };
    Some(Driver {
        program,
        script: vec![script("python/server.py"), sdk.to_owned()],
        flags: flags.to_vec(),
        environment,
        numbers: Numbers::AsWritten,
        as_sent: if sdk == "rudder" { traits_in_context } else { as_made },
        only_tls: false,
    })
}

async fn conforms(sdk: &str, packages: Option<&str>, flags: &[&'static str]) {
    if let Some(driver) = driver(sdk, packages, flags) {
        driver.conforms().await;
    }
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
