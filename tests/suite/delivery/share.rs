//! What fails holds a share of the spool, and leaves the rest to those that are served (issue 15, number 6).

use std::collections::BTreeSet;
use std::time::Duration;

use forebay::alarms::AlarmKind;
use forebay::batch::DueRule;
use forebay::delivery::DeliverySettings;
use forebay::log::AppendError;
use forebay::retry::Backoff;
use forebay::spool::SpoolOptions;
use forebay::store::fake::{FakeStore, Gate, Step};

use super::answers::squat;
use super::node::*;
use crate::support::wait::until;

/// Forty segments: 5 MB.
fn small() -> SpoolOptions {
    SpoolOptions { max_bytes: 40 * SEGMENT, ..options() }
}

/// Sends until the spool takes it, which must not be refused for a destination. Returns how often it was
/// refused.
async fn taken(node: &Node, name: &str, lines: &[String]) -> usize {
    let mut refused = 0;
    loop {
        match node.try_append(name, lines).await {
            Ok(_) => return refused,
            Err(AppendError::Full) => refused += 1,
            Err(other) => panic!("{name}: {other}"),
        }
        assert!(refused < 1_000, "{name} is refused for ever");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn refused_by(node: &Node) -> BTreeSet<String> {
    node.log().refused_sources().iter().map(ToString::to_string).collect()
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Six sources fill their share again and again for a bucket that refuses. The seventh is served all the
/// time, and its objects are as large as ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sources_of_a_bucket_that_refuses_take_nothing_from_a_healthy_one() {
    let (dir, store, clock) = (tempfile::tempdir().unwrap(), FakeStore::new(), StepClock::new());
    let rule = DueRule { max_bytes: 200_000, max_age: Duration::from_secs(3_600), align_minute: None };
    let options = SpoolOptions { max_bytes: 120 * SEGMENT, ..options() };
    let node = Node::open_with(dir.path(), &store, &clock, options, DeliverySettings { rule, ..settings() });
    let refused = ["a", "b", "c", "d", "e", "f"];
    for name in refused {
        node.send(name, "refuses");
    }
    node.send("web", "works");
    store.refuse_bucket("refuses", true);
    let (mut sent, mut answered, mut n) = (0, 0, 0);
    let mut healthy = Vec::new();
    for round in 0..300 {
        for name in refused {
            sent += 1;
            match node.try_append(name, &noisy_lines(n, 20, 1_000)).await {
                Ok(_) => answered += 1,
                Err(AppendError::LocationFull | AppendError::Full) => {}
                Err(other) => panic!("{other}"),
            }
            n += 20;
        }
        let lines = noisy_lines(1_000_000 + round * 10, 10, 1_000);
        node.append("web", &lines).await;
        healthy.extend(lines);
        // Two megabytes a second into a spool of fifteen.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let all = names(&refused);
    assert!(refused_by(&node).is_subset(&all), "{:?}", refused_by(&node));
    assert!(
        answered < sent * 2 / 3,
        "{answered} of {sent} for a bucket that refuses: the test proves nothing"
    );
    let usage = node.log().usage();
    assert!(usage.parked <= usage.max / 3, "{usage:?}");
    assert!(node.has_alarm(AlarmKind::Refused) && node.has_alarm(AlarmKind::Refusing));
    node.delivery.flush(Some(&source("web")), SOON).await;
    assert_eq!(stored(&store, "works", "web"), healthy);
    // 3 MB of lines compress to half of that: eight objects of 200 KB, and what the flush made due.
    let count = objects(&store, "works", "/web/").len();
    assert!((6..=12).contains(&count), "{count} objects");

    store.refuse_bucket("refuses", false);
    node.flush().await;
    eventually("nobody to be refused", || refused_by(&node).is_empty()).await;
    clock.pass(Duration::from_secs(61));
    eventually("the end of the alarms", || node.alarms.standing().is_empty()).await;
    node.halt().await;
}

/// With the default of 100 MB on a spool of 300 MB, a backlog was encoded again and again, and neither
/// delivered nor let go of at the end: the staged object itself took the room that it was held to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_whose_object_finds_no_room_beside_it_is_delivered_in_smaller_ones() {
    for megabytes in [2, 3, 4, 5] {
        let (dir, store, clock) = (tempfile::tempdir().unwrap(), FakeStore::new(), StepClock::new());
        let rule =
            DueRule { max_bytes: 100_000_000, max_age: Duration::from_secs(3_600), align_minute: None };
        let node =
            Node::open_with(dir.path(), &store, &clock, small(), DeliverySettings { rule, ..settings() });
        node.send("web", "bucket");
        store.refuse_bucket("bucket", true);
        let mut sent = Vec::new();
        for n in 0..megabytes * 10 {
            let lines = noisy_lines(n * 100, 100, 1_000);
            match node.try_append("web", &lines).await {
                Ok(_) => sent.extend(lines),
                Err(AppendError::Full) => break,
                Err(other) => panic!("{other}"),
            }
        }
        store.refuse_bucket("bucket", false);
        let flushed = node.delivery.flush(None, SOON).await;
        assert_eq!(flushed.pending, 0, "{megabytes} MB: {:?}", node.log().usage());
        let stored: BTreeSet<String> = stored(&store, "bucket", "web").into_iter().collect();
        assert_eq!(stored.len(), sent.len(), "{megabytes} MB");
        tokio::time::timeout(SOON, node.halt()).await.expect("an end");
    }
}

/// A quiet source pins every segment that a busy one fills. Its bucket refuses it: it leaves the segments
/// before the busy one has to cut its objects short.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quiet_source_that_is_refused_pins_no_segments_of_a_busy_one() {
    let (dir, store, clock) = (tempfile::tempdir().unwrap(), FakeStore::new(), StepClock::new());
    let rule = DueRule { max_bytes: 200_000, max_age: Duration::from_secs(36_000), align_minute: None };
    let node = Node::open_with(dir.path(), &store, &clock, small(), DeliverySettings { rule, ..settings() });
    node.send("quiet", "refuses");
    node.send("busy", "works");
    store.refuse_bucket("refuses", true);
    node.append("quiet", &lines(0, 1)).await;
    node.delivery.flush(Some(&source("quiet")), Duration::ZERO).await;
    eventually("the alarm", || node.has_alarm(AlarmKind::Refused)).await;
    let mut quiet = lines(0, 1);
    for round in 0..1_500 {
        node.append("busy", &noisy_lines(1_000_000 + round * 10, 10, 1_000)).await;
        let line = lines(1 + round, 1);
        node.append("quiet", &line).await;
        quiet.extend(line);
        if round % 20 == 0 {
            assert!(!node.log().is_under_pressure(), "round {round}: {:?}", node.log().usage());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    node.delivery.flush(Some(&source("busy")), SOON).await;
    let count = objects(&store, "works", "/busy/").len();
    assert!((30..=48).contains(&count), "{count} objects of 15 MB of lines");
    let waiting = node.pending().len();
    assert!(waiting <= 20, "{waiting} objects of a quiet source");
    store.refuse_bucket("refuses", false);
    node.flush().await;
    assert_eq!(stored(&store, "refuses", "quiet"), quiet);
    node.halt().await;
}

/// The alarm flapped 277 times in four minutes: each success of another source cleared it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_alarm_of_a_source_that_is_refused_stands_while_others_of_its_bucket_are_taken() {
    let (dir, store, clock) = (tempfile::tempdir().unwrap(), FakeStore::new(), StepClock::new());
    let node = Node::open(dir.path(), &store, &clock);
    node.send("web", "bucket");
    node.send("ios", "bucket");
    store.refuse_below("segment-logs/web/", true);
    node.append("web", &lines(0, 1)).await;
    node.delivery.flush(None, Duration::ZERO).await;
    eventually("the alarm", || node.has_alarm(AlarmKind::Refused)).await;
    let since = node.alarms.standing().remove(0).since;
    for n in 0..100 {
        node.append("ios", &lines(n, 1)).await;
        assert_eq!(node.delivery.flush(Some(&source("ios")), SOON).await.pending, 0);
        clock.pass(Duration::from_secs(1));
        let alarm = node.alarms.standing().into_iter().find(|alarm| alarm.kind == AlarmKind::Refused);
        let alarm = alarm.unwrap_or_else(|| panic!("after {n} successes of another source no alarm stands"));
        assert_eq!((alarm.since, alarm.subject.as_str()), (since, "bucket"));
        assert!(alarm.what.contains("objects of web:"), "{}", alarm.what);
    }
    store.refuse_below("segment-logs/web/", false);
    node.flush().await;
    eventually("its end", || node.alarms.standing().is_empty()).await;
    node.halt().await;
}

/// Sources that are refused alone, more than one destination has places for sealed objects.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sources_that_are_refused_leave_the_places_of_their_bucket_to_others() {
    let (dir, store, clock) = (tempfile::tempdir().unwrap(), FakeStore::new(), StepClock::new());
    let node = Node::open(dir.path(), &store, &clock);
    store.refuse_below("segment-logs/refused", true);
    node.send("first", "bucket");
    node.append("first", &lines(0, 1)).await;
    node.flush().await;
    for n in 0..100 {
        node.send(&format!("refused-{n}"), "bucket");
        node.append(&format!("refused-{n}"), &lines(n, 1)).await;
        node.delivery.flush(Some(&source(&format!("refused-{n}"))), Duration::ZERO).await;
    }
    eventually("every place taken", || node.pending().len() >= 64).await;
    // Nothing shows yet that the bucket takes anything from anybody.
    clock.pass(Duration::from_secs(11));
    for n in 0..3 {
        node.append("first", &lines(1 + n, 1)).await;
        let flushed = node.delivery.flush(Some(&source("first")), SOON).await;
        let parked = node.pending().iter().filter(|pending| pending.parked.is_some()).count();
        assert_eq!(flushed.pending, 0, "{flushed:?}: {parked} of {} are parked", node.pending().len());
    }
    store.refuse_below("segment-logs/refused", false);
    node.flush().await;
    node.halt().await;
}

/// Found by the simulation: the retries of four hundred parked objects kept the slots from the one source
/// that was taken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn puts_that_are_retried_leave_slots_to_those_that_are_taken() {
    let (dir, store, clock) = (tempfile::tempdir().unwrap(), FakeStore::new(), StepClock::new());
    let node = Node::open(dir.path(), &store, &clock);
    node.send("taken", "bucket");
    store.refuse_below("segment-logs/refused", true);
    for n in 0..20 {
        node.send(&format!("refused-{n}"), "bucket");
        node.append(&format!("refused-{n}"), &lines(n, 1)).await;
    }
    node.delivery.flush(None, Duration::ZERO).await;
    let all = |node: &Node| node.alarms.standing().iter().any(|alarm| alarm.what.contains("and 17 more"));
    eventually("each of them to fail", || all(&node)).await;
    let gate = Gate::new();
    store.script(std::iter::repeat_n(Step::HoldRequest(gate.clone()), 20));
    // As many as get a slot hang in it.
    let mut left = store.steps_left();
    until("no further put to begin", SOON, async || {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let before = std::mem::replace(&mut left, store.steps_left());
        (left == before && left < 20).then_some(())
    })
    .await;
    store.clear_script();
    node.append("taken", &lines(100, 1)).await;
    let flushed = node.delivery.flush(Some(&source("taken")), SOON).await;
    assert_eq!((flushed.delivered, flushed.pending), (1, 0), "{left} of 20 have no slot");
    gate.open();
    store.refuse_below("segment-logs/refused", false);
    node.flush().await;
    node.halt().await;
}

