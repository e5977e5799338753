//! `forebay policy`, through the built program.

use serde_json::{Value, json};

use super::printed::{Printed, policy, project};
use crate::support::granted;

const KEY: &str = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
const QUEUE: &str = "arn:aws:sqs:eu-west-1:111122223333:csv-events";
const WRITER: &str = "arn:aws:iam::111122223333:role/writer";
const COLLECTOR: &str = "arn:aws:iam::444455556666:role/forebay";
const INVOKER: &str = "arn:aws:iam::111122223333:role/invoker";
const IMPORTER: &str = "arn:aws:iam::111122223333:role/importer";
const HANDLER: &str = "arn:aws:lambda:eu-west-1:111122223333:function:on-track";

/// Every placeholder of the templates, as `policies/README.md` explains them.
const PLACEHOLDERS: [&str; 25] = [
    "COLLECTOR_ARN", "READER_ARN", "ROLE_ARN", "BUCKET", "PREFIX/", "KMS_KEY_ARN", "REGION", "ACCOUNT_ID",
    "EXTERNAL_ID", "ANOTHER_EXTERNAL_ID", "FUNCTION", "FUNCTION_ARN", "QUEUE_ARN", "FAILURES_ARN",
    "JOURNAL_BUCKET", "JOURNAL_PREFIX/", "OUTPUT_BUCKET", "OUTPUT_PREFIX/", "REJECTS_BUCKET",
    "REJECTS_PREFIX/", "MANIFEST_BUCKET", "MANIFEST_KEY", "MANIFEST_PREFIX/", "REPORT_BUCKET",
    "REPORT_PREFIX/",
];

/// The flags that every policy of a function needs together.
const FUNCTION: [&str; 8] = [
    "--bucket", "csv-in/exports", "--function", "forebay-csv", "--region", "eu-west-1", "--account",
    "111122223333",
];
/// Everything that a job may have.
const JOB: [&str; 12] = [
    "--account", "111122223333", "--region", "eu-west-1", "--manifest", "s3://lake/jobs/m.csv", "--report",
    "s3://lake/reports", "--function-arn", HANDLER, "--kms-key", KEY,
];
/// Everything that a function may use besides.
const FUNCTION_PLACES: [&str; 13] = [
    "--journal", "csv-state/journal", "--output", "events-raw/logs", "--rejects", "csv-rejects/rows",
    "--kms-key", KEY, "--queue", QUEUE, "--failures", QUEUE, "--self-invoke",
];

fn names() -> Vec<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(project("policies")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "json" || extension == "yaml") {
            names.push(path.file_stem().unwrap().to_str().unwrap().to_owned());
        }
    }
    names.sort();
    names
}

/// A configuration with everything that policies depend on.
fn everything() -> String {
    format!(
        "[s3]\nbucket = 'events-raw/logs'\nencryption = 'kms:{KEY}'\nrole_arn = '{WRITER}'\nobject_tags = ['day']\n\
         acl = 'bucket-owner-full-control'\n[[source]]\nid = 'web'\nwrite_keys = ['k']\nexternal_id = 'web-1'\n\
         [[destination]]\nname = 'crm'\ntype = 'lambda'\nfunction = '{HANDLER}'\nrole_arn = '{INVOKER}'\nexternal_id = 'crm-1'\n\
         [[import]]\nname = 'orders'\nbucket = 'files'\nprefix = 'orders/'\ninsert_id_window = '0 s'\n\
         role_arn = '{IMPORTER}'\nexternal_id = 'orders-1'\nafter = 'move:done/'\ndiscovery = 'both'\n\
         journal = 's3://state/forebay/'\nqueue_url = 'https://sqs.eu-west-1.amazonaws.com/111122223333/files'\n"
    )
}

/// Two sources in two places, one of them written with a role.
fn two_places() -> String {
    format!(
        "[s3]\nbucket = 'events-raw/logs'\n[[source]]\nid = 'web'\nwrite_keys = ['k']\n[[source]]\nid = 'ios'\n\
         write_keys = ['l']\nbucket = 'other-raw'\nrole_arn = '{WRITER}'\nencryption = 'kms:{KEY}'\n"
    )
}

