//! `forebay import setup-notifications`: what it changes in a bucket, and that it changes nothing else.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::access::{Aws, nothing, policy_of, with_role};
use super::queue_access::queue;
use super::queues::{ENVIRONMENT, Stand};
use super::support::{Ran, Stand as Dev, ran};
use crate::serve::support::{PATIENCE, Settings};
use crate::support::actions::actions_of;
use crate::support::forebay::command;
use crate::support::granted;
use crate::support::ministack::Ministack;
use crate::support::moto::Moto;
use crate::support::scripted_http::{Reply, ScriptedHttp};
use crate::support::wait;

const FUNCTION: &str = "arn:aws:lambda:us-east-1:000000000000:function:f";

impl Stand {
    async fn rules(&self) -> Value {
        self.aws("s3", "get_bucket_notification_configuration", json!({ "Bucket": "files" })).await
    }

    async fn set_up(&self, more: &[&str]) -> Ran {
        set_up(&self.settings, &ENVIRONMENT, more).await
    }

    /// A topic and another queue, to which the bucket may send.
    async fn others(&self) -> (String, String) {
        let topic = self.aws("sns", "create_topic", json!({ "Name": "topic" })).await;
        let made = self.aws("sqs", "create_queue", json!({ "QueueName": "others" })).await;
        let others = self.arn.replace(":files", ":others");
        let may = json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow", "Action": "sqs:SendMessage",
            "Principal": { "Service": "s3.amazonaws.com" }, "Resource": others }] });
        let attributes = json!({ "QueueUrl": made["QueueUrl"], "Attributes": { "Policy": may.to_string() } });
        self.aws("sqs", "set_queue_attributes", attributes).await;
        (topic["TopicArn"].as_str().unwrap().to_owned(), others)
    }
}

async fn set_up(settings: &Settings, environment: &[(&str, &str)], more: &[&str]) -> Ran {
    let mut command = command();
    command.args(["import", "setup-notifications", "orders", "--config"]).arg(settings.write());
    command.args(more).envs(environment.iter().copied()).env("AWS_EC2_METADATA_DISABLED", "true");
    let was_there = settings.spool_dir().exists();
    let ran = ran(command).await;
    assert_eq!(settings.spool_dir().exists(), was_there, "a spool was created");
    ran
}

/// A rule in the form of the AWS libraries.
fn rule(id: &str, (name, arn): (&str, &str), event: &str, filters: &[(&str, &str)]) -> Value {
    let filters: Vec<Value> =
        filters.iter().map(|(name, value)| json!({ "Name": name, "Value": value })).collect();
    let mut rule = json!({ "Id": id, name: arn, "Events": [event] });
    if !filters.is_empty() {
        rule["Filter"] = json!({ "Key": { "FilterRules": filters } });
    }
    rule
}