/// Once parked bytes had passed 70 % of the spool each request became an object of its own: 11,387 where ten
/// were due.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_of_everything_parks_objects_and_no_crumbs() {
    let (dir, store, clock) = (tempfile::tempdir().unwrap(), FakeStore::new(), StepClock::new());
    let rule = DueRule { max_bytes: 200_000, max_age: Duration::from_secs(3_600), align_minute: None };
    let node = Node::open_with(dir.path(), &store, &clock, small(), DeliverySettings { rule, ..settings() });
    store.refuse_bucket("bucket", true);
    for name in ["web", "ios"] {
        node.send(name, "bucket");
    }
    let (mut n, mut full, mut sent) = (0_u32, 0, Vec::new());
    while full < 250 {
        let name = ["web", "ios"][(n % 2) as usize];
        let lines = noisy_lines(n * 10, 10, 1_000);
        match node.try_append(name, &lines).await {
            Ok(_) => {
                full = 0;
                if name == "web" {
                    sent.extend(lines);
                }
            }
            // Nothing is refused but for the whole spool.
            Err(AppendError::Full) => {
                full += 1;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(other) => panic!("{other}"),
        }
        n += 1;
        assert!(n < 20_000, "there is always room");
    }
    let (pending, usage) = (node.pending(), node.log().usage());
    assert!(usage.used * 100 >= usage.max * 90, "full at {usage:?}");
    assert!(usage.parked * 100 >= usage.max * 40, "what is compressed takes most of it: {usage:?}");
    // Objects of 200 KB. Pressure cuts some short, the more the less room is left and the slower the machine:
    // at worst to the lines of one segment each, which take half of it.
    let of_segments = usize::try_from(usage.parked / (SEGMENT / 4)).unwrap();
    assert!(pending.len() <= of_segments, "{} objects in {} bytes", pending.len(), usage.parked);
    assert!(node.has_alarm(AlarmKind::Refusing) && node.has_alarm(AlarmKind::Refused));
    store.refuse_bucket("bucket", false);
    node.flush().await;
    assert_eq!(stored(&store, "bucket", "web"), sent);
    taken(&node, "ios", &lines(0, 1)).await;
    node.halt().await;
}

