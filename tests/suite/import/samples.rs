//! The documented sample files, from everywhere that files can be.

use forebay::runtime::SystemClock;
use forebay::time::Clock as _;
use serde_json::json;

use super::support::{Ran, Stand, normal, ran_with};

const TRACK: &str = include_str!("samples/track_1.csv");
const IDENTIFY: &str = include_str!("samples/identify_1.csv");
const TRACK_LINES: &str = include_str!("samples/track_1.ndjson");
const IDENTIFY_LINES: &str = include_str!("samples/identify_1.ndjson");

/// Checks that a source has the lines of both files, each once, whichever file came first.
async fn check(stand: &Stand, source: &str) {
    let mut found: Vec<String> = stand.lines(source).await.iter().map(|line| normal(line, source)).collect();
    let mut expected: Vec<&str> = TRACK_LINES.lines().chain(IDENTIFY_LINES.lines()).collect();
    found.sort();
    expected.sort_unstable();
    assert_eq!(found, expected, "{source}");
}

fn stored(ran: &Ran) -> serde_json::Value {
    let json = ran.json();
    json!([json["rows"], json["calls"], json["ended"]])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sample_files_become_the_expected_lines_wherever_they_are() {
    let stand = Stand::start().await;
    let before = SystemClock::new().wall().day();
    stand.file("in/track_1.csv", TRACK);
    stand.file("in/deep/identify_1.csv", IDENTIFY);
    stand.file("in/notes.md", "no table");
    let bucket = stand.node.bucket();
    for (key, text) in
        [("tables/track_1.csv", TRACK), ("tables/deep/identify_1.csv", IDENTIFY), ("tables/x.md", "x")]
    {
        let put = bucket.client.put_object().bucket("forebay").key(key).body(text.as_bytes().to_vec().into());
        put.send().await.unwrap();
    }
    let s3 = ["--endpoint-url", stand.node.s3.as_str()];
    let cases: &[(&str, &[&str])] = &[
        ("files", &["in/track_1.csv", "in/deep/identify_1.csv"]),
        ("folder", &["in"]),
        ("pattern", &["in/*.csv", "in/*/*_?.csv"]),
        (
            "objects",
            &["s3://forebay/tables/track_1.csv", "s3://forebay/tables/deep/identify_1.csv", s3[0], s3[1]],
        ),
        ("prefix", &["s3://forebay/tables/", s3[0], s3[1]]),
    ];
    for (source, arguments) in cases {
        let arguments = [arguments, &["--source", source, "--json"][..]].concat();
        let first = stand.run(&arguments).await.code(0);
        assert_eq!(stored(&first), json!([8, {"identify": 4, "track": 4}, "done"]), "{source}");
        let again = stand.run(&arguments).await.code(0);
        assert_eq!(stored(&again), json!([0, {"identify": 0, "track": 0}, "done"]), "{source}");
        let ended =
            again.json()["files"].as_array().unwrap().iter().all(|file| file["ended"] == "done before");
        assert!(ended, "{again:?}");
    }
    for (kind, text) in [("track", TRACK), ("identify", IDENTIFY)] {
        for calls in [4, 0] {
            let command = stand.import(&["-", "--type", kind, "--source", "stdin", "--json"]);
            let ran = ran_with(command, text.as_bytes()).await.code(0);
            assert_eq!(
                stored(&ran),
                json!([calls, {kind: calls}, "done"]),
                "the same bytes are the same file"
            );
        }
    }
    for (source, _) in cases {
        check(&stand, source).await;
    }
    check(&stand, "stdin").await;
    let after = SystemClock::new().wall().day();
    let days = [before, after].map(|day| format!("/{}/", day.start().0));
    for key in bucket.keys("segment-logs/files/").await {
        assert!(days.iter().any(|day| key.contains(day)), "the day of the import: {key}");
    }
}

/// What a person reads: the way first, and where nothing had to be done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_reports_its_way_and_its_counts() {
    let stand = Stand::start().await;
    stand.file("track_1.csv", TRACK);
    let first = stand.run(&["track_1.csv"]).await.code(0);
    let way = format!("importing through the node at {}: exactly once\n", stand.node.console);
    assert_eq!(first.out, format!("{way}1 file, 4 rows\n  calls:    4 track\n"));
    let again = stand.run(&["track_1.csv"]).await.code(0);
    assert_eq!(again.out, format!("{way}1 file (1 imported before), 0 rows\n"));
    let lines = stand.lines("csv").await;
    assert_eq!(lines.len(), 4, "without --source it is csv in dev");
    let forced = stand.run(&["track_1.csv", "--force"]).await.code(0);
    assert!(forced.out.contains("repeated: 4 (stored before, not stored again)"), "{forced:?}");
    assert_eq!(stand.lines("csv").await.len(), 4, "the same messageIds within the dedupe window");
}
