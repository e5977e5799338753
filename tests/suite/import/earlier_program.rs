//! What a program of 26 November 2026 left when it was killed: a spool, the journal of imports, files of
//! rejected rows, queues of destinations, and a bucket. Every later one must go on with it. `make.py` beside
//! the fixture says how it was made.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use serde_json::Value;

use super::support::{Stand, environment, ran, ran_with};
use crate::support::forebay::{Flush, Starting};
use crate::support::scripted_http::{Reply, ScriptedHttp};
use crate::support::wait;

const PATIENCE: std::time::Duration = std::time::Duration::from_secs(120);
const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/node-0.1/node.tar.gz");

/// The destinations of the fixture. One did not answer, the other refused each call.
const DESTINATIONS: &str = r#"
[[destination]]
name = "crm"
type = "lambda"
sources = ["web"]
function = "arn:aws:lambda:us-east-1:111122223333:function:on-all"
endpoint_url = "SERVER"
# The calls of the fixture get older, and the test is to go the same way for ever.
max_age = "1 s"

[[destination]]
name = "gone"
type = "http"
sources = ["web"]
url = "SERVER/gone"
max_age = "1 s"
"#;

/// A file as the fixture's imports had it: each hundredth row has no time.
fn table(name: &str, rows: u64) -> String {
    let mut text = "userId,event,properties.n,timestamp\n".to_owned();
    for row in 0..rows {
        let time = if row % 100 == 7 { "not a time" } else { "2026-01-01T00:00:00.000Z" };
        writeln!(text, "u{row},{name},{row},{time}").unwrap();
    }
    text
}

async fn stand() -> Stand {
    let folder = tempfile::tempdir().unwrap();
    let unpacked = Command::new("tar").args(["-xzf", FIXTURE, "-C"]).arg(folder.path()).status().unwrap();
    assert!(unpacked.success());
    let server = ScriptedHttp::elsewhere(|_| Reply::status(404)).await;
    let config = folder.path().join("forebay.toml");
    fs::write(&config, DESTINATIONS.replace("SERVER", server.url().trim_end_matches('/'))).unwrap();
    let arguments = ["--config", config.to_str().unwrap()];
    let starting = Starting::dev_in(&folder.path().join("data"), Flush::SOON, &arguments, &environment());
    Stand { node: starting.dev_ready().await, folder }
}

/// What an import of these bytes says of its only file.
async fn imported(stand: &Stand, bytes: &str, options: &[&str]) -> Value {
    let arguments = [&["-", "--type", "track", "--source", "csv", "--json"], options].concat();
    let json = ran_with(stand.import(&arguments), bytes.as_bytes()).await.json();
    json["files"][0].clone()
}

fn ids<'l>(lines: impl IntoIterator<Item = &'l Value>) -> (usize, usize) {
    let ids: Vec<String> =
        lines.into_iter().map(|line| line["messageId"].as_str().unwrap().to_owned()).collect();
    (ids.len(), ids.iter().collect::<BTreeSet<_>>().len())
}

async fn lines(stand: &Stand, prefix: &str) -> Vec<Value> {
    let objects = stand.node.bucket().objects(prefix).await;
    let texts = objects.iter().map(crate::support::bucket::Object::text);
    texts
        .flat_map(|text| text.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<_>>())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_earlier_program_left_is_continued() {
    let stand = stand().await;
    let mut grown = table("track_hash.csv", 200);
    for row in 200..250 {
        writeln!(grown, "u{row},track_hash.csv,{row},2026-01-01T00:00:00.000Z").unwrap();
    }

    let whole = imported(&stand, &table("track_full.csv", 500), &[]).await;
    assert_eq!((&whole["rows"], &whole["rows_before"]), (&0.into(), &500.into()), "{whole}");
    let options = ["--types", "infer", "--time-columns", "timestamp"];
    let half = imported(&stand, &table("track_half.csv", 3_000), &options).await;
    assert_eq!((&half["rows"], &half["rows_before"]), (&1_000.into(), &2_000.into()), "{half}");
    let options = ["--id-from", "row-hash", "--id-scope", "source", "--delimiter", ","];
    let grown = imported(&stand, &grown, &options).await;
    assert_eq!((&grown["stored"], &grown["repeated"]), (&50.into(), &198.into()), "{grown}");

    wait::until("a dead letter of each call for each destination", PATIENCE, async || {
        let letters = lines(&stand, "segment-logs/_dlq/").await;
        let of = |letter: &Value| {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            (text(&letter["destination"]), text(&letter["call"]["messageId"]))
        };
        let all: BTreeSet<_> = letters.iter().map(of).collect();
        assert_eq!(all.len(), letters.len(), "a dead letter is stored twice");
        (all.len() == 600).then_some(())
    })
    .await;
    stand.node.flush().await;
    assert_eq!(ids(&lines(&stand, "segment-logs/web/").await), (300, 300));
    assert_eq!(ids(&lines(&stand, "segment-logs/csv/").await), (3_713, 3_713));
    let s3 = stand.node.s3.clone();
    let verified = ran(stand.beside(&["verify", "forebay", "--deep", "--endpoint-url", s3.as_str()])).await;
    verified.code(0);
}
