//! `role`, `create`, `update` and `test`.

use std::process::Command;

use serde_json::{Value, json};

use super::workshop::{Workshop, last_event, scripts};
use crate::support::tools::extra_on_path;

fn policy_of(text: &Value) -> Vec<String> {
    let statements = text["PolicyDocument"]["Statement"].as_array().unwrap();
    statements.iter().map(|statement| statement["Sid"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_role_is_made_once_and_has_the_rights_of_the_function_alone() {
    let Some(mut shop) = Workshop::open().await else { return };
    shop.script("role", &[]).await.refused(2, "give --bucket NAME, or set FOREBAY_LAMBDA_BUCKET");
    shop.folder.set("FOREBAY_LAMBDA_BUCKET", "csv-in");
    let shown = shop.script("role", &["--show"]).await.well().stdout;
    assert!(shown.contains("\"LambdaAssumes\"") && shown.contains("\"CsvReads\""), "{shown}");
    let roles = shop.aws(&["iam", "list-roles"]).await;
    assert!(!roles.to_string().contains("lambda-s3-role"), "--show changes nothing: {roles}");

    let arn = format!("arn:aws:iam::{}:role/lambda-s3-role\n", Workshop::ACCOUNT);
    let made = shop.script("role", &[]).await.well();
    assert_eq!(made.stdout, arn);
    assert!(made.stderr.contains("made the role lambda-s3-role"), "{made:?}");
    let policy = async || {
        let get = ["iam", "get-role-policy", "--role-name", "lambda-s3-role", "--policy-name", "forebay-csv"];
        shop.aws(&get).await
    };
    assert_eq!(policy_of(&policy().await), ["CsvLogs", "CsvReads", "CsvFindsMissing"]);
    let trust = shop.aws(&["iam", "get-role", "--role-name", "lambda-s3-role"]).await;
    let principal = &trust["Role"]["AssumeRolePolicyDocument"]["Statement"][0]["Principal"];
    assert_eq!(*principal, json!({ "Service": "lambda.amazonaws.com" }));

    let places = ["--prefix", "exports", "--output", "s3://events/raw/", "--journal", "s3://state/journal"];
    let more = [
        "--rejects",
        "s3://state/rejects",
        "--continue",
        "self-invoke",
        "--queue",
        "arn:aws:sqs:us-east-1:111122223333:q",
    ];
    let again = shop.script("role", &[places.as_slice(), &more].concat()).await.well();
    assert_eq!(again.stdout, arn);
    assert!(
        again.stderr.contains("the role lambda-s3-role exists: its policy forebay-csv is replaced"),
        "{again:?}"
    );
    let second = policy().await;
    let all = [
        "CsvLogs",
        "CsvReads",
        "CsvFindsMissing",
        "CsvJournal",
        "CsvFindsNoRecord",
        "CsvOutput",
        "CsvRejects",
        "CsvQueue",
        "CsvContinues",
    ];
    assert_eq!(policy_of(&second), all);
    let resource = |at: usize| second["PolicyDocument"]["Statement"][at]["Resource"].clone();
    assert_eq!(resource(1), "arn:aws:s3:::csv-in/exports/*");
    assert_eq!(resource(5), "arn:aws:s3:::events/raw/segment-logs/*");
    let function = format!("arn:aws:lambda:us-east-1:{}:function:forebay-csv", Workshop::ACCOUNT);
    assert_eq!(resource(8), function);

    // Another function may have the same role, and takes no right from the first.
    shop.script("role", &["--function", "other-csv", "--bucket", "other-in"]).await.well();
    let policies = shop.aws(&["iam", "list-role-policies", "--role-name", "lambda-s3-role"]).await;
    assert_eq!(policies["PolicyNames"], json!(["forebay-csv", "other-csv"]));
    assert_eq!(policy_of(&policy().await), all);

    // A role of somebody else is not taken over.
    let trust = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;
    shop.aws(&["iam", "create-role", "--role-name", "other", "--assume-role-policy-document", trust]).await;
    let other = shop.script("role", &["--role", "other"]).await;
    other.refused(1, "the role other exists, and Lambda may not assume it");
    let policies = shop.aws(&["iam", "list-role-policies", "--role-name", "other"]).await;
    assert_eq!(policies["PolicyNames"], json!([]));
}

#[tokio::test]
async fn a_function_is_created_once_with_its_settings() {
    let Some(mut shop) = Workshop::open().await else { return };
    shop.pack().await;
    shop.script("create", &[]).await.refused(2, "give --collector URL or --output s3://BUCKET/PREFIX");
    let collector = ["--collector", "https://collector.example.com"];
    shop.script("create", &collector).await.refused(2, "a collector needs a write key");
    let both = [collector.as_slice(), &["--output", "s3://events"]].concat();
    shop.script("create", &both).await.refused(2, "not both");
    let output = ["--output", "s3://events", "--journal", "s3://state/journal", "--arch", "arm64"];
    shop.script("create", &output)
        .await
        .refused(1, "there is no role lambda-s3-role: run scripts/lambda/role first");
    shop.script("create", &["--output", "events"])
        .await
        .refused(2, "expected s3://BUCKET/PREFIX, not \"events\"");
    let endless = [output.as_slice(), &["--allow-recursion"]].concat();
    shop.script("create", &endless)
        .await
        .refused(2, "--allow-recursion is for functions that invoke themselves");
    let forgetful = ["--output", "s3://events", "--continue", "self-invoke"];
    shop.script("create", &forgetful).await.refused(2, "self-invoke needs a journal");
    let missing = [output.as_slice(), &["--zip", "missing.zip"]].concat();
    shop.script("create", &missing)
        .await
        .refused(1, "there is no file missing.zip: run scripts/lambda/package first");

    shop.folder.set("FOREBAY_LAMBDA_BUCKET", "csv-in");
    shop.folder.set("FOREBAY_CSV_TIME_COLUMNS", "at");
    shop.folder.set("FOREBAY_CSV_TYPE", "identify");
    shop.script("role", &["--output", "s3://events"]).await.well();
    let more = [
        "--set",
        "FOREBAY_CSV_TYPE=track",
        "--set",
        "FOREBAY_LOG=debug",
        "--timeout",
        "60",
        "--memory",
        "512",
    ];
    let made = shop.script("create", &[output.as_slice(), &more].concat()).await.well();
    assert_eq!(made.stdout, "function forebay-csv in us-east-1\n");
    assert!(made.stderr.contains("events that fail three times are dropped"), "{made:?}");
    let function = shop.function().await;
    let expected = json!({
        "FOREBAY_CSV_TIME_COLUMNS": "at", "FOREBAY_CSV_TYPE": "track", "FOREBAY_LOG": "debug",
        "FOREBAY_OUTPUT": "s3://events", "FOREBAY_JOURNAL": "s3://state/journal",
    });
    assert_eq!(function["Environment"]["Variables"], expected);
    for (name, value) in [
        ("Runtime", json!("provided.al2023")),
        ("Handler", json!("bootstrap")),
        ("Architectures", json!(["arm64"])),
        ("Timeout", json!(60)),
        ("MemorySize", json!(512)),
        ("Role", json!(format!("arn:aws:iam::{}:role/lambda-s3-role", Workshop::ACCOUNT))),
    ] {
        assert_eq!(function[name], value, "{name}");
    }
    let again = shop.script("create", &output).await;
    again.refused(1, "the function forebay-csv exists in us-east-1: change it with scripts/lambda/update");
}

#[tokio::test]
#[ignore = "long: tests/long"]
async fn an_update_changes_what_is_named_and_keeps_the_rest() {
    let Some(mut shop) = Workshop::with_function().await else { return };
    let function = shop.function().await;
    assert_eq!((&function["Timeout"], &function["MemorySize"]), (&json!(90), &json!(1024)), "the defaults");
    assert_eq!(function["Architectures"], json!(["x86_64"]));
    let kept = json!({
        "FOREBAY_COLLECTOR_URL": "https://collector.example.com", "FOREBAY_WRITE_KEY": "the-write-key",
    });
    for name in ["FOREBAY_COLLECTOR_URL", "FOREBAY_WRITE_KEY"] {
        shop.folder.unset(name);
    }
    shop.script("update", &[]).await.refused(2, "nothing to change");
    shop.script("update", &["--timeout", "180"]).await.well();
    assert_eq!(shop.function().await["Timeout"], 180);
    assert_eq!(shop.environment().await, kept);

    // A value with everything that JSON escapes, and a key from a file without a line break.
    std::fs::write(shop.folder.path("key"), r#"ne"w\key"#).unwrap();
    let strange = r#"FOREBAY_CSV_QUOTE="\ü{}"#;
    shop.script("update", &["--write-key-file", "key", "--set", strange, "--memory", "2048"]).await.well();
    let mut changed = kept.clone();
    changed["FOREBAY_WRITE_KEY"] = json!(r#"ne"w\key"#);
    changed["FOREBAY_CSV_QUOTE"] = json!(r#""\ü{}"#);
    assert_eq!(shop.environment().await, changed);
    assert_eq!(shop.function().await["MemorySize"], 2048);

    // What is exported replaces what was set, and what is set replaces what is exported.
    shop.folder.set("FOREBAY_CSV_QUOTE", "|");
    shop.script("update", &[]).await.well();
    assert_eq!(shop.environment().await["FOREBAY_CSV_QUOTE"], "|");
    shop.script("update", &["--set", "FOREBAY_CSV_QUOTE=none"]).await.well();
    assert_eq!(shop.environment().await["FOREBAY_CSV_QUOTE"], "none");
    shop.folder.unset("FOREBAY_CSV_QUOTE");

    // An output takes the place of the collector.
    let output = ["--output", "s3://events", "--unset", "FOREBAY_WRITE_KEY", "--unset", "FOREBAY_CSV_QUOTE"];
    shop.script("update", &output).await.well();
    assert_eq!(shop.environment().await, json!({ "FOREBAY_OUTPUT": "s3://events" }));
    shop.script("update", &["--unset", "FOREBAY_OUTPUT"])
        .await
        .refused(2, "give --collector URL or --output");
    shop.script("update", &["--continue", "self-invoke"]).await.refused(2, "self-invoke needs a journal");
    assert_eq!(shop.environment().await, json!({ "FOREBAY_OUTPUT": "s3://events" }));

    let before = shop.function().await["CodeSha256"].clone();
    shop.folder.executable("bootstrap", "#!/bin/sh\nexit 1\n");
    shop.pack().await;
    shop.script("update", &["--arch", "arm64"]).await.refused(2, "--arch belongs to new code");
    shop.script("update", &["--zip", "forebay-lambda.zip", "--arch", "arm64"]).await.well();
    let after = shop.function().await;
    assert_ne!(after["CodeSha256"], before);
    assert_eq!(after["Architectures"], json!(["arm64"]));
    let elsewhere = shop.script("update", &["--function", "other", "--timeout", "5"]).await;
    elsewhere.refused(1, "there is no function other in us-east-1: make it with scripts/lambda/create");
}

#[tokio::test]
#[ignore = "long: tests/long"]
async fn recursion_and_failed_events_are_settings_of_the_function() {
    let Some(shop) = Workshop::with_function().await else { return };
    let recursion = async || {
        shop.aws(&["lambda", "get-function-recursion-config", "--function-name", "forebay-csv"]).await
    };
    assert_eq!(recursion().await["RecursiveLoop"], "Terminate");
    let continues = ["--continue", "self-invoke", "--journal", "s3://state/journal", "--allow-recursion"];
    shop.script("update", &continues).await.well();
    assert_eq!(recursion().await["RecursiveLoop"], "Allow");

    let queue = format!("arn:aws:sqs:us-east-1:{}:csv-failures", Workshop::ACCOUNT);
    shop.aws(&["sqs", "create-queue", "--queue-name", "csv-failures"]).await;
    shop.script("role", &["--failures", &queue]).await.well();
    for _ in 0..2 {
        shop.script("update", &["--failures", &queue]).await.well();
    }
    let get = ["lambda", "get-function-event-invoke-config", "--function-name", "forebay-csv"];
    let config = shop.aws(&get).await;
    assert_eq!(config["DestinationConfig"]["OnFailure"]["Destination"], queue);
    assert_eq!(
        (&config["MaximumRetryAttempts"], &config["MaximumEventAgeInSeconds"]),
        (&json!(2), &json!(21_600))
    );
}

/// Another user of the machine can list the arguments of every process.
#[tokio::test]
#[ignore = "long: tests/long"]
async fn the_write_key_is_no_argument_and_in_no_output() {
    let Some(strace) = extra_on_path("strace") else { return };
    let Some(mut shop) = Workshop::with_function().await else { return };
    let key = "a-very-secret-write-key";
    std::fs::write(shop.folder.path("key"), format!("{key}\n")).unwrap();
    for (script, arguments) in
        [("update", ["--memory", "256"]), ("create", ["--function", "second"]), ("test", ["--upload", "key"])]
    {
        shop.folder.set("FOREBAY_WRITE_KEY", key);
        let trace = shop.folder.path("trace");
        let mut command = Command::new(&strace);
        command.args(["-f", "-qq", "-s", "100000", "-e", "trace=execve", "-o"]).arg(&trace);
        command.arg(scripts().join(script)).args(arguments);
        let ran = shop.folder.run(command).await.well();
        let trace = std::fs::read_to_string(trace).unwrap();
        assert!(trace.contains("\"lambda\"") && !trace.contains(key), "{script}: {trace}");
        assert!(!ran.stdout.contains(key) && !ran.stderr.contains(key), "{script}: {ran:?}");
        shop.folder.unset("FOREBAY_WRITE_KEY");
        let from_file = shop.script("update", &["--write-key-file", "key"]).await;
        assert!(!format!("{from_file:?}").contains(key), "{from_file:?}");
        let argument = shop.script("update", &["--set", &format!("FOREBAY_WRITE_KEY={key}")]).await;
        assert!(!argument.stderr.contains(key), "{argument:?}");
        argument.refused(2, "the write key does not belong in an argument");
    }
    assert_eq!(shop.environment().await["FOREBAY_WRITE_KEY"], key);
    assert!(shop.calls().contains("lambda create-function") && !shop.calls().contains(key));
    let left = std::fs::read_dir(std::env::temp_dir()).unwrap().filter_map(Result::ok);
    let left = left.filter(|entry| entry.file_name().to_string_lossy().starts_with("forebay-lambda."));
    for folder in left {
        let file = folder.path().join("environment.json");
        // Other tests may be running; none of them has this key.
        let text = std::fs::read_to_string(file).unwrap_or_default();
        assert!(!text.contains(key), "the environment is left in {}", folder.path().display());
    }
}

#[tokio::test]
#[ignore = "long: tests/long"]
async fn the_test_event_is_the_documented_one() {
    let Some(shop) = Workshop::with_function().await else { return };
    shop.script("test", &[]).await.refused(1, "there is no s3://csv-in/track_1.csv: give --upload FILE");
    let sample = scripts().join("samples/track_1.csv");
    shop.script("test", &["--upload", sample.to_str().unwrap()]).await.well();
    assert_eq!(std::fs::read_to_string(shop.folder.path("output.txt")).unwrap(), "");
    let log = shop.logged(&[], "event ").await;
    let event = last_event(&log);
    assert_eq!(event["Records"].as_array().unwrap().len(), 1);
    let expected = json!({
        "eventVersion": "2.0", "eventSource": "aws:s3", "awsRegion": "us-east-1",
        "eventTime": "1970-01-01T00:00:00.000Z", "eventName": "ObjectCreated:Put",
        "userIdentity": { "principalId": "AIDAJDPLRKLG7UEXAMPLE" },
        "requestParameters": { "sourceIPAddress": "127.0.0.1" },
        "responseElements": {
            "x-amz-request-id": "C3D13FE58DE4C810",
            "x-amz-id-2": "FMyUVURIY8/IgAtTv8xRjskZQpcIZ9KG4V5Wp6S7S/JRWeUWerMUE5JgHvANOjpD",
        },
        "s3": {
            "s3SchemaVersion": "1.0", "configurationId": "testConfigRule",
            "bucket": {
                "name": "csv-in", "ownerIdentity": { "principalId": "A3NL1KOZZKExample" },
                "arn": "arn:aws:s3:::csv-in",
            },
            "object": {
                "key": "track_1.csv", "eTag": "d41d8cd98f00b204e9800998ecf8427e",
                "versionId": "096fKKXTRTtl3on89fVO.nfljtsv6qko",
            },
        },
    });
    assert_eq!(event["Records"][0], expected);
    assert!(log.contains("variables FOREBAY_COLLECTOR_URL FOREBAY_WRITE_KEY\n"), "{log}");
    assert!(!log.contains("START RequestId"), "{log}");
    assert!(
        shop.calls().contains("--payload fileb://"),
        "version 2 of the CLI takes other payloads for base64"
    );
    shop.logged(&["--all"], "START RequestId").await;

    // The key is encoded as S3 does it.
    let key = "exports/track_ü 2+3.csv";
    shop.script("test", &["--key", key, "--upload", sample.to_str().unwrap()]).await.well();
    let log = shop.logged(&["--match", "exports/"], "event ").await;
    assert_eq!(last_event(&log)["Records"][0]["s3"]["object"]["key"], "exports/track_%C3%BC%202%2B3.csv");
    let none = shop.script("logs", &["--match", "no such line"]).await.well();
    assert_eq!(none.stdout, "");
    assert!(none.stderr.contains("no such line in the last 60 minutes"), "{none:?}");
    shop.script("logs", &["--function", "other", "--wait", "0"])
        .await
        .refused(1, "there is no log /aws/lambda/other in us-east-1 yet");
}
