//! The bucket that belongs to the rich spool: this release verifies it, finds damage in it, and delivers the
//! spool's calls into it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;

use forebay::dev_s3::{
    ACCESS_KEY_ID, BUCKET, CONNECTIONS_MAX, DevS3, DevS3Running, DevS3Settings, SECRET_ACCESS_KEY,
};
use forebay::runtime::{SystemClock, SystemRandom};
use serde_json::{Value, json};

use super::super::{copy, spool};
use super::{SHELF, expected, fixture, spool_in};
use crate::support::bucket::Bucket;
use crate::support::forebay::{Forebay, command, finished};
use crate::support::http::Http;

const KEYS: [(&str, &str); 2] =
    [("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID), ("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)];
/// The days up to the last closed one.
const CLOSED: [&str; 2] = ["--to", "2023-11-15"];
const NONE: [&str; 0] = [];

/// An S3 server on a copy of a bucket's files.
pub(super) struct Old {
    server: DevS3Running,
    bucket: Bucket,
    folder: tempfile::TempDir,
}

impl Old {
    /// Of the fixture.
    pub(super) async fn start() -> Self {
        Self::of(&fixture("bucket-0.1")).await
    }

    pub(super) async fn of(dir: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = folder.path().join("s3");
        copy(dir, &data_dir);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let settings = DevS3Settings {
            data_dir,
            clock: Arc::new(SystemClock::new()),
            random: Arc::new(SystemRandom),
            connections: CONNECTIONS_MAX,
        };
        let server = DevS3::start(listener, settings).await.unwrap();
        let bucket = Bucket::new(&server.url(), BUCKET, ACCESS_KEY_ID, SECRET_ACCESS_KEY);
        Self { server, bucket, folder }
    }

    /// Headers, metadata and uncompressed text of each object. The text, since compressed bytes may differ
    /// for the same lines.
    pub(super) async fn objects(&self) -> BTreeMap<String, (Value, String)> {
        let mut all = BTreeMap::new();
        for key in self.bucket.keys("").await {
            let object = self.bucket.object(&key).await;
            let is_gzip = object.content_encoding.as_deref() == Some("gzip");
            let text = if is_gzip { object.text() } else { String::from_utf8(object.body.to_vec()).unwrap() };
            let about = json!({
                "content_type": object.content_type,
                "content_encoding": object.content_encoding,
                "encryption": object.encryption,
                "metadata": object.metadata,
            });
            all.insert(key, (about, text));
        }
        all
    }

    /// Runs `forebay verify --json` on a prefix.
    async fn verify(&self, prefix: &str, rest: &[&str]) -> Verified {
        let mut command = command();
        // A folder without a forebay.toml.
        command.current_dir(self.folder.path()).args(["verify", &format!("{BUCKET}/{prefix}"), "--json"]);
        command.args(["--endpoint-url", &self.server.url(), "--path-style"]).args(rest).envs(KEYS);
        let output = finished(&mut command).await;
        let said: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
        let of_days =
            said["days"].as_array().unwrap().iter().flat_map(|day| day["findings"].as_array().unwrap());
        let findings: Vec<String> = said["around"]["findings"]
            .as_array()
            .unwrap()
            .iter()
            .chain(of_days)
            .map(|of| format!("{} {}", of["kind"].as_str().unwrap(), of["source"].as_str().unwrap_or("-")))
            .collect();
        assert_eq!(output.status.code(), Some(i32::from(!findings.is_empty())), "{output:?}");
        assert_eq!(said["sound"], findings.is_empty(), "{said}");
        Verified { said, findings }
    }

    /// The lines below a prefix.
    async fn lines(&self, prefix: &str) -> Vec<String> {
        let objects = self.bucket.objects(prefix).await;
        objects
            .iter()
            .flat_map(|object| object.text().lines().map(str::to_owned).collect::<Vec<_>>())
            .collect()
    }

    async fn delete(&self, key: &str) {
        self.bucket.client.delete_object().bucket(BUCKET).key(key).send().await.unwrap();
    }

    /// The only key that contains all of `texts`.
    async fn key_of(&self, texts: &[&str]) -> String {
        let mut keys = self.bucket.keys("").await;
        keys.retain(|key| texts.iter().all(|text| key.contains(text)));
        assert_eq!(keys.len(), 1, "{texts:?}: {keys:?}");
        keys.remove(0)
    }

