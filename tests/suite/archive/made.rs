//! Buckets made to be wrong or large.

use std::fs;

use forebay::object::Stream;
use forebay::sources::SourceId;
use serde_json::{Value, json};

use super::support::{Chain, DAY, DAY_MS, Lake, Made, put, verify_at};
use crate::support::forebay::{command, finished};
use crate::support::tools::Ministack;

const NONE: [&str; 0] = [];

fn with(mut line: Value, name: &str, value: Value) -> Value {
    line[name] = value;
    line
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_of_another_day_or_source_and_repeats_are_found() {
    let lake = Lake::start().await;
    let mut web = Chain::new("web", 'a', DAY);
    let known = web.line();
    lake.put(&web.object_of(&[known.clone(), web.clone().line()])).await;
    web.line();
    let wrong_day = with(web.line(), "receivedAt", json!("2015-05-28T00:00:00.000Z"));
    let wrong_source = with(web.line(), "projectId", json!("ios"));
    let lines = [web.line(), wrong_day, wrong_source.clone(), wrong_source];
    lake.put(&web.object_of(&lines)).await;
    assert_eq!(lake.verify(&["--json"]).await.findings(), NONE, "the lines are not read");
    // The second of two lines of another source is also a repeat of the first.
    assert_eq!(
        lake.verify(&["--json", "--deep"]).await.findings(),
        ["line line 2", "line line 3", "repeat line 4"]
    );

    // The same call again in a later object and on the next day, and one that may be the same.
    let mut ios = Chain::new("ios", 'a', DAY);
    let late = with(ios.line(), "sentAt", json!("2015-05-26T23:59:00Z"));
    let first = ios.object_of(&[ios.clone().line(), late.clone()]);
    lake.put(&first).await;
    let again = with(late.clone(), "receivedAt", json!("2015-05-27T23:00:00.000Z"));
    lake.put(&ios.object_of(&[again])).await;
    let mut next = ios.next_day();
    let next_day = |line: &Value| with(line.clone(), "receivedAt", json!("2015-05-28T00:00:00.500Z"));
    let untimed = with(next_day(&late), "originalTimestamp", json!("2015-05-28T00:00:00.500Z"));
    lake.put(&next.object_of(&[next_day(&late), untimed])).await;
    let said = lake.verify(&["--json", "--deep", "--source", "ios"]).await;
    assert_eq!(said.findings(), ["repeat line 1", "repeat line 1", "possible_repeat line 2"], "{said:?}");
    let text = lake.verify(&["--deep", "--source", "ios"]).await;
    assert!(text.out.contains("the call is already in the object that begins at position 1"), "{text:?}");

    // The same call in another spool is not a repeat: each spool has its own dedupe.
    let mut other = Chain::new("ios", 'b', DAY);
    lake.put(&other.object_of(&[late])).await;
    assert_eq!(lake.verify(&["--json", "--deep", "--source", "ios"]).await.findings().len(), 3);
}

/// Beyond its window a log stores a call again, and that is no finding.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_marker_says_within_how_many_positions_its_log_recognises_repeats() {
    let lake = Lake::start().await;
    let mut web = Chain::new("web", 'a', DAY);
    let known = web.line();
    let objects = [web.object_of(std::slice::from_ref(&known)), web.object_of(std::slice::from_ref(&known))];
    lake.put_all(&objects).await;
    // On the next day, whose marker is not there yet.
    let mut next = web.next_day();
    lake.put(&next.object_of(&[with(known, "receivedAt", json!("2015-05-28T00:00:00.500Z"))])).await;
    for (within, findings) in [(None::<u64>, 2), (Some(7), 2), (Some(4), 1), (Some(3), 0)] {
        let mut marker = web.marker(&objects);
        let mut said: Value = serde_json::from_slice(&marker.body).unwrap();
        if let Some(within) = within {
            said["repeats_within"] = json!(within);
        }
        marker.body = said.to_string().into_bytes();
        lake.put(&marker).await;
        let found = lake.verify(&["--json", "--deep"]).await.findings();
        let repeats = found.iter().filter(|finding| finding.contains("repeat")).count();
        assert_eq!(repeats, findings, "{within:?}: {found:?}");
    }
}

