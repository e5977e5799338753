//! `permit` and `notify`.

use std::process::Command;

use serde_json::{Value, json};

use super::workshop::{Workshop, comparable};

fn function_arn() -> String {
    format!("arn:aws:lambda:us-east-1:{}:function:forebay-csv", Workshop::ACCOUNT)
}

/// The statements of the function's policy.
async fn statements(shop: &Workshop) -> Vec<Value> {
    let policy = shop.aws(&["lambda", "get-policy", "--function-name", "forebay-csv"]).await;
    let policy: Value = serde_json::from_str(policy["Policy"].as_str().unwrap()).unwrap();
    policy["Statement"].as_array().unwrap().clone()
}

#[tokio::test]
#[ignore = "long: tests/long"]
async fn the_bucket_is_permitted_with_its_arn_and_its_owner() {
    let Some(shop) = Workshop::with_function().await else { return };
    let first = shop.script("permit", &[]).await.well();
    assert!(first.stderr.contains("s3://csv-in may invoke forebay-csv\n"), "{first:?}");
    assert!(first.stdout.contains("arn:aws:s3:::csv-in"), "{first:?}");
    let made = statements(&shop).await;
    let flags = ["--bucket", "csv-in", "--function", "forebay-csv", "--region", "us-east-1", "--account"];
    let mut printed = Command::new(env!("CARGO_BIN_EXE_forebay"));
    printed.args(["policy", "csv-lambda-resource"]).args(flags).arg(Workshop::ACCOUNT);
    let printed: Value = serde_json::from_str(&shop.folder.run(printed).await.well().stdout).unwrap();
    let made: Vec<Value> = made.iter().map(comparable).collect();
    assert_eq!(made, [comparable(&printed["Statement"][0])], "as policies/csv-lambda-resource.json has it");

    let again = shop.script("permit", &[]).await.well();
    assert!(again.stderr.contains("s3://csv-in may invoke forebay-csv already"), "{again:?}");
    assert_eq!(statements(&shop).await.len(), 1);

    // A bucket whose name begins with that of the first, and a name with dots, have statements of their own.
    for bucket in ["csv-in.2", "csv-in-2"] {
        shop.script("permit", &["--bucket", bucket]).await.well();
    }
    let other_owner = shop.script("permit", &["--account", "444455556666"]).await.well();
    assert!(other_owner.stderr.contains("replaced the statement forebay-csv-csv-in"), "{other_owner:?}");
    let mut found: Vec<(String, String)> = Vec::new();
    for statement in statements(&shop).await {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let condition = &comparable(&statement)["Condition"];
        found.push((
            text(&condition["ArnLike"]["aws:SourceArn"]),
            text(&condition["StringEquals"]["aws:SourceAccount"]),
        ));
    }
    found.sort();
    let pair = |bucket: &str, account: &str| (format!("arn:aws:s3:::{bucket}"), account.to_owned());
    let expected = [
        pair("csv-in", "444455556666"),
        pair("csv-in-2", Workshop::ACCOUNT),
        pair("csv-in.2", Workshop::ACCOUNT),
    ];
    assert_eq!(found, expected);
    shop.script("permit", &["--account", "me"]).await.refused(2, "--account takes twelve digits");
    shop.script("permit", &["--bucket", "csv-in/exports"])
        .await
        .refused(2, "--bucket takes the bucket's name alone");
}

/// Notifications of every kind that a bucket can have.
fn others() -> Value {
    let arn = |service: &str, name: &str| format!("arn:aws:{service}:us-east-1:{}:{name}", Workshop::ACCOUNT);
    json!({
        "QueueConfigurations": [{ "Id": "q", "QueueArn": arn("sqs", "q"), "Events": ["s3:ObjectRemoved:*"] }],
        "TopicConfigurations": [{
            "Id": "t", "TopicArn": arn("sns", "t"), "Events": ["s3:ObjectRestore:*"],
            "Filter": { "Key": { "FilterRules": [{ "Name": "prefix", "Value": "x/" }] } },
        }],
        "LambdaFunctionConfigurations": [{
            "Id": "other", "LambdaFunctionArn": function_arn(), "Events": ["s3:ObjectTagging:*"],
        }],
        "EventBridgeConfiguration": {},
    })
}

async fn notifications(shop: &Workshop) -> Value {
    shop.aws(&["s3api", "get-bucket-notification-configuration", "--bucket", "csv-in"]).await
}

