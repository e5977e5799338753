//! A node that reads notifications which emulators of S3 send to their SQS.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use forebay::import::ATTEMPTS_MAX;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::Instant;

use super::bucket::gzip;
use super::node::{alarm_of, reload};
use super::support::ran;
use crate::serve::support::{PATIENCE, Settings, ask, status};
use crate::support::aws_tool::call;
use crate::support::bucket::Bucket;
use crate::support::forebay::{Forebay, command};
use crate::support::ministack::Ministack;
use crate::support::moto::Moto;
use crate::support::wait;

const CONVERTER: &str = r#"{"converterConfig":{"fileType":"json","convertToAmplitudeFunc":{
    "event_type":["path","e"],"user_id":["path","u"]}}}"#;
/// Both emulators know this key, which is its own secret.
const KEY: (&str, &str) = ("test", "test");
pub(super) const ENVIRONMENT: [(&str, &str); 2] =
    [("AWS_ACCESS_KEY_ID", KEY.0), ("AWS_SECRET_ACCESS_KEY", KEY.1)];
/// The account of the bucket, in ministack.
const ACCOUNT: &str = "000000000000";
/// A message that a killed process had comes back after 30 s.
const COMES_BACK: Duration = Duration::from_secs(90);
/// The first row is to be stored within 5 s of the message. Other tests run at the same time.
const SOON: Duration = Duration::from_secs(20);

/// An emulator with a bucket whose notifications go to a queue, and a configuration with an import of it.
pub(super) struct Stand {
    url: String,
    queue: String,
    pub(super) arn: String,
    pub(super) settings: Settings,
    lake: Bucket,
    files: Bucket,
    folder: TempDir,
}

impl Stand {
    pub(super) async fn start(url: &str, discovery: &str) -> Self {
        let stand = Self::without_rule(url, discovery).await;
        let rule =
            json!({ "QueueConfigurations": [{ "QueueArn": stand.arn, "Events": ["s3:ObjectCreated:*"] }] });
        stand.put_rules(&rule).await;
        stand
    }

    /// The same without notifications, which the queue would take.
    pub(super) async fn without_rule(url: &str, discovery: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let aws = async |service, operation, parameters: Value| {
            let what = format!("{service} {operation} {parameters}");
            let answer = call(url, KEY, service, operation, parameters).await;
            answer.unwrap_or_else(|code| panic!("{what}: {code}"))
        };
        let bucket = |name| Bucket::new(url, name, KEY.0, KEY.1);
        let (lake, files) = (bucket("lake"), bucket("files"));
        for (bucket, name) in [(&lake, "lake"), (&files, "files")] {
            bucket.client.create_bucket().bucket(name).send().await.unwrap();
        }
        let made = aws("sqs", "create_queue", json!({ "QueueName": "files" })).await;
        let queue = made["QueueUrl"].as_str().unwrap().to_owned();
        let asked = json!({ "QueueUrl": queue, "AttributeNames": ["QueueArn"] });
        let arn = aws("sqs", "get_queue_attributes", asked).await["Attributes"]["QueueArn"].clone();
        // Who may send to the queue, as the printed policy says.
        let policy = include_str!("../../../policies/import-queue.json");
        let filled = [("QUEUE_ARN", arn.as_str().unwrap()), ("BUCKET", "files"), ("ACCOUNT_ID", ACCOUNT)];
        let policy = filled.iter().fold(policy.to_owned(), |text, (word, value)| text.replace(word, value));
        let attributes = json!({ "QueueUrl": queue, "Attributes": { "Policy": policy } });
        aws("sqs", "set_queue_attributes", attributes).await;
        fs::write(folder.path().join("c.json"), CONVERTER).unwrap();
        let mut settings = Settings::new(folder.path(), url, &["shop"]);
        settings.s3 += "\nregion = \"us-east-1\"";
        settings.imports = format!(
            "[[import]]\nname = \"orders\"\nconverter = \"c.json\"\ninsert_id_window = \"0 s\"\nbucket = \"files\"\n\
             prefix = \"in/\"\nscan_interval = \"1 s\"\nregion = \"us-east-1\"\ndiscovery = \"{discovery}\"\n\
             queue_url = \"{queue}\"\n"
        );
        let arn = arn.as_str().unwrap().to_owned();
        Self { url: url.to_owned(), queue, arn, settings, lake, files, folder }
    }

    /// Calls an operation of the emulator, as who may do everything.
    pub(super) async fn aws(&self, service: &str, operation: &str, parameters: Value) -> Value {
        let what = format!("{service} {operation} {parameters}");
        let answer = call(&self.url, KEY, service, operation, parameters).await;
        answer.unwrap_or_else(|code| panic!("{what}: {code}"))
    }

