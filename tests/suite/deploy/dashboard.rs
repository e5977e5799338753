//! deploy/grafana/forebay.json: each of its queries can be read, and asks for what the program exports.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use super::alerts::assert_exported;
use super::repository;
use crate::support::tools::{on_path, stdout_of};

fn dashboard() -> Value {
    serde_json::from_str(&fs::read_to_string(repository("deploy/grafana/forebay.json")).unwrap()).unwrap()
}

/// The queries of all panels, with Grafana's variables filled in.
fn queries() -> Vec<String> {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let filled = |target: &Value| {
        let query = target["expr"].as_str().unwrap().replace("$__rate_interval", "5m");
        query.replace("$job", "forebay").replace("$instance", ".*").replace("$source", ".*")
    };
    targets.map(filled).collect()
}

#[tokio::test]
async fn each_query_can_be_read_and_asks_for_what_is_exported() {
    let queries = queries();
    assert!(queries.len() > 30, "{queries:?}");
    for query in &queries {
        assert!(!query.contains('$'), "an unknown variable: {query}");
        assert_exported(query);
    }
    let Some(promtool) = on_path("promtool") else { return };
    let rule = |(at, query): (usize, &String)| json!({ "record": format!("query_{at}"), "expr": query });
    let rules: Vec<Value> = queries.iter().enumerate().map(rule).collect();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rules.yaml");
    fs::write(&file, json!({ "groups": [{ "name": "panels", "rules": rules }] }).to_string()).unwrap();
    let mut check = Command::new(promtool);
    check.args(["check", "rules"]).arg(&file);
    let said = stdout_of(check).await;
    assert!(said.contains(&format!("{} rules found", queries.len())), "{said}");
}

#[test]
fn panels_have_a_title_a_description_and_a_place_of_their_own() {
    let dashboard = dashboard();
    let mut taken = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let place = |name: &str| panel["gridPos"][name].as_u64().unwrap();
        assert!(place("x") + place("w") <= 24, "{panel}");
        for x in place("x")..place("x") + place("w") {
            for y in place("y")..place("y") + place("h") {
                assert!(taken.insert((x, y)), "{} covers another panel", panel["title"]);
            }
        }
        assert!(!panel["title"].as_str().unwrap().is_empty());
        assert!(
            panel["type"] == "row" || panel["description"].as_str().is_some_and(|text| text.ends_with('.'))
        );
    }
}
