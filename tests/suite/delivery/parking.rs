//! Objects whose bucket cannot be reached leave the spool's segments to the other sources.

use std::time::Duration;

use forebay::alarms::AlarmKind;
use forebay::delivery::DeliverySettings;
use forebay::log::AppendError;
use forebay::spool::SpoolOptions;
use forebay::store::Fault;
use forebay::store::fake::{FakeStore, Gate, Step};

use super::node::*;
use crate::support::wait::until;

fn parking(after: Duration) -> DeliverySettings {
    DeliverySettings { park_after: after, ..settings() }
}

fn is_parked(node: &Node, count: usize) -> bool {
    let pending = node.pending();
    pending.len() == count && pending.iter().all(|pending| pending.parked.is_some())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_parked_survives_a_restart_and_its_source_goes_on_beside_it() {
    let (dir, store, clock) = (tempfile::tempdir().unwrap(), FakeStore::new(), StepClock::new());
    let park = parking(Duration::from_secs(600));
    let node = Node::open_with(dir.path(), &store, &clock, options(), park);
    node.send("web", "bucket");
    store.refuse_bucket("bucket", true);
    let mut n = 0;
    for round in 1..=3 {
        node.append("web", &lines(n, 200)).await;
        n += 200;
        node.delivery.flush(None, Duration::ZERO).await;
        eventually("the seal", || node.pending().len() == round).await;
        clock.pass(Duration::from_secs(599));
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(!is_parked(&node, round), "ten minutes are not over");
        clock.pass(Duration::from_secs(1));
        eventually("parked", || is_parked(&node, round)).await;
        eventually("its frames are let go", || node.log().usage().batches == 0).await;
    }
    let parked = node.log().usage().parked;
    assert!(parked > 0 && node.log().usage().used >= parked);
    node.append("web", &lines(n, 10)).await;
    node.halt().await;
    let node = Node::open_with(dir.path(), &store, &clock, options(), park);
    assert_eq!((node.recovered.seals, node.log().usage().parked), (3, parked));
    store.refuse_bucket("bucket", false);
    node.flush().await;
    assert_eq!(stored(&store, "bucket", "web"), lines(0, n + 10));
    let files = || std::fs::read_dir(dir.path().join("parked")).unwrap().count();
    eventually("no parked file", || node.log().usage().parked == 0 && files() == 0).await;
    node.halt().await;
}

/// A second SIGTERM, or no file handle: the alarm said that the store had received other bytes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_cannot_be_read_for_a_moment_is_nobodys_damage_and_not_the_stores_fault() {
    let (dir, store, clock) = (tempfile::tempdir().unwrap(), FakeStore::new(), StepClock::new());
    let node = Node::open_with(dir.path(), &store, &clock, options(), parking(Duration::from_millis(20)));
    node.send("web", "bucket");
    store.refuse_bucket("bucket", true);
    node.append("web", &lines(0, 5)).await;
    node.delivery.flush(None, Duration::ZERO).await;
    eventually("parked", || is_parked(&node, 1)).await;
    let (local, last) = (Step::Answer { fault: Fault::Local, status: None, code: None }, Gate::new());
    store.script([local.clone(), local.clone(), local, Step::HoldRequest(last.clone())]);
    store.refuse_bucket("bucket", false);
    let flushed = node.delivery.flush(None, SOON);
    let looks = async {
        eventually("the last try", || last.is_awaited()).await;
        assert!(!node.has_alarm(AlarmKind::Damage), "{:?}", node.alarms.standing());
        last.open();
    };
    assert_eq!(tokio::join!(flushed, looks).0.pending, 0);
    assert_eq!(stored(&store, "bucket", "web"), lines(0, 5));
    node.halt().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_beside_a_parked_object_is_never_worked_on_twice() {
    let (dir, store, clock) = (tempfile::tempdir().unwrap(), FakeStore::new(), StepClock::new());
    let node = Node::open_with(dir.path(), &store, &clock, options(), parking(Duration::from_millis(20)));
    node.send("web", "bucket");
    let (first, second) = (Gate::new(), Gate::new());
    store.script([Step::HoldRequest(first.clone()), Step::HoldRequest(second.clone())]);
    node.append("web", &lines(0, 5)).await;
    node.delivery.flush(None, Duration::ZERO).await;
    eventually("parked", || is_parked(&node, 1)).await;
    node.append("web", &lines(5, 5)).await;
    node.delivery.flush(None, Duration::ZERO).await;
    eventually("the second object on its way", || second.is_awaited() && !is_parked(&node, 1)).await;
    let seals = |node: &Node| node.pending().iter().map(|pending| pending.seal.number).collect::<Vec<_>>();
    assert_eq!(seals(&node), [1, 2]);
    // The first ends, and takes nothing from the second.
    first.open();
    eventually("the first object", || seals(&node) == [2]).await;
    node.append("web", &lines(10, 5)).await;
    second.open();
    node.flush().await;
    assert_eq!(stored(&store, "bucket", "web"), lines(0, 15));
    node.halt().await;
}

/// Seed 701291 of the simulation: a flush was over when the first of them was put.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flush_waits_for_every_object_of_a_batch() {
    let (dir, store, clock) = (tempfile::tempdir().unwrap(), FakeStore::new(), StepClock::new());
    let node = Node::open_with(dir.path(), &store, &clock, options(), parking(Duration::from_millis(20)));
    node.send("web", "bucket");
    let (first, second) = (Gate::new(), Gate::new());
    store.script([Step::HoldRequest(first.clone()), Step::HoldRequest(second.clone())]);
    for (n, seals) in [(0, 1), (5, 2)] {
        node.append("web", &lines(n, 5)).await;
        node.delivery.flush(None, Duration::ZERO).await;
        eventually("parked", || is_parked(&node, seals)).await;
    }
    let put_first = async { first.open() };
    let (flushed, ()) = tokio::join!(node.delivery.flush(None, Duration::from_secs(1)), put_first);
    assert_eq!((flushed.delivered, flushed.pending), (0, 1));
    eventually("the first object", || node.pending().len() == 1).await;
    second.open();
    node.flush().await;
    assert_eq!(stored(&store, "bucket", "web"), lines(0, 10));
    node.halt().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_put_that_hangs_is_parked_while_it_hangs() {
    let (dir, store, clock) = (tempfile::tempdir().unwrap(), FakeStore::new(), StepClock::new());
    let node = Node::open_with(dir.path(), &store, &clock, options(), parking(Duration::from_millis(50)));
    let gate = store.hold_bucket("bucket");
    // More than may be put at once, and more than may be sealed at once.
    for n in 0..100 {
        node.send(&format!("s{n}"), "bucket");
        node.append(&format!("s{n}"), &lines(n * 10, 10)).await;
    }
    node.delivery.flush(None, Duration::ZERO).await;
    eventually("parked", || is_parked(&node, 100)).await;
    eventually("the frames are let go", || node.log().usage().batches == 0).await;
    gate.open();
    node.flush().await;
    for n in 0..100 {
        assert_eq!(stored(&store, "bucket", &format!("s{n}")), lines(n * 10, 10));
    }
    node.halt().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_source_that_cannot_be_delivered_leaves_the_spool_to_the_others() {
    let (dir, store, clock) = (tempfile::tempdir().unwrap(), FakeStore::new(), StepClock::new());
    // Twenty segments: 2.5 MB.
    let small = SpoolOptions { max_bytes: 20 * SEGMENT + 20_000, ..options() };
    let node = Node::open_with(dir.path(), &store, &clock, small, parking(Duration::from_secs(600)));
    node.send("web", "refuses");
    node.send("ios", "works");
    store.refuse_bucket("refuses", true);
    let mut n = 0;
    loop {
        match node.try_append("web", &noisy_lines(n, 20, 1_000)).await {
            Ok(_) => n += 20,
            Err(AppendError::LocationFull) => break,
            // The whole spool is full for a moment, until its objects are parked.
            Err(AppendError::Full) => tokio::time::sleep(Duration::from_millis(20)).await,
            Err(other) => panic!("{other}"),
        }
        assert!(n < 20_000, "a source may park a quarter of the spool");
    }
    // On a busy machine the last objects of the other source may still wait to be parked.
    let taken = || async { node.try_append("ios", &lines(1_000_000, 5)).await.ok() };
    until("the spool takes calls of others", SOON, taken).await;
    assert!(node.delivery.flush(Some(&source("ios")), SOON).await.pending == 0);
    store.refuse_bucket("refuses", false);
    node.flush().await;
    assert_eq!(stored(&store, "refuses", "web"), noisy_lines(0, n, 1_000));
    let again = || async { node.try_append("web", &lines(2_000_000, 1)).await.ok() };
    until("room for the source again", SOON, again).await;
    node.halt().await;
}
