//! Closed days from outside: their markers, notifications, the output of `forebay wait`, `forebay verify` and
//! `/api/days`, and that no call is added later.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use forebay::call::LineSink as _;
use forebay::disk::real_disk::RealDisk;
use forebay::log::RequestFrames;
use forebay::metrics::Metrics;
use forebay::object::{BucketString, Encryption, S3Location};
use forebay::runtime::{SystemClock, SystemRandom};
use forebay::sources::SourceId;
use forebay::spool::{Spool, SpoolOptions};
use forebay::time::{Clock, DAY_MS, ReceivedDay, UnixMillis};
use forebay::words::rfc3339;
use serde_json::{Value, json};

use super::support::{CREDENTIALS, Caller, PATIENCE, Rig, Settings, ask};
use crate::support::bucket::Bucket;
use crate::support::faketime::{Faketime, unix_ms};
use crate::support::forebay::{Forebay, command, finished};
use crate::support::scripted_http::{Reply, Request, ScriptedHttp};
use crate::support::tcp_proxy::Link;
use crate::support::tools::{on_path, stdout_of};
use crate::support::wait;

/// Path and query of the webhook, of which nothing may be shown.
const SECRET_PATH: &str = "/hooks/path-secret-7431?token=query-secret-9265";

/// A wall clock that stands still.
#[derive(Debug)]
struct Standing(UnixMillis, SystemClock);

impl Clock for Standing {
    fn wall(&self) -> UnixMillis {
        self.0
    }
    fn monotonic(&self) -> Duration {
        self.1.monotonic()
    }
}

/// Leaves a spool with undelivered calls, received at the given time.
async fn fill(settings: &Settings, node: &str, source: &str, at: UnixMillis, ids: &[&str]) {
    let options = SpoolOptions { node: Some(node.to_owned()), ..SpoolOptions::default() };
    let disk = Arc::new(RealDisk::open(&settings.spool_dir()).unwrap());
    let clock = Arc::new(Standing(at, SystemClock::new()));
    let (spool, _) = Spool::open(disk, options, clock, &SystemRandom, Arc::new(Metrics::new())).unwrap();
    let source = SourceId::new(source).unwrap();
    let lake = S3Location::new(BucketString::parse("lake").unwrap(), Encryption::SseS3);
    spool.locations().set_locations(vec![(source.clone(), lake)]).unwrap();
    let mut frames = RequestFrames::new(source.clone(), at, 0);
    for id in ids {
        let line = json!({
            "type": "track", "event": "e", "userId": "u", "messageId": id, "projectId": source.as_str(),
            "originalTimestamp": rfc3339(at), "sentAt": rfc3339(at), "receivedAt": rfc3339(at),
        });
        frames.line().extend_from_slice(line.to_string().as_bytes());
        frames.call(spool.fingerprinter().of(&source, id.as_bytes(), "track", b""));
    }
    spool.appender().append(frames).await.unwrap();
    let mut frames = RequestFrames::new(source.clone(), at, 0);
    frames.set_stream("objects/rooms".parse().unwrap());
    let line = json!({
        "collection": "rooms", "id": "1", "properties": {}, "messageId": format!("{}-room", ids[0]),
        "receivedAt": rfc3339(at), "projectId": source.as_str(),
    });
    frames.line().extend_from_slice(line.to_string().as_bytes());
    frames.call(0);
    spool.appender().append(frames).await.unwrap();
    tokio::task::spawn_blocking(move || spool.close()).await.unwrap();
}

/// A script that appends its environment and standard input to a file, and fails at its first run.
fn script(folder: &Path) -> PathBuf {
    let file = folder.join("day-closed");
    let text = format!(
        "#!/bin/sh\ncd '{}' || exit 9\nread -r message\n\
         printf '%s %s %s %s %s %s %s\\n' \"$1\" \"$FOREBAY_SOURCE\" \"$FOREBAY_DAY\" \"$FOREBAY_DATE\" \"$FOREBAY_BUCKET\" \
         \"$FOREBAY_KEY\" \"$message\" >>told\n\
         if [ $(wc -l <told) -eq 1 ]; then echo 'the table is locked' >&2; exit 1; fi\n",
        folder.display()
    );
    // The message does not end with a line feed: `read` still reads it, but returns 1.
    fs::write(&file, text).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    file
}

