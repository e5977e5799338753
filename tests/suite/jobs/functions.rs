//! The two functions that the guide of S3 Batch Operations describes, as the page has them, as programs of a job.

use std::path::PathBuf;

use super::page::python;
use super::support::Stand;
use crate::support::tools::{in_venv, on_path};

/// Which of the two functions of the page.
#[derive(Clone, Copy)]
enum Which {
    Copies,
    ReadsJson,
}

/// A function of the page as a program. Its file.
fn program(stand: &Stand, which: Which) -> String {
    let [copies, reads_json, program] = python("The functions of the guide")[..] else {
        panic!("the page has two functions, and the lines that make them programs");
    };
    let function = match which {
        Which::Copies => copies,
        Which::ReadsJson => reads_json,
    };
    stand.file("function.py", format!("{function}\n{program}"))
}

async fn run(stand: &Stand, python: PathBuf, which: Which, manifest: &str) -> serde_json::Value {
    let handler = format!("cmd:{} {}", python.display(), program(stand, which));
    let place = ["--manifest", manifest, "--report", "s3://forebay/ReportPrefix", "--json"];
    let ran = stand.run(&[&["run", "--handler", handler.as_str()][..], &place].concat()).await;
    assert!([Some(0), Some(3)].contains(&ran.code), "{ran:#?}");
    ran.json()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_described_function_copies_and_renames_objects() {
    let Some(python) = in_venv("python") else { return };
    let stand = Stand::start().await;
    let keys = ["in/a b", "in/a+b%", "in/ü"];
    for key in keys {
        stand.put(key, key).await;
    }
    stand
        .run(&["manifest", "--bucket", "forebay", "--prefix", "in/", "--to", "s3://forebay/m.csv"])
        .await
        .code(0);
    let job = run(&stand, python, Which::Copies, "s3://forebay/m.csv").await;
    assert_eq!((&job["succeeded"], &job["failed"]), (&3.into(), &0.into()), "{job}");
    for key in keys {
        let copy = stand.node.bucket().object(&format!("{key}_new_suffix")).await;
        assert_eq!(copy.body, key.as_bytes(), "{key}");
    }
    // An object that is not there fails for good, with the error of S3.
    stand.put("missing.csv", "forebay,not-there\n").await;
    let python = in_venv("python").unwrap();
    let job = run(&stand, python, Which::Copies, "s3://forebay/missing.csv").await;
    let rows = stand.report(job["job"].as_str().unwrap()).await;
    let row = &rows["not-there"];
    assert!(row[5] == "PermanentFailure" && row[6].contains("NoSuchKey"), "{row:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_described_function_reads_json_from_keys() {
    let Some(python) = on_path("python3") else { return };
    let stand = Stand::start().await;
    let encoded = "%7B%22origKey%22%3A%20%22object1key%22%2C%20%22newKey%22%3A%20%22newObject1Key%22%7D";
    stand.put("m.csv", format!("my-bucket,{encoded}\nmy-bucket,plain\n")).await;
    let job = run(&stand, python, Which::ReadsJson, "s3://forebay/m.csv").await;
    let rows = stand.report(job["job"].as_str().unwrap()).await;
    assert_eq!(rows[encoded][3..], ["succeeded", "200", "", "object1key --> newObject1Key"]);
    assert!(rows["plain"][6].starts_with("Exception: "), "{rows:?}");
    // "The non-URL-encoded version does not work."
    stand.put("raw.csv", "my-bucket,{\"origKey\": \"object1key\", \"newKey\": \"newObject1Key\"}\n").await;
    let handler = format!("cmd:python3 {}", program(&stand, Which::ReadsJson));
    let run = ["run", "--manifest", "s3://forebay/raw.csv", "--handler", handler.as_str()];
    stand.run(&run).await.code(2).says("InvalidManifestContent: line 1: the key is raw JSON; URL-encode it");
}
