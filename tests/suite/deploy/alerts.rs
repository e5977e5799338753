//! deploy/prometheus/alerts.yaml: promtool reads it, each alert fires when it should and none while all is
//! well, each stands on docs/metrics.md, and what it asks for exists in the program.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use forebay::alarms::AlarmKind;
use serde_json::{Value, json};

use super::exposition::exported;
use super::repository;
use crate::support::tools::{on_path, stdout_of};

const RULES: &str = "deploy/prometheus/alerts.yaml";

/// Names that queries use besides those of Forebay's metrics and their labels.
const OF_PROMETHEUS: [&str; 4] = ["up", "job", "instance", "le"];

/// Series of a node that is well, each by its name and the values it takes once a minute.
const WELL: [(&str, &str); 24] = [
    ("up", "1x200"),
    ("forebay_ready", "1x200"),
    ("forebay_spool_bytes", "1000000000x200"),
    ("forebay_spool_max_bytes", "20000000000x200"),
    ("forebay_spool_left_seconds", "150000x200"),
    ("forebay_oldest_undelivered_seconds", "3500x200"),
    ("forebay_ledger_difference", "0x200"),
    ("forebay_clock_steps_total", "0x200"),
    ("forebay_received_after_day_total", "0x200"),
    ("forebay_pixels_not_stored_total", "0x200"),
    ("forebay_log_lines_dropped_total", "0x200"),
    ("forebay_refused_connections_total", "0x200"),
    ("forebay_imports_open", "0x200"),
    ("forebay_import_files_total{kind=\"failed\"}", "0x200"),
    ("forebay_import_rows_total{source=\"web\",became=\"stored\"}", "0+10x200"),
    ("forebay_answers_total{status=\"200\"}", "0+1000x200"),
    ("forebay_answers_total{status=\"503\"}", "0x200"),
    ("forebay_calls_received_total{source=\"web\"}", "0+6000x200"),
    ("forebay_calls_rejected_total{source=\"web\",reason=\"r\"}", "0+10x200"),
    ("forebay_upload_failures_total{kind=\"transient\"}", "0x200"),
    ("forebay_upload_seconds_count", "0+1x200"),
    ("forebay_refused_total{source=\"web\",reason=\"spool_full\"}", "0x200"),
    ("forebay_kafka_lag_seconds{partition=\"3\"}", "5x200"),
    ("forebay_kafka_terms_ended_total{partition=\"3\"}", "1x200"),
];

