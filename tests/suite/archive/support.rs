//! Buckets made object by object, and the output of `forebay verify` for them.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_sdk_s3::primitives::ByteStream;
use forebay::dev_s3::{CONNECTIONS_MAX, DevS3, DevS3Running, DevS3Settings};
use forebay::object::closed_marker::{ClosedMarker, Closing};
use forebay::object::gzip::GzipLines;
use forebay::object::metadata::Metadata;
use forebay::object::{BucketString, ObjectKey, ParsedObjectKey, Stream};
use forebay::runtime::{SystemClock, SystemRandom};
use forebay::sources::SourceId;
use forebay::time::UnixMillis;
use forebay::words::rfc3339;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::bucket::Bucket;
use crate::support::forebay::{command, finished};

/// 2015-05-27.
pub(super) const DAY: i64 = 1_432_684_800_000;
pub(super) const DAY_MS: i64 = 86_400_000;

/// The output of the program.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) code: Option<i32>,
    pub(super) out: String,
    pub(super) err: String,
}

impl Said {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Every finding as its kind and, if known, its positions; those outside of any day first.
    pub(super) fn findings(&self) -> Vec<String> {
        let json = self.json();
        let of_days =
            json["days"].as_array().unwrap().iter().flat_map(|day| day["findings"].as_array().unwrap());
        let all = json["around"]["findings"].as_array().unwrap().iter().chain(of_days);
        let findings: Vec<String> = all.map(short).collect();
        assert_eq!(json["totals"]["findings"], findings.len(), "{self:?}");
        let sound = findings.is_empty() && json["totals"]["days"] != 0;
        assert_eq!(json["sound"], sound, "{self:?}");
        assert_eq!(self.code, Some(i32::from(!sound)), "{self:?}");
        findings
    }

    /// Source, date and state of each day.
    pub(super) fn days(&self) -> Vec<String> {
        let json = self.json();
        let days = json["days"].as_array().unwrap().iter();
        let text = |value: &Value| value.as_str().unwrap_or("none").to_owned();
        days.map(|day| format!("{} {} {}", text(&day["source"]), text(&day["date"]), text(&day["state"])))
            .collect()
    }
}

fn short(finding: &Value) -> String {
    let kind = finding["kind"].as_str().unwrap();
    assert!(!finding["what"].as_str().unwrap().is_empty() && !finding["advice"].as_str().unwrap().is_empty());
    match (&finding["line"], &finding["positions"]) {
        (Value::Number(line), _) => format!("{kind} line {line}"),
        (_, Value::Null) => kind.to_owned(),
        (_, positions) => format!("{kind} {}-{}", positions["first"], positions["last"]),
    }
}

/// Runs `forebay verify` on a store.
pub(super) async fn verify_at(url: &str, keys: [&str; 2], bucket: &str, rest: &[&str]) -> Said {
    let mut command = command();
    // A folder without a forebay.toml.
    command.current_dir(std::env::temp_dir());
    command.args(["verify", bucket, "--endpoint-url", url, "--path-style"]).args(rest);
    command.env("AWS_ACCESS_KEY_ID", keys[0]).env("AWS_SECRET_ACCESS_KEY", keys[1]);
    let output = finished(&mut command).await;
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// The S3 server of `forebay dev`, in this process, with an empty bucket `lake`.
#[derive(Debug)]
pub(super) struct Lake {
    server: DevS3Running,
    _folder: TempDir,
    pub(super) bucket: Bucket,
}

impl Lake {
    pub(super) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = DevS3Settings {
            data_dir: folder.path().join("s3"),
            clock: Arc::new(SystemClock::new()),
            random: Arc::new(SystemRandom),
            connections: CONNECTIONS_MAX,
        };
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let server = DevS3::start(listener, settings).await.unwrap();
        let bucket = Bucket::new(&server.url(), "lake", "forebay", "forebay-secret");
        bucket.client.create_bucket().bucket("lake").send().await.unwrap();
        Self { server, _folder: folder, bucket }
    }

    pub(super) fn url(&self) -> String {
        self.server.url()
    }

    /// Runs `forebay verify lake` with these arguments.
    pub(super) async fn verify(&self, rest: &[&str]) -> Said {
        verify_at(&self.url(), ["forebay", "forebay-secret"], "lake", rest).await
    }

    pub(super) async fn put(&self, object: &Made) {
        put(&self.bucket, "lake", object).await;
    }

    pub(super) async fn put_all(&self, objects: &[Made]) {
        for object in objects {
            self.put(object).await;
        }
    }

    pub(super) async fn delete(&self, key: &str) {
        self.bucket.client.delete_object().bucket("lake").key(key).send().await.unwrap();
    }

    /// Puts a foreign object.
    pub(super) async fn put_foreign(&self, key: &str, body: &'static str) {
        let body = ByteStream::from_static(body.as_bytes());
        self.bucket.client.put_object().bucket("lake").key(key).body(body).send().await.unwrap();
    }
}

pub(super) async fn put(bucket: &Bucket, name: &str, object: &Made) {
    let request = bucket.client.put_object().bucket(name).key(&object.key).body(object.body.clone().into());
    request.set_metadata(Some(object.metadata.clone().into_iter().collect())).send().await.unwrap();
}