#[tokio::test]
#[ignore = "long: tests/long"]
async fn a_notification_is_added_to_those_that_are_there() {
    let Some(shop) = Workshop::with_function().await else { return };
    let open = |service: &str| {
        json!({ "Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Principal": { "Service": "s3.amazonaws.com" }, "Action": format!("{service}:*"),
            "Resource": "*",
        }] })
        .to_string()
    };
    let queue = json!({ "Policy": open("sqs") }).to_string();
    shop.aws(&["sqs", "create-queue", "--queue-name", "q", "--attributes", &queue]).await;
    shop.aws(&[
        "sns",
        "create-topic",
        "--name",
        "t",
        "--attributes",
        &json!({ "Policy": open("sns") }).to_string(),
    ])
    .await;
    let before = others();
    let put = [
        "s3api",
        "put-bucket-notification-configuration",
        "--bucket",
        "csv-in",
        "--notification-configuration",
    ];
    shop.aws(&[put.as_slice(), &[&before.to_string()]].concat()).await;
    assert_eq!(notifications(&shop).await, before, "as ministack keeps it");

    shop.script("permit", &[]).await.well();
    let ours = |filter: Value| {
        let mut ours = json!({
            "Id": "lambda-trigger", "LambdaFunctionArn": function_arn(), "Events": ["s3:ObjectCreated:*"],
        });
        if filter != json!([]) {
            ours["Filter"] = json!({ "Key": { "FilterRules": filter } });
        }
        let mut all = before.clone();
        all["LambdaFunctionConfigurations"].as_array_mut().unwrap().push(ours);
        all
    };
    shop.script("notify", &[]).await.well();
    assert_eq!(notifications(&shop).await, ours(json!([])));
    let limited = shop.script("notify", &["--prefix", "exports/", "--suffix", ".csv"]).await.well();
    assert!(limited.stderr.contains("s3://csv-in/exports/* notifies forebay-csv"), "{limited:?}");
    let filter = json!([{ "Name": "prefix", "Value": "exports/" }, { "Name": "suffix", "Value": ".csv" }]);
    assert_eq!(notifications(&shop).await, ours(filter.clone()));
    shop.script("notify", &["--prefix", "exports/", "--suffix", ".csv"]).await.well();
    assert_eq!(notifications(&shop).await, ours(filter), "once, also the second time");
    let events = format!("arn:aws:sqs:us-east-1:{}:events", Workshop::ACCOUNT);
    shop.aws(&["sqs", "create-queue", "--queue-name", "events", "--attributes", &queue]).await;
    shop.script("notify", &["--queue", &events]).await.well();
    let mut to_queue = before.clone();
    to_queue["QueueConfigurations"]
        .as_array_mut()
        .unwrap()
        .push(json!({ "Id": "lambda-trigger", "QueueArn": events, "Events": ["s3:ObjectCreated:*"] }));
    assert_eq!(notifications(&shop).await, to_queue, "the function is not notified any more");
    for _ in 0..2 {
        shop.script("notify", &["--remove"]).await.well();
        assert_eq!(notifications(&shop).await, before);
    }
    shop.script("notify", &["--prefix", "a'b"]).await.refused(2, "quotes, backslashes");
    let missing = shop.script("notify", &["--function", "missing"]).await;
    missing.refused(1, "there is no function missing in us-east-1");
    assert_eq!(notifications(&shop).await, before);
}

#[tokio::test]
async fn a_bucket_without_notifications_gets_one_that_invokes_the_function() {
    let Some(shop) = Workshop::with_function().await else { return };
    shop.script("permit", &[]).await.well();
    shop.script("notify", &["--suffix", ".csv"]).await.well();
    let all = notifications(&shop).await;
    assert_eq!(all.as_object().unwrap().keys().collect::<Vec<_>>(), ["LambdaFunctionConfigurations"]);
    for key in ["exports/track_1.csv", "exports/readme.txt"] {
        shop.aws(&["s3api", "put-object", "--bucket", "csv-in", "--key", key]).await;
    }
    let log = shop.logged(&[], "track_1.csv").await;
    assert!(!log.contains("readme.txt"), "{log}");
}

/// Each object that the function writes would invoke it again, without end.
#[tokio::test]
#[ignore = "long: tests/long"]
async fn a_notification_about_what_the_function_writes_is_refused() {
    let Some(shop) = Workshop::with_function().await else { return };
    let refused: &[(&str, &[&[&str]])] = &[
        (
            "FOREBAY_JOURNAL=s3://csv-in/state/journal/",
            &[&[], &["--prefix", "sta"], &["--prefix", "state/journal/a"]],
        ),
        ("FOREBAY_CSV_REJECTS=s3://csv-in/r", &[&["--prefix", "r/"]]),
    ];
    for (setting, all) in refused {
        shop.script("update", &["--set", setting]).await.well();
        for arguments in *all {
            shop.script("notify", arguments).await.refused(1, "every object there would invoke it again");
        }
    }
    shop.script("notify", &["--prefix", "state/j/"]).await.well();
    shop.script(
        "update",
        &["--set", "FOREBAY_JOURNAL=s3://csv-in-2/state", "--unset", "FOREBAY_CSV_REJECTS"],
    )
    .await
    .well();
    shop.script("notify", &[]).await.well();
    shop.script("update", &["--output", "s3://csv-in"]).await.well();
    shop.script("notify", &[]).await.refused(1, "s3://csv-in/segment-logs/ (FOREBAY_OUTPUT)");
    shop.script("notify", &["--prefix", "exports/"]).await.well();
}
