//! Jobs whose process is killed.

use std::collections::BTreeMap;
use std::fs;

use super::support::{Stand, manifest, script};
use crate::support::tools::on_path;

const TASKS: usize = 400;
const KILLS: u64 = 3;
const CONCURRENCY: usize = 4;
/// Tasks that end between two syncs on a fast machine: 20 ms each, so many at once, in 200 ms and some more.
const UNSYNCED: usize = CONCURRENCY * 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_is_killed_goes_on_and_its_report_has_each_task_once() {
    if on_path("python3").is_none() {
        return;
    }
    let stand = Stand::start().await;
    let keys: Vec<String> = (0..TASKS).map(|n| format!("k{n}")).collect();
    stand.put("m.csv", manifest(&keys)).await;
    let handler = format!("cmd:python3 {} slow begun", script("handlers.py"));
    let concurrency = CONCURRENCY.to_string();
    let place = ["--manifest", "s3://forebay/m.csv", "--report", "s3://forebay/r"];
    let mut running = stand
        .started(&[&["--handler", handler.as_str(), "--concurrency", &concurrency][..], &place].concat())
        .await;
    let id = running.id.clone();
    for kill in 1..=KILLS {
        let wanted = kill * 80;
        stand.until(&id, "some results", |job| job["succeeded"].as_u64() >= Some(wanted)).await;
        running.child.kill().await.unwrap();
        let seen = stand.described(&id).await;
        assert_eq!((&seen["status"], &seen["is_held"]), (&"Active".into(), &false.into()), "{seen}");
        // What the manifest has become meanwhile does not matter.
        stand.put("m.csv", "forebay,another\n").await;
        running = stand.started(&["--job", &id]).await;
        let second = stand.run(&["run", "--job", &id]).await.code(1);
        second.says(&format!("is held by process {}", running.child.id().unwrap()));
    }
    running.ended().await.code(0);
    let job = stand.described(&id).await;
    assert_eq!((&job["status"], &job["succeeded"]), (&"Complete".into(), &TASKS.into()), "{job}");
    let rows = stand.report(&id).await;
    assert!(keys.iter().all(|key| rows.contains_key(key)) && rows.len() == TASKS, "{} rows", rows.len());
    let mut begun = BTreeMap::<String, usize>::new();
    for key in fs::read_to_string(stand.path("begun")).unwrap().lines() {
        *begun.entry(key.to_owned()).or_default() += 1;
    }
    assert_eq!(begun.len(), TASKS);
    let repeated: usize = begun.values().map(|times| times - 1).sum();
    let most = usize::try_from(KILLS).unwrap() * (CONCURRENCY + UNSYNCED);
    assert!(repeated <= most, "{repeated} invocations were repeated, at most {most} may be");
}
