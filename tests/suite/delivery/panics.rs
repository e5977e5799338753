//! Delivery tasks that panic: noticed at once, and their work is done again.

use std::time::Duration;

use forebay::alarms::AlarmKind;
use forebay::delivery::DeliverySettings;
use forebay::retry::Backoff;
use forebay::store::fake::{FakeStore, Step};

use super::node::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sealed_object_whose_task_died_gets_another() {
    let (dir, store, clock) = (tempfile::tempdir().unwrap(), FakeStore::new(), StepClock::new());
    let node = Node::open(dir.path(), &store, &clock);
    node.send("web", "bucket");
    store.script([Step::Panic, Step::SLOW_DOWN, Step::Panic]);
    node.append("web", &lines(0, 50)).await;
    node.delivery.flush(None, Duration::ZERO).await;
    eventually("the alarm", || node.has_alarm(AlarmKind::Task)).await;
    node.flush().await;
    assert_eq!((store.steps_left(), store.puts()), (0, 4));
    assert_eq!(stored(&store, "bucket", "web"), lines(0, 50));
    eventually("no alarm", || !node.has_alarm(AlarmKind::Task)).await;
    node.halt().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_batch_waits_for_the_sealed_object_whose_task_died() {
    let (dir, store, clock) = (tempfile::tempdir().unwrap(), FakeStore::new(), StepClock::new());
    // So long that what comes next would be sealed meanwhile.
    let backoff = Backoff { first: Duration::from_secs(3_600), cap: Duration::from_secs(3_600) };
    let settings = DeliverySettings { backoff, ..settings() };
    let node = Node::open_with(dir.path(), &store, &clock, options(), settings);
    node.send("web", "bucket");
    store.script([Step::Panic, Step::Panic]);
    node.append("web", &lines(0, 50)).await;
    node.delivery.flush(None, Duration::ZERO).await;
    // In steps that are much shorter than a pause, so that only the first one passes.
    eventually("both panics", || {
        clock.pass(Duration::from_secs(60));
        store.steps_left() == 0
    })
    .await;
    // The alarm of the second panic: the first one's stands from before, and the clock must not pass until the
    // second pause has begun.
    eventually("the second alarm", || node.says(AlarmKind::Task, "panics in a row: 2")).await;
    node.append("web", &lines(50, 50)).await;
    let flushed = node.delivery.flush(None, Duration::from_secs(1)).await;
    assert_eq!((flushed.pending, node.pending().len(), store.puts()), (1, 1, 2));
    clock.pass(Duration::from_secs(3_600));
    node.flush().await;
    assert_eq!(stored(&store, "bucket", "web"), lines(0, 100));
    node.halt().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parked_object_whose_task_died_gets_another_and_its_source_goes_on_beside_it() {
    let (dir, store, clock) = (tempfile::tempdir().unwrap(), FakeStore::new(), StepClock::new());
    let settings = DeliverySettings { park_after: Duration::from_millis(20), ..settings() };
    let node = Node::open_with(dir.path(), &store, &clock, options(), settings);
    node.send("web", "bucket");
    store.refuse_bucket("bucket", true);
    node.append("web", &lines(0, 50)).await;
    node.delivery.flush(None, Duration::ZERO).await;
    eventually("parked", || node.pending().iter().any(|pending| pending.parked.is_some())).await;
    store.script([Step::Panic, Step::Panic]);
    eventually("both panics", || store.steps_left() == 0).await;
    node.append("web", &lines(50, 50)).await;
    node.delivery.flush(None, Duration::ZERO).await;
    eventually("a second object", || node.pending().len() == 2).await;
    store.refuse_bucket("bucket", false);
    node.flush().await;
    assert_eq!(stored(&store, "bucket", "web"), lines(0, 100));
    eventually("no alarm", || !node.has_alarm(AlarmKind::Task)).await;
    node.halt().await;
}
