//! Object sets, from clients and from files, to the bucket.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};

use super::support::{Stand, environment, ran};
use crate::serve::support::{ask, status};
use crate::support::bucket::Bucket;
use crate::support::forebay::{self, Flush, Forebay};
use crate::support::http::{Answer, Http};
use crate::support::tools::{on_path, run};

const WRITE_KEY: &str = "objects-key";

/// All object sets of a collection in the bucket, by source.
async fn sets(bucket: &Bucket, collection: &str) -> BTreeMap<String, Vec<Value>> {
    let mut sets: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for object in bucket.objects(&format!("segment-logs/_objects/{collection}/")).await {
        for line in object.text().lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            sets.entry(line["projectId"].as_str().unwrap().to_owned()).or_default().push(line);
        }
    }
    sets
}

/// The ids of sets in order, as numbers.
fn numbers(sets: &[Value]) -> Vec<u64> {
    let mut numbers: Vec<u64> = sets.iter().map(|set| set["id"].as_str().unwrap().parse().unwrap()).collect();
    numbers.sort_unstable();
    numbers
}

async fn post(node: &Forebay, body: &str) -> Answer {
    let url = format!("{}/v1/set?writeKey={WRITE_KEY}", node.collector);
    Http::new().post(&url, body.to_owned()).await.unwrap()
}