/// Under pressure what fails is parked at once; what is on its way takes no room twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_pressure_only_what_fails_is_parked() {
    let (dir, store, clock) = (tempfile::tempdir().unwrap(), FakeStore::new(), StepClock::new());
    let tiny = SpoolOptions { max_bytes: 16 * SEGMENT, ..options() };
    let backoff = Backoff { first: Duration::from_millis(1), cap: Duration::from_millis(20) };
    let node = Node::open_with(dir.path(), &store, &clock, tiny, DeliverySettings { backoff, ..settings() });
    node.send("slow", "slow");
    node.send("stuck", "refuses");
    store.refuse_bucket("refuses", true);
    let gate = Gate::new();
    node.append("slow", &noisy_lines(0, 400, 1_000)).await;
    store.script([Step::HoldRequest(gate.clone())]);
    node.delivery.flush(Some(&source("slow")), Duration::ZERO).await;
    eventually("it is on its way", || gate.is_awaited()).await;
    node.append("stuck", &noisy_lines(1_000, 400, 1_000)).await;
    node.delivery.flush(Some(&source("stuck")), Duration::ZERO).await;
    let is_parked = |node: &Node, name: &str| {
        node.pending().iter().any(|p| p.seal.batch.source == source(name) && p.parked.is_some())
    };
    until("pressure", SOON, async || {
        if node.log().is_under_pressure() || is_parked(&node, "stuck") {
            return Some(());
        }
        node.try_append("slow", &noisy_lines(5_000, 20, 1_000)).await.ok();
        None
    })
    .await;
    eventually("what fails is parked", || is_parked(&node, "stuck")).await;
    assert!(!is_parked(&node, "slow"), "what is on its way is not");
    clock.pass(Duration::from_secs(11));
    if node.log().is_under_pressure() {
        eventually("what takes long is parked, too", || is_parked(&node, "slow")).await;
    }
    gate.open();
    store.refuse_bucket("refuses", false);
    node.flush().await;
    node.halt().await;
}

