//! Requests to the store: headers, keys and sizes; and a failing bucket affects only its own sources.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::support::{Caller, PATIENCE, Rig, status};
use crate::support::scripted_http::{Reply, Request, ScriptedHttp};
use crate::support::wait;

/// The header of a put that requests encryption.
const ENCRYPTION: &str = "x-amz-server-side-encryption";

/// The program's first put for a source with these settings, as sent.
async fn put_of(s3: &str, source: &str) -> Request {
    let rig = Rig::start(&[]).await;
    let seen: Arc<Mutex<Option<Request>>> = Arc::default();
    let store = {
        let seen = Arc::clone(&seen);
        ScriptedHttp::start(move |request| {
            if request.method == "PUT" {
                seen.lock().unwrap().get_or_insert_with(|| request.clone());
            }
            Reply::status(200)
        })
        .await
    };
    let mut settings = rig.settings(&["web"]);
    settings.s3 = format!("endpoint_url = \"{}\"\n{s3}", store.url());
    settings.sources[0].1.push_str(source);
    let forebay = settings.serve().await;
    Caller::new().send(&forebay, "web", 1, 0).await;
    let put = wait::until("a put", PATIENCE, async || seen.lock().unwrap().clone()).await;
    assert!(forebay.terminate().await.success());
    put
}

#[tokio::test]
async fn puts_are_sent_as_configured() {
    let check = async |s3: &str, source: &str, target: &str, region: &str, encryption: Option<&str>| {
        let put = put_of(s3, source).await;
        let what = format!("{s3} {source}: {put:?}");
        assert!(put.target.starts_with(target), "{what}");
        assert_eq!(put.header(ENCRYPTION), encryption, "{what}");
        assert!(
            put.header("authorization").unwrap().contains(&format!("/{region}/s3/aws4_request")),
            "{what}"
        );
        assert_eq!(put.header("if-none-match"), Some("*"), "{what}");
        assert_eq!(put.header("content-type"), Some("text/plain"), "{what}");
        assert_eq!(put.header("content-encoding"), Some("gzip"), "{what}");
    };
    check("bucket = \"lake\"", "", "/lake/segment-logs/web/", "us-east-1", Some("AES256")).await;
    check(
        "bucket = \"lake/raw/events\"\nencryption = \"none\"\nregion = \"eu-central-1\"",
        "",
        "/lake/raw/events/segment-logs/web/",
        "eu-central-1",
        None,
    )
    .await;
    check(
        "bucket = \"lake\"\nencryption = \"none\"",
        "\nbucket = \"pond/x\"\nencryption = \"sse-s3\"\nregion = \"eu-west-3\"",
        "/pond/x/segment-logs/web/",
        "eu-west-3",
        Some("AES256"),
    )
    .await;
}

#[tokio::test]
async fn objects_are_cut_at_the_configured_size() {
    const MAX: usize = 1_000_000;
    let rig = Rig::start(&["lake"]).await;
    let bucket = rig.bucket("lake");
    let mut settings = rig.settings(&["web"]);
    settings.flush = "max_bytes = \"1 MB\"\nmax_age = \"1 h\"".to_owned();
    let forebay = settings.serve().await;
    let mut caller = Caller::new();
    // Before a source's first object, lines are assumed to compress to a twelfth: less than 12 MB are not due
    // by size.
    for _ in 0..40 {
        caller.send(&forebay, "web", 60, 7_000).await;
    }
    let cut = wait::until("four objects cut by size", PATIENCE, async || {
        let keys = bucket.keys("segment-logs/web/").await;
        (keys.len() >= 4).then_some(keys)
    })
    .await;
    for key in &cut {
        let len = bucket.object(key).await.body.len();
        assert!((MAX / 100 * 95..=MAX).contains(&len), "{key} has {len} bytes");
    }
    forebay.flush().await;
    caller.all_arrive(&bucket, "", "web").await;
    for object in bucket.objects("segment-logs/web/").await {
        assert!(object.body.len() <= MAX, "{} has {} bytes", object.key, object.body.len());
    }
    assert!(forebay.terminate().await.success());
}

#[tokio::test]
async fn a_missing_bucket_delays_no_other() {
    let rig = Rig::start(&["lake"]).await;
    let mut settings = rig.settings(&["web", "ios"]);
    settings.sources[1].1.push_str("\nbucket = \"nowhere\"");
    settings.flush.push_str("\nshutdown_grace = \"2 s\"");
    let forebay = settings.serve().await;
    let mut caller = Caller::new();
    caller.send(&forebay, "ios", 10, 0).await;
    let trouble = wait::until("the failure in the status", PATIENCE, async || {
        let said = status(&forebay).await;
        let ios = said["sources"].as_array().unwrap().iter().find(|source| source["id"] == "ios").cloned();
        ios.filter(|ios| ios["last_error"] != Value::Null)
    })
    .await;
    let error = trouble["last_error"].as_str().unwrap();
    assert!(error.contains("nowhere") && error.contains("NoSuchBucket"), "{error}");
    for _ in 0..3 {
        caller.send(&forebay, "web", 10, 0).await;
        caller.all_arrive(&rig.bucket("lake"), "", "web").await;
    }
    let ids: BTreeSet<String> = caller.of("ios");
    assert_eq!(
        status(&forebay).await["sources"][0]["pending_calls"],
        ids.len(),
        "no call of the other source is lost"
    );
    assert!(forebay.terminate().await.success());

    // Created later, the bucket gets the backlog.
    let late = rig.bucket("nowhere");
    late.client.create_bucket().bucket("nowhere").send().await.unwrap();
    let forebay = settings.serve().await;
    caller.all_arrive(&late, "", "ios").await;
    assert!(forebay.terminate().await.success());
}