    /// Puts the rules of the bucket with the files.
    pub(super) async fn put_rules(&self, rules: &Value) {
        let put = json!({ "Bucket": "files", "NotificationConfiguration": rules });
        self.aws("s3", "put_bucket_notification_configuration", put).await;
    }

    pub(super) async fn serve(&self) -> Forebay {
        Forebay::serve(self.settings.write(), &ENVIRONMENT).await
    }

    pub(super) async fn put(&self, key: &str, rows: u32) {
        let lines: String = (0..rows).map(|row| format!("{{\"e\":\"{key} {row}\",\"u\":\"u\"}}\n")).collect();
        self.put_text(key, &lines).await;
    }

    async fn put_text(&self, key: &str, text: &str) {
        self.put_bytes(key, text.as_bytes().to_vec()).await;
    }

    async fn put_bytes(&self, key: &str, bytes: Vec<u8>) {
        let body = bytes.into();
        self.files.client.put_object().bucket("files").key(key).body(body).send().await.unwrap();
    }

    /// Waits until the rows of these files are delivered, each once, and no others.
    pub(super) async fn delivered(&self, files: &[(&str, u32)], patience: Duration) {
        let rows =
            |(key, rows): &(&str, u32)| (0..*rows).map(|row| format!("{key} {row}")).collect::<Vec<_>>();
        let expected: BTreeSet<String> = files.iter().flat_map(rows).collect();
        wait::until("the rows in the bucket", patience, async || {
            let lines = self.lake.lines("shop").await;
            let events: Vec<String> = lines
                .iter()
                .map(|line| {
                    serde_json::from_str::<Value>(line).unwrap()["event"].as_str().unwrap().to_owned()
                })
                .collect();
            let once: BTreeSet<String> = events.iter().cloned().collect();
            assert_eq!(once.len(), events.len(), "a row came twice");
            assert!(once.is_subset(&expected), "{:?}", once.difference(&expected).next());
            (once.len() == expected.len()).then_some(())
        })
        .await;
    }