/// What is different when an alert must fire, after two hours.
const FIRES: [(&str, &[(&str, &str)]); 35] = [
    ("ForebayDown", &[("up", "0x200")]),
    ("ForebayAbsent", &[("up", "_x200")]),
    ("ForebayNotReady", &[("forebay_ready", "0x200")]),
    ("ForebayRefusingCalls", &[("forebay_alarm{kind=\"refusing\"}", "1x200")]),
    ("ForebaySourceRefused", &[("forebay_refused_total{source=\"web\",reason=\"spool_full\"}", "0+60x200")]),
    ("ForebaySpoolNearlyFull", &[("forebay_spool_bytes", "18000000000x200")]),
    (
        "ForebaySpoolFills",
        &[("forebay_spool_bytes", "12000000000x200"), ("forebay_spool_left_seconds", "14000x200")],
    ),
    ("ForebaySpoolSmall", &[("forebay_spool_left_seconds", "7000x200")]),
    ("ForebayDeliveryLate", &[("forebay_oldest_undelivered_seconds", "7300x200")]),
    ("ForebayBucketRefuses", &[("forebay_alarm{kind=\"refused\"}", "1x200")]),
    ("ForebayBucketUnreachable", &[("forebay_alarm{kind=\"unreachable\"}", "1x200")]),
    ("ForebayUploadsFail", &[("forebay_upload_failures_total{kind=\"transient\"}", "0+2x200")]),
    ("ForebayEncryptionDiffers", &[("forebay_alarm{kind=\"encryption\"}", "1x200")]),
    ("ForebayKeyConflict", &[("forebay_alarm{kind=\"conflict\"}", "1x200")]),
    ("ForebayDamage", &[("forebay_alarm{kind=\"damage\"}", "1x200")]),
    ("ForebayClock", &[("forebay_alarm{kind=\"clock\"}", "1x200")]),
    ("ForebayClockStepped", &[("forebay_clock_steps_total", "0x110 1x90")]),
    ("ForebayDayNotClosed", &[("forebay_alarm{kind=\"closing\"}", "1x200")]),
    ("ForebayFunctionFails", &[("forebay_alarm{kind=\"destination\"}", "1x200")]),
    ("ForebayImportsStopped", &[("forebay_alarm{kind=\"imports\"}", "1x200")]),
    ("ForebayBucketImportStopped", &[("forebay_alarm{kind=\"bucket_import\"}", "1x200")]),
    ("ForebayConfigurationRefused", &[("forebay_alarm{kind=\"configuration\"}", "1x200")]),
    ("ForebayHookFails", &[("forebay_alarm{kind=\"hook\"}", "1x200")]),
    ("ForebayLedgerDiffers", &[("forebay_ledger_difference", "1x200")]),
    ("ForebayTaskFailed", &[("forebay_alarm{kind=\"task\"}", "1x200")]),
    ("ForebayErrorAnswers", &[("forebay_answers_total{status=\"503\"}", "0+60x200")]),
    ("ForebayManyRejected", &[("forebay_calls_rejected_total{source=\"web\",reason=\"r\"}", "0+400x200")]),
    ("ForebayConnectionsRefused", &[("forebay_refused_connections_total", "0+60x200")]),
    (
        "ForebaySlowDisk",
        &[
            ("forebay_sync_seconds_bucket{le=\"0.4096\"}", "0+10x200"),
            ("forebay_sync_seconds_bucket{le=\"0.8192\"}", "0+60x200"),
            ("forebay_sync_seconds_bucket{le=\"+Inf\"}", "0+60x200"),
        ],
    ),
    ("ForebayPixelsNotStored", &[("forebay_pixels_not_stored_total", "0x115 3x85")]),
    ("ForebayLogLinesDropped", &[("forebay_log_lines_dropped_total", "0x115 3x85")]),
    ("ForebayImportFailed", &[("forebay_import_files_total{kind=\"failed\"}", "0x110 1x90")]),
    (
        "ForebayImportStalls",
        &[
            ("forebay_imports_open", "1x200"),
            ("forebay_import_rows_total{source=\"web\",became=\"stored\"}", "100x200"),
        ],
    ),
    ("ForebayWriterBehind", &[("forebay_kafka_lag_seconds{partition=\"3\"}", "700x200")]),
    ("ForebayPartitionsContended", &[("forebay_kafka_terms_ended_total{partition=\"3\"}", "0x110 6x90")]),
];

fn rules() -> String {
    fs::read_to_string(repository(RULES)).unwrap()
}

/// The values of a key of the file, each on its line.
fn values(rules: &str, key: &str) -> Vec<String> {
    let start = format!("{key}: ");
    let of_key = |line: &str| line.trim().trim_start_matches("- ").strip_prefix(&start).map(str::to_owned);
    rules.lines().filter_map(of_key).collect()
}

/// A test in the format of promtool: these alerts are active after two hours, and no others.
fn promtool_test(different: &[(&str, &str)], active: &[&str]) -> Value {
    let mut series: BTreeMap<&str, &str> = WELL.into();
    series.extend(different.iter().copied());
    let of_node = "job=\"forebay\",instance=\"a\"";
    let series = series.iter().map(|(name, values)| {
        let (name, labels) = name.trim_end_matches('}').split_once('{').unwrap_or((name, ""));
        let comma = if labels.is_empty() { "" } else { "," };
        json!({ "series": format!("{name}{{{of_node}{comma}{labels}}}"), "values": values })
    });
    let sample = |alert: &&str| json!({ "labels": format!("{{alertname=\"{alert}\"}}"), "value": 1 });
    json!({
        "interval": "1m",
        "input_series": series.collect::<Vec<_>>(),
        "promql_expr_test": [{
            "expr": "count by (alertname) (ALERTS{alertstate=\"firing\"})",
            "eval_time": "2h",
            "exp_samples": active.iter().map(sample).collect::<Vec<_>>(),
        }],
    })
}

