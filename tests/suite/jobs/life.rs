//! Jobs from their manifest to their report.

use std::fs;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

use super::support::{Stand, manifest, ran, script};
use crate::serve::support::PATIENCE;
use crate::support::tools::on_path;
use crate::support::wait;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_answer_of_a_program_has_its_row_in_the_report() {
    if on_path("python3").is_none() {
        return;
    }
    let stand = Stand::start().await;
    // Status, HTTP status, error code, and what the message has.
    let expected = [
        ("ok", "succeeded", "200", "", "a \"quoted\", text\nof two lines"),
        ("permanent", "failed", "200", "PermanentFailure", "it is bad"),
        ("temporary", "succeeded", "200", "", "now it works"),
        ("always", "failed", "200", "TemporaryFailure", "never now"),
        ("text", "failed", "200", "PermanentFailure", "Invalid JSON returned in Lambda payload"),
        ("broken", "failed", "200", "PermanentFailure", "Invalid JSON returned in Lambda payload"),
        ("null", "failed", "200", "PermanentFailure", "null"),
        ("unknown", "failed", "200", "PermanentFailure", "unknown result code \"Done\""),
        ("none", "failed", "200", "PermanentFailure", ""),
        ("other", "failed", "200", "PermanentFailure", "invocationId"),
        ("dies", "failed", "", "PermanentFailure", "exit status: 3"),
    ];
    stand.put("m.csv", manifest(expected.map(|(key, ..)| key))).await;
    fs::create_dir(stand.path("tries")).unwrap();
    let handler = format!("cmd:python3 {} answers tries", script("handlers.py"));
    let place = ["--manifest", "s3://forebay/m.csv", "--report", "s3://forebay/reports/of-all/"];
    let limits = ["--max-attempts", "2", "--concurrency", "4", "--json"];
    let run = [&["run", "--handler", handler.as_str()][..], &place, &limits].concat();
    let ran = stand.run(&run).await.code(3).says("some tasks of job");
    let job = ran.json();
    assert_eq!((job["status"].as_str(), job["succeeded"].as_u64()), (Some("Complete"), Some(2)), "{job}");
    let rows = stand.report(job["job"].as_str().unwrap()).await;
    assert_eq!(rows.len(), expected.len(), "{rows:#?}");
    for (key, status, http, code, message) in expected {
        let row = &rows[key];
        assert_eq!(row[..6], ["forebay", key, "", status, http, code], "{row:?}");
        assert!(row[6].contains(message), "{message}: {row:?}");
        let tries = fs::read_to_string(stand.path("tries").join(key)).unwrap().lines().count();
        let again = matches!(key, "temporary" | "always" | "dies");
        assert_eq!(tries, if again { 2 } else { 1 }, "{key}");
    }

    // The failures of a report are the manifest of the next job.
    let report = job["report"].as_str().unwrap();
    let again = ["--manifest", report, "--max-attempts", "1", "--json"];
    let again = stand.run(&[&["run", "--handler", handler.as_str()][..], &again].concat()).await.code(3);
    assert_eq!(again.json()["total"], expected.len() as u64 - 2);

    // A program that does not answer in time is killed, and the task is tried again.
    let path = stand.file("h.csv", manifest(["hangs"]));
    let slow =
        ["--manifest", &path, "--report", "s3://forebay/h", "--max-attempts", "2", "--task-timeout", "1s"];
    let hung =
        stand.run(&[&["run", "--json", "--handler", handler.as_str()][..], &slow].concat()).await.code(3);
    let rows = stand.report(hung.json()["job"].as_str().unwrap()).await;
    let row = &rows["hangs"];
    assert_eq!(row[..6], ["forebay", "hangs", "", "failed", "", "PermanentFailure"], "{row:?}");
    assert!(row[6].contains("no answer within 1 s"), "{row:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_all_kinds_come_from_a_listing_to_the_function_and_back() {
    if on_path("python3").is_none() {
        return;
    }
    let stand = Stand::start().await;
    let keys = ["in/a b", "in/a+b", "in/100%", "in/a%20b", "in/a,b", "in/a\"b\"", "in/ü/日本", "in/plain"];
    for key in keys {
        stand.put(key, "x").await;
    }
    stand.put("out/other", "x").await;
    let listed = stand.run(&["manifest", "--bucket", "forebay", "--prefix", "in/"]).await.code(0).out;
    assert_eq!(listed.lines().count(), keys.len(), "{listed}");
    let some = stand.run(&["manifest", "--bucket", "forebay", "--match", "^in/p|other$"]).await.code(0).out;
    assert_eq!(some, "forebay,in/plain\nforebay,out/other\n");
    let newer = stand.run(&["manifest", "--bucket", "forebay", "--newer-than", "2126-01-01"]).await.code(1);
    assert!(newer.err.contains("--newer-than"), "{newer:?}");
    let to = ["--to", "s3://forebay/lists/m.csv", "--json"];
    let put = stand.run(&[&["manifest", "--bucket", "forebay", "--prefix", "in/"][..], &to].concat()).await;
    let put = put.code(0).json();
    assert_eq!(put["objects"], keys.len(), "{put}");

    // The function decodes each key, and asks whether there is such an object.
    stand.file(
        "f.py",
        "import json, sys\nfrom urllib.parse import unquote, unquote_plus\nfor line in sys.stdin:\n    \
         event = json.loads(line)\n    task = event['tasks'][0]\n    key = task['s3Key']\n    \
         assert unquote(key) == unquote_plus(key), key\n    \
         result = {'taskId': task['taskId'], 'resultCode': 'Succeeded', 'resultString': unquote(key)}\n    \
         print(json.dumps({'invocationSchemaVersion': '1.0', 'invocationId': event['invocationId'], 'results': [result]}), flush=True)\n",
    );
    let etag = put["etag"].as_str().unwrap();
    let run = ["run", "--manifest", "s3://forebay/lists/m.csv", "--manifest-etag", etag, "--handler"];
    let more = ["cmd:python3 f.py", "--report", "s3://forebay", "--json"];
    let looked = stand.run(&[&run[..], &more, &["--dry-run"]].concat()).await.code(0).json();
    assert_eq!((&looked["tasks"], &looked["etag"]), (&keys.len().into(), &etag.into()), "{looked}");
    assert_eq!(stand.run(&["list", "--json"]).await.code(0).json()["jobs"], serde_json::json!([]));
    let job = stand.run(&[&run[..], &more].concat()).await.code(0).json();
    let rows = stand.report(job["job"].as_str().unwrap()).await;
    let mut found: Vec<&str> = rows.values().map(|row| row[6].as_str()).collect();
    found.sort_unstable();
    let mut expected = keys.to_vec();
    expected.sort_unstable();
    assert_eq!(found, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_manifest_may_come_from_standard_input_with_arguments_of_tasks() {
    if on_path("python3").is_none() {
        return;
    }
    let stand = Stand::start().await;
    fs::create_dir(stand.path("tries")).unwrap();
    let handler = format!("cmd:python3 {} answers tries", script("handlers.py"));
    let run =
        ["run", "--manifest", "-", "--handler", handler.as_str(), "--report", "s3://forebay/r", "--json"];
    let rows = "{\"bucket\":\"forebay\",\"key\":\"arguments\",\"args\":{\"to\":\"there\"}}\n{\"bucket\":\"forebay\",\"key\":\"ok\"}\n";
    let schema = ["--schema", "2.0", "--user-arg", "from=here", "--user-arg", "to=nowhere"];
    let done = ran(stand.batch(&[&run[..], &schema].concat()), rows.as_bytes()).await.code(0).json();
    let report = stand.report(done["job"].as_str().unwrap()).await;
    assert_eq!(report["arguments"][6], r#"[{"from": "here", "to": "there"}, "forebay"]"#);
    let refused = ran(stand.batch(&run), rows.as_bytes()).await.code(2);
    refused.says("schema 1.0 cannot pass").says("InvalidManifestContent");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_fails_above_its_threshold_and_has_a_report() {
    if on_path("python3").is_none() {
        return;
    }
    let stand = Stand::start().await;
    fs::create_dir(stand.path("tries")).unwrap();
    let path = stand.file("m.csv", manifest(vec!["permanent"; 200]));
    let handler = format!("cmd:python3 {} answers tries", script("handlers.py"));
    let run = [
        "run", "--manifest", &path, "--handler", &handler, "--report", "s3://forebay/r", "--concurrency", "2",
    ];
    let limits = ["--failure-min-tasks", "20", "--failure-percent", "50", "--json"];
    let failed = stand.run(&[&run[..], &limits].concat()).await.code(1).says("TooManyTasksFailed");
    let job = failed.json();
    let failed = job["failed"].as_u64().unwrap();
    assert!((20..=22).contains(&failed) && job["status"] == "Failed", "{job}");
    let report = stand.run(&["report", job["job"].as_str().unwrap()]).await.code(0);
    assert!(report.out.contains("manifest.json") && report.out.contains("Failed: 0 succeeded"), "{report:?}");
    // The same rows, without a download.
    let rows = stand.run(&["report", job["job"].as_str().unwrap(), "--rows", "failed"]).await.code(0).out;
    assert_eq!(rows.lines().count() as u64, failed);
    assert!(
        rows.lines().all(|row| row.starts_with("forebay,permanent,,failed,200,PermanentFailure,")),
        "{rows}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_lets_invocations_end_and_the_job_goes_on_by_its_id() {
    if on_path("python3").is_none() {
        return;
    }
    let stand = Stand::start().await;
    let keys: Vec<String> = (0..150).map(|n| format!("k{n}")).collect();
    let path = stand.file("m.csv", manifest(&keys));
    let handler = format!("cmd:python3 {} slow begun", script("handlers.py"));
    let run =
        ["--manifest", &path, "--handler", &handler, "--report", "s3://forebay/r", "--concurrency", "2"];
    let running = stand.started(&run).await;
    let id = running.id.clone();
    stand.until(&id, "the first results", |job| job["succeeded"].as_u64() > Some(0)).await;
    let pid = i32::try_from(running.child.id().unwrap()).unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), Signal::INT).unwrap();
    let stopped = running.ended().await.code(130);
    let stopped = stopped.says(&format!("forebay batch run --job {id}"));
    drop(stopped);
    let before = stand.described(&id).await;
    assert_eq!((before["status"].as_str(), before["is_held"].as_bool()), (Some("Active"), Some(false)));
    // In another folder the program is found nevertheless.
    let mut elsewhere = stand.batch(&["run", "--job", &id]);
    elsewhere.current_dir("/");
    ran(elsewhere, b"").await.code(0);
    // Nothing was cut off, so nothing ran twice.
    let begun = fs::read_to_string(stand.path("begun")).unwrap();
    assert_eq!(begun.lines().count(), keys.len());
    assert_eq!(stand.report(&id).await.len(), keys.len());
    // A job that has ended says so again.
    stand.run(&["run", "--job", &id]).await.code(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_second_signal_ends_the_programs_too() {
    let stand = Stand::start().await;
    let (pid_file, keys) = (stand.path("pid"), stand.file("hung.csv", manifest(["k"])));
    let handler = format!("cmd:sh -c 'echo $$ > {}; exec sleep 1000'", pid_file.display());
    let mut running = stand.started(&["--handler", &handler, "--manifest", &keys]).await;
    stand.until(&running.id, "its task", |job| job["status"] == "Active").await;
    let program = wait::until("the program", PATIENCE, async || {
        fs::read_to_string(&pid_file).ok()?.trim().parse::<i32>().ok()
    })
    .await;
    let command = Pid::from_raw(i32::try_from(running.child.id().unwrap()).unwrap()).unwrap();
    // Two signals at once may be one.
    wait::until("the end of the command", PATIENCE, async || {
        let ended = running.child.try_wait().unwrap();
        if ended.is_none() {
            kill_process(command, Signal::INT).unwrap();
        }
        ended
    })
    .await;
    running.ended().await.code(130);
    wait::until("the end of the program", PATIENCE, async || {
        (!Path::new(&format!("/proc/{program}")).exists()).then_some(())
    })
    .await;
}
