//! deploy/helm/forebay, as far as it can be checked without helm: `tests/helm` renders it.

use std::fs;
use std::process::Command;

use serde_json::Value;

use super::repository;
use crate::support::tools::{require, stdout_of};

const CHART: &str = "deploy/helm/forebay";

/// A YAML file as JSON.
async fn yaml(path: &str) -> Option<Value> {
    let python = require("cfn-lint/bin/python")?;
    let mut convert = Command::new(python);
    convert.args(["-c", "import json, sys, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1]))))"]);
    convert.arg(repository(CHART).join(path));
    Some(serde_json::from_str(&stdout_of(convert).await).unwrap())
}

fn schema() -> Value {
    serde_json::from_str(&fs::read_to_string(repository(CHART).join("values.schema.json")).unwrap()).unwrap()
}

#[tokio::test]
async fn the_chart_has_the_version_of_the_program() {
    let Some(chart) = yaml("Chart.yaml").await else { return };
    assert_eq!(chart["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(chart["appVersion"], env!("CARGO_PKG_VERSION"));
}

/// Names of values that the schema lacks, and of the schema that the values lack. `config` is free in both.
fn differences(values: &Value, schema: &Value, path: &str, found: &mut Vec<String>) {
    let (Some(values), Some(properties)) = (values.as_object(), schema["properties"].as_object()) else {
        return;
    };
    for (name, value) in values {
        match properties.get(name) {
            None => found.push(format!("{path}{name} is not in the schema")),
            Some(inside) => differences(value, inside, &format!("{path}{name}."), found),
        }
    }
    if !path.starts_with("config.") {
        let unknown = properties.keys().filter(|name| !values.contains_key(*name) && *name != "global");
        found.extend(unknown.map(|name| format!("{path}{name} has no default")));
    }
}

#[tokio::test]
async fn values_and_schema_have_the_same_names() {
    let Some(values) = yaml("values.yaml").await else { return };
    let mut found = Vec::new();
    differences(&values, &schema(), "", &mut found);
    let found: Vec<_> = found.into_iter().filter(|one| !one.starts_with("config.")).collect();
    assert!(found.is_empty(), "{found:#?}");
    assert!(values.as_object().unwrap().len() > 15);
}

/// The chart sets these itself, so nobody may set them to something else.
#[test]
fn the_schema_refuses_what_the_chart_sets_and_knows_every_section() {
    let schema = schema();
    let sections = schema["properties"]["config"]["properties"].as_object().unwrap();
    let example = fs::read_to_string(repository("forebay.example.toml")).unwrap();
    let example: toml::Table = toml::from_str(&example).unwrap();
    let known: Vec<&String> = sections.keys().collect();
    // Destinations are optional, so those of the example are comments.
    let mut expected: Vec<String> = example.keys().cloned().chain(["destination".to_owned()]).collect();
    expected.sort();
    assert_eq!(known, expected.iter().collect::<Vec<_>>());
    // What the schema knows reaches the file.
    let template = fs::read_to_string(repository(CHART).join("templates/_helpers.tpl")).unwrap();
    for section in expected {
        let names = [format!("$config.{section}"), format!("\"{section}\"")];
        assert!(names.iter().any(|name| template.contains(name)), "{section} is not in the rendered file");
    }
    for (section, name) in
        [("collector", "listen"), ("admin", "listen"), ("admin", "token"), ("spool", "dir")]
    {
        let refused = sections[section]["not"]["anyOf"].to_string();
        assert!(refused.contains(&format!("[\"{name}\"]")), "{section}.{name}");
    }
}

#[test]
fn the_chart_has_the_alerts_of_the_repository() {
    let of_chart = fs::read_to_string(repository(CHART).join("alerts.yaml")).unwrap();
    let of_prometheus = fs::read_to_string(repository("deploy/prometheus/alerts.yaml")).unwrap();
    // A symbolic link would do, but helm reports it to everybody who installs the chart.
    assert!(of_chart == of_prometheus, "cp deploy/prometheus/alerts.yaml {CHART}/");
}
