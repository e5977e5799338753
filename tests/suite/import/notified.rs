//! Objects that the messages of a queue name: each good row once, and a message goes only after its objects.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use forebay::import::bucket_import::{
    After, BucketImport, NotifiedObjects, OnChange, OnMissing, PassDeps, pass,
};
use forebay::import::notifications::{MessageEnded, Watch, receive};
use forebay::queue::fake::{FakeQueue, Request};
use forebay::queue::{Queue as _, QueueError, QueueFault, QueueMessage};
use forebay::runtime::{SystemClock, SystemRandom};
use forebay::store::fake::{FakeStore, Gate, Step};
use forebay::time::Clock as _;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::bucket::{ROWS, check_events, converter_text, deps, events, gzip, import, import_as, lines, put};
use super::importer::{Node, node};
use crate::support::wait;

const PATIENCE: Duration = Duration::from_secs(60);

/// A notification of S3 about objects with these keys, encoded as S3 does.
fn created(bucket: &str, keys: &[&str]) -> Value {
    let record = |key: &&str| {
        json!({
            "eventName": "ObjectCreated:Put",
            "s3": { "bucket": { "name": bucket }, "object": { "key": key, "size": 12 } },
        })
    };
    json!({ "Records": keys.iter().map(record).collect::<Vec<_>>() })
}

fn message(key: &str) -> String {
    created("lake", &[key]).to_string()
}

/// What a receiver reported.
#[derive(Debug, Default)]
struct Seen {
    ended: Mutex<Vec<(String, &'static str)>>,
    failures: Mutex<Vec<QueueFault>>,
    received: Mutex<Vec<String>>,
}

impl Watch for Seen {
    fn asked(&self, answer: Result<(), &QueueError>) {
        self.failures.lock().unwrap().extend(answer.err().map(|error| error.fault));
    }

    fn received(&self, message: &QueueMessage) {
        self.received.lock().unwrap().push(message.id.clone());
    }

    fn ended(&self, ended: &MessageEnded) {
        self.ended.lock().unwrap().push((ended.id.clone(), ended.became.slug()));
    }
}

impl Seen {
    /// How often messages with this id became what.
    fn became(&self, id: &str) -> Vec<&'static str> {
        let ended = self.ended.lock().unwrap();
        ended.iter().filter(|(ended, _)| ended == id).map(|(_, became)| *became).collect()
    }

    async fn has_ended(&self, messages: usize) {
        wait::until("the ends of messages", PATIENCE, async || {
            (self.ended.lock().unwrap().len() >= messages).then_some(())
        })
        .await;
    }
}

/// A receiver at work.
struct Receiver {
    stop: CancellationToken,
    seen: Arc<Seen>,
    task: JoinHandle<()>,
}

impl Receiver {
    async fn start(node: &Node, store: &FakeStore, queue: &FakeQueue, import: BucketImport) -> Self {
        Self::with(deps(node, store), queue, import).await
    }

    async fn with(deps: PassDeps, queue: &FakeQueue, import: BucketImport) -> Self {
        let (stop, seen) = (CancellationToken::new(), Arc::new(Seen::default()));
        let deps = PassDeps { stop: stop.clone(), ..deps };
        let objects = Arc::new(NotifiedObjects::of(Arc::new(import), deps).await.unwrap());
        let task = {
            let (queue, seen, stop) = (Arc::new(queue.clone()), Arc::clone(&seen), stop.clone());
            tokio::spawn(async move { receive(queue, objects, seen, &SystemRandom, &stop).await })
        };
        Self { stop, seen, task }
    }

    async fn stop(self) -> Arc<Seen> {
        self.stop.cancel();
        self.task.await.unwrap();
        self.seen
    }
}

