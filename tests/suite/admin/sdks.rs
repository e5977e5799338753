//! `/api/sdks`, and that docs/sdks.md says the same.

use std::collections::BTreeSet;

use forebay::admin::sdks::SDKS;

use super::listener::send;
use super::start;

#[tokio::test]
async fn the_code_has_the_address_and_the_key_of_the_source() {
    let running = start(&[]).await;
    let answer = send(&running, "GET", "/api/sdks?source=web", "Host: localhost:9180\r\n").await;
    let told = answer.json();
    assert_eq!(told["address"], "http://localhost:8080");
    assert_eq!(told["sdks"].as_array().unwrap().len(), SDKS.len());
    let node = told["sdks"].as_array().unwrap().iter().find(|sdk| sdk["name"] == "Node").unwrap();
    assert_eq!(node["code"], "new Analytics({ writeKey: '<WEB_KEY>', host: 'http://localhost:8080' })");
    assert_eq!((&node["language"], &node["note"]), (&"js".into(), &serde_json::Value::Null));
    let local = send(&running, "GET", "/api/sdks", "Host: [::1]:9180\r\n").await;
    assert_eq!(local.json()["address"], "http://[::1]:8080");
    let unknown = send(&running, "GET", "/api/sdks?source=ios", "Host: localhost\r\n").await;
    assert_eq!((unknown.status, &unknown.json()["code"]), (404, &"unknown_source".into()));
}

/// The rows of the tables of docs/sdks.md that say how to point an SDK here: the heading, the cell with the
/// package, and the code.
fn rows() -> Vec<(String, String, String)> {
    let page = include_str!("../../../docs/sdks.md");
    let (mut heading, mut in_table, mut rows) = ("", false, Vec::new());
    for line in page.lines() {
        heading = line.strip_prefix("## ").unwrap_or(heading);
        in_table = line == "| SDK | point it here |" || (in_table && line.starts_with('|'));
        let Some((package, rest)) = line.strip_prefix("| ").and_then(|line| line.split_once(" | ")) else {
            continue;
        };
        let code = rest.split('`').skip(1).step_by(2).find(|code| code.contains("HOST"));
        if let (true, Some(code)) = (in_table, code) {
            rows.push((heading.to_owned(), package.to_owned(), code.to_owned()));
        }
    }
    rows
}

#[test]
fn the_page_about_sdks_and_the_console_say_the_same() {
    let rows = rows();
    let mut found = BTreeSet::new();
    for (heading, package, code) in &rows {
        let is = |sdk: &&forebay::admin::sdks::Sdk| {
            let name = package.trim_start_matches('`').split(['`', ' ', ';']).next();
            name == Some(sdk.package)
        };
        let sdk = SDKS.iter().find(is).unwrap_or_else(|| panic!("{package} is not in the console"));
        assert_eq!(sdk.code, code, "{package}");
        assert_eq!(sdk.tested, heading != "Untested SDKs", "{package}");
        let tls = package.contains("needs TLS");
        assert_eq!(sdk.needs_tls, tls, "{package}");
        assert!(found.insert(sdk.package), "{package} is there twice");
    }
    let all: BTreeSet<_> = SDKS.iter().map(|sdk| sdk.package).collect();
    assert_eq!(found, all);
    let names: BTreeSet<_> = SDKS.iter().map(|sdk| sdk.name).collect();
    assert_eq!(names.len(), SDKS.len(), "two SDKs have the same name");
}
