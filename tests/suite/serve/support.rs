//! A store that can be cut off, a configuration, and counted calls.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use forebay::dev_s3::{
    ACCESS_KEY_ID, CONNECTIONS_MAX, DevS3, DevS3Running, DevS3Settings, SECRET_ACCESS_KEY,
};
use forebay::runtime::{SystemClock, SystemRandom};
use http_body_util::Full;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::bucket::Bucket;
use crate::support::forebay::Forebay;
use crate::support::http::{Answer, Http, is_accepted};
use crate::support::recorder::Recorder;
use crate::support::scripted_http::Request;
use crate::support::tcp_proxy::TcpProxy;
use crate::support::wait;

/// Enough time for an attempt or a delivery on a busy machine: longer than the longest pause between
/// attempts, 60 s.
pub(crate) const PATIENCE: Duration = Duration::from_secs(150);

/// Random letters from which calls take theirs: many times the window of gzip.
const POOL_LEN: usize = 1_024 * 1_024;

/// The program's credentials.
pub(crate) const CREDENTIALS: [(&str, &str); 2] =
    [("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID), ("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)];

/// A separate S3 server behind a link that can be cut, and a folder for the files of a test.
#[derive(Debug)]
pub(crate) struct Rig {
    _server: DevS3Running,
    recorder: Recorder,
    url: String,
    pub(crate) link: TcpProxy,
    pub(crate) folder: TempDir,
}

impl Rig {
    /// Starts it with these buckets.
    pub(crate) async fn start(buckets: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = DevS3Settings {
            data_dir: folder.path().join("s3"),
            clock: Arc::new(SystemClock::new()),
            random: Arc::new(SystemRandom),
            connections: CONNECTIONS_MAX,
        };
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let server = DevS3::start(listener, settings).await.unwrap();
        let recorder = Recorder::start(server.addr()).await;
        let link = TcpProxy::start(recorder.address).await;
        let rig = Self { url: server.url(), _server: server, recorder, link, folder };
        for bucket in buckets {
            rig.bucket(bucket).client.create_bucket().bucket(*bucket).send().await.unwrap();
        }
        rig
    }

    /// Adds a link to the server that can be cut separately.
    pub(crate) async fn another_link(&self) -> TcpProxy {
        TcpProxy::start(self.recorder.address).await
    }

    /// The requests to the server in order, without the bodies of objects.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.recorder.requests()
    }

    /// The server's address, bypassing the links.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// A bucket, bypassing the link.
    pub(crate) fn bucket(&self, name: &str) -> Bucket {
        Bucket::new(&self.url, name, ACCESS_KEY_ID, SECRET_ACCESS_KEY)
    }

    /// A configuration with these sources, delivering every second to the bucket `lake`.
    pub(crate) fn settings(&self, sources: &[&str]) -> Settings {
        Settings::new(self.folder.path(), &self.link.url, sources)
    }
}

/// The content of the configuration file, by section.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    file: PathBuf,
    pub(crate) collector: String,
    pub(crate) spool: String,
    pub(crate) s3: String,
    pub(crate) flush: String,
    /// Ids with their further lines.
    pub(crate) sources: Vec<(String, String)>,
    /// Whole sections after the sources.
    pub(crate) imports: String,
}

impl Settings {
    /// Delivers every second to the bucket `lake` of a store; the file and the spool are in `folder`.
    pub(crate) fn new(folder: &Path, store: &str, sources: &[&str]) -> Self {
        let source = |id: &&str| ((*id).to_owned(), format!("write_keys = [\"{id}-key\"]"));
        Self {
            file: folder.join("forebay.toml"),
            collector: "drain_delay = \"0 s\"".to_owned(),
            // A test's folder may be on any file system, because no machine fails here.
            spool: format!("dir = \"{}\"\nunsafe_filesystem = true", folder.join("spool").display()),
            s3: format!("bucket = \"lake\"\nendpoint_url = \"{store}\"\npath_style = true"),
            flush: "max_age = \"1 s\"".to_owned(),
            sources: sources.iter().map(source).collect(),
            imports: String::new(),
        }
    }

    /// The spool's directory.
    pub(crate) fn spool_dir(&self) -> PathBuf {
        self.file.with_file_name("spool")
    }

    /// Writes the file.
    pub(crate) fn write(&self) -> &Path {
        let Self { file, collector, spool, s3, flush, sources, imports } = self;
        let sources: String =
            sources.iter().map(|(id, lines)| format!("[[source]]\nid = \"{id}\"\n{lines}\n")).collect();
        let text = format!(
            "[collector]\nlisten = \"127.0.0.1:0\"\n{collector}\n[admin]\nlisten = \"127.0.0.1:0\"\n[spool]\n{spool}\n\
             [s3]\n{s3}\n[flush]\n{flush}\n{sources}{imports}"
        );
        fs::write(file, text).unwrap();
        file
    }

    /// Starts the program with it.
    pub(crate) async fn serve(&self) -> Forebay {
        Forebay::serve(self.write(), &CREDENTIALS).await
    }
}

/// Sends calls and keeps the ids of the acknowledged ones.
#[derive(Debug)]
pub(crate) struct Caller {
    http: Http,
    random: StdRng,
    pool: String,
    sent: u64,
    acknowledged: BTreeMap<String, BTreeSet<String>>,
}

impl Caller {
    pub(crate) fn new() -> Self {
        Self::after(0)
    }

