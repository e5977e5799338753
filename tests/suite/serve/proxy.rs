//! A proxy from the environment on the way to the store.

use std::collections::BTreeSet;

use serde_json::json;

use super::support::{CREDENTIALS, Caller, PATIENCE, Rig, ids_below, status};
use crate::support::forebay::{Flush, Forebay, Starting, command, finished};
use crate::support::http::Http;
use crate::support::scripted_http::{Reply, ScriptedHttp};
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

/// The hosts whose requests went through the proxy, of S3, STS, KMS and Lambda.
async fn proxied(no_proxy: &str) -> BTreeSet<String> {
    let proxy = ScriptedHttp::elsewhere(|_| Reply::status(403)).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("forebay.toml");
    let text = format!(
        r#"
        collector.listen = "127.0.0.1:0"
        admin.listen = "127.0.0.1:0"
        [spool]
        dir = "{}"
        unsafe_filesystem = true
        max_bytes = "1 GB"
        [s3]
        bucket = "lake"
        region = "eu-west-1"
        endpoint_url = "http://s3.internal:9000"
        sts_endpoint_url = "http://sts.internal:9000"
        kms_endpoint_url = "http://kms.internal:9000"
        encryption = {{ kms = "arn:aws:kms:eu-west-1:111122223333:key/1234" }}
        [[source]]
        id = "web"
        write_keys = ["key"]
        [[destination]]
        name = "crm"
        type = "lambda"
        function = "arn:aws:lambda:eu-west-1:111122223333:function:on-track"
        endpoint_url = "http://lambda.internal:9000"
        "#,
        folder.path().join("spool").display()
    );
    std::fs::write(&file, text).unwrap();
    for arguments in [&["check"][..], &["destinations", "test", "crm", "--run"]] {
        let mut command = command();
        command.args(arguments).arg("--config").arg(&file).envs(CREDENTIALS);
        command.env("AWS_EC2_METADATA_DISABLED", "true");
        command.env("http_proxy", proxy.url()).env("NO_PROXY", no_proxy);
        finished(&mut command).await;
    }
    let host = |target: &str| target.strip_prefix("http://")?.split(['/', ':']).next().map(str::to_owned);
    proxy.requests().iter().filter_map(|request| host(&request.target)).collect()
}

/// `*.internal` and `host:port` were taken for names that no host has.
#[tokio::test]
async fn each_usual_form_of_no_proxy_holds_for_every_aws_service() {
    let all = ["kms.internal", "lambda.internal", "s3.internal", "sts.internal"];
    assert_eq!(proxied("other.internal").await.iter().collect::<Vec<_>>(), all);
    for no_proxy in ["*.internal", ".internal", "internal", "*", "x, *.internal"] {
        assert_eq!(proxied(no_proxy).await, BTreeSet::new(), "{no_proxy}");
    }
    // The key service is asked only if the store answers.
    let some = proxied("s3.internal:9000 lambda.internal:9000,sts.internal:80").await;
    assert_eq!(some.iter().collect::<Vec<_>>(), ["sts.internal"]);
    let some = proxied("kms.internal:9000,sts.internal:9000").await;
    assert_eq!(some.iter().collect::<Vec<_>>(), ["lambda.internal", "s3.internal"]);
}
