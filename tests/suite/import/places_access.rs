//! What the collector keeps beside the bucket of an import: rejected rows, a shared journal, notifications.
//! The test of the import's access, and the printed statements, against a server that evaluates policies.

use serde_json::{Value, json};

use super::access::{Aws, Tested, nothing, policy_of, with_role};
use super::queue_access::queue;

/// The rights of the collector without those of the places.
fn own() -> Vec<Value> {
    let calls = json!({ "Effect": "Allow", "Action": ["s3:PutObject", "s3:GetObject"], "Resource": "arn:aws:s3:::calls/*" });
    vec![calls]
}

/// A server on which the collector itself may read the files of an import, and the rights for that.
async fn start(import: &str) -> Option<(Aws, Vec<Value>)> {
    let aws = Aws::start(import).await?;
    let reads = aws.site.policy("import-read-prefix", &[]).await["Statement"].as_array().unwrap().clone();
    let may = [own(), reads].concat();
    aws.server.allow("collector", &policy_of(&may)).await;
    Some((aws, may))
}

/// The test with all rights on a bucket, which are taken back: this server asks for them before it looks for
/// the bucket.
async fn allowed_all(aws: &Aws, may: &[Value], bucket: &str) -> Tested {
    let arn = format!("arn:aws:s3:::{bucket}");
    let all = json!({ "Effect": "Allow", "Action": "s3:*", "Resource": [arn, format!("{arn}/*")] });
    aws.server.allow("collector", &policy_of(&[may, &[all]].concat())).await;
    let tested = aws.site.test().await;
    aws.server.allow("collector", &policy_of(may)).await;
    tested
}

async fn grant(aws: &Aws, may: &mut Vec<Value>, statement: Value) -> Tested {
    may.push(statement);
    aws.server.allow("collector", &policy_of(may)).await;
    aws.site.test().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_place_of_rejected_rows_is_tried() {
    let Some((aws, mut may)) = start("rejects = \"s3://bad-rows/orders/\"").await else { return };
    let tested = allowed_all(&aws, &may, "bad-rows").await;
    assert_eq!(tested.code, 2, "{tested:#?}");
    tested.expect("get", "passed", &[]);
    tested.expect("rejects_put", "failed", &["NoSuchBucket", "create the bucket of s3://bad-rows/orders/"]);
    tested.expect("rejects_get", "not_tested", &["nothing can be put"]);

    let bad = aws.server.make_bucket("bad-rows").await;
    let tested = aws.site.test().await;
    assert_eq!(tested.code, 5, "{tested:#?}");
    tested.expect("rejects_put", "failed", &["403", "forebay policy collector"]);
    let statement = tested.paste("rejects_put");
    let printed = aws.site.run(&["policy", "collector"]).await.code(0);
    let printed: Value = serde_json::from_str(&printed.out).unwrap();
    let whole = printed["Statement"].as_array().unwrap();
    assert!(whole.contains(&statement), "{statement:#} {printed:#}");

    let mut puts = statement.clone();
    puts["Action"] = json!("s3:PutObject");
    let tested = grant(&aws, &mut may, puts).await;
    assert_eq!(tested.code, 5, "{tested:#?}");
    tested.expect("rejects_put", "passed", &[]).expect("rejects_get", "failed", &["403"]);
    let statement = tested.paste("rejects_get");
    let tested = grant(&aws, &mut may, statement).await;
    assert_eq!(tested.code, 0, "{tested:#?}");
    tested.expect("rejects_put", "passed", &[]).expect("rejects_get", "passed", &[]);
    // However often it is asked: one object, which no import reads.
    let again = aws.site.test().await;
    assert_eq!(again.code, 0, "{again:#?}");
    let listed = bad.client.list_objects_v2().bucket("bad-rows").send().await.unwrap();
    let keys: Vec<&str> = listed.contents().iter().filter_map(|object| object.key()).collect();
    assert_eq!(keys, ["orders/test-credentials.txt"]);
}

/// With a missing bucket the test ended as if the store could not be reached, and named no bucket.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shared_journal_is_tried_right_by_right() {
    let Some((aws, mut may)) = start("journal = \"s3://state/forebay/\"").await else { return };
    let tested = allowed_all(&aws, &may, "state").await;
    assert_eq!(tested.code, 2, "{tested:#?}");
    let words = ["NoSuchBucket", "create the bucket state, or correct `journal` of import orders"];
    tested.expect("journal_list", "failed", &words);
    tested.expect("journal_put", "not_tested", &[]).expect("journal_get", "not_tested", &[]);

    aws.server.make_bucket("state").await;
    let tested = aws.site.test().await;
    assert_eq!(tested.code, 5, "{tested:#?}");
    let command = "forebay policy import-journal --import orders";
    tested.expect("journal_list", "failed", &["403", command]);
    tested.expect("journal_put", "failed", &["403", command]);
    let (lists, writes) = (tested.paste("journal_list"), tested.paste("journal_put"));
    let tested = grant(&aws, &mut may, lists).await;
    assert_eq!(tested.code, 5, "{tested:#?}");
    tested.expect("journal_list", "passed", &[]);
    let tested = grant(&aws, &mut may, writes).await;
    assert_eq!(tested.code, 0, "{tested:#?}");
    for check in ["journal_list", "journal_put", "journal_get"] {
        tested.expect(check, "passed", &[]);
    }
    assert_eq!(aws.site.test().await.code, 0, "also if its object is there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rules_of_the_bucket_are_looked_at() {
    let Some(mut aws) = Aws::start(&with_role()).await else { return };
    aws.make_role(&policy_of(&[nothing()])).await;
    let (own, recorded, arn) = queue(&aws.server, "files").await;
    let sends = json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow", "Action": "sqs:SendMessage",
        "Principal": { "Service": "s3.amazonaws.com" }, "Resource": arn }] });
    let attributes = json!({ "QueueUrl": own, "Attributes": { "Policy": sends.to_string() } });
    aws.server.admin("sqs", "set_queue_attributes", attributes).await;
    aws.site.settings.imports +=
        &format!("discovery = \"both\"\nqueue_url = \"{recorded}\"\nregion = \"us-east-1\"\n");
    let statements = async |name: &str| {
        aws.site.policy(name, &["--queue", &arn]).await["Statement"].as_array().unwrap().clone()
    };
    let reads = aws.site.policy("import-read-prefix", &[]).await["Statement"].as_array().unwrap().clone();
    let mut may = [reads, statements("import-sqs").await].concat();
    aws.may(&may).await;
    // The import works without this right, so it is a warning.
    let tested = aws.site.test().await;
    assert_eq!(tested.code, 0, "{tested:#?}");
    let words = ["403", "works without this right", "forebay policy import-notify --import orders"];
    tested.expect("notifications", "warning", &words);
    may.push(tested.paste("notifications"));
    aws.may(&may).await;
    let tested = aws.site.test().await;
    tested.expect("notifications", "warning", &["no rule of lake sends", "setup-notifications orders"]);
    aws.site.run(&["import", "setup-notifications", "orders"]).await.code(0);
    let tested = aws.site.test().await;
    assert_eq!(tested.code, 0, "{tested:#?}");
    tested.expect("notifications", "passed", &["lake sends to the queue"]);
}
