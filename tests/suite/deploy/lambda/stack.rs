//! The stack on ministack: made, refused, changed and deleted.

use serde_json::{Value, json};

use super::workshop::{Ran, Workshop, comparable, last_event};
use crate::deploy::repository;
use crate::support::wait;

/// For ministack to make or change a stack.
const STACK_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(60);
const NAME: &str = "forebay-csv";
const WRITE_KEY: &str = "a-very-secret-write-key";

/// Parameters of a stack that sends calls to a collector, without those that `changed` names, and with these.
fn parameters(changed: &[(&str, &str)]) -> Value {
    let mut all = vec![
        ("CodeBucket", "events"),
        ("CodeKey", "1.zip"),
        ("FilesBucket", "csv-in"),
        ("Journal", "events/journal"),
        ("CollectorUrl", "https://collector.example.com"),
        ("WriteKeySecret", "forebay-csv"),
    ];
    all.retain(|(name, _)| !changed.iter().any(|(other, _)| other == name));
    let all = all.iter().chain(changed);
    all.map(|(name, value)| json!({ "ParameterKey": name, "ParameterValue": value })).collect()
}

/// A workshop with the buckets, the secret and the package that the stack needs.
async fn workshop() -> Option<Workshop> {
    let shop = Workshop::open().await?;
    for bucket in ["csv-in", "events"] {
        shop.aws(&["s3api", "create-bucket", "--bucket", bucket]).await;
    }
    let events =
        ["--bucket", "csv-in", "--notification-configuration", r#"{"EventBridgeConfiguration": {}}"#];
    shop.aws(&[["s3api", "put-bucket-notification-configuration"].as_slice(), &events].concat()).await;
    std::fs::write(shop.folder.path("write-key"), WRITE_KEY).unwrap();
    let secret = ["--name", "forebay-csv", "--secret-string", "file://write-key"];
    shop.aws(&[["secretsmanager", "create-secret"].as_slice(), &secret].concat()).await;
    upload(&shop, "1.zip").await;
    Some(shop)
}

/// Packs the function and uploads the package.
async fn upload(shop: &Workshop, key: &str) {
    shop.pack().await;
    let put = ["s3api", "put-object", "--bucket", "events", "--key", key, "--body", "forebay-lambda.zip"];
    shop.aws(&put).await;
}

/// Asks for a stack with these parameters: `create-stack` or `update-stack`.
async fn ask(shop: &Workshop, command: &str, name: &str, changed: &[(&str, &str)]) -> Ran {
    let template = format!("file://{}", repository("deploy/lambda/csv.yaml").display());
    let parameters = parameters(changed).to_string();
    let stack = ["cloudformation", command, "--stack-name", name, "--template-body", &template];
    let more = ["--capabilities", "CAPABILITY_IAM", "--parameters", &parameters];
    shop.try_aws(&[stack.as_slice(), &more].concat()).await
}

/// Makes or changes the stack, and waits until that is done.
async fn deploy(shop: &Workshop, command: &str, name: &str, changed: &[(&str, &str)]) {
    ask(shop, command, name, changed).await.well();
    let done = format!("{}_COMPLETE", command.trim_end_matches("-stack").to_uppercase());
    wait::until(&done, STACK_TIMEOUT, async || {
        let described = shop.aws(&["cloudformation", "describe-stacks", "--stack-name", name]).await;
        let status = described["Stacks"][0]["StackStatus"].as_str().unwrap().to_owned();
        assert!(status == done || status.ends_with("_IN_PROGRESS"), "{described}");
        (status == done).then_some(())
    })
    .await;
}

async fn put(shop: &Workshop, key: &str) {
    shop.aws(&["s3api", "put-object", "--bucket", "csv-in", "--key", key]).await;
}

#[tokio::test]
async fn wrong_parameters_are_refused_before_anything_is_made() {
    let Some(shop) = workshop().await else { return };
    let check = async |changed: &[(&str, &str)], said: &str| {
        let ran = ask(&shop, "create-stack", NAME, changed).await;
        assert_ne!(ran.code, Some(0), "{changed:?}");
        assert!(ran.stderr.contains(said), "{said}: {ran:?}");
    };
    check(&[("CollectorUrl", "")], "The calls have nowhere to go").await;
    check(&[("Output", "events")], "Give CollectorUrl or Output, not both").await;
    check(&[("WriteKeySecret", "")], "A collector needs a write key").await;
    let forgetful = [("Continue", "self-invoke"), ("Journal", "")];
    check(&forgetful, "self-invoke needs a journal").await;
    check(&[("AllowRecursion", "true")], "AllowRecursion is for functions that invoke themselves").await;
    for place in ["s3://events/journal", "events/journal/", "events/j*"] {
        check(&[("Journal", place)], "BUCKET or BUCKET/PREFIX, without s3://").await;
    }
    check(&[("FilesPrefix", "a*")], "a prefix without * ? $").await;
    check(&[("FilesSuffix", "*.csv")], "a suffix without *").await;
    check(&[("KmsKeyArn", "alias/key")], "the ARN of the key itself").await;
    check(&[("WriteKeySecret", "a key!")], "the name or ARN of a secret").await;
    assert_eq!(shop.aws(&["lambda", "list-functions"]).await["Functions"], json!([]));
}

#[tokio::test]
async fn files_that_the_stack_names_invoke_the_function_and_no_others() {
    let Some(shop) = workshop().await else { return };
    let limits = [("FilesPrefix", "exports/"), ("FilesSuffix", ".csv")];
    deploy(&shop, "create-stack", NAME, &limits).await;
    for key in ["track_0.csv", "exports/readme.txt", "exports/track_ü 2+3.csv"] {
        put(&shop, key).await;
    }
    let log = shop.logged("\"event-version\"").await;
    let event = last_event(&log);
    assert_eq!(event["detail-type"], "Object Created");
    assert_eq!(event["detail"]["object"]["key"], "exports/track_ü 2+3.csv", "keys of EventBridge are plain");
    assert_eq!(log.lines().filter(|line| line.starts_with("event ")).count(), 1, "{log}");

    let function = shop.function().await;
    for (name, value) in [
        ("Runtime", json!("provided.al2023")),
        ("Handler", json!("bootstrap")),
        ("Architectures", json!(["x86_64"])),
        ("Timeout", json!(90)),
        ("MemorySize", json!(1024)),
    ] {
        assert_eq!(function[name], value, "{name}");
    }
    let variables = json!({
        "FOREBAY_COLLECTOR_URL": "https://collector.example.com", "FOREBAY_WRITE_KEY": WRITE_KEY,
        "FOREBAY_JOURNAL": "s3://events/journal", "FOREBAY_CONTINUE": "retry", "FOREBAY_LOG": "info",
    });
    assert_eq!(shop.environment().await, variables);
    let get = ["lambda", "get-function-event-invoke-config", "--function-name", "forebay-csv"];
    let failed = shop.aws(&[get.as_slice(), &["--qualifier", "$LATEST"]].concat()).await;
    let to = failed["DestinationConfig"]["OnFailure"]["Destination"].as_str().unwrap();
    assert!(to.contains("Failures"), "{failed}");
    assert_eq!(
        (&failed["MaximumRetryAttempts"], &failed["MaximumEventAgeInSeconds"]),
        (&json!(2), &json!(21_600))
    );
    assert_eq!(invokers(&shop).await, ["events.amazonaws.com"]);
    the_write_key_is_nowhere(&shop).await;

    // What changes is changed in place; a package with another key is new code.
    let before = function["CodeSha256"].clone();
    shop.folder.executable("bootstrap", "#!/bin/sh\nexit 1\n");
    upload(&shop, "2.zip").await;
    let changed =
        [("CodeKey", "2.zip"), ("Timeout", "180"), ("CsvTimeColumns", "at,due"), ("CsvDelimiter", ";")];
    deploy(&shop, "update-stack", NAME, &changed).await;
    let function = shop.function().await;
    assert_ne!(function["CodeSha256"], before);
    assert_eq!(function["Timeout"], 180);
    let mut more = variables.clone();
    more["FOREBAY_CSV_TIME_COLUMNS"] = json!("at,due");
    more["FOREBAY_CSV_DELIMITER"] = json!(";");
    assert_eq!(shop.environment().await, more);
    assert_eq!(invokers(&shop).await, ["events.amazonaws.com"]);
}

/// Two functions for one bucket: each has a role, a rule and a log of its own, and a stack that is deleted
/// takes nothing from the other.
#[tokio::test]
#[ignore = "long: tests/long"]
async fn a_second_stack_takes_nothing_from_the_first() {
    let Some(shop) = workshop().await else { return };
    deploy(&shop, "create-stack", NAME, &[("FilesPrefix", "a/")]).await;
    let second = [("FilesPrefix", "b/"), ("Journal", ""), ("CollectorUrl", ""), ("Output", "events")];
    let rights = async || {
        let resource = ["cloudformation", "describe-stack-resource", "--stack-name", NAME];
        let role = shop.aws(&[resource.as_slice(), &["--logical-resource-id", "Role"]].concat()).await;
        let role = role["StackResourceDetail"]["PhysicalResourceId"].as_str().unwrap().to_owned();
        shop.aws(&["iam", "get-role-policy", "--role-name", &role, "--policy-name", "forebay"]).await
    };
    let before = rights().await;
    deploy(&shop, "create-stack", "second", &second).await;
    assert_eq!(rights().await, before);
    put(&shop, "b/track_1.csv").await;
    put(&shop, "a/track_1.csv").await;
    let log = shop.logged("\"event-version\"").await;
    assert!(!log.contains("b/track_1.csv"), "{log}");
    shop.aws(&["cloudformation", "delete-stack", "--stack-name", "second"]).await;
    wait::until("the second stack to be gone", STACK_TIMEOUT, async || {
        let left = shop.aws(&["lambda", "list-functions"]).await;
        (left["Functions"].as_array().unwrap().len() == 1).then_some(())
    })
    .await;
    assert_eq!(rights().await, before);
    put(&shop, "a/track_2.csv").await;
    shop.logged("a/track_2.csv").await;
    assert_eq!(invokers(&shop).await, ["events.amazonaws.com"]);
}

/// The services that may invoke the function.
async fn invokers(shop: &Workshop) -> Vec<String> {
    let statements = statements(shop).await.into_iter();
    statements.map(|statement| statement["Principal"]["Service"].as_str().unwrap().to_owned()).collect()
}

async fn statements(shop: &Workshop) -> Vec<Value> {
    let policy = shop.aws(&["lambda", "get-policy", "--function-name", "forebay-csv"]).await;
    let policy: Value = serde_json::from_str(policy["Policy"].as_str().unwrap()).unwrap();
    policy["Statement"].as_array().unwrap().clone()
}

/// Other users of the machine can list the arguments of a process, and other people in the account read
/// stacks.
async fn the_write_key_is_nowhere(shop: &Workshop) {
    assert!(shop.calls().contains("create-stack") && !shop.calls().contains(WRITE_KEY));
    for said in ["describe-stacks", "describe-stack-events", "get-template"] {
        let said = shop.aws(&["cloudformation", said, "--stack-name", "forebay-csv"]).await.to_string();
        assert!(!said.contains(WRITE_KEY), "{said}");
    }
}

/// The commands of policies/csv-lambda-resource.md, for a bucket without EventBridge.
#[tokio::test]
#[ignore = "long: tests/long"]
async fn a_bucket_may_notify_the_function_directly_too() {
    let Some(shop) = workshop().await else { return };
    deploy(&shop, "create-stack", NAME, &[]).await;
    let before = json!({ "TopicConfigurations": [{
        "Id": "t", "TopicArn": format!("arn:aws:sns:{}:{}:t", Workshop::REGION, Workshop::ACCOUNT),
        "Events": ["s3:ObjectRestore:*"],
        "Filter": { "Key": { "FilterRules": [{ "Name": "prefix", "Value": "x/" }] } },
    }] });
    let open = r#"{"Policy":"{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":{\"Service\":\"s3.amazonaws.com\"},\"Action\":\"sns:Publish\",\"Resource\":\"*\"}]}"}"#;
    shop.aws(&["sns", "create-topic", "--name", "t", "--attributes", open]).await;
    let put_all = ["s3api", "put-bucket-notification-configuration", "--bucket", "csv-in"];
    let given = ["--notification-configuration", &before.to_string()];
    shop.aws(&[put_all.as_slice(), &given].concat()).await;

    let page = std::fs::read_to_string(repository("policies/csv-lambda-resource.md")).unwrap();
    let filled = [
        ("BUCKET", "csv-in"),
        ("ACCOUNT_ID", Workshop::ACCOUNT),
        ("REGION", Workshop::REGION),
        ("FUNCTION", "forebay-csv"),
    ];
    for block in super::page::blocks(&page) {
        let block = filled.iter().fold(block, |block, (name, value)| block.replace(name, value));
        let mut bash = std::process::Command::new("bash");
        bash.args(["-c", &format!("set -eu -o pipefail\n{block}")]);
        shop.folder.run(bash).await.well();
    }

    let get = ["s3api", "get-bucket-notification-configuration", "--bucket", "csv-in"];
    let after = shop.aws(&get).await;
    assert_eq!(after["TopicConfigurations"], before["TopicConfigurations"], "those of others stay");
    let flags =
        ["--bucket", "csv-in", "--function", "forebay-csv", "--region", Workshop::REGION, "--account"];
    let mut printed = std::process::Command::new(env!("CARGO_BIN_EXE_forebay"));
    printed.args(["policy", "csv-lambda-resource"]).args(flags).arg(Workshop::ACCOUNT);
    let printed: Value = serde_json::from_str(&shop.folder.run(printed).await.well().stdout).unwrap();
    let made = statements(&shop).await.iter().map(comparable).collect::<Vec<_>>();
    assert!(made.contains(&comparable(&printed["Statement"][0])), "{made:?}");
    put(&shop, "track_1.csv").await;
    assert_eq!(last_event(&shop.logged("\"configurationId\"").await)["Records"][0]["eventSource"], "aws:s3");
}
