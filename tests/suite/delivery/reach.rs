//! How a place is reached and how objects are kept there may change while they wait: roles, keys, encryption.

use std::time::Duration;

use forebay::alarms::AlarmKind;
use forebay::object::{
    AppliedEncryption, Encryption, ExternalId, KmsContext, KmsKey, Role, RoleArn, S3Location, SseKms,
};
use forebay::store::fake::{FakeStore, Step};

use super::node::*;

fn as_role(location: S3Location, name: &str) -> S3Location {
    let arn = RoleArn::parse(&format!("arn:aws:iam::111122223333:role/{name}")).unwrap();
    let role = Role { arn, external_id: ExternalId::parse("web").unwrap() };
    S3Location { role: Some(role), ..location }
}

fn under_key(location: S3Location, key: &str) -> S3Location {
    let key = KmsKey::parse(key).unwrap();
    let encryption = Encryption::Kms(SseKms { key, bucket_key: None, context: KmsContext::default() });
    S3Location { encryption, ..location }
}

fn go(node: &Node, name: &str, to: S3Location) {
    node.spool.locations().set_locations(vec![(source(name), to)]).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_a_wrong_role_goes_out_once_the_role_is_mended() {
    let (dir, store, clock) = (tempfile::tempdir().unwrap(), FakeStore::new(), StepClock::new());
    store.refuse_role("arn:aws:iam::111122223333:role/wrong", true);
    let node = Node::open(dir.path(), &store, &clock);
    go(&node, "web", as_role(to("bucket"), "wrong"));
    go(&node, "ios", as_role(to("bucket"), "right"));
    node.append("web", &lines(0, 5)).await;
    node.append("ios", &lines(50, 5)).await;
    node.delivery.flush(None, Duration::ZERO).await;
    eventually("the alarm", || node.has_alarm(AlarmKind::Refused)).await;
    // The other role opens the same bucket, and does not hide the alarm.
    eventually("the other source", || store.keys().len() == 1).await;
    assert!(node.has_alarm(AlarmKind::Refused));
    let alarm = node.alarms.standing().remove(0);
    assert_eq!(alarm.subject, "bucket as arn:aws:iam::111122223333:role/wrong (web)");
    go(&node, "web", as_role(to("bucket"), "right"));
    node.flush().await;
    eventually("the alarm's end", || !node.has_alarm(AlarmKind::Refused)).await;
    assert_eq!(stored(&store, "bucket", "web"), lines(0, 5));
    assert_eq!(stored(&store, "bucket", "ios"), lines(50, 5));
    node.halt().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_a_key_goes_out_when_it_is_allowed_again_or_another_is_configured() {
    let (dir, store, clock) = (tempfile::tempdir().unwrap(), FakeStore::new(), StepClock::new());
    let node = Node::open(dir.path(), &store, &clock);
    go(&node, "web", under_key(to("bucket"), "alias/a"));
    node.append("web", &lines(0, 5)).await;
    node.flush().await;
    store.refuse_key("alias/a", true);
    node.append("web", &lines(5, 5)).await;
    node.delivery.flush(None, Duration::ZERO).await;
    eventually("the alarm", || node.has_alarm(AlarmKind::Refused)).await;
    store.refuse_key("alias/a", false);
    node.flush().await;
    eventually("the alarm's end", || !node.has_alarm(AlarmKind::Refused)).await;
    assert_eq!(stored(&store, "bucket", "web"), lines(0, 10));

    store.refuse_key("alias/a", true);
    node.append("web", &lines(10, 5)).await;
    node.delivery.flush(None, Duration::ZERO).await;
    eventually("the alarm", || node.has_alarm(AlarmKind::Refused)).await;
    node.halt().await;
    let puts = store.puts();
    let told = [(source("web"), under_key(to("bucket"), "alias/b"))];
    let node = Node::open_told(dir.path(), &store, &clock, told);
    node.flush().await;
    assert_eq!(store.puts(), puts + 1, "nothing is put with the key that is refused");
    assert_eq!(stored(&store, "bucket", "web"), lines(0, 15));
    let keys: Vec<String> =
        objects(&store, "bucket", "/web/").iter().map(|(_, object)| object.encryption.to_string()).collect();
    assert_eq!(keys, ["kms alias/a", "kms alias/a", "kms alias/b"]);
    node.halt().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_encryption_than_was_asked_for_is_an_alarm_until_it_is_right_or_nothing_goes_there() {
    let (dir, store, clock) = (tempfile::tempdir().unwrap(), FakeStore::new(), StepClock::new());
    let node = Node::open(dir.path(), &store, &clock);
    let arn = |key: &str| format!("arn:aws:kms:us-east-1:111122223333:key/{key}");
    let applied = |algorithm: &str, key: Option<String>| AppliedEncryption {
        algorithm: Some(algorithm.to_owned()),
        kms_key: key,
        bucket_key: false,
    };
    go(&node, "web", under_key(to("bucket"), &arn("mine")));
    let deliver = async |from: u32| {
        node.append("web", &lines(from, 1)).await;
        node.flush().await;
    };
    store.encrypt_as(Some(applied("aws:kms", Some(arn("other")))));
    deliver(0).await;
    eventually("the alarm", || node.has_alarm(AlarmKind::Encryption)).await;
    let what = node.alarms.standing().remove(0).what;
    assert!(
        what.starts_with(&format!("the key mine was requested, but the store used {}", arn("other"))),
        "{what}"
    );
    store.encrypt_as(None);
    deliver(1).await;
    eventually("the alarm's end", || !node.has_alarm(AlarmKind::Encryption)).await;
    store.encrypt_as(Some(applied("AES256", None)));
    deliver(2).await;
    eventually("the alarm", || node.has_alarm(AlarmKind::Encryption)).await;
    // What was applied is shown, too.
    let last = node.delivery.progress().of(&source("web")).last_object.unwrap();
    assert_eq!(last.encryption, Some(applied("AES256", None)));
    go(&node, "web", to("bucket"));
    deliver(3).await;
    eventually("the end of an alarm about the past", || !node.has_alarm(AlarmKind::Encryption)).await;
    assert_eq!(stored(&store, "bucket", "web"), lines(0, 4));
    node.halt().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_out_of_reach_for_minutes_is_an_alarm() {
    let (dir, store, clock) = (tempfile::tempdir().unwrap(), FakeStore::new(), StepClock::new());
    store.script(std::iter::repeat_n(Step::SLOW_DOWN, 10_000));
    let node = Node::open(dir.path(), &store, &clock);
    node.send("web", "bucket");
    node.append("web", &lines(0, 5)).await;
    node.delivery.flush(None, Duration::ZERO).await;
    eventually("tries", || store.puts() > 5).await;
    assert!(!node.has_alarm(AlarmKind::Unreachable), "a short outage is none");
    clock.pass(Duration::from_secs(301));
    eventually("the alarm", || node.has_alarm(AlarmKind::Unreachable)).await;
    store.clear_script();
    node.flush().await;
    eventually("the alarm's end", || !node.has_alarm(AlarmKind::Unreachable)).await;
    assert_eq!(stored(&store, "bucket", "web"), lines(0, 5));
    node.halt().await;
}