    /// Like [`Caller::new`], with the ids after that of another caller's call `sent`.
    pub(crate) fn after(sent: u64) -> Self {
        let mut random = StdRng::seed_from_u64(1);
        let pool = (0..POOL_LEN).map(|_| char::from(random.random_range(b'a'..=b'z'))).collect();
        Self { http: Http::new(), random, pool, sent, acknowledged: BTreeMap::new() }
    }

    /// Sends one request with `calls` calls to a source by its write key `<source>-key`, each with this
    /// number of random letters.
    pub(crate) async fn try_send(
        &mut self,
        forebay: &Forebay,
        source: &str,
        calls: usize,
        letters: usize,
    ) -> Answer {
        let (ids, body) = self.request(calls, letters);
        let answer = self.post(forebay, source, body).await;
        let answer = answer.unwrap_or_else(|error| panic!("{error}\n{}", forebay.log()));
        if is_accepted(&answer) {
            self.note(source, ids);
        }
        answer
    }

    /// Posts a body to a source.
    pub(crate) async fn post(&self, forebay: &Forebay, source: &str, body: String) -> Result<Answer, String> {
        let url = format!("{}/v1/batch?writeKey={source}-key", forebay.collector);
        self.http.post(&url, body).await.map_err(|error| format!("{url}: {error}"))
    }

    /// Like [`Caller::try_send`], but the request must be accepted.
    pub(crate) async fn send(&mut self, forebay: &Forebay, source: &str, calls: usize, letters: usize) {
        let answer = self.try_send(forebay, source, calls, letters).await;
        assert!(is_accepted(&answer), "{} {:?}\n{}", answer.status, answer.body, forebay.log());
    }

    /// The ids and the body of a new request.
    pub(crate) fn request(&mut self, calls: usize, letters: usize) -> (Vec<String>, String) {
        let ids: Vec<String> = (0..calls)
            .map(|_| {
                self.sent += 1;
                format!("call-{:06}", self.sent)
            })
            .collect();
        let batch: Vec<Value> = ids.iter().map(|id| self.call(id, letters)).collect();
        (ids, json!({ "batch": batch }).to_string())
    }

    fn call(&mut self, id: &str, letters: usize) -> Value {
        let at = self.random.random_range(0..=POOL_LEN - letters);
        let padding = self.pool.get(at..at + letters).unwrap();
        let properties = json!({ "padding": padding });
        json!({ "type": "track", "event": "e", "userId": "u", "messageId": id, "properties": properties })
    }

    /// Records calls as acknowledged.
    pub(crate) fn note(&mut self, source: &str, ids: Vec<String>) {
        self.acknowledged.entry(source.to_owned()).or_default().extend(ids);
    }

    /// The acknowledged calls of a source.
    pub(crate) fn of(&self, source: &str) -> BTreeSet<String> {
        self.acknowledged.get(source).cloned().unwrap_or_default()
    }

    /// Waits until each acknowledged call of a source is in the bucket, and checks that each is there once,
    /// and no other call.
    pub(crate) async fn all_arrive(&self, bucket: &Bucket, prefix: &str, source: &str) {
        exactly(bucket, prefix, source, &self.of(source)).await;
    }
}

/// Waits until a bucket contains these calls of a source, each once, and no others.
pub(crate) async fn exactly(bucket: &Bucket, prefix: &str, source: &str, ids: &BTreeSet<String>) {
    let below = format!("{prefix}segment-logs/{source}/");
    let what = format!("{} calls below {below}", ids.len());
    let found = wait::until(&what, PATIENCE, async || {
        let found = ids_below(bucket, &below).await;
        (found.len() >= ids.len()).then_some(found)
    })
    .await;
    assert_eq!(found.len(), ids.len(), "more lines than calls below {below}");
    assert_eq!(&BTreeSet::from_iter(found), ids, "unexpected calls below {below}");
}

/// The message ids of all lines below a prefix, with duplicates.
pub(crate) async fn ids_below(bucket: &Bucket, prefix: &str) -> Vec<String> {
    let mut ids = Vec::new();
    for object in bucket.objects(prefix).await {
        for line in object.text().lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            ids.push(line["messageId"].as_str().unwrap().to_owned());
        }
    }
    ids
}

/// The status from the admin listener.
pub(crate) async fn status(forebay: &Forebay) -> Value {
    let answer = ask(forebay, "/api/status").await;
    serde_json::from_slice(&answer.body).unwrap()
}

/// The alarm about a change that is not in force, as the status shows it.
pub(crate) async fn change_alarm(forebay: &Forebay) -> Option<String> {
    let status = status(forebay).await;
    let mut alarms = status["alarms"].as_array().unwrap().iter();
    let alarm = alarms.find(|alarm| alarm["kind"] == "configuration")?;
    Some(alarm["what"].as_str().unwrap().to_owned())
}

/// The admin listener's answer to a GET.
pub(crate) async fn ask(forebay: &Forebay, path: &str) -> Answer {
    let request = http::Request::get(format!("{}{path}", forebay.console)).body(Full::default()).unwrap();
    let answer = Http::new().send(request).await;
    answer.unwrap_or_else(|error| panic!("{path}: {error}\n{}", forebay.log()))
}

/// Waits until the program's log contains this text.
pub(crate) async fn logged(forebay: &Forebay, text: &str) {
    wait::until(&format!("{text:?} in the log"), PATIENCE, async || {
        forebay.log().contains(text).then_some(())
    })
    .await;
}
