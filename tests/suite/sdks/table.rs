//! What each SDK does on failures. docs/sdks.md shows it as a table, and every test run compares the two.
//! Checking the SDKs themselves takes minutes and is a separate command: `tests/drive-sdks`.

use std::env;
use std::time::Duration;

use http::StatusCode;

use tokio::task::{LocalSet, spawn_local};

use super::conformance::{Driver, Fate, Trouble, fresh};
use super::{browser, chromium, jvm, node, python};
use crate::support::fault_proxy::Fault;

/// Time for an SDK to retry: analytics-java waits up to 30 s. A call that has not arrived by then counts as
/// given up.
const PATIENCE: Duration = Duration::from_secs(75);

const TROUBLES: [(&str, Trouble); 6] = [
    ("500", Trouble::Fault(Fault::Status(StatusCode::INTERNAL_SERVER_ERROR))),
    ("503", Trouble::Fault(Fault::Status(StatusCode::SERVICE_UNAVAILABLE))),
    ("429", Trouble::Fault(Fault::TooManyRequests)),
    ("reset", Trouble::Fault(Fault::HangUp)),
    ("answer lost", Trouble::Fault(Fault::LostAnswer)),
    ("restart", Trouble::Restart),
];

/// A driven SDK.
struct Sdk {
    /// Package and version, as in the page.
    name: &'static str,
    driver: fn() -> Option<Driver>,
    scenarios: &'static [&'static str],
    /// How many of the calls it supports.
    calls: usize,
    /// The troubles at which it gives up a call.
    gives_up: &'static [&'static str],
}

const ALL: &[Sdk] = &[
    Sdk::new("`@segment/analytics-node` 3.1.0", || node::driver("analytics-node-3"), 11),
    Sdk::new("`@segment/analytics-node` 2.1.2", || node::driver("analytics-node-2"), 11),
    Sdk::new("`analytics-node` 6.2.0", || node::driver("analytics-node-6"), 11),
    Sdk::new("`@customerio/cdp-analytics-node` 0.5.9", || node::driver("customerio-node"), 11),
    Sdk::new("`@rudderstack/rudder-sdk-node` 3.0.13", || node::driver("rudder-node"), 11),
    Sdk::new("`segment-analytics-python` 2.4.0", || python::driver("segment", None, &["gzip"]), 11),
    Sdk::new(
        "`segment-analytics-python` 2.3.2",
        || python::driver("segment", Some("segment-2.3.2"), &[]),
        11,
    ),
    Sdk::new("`analytics-python` 1.4.0", || python::driver("segment-1", Some("segment-1.4"), &["gzip"]), 11),
    Sdk::new(
        "`customerio-cdp-analytics` 1.1.0",
        || python::driver("customerio", Some("customerio"), &["gzip"]),
        11,
    ),
    Sdk::new("`events-sdk-python` 0.0.4", || python::driver("hightouch", Some("hightouch"), &["gzip"]), 11),
    Sdk::new("`rudder-sdk-python` 2.1.9", || python::driver("rudder", Some("rudder"), &["gzip"]), 11),
    Sdk::new(
        "`@segment/analytics-next` 1.84.3 in jsdom",
        || browser::driver("analytics-next-1.84", "standard"),
        11,
    ),
    Sdk::new(
        "`@segment/analytics-next` 1.70.0 in jsdom",
        || browser::driver("analytics-next-1.70", "standard"),
        11,
    )
    .gives_up(&["500", "503", "429"]),
    in_chromium("`@segment/analytics-next` 1.84.3", || chromium::driver("analytics-next", &["standard"]), 6),
    in_chromium(
        "`@segment/analytics-next` 1.84.3, batching",
        || chromium::driver("analytics-next", &["batching"]),
        6,
    ),
    in_chromium("`@rudderstack/analytics-js` 3.34.1", || chromium::driver("rudder", &[]), 5),
    in_chromium(
        "`@rudderstack/analytics-js` 3.34.1, `useBeacon`",
        || chromium::driver("rudder", &["beacon"]),
        5,
    )
    .gives_up(&["500", "503", "429", "reset", "restart"]),
    in_chromium("`@ht-sdks/events-sdk-js-browser` 1.5.1", || chromium::driver("hightouch", &["standard"]), 6)
        .gives_up(&["500", "503", "429"]),
    in_chromium(
        "`@ht-sdks/events-sdk-js-browser` 1.5.1, batching",
        || chromium::driver("hightouch", &["batching"]),
        6,
    )
    .gives_up(&["500", "503", "429", "restart"]),
    Sdk::new("analytics-java 3.5.4", || jvm::driver("java"), 11),
    Sdk::new("analytics-kotlin 1.27.0", || jvm::driver("kotlin"), 10),
];

