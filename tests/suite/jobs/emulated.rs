//! The two functions that the guide of S3 Batch Operations describes, as the page has them, as functions of AWS Lambda: the
//! emulator of cargo-lambda runs them, and they copy objects in stores that share no code with ours.

use std::process::Stdio;

use tokio::process::{Child, Command};

use super::page::python;
use super::support::{Ran, Stand, manifest, ran, report_of};
use crate::support::bucket::Bucket;
use crate::support::forebay::without_settings;
use crate::support::lambda_emulator::Emulator;
use crate::support::ministack::Ministack;
use crate::support::moto::Moto;
use crate::support::tools::require;

/// Names of the functions, in the order of the page.
const FUNCTIONS: [&str; 2] = ["copies", "reads-json"];
/// The bucket of the functions, which the page names. Manifests and reports are there, too.
const BUCKET: &str = "forebay";
const KEYS: [&str; 5] = ["in/a b", "in/a+b%", "in/ü", "in/50%25", "in/plain"];

/// The access key, and also the secret, of both stores.
const KEY: &str = Ministack::ROOT;

/// A function of the page, which runs as in AWS until it is dropped.
fn function(stand: &Stand, name: &str, text: &str, api: &str, store: &str) -> Option<Child> {
    let python = require("lambda/bin/python")?;
    let module = name.replace('-', "_");
    stand.file(&format!("{module}.py"), text);
    let mut command = without_settings(Command::new(python));
    command.args(["-m", "awslambdaric", &format!("{module}.lambda_handler")]);
    command.current_dir(stand.folder.path()).env("AWS_LAMBDA_RUNTIME_API", format!("{api}/.rt/{name}"));
    command.envs([
        ("AWS_LAMBDA_FUNCTION_NAME", name),
        ("AWS_LAMBDA_FUNCTION_VERSION", "1"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
        ("PYTHONDONTWRITEBYTECODE", "1"),
        ("AWS_ENDPOINT_URL_S3", store),
        ("AWS_ACCESS_KEY_ID", KEY),
        ("AWS_SECRET_ACCESS_KEY", KEY),
        ("AWS_DEFAULT_REGION", "us-east-1"),
    ]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
    Some(command.spawn().unwrap())
}

/// Runs `forebay batch` with this store.
async fn batch(stand: &Stand, store: &str, words: &[&str]) -> Ran {
    let mut command = stand.batch(words);
    command.env("AWS_ENDPOINT_URL_S3", store).env("AWS_ACCESS_KEY_ID", KEY).env("AWS_SECRET_ACCESS_KEY", KEY);
    ran(command, b"").await
}

/// Both functions over the objects of the store at this address.
async fn functions_of_the_guide(store: &str) {
    let Some(emulator) = Emulator::start(&FUNCTIONS).await else { return };
    let stand = Stand::start().await;
    let lambda = emulator.as_in_aws().await.to_string();
    let texts = python("The functions of the guide");
    let mut running = Vec::new();
    for (name, text) in FUNCTIONS.into_iter().zip(texts) {
        let Some(child) = function(&stand, name, text, &lambda, store) else { return };
        running.push(child);
    }
    let bucket = Bucket::new(store, BUCKET, KEY, KEY);
    bucket.client.create_bucket().bucket(BUCKET).send().await.unwrap();
    let put = async |key: &str, bytes: Vec<u8>| {
        bucket.client.put_object().bucket(BUCKET).key(key).body(bytes.into()).send().await.unwrap();
    };
    for key in KEYS {
        put(key, key.into()).await;
    }
    let lambda = format!("http://{lambda}");
    let job = async |name: &str, manifest: &str| {
        let arn = format!("arn:aws:lambda:us-east-1:111122223333:function:{name}");
        let run = ["run", "--function-arn", &arn, "--lambda-endpoint-url", &lambda, "--manifest", manifest];
        batch(&stand, store, &[&run[..], &["--report", "s3://forebay/reports", "--json"]].concat()).await
    };

    // Copies, with a version-free manifest that is made by listing.
    let make = ["manifest", "--bucket", BUCKET, "--prefix", "in/", "--to", "s3://forebay/m.csv"];
    batch(&stand, store, &make).await.code(0);
    let copied = job(FUNCTIONS[0], "s3://forebay/m.csv").await.code(0).json();
    assert_eq!((&copied["succeeded"], &copied["failed"]), (&KEYS.len().into(), &0.into()), "{copied}");
    for key in KEYS {
        let copy = bucket.object(&format!("{key}_new_suffix")).await;
        assert_eq!(copy.body, key.as_bytes(), "{key}");
    }
    // An object that is not there fails for good, with the error of the store.
    put("missing.csv", manifest(["not-there"]).into()).await;
    let missing = job(FUNCTIONS[0], "s3://forebay/missing.csv").await.json();
    let rows = report_of(&bucket, &batch_report(&stand, store, &missing).await).await;
    let row = &rows["not-there"];
    assert!(row[5] == "PermanentFailure" && row[6].contains("NoSuchKey"), "{row:?}");

    // Reads JSON from keys.
    let encoded = "%7B%22origKey%22%3A%20%22object1key%22%2C%20%22newKey%22%3A%20%22newObject1Key%22%7D";
    put("json.csv", manifest([encoded, "plain"]).into()).await;
    let read = job(FUNCTIONS[1], "s3://forebay/json.csv").await.json();
    let rows = report_of(&bucket, &batch_report(&stand, store, &read).await).await;
    assert_eq!(rows[encoded][3..], ["succeeded", "200", "", "object1key --> newObject1Key"]);
    assert!(rows["plain"][6].starts_with("Exception: "), "{rows:?}");
}

/// Where the report of a job is, as `batch report` says.
async fn batch_report(stand: &Stand, store: &str, job: &serde_json::Value) -> String {
    let report =
        batch(stand, store, &["report", job["job"].as_str().unwrap(), "--json"]).await.code(0).json();
    report["report"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_functions_of_the_guide_work_on_the_runtime_of_lambda_with_moto() {
    let folder = tempfile::tempdir().unwrap();
    let Some(moto) = Moto::start(folder.path()).await else { return };
    functions_of_the_guide(&moto.url).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_functions_of_the_guide_work_on_the_runtime_of_lambda_with_ministack() {
    let Some(ministack) = Ministack::start().await else { return };
    functions_of_the_guide(&ministack.url()).await;
}
