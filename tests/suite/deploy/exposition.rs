//! Every metric that the program exports, with its type and labels, and docs/metrics.md held to it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use forebay::metrics::{
    AccountLabel, DestinationLabel, ImportLabel, InvocationLabel, JobsLabel, KindLabel, Metrics, PassLabel,
    QueueLabel, ReasonLabel, RowsLabel, SourceLabel, StatusLabel, StreamAccountLabel, TasksLabel,
};

use super::repository;

/// What Prometheus knows of one metric.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Exported {
    pub(super) kind: String,
    pub(super) labels: BTreeSet<String>,
}

/// Every metric by the name that queries use; a histogram by its name without an ending.
pub(super) fn exported() -> BTreeMap<String, Exported> {
    let text = with_every_label().render().unwrap();
    let mut kinds = BTreeMap::new();
    let mut found: BTreeMap<String, Exported> = BTreeMap::new();
    for line in text.lines() {
        if let Some(declared) = line.strip_prefix("# TYPE ") {
            let (name, kind) = declared.split_once(' ').unwrap();
            kinds.insert(name.to_owned(), kind.to_owned());
        } else if !line.starts_with('#') {
            let (series, _) = line.rsplit_once(' ').unwrap();
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            let histogram = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
            let histogram = histogram.filter(|name| kinds.get(*name).is_some_and(|kind| kind == "histogram"));
            let name = histogram.unwrap_or(name);
            let declared = kinds.get(name).or_else(|| kinds.get(name.strip_suffix("_total")?)).unwrap();
            let labels = labels.split(',').filter_map(|label| label.split_once('=')).map(|(label, _)| label);
            let labels = labels.filter(|label| *label != "le").map(str::to_owned).collect();
            found.insert(name.to_owned(), Exported { kind: declared.clone(), labels });
        }
    }
    found
}

/// Metrics in which every family has a series.
fn with_every_label() -> Metrics {
    let metrics = Metrics::new();
    #[cfg(feature = "kafka")]
    of_kafka(&metrics);
    let of_source = [
        &metrics.received,
        &metrics.stored,
        &metrics.repeated,
        &metrics.delivered,
        &metrics.object_sets_received,
        &metrics.object_sets_stored,
        &metrics.object_sets_repeated,
        &metrics.object_sets_delivered,
    ];
    let source = || "web".to_owned();
    for family in of_source {
        family.get_or_create(&SourceLabel { source: source() }).inc();
    }
    metrics.rejected.get_or_create(&ReasonLabel { source: source(), reason: "r" }).inc();
    metrics.refused.get_or_create(&ReasonLabel { source: source(), reason: "r" }).inc();
    metrics.answers.get_or_create(&StatusLabel { status: 200 }).inc();
    metrics.import_rows.get_or_create(&RowsLabel { source: source(), became: "stored" }).inc();
    metrics.import_files.get_or_create(&KindLabel { kind: "done" }).inc();
    let pass = || PassLabel { import: "orders".to_owned(), became: "done" };
    metrics.import_objects.get_or_create(&pass()).set(1);
    metrics.import_passes.get_or_create(&pass()).inc();
    metrics.import_after.get_or_create(&pass()).inc();
    metrics.import_after_waiting.get_or_create(&pass()).set(1);
    metrics.import_messages.get_or_create(&pass()).inc();
    metrics.import_oldest_message.get_or_create(&ImportLabel { import: "orders".to_owned() }).set(1.0);
    let queue = QueueLabel { import: "orders".to_owned(), state: "waiting" };
    metrics.import_queue_messages.get_or_create(&queue).set(1);
    metrics.import_last_pass.get_or_create(&ImportLabel { import: "orders".to_owned() }).set(1.0);
    metrics.batch_jobs.get_or_create(&JobsLabel { status: "Active" }).set(1);
    metrics.batch_tasks.get_or_create(&TasksLabel { outcome: "succeeded" }).inc();
    metrics.upload_failures.get_or_create(&KindLabel { kind: "busy" }).inc();
    metrics.alarm.get_or_create(&KindLabel { kind: "task" }).inc();
    metrics.alarm_notices.get_or_create(&KindLabel { kind: "sent" }).inc();
    metrics.ledger_calls.get_or_create(&AccountLabel { source: source(), account: "stored" }).inc();
    let stream = "objects/rooms".to_owned();
    let dest = || "crm".to_owned();
    let invocation = InvocationLabel { dest: dest(), kind: "track", class: "success" };
    metrics.invocations.get_or_create(&invocation).inc();
    metrics.destination_waiting.get_or_create(&DestinationLabel { dest: dest() }).inc();
    metrics.destination_unread.get_or_create(&DestinationLabel { dest: dest() }).inc();
    metrics
        .ledger_streams
        .get_or_create(&StreamAccountLabel { source: source(), stream, account: "stored" })
        .inc();
    metrics
}

