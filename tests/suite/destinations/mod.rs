//! Destinations on a real spool: every stored call reaches its function at least once or becomes a dead letter.

#[cfg(feature = "lambda")]
mod command;
#[cfg(feature = "lambda")]
mod lambda;
mod web;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use forebay::batch::BatchKey;
use forebay::boxed_future::BoxFuture;
use forebay::call::LineSink as _;
use forebay::destinations::class::Class;
use forebay::destinations::invoke::{Invoke, Invoked, Outgoing};
use forebay::destinations::lane::LaneSettings;
use forebay::destinations::outcome::Failure;
use forebay::destinations::positions::{LaneId, Positions};
use forebay::destinations::reaction::Bounds;
use forebay::destinations::runner::{LaneConfig, Parts, Progress, run};
use forebay::destinations::select::Selection;
use forebay::disk::Disk;
use forebay::disk::real_disk::RealDisk;
use forebay::log::{Go, Read, RequestFrames};
use forebay::metrics::Metrics;
use forebay::object::Stream;
use forebay::runtime::{SystemClock, SystemRandom};
use forebay::sources::SourceId;
use forebay::spool::{Spool, SpoolOptions};
use forebay::time::Clock as _;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::support::wait::until;

/// Waits until a condition holds.
async fn holds(what: &str, mut condition: impl FnMut() -> bool) {
    until(what, Duration::from_secs(60), async || condition().then_some(())).await;
}

/// A function whose behaviour a test decides: by the call, and how often it was sent before.
type Behaviour = dyn Fn(&Value, usize) -> Result<(), Class> + Send + Sync;

/// Functions on this machine. They remember what they were invoked with.
struct Functions {
    behaviour: Box<Behaviour>,
    /// Function and messageId, in the order of the invocations.
    invoked: Mutex<Vec<(String, String)>>,
    hanging: Mutex<BTreeSet<String>>,
    running: AtomicUsize,
    most: AtomicUsize,
}

impl std::fmt::Debug for Functions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Functions")
    }
}

impl Functions {
    fn new(behaviour: impl Fn(&Value, usize) -> Result<(), Class> + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            behaviour: Box::new(behaviour),
            invoked: Mutex::default(),
            hanging: Mutex::default(),
            running: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
        })
    }

    fn invoked(&self, function: &str) -> Vec<String> {
        let invoked = self.invoked.lock().unwrap();
        invoked.iter().filter(|(of, _)| of == function).map(|(_, id)| id.clone()).collect()
    }
}

impl Invoke for Functions {
    fn invoke<'a>(&'a self, call: &'a Outgoing) -> BoxFuture<'a, Invoked> {
        Box::pin(async move {
            let line: Value = serde_json::from_slice(&call.line).unwrap();
            let id = line["messageId"].as_str().unwrap().to_owned();
            if self.hanging.lock().unwrap().contains(&*call.function) {
                std::future::pending::<()>().await;
            }
            let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(running, Ordering::SeqCst);
            tokio::task::yield_now().await;
            self.running.fetch_sub(1, Ordering::SeqCst);
            let before = self.invoked(&call.function).iter().filter(|other| **other == id).count();
            self.invoked.lock().unwrap().push((call.function.to_string(), id));
            let result = (self.behaviour)(&line, before).map_err(|class| Failure {
                class,
                what: format!("it is {class}"),
                retry_after: None,
            });
            Invoked { result, request_id: Some("r-1".to_owned()), version: None, log_tail: None }
        })
    }
}

fn lane(function: &str, types: &[&str], settings: LaneSettings) -> LaneConfig {
    let functions = types.iter().map(|kind| ((*kind).to_owned(), function.to_owned())).collect();
    LaneConfig {
        id: LaneId { destination: "crm".to_owned(), function: function.to_owned() },
        selection: Selection {
            functions,
            respect_integrations: true,
            name: "crm".to_owned(),
            ..Selection::default()
        },
        settings,
    }
}

fn settings(concurrency: usize, max_age: Duration) -> LaneSettings {
    LaneSettings { concurrency, in_order: false, bounds: Bounds { max_age, retry_execution_errors: 0 } }
}

/// A spool with destinations beside it.
struct Node {
    spool: Spool,
    running: JoinHandle<std::io::Result<()>>,
    progress: BTreeMap<LaneId, Arc<Progress>>,
    stop: CancellationToken,
}

