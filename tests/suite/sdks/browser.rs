//! The browser SDK, in jsdom.

use http::StatusCode;

use super::conformance::{Driver, as_made, fresh, preflighted, script};
use crate::support::fault_proxy::Fault;
use crate::support::json::Numbers;
use crate::support::tools::{on_path, require};

pub(super) fn driver(sdk: &str, strategy: &'static str) -> Option<Driver> {
    Some(Driver {
        program: on_path("node")?,
        script: vec![script("node/browser.cjs"), sdk.to_owned()],
        flags: vec![strategy],
        environment: vec![("NODE_PATH", require("node/node_modules")?.into())],
        numbers: Numbers::AsDoubles,
        as_sent: as_made,
        only_tls: false,
    })
}

#[tokio::test]
async fn segment_analytics_next_1_84_3() {
    let Some(driver) = driver("analytics-next-1.84", "standard") else { return };
    let (forebay, _folder) = fresh().await;
    let ((), server_error, too_many, ()) = tokio::join!(
        driver.delivers(&forebay, "all-calls"),
        driver.survives(&forebay, "server-error", Fault::Status(StatusCode::INTERNAL_SERVER_ERROR)),
        driver.survives(&forebay, "too-many", Fault::TooManyRequests),
        driver.gives_up_after_400(&forebay),
    );
    for seen in [server_error, too_many] {
        assert!(preflighted(&seen), "no preflight, so CORS was not tested: {seen:?}");
    }
}

/// In this mode the SDK does not report which call a 400 was for, so only the standard mode tests that.
#[tokio::test]
async fn segment_analytics_next_1_84_3_batching() {
    let Some(driver) = driver("analytics-next-1.84", "batching") else { return };
    let (forebay, _folder) = fresh().await;
    let ((), server_error, too_many) = tokio::join!(
        driver.delivers(&forebay, "all-calls"),
        driver.survives(&forebay, "server-error", Fault::Status(StatusCode::INTERNAL_SERVER_ERROR)),
        driver.survives(&forebay, "too-many", Fault::TooManyRequests),
    );
    for seen in [server_error, too_many] {
        assert!(preflighted(&seen), "no preflight, so CORS was not tested: {seen:?}");
    }
}

/// This version ignores the status of an answer, so no answer makes it retry; it only retries if a connection
/// ends without one. Its batching mode supports only https.
#[tokio::test]
async fn segment_analytics_next_1_70_0() {
    let Some(driver) = driver("analytics-next-1.70", "standard") else { return };
    let (forebay, _folder) = fresh().await;
    tokio::join!(
        driver.delivers(&forebay, "all-calls"),
        driver.survives(&forebay, "hung-up", Fault::HangUp),
        driver.gives_up_after_400(&forebay),
    );
}
