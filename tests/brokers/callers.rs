//! Clients of collectors that are killed and stopped. They send as SDKs do, a batch again until it is answered 200, and
//! record each call for the independent checker.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use forebay::time::Clock;

use crate::s3::S3;
use crate::served::Client;
use crate::support::until;

/// Sources, whose write keys are their ids.
const SOURCES: [&str; 2] = ["web", "ios"];
/// Clients at once.
const CLIENTS: usize = 4;
/// Calls of a batch.
const BATCH: usize = 5;
/// Between two batches of a client.
const PAUSE: Duration = Duration::from_millis(100);
/// After an answer other than 200, and after none.
const AGAIN_AFTER: Duration = Duration::from_millis(200);
/// How long a client waits for an answer, as the SDK for .NET does: a collector that is stopped never answers in time.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long clients may need for their last batch.
const LAST_WITHIN: Duration = Duration::from_secs(120);

/// A batch with its client's records. Its calls have ids of their own.
#[derive(Clone, Debug)]
struct Batch {
    name: String,
    source: &'static str,
    first_sent_ms: i64,
    /// When it was answered 200 for the first time.
    stored_ms: Option<i64>,
}

impl Batch {
    fn id(&self, call: usize) -> String {
        format!("{}-{call}", self.name)
    }

    fn padding(&self, call: usize) -> String {
        format!("content of {}", self.id(call)).repeat(8)
    }

    fn body(&self) -> String {
        let call = |call| {
            serde_json::json!({
                "type": "track", "event": "e", "userId": "u", "messageId": self.id(call),
                "properties": {"padding": self.padding(call), "source": self.source},
            })
        };
        serde_json::json!({"batch": (0..BATCH).map(call).collect::<Vec<_>>()}).to_string()
    }
}

/// What clients have seen so far.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Requests that were answered 200.
    pub(crate) stored: AtomicU64,
    /// Requests with another answer.
    pub(crate) refused: AtomicU64,
    /// Requests without an answer.
    pub(crate) unanswered: AtomicU64,
    /// Requests with a batch that was sent before.
    pub(crate) again: AtomicU64,
    /// Batches that were never answered 200, and not sent again.
    pub(crate) given_up: AtomicU64,
}

fn count(counter: &AtomicU64) -> u64 {
    counter.fetch_add(1, Ordering::AcqRel) + 1
}

/// Clients under way.
pub(crate) struct Callers {
    stops: Arc<AtomicBool>,
    at: Arc<Mutex<Vec<SocketAddr>>>,
    pub(crate) counts: Arc<Counts>,
    threads: Vec<JoinHandle<Vec<Batch>>>,
}

impl Callers {
    /// Clients of these collectors.
    pub(crate) fn start(at: &[SocketAddr], clock: &Arc<dyn Clock>) -> Self {
        let (stops, at) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(at.to_vec())));
        let counts = Arc::new(Counts::default());
        let caller = |number: usize| Caller {
            number,
            stops: Arc::clone(&stops),
            at: Arc::clone(&at),
            counts: Arc::clone(&counts),
            clock: Arc::clone(clock),
            clients: BTreeMap::new(),
            requests: number,
        };
        let threads: Vec<_> =
            (0..CLIENTS).map(caller).map(|caller| std::thread::spawn(|| caller.sends())).collect();
        Self { stops, at, counts, threads }
    }

    /// From now on the collectors are there.
    pub(crate) fn send_to(&self, at: &[SocketAddr]) {
        at.clone_into(&mut self.at.lock().unwrap());
    }

    /// Waits until one of the counts is larger by this much.
    pub(crate) fn see(&self, what: &str, more: u64, of: impl Fn(&Counts) -> &AtomicU64) {
        let seen = || of(&self.counts).load(Ordering::Acquire);
        let before = seen();
        until(what, LAST_WITHIN, || (seen() >= before + more).then_some(()));
    }

    /// Waits until so many more requests are answered 200.
    pub(crate) fn are_answered(&self, more: u64) {
        self.see("requests to be answered 200", more, |counts| &counts.stored);
    }

    /// Clients end once their last batch is answered 200.
    pub(crate) fn end(self) -> Journal {
        self.stops.store(true, Ordering::Release);
        let batches = self.threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        Journal { batches }
    }
}

struct Caller {
    number: usize,
    stops: Arc<AtomicBool>,
    at: Arc<Mutex<Vec<SocketAddr>>>,
    counts: Arc<Counts>,
    clock: Arc<dyn Clock>,
    clients: BTreeMap<SocketAddr, Client>,
    requests: usize,
}

