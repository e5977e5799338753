//! Which objects the events of all kinds mean.

use forebay::lambda::{Event, Notified, Record, continuation};
use serde_json::{Value, json};

/// The event of the documented test, with a version and an entity tag that are made up.
pub(super) const DOCUMENTED: &str = r#"{"Records":[ { "eventVersion":"2.0", "eventSource":"aws:s3", "awsRegion":"us-east-1", "eventTime":"1970-01-01T00:00:00.000Z", "eventName":"ObjectCreated:Put", "userIdentity":{ "principalId":"AIDAJDPLRKLG7UEXAMPLE" }, "requestParameters":{ "sourceIPAddress":"127.0.0.1" }, "responseElements":{ "x-amz-request-id":"C3D13FE58DE4C810", "x-amz-id-2":"FMyUVURIY8/IgAtTv8xRjskZQpcIZ9KG4V5Wp6S7S/JRWeUWerMUE5JgHvANOjpD" }, "s3":{ "s3SchemaVersion":"1.0", "configurationId":"testConfigRule", "bucket":{ "name":"inbox", "ownerIdentity":{ "principalId":"A3NL1KOZZKExample" }, "arn":"arn:aws:s3:::inbox" }, "object":{ "key":"track_1.csv", "eTag":"d41d8cd98f00b204e9800998ecf8427e", "versionId":"096fKKXTRTtl3on89fVO.nfljtsv6qko" } } } ] }"#;

/// A notification of S3, in the form that it has today.
pub(super) fn s3(bucket: &str, keys: &[&str]) -> Value {
    let record = |key: &&str| {
        json!({
            "eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": "us-east-1",
            "eventTime": "2026-11-22T10:00:00.000Z", "eventName": "ObjectCreated:Put",
            "userIdentity": { "principalId": "AWS:x" }, "requestParameters": { "sourceIPAddress": "10.0.0.1" },
            "responseElements": { "x-amz-request-id": "a", "x-amz-id-2": "b" },
            "s3": {
                "s3SchemaVersion": "1.0", "configurationId": "c",
                "bucket": { "name": bucket, "ownerIdentity": { "principalId": "o" }, "arn": format!("arn:aws:s3:::{bucket}") },
                "object": { "key": key, "size": 12, "sequencer": "0055AED6DCD90281E5" },
            },
        })
    };
    json!({ "Records": keys.iter().map(record).collect::<Vec<_>>() })
}

/// Messages of a queue with these bodies and ids.
pub(super) fn sqs(messages: &[(&str, &Value)]) -> Value {
    let record = |(id, body): &(&str, &Value)| {
        json!({
            "messageId": id, "receiptHandle": "h", "body": body.to_string(), "attributes": { "ApproximateReceiveCount": "1" },
            "messageAttributes": {}, "md5OfBody": "x", "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:q", "awsRegion": "us-east-1",
        })
    };
    json!({ "Records": messages.iter().map(record).collect::<Vec<_>>() })
}

fn sns(message: &Value) -> Value {
    json!({ "Records": [{
        "EventVersion": "1.0", "EventSubscriptionArn": "arn:aws:sns:us-east-1:123456789012:t:x", "EventSource": "aws:sns",
        "Sns": {
            "Type": "Notification", "MessageId": "m", "TopicArn": "arn:aws:sns:us-east-1:123456789012:t",
            "Subject": "Amazon S3 Notification", "Message": message.to_string(), "Timestamp": "2026-11-22T10:00:00.000Z",
        },
    }] })
}

/// What SNS puts into a queue, unless its subscription delivers messages raw.
fn sns_in_queue(message: &Value) -> Value {
    json!({ "Type": "Notification", "MessageId": "m", "TopicArn": "arn:aws:sns:us-east-1:123456789012:t",
            "Subject": "Amazon S3 Notification", "Message": message.to_string() })
}

fn event_bridge(kind: &str, bucket: &str, key: &str) -> Value {
    json!({
        "version": "0", "id": "17793124-05d4-b198-2fde-7ededc63b103", "detail-type": kind, "source": "aws.s3",
        "account": "123456789012", "time": "2026-11-22T10:00:00Z", "region": "us-east-1",
        "resources": [format!("arn:aws:s3:::{bucket}")],
        "detail": {
            "version": "0", "bucket": { "name": bucket },
            "object": { "key": key, "size": 5, "etag": "b1946ac92492d2347c6235b4d2611184", "version-id": "IYV3p45BT0ac8hjHg1houSdS1a.Mro8e", "sequencer": "00617F08299329D189" },
            "request-id": "N4N7GDK58NMKJ12R", "requester": "123456789012", "source-ip-address": "1.2.3.4", "reason": "PutObject",
        },
    })
}

fn test_event() -> Value {
    json!({ "Service": "Amazon S3", "Event": "s3:TestEvent", "Time": "2026-11-22T10:00:00.000Z", "Bucket": "inbox",
            "RequestId": "5582815E1AEA5ADF", "HostId": "8cLeGAmw098X5cv4Zkwcmo8vvZa3eH3eKxsPzbB9wrR+YstdA6Knx4Ip8EXAMPLE" })
}

/// A notification in a few letters.
fn short(notified: &Notified) -> String {
    match notified {
        Notified::Created(Record { bucket, key, version, etag }) => {
            let said = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
            format!("{bucket} {key} {} {}", said(version), said(etag))
        }
        Notified::Other(what) => format!("other {what}"),
        Notified::Bad { name, why } => format!("bad {name}: {why}"),
    }
}

fn all(notified: &[Notified]) -> Vec<String> {
    notified.iter().map(short).collect()
}

