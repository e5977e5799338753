//! What programs of jobs find in their environment: the store of their job, and with `dev` nothing of AWS.

use std::fs;

use serde_json::{Value, json};

use super::control::{Boto, create};
use super::support::{Stand, manifest, ran, script};
use crate::support::forebay::{Flush, Starting};
use crate::support::tools::{in_venv, on_path};

const ELSEWHERE: &str = "http://127.0.0.1:9";

/// A program whose answer to the key `surroundings` is what it finds.
fn program(stand_path: &std::path::Path) -> String {
    fs::create_dir_all(stand_path.join("tries")).unwrap();
    format!("cmd:python3 {} answers {}", script("handlers.py"), stand_path.join("tries").display())
}

/// What the program of a job found.
async fn found(stand: &Stand, id: &str) -> Value {
    let rows = stand.report(id).await;
    serde_json::from_str(&rows["surroundings"][6]).unwrap()
}

/// A program that copies objects worked on AWS, although the job had another store.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_reaches_the_store_of_its_job() {
    if on_path("python3").is_none() {
        return;
    }
    let stand = Stand::start().await;
    let (handler, store) = (program(stand.folder.path()), stand.node.s3.clone());
    let path = stand.file("m.csv", manifest(["surroundings"]));
    let run = ["run", "--manifest", &path, "--handler", &handler, "--report", "s3://forebay/r", "--json"];
    let mut command = stand.batch(&[&run[..], &["--endpoint-url", &store]].concat());
    command.env("AWS_ENDPOINT_URL_S3", ELSEWHERE);
    let done = ran(command, b"").await.code(0).json();
    let expected = json!([store, "forebay", "us-east-1", null, null]);
    assert_eq!(found(&stand, done["job"].as_str().unwrap()).await, expected);
}

/// With the profile and session of the shell, a function that is tried on a laptop would change real buckets.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_of_dev_has_nothing_of_the_shell_that_leads_to_aws() {
    if in_venv("python").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let function = format!("copy={}", program(folder.path()));
    let shell = [
        ("AWS_ENDPOINT_URL_S3", ELSEWHERE),
        ("AWS_ACCESS_KEY_ID", "of-the-shell"),
        ("AWS_SECRET_ACCESS_KEY", "of-the-shell"),
        ("AWS_SESSION_TOKEN", "of-the-shell"),
        ("AWS_PROFILE", "of-the-shell"),
        ("AWS_REGION", "eu-west-1"),
    ];
    let data = folder.path().join("dev");
    let dev = Starting::dev_in(&data, Flush::LATE, &["--function", &function], &shell);
    let stand = Stand { node: dev.dev_ready().await, state: data, folder };
    let etag = stand.put("m.csv", manifest(["surroundings"])).await;
    let mut boto = Boto::of(&stand.node.s3);
    let id = boto.make(create("copy", "m.csv", &etag, "token")).await;
    boto.until(&id, "the end", |job| job["Status"] == "Complete").await;
    let expected = json!([stand.node.s3, "forebay", "us-east-1", null, null]);
    assert_eq!(found(&stand, &id).await, expected);
}