impl Caller {
    fn sends(mut self) -> Vec<Batch> {
        let source = SOURCES[self.number % SOURCES.len()];
        let mut batches = Vec::new();
        while !self.stops.load(Ordering::Acquire) {
            let name = format!("{}-{}", self.number, batches.len());
            let first_sent_ms = self.clock.wall().0;
            let mut batch = Batch { name, source, first_sent_ms, stored_ms: None };
            // Now and then a client does not hear that its batch was stored.
            let times = if batches.len() % 7 == 3 { 2 } else { 1 };
            self.send(&mut batch, times);
            batches.push(batch);
            std::thread::sleep(PAUSE);
        }
        batches
    }

    /// Sends a batch until it was answered 200 so many times, or the client gives up.
    fn send(&mut self, batch: &mut Batch, times: u32) {
        let (body, began, mut stored) = (batch.body(), Instant::now(), 0);
        for attempt in 0.. {
            if attempt > 0 {
                count(&self.counts.again);
            }
            match self.request(batch.source, &body) {
                Some(200) => {
                    count(&self.counts.stored);
                    batch.stored_ms.get_or_insert_with(|| self.clock.wall().0);
                    stored += 1;
                    if stored == times {
                        return;
                    }
                }
                Some(_) => {
                    count(&self.counts.refused);
                    std::thread::sleep(AGAIN_AFTER);
                }
                None => {
                    let unanswered = count(&self.counts.unanswered);
                    // A page that was closed, or a phone that was turned off.
                    if batch.stored_ms.is_none() && unanswered.is_multiple_of(5) {
                        count(&self.counts.given_up);
                        return;
                    }
                    std::thread::sleep(AGAIN_AFTER);
                }
            }
            assert!(began.elapsed() < LAST_WITHIN, "batch {} is not stored", batch.name);
        }
    }

    /// The status of the answer of the next collector in turn, as behind a load balancer.
    fn request(&mut self, source: &str, body: &str) -> Option<u16> {
        self.requests += 1;
        let all = self.at.lock().unwrap().clone();
        let at = all[self.requests % all.len()];
        self.clients.retain(|at, _| all.contains(at));
        let client = self.clients.entry(at).or_insert_with(|| Client::that_waits(at, PATIENCE));
        client.post(source, body).map(|answered| answered.status)
    }
}

/// The records of all clients.
pub(crate) struct Journal {
    batches: Vec<Batch>,
}

impl Journal {
    /// Calls that were answered 200, and those that never were.
    pub(crate) fn calls(&self) -> (usize, usize) {
        let stored = self.batches.iter().filter(|batch| batch.stored_ms.is_some()).count();
        (stored * BATCH, (self.batches.len() - stored) * BATCH)
    }

    /// One JSON object a line, as the checker reads it. A request without an answer may have been under way until
    /// `end_ms`.
    fn lines(&self, end_ms: i64) -> String {
        let mut text = String::new();
        for batch in &self.batches {
            for call in 0..BATCH {
                let line = serde_json::json!({
                    "messageId": batch.id(call),
                    "source": batch.source,
                    "padding": batch.padding(call),
                    "firstSentMs": batch.first_sent_ms,
                    "lastSettledMs": batch.stored_ms.unwrap_or(end_ms),
                    "acknowledged": batch.stored_ms.is_some(),
                });
                text.push_str(&line.to_string());
                text.push('\n');
            }
        }
        text
    }

    /// Lets the independent checker compare the records with a bucket. Returns its counts.
    ///
    /// # Panics
    ///
    /// If it finds a violation: the text names the folder with all that it compared.
    pub(crate) fn check(&self, s3: &S3, end_ms: i64) -> String {
        const PREFIX: &str = "segment-logs/";
        let folder = tempfile::tempdir().unwrap();
        let mut metadata = BTreeMap::new();
        for object in s3.whole_objects() {
            let below = object.key.strip_prefix(PREFIX).unwrap();
            let file = folder.path().join("bucket").join(below);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, &object.bytes).unwrap();
            metadata.insert(below.to_owned(), object.metadata);
        }
        fs::write(folder.path().join("journal.jsonl"), self.lines(end_ms)).unwrap();
        fs::write(folder.path().join("metadata.json"), serde_json::to_vec(&metadata).unwrap()).unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/checker/check.py");
        let ended = Command::new("python3")
            .arg(script)
            .args(["journal.jsonl", "bucket", "metadata.json"])
            .current_dir(folder.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&[ended.stdout, ended.stderr].concat()).trim().to_owned();
        if !ended.status.success() {
            panic!("{said}\n{} has all of it", folder.keep().display());
        }
        said
    }
}