/// Nothing is put for a source whose object's key is taken by another. It waits for a person, and must not
/// fill the spool until then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_waits_for_a_person_holds_its_share_and_no_more() {
    let (dir, store, clock) = (tempfile::tempdir().unwrap(), FakeStore::new(), StepClock::new());
    let node = Node::open_with(dir.path(), &store, &clock, small(), settings());
    node.send("web", "bucket");
    node.send("ios", "bucket");
    node.append("ios", &lines(10, 1)).await;
    node.flush().await;
    let gate = Gate::new();
    store.script([Step::HoldRequest(gate.clone())]);
    node.append("web", &lines(0, 1)).await;
    node.delivery.flush(None, Duration::ZERO).await;
    eventually("the put", || gate.is_awaited()).await;
    squat(&store, &node).await;
    gate.open();
    eventually("the conflict", || node.has_alarm(AlarmKind::Conflict)).await;
    for n in 0.. {
        match node.try_append("web", &noisy_lines(n * 20, 20, 1_000)).await {
            Err(AppendError::LocationFull) => break,
            Ok(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            Err(other) => panic!("{other}"),
        }
        assert!(n < 1_000, "it is never refused: {:?}", node.log().usage());
    }
    assert_eq!(taken(&node, "ios", &lines(0, 1)).await, 0, "the other is taken at once");
    assert!(node.has_alarm(AlarmKind::Refusing));
    node.halt().await;
}
