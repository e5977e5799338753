//! Where the spool says that the positions of a receipt stand, at each step of their way.

use std::time::Duration;

use forebay::call::LineSink;
use forebay::delivery::DeliverySettings;
use forebay::log::{RequestFrames, Standing};
use forebay::receipt::Receipt;
use forebay::store::fake::{FakeStore, Gate, Step};
use forebay::time::Clock;

use super::node::*;

fn receipt(node: &Node, name: &str, first: u64, last: u64) -> Receipt {
    let (day, spool_id) = (node.clock.wall().day(), node.log().spool_id());
    Receipt { source: source(name), day, spool_id, first, last }
}

/// Where the positions stand, in few words.
fn located(node: &Node, name: &str, first: u64, last: u64) -> Vec<String> {
    let located = node.reports().locate(&receipt(node, name, first, last)).unwrap();
    let mut next = first;
    let mut said = Vec::new();
    for located in located {
        assert_eq!(located.first, next, "without a gap");
        next = located.last + 1;
        let standing = match &located.standing {
            Standing::Open(batch) => format!("open {} calls", batch.frames),
            Standing::Sealed(seals) => seals
                .iter()
                .map(|pending| {
                    let how = if pending.parked.is_some() {
                        "parked"
                    } else if pending.conflict {
                        "conflict"
                    } else {
                        "sealed"
                    };
                    format!("{how} {}", pending.seal.number)
                })
                .collect::<Vec<_>>()
                .join(" or "),
            Standing::Lost => "lost".to_owned(),
            Standing::NotGiven => "not given".to_owned(),
            Standing::NotHere => "not here".to_owned(),
        };
        let reason = located.reason.map(|reason| format!(", {reason}")).unwrap_or_default();
        said.push(format!("{}-{} {standing}{reason}", located.first, located.last));
    }
    assert_eq!(next, last + 1, "to the end");
    said
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_position_is_open_then_sealed_then_gone() {
    let (dir, store, clock) = (tempfile::tempdir().unwrap(), FakeStore::new(), StepClock::new());
    let node = Node::open(dir.path(), &store, &clock);
    node.send("web", "bucket");
    node.send("ios", "bucket");
    node.append("web", &lines(0, 3)).await;
    node.append("ios", &lines(0, 2)).await;
    node.reject("web", r#"{"receivedAt":"","projectId":"web","reason":"unknown_type","value":1}"#).await;
    node.append("web", &lines(3, 2)).await;
    let all = [
        "1-3 open 5 calls",
        "4-5 not here",
        "6-6 open 1 calls, unknown_type",
        "7-8 open 5 calls",
        "9-9 not given",
    ];
    assert_eq!(located(&node, "web", 1, 9), all);
    assert_eq!(located(&node, "web", 3, 4), ["3-3 open 5 calls", "4-4 not here"]);
    assert_eq!(located(&node, "ios", 4, 6), ["4-5 open 2 calls", "6-6 not here"]);
    let tomorrow = Receipt {
        day: node.clock.wall().plus(Duration::from_secs(86_400)).day(),
        ..receipt(&node, "web", 1, 1)
    };
    assert!(matches!(node.reports().locate(&tomorrow).unwrap()[0].standing, Standing::NotHere));

    let gates = [Gate::new(), Gate::new(), Gate::new()];
    store.script(gates.clone().map(Step::HoldAnswer));
    node.delivery.flush(None, Duration::ZERO).await;
    eventually("the puts", || gates.iter().all(Gate::is_awaited)).await;
    node.append("web", &lines(5, 1)).await;
    let said = located(&node, "web", 1, 9);
    let sealed = |from: usize| said[from].rsplit(' ').next().unwrap().to_owned();
    let expected = [
        format!("1-3 sealed {}", sealed(0)),
        "4-5 not here".to_owned(),
        said[2].clone(),
        format!("7-8 sealed {}", sealed(0)),
        "9-9 open 1 calls".to_owned(),
    ];
    assert_eq!(said, expected);
    assert!(said[2].starts_with("6-6 sealed ") && said[2].ends_with(", unknown_type"), "{said:?}");
    gates.iter().for_each(Gate::open);
    node.flush().await;
    eventually("all to be gone", || located(&node, "web", 1, 9) == ["1-9 not here"]).await;
    node.halt().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parked_position_is_told_with_every_object_that_spans_it() {
    let (dir, store, clock) = (tempfile::tempdir().unwrap(), FakeStore::new(), StepClock::new());
    let parking = DeliverySettings { park_after: Duration::from_secs(1), ..settings() };
    let node = Node::open_with(dir.path(), &store, &clock, options(), parking);
    node.send("web", "bucket");
    store.refuse_bucket("bucket", true);
    let rejected = r#"{"receivedAt":"","projectId":"web","reason":"unknown_type","value":1}"#;
    node.append("web", &lines(0, 1)).await;
    node.reject("web", rejected).await;
    node.append("web", &lines(1, 1)).await;
    node.reject("web", rejected).await;
    node.delivery.flush(None, Duration::ZERO).await;
    eventually("the seals", || node.pending().len() == 2).await;
    clock.pass(Duration::from_secs(2));
    eventually("parked", || node.pending().iter().all(|pending| pending.parked.is_some())).await;
    eventually("their frames are let go", || node.log().usage().batches == 0).await;
    let said = located(&node, "web", 1, 4);
    let [first, both, last] = &said[..] else { panic!("{said:?}") };
    assert!(first.starts_with("1-1 parked ") && !first.contains(" or "), "{said:?}");
    assert_eq!(both, "2-3 parked 1 or parked 2");
    assert!(
        last.starts_with("4-4 parked ")
            && !last.contains(" or ")
            && last.strip_prefix("4-4") != first.strip_prefix("1-1"),
        "{said:?}"
    );
    node.halt().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_position_is_lost_and_its_neighbours_are_not() {
    let (dir, store, clock) = (tempfile::tempdir().unwrap(), FakeStore::new(), StepClock::new());
    let running = dir.path().join("running");
    let node = Node::open(&running, &store, &clock);
    node.send("web", "bucket");
    node.append("web", &lines(0, 20)).await;
    node.append("web", &lines(20, 1)).await;
    let crashed = dir.path().join("crashed");
    copy(&running, &crashed);
    node.halt().await;
    damage(&crashed, ".seg", "{\"n\":7,\"x");
    let node = Node::open(&crashed, &store, &clock);
    assert_eq!(located(&node, "web", 7, 10), ["7-7 open 20 calls", "8-8 lost", "9-10 open 20 calls"]);
    node.halt().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_range_that_no_request_can_have_is_refused_and_not_read() {
    let (dir, store, clock) = (tempfile::tempdir().unwrap(), FakeStore::new(), StepClock::new());
    let node = Node::open(dir.path(), &store, &clock);
    node.send("web", "bucket");
    for n in 0..5 {
        let mut frames = RequestFrames::new(source("web"), clock.wall(), 0);
        frames
            .line()
            .extend_from_slice(format!("{{\"n\":{n},\"x\":\"{}\"}}", "x".repeat(1 << 20)).as_bytes());
        frames.call(0);
        let appended = node.spool.appender().append(frames).await.unwrap();
        assert_eq!(appended.stored_in.iter().next().unwrap().first, n + 1);
    }
    assert_eq!(located(&node, "web", 1, 3), ["1-3 open 5 calls"]);
    let error = node.reports().locate(&receipt(&node, "web", 1, 5)).unwrap_err();
    assert!(error.to_string().contains("more than a single request can"), "{error}");
    node.halt().await;
}
