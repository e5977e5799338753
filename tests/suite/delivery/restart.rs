//! A process that ends anywhere between seal and commit, and the next one that goes on.

use std::time::Duration;

use forebay::object::{BucketString, ParsedObjectKey};
use forebay::spool::SpoolOptions;
use forebay::store::fake::{FakeStore, Gate, Step};

use super::node::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_between_seal_and_put_and_between_put_and_commit_makes_one_object() {
    for (what, held) in [("before the put", true), ("before the commit", false)] {
        let (dir, store, clock) = (tempfile::tempdir().unwrap(), FakeStore::new(), StepClock::new());
        let (before, after) = (dir.path().join("before"), dir.path().join("after"));
        let node = Node::open(&before, &store, &clock);
        node.send("web", "bucket");
        node.append("web", &lines(0, 500)).await;
        let gate = Gate::new();
        store.script([if held { Step::HoldRequest(gate.clone()) } else { Step::HoldAnswer(gate.clone()) }]);
        node.delivery.flush(None, Duration::ZERO).await;
        eventually("the put", || gate.is_awaited()).await;
        // More comes in behind the seal: it is not part of the object, then or later.
        node.append("web", &lines(500, 100)).await;
        copy(&before, &after);
        let sealed = node.pending()[0].seal.clone();
        node.halt().await;
        assert_eq!(store.keys().len(), usize::from(!held), "{what}");
        let node = Node::open(&after, &store, &clock);
        assert_eq!((node.recovered.seals, node.recovered.lost.len()), (1, 0), "{what}");
        eventually("the object", || node.pending().is_empty()).await;
        let made = objects(&store, "bucket", "");
        assert_eq!(made.len(), 1, "{what}");
        assert_eq!(made[0].0, sealed.object_key.as_str(), "{what}");
        assert_eq!(lines_of(&made[0].1), lines(0, 500), "{what}");
        node.flush().await;
        assert_eq!(stored(&store, "bucket", "web"), lines(0, 600), "{what}");
        node.halt().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_does_not_begin_a_new_hour() {
    let (dir, store, clock) = (tempfile::tempdir().unwrap(), FakeStore::new(), StepClock::new());
    let node = Node::open(dir.path(), &store, &clock);
    node.send("web", "bucket");
    node.append("web", &lines(0, 5)).await;
    clock.pass(Duration::from_secs(59 * 60));
    node.halt().await;
    let node = Node::open(dir.path(), &store, &clock);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(store.keys(), []);
    clock.pass(Duration::from_secs(60));
    eventually("the hour", || store.keys().len() == 1).await;
    node.halt().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_moved_or_went_keeps_its_bucket_for_what_it_had() {
    let (dir, store, clock) = (tempfile::tempdir().unwrap(), FakeStore::new(), StepClock::new());
    let node = Node::open(dir.path(), &store, &clock);
    for name in ["web", "gone", "stays"] {
        node.send(name, "old/a");
    }
    node.append("web", &lines(0, 5)).await;
    node.append("gone", &lines(50, 5)).await;
    node.append("stays", &lines(70, 5)).await;
    store.refuse_bucket("old", true);
    node.send("web", "new/b");
    node.append("web", &lines(5, 5)).await;
    eventually("what goes elsewhere is due at once", || node.pending().len() == 1).await;
    node.halt().await;

    let node = Node::open(dir.path(), &store, &clock);
    node.send("web", "new/b");
    node.delivery.set_removed([source("gone")].into());
    eventually("what was removed is due at once", || node.pending().len() == 2).await;
    store.refuse_bucket("old", false);
    eventually("delivered", || store.keys().len() == 2).await;
    assert_eq!(stored(&store, "old", "web"), lines(0, 5));
    assert_eq!(stored(&store, "old", "gone"), lines(50, 5));
    node.flush().await;
    assert_eq!(stored(&store, "new", "web"), lines(5, 5));
    assert_eq!(stored(&store, "old", "stays"), lines(70, 5));
    assert!(store.keys().iter().all(|(bucket, key)| key.starts_with(if bucket == "old" {
        "a/"
    } else {
        "b/"
    })));
    node.halt().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_is_new_while_calls_are_written_has_its_place_after_a_crash() {
    let (dir, store, clock) = (tempfile::tempdir().unwrap(), FakeStore::new(), StepClock::new());
    let (before, torn) = (dir.path().join("before"), dir.path().join("torn"));
    let node = Node::open(&before, &store, &clock);
    node.send("web", "bucket");
    node.append("web", &lines(0, 5)).await;
    copy(&before, &torn);
    node.append("web", &lines(5, 50)).await;
    // Noted behind a write that the crash takes away: its positions are given again.
    node.send("fresh", "bucket");
    node.send("web", "elsewhere");
    let manifest = |name: &str| name.starts_with("MANIFEST");
    for entry in std::fs::read_dir(&before).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if manifest(&name) {
            std::fs::copy(before.join(&name), torn.join(&name)).unwrap();
        }
    }
    node.halt().await;
    let node = Node::open(&torn, &store, &clock);
    node.append("fresh", &lines(100, 3)).await;
    node.append("web", &lines(200, 3)).await;
    node.flush().await;
    assert_eq!(stored(&store, "bucket", "fresh"), lines(100, 3));
    assert_eq!(stored(&store, "bucket", "web"), lines(0, 5));
    assert_eq!(stored(&store, "elsewhere", "web"), lines(200, 3));
    node.halt().await;
}

/// The object then had the old node in its key and the new one in its metadata, and a verification called its
/// day broken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_that_waits_while_the_node_is_renamed_keeps_the_node_of_its_key() {
    let (dir, store, clock) = (tempfile::tempdir().unwrap(), FakeStore::new(), StepClock::new());
    let (before, after) = (dir.path().join("before"), dir.path().join("after"));
    let node = Node::open(&before, &store, &clock);
    node.send("web", "bucket");
    node.append("web", &lines(0, 5)).await;
    let gate = Gate::new();
    store.script([Step::HoldRequest(gate.clone())]);
    node.delivery.flush(None, Duration::ZERO).await;
    eventually("the put", || gate.is_awaited()).await;
    copy(&before, &after);
    let sealed = node.pending()[0].seal.object_key.clone();
    node.halt().await;
    let renamed = SpoolOptions { node: Some("renamed".to_owned()), ..options() };
    let node = Node::open_with(&after, &store, &clock, renamed, settings());
    eventually("the object", || node.pending().is_empty()).await;
    let object = store.object("bucket", sealed.as_str()).unwrap();
    let place = ParsedObjectKey::of(&BucketString::parse("bucket").unwrap(), sealed.as_str()).unwrap();
    assert_eq!(
        (object.metadata["forebay-node"].as_str(), place.node.as_str() == "renamed"),
        (&*place.node, false)
    );
    node.halt().await;
}
