//! The stack of the CSV function, `deploy/lambda/csv.yaml`: cfn-lint accepts it, and its role has the
//! statements that
//! `forebay policy` prints.

use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::cloudformation::{EVENTS, FAILURES, KEY, evaluated, lint, lint_text, statements};
use super::printed::{policy, project};
use crate::support::forebay::binary;
use crate::support::tools::run;

const TEMPLATE: &str = "deploy/lambda/csv.yaml";
/// Flags that each policy of the function needs.
const FLAGS: [&str; 8] = [
    "csv-lambda-execution", "--function", "forebay-csv", "--region", "eu-west-1", "--account",
    "111122223333", "--failures",
];

fn template() -> String {
    std::fs::read_to_string(project(TEMPLATE)).unwrap()
}

/// The resources with these parameters, besides those without a default.
async fn resources(parameters: Value) -> Option<Value> {
    let mut all = json!({ "CodeBucket": "events", "CodeKey": "1.zip", "FilesBucket": "csv-in" });
    all.as_object_mut().unwrap().extend(parameters.as_object().unwrap().clone());
    evaluated(&template(), all).await
}

#[tokio::test]
async fn cfn_lint_accepts_the_stack_of_the_function() {
    let Some((sound, said)) = lint(&project(TEMPLATE)).await else { return };
    assert!(sound, "{said}");
    let dir = TempDir::new().unwrap();
    for (right, wrong) in [("RecursiveLoop:", "RecursiveLop:"), ("!GetAtt Failures.", "!GetAtt Failing.")] {
        let (sound, said) =
            lint_text(&dir.path().join("broken.yaml"), &template().replace(right, wrong)).await;
        let named = wrong.trim_start_matches("!GetAtt ").trim_end_matches([':', '.']);
        assert!(!sound && said.contains(named), "{said}");
    }
}

/// The statements that `forebay policy` prints. The stack makes the log group, so its function may not.
async fn printed(flags: &[&str]) -> Vec<Value> {
    let mut policy = policy(&[FLAGS.as_slice(), &[FAILURES], flags].concat(), None).await.json();
    let of_logs = policy["Statement"][0]["Action"].as_array_mut().unwrap();
    assert_eq!(of_logs.remove(0), "logs:CreateLogGroup");
    statements(&policy)
}

#[tokio::test]
async fn the_role_has_the_rights_that_its_parameters_need() {
    let check = async |flags: &[&str], parameters: Value| {
        let Some(resources) = resources(parameters).await else { return };
        let policies = resources["Role"]["Policies"].as_array().unwrap();
        assert_eq!(policies.len(), 1, "{policies:?}");
        assert_eq!(statements(&policies[0]["PolicyDocument"]), printed(flags).await, "{flags:?}");
        let trust = policy(&["csv-lambda-trust"], None).await.json();
        assert_eq!(statements(&resources["Role"]["AssumeRolePolicyDocument"]), statements(&trust));
    };
    check(&["--bucket", "csv-in"], json!({})).await;
    check(&["--bucket", "csv-in", "--kms-key", KEY], json!({ "KmsKeyArn": KEY })).await;
    check(
        &["--bucket", "csv-in/exports", "--output", "events", "--kms-key", KEY],
        json!({ "FilesPrefix": "exports/", "Output": "events", "KmsKeyArn": KEY }),
    )
    .await;
    let journal = json!({ "Journal": "state/a/b", "Continue": "self-invoke", "AllowRecursion": "true" });
    check(&["--bucket", "csv-in", "--journal", "state/a/b", "--self-invoke"], journal).await;
    let places = ["--output", "events/raw", "--journal", "state", "--rejects", "rejected/rows"];
    let more = ["--bucket", "csv-in", "--queue", EVENTS, "--kms-key", KEY];
    let all = json!({
        "Output": "events/raw", "Journal": "state", "CsvRejects": "rejected/rows", "Queue": "true", "KmsKeyArn": KEY,
    });
    check(&[more.as_slice(), &places].concat(), all).await;
}

