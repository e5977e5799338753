//! SDKs of the JVM. They take long to start and to retry, so the suite only checks that every call arrives.
//!
//! analytics-kotlin may hold calls back for ever after its start (see its driver, `KotlinSdk.java`): the
//! driver uses it so that it does not. If a call is missing all the same, the failure shows the SDK's own
//! log.

use super::conformance::{Driver, fresh, without_nulls};
use crate::support::json::{Members, Numbers};
use crate::support::tools::{extra, on_path};

/// `sdk`: as the driver names it.
pub(super) fn driver(sdk: &str) -> Option<Driver> {
    let jars = extra("jvm/driver.jar", "tests/set-up")?;
    let all = jars.parent()?.join("*");
    Some(Driver {
        program: on_path("java")?,
        script: vec!["-cp".to_owned(), all.display().to_string(), "Driver".to_owned(), sdk.to_owned()],
        flags: Vec::new(),
        environment: vec![(
            "FOREBAY_SCENARIOS",
            concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sdks/scenarios.json").into(),
        )],
        numbers: Numbers::AsWritten,
        as_sent: if sdk == "java" { by_java } else { by_kotlin },
        only_tls: sdk == "kotlin",
    })
}

/// This SDK omits members that are null, and has no category of a screen.
#[expect(clippy::unnecessary_wraps, reason = "some SDKs lack a call")]
fn by_java(mut call: Members) -> Option<Members> {
    if call["type"].get() == r#""screen""# {
        call.remove("category");
    }
    if let Some(traits) = call.get_mut("traits") {
        *traits = without_nulls(traits);
    }
    Some(call)
}

/// This SDK has no page.
fn by_kotlin(call: Members) -> Option<Members> {
    (call["type"].get() != r#""page""#).then_some(call)
}

async fn delivers(sdk: &str) {
    let Some(driver) = driver(sdk) else { return };
    let (forebay, _folder) = fresh().await;
    tokio::join!(driver.delivers(&forebay, "all-calls"), driver.delivers(&forebay, "audience"));
}

#[tokio::test]
async fn analytics_java_3_5_4() {
    delivers("java").await;
}

#[tokio::test]
async fn analytics_kotlin_1_27_0() {
    delivers("kotlin").await;
}