impl Node {
    async fn start(dir: &Path, functions: &Arc<Functions>, lanes: Vec<LaneConfig>) -> Self {
        // A read that a kill has interrupted may still hold the directory.
        let opened = async || RealDisk::open(dir).ok();
        let disk: Arc<dyn Disk> = Arc::new(until("the spool's lock", Duration::from_secs(60), opened).await);
        let positions = Positions::read(Arc::clone(&disk)).unwrap();
        let options = SpoolOptions {
            segment_bytes: 64 * 1_024,
            max_bytes: 64 << 20,
            manifest_bytes: 16 * 1_024,
            hold_after: positions.lowest(),
            ..SpoolOptions::default()
        };
        let clock = Arc::new(SystemClock::new());
        let spool = Spool::open(
            disk,
            options,
            Arc::<SystemClock>::clone(&clock),
            &SystemRandom,
            Arc::new(Metrics::new()),
        )
        .unwrap()
        .0;
        let progress: BTreeMap<_, _> =
            lanes.iter().map(|lane| (lane.id.clone(), Arc::<Progress>::default())).collect();
        let parts = Parts {
            follow: spool.log(),
            append: spool.appender(),
            invoke: Arc::<Functions>::clone(functions),
            clock,
            random: Arc::new(SystemRandom),
        };
        let stop = CancellationToken::new();
        let (shown, ends) = (progress.clone(), stop.clone());
        let running = tokio::spawn(async move { run(parts, lanes, positions, &shown, ends).await });
        Self { spool, running, progress, stop }
    }

    async fn stores(&self, calls: impl IntoIterator<Item = Value>) {
        let mut frames = RequestFrames::new(SourceId::new("web").unwrap(), SystemClock::new().wall(), 0);
        for call in calls {
            let line = call.to_string();
            frames.line().extend_from_slice(line.as_bytes());
            frames.call(u128::from(crc32c::crc32c(line.as_bytes())) << 64 | line.len() as u128);
        }
        self.spool.appender().append(frames).await.unwrap();
    }

    /// The process dies: nothing is noted any more.
    async fn killed(self) {
        self.running.abort();
        drop(self.running.await);
        tokio::task::spawn_blocking(move || drop(self.spool)).await.unwrap();
    }

    async fn stopped(self) {
        self.stop.cancel();
        self.running.await.unwrap().unwrap();
        tokio::task::spawn_blocking(move || self.spool.close()).await.unwrap();
    }

    fn dead_letters(&self) -> Vec<Value> {
        let key = BatchKey {
            source: SourceId::new("web").unwrap(),
            day: SystemClock::new().wall().day(),
            stream: Stream::Dead(SourceId::new("crm").unwrap()),
        };
        let mut letters = Vec::new();
        let read = self.spool.log().read(&key, 0, u64::MAX, &mut |read| {
            if let Read::Frame(frame) = read {
                letters.push(serde_json::from_slice(frame.payload).unwrap());
            }
            Ok(Go::On)
        });
        read.unwrap();
        letters
    }
}

fn calls(from: usize, count: usize, kind: &str) -> Vec<Value> {
    (from..from + count)
        .map(|n| json!({ "type": kind, "messageId": format!("{kind}-{n}"), "userId": format!("u{}", n % 7) }))
        .collect()
}

fn ids(calls: &[Value]) -> BTreeSet<String> {
    calls.iter().map(|call| call["messageId"].as_str().unwrap().to_owned()).collect()
}

const HOUR: Duration = Duration::from_secs(3_600);