/// A browser has one user, so it runs only the first of the scenarios.
const fn in_chromium(name: &'static str, driver: fn() -> Option<Driver>, calls: usize) -> Sdk {
    Sdk { scenarios: &["all-calls"], ..Sdk::new(name, driver, calls) }
}

impl Sdk {
    const fn new(name: &'static str, driver: fn() -> Option<Driver>, calls: usize) -> Self {
        Self { name, driver, scenarios: &["all-calls", "audience"], calls, gives_up: &[] }
    }

    const fn gives_up(self, at: &'static [&'static str]) -> Self {
        Self { gives_up: at, ..self }
    }

    /// The SDK's row of the table.
    fn row(&self) -> String {
        let fate =
            |(name, _): &(&str, Trouble)| if self.gives_up.contains(name) { "given up" } else { "once" };
        let fates: Vec<&str> = TROUBLES.iter().map(fate).collect();
        format!("| {} | {calls} of {calls} | {} |", self.name, fates.join(" | "), calls = self.calls)
    }

    /// Drives the SDK through everything. Returns what differs from its row.
    async fn drive(&self) -> Vec<String> {
        let Some(driver) = (self.driver)() else { return vec!["cannot be driven here".to_owned()] };
        let (forebay, _folder) = fresh().await;
        for scenario in self.scenarios {
            driver.delivers(&forebay, scenario).await;
        }
        let running = TROUBLES.map(|(name, trouble)| {
            let driver = driver.clone();
            (name, spawn_local(async move { driver.fate(trouble, PATIENCE).await }))
        });
        let mut odd = Vec::new();
        for (name, fate) in running {
            let expected = if self.gives_up.contains(&name) { Fate::GivenUp } else { Fate::Once };
            match fate.await {
                Ok(fate) if fate == expected => {}
                fate => odd.push(format!("{name}: {fate:?}")),
            }
        }
        odd
    }
}

#[test]
fn the_page_has_the_table() {
    let page = include_str!("../../../docs/sdks.md");
    let names: Vec<&str> = TROUBLES.iter().map(|(name, _)| *name).collect();
    let head = format!("| SDK | calls | {} |", names.join(" | "));
    let rows: Vec<String> = ALL.iter().map(Sdk::row).collect();
    let table = format!("{head}\n|{}\n{}\n", " --- |".repeat(names.len() + 2), rows.join("\n"));
    assert!(page.contains(&table), "docs/sdks.md must contain:\n{table}");
}

/// `FOREBAY_DRIVE_SDKS`: `all`, or a part of the names to drive.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_sdk_does_what_its_row_says() {
    let wanted = env::var_os("FOREBAY_DRIVE_SDKS").and_then(|wanted| wanted.into_string().ok());
    let Some(wanted) = wanted else { return };
    let mut wrong = Vec::new();
    let driven: Vec<&Sdk> = ALL.iter().filter(|sdk| wanted == "all" || sdk.name.contains(&wanted)).collect();
    assert!(!driven.is_empty(), "no SDK has {wanted:?} in its name");
    for sdk in driven {
        let odd = LocalSet::new().run_until(sdk.drive()).await;
        println!("{} {}", sdk.row(), odd.join("; "));
        wrong.extend(odd.into_iter().map(|odd| format!("{}: {odd}", sdk.name)));
    }
    assert!(wrong.is_empty(), "not as in docs/sdks.md:\n{}", wrong.join("\n"));
}