#[tokio::test]
async fn each_alert_fires_when_it_should_and_none_while_all_is_well() {
    let Some(promtool) = on_path("promtool") else { return };
    let mut check = Command::new(&promtool);
    check.args(["check", "rules", "--lint=all", "--lint-fatal"]).arg(repository(RULES));
    stdout_of(check).await;

    let tested: BTreeSet<&str> = FIRES.iter().map(|(alert, _)| *alert).collect();
    let rules = values(&rules(), "alert");
    let named: BTreeSet<&str> = rules.iter().map(String::as_str).collect();
    assert_eq!(tested, named, "each alert of the file has its case here");

    let mut tests = vec![promtool_test(&[], &[])];
    for (alert, different) in FIRES {
        tests.push(promtool_test(different, &[alert]));
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("test.yaml");
    // YAML contains JSON.
    let all = json!({ "rule_files": [repository(RULES)], "evaluation_interval": "1m", "tests": tests });
    fs::write(&file, all.to_string()).unwrap();
    let mut test = Command::new(promtool);
    test.args(["test", "rules"]).arg(&file);
    stdout_of(test).await;
}

#[test]
fn each_kind_of_alarm_has_an_alert() {
    let rules = rules();
    let asked: BTreeSet<&str> =
        rules.split("forebay_alarm{kind=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    let kinds: BTreeSet<&str> = AlarmKind::ALL.iter().map(|kind| kind.slug()).collect();
    assert_eq!(asked, kinds);
}

#[test]
fn each_alert_stands_on_the_page_and_links_to_it() {
    let (rules, page) = (rules(), fs::read_to_string(repository("docs/metrics.md")).unwrap());
    let alerts = values(&rules, "alert");
    let headings: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("### Forebay")).collect();
    let expected: Vec<String> = alerts.iter().map(|alert| alert.replace("Forebay", "")).collect();
    assert_eq!(headings, expected);
    for (alert, link) in alerts.iter().zip(values(&rules, "page")) {
        assert_eq!(link, format!("docs/metrics.md#{}", alert.to_lowercase()));
    }
    for key in ["summary", "description", "page", "severity", "for"] {
        assert_eq!(values(&rules, key).len(), alerts.len(), "each alert has a {key}");
    }
}

#[test]
fn alerts_ask_only_for_what_is_exported() {
    let asked = values(&rules(), "expr");
    assert!(asked.len() > 20, "{asked:?}");
    for query in asked {
        assert_exported(&query);
    }
}

/// Asserts that each metric of a query is exported, with each label that the query names.
pub(super) fn assert_exported(query: &str) {
    let exported = exported();
    let mut names = Vec::new();
    let mut labels = Vec::new();
    // Words in quotes are values; words before `(` are functions, those in `{…}` and after `by` are labels.
    let unquoted: String = query.split('"').step_by(2).collect::<Vec<_>>().join("\"\"");
    let mut rest = unquoted.as_str();
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    while let Some(at) = rest.find(|c: char| c.is_ascii_alphabetic() || c == '_') {
        let (head, tail) = rest.split_at(at);
        let before = head.chars().rev().find(|c| !c.is_whitespace());
        let (word, after) = tail.split_at(tail.find(|c| !is_word(c)).unwrap_or(tail.len()));
        let next = after.trim_start();
        let is_duration = before.is_some_and(|c| c == '[' || c == '$' || c.is_ascii_digit());
        if word.starts_with("forebay_") {
            names.push(word);
        } else if matches!(word, "by" | "without" | "ignoring" | "on") {
            let list = next.strip_prefix('(').and_then(|list| list.split_once(')')).unwrap();
            labels.extend(list.0.split(',').map(str::trim));
            rest = list.1;
            continue;
        } else if next.starts_with('=') && !next.starts_with("==") || next.starts_with("!=") {
            labels.push(word);
        } else {
            let known = OF_PROMETHEUS.contains(&word) || ["and", "or", "inf"].contains(&word);
            let is_function = ["(", "by ", "without "].iter().any(|follows| next.starts_with(follows));
            assert!(is_function || is_duration || known, "{word:?} in {query}");
        }
        rest = after;
    }
    let mut known: BTreeSet<&str> = OF_PROMETHEUS.into();
    for name in &names {
        let histogram = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        let is_histogram = |name: &&str| exported.get(*name).is_some_and(|metric| metric.kind == "histogram");
        let metric = histogram.filter(is_histogram).unwrap_or(name);
        let metric = exported.get(metric).unwrap_or_else(|| panic!("{name} is not exported: {query}"));
        assert!(metric.kind != "histogram" || metric.labels.is_empty() && histogram.is_some(), "{query}");
        known.extend(metric.labels.iter().map(String::as_str));
    }
    assert!(!names.is_empty() || query.contains("up"), "{query}");
    for label in labels {
        assert!(known.contains(label), "{label:?} is no label of {names:?}: {query}");
    }
}

#[test]
#[should_panic(expected = "is not exported")]
fn a_metric_that_does_not_exist_is_noticed() {
    assert_exported("rate(forebay_calls_recieved_total[5m]) > 0");
}

#[test]
#[should_panic(expected = "is no label")]
fn a_label_that_does_not_exist_is_noticed() {
    assert_exported("sum by (origin) (rate(forebay_calls_received_total[5m])) > 0");
}
