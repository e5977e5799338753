//! Whether an import may read its queue: the test of its access, its alarm, and the printed policy, against a
//! server that evaluates policies.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::access::{Aws, nothing, policy_of, with_role};
use crate::serve::support::{PATIENCE, status};
use crate::support::actions::actions_of;
use crate::support::forebay::Forebay;
use crate::support::granted;
use crate::support::ministack::Ministack;
use crate::support::wait;

/// A queue, its URL for the program, and its ARN.
pub(super) async fn queue(server: &Ministack, name: &str) -> (String, String, String) {
    let made = server.admin("sqs", "create_queue", json!({ "QueueName": name })).await;
    let own = made["QueueUrl"].as_str().unwrap().to_owned();
    let path = own.split_once("://").unwrap().1.split_once('/').unwrap().1;
    let asked = json!({ "QueueUrl": own, "AttributeNames": ["QueueArn"] });
    let said = server.admin("sqs", "get_queue_attributes", asked).await;
    let arn = said["Attributes"]["QueueArn"].as_str().unwrap().to_owned();
    let recorded = format!("{}/{path}", server.recorder.url());
    (own, recorded, arn)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_printed_policy_lets_the_role_read_its_queue_and_no_more() {
    let Some(mut aws) = Aws::start(&with_role()).await else { return };
    let reads = aws.site.policy("import-read-prefix", &[]).await["Statement"].as_array().unwrap().clone();
    aws.make_role(&policy_of(&[nothing()])).await;
    aws.may(&reads).await;
    let (own, recorded, arn) = queue(&aws.server, "files").await;
    aws.site.settings.imports +=
        &format!("discovery = \"sqs\"\nqueue_url = \"{recorded}\"\nregion = \"us-east-1\"\n");
    aws.site.write_converter();

    let tested = aws.site.test().await;
    assert_eq!(tested.code, 5, "{tested:#?}");
    tested.expect("get", "passed", &[]);
    tested.expect("queue", "failed", &["AccessDenied", "forebay policy import-sqs --import orders"]);
    tested.expect("queue_redrive", "not_tested", &["the queue cannot be asked"]);
    tested.expect("queue_receive", "not_tested", &["would take a message"]);
    // A node says the same, and goes on once it may.
    let file = aws.site.settings.write().to_owned();
    let node = Forebay::serve(&file, &aws.site.environment()).await;
    let says = async |wanted: &(dyn Fn(&Value) -> bool + Sync)| {
        wait::until("its status", PATIENCE, async || {
            let status = status(&node).await;
            wanted(&status).then_some(status)
        })
        .await
    };
    let failing = says(&|status| status["imports"][0]["notifications"]["failing"].is_string()).await;
    let alarm = failing["alarms"].to_string();
    assert!(alarm.contains("orders queue") && alarm.contains("forebay policy import-sqs"), "{failing:#}");

    let may =
        aws.site.policy("import-sqs", &["--queue", &arn]).await["Statement"].as_array().unwrap().clone();
    aws.may(&[reads.clone(), may].concat()).await;
    let tested = aws.site.test().await;
    assert_eq!(tested.code, 0, "{tested:#?}");
    tested.expect("queue", "passed", &[&recorded]);
    tested.expect("queue_redrive", "warning", &["dead-letter queue", "maxReceiveCount"]);
    tested.expect("queue_receive", "not_tested", &[]);
    let (_, _, dead) = queue(&aws.server, "dead").await;
    let redrive = json!({ "deadLetterTargetArn": dead, "maxReceiveCount": "10" }).to_string();
    let attributes = json!({ "QueueUrl": own, "Attributes": { "RedrivePolicy": redrive } });
    aws.server.admin("sqs", "set_queue_attributes", attributes).await;
    aws.site.test().await.expect("queue_redrive", "passed", &[]);

    let body = json!({ "Records": [{ "eventName": "ObjectCreated:Put",
        "s3": { "bucket": { "name": "lake" }, "object": { "key": "orders/1.json" } } }] });
    aws.server
        .admin("sqs", "send_message", json!({ "QueueUrl": own, "MessageBody": body.to_string() }))
        .await;
    let done = says(&|status| status["imports"][0]["notifications"]["messages"]["done"] == 1).await;
    assert_eq!(done["imports"][0]["notifications"]["failing"], Value::Null, "{done:#}");
    assert!(!done["alarms"].to_string().contains("orders queue"), "{done:#}");
    assert!(node.terminate().await.success());
    // Each request is one that the templates grant.
    let requests = aws.server.recorder.requests();
    let sent: BTreeSet<String> =
        requests.iter().flat_map(actions_of).filter(|action| action.starts_with("sqs:")).collect();
    let granted = granted::actions_of("import-sqs");
    assert!(sent.is_subset(&granted), "{sent:?}");
    for needed in ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"] {
        assert!(sent.contains(needed), "{sent:?}");
    }
}

