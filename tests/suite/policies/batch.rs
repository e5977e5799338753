//! The policies of jobs of S3 Batch Operations, as `forebay policy` prints them.

use serde_json::{Value, json};

use super::printed::policy;

const KEY: &str = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
const COLLECTOR: &str = "arn:aws:iam::444455556666:role/forebay";
const FUNCTION: &str = "arn:aws:lambda:eu-west-1:111122223333:function:rename";
const MANIFEST: [&str; 2] = ["--manifest", "s3://lake/jobs/m.csv"];
const JOBS: [&str; 4] = ["--account", "111122223333", "--region", "eu-west-1"];

/// A printed policy. A configuration says nothing about jobs, so none is read.
async fn printed(arguments: &[&[&str]]) -> Value {
    policy(&arguments.concat(), Some("not a configuration")).await.json()
}

fn statement<'a>(policy: &'a Value, sid: &str) -> &'a Value {
    let all = policy["Statement"].as_array().unwrap();
    all.iter().find(|statement| statement["Sid"] == sid).unwrap_or_else(|| panic!("no {sid} in {policy}"))
}

fn sids(policy: &Value) -> Vec<&str> {
    let all = policy["Statement"].as_array().unwrap();
    all.iter().map(|statement| statement["Sid"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn the_role_of_a_job_gets_its_manifest_its_report_and_its_function_alone() {
    let function = ["--function-arn", FUNCTION];
    let least = printed(&[&["batch-role"], &MANIFEST, &function]).await;
    assert_eq!(sids(&least), ["BatchReadsManifest", "BatchInvokes"], "without a report and a key");
    assert_eq!(statement(&least, "BatchReadsManifest")["Resource"], json!(["arn:aws:s3:::lake/jobs/m.csv"]));
    let every_version = json!([FUNCTION, format!("{FUNCTION}:*")]);
    assert_eq!(statement(&least, "BatchInvokes")["Resource"], every_version);

    let flags = ["--manifest", "s3://lake/in$v/*/", "--report", "s3://results/a?b/", "--kms-key", KEY];
    let all = printed(&[&["batch-role"], &flags, &function]).await;
    let every = ["BatchReadsManifest", "BatchDecryptsManifest", "BatchWritesReport", "BatchInvokes"];
    assert_eq!(sids(&all), every);
    let folder = "arn:aws:s3:::lake/in${$}v/${*}/*";
    assert_eq!(statement(&all, "BatchReadsManifest")["Resource"], json!([folder]));
    assert_eq!(statement(&all, "BatchWritesReport")["Resource"], "arn:aws:s3:::results/a${?}b/job-*");
    let conditions = &statement(&all, "BatchDecryptsManifest")["Condition"];
    assert_eq!(conditions["StringEquals"]["kms:ViaService"], "s3.eu-west-1.amazonaws.com");
    let context = &conditions["StringLike"]["kms:EncryptionContext:aws:s3:arn"];
    assert_eq!(*context, json!(["arn:aws:s3:::lake", folder]), "and nothing of the report");

    let root = printed(&[&["batch-role", "--report", "s3://results"], &MANIFEST, &function]).await;
    assert_eq!(statement(&root, "BatchWritesReport")["Resource"], "arn:aws:s3:::results/job-*");
}

#[tokio::test]
async fn a_version_or_an_alias_is_invoked_as_itself_alone() {
    let invoked = async |arns: &[&str]| {
        let flags: Vec<&str> = arns.iter().flat_map(|arn| ["--function-arn", *arn]).collect();
        let printed = printed(&[&["batch-role"], &MANIFEST, &flags]).await;
        statement(&printed, "BatchInvokes")["Resource"].clone()
    };
    let [live, seventh] = ["live", "7"].map(|version| format!("{FUNCTION}:{version}"));
    assert_eq!(invoked(&[&live]).await, json!([live]));
    assert_eq!(invoked(&[&live, &seventh]).await, json!([live, seventh]));
    let other = format!("{FUNCTION}-2");
    assert_eq!(invoked(&[&live, &other]).await, json!([live, other, format!("{other}:*")]));
}

#[tokio::test]
async fn the_service_and_the_process_are_trusted_as_asked() {
    let service = printed(&[&["batch-trust"], &JOBS]).await;
    assert_eq!(sids(&service), ["BatchAssumes"]);
    let assumes = statement(&service, "BatchAssumes");
    assert_eq!(assumes["Principal"]["Service"], "batchoperations.s3.amazonaws.com");
    let expected = json!({
        "StringEqualsIfExists": { "aws:SourceAccount": "111122223333" },
        "ArnLikeIfExists": { "aws:SourceArn": "arn:aws:s3:eu-west-1:111122223333:job/*" },
    });
    assert_eq!(assumes["Condition"], expected);
    let process = printed(&[&["batch-trust", "--principal", COLLECTOR]]).await;
    assert_eq!(sids(&process), ["ForebayAssumes"], "for `forebay batch` alone");
    assert_eq!(statement(&process, "ForebayAssumes")["Principal"]["AWS"], COLLECTOR);
    let both = printed(&[&["batch-trust", "--principal", COLLECTOR], &JOBS]).await;
    assert_eq!(sids(&both), ["BatchAssumes", "ForebayAssumes"]);
}

#[tokio::test]
async fn other_partitions_have_their_own_arns() {
    let china = ["--account", "111122223333", "--region", "cn-north-1"];
    let trust = printed(&[&["batch-trust"], &china]).await;
    let assumes = statement(&trust, "BatchAssumes");
    let source = &assumes["Condition"]["ArnLikeIfExists"]["aws:SourceArn"];
    assert_eq!(*source, "arn:aws-cn:s3:cn-north-1:111122223333:job/*");
    assert_eq!(assumes["Principal"]["Service"], "batchoperations.s3.amazonaws.com");
    let function = FUNCTION.replace("arn:aws:lambda:eu-west-1", "arn:aws-cn:lambda:cn-north-1");
    let role = printed(&[&["batch-role", "--function-arn", &function], &MANIFEST]).await;
    let manifest = json!(["arn:aws-cn:s3:::lake/jobs/m.csv"]);
    assert_eq!(statement(&role, "BatchReadsManifest")["Resource"], manifest, "that of the function");
    let key = ["--kms-key", KEY];
    let mixed = [&["batch-role", "--function-arn", &function], MANIFEST.as_slice(), &key].concat();
    let mixed = policy(&mixed, None).await;
    assert!(mixed.stderr.contains("is for one partition"), "{mixed:?}");
}

#[tokio::test]
async fn a_missing_or_wrong_value_of_a_job_is_named() {
    let check = async |line: &str, said: &str| {
        let arguments: Vec<&str> = line.split(' ').collect();
        let printed = policy(&arguments, None).await;
        assert_eq!((printed.code, printed.stdout.as_str()), (Some(2), ""), "{line}: {printed:?}");
        assert!(printed.stderr.contains(said), "{line}: {printed:?}");
    };
    let role = format!("batch-role --function-arn {FUNCTION} --manifest s3://lake/jobs/m.csv");
    check("batch-role", "the manifest is missing: give --manifest s3://BUCKET/KEY").await;
    check("batch-role --manifest s3://lake/m.csv", "the function is missing: give --function-arn ARN").await;
    check("batch-role --manifest lake/m.csv", "--manifest").await;
    check("batch-role --manifest s3://lake", "the role is not given the whole bucket").await;
    check("batch-role --manifest s3://lake/d/manifest.json", "give the folder that has both").await;
    check("batch-role --report lake/reports", "expected s3://BUCKET/PREFIX").await;
    check("batch-role --function-arn rename", "expected the ARN of a function").await;
    check(&format!("batch-role --function {FUNCTION}"), "--function-arn takes an ARN").await;
    check(&format!("{role} --function rename"), "batch-role has --function-arn").await;
    check(&format!("{role} --bucket lake"), "batch-role has --manifest and --report").await;
    check(&format!("{role} --kms-key alias/x"), "aws kms describe-key --key-id alias/x").await;
    check(&format!("{role} --kms-key 1234abcd-12ab-34cd-56ef-1234567890ab"), "give --region REGION").await;
    check("batch-trust", "the account of the jobs is missing: give --account").await;
    check("batch-trust --region eu-west-1", "the account of the jobs is missing: give --account").await;
    check("batch-trust --account 111122223333", "the region of the jobs is missing: give --region").await;
    check("batch-trust --account 1111 --region eu-west-1", "12 digits").await;
    for region in ["*", "eu-west-?", "Ireland", "EU-WEST-1"] {
        let line = format!("batch-trust --account 111122223333 --region {region}");
        check(&line, "expected a region such as eu-west-1").await;
    }
    check("batch-trust --external-id web", "a job sends no external id").await;
    let arn = "arn:aws:iam::111122223333:role/forebay-batch";
    check(&format!("batch-trust --role {arn}"), "the role that it is attached to").await;
    check("collector --bucket b-1 --manifest s3://lake/m.csv", "--manifest is for batch-role").await;
    check("csv-lambda-trust --report s3://lake/r", "--report is for batch-role").await;
}

#[tokio::test]
async fn a_policy_of_a_job_that_is_too_long_is_reported() {
    let check = async |flag: &str, values: Vec<String>, rest: &[&str]| {
        let flags = values.iter().flat_map(|value| [flag, value.as_str()]);
        let arguments: Vec<&str> = rest.iter().copied().chain(flags).collect();
        let printed = policy(&arguments, None).await;
        assert_eq!(printed.code, Some(0), "{printed:?}");
        assert!(printed.stderr.contains(&format!("give fewer values of {flag}")), "{printed:?}");
    };
    let principals = (0..60).map(|n| format!("{COLLECTOR}-{n}")).collect();
    check("--principal", principals, &["batch-trust"]).await;
    let functions = (0..60).map(|n| format!("{FUNCTION}-{n}")).collect();
    check("--function-arn", functions, &[&["batch-role"], MANIFEST.as_slice()].concat()).await;
}