#[tokio::test]
async fn every_template_is_printed_filled_in_and_without_messages() {
    for name in names() {
        let kms = format!("encryption = 'kms:{KEY}'\n");
        let config = match name.as_str() {
            "bucket-enforce-sse-s3" => everything().replace(&kms, ""),
            // The stack's bucket accepts no ACLs.
            "cloudformation" => everything().replace("acl = 'bucket-owner-full-control'\n", ""),
            _ => everything(),
        };
        let mut arguments = vec![
            name.as_str(),
            "--principal",
            COLLECTOR,
            "--reader",
            "arn:aws:iam::111122223333:role/analyst",
        ];
        if name.starts_with("csv-lambda-") {
            arguments.extend(FUNCTION);
            arguments.extend(FUNCTION_PLACES);
        }
        if name.starts_with("batch-") {
            arguments.extend(JOB);
        }
        if name == "import-queue" {
            arguments.extend(["--account", "444455556666"]);
        }
        let printed = policy(&arguments, Some(&config)).await;
        assert_eq!((printed.code, printed.stderr.as_str()), (Some(0), ""), "{name}: {printed:?}");
        if !name.ends_with("cloudformation") {
            printed.json();
            for placeholder in PLACEHOLDERS {
                assert!(
                    !printed.stdout.contains(placeholder),
                    "{name}: {placeholder} is left: {}",
                    printed.stdout
                );
            }
        }
    }
}

#[tokio::test]
async fn every_template_is_listed_on_one_line() {
    let listed = policy(&["--list"], None).await;
    assert_eq!(listed.stdout, policy(&[], None).await.stdout);
    let mut listed: Vec<&str> = listed.stdout.lines().map(|line| line.split_once("  ").unwrap().0).collect();
    // Commands of Kafka's own tool are no template.
    listed.retain(|name| !name.starts_with("kafka-"));
    listed.sort_unstable();
    assert_eq!(listed, names());
}

#[tokio::test]
async fn a_missing_value_is_named_with_the_flag_that_gives_it() {
    let check = async |arguments: &[&str], config: Option<&str>, said: &str| {
        let Printed { code, stdout, stderr } = policy(arguments, config).await;
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{arguments:?}: {stderr}");
        assert!(stderr.contains(said), "{arguments:?}: {stderr}");
    };
    check(&["bucket"], None, "the bucket is missing: give --bucket NAME/PREFIX").await;
    check(&["bucket", "--bucket", "b-1"], None, "give --principal ARN").await;
    let enforce = ["bucket-enforce-sse-kms", "--bucket", "b-1", "--principal", COLLECTOR];
    check(&enforce, None, "give --kms-key ARN").await;
    check(&["role-trust", "--principal", COLLECTOR], None, "give --external-id ID").await;
    check(&["kms-key", "--bucket", "b-1", "--principal", COLLECTOR], None, "give --account").await;
    let with_account = ["kms-key", "--bucket", "b-1", "--principal", COLLECTOR, "--account", "111122223333"];
    check(&with_account, None, "give --region REGION").await;
    check(
        &["collector", "--bucket", "b-1", "--kms-key", "alias/x"],
        None,
        "aws kms describe-key --key-id alias/x",
    )
    .await;
    check(&["lambda-destination-invoke"], None, "a function is missing: give --function-arn ARN").await;
    let trust = ["lambda-destination-trust", "--principal", COLLECTOR];
    check(&trust, None, "the external id is missing: give --external-id ID").await;
    check(&["lambda-destination-trust", "--external-id", "web"], None, "give --principal ARN").await;
    let name_alone = ["lambda-destination-invoke", "--function-arn", "on-track"];
    check(&name_alone, None, "expected the ARN of a function").await;
    check(&["--external-ids"], None, "give --config FILE").await;
    check(&["collector", "--config", "none.toml"], None, "none.toml").await;
    check(&["collector"], Some("[s3]\nbucket = 'b-1'\n"), "source").await;
    check(&["nothing"], None, "possible values").await;
    let two = two_places();
    check(&["lifecycle"], Some(&two), "select one with --bucket NAME (events-raw, other-raw)").await;
    let ids = ["role-trust", "--principal", COLLECTOR, "--external-id", "web", "--external-id", "ios"];
    check(&ids, None, "--external-id ID, or print role-trust-many (web, ios)").await;
    let cn = ["reader", "--bucket", "b-1", "--kms-key", KEY, "--region", "cn-north-1"];
    check(&cn, None, "is for one partition").await;
    let none = "[s3]\nbucket = 'b-1'\nencryption = 'none'\n[[source]]\nid = 'web'\nwrite_keys = ['k']\n";
    let enforce = ["bucket-enforce-sse-s3", "--principal", COLLECTOR];
    check(&enforce, Some(none), "a source that requests SSE-S3 is missing").await;
}