    /// Puts an object again with one bit flipped and the same headers and metadata.
    async fn flip(&self, texts: &[&str], at: usize) {
        let key = self.key_of(texts).await;
        let object = self.bucket.object(&key).await;
        let mut body = object.body.to_vec();
        body[at] ^= 0x10;
        let put = self.bucket.client.put_object().bucket(BUCKET).key(&key).body(body.into());
        let put = put.set_metadata(Some(object.metadata.into_iter().collect()));
        put.set_content_encoding(object.content_encoding).send().await.unwrap();
    }

    /// A configuration for the spool in `dir` and this server.
    fn config(&self, dir: &Path) -> PathBuf {
        let file = self.folder.path().join("forebay.toml");
        let sources: String = ["web", "ios", "till", "lobby"]
            .iter()
            .map(|name| format!("[[source]]\nid = \"{name}\"\nwrite_keys = [\"{name}-key\"]\n"))
            .collect();
        let text = format!(
            "[collector]\nlisten = \"127.0.0.1:0\"\ndrain_delay = \"0 s\"\nreceipts = true\n[admin]\nlisten = \"127.0.0.1:0\"\n\
             [spool]\ndir = \"{}\"\nunsafe_filesystem = true\nnode = \"n1\"\n\
             [s3]\nbucket = \"{BUCKET}/lake\"\nendpoint_url = \"{}\"\npath_style = true\n{sources}",
            dir.display(),
            self.server.url()
        );
        fs::write(&file, text).unwrap();
        file
    }
}

/// The result of a verification.
#[derive(Debug)]
struct Verified {
    said: Value,
    /// Kind and source of each finding. Findings that belong to no day come first.
    findings: Vec<String>,
}

impl Verified {
    /// The numbers of objects and lines, for calls and for rejected items.
    fn sums(&self) -> [(u64, u64); 2] {
        ["calls", "rejected"].map(|stream| {
            let sum = &self.said["totals"][stream];
            (sum["objects"].as_u64().unwrap(), sum["calls"].as_u64().unwrap())
        })
    }

