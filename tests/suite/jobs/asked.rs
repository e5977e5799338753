//! What other processes ask of a job.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::support::{Stand, manifest, ran, script};
use crate::support::loop_disk::{Kind, LoopDisk};
use crate::support::tools::on_path;

fn handler() -> String {
    format!("cmd:python3 {} slow begun", script("handlers.py"))
}

fn keys(count: usize) -> String {
    manifest((0..count).map(|n| format!("k{n}")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_is_confirmed_paused_resumed_and_cancelled_from_another_process() {
    if on_path("python3").is_none() {
        return;
    }
    let stand = Stand::start().await;
    let (path, handler) = (stand.file("m.csv", keys(4_000)), handler());
    let run = ["--manifest", &path, "--handler", &handler, "--report", "s3://forebay/r", "--confirm"];
    let running = stand.started(&[&run[..], &["--description", "a test"]].concat()).await;
    let id = running.id.clone();
    let suspended = stand.until(&id, "the confirmation to be due", |job| job["status"] == "Suspended").await;
    assert_eq!(suspended["suspended_cause"], "AwaitingConfirmation");
    assert_eq!((&suspended["total"], &suspended["description"]), (&4_000.into(), &"a test".into()));
    let refused = stand.run(&["pause", &id]).await.code(1);
    refused.says("the job is Suspended and cannot be paused");
    assert!(!stand.path("begun").exists());
    let confirmed = stand.run(&["confirm", &id, "--reason", "looks right"]).await.code(0);
    assert!(confirmed.out.contains("is Ready"), "{confirmed:?}");
    stand.until(&id, "the first results", |job| job["succeeded"].as_u64() > Some(0)).await;
    let paused = stand.run(&["pause", &id, "--json"]).await.code(0).json();
    assert_eq!((&paused["waits"], &paused["status"]), (&false.into(), &"Pausing".into()), "{paused}");
    stand.until(&id, "the pause", |job| job["status"] == "Paused").await;
    let begun = fs::read_to_string(stand.path("begun")).unwrap();
    let listed = stand.run(&["list"]).await.code(0).out;
    assert!(listed.contains(&id) && listed.contains("Paused"), "{listed}");
    let priority = stand.run(&["priority", &id, "99"]).await.code(0);
    assert!(priority.out.contains("is Paused"), "{priority:?}");
    let resumed = stand.run(&["resume", &id]).await.code(0);
    assert!(resumed.out.contains("is Ready"), "{resumed:?}");
    stand
        .until(&id, "more results", |job| {
            job["succeeded"].as_u64() > Some(begun.lines().count() as u64) && job["priority"] == 99
        })
        .await;
    stand.run(&["cancel", &id, "--reason", "enough"]).await.code(0);
    running.ended().await.code(1).says("is cancelled");
    let job = stand.described(&id).await;
    assert_eq!((&job["status"], &job["update_reason"]), (&"Cancelled".into(), &"enough".into()), "{job}");
    let rows = stand.report(&id).await;
    assert_eq!(rows.len() as u64, job["succeeded"].as_u64().unwrap());
    // The tasks in flight have ended: each that began has its row.
    let begun = fs::read_to_string(stand.path("begun")).unwrap();
    assert_eq!(begun.lines().count(), rows.len());
    stand.run(&["watch", &id]).await.code(1).says("is cancelled");
    stand.run(&["cancel", &id]).await.code(1).says("the job is Cancelled and cannot be cancelled");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_waits_for_a_process_that_goes_on_with_the_job() {
    if on_path("python3").is_none() {
        return;
    }
    let stand = Stand::start().await;
    let (path, handler) = (stand.file("m.csv", keys(4_000)), handler());
    let mut running = stand.started(&["--manifest", &path, "--handler", &handler]).await;
    let id = running.id.clone();
    stand.until(&id, "the first results", |job| job["succeeded"].as_u64() > Some(0)).await;
    running.child.kill().await.unwrap();
    let waits = stand.run(&["cancel", &id]).await.code(0);
    assert!(
        waits.out.contains("the request waits")
            && waits.out.contains(&format!("forebay batch run --job {id}")),
        "{waits:?}"
    );
    // Printed commands find the job again, and what was asked for is seen.
    let state = stand.state.to_str().unwrap();
    for words in [&["describe", &id][..], &["priority", &id, "5"]] {
        let mut elsewhere = stand.batch(&[words, &["--state", state]].concat());
        elsewhere.env_remove("FOREBAY_STATE");
        let said = ran(elsewhere, b"").await.code(0).out.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains(&format!("`forebay batch run --job {id} --state {state}` goes on")), "{said}");
    }
    assert_eq!(stand.described(&id).await["requests"], serde_json::json!(["cancel", "priority 5"]));
    let begun = fs::read_to_string(stand.path("begun")).unwrap();
    stand.run(&["run", "--job", &id]).await.code(1).says("is cancelled");
    assert_eq!(fs::read_to_string(stand.path("begun")).unwrap(), begun, "no task began");
    let report = stand.run(&["report", &id]).await.code(1);
    let said = format!("the job was made without a report: `forebay batch report {id} --rows failed` prints");
    assert!(report.out.contains(&said), "{report:?}");
    // Its rows are printed nevertheless: no task failed before the kill.
    assert_eq!(stand.run(&["report", &id, "--rows", "failed"]).await.code(0).out, "");
    let rows = stand.run(&["report", &id, "--rows", "all"]).await.code(0).out;
    assert_eq!(Some(rows.lines().count() as u64), stand.described(&id).await["succeeded"].as_u64());
    assert!(rows.lines().all(|row| row.contains(",succeeded,200,,")), "{rows}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_whose_program_is_gone_is_cancelled_all_the_same() {
    if on_path("python3").is_none() {
        return;
    }
    let stand = Stand::start().await;
    let path = stand.file("m.csv", keys(4_000));
    let program = stand.file("f", format!("#!/bin/sh\nexec python3 {} slow begun\n", script("handlers.py")));
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let handler = format!("cmd:{program}");
    let run = ["--manifest", &path, "--handler", &handler, "--report", "s3://forebay/r"];
    let mut running = stand.started(&run).await;
    let id = running.id.clone();
    stand.until(&id, "the first results", |job| job["succeeded"].as_u64() > Some(0)).await;
    running.child.kill().await.unwrap();
    fs::remove_file(&program).unwrap();
    stand.run(&["run", "--job", &id]).await.code(2).says("cannot start");
    assert_eq!(stand.described(&id).await["status"], "Active");
    stand.run(&["cancel", &id]).await.code(0);
    stand.run(&["run", "--job", &id]).await.code(1).says("is cancelled");
    let job = stand.described(&id).await;
    assert_eq!(job["status"], "Cancelled");
    assert_eq!(Some(stand.report(&id).await.len() as u64), job["succeeded"].as_u64());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_on_a_file_system_that_is_mounted_read_only_are_looked_at() {
    let mut stand = Stand::start().await;
    let none = stand.run(&["list"]).await.code(0).out;
    assert!(none.contains("there are no jobs") && !stand.state.exists(), "a look makes nothing: {none}");
    let Some(disk) = LoopDisk::mount(Kind::Ext4, 16_000_000, stand.folder.path()) else { return };
    stand.state = disk.path().join("state");
    let path = stand.file("m.csv", keys(3));
    let run = ["run", "--manifest", &path, "--handler", "cmd:cat", "--report", "s3://forebay/r", "--json"];
    // What `cat` answers is no answer.
    let job = stand.run(&run).await.code(3).json();
    let id = job["job"].as_str().unwrap();
    disk.make_read_only();
    let seen = stand.described(id).await;
    assert_eq!((&seen["status"], &seen["failed"]), (&"Complete".into(), &3.into()), "{seen}");
    assert!(stand.run(&["list"]).await.code(0).out.contains(id));
    assert_eq!(stand.report(id).await.len(), 3);
    stand.run(&["watch", id]).await.code(3).says("some tasks of job");
    stand.run(&["run", "--job", id]).await.code(1).says("Read-only file system");
}