#[tokio::test]
async fn the_rule_sends_new_files_to_the_function_or_to_its_queue_and_to_nobody_else() {
    let Some(direct) = resources(json!({ "FilesPrefix": "exports/", "FilesSuffix": ".csv" })).await else {
        return;
    };
    let pattern = json!({
        "source": ["aws.s3"], "detail-type": ["Object Created"],
        "detail": { "bucket": { "name": ["csv-in"] }, "object": { "key": [{ "wildcard": "exports/*.csv" }] } },
    });
    assert_eq!(direct["NewFiles"]["EventPattern"], pattern);
    let target = |resources: &Value, arn: &str| {
        let expected = json!([{ "Id": "files", "Arn": arn, "DeadLetterConfig": { "Arn": FAILURES } }]);
        assert_eq!(resources["NewFiles"]["Targets"], expected);
    };
    target(&direct, "<Function>");
    let permission = json!({
        "FunctionName": "<Function>", "Action": "lambda:InvokeFunction", "Principal": "events.amazonaws.com",
        "SourceArn": "<NewFiles>",
    });
    assert_eq!(direct["RuleInvokes"], permission);
    assert_eq!(direct["RuleSends"]["Queues"], json!(["<Failures>"]));
    let sends = &direct["RuleSends"]["PolicyDocument"]["Statement"];
    assert_eq!(sends[0]["Condition"], json!({ "ArnEquals": { "aws:SourceArn": "<NewFiles>" } }), "{sends}");
    assert_eq!((sends.as_array().unwrap().len(), &sends[0]["Action"]), (1, &json!("sqs:SendMessage")));
    assert_eq!(direct["Function"]["RecursiveLoop"], "Terminate");
    assert_eq!((direct.get("Events"), direct.get("FromQueue")), (None, None));

    let queued = resources(json!({ "Queue": "true", "Continue": "self-invoke", "AllowRecursion": "true" }));
    let queued = queued.await.unwrap();
    target(&queued, EVENTS);
    assert_eq!(queued["NewFiles"]["EventPattern"]["detail"]["object"]["key"], json!([{ "wildcard": "*" }]));
    assert_eq!(queued.get("RuleInvokes"), None, "the queue's trigger invokes with the role's own rights");
    assert_eq!(queued["RuleSends"]["Queues"], json!(["<Failures>", "<Events>"]));
    assert_eq!(queued["Function"]["RecursiveLoop"], "Allow");
    assert!(queued["Events"]["VisibilityTimeout"].as_u64().unwrap() > 900, "longer than any invocation");
    assert_eq!(queued["FromQueue"]["FunctionResponseTypes"], json!(["ReportBatchItemFailures"]));
}

/// The write key is a reference to a secret; a stack shows its parameters to those who may describe it.
#[tokio::test]
async fn the_write_key_is_read_from_a_secret() {
    let parameters =
        json!({ "CollectorUrl": "https://c.example.com", "WriteKeySecret": "csv:SecretString:::1" });
    let Some(resources) = resources(parameters).await else { return };
    let variables = &resources["Function"]["Environment"]["Variables"];
    assert_eq!(variables["FOREBAY_WRITE_KEY"], "{{resolve:secretsmanager:csv:SecretString:::1}}");
    for absent in ["FOREBAY_OUTPUT", "FOREBAY_JOURNAL", "FOREBAY_CSV_REJECTS"] {
        assert_eq!(variables.get(absent), None, "{absent}");
    }
}

/// Variables that the template leaves empty are not set: the program starts with them, and then asks the
/// runtime, which is not there.
#[tokio::test]
async fn the_program_starts_with_the_variables_of_the_stack() {
    let check = async |parameters: Value, said: &str| {
        let Some(resources) = resources(parameters).await else { return };
        let mut lambda = Command::new(binary());
        lambda.arg("lambda").env_clear();
        for (name, value) in resources["Function"]["Environment"]["Variables"].as_object().unwrap() {
            lambda.env(name, value.as_str().unwrap());
        }
        let of_runtime = ["FUNCTION_NAME", "FUNCTION_VERSION", "LOG_STREAM_NAME", "LOG_GROUP_NAME"];
        lambda.envs(of_runtime.map(|name| (format!("AWS_LAMBDA_{name}"), "x")));
        lambda.env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "1024").env("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9");
        lambda.env("AWS_REGION", "eu-west-1").env("AWS_ACCESS_KEY_ID", "x").env("AWS_SECRET_ACCESS_KEY", "x");
        let output = run(lambda).await;
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.contains(said), "{said}: {stderr}");
    };
    let away = "the runtime of AWS Lambda: ";
    check(json!({ "CollectorUrl": "https://c.example.com", "WriteKeySecret": "csv" }), away).await;
    // A journal would be looked for in S3.
    check(json!({ "Output": "events" }), away).await;
    check(json!({ "Output": "events", "CsvStrict": "perhaps" }), "FOREBAY_CSV_STRICT: ").await;
}
