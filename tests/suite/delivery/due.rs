//! What makes a batch due, and where objects are cut.

use std::time::Duration;

use forebay::batch::DueRule;
use forebay::delivery::DeliverySettings;
use forebay::object::Encryption;
use forebay::store::fake::FakeStore;
use forebay::time::{DAY_MS, UnixMillis};

use super::node::*;

const MINUTE: Duration = Duration::from_secs(60);

fn rule(change: impl FnOnce(&mut DueRule)) -> DeliverySettings {
    let mut settings = settings();
    change(&mut settings.rule);
    settings
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_hour_after_the_first_call_a_batch_is_delivered_with_all_that_a_reader_needs() {
    let (dir, store, clock) = (tempfile::tempdir().unwrap(), FakeStore::new(), StepClock::new());
    let node = Node::open(dir.path(), &store, &clock);
    node.send("web", "bucket/some/prefix");
    node.send("ios", "other");
    node.append("web", &lines(0, 3)).await;
    clock.pass(Duration::from_secs(59 * 60));
    node.append("ios", &lines(100, 2)).await;
    node.append("web", &lines(3, 2)).await;
    clock.pass(MINUTE);
    eventually("the hour's object", || !store.keys().is_empty()).await;
    assert_eq!(stored(&store, "bucket", "web"), lines(0, 5));
    assert_eq!(store.keys().len(), 1, "ios is a minute old");
    let (key, object) = objects(&store, "bucket", "").remove(0);
    let (day, spool) = (EVENING - EVENING % DAY_MS, node.log().spool_id());
    assert_eq!(key, format!("some/prefix/segment-logs/web/{day}/{EVENING}-n1-{spool}-{:020}.gz", 1));
    assert_eq!((object.content_encoding, object.encryption), (Some("gzip"), Encryption::SseS3));
    let about = |name: &str| object.metadata.get(&format!("forebay-{name}")).map(String::as_str);
    assert_eq!(about("calls"), Some("5"));
    assert_eq!((about("first-position"), about("last-position")), (Some("1"), Some("7")));
    assert_eq!(about("first-received-at"), Some("2023-11-14T22:13:20.000Z"));
    assert_eq!(about("last-received-at"), Some("2023-11-14T23:12:20.000Z"));
    assert_eq!((about("node"), about("previous-last-position")), (Some("n1"), None));
    assert_eq!(about("sha256").map(str::len), Some(64));
    clock.pass(59 * MINUTE);
    eventually("ios", || store.keys().len() == 2).await;
    assert_eq!(stored(&store, "other", "ios"), lines(100, 2));
    node.halt().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_in_while_an_object_is_made_is_an_hour_young_again() {
    let (dir, store, clock) = (tempfile::tempdir().unwrap(), FakeStore::new(), StepClock::new());
    let node = Node::open(dir.path(), &store, &clock);
    node.send("web", "bucket");
    node.append("web", &noisy_lines(0, 3_000, 1_000)).await;
    clock.pass(60 * MINUTE);
    // While three megabytes are encoded, calls go on coming.
    let mut n = 3_000;
    while store.keys().is_empty() {
        node.append("web", &noisy_lines(n, 1, 1_000)).await;
        n += 1;
    }
    let first = lines_of(&objects(&store, "bucket", "")[0].1).len();
    assert!(first < usize::try_from(n).unwrap(), "some came behind the object's end");
    eventually("the commit", || node.pending().is_empty()).await;
    let oldest = node.log().oldest_undelivered();
    assert_eq!(oldest, Some(UnixMillis(EVENING + 3_600_000)), "what is delivered is not counted");
    // Several looks long nothing more is due.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(store.keys().len(), 1, "no crumbs");
    clock.pass(60 * MINUTE);
    eventually("the next hour's object", || store.keys().len() == 2).await;
    assert_eq!(stored(&store, "bucket", "web"), noisy_lines(0, n, 1_000));
    node.halt().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_is_cut_at_its_size_and_what_is_left_waits() {
    let (dir, store, clock) = (tempfile::tempdir().unwrap(), FakeStore::new(), StepClock::new());
    let max = 1_000_000;
    let node = Node::open_with(dir.path(), &store, &clock, options(), rule(|rule| rule.max_bytes = max));
    node.send("web", "bucket");
    // The first object tells how well the source's lines compress.
    node.append("web", &noisy_lines(0, 100, 1_000)).await;
    node.flush().await;
    for from in (100..5_000).step_by(490) {
        node.append("web", &noisy_lines(from, 490, 1_000)).await;
    }
    eventually("full objects", || store.keys().len() >= 3 && node.pending().is_empty()).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    for (key, object) in objects(&store, "bucket", "").into_iter().skip(1) {
        let len = u64::try_from(object.bytes.len()).unwrap();
        assert!(len <= max && len * 100 >= max * 95, "{key}: {len}");
    }
    let so_far = stored(&store, "bucket", "web");
    assert_eq!(so_far[..], noisy_lines(0, 5_000, 1_000)[..so_far.len()]);
    assert!(so_far.len() < 5_000, "the remainder is not full");
    node.flush().await;
    assert_eq!(stored(&store, "bucket", "web"), noisy_lines(0, 5_000, 1_000));
    node.halt().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_minute_after_midnight_a_day_is_delivered_and_its_last_millisecond_is_in_it() {
    let (dir, store, clock) = (tempfile::tempdir().unwrap(), FakeStore::new(), StepClock::new());
    let node = Node::open(dir.path(), &store, &clock);
    node.send("web", "bucket");
    let midnight = EVENING - EVENING % DAY_MS + DAY_MS;
    clock.set_wall(midnight - 1);
    node.append("web", &lines(0, 1)).await;
    clock.set_wall(midnight);
    node.append("web", &lines(1, 1)).await;
    clock.set_wall(midnight + 59_999);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(store.keys(), []);
    clock.set_wall(midnight + 60_000);
    eventually("yesterday", || !store.keys().is_empty() && node.pending().is_empty()).await;
    let days: Vec<_> =
        objects(&store, "bucket", "").into_iter().map(|(key, object)| (key, lines_of(&object))).collect();
    assert_eq!(days.len(), 1);
    assert!(days[0].0.contains(&format!("/{}/{}-", midnight - DAY_MS, midnight - 1)), "{}", days[0].0);
    assert_eq!(days[0].1, lines(0, 1));
    node.flush().await;
    assert_eq!(objects(&store, "bucket", &format!("/{midnight}/")).len(), 1);
    node.halt().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_the_aligned_minute_every_batch_is_delivered() {
    let (dir, store, clock) = (tempfile::tempdir().unwrap(), FakeStore::new(), StepClock::new());
    let aligned = rule(|rule| rule.align_minute = Some(40));
    let node = Node::open_with(dir.path(), &store, &clock, options(), aligned);
    node.send("web", "bucket");
    node.append("web", &lines(0, 1)).await;
    // 22:13:20 until 22:40.
    clock.pass(Duration::from_secs(26 * 60 + 39));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(store.keys(), []);
    clock.pass(Duration::from_secs(1));
    eventually("the minute", || store.keys().len() == 1).await;
    node.halt().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_steps_back_neither_delivers_early_nor_late_nor_out_of_its_day() {
    let (dir, store, clock) = (tempfile::tempdir().unwrap(), FakeStore::new(), StepClock::new());
    let node = Node::open(dir.path(), &store, &clock);
    node.send("web", "bucket");
    node.append("web", &lines(0, 1)).await;
    eventually("a look", || node.log().open_batches().len() == 1).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    clock.set_wall(EVENING - 7 * 3_600_000);
    node.append("web", &lines(1, 1)).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(store.keys(), []);
    clock.pass(60 * MINUTE);
    eventually("the hour by monotonic time", || store.keys().len() == 1).await;
    assert_eq!(stored(&store, "bucket", "web"), lines(0, 2));
    let (_, object) = objects(&store, "bucket", "").remove(0);
    assert_eq!(object.metadata["forebay-first-received-at"], "2023-11-14T15:13:20.000Z");
    assert_eq!(object.metadata["forebay-last-received-at"], "2023-11-14T22:13:20.000Z");
    node.halt().await;
}

/// A flush was forgotten where the scheduler had listed the batches just before, and forgot what it did not
/// see.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_flush_is_forgotten() {
    let (dir, store, clock) = (tempfile::tempdir().unwrap(), FakeStore::new(), StepClock::new());
    let node = Node::open(dir.path(), &store, &clock);
    for n in 0..300 {
        node.send(&format!("s{n}"), "bucket");
        node.append(&format!("s{n}"), &lines(n, 1)).await;
        node.delivery.flush(Some(&source(&format!("s{n}"))), Duration::ZERO).await;
    }
    eventually("every source's object", || store.keys().len() == 300).await;
    node.halt().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flush_delivers_what_was_there_and_leaves_alone_what_comes_after() {
    let (dir, store, clock) = (tempfile::tempdir().unwrap(), FakeStore::new(), StepClock::new());
    let node = Node::open(dir.path(), &store, &clock);
    node.send("web", "bucket");
    node.send("ios", "bucket");
    assert_eq!(node.delivery.flush(None, Duration::ZERO).await, Default::default(), "nothing to do");
    node.append("web", &lines(0, 2)).await;
    node.append("ios", &lines(10, 2)).await;
    let gate = store.hold_bucket("bucket");
    node.delivery.flush(Some(&source("web")), Duration::ZERO).await;
    eventually("the put", || gate.is_awaited()).await;
    let flushed = node.delivery.flush(Some(&source("web")), Duration::ZERO).await;
    assert_eq!((flushed.sealed, flushed.delivered, flushed.pending), (1, 0, 1));
    // The flush is still wanted. What comes now is of another batch: of the next object.
    let web = source("web");
    let waiting = node.delivery.flush(Some(&web), SOON);
    let after = async {
        gate.open();
        eventually("the first object", || store.keys().len() == 1).await;
        node.append("web", &lines(2, 2)).await;
    };
    let (flushed, ()) = tokio::join!(waiting, after);
    assert_eq!((flushed.sealed, flushed.delivered, flushed.pending), (1, 1, 0));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(store.keys().len(), 1, "neither ios nor the new calls were asked for");
    assert_eq!(stored(&store, "bucket", "web"), lines(0, 2));
    node.halt().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_delivers_everything_or_leaves_it_for_the_next_start() {
    let (dir, store, clock) = (tempfile::tempdir().unwrap(), FakeStore::new(), StepClock::new());
    let node = Node::open(dir.path(), &store, &clock);
    node.send("web", "bucket");
    node.append("web", &lines(0, 2)).await;
    node.reject("web", "{\"reason\":\"unknown_type\"}").await;
    let drained = node.delivery.clone().shutdown(true, SOON).await;
    assert_eq!(drained.left, 0);
    assert_eq!(stored(&store, "bucket", "web"), lines(0, 2));
    let (key, rejected) = objects(&store, "bucket", "_rejected").remove(0);
    assert!(key.starts_with("segment-logs/_rejected/web/"), "{key}");
    assert_eq!(lines_of(&rejected), ["{\"reason\":\"unknown_type\"}"]);
    node.halt().await;
    let node = Node::open(dir.path(), &store, &clock);
    node.append("web", &lines(2, 2)).await;
    store.refuse_bucket("bucket", true);
    let drained = node.delivery.clone().shutdown(true, Duration::from_millis(200)).await;
    assert_eq!(drained.left, 1);
    node.halt().await;
    store.refuse_bucket("bucket", false);
    let node = Node::open(dir.path(), &store, &clock);
    node.flush().await;
    assert_eq!(stored(&store, "bucket", "web"), lines(0, 4));
    node.halt().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wall_clock_that_is_set_back_is_noted_in_the_manifest() {
    let (dir, store, clock) = (tempfile::tempdir().unwrap(), FakeStore::new(), StepClock::new());
    let node = Node::open(dir.path(), &store, &clock);
    let noted = || {
        let files = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path());
        let manifests = files.filter(|path| path.to_string_lossy().contains("MANIFEST-"));
        manifests
            .map(|path| std::fs::read(path).unwrap())
            .any(|bytes| memchr::memmem::find(&bytes, b"\"clock\"").is_some())
    };
    // The watch has to have read the clock before it is stepped.
    node.send("web", "bucket");
    node.append("web", &lines(0, 1)).await;
    node.flush().await;
    assert!(!noted());
    clock.set_wall(EVENING - 7_200_000);
    eventually("the step is noted", noted).await;
    node.halt().await;
}