/// A crash on a full disk can store a dead letter twice: 25,155 lines for 23,265 calls, and not a word about
/// it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_that_are_there_twice_are_counted_and_are_no_finding() {
    let lake = Lake::start().await;
    let mut web = Chain::new("web", 'a', DAY);
    let mut dead = Chain::new("web", 'a', DAY);
    dead.stream = Stream::Dead(SourceId::new("crm").unwrap());
    let letter =
        |function: &str, call: &Value| json!({ "destination": "crm", "function": function, "call": call });
    let calls = [web.line(), web.line()];
    lake.put(&web.object_of(&calls)).await;
    let [first, second] = &calls;
    lake.put(&dead.object_of(&[letter("f", first), letter("f", second)])).await;
    // Another function has a letter of its own.
    lake.put(&dead.object_of(&[letter("g", first), letter("f", first), letter("f", second)])).await;
    let said = lake.verify(&["--json", "--deep"]).await;
    assert_eq!(said.findings(), NONE, "{said:?}");
    let text = lake.verify(&["--deep"]).await;
    assert!(text.out.contains("note: 2 dead letters are stored a second time"), "{text:?}");
    assert!(!lake.verify(&[]).await.out.contains("second time"), "they are not read");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_lost_before_the_put_are_reported_from_the_metadata() {
    let lake = Lake::start().await;
    let mut web = Chain::new("web", 'a', DAY);
    let mut amended = web.object(3);
    amended.metadata.insert("forebay-calls".into(), "2".into());
    amended.metadata.insert("forebay-lost-calls".into(), "1".into());
    lake.put(&amended).await;
    lake.put(&web.object_of(&[])).await;
    assert_eq!(lake.verify(&["--json"]).await.findings(), ["lost 1-3", "lost 6-6"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sources_and_days_can_be_selected() {
    let lake = Lake::start().await;
    let mut objects: Vec<Made> = Vec::new();
    for (source, spool) in [("web", 'a'), ("ios", 'a'), ("web", 'b')] {
        let mut chain = Chain::new(source, spool, DAY);
        for _ in 0..3 {
            objects.extend([chain.object(2), chain.object(1)]);
            chain = chain.next_day();
        }
    }
    // After a clock at 1970: that day has fewer digits and sorts after the others.
    let mut early = Chain::new("web", 'c', 86_400_000);
    objects.push(early.object(1));
    lake.put_all(&objects).await;
    lake.put_foreign("segment-logs/_check/n1-5", "a check").await;
    lake.put_foreign("segment-logs/web/1432684800000/", "").await;
    let check = async |rest: &[&str], days: &[&str]| {
        let said = lake.verify(&[&["--json", "--deep"], rest].concat()).await;
        assert_eq!(said.findings(), NONE, "{said:?}");
        assert_eq!(said.days(), days, "{rest:?}");
        assert_eq!(said.json()["around"]["beside"], json!(["_check/"]));
    };
    let all = [
        "ios 2015-05-27 open", "ios 2015-05-28 open", "ios 2015-05-29 open", "web 2015-05-27 open",
        "web 2015-05-28 open", "web 2015-05-29 open", "web 1970-01-02 open",
    ];
    check(&[], &all).await;
    check(&["--source", "ios"], &all[..3]).await;
    check(&["--source", "nobody"], &[]).await;
    check(&["--day", "2015-05-28"], &[all[1], all[4]]).await;
    check(&["--day", &(DAY + DAY_MS).to_string()], &[all[1], all[4]]).await;
    check(&["--from", "2015-05-28"], &[all[1], all[2], all[4], all[5]]).await;
    check(&["--to", "2015-05-27", "--source", "web"], &[all[3], all[6]]).await;
    check(&["--from", "2015-05-29", "--to", "2015-06-01", "--concurrency", "1"], &[all[2], all[5]]).await;
    check(&["--day", "1970-01-02"], &[all[6]]).await;

    let text = lake.verify(&["--source", "ios"]).await;
    assert!(text.out.contains("ios     2015-05-27 – 2015-05-29  3  open"), "{}", text.out);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn foreign_objects_are_found_everywhere() {
    let lake = Lake::start().await;
    lake.put(&Chain::new("web", 'a', DAY).object(1)).await;
    for key in [
        "segment-logs/readme.txt",
        "segment-logs/not a source/x/y",
        "segment-logs/_rejected/_x/y",
        "segment-logs/_closed/web/1432684800000/n.json",
        "segment-logs/web/notes.txt",
        "segment-logs/web/1432684800000/x+y %.gz",
        "segment-logs/web/1432684800000/deeper/x.gz",
        "segment-logs/web/2015-05-27/x.gz",
    ] {
        lake.put_foreign(key, "foreign").await;
    }
    lake.put_foreign("elsewhere/x", "not below segment-logs").await;
    let said = lake.verify(&["--json"]).await;
    assert_eq!(said.findings(), ["foreign"; 8], "{said:?}");
    assert!(said.out.contains("segment-logs/web/1432684800000/x+y %.gz"), "{said:?}");
    assert_eq!(lake.verify(&["--json", "--allow-foreign"]).await.findings(), NONE);
    let day = lake.verify(&["--json", "--day", "2015-05-27"]).await;
    assert_eq!(day.findings().len(), 3, "{day:?}");
}

/// Endpoint and bucket string, with a prefix, come from a configuration.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configuration_gives_endpoint_and_bucket() {
    let lake = Lake::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("forebay.toml");
    let text = format!(
        "[s3]\nbucket = \"lake/raw/events\"\nendpoint_url = \"{}\"\npath_style = true\n\
         [[source]]\nid = \"web\"\nwrite_keys = [\"k\"]\n",
        lake.url()
    );
    fs::write(&file, text).unwrap();
    let mut made = Chain::new("web", 'a', DAY).object(1);
    made.key = format!("raw/events/{}", made.key);
    lake.put(&made).await;
    lake.put(&Chain::new("web", 'b', DAY).object(1)).await;
    let run = async |rest: &[&str]| {
        let mut command = command();
        command.current_dir(folder.path()).args(["verify", "lake/raw/events", "--json"]).args(rest);
        command.env("AWS_ACCESS_KEY_ID", "forebay").env("AWS_SECRET_ACCESS_KEY", "forebay-secret");
        let output = finished(&mut command).await;
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let by_default = run(&[]).await;
    assert_eq!(by_default["totals"]["calls"]["objects"], 1, "only below the prefix");
    assert_eq!(run(&["--config", file.to_str().unwrap()]).await["totals"], by_default["totals"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_in_ministack_can_be_verified() {
    let Some(ministack) = Ministack::start().await else { return };
    let bucket = ministack.make_bucket("lake").await;
    let mut chain = Chain::new("web", 'a', DAY);
    let objects = [chain.object(3), chain.object(2), chain.object(1)];
    for made in objects.iter().chain([&chain.marker(&objects)]) {
        put(&bucket, "lake", made).await;
    }
    let keys = [Ministack::ROOT, Ministack::ROOT];
    let verify = async || verify_at(&ministack.url(), keys, "lake", &["--json", "--deep"]).await;
    let said = verify().await;
    assert_eq!(
        (said.findings(), said.days()),
        (vec![], vec!["web 2015-05-27 closed".to_owned()]),
        "{said:?}"
    );
    bucket.client.delete_object().bucket("lake").key(&objects[1].key).send().await.unwrap();
    assert_eq!(verify().await.findings(), ["missing 4-7"]);
}