/// Waits until the queue has these messages alone.
async fn left(queue: &FakeQueue, expected: &[String]) {
    wait::until("the messages that stay", PATIENCE, async || (queue.left() == expected).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_message_brings_its_files_once_and_goes_only_after_them() {
    let (node, store, queue) = (node(), FakeStore::new(), FakeQueue::default());
    put(&store, "in/a.json", lines("a", ROWS)).await;
    put(&store, "in/my folder/b +50%_é.json.gz", gzip(&lines("b", 150))).await;
    put(&store, "in/c.json", lines("c", 10)).await;
    put(&store, "in/bridge +%.json", lines("bridge", 10)).await;
    put(&store, "in/segment-logs/own.json", lines("own", 10)).await;
    put(&store, "in/empty.json", "").await;
    put(&store, "other/x.json", lines("x", 10)).await;
    let several = created("lake", &["in/a.json", "in/my+folder%2Fb+%2B50%25_%C3%A9.json.gz"]);
    let in_topic = json!({ "Type": "Notification", "MessageId": "m", "TopicArn": "t",
        "Message": created("lake", &["in/c.json"]).to_string() });
    let bridge = json!({ "detail-type": "Object Created", "source": "aws.s3",
        "detail": { "bucket": { "name": "lake" }, "object": { "key": "in/bridge +%.json" } } });
    let removed = json!({ "Records": [{ "eventName": "ObjectRemoved:Delete",
        "s3": { "bucket": { "name": "lake" }, "object": { "key": "in/a.json" } } }] });
    let no_key =
        json!({ "Records": [{ "eventName": "ObjectCreated:Put", "s3": { "bucket": { "name": "lake" } } }] });
    let sent: Vec<(String, &str)> = [
        (several.to_string(), "done"),
        (in_topic.to_string(), "done"),
        (bridge.to_string(), "done"),
        (json!({ "Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "lake" }).to_string(), "other"),
        (removed.to_string(), "other"),
        (json!({ "Records": [] }).to_string(), "other"),
        (created("elsewhere", &["in/a.json"]).to_string(), "foreign"),
        (message("other/x.json"), "foreign"),
        (created("lake", &["other/x.json", "in/c.json"]).to_string(), "done"),
        (message("in/segment-logs/own.json"), "done"),
        (message("in/folder/"), "done"),
        (message("in/empty.json"), "done"),
        (message("in/gone.json"), "done"),
        ("not json".to_owned(), "unreadable"),
        (no_key.to_string(), "unreadable"),
        (message("in/50%.json"), "unreadable"),
    ]
    .into_iter()
    .map(|(body, became)| (queue.send(body), became))
    .collect();
    let receiver = Receiver::start(&node, &store, &queue, import(&node)).await;
    receiver.seen.has_ended(sent.len()).await;
    let unreadable: Vec<String> =
        sent.iter().filter(|(_, became)| *became == "unreadable").map(|(id, _)| id.clone()).collect();
    left(&queue, &unreadable).await;
    let seen = receiver.stop().await;
    for (id, became) in &sent {
        assert_eq!(seen.became(id), [*became], "{id}");
    }
    for id in &unreadable {
        assert!(queue.requests().contains(&Request::Hide(id.clone(), Duration::from_secs(10))), "{id}");
    }
    let all = events("a", ROWS).chain(events("b", 150)).chain(events("c", 10)).chain(events("bridge", 10));
    check_events(&node, all);
    // The journal is that of passes, so the next one finds nothing to do.
    let report = pass(Arc::new(import(&node)), deps(&node, &store)).await.unwrap();
    assert_eq!((report.known, report.rows), (4, 0), "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn duplicates_and_messages_that_come_again_bring_no_row_twice() {
    let (node, store, queue) = (node(), FakeStore::new(), FakeQueue::default());
    put(&store, "in/a.json", lines("a", ROWS)).await;
    put(&store, "in/b.json", lines("b", 50)).await;
    let bodies = [
        message("in/a.json"),
        message("in/a.json"),
        created("lake", &["in/a.json", "in/b.json", "in/a.json"]).to_string(),
    ];
    bodies.iter().for_each(|body| drop(queue.send(body)));
    let receiver = Receiver::start(&node, &store, &queue, import(&node)).await;
    receiver.seen.has_ended(3).await;
    left(&queue, &[]).await;
    // A message whose deletion fails comes again, and so does one that a queue delivers twice.
    for fault in [QueueFault::Denied, QueueFault::Passing] {
        let gate = Gate::new();
        store.script_reads([Step::HoldRequest(gate.clone())]);
        let id = queue.send(bodies[1].clone());
        wait::until("the message in hand", PATIENCE, async || gate.is_awaited().then_some(())).await;
        queue.fail_next(fault);
        gate.open();
        wait::until("its end", PATIENCE, async || (!receiver.seen.became(&id).is_empty()).then_some(()))
            .await;
        if fault == QueueFault::Denied {
            wait::until("the refusal", PATIENCE, async || {
                queue.show_all();
                (receiver.seen.became(&id).len() > 1).then_some(())
            })
            .await;
        }
        left(&queue, &[]).await;
    }
    receiver.stop().await;
    check_events(&node, events("a", ROWS).chain(events("b", 50)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poison_file_between_good_ones_gives_its_message_back() {
    let (node, store, queue) = (node(), FakeStore::new(), FakeQueue::default());
    put(&store, "in/a.json", lines("a", 150)).await;
    put(&store, "in/list.json", "[{\"u\":\"u\"}]").await;
    put(&store, "in/b.json", lines("b", 150)).await;
    let receiver = Receiver::start(&node, &store, &queue, import(&node)).await;
    queue.send(message("in/a.json"));
    let bad = queue.send(message("in/list.json"));
    let mixed = queue.send(created("lake", &["in/b.json", "in/list.json"]).to_string());
    queue.send(message("in/b.json"));
    left(&queue, &[bad.clone(), mixed.clone()]).await;
    check_events(&node, events("a", 150).chain(events("b", 150)));
    // Three tries make it poison, whichever message brings them.
    wait::until("poison", PATIENCE, async || {
        queue.show_all();
        receiver.seen.became(&bad).contains(&"given_up").then_some(())
    })
    .await;
    let became = receiver.seen.became(&bad);
    assert!(became.iter().filter(|became| **became == "failed").count() <= 2, "{became:?}");
    let longest = queue.requests().into_iter().filter_map(|request| match request {
        Request::Hide(id, hidden) if id == bad => Some(hidden),
        _ => None,
    });
    assert!(longest.max().unwrap() > Duration::from_secs(10));
    // Another object under the key settles it.
    put(&store, "in/list.json", lines("list", 20)).await;
    wait::until("the new object", PATIENCE, async || {
        queue.show_all();
        queue.left().is_empty().then_some(())
    })
    .await;
    receiver.stop().await;
    check_events(&node, events("a", 150).chain(events("b", 150)).chain(events("list", 20)));
}

/// Only how often this process gave it back counts: a process that is killed says nothing of a message.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_others_received_often_is_hidden_for_a_short_time() {
    let (node, store, queue) = (node(), FakeStore::new(), FakeQueue::default());
    put(&store, "in/a.json", lines("a", 50)).await;
    let id = queue.send(message("in/a.json"));
    for _ in 0..7 {
        assert_eq!(queue.receive(1, Duration::from_secs(30)).await.unwrap().len(), 1);
        queue.show_all();
    }
    // The listing shows that the object is there, so it is denied, twice.
    store.script_reads([Step::REFUSED, Step::Proper, Step::REFUSED, Step::Proper]);
    let receiver = Receiver::start(&node, &store, &queue, import(&node)).await;
    for failures in 1..=2 {
        wait::until("the denied file", PATIENCE, async || {
            (receiver.seen.became(&id).len() == failures).then_some(())
        })
        .await;
        let hidden = Request::Hide(id.clone(), Duration::from_secs(if failures == 1 { 10 } else { 20 }));
        wait::until("its message", PATIENCE, async || queue.requests().contains(&hidden).then_some(())).await;
        queue.show_all();
    }
    left(&queue, &[]).await;
    let seen = receiver.stop().await;
    assert_eq!(seen.became(&id), ["failed", "failed", "done"]);
    check_events(&node, events("a", 50));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_stopped_goes_back_at_once_and_goes_on_at_its_next_row() {
    let (node, store, queue) = (node(), FakeStore::new(), FakeQueue::default());
    put(&store, "in/a.json", lines("a", ROWS)).await;
    put(&store, "in/b.json", lines("b", ROWS)).await;
    let gate = Gate::new();
    store.script_reads([Step::HoldRequest(gate.clone())]);
    let receiver = Receiver::start(&node, &store, &queue, import(&node)).await;
    let id = queue.send(created("lake", &["in/a.json", "in/b.json"]).to_string());
    wait::until("the message in hand", PATIENCE, async || gate.is_awaited().then_some(())).await;
    receiver.stop.cancel();
    gate.open();
    let seen = receiver.stop().await;
    assert_eq!(seen.became(&id), ["stopped"]);
    assert!(queue.requests().contains(&Request::Hide(id.clone(), Duration::ZERO)));
    let receiver = Receiver::start(&node, &store, &queue, import(&node)).await;
    left(&queue, &[]).await;
    receiver.stop().await;
    check_events(&node, events("a", ROWS).chain(events("b", ROWS)));
}

/// A killed process deletes nothing, and the next one finds in the journal what is stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_kill_the_message_comes_back_and_no_row_is_stored_twice() {
    for steps in 0..4 {
        for stores_last in [false, true] {
            let (node, store, queue) = (node(), FakeStore::new(), FakeQueue::default());
            put(&store, "in/a.json", lines("a", ROWS)).await;
            queue.send(message("in/a.json"));
            let (target, stalled) = super::bucket::stalls(&node, &store, steps, stores_last);
            let receiver =
                Receiver::with(PassDeps { target, ..deps(&node, &store) }, &queue, import(&node)).await;
            wait::until("the step that is not answered", PATIENCE, async || {
                (stalled() || queue.left().is_empty()).then_some(())
            })
            .await;
            receiver.task.abort();
            let node = node.killed();
            queue.show_all();
            let receiver = Receiver::start(&node, &store, &queue, import(&node)).await;
            left(&queue, &[]).await;
            receiver.stop().await;
            check_events(&node, events("a", ROWS));
        }
    }
}

/// Its message is not taken for one of a file that the import does not want.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_half_read_file_goes_on_although_its_key_is_not_wanted_any_more() {
    let moves =
        |node: &Node| BucketImport { after: Some(After::Move("in/done/".to_owned())), ..import(node) };
    for changed in [super::half_read::with_no_key as fn(&Node) -> BucketImport, moves] {
        let (node, store, queue) = (node(), FakeStore::new(), FakeQueue::default());
        put(&store, "in/done/a.json", lines("a", ROWS)).await;
        put(&store, "in/done/b.json", lines("b", 30)).await;
        queue.send(message("in/done/a.json"));
        let (target, stalled) = super::bucket::stalls(&node, &store, 1, true);
        let receiver =
            Receiver::with(PassDeps { target, ..deps(&node, &store) }, &queue, import(&node)).await;
        wait::until("the step that is not answered", PATIENCE, async || stalled().then_some(())).await;
        receiver.task.abort();
        let node = node.killed();
        queue.send(message("in/done/b.json"));
        queue.show_all();
        let import = changed(&node);
        let receiver = Receiver::start(&node, &store, &queue, import).await;
        left(&queue, &[]).await;
        receiver.stop().await;
        check_events(&node, events("a", ROWS));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pass_and_notifications_meet_and_share_their_places() {
    let (node, store, queue) = (node(), FakeStore::new(), FakeQueue::default());
    let keys: Vec<String> = (0..40).map(|file| format!("in/{file}.json")).collect();
    for (file, key) in keys.iter().enumerate() {
        put(&store, key, lines(&format!("f{file}"), 120)).await;
        queue.send(message(key));
    }
    let three = || BucketImport { parallel: 3, ..import(&node) };
    let receiver = Receiver::start(&node, &store, &queue, three()).await;
    let report = pass(Arc::new(three()), deps(&node, &store)).await.unwrap();
    left(&queue, &[]).await;
    receiver.stop().await;
    let done: BTreeMap<_, _> = report.files.iter().map(|(became, count)| (became.slug(), *count)).collect();
    assert_eq!(done.values().sum::<u64>() + report.known, 40, "{report:?}");
    assert!(done.keys().all(|became| matches!(*became, "done" | "done_before")), "{report:?}");
    let names: Vec<String> = (0..40).map(|file| format!("f{file}")).collect();
    check_events(&node, names.iter().flat_map(|name| events(name, 120)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_refuses_is_asked_again_and_files_that_are_denied_are_retried() {
    let (node, store, queue) = (node(), FakeStore::new(), FakeQueue::default());
    put(&store, "in/a.json", lines("a", 50)).await;
    queue.refuse(Some(QueueFault::Denied));
    let receiver = Receiver::start(&node, &store, &queue, import(&node)).await;
    let id = queue.send(message("in/a.json"));
    wait::until("two refusals", PATIENCE, async || {
        (receiver.seen.failures.lock().unwrap().len() >= 2).then_some(())
    })
    .await;
    assert!(receiver.seen.received.lock().unwrap().is_empty());
    // The listing shows that the object is there, so it is denied.
    store.script_reads([Step::REFUSED, Step::Proper]);
    queue.refuse(None);
    wait::until("the denied file", PATIENCE, async || {
        receiver.seen.became(&id).contains(&"failed").then_some(())
    })
    .await;
    assert_eq!(queue.left(), [id]);
    wait::until("the file", PATIENCE, async || {
        queue.show_all();
        queue.left().is_empty().then_some(())
    })
    .await;
    receiver.stop().await;
    check_events(&node, events("a", 50));
}

/// No more messages are taken than files can begin, and each stays hidden while it waits, for up to 12 hours.
#[tokio::test(start_paused = true)]
async fn messages_in_hand_stay_hidden_as_long_as_the_queue_allows() {
    let (node, store, queue) = (node(), FakeStore::new(), FakeQueue::default());
    for key in ["in/a.json", "in/b.json", "in/c.json"] {
        put(&store, key, lines(key, 20)).await;
    }
    let gates = [Gate::new(), Gate::new()];
    store.script_reads(gates.iter().map(|gate| Step::HoldRequest(gate.clone())));
    let sent: Vec<String> =
        ["in/a.json", "in/b.json", "in/c.json"].iter().map(|key| queue.send(message(key))).collect();
    let receiver =
        Receiver::start(&node, &store, &queue, BucketImport { parallel: 2, ..import(&node) }).await;
    let hidden = |id: &String| {
        let hides = |request: &Request| matches!(request, Request::Hide(of, Duration { .. }) if of == id);
        queue.requests().iter().filter(|request| hides(request)).count()
    };
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert_eq!(receiver.seen.received.lock().unwrap().as_slice(), sent.get(..2).unwrap());
    assert_eq!(sent.iter().map(hidden).collect::<Vec<_>>(), [6, 6, 0]);
    tokio::time::sleep(Duration::from_secs(13 * 3_600)).await;
    let renewals = 12 * 240 - 3;
    assert!(sent.iter().take(2).all(|id| hidden(id).abs_diff(renewals) <= 1), "{}", hidden(&sent[0]));
    tokio::time::resume();
    gates.iter().for_each(Gate::open);
    wait::until("the files", PATIENCE, async || {
        queue.show_all();
        queue.left().is_empty().then_some(())
    })
    .await;
    receiver.stop().await;
    let all = ["in/a.json", "in/b.json", "in/c.json"].into_iter().flat_map(|key| events(key, 20));
    check_events(&node, all);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_whose_settings_changed_takes_no_message() {
    let (node, store) = (node(), FakeStore::new());
    put(&store, "in/a.json", lines("a", 10)).await;
    pass(Arc::new(import(&node)), deps(&node, &store)).await.unwrap();
    let other = BucketImport { endpoint: "http://elsewhere".to_owned(), ..import(&node) };
    let refused = NotifiedObjects::of(Arc::new(other), deps(&node, &store)).await.unwrap_err();
    assert!(refused.to_string().starts_with("E-IMPORT-FIXED"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_imported_and_deleted_since_is_done_when_its_message_comes_again() {
    let (node, store) = (node(), FakeStore::new());
    put(&store, "in/a.json", lines("a", 5)).await;
    let import = BucketImport { after: Some(After::Delete), on_missing: OnMissing::Fail, ..import(&node) };
    let objects = NotifiedObjects::of(Arc::new(import), deps(&node, &store)).await.unwrap();
    let became = async |key: &str| format!("{:?}", objects.import(key).await.unwrap());
    assert!(became("in/a.json").await.contains("(Done,"));
    assert!(store.object("lake", "in/a.json").is_none());
    let again = became("in/a.json").await;
    assert!(again.contains("(DoneBefore,"), "{again}");
    let never = became("in/b.json").await;
    assert!(never.contains("(Missing,"), "{never}");
    check_events(&node, events("a", 5));
}

/// A pass says it of the files that it read; messages bring one file at a time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_are_compressed_in_another_way_are_remembered_until_they_are_put_as_the_converter_says() {
    let (node, store) = (node(), FakeStore::new());
    let text = converter_text(r#""fileType":"json","compressionType":"gzip""#, "");
    let says_gzip =
        BucketImport { on_change: OnChange::Reprocess, ..import_as(&node, "events", "in/", &text) };
    let deps = deps(&node, &store);
    let others = Arc::clone(&deps.other_compressions);
    let objects = NotifiedObjects::of(Arc::new(says_gzip), deps).await.unwrap();
    for (key, bytes, expected) in [
        ("in/a", lines("a", 5).into_bytes(), vec!["in/a", "1"]),
        ("in/b", gzip(&lines("b", 5)), vec!["in/a", "1"]),
        ("in/c", lines("c", 5).into_bytes(), vec!["in/a", "2"]),
        ("in/a", gzip(&lines("d", 5)), vec!["in/c", "1"]),
        ("in/c", gzip(&lines("e", 5)), vec![]),
    ] {
        put(&store, key, bytes).await;
        objects.import(key).await.unwrap();
        let met = others.now(SystemClock::new().wall());
        let met = met.map(|met| [met.first.replace("s3://lake/", ""), met.objects.to_string()]);
        assert_eq!(met.map_or_else(Vec::new, Vec::from), expected, "{key}");
    }
    check_events(&node, ["a", "b", "c", "d", "e"].into_iter().flat_map(|name| events(name, 5)));
}
