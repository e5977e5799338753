//! One destination that hangs and one that refuses delay no other.

use std::time::Duration;

use forebay::delivery::DeliverySettings;
use forebay::retry::Backoff;
use forebay::store::fake::FakeStore;

use super::node::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_hangs_and_one_that_refuses_delay_no_other() {
    let (dir, store, clock) = (tempfile::tempdir().unwrap(), FakeStore::new(), StepClock::new());
    let node = Node::open(dir.path(), &store, &clock);
    let gate = store.hold_bucket("hangs");
    store.refuse_bucket("refuses", true);
    // More of each than it has slots for sealed objects.
    for n in 0..100 {
        let (hanging, refused) = (format!("h{n}"), format!("r{n}"));
        node.send(&hanging, "hangs");
        node.send(&refused, "refuses");
        node.append(&hanging, &lines(n, 1)).await;
        node.append(&refused, &lines(n, 1)).await;
    }
    node.delivery.flush(None, Duration::ZERO).await;
    eventually("every slot taken", || node.pending().len() >= 128).await;
    for n in 0..100 {
        let name = format!("z{n}");
        node.send(&name, "works");
        node.append(&name, &lines(n, 1)).await;
        if n % 20 == 0 {
            let flushed = node.delivery.flush(Some(&source(&name)), SOON).await;
            assert_eq!(flushed.delivered, 1, "{name}");
        }
    }
    store.refuse_bucket("refuses", false);
    gate.open();
    node.flush().await;
    assert_eq!(store.keys().len(), 300);
    node.halt().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_source_of_many_gets_its_own_objects() {
    let (dir, store, clock) = (tempfile::tempdir().unwrap(), FakeStore::new(), StepClock::new());
    let node = Node::open(dir.path(), &store, &clock);
    for n in 0..20 {
        node.send(&format!("s{n}"), &format!("bucket-{}", n % 3));
    }
    for round in 0..5 {
        for n in 0..20 {
            node.append(&format!("s{n}"), &lines(n * 1_000 + round * 10, 10)).await;
        }
        if round % 2 == 0 {
            node.flush().await;
        }
    }
    node.flush().await;
    for n in 0..20 {
        assert_eq!(stored(&store, &format!("bucket-{}", n % 3), &format!("s{n}")), lines(n * 1_000, 50));
    }
    eventually("the frames are let go", || node.log().usage().batches == 0).await;
    node.halt().await;
}

/// Waits of a minute are for a destination that does not come back. One that has is used at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_object_that_gets_through_calls_the_others() {
    let (dir, store, clock) = (tempfile::tempdir().unwrap(), FakeStore::new(), StepClock::new());
    let backoff = Backoff { first: Duration::from_millis(1), cap: Duration::from_secs(600) };
    let patient = DeliverySettings { backoff, ..settings() };
    let node = Node::open_with(dir.path(), &store, &clock, options(), patient);
    store.refuse_bucket("bucket", true);
    for n in 0..5 {
        node.send(&format!("early{n}"), "bucket");
        node.append(&format!("early{n}"), &lines(n, 1)).await;
    }
    node.delivery.flush(None, Duration::ZERO).await;
    eventually("each was refused once and waits for minutes", || store.puts() >= 5).await;
    store.refuse_bucket("bucket", false);
    node.send("late", "bucket");
    node.append("late", &lines(100, 1)).await;
    node.flush().await;
    assert_eq!(store.keys().len(), 6);
    node.halt().await;
}