async fn a_rule_is_added_and_undone_and_no_other_changes(url: &str, shows_event_bridge: bool) {
    let stand = Stand::without_rule(url, "sqs").await;
    // A bucket without any rule.
    stand.set_up(&[]).await.code(0);
    assert_eq!(stand.rules().await["QueueConfigurations"].as_array().unwrap().len(), 1);
    stand.set_up(&["--undo"]).await.code(0);
    assert_eq!(stand.rules().await, json!({}));
    let (topic, others) = stand.others().await;
    let created = "s3:ObjectCreated:*";
    let rules = json!({
        "TopicConfigurations": [
            rule("images", ("TopicArn", &topic), created, &[("prefix", "images/"), ("suffix", ".jpg")]),
            rule("gone", ("TopicArn", &topic), "s3:ObjectRemoved:*", &[]),
        ],
        "QueueConfigurations": [rule("logs", ("QueueArn", &others), "s3:ObjectCreated:Put", &[("prefix", "logs/a & <b>")])],
        "LambdaFunctionConfigurations": [rule("f", ("LambdaFunctionArn", FUNCTION), "s3:ObjectTagging:*", &[("suffix", ".csv")])],
        "EventBridgeConfiguration": {},
    });
    stand.put_rules(&rules).await;
    let before = stand.rules().await;
    assert_eq!(before["EventBridgeConfiguration"].is_object(), shows_event_bridge, "{before:#}");
    assert_eq!(before["TopicConfigurations"], rules["TopicConfigurations"]);

    let planned = stand.set_up(&["--dry-run"]).await.code(0);
    assert!(planned.out.contains("would be added: forebay-orders-"), "{planned:?}");
    let undone = stand.set_up(&["--undo"]).await.code(0);
    assert!(undone.out.contains("nothing to do for import orders in bucket files"), "{undone:?}");
    assert_eq!(stand.rules().await, before);

    let done = stand.set_up(&["--json"]).await.code(0);
    let json: Value = serde_json::from_str(&done.out).unwrap();
    let ours =
        rule(json["added"]["id"].as_str().unwrap(), ("QueueArn", &stand.arn), created, &[("prefix", "in/")]);
    assert_eq!(json["queue"], stand.arn.as_str(), "{json:#}");
    assert_eq!((&json["other_queues"], &json["other_topics"]), (&json!(1), &json!(2)), "{json:#}");
    let with_ours = |mut rules: Value| {
        rules["QueueConfigurations"].as_array_mut().unwrap().push(ours.clone());
        rules
    };
    let after = stand.rules().await;
    assert_eq!(after, with_ours(before.clone()));
    let again = stand.set_up(&[]).await.code(0);
    assert!(
        again.out.contains("nothing to do") && again.out.contains("is there: forebay-orders-"),
        "{again:?}"
    );
    assert!(again.out.contains("1 queue, 2 topics, 1 function"), "{again:?}");
    assert_eq!(again.out.contains("EventBridge"), shows_event_bridge, "{again:?}");
    assert_eq!(stand.rules().await, after);

    // One that a person changed is put in order.
    let mut changed = rules.clone();
    let mut by_hand = ours.clone();
    by_hand["Events"] = json!(["s3:ObjectCreated:Copy"]);
    changed["QueueConfigurations"].as_array_mut().unwrap().push(by_hand);
    stand.put_rules(&changed).await;
    let replaced = stand.set_up(&[]).await.code(0);
    assert!(
        replaced.out.starts_with("removed: forebay-orders-") && replaced.out.contains("\nadded: "),
        "{replaced:?}"
    );
    assert_eq!(stand.rules().await, after);

    // What is stored now comes to the node.
    let node = stand.serve().await;
    stand.put("in/a", 10).await;
    stand.put("logs/x", 10).await;
    stand.delivered(&[("in/a", 10)], PATIENCE).await;
    wait::until("an empty queue", PATIENCE, async || (stand.queued().await == 0).then_some(())).await;
    assert!(node.terminate().await.success());

    // Undone also if a person changed it.
    stand.put_rules(&changed).await;
    let planned = stand.set_up(&["--undo", "--dry-run"]).await.code(0);
    assert!(planned.out.contains("would be removed: forebay-orders-"), "{planned:?}");
    let undone = stand.set_up(&["--undo"]).await.code(0);
    assert!(undone.out.starts_with("removed: forebay-orders-"), "{undone:?}");
    assert_eq!(stand.rules().await, before);
    stand.set_up(&["--undo"]).await.code(0);
    assert_eq!(stand.rules().await, before);
}

