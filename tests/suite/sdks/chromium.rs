//! Browser SDKs in headless Chromium, in a page whose origin is not the collector's.
//!
//! If a reused connection ends without an answer, Chromium itself resends the request, whatever the SDK does.
//! So SDKs differ only in how they react to statuses.

use http::StatusCode;

use super::conformance::{
    Driver, Pace, as_made, assert_calls, fresh, preflighted, scenario, script, traits_in_context,
    without_nulls,
};
use crate::support::fault_proxy::Fault;
use crate::support::json::{Members, Numbers};
use crate::support::tools::{extra_on_path, on_path, require};

/// `sdk` and `flags`: as the driver names them.
pub(super) fn driver(sdk: &str, flags: &[&'static str]) -> Option<Driver> {
    let chromium = extra_on_path("chromium")?;
    Some(Driver {
        program: on_path("node")?,
        script: vec![script("browser/chromium.cjs"), sdk.to_owned()],
        flags: flags.to_vec(),
        environment: vec![
            ("NODE_PATH", require("browser/node_modules")?.into()),
            ("FOREBAY_CHROMIUM", chromium.into()),
        ],
        numbers: Numbers::AsDoubles,
        as_sent: if sdk == "rudder" { by_rudder } else { as_made },
        only_tls: false,
    })
}

/// This SDK has no screen, puts traits into the context, and omits members that are null.
fn by_rudder(mut call: Members) -> Option<Members> {
    if call["type"].get() == r#""screen""# {
        return None;
    }
    if let Some(traits) = call.get_mut("traits") {
        *traits = without_nulls(traits);
    }
    traits_in_context(call)
}

/// Calls of a page arrive from another origin, with the sender's address, even after the page was left.
async fn arrives(sdk: &str, flags: &[&'static str], leaving: &[&'static str]) {
    let Some(driver) = driver(sdk, flags) else { return };
    let Some(left) = self::driver(sdk, leaving) else { return };
    let (forebay, _folder) = fresh().await;
    driver.delivers(&forebay, "all-calls").await;
    for line in forebay.bucket().lines("all-calls").await {
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(line["context"]["ip"], "127.0.0.1", "{line}");
        assert!(["client", "web"].contains(&line["channel"].as_str().unwrap()), "{line}");
    }
    let lines = left.run(&forebay, &forebay.collector, "two-calls", "left", Pace::AtOnce, 2).await;
    assert_calls(&scenario("two-calls"), &lines, Numbers::AsDoubles);
}

#[tokio::test]
async fn analytics_next_1_84_3() {
    arrives("analytics-next", &["standard"], &["batching", "unload"]).await;
    let Some(driver) = driver("analytics-next", &["batching"]) else { return };
    let (forebay, _folder) = fresh().await;
    driver.delivers(&forebay, "all-calls").await;
    let fault = Fault::Status(StatusCode::INTERNAL_SERVER_ERROR);
    let seen = driver.survives(&forebay, "server-error", fault).await;
    assert!(preflighted(&seen), "no preflight, so CORS was not tested: {seen:?}");
}

#[tokio::test]
async fn hightouch_events_1_5_1() {
    arrives("hightouch", &["standard"], &["batching", "unload"]).await;
}

#[tokio::test]
async fn rudder_analytics_js_3_34_1() {
    arrives("rudder", &[], &["beacon", "unload"]).await;
    let Some(driver) = driver("rudder", &["beacon"]) else { return };
    let (forebay, _folder) = fresh().await;
    driver.delivers(&forebay, "all-calls").await;
}