/// The webhook: one failure, one redirect, then success.
async fn webhook() -> ScriptedHttp {
    let asked = AtomicUsize::new(0);
    ScriptedHttp::elsewhere(move |_: &Request| match asked.fetch_add(1, Ordering::SeqCst) {
        0 => Reply::status(500),
        1 => Reply::status(307).with("location", "/moved-elsewhere"),
        _ => Reply::status(200),
    })
    .await
}

/// The output of a command that asks whether a day is closed.
#[derive(Debug)]
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

fn said(output: Output) -> Said {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

fn forebay(arguments: &[&str]) -> tokio::process::Command {
    let mut command = command();
    // A folder without a forebay.toml.
    command.current_dir(std::env::temp_dir()).args(arguments).envs(CREDENTIALS).stdin(Stdio::null());
    command
}

/// Runs `forebay wait lake` for the day.
async fn waited(rig: &Rig, day: ReceivedDay, rest: &[&str]) -> Said {
    let day = day.to_string();
    let mut command = forebay(&["wait", "lake", "--endpoint-url", rig.url(), "--path-style"]);
    command.args(["--source", "web", "--day", &day]).args(rest);
    said(finished(&mut command).await)
}

/// The days that a node has not closed, as source, day and stage.
async fn unclosed(node: &Forebay) -> Vec<(String, i64, String)> {
    let days: Value = serde_json::from_slice(&ask(node, "/api/days").await.body).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let days = days["unclosed"].as_array().unwrap().iter();
    days.map(|day| (text(&day["source"]), day["day"].as_i64().unwrap(), text(&day["stage"]))).collect()
}

async fn markers(bucket: &Bucket) -> Vec<String> {
    bucket.keys("segment-logs/_closed/").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn yesterday_is_closed_by_each_node_and_reported_everywhere() {
    let rig = Rig::start(&["lake"]).await;
    let lake = rig.bucket("lake");
    let today = UnixMillis(unix_ms()).day();
    let noon = UnixMillis(today.start().0 - DAY_MS / 2);
    let yesterday = noon.day();
    let folder = rig.folder.path();
    let of_node = |name: &str, store: &str| {
        fs::create_dir(folder.join(name)).unwrap();
        let mut settings = Settings::new(&folder.join(name), store, &["web"]);
        settings.spool.push_str(&format!("\nnode = \"{name}\""));
        settings
    };
    let (webhook, b_link) = (webhook().await, rig.another_link().await);
    let mut a_settings = of_node("node-a", &rig.link.url);
    let b_settings = of_node("node-b", &b_link.url);
    a_settings.flush.push_str(&format!(
        "\n[closed_days]\nwebhook = \"{}{SECRET_PATH}\"\ncommand = [\"{}\", \"first word\"]",
        webhook.url(),
        script(folder).display()
    ));
    fill(&a_settings, "node-a", "web", noon, &["a-1", "a-2", "a-3"]).await;
    fill(&b_settings, "node-b", "web", UnixMillis(noon.0 + 5), &["b-1", "b-2"]).await;

    // The bucket contains nothing of node b: only its admin listener shows its calls.
    b_link.set(Link::Cut);
    let loud: Vec<_> = CREDENTIALS.into_iter().chain([("FOREBAY_LOG", "trace")]).collect();
    let a = Forebay::serve(a_settings.write(), &loud).await;
    let b = b_settings.serve().await;
    let day = yesterday.start().0;
    assert_eq!(unclosed(&a).await, [("web".to_owned(), day, "open".to_owned())]);
    wait::until("an object", PATIENCE, async || {
        (!lake.keys("segment-logs/web/").await.is_empty()).then_some(())
    })
    .await;
    let early = waited(&rig, yesterday, &["--timeout", "0 s", "--admin", &b.console]).await;
    assert_eq!((early.code, early.out.as_str()), (Some(1), ""), "{early:?}");
    assert!(early.err.contains("timed out: ") && early.err.contains(&b.console), "{early:?}");
    let early = waited(&rig, yesterday, &["--timeout", "0 s", "--json"]).await;
    let json: Value = serde_json::from_str(&early.out).unwrap();
    assert_eq!(
        (early.code, &json["closed"], &json["day"]),
        (Some(1), &json!(false), &json!(day)),
        "{early:?}"
    );
    assert!(json["waiting_for"].as_str().unwrap().contains("not closed by node-a (spool "), "{early:?}");

    // Its object is delivered, but its marker is not.
    b_link.set(Link::Up);
    wait::until("both objects", PATIENCE, async || {
        (lake.keys("segment-logs/web/").await.len() == 2).then_some(())
    })
    .await;
    wait::until("the delivery to be counted", PATIENCE, async || {
        let status = super::support::status(&b).await;
        (status["sources"][0]["pending_calls"] == 0).then_some(())
    })
    .await;
    b_link.set(Link::Cut);
    let mut waiting = forebay(&["wait", "--source", "web", "--every", "100 ms"])
        .arg("--config")
        .arg(a_settings.write())
        .args(["--admin", &a.console, "--admin", &b.console, "--day", &day.to_string()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();

    wait::until("node a to close the day", PATIENCE, async || unclosed(&a).await.is_empty().then_some(()))
        .await;
    let told = told(&rig, &webhook, yesterday).await;
    wait::until("node b to attempt the marker", PATIENCE, async || {
        let asked = ask(&b, "/api/days?source=web").await;
        let days: Value = serde_json::from_slice(&asked.body).unwrap();
        assert_eq!(days["unclosed"][0]["date"], told["date"]);
        days["unclosed"][0]["why"]
            .as_str()
            .filter(|why| why.contains("put segment-logs/_closed/"))
            .map(|_| ())
    })
    .await;
    assert_eq!(unclosed(&b).await, [("web".to_owned(), day, "closing".to_owned())]);
    let half = waited(&rig, yesterday, &["--timeout", "0 s"]).await;
    assert_eq!(half.code, Some(1), "{half:?}");
    assert!(half.err.contains("not closed by node-b (spool "), "{half:?}");
    assert_eq!(waiting.try_wait().unwrap(), None, "one of two nodes is not enough");

    b_link.set(Link::Up);
    let output = tokio::time::timeout(PATIENCE, waiting.wait_with_output()).await.unwrap().unwrap();
    let closed = said(output);
    let date = told["date"].as_str().unwrap();
    let text =
        format!("{date} of web is closed: 5 calls in 2 objects, and 2 objects of collections by 2 spools\n");
    assert_eq!((closed.code, &closed.out), (Some(0), &text), "{closed:?}");
    let closed = waited(&rig, yesterday, &["--json", "--admin", &a.console]).await;
    let json: Value = serde_json::from_str(&closed.out).unwrap();
    assert_eq!((closed.code, &json["closed"], &json["waiting_for"]), (Some(0), &json!(true), &Value::Null));
    assert_eq!(json["spools"].as_object().unwrap().len(), 2, "{closed:?}");
    assert_eq!(markers(&lake).await.len(), 2);
    let days: Value = serde_json::from_slice(&ask(&a, "/api/days").await.body).unwrap();
    assert_eq!(days, json!({ "over_through": day, "unclosed": [] }));

    // At any log level, the log shows only the host of the webhook.
    let log = a.log();
    assert!(log.contains("a day is closed") && log.contains("the table is locked"), "{log}");
    assert!(log.contains(webhook.url().trim_start_matches("http://")), "{log}");
    for secret in ["path-secret", "query-secret", "moved-elsewhere"] {
        assert!(!log.contains(secret), "{secret} is in the log:\n{log}");
    }

    let verified = forebay(&["verify", "lake", "--deep", "--json", "--path-style"])
        .args(["--endpoint-url", rig.url()])
        .output()
        .await
        .unwrap();
    let verified = said(verified);
    let json: Value = serde_json::from_str(&verified.out).unwrap();
    assert_eq!((verified.code, &json["days"][0]["state"]), (Some(0), &json!("closed")), "{verified:?}");

    the_page_is_right(&lake).await;

    a.kill().await;
    b.kill().await;
    nothing_is_added(&rig, &a_settings, yesterday).await;

    // Fewer objects than the markers count.
    let object = lake.keys(&format!("segment-logs/web/{day}/")).await.remove(0);
    lake.client.delete_object().bucket("lake").key(&object).send().await.unwrap();
    let broken = waited(&rig, yesterday, &[]).await;
    assert_eq!(broken.code, Some(1), "{broken:?}");
    assert!(
        broken
            .err
            .contains("counts 1 objects with calls and 0 with rejected items, but the bucket has 0 and 0"),
        "{broken:?}"
    );
}

/// Checks that the hooks got the marker's content, after the marker was put, and once more after each
/// failure; returns the message.
async fn told(rig: &Rig, webhook: &ScriptedHttp, day: ReceivedDay) -> Value {
    let lake = rig.bucket("lake");
    let key = markers(&lake).await.remove(0);
    let puts: Vec<Request> = rig.requests().into_iter().filter(|request| request.method == "PUT").collect();
    let last = puts.iter().rfind(|put| put.target.starts_with("/lake/segment-logs/")).unwrap();
    assert!(last.target.contains(&key), "the marker comes last: {last:?}");
    assert!(key.starts_with(&format!("segment-logs/_closed/web/{day}/node-a-")), "{key}");
    let marker: Value = serde_json::from_slice(&lake.object(&key).await.body).unwrap();
    let posts = webhook.requests();
    assert_eq!(
        posts.len(),
        4,
        "500, a redirect that is not followed, 200, and 200 again since the command failed"
    );
    for post in &posts {
        assert_eq!((post.method.as_str(), post.target.as_str()), ("POST", SECRET_PATH));
        assert_eq!(post.header("content-type"), Some("application/json"));
    }
    let message: Value = serde_json::from_slice(&posts[0].body).unwrap();
    let expected = json!({ "event": "day_closed", "bucket": "lake", "key": key, "marker": marker });
    assert_eq!(message, expected);
    assert!(posts.iter().all(|post| post.body == posts[0].body));
    let date = rfc3339(day.start()).split('T').next().unwrap().to_owned();
    let runs = fs::read_to_string(rig.folder.path().join("told")).unwrap();
    let body = String::from_utf8(posts[0].body.clone()).unwrap();
    let run = format!("first word web {day} {date} lake {key} {body}\n");
    assert_eq!(runs, run.repeat(2), "once more after the failure");
    assert_eq!(marker["streams"]["calls"]["calls"], 3, "{marker}");
    json!({ "date": date })
}

/// Checks that markers can be verified as `docs/closed-days.md` shows.
async fn the_page_is_right(lake: &Bucket) {
    let Some(python) = on_path("python3") else { return };
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/closed-days.md")).unwrap();
    let (_, rest) = page.split_once("```python\n").unwrap();
    let (script, _) = rest.split_once("```").unwrap();
    let folder = tempfile::tempdir().unwrap();
    for key in lake.keys("segment-logs/").await {
        let file = folder.path().join(&key);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, lake.object(&key).await.body).unwrap();
    }
    let check = async |key: &str| {
        let mut command = std::process::Command::new(&python);
        command.current_dir(folder.path()).args(["-c", script, key]);
        stdout_of(command).await
    };
    let markers = markers(lake).await;
    for marker in &markers {
        assert_eq!(check(marker).await, "calls 1 holds\nobjects/rooms 1 holds\n", "{marker}");
    }
    let object = lake.keys("segment-logs/web/").await.remove(0);
    fs::write(
        folder.path().join(&object),
        [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    )
    .unwrap();
    assert_eq!(check(&markers[0]).await, "calls 1 DOES NOT HOLD\nobjects/rooms 1 holds\n");
}

/// Checks that a call received while the wall clock is in a closed day is stored as received in the first
/// millisecond after that day.
async fn nothing_is_added(rig: &Rig, settings: &Settings, closed: ReceivedDay) {
    let lake = rig.bucket("lake");
    let Some(faketime) = Faketime::new(rig.folder.path()) else { return };
    faketime.set_ms(closed.start().0 + DAY_MS / 2);
    let environment = faketime.environment();
    let environment: Vec<_> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let late = Forebay::serve(settings.write(), &[&CREDENTIALS[..], &environment].concat()).await;
    let mut caller = Caller::new();
    caller.send(&late, "web", 2, 10).await;
    let metrics = String::from_utf8(ask(&late, "/metrics").await.body.to_vec()).unwrap();
    assert!(metrics.contains("\nforebay_received_after_day_total 1\n"), "{metrics}");
    let pid = late.pid().as_raw_nonzero().get().unsigned_abs();
    late.kill().await;
    Faketime::clear_after(pid);
    // With the correct time, which S3 demands of signed requests.
    let forebay = settings.serve().await;
    forebay.flush().await;
    let mut lines = Vec::new();
    for object in lake.objects(&format!("segment-logs/web/{}/", closed.end().0)).await {
        lines.extend(object.text().lines().map(|line| serde_json::from_str::<Value>(line).unwrap()));
    }
    assert_eq!(lines.len(), 2);
    assert!(lines.iter().all(|line| line["receivedAt"] == rfc3339(closed.end())), "{lines:?}");
    assert!(forebay.terminate().await.success());
}