async fn a_rule_in_the_way_is_named(url: &str) {
    let stand = Stand::without_rule(url, "both").await;
    let (topic, others) = stand.others().await;
    let (created, put) = ("s3:ObjectCreated:*", "s3:ObjectCreated:Put");
    let to_topic = rule("way", ("TopicArn", &topic), put, &[("prefix", "in/a")]);
    let to_queue = rule("way", ("QueueArn", &others), created, &[("suffix", ".gz")]);
    let to_function = rule("way", ("LambdaFunctionArn", FUNCTION), created, &[]);
    let a_topic = "SNS or to EventBridge";
    for (rules, advice) in [
        (json!({ "TopicConfigurations": [to_topic] }), "and subscribe the queue to that topic"),
        (json!({ "QueueConfigurations": [to_queue] }), a_topic),
        (json!({ "LambdaFunctionConfigurations": [to_function] }), a_topic),
    ] {
        stand.put_rules(&rules).await;
        let before = stand.rules().await;
        for more in [&[][..], &["--dry-run"], &["--json"]] {
            let refused = stand.set_up(more).await.code(2);
            for word in [
                "way (s3:ObjectCreated",
                "S3 would refuse that of import orders",
                advice,
                "Nothing was changed",
            ] {
                assert!(refused.err.contains(word), "{word}: {refused:?}");
            }
        }
        assert_eq!(stand.rules().await, before);
    }
    // One that sends the same to the same queue is enough, and stays.
    stand
        .put_rules(&json!({ "QueueConfigurations": [rule("mine", ("QueueArn", &stand.arn), created, &[])] }))
        .await;
    for more in [&[][..], &["--undo"]] {
        let same = stand.set_up(more).await.code(0);
        assert!(same.out.contains("nothing to do") && same.out.contains("is there: mine "), "{same:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_of_moto_are_added_to_and_undone() {
    let folder = tempfile::tempdir().unwrap();
    let Some(moto) = Moto::start(folder.path()).await else { return };
    a_rule_is_added_and_undone_and_no_other_changes(&moto.url, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_of_ministack_are_added_to_and_undone() {
    let Some(ministack) = Ministack::start().await else { return };
    a_rule_is_added_and_undone_and_no_other_changes(&ministack.url(), true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rule_of_moto_in_the_way_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let Some(moto) = Moto::start(folder.path()).await else { return };
    a_rule_in_the_way_is_named(&moto.url).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rule_of_ministack_in_the_way_is_named() {
    let Some(ministack) = Ministack::start().await else { return };
    a_rule_in_the_way_is_named(&ministack.url()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_right_that_is_missing_has_its_statement() {
    let Some(mut aws) = Aws::start(&with_role()).await else { return };
    aws.make_role(&policy_of(&[nothing()])).await;
    let (own, recorded, arn) = queue(&aws.server, "files").await;
    aws.site.settings.imports +=
        &format!("discovery = \"sqs\"\nqueue_url = \"{recorded}\"\nregion = \"us-east-1\"\n");
    let set_up = async || aws.site.run(&["import", "setup-notifications", "orders", "--json"]).await;
    let grants = |ran: &Ran| -> Value {
        let json: Value = serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
        json["grants"][0].clone()
    };
    let asks = set_up().await.code(5);
    assert!(grants(&asks)["text"].as_str().unwrap().contains("sqs:GetQueueAttributes"), "{asks:?}");
    assert!(asks.err.contains("AccessDenied") && asks.err.contains(&recorded), "{asks:?}");
    let whole = aws.site.policy("import-notify", &["--queue", &arn]).await["Statement"].clone();
    let whole = whole.as_array().unwrap();
    assert_eq!(whole.len(), 2);
    aws.may(&whole[1..]).await;
    let reads = set_up().await.code(5);
    assert!(reads.err.contains("403 AccessDenied"), "{reads:?}");
    let statement: Value = serde_json::from_str(grants(&reads)["statement"].as_str().unwrap()).unwrap();
    assert_eq!(statement, whole[0]);
    let text = aws.site.run(&["import", "setup-notifications", "orders"]).await.code(5);
    assert!(text.out.contains("\"Sid\": \"ImportSetsUpNotifications\""), "{text:?}");
    // Each of both rights is needed.
    let mut half = statement.clone();
    half["Action"] = json!("s3:GetBucketNotification");
    aws.may(&[half, whole[1].clone()]).await;
    let puts = set_up().await.code(5);
    assert!(puts.err.contains("cannot be put"), "{puts:?}");

    // The queue has no policy.
    aws.may(&[statement, whole[1].clone()]).await;
    let sends = set_up().await.code(5);
    assert!(sends.err.contains("Unable to validate the following destination"), "{sends:?}");
    let grant = grants(&sends);
    assert!(grant["text"].as_str().unwrap().contains("import-queue --import orders"), "{grant:#}");
    let statement = grant["statement"].as_str().unwrap().replace("ACCOUNT_ID", "000000000000");
    let policy = policy_of(&[serde_json::from_str(&statement).unwrap()]);
    let attributes = json!({ "QueueUrl": own, "Attributes": { "Policy": policy.to_string() } });
    aws.server.admin("sqs", "set_queue_attributes", attributes).await;
    let done = set_up().await.code(0);
    assert!(done.out.contains("forebay-orders-"), "{done:?}");
    aws.site.run(&["import", "setup-notifications", "orders", "--undo"]).await.code(0);
    // Each request is one that the template grants.
    let requests = aws.server.recorder.requests();
    let mut sent: BTreeSet<String> = requests.iter().flat_map(actions_of).collect();
    sent.remove("sts:AssumeRole");
    assert_eq!(sent, granted::actions_of("import-notify"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_have_notifications_is_told() {
    let dev = Dev::start().await;
    let folder = tempfile::tempdir().unwrap();
    let mut settings = Settings::new(folder.path(), &dev.node.s3, &["web"]);
    let import = "[[import]]\nname = \"orders\"\nbucket = \"forebay\"\nprefix = \"in/\"\nconverter = \"none.json\"\ninsert_id_window = \"0 s\"\n";
    let queue = "queue_url = \"https://sqs.eu-west-1.amazonaws.com/111122223333/files\"";
    let check = async |settings: &Settings, code: i32, words: &[&str]| {
        let ran = set_up(
            settings,
            &[("AWS_ACCESS_KEY_ID", "forebay"), ("AWS_SECRET_ACCESS_KEY", "forebay-secret")],
            &[],
        )
        .await
        .code(code);
        words.iter().for_each(|word| assert!(ran.err.contains(word), "{word}: {ran:?}"));
    };
    settings.imports = format!("{import}discovery = \"sqs\"\n{queue}\n");
    check(&settings, 2, &["NotImplemented", "sends no notifications to queues", "discovery = \"scan\""])
        .await;
    settings.imports = import.to_owned();
    check(&settings, 2, &["discovery = \"sqs\" or \"both\", and queue_url"]).await;
    settings.imports = format!("{import}discovery = \"both\"\n");
    check(&settings, 2, &["queue_url", "is not set"]).await;
    settings.imports =
        format!("{import}discovery = \"sqs\"\n{queue}\nendpoint_url = \"http://127.0.0.1:1\"\n");
    check(&settings, 4, &["bucket forebay cannot be read"]).await;
    settings.imports = settings.imports.replace("orders", "sales");
    check(&settings, 2, &["has no [[import]] orders; it has sales"]).await;
}

/// A store that keeps the rules it is given; `instead` answers a put in its place, and may change them.
async fn keeps(
    rules: &str,
    mut instead: impl FnMut(&mut String) -> Option<Reply> + Send + 'static,
) -> (ScriptedHttp, Arc<Mutex<String>>) {
    let kept =
        Arc::new(Mutex::new(format!("<NotificationConfiguration>{rules}</NotificationConfiguration>")));
    let rules = Arc::clone(&kept);
    let store = ScriptedHttp::start(move |request| {
        let mut kept = kept.lock().unwrap();
        if request.method == "PUT" {
            *kept = String::from_utf8(request.body.clone()).unwrap();
            return instead(&mut kept).unwrap_or_else(|| Reply::status(200));
        }
        match &mut Reply::status(200).with("content-type", "application/xml") {
            Reply::Answer { status, headers, .. } => {
                Reply::Answer { status: *status, headers: headers.clone(), body: kept.clone() }
            }
            other => other.clone(),
        }
    })
    .await;
    (store, rules)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_are_lost_and_changes_of_others_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = Settings::new(folder.path(), "http://127.0.0.1:1", &["web"]);
    let mut set_up_at = async |url: &str, code: i32| {
        settings.imports = format!(
            "[[import]]\nname = \"orders\"\nbucket = \"files\"\nconverter = \"none.json\"\ninsert_id_window = \"0 s\"\n\
             endpoint_url = \"{url}\"\nregion = \"us-east-1\"\ndiscovery = \"sqs\"\n\
             queue_url = \"https://sqs.us-east-1.amazonaws.com/111122223333/files\"\n"
        );
        set_up(&settings, &ENVIRONMENT, &[]).await.code(code)
    };
    // The answer to the put is lost: the same again finds that it is done.
    let (store, kept) = keeps("<EventBridgeConfiguration/>", |_| Some(Reply::Close)).await;
    let lost = set_up_at(&store.url(), 4).await;
    assert!(lost.err.contains("the same command can be given again"), "{lost:?}");
    let again = set_up_at(&store.url(), 0).await;
    assert!(again.out.contains("is there: forebay-orders-"), "{again:?}");
    assert!(kept.lock().unwrap().contains("<EventBridgeConfiguration"));
    let puts = store.requests().iter().filter(|request| request.method == "PUT").count();
    assert_eq!(puts, 1);
    // What would be lost is not put.
    let unknown = "<LambdaFunctionConfiguration><Id>f</Id></LambdaFunctionConfiguration>";
    let (store, kept) = keeps(unknown, |_| None).await;
    let refused = set_up_at(&store.url(), 2).await;
    assert!(refused.err.contains("would remove: LambdaFunctionConfiguration"), "{refused:?}");
    assert!(kept.lock().unwrap().contains(unknown));
    // Somebody else puts other rules at the same time.
    let (store, _kept) = keeps("", |kept| {
        *kept = "<NotificationConfiguration/>".to_owned();
        None
    })
    .await;
    let other = set_up_at(&store.url(), 1).await;
    assert!(other.err.contains("somebody else may have changed them"), "{other:?}");
    for (reply, code) in [(Reply::s3_error(404, "NoSuchBucket"), 2), (Reply::s3_error(503, "SlowDown"), 4)] {
        let store = ScriptedHttp::start(move |_| reply.clone()).await;
        let refused = set_up_at(&store.url(), code).await;
        assert!(refused.err.contains("bucket files cannot be read"), "{refused:?}");
    }
}
