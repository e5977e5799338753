//! The program as the function of jobs of S3 Batch Operations: each task of an event has its result.

use std::time::Duration;

use serde_json::{Value, json};

use super::support::{Instance, Stand, table};
use crate::support::forebay::{command, finished};
use crate::support::lambda_emulator::Emulator;
use crate::support::scripted_http::{Reply, ScriptedHttp};

/// Enough time for an invocation whose deadline does not matter.
const LONG: Duration = Duration::from_secs(60);
/// The timeout of a function that does not end a file of 12,000 rows at this rate.
const SHORT: Duration = Duration::from_secs(4);
const SLOW: (&str, &str) = ("FOREBAY_CSV_RATE", "1000");
const JOURNAL: (&str, &str) = ("FOREBAY_JOURNAL", "s3://forebay/journal");

/// The event of a job with these URL-encoded keys, in schema 1.0 with an ARN as the documented sample has it.
fn tasks(keys: &[&str]) -> Value {
    let task = |(number, key): (usize, &&str)| {
        json!({
            "taskId": format!("task-{number}"), "s3Key": key, "s3VersionId": null,
            "s3BucketArn": "arn:aws:s3:us-east-1:0123456788:forebay",
        })
    };
    json!({
        "invocationSchemaVersion": "1.0", "invocationId": "YXNk", "job": { "id": "f3cc4f60" },
        "tasks": keys.iter().enumerate().map(task).collect::<Vec<_>>(),
    })
}

/// The code and the text of each result, after a check of what the answer repeats.
#[track_caller]
fn results(event: &Value, answered: &Value) -> Vec<(String, String)> {
    for repeated in ["invocationSchemaVersion", "invocationId"] {
        assert_eq!(answered[repeated], event[repeated], "{answered}");
    }
    assert_eq!(answered["treatMissingKeysAs"], "PermanentFailure");
    let (results, tasks) = (answered["results"].as_array().unwrap(), event["tasks"].as_array().unwrap());
    let ids = |of: &[Value]| of.iter().map(|one| one["taskId"].clone()).collect::<Vec<_>>();
    assert_eq!(ids(results), ids(tasks), "{answered}");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    results.iter().map(|result| (text(&result["resultCode"]), text(&result["resultString"]))).collect()
}

