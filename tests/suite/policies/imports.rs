//! The policies of imports, as `forebay policy` prints them.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::printed::{Printed, policy};

const KEY: &str = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
const COLLECTOR: &str = "arn:aws:iam::444455556666:role/forebay";
const READER: &str = "arn:aws:iam::111122223333:role/reader";

/// Three imports, none with a converter yet: one of a folder with a role, one of a bucket, and one whose name
/// stands for its external id.
fn three_imports() -> String {
    let import = |name: &str, rest: &str| {
        format!("[[import]]\nname = '{name}'\ninsert_id_window = '0 s'\nconverter = 'none.json'\n{rest}\n")
    };
    [
        "[s3]\nbucket = 'events-raw'\n[[source]]\nid = 'web'\nwrite_keys = ['k']\n".to_owned(),
        import(
            "orders",
            &format!("bucket = 'lake'\nprefix = 'or*ders/'\nrole_arn = '{READER}'\nexternal_id = 'id-1'"),
        ),
        import("all", "bucket = 'exports'"),
        import("users", &format!("bucket = 'lake'\nprefix = 'users/'\nrole_arn = '{READER}-2'")),
    ]
    .concat()
}

async fn printed(arguments: &[&str]) -> Printed {
    policy(arguments, Some(&three_imports())).await
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
async fn an_import_is_granted_its_bucket_and_prefix_before_it_has_a_converter() {
    let part = printed(&["import-read-prefix", "--import", "orders"]).await;
    assert_eq!(part.stderr, "", "{part:?}");
    let part = part.json();
    assert_eq!(sids(&part), ["ImportLists", "ImportReads"], "without a key");
    assert_eq!(statement(&part, "ImportLists")["Resource"], "arn:aws:s3:::lake");
    let prefix = &statement(&part, "ImportLists")["Condition"]["StringLike"]["s3:prefix"];
    assert_eq!(*prefix, "or${*}ders/*", "what a person wrote is no wildcard");
    assert_eq!(statement(&part, "ImportReads")["Resource"], "arn:aws:s3:::lake/or${*}ders/*");
    let with_key = printed(&["import-read", "--import", "all", "--kms-key", KEY]).await.json();
    assert_eq!(sids(&with_key), ["ImportLists", "ImportReads", "ImportDecrypts"]);
    let decrypts = statement(&with_key, "ImportDecrypts");
    assert_eq!(decrypts["Condition"]["StringEquals"]["kms:ViaService"], "s3.eu-west-1.amazonaws.com");
    assert_eq!(
        decrypts["Condition"]["StringLike"]["kms:EncryptionContext:aws:s3:arn"],
        json!(["arn:aws:s3:::exports", "arn:aws:s3:::exports/*"])
    );
    let by_role = printed(&["import-read-prefix", "--role", &format!("{READER}-2")]).await.json();
    assert_eq!(statement(&by_role, "ImportReads")["Resource"], "arn:aws:s3:::lake/users/*");
    let by_bucket = printed(&["import-read", "--bucket", "exports"]).await.json();
    assert_eq!(statement(&by_bucket, "ImportReads")["Resource"], "arn:aws:s3:::exports/*");
    let elsewhere =
        printed(&["import-read-prefix", "--import", "orders", "--bucket", "other/in"]).await.json();
    assert_eq!(statement(&elsewhere, "ImportReads")["Resource"], "arn:aws:s3:::other/in/*");
    // Flags alone.
    let flags = ["import-read-prefix", "--bucket", "lake/in", "--region", "cn-north-1"];
    let flags = policy(&flags, None).await.json();
    assert_eq!(statement(&flags, "ImportReads")["Resource"], "arn:aws-cn:s3:::lake/in/*");
}

#[tokio::test]
async fn a_trust_policy_has_the_external_id_or_a_new_one() {
    let id = |printed: &Printed| -> String {
        let policy: Value = printed.json();
        let trust = statement(&policy, "CollectorAssumes");
        assert_eq!(trust["Principal"]["AWS"], COLLECTOR);
        trust["Condition"]["StringEquals"]["sts:ExternalId"].as_str().unwrap().to_owned()
    };
    let trust =
        async |more: &[&str]| printed(&[&["import-trust", "--principal", COLLECTOR], more].concat()).await;
    let set = trust(&["--import", "orders"]).await;
    assert_eq!((id(&set).as_str(), set.stderr.as_str()), ("id-1", ""));
    let given = trust(&["--import", "users", "--external-id", "users"]).await;
    assert_eq!((id(&given).as_str(), given.stderr.as_str()), ("users", ""));
    let mut made = BTreeSet::new();
    for import in ["users", "all", "users"] {
        let new = trust(&["--import", import]).await;
        let id = id(&new);
        assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
        // What is not written to a terminal is JSON, with quotes of its own.
        let said = ["write external_id = ", id.as_str(), " into its [[import]], beside role_arn"];
        assert!(said.iter().all(|part| new.stderr.contains(part)), "{new:?}");
        assert!(made.insert(id), "the same again");
    }
}

#[tokio::test]
async fn the_queue_of_an_import_follows_from_its_url_or_a_flag() {
    let config = three_imports().replace(
        "bucket = 'exports'",
        "bucket = 'exports'\ndiscovery = 'sqs'\nqueue_url = 'https://sqs.cn-north-1.amazonaws.com.cn/111122223333/q'",
    );
    let printed = async |arguments: &[&str]| policy(arguments, Some(&config)).await.json();
    let reads = printed(&["import-sqs", "--import", "all"]).await;
    assert_eq!(sids(&reads), ["ImportReceives"], "without a key");
    assert_eq!(statement(&reads, "ImportReceives")["Resource"], "arn:aws-cn:sqs:cn-north-1:111122223333:q");
    let notify = printed(&["import-notify", "--import", "all"]).await;
    assert_eq!(sids(&notify), ["ImportSetsUpNotifications"], "the URL has the ARN");
    assert_eq!(statement(&notify, "ImportSetsUpNotifications")["Resource"], "arn:aws-cn:s3:::exports");
    let sends = printed(&["import-queue", "--import", "all", "--account", "444455556666"]).await;
    let of_bucket = &statement(&sends, "BucketSends")["Condition"]["ArnLike"]["aws:SourceArn"];
    assert_eq!(of_bucket, "arn:aws-cn:s3:::exports");
    let queue = "arn:aws:sqs:eu-west-1:111122223333:other";
    let flag = printed(&["import-sqs", "--import", "all", "--queue", queue]).await;
    assert_eq!(statement(&flag, "ImportReceives")["Resource"], queue);
    let notify = printed(&["import-notify", "--import", "all", "--queue", queue]).await;
    assert_eq!(statement(&notify, "ImportAsksForQueueArn")["Resource"], queue);
    let sends = ["import-queue", "--import", "all", "--queue", queue, "--account", "444455556666"];
    let sends = printed(&sends).await;
    let statement = statement(&sends, "BucketSends");
    assert_eq!(statement["Resource"], queue);
    assert_eq!(statement["Condition"]["ArnLike"]["aws:SourceArn"], "arn:aws:s3:::exports");
    assert_eq!(statement["Condition"]["StringEquals"]["aws:SourceAccount"], "444455556666");
}

#[tokio::test]
async fn a_bucket_policy_names_who_reads() {
    let of_role = printed(&["import-bucket", "--import", "orders"]).await.json();
    assert_eq!(sids(&of_role), ["ImportListsPrefix", "ImportReads"]);
    assert_eq!(statement(&of_role, "ImportReads")["Principal"]["AWS"], READER);
    let whole = printed(&["import-bucket", "--import", "all", "--principal", COLLECTOR]).await.json();
    assert_eq!(sids(&whole), ["ImportLists", "ImportReads"]);
    assert_eq!(statement(&whole, "ImportReads")["Principal"]["AWS"], COLLECTOR);
    assert_eq!(statement(&whole, "ImportReads")["Resource"], "arn:aws:s3:::exports/*");
}

#[tokio::test]
async fn the_collector_may_assume_the_roles_of_imports() {
    let assumes = async |flags: &[&str]| {
        let policy = printed(&[&["collector"], flags].concat()).await.json();
        let found = policy["Statement"].as_array().unwrap().iter();
        found.clone().find(|one| one["Sid"] == "ForebayAssumesRole").map(|one| one["Resource"].clone())
    };
    assert_eq!(assumes(&[]).await, Some(json!([READER, format!("{READER}-2")])));
    assert_eq!(assumes(&["--role", READER]).await, Some(json!(READER)));
    assert_eq!(assumes(&["--bucket", "events-raw"]).await, None, "nothing but that bucket");
}

/// Rejected rows are encrypted as `[s3]` says, so its key is that of their statement, too.
#[tokio::test]
async fn the_key_of_rejected_rows_is_that_of_the_calls_or_the_buckets_own() {
    let other = "arn:aws:kms:eu-west-1:111122223333:key/99999999-12ab-34cd-56ef-1234567890ab";
    let keys = async |s3: &str, flags: &[&str]| {
        let config =
            three_imports().replace("bucket = 'exports'", "bucket = 'exports'\nrejects = 's3://bad/rows/'");
        let config = config.replace("[s3]\n", &format!("[s3]\n{s3}\n"));
        let printed = policy(&[&["collector"], flags].concat(), Some(&config)).await.json();
        let all = printed["Statement"].as_array().unwrap().clone();
        let of_rejects = all.iter().filter(|statement| statement["Sid"] == "ForebayEncryptsRejects");
        of_rejects.map(|statement| statement["Resource"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let kms = |key: &str| format!("encryption = 'kms:{key}'");
    assert_eq!(keys("", &[]).await, [""; 0], "SSE-S3 needs no key");
    assert_eq!(keys("", &["--kms-key", KEY]).await, [""; 0]);
    assert_eq!(keys("encryption = 'none'", &[]).await, [""; 0], "not known");
    assert_eq!(keys("encryption = 'none'", &["--kms-key", KEY]).await, [KEY]);
    assert_eq!(keys(&kms(KEY), &[]).await, [KEY]);
    assert_eq!(keys(&kms(KEY), &["--kms-key", other]).await, [other]);
    assert_eq!(keys(&kms("alias/calls"), &["--kms-key", KEY]).await, [KEY]);
}

#[tokio::test]
async fn what_a_policy_of_an_import_lacks_is_named() {
    let check = async |arguments: &[&str], said: &str| {
        let printed = printed(arguments).await;
        assert_eq!((printed.code, printed.stdout.as_str()), (Some(2), ""), "{printed:?}");
        assert!(printed.stderr.contains(said), "{printed:?}");
    };
    check(&["import-read"], "is for one import: select one with --import NAME (orders, all, users)").await;
    check(
        &["import-read", "--import", "x"],
        "--import x: the configuration has no such import, but orders, all, users",
    )
    .await;
    check(&["import-read-prefix", "--import", "all"], "the import has no prefix: print import-read").await;
    check(&["import-bucket", "--import", "all"], "give --principal ARN").await;
    check(&["import-trust", "--import", "orders"], "give --principal ARN").await;
    let two = ["import-trust", "--import", "orders", "--external-id", "id-1", "--external-id", "id-2"];
    check(&two, "an import has one external id").await;
    check(&["import-sqs", "--import", "all"], "the queue is missing: give --queue ARN").await;
    let queue = ["import-queue", "--import", "all", "--queue", "arn:aws:sqs:eu-west-1:111122223333:q"];
    check(&queue, "the account of the bucket is missing: give --account").await;
    let without = policy(&["import-read"], None).await;
    assert!(without.stderr.contains("the bucket is missing: give --bucket NAME/PREFIX"), "{without:?}");
}

#[tokio::test]
async fn a_trust_policy_that_is_too_long_is_reported() {
    let principals: Vec<String> = (0..60).map(|n| format!("{COLLECTOR}-{n}")).collect();
    let mut arguments = vec!["import-trust", "--import", "orders"];
    arguments.extend(principals.iter().flat_map(|arn| ["--principal", arn.as_str()]));
    let printed = printed(&arguments).await;
    assert!(
        printed.stderr.contains("AWS accepts at most 2048")
            && printed.stderr.contains("fewer values of --principal"),
        "{printed:?}"
    );
}
