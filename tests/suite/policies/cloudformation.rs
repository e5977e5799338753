//! The CloudFormation templates: cfn-lint accepts them, and each statement equals that of the JSON template.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::printed::{policy, project};
use crate::support::tools::{require, run, stdout_of};

pub(super) const KEY: &str = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
const WRITER: &str = "arn:aws:iam::111122223333:role/writer";
const COLLECTOR: &str = "arn:aws:iam::444455556666:user/forebay";
/// Queues of the stack of the CSV function.
pub(super) const FAILURES: &str = "arn:aws:sqs:eu-west-1:111122223333:failures";
pub(super) const EVENTS: &str = "arn:aws:sqs:eu-west-1:111122223333:events";
const READER: &str = "arn:aws:iam::111122223333:role/analyst";

/// Whether cfn-lint reports nothing, not even an informational message; and its output.
pub(super) async fn lint(template: &Path) -> Option<(bool, String)> {
    let mut command = Command::new(require("cfn-lint/bin/cfn-lint")?);
    command.args(["--regions", "eu-west-1", "--include-checks", "I", "--template"]).arg(template);
    let output = run(command).await;
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    Some((output.status.success(), said))
}

#[tokio::test]
async fn cfn_lint_accepts_the_file_and_the_printed_template() {
    let dir = TempDir::new().unwrap();
    let file = project("policies/cloudformation.yaml");
    let Some((sound, said)) = lint(&file).await else { return };
    assert!(sound, "{said}");
    let flags = ["cloudformation", "--bucket", "events-raw/logs", "--principal", COLLECTOR];
    let flags =
        [&flags[..], &["--external-id", "a-1", "--external-id", "b-1", "--kms-key", "alias/events"]].concat();
    let printed = policy(&flags, None).await;
    assert_eq!(printed.code, Some(0), "{printed:?}");
    has_defaults(
        &printed.stdout,
        &["\"events-raw\"", "\"logs/\"", "\"a-1,b-1\"", "\"sse-kms\"", "\"alias/events\""],
    );
    let check = async |name: &str, text: &str| lint_text(&dir.path().join(name), text).await;
    let (sound, said) = check("printed.yaml", &printed.stdout).await;
    assert!(sound, "{said}");
    let broken = printed.stdout.replace("BlockPublicAcls:", "BlockPublicAcl:");
    let (sound, said) = check("broken.yaml", &broken).await;
    assert!(!sound && said.contains("BlockPublicAcl"), "{said}");
}

/// The resources of the template as printed for `flags`, with these parameters and all functions evaluated.
async fn resources(flags: &[&str], parameters: Value) -> Option<Value> {
    resources_of("cloudformation", flags, None, parameters).await
}

/// The same of any stack, filled in from a configuration too.
async fn resources_of(name: &str, flags: &[&str], config: Option<&str>, parameters: Value) -> Option<Value> {
    let printed = policy(&[&[name], flags].concat(), config).await;
    assert_eq!(printed.code, Some(0), "{printed:?}");
    evaluated(&printed.stdout, parameters).await
}

/// The resources of a template with these parameters and all functions evaluated.
pub(super) async fn evaluated(text: &str, parameters: Value) -> Option<Value> {
    let dir = TempDir::new().unwrap();
    let (template, values) = (dir.path().join("template.yaml"), dir.path().join("values.json"));
    std::fs::write(&template, text).unwrap();
    let given = json!({
        "parameters": parameters,
        "pseudo": {
            "AWS::Partition": "aws", "AWS::AccountId": "111122223333", "AWS::Region": "eu-west-1",
            "AWS::URLSuffix": "amazonaws.com", "AWS::StackName": "forebay-csv"
        },
        "attributes": {
            "Key.Arn": KEY, "WriterRole.Arn": WRITER, "Role.Arn": WRITER, "Function.Arn": "<Function>",
            "NewFiles.Arn": "<NewFiles>", "Failures.Arn": FAILURES, "Events.Arn": EVENTS
        }
    });
    std::fs::write(&values, given.to_string()).unwrap();
    let mut command = Command::new(require("cfn-lint/bin/python")?);
    command.arg(project("tests/policies/cloudformation.py")).arg(&template).arg(&values);
    Some(serde_json::from_str(&stdout_of(command).await).unwrap())
}