#[track_caller]
fn check(results: &[(String, String)], expected: &[(&str, &str)]) {
    assert_eq!(results.len(), expected.len(), "{results:#?}");
    for ((code, text), (expected_code, part)) in results.iter().zip(expected) {
        assert!(code == expected_code && text.contains(part), "{expected_code} {part}: {code} {text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_task_of_an_event_is_answered() {
    let stand = Stand::start().await;
    let _instance = stand.instance(&[JOURNAL]);
    stand.put("in/track_a b+.csv", "userId,event\nu1,e\nu2,e\nu3\n").await;
    stand.put("in/track_bad.csv", "userId,userId,event\nu4,u4,e\n").await;
    stand.put("in/", "").await;
    let keys = [
        "in/track_a+b%2B.csv", "in/track_bad.csv", "in/track_missing.csv", "50%.csv", "in/",
        "in/track_a%20b%2B.csv",
    ];
    let mut event = tasks(&keys);
    let answered = stand.api.invoke(&event, LONG).await.unwrap();
    let found = results(&event, &answered);
    check(
        &found,
        &[
            ("Succeeded", "rows=3 rejected=1"),
            ("PermanentFailure", "E-CSV-DUPCOL: "),
            ("PermanentFailure", "E-MISSING: "),
            ("PermanentFailure", "E-EVENT: s3Key \"50%.csv\" cannot be decoded"),
            ("Succeeded", "rows=0 (ignored)"),
            ("Succeeded", "rows=3 rejected=1"),
        ],
    );
    assert_eq!(found[0].1, "rows=3 rejected=1");

    // The same tasks in schema 2.0, when their rows are stored already. A version that is not there is missed.
    event["invocationSchemaVersion"] = "2.0".into();
    event["job"]["userArguments"] = json!({ "a": "b" });
    for task in event["tasks"].as_array_mut().unwrap() {
        task["s3Bucket"] = "forebay".into();
        task.as_object_mut().unwrap().remove("s3BucketArn");
    }
    event["tasks"][5]["s3VersionId"] = "7".into();
    event["tasks"][2]["s3VersionId"] = "".into();
    let answered = stand.api.invoke(&event, LONG).await.unwrap();
    let found = results(&event, &answered);
    check(&found[..1], &[("Succeeded", "rows=0 (imported before)")]);
    check(&found[5..], &[("PermanentFailure", "E-MISSING: the object has no version 7")]);
    assert_eq!(stand.delivered("/userId").await, ["u1", "u2"]);

    // Without a task that can be answered, the invocation fails.
    let error = stand.api.invoke(&json!({ "invocationSchemaVersion": "3.0" }), LONG).await.unwrap_err();
    assert!(error.contains("the event cannot be read"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_is_temporary_with_a_journal_and_permanent_without_one() {
    let stand = Stand::start().await;
    stand.put("track_1.csv", table(12_000)).await;
    let event = tasks(&["track_1.csv"]);
    let without = stand.instance(&[SLOW]);
    let answered = stand.api.invoke(&event, SHORT).await.unwrap();
    let found = results(&event, &answered);
    check(&found, &[("PermanentFailure", "set FOREBAY_JOURNAL, or give the function a longer timeout")]);
    stand.api.end([without]).await;

    // A function that could invoke itself leaves that to the job.
    let with = [
        JOURNAL,
        SLOW,
        ("FOREBAY_CONTINUE", "self-invoke"),
        ("AWS_ENDPOINT_URL_LAMBDA", "http://127.0.0.1:1"),
    ];
    let _with = stand.instance(&with);
    let (mut tries, mut found) = (0, Vec::new());
    while tries < 20 {
        tries += 1;
        found = results(&event, &stand.api.invoke(&event, SHORT).await.unwrap());
        if found[0].0 != "TemporaryFailure" {
            break;
        }
        check(&found, &[("TemporaryFailure", "it goes on there")]);
    }
    assert!(tries > 2, "{found:?}");
    check(&found, &[("Succeeded", "rows=12000 rejected=0")]);
    let mut users: Vec<String> = (0..12_000).map(|row| format!("u{row}")).collect();
    users.sort();
    // The rows of the first try came once more, and the collector knew them.
    assert_eq!(stand.delivered("/userId").await, users);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn throttling_and_the_network_are_temporary_and_missing_rights_are_permanent() {
    let stand = Stand::start().await;
    stand.put("track_1.csv", table(2)).await;
    let event = tasks(&["track_1.csv", "track_1.csv"]);
    let slow_down = ScriptedHttp::elsewhere(|_| Reply::status(503)).await;
    let url = slow_down.url();
    for (more, code, part) in [
        (vec![("AWS_ENDPOINT_URL_S3", url.as_str())], "TemporaryFailure", "503"),
        (vec![("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")], "TemporaryFailure", "E-UNFINISHED: it waited"),
        (
            vec![("FOREBAY_COLLECTOR_URL", "http://127.0.0.1:1")],
            "TemporaryFailure",
            "http://127.0.0.1:1/v1/batch: ",
        ),
        (vec![("AWS_SECRET_ACCESS_KEY", "wrong")], "PermanentFailure", "E-DENIED: "),
    ] {
        let instance = stand.instance(&more);
        let answered = stand.api.invoke(&event, SHORT).await.unwrap();
        check(&results(&event, &answered), &[(code, part), (code, part)]);
        stand.api.end([instance]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_imports_a_bucket_by_the_function() {
    let Some(emulator) = Emulator::start(&["bootstrap"]).await else { return };
    let stand = Stand::start().await;
    let objects: Vec<String> = (0..5).map(|n| format!("in/track_ {n}+.csv")).collect();
    for (n, key) in objects.iter().enumerate() {
        stand.put(key, format!("userId,event\nu{n}a,e\nu{n}b,e\n")).await;
    }
    stand.put("in/other.csv", "userId,event\nx,e\n").await;
    let environment = stand.to_collector(&[JOURNAL]);
    let instance = Instance::start(&emulator.runtime_api(), &environment);
    let state = tempfile::tempdir().unwrap();
    let credentials = stand.with_store(&[("AWS_REGION", "us-east-1")]);
    let batch = async |words: &[&str]| {
        let mut command = command();
        command.arg("batch").args(words).envs(credentials.clone()).env("FOREBAY_STATE", state.path());
        let output = finished(&mut command).await;
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let made =
        batch(&["manifest", "--bucket", "forebay", "--prefix", "in/", "--to", "s3://forebay/m.csv"]).await;
    assert_eq!(made.0, Some(0), "{made:?}");
    let url = emulator.url();
    let run = [
        "run", "--manifest", "s3://forebay/m.csv", "--function-arn", "_", "--lambda-endpoint-url", &url,
        "--report", "s3://forebay/reports", "--json",
    ];
    let (code, out, err) = batch(&run).await;
    assert_eq!(code, Some(3), "{out} {err} {}", instance.log());
    let job: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&job["succeeded"], &job["failed"]), (&json!(5), &json!(1)), "{job}");
    let report = stand.bucket().objects("reports/").await;
    let files = report.iter().filter(|object| object.key.ends_with(".csv"));
    let rows: String = files.map(|file| String::from_utf8(file.body.to_vec()).unwrap()).collect();
    assert_eq!(rows.matches("rows=2 rejected=0").count(), 5, "{rows}");
    assert!(rows.contains("PermanentFailure") && rows.contains("E-CSV-TYPE: "), "{rows}");
    let mut users: Vec<String> = (0..5).flat_map(|n| [format!("u{n}a"), format!("u{n}b")]).collect();
    users.sort();
    assert_eq!(stand.delivered("/userId").await, users);

    // Once more: everything is there.
    let (_, out, _) = batch(&run).await;
    let job: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(job["succeeded"], 5, "{job}");
    assert_eq!(stand.delivered("/userId").await, users);
}
