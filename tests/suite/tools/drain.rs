//! `drain` into a directory and into buckets.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use flate2::read::GzDecoder;
use forebay::dev_s3::{CONNECTIONS_MAX, DevS3, DevS3Running, DevS3Settings};
use forebay::runtime::{SystemClock, SystemRandom};
use forebay::time::ReceivedDay;

use super::made::{CONFLICT, IOS, Made, OPEN, PARKED, RECEIVED_AT, REJECTED, lines, made, open, open_as};
use super::{Ran, copy, files, spool};
use crate::support::bucket::Bucket;
use crate::support::recorder::Recorder;

/// The lines below a directory of objects, by folder.
pub(super) fn delivered(dir: &Path) -> BTreeMap<String, Vec<String>> {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, bytes) in files(dir) {
        let Some(object) = name.strip_suffix(".gz") else { continue };
        let mut text = String::new();
        GzDecoder::new(bytes.as_slice()).read_to_string(&mut text).unwrap();
        let folder = object.rsplit_once('/').unwrap().0;
        all.entry(folder.to_owned()).or_default().extend(text.lines().map(str::to_owned));
    }
    all
}

fn expected() -> BTreeMap<String, Vec<String>> {
    let day = "1699920000000";
    let mut web = [lines("web", PARKED), lines("web", CONFLICT), lines("web", OPEN)].concat();
    web.sort();
    BTreeMap::from([
        (format!("raw/segment-logs/web/{day}"), web),
        (format!("segment-logs/ios/{day}"), lines("ios", IOS)),
        (format!("segment-logs/_rejected/ios/{day}"), lines("rejected", REJECTED)),
    ])
}

fn sorted(mut all: BTreeMap<String, Vec<String>>) -> BTreeMap<String, Vec<String>> {
    for (folder, lines) in &mut all {
        if folder.contains("/web/") {
            lines.sort();
        }
    }
    all
}

/// The last day that has ended for good.
fn days_over(dir: &Path) -> Option<ReceivedDay> {
    let spool = open(dir);
    let over = spool.log().days_over();
    spool.close();
    over
}

fn is_empty(dir: &Path) {
    let about = spool("inspect", dir, &["--json"]).json();
    assert!(about["batches"] == serde_json::json!([]) && about["seals"] == serde_json::json!([]), "{about}");
    let verified = spool("verify", dir, &[]);
    assert_eq!(verified.code, Some(0), "{verified:?}");
}

