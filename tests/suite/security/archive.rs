//! Looking into the bucket without the rights for it: the answer has the statement that grants them, and it
//! does.

use serde_json::{Value, json};

use super::{Site, statements};
use crate::serve::support::{Caller, PATIENCE, ask};
use crate::support::forebay::Forebay;
use crate::support::tools::Ministack;
use crate::support::wait;

const KEY: &str = "arn:aws:kms:us-east-1:000000000000:key/1234abcd-12ab-34cd-56ef-1234567890ab";

async fn shown(forebay: &Forebay, path: &str) -> Value {
    let answer = ask(forebay, path).await;
    assert!(answer.status.is_success(), "{path}: {answer:?}");
    serde_json::from_slice(&answer.body).unwrap()
}

/// The statements of a refusal, as the list of a policy.
fn granting(denied: &Value) -> Vec<Value> {
    assert!(denied["error"].as_str().unwrap().contains("AccessDenied"), "{denied}");
    assert_eq!(denied["whom"], "the user or role that Forebay runs as");
    serde_json::from_str(&format!("[{}]", denied["statement"].as_str().unwrap())).unwrap()
}

#[tokio::test]
async fn a_refused_look_into_the_bucket_names_the_statements_that_allow_it() {
    let Some(ministack) = Ministack::start().await else { return };
    let collector = ministack.make_user("collector").await;
    ministack.make_bucket("lake").await;
    let puts = statements("collector.json", &["ForebayPuts"], &[("BUCKET", "lake"), ("PREFIX", "raw")]);
    let may = |more: &[Value]| {
        let all = [&puts[..], more].concat();
        json!({ "Version": "2012-10-17", "Statement": all })
    };
    ministack.allow("collector", &may(&[])).await;
    let mut site = Site::new(&ministack.recorder.url(), &["web"], &collector.credentials());
    site.settings.s3 = site.settings.s3.replace("\"lake\"", "\"lake/raw\"");
    site.source("web", &format!("encryption = {{ kms = \"{KEY}\" }}"));
    let forebay = site.serve().await;
    Caller::new().send(&forebay, "web", 2, 0).await;
    let object = wait::until("a listed object", PATIENCE, async || {
        let answer = shown(&forebay, "/api/deliveries").await;
        answer["delivered"].get(0).cloned()
    })
    .await;
    assert_eq!(object["encryption"]["kms_key"], KEY, "{object}");

    let list = format!("/api/archive/objects?source=web&day={}&from=bucket", object["day_ms"]);
    let peek = format!("/api/archive/peek?source=web&key={}", object["key"].as_str().unwrap());
    let refused = shown(&forebay, &list).await;
    assert_eq!(refused["objects"], json!([]));
    let mut wanted = granting(&refused["denied"]);
    assert_eq!(wanted.len(), 1);
    assert_eq!(wanted[0]["Action"], "s3:ListBucket");
    assert_eq!(wanted[0]["Condition"]["StringLike"]["s3:prefix"], "raw/segment-logs/*");
    let refused = shown(&forebay, &peek).await;
    assert_eq!(refused["lines"], json!([]));
    let reads = granting(&refused["denied"]);
    let actions: Vec<&Value> = reads.iter().map(|statement| &statement["Action"]).collect();
    assert_eq!(actions, ["s3:GetObject", "kms:Decrypt"]);
    assert_eq!(
        (&reads[0]["Resource"], &reads[1]["Resource"]),
        (&json!("arn:aws:s3:::lake/raw/segment-logs/*"), &json!(KEY))
    );
    wanted.extend(reads);

    ministack.allow("collector", &may(&wanted)).await;
    let objects = shown(&forebay, &list).await;
    assert_eq!((&objects["objects"][0]["key"], &objects["denied"]), (&object["key"], &Value::Null));
    let lines = shown(&forebay, &peek).await;
    assert_eq!(
        (lines["lines"].as_array().unwrap().len(), &lines["more"], &lines["damage"]),
        (2, &json!(false), &Value::Null)
    );
    assert!(forebay.terminate().await.success());
}
