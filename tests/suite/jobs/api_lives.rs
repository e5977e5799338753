//! Whole lives of jobs that the API makes, in `batch serve` and in `dev`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use http::Request;
use http_body_util::Full;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::control::{ACCOUNT, Boto, Cli, Served, arn, create, with};
use super::support::{PATIENCE, Stand, manifest, script};
use crate::support::http::Http;
use crate::support::tools::in_venv;
use crate::support::wait;

/// The name of the function in the described command.
const DESCRIBED: &str = "LambdaFunctionName";

/// `--function` for a program that takes 20 ms for each task, and notes the key of each that begins.
fn slow(name: &str, folder: &Path) -> String {
    format!("{name}=cmd:python3 {} slow {}", script("handlers.py"), folder.join("begun").display())
}

/// The keys of the tasks that began, in their order.
fn begun(stand: &Stand) -> Vec<String> {
    let begun = fs::read_to_string(stand.path("begun")).unwrap_or_default();
    begun.lines().map(str::to_owned).collect()
}

fn has_succeeded(job: &Value, tasks: u64) -> bool {
    job["ProgressSummary"]["NumberOfTasksSucceeded"].as_u64() >= Some(tasks)
}

/// Makes a job by the command of the guide as it stands, and follows it to its report.
async fn the_described_command_runs(stand: &Stand, url: &str) {
    let etag = stand.put("m.csv", manifest(["a", "b%20c", "d"])).await;
    let cli = Cli::of(url);
    let operation = json!({ "LambdaInvoke": { "FunctionArn": arn(DESCRIBED) } }).to_string();
    let of_manifest = json!({
        "Spec": { "Format": "S3BatchOperations_CSV_20180820", "Fields": ["Bucket", "Key"] },
        "Location": { "ObjectArn": "arn:aws:s3:::forebay/m.csv", "ETag": etag },
    });
    let report = json!({
        "Bucket": "arn:aws:s3:::forebay", "Format": "Report_CSV_20180820", "Enabled": true,
        "Prefix": "ReportPrefix", "ReportScope": "AllTasks",
    });
    let role = format!("arn:aws:iam::{ACCOUNT}:role/BatchOperationsRole");
    let (of_manifest, report) = (of_manifest.to_string(), report.to_string());
    let what =
        ["--operation", &operation, "--manifest", &of_manifest, "--report", &report, "--priority", "2"];
    let more = ["--role-arn", &role, "--region", "us-east-1", "--description", "Lambda Function"];
    let made = cli.well(&[&["create-job"], &what[..], &more].concat()).await;
    let id = made["JobId"].as_str().unwrap();

    stand.until(id, "the confirmation to be due", |job| job["status"] == "Suspended").await;
    let job = cli.well(&["describe-job", "--job-id", id]).await["Job"].take();
    for (path, expected) in [
        ("/JobArn", json!(format!("arn:aws:s3:us-east-1:{ACCOUNT}:job/{id}"))),
        ("/Status", json!("Suspended")),
        ("/SuspendedCause", json!("AwaitingConfirmation")),
        ("/ConfirmationRequired", json!(true)),
        ("/Description", json!("Lambda Function")),
        ("/Priority", json!(2)),
        ("/RoleArn", json!(role)),
        ("/Operation/LambdaInvoke/FunctionArn", json!(arn(DESCRIBED))),
        ("/Manifest/Location/ETag", json!(etag)),
        ("/Manifest/Spec/Fields", json!(["Bucket", "Key"])),
        ("/Report/Prefix", json!("ReportPrefix")),
        ("/ProgressSummary/TotalNumberOfTasks", json!(3)),
        ("/ProgressSummary/NumberOfTasksSucceeded", json!(0)),
    ] {
        assert_eq!(job.pointer(path), Some(&expected), "{path}: {job:#}");
    }
    assert_eq!(begun(stand), Vec::<String>::new(), "nobody has confirmed it");

    let confirmed = cli.well(&["update-job-status", "--job-id", id, "--requested-job-status", "Ready"]).await;
    assert_eq!(confirmed["JobId"], id);
    stand.until(id, "the end", |job| job["status"] == "Complete").await;
    let job = cli.well(&["describe-job", "--job-id", id]).await["Job"].take();
    assert!(has_succeeded(&job, 3) && job["TerminationDate"].is_string(), "{job:#}");
    let listed = cli.well(&["list-jobs", "--job-statuses", "Complete", "Failed"]).await;
    let [listed] = listed["Jobs"].as_array().unwrap().as_slice() else { panic!("{listed:#}") };
    let summary = ["JobId", "Operation", "Description", "Status"].map(|name| listed[name].as_str().unwrap());
    assert_eq!(summary, [id, "LambdaInvoke", "Lambda Function", "Complete"]);
    let rows = stand.report(id).await;
    assert_eq!(rows.keys().collect::<Vec<_>>(), ["a", "b%20c", "d"]);
    assert!(rows.values().all(|row| row[3..] == ["succeeded", "200", "", "done"]), "{rows:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_described_command_runs_in_serve() {
    if in_venv("aws").is_none() {
        return;
    }
    let stand = Stand::start().await;
    let served = Served::start(&stand, &["--function", &slow(DESCRIBED, stand.folder.path())]).await;
    the_described_command_runs(&stand, &served.url).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_described_command_runs_in_dev() {
    if in_venv("aws").is_none() {
        return;
    }
    let stand =
        Stand::with_jobs_of_dev(|folder| vec!["--function".to_owned(), slow(DESCRIBED, folder)]).await;
    the_described_command_runs(&stand, &stand.node.s3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_with_a_higher_priority_pauses_the_one_that_runs() {
    if in_venv("python").is_none() {
        return;
    }
    let stand = Stand::start().await;
    let served = Served::start(&stand, &["--function", &slow("copy", stand.folder.path())]).await;
    let mut boto = Boto::of(&served.url);
    let keys = |letter: char, count: usize| (0..count).map(move |n| format!("{letter}{n}"));
    let low = stand.put("low.csv", manifest(keys('l', 500))).await;
    let high = stand.put("high.csv", manifest(keys('h', 50))).await;
    let low = boto.make(with(create("copy", "low.csv", &low, "low"), json!({ "Priority": 1 }))).await;
    boto.until(&low, "the first job to run", |job| has_succeeded(job, 1)).await;
    let high = boto.make(with(create("copy", "high.csv", &high, "high"), json!({ "Priority": 2 }))).await;
    boto.until(&low, "its pause", |job| job["Status"] == "Paused").await;
    boto.until(&high, "the second job to end", |job| job["Status"] == "Complete").await;
    let job = boto.job(&low).await;
    assert!(!has_succeeded(&job, 500), "it was paused before its end: {job:#}");
    boto.until(&low, "the first job to go on to its end", |job| job["Status"] == "Complete").await;
    let begun = begun(&stand);
    let high: Vec<usize> = (0..begun.len()).filter(|n| begun[*n].starts_with('h')).collect();
    let between = begun[high[0]..*high.last().unwrap()].iter().filter(|key| key.starts_with('l')).count();
    assert_eq!(
        (begun.len(), high.len(), between),
        (550, 50, 0),
        "each task once, and none beside the other job"
    );
    assert_eq!(begun.iter().collect::<BTreeSet<_>>().len(), 550);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn serve_counts_its_jobs_in_metrics() {
    if in_venv("python").is_none() {
        return;
    }
    let stand = Stand::start().await;
    let (served, url) =
        Served::with_metrics(&stand, &["--function", &slow("copy", stand.folder.path())]).await;
    let etag = stand.put("m.csv", manifest(["a", "b", "c"])).await;
    let mut boto = Boto::of(&served.url);
    let id = boto.make(create("copy", "m.csv", &etag, "t")).await;
    boto.until(&id, "the end", |job| job["Status"] == "Complete").await;
    let http = Http::new();
    let text = wait::until("the metrics of its end", PATIENCE, async || {
        let answer = http.send(Request::get(&url).body(Full::default()).unwrap()).await.unwrap();
        let text = String::from_utf8(answer.body.to_vec()).unwrap();
        let ended = "forebay_batch_jobs{status=\"Complete\"} 1";
        (answer.status == 200 && text.lines().any(|line| line == ended)).then_some(text)
    })
    .await;
    for line in [
        "forebay_batch_tasks_total{outcome=\"succeeded\"} 3",
        "forebay_batch_invocations 0",
        "forebay_batch_throttles_total 0",
        "forebay_batch_jobs{status=\"Active\"} 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_goes_on_after_its_server_is_killed_or_stopped() {
    if in_venv("python").is_none() {
        return;
    }
    let stand = Stand::start().await;
    let function = slow("copy", stand.folder.path());
    let mut served = Served::start(&stand, &["--function", &function]).await;
    let keys: Vec<String> = (0..400).map(|n| format!("k{n}")).collect();
    let etag = stand.put("m.csv", manifest(&keys)).await;
    let request = create("copy", "m.csv", &etag, "token");
    let id = Boto::of(&served.url).make(request.clone()).await;
    stand.until(&id, "some results", |job| job["succeeded"].as_u64() >= Some(50)).await;
    served.child.kill().await.unwrap();
    let seen = stand.described(&id).await;
    assert_eq!((&seen["status"], &seen["is_held"]), (&"Active".into(), &false.into()), "{seen}");
    let said = stand.run(&["describe", &id]).await.code(0).out;
    assert!(
        said.split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
            .contains("a `forebay batch serve --listen ADDR` or"),
        "{said}"
    );

    // Its function and store are those of a server.
    stand
        .run(&["run", "--job", &id])
        .await
        .code(2)
        .says("was made through the API: a `forebay batch serve --listen ADDR` or");
    // What waits counts for what is asked next.
    stand.run(&["pause", &id]).await.code(0);
    stand.run(&["resume", &id]).await.code(0);
    stand.run(&["resume", &id]).await.code(1);

    let mut served = Served::start(&stand, &["--function", &function]).await;
    let mut boto = Boto::of(&served.url);
    assert_eq!(boto.make(request).await, id, "the token is known after a kill");
    let done = seen["succeeded"].as_u64().unwrap() + 50;
    stand.until(&id, "more results", |job| job["succeeded"].as_u64() >= Some(done)).await;
    // Other processes ask it for something.
    stand.run(&["pause", &id]).await.code(0);
    stand.until(&id, "its pause", |job| job["status"] == "Paused").await;
    stand.run(&["resume", &id]).await.code(0);
    stand.until(&id, "it to go on", |job| job["status"] == "Active").await;
    let pid = i32::try_from(served.child.id().unwrap()).unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), Signal::TERM).unwrap();
    let ended = tokio::time::timeout(PATIENCE, served.child.wait()).await.unwrap().unwrap();
    assert!(ended.success(), "{ended:?}");
    let seen = stand.described(&id).await;
    let (began, count) = (begun(&stand), |key: &str| seen[key].as_u64().unwrap());
    // What was in flight has ended and is recorded.
    assert_eq!(began.iter().collect::<BTreeSet<_>>().len() as u64, count("succeeded"), "{seen}");

    let _served = Served::start(&stand, &["--function", &function]).await;
    stand.until(&id, "the end", |job| job["status"] == "Complete").await;
    let rows = stand.report(&id).await;
    assert!(keys.iter().all(|key| rows.contains_key(key)) && rows.len() == 400, "{} rows", rows.len());
    let again: Vec<String> = begun(&stand).split_off(began.len());
    let repeated = again.iter().filter(|key| began.contains(key)).count();
    assert_eq!(repeated, 0, "after a stop in order no task runs again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dev_goes_on_with_its_jobs_and_its_reset_removes_them() {
    if in_venv("python").is_none() {
        return;
    }
    let function = |folder: &Path| vec!["--function".to_owned(), slow("copy", folder)];
    let stand = Stand::with_jobs_of_dev(function).await;
    let etag = stand.put("m.csv", manifest((0..200).map(|n| format!("k{n}")))).await;
    let mut boto = Boto::of(&stand.node.s3);
    boto.refused("create_job", create("other", "m.csv", &etag, "t"), "BadRequestException", "--function")
        .await;
    let id = boto.make(create("copy", "m.csv", &etag, "token")).await;
    boto.until(&id, "some results", |job| has_succeeded(job, 20)).await;
    // It has moved to other ports.
    let stand = stand.restart_dev(false, function).await;
    let mut boto = Boto::of(&stand.node.s3);
    boto.until(&id, "the end", |job| job["Status"] == "Complete").await;
    assert_eq!(stand.report(&id).await.len(), 200);
    let stand = stand.restart_dev(true, |_| vec!["--reset".to_owned()]).await;
    let mut boto = Boto::of(&stand.node.s3);
    assert_eq!(boto.well("list_jobs", json!({})).await["Jobs"], json!([]));
    assert_eq!(stand.run(&["list", "--json"]).await.code(0).json()["jobs"], json!([]));
}