/// The statements of these Sids from a template as `forebay policy` prints it.
async fn printed(template: &str, config: &str, sids: &[&str]) -> Vec<Value> {
    let mut flags = vec![template, "--account", "111122223333", "--reader", READER, "--principal", COLLECTOR];
    flags.extend(["--external-id", "web-1", "--external-id", "ios-1"]);
    let policy = policy(&flags, Some(config)).await.json();
    let find = |sid: &&str| {
        let statements = policy["Statement"].as_array().unwrap();
        let found = statements.iter().find(|statement| statement["Sid"] == *sid);
        plain(found.unwrap_or_else(|| panic!("{template} has no {sid}: {policy}")))
    };
    sids.iter().map(find).collect()
}

/// A list with one value, replaced by the value, which means the same.
fn plain(value: &Value) -> Value {
    match value {
        Value::Array(items) if items.len() == 1 => plain(&items[0]),
        Value::Array(items) => items.iter().map(plain).collect(),
        Value::Object(members) => {
            Value::Object(members.iter().map(|(name, value)| (name.clone(), plain(value))).collect())
        }
        other => other.clone(),
    }
}

pub(super) fn statements(resource: &Value) -> Vec<Value> {
    resource["Statement"].as_array().unwrap_or_else(|| panic!("{resource}")).iter().map(plain).collect()
}

const FLAGS: [&str; 8] = [
    "--bucket", "events-raw/logs", "--principal", COLLECTOR, "--external-id", "web-1", "--external-id",
    "ios-1",
];

#[tokio::test]
async fn with_all_options_each_statement_equals_that_of_the_json_template() {
    let parameters =
        json!({ "Encryption": "sse-kms", "CreateOnly": "true", "ObjectTags": "true", "ReaderArn": READER });
    let Some(resources) = resources(&FLAGS, parameters).await else { return };
    let config = format!(
        "[s3]\nbucket = 'events-raw/logs'\nencryption = 'kms:{KEY}'\nrole_arn = '{WRITER}'\nobject_tags = ['day']\n\
         [[source]]\nid = 'web'\nwrite_keys = ['k']\n"
    );
    let mut bucket = printed("bucket", &config, &["ForebayPuts"]).await;
    bucket.extend(printed("bucket-create-only", &config, &["ForebayLooks"]).await);
    bucket.extend(printed("bucket-tls-only", &config, &["DenyPlainHttp", "DenyOldTls"]).await);
    let of_key = ["DenyOtherEncryption", "DenyMissingEncryption", "DenyOtherKey", "DenyMissingKey"];
    bucket.extend(printed("bucket-enforce-sse-kms", &config, &of_key).await);
    bucket.extend(printed("bucket-create-only", &config, &["DenyReplacing"]).await);
    assert_eq!(statements(&resources["BucketPolicy"]["PolicyDocument"]), bucket);
    let trust = printed("role-trust-many", &config, &["CollectorAssumes"]).await;
    assert_eq!(statements(&resources["WriterRole"]["AssumeRolePolicyDocument"]), trust);
    let of_role = ["ForebayPuts", "ForebayLooks", "ForebayTags", "ForebayEncrypts", "ForebayChecksBucket"];
    let of_role =
        [&of_role[..], &["ForebayRemovesChecks", "ForebayChecksKey", "ForebayChecksKeyUse"]].concat();
    let writer = printed("role", &config, &of_role).await;
    assert_eq!(statements(&resources["WriterPolicy"]["PolicyDocument"]), writer);
    let reader = printed("reader", &config, &["ReaderLists", "ReaderReads", "ReaderDecrypts"]).await;
    assert_eq!(statements(&resources["ReaderPolicy"]["PolicyDocument"]), reader);
    let of_key = [
        "AccountAdministers", "ForebayEncrypts", "ForebayChecksKey", "ForebayChecksKeyUse", "ReadersDecrypt",
    ];
    assert_eq!(statements(&resources["Key"]["KeyPolicy"]), printed("kms-key", &config, &of_key).await);
}