async fn verified(node: &Forebay) -> String {
    let mut command = forebay::command();
    command
        .args(["verify", "forebay", "--deep", "--endpoint-url", &node.s3, "--path-style"])
        .envs(environment())
        .current_dir(std::env::temp_dir())
        .stdin(Stdio::null());
    let ran = ran(command).await.code(0);
    ran.out
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_objects_of_the_node_client_all_arrive() {
    let Some(node) = on_path("node") else { return };
    let folder = tempfile::tempdir().unwrap();
    let forebay = Forebay::dev(folder.path(), Flush::LATE).await;
    let mut client = std::process::Command::new(node);
    client.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdks/node/objects.cjs"));
    client.args([&forebay.collector, WRITE_KEY, "rooms", "10000"]);
    let ran = run(client).await;
    assert!(ran.status.success(), "{ran:?}");
    forebay.flush().await;
    let sets = sets(&forebay.bucket(), "rooms").await;
    let (source, found) = sets.iter().next().unwrap();
    assert_eq!((sets.len(), numbers(found)), (1, (0..10_000).collect::<Vec<_>>()));
    let first = found.iter().find(|set| set["id"] == "7").unwrap();
    assert_eq!(
        (&first["collection"], &first["properties"]),
        (&json!("rooms"), &json!({"name": "Room 7", "geo_city": "Lihue", "review_count": 7}))
    );
    let said = verified(&forebay).await;
    assert!(said.contains("sound: ") && said.contains("10,000 object sets"), "{said}");

    let status = status(&forebay).await;
    let stream =
        &status["sources"].as_array().unwrap().iter().find(|of| of["id"] == **source).unwrap()["streams"][0];
    assert_eq!(
        (&stream["stream"], &stream["ledger"]["received"], &stream["ledger"]["delivered"]),
        (&json!("objects/rooms"), &json!(10_000), &json!(10_000)),
        "{status}"
    );
    assert_eq!(status["ledger"]["balanced"], true);
    let shown = forebay::run(&["status", "--admin", &forebay.console]).await;
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("object sets: 10,000 received = 10,000 stored; 10,000 delivered"), "{shown}");
    assert!(shown.contains("objects/rooms: 10,000 received"), "{shown}");
    let metrics = String::from_utf8(ask(&forebay, "/metrics").await.body.to_vec()).unwrap();
    for series in [
        format!("forebay_object_sets_stored_total{{source=\"{source}\"}} 10000"),
        format!("forebay_object_sets_delivered_total{{source=\"{source}\"}} 10000"),
        format!(
            "forebay_ledger_streams{{source=\"{source}\",stream=\"objects/rooms\",account=\"delivered\"}} 10000"
        ),
    ] {
        assert!(metrics.contains(&series), "{series}\n{metrics}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_of_an_object_file_arrives_once_on_each_way() {
    let stand = Stand::start().await;
    let rows: String = (0..10_000).map(|n| format!("{n},Room {n},{}\n", n % 100)).collect();
    stand.file("object_rooms_1.csv", format!("id,name,geo.lat\n{rows},no id,1\n"));
    let through = |source: &'static str| ["object_rooms_1.csv", "--source", source, "--json"];
    let first = stand.run(&through("node")).await.code(3).json();
    assert_eq!(
        (&first["rows"], &first["calls"]),
        (&json!(10_001), &json!({"objects/rooms": 10_000})),
        "{first}"
    );
    let again = stand.run(&through("node")).await.json();
    assert_eq!(again["rows"], 0, "{again}");
    let hashed = [&through("hash")[..], &["--id-from", "row-hash"]].concat();
    stand.run(&hashed).await.code(3);
    stand.file("object_rooms_2.csv", format!("id,name,geo.lat\n{rows}10000,new,1\n"));
    let grown =
        ["object_rooms_2.csv", "--source", "hash", "--json", "--id-from", "row-hash", "--id-scope", "source"];
    stand.run(&grown).await.code(0);
    // The same rows in another collection are other objects.
    stand.file("object_beds_1.csv", format!("id,name,geo.lat\n{rows}"));
    let beds = ["object_beds_1.csv", "--source", "hash", "--id-from", "row-hash", "--id-scope", "source"];
    stand.run(&beds).await.code(0);
    let collector = ["object_rooms_1.csv", "--collector", &stand.node.collector, "--write-key", WRITE_KEY];
    stand.run(&collector).await.code(3);
    stand.file("things.csv", "id\n7\n");
    let named = ["things.csv", "--type", "object", "--collection", "hotel_rooms", "--source", "node"];
    stand.run(&named).await.code(0);
    stand.node.flush().await;
    let rooms = sets(&stand.node.bucket(), "rooms").await;
    let expected: Vec<u64> = (0..10_000).collect();
    assert_eq!(rooms.len(), 3, "{:?}", rooms.keys());
    for (source, found) in &rooms {
        match source.as_str() {
            "hash" => assert_eq!(found.len(), 20_001, "the scope of each file is its own; then all rows"),
            _ => assert_eq!(numbers(found), expected, "{source}"),
        }
    }
    assert_eq!(numbers(&sets(&stand.node.bucket(), "beds").await["hash"]), expected);
    let seven = rooms["node"].iter().find(|set| set["id"] == "7").unwrap();
    assert_eq!(seven["properties"], json!({"name": "Room 7", "geo_lat": "7"}));
    assert!(seven["messageId"].as_str().unwrap().starts_with("imp_"), "{seven}");
    assert_eq!(sets(&stand.node.bucket(), "hotel_rooms").await["node"][0]["id"], "7");
    let said = verified(&stand.node).await;
    assert!(said.contains("sound: "), "{said}");
    let dry = stand.run(&["object_rooms_1.csv", "--dry-run", "--samples", "1"]).await.code(3);
    assert!(dry.out.contains("10,000 objects/rooms"), "{dry:?}");
    let wrong = stand.run(&["things.csv", "--type", "object"]).await.code(1);
    assert!(format!("{wrong:?}").contains("--type object needs --collection"), "{wrong:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_request_is_answered_with_its_reason_and_stores_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let node = Forebay::dev(folder.path(), Flush::LATE).await;
    let check = async |body: &str, code: &str| {
        let answer = post(&node, body).await;
        let said: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!((answer.status.as_u16(), said["code"].as_str()), (400, Some(code)), "{body}: {said}");
    };
    check("{", "invalid_json").await;
    check(r#"{"collection":"rooms"}"#, "invalid_objects").await;
    check(r#"{"objects":[]}"#, "invalid_collection").await;
    check(r#"{"collection":"Rooms","objects":[]}"#, "invalid_collection").await;
    let mixed = r#"{"collection":"rooms","objects":[{"id":"1","properties":{"a":[1]}},{"id":"2"}],"Synchronous":true}"#;
    let answer = post(&node, mixed).await;
    assert_eq!(answer.status.as_u16(), 200);
    node.flush().await;
    let rooms = sets(&node.bucket(), "rooms").await;
    assert_eq!(numbers(rooms.values().next().unwrap()), [2], "one bad object loses no other");
    let rejected = node.bucket().objects("segment-logs/_rejected/").await;
    let rejected: Value = serde_json::from_str(rejected[0].text().trim()).unwrap();
    let said = (&rejected["reason"], &rejected["collection"], &rejected["value"]["id"]);
    assert_eq!(said, (&json!("bad_properties"), &json!("rooms"), &json!("1")));
    // The public Go client has its key in the body, with an underscore.
    let url = format!("{}/v1/set", node.collector);
    let go = r#"{"write_key":"objects-key","collection":"hotels","objects":[{"id":"7","properties":{}}]}"#;
    let answer = Http::new().post(&url, go).await.unwrap();
    assert_eq!(answer.status.as_u16(), 200);
    node.flush().await;
    let hotels = node.bucket().objects("segment-logs/_objects/hotels/").await;
    assert!(hotels[0].text().contains(r#""id":"7""#) && !hotels[0].text().contains("write_key"));
}
