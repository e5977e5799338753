//! Destinations on a real spool: every stored call reaches its function at least once or becomes a dead
//! letter.

#[cfg(feature = "lambda")]
mod assumed_role;
#[cfg(feature = "lambda")]
mod chaos;
#[cfg(feature = "lambda")]
mod command;
mod damaged_files;
mod dev_file;
mod full_spool;
#[cfg(feature = "lambda")]
mod lambda;
#[cfg(feature = "lambda")]
mod real_functions;
mod refusals;
mod replay;
mod told;
mod web;

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use forebay::alarms::{Alarm, AlarmKind, Alarms};
use forebay::batch::BatchKey;
use forebay::boxed_future::BoxFuture;
use forebay::call::LineSink as _;
use forebay::crc32c;
use forebay::destinations::class::Class;
use forebay::destinations::disk_work::DiskWork;
use forebay::destinations::invoke::{Carried, Equipment, Invoke, Invoked, Outgoing};
use forebay::destinations::outcome::Failure;
use forebay::destinations::positions::{FILE, Positions};
use forebay::destinations::progress::Progress;
use forebay::destinations::request::Invocation;
use forebay::destinations::runner::{CommandError, Deps, Destinations};
use forebay::destinations::select::Selection;
use forebay::destinations::settings::{
    AtLambda, BatchBounds, DestinationSettings, ExternalIds, FunctionsAt, SecretText, URL,
};
use forebay::disk::Disk;
use forebay::disk::real_disk::RealDisk;
use forebay::log::{Go, Read, RequestFrames};
use forebay::metrics::Metrics;
use forebay::object::{BucketString, Encryption, S3Location, Stream};
use forebay::random::Random;
use forebay::runtime::{SystemClock, SystemRandom};
use forebay::sources::SourceId;
use forebay::spool::{Spool, SpoolOptions};
use forebay::time::Clock;
use forebay::words::Told;
use serde_json::{Value, json};

use crate::log::contract::seal;
use crate::support::wait::until;
use crate::tools::spool;

/// An address whose queue of connections is full: whoever connects gets no answer.
struct Full {
    _listens: socket2::Socket,
    waits: std::net::TcpStream,
}

impl Full {
    fn new() -> Self {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
        socket.bind(&any.into()).unwrap();
        socket.listen(0).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        Self { _listens: socket, waits: std::net::TcpStream::connect(address).unwrap() }
    }

    fn url(&self) -> String {
        format!("http://{}/", self.waits.peer_addr().unwrap())
    }
}

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
    largest: AtomicUsize,
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
            largest: AtomicUsize::new(0),
        })
    }

    /// A batch is refused as a whole if one of its calls is.
    fn batch(&self, outgoing: &Outgoing) -> Invoked {
        let lines: Vec<Value> =
            outgoing.calls.iter().map(|call| serde_json::from_slice(&call.line).unwrap()).collect();
        let refused = lines.iter().find_map(|line| (self.behaviour)(line, 0).err());
        if let Some(class) = refused {
            return Invoked::failed(class, format!("it is {class}"));
        }
        let id = |line: &Value| line["messageId"].as_str().unwrap().to_owned();
        let taken = lines.iter().map(|line| (outgoing.function.to_string(), id(line)));
        self.invoked.lock().unwrap().extend(taken);
        Invoked::ended(Ok(()))
    }

    fn invoked(&self, function: &str) -> Vec<String> {
        let invoked = self.invoked.lock().unwrap();
        invoked.iter().filter(|(of, _)| of == function).map(|(_, id)| id.clone()).collect()
    }
}

impl Invoke for Functions {
    fn invoke<'a>(&'a self, call: &'a Outgoing) -> BoxFuture<'a, Invoked> {
        Box::pin(async move {
            let line: Value = serde_json::from_slice(&call.calls[0].line).unwrap();
            let id = line["messageId"].as_str().unwrap().to_owned();
            assert_eq!(call.calls[0].message_id, id);
            self.largest.fetch_max(call.calls.len(), Ordering::SeqCst);
            if call.batch {
                return self.batch(call);
            }
            assert_eq!(call.calls.len(), 1);
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
                what: format!("it is {class}").into(),
                retry_after: None,
            });
            Invoked { request_id: Some("r-1".into()), ..Invoked::ended(result) }
        })
    }
}