    /// Waits until what the node says of its queue is as wanted.
    async fn says(&self, node: &Forebay, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        let found = tokio::time::timeout(PATIENCE * 2, async {
            loop {
                last = status(node).await["imports"][0].clone();
                if wanted(&last["notifications"]) {
                    return last["notifications"].clone();
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await;
        found.unwrap_or_else(|_| panic!("{last}\n{}", node.log()))
    }

    /// How many messages the queue has, hidden ones included.
    pub(super) async fn queued(&self) -> u64 {
        let names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"];
        let asked = json!({ "QueueUrl": self.queue, "AttributeNames": names });
        let said = call(&self.url, KEY, "sqs", "get_queue_attributes", asked).await.unwrap();
        let count = |name: &str| said["Attributes"][name].as_str().unwrap().parse::<u64>().unwrap();
        names.iter().map(|name| count(name)).sum()
    }
}

pub(super) async fn metrics(node: &Forebay) -> String {
    String::from_utf8(ask(node, "/metrics").await.body.to_vec()).unwrap()
}

/// Names, envelopes and duplicates are those of each emulator.
async fn files_arrive_by_notifications(url: &str) {
    let stand = Stand::start(url, "sqs").await;
    let names = ["in/a", "in/two words +50%_é.json", "in/folder/ü?&=#.json"];
    for name in names {
        stand.put(name, 10).await;
    }
    stand.put_text("in/folder/", "").await;
    stand.put_text("in/list", "[{\"u\":\"u\"}]").await;
    stand.put("other/x", 10).await;
    let node = stand.serve().await;
    let first: Vec<(&str, u32)> = names.iter().map(|name| (*name, 10)).collect();
    stand.delivered(&first, PATIENCE).await;
    // The file between them is tried again and again, and holds up nothing.
    let seen = stand.says(&node, |seen| seen["messages"]["failed"].as_u64() > Some(0)).await;
    assert!(seen["messages"]["foreign"].as_u64() >= Some(1), "{seen}");
    assert!(seen["not_done"][0]["name"] == "s3://files/in/list", "{seen}");
    assert!(seen["not_done"][0]["error"].as_str().unwrap().starts_with("E-FORMAT"), "{seen}");
    assert_eq!((&seen["queue"], &seen["failing"]), (&json!(stand.queue), &Value::Null), "{seen}");
    // Another file, from its message to its first row.
    let stored = async || metrics(&node).await.contains("became=\"stored\"} 35");
    stand.put("in/late", 5).await;
    let put = Instant::now();
    wait::until("its rows", PATIENCE, async || stored().await.then_some(())).await;
    assert!(put.elapsed() < SOON, "{:?}", put.elapsed());
    let late = [first.as_slice(), &[("in/late", 5)]].concat();
    stand.delivered(&late, PATIENCE).await;
    // Without a listing nothing was passed over, and a command makes a pass that finds nothing new.
    assert_eq!(status(&node).await["imports"][0]["last"], Value::Null);
    // Only what failed is left, once the queue has been told of the others.
    wait::until("one message left", PATIENCE, async || (stand.queued().await == 1).then_some(())).await;
    let text = metrics(&node).await;
    assert!(text.contains("forebay_import_messages_total{import=\"orders\",became=\"done\"}"), "{text}");
    // A later version settles it: its message, and the one that comes back.
    stand.put("in/list", 5).await;
    stand.delivered(&[late.as_slice(), &[("in/list", 5)]].concat(), PATIENCE).await;
    wait::until("an empty queue", COMES_BACK, async || (stand.queued().await == 0).then_some(())).await;
    assert!(node.terminate().await.success());
}

/// A killed process leaves its messages in the queue.
async fn nothing_is_lost_or_repeated_by_kills(url: &str) {
    let stand = Stand::start(url, "sqs").await;
    let sizes = [("in/a", 6_000), ("in/b", 3_000), ("in/c", 10), ("in/d", 4_000)];
    let mut node = stand.serve().await;
    for (name, rows) in sizes {
        stand.put(name, rows).await;
    }
    for _ in 0..2 {
        stand.says(&node, |seen| seen["received"].as_u64() > Some(0)).await;
        node.kill().await;
        node = stand.serve().await;
    }
    stand.delivered(&sizes, COMES_BACK).await;
    wait::until("an empty queue", COMES_BACK, async || (stand.queued().await == 0).then_some(())).await;
    assert!(node.terminate().await.success());
    stand.delivered(&sizes, PATIENCE).await;
}

/// What was there before the notifications is found by the listing, and what both find is stored once.
async fn a_listing_finds_what_notifications_miss(url: &str) {
    let stand = Stand::start(url, "both").await;
    for file in 0..20 {
        stand.put(&format!("in/{file}"), 50).await;
    }
    // As if the first messages had never been sent.
    call(url, KEY, "sqs", "purge_queue", json!({ "QueueUrl": stand.queue })).await.unwrap();
    let node = stand.serve().await;
    for file in 20..40 {
        stand.put(&format!("in/{file}"), 50).await;
    }
    let names: Vec<String> = (0..40).map(|file| format!("in/{file}")).collect();
    let all: Vec<(&str, u32)> = names.iter().map(|name| (name.as_str(), 50)).collect();
    stand.delivered(&all, PATIENCE * 2).await;
    wait::until("an empty queue", COMES_BACK, async || (stand.queued().await == 0).then_some(())).await;
    assert!(node.terminate().await.success());
    stand.delivered(&all, PATIENCE).await;
}

/// No pass finds them: they are gone before the next one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_done_with_files_of_messages_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let Some(moto) = Moto::start(folder.path()).await else { return };
    let mut stand = Stand::start(&moto.url, "sqs").await;
    stand.settings.imports = stand.settings.imports.replace("\"1 s\"", "\"1 h\"") + "after = \"delete\"\n";
    let node = stand.serve().await;
    for name in ["in/a", "in/b", "in/c"] {
        stand.put(name, 5).await;
    }
    stand.delivered(&[("in/a", 5), ("in/b", 5), ("in/c", 5)], PATIENCE).await;
    let counted = "forebay_import_after_total{import=\"orders\",became=\"deleted\"} 3";
    wait::until("the count", PATIENCE, async || metrics(&node).await.contains(counted).then_some(())).await;
    assert!(node.terminate().await.success());
}

/// No pass tells of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_messages_name_and_that_is_given_up_is_an_alarm() {
    let folder = tempfile::tempdir().unwrap();
    let Some(moto) = Moto::start(folder.path()).await else { return };
    let stand = Stand::start(&moto.url, "sqs").await;
    let node = stand.serve().await;
    stand.put_text("in/list", "[{\"u\":\"u\"}]").await;
    // Each message is an attempt. One that was given back comes again later.
    let record = json!({ "eventName": "ObjectCreated:Put",
        "s3": { "bucket": { "name": "files" }, "object": { "key": "in/list" } } });
    let message =
        json!({ "QueueUrl": stand.queue, "MessageBody": json!({ "Records": [record] }).to_string() });
    for _ in 1..ATTEMPTS_MAX {
        stand.aws("sqs", "send_message", message.clone()).await;
    }
    let alarm = async || alarm_of(&status(&node).await, "orders notified files for a person");
    let raised = wait::until("the alarm", COMES_BACK, alarm).await;
    let what = raised["what"].as_str().unwrap();
    assert!(
        what.contains("import orders has given up 1 file, the last s3://files/in/list: E-FORMAT"),
        "{what}"
    );
    assert!(what.contains("`forebay import reset-file orders --failed`"), "{what}");
    stand.put("in/list", 5).await;
    stand.delivered(&[("in/list", 5)], PATIENCE).await;
    wait::until("no alarm", PATIENCE, async || alarm().await.is_none().then_some(())).await;
    assert!(node.terminate().await.success());
}

/// What passes say of files and their queue is said without one, until it is no longer so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_of_messages_have_warnings_and_their_queue_has_a_depth() {
    let folder = tempfile::tempdir().unwrap();
    let Some(moto) = Moto::start(folder.path()).await else { return };
    let mut stand = Stand::start(&moto.url, "sqs").await;
    let says_gzip = CONVERTER.replace("\"fileType\"", "\"compressionType\":\"gzip\",\"fileType\"");
    fs::write(stand.folder.path().join("c.json"), says_gzip).unwrap();
    stand.settings.imports += "on_change = \"reprocess\"\n";
    let node = stand.serve().await;
    let warned = async |wanted: &str| {
        wait::until(&format!("the warning {wanted:?}"), PATIENCE, async || {
            let import = status(&node).await["imports"][0].clone();
            let warning = import["warnings"][0].as_str().unwrap_or_default().to_owned();
            assert_eq!(import["last"], Value::Null, "no pass was made");
            (warning.starts_with(wanted) && warning.is_empty() == wanted.is_empty()).then_some(warning)
        })
        .await
    };
    stand.put("in/a", 5).await;
    warned("1 file is not compressed as the converter says (compressionType is gzip), the first s3://files/in/a with none")
        .await;
    stand.put("in/b", 5).await;
    warned("2 files are not compressed").await;
    let mut asks = command();
    asks.args(["import", "status", "orders", "--admin", &node.console]);
    let shown = ran(asks).await.code(0);
    assert!(shown.out.contains("warning: 2 files are not compressed as the converter says"), "{shown:?}");
    // One is put again as the converter says, and then the converter says what the other one is.
    stand.put_bytes("in/a", gzip("{\"e\":\"in/c 0\",\"u\":\"u\"}\n")).await;
    let left = warned("1 file is not compressed").await;
    assert!(left.contains("the first s3://files/in/b with none"), "{left}");
    fs::write(stand.folder.path().join("c.json"), CONVERTER).unwrap();
    reload(&stand.settings, &node).await;
    warned("").await;
    stand.delivered(&[("in/a", 5), ("in/b", 5), ("in/c", 1)], PATIENCE).await;
    // The queue says how many messages it has.
    let seen = stand.says(&node, |seen| seen["depth"].is_object()).await;
    assert!(seen["depth"]["waiting"].is_u64() && seen["depth"]["in_flight"].is_u64(), "{seen}");
    assert!(seen["depth"]["read_ms"].as_i64() > Some(0) && seen.get("not_counted").is_none(), "{seen}");
    let text = metrics(&node).await;
    for state in ["waiting", "in_flight"] {
        let gauge = format!("forebay_import_queue_messages{{import=\"orders\",state=\"{state}\"}} ");
        assert!(text.contains(&gauge), "{gauge}: {text}");
    }
    assert!(node.terminate().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_in_moto_arrive_by_notifications() {
    let folder = tempfile::tempdir().unwrap();
    let Some(moto) = Moto::start(folder.path()).await else { return };
    files_arrive_by_notifications(&moto.url).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_in_ministack_arrive_by_notifications() {
    let Some(ministack) = Ministack::start().await else { return };
    files_arrive_by_notifications(&ministack.url()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_lose_no_message_of_moto_and_repeat_no_row() {
    let folder = tempfile::tempdir().unwrap();
    let Some(moto) = Moto::start(folder.path()).await else { return };
    nothing_is_lost_or_repeated_by_kills(&moto.url).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_lose_no_message_of_ministack_and_repeat_no_row() {
    let Some(ministack) = Ministack::start().await else { return };
    nothing_is_lost_or_repeated_by_kills(&ministack.url()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listing_finds_what_notifications_of_moto_miss() {
    let folder = tempfile::tempdir().unwrap();
    let Some(moto) = Moto::start(folder.path()).await else { return };
    a_listing_finds_what_notifications_miss(&moto.url).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listing_finds_what_notifications_of_ministack_miss() {
    let Some(ministack) = Ministack::start().await else { return };
    a_listing_finds_what_notifications_miss(&ministack.url()).await;
}