fn resolve(made: &Made) {
    let ran = spool("resolve", &made.dir(), &["--seal", "3", "--action", "overwrite"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
}

/// The last number before the word "object".
fn objects_said(text: &str) -> usize {
    let numbers = text
        .match_indices(" object")
        .filter_map(|(at, _)| text.get(..at)?.rsplit([' ', '(', '\n']).next()?.parse().ok());
    numbers.last().unwrap()
}

#[tokio::test]
async fn a_spool_is_drained_into_a_directory() {
    let made = made().await;
    let to = made.beside("to");
    let to_text = to.to_str().unwrap();

    let ran = spool("drain", &made.dir(), &["--to", to_text]);
    assert_eq!(ran.code, Some(1), "a conflict waits for a person: {ran:?}");
    assert!(
        ran.err.contains("`forebay spool resolve SPOOL --seal") && ran.err.contains("are left in the spool"),
        "{ran:?}"
    );
    let before = objects_said(&ran.err);

    resolve(&made);
    let ran = spool("drain", &made.dir(), &["--to", to_text]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.contains("the spool is empty") && ran.out.contains("can be removed"), "{ran:?}");
    assert_eq!(sorted(delivered(&to)), expected());
    let objects = files(&to).keys().filter(|name| name.ends_with(".gz")).count();
    assert_eq!(before + objects_said(&ran.out), objects, "each object is counted once");
    // The calls of both sources are of one day, long ago.
    let unclosed = "2 days are not closed: draining to a directory closes no days\n";
    assert!(ran.out.contains(unclosed) && !ran.out.contains("midnight"), "{ran:?}");
    assert!(!files(&to).keys().any(|name| name.contains("_closed")), "part of the day is in the bucket");
    assert_eq!(days_over(&made.dir()), None);
    let (name, beside) = files(&to)
        .into_iter()
        .find(|(name, _)| name.starts_with("segment-logs/ios/") && name.ends_with(".json"))
        .unwrap();
    let beside: serde_json::Value = serde_json::from_slice(&beside).unwrap();
    assert_eq!(format!("{}.json", beside["key"].as_str().unwrap()), name);
    assert_eq!((&beside["bucket"], &beside["metadata"]["forebay-calls"]), (&"forebay".into(), &"20".into()));
    assert!(!files(&to).keys().any(|name| name.ends_with(".tmp")));
    is_empty(&made.dir());

    let again = spool("drain", &made.dir(), &["--to", to_text]);
    assert_eq!(again.code, Some(0), "{again:?}");
    assert_eq!(sorted(delivered(&to)), expected());
}

/// Two nodes would otherwise seem to have written the spool, and `verify` compares names with nodes.
#[tokio::test]
async fn a_drain_into_a_directory_puts_in_the_name_of_the_node_that_used_the_spool() {
    let made = made().await;
    let dir = made.beside("of a named node");
    copy(&made.dir(), &dir);
    open_as(&dir, Some("blue-1")).close();
    let ran = spool("resolve", &dir, &["--seal", "3", "--action", "overwrite"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    // The node is known from either copy of the identity.
    fs::remove_file(dir.join("IDENT")).unwrap();
    let to = made.beside("objects");
    let ran = spool("drain", &dir, &["--to", to.to_str().unwrap()]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let all = files(&to);
    let of_ios: Vec<&String> =
        all.keys().filter(|name| name.contains("/ios/") && name.ends_with(".gz")).collect();
    assert!(!of_ios.is_empty());
    for name in of_ios {
        assert!(name.contains("-blue-1-"), "{name}");
        let beside: serde_json::Value = serde_json::from_slice(&all[&format!("{name}.json")]).unwrap();
        assert_eq!(beside["metadata"]["forebay-node"], "blue-1", "{name}");
    }
}

#[tokio::test]
async fn what_a_drain_did_and_left_can_be_printed_as_json() {
    let made = made().await;
    let to = made.beside("to");
    let drain = || spool("drain", &made.dir(), &["--json", "--to", to.to_str().unwrap()]);
    let ran = drain();
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let left = ran.json();
    assert!(ran.err.contains("are left in the spool"), "{ran:?}");
    assert!(left["batches_left"].as_u64() > Some(0) && left["quarantined_files"].is_null(), "{left}");
    assert!(left["waiting_for"].as_str().unwrap().contains("`forebay spool resolve SPOOL --seal"), "{left}");
    resolve(&made);
    let ran = drain();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let done = ran.json();
    let objects = files(&to).keys().filter(|name| name.ends_with(".gz")).count() as u64;
    assert_eq!(left["objects"].as_u64().unwrap() + done["objects"].as_u64().unwrap(), objects);
    let days = serde_json::json!({"over": 0, "open": 2, "unsure": 0, "closed_by_drain": false});
    assert_eq!((&done["batches_left"], &done["waiting_for"], &done["days"]), (&0.into(), &().into(), &days));
    assert_eq!(done["quarantined_files"], 0);
}

/// Damage does not stop the delivery of the rest, and the loss is reported.
#[tokio::test]
async fn the_rest_of_a_damaged_spool_is_delivered() {
    let made = made().await;
    resolve(&made);
    let dir = made.beside("gone");
    copy(&made.dir(), &dir);
    // It contains a whole sealed range, most of the open calls, and some of `ios`.
    let segment =
        files(&dir).into_keys().find(|name| name.ends_with(".idx")).unwrap().replace(".idx", ".seg");
    fs::remove_file(dir.join(segment)).unwrap();
    let to = made.beside("to");
    let ran = spool("drain", &dir, &["--to", to.to_str().unwrap()]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let all = expected();
    let left = delivered(&to);
    assert_eq!(left["raw/segment-logs/web/1699920000000"], lines("web", PARKED));
    for (folder, lines) in &left {
        assert!(lines.iter().all(|line| all[folder].contains(line)), "no line is invented in {folder}");
    }
    let emptied = files(&to).into_iter().find(|(name, _)| name.ends_with("71.gz.json")).unwrap().1;
    let emptied: serde_json::Value = serde_json::from_slice(&emptied).unwrap();
    assert_eq!(emptied["metadata"]["forebay-calls"], "0");
    let verified = spool("verify", &dir, &["--json"]);
    assert_eq!(verified.code, Some(0), "{verified:?}");
    let known = verified.json()["known_lost"].clone();
    assert_eq!(known[0], serde_json::json!({"first": 61, "last": 121}), "the whole segment: {known}");
    is_empty(&dir);
}

#[tokio::test]
async fn a_directory_that_cannot_be_written_leaves_everything_in_the_spool() {
    let made = made().await;
    resolve(&made);
    let to = made.beside("to");
    fs::create_dir(&to).unwrap();
    // A file takes the place of the folder for the objects.
    fs::write(to.join("segment-logs"), "x").unwrap();
    fs::write(to.join("raw"), "x").unwrap();
    let ran = spool("drain", &made.dir(), &["--to", to.to_str().unwrap()]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.err.contains("are left in the spool (0 objects delivered)"), "{ran:?}");
    assert!(ran.err.contains("the store takes no objects"), "{ran:?}");
    let exported = spool("export", &made.dir(), &["--source", "ios"]);
    assert_eq!(exported.out.lines().collect::<Vec<_>>(), lines("ios", IOS));
}

/// A bucket `forebay` to drain into, and a configuration that names it.
async fn server(made: &Made) -> (DevS3Running, Recorder, std::path::PathBuf) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let settings = DevS3Settings {
        data_dir: made.beside("s3"),
        clock: Arc::new(SystemClock::new()),
        random: Arc::new(SystemRandom),
        connections: CONNECTIONS_MAX,
    };
    let s3 = DevS3::start(listener, settings).await.unwrap();
    let recorder = Recorder::start(s3.addr()).await;
    let config = made.beside("forebay.toml");
    let text = format!(
        "[s3]\nbucket = \"forebay\"\nendpoint_url = \"{}\"\n[[source]]\nid = \"web\"\nwrite_keys = [\"k1\"]\n\
         [closed_days]\ncommand = [\"sh\", \"-c\", \"echo $FOREBAY_KEY >> {}\"]\n",
        recorder.url(),
        made.beside("told").display()
    );
    fs::write(&config, text).unwrap();
    (s3, recorder, config)
}

async fn drain_with(made: &Made, config: &Path, secret: &str) -> Ran {
    let (dir, config, secret) = (made.dir(), config.to_owned(), secret.to_owned());
    let run = move || {
        let mut program = std::process::Command::new(crate::support::forebay::binary());
        program.args(["spool", "drain"]).arg(dir).arg("--config").arg(config);
        program.env("AWS_ACCESS_KEY_ID", "forebay").env("AWS_SECRET_ACCESS_KEY", secret);
        program.env("AWS_EC2_METADATA_DISABLED", "true");
        let ran = program.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ran { code: ran.status.code(), out: text(ran.stdout), err: text(ran.stderr) }
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spool_is_drained_into_its_buckets() {
    let made = made().await;
    resolve(&made);
    let (s3, _recorder, config) = server(&made).await;

    let refused = drain_with(&made, &config, "wrong").await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.err.contains("the store takes no objects"), "{refused:?}");

    let ran = drain_with(&made, &config, "forebay-secret").await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let bucket = Bucket::new(&s3.url(), "forebay", "forebay", "forebay-secret");
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for object in bucket.objects("").await {
        let folder = object.key.rsplit_once('/').unwrap().0.to_owned();
        all.entry(folder).or_default().extend(object.text().lines().map(str::to_owned));
    }
    assert_eq!(sorted(all), expected());
    is_empty(&made.dir());
    // An object of `web` was resolved by a person.
    assert!(ran.out.contains("1 day is never closed") && !ran.out.contains("midnight"), "{ran:?}");
    let markers = bucket.keys("segment-logs/_closed/").await;
    assert_eq!(markers.len(), 1, "{markers:?}");
    let told = fs::read_to_string(made.beside("told")).unwrap();
    assert_eq!(told.lines().collect::<Vec<_>>(), markers);
    assert_eq!(days_over(&made.dir()), Some(RECEIVED_AT.day()), "not beyond the last call");
    s3.stop().await.unwrap();
}

#[tokio::test]
async fn an_invalid_configuration_is_wrong_usage() {
    let made = made().await;
    let config = made.beside("forebay.toml");
    fs::write(&config, "[s3]\nbuckett = \"x\"\n").unwrap();
    let before = files(&made.dir());
    let ran = spool("drain", &made.dir(), &["--config", config.to_str().unwrap()]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert_eq!(files(&made.dir()), before);
}