#[tokio::test]
async fn resources_of_unused_options_are_left_out() {
    let Some(resources) = resources(&FLAGS, json!({})).await else { return };
    let config = format!(
        "[s3]\nbucket = 'events-raw/logs'\nrole_arn = '{WRITER}'\n[[source]]\nid = 'web'\nwrite_keys = ['k']\n"
    );
    let mut bucket = printed("bucket", &config, &["ForebayPuts"]).await;
    bucket.extend(printed("bucket-tls-only", &config, &["DenyPlainHttp", "DenyOldTls"]).await);
    let sse_s3 = ["DenyOtherEncryption", "DenyMissingEncryption"];
    bucket.extend(printed("bucket-enforce-sse-s3", &config, &sse_s3).await);
    assert_eq!(statements(&resources["BucketPolicy"]["PolicyDocument"]), bucket);
    let of_role = ["ForebayPuts", "ForebayLooks", "ForebayChecksBucket", "ForebayRemovesChecks"];
    assert_eq!(
        statements(&resources["WriterPolicy"]["PolicyDocument"]),
        printed("role", &config, &of_role).await
    );
    for absent in ["Key", "Alias", "ReaderPolicy"] {
        assert_eq!(resources.get(absent), None, "{absent}");
    }
}

#[tokio::test]
async fn the_bucket_is_private_encrypted_and_retained() {
    let Some(plain) = resources(&FLAGS, json!({})).await else { return };
    let bucket = &plain["Bucket"];
    let blocked = bucket["PublicAccessBlockConfiguration"].as_object().unwrap();
    assert!(blocked.len() == 4 && blocked.values().all(|value| *value == true), "{blocked:?}");
    assert_eq!(bucket["OwnershipControls"]["Rules"], json!([{ "ObjectOwnership": "BucketOwnerEnforced" }]));
    let default = |bucket: &Value| bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"][0].clone();
    assert_eq!(default(bucket), json!({ "ServerSideEncryptionByDefault": { "SSEAlgorithm": "AES256" } }));
    assert_eq!(bucket.get("VersioningConfiguration"), None);
    let parameters = json!({ "Encryption": "sse-kms", "Versioning": "true" });
    let kms = resources(&FLAGS, parameters).await.unwrap();
    let by_key = json!({ "SSEAlgorithm": "aws:kms", "KMSMasterKeyID": KEY });
    assert_eq!(
        default(&kms["Bucket"]),
        json!({ "ServerSideEncryptionByDefault": by_key, "BucketKeyEnabled": true })
    );
    assert_eq!(kms["Bucket"]["VersioningConfiguration"], json!({ "Status": "Enabled" }));
    assert_eq!(kms["Key"]["EnableKeyRotation"], true);
    assert_eq!(kms["Alias"], json!({ "AliasName": "alias/forebay", "TargetKeyId": "<Key>" }));
}

/// The enabled rules of the recommended lifecycle are those of the stack's bucket.
#[tokio::test]
async fn the_stack_has_the_recommended_lifecycle() {
    let Some(resources) = resources(&FLAGS, json!({})).await else { return };
    let advice = policy(&["lifecycle", "--bucket", "events-raw/logs"], None).await.json();
    let enabled = advice["Rules"].as_array().unwrap().iter().filter(|rule| rule["Status"] == "Enabled");
    let enabled: Vec<Value> = enabled
        .map(|rule| {
            let mut same =
                json!({ "Id": rule["ID"], "Status": "Enabled", "Prefix": rule["Filter"]["Prefix"] });
            if let Some(days) = rule.pointer("/Expiration/Days") {
                same["ExpirationInDays"] = days.clone();
            }
            if let Some(abort) = rule.get("AbortIncompleteMultipartUpload") {
                same["AbortIncompleteMultipartUpload"] = abort.clone();
            }
            same
        })
        .collect();
    assert_eq!(resources["Bucket"]["LifecycleConfiguration"]["Rules"], json!(enabled));
}