/// Those of a collector and of a writer.
#[cfg(feature = "kafka")]
fn of_kafka(metrics: &Metrics) {
    use forebay::metrics::kafka::{CollectorMetrics, PartitionLabel, WriterMetrics};
    let _shown = CollectorMetrics::shown_with(metrics);
    let of_writer = WriterMetrics::shown_with(metrics);
    let label = PartitionLabel { partition: 3 };
    let WriterMetrics { terms, terms_ended, cut_early, second_copies, late, .. } = &of_writer;
    for family in [terms, terms_ended, cut_early, second_copies, late] {
        family.get_or_create(&label).inc();
    }
    let WriterMetrics { lag_records, left_objects, forgotten, cache_bytes, .. } = &of_writer;
    for family in [lag_records, left_objects, forgotten, cache_bytes] {
        family.get_or_create(&label).set(1);
    }
    let WriterMetrics { takeover_seconds, lag_seconds, time_left_seconds, .. } = &of_writer;
    for family in [takeover_seconds, lag_seconds, time_left_seconds] {
        family.get_or_create(&label).set(1.0);
    }
}

/// The name of each row of the tables.
fn registered() -> BTreeSet<String> {
    let code = fs::read_to_string(repository("src/metrics.rs")).unwrap();
    let (_, table) = code.split_once("\nmetrics! {\n").unwrap();
    let (table, _) = table.split_once("\n}\n").unwrap();
    let rows = table.lines().filter(|line| !line.trim_start().starts_with("//"));
    let of_kafka = fs::read_to_string(repository("src/metrics/kafka.rs")).unwrap();
    let of_kafka = of_kafka.lines().filter(|line| cfg!(feature = "kafka") && line.contains(" = \"kafka_"));
    rows.chain(of_kafka).map(|row| row.split('"').nth(1).unwrap().to_owned()).collect()
}

#[test]
fn every_registered_metric_is_known_here() {
    let exported = exported();
    let registered = registered();
    assert_eq!(registered.len(), exported.len(), "give each family a series in `with_every_label`");
    for name in registered {
        let is_known = |exported: &&String| {
            let rest = exported.strip_prefix("forebay_").and_then(|rest| rest.strip_prefix(name.as_str()));
            rest.is_some_and(|rest| ["", "_total", "_bytes", "_seconds", "_bytes_total"].contains(&rest))
        };
        assert!(
            exported.keys().any(|name| is_known(&name)),
            "{name}: give it a series in `with_every_label`"
        );
    }
}

#[test]
fn counters_end_in_total_and_nothing_else_does() {
    for (name, metric) in exported() {
        assert_eq!(name.ends_with("_total"), metric.kind == "counter", "{name} is a {}", metric.kind);
    }
}

/// The rows of the page: `| `name` | type | labels | meaning |`.
fn on_the_page() -> BTreeMap<String, Exported> {
    let page = fs::read_to_string(repository("docs/metrics.md")).unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| `forebay_"));
    let rows = rows.filter(|row| cfg!(feature = "kafka") || !row.contains("forebay_kafka_"));
    let row = |line: &str| {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        assert_eq!(cells.len(), 4, "{line}");
        let labels = cells[2].split(',').map(|label| label.trim().trim_matches('`').to_owned());
        let labels = labels.filter(|label| !label.is_empty()).collect();
        (cells[0].trim_matches('`').to_owned(), Exported { kind: cells[1].to_owned(), labels })
    };
    rows.map(row).collect()
}

#[test]
fn the_page_has_every_metric_with_its_type_and_labels() {
    let (page, exported) = (on_the_page(), exported());
    let missing: Vec<&String> = exported.keys().filter(|name| !page.contains_key(*name)).collect();
    assert!(missing.is_empty(), "docs/metrics.md lacks {missing:?}");
    for (name, metric) in page {
        assert_eq!(Some(&metric), exported.get(&name), "{name} on docs/metrics.md and in the program");
    }
}