    /// The numbers of closed and open days.
    fn days(&self) -> (u64, u64) {
        let number = |name: &str| self.said["totals"][name].as_u64().unwrap();
        (number("closed"), number("open"))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_old_bucket_verifies_with_the_expected_counts() {
    let old = Old::start().await;
    for depth in [&CLOSED[..], &[CLOSED[0], CLOSED[1], "--deep"]] {
        let lake = old.verify("lake", depth).await;
        assert_eq!(lake.findings, NONE, "{lake:?}");
        assert_eq!((lake.sums(), lake.days()), ([(8, 61), (1, 4)], (6, 0)));
        let moved = old.verify("old", depth).await;
        assert_eq!((moved.sums(), moved.days()), ([(1, 5), (0, 0)], (1, 0)));
    }
    // The open day has no markers, and one of its objects is still parked in the spool.
    let lake = old.verify("lake", &["--deep"]).await;
    assert_eq!(lake.findings, ["missing ios", "no_marker ios", "no_marker till", "no_marker web"]);
    assert_eq!(lake.sums(), [(11, 79), (2, 6)]);
    // An empty object replaces lost calls, and two objects are not Forebay's.
    let aside = old.verify("aside", &[]).await;
    assert_eq!(aside.findings, ["lost kiosk", "metadata shelf", "metadata shop"]);
    assert_eq!(aside.sums(), [(4, 5), (0, 0)]);
    let empty = old.bucket.object(&old.key_of(&["/kiosk/", "0006.gz"]).await).await;
    assert_eq!((empty.text().as_str(), empty.metadata["forebay-lost-calls"].as_str()), ("", "4"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_of_the_old_bucket_have_the_documented_headers_metadata_and_lines() {
    let old = Old::start().await;
    let objects = old.objects().await;
    let key = old.key_of(&["lake/segment-logs/web/1700006400000/", "00000000000000000091.gz"]).await;
    let (about, text) = &objects[&key];
    assert_eq!(
        *about,
        json!({
            "content_type": "text/plain",
            "content_encoding": "gzip",
            "encryption": "AES256",
            "metadata": {
                "forebay-calls": "4",
                "forebay-first-received-at": "2023-11-15T12:00:00.000Z",
                "forebay-last-received-at": "2023-11-15T12:00:00.000Z",
                "forebay-node": "n1",
                "forebay-first-position": "91",
                "forebay-last-position": "94",
                "forebay-bytes": "1909",
                "forebay-sha256": "4e80f0f02370dec9dad93bae1f453a8c2e09b5234227b180793e274545775e23",
                "forebay-previous-last-position": "61",
            },
        })
    );
    for (line, position) in text.lines().zip(91..) {
        assert!(line.ends_with(&format!(r#","forebayPosition":"{position:020}"}}"#)), "{line}");
    }
    let key = old.key_of(&["lake/segment-logs/_closed/web/1700006400000/"]).await;
    let (about, text) = &objects[&key];
    assert_eq!((&about["content_type"], &about["content_encoding"]), (&json!("text/plain"), &Value::Null));
    let marker: Value = serde_json::from_str(text).unwrap();
    let number = |name: &str| marker["streams"]["calls"][name].as_u64().unwrap();
    assert_eq!(["objects", "calls", "first_position", "last_position"].map(number), [2, 14, 52, 94]);
    assert_eq!(marker["previous_day"], 1_699_920_000_000_i64, "the day before");
}

/// A changed copy of the fixture.
async fn changed(change: impl FnOnce(&Path)) -> Old {
    let folder = tempfile::tempdir().unwrap();
    copy(&fixture("bucket-0.1"), folder.path());
    change(folder.path());
    Old::of(folder.path()).await
}

/// The S3 server's file about the only object whose key contains all of `texts`: its path and content.
fn object_file(dir: &Path, texts: &[&str]) -> (PathBuf, Value) {
    let files = fs::read_dir(dir.join("objects")).unwrap().map(|entry| entry.unwrap().path());
    let noted =
        files.map(|path| (path.clone(), serde_json::from_slice::<Value>(&fs::read(path).unwrap()).unwrap()));
    let mut found: Vec<_> = noted
        .filter(|(_, noted)| texts.iter().all(|text| noted["key"].as_str().unwrap().contains(text)))
        .collect();
    assert_eq!(found.len(), 1, "{texts:?}: {found:?}");
    found.remove(0)
}

/// The first and the last object of `web` of the 14th.
const FIRST: [&str; 2] = ["segment-logs/web/1699920000000/", "00000000000000000010.gz"];
const LAST: [&str; 2] = ["segment-logs/web/1699920000000/", "00000000000000000026.gz"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_to_the_old_bucket_is_found() {
    let deep = [CLOSED[0], CLOSED[1], "--deep"];
    for (texts, found) in [
        (FIRST.as_slice(), "missing web"),
        (&LAST, "missing web"),
        (&["segment-logs/ios/1700006400000/"], "missing ios"),
        (&["segment-logs/_rejected/ios/1699920000000/"], "missing ios"),
        (&["_closed/web/1699920000000/", "lake/"], "no_marker web"),
    ] {
        let old = changed(|dir| fs::remove_file(object_file(dir, texts).0).unwrap()).await;
        assert_eq!(old.verify("lake", &CLOSED).await.findings, [found], "{texts:?}");
    }

    for at in [0, 200, 500] {
        let old = Old::start().await;
        old.flip(&LAST, at).await;
        assert_eq!(old.verify("lake", &CLOSED).await.findings, NONE, "only --deep reads the object");
        assert_eq!(old.verify("lake", &deep).await.findings, ["damaged web"], "byte {at}");
    }
    let old = Old::start().await;
    old.flip(&["lake/segment-logs/_closed/web/1700006400000/"], 200).await;
    let found = old.verify("lake", &CLOSED).await.findings;
    assert!(found.iter().all(|found| found.ends_with(" web")) && !found.is_empty(), "{found:?}");

    let old = changed(|dir| {
        let (file, mut noted) = object_file(dir, &LAST);
        noted["described"]["metadata"]["forebay-calls"] = json!("11");
        fs::write(file, noted.to_string()).unwrap();
    });
    assert_eq!(old.await.verify("lake", &CLOSED).await.findings, ["marker_differs web"]);
}

/// Runs `forebay spool drain --config`.
async fn drain(old: &Old, dir: &Path) -> Output {
    let mut command = command();
    command.args(["spool", "drain"]).arg(dir).arg("--config").arg(old.config(dir)).envs(KEYS);
    finished(&mut command).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rich_spool_drains_into_the_old_bucket_and_closes_its_days() {
    let (old, folder) = (Old::start().await, tempfile::tempdir().unwrap());
    let dir = spool_in(&folder);
    let before = old.objects().await;
    let shop = old.key_of(&["/shop/"]).await;
    let resolved = spool("resolve", &dir, &["--seal", SHELF, "--action", "keep-theirs"]);
    assert_eq!(resolved.code, Some(0), "{resolved:?}");
    let drained = drain(&old, &dir).await;
    assert_eq!(drained.status.code(), Some(0), "{drained:?}");

    // All days are closed, and no line is missing or repeated.
    let lake = old.verify("lake", &["--deep"]).await;
    assert_eq!(lake.findings, NONE, "{lake:?}");
    assert_eq!((lake.sums(), lake.days()), ([(16, 106), (3, 8)], (10, 0)));
    let aside = old.verify("aside", &[]).await;
    assert_eq!(aside.findings, ["lost booth", "lost kiosk", "metadata shelf"]);
    let after = old.objects().await;
    let is_same = |key: &String| before.get(key) == after.get(key);
    let replaced: Vec<&String> = before.keys().filter(|key| !is_same(key)).collect();
    assert_eq!(replaced, [&shop], "only the resolved conflict replaces an object");

    let new = after.iter().filter(|(key, _)| !is_same(key) && key.ends_with(".gz"));
    let mut lines: Vec<&str> = new.flat_map(|(_, (_, text))| text.lines()).collect();
    lines.sort_unstable();
    // The object of `till` was stored before the crash, and `keep-theirs` kept the foreign object of `shelf`.
    let others = [r#""projectId":"till""#, r#""projectId":"shelf""#];
    let all = [expected("calls.ndjson"), expected("rejected.ndjson")].concat();
    let mut wanted: Vec<&str> =
        all.lines().filter(|line| others.iter().all(|other| !line.contains(other))).collect();
    wanted.sort_unstable();
    assert_eq!(lines, wanted);

    // Markers name the day before: the loss of a whole day with its marker is found.
    for key in old.bucket.keys("lake/segment-logs/").await {
        if key.contains("web/1700006400000/") {
            old.delete(&key).await;
        }
    }
    assert_eq!(old.verify("lake", &[]).await.findings, ["day_missing web"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_starts_on_the_rich_spool_and_takes_calls() {
    let (old, folder) = (Old::start().await, tempfile::tempdir().unwrap());
    let dir = spool_in(&folder);
    // An unresolved conflict would delay the end of the process.
    let resolved = spool("resolve", &dir, &["--seal", SHELF, "--action", "keep-theirs"]);
    assert_eq!(resolved.code, Some(0), "{resolved:?}");
    let forebay = Forebay::serve(&old.config(&dir), &KEYS).await;
    let http = Http::new();
    let call = json!({"batch": [{"type": "track", "event": "e", "userId": "u", "messageId": "web-060"}]});
    assert!(http.track(&forebay.collector, "web-key", &call).await, "{}", forebay.log());
    for name in ["web", "ios", "lobby", "till"] {
        let url = format!("{}/api/flush?source={name}", forebay.console);
        let flushed = http.post(&url, "").await.unwrap();
        let said: Value = serde_json::from_slice(&flushed.body).unwrap();
        assert_eq!(said["pending"], 0, "{name}: {said} {}", forebay.log());
    }
    assert!(forebay.terminate().await.success());
    // The last day is not closed yet: closing takes a minute.
    let lake = old.verify("lake", &[&CLOSED[..], &["--deep"]].concat()).await;
    assert_eq!((&lake.findings[..], lake.days()), (&[][..], (6, 0)), "{lake:?}");
    let web = old.lines("lake/segment-logs/web/").await;
    assert_eq!(web.len(), 59);
    let last = web.iter().find(|line| line.contains("web-060")).unwrap();
    assert!(last.ends_with("\"forebayPosition\":\"00000000000000000148\"}"), "{last}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_receipt_finds_its_lines_in_the_old_bucket() {
    let old = Old::start().await;
    let (bucket, url) = (format!("{BUCKET}/lake"), old.server.url());
    let receipt = "web/1700006400000/00000000000000009e3779b97f4a7c15/58-61";
    let mut command = command();
    command.current_dir(old.folder.path()).args(["receipt", receipt, "--json"]);
    // No collector answers there.
    command.args(["--admin", "http://127.0.0.1:1"]);
    command.args(["--bucket", &bucket, "--endpoint-url", &url, "--path-style"]);
    let output = finished(command.envs(KEYS)).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    let found: Vec<(&Value, &Value, &Value)> = said["positions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|at| (&at["first"], &at["line"], &at["messageId"]))
        .collect();
    let at = |position: u64, line: u64, id: &str| (json!(position), json!(line), json!(id));
    let wanted = [at(58, 7, "web-030"), at(59, 8, "web-031"), at(60, 9, "web-032"), at(61, 10, "web-033")];
    assert_eq!(found, wanted.iter().map(|(position, line, id)| (position, line, id)).collect::<Vec<_>>());
}
