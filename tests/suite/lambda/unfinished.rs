//! Files that no single invocation finishes.

use std::collections::BTreeSet;
use std::sync::mpsc;
use std::time::Duration;

use serde_json::{Value, json};

use super::events::{s3, sqs};
use super::support::{Instance, Stand, table, values};
use crate::support::dice::Dice;
use crate::support::scripted_http::{Reply, ScriptedHttp};

/// The timeout of the function.
const SHORT: Duration = Duration::from_secs(5);
const JOURNAL: (&str, &str) = ("FOREBAY_JOURNAL", "s3://forebay/journal");

fn users(rows: u64) -> Vec<String> {
    let mut users: Vec<String> = (0..rows).map(|row| format!("u{row}")).collect();
    users.sort();
    users
}

/// At this rate a file of 12,000 rows takes several invocations.
const SLOW: (&str, &str) = ("FOREBAY_CSV_RATE", "1000");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_attempt_continues_where_the_last_one_stopped() {
    const ROWS: u64 = 12_000;
    let stand = Stand::start().await;
    stand.put("track_1.csv", table(ROWS)).await;
    stand.put("track_2.csv", "userId,event\nother,e\n").await;
    let instance = stand.instance(&[JOURNAL, SLOW]);
    let event = s3("forebay", &["track_2.csv", "track_1.csv"]);
    let mut rows = vec![0];
    loop {
        match stand.api.invoke(&event, SHORT).await {
            Ok(answered) => {
                let ended: Vec<_> =
                    answered["files"].as_array().unwrap().iter().map(|file| &file["ended"]).collect();
                assert_eq!(ended, ["done before", "done"], "{answered}");
                break;
            }
            Err(error) => {
                assert!(
                    error.contains("1 of 2 files failed; s3://forebay/track_1.csv: E-UNFINISHED: "),
                    "{error}"
                );
                assert!(error.contains("will continue there when it is retried"), "{error}");
                let row = error.split("row ").nth(1).and_then(|rest| rest.split([';', ' ']).next()).unwrap();
                let row: u64 = row.replace(',', "").parse().unwrap();
                // The lease is given up, so the next attempt need not wait for its end.
                assert!(row > *rows.last().unwrap(), "no progress: {error}\n{}", instance.log());
                rows.push(row);
            }
        }
    }
    assert!(rows.len() > 2, "{rows:?}");
    let mut expected = users(ROWS);
    expected.insert(0, "other".to_owned());
    assert_eq!(stand.delivered("/userId").await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_journal_a_long_file_says_what_it_needs() {
    let stand = Stand::start().await;
    stand.put("track_1.csv", table(12_000)).await;
    let _instance = stand.instance(&[SLOW]);
    let error = stand.api.invoke(&s3("forebay", &["track_1.csv"]), Duration::from_secs(4)).await.unwrap_err();
    assert!(error.contains("needs FOREBAY_JOURNAL, or a longer timeout"), "{error}");
    // A message of a queue is delivered again.
    let queued = sqs(&[("m", &s3("forebay", &["track_1.csv"]))]);
    let answered = stand.api.invoke(&queued, Duration::from_secs(4)).await.unwrap();
    assert_eq!(answered, json!({ "batchItemFailures": [{ "itemIdentifier": "m" }] }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_function_that_may_invoke_itself_finishes_a_long_file_from_one_event() {
    const ROWS: u64 = 12_000;
    let stand = Stand::start().await;
    stand.put("a b/track_1.csv", table(ROWS)).await;
    stand.put("track_2.csv", "userId,event\nother,e\n").await;
    let (sender, invoked) = mpsc::channel::<Value>();
    let lambda = ScriptedHttp::elsewhere(move |request| {
        assert_eq!(
            (request.method.as_str(), request.target.as_str()),
            ("POST", "/2015-03-31/functions/csv/invocations")
        );
        assert_eq!(request.header("x-amz-invocation-type"), Some("Event"));
        sender.send(serde_json::from_slice(&request.body).unwrap()).unwrap();
        Reply::status(202)
    })
    .await;
    let url = lambda.url();
    let _instance = stand.instance(&[
        JOURNAL,
        SLOW,
        ("FOREBAY_CONTINUE", "self-invoke"),
        ("AWS_ENDPOINT_URL_LAMBDA", &url),
    ]);
    // In a queue the message is done with, because another invocation has the rest.
    let first = sqs(&[("m", &s3("forebay", &["track_2.csv", "a+b/track_1.csv"]))]);
    let answered = stand.api.invoke(&first, SHORT).await.unwrap();
    assert_eq!(answered, json!({ "batchItemFailures": [] }));
    let mut rounds = 0;
    while let Ok(event) = invoked.try_recv() {
        rounds += 1;
        let objects: Vec<_> = event["Records"]
            .as_array()
            .unwrap()
            .iter()
            .map(|record| &record["s3"]["object"]["key"])
            .collect();
        assert_eq!(objects, ["a+b/track_1.csv"], "only what is not finished");
        let answered = stand.api.invoke(&event, SHORT).await.unwrap();
        assert!(
            ["continued", "done"].contains(&answered["files"][0]["ended"].as_str().unwrap()),
            "{answered}"
        );
    }
    assert!(rounds > 1, "{rounds}");
    let mut expected = users(ROWS);
    expected.insert(0, "other".to_owned());
    assert_eq!(stand.delivered("/userId").await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_function_that_cannot_invoke_itself_fails() {
    let stand = Stand::start().await;
    stand.put("track_1.csv", table(12_000)).await;
    let lambda = ScriptedHttp::elsewhere(|_| Reply::Answer {
        status: 403,
        headers: vec![("x-amzn-errortype".to_owned(), "AccessDeniedException".to_owned())],
        body: json!({ "Message": "not authorized to perform: lambda:InvokeFunction" }).to_string(),
    })
    .await;
    let url = lambda.url();
    let _instance =
        stand.instance(&[JOURNAL, SLOW, ("FOREBAY_CONTINUE", "self-invoke"), ("AWS_ENDPOINT_URL", &url)]);
    let error = stand.api.invoke(&s3("forebay", &["track_1.csv"]), SHORT).await.unwrap_err();
    assert!(
        error.contains("the function was not invoked again: ") && error.contains("AccessDenied"),
        "{error}"
    );
}

/// How an import is disturbed.
struct Rough {
    rows: u64,
    /// How often an instance is killed.
    kills: u64,
}

impl Rough {
    /// More of both with `tests/lambda ROWS`.
    fn wanted() -> Self {
        match std::env::var_os("FOREBAY_LAMBDA_ROWS").and_then(|rows| rows.into_string().ok()?.parse().ok()) {
            Some(rows) => Self { rows, kills: 12 },
            None => Self { rows: 40_000, kills: 2 },
        }
    }

    /// Two instances get the same message again and again, until both say that it is done; they are killed at
    /// random.
    async fn run(&self, stand: &Stand, environment: &[(String, String)]) {
        let seed = 41;
        let mut dice = Dice(seed);
        let start = || Instance::start(&stand.api.address(), environment);
        let mut instances = [start(), start()];
        let event =
            sqs(&[("m", &s3("forebay", &["track_1.csv"])), ("duplicate", &s3("forebay", &["track_1.csv"]))]);
        let (mut kills, mut rounds) = (self.kills, 0);
        loop {
            rounds += 1;
            assert!(rounds < 1_000, "it does not end");
            let (one, other) = (stand.api.queue(&event, SHORT), stand.api.queue(&event, SHORT));
            if kills > 0 {
                kills -= 1;
                tokio::time::sleep(Duration::from_millis(dice.below(2_500))).await;
                let victim = dice.index(2);
                instances[victim].kill().await;
                instances[victim] = start();
            }
            // As the service does, it gives up an invocation at its deadline.
            let ended = async |answer| matches!(tokio::time::timeout(SHORT, answer).await, Ok(Ok(Ok(answered))) if answered == json!({ "batchItemFailures": [] }));
            let (one, other) = tokio::join!(ended(one), ended(other));
            if one && other {
                break;
            }
        }
        assert!(rounds > 2, "{rounds} rounds");
        // Delivered once more, when everything is done.
        let answered = stand.api.invoke(&event, SHORT).await.unwrap();
        assert_eq!(answered, json!({ "batchItemFailures": [] }), "seed {seed}: {}", instances[0].log());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_rows_arrive_once_at_a_collector_however_often_instances_are_killed() {
    let rough = Rough::wanted();
    let stand = Stand::start().await;
    stand.put("track_1.csv", table(rough.rows)).await;
    let rate = (rough.rows / 16).max(3_000).to_string();
    let environment = stand.to_collector(&[JOURNAL, ("FOREBAY_CSV_RATE", &rate)]);
    rough.run(&stand, &environment).await;
    let ids = stand.delivered("/messageId").await;
    assert_eq!(ids.len() as u64, rough.rows);
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len() as u64, rough.rows, "each once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_rows_become_objects_once_however_often_instances_are_killed() {
    let rough = Rough::wanted();
    let stand = Stand::start().await;
    stand.put("track_1.csv", table(rough.rows)).await;
    let rate = (rough.rows / 16).max(3_000).to_string();
    let environment = stand.with_store(&[
        JOURNAL,
        ("FOREBAY_OUTPUT", "s3://forebay/out"),
        ("FOREBAY_OUTPUT_PART", "256 KiB"),
        ("FOREBAY_CSV_SOURCE", "shop"),
        ("FOREBAY_CSV_RATE", &rate),
    ]);
    rough.run(&stand, &environment).await;
    let objects = stand.bucket().objects("out/segment-logs/shop/").await;
    assert!(objects.len() > 2, "{}", objects.len());
    let lines: Vec<String> = objects
        .iter()
        .flat_map(|object| object.text().lines().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    assert_eq!(values(&lines, "/userId"), users(rough.rows));
}
