//! Days that are over: when they are closed, what their markers say, and that nothing is added to them any
//! more.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use forebay::alarms::AlarmKind;
use forebay::boxed_future::BoxFuture;
use forebay::delivery::{ClosedDay, DayHook};
use forebay::disk::Disk;
use forebay::disk::real_disk::RealDisk;
use forebay::log::{AppendError, DayStage};
use forebay::object::closed_marker::{ClosedMarker, Closing, ParsedMarkerKey};
use forebay::object::metadata::Metadata;
use forebay::object::{BucketString, ObjectKey, ParsedObjectKey, Stream};
use forebay::store::fake::{FakeObject, FakeStore, Step};
use forebay::time::{DAY_MS, ReceivedDay, UnixMillis};

use super::node::*;
use crate::support::hooked_disk::{Change, hooked_disk};

const TODAY: i64 = EVENING - EVENING % DAY_MS;
const TOMORROW: i64 = TODAY + DAY_MS;

fn stage(node: &Node, name: &str, day: ReceivedDay) -> Option<DayStage> {
    node.log().unclosed_days().get(&(day, source(name))).copied()
}

fn markers(store: &FakeStore, bucket: &str) -> Vec<(String, FakeObject)> {
    objects(store, bucket, "segment-logs/_closed/")
}

/// Lets time go on past midnight until `done`.
async fn past_midnight(clock: &StepClock, what: &str, mut done: impl FnMut() -> bool) {
    if clock.now() < TOMORROW {
        clock.set_wall(TOMORROW);
    }
    eventually(what, || {
        clock.pass(Duration::from_secs(7));
        done()
    })
    .await;
}