#[tokio::test(flavor = "multi_thread")]
async fn each_call_is_invoked_once_by_type_and_a_function_that_hangs_delays_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let functions = Functions::new(|_, _| Ok(()));
    functions.hanging.lock().unwrap().insert("pages".to_owned());
    let lanes =
        vec![lane("tracks", &["track"], settings(8, HOUR)), lane("pages", &["page"], settings(8, HOUR))];
    let node = Node::start(dir.path(), &functions, lanes.clone()).await;
    holds("the lanes are noted", || dir.path().join("destinations.json").exists()).await;
    let (tracks, pages) = (calls(0, 3_000, "track"), calls(0, 3_000, "page"));
    for (tracks, pages) in tracks.chunks(100).zip(pages.chunks(100)) {
        node.stores(tracks.iter().chain(pages).cloned()).await;
    }
    holds("every track call is invoked", || functions.invoked("tracks").len() >= 3_000).await;
    let invoked = functions.invoked("tracks");
    assert_eq!((invoked.len(), invoked.into_iter().collect::<BTreeSet<_>>()), (3_000, ids(&tracks)));
    assert!(functions.most.load(Ordering::SeqCst) <= 8);
    assert_eq!(node.progress[&lanes[0].id].invoked(), 3_000);
    // The function is repaired, and the process starts again.
    node.stopped().await;
    functions.hanging.lock().unwrap().clear();
    let node = Node::start(dir.path(), &functions, lanes).await;
    holds("every page call is invoked", || functions.invoked("pages").len() >= 3_000).await;
    assert_eq!(functions.invoked("pages").into_iter().collect::<BTreeSet<_>>(), ids(&pages));
    assert_eq!(functions.invoked("tracks").len(), 3_000, "what was finished is not sent again");
    node.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_taken_becomes_a_dead_letter_once_with_its_cause() {
    let dir = tempfile::tempdir().unwrap();
    let functions = Functions::new(|call, _| match call["messageId"].as_str().unwrap().ends_with('3') {
        true => Err(Class::BadRequest),
        false => Ok(()),
    });
    let node = Node::start(dir.path(), &functions, vec![lane("f", &["track"], settings(4, HOUR))]).await;
    holds("the lane is noted", || dir.path().join("destinations.json").exists()).await;
    let sent = calls(0, 100, "track");
    node.stores(sent.clone()).await;
    holds("the dead letters are there", || node.dead_letters().len() >= 10).await;
    let letters = node.dead_letters();
    let dead: BTreeSet<&str> =
        letters.iter().map(|letter| letter["call"]["messageId"].as_str().unwrap()).collect();
    assert_eq!((letters.len(), dead.len()), (10, 10), "{letters:?}");
    assert_eq!(
        json!([letters[0]["class"], letters[0]["cause"], letters[0]["function"], letters[0]["attempts"]]),
        json!(["bad-request", "it is Bad Request", "f", 1])
    );
    let through = node.spool.log().durable_through();
    let progress = Arc::clone(node.progress.values().next().unwrap());
    holds("all is finished, and dead letters are not sent", || progress.finished_through() >= through).await;
    let record = progress.records().last(Some(Some(Class::BadRequest)), 1);
    assert_eq!((record[0].request_id.as_deref(), record[0].kind.as_str()), (Some("r-1"), "track"));
    node.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_old_becomes_a_dead_letter_though_the_function_is_forbidden() {
    let dir = tempfile::tempdir().unwrap();
    let functions = Functions::new(|_, _| Err(Class::AccessDenied));
    let lanes = vec![lane("f", &["track"], settings(4, Duration::from_secs(1)))];
    let node = Node::start(dir.path(), &functions, lanes).await;
    holds("the lane is noted", || dir.path().join("destinations.json").exists()).await;
    node.stores(calls(0, 500, "track")).await;
    holds("all are dead letters", || node.dead_letters().len() >= 500).await;
    assert!(functions.invoked("f").len() <= 8, "a forbidden function is asked rarely");
    assert_eq!(node.dead_letters()[0]["class"], "access-denied");
    node.stopped().await;
}

/// Failures of every class, and a process that dies again and again.
#[tokio::test(flavor = "multi_thread")]
async fn no_call_is_missing_after_kills() {
    let dir = tempfile::tempdir().unwrap();
    let broken = Arc::new(AtomicBool::new(true));
    let is_broken = Arc::clone(&broken);
    let succeeded = Arc::new(Mutex::new(BTreeSet::new()));
    let noted = Arc::clone(&succeeded);
    let functions = Functions::new(move |call, before| {
        let id = call["messageId"].as_str().unwrap().to_owned();
        let turn = (crc32c::crc32c(id.as_bytes()) as usize).wrapping_add(before);
        match turn % 11 {
            0 if is_broken.load(Ordering::SeqCst) => Err(Class::Throttled),
            1 => Err(Class::ExecutionError),
            2 if before == 0 => Err(Class::Timeout),
            _ => {
                noted.lock().unwrap().insert(id);
                Ok(())
            }
        }
    });
    let (mut sent, mut dead) = (BTreeSet::new(), BTreeSet::new());
    let one_lane = || vec![lane("f", &["track"], settings(16, HOUR))];
    let first = Node::start(dir.path(), &functions, one_lane()).await;
    holds("the lane is noted", || dir.path().join("destinations.json").exists()).await;
    first.killed().await;
    for life in 0..6 {
        let node = Node::start(dir.path(), &functions, one_lane()).await;
        for piece in 0..5 {
            let new = calls(life * 1_000 + piece * 200, 200, "track");
            sent.extend(ids(&new));
            node.stores(new).await;
        }
        let progress = Arc::clone(node.progress.values().next().unwrap());
        holds("something was invoked", || progress.invoked() > 100).await;
        node.killed().await;
    }
    broken.store(false, Ordering::SeqCst);
    let node = Node::start(dir.path(), &functions, one_lane()).await;
    holds("each call was invoked or is a dead letter", || {
        let letters = node.dead_letters();
        dead =
            letters.iter().map(|letter| letter["call"]["messageId"].as_str().unwrap().to_owned()).collect();
        assert_eq!(dead.len(), letters.len(), "a call dies once");
        let succeeded = succeeded.lock().unwrap();
        sent.iter().all(|id| succeeded.contains(id) || dead.contains(id))
    })
    .await;
    assert!(dead.len() > 100, "{} dead letters", dead.len());
    node.stopped().await;
}
