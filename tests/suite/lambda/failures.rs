//! What fails is named, after everything else was tried, and is never answered with success.

use std::time::Duration;

use serde_json::{Value, json};

use super::events::{s3, sqs};
use super::support::{Instance, Stand, pairs, table};
use crate::support::scripted_http::{Reply, ScriptedHttp};

/// Enough time for an invocation whose deadline does not matter.
const LONG: Duration = Duration::from_secs(60);

#[track_caller]
fn says(error: &str, parts: &[&str]) {
    for part in parts {
        assert!(error.contains(part), "{part:?} is not in {error:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_file_is_tried_and_each_failure_is_named() {
    let stand = Stand::start().await;
    let instance = stand.instance(&[]);
    stand.put("in/track_1.csv", "userId,event\nu1,e\n").await;
    stand.put("in/track_bad.csv", "userId,userId,event\nu2,u2,e\n").await;
    stand.put("in/nothing.csv", "userId,event\nu3,e\n").await;
    stand.put("in/object_Rooms_1.csv", "id,name\n1,x\n").await;
    stand.put("in/track_2.csv", "userId,event\nu4,e\n").await;
    let keys = [
        "in/track_1.csv", "in/track_bad.csv", "in/track_missing.csv", "in/50%.csv", "in/nothing.csv",
        "in/object_Rooms_1.csv", "in/track_2.csv",
    ];
    let error = stand.api.invoke(&s3("forebay", &keys), LONG).await.unwrap_err();
    says(
        &error,
        &[
            "5 of 7 files failed; ",
            "s3://forebay/in/track_bad.csv: E-CSV-DUPCOL: ",
            "s3://forebay/in/track_missing.csv: E-MISSING: it does not exist",
            "s3://forebay/in/50%.csv: E-EVENT: the key cannot be decoded",
            "s3://forebay/in/nothing.csv: E-CSV-TYPE: no call type",
            "s3://forebay/in/object_Rooms_1.csv: E-CSV-TYPE: ",
        ],
    );
    assert_eq!(stand.delivered("/userId").await, ["u1", "u4"]);
    let failed = instance.lines("a file is not imported");
    let mut failed: Vec<_> = failed.iter().map(|line| line["key"].as_str().unwrap()).collect();
    failed.sort_unstable();
    assert_eq!(failed.len(), 5, "{failed:?}");
    // The same, one message for each file.
    let bodies: Vec<Value> = keys.iter().map(|key| s3("forebay", &[key])).collect();
    let messages: Vec<(&str, &Value)> = keys.iter().copied().zip(&bodies).collect();
    let answered = stand.api.invoke(&sqs(&messages), LONG).await.unwrap();
    let named = |key: &&str| json!({ "itemIdentifier": key });
    assert_eq!(answered, json!({ "batchItemFailures": keys[1..6].iter().map(named).collect::<Vec<_>>() }));
    // An event that is none.
    let error = stand.api.invoke(&json!({ "hello": "world" }), LONG).await.unwrap_err();
    says(&error, &["unknown event"]);
    let nothing = stand.api.invoke(&json!({ "Event": "s3:TestEvent" }), LONG).await.unwrap();
    assert_eq!(nothing["files"][0]["ended"], "ignored");
}

/// A HEAD of such a key is answered with 400: it was retried until the deadline, and files after it had no
/// time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_no_store_takes_fails_at_once() {
    let stand = Stand::start().await;
    let _instance = stand.instance(&[]);
    stand.put("track_1.csv", "userId,event\nu1,e\n").await;
    let long = format!("track_{}.csv", "x".repeat(1_020));
    let error = stand.api.invoke(&s3("forebay", &[&long, "track_1.csv"]), LONG).await.unwrap_err();
    says(
        &error,
        &["1 of 2 files failed", "E-REFUSED: ", "the key has 1030 bytes, and S3 takes at most 1024"],
    );
    assert_eq!(stand.delivered("/userId").await, ["u1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn denied_access_and_a_missing_file_are_failures_unless_missing_ones_are_skipped() {
    let stand = Stand::start().await;
    stand.put("track_1.csv", table(2)).await;
    let event = s3("forebay", &["track_1.csv", "track_2.csv"]);
    let denied = stand.instance(&[("AWS_SECRET_ACCESS_KEY", "wrong"), ("FOREBAY_ON_MISSING", "skip")]);
    let error = stand.api.invoke(&event, LONG).await.unwrap_err();
    says(&error, &["2 of 2 files failed", "track_1.csv: E-DENIED: ", "track_2.csv: E-DENIED: "]);
    stand.api.end([denied]).await;
    let _skips = stand.instance(&[("FOREBAY_ON_MISSING", "skip")]);
    let answered = stand.api.invoke(&event, LONG).await.unwrap();
    let ended: Vec<_> = answered["files"].as_array().unwrap().iter().map(|file| &file["ended"]).collect();
    assert_eq!(ended, ["done", "missing"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_away_or_refuses_the_write_key_is_a_failure() {
    let stand = Stand::start().await;
    stand.put("track_1.csv", table(2)).await;
    let event = s3("forebay", &["track_1.csv"]);
    for (more, parts) in [
        (
            vec![],
            vec!["E-UNFINISHED: not finished: row 0 (http://127.0.0.1:1/v1/batch: ", "needs FOREBAY_JOURNAL"],
        ),
        (
            vec![("FOREBAY_JOURNAL", "s3://forebay/journal")],
            vec![
                "E-UNFINISHED: not finished: row 0 (http://127.0.0.1:1/v1/batch: ",
                "will continue when it is retried",
            ],
        ),
        (
            vec![("FOREBAY_JOURNAL", "s3://forebay/journal"), ("FOREBAY_CONTINUE", "self-invoke")],
            vec!["E-UNFINISHED: not finished: row 0", "no row was taken in this invocation"],
        ),
    ] {
        let mut environment = stand.to_collector(&more);
        environment.extend(pairs(&[("FOREBAY_COLLECTOR_URL", "http://127.0.0.1:1")]));
        let instance = Instance::start(&stand.api.address(), &environment);
        let error = stand.api.invoke(&event, Duration::from_secs(4)).await.unwrap_err();
        says(&error, &parts);
        assert_eq!(instance.lines("a file is not finished").len(), 1, "{}", instance.log());
        stand.api.end([instance]).await;
    }
    assert!(stand.delivered("/userId").await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_hangs_is_abandoned_before_the_deadline() {
    const TIME: Duration = Duration::from_secs(6);
    let stand = Stand::start().await;
    stand.put("track_1.csv", table(2)).await;
    let hangs = ScriptedHttp::elsewhere(|_| Reply::Hang).await;
    let mut environment = stand.to_collector(&[("FOREBAY_JOURNAL", "s3://forebay/journal")]);
    environment.extend(pairs(&[("FOREBAY_COLLECTOR_URL", &hangs.url())]));
    let _instance = Instance::start(&stand.api.address(), &environment);
    let answered = tokio::time::timeout(TIME, stand.api.queue(&s3("forebay", &["track_1.csv"]), TIME)).await;
    let error = answered.expect("an answer before the deadline").unwrap().unwrap_err();
    says(&error, &["row 0 (a request was not answered before the deadline)"]);
    // The lease is given up: another importer would not have to wait.
    let records = stand.bucket().keys("journal/").await;
    let record = records.iter().find(|key| key.ends_with(".json")).unwrap();
    let record: Value = serde_json::from_slice(&stand.bucket().object(record).await.body).unwrap();
    assert_eq!(record["leased_until"], Value::Null, "{record}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_environment_stops_the_start_with_all_that_is_wrong() {
    let stand = Stand::start().await;
    let environment = stand.to_collector(&[("FOREBAY_CSV_DELIMITER", "ab"), ("FOREBAY_CONTINUE", "x")]);
    let mut instance = Instance::start(&stand.api.address(), &environment);
    assert_eq!(instance.exit().await, Some(2), "{}", instance.log());
    let error = stand.api.init_error().unwrap();
    says(&error, &["FOREBAY_CSV_DELIMITER: ", "FOREBAY_CONTINUE: expected retry or self-invoke"]);
    says(&instance.log(), &["FOREBAY_CSV_DELIMITER: "]);
    let journal = [("FOREBAY_JOURNAL", "s3://nowhere/journal")];
    let mut instance = stand.instance(&journal);
    assert_eq!(instance.exit().await, Some(1), "{}", instance.log());
    says(&stand.api.init_error().unwrap(), &["the journal: "]);
}

/// What a person may read in the log, and what not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rejected_rows_are_counted_and_kept_where_they_belong_and_not_in_the_log() {
    const SECRET: &str = "jane.doe@example.com";
    let stand = Stand::start().await;
    let mut rows: String = (0..20).map(|row| format!("u{row},e,{SECRET}{row}\n")).collect();
    rows += "u20,e,2019-05-15T20:32:27Z\n";
    stand.put("track_1.csv", format!("userId,event,timestamp\n{rows}")).await;
    let event = s3("forebay", &["track_1.csv"]);

    let logging = stand.instance(&[("FOREBAY_CSV_ON_ROW_ERROR", "reject")]);
    let answered = stand.api.invoke(&event, LONG).await.unwrap();
    assert_eq!((&answered["files"][0]["rows"], &answered["files"][0]["rejected"]), (&json!(21), &json!(20)));
    let lines = logging.lines("a row was rejected; FOREBAY_CSV_REJECTS=s3://bucket/prefix keeps such rows");
    let first = json!([lines[0]["row"], lines[0]["line"], lines[0]["code"]]);
    assert_eq!((lines.len(), first), (10, json!([0, 2, "bad-time"])), "{}", logging.log());
    assert!(!logging.log().contains(SECRET), "{}", logging.log());
    stand.api.end([logging]).await;

    let fails = stand.instance(&[("FOREBAY_CSV_ON_ROW_ERROR", "max:5")]);
    let error = stand.api.invoke(&event, LONG).await.unwrap_err();
    says(
        &error,
        &["E-ROWS: 6 of 6 rows are rejected, more than --on-row-error allows; the last: line 7: bad-time"],
    );
    assert!(!fails.log().contains(SECRET), "{}", fails.log());
    stand.api.end([fails]).await;

    let keeping = stand
        .instance(&[("FOREBAY_CSV_ON_ROW_ERROR", "reject"), ("FOREBAY_CSV_REJECTS", "s3://forebay/rejects")]);
    for _ in 0..2 {
        stand.api.invoke(&event, LONG).await.unwrap();
    }
    assert!(!keeping.log().contains(SECRET), "{}", keeping.log());
    let kept = stand.bucket().keys("rejects/").await;
    assert_eq!(kept.len(), 1, "a retry overwrites: {kept:?}");
    let own = stand.api.invoke(&s3("forebay", &[kept[0].as_str()]), LONG).await.unwrap();
    assert_eq!(own["files"][0]["ended"], "ignored", "what the function itself put is no source");
    let object = stand.bucket().object(&kept[0]).await;
    let rows: Vec<Value> = String::from_utf8_lossy(&object.body)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!((rows.len(), &rows[19]["row"], &rows[19]["code"]), (20, &json!(19), &json!("bad-time")));
    assert!(rows[0]["raw"].as_str().unwrap().contains(SECRET), "{rows:?}");

    stand.api.end([keeping]).await;
    let wrong = stand.instance(&[("FOREBAY_CSV_REJECTS", "/tmp/rejects")]).exit().await;
    assert_eq!(wrong, Some(2));
    says(&stand.api.init_error().unwrap(), &["FOREBAY_CSV_REJECTS: expected s3://bucket/prefix"]);
}
