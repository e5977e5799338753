//! Every answer of a store, and what becomes of the object: it is there once, whatever was said.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use forebay::alarms::AlarmKind;
use forebay::delivery::DeliverySettings;
use forebay::disk::Disk;
use forebay::disk::real_disk::RealDisk;
use forebay::log::notes::CallNote;
use forebay::spool::format::Ident;
use forebay::spool::manifest::{self, Manifest};
use forebay::store::fake::{FakeStore, Gate, Step};
use forebay::store::{Body, ObjectStore as _, Put, PutMode};

use super::node::*;

/// One batch is delivered through `steps`; returns puts and heads.
async fn through(steps: Vec<Step>, prepare: impl FnOnce(&FakeStore)) -> (u64, u64) {
    let (dir, store, clock) = (tempfile::tempdir().unwrap(), FakeStore::new(), StepClock::new());
    store.script(steps);
    prepare(&store);
    let node = Node::open(dir.path(), &store, &clock);
    node.send("web", "bucket");
    node.append("web", &lines(0, 50)).await;
    node.flush().await;
    assert_eq!(store.steps_left(), 0);
    assert_eq!(store.keys().len(), 1);
    let (_, object) = objects(&store, "bucket", "").remove(0);
    assert_eq!(lines_of(&object), lines(0, 50));
    eventually("its frames are let go", || node.log().usage().batches == 0).await;
    node.halt().await;
    (store.puts(), store.heads())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_failure_ends_in_the_one_object() {
    let plain = |_: &FakeStore| ();
    let cases: Vec<(&str, Vec<Step>, (u64, u64))> = vec![
        ("nothing", vec![], (1, 0)),
        ("409", vec![Step::BUSY, Step::BUSY], (3, 0)),
        ("503", vec![Step::SLOW_DOWN], (2, 0)),
        ("an answer lost after it was applied", vec![Step::LoseAnswer], (2, 1)),
        ("two answers lost", vec![Step::LoseAnswer, Step::BUSY], (3, 1)),
        ("412 and nothing there", vec![Step::EXISTS], (2, 1)),
        ("other bytes arrived", vec![Step::DIGEST], (2, 0)),
        ("refused, then not", vec![Step::REFUSED, Step::REFUSED], (3, 0)),
    ];
    for (what, steps, calls) in cases {
        assert_eq!(through(steps, plain).await, calls, "{what}");
    }
    // Without the right to read, a plain put of the same content under the same name is as good.
    let calls = through(vec![Step::LoseAnswer], |store| store.refuse_heads(true)).await;
    assert_eq!(calls, (3, 1), "412, HEAD refused, plain put");
}

/// A store, or something before it, that answers 412 whatever is put, and knows nothing of the object.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_taken_by_nothing_is_said_in_words_and_becomes_an_alarm() {
    let (dir, store, clock) = (tempfile::tempdir().unwrap(), FakeStore::new(), StepClock::new());
    store.script(vec![Step::EXISTS; 2_000]);
    let node = Node::open(dir.path(), &store, &clock);
    node.send("web", "bucket");
    node.append("web", &lines(0, 5)).await;
    clock.pass(Duration::from_secs(3_700));
    eventually("the alarm", || {
        clock.pass(Duration::from_secs(30));
        let alarm = node.alarms.standing().into_iter().find(|alarm| alarm.kind == AlarmKind::Unreachable);
        alarm.is_some_and(|alarm| {
            alarm.what.contains("412")
                && alarm.what.contains("reports that an object has this key, but does not find it")
        })
    })
    .await;
    node.halt().await;
}