fn statement<'a>(policy: &'a Value, sid: &str) -> Option<&'a Value> {
    policy["Statement"].as_array().unwrap().iter().find(|statement| statement["Sid"] == sid)
}

fn sids(policy: &Value) -> Vec<&str> {
    policy["Statement"]
        .as_array()
        .unwrap()
        .iter()
        .map(|statement| statement["Sid"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn unused_rights_are_left_out() {
    let plain = policy(&["collector", "--bucket", "events-raw/logs"], None).await.json();
    assert_eq!(sids(&plain), ["ForebayPuts", "ForebayLooks", "ForebayChecksBucket", "ForebayRemovesChecks"]);
    let two = two_places();
    let collector = policy(&["collector"], Some(&two)).await.json();
    assert_eq!(
        sids(&collector),
        ["ForebayPuts", "ForebayLooks", "ForebayChecksBucket", "ForebayRemovesChecks", "ForebayAssumesRole"]
    );
    assert_eq!(
        statement(&collector, "ForebayPuts").unwrap()["Resource"],
        "arn:aws:s3:::events-raw/logs/segment-logs/*",
        "a place written with a role belongs to the role's policy"
    );
    let role = policy(&["role"], Some(&two)).await.json();
    assert_eq!(statement(&role, "ForebayPuts").unwrap()["Resource"], "arn:aws:s3:::other-raw/segment-logs/*");
    assert_eq!(statement(&role, "ForebayEncrypts").unwrap()["Resource"], KEY);
    assert_eq!(statement(&role, "ForebayAssumesRole"), None);
}

#[tokio::test]
async fn several_places_become_lists_and_a_flag_selects_one() {
    let several = "[s3]\nbucket = 'events-raw/logs'\n[[source]]\nid = 'web'\nwrite_keys = ['k']\n[[source]]\nid = 'ios'\n\
                   write_keys = ['l']\nbucket = 'events-raw/apps'\n[[source]]\nid = 'tv'\nwrite_keys = ['m']\nbucket = 'tv-raw'\n";
    let collector = policy(&["collector"], Some(several)).await.json();
    assert_eq!(
        statement(&collector, "ForebayPuts").unwrap()["Resource"],
        json!([
            "arn:aws:s3:::events-raw/logs/segment-logs/*",
            "arn:aws:s3:::events-raw/apps/segment-logs/*",
            "arn:aws:s3:::tv-raw/segment-logs/*"
        ])
    );
    assert_eq!(
        statement(&collector, "ForebayChecksBucket").unwrap()["Resource"],
        json!(["arn:aws:s3:::events-raw", "arn:aws:s3:::tv-raw"])
    );
    let bucket =
        policy(&["bucket", "--bucket", "events-raw", "--principal", COLLECTOR], Some(several)).await.json();
    let both =
        json!(["arn:aws:s3:::events-raw/logs/segment-logs/*", "arn:aws:s3:::events-raw/apps/segment-logs/*"]);
    assert_eq!(statement(&bucket, "ForebayPuts").unwrap()["Resource"], both);
    let lifecycle = policy(&["lifecycle", "--bucket", "events-raw"], Some(several)).await.json();
    let rules = lifecycle["Rules"].as_array().unwrap();
    let ids: Vec<_> = rules.iter().map(|rule| rule["ID"].as_str().unwrap()).collect();
    assert_eq!(ids.iter().filter(|id| id.starts_with("ExpireChecks")).count(), 2, "{ids:?}");
    let other =
        policy(&["bucket", "--bucket", "elsewhere/x", "--principal", COLLECTOR], Some(several)).await.json();
    let resource = &statement(&other, "ForebayPuts").unwrap()["Resource"];
    assert_eq!(*resource, "arn:aws:s3:::elsewhere/x/segment-logs/*", "a bucket outside the configuration");
}

#[tokio::test]
async fn a_role_is_not_granted_the_prefix_of_another_role() {
    let config = "[[source]]\nid = 'web'\nwrite_keys = ['k']\nbucket = 'events-raw/web'\n\
                  role_arn = 'arn:aws:iam::111122223333:role/a'\n[[source]]\nid = 'ios'\nwrite_keys = ['l']\n\
                  bucket = 'events-raw/ios'\nrole_arn = 'arn:aws:iam::111122223333:role/b'\n";
    let bucket = policy(&["bucket"], Some(config)).await.json();
    assert_eq!(sids(&bucket), ["ForebayPuts", "ForebayPuts2"]);
    for (sid, role, prefix) in [("ForebayPuts", "a", "web"), ("ForebayPuts2", "b", "ios")] {
        let statement = statement(&bucket, sid).unwrap();
        assert_eq!(statement["Principal"]["AWS"], format!("arn:aws:iam::111122223333:role/{role}"));
        assert_eq!(statement["Resource"], format!("arn:aws:s3:::events-raw/{prefix}/segment-logs/*"));
    }
    let trust = policy(&["role-trust", "--principal", COLLECTOR], Some(config)).await;
    assert!(
        trust.stderr.contains("select one with --role ARN (arn:aws:iam::111122223333:role/a, arn:"),
        "{trust:?}"
    );
    let picked = ["role-trust", "--principal", COLLECTOR, "--role", "arn:aws:iam::111122223333:role/b"];
    let trust = policy(&picked, Some(config)).await.json();
    let condition = &statement(&trust, "CollectorAssumes").unwrap()["Condition"];
    assert_eq!(condition["StringEquals"]["sts:ExternalId"], "ios", "the source id by default");
}

/// A bucket with three prefixes: one with a key, one with this and another key, and one with SSE-S3.
fn three_prefixes(rest: &str) -> String {
    let source = |id: &str, prefix: &str, encryption: &str| {
        format!(
            "[[source]]\nid = '{id}'\nwrite_keys = ['k-{id}']\nbucket = 'events-raw/{prefix}'\nencryption = '{encryption}'\n"
        )
    };
    let (key, other) = (format!("kms:{KEY}"), format!("kms:{}", KEY.replace("1234abcd", "99999999")));
    [source("a1", "a", &key), source("b1", "b", &key), source("b2", "b", &other), source("c1", "c", "sse-s3")]
        .concat()
        + rest
}

#[tokio::test]
async fn encryption_is_enforced_per_prefix_and_no_used_key_is_refused() {
    let enforce =
        async |name: &str, config: &str| policy(&[name, "--principal", COLLECTOR], Some(config)).await;
    let area = |prefix: &str| format!("arn:aws:s3:::events-raw/{prefix}/segment-logs/*");
    let kms = enforce("bucket-enforce-sse-kms", &three_prefixes("")).await.json();
    assert_eq!(statement(&kms, "ForebayPuts").unwrap()["Resource"], json!([area("a"), area("b"), area("c")]));
    assert_eq!(statement(&kms, "DenyOtherEncryption").unwrap()["Resource"], json!([area("a"), area("b")]));
    let header = "s3:x-amz-server-side-encryption-aws-kms-key-id";
    let first = statement(&kms, "DenyOtherKey").unwrap();
    let spared = |statement: &Value| statement["Condition"]["StringNotEquals"][header].clone();
    assert_eq!((&first["Resource"], spared(first)), (&json!(area("a")), json!(KEY)));
    let second = statement(&kms, "DenyOtherKey2").unwrap();
    let both = json!([KEY, KEY.replace("1234abcd", "99999999")]);
    assert_eq!((&second["Resource"], spared(second)), (&json!(area("b")), both));
    let sse_s3 = enforce("bucket-enforce-sse-s3", &three_prefixes("")).await.json();
    assert_eq!(statement(&sse_s3, "DenyMissingEncryption").unwrap()["Resource"], area("c"));
    let mixed =
        "[[source]]\nid = 'c2'\nwrite_keys = ['k-c2']\nbucket = 'events-raw/c'\nencryption = 'none'\n";
    let mixed = enforce("bucket-enforce-sse-s3", &three_prefixes(mixed)).await;
    assert!(
        mixed.stderr.contains("different encryptions in events-raw/c, so none can be enforced"),
        "{mixed:?}"
    );
}

#[tokio::test]
async fn other_partitions_have_their_own_arns_and_hosts() {
    let key = "arn:aws-cn:kms:cn-north-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
    let cn = policy(&["collector", "--bucket", "b-1", "--kms-key", key], None).await;
    let encrypts = statement(&cn.json(), "ForebayEncrypts").unwrap().clone();
    assert_eq!(encrypts["Condition"]["StringEquals"]["kms:ViaService"], "s3.cn-north-1.amazonaws.com.cn");
    assert!(!cn.stdout.contains("arn:aws:"), "{}", cn.stdout);
    let gov = policy(&["reader", "--bucket", "b-1", "--region", "us-gov-west-1"], None).await;
    assert!(gov.stdout.contains("arn:aws-us-gov:s3:::b-1/segment-logs/*"), "{}", gov.stdout);
}

#[tokio::test]
async fn wildcards_and_variables_in_a_prefix_are_literal() {
    let printed = policy(&["collector", "--bucket", "b-1/a*b?c$d/BUCKET ü\""], None).await;
    let printed = printed.json();
    let resource = &statement(&printed, "ForebayPuts").unwrap()["Resource"];
    assert_eq!(*resource, "arn:aws:s3:::b-1/a${*}b${?}c${$}d/BUCKET ü\"/segment-logs/*");
    let lifecycle = policy(&["lifecycle", "--bucket", "b-1/a*b"], None).await.json();
    assert_eq!(
        lifecycle["Rules"][0]["Filter"]["Prefix"], "a*b/segment-logs/",
        "lifecycle rules have no wildcards"
    );
}

#[tokio::test]
async fn a_key_is_always_printed_as_its_arn() {
    let config = |key: &str| {
        format!(
            "[s3]\nbucket = 'b-1'\nregion = 'eu-west-1'\nencryption = 'kms:{key}'\n[[source]]\nid = 'web'\nwrite_keys = ['k']\n"
        )
    };
    let by_id = config("1234abcd-12ab-34cd-56ef-1234567890ab");
    let collector = policy(&["collector", "--account", "111122223333"], Some(&by_id)).await.json();
    assert_eq!(statement(&collector, "ForebayEncrypts").unwrap()["Resource"], KEY);
    let collector = policy(&["collector", "--kms-key", KEY], Some(&config("alias/events"))).await.json();
    assert_eq!(statement(&collector, "ForebayEncrypts").unwrap()["Resource"], KEY);
}

#[test]
fn exactly_the_actions_that_are_sent_are_granted() {
    let granted: Vec<String> = granted::actions().into_iter().collect();
    // S3 decrypts with the rights of the collector only for rejected rows, which come back from their bucket.
    let known = [
        "kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey", "s3:DeleteObject", "s3:GetObject",
        "s3:ListBucket", "s3:PutObject", "s3:PutObjectAcl", "s3:PutObjectTagging", "sts:AssumeRole",
    ];
    assert_eq!(granted, known);
    assert!(granted::NEED_NO_GRANT.iter().all(|action| !known.contains(action)));
    assert_eq!(granted::of_destinations().into_iter().collect::<Vec<_>>(), ["lambda:InvokeFunction"]);
    assert_eq!(
        granted::of_imports().into_iter().collect::<Vec<_>>(),
        [
            "kms:Decrypt",
            "kms:GenerateDataKey",
            "s3:DeleteObject",
            "s3:GetBucketNotification",
            "s3:GetObject",
            "s3:GetObjectTagging",
            "s3:GetObjectVersion",
            "s3:GetObjectVersionTagging",
            "s3:ListBucket",
            "s3:PutBucketNotification",
            "s3:PutObject",
            "s3:PutObjectTagging",
            "s3:PutObjectVersionTagging",
            "sqs:ChangeMessageVisibility",
            "sqs:DeleteMessage",
            "sqs:GetQueueAttributes",
            "sqs:ReceiveMessage",
        ]
    );
}

/// The two files for filling in by hand differ only in that statement, and in what the collector does as itself.
#[test]
fn a_role_has_the_collectors_rights_except_assuming_roles() {
    let read = |name: &str| -> Value {
        serde_json::from_str(&std::fs::read_to_string(project(&format!("policies/{name}.json"))).unwrap())
            .unwrap()
    };
    let (mut collector, role) = (read("collector"), read("role"));
    collector["Statement"].as_array_mut().unwrap().retain(|statement| {
        let own = ["ForebayAssumesRole", "ForebayKeepsRejects", "ForebayEncryptsRejects"];
        !own.iter().any(|sid| statement["Sid"] == *sid)
    });
    assert_eq!(collector, role);
}

#[tokio::test]
async fn printing_a_policy_needs_no_write_keys() {
    let config = "[s3]\nbucket = \"b-1/p\"\n[[source]]\nid = \"web\"\n\
                  write_keys = [\"env:NOT_SET_HERE\", \"file:/no/such/file\"]\n";
    let printed = policy(&["collector"], Some(config)).await;
    assert_eq!(printed.json()["Statement"][0]["Resource"], "arn:aws:s3:::b-1/p/segment-logs/*");
}

#[tokio::test]
async fn a_stack_that_would_refuse_every_put_is_not_printed() {
    let web = "[[source]]\nid = 'web'\nwrite_keys = ['k']\n";
    for (setting, said) in
        [("encryption = 'none'", "requests no encryption"), ("acl = 'bucket-owner-full-control'", "s3.acl")]
    {
        let config = format!("[s3]\nbucket = 'b-1'\n{setting}\n{web}");
        let printed =
            policy(&["cloudformation", "--principal", COLLECTOR, "--external-id", "web"], Some(&config))
                .await;
        assert_eq!((printed.code, printed.stdout.as_str()), (Some(2), ""), "{printed:?}");
        assert!(printed.stderr.contains(said), "{printed:?}");
    }
}

#[tokio::test]
async fn a_function_gets_only_the_rights_that_it_uses() {
    let sids_with = async |flags: &[&str]| {
        let printed = policy(&[&["csv-lambda-execution"], FUNCTION.as_slice(), flags].concat(), None).await;
        sids(&printed.json()).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let always = ["CsvLogs", "CsvReads", "CsvFindsMissing"];
    let with = |more: &[&'static str]| [always.as_slice(), more].concat();
    assert_eq!(sids_with(&[]).await, always);
    assert_eq!(sids_with(&["--kms-key", KEY]).await, with(&["CsvDecrypts"]), "it writes nothing to S3");
    let journal = ["--journal", "csv-state"];
    assert_eq!(sids_with(&journal).await, with(&["CsvJournal", "CsvFindsNoRecord"]));
    assert_eq!(sids_with(&["--output", "events-raw"]).await, with(&["CsvOutput"]));
    let rejects = ["--rejects", "events-raw", "--kms-key", KEY];
    assert_eq!(sids_with(&rejects).await, with(&["CsvRejects", "CsvDecrypts", "CsvEncrypts"]));
    assert_eq!(sids_with(&["--queue", QUEUE]).await, with(&["CsvQueue"]));
    assert_eq!(sids_with(&["--failures", QUEUE]).await, with(&["CsvFailures"]));
    assert_eq!(sids_with(&["--self-invoke"]).await, with(&["CsvContinues"]));
}

#[tokio::test]
async fn the_places_of_a_function_are_filled_in() {
    let places = ["--journal", "csv-state", "--rejects", "csv-rejects/a*b", "--kms-key", KEY];
    let arguments = [&["csv-lambda-execution"], FUNCTION.as_slice(), &places].concat();
    // The configuration of a collector says nothing about the function.
    let printed = policy(&arguments, Some("not a configuration")).await.json();
    let resource = |sid: &str| &statement(&printed, sid).unwrap()["Resource"];
    assert_eq!(
        *resource("CsvLogs"),
        "arn:aws:logs:eu-west-1:111122223333:log-group:/aws/lambda/forebay-csv:*"
    );
    assert_eq!(*resource("CsvReads"), "arn:aws:s3:::csv-in/exports/*");
    assert_eq!(*resource("CsvJournal"), "arn:aws:s3:::csv-state/*", "without a prefix");
    assert_eq!(*resource("CsvRejects"), "arn:aws:s3:::csv-rejects/a${*}b/*");
    let context = |sid: &str| {
        statement(&printed, sid).unwrap()["Condition"]["StringLike"]["kms:EncryptionContext:aws:s3:arn"]
            .clone()
    };
    assert_eq!(
        context("CsvEncrypts"),
        json!([
            "arn:aws:s3:::csv-state",
            "arn:aws:s3:::csv-state/*",
            "arn:aws:s3:::csv-rejects",
            "arn:aws:s3:::csv-rejects/a${*}b/*"
        ]),
        "there is no output"
    );
}

/// In China the name of a service that is a principal is the same, but hosts end in `.cn`.
#[tokio::test]
async fn the_policies_of_a_function_in_china() {
    let key = "arn:aws-cn:kms:cn-north-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
    let flags =
        ["--bucket", "csv-in", "--function", "f", "--region", "cn-north-1", "--account", "111122223333"];
    let resource = policy(&[&["csv-lambda-resource"], flags.as_slice()].concat(), None).await.json();
    let invokes = statement(&resource, "BucketInvokes").unwrap();
    assert_eq!(invokes["Principal"]["Service"], "s3.amazonaws.com");
    assert_eq!(invokes["Resource"], "arn:aws-cn:lambda:cn-north-1:111122223333:function:f");
    assert_eq!(invokes["Condition"]["ArnLike"]["aws:SourceArn"], "arn:aws-cn:s3:::csv-in");
    let execution = [&["csv-lambda-execution", "--kms-key", key], flags.as_slice()].concat();
    let execution = policy(&execution, None).await.json();
    let decrypts = statement(&execution, "CsvDecrypts").unwrap();
    assert_eq!(decrypts["Condition"]["StringEquals"]["kms:ViaService"], "s3.cn-north-1.amazonaws.com.cn");
}

#[tokio::test]
async fn a_missing_value_of_a_function_is_named() {
    let check = async |without: &str, said: &str| {
        let at = FUNCTION.iter().position(|flag| *flag == without).unwrap();
        let flags: Vec<&str> = FUNCTION
            .iter()
            .enumerate()
            .filter(|(n, _)| *n != at && *n != at + 1)
            .map(|(_, flag)| *flag)
            .collect();
        for name in ["csv-lambda-execution", "csv-lambda-resource"] {
            let printed = policy(&[&[name], flags.as_slice()].concat(), None).await;
            assert_eq!((printed.code, printed.stdout.as_str()), (Some(2), ""), "{printed:?}");
            assert!(printed.stderr.contains(said), "{printed:?}");
        }
    };
    check("--bucket", "the bucket is missing: give --bucket NAME/PREFIX").await;
    check("--function", "give --function NAME").await;
    check("--region", "give --region REGION").await;
    check("--account", "the account is missing: give --account").await;
    let named = policy(&["csv-lambda-resource", "--function", "arn:aws:lambda:x"], None).await;
    assert!(named.stderr.contains("expected a function's name alone"), "{named:?}");
}

/// Two sources, and three destinations: one with an external id and a function for each type, one that sends
/// the ids of the sources, and one without a role. The last has a secret that is not set.
fn three_destinations() -> String {
    let destination = |name: &str, rest: &str| format!("[[destination]]\nname = '{name}'\n{rest}\n");
    [
        "[s3]\nbucket = 'events-raw'\n[[source]]\nid = 'web'\nwrite_keys = ['k']\n[[source]]\nid = 'ios'\n\
         write_keys = ['l']\nbucket = 'other-raw'\n"
            .to_owned(),
        format!("role_arn = '{WRITER}'\n"),
        destination(
            "crm",
            &format!(
                "type = 'lambda'\nfunctions = {{ track = '{HANDLER}', identify = '{HANDLER}:live' }}\nfunction = '{HANDLER}'\n\
                 role_arn = '{INVOKER}'\nexternal_id = 'crm-1'"
            ),
        ),
        destination("mail", &format!("type = 'lambda'\nfunction = '{HANDLER}:7'\nrole_arn = '{INVOKER}-2'")),
        destination("own", &format!("type = 'lambda'\nfunction = '{HANDLER}-own'\nsources = ['ios']")),
        destination("laptop", "type = 'http'\nurl = 'env:NOT_SET_HERE'"),
    ]
    .concat()
}

#[tokio::test]
async fn a_role_invokes_exactly_the_functions_of_its_destinations() {
    let config = three_destinations();
    let invoke = async |flags: &[&str]| {
        let printed = policy(&[&["lambda-destination-invoke"], flags].concat(), Some(&config)).await;
        statement(&printed.json(), "ForebayInvokes").unwrap()["Resource"].clone()
    };
    assert_eq!(
        invoke(&["--destination", "crm"]).await,
        json!([format!("{HANDLER}:live"), HANDLER]),
        "each once, with its alias"
    );
    assert_eq!(invoke(&["--role", &format!("{INVOKER}-2")]).await, format!("{HANDLER}:7"));
    assert_eq!(invoke(&["--destination", "own"]).await, format!("{HANDLER}-own"));
    assert_eq!(
        invoke(&["--destination", "own", "--function-arn", HANDLER]).await,
        HANDLER,
        "a flag overrides"
    );
    let check = async |flags: &[&str], said: &str| {
        let printed = policy(flags, Some(&config)).await;
        assert_eq!((printed.code, printed.stdout.as_str()), (Some(2), ""), "{printed:?}");
        assert!(printed.stderr.contains(said), "{printed:?}");
    };
    let roles = format!("is for one role: select one with --destination NAME ({INVOKER}, {INVOKER}-2, none)");
    check(&["lambda-destination-invoke"], &roles).await;
    check(
        &["lambda-destination-invoke", "--destination", "laptop"],
        "no such destination, but crm, mail, own",
    )
    .await;
}

#[tokio::test]
async fn a_trust_policy_has_the_external_ids_in_force() {
    let config = three_destinations();
    let ids = async |template: &str, destination: &str| {
        let flags = [template, "--principal", COLLECTOR, "--destination", destination];
        let printed = policy(&flags, Some(&config)).await.json();
        let statement = statement(&printed, "CollectorAssumes").unwrap().clone();
        assert_eq!(statement["Principal"]["AWS"], COLLECTOR);
        statement["Condition"]["StringEquals"]["sts:ExternalId"].clone()
    };
    assert_eq!(ids("lambda-destination-trust", "crm").await, "crm-1");
    assert_eq!(ids("lambda-destination-trust-many", "mail").await, json!(["web", "ios"]));
    assert_eq!(
        ids("lambda-destination-trust", "own").await,
        "ios",
        "before it has a role, of its only source"
    );
    let two = ["lambda-destination-trust", "--principal", COLLECTOR, "--destination", "mail"];
    let printed = policy(&two, Some(&config)).await;
    assert!(printed.stderr.contains("or print lambda-destination-trust-many (web, ios)"), "{printed:?}");
}

#[tokio::test]
async fn the_collector_may_assume_the_roles_of_destinations() {
    let config = three_destinations();
    let assumes = async |flags: &[&str]| {
        let printed = policy(&[&["collector"], flags].concat(), Some(&config)).await.json();
        statement(&printed, "ForebayAssumesRole").map(|statement| statement["Resource"].clone())
    };
    assert_eq!(assumes(&[]).await, Some(json!([WRITER, INVOKER, format!("{INVOKER}-2")])));
    assert_eq!(assumes(&["--destination", "crm"]).await, Some(json!([WRITER, INVOKER])));
    assert_eq!(assumes(&["--role", INVOKER]).await, Some(json!([WRITER, INVOKER])));
    assert_eq!(assumes(&["--role", WRITER]).await, Some(json!(WRITER)));
    assert_eq!(assumes(&["--bucket", "events-raw"]).await, None, "nothing but that bucket");
}

#[tokio::test]
async fn the_external_id_of_each_source_is_listed() {
    let config = three_destinations();
    let printed = policy(&["--external-ids"], Some(&config)).await;
    let rows: Vec<Vec<&str>> = printed
        .stdout
        .lines()
        .skip(1)
        .map(|line| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect())
        .collect();
    let mail = format!("{INVOKER}-2");
    let expected: [[&str; 4]; 5] = [
        ["the bucket", "ios", "ios", WRITER],
        ["crm", "web", "crm-1", INVOKER],
        ["crm", "ios", "crm-1", INVOKER],
        ["mail", "web", "web", &mail],
        ["mail", "ios", "ios", &mail],
    ];
    assert_eq!(rows, expected, "{printed:?}");
    let mail_alone =
        policy(&["--external-ids", "--destination", "mail", "--json"], Some(&config)).await.json();
    let row = |source: &str| json!({ "destination": "mail", "source": source, "external_id": source, "role_arn": mail });
    assert_eq!(mail_alone, json!([row("web"), row("ios")]));
    let listed = config.replace("external_id = 'crm-1'", "external_id = { ios = 'app-1' }");
    let crm = policy(&["--external-ids", "--destination", "crm", "--json"], Some(&listed)).await.json();
    let ids: Vec<(&str, &str)> = crm
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["source"].as_str().unwrap(), row["external_id"].as_str().unwrap()))
        .collect();
    assert_eq!(ids, [("web", "web"), ("ios", "app-1")]);
    let trust = policy(
        &["lambda-destination-trust-many", "--destination", "crm", "--principal", COLLECTOR],
        Some(&listed),
    )
    .await;
    assert!(trust.stdout.contains("\"web\"") && trust.stdout.contains("\"app-1\""), "{trust:?}");
    let own = policy(&["--external-ids", "--destination", "own"], Some(&config)).await;
    assert_eq!(own.stdout, "no role is assumed, so no external id is sent\n");
    let unknown = policy(&["--external-ids", "--destination", "x"], Some(&config)).await;
    assert!(unknown.stderr.contains("no such destination, but crm, mail, own, laptop"), "{unknown:?}");
}