#[track_caller]
fn check(event: &Value, means: &[&str]) {
    match Event::parse(&event.to_string()).unwrap() {
        Event::Together(notified) => assert_eq!(all(&notified), means),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn check_queue(event: &Value, means: &[(&str, &[&str])]) {
    let Event::Queue(messages) = Event::parse(&event.to_string()).unwrap() else {
        panic!("no queue: {event}")
    };
    let said: Vec<_> = messages
        .iter()
        .map(|message| {
            let said =
                message.says.as_ref().map_or_else(|error| vec![format!("error {error}")], |says| all(says));
            (message.id.as_str(), said)
        })
        .collect();
    let means: Vec<_> =
        means.iter().map(|(id, says)| (*id, says.iter().map(ToString::to_string).collect())).collect();
    assert_eq!(said, means);
}

#[test]
fn each_kind_of_event_names_its_objects() {
    let documented: Value = serde_json::from_str(DOCUMENTED).unwrap();
    check(
        &documented,
        &["inbox track_1.csv 096fKKXTRTtl3on89fVO.nfljtsv6qko d41d8cd98f00b204e9800998ecf8427e"],
    );
    let two = s3("inbox", &["a+b/track_%2B1.csv", "identify_1.csv"]);
    let both = ["inbox a b/track_+1.csv - -", "inbox identify_1.csv - -"];
    check(&two, &both);
    check(&sns(&two), &both);
    check_queue(&sqs(&[("1", &two)]), &[("1", &both)]);
    check_queue(&sqs(&[("1", &sns_in_queue(&two))]), &[("1", &both)]);
    // Keys of EventBridge are not encoded.
    let bridged = event_bridge("Object Created", "inbox", "a+b/track_%2B1.csv");
    let means =
        ["inbox a+b/track_%2B1.csv IYV3p45BT0ac8hjHg1houSdS1a.Mro8e b1946ac92492d2347c6235b4d2611184"];
    check(&bridged, &means);
    check_queue(&sqs(&[("1", &bridged), ("2", &two)]), &[("1", &means), ("2", &both)]);
    check(&sns(&bridged), &means);
}

#[test]
fn what_needs_no_work_is_no_error() {
    check(&test_event(), &["other s3:TestEvent"]);
    check_queue(&sqs(&[("1", &test_event())]), &[("1", &["other s3:TestEvent"])]);
    check(&sns(&test_event()), &["other s3:TestEvent"]);
    check(&event_bridge("Object Deleted", "inbox", "track_1.csv"), &["other Object Deleted"]);
    let mut removed = s3("inbox", &["track_1.csv", "track_2.csv"]);
    removed["Records"][0]["eventName"] = json!("ObjectRemoved:Delete");
    removed["Records"][1]["eventName"] = json!("s3:ObjectCreated:Put");
    check(&removed, &["other ObjectRemoved:Delete", "inbox track_2.csv - -"]);
    check(&json!({ "Records": [] }), &[]);
}

#[test]
fn a_record_that_names_no_object_leaves_the_others() {
    let mut event = s3("inbox", &["track_1.csv", "50%.csv", "x%ff.csv", "track_2.csv", "x", "x"]);
    event["Records"][4]["s3"]["bucket"] = json!({});
    event["Records"][5]["s3"]["object"] = json!({});
    check(
        &event,
        &[
            "inbox track_1.csv - -",
            "bad a record of s3://inbox/50%.csv: the key cannot be decoded: it has a % without two hexadecimal digits after \
             it; in a notification a percent sign is %25",
            "bad a record of s3://inbox/x%ff.csv: the key cannot be decoded: it is not UTF-8",
            "inbox track_2.csv - -",
            "bad a record of the event: it names no bucket",
            "bad a record of s3://inbox: it names no key",
        ],
    );
}

#[test]
fn an_unknown_event_is_an_error_and_in_a_queue_it_is_that_of_its_message() {
    let check_error = |payload: &str, part: &str| {
        let error = Event::parse(payload).unwrap_err().to_string();
        assert!(error.contains(part), "{payload}: {error}");
    };
    check_error(r#"{"hello":"world"}"#, "unknown event: expected a notification of S3");
    check_error("[]", "unknown event");
    check_error("\"text\"", "unknown event");
    check_error(r#"{"Records":[{"dynamodb":{}}]}"#, r#"it begins with {"dynamodb":{}}"#);
    check_error(r#"{"Records":5}"#, "the event cannot be read");
    check_error(r#"{"tasks":[{"s3Key":"x"}],"job":{"id":"1"}}"#, "unknown event");
    check_queue(
        &sqs(&[("1", &json!({ "hello": "world" })), ("2", &s3("inbox", &["track_1.csv"]))]),
        &[
            (
                "1",
                &[
                    "error unknown event: expected a notification of S3, the same in SQS or SNS, `Object Created` of \
                   EventBridge, or tasks of S3 Batch Operations; it begins with {\"hello\":\"world\"}",
                ],
            ),
            ("2", &["inbox track_1.csv - -"]),
        ],
    );
    let deep = sns(&sns(&sns(&sns(&test_event()))));
    check_error(&deep.to_string(), "deeper in others");
}

#[test]
fn a_function_that_is_not_finished_names_the_same_objects_to_itself() {
    let record = |key: &str, version: Option<&str>| Record {
        bucket: "inbox".to_owned(),
        key: key.to_owned(),
        version: version.map(str::to_owned),
        etag: Some("abc".to_owned()),
    };
    let records = vec![record("a b/track_+é%.csv", Some("v1")), record("track_1.csv", None)];
    let Event::Together(notified) = Event::parse(&continuation(&records).to_string()).unwrap() else {
        panic!()
    };
    assert_eq!(notified, records.into_iter().map(Notified::Created).collect::<Vec<_>>());
}