/// What invokes the functions of every destination.
#[derive(Debug)]
struct Shop(Arc<Functions>);

impl Equipment for Shop {
    fn invoker(&self, _settings: &DestinationSettings) -> io::Result<Arc<dyn Invoke>> {
        Ok(Arc::<Functions>::clone(&self.0))
    }

    fn settings(&self, typed: &str) -> Result<DestinationSettings, String> {
        match typed {
            "" => Err("a secret is gone".to_owned()),
            typed => Ok(DestinationSettings { typed: typed.to_owned(), ..crm(&[], 8, HOUR) }),
        }
    }
}

/// The destination `crm`, with functions by type.
fn crm(functions: &[(&str, &str)], concurrency: usize, max_age: Duration) -> DestinationSettings {
    let name = SourceId::new("crm").unwrap();
    DestinationSettings {
        selection: Selection {
            functions: functions.iter().map(|(kind, arn)| ((*kind).to_owned(), (*arn).to_owned())).collect(),
            respect_integrations: true,
            name: "crm".to_owned(),
            ..Selection::default()
        },
        concurrency,
        max_age,
        typed: "kept".to_owned(),
        max_queue: 32 << 20,
        functions_at: FunctionsAt::Lambda(AtLambda {
            region: None,
            role: None,
            external_ids: ExternalIds::default(),
            log_tail: false,
            invocation: Invocation::RequestResponse,
            payload_max: Invocation::RequestResponse.bytes_max(),
            endpoint_url: None,
        }),
        ..DestinationSettings::of_no_function(name)
    }
}

/// Calls of one source to a function, sent the second time.
fn outgoing<const N: usize>(function: &str, calls: [(&str, Bytes); N], batch: bool) -> Outgoing {
    let carried = |(id, line): (&str, Bytes)| Carried { attempt: 2, message_id: id.to_owned(), line };
    Outgoing {
        destination: "crm".into(),
        function: function.into(),
        source: SourceId::new("web").unwrap(),
        calls: calls.map(carried).to_vec(),
        batch,
    }
}

/// A spool with destinations beside it.
struct Node {
    spool: Spool,
    destinations: Destinations,
    alarms: Arc<Alarms>,
}

impl Node {
    async fn start(dir: &Path, functions: &Arc<Functions>, configured: Vec<DestinationSettings>) -> Self {
        Self::start_with(dir, functions, configured, 32 << 20).await
    }

    /// The log keeps `share` bytes for destinations.
    async fn start_with(
        dir: &Path,
        functions: &Arc<Functions>,
        configured: Vec<DestinationSettings>,
        share: u64,
    ) -> Self {
        Self::start_changed(dir, functions, configured, share, |_| {}).await
    }

    /// Destinations work with what `change` makes of the usual.
    async fn start_changed(
        dir: &Path,
        functions: &Arc<Functions>,
        configured: Vec<DestinationSettings>,
        share: u64,
        change: impl FnOnce(&mut Deps),
    ) -> Self {
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
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let metrics = Metrics::new();
        let opened = Spool::open(disk, options, Arc::clone(&clock), &SystemRandom, Arc::new(metrics.clone()));
        let spool = opened.unwrap().0;
        let alarms = Arc::new(Alarms::new(Arc::clone(&clock), Arc::new(metrics.clone())));
        let mut deps = Deps {
            follow: spool.follow(),
            append: spool.appender(),
            equipment: Arc::new(Shop(Arc::clone(functions))),
            alarms: Arc::clone(&alarms),
            metrics,
            clock,
            random: Arc::new(SystemRandom),
            disk: Arc::clone(spool.disk()),
            share,
            disk_work: DiskWork::default(),
            handles: usize::MAX,
            copy_work: DiskWork::default(),
        };
        change(&mut deps);
        let destinations = Destinations::start(deps, positions, configured).await.unwrap();
        Self { spool, destinations, alarms }
    }