/// An object to put.
#[derive(Clone, Debug)]
pub(super) struct Made {
    pub(super) key: String,
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) body: Vec<u8>,
}

/// Makes the objects of one chain, one after the other.
#[derive(Clone, Debug)]
pub(super) struct Chain {
    pub(super) source: &'static str,
    pub(super) spool: char,
    pub(super) stream: Stream,
    pub(super) day: i64,
    next: u64,
    previous: Option<u64>,
    calls: u64,
}

impl Chain {
    pub(super) fn new(source: &'static str, spool: char, day: i64) -> Self {
        Self { source, spool, stream: Stream::Calls, day, next: 1, previous: None, calls: 0 }
    }

    /// The same spool and source a day later.
    pub(super) fn next_day(&self) -> Self {
        Self { day: self.day + DAY_MS, previous: None, ..self.clone() }
    }

    /// A line as stored, each with a new id.
    pub(super) fn line(&mut self) -> Value {
        self.calls += 1;
        let at = rfc3339(UnixMillis(self.day + 1_000 + i64::try_from(self.calls).unwrap()));
        let id = format!("{}-{}-{}", self.source, self.spool, self.calls);
        json!({
            "type": "track", "event": "e", "messageId": id, "originalTimestamp": "2015-05-26T23:59:00Z",
            "sentAt": "2015-05-26T23:59:01Z", "receivedAt": at, "projectId": self.source,
        })
    }

    /// An object with this number of new lines.
    pub(super) fn object(&mut self, lines: usize) -> Made {
        let lines: Vec<Value> = (0..lines).map(|_| self.line()).collect();
        self.object_of(&lines)
    }

    /// An object with these lines. Two positions between objects belong to other sources.
    pub(super) fn object_of(&mut self, lines: &[Value]) -> Made {
        let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
        let mut gzip = GzipLines::new(Vec::new(), 6, u64::MAX);
        for line in &lines {
            gzip.push(line.as_bytes()).unwrap();
        }
        let done = gzip.finish().unwrap();
        let node = self.node();
        let metadata = Metadata {
            calls: done.lines,
            first_received_at: UnixMillis(self.day),
            last_received_at: UnixMillis(self.day + DAY_MS - 1),
            node: &node,
            first_position: self.next,
            last_position: self.next + done.lines.max(1) - 1,
            bytes: done.bytes,
            sha256: &done.sha256,
            previous_last_position: self.previous,
            lost_calls: 0,
        };
        let at = ParsedObjectKey {
            stream: self.stream.clone(),
            source: SourceId::new(self.source).unwrap(),
            day: UnixMillis(self.day).day(),
            first_received_at: UnixMillis(self.day + i64::try_from(self.next).unwrap()),
            node: node.clone(),
            spool_id: self.spool_id(),
            first_position: self.next,
        };
        let made = Made {
            key: at.key(&BucketString::parse("lake").unwrap()).to_string(),
            metadata: metadata.pairs().into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            body: done.out,
        };
        self.previous = Some(metadata.last_position);
        self.next = metadata.last_position + 3;
        made
    }

    pub(super) fn node(&self) -> String {
        format!("node-{}", self.spool)
    }

    pub(super) fn spool_id(&self) -> String {
        self.spool.to_string().repeat(32)
    }

    /// The same with `day` as the previous day.
    pub(super) fn marker_after(&self, day: i64, objects: &[Made]) -> Made {
        let mut made = self.marker(objects);
        let mut said: Value = serde_json::from_slice(&made.body).unwrap();
        said["previous_day"] = json!(day);
        made.body = said.to_string().into_bytes();
        made
    }

    /// The marker of this day with these objects.
    pub(super) fn marker(&self, objects: &[Made]) -> Made {
        marker(self.source, self.day, &self.node(), &self.spool_id(), objects)
    }
}

/// The marker of a day with these objects, as the program writes it.
pub(super) fn marker(source: &str, day: i64, node: &str, spool: &str, objects: &[Made]) -> Made {
    let bucket = BucketString::parse("lake").unwrap();
    let mut objects: Vec<&Made> = objects.iter().collect();
    objects.sort_by_key(|object| Metadata::read(&object.metadata).unwrap().first_position);
    let mut streams: BTreeMap<Stream, Closing> = BTreeMap::new();
    for object in objects {
        let at = ParsedObjectKey::of(&bucket, &object.key).unwrap();
        let metadata = Metadata::read(&object.metadata).unwrap();
        let key = ObjectKey::listed(object.key.as_str());
        streams.entry(at.stream).or_default().push(&bucket, &key, &metadata);
    }
    let marker = ClosedMarker {
        version: ClosedMarker::version_for(streams.keys()),
        source: SourceId::new(source).unwrap(),
        day: UnixMillis(day).day(),
        node: node.to_owned(),
        spool: spool.to_owned(),
        streams: streams.into_iter().filter_map(|(stream, sum)| Some((stream, sum.sum()?.clone()))).collect(),
        previous_day: None,
        repeats_within: None,
    };
    Made { key: marker.key(&bucket).to_string(), metadata: BTreeMap::new(), body: marker.body().unwrap() }
}
