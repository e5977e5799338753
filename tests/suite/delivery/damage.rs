//! Frames that rot between their sync and their object: what is lost is named, and nothing else waits for it.

use std::time::Duration;

use forebay::alarms::AlarmKind;
use forebay::delivery::DeliverySettings;
use forebay::store::PutMode;
use forebay::store::fake::{FakeStore, Gate, Step};
use forebay::time::DAY_MS;

use super::node::*;

/// A spool whose open segment holds a sealed object of `web` that was put (or not), and a later call of
/// `ios`.
async fn sealed(dir: &std::path::Path, store: &FakeStore, clock: &std::sync::Arc<StepClock>, put: bool) {
    let running = dir.join("running");
    let node = Node::open(&running, store, clock);
    node.send("web", "bucket");
    node.send("ios", "bucket");
    node.append("web", &lines(0, 50)).await;
    let gate = Gate::new();
    store.script([if put { Step::HoldAnswer(gate.clone()) } else { Step::HoldRequest(gate.clone()) }]);
    node.delivery.flush(None, std::time::Duration::ZERO).await;
    eventually("the put", || gate.is_awaited()).await;
    node.append("ios", &lines(900, 5)).await;
    copy(&running, &dir.join("crashed"));
    node.halt().await;
}

fn plain() -> DeliverySettings {
    DeliverySettings { put_mode: PutMode::Overwrite, ..settings() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_left_of_a_sealed_range_is_delivered_also_if_it_is_nothing() {
    for lost in [1_u32, 50] {
        let (dir, store, clock) = (tempfile::tempdir().unwrap(), FakeStore::new(), StepClock::new());
        sealed(dir.path(), &store, &clock, false).await;
        let crashed = dir.path().join("crashed");
        for n in 0..lost {
            damage(&crashed, ".seg", &format!("{{\"n\":{n},\"x"));
        }
        let node = Node::open(&crashed, &store, &clock);
        let named: u64 = node.recovered.lost.iter().map(|range| range.last - range.first + 1).sum();
        assert_eq!(named, u64::from(lost));
        node.flush().await;
        let (_, object) = objects(&store, "bucket", "/web/").remove(0);
        assert_eq!(lines_of(&object), lines(lost, 50 - lost));
        assert_eq!(object.metadata["forebay-last-position"], "50", "the chain goes on behind it");
        assert_eq!(object.metadata["forebay-lost-calls"], lost.to_string(), "the bucket tells it, too");
        assert_eq!(stored(&store, "bucket", "ios"), lines(900, 5));
        node.append("web", &lines(50, 1)).await;
        node.flush().await;
        assert_eq!(stored(&store, "bucket", "web"), lines(lost, 51 - lost));
        node.halt().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_that_was_put_before_its_frames_rotted_is_whole_and_nothing_of_it_is_lost() {
    let (dir, store, clock) = (tempfile::tempdir().unwrap(), FakeStore::new(), StepClock::new());
    sealed(dir.path(), &store, &clock, true).await;
    let crashed = dir.path().join("crashed");
    damage(&crashed, ".seg", "{\"n\":7,\"x");
    let node = Node::open(&crashed, &store, &clock);
    node.flush().await;
    assert_eq!(stored(&store, "bucket", "web"), lines(0, 50));
    assert!(!node.has_alarm(AlarmKind::Conflict));
    node.halt().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn less_than_was_sealed_never_replaces_what_may_be_the_whole_without_a_person() {
    // Where the store cannot say what is there, and where puts replace in the first place.
    for (what, mode, refuse_heads) in [("no right to read", settings(), true), ("overwrite", plain(), false)]
    {
        let (dir, store, clock) = (tempfile::tempdir().unwrap(), FakeStore::new(), StepClock::new());
        sealed(dir.path(), &store, &clock, true).await;
        let crashed = dir.path().join("crashed");
        damage(&crashed, ".seg", "{\"n\":7,\"x");
        store.refuse_heads(refuse_heads);
        let node = Node::open_with(&crashed, &store, &clock, options(), mode);
        eventually("the question", || node.has_alarm(AlarmKind::Conflict)).await;
        let flushed = node.delivery.flush(Some(&source("ios")), SOON).await;
        assert_eq!(flushed.pending, 0, "{what}");
        assert_eq!(stored(&store, "bucket", "web"), lines(0, 50), "{what}");
        node.halt().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_of_which_nothing_can_be_read_is_named_and_pins_nothing() {
    let (dir, store, clock) = (tempfile::tempdir().unwrap(), FakeStore::new(), StepClock::new());
    let node = Node::open(dir.path(), &store, &clock);
    node.send("web", "bucket");
    node.send("ios", "bucket");
    node.append("web", &lines(0, 3)).await;
    // On into the next segments, so that the first is closed, and only its index says what is in it.
    node.append("ios", &noisy_lines(900, 300, 1_000)).await;
    node.append("ios", &noisy_lines(1_200, 300, 1_000)).await;
    node.halt().await;
    for n in 0..3 {
        damage(dir.path(), ".seg", &format!("{{\"n\":{n},\"x"));
    }
    let node = Node::open(dir.path(), &store, &clock);
    node.flush().await;
    assert_eq!(store.keys().len(), 1);
    assert_eq!(stored(&store, "bucket", "ios"), noisy_lines(900, 600, 1_000));
    eventually("the frames are let go", || node.log().usage().batches == 0).await;
    let quarantine = dir.path().join("quarantine");
    eventually("the bytes are kept", || std::fs::read_dir(&quarantine).unwrap().count() > 0).await;
    node.append("web", &lines(3, 3)).await;
    node.flush().await;
    assert_eq!(stored(&store, "bucket", "web"), lines(3, 3));
    node.halt().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_seems_full_for_lines_that_rotted_is_delivered_when_its_time_comes() {
    let (dir, store, clock) = (tempfile::tempdir().unwrap(), FakeStore::new(), StepClock::new());
    let mut settings = settings();
    settings.rule.max_bytes = 1_000_000;
    let node = Node::open_with(dir.path(), &store, &clock, options(), settings);
    node.send("web", "bucket");
    for from in (0..1_600).step_by(100) {
        node.append("web", &noisy_lines(from, 100, 1_000)).await;
    }
    node.halt().await;
    for n in (0..800).step_by(2) {
        damage(dir.path(), ".seg", &format!("{{\"n\":{n},\"x"));
    }
    let node = Node::open_with(dir.path(), &store, &clock, options(), settings);
    // An object of yesterday tells how well the source's lines compress.
    clock.set_wall(EVENING - DAY_MS);
    node.append("web", &noisy_lines(5_000, 100, 1_000)).await;
    clock.set_wall(EVENING);
    eventually("yesterday's object", || store.keys().len() == 1 && node.pending().is_empty()).await;
    for from in (1_600..2_000).step_by(100) {
        node.append("web", &noisy_lines(from, 100, 1_000)).await;
    }
    // With what rotted it would pass the size, without it is far from full.
    eventually("what rotted is not counted any more", || {
        node.log().open_batches().iter().all(|batch| batch.bytes < 1_700_000)
    })
    .await;
    assert_eq!(store.keys().len(), 1, "no object for its size");
    clock.pass(Duration::from_secs(3_600));
    eventually("the hour's object", || store.keys().len() == 2 && node.pending().is_empty()).await;
    node.halt().await;
}