/// With PutObject alone an object in the way is replaced, whoever put it: that is counted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_that_is_replaced_because_it_may_not_be_looked_at_is_counted() {
    for (refused, counted) in [(false, 0), (true, 1)] {
        let (dir, store, clock) = (tempfile::tempdir().unwrap(), FakeStore::new(), StepClock::new());
        store.script([Step::LoseAnswer]);
        store.refuse_heads(refused);
        let node = Node::open(dir.path(), &store, &clock);
        node.send("web", "bucket");
        node.append("web", &lines(0, 5)).await;
        node.flush().await;
        assert_eq!(node.metrics.puts_unasked.get(), counted);
        assert_eq!(lines_of(&objects(&store, "bucket", "").remove(0).1), lines(0, 5));
        node.halt().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plain_put_that_is_refused_asks_again() {
    let (dir, store, clock) = (tempfile::tempdir().unwrap(), FakeStore::new(), StepClock::new());
    // Stored, and the answer lost; 412; the HEAD refused; and the policy lets nobody replace anything.
    let gate = Gate::new();
    store.script([Step::LoseAnswer, Step::EXISTS, Step::REFUSED, Step::HoldRequest(gate.clone())]);
    store.refuse_heads(true);
    let node = Node::open(dir.path(), &store, &clock);
    node.send("web", "bucket");
    node.append("web", &lines(0, 5)).await;
    node.delivery.flush(None, Duration::ZERO).await;
    eventually("the put after the plain one", || gate.is_awaited()).await;
    store.refuse_heads(false);
    gate.open();
    node.flush().await;
    let (_, object) = objects(&store, "bucket", "").remove(0);
    assert_eq!((object.writes, lines_of(&object)), (1, lines(0, 5)), "it was ours, and was not replaced");
    node.halt().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_put_that_is_applied_late_changes_nothing() {
    let (dir, store, clock) = (tempfile::tempdir().unwrap(), FakeStore::new(), StepClock::new());
    store.script([Step::ApplyLate, Step::SLOW_DOWN]);
    let node = Node::open(dir.path(), &store, &clock);
    node.send("web", "bucket");
    node.append("web", &lines(0, 5)).await;
    node.flush().await;
    store.apply_late();
    assert_eq!(stored(&store, "bucket", "web"), lines(0, 5));
    store.script([Step::ApplyLate, Step::SLOW_DOWN, Step::SLOW_DOWN, Step::SLOW_DOWN]);
    node.append("web", &lines(5, 5)).await;
    let late = async {
        eventually("the slow request", || store.puts() > 3).await;
        store.apply_late();
    };
    tokio::join!(node.flush(), late);
    assert_eq!(stored(&store, "bucket", "web"), lines(0, 10));
    node.halt().await;
}

/// Puts something else where the object that is just being put will stand, as a foreign writer might.
pub(super) async fn squat(store: &FakeStore, node: &Node) {
    let pending = node.pending();
    let seal = &pending[0].seal;
    let put = Put {
        location: seal.location.clone(),
        key: seal.object_key.clone(),
        body: Body::Bytes("foreign".into()),
        crc32: crc32fast::hash(b"foreign"),
        content_encoding: None,
        metadata: vec![],
        tags: Vec::new(),
        mode: PutMode::CreateOnly,
    };
    store.put(&put).await.unwrap();
}

/// What `forebay spool resolve` notes.
fn resolve(dir: &Path, seal: u64) {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::open(dir).unwrap());
    let id = Ident::read(&*disk).unwrap().unwrap().spool_id;
    let (number, state) = manifest::read_newest(&*disk, &id).unwrap().unwrap();
    let mut manifest =
        Manifest::begin(disk, id, number + 1, state, forebay::spool::SpoolOptions::default().manifest_bytes)
            .unwrap();
    manifest.append(vec![CallNote::Retry { number: seal, overwrite: false, aside: false }], |_| ()).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conflict_stops_its_source_alone_and_waits_for_a_person_across_restarts() {
    let (dir, store, clock) = (tempfile::tempdir().unwrap(), FakeStore::new(), StepClock::new());
    let node = Node::open(dir.path(), &store, &clock);
    node.send("web", "bucket");
    node.send("ios", "bucket");
    node.append("web", &lines(0, 5)).await;
    let gate = Gate::new();
    store.script([Step::HoldRequest(gate.clone())]);
    node.delivery.flush(None, Duration::ZERO).await;
    eventually("the put", || gate.is_awaited()).await;
    squat(&store, &node).await;
    gate.open();
    eventually("the alarm", || node.has_alarm(AlarmKind::Conflict)).await;
    node.append("web", &lines(5, 5)).await;
    node.append("ios", &lines(50, 5)).await;
    let flushed = node.delivery.flush(Some(&source("ios")), SOON).await;
    assert_eq!((flushed.delivered, flushed.pending), (1, 0), "another source goes on");
    let (foreign, puts) = (node.pending()[0].seal.clone(), store.puts());
    node.halt().await;

    let node = Node::open(dir.path(), &store, &clock);
    assert!(node.has_alarm(AlarmKind::Conflict) && node.pending()[0].conflict);
    node.delivery.flush(None, Duration::from_millis(300)).await;
    assert_eq!(store.puts(), puts, "nothing is put for a source with a conflict");
    node.halt().await;

    store.delete("bucket", foreign.object_key.as_str());
    resolve(dir.path(), foreign.number);
    let node = Node::open(dir.path(), &store, &clock);
    node.flush().await;
    assert!(!node.has_alarm(AlarmKind::Conflict));
    assert_eq!(stored(&store, "bucket", "web"), lines(0, 10));
    node.halt().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_refuses_is_an_alarm_after_three_tries_and_none_once_it_takes_puts() {
    let (dir, store, clock) = (tempfile::tempdir().unwrap(), FakeStore::new(), StepClock::new());
    store.refuse_bucket("bucket", true);
    let node = Node::open(dir.path(), &store, &clock);
    node.send("web", "bucket");
    node.append("web", &lines(0, 5)).await;
    node.delivery.flush(None, Duration::ZERO).await;
    eventually("the alarm", || node.has_alarm(AlarmKind::Refused)).await;
    assert!(store.puts() >= 3, "{}", store.puts());
    store.refuse_bucket("bucket", false);
    store.miss_bucket("bucket", true);
    let before = store.puts();
    eventually("more tries", || store.puts() > before + 3).await;
    store.miss_bucket("bucket", false);
    node.flush().await;
    eventually("the alarm's end", || !node.has_alarm(AlarmKind::Refused)).await;
    assert_eq!(stored(&store, "bucket", "web"), lines(0, 5));
    node.halt().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_without_conditions_gets_plain_puts_of_the_same_object() {
    let (dir, store, clock) = (tempfile::tempdir().unwrap(), FakeStore::new(), StepClock::new());
    store.ignore_conditions(true);
    store.script([Step::LoseAnswer]);
    let plain = DeliverySettings { put_mode: PutMode::Overwrite, ..settings() };
    let node = Node::open_with(dir.path(), &store, &clock, options(), plain);
    node.send("web", "bucket");
    node.append("web", &lines(0, 5)).await;
    node.flush().await;
    let (_, object) = objects(&store, "bucket", "").remove(0);
    assert_eq!((object.writes, store.heads(), lines_of(&object)), (2, 0, lines(0, 5)));
    node.halt().await;
}
