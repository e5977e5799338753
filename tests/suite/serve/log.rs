//! A log that cannot be written or that nobody reads: calls are still acknowledged and delivered, operators
//! get answers, and the program ends in order.

use std::fs::File;
use std::io::{PipeReader, PipeWriter, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::pipe::fcntl_setpipe_size;
use tokio::time::Instant;

use super::full::{SmallDisk, fill_up};
use super::support::{CREDENTIALS, Caller, PATIENCE, Rig, ask};
use crate::support::forebay::{Forebay, Starting, closed_pipe, command};
use crate::support::http::Http;
use crate::support::tcp_proxy::Link;
use crate::support::wait;

/// The smallest pipe of Linux.
const PIPE_BYTES: usize = 4_096;
/// The time limit for the end: far below the grace period, which a frozen task would use up.
const EXIT_MAX: Duration = Duration::from_secs(15);
/// The time limit for answers to operators while the log is stuck.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// The counter of dropped lines.
const DROPPED: &str = "forebay_log_lines_dropped_total";

/// A device on which every write fails with "no space left".
fn full_device() -> Stdio {
    File::options().write(true).open("/dev/full").unwrap().into()
}

/// A small pipe that nobody reads while the reader is open.
fn unread_pipe() -> (PipeReader, PipeWriter) {
    let (reader, writer) = std::io::pipe().unwrap();
    fcntl_setpipe_size(&writer, PIPE_BYTES).unwrap();
    (reader, writer)
}

/// The value of a counter without labels.
async fn counter(forebay: &Forebay, name: &str) -> u64 {
    let answer = ask(forebay, "/metrics").await;
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("{name} is not in {text}")).parse().unwrap()
}

/// Where a person looks for the last object of each source, also of a node with many sources.
#[tokio::test]
async fn each_delivered_object_has_a_line_of_its_own() {
    let rig = Rig::start(&["lake"]).await;
    let sources: Vec<String> = (0..60).map(|number| format!("source-{number}")).collect();
    let ids: Vec<&str> = sources.iter().map(String::as_str).collect();
    let mut settings = rig.settings(&ids);
    settings.flush = "max_age = \"1 h\"".to_owned();
    let forebay = settings.serve().await;
    let mut caller = Caller::new();
    for source in &ids {
        caller.send(&forebay, source, 1, 0).await;
    }
    forebay.flush().await;
    let keys = rig.bucket("lake").keys("segment-logs/source-").await;
    assert_eq!(keys.len(), sources.len());
    let lines = |log: &str, key: &str| log.lines().filter(|line| line.contains(key)).count();
    wait::until("a line for each object", PATIENCE, async || {
        let log = forebay.log();
        keys.iter().all(|key| lines(&log, key) > 0).then_some(())
    })
    .await;
    let log = forebay.log();
    assert!(keys.iter().all(|key| lines(&log, key) == 1), "{log}");
    let line = log.lines().find(|line| line.contains(&keys[0])).unwrap();
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    let source = keys[0].split('/').nth(1).unwrap();
    assert_eq!(
        (&line["message"], &line["source"], &line["calls"]),
        (&"delivered".into(), &source.into(), &1.into())
    );
    assert_eq!((&line["bucket"], &line["key"]), (&"lake".into(), &keys[0].as_str().into()));
}

/// The store fails for some attempts and then works again; everything must work as with a log.
async fn serves_and_delivers(stderr: Stdio, log_level: &str) {
    let rig = Rig::start(&["lake"]).await;
    let settings = rig.settings(&["web", "ios"]);
    let environment: Vec<_> = CREDENTIALS.into_iter().chain([("FOREBAY_LOG", log_level)]).collect();
    let forebay = Starting::serve_logging_to(settings.write(), &environment, stderr).serve_ready().await;
    let mut caller = Caller::new();
    rig.link.set(Link::Cut);
    for _ in 0..5 {
        for source in ["web", "ios"] {
            caller.send(&forebay, source, 1, 0).await;
        }
        let tried = rig.link.broken();
        wait::until("one more attempt", PATIENCE, async || (rig.link.broken() > tried).then_some(())).await;
        let asked = Instant::now();
        assert_eq!(ask(&forebay, "/ready").await.status, 200);
        assert!(asked.elapsed() < ANSWER_MAX, "{:?}", asked.elapsed());
    }
    rig.link.set(Link::Up);
    caller.send(&forebay, "web", 5, 0).await;
    for source in ["web", "ios"] {
        caller.all_arrive(&rig.bucket("lake"), "", source).await;
    }
    let ending = Instant::now();
    assert_eq!(forebay.terminate().await.code(), Some(0));
    assert!(ending.elapsed() < EXIT_MAX, "{:?}", ending.elapsed());
}

#[tokio::test]
async fn a_log_on_a_full_device_blocks_nothing() {
    serves_and_delivers(full_device(), "info").await;
}

#[tokio::test]
async fn a_log_on_a_closed_pipe_blocks_nothing() {
    serves_and_delivers(closed_pipe(), "info").await;
}

#[tokio::test]
async fn a_log_that_nobody_reads_blocks_nothing() {
    let (reader, mut writer) = unread_pipe();
    writer.write_all(&[b'\n'; PIPE_BYTES]).unwrap();
    serves_and_delivers(writer.into(), "trace").await;
    drop(reader);
}

