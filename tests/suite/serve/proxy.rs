//! A proxy from the environment on the way to the store.

use serde_json::json;

use super::support::{CREDENTIALS, Caller, PATIENCE, Rig, ids_below, status};
use crate::support::forebay::{Flush, Forebay, Starting};
use crate::support::http::Http;
use crate::support::wait;

/// An address without a listener.
const NOWHERE: &str = "http://127.0.0.1:1";

/// With a proxy in the environment, calls got 200 but none was delivered.
#[tokio::test]
async fn a_store_on_this_machine_is_reached_without_a_proxy() {
    let folder = tempfile::tempdir().unwrap();
    let proxies = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"].map(|name| (name, NOWHERE));
    let forebay = Starting::dev_in(folder.path(), Flush::SOON, &[], &proxies).dev_ready().await;
    let call = json!({ "batch": [{ "type": "track", "event": "e", "userId": "u", "messageId": "m" }] });
    assert!(Http::new().track(&forebay.collector, "app", &call).await);
    wait::until("the call", PATIENCE, async || {
        (ids_below(&forebay.bucket(), "segment-logs/app/").await == ["m"]).then_some(())
    })
    .await;
    assert_eq!(status(&forebay).await["s3_proxy"], json!(null));
    assert_eq!(forebay.terminate().await.code(), Some(0));
}

#[tokio::test]
async fn a_proxy_in_use_is_logged_and_shown_without_its_password() {
    let rig = Rig::start(&["lake"]).await;
    let mut settings = rig.settings(&["web"]);
    settings.s3 = "bucket = \"lake\"\nendpoint_url = \"http://s3.test:9000\"\npath_style = true".to_owned();
    // The server also accepts requests in the form that proxies get.
    let address = rig.url().strip_prefix("http://").unwrap().to_owned();
    let proxy = format!("http://me:secret@{address}");
    let environment: Vec<(&str, &str)> =
        CREDENTIALS.into_iter().chain([("http_proxy", proxy.as_str())]).collect();
    let forebay = Forebay::serve(settings.write(), &environment).await;
    let mut caller = Caller::new();
    caller.send(&forebay, "web", 5, 0).await;
    caller.all_arrive(&rig.bucket("lake"), "", "web").await;
    assert_eq!(status(&forebay).await["s3_proxy"], json!(format!("http://{address}")));
    assert!(forebay.log().contains("S3 is reached through this proxy"), "{}", forebay.log());
    assert!(!forebay.log().contains("secret"), "{}", forebay.log());
    assert_eq!(forebay.terminate().await.code(), Some(0));
}
