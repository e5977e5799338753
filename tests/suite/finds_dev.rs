//! Commands that read a bucket find the S3 of a running `forebay dev` by themselves.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do: by a panic that names the line")]

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

#[tokio::test]
async fn verify_and_receipt_read_the_bucket_of_a_running_dev() {
    let folder = tempfile::tempdir().unwrap();
    let dev = Starting::dev_with(folder.path(), Flush::SOON, &["--receipts"]).dev_ready().await;
    let body = json!({ "batch": [{ "type": "track", "event": "e", "userId": "u" }] });
    let url = format!("{}/v1/batch?writeKey=web", dev.collector);
    let answer = Http::new().post(&url, body.to_string()).await.unwrap();
    let receipt = answer.headers.get("forebay-receipt").unwrap().to_str().unwrap();
    dev.flush().await;

    for bucket in ["forebay", "s3://forebay", "s3://forebay/"] {
        let (code, said) = run(&dev, &["verify", bucket], &[]).await;
        assert_eq!((code, said.contains("sound: ")), (Some(0), true), "{bucket}: {said}");
    }
    let (code, said) = run(&dev, &["receipt", receipt], &[]).await;
    assert_eq!((code, said.contains("segment-logs/web/")), (Some(0), true), "{said}");
    // Who names a store and has credentials does not get another one.
    let keys = [("AWS_ACCESS_KEY_ID", "x"), ("AWS_SECRET_ACCESS_KEY", "y")];
    let nowhere = ["verify", "forebay", "--endpoint-url", "http://127.0.0.1:1", "--path-style"];
    let (code, said) = run(&dev, &nowhere, &keys).await;
    assert_eq!((code, said.contains("cannot connect")), (Some(1), true), "{said}");
}