#[tokio::test]
async fn each_delivered_object_has_a_line_with_its_key() {
    let rig = Rig::start(&["lake"]).await;
    let mut settings = rig.settings(&["web", "ios"]);
    settings.flush = "max_age = \"1 h\"".to_owned();
    let forebay = settings.serve().await;
    let mut caller = Caller::new();
    caller.send(&forebay, "web", 12, 0).await;
    caller.send(&forebay, "ios", 3, 0).await;
    forebay.flush().await;
    let lines = wait::until("a line for each object", PATIENCE, async || {
        let log = forebay.log();
        let lines = log.lines().filter_map(|line| serde_json::from_str(line).ok());
        let lines: Vec<serde_json::Value> =
            lines.filter(|line: &serde_json::Value| line["message"] == "delivered").collect();
        (lines.len() >= 2).then_some(lines)
    })
    .await;
    let log = forebay.log();
    for (source, calls) in [("web", 12), ("ios", 3)] {
        let objects = rig.bucket("lake").objects(&format!("segment-logs/{source}/")).await;
        let [object] = &*objects else { panic!("{source}: {} objects", objects.len()) };
        let line = lines.iter().find(|line| line["key"] == object.key.as_str());
        let line = line.unwrap_or_else(|| panic!("{} is not in {log}", object.key));
        assert_eq!((&line["level"], &line["source"]), (&"INFO".into(), &source.into()), "{line}");
        assert_eq!((&line["calls"], &line["bytes"]), (&calls.into(), &object.body.len().into()), "{line}");
        assert_eq!(line["bucket"], "lake", "{line}");
        assert!(line["seconds"].is_u64() && line.get("others").is_none(), "{line}");
    }
    assert_eq!(lines.len(), 2, "{log}");
    assert!(forebay.terminate().await.success());
}

#[tokio::test]
async fn a_log_that_works_again_reports_the_dropped_lines() {
    let rig = Rig::start(&["lake"]).await;
    let Some(disk) = SmallDisk::mount(rig.folder.path().join("disk")) else { return };
    let (log, filler) = (disk.path().join("log"), disk.path().join("filler"));
    let settings = rig.settings(&["web"]);
    let stderr = File::options().create(true).append(true).open(&log).unwrap().into();
    let environment: Vec<_> = CREDENTIALS.into_iter().chain([("FOREBAY_LOG", "debug")]).collect();
    let forebay = Starting::serve_logging_to(settings.write(), &environment, stderr).serve_ready().await;
    let mut caller = Caller::new();
    caller.send(&forebay, "web", 1, 0).await;
    caller.all_arrive(&rig.bucket("lake"), "", "web").await;
    assert_eq!(counter(&forebay, DROPPED).await, 0);

    fill_up(&filler);
    // The rest of the log's last page still holds some lines.
    wait::until("lines to be dropped", PATIENCE, async || {
        caller.send(&forebay, "web", 1, 0).await;
        (counter(&forebay, DROPPED).await >= 5).then_some(())
    })
    .await;
    std::fs::remove_file(&filler).unwrap();
    caller.all_arrive(&rig.bucket("lake"), "", "web").await;
    let report = wait::until("the report", PATIENCE, async || {
        caller.send(&forebay, "web", 1, 0).await;
        let text = std::fs::read_to_string(&log).unwrap();
        text.lines().find(|line| line.contains("log lines were dropped")).map(str::to_owned)
    })
    .await;
    let report: serde_json::Value =
        serde_json::from_str(&report).unwrap_or_else(|error| panic!("{error}: {report}"));
    assert_eq!(report["lines"].as_u64(), Some(counter(&forebay, DROPPED).await), "{report}");
    assert!(report["since"].as_str().unwrap() < report["timestamp"].as_str().unwrap(), "{report}");
    assert!(forebay.terminate().await.success());
}

/// Three free ports. Without standard output, the program cannot print its addresses.
fn free_ports() -> [u16; 3] {
    let listeners = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

/// Runs `forebay dev` with unreadable output.
async fn dev_runs(folder: &Path, stdout: Stdio, stderr: Stdio) {
    let [collector, console, s3] = free_ports();
    let mut command = command();
    command.arg("dev").arg("--data-dir").arg(folder);
    for (option, port) in [("--listen", collector), ("--admin-listen", console), ("--s3-listen", s3)] {
        command.arg(option).arg(format!("127.0.0.1:{port}"));
    }
    command.stdin(Stdio::null()).stdout(stdout).stderr(stderr).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let http = Http::new();
    let call = serde_json::json!({ "batch": [{ "type": "track", "event": "e", "userId": "u" }] });
    wait::until("a call to be accepted", PATIENCE, async || {
        let taken = http.track(&format!("http://127.0.0.1:{collector}"), "app", &call).await;
        assert_eq!(child.try_wait().unwrap(), None, "it ended");
        taken.then_some(())
    })
    .await;
    let flushed = http.post(&format!("http://127.0.0.1:{console}/api/flush"), "").await.unwrap();
    assert!(flushed.status.is_success(), "{flushed:?}");
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap();
    let ending = Instant::now();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(child.wait().await.unwrap().code(), Some(0));
    assert!(ending.elapsed() < EXIT_MAX, "{:?}", ending.elapsed());
}

#[tokio::test]
async fn dev_runs_with_its_output_on_a_full_device() {
    let folder = tempfile::tempdir().unwrap();
    dev_runs(folder.path(), full_device(), full_device()).await;
}

#[tokio::test]
async fn dev_runs_with_its_output_on_closed_pipes() {
    let folder = tempfile::tempdir().unwrap();
    dev_runs(folder.path(), closed_pipe(), closed_pipe()).await;
}

#[tokio::test]
async fn dev_runs_with_an_output_that_nobody_reads() {
    let folder = tempfile::tempdir().unwrap();
    let (reader, mut writer) = unread_pipe();
    writer.write_all(&[b'\n'; PIPE_BYTES]).unwrap();
    let both = writer.try_clone().unwrap();
    dev_runs(folder.path(), writer.into(), both.into()).await;
    drop(reader);
}
