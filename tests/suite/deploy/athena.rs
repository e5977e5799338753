//! `deploy/athena/calls.sql`, by a parser of Athena's language, and its partitions by the folders that there are.

use std::process::Command;

use serde_json::Value;

use crate::support::tools::{require, stdout_of};

const TABLE: &str = include_str!("../../../deploy/athena/calls.sql");
const PAGE: &str = include_str!("../../../docs/reading.md");

/// Prints what the parser read: columns, partitions, properties; and the query of the page as it reads it.
const READ: &str = r"
import json, sys
import sqlglot
from sqlglot import exp
table, query = json.load(sys.stdin)
read = sqlglot.parse_one(table, read='athena')
assert isinstance(read, exp.Create), read
columns = {c.name: c.args['kind'].sql('athena') for c in read.this.expressions}
partitions = [c.name for p in read.find_all(exp.PartitionedByProperty) for c in p.this.expressions]
properties = {p.name: p.args['value'].name for p in read.find_all(exp.Property) if p.args.get('value') and not p.args.get('settings')}
asked = sqlglot.parse_one(query, read='athena')
names = sorted({c.name for c in asked.find_all(exp.Column)})
print(json.dumps([columns, partitions, properties, names]))
";

#[tokio::test]
async fn the_table_is_read_and_its_partitions_are_the_folders() {
    let Some(python) = require("cfn-lint/bin/python") else { return };
    let section = PAGE.split("\n## Athena and Glue\n").nth(1).unwrap();
    let query = section.split("```sql\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("texts.json");
    std::fs::write(&input, serde_json::to_vec(&[TABLE, query]).unwrap()).unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", r#"exec "$1" -c "$2" < "$3""#, "sh"]).arg(python).arg(READ).arg(&input);
    let read: Value = serde_json::from_str(&stdout_of(command).await).unwrap();

    let columns = read[0].as_object().unwrap();
    let partitions = read[1].as_array().unwrap();
    assert_eq!(partitions, &["source", "received_day"]);
    // What the query of the page asks for is in the table.
    for name in read[3].as_array().unwrap() {
        let name = name.as_str().unwrap();
        assert!(columns.contains_key(name) || partitions.iter().any(|known| known == name), "{name}: {read}");
    }
    let property = |name: &str| read[2][name].as_str().unwrap_or_else(|| panic!("{name}: {read}"));
    let range: Vec<i64> =
        property("projection.received_day.range").split(',').map(|day| day.parse().unwrap()).collect();
    let interval: i64 = property("projection.received_day.interval").parse().unwrap();
    assert_eq!(interval, forebay::time::DAY_MS);
    assert!(range.iter().all(|day| day % interval == 0), "{range:?}: days begin at midnight");
    let day = forebay::time::UnixMillis(1_795_601_234_567).day().start().0;
    assert!(query.contains("1795564800000") && (range[0]..=range[1]).contains(&day), "{range:?}");
    let template = property("storage.location.template");
    assert!(template.ends_with("/segment-logs/${source}/${received_day}/"), "{template}");
}