/// Two sources and a destination with functions for types.
const DESTINATION: &str = "[s3]\nbucket = 'b-1'\n[[source]]\nid = 'web-1'\nwrite_keys = ['k']\n[[source]]\nid = 'ios-1'\n\
                           write_keys = ['l']\n[[destination]]\nname = 'crm'\ntype = 'lambda'\n\
                           function = 'arn:aws:lambda:eu-west-1:111122223333:function:on-call'\n\
                           functions = { track = 'arn:aws:lambda:eu-west-1:111122223333:function:on-track:live' }\n\
                           role_arn = 'arn:aws:iam::111122223333:role/invoker'\n";

#[tokio::test]
async fn cfn_lint_accepts_the_stack_of_a_destination() {
    let dir = TempDir::new().unwrap();
    let Some((sound, said)) = lint(&project("policies/lambda-destination-cloudformation.yaml")).await else {
        return;
    };
    assert!(sound, "{said}");
    let flags = ["lambda-destination-cloudformation", "--principal", COLLECTOR];
    let printed = policy(&flags, Some(DESTINATION)).await;
    assert_eq!(printed.code, Some(0), "{printed:?}");
    let functions = "arn:aws:lambda:eu-west-1:111122223333:function:on-track:live,\
                     arn:aws:lambda:eu-west-1:111122223333:function:on-call";
    has_defaults(&printed.stdout, &[COLLECTOR, "web-1,ios-1", functions].map(|text| format!("\"{text}\"")));
    let check = async |name: &str, text: &str| lint_text(&dir.path().join(name), text).await;
    let (sound, said) = check("printed.yaml", &printed.stdout).await;
    assert!(sound, "{said}");
    let (sound, said) = check("broken.yaml", &printed.stdout.replace("Policies:", "Policy:")).await;
    assert!(!sound && said.contains("Policy"), "{said}");
    let comma = [&flags[..], &["--external-id", "a,b"]].concat();
    let refused = policy(&comma, Some(DESTINATION)).await;
    assert!(refused.stderr.contains("the external id a,b contains a comma"), "{refused:?}");
}

#[tokio::test]
async fn each_statement_of_the_stack_of_a_destination_equals_that_of_the_json_template() {
    let flags = ["--principal", COLLECTOR];
    let name = "lambda-destination-cloudformation";
    let Some(resources) = resources_of(name, &flags, Some(DESTINATION), json!({})).await else { return };
    let role = &resources["InvokerRole"];
    let printed = async |template: &str| {
        statements(&policy(&[&[template], &flags[..]].concat(), Some(DESTINATION)).await.json())
    };
    assert_eq!(statements(&role["AssumeRolePolicyDocument"]), printed("lambda-destination-trust-many").await);
    let policies = role["Policies"].as_array().unwrap();
    assert_eq!(policies.len(), 1, "{role}");
    assert_eq!(statements(&policies[0]["PolicyDocument"]), printed("lambda-destination-invoke").await);
    assert_eq!(resources.as_object().unwrap().len(), 1, "{resources}");
}

/// Each of these is the default of a parameter, as it is written.
fn has_defaults(stack: &str, defaults: &[impl AsRef<str>]) {
    for default in defaults.iter().map(AsRef::as_ref) {
        assert!(stack.contains(&format!("    Default: {default}\n")), "{default}: {stack}");
    }
}

/// Whether cfn-lint accepts a stack, and what it says.
pub(super) async fn lint_text(path: &Path, text: &str) -> (bool, String) {
    std::fs::write(path, text).unwrap();
    lint(path).await.unwrap()
}