/// How many messages it has is for people alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_may_not_be_asked_is_read_all_the_same() {
    let Some(mut aws) = Aws::start(&with_role()).await else { return };
    let reads = aws.site.policy("import-read-prefix", &[]).await["Statement"].as_array().unwrap().clone();
    aws.make_role(&policy_of(&[nothing()])).await;
    let takes = json!({ "Effect": "Allow", "Resource": "*",
        "Action": ["sqs:ReceiveMessage", "sqs:ChangeMessageVisibility", "sqs:DeleteMessage"] });
    aws.may(&[reads, vec![takes]].concat()).await;
    let (own, recorded, _) = queue(&aws.server, "files").await;
    aws.site.settings.imports +=
        &format!("discovery = \"sqs\"\nqueue_url = \"{recorded}\"\nregion = \"us-east-1\"\n");
    aws.site.write_converter();
    let body = json!({ "Records": [{ "eventName": "ObjectCreated:Put",
        "s3": { "bucket": { "name": "lake" }, "object": { "key": "orders/1.json" } } }] });
    aws.server
        .admin("sqs", "send_message", json!({ "QueueUrl": own, "MessageBody": body.to_string() }))
        .await;
    let file = aws.site.settings.write().to_owned();
    let node = Forebay::serve(&file, &aws.site.environment()).await;
    let status = wait::until("the message, and why nothing is counted", PATIENCE, async || {
        let status = status(&node).await;
        let seen = &status["imports"][0]["notifications"];
        (seen["messages"]["done"] == 1 && seen["not_counted"].is_string()).then_some(status)
    })
    .await;
    let seen = &status["imports"][0]["notifications"];
    let why = seen["not_counted"].as_str().unwrap();
    assert!(why.contains("`forebay policy import-sqs --import orders`"), "{why}");
    assert_eq!((&seen["failing"], seen.get("depth")), (&Value::Null, None), "{seen}");
    assert!(!status["alarms"].to_string().contains("orders"), "{status:#}");
    assert!(node.terminate().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_is_not_there_is_named() {
    let Some(mut aws) = Aws::start(&with_role()).await else { return };
    let reads = aws.site.policy("import-read-prefix", &[]).await["Statement"].as_array().unwrap().clone();
    aws.make_role(&policy_of(&[nothing()])).await;
    let all = json!({ "Effect": "Allow", "Action": "sqs:*", "Resource": "*" });
    aws.may(&[reads, vec![all]].concat()).await;
    let url = format!("{}/000000000000/none", aws.server.recorder.url());
    aws.site.settings.imports +=
        &format!("discovery = \"both\"\nqueue_url = \"{url}\"\nregion = \"us-east-1\"\n");
    let tested = aws.site.test().await;
    assert_eq!(tested.code, 2, "{tested:#?}");
    tested.expect("queue", "failed", &["make the queue, or correct queue_url"]);
}
