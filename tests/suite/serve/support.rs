//! A store that can be cut off, a configuration, and calls that are counted.

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

/// Time for something to be tried or delivered on a busy machine: longer than the longest pause between two tries, 60 s.
pub(crate) const PATIENCE: Duration = Duration::from_secs(150);

/// Random letters that calls take theirs from: many times what gzip looks back on.
const POOL_LEN: usize = 1_024 * 1_024;

/// What the program takes its credentials from.
pub(crate) const CREDENTIALS: [(&str, &str); 2] =
    [("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID), ("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)];

/// An S3 server of its own behind a link that can be cut, and a folder for what a test keeps.
#[derive(Debug)]
pub(crate) struct Rig {
    _server: DevS3Running,
    recorder: Recorder,
    url: String,
    pub(crate) link: TcpProxy,
    pub(crate) folder: TempDir,
}

impl Rig {
    /// With these buckets.
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

    /// One more link to the server, which can be cut by itself.
    pub(crate) async fn another_link(&self) -> TcpProxy {
        TcpProxy::start(self.recorder.address).await
    }

    /// What was asked of the server, in order, without the bodies of objects.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.recorder.requests()
    }

    /// The server's address, past the links.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// A bucket, seen past the link.
    pub(crate) fn bucket(&self, name: &str) -> Bucket {
        Bucket::new(&self.url, name, ACCESS_KEY_ID, SECRET_ACCESS_KEY)
    }

    /// A configuration with the sources, delivering every second to the bucket `lake`.
    pub(crate) fn settings(&self, sources: &[&str]) -> Settings {
        Settings::new(self.folder.path(), &self.link.url, sources)
    }
}

/// What stands in the configuration file, section by section.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    file: PathBuf,
    pub(crate) collector: String,
    pub(crate) spool: String,
    pub(crate) s3: String,
    pub(crate) flush: String,
    /// Id, and the other lines.
    pub(crate) sources: Vec<(String, String)>,
}

impl Settings {
    /// Delivering every second to the bucket `lake` of a store; file and spool in `folder`.
    pub(crate) fn new(folder: &Path, store: &str, sources: &[&str]) -> Self {
        let source = |id: &&str| ((*id).to_owned(), format!("write_keys = [\"{id}-key\"]"));
        Self {
            file: folder.join("forebay.toml"),
            collector: "drain_delay = \"0 s\"".to_owned(),
            // A test's folder may be on any file system: no machine fails here.
            spool: format!("dir = \"{}\"\nunsafe_filesystem = true", folder.join("spool").display()),
            s3: format!("bucket = \"lake\"\nendpoint_url = \"{store}\"\npath_style = true"),
            flush: "max_age = \"1 s\"".to_owned(),
            sources: sources.iter().map(source).collect(),
        }
    }

    /// Where the spool is.
    pub(crate) fn spool_dir(&self) -> PathBuf {
        self.file.with_file_name("spool")
    }

    /// Writes the file.
    pub(crate) fn write(&self) -> &Path {
        let Self { file, collector, spool, s3, flush, sources } = self;
        let sources: String =
            sources.iter().map(|(id, lines)| format!("[[source]]\nid = \"{id}\"\n{lines}\n")).collect();
        let text = format!(
            "[collector]\nlisten = \"127.0.0.1:0\"\n{collector}\n[admin]\nlisten = \"127.0.0.1:0\"\n[spool]\n{spool}\n\
             [s3]\n{s3}\n[flush]\n{flush}\n{sources}"
        );
        fs::write(file, text).unwrap();
        file
    }

    /// Starts the program with it.
    pub(crate) async fn serve(&self) -> Forebay {
        Forebay::serve(self.write(), &CREDENTIALS).await
    }
}

/// Sends calls and keeps the ids of those that were acknowledged.
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
        let mut random = StdRng::seed_from_u64(1);
        let pool = (0..POOL_LEN).map(|_| char::from(random.random_range(b'a'..=b'z'))).collect();
        Self { http: Http::new(), random, pool, sent: 0, acknowledged: BTreeMap::new() }
    }

    /// Sends one request with `calls` calls to a source by its write key, `<source>-key`, each with so many random letters.
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

    /// As [`Caller::try_send`], and it must be accepted.
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

    /// Takes down calls as acknowledged.
    pub(crate) fn note(&mut self, source: &str, ids: Vec<String>) {
        self.acknowledged.entry(source.to_owned()).or_default().extend(ids);
    }

    /// The acknowledged calls of a source.
    pub(crate) fn of(&self, source: &str) -> BTreeSet<String> {
        self.acknowledged.get(source).cloned().unwrap_or_default()
    }

    /// Waits until each acknowledged call of a source is in the bucket, and sees that it is there once and that nothing else is.
    pub(crate) async fn all_arrive(&self, bucket: &Bucket, prefix: &str, source: &str) {
        exactly(bucket, prefix, source, &self.of(source)).await;
    }
}

/// Waits until a bucket holds these calls of a source, each once, and no others.
pub(crate) async fn exactly(bucket: &Bucket, prefix: &str, source: &str, ids: &BTreeSet<String>) {
    let below = format!("{prefix}segment-logs/{source}/");
    let what = format!("{} calls below {below}", ids.len());
    let found = wait::until(&what, PATIENCE, async || {
        let found = ids_below(bucket, &below).await;
        (found.len() >= ids.len()).then_some(found)
    })
    .await;
    assert_eq!(found.len(), ids.len(), "more lines than calls below {below}");
    assert_eq!(&BTreeSet::from_iter(found), ids, "other calls below {below}");
}

/// The message ids of all lines below a prefix, as often as they are there.
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

/// What the admin listener says, as JSON.
pub(crate) async fn status(forebay: &Forebay) -> Value {
    let answer = ask(forebay, "/api/status").await;
    serde_json::from_slice(&answer.body).unwrap()
}

/// What the admin listener answers to a GET.
pub(crate) async fn ask(forebay: &Forebay, path: &str) -> Answer {
    let request = http::Request::get(format!("{}{path}", forebay.console)).body(Full::default()).unwrap();
    let answer = Http::new().send(request).await;
    answer.unwrap_or_else(|error| panic!("{path}: {error}\n{}", forebay.log()))
}

/// Waits until the program's log has this text.
pub(crate) async fn logged(forebay: &Forebay, text: &str) {
    wait::until(&format!("{text:?} in the log"), PATIENCE, async || {
        forebay.log().contains(text).then_some(())
    })
    .await;
}