    /// The only function.
    fn progress(&self) -> Arc<Progress> {
        let shown = self.destinations.shown().into_values().next().unwrap();
        shown.lanes.into_values().next().unwrap()
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
        self.destinations.kill().await;
        drop(self.destinations);
        tokio::task::spawn_blocking(move || drop(self.spool)).await.unwrap();
    }

    async fn stopped(self) {
        self.destinations.stop(Duration::from_millis(500)).await;
        drop(self.destinations);
        tokio::task::spawn_blocking(move || self.spool.close()).await.unwrap();
    }

    fn goes_to_a_bucket(&self) {
        let to = S3Location::new(BucketString::parse("lake").unwrap(), Encryption::SseS3);
        self.spool.locations().set_locations(vec![(SourceId::new("web").unwrap(), to)]).unwrap();
    }

    /// The archive has everything: from then on only destinations keep it.
    fn delivers(&self) {
        let key = BatchKey {
            source: SourceId::new("web").unwrap(),
            day: SystemClock::new().wall().day(),
            stream: Stream::Calls,
        };
        let frames = self.spool.log().open_batch(&key).unwrap().frames;
        let seal = seal(&*self.spool.log(), &key, usize::try_from(frames).unwrap());
        self.spool.log().commit(&seal, None).unwrap();
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

/// Chance that panics the first time.
#[derive(Debug, Default)]
struct PanicsOnce(AtomicBool);

impl Random for PanicsOnce {
    fn next_u64(&self) -> u64 {
        assert!(self.0.swap(true, Ordering::SeqCst), "the panic of this test");
        SystemRandom.next_u64()
    }
}

#[tokio::test]
async fn a_lane_that_panics_is_started_again_with_what_it_had_not_finished() {
    let functions = Functions::new(|call, before| {
        if call["messageId"] == "m1" && before == 0 { Err(Class::Unavailable) } else { Ok(()) }
    });
    let (dir, random) = (tempfile::tempdir().unwrap(), Arc::<PanicsOnce>::default());
    let (configured, panics) = (vec![crm(&[("track", "f")], 1, HOUR)], Arc::<PanicsOnce>::clone(&random));
    let node = Node::start_changed(dir.path(), &functions, configured, 32 << 20, |deps| deps.random = panics);
    let node = node.await;
    node.stores(["m0", "m1", "m2"].map(|id| json!({ "type": "track", "messageId": id }))).await;
    holds("all to be sent", || functions.invoked("f").contains(&"m2".to_owned())).await;
    assert!(random.0.load(Ordering::SeqCst), "it panicked when it drew the pause after a failure");
    let sent_again = functions.invoked("f").iter().filter(|id| *id == "m1").count();
    assert!(sent_again >= 2, "{:?}", functions.invoked("f"));
    let standing = node.alarms.standing();
    let of_lane =
        |alarm: &Alarm| alarm.kind == AlarmKind::Task && alarm.subject == "destination crm, function f";
    assert!(standing.iter().any(of_lane), "until it has run for a minute: {standing:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_call_is_invoked_once_by_type_and_a_function_that_hangs_delays_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let functions = Functions::new(|_, _| Ok(()));
    functions.hanging.lock().unwrap().insert("pages".to_owned());
    let both = || vec![crm(&[("track", "tracks"), ("page", "pages")], 8, HOUR)];
    let node = Node::start(dir.path(), &functions, both()).await;
    let (tracks, pages) = (calls(0, 3_000, "track"), calls(0, 3_000, "page"));
    for (tracks, pages) in tracks.chunks(100).zip(pages.chunks(100)) {
        node.stores(tracks.iter().chain(pages).cloned()).await;
    }
    holds("every track call is invoked", || functions.invoked("tracks").len() >= 3_000).await;
    let invoked = functions.invoked("tracks");
    assert_eq!((invoked.len(), invoked.into_iter().collect::<BTreeSet<_>>()), (3_000, ids(&tracks)));
    assert!(functions.most.load(Ordering::SeqCst) <= 8);
    let shown = node.destinations.shown().into_values().next().unwrap();
    assert_eq!(shown.lanes["tracks"].seen().succeeded(), 3_000);
    // The function is repaired, and the process starts again.
    node.stopped().await;
    functions.hanging.lock().unwrap().clear();
    let node = Node::start(dir.path(), &functions, both()).await;
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
    let node = Node::start(dir.path(), &functions, vec![crm(&[("track", "f")], 4, HOUR)]).await;
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
    let through = node.spool.follow().durable_through();
    let progress = node.progress();
    holds("all is finished, and dead letters are not sent", || progress.finished_through() >= through).await;
    let record = progress.records().last(Some(Some(Class::BadRequest)), 1);
    assert_eq!(
        (record[0].request_id.as_ref().map(Told::full), record[0].kind.as_str()),
        (Some("r-1"), "track")
    );
    node.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_old_becomes_a_dead_letter_though_the_function_is_forbidden() {
    let dir = tempfile::tempdir().unwrap();
    let functions = Functions::new(|_, _| Err(Class::AccessDenied));
    let configured = vec![crm(&[("track", "f")], 4, Duration::from_secs(1))];
    let node = Node::start(dir.path(), &functions, configured).await;
    node.stores(calls(0, 500, "track")).await;
    holds("all are dead letters", || node.dead_letters().len() >= 500).await;
    assert!(functions.invoked("f").len() <= 8, "a forbidden function is asked rarely");
    holds("an alarm says what to do", || {
        let standing = node.alarms.standing();
        standing
            .iter()
            .any(|alarm| alarm.subject == "crm, function f" && alarm.what.contains("lambda:InvokeFunction"))
    })
    .await;
    assert_eq!(node.dead_letters()[0]["class"], "access-denied");
    node.stopped().await;
}

/// 19,996 of 20,000 calls were sent again after a restart, because one of them waited for its next try.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_waits_has_no_other_sent_again_after_a_restart() {
    const CALLS: usize = 3_000;
    let dir = tempfile::tempdir().unwrap();
    let all = calls(0, CALLS, "track");
    let (waits, tries) = (all[0]["messageId"].clone(), Arc::new(AtomicUsize::new(0)));
    let (tried, taken) = (Arc::clone(&tries), Arc::new(Mutex::new(Vec::new())));
    let taking = Arc::clone(&taken);
    let functions = Functions::new(move |call, _| {
        if call["messageId"] == waits {
            tried.fetch_add(1, Ordering::SeqCst);
            return Err(Class::Unavailable);
        }
        taking.lock().unwrap().push(call["messageId"].as_str().unwrap().to_owned());
        Ok(())
    });
    for life in 0..4 {
        let node = Node::start(dir.path(), &functions, vec![crm(&[("track", "f")], 16, HOUR)]).await;
        if life == 0 {
            for piece in all.chunks(200) {
                node.stores(piece.to_vec()).await;
            }
        }
        let (progress, before) = (node.progress(), tries.load(Ordering::SeqCst));
        holds("the others were taken, and it is tried again", || {
            let is_read = progress.seen().read_through >= CALLS as u64 && progress.seen().in_flight == 0;
            is_read && taken.lock().unwrap().len() >= CALLS - 1 && tries.load(Ordering::SeqCst) > before
        })
        .await;
        // The log has lines of its own behind the calls: each start and stop may add some.
        let is_noted = || {
            let kept = std::fs::read(dir.path().join(FILE)).unwrap_or_default();
            let kept: Value = serde_json::from_slice(&kept).unwrap_or_default();
            let ahead = &kept["destinations"]["crm"]["ahead"]["f"];
            ahead["through"].as_u64() >= Some(CALLS as u64) && ahead["unfinished"] == json!([1])
        };
        holds("that is noted", is_noted).await;
        match life % 2 {
            0 => node.killed().await,
            _ => node.stopped().await,
        }
    }
    let taken: Vec<String> = taken.lock().unwrap().clone();
    assert_eq!(taken.len(), CALLS - 1, "each once");
    assert_eq!(taken.into_iter().collect::<BTreeSet<_>>().len(), CALLS - 1);
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
    let one_lane = || vec![crm(&[("track", "f")], 16, HOUR)];
    Node::start(dir.path(), &functions, one_lane()).await.killed().await;
    for life in 0..6 {
        let node = Node::start(dir.path(), &functions, one_lane()).await;
        for piece in 0..5 {
            let new = calls(life * 1_000 + piece * 200, 200, "track");
            sent.extend(ids(&new));
            node.stores(new).await;
        }
        let progress = node.progress();
        holds("something was invoked", || progress.seen().succeeded() > 100).await;
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

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_destination_sends_what_waits_and_a_changed_one_sends_each_call_where_it_was_to_go() {
    let dir = tempfile::tempdir().unwrap();
    let functions = Functions::new(|_, _| Ok(()));
    functions.hanging.lock().unwrap().extend(["old".to_owned(), "new".to_owned()]);
    let node = Node::start(dir.path(), &functions, vec![crm(&[("track", "old")], 2, HOUR)]).await;
    node.stores(calls(0, 50, "track")).await;
    node.destinations.set(vec![crm(&[("track", "new")], 2, HOUR)]).await.unwrap();
    node.stores(calls(50, 50, "track")).await;
    let name = || SourceId::new("crm").unwrap();
    assert!(matches!(node.destinations.discard(name()).await, Err(CommandError::Configured(_))));
    node.destinations.set(Vec::new()).await.unwrap();
    node.stores(calls(100, 50, "track")).await;
    // What is kept survives a restart without the destination in the configuration.
    node.stopped().await;
    functions.hanging.lock().unwrap().clear();
    let node = Node::start(dir.path(), &functions, Vec::new()).await;
    holds("the removed destination has ended", || node.destinations.shown().is_empty()).await;
    let (old, new) = (functions.invoked("old"), functions.invoked("new"));
    assert_eq!((old.len(), new.len()), (50, 50));
    assert_eq!(old.into_iter().collect::<BTreeSet<_>>(), ids(&calls(0, 50, "track")));
    assert_eq!(new.into_iter().collect::<BTreeSet<_>>(), ids(&calls(50, 50, "track")));
    assert!(matches!(node.destinations.discard(name()).await, Err(CommandError::Unknown(_))));
    node.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_removed_destination_can_be_dropped_and_unusable_settings_are_an_alarm() {
    let dir = tempfile::tempdir().unwrap();
    let functions = Functions::new(|_, _| Ok(()));
    functions.hanging.lock().unwrap().insert("f".to_owned());
    let configured = DestinationSettings { typed: String::new(), ..crm(&[("track", "f")], 2, HOUR) };
    let node = Node::start(dir.path(), &functions, vec![configured]).await;
    node.stores(calls(0, 50, "track")).await;
    node.stopped().await;
    let node = Node::start(dir.path(), &functions, Vec::new()).await;
    holds("an alarm says that the settings cannot be used", || {
        node.alarms.standing().iter().any(|alarm| alarm.what.contains("a secret is gone"))
    })
    .await;
    node.destinations.discard(SourceId::new("crm").unwrap()).await.unwrap();
    holds("nothing is kept", || node.destinations.shown().is_empty() && node.alarms.standing().is_empty())
        .await;
    assert_eq!(functions.invoked("f").len(), 0);
    node.stopped().await;
}

/// A share of the log that is soon used up.
const SMALL_SHARE: u64 = 256 << 10;

/// Stores 100 calls of each type so many times. The archive then has all.
async fn stores_much(node: &Node, times: usize, kinds: &[&str]) {
    node.goes_to_a_bucket();
    for piece in 0..times {
        for kind in kinds {
            node.stores(calls(piece * 100, 100, kind)).await;
        }
    }
    node.delivers();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_beyond_the_share_moves_to_queues_and_frees_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let functions = Functions::new(|_, _| Ok(()));
    let hang = |functions: &Functions| {
        functions.hanging.lock().unwrap().extend(["tracks", "pages"].map(str::to_owned));
    };
    hang(&functions);
    let configured = || vec![crm(&[("track", "tracks"), ("page", "pages")], 2, HOUR)];
    let queued = |node: &Node| {
        let shown = node.destinations.shown().into_values().next().unwrap();
        ["tracks", "pages"].map(|function| shown.lanes[function].seen().queued)
    };
    let files = || std::fs::read_dir(dir.path().join("queued")).unwrap().count();
    let node = Node::start_with(dir.path(), &functions, configured(), SMALL_SHARE).await;
    stores_much(&node, 40, &["track", "page", "identify"]).await;
    let log = node.spool.follow();
    holds("the log keeps no more than its share", || log.held_bytes() <= SMALL_SHARE).await;
    holds("both have queued", || queued(&node).iter().all(|bytes| *bytes > 100_000)).await;
    drop(log);
    // The process dies, and the next goes on to queue.
    node.killed().await;
    let node = Node::start_with(dir.path(), &functions, configured(), SMALL_SHARE).await;
    assert!(files() >= 2);
    stores_much(&node, 40, &["group"]).await;
    let log = node.spool.follow();
    holds("the log keeps no more than its share", || log.held_bytes() <= SMALL_SHARE).await;
    drop(log);
    node.stopped().await;
    assert_eq!(functions.invoked("tracks").len() + functions.invoked("pages").len(), 0);
    // The functions are repaired.
    functions.hanging.lock().unwrap().clear();
    let node = Node::start_with(dir.path(), &functions, configured(), SMALL_SHARE).await;
    for (function, kind) in [("tracks", "track"), ("pages", "page")] {
        holds("every call is invoked", || functions.invoked(function).len() >= 4_000).await;
        let invoked = functions.invoked(function);
        assert_eq!(
            (invoked.len(), invoked.into_iter().collect::<BTreeSet<_>>()),
            (4_000, ids(&calls(0, 4_000, kind)))
        );
    }
    holds("the queues are gone", || files() == 0 && queued(&node) == [0, 0]).await;
    let log = node.spool.follow();
    holds("the log is free", || log.held_bytes() == 0).await;
    drop(log);
    assert_eq!(node.dead_letters().len(), 0);
    node.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_wait_through_many_changes_go_where_they_would_have() {
    const CHANGES: usize = 250;
    let dir = tempfile::tempdir().unwrap();
    let functions = Functions::new(|_, _| Ok(()));
    let both = ["f", "g"];
    functions.hanging.lock().unwrap().extend(both.map(str::to_owned));
    let at = |change: usize| vec![crm(&[("track", both[change % 2])], 2, HOUR)];
    let mut node = Node::start_with(dir.path(), &functions, at(0), SMALL_SHARE).await;
    for change in 0..CHANGES {
        node.destinations.set(at(change)).await.unwrap();
        node.stores(calls(change * 10, 10, "track")).await;
        if change % 100 == 99 {
            node.killed().await;
            node = Node::start_with(dir.path(), &functions, at(change), SMALL_SHARE).await;
        }
    }
    let routes = || {
        let file = std::fs::read(dir.path().join("destinations.json")).unwrap();
        serde_json::from_slice::<Value>(&file).unwrap()["destinations"]["crm"]["routes"]
            .as_array()
            .unwrap()
            .len()
    };
    holds("what waits is queued, and its routes are forgotten", || routes() <= 100).await;
    node.stopped().await;
    functions.hanging.lock().unwrap().clear();
    let node = Node::start_with(dir.path(), &functions, at(CHANGES - 1), SMALL_SHARE).await;
    holds("every call is invoked", || {
        both.map(|function| functions.invoked(function).len()).iter().sum::<usize>() >= CHANGES * 10
    })
    .await;
    for (index, function) in both.into_iter().enumerate() {
        let own = (0..CHANGES).filter(|change| change % 2 == index);
        let own: BTreeSet<String> = own.flat_map(|change| ids(&calls(change * 10, 10, "track"))).collect();
        assert_eq!(functions.invoked(function).into_iter().collect::<BTreeSet<_>>(), own, "{function}");
    }
    assert_eq!(node.dead_letters().len(), 0);
    node.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_discarded_leaves_no_queue() {
    let dir = tempfile::tempdir().unwrap();
    let functions = Functions::new(|_, _| Ok(()));
    functions.hanging.lock().unwrap().insert("f".to_owned());
    let files = || std::fs::read_dir(dir.path().join("queued")).unwrap().count();
    let node =
        Node::start_with(dir.path(), &functions, vec![crm(&[("track", "f")], 2, HOUR)], SMALL_SHARE).await;
    stores_much(&node, 40, &["track", "page"]).await;
    holds("calls are queued", || files() > 0).await;
    node.destinations.set(Vec::new()).await.unwrap();
    node.destinations.discard(SourceId::new("crm").unwrap()).await.unwrap();
    holds("nothing is left", || files() == 0 && node.spool.follow().held_bytes() == 0).await;
    node.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_says_which_calls_wait_for_functions_and_drops_them_only_if_told() {
    let dir = tempfile::tempdir().unwrap();
    let functions = Functions::new(|_, _| Ok(()));
    functions.hanging.lock().unwrap().insert("f".to_owned());
    let configured = || vec![crm(&[("track", "f"), ("page", "g")], 2, HOUR)];
    let node = Node::start_with(dir.path(), &functions, configured(), SMALL_SHARE).await;
    stores_much(&node, 40, &["track", "page"]).await;
    holds("the other function has all", || functions.invoked("g").len() == 4_000).await;
    holds("calls are queued", || std::fs::read_dir(dir.path().join("queued")).unwrap().count() > 0).await;
    node.stopped().await;
    let looked = spool("inspect", dir.path(), &[]);
    assert!(
        looked.out.contains("crm, f: has finished up to position 0 of 8001; what waits up to "),
        "{looked:?}"
    );
    assert!(looked.out.contains("crm, g: has finished up to position 8000 of 8001"), "{looked:?}");
    let about = spool("inspect", dir.path(), &["--json"]).json();
    assert_eq!(
        (&about["functions"][0]["function"], &about["functions"][0]["finished"]),
        (&json!("f"), &json!(0))
    );
    let to = tempfile::tempdir().unwrap();
    let to = ["--to", to.path().to_str().unwrap()];
    for _ in 0..2 {
        let kept = spool("drain", dir.path(), &to);
        assert_eq!(kept.code, Some(1), "{kept:?}");
        assert!(kept.err.contains("4,000 calls wait for f of the destination crm"), "{kept:?}");
        assert!(kept.err.contains("--drop-destinations"), "{kept:?}");
    }
    // Nothing was lost by that.
    functions.hanging.lock().unwrap().clear();
    let node = Node::start_with(dir.path(), &functions, configured(), SMALL_SHARE).await;
    holds("every call is invoked", || functions.invoked("f").len() == 4_000).await;
    functions.hanging.lock().unwrap().insert("f".to_owned());
    node.stores(calls(4_000, 10, "track")).await;
    node.stopped().await;
    let dropped = spool("drain", dir.path(), &[&to[..], &["--drop-destinations"]].concat());
    assert_eq!(dropped.code, Some(0), "{dropped:?}");
    assert!(dropped.out.contains("can be removed"), "{dropped:?}");
    assert_eq!(spool("inspect", dir.path(), &["--json"]).json()["functions"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn if_nothing_can_be_queued_the_oldest_calls_become_dead_letters() {
    let dir = tempfile::tempdir().unwrap();
    let functions = Functions::new(|_, _| Err(Class::AccessDenied));
    let node =
        Node::start_with(dir.path(), &functions, vec![crm(&[("track", "f")], 2, HOUR)], SMALL_SHARE).await;
    // Nothing can be made where there is no directory.
    std::fs::remove_dir(dir.path().join("queued")).unwrap();
    stores_much(&node, 40, &["track"]).await;
    holds("the oldest calls are dead letters", || !node.dead_letters().is_empty()).await;
    holds("no more is kept than may be", || node.spool.follow().held_bytes() <= SMALL_SHARE).await;
    assert!(node.dead_letters().len() < 4_000, "only what is too much");
    node.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_keeps_too_much_of_the_spool_becomes_dead_letters_and_frees_it() {
    let dir = tempfile::tempdir().unwrap();
    let functions = Functions::new(|_, _| Err(Class::AccessDenied));
    let settings = DestinationSettings { max_queue: SMALL_SHARE, ..crm(&[("track", "f")], 2, HOUR) };
    let node = Node::start(dir.path(), &functions, vec![settings]).await;
    stores_much(&node, 120, &["track"]).await;
    holds("the oldest calls are dead letters", || !node.dead_letters().is_empty()).await;
    holds("no more is kept than may be", || node.spool.follow().held_bytes() <= SMALL_SHARE).await;
    let letters = node.dead_letters();
    assert!(letters.len() < 12_000, "only what is too much: {}", letters.len());
    assert_eq!(letters[0]["class"], "access-denied");
    node.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_are_filled_and_a_refused_one_is_sent_call_by_call() {
    let dir = tempfile::tempdir().unwrap();
    let functions =
        Functions::new(
            |call, _| if call["messageId"] == "track-7" { Err(Class::BadRequest) } else { Ok(()) },
        );
    let bounds = BatchBounds { calls: 40, bytes: 1_000_000 };
    let settings = DestinationSettings { batch: Some(bounds), ..crm(&[("track", "f")], 1, HOUR) };
    let node = Node::start(dir.path(), &functions, vec![settings]).await;
    node.stores(calls(0, 400, "track")).await;
    holds("all but one are taken", || functions.invoked("f").len() >= 399).await;
    holds("the other is a dead letter", || node.dead_letters().len() == 1).await;
    assert_eq!(node.dead_letters()[0]["call"]["messageId"], "track-7");
    assert_eq!(functions.invoked("f").len(), 399, "each once");
    assert_eq!(functions.largest.load(Ordering::SeqCst), 40, "one invocation at a time, and full");
    node.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_wait_when_the_type_is_changed_become_dead_letters_and_go_nowhere_else() {
    let dir = tempfile::tempdir().unwrap();
    let functions = Functions::new(|_, _| Ok(()));
    functions.hanging.lock().unwrap().insert("arn".to_owned());
    let node = Node::start(dir.path(), &functions, vec![crm(&[("track", "arn")], 1, HOUR)]).await;
    node.stores(calls(0, 20, "track")).await;
    node.stopped().await;
    functions.hanging.lock().unwrap().clear();
    let url = DestinationSettings {
        functions_at: FunctionsAt::Url(SecretText("http://127.0.0.1:1/".to_owned())),
        ..crm(&[("track", URL)], 1, HOUR)
    };
    let node = Node::start(dir.path(), &functions, vec![url]).await;
    holds("what waited is a dead letter", || node.dead_letters().len() == 20).await;
    assert_eq!(node.dead_letters()[0]["function"], "arn");
    node.stores(calls(20, 20, "track")).await;
    holds("what comes goes to the address", || functions.invoked(URL).len() == 20).await;
    assert_eq!(functions.invoked("arn"), Vec::<String>::new());
    node.stopped().await;
}