/// The marker of a source's day in a bucket, read as `forebay verify` reads it and held against the objects
/// there.
fn proved(store: &FakeStore, bucket: &str, name: &str) -> ClosedMarker {
    let of = BucketString::parse(bucket).unwrap();
    let found = markers(store, of.bucket());
    let (key, object) = found.iter().find(|(key, _)| key.contains(&format!("/{name}/"))).unwrap();
    assert_eq!(object.writes, 1, "{key}");
    let place = ParsedMarkerKey::of(&of, key).unwrap();
    let marker = ClosedMarker::read(&place, &object.bytes).unwrap();
    let rooms: Stream = "objects/rooms".parse().unwrap();
    for stream in [Stream::Calls, Stream::Rejected, rooms] {
        let mut of_stream: Vec<(u64, String, FakeObject)> = objects(store, of.bucket(), "")
            .into_iter()
            .filter_map(|(key, object)| {
                let at = ParsedObjectKey::of(&of, &key)?;
                let ours = (&at.stream, at.source.as_str(), at.day) == (&stream, name, place.day);
                ours.then_some((at.first_position, key, object))
            })
            .collect();
        of_stream.sort_by_key(|(first, ..)| *first);
        let mut closing = Closing::default();
        for (_, key, object) in &of_stream {
            closing.push(&of, &ObjectKey::listed(key), &Metadata::read(&object.metadata).unwrap());
        }
        assert_eq!(marker.streams.get(&stream), closing.sum(), "{stream:?}");
    }
    marker
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_source_that_had_calls_gets_one_marker_after_its_last_object() {
    let (dir, store, clock) = (tempfile::tempdir().unwrap(), FakeStore::new(), StepClock::new());
    let node = Node::open(dir.path(), &store, &clock);
    for name in ["web", "ios", "silent"] {
        node.send(name, "bucket/some/prefix");
    }
    for n in 0..3 {
        node.append("web", &lines(n * 10, 10)).await;
        node.flush().await;
    }
    node.append("ios", &lines(100, 5)).await;
    node.reject("ios", "{\"reason\":\"unknown_type\"}").await;
    clock.set_wall(TOMORROW + 30_000);
    node.append("web", &lines(50, 1)).await;
    assert_eq!(markers(&store, "bucket"), []);
    let day = UnixMillis(TODAY).day();
    assert_eq!(stage(&node, "web", day), Some(DayStage::Open));
    past_midnight(&clock, "two markers", || markers(&store, "bucket").len() == 2).await;
    let web = proved(&store, "bucket/some/prefix", "web");
    let calls = &web.streams[&Stream::Calls];
    assert_eq!((calls.objects, calls.calls, calls.first_position, calls.last_position), (3, 30, 1, 30));
    assert_eq!(web.streams.len(), 1);
    let ios = proved(&store, "bucket/some/prefix", "ios");
    assert_eq!(ios.streams[&Stream::Calls].calls, 5);
    assert_eq!(ios.streams[&Stream::Rejected].calls, 1);
    eventually("both are noted", || node.log().unclosed_days().len() == 1).await;
    assert_eq!(stage(&node, "web", day), None, "closed");
    node.halt().await;
    // Closed is closed.
    let puts = store.puts();
    let node = Node::open(dir.path(), &store, &clock);
    assert_eq!(node.log().days_over(), Some(day));
    node.flush().await;
    let after = store.puts();
    assert_eq!(after, puts + 1, "today's object, and no marker again");
    node.halt().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_marker_names_the_day_before_it_also_after_a_restart() {
    let (dir, store, clock) = (tempfile::tempdir().unwrap(), FakeStore::new(), StepClock::new());
    let mut node = Node::open(dir.path(), &store, &clock);
    let mut before = None;
    // The third day has no calls.
    for (round, nth) in (0_u32..).zip([0, 1, 3]) {
        let name = if round == 1 { "ios" } else { "web" };
        clock.set_wall(TODAY + nth * DAY_MS + 1_000);
        for name in ["web", name] {
            node.send(name, "bucket");
            node.append(name, &lines(round * 10, 1)).await;
        }
        clock.set_wall(TODAY + (nth + 1) * DAY_MS);
        let of_web = || {
            let all = markers(&store, "bucket");
            let mut of_web = all.into_iter().filter(|(key, _)| key.contains("/web/"));
            of_web.nth(round as usize)
        };
        eventually("its marker", || {
            clock.pass(Duration::from_secs(7));
            of_web().is_some()
        })
        .await;
        let (key, object) = of_web().unwrap();
        let place = ParsedMarkerKey::of(&BucketString::parse("bucket").unwrap(), &key).unwrap();
        let marker = ClosedMarker::read(&place, &object.bytes).unwrap();
        assert_eq!(marker.previous_day, before, "{key}");
        before = Some(marker.day);
        node.halt().await;
        node = Node::open(dir.path(), &store, &clock);
    }
    let ios = markers(&store, "bucket").into_iter().find(|(key, _)| key.contains("/ios/")).unwrap();
    assert!(!String::from_utf8_lossy(&ios.1.bytes).contains("previous_day"), "its first");
    node.halt().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_added_to_a_day_that_is_over_whatever_the_clock_says() {
    let (dir, store, clock) = (tempfile::tempdir().unwrap(), FakeStore::new(), StepClock::new());
    let node = Node::open(dir.path(), &store, &clock);
    node.send("web", "bucket");
    node.append("web", &lines(0, 1)).await;
    assert_eq!(node.spool.appender().not_before(), UnixMillis(i64::MIN));
    past_midnight(&clock, "its marker", || markers(&store, "bucket").len() == 1).await;
    clock.set_wall(TOMORROW - 1);
    for round in 0..2 {
        assert_eq!(node.spool.appender().not_before(), UnixMillis(TOMORROW), "{round}");
        assert_eq!(node.try_append("web", &lines(1, 1)).await, Err(AppendError::DayOver));
    }
    node.halt().await;
    let node = Node::open(dir.path(), &store, &clock);
    assert_eq!(node.try_append("web", &lines(1, 1)).await, Err(AppendError::DayOver), "after a restart, too");
    clock.set_wall(TOMORROW);
    node.append("web", &lines(1, 1)).await;
    node.flush().await;
    assert_eq!(stored(&store, "bucket", "web"), lines(0, 2));
    node.halt().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_was_years_ahead_ends_no_day_without_calls() {
    let (dir, store, clock) = (tempfile::tempdir().unwrap(), FakeStore::new(), StepClock::new());
    let node = Node::open(dir.path(), &store, &clock);
    node.send("web", "bucket");
    node.append("web", &lines(0, 1)).await;
    clock.set_wall(TODAY + 4_000 * DAY_MS + 5_000);
    node.append("web", &lines(1, 1)).await;
    past_midnight(&clock, "today's marker", || markers(&store, "bucket").len() == 1).await;
    assert_eq!(node.log().days_over(), Some(UnixMillis(TODAY).day()));
    // Once the clock is right again, calls are taken as of the day after the one that was closed.
    clock.set_wall(TOMORROW + 1_000);
    node.append("web", &lines(2, 1)).await;
    node.flush().await;
    assert_eq!(stage(&node, "web", UnixMillis(TOMORROW).day()), Some(DayStage::Open));
    node.halt().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_day_waits_for_all_of_its_source_and_for_no_other() {
    let (dir, store, clock) = (tempfile::tempdir().unwrap(), FakeStore::new(), StepClock::new());
    let node = Node::open_with(dir.path(), &store, &clock, options(), {
        let mut settings = settings();
        settings.park_after = Duration::ZERO;
        settings
    });
    node.send("web", "bucket");
    node.send("stuck", "other");
    node.append("web", &lines(0, 5)).await;
    node.append("stuck", &lines(10, 5)).await;
    node.flush().await;
    store.refuse_bucket("other", true);
    node.append("stuck", &lines(15, 5)).await;
    past_midnight(&clock, "one marker", || markers(&store, "bucket").len() == 1).await;
    eventually("what is stuck is parked", || node.pending().iter().any(|pending| pending.parked.is_some()))
        .await;
    let day = UnixMillis(TODAY).day();
    assert_eq!(stage(&node, "stuck", day), Some(DayStage::Delivering));
    assert_eq!(markers(&store, "other"), []);
    store.refuse_bucket("other", false);
    past_midnight(&clock, "the other", || markers(&store, "other").len() == 1).await;
    let calls = proved(&store, "other", "stuck").streams[&Stream::Calls].clone();
    assert_eq!((calls.objects, calls.calls), (2, 10));
    node.halt().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_went_elsewhere_and_came_back_has_a_marker_in_each_place_and_whole_chains() {
    let (dir, store, clock) = (tempfile::tempdir().unwrap(), FakeStore::new(), StepClock::new());
    let node = Node::open(dir.path(), &store, &clock);
    for (n, bucket) in [(0, "first"), (10, "second"), (20, "first"), (30, "second")] {
        node.send("web", bucket);
        node.append("web", &lines(n, 10)).await;
        node.flush().await;
    }
    past_midnight(&clock, "both markers", || {
        markers(&store, "first").len() == 1 && markers(&store, "second").len() == 1
    })
    .await;
    for (bucket, last) in [("first", 30), ("second", 40)] {
        let calls = proved(&store, bucket, "web").streams[&Stream::Calls].clone();
        assert_eq!((calls.objects, calls.calls, calls.last_position), (2, 20, last), "{bucket}");
        // `stored` proves that each object names the one before it in its bucket.
        assert_eq!(stored(&store, bucket, "web").len(), 20);
    }
    node.halt().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_marker_whose_answer_was_lost_is_known_again_also_after_a_restart() {
    let (dir, store, clock) = (tempfile::tempdir().unwrap(), FakeStore::new(), StepClock::new());
    let node = Node::open(dir.path(), &store, &clock);
    node.send("web", "bucket");
    node.append("web", &lines(0, 5)).await;
    node.flush().await;
    store.script([Step::LoseAnswer, Step::SLOW_DOWN]);
    past_midnight(&clock, "the marker", || store.steps_left() == 0).await;
    node.halt().await;
    let node = Node::open(dir.path(), &store, &clock);
    past_midnight(&clock, "it is noted", || node.log().unclosed_days().is_empty()).await;
    proved(&store, "bucket", "web");
    node.halt().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_marker_in_the_way_is_told_and_left_alone() {
    let (dir, store, clock) = (tempfile::tempdir().unwrap(), FakeStore::new(), StepClock::new());
    let node = Node::open(dir.path(), &store, &clock);
    node.send("web", "bucket");
    node.append("web", &lines(0, 5)).await;
    node.flush().await;
    let key = format!("segment-logs/_closed/web/{TODAY}/n1-{}.json", node.log().spool_id());
    put_foreign(&store, &key).await;
    past_midnight(&clock, "the alarm", || node.has_alarm(AlarmKind::Conflict)).await;
    let why = node.delivery.waiting_to_close()[&(UnixMillis(TODAY).day(), source("web"))].clone();
    assert!(why.contains("another marker") && why.contains(&key), "{why}");
    assert_eq!(markers(&store, "bucket")[0].1.bytes, "foreign");
    // It holds up nothing else.
    node.append("web", &lines(5, 5)).await;
    node.flush().await;
    store.delete("bucket", &key);
    eventually("the marker", || node.log().unclosed_days().len() == 1).await;
    proved(&store, "bucket", "web");
    assert!(!node.has_alarm(AlarmKind::Conflict));
    node.halt().await;
}

async fn put_foreign(store: &FakeStore, key: &str) {
    use forebay::store::{Body, ObjectStore as _, Put, PutMode};
    let put = Put {
        location: to("bucket"),
        key: ObjectKey::listed(key),
        body: Body::Bytes("foreign".into()),
        crc32: crc32fast::hash(b"foreign"),
        content_encoding: None,
        metadata: Vec::new(),
        tags: Vec::new(),
        mode: PutMode::CreateOnly,
    };
    store.put(&put).await.unwrap();
}

/// Hears of closed days, after it has failed so often.
#[derive(Debug, Default)]
struct Hearing {
    fails: Mutex<u32>,
    heard: Mutex<Vec<(String, String)>>,
}

impl DayHook for Hearing {
    fn call<'a>(&'a self, day: &'a ClosedDay) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async {
            let mut fails = self.fails.lock().unwrap();
            if *fails > 0 {
                *fails -= 1;
                return Err("not now".to_owned());
            }
            self.heard.lock().unwrap().push((day.marker.source.to_string(), day.key.to_string()));
            Ok(())
        })
    }
}

fn open_with_hook(dir: &Path, store: &FakeStore, clock: &Arc<StepClock>, hook: &Arc<Hearing>) -> Node {
    Node::open_hooked(dir, store, clock, Some(Arc::<Hearing>::clone(hook)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_day_whose_task_died_is_closed_by_another() {
    let (dir, store, clock) = (tempfile::tempdir().unwrap(), FakeStore::new(), StepClock::new());
    let node = Node::open(dir.path(), &store, &clock);
    node.send("web", "bucket");
    node.append("web", &lines(0, 5)).await;
    node.flush().await;
    store.script([Step::Panic, Step::Panic]);
    past_midnight(&clock, "the panics", || store.steps_left() == 0).await;
    past_midnight(&clock, "the marker", || markers(&store, "bucket").len() == 1).await;
    eventually("it is noted", || node.log().unclosed_days().is_empty()).await;
    eventually("no alarm", || !node.has_alarm(AlarmKind::Task)).await;
    proved(&store, "bucket", "web");
    node.halt().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_hook_is_told_after_the_marker_until_it_has_heard() {
    let (dir, store, clock) = (tempfile::tempdir().unwrap(), FakeStore::new(), StepClock::new());
    let hook = Arc::new(Hearing { fails: Mutex::new(u32::MAX), ..Hearing::default() });
    let node = open_with_hook(dir.path(), &store, &clock, &hook);
    node.send("web", "bucket");
    node.append("web", &lines(0, 5)).await;
    past_midnight(&clock, "the alarm", || node.has_alarm(AlarmKind::Hook)).await;
    assert_eq!(markers(&store, "bucket").len(), 1, "the marker first");
    let why = node.delivery.waiting_to_close()[&(UnixMillis(TODAY).day(), source("web"))].clone();
    assert!(why.contains("not now"), "{why}");
    node.halt().await;
    // A restart forgets nothing of it.
    *hook.fails.lock().unwrap() = 5;
    let node = open_with_hook(dir.path(), &store, &clock, &hook);
    past_midnight(&clock, "it is heard", || !hook.heard.lock().unwrap().is_empty()).await;
    eventually("it is noted", || node.log().unclosed_days().is_empty()).await;
    assert!(!node.has_alarm(AlarmKind::Hook));
    let key = markers(&store, "bucket")[0].0.clone();
    assert_eq!(*hook.heard.lock().unwrap(), [("web".to_owned(), key)]);
    node.halt().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_day_of_which_notes_were_lost_is_never_called_closed() {
    let (dir, store, clock) = (tempfile::tempdir().unwrap(), FakeStore::new(), StepClock::new());
    let node = Node::open(dir.path(), &store, &clock);
    node.send("web", "bucket");
    for n in 0..3 {
        node.append("web", &lines(n * 10, 10)).await;
        node.flush().await;
    }
    node.halt().await;
    let manifest = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path());
    let manifest = manifest.filter(|path| path.to_str().unwrap().contains("MANIFEST-")).max().unwrap();
    let mut bytes = std::fs::read(&manifest).unwrap();
    let at = memchr::memmem::find_iter(&bytes, b"\"sealed\":{\"number\"").nth(1).unwrap();
    bytes[at + 2] ^= 1;
    std::fs::write(&manifest, bytes).unwrap();
    let node = Node::open(dir.path(), &store, &clock);
    assert!(node.recovered.manifest_damaged);
    node.append("web", &lines(30, 10)).await;
    clock.set_wall(TOMORROW + 1);
    node.append("web", &lines(40, 10)).await;
    past_midnight(&clock, "the day ends", || node.log().days_over() == Some(UnixMillis(TODAY).day())).await;
    node.flush().await;
    let day = UnixMillis(TODAY).day();
    eventually("all of it is delivered", || stage(&node, "web", day) == Some(DayStage::Unsure)).await;
    // The next day is as sound as any, and is closed; by then the first had its time, too.
    clock.set_wall(TOMORROW + DAY_MS);
    eventually("the next day's marker", || {
        clock.pass(Duration::from_secs(7));
        markers(&store, "bucket").len() == 1
    })
    .await;
    assert!(markers(&store, "bucket")[0].0.contains(&TOMORROW.to_string()));
    node.halt().await;
}

/// Syncs of segments, which hang while somebody holds them.
#[derive(Clone, Default)]
struct Syncs {
    held: Arc<(Mutex<bool>, Condvar)>,
    hang: Arc<AtomicBool>,
}

impl Syncs {
    fn hold(&self, held: bool) {
        *self.held.0.lock().unwrap() = held;
        self.held.1.notify_all();
    }

    fn on(&self, dir: &Path) -> Arc<dyn Disk> {
        let of = self.clone();
        hooked_disk(Arc::new(RealDisk::open(dir).unwrap()), move |change| {
            if matches!(change, Change::Sync(name) if name.starts_with("wal-")) {
                let held = of.held.0.lock().unwrap();
                of.hang.store(*held, Ordering::SeqCst);
                drop(of.held.1.wait_while(held, |held| *held).unwrap());
            }
            Ok(())
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_day_is_not_over_while_a_call_of_it_hangs_in_its_sync() {
    let (dir, store, clock) = (tempfile::tempdir().unwrap(), FakeStore::new(), StepClock::new());
    let syncs = Syncs::default();
    let node = Node::open_on(syncs.on(dir.path()), &store, &clock, (options(), settings()), None);
    node.send("web", "bucket");
    node.append("web", &lines(0, 1)).await;
    node.flush().await;
    let day = UnixMillis(TODAY).day();
    syncs.hold(true);
    {
        let line = lines(1, 1);
        let append = node.append("web", &line);
        let meanwhile = async {
            eventually("the sync hangs", || syncs.hang.load(Ordering::SeqCst)).await;
            let log = node.log();
            let ended = tokio::task::spawn_blocking(move || log.end_days(day));
            eventually("no more calls of the day are taken", || {
                node.spool.appender().not_before() == UnixMillis(TOMORROW)
            })
            .await;
            let closable = node.log().closable(&mut |_, _| true);
            assert!(closable.is_empty(), "{closable:?}");
            syncs.hold(false);
            ended.await.unwrap().unwrap();
        };
        tokio::join!(append, meanwhile);
    }
    assert!(node.log().closable(&mut |_, _| true).is_empty(), "it is stored and not delivered");
    past_midnight(&clock, "the marker", || markers(&store, "bucket").len() == 1).await;
    assert_eq!(proved(&store, "bucket", "web").streams[&Stream::Calls].calls, 2);
    node.halt().await;
}

/// Each marker that a bucket took ended the alarm about those that it refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_alarm_of_a_marker_that_is_refused_stands_while_others_are_taken() {
    let (dir, store, clock) = (tempfile::tempdir().unwrap(), FakeStore::new(), StepClock::new());
    let node = Node::open(dir.path(), &store, &clock);
    store.refuse_below("segment-logs/_closed/web/", true);
    let day = UnixMillis(EVENING).day();
    for name in ["web", "ios"] {
        node.send(name, "bucket");
        node.append(name, &lines(0, 1)).await;
    }
    node.delivery.flush(Some(&source("web")), SOON).await;
    // What waits keeps its day open.
    store.refuse_below("segment-logs/ios/", true);
    past_midnight(&clock, "the alarm", || node.has_alarm(AlarmKind::Closing)).await;
    assert!(stage(&node, "ios", day).is_some());
    store.refuse_below("segment-logs/ios/", false);
    past_midnight(&clock, "the other marker", || markers(&store, "bucket").len() == 1).await;
    eventually("the other day closed", || stage(&node, "ios", day).is_none()).await;
    assert!(node.has_alarm(AlarmKind::Closing), "the first is still refused");
    store.refuse_below("segment-logs/_closed/web/", false);
    past_midnight(&clock, "both markers", || markers(&store, "bucket").len() == 2).await;
    eventually("no alarm", || !node.has_alarm(AlarmKind::Closing)).await;
    node.halt().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_bucket_refuses_holds_up_no_other() {
    let (dir, store, clock) = (tempfile::tempdir().unwrap(), FakeStore::new(), StepClock::new());
    let node = Node::open(dir.path(), &store, &clock);
    for n in 0..300 {
        let name = format!("a{n}");
        node.send(&name, "refusing");
        node.append(&name, &lines(n, 1)).await;
    }
    node.send("web", "bucket");
    node.append("web", &lines(900, 1)).await;
    node.flush().await;
    store.refuse_bucket("refusing", true);
    past_midnight(&clock, "the other bucket's marker", || markers(&store, "bucket").len() == 1).await;
    past_midnight(&clock, "the alarm", || node.has_alarm(AlarmKind::Closing)).await;
    store.refuse_bucket("refusing", false);
    past_midnight(&clock, "all others", || markers(&store, "refusing").len() == 300).await;
    eventually("no alarm", || !node.has_alarm(AlarmKind::Closing)).await;
    node.halt().await;
}
