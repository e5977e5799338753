//! Jobs on a machine that lacks something: they wait, say so, and go on by themselves.

use std::fs;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use super::support::{PATIENCE, Stand, ended, manifest, ran, script};
use crate::support::forebay::with_files;
use crate::support::loop_disk::{Filler, Kind, LoopDisk};
use crate::support::scripted_http::{Reply, ScriptedHttp};
use crate::support::tools::on_path;
use crate::support::wait;

const DISK_BYTES: u64 = 16_000_000;
const TASKS: usize = 600;

fn texts(job: &Value) -> Vec<String> {
    let texts = job["troubles"].as_array().unwrap().iter();
    texts.map(|text| text.as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_outlasts_a_full_disk() {
    if on_path("python3").is_none() {
        return;
    }
    let mut stand = Stand::start().await;
    let Some(disk) = LoopDisk::mount(Kind::Ext4, DISK_BYTES, stand.folder.path()) else { return };
    stand.state = disk.path().join("state");
    let keys: Vec<String> = (0..TASKS).map(|n| format!("k{n}")).collect();
    stand.put("m.csv", manifest(&keys)).await;
    let handler = format!("cmd:python3 {} slow begun", script("handlers.py"));
    let place = ["--manifest", "s3://forebay/m.csv", "--report", "s3://forebay/r"];
    let running =
        stand.started(&[&["--handler", handler.as_str(), "--concurrency", "4"][..], &place].concat()).await;
    let id = running.id.clone();
    stand.until(&id, "some results", |job| job["succeeded"].as_u64() >= Some(40)).await;
    let filler = Filler::fill(disk.path()).keep_growing();
    // The last block of the log still has some space.
    let waiting = stand.until(&id, "the job to wait for its disk", |job| !texts(job).is_empty()).await;
    let told = texts(&waiting);
    assert!(told[0].contains("is full") && told[0].contains("free space"), "{told:?}");
    let text = stand.run(&["describe", &id]).await.code(0).out;
    assert!(text.contains("waits:") && text.contains("free"), "{text}");
    // A request waits too: it is a file itself.
    stand.run(&["pause", &id]).await.code(1);
    filler.stop().remove();
    let ended = running.ended().await.code(0);
    let lines = ended.err.lines().filter(|line| line.contains("is full")).count();
    assert!((1..=3).contains(&lines), "one line a minute: {ended:#?}");
    let job = stand.described(&id).await;
    assert_eq!((&job["status"], &job["succeeded"]), (&"Complete".into(), &TASKS.into()), "{job}");
    assert!(texts(&job).is_empty());
    assert_eq!(stand.report(&id).await.len(), TASKS);
    // Nothing ran twice: what had ended was kept in memory.
    let begun = fs::read_to_string(stand.path("begun")).unwrap();
    assert_eq!(begun.lines().count(), TASKS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_manifest_outlasts_a_full_disk_while_it_is_copied() {
    let mut stand = Stand::start().await;
    let Some(disk) = LoopDisk::mount(Kind::Ext4, DISK_BYTES, stand.folder.path()) else { return };
    stand.state = disk.path().join("state");
    // Standard input cannot be read again: the copy must go on where it was.
    let run = ["run", "--manifest", "-", "--handler", "cmd:cat", "--max-attempts", "1", "--json"];
    let mut command = stand.batch(&run);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let id = wait::until("the job to read its manifest", PATIENCE, async || {
        let listed = stand.run(&["list", "--json"]).await.json();
        let job = listed["jobs"].as_array()?.first().filter(|job| job["status"] == "Preparing")?;
        job["job"].as_str().map(str::to_owned)
    })
    .await;
    let filler = Filler::fill(disk.path()).keep_growing();
    let mut input = child.stdin.take().unwrap();
    let rows = manifest((0..TASKS).map(|n| format!("{n:0900}")));
    let writing = tokio::spawn(async move { input.write_all(rows.as_bytes()).await });
    let waiting = stand.until(&id, "the job to wait for its disk", |job| !texts(job).is_empty()).await;
    let told = texts(&waiting);
    assert!(told[0].contains("the manifest is not copied to its end; free space"), "{told:?}");
    assert_eq!(waiting["status"], "Preparing", "{waiting}");
    filler.stop().remove();
    writing.await.unwrap().unwrap();
    // What `cat` answers is no answer.
    let ended = ended(child).await.code(3);
    let job = ended.json();
    assert_eq!((&job["status"], &job["failed"]), (&"Complete".into(), &TASKS.into()), "{job}");
    let lines = ended.err.lines().filter(|line| line.contains("is not copied to its end")).count();
    assert!((1..=3).contains(&lines), "one line a minute: {ended:#?}");
}

/// A job of ninety tasks whose process may have no more than so many file handles, each task with one try.
async fn with_few_handles(handles: u64, handler: &[&str], has_report: bool) {
    let stand = Stand::start().await;
    let path = stand.file("m.csv", manifest((0..90).map(|n| format!("k{n}"))));
    let run = ["run", "--manifest", &path, "--json"];
    let report: &[&str] = if has_report { &["--report", "s3://forebay/r"] } else { &[] };
    let limits = ["--concurrency", "60", "--max-attempts", "1"];
    let command = stand.batch_of(with_files(handles), &[&run[..], report, handler, &limits].concat());
    let ended = ran(command, b"").await.code(0);
    let job = ended.json();
    assert_eq!((&job["status"], &job["succeeded"]), (&"Complete".into(), &90.into()), "{job}");
    let said =
        ended.err.lines().filter(|line| line.contains("file handles") && line.contains("ulimit")).count();
    assert!((1..=3).contains(&said), "{ended:#?}");
    if has_report {
        assert_eq!(stand.report(job["job"].as_str().unwrap()).await.len(), 90);
    }
}

/// A function whose tasks succeed, as an address and as the service of Lambda.
async fn succeeding() -> ScriptedHttp {
    ScriptedHttp::elsewhere(|request| {
        let event: Value = serde_json::from_slice(&request.body).unwrap();
        let result = json!({"taskId": event["tasks"][0]["taskId"], "resultCode": "Succeeded"});
        let (version, id) = (&event["invocationSchemaVersion"], &event["invocationId"]);
        let answer = json!({"invocationSchemaVersion": version, "invocationId": id, "results": [result]});
        Reply::Answer { status: 200, headers: Vec::new(), body: answer.to_string() }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_that_get_no_file_handles_cost_no_try() {
    if on_path("python3").is_none() {
        return;
    }
    let handler = format!("cmd:python3 {} slow begun", script("handlers.py"));
    with_few_handles(64, &["--handler", &handler], true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_get_no_file_handles_cost_no_try() {
    let function = succeeding().await;
    with_few_handles(40, &["--handler", &function.url()], true).await;
}

#[cfg(feature = "lambda")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invocations_of_lambda_that_get_no_file_handles_cost_no_try() {
    let function = "arn:aws:lambda:us-east-1:111122223333:function:f";
    let service = succeeding().await;
    let handler = ["--function-arn", function, "--lambda-endpoint-url", &service.url()];
    // A report would wait for up to 90 s, until the clients of AWS, which share connections, close those that are idle.
    with_few_handles(40, &handler, false).await;
}
