//! Commands that read a bucket find the S3 of a running `forebay dev` by themselves.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do: by a panic that names the line")]

use std::path::Path;

use serde_json::json;

use crate::support::forebay::{Flush, Forebay, Starting, command, finished};
use crate::support::http::Http;

async fn run(dev: &Forebay, arguments: &[&str], environment: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut command = command();
    command.args(arguments).env("FOREBAY_ADMIN_URL", &dev.console).envs(environment.iter().copied());
    // Otherwise credentials would be looked for where there are none.
    command.env("AWS_EC2_METADATA_DISABLED", "true");
    let output = finished(&mut command).await;
    (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

/// A `dev` whose bucket has one call, and the receipt of that call.
async fn dev_with_call(folder: &Path) -> (Forebay, String) {
    let dev = Starting::dev_with(folder, Flush::SOON, &["--receipts"]).dev_ready().await;
    let body = json!({ "batch": [{ "type": "track", "event": "e", "userId": "u" }] });
    let url = format!("{}/v1/batch?writeKey=web", dev.collector);
    let answer = Http::new().post(&url, body.to_string()).await.unwrap();
    let receipt = answer.headers.get("forebay-receipt").unwrap().to_str().unwrap().to_owned();
    dev.flush().await;
    (dev, receipt)
}

#[tokio::test]
async fn verify_and_receipt_read_the_bucket_of_a_running_dev() {
    let folder = tempfile::tempdir().unwrap();
    let (dev, receipt) = dev_with_call(folder.path()).await;

    for bucket in ["forebay", "s3://forebay", "s3://forebay/"] {
        let (code, said) = run(&dev, &["verify", bucket], &[]).await;
        assert_eq!((code, said.contains("sound: ")), (Some(0), true), "{bucket}: {said}");
    }
    let (code, said) = run(&dev, &["receipt", &receipt], &[]).await;
    assert_eq!((code, said.contains("segment-logs/web/")), (Some(0), true), "{said}");
    // Who names a store and has credentials does not get another one.
    let keys = [("AWS_ACCESS_KEY_ID", "x"), ("AWS_SECRET_ACCESS_KEY", "y")];
    let nowhere = ["verify", "forebay", "--endpoint-url", "http://127.0.0.1:1", "--path-style"];
    let (code, said) = run(&dev, &nowhere, &keys).await;
    assert_eq!((code, said.contains("cannot connect")), (Some(1), true), "{said}");
}

/// The keys of dev's S3, as the documentation has them exported, counted as those of another store: the
/// commands asked AWS.
#[tokio::test]
async fn exported_keys_of_dev_mean_dev() {
    let folder = tempfile::tempdir().unwrap();
    let (dev, receipt) = dev_with_call(folder.path()).await;
    let file = folder.path().join("crm.toml");
    std::fs::write(&file, "[[destination]]\nname = \"crm\"\ntype = \"http\"\nurl = \"http://127.0.0.1:1\"\n")
        .unwrap();
    let file = file.to_str().unwrap();

    let keys = [("AWS_ACCESS_KEY_ID", "forebay"), ("AWS_SECRET_ACCESS_KEY", "forebay-secret")];
    let with_endpoint = [keys[0], keys[1], ("AWS_ENDPOINT_URL_S3", dev.s3.as_str())];
    let only_endpoint = [with_endpoint[2]];
    for environment in [&keys[..], &with_endpoint, &only_endpoint] {
        let (code, said) = run(&dev, &["receipt", &receipt], environment).await;
        assert_eq!((code, said.contains("segment-logs/web/")), (Some(0), true), "{environment:?}: {said}");
        let (code, said) = run(&dev, &["verify", "forebay"], environment).await;
        assert_eq!((code, said.contains("sound: ")), (Some(0), true), "{environment:?}: {said}");
        let replay = ["destinations", "replay", "crm", "--from", "DLQ", "--config", file];
        let (code, said) = run(&dev, &replay, environment).await;
        assert_eq!(code, Some(0), "{environment:?}: {said}");
    }
    // The endpoint of the environment counts without a dev, too.
    let other = [
        ("AWS_ACCESS_KEY_ID", "x"),
        ("AWS_SECRET_ACCESS_KEY", "y"),
        ("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1"),
    ];
    let (code, said) = run(&dev, &["verify", "forebay"], &other).await;
    assert_eq!((code, said.contains("cannot connect")), (Some(1), true), "{said}");
    let wrong = [("AWS_ENDPOINT_URL_S3", "127.0.0.1:1")];
    let (code, said) = run(&dev, &["verify", "forebay"], &wrong).await;
    assert_eq!((code, said.contains("AWS_ENDPOINT_URL_S3: expected a URL")), (Some(2), true), "{said}");
}

/// Whoever reads a bucket has neither the write keys of the configuration nor the address of its alarms.
#[tokio::test]
async fn verify_needs_no_secret_of_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let dev = Starting::dev_with(folder.path(), Flush::SOON, &[]).dev_ready().await;
    let url = format!("{}/v1/track?writeKey=web", dev.collector);
    let body = json!({ "event": "e", "userId": "u" });
    assert!(Http::new().post(&url, body.to_string()).await.unwrap().status.is_success());
    dev.flush().await;
    let file = folder.path().join("forebay.toml");
    let text = format!(
        "[s3]\nbucket = \"forebay\"\nendpoint_url = \"{}\"\npath_style = true\n[alarm]\nwebhook = \"env:NO_SUCH_ALARM\"\n\
         [[source]]\nid = \"web\"\nwrite_keys = [\"env:NO_SUCH_KEY\"]\n",
        dev.s3
    );
    std::fs::write(&file, text).unwrap();
    let keys = [("AWS_ACCESS_KEY_ID", "forebay"), ("AWS_SECRET_ACCESS_KEY", "forebay-secret")];
    let (code, said) = run(&dev, &["verify", "forebay", "--config", file.to_str().unwrap()], &keys).await;
    assert_eq!((code, said.contains("sound: ")), (Some(0), true), "{said}");
}
