//! Kills each kind of task with a panic: it is restarted and nothing is lost, or the program ends in order
//! and a restart recovers. The panics are planted, so a release build contains none.

use std::fs;
use std::path::{Path, PathBuf};

use http_body_util::Full;
use rustix::process::Signal;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::support::{CREDENTIALS, Caller, PATIENCE, Rig, Settings, ask, ids_below, logged, status};
use super::tls;
use crate::support::forebay::{Flush, Forebay, Starting, closed_pipe};
use crate::support::http::{Http, is_accepted};
use crate::support::tcp_proxy::Link;
use crate::support::wait;

/// The log message for a panic.
const PANICKED: &str = "this is a bug in Forebay";

/// A folder in which a file with a task's name makes that task panic once.
struct Planted(PathBuf);

impl Planted {
    fn in_folder(folder: &Path) -> Self {
        let folder = folder.join("planted");
        fs::create_dir(&folder).unwrap();
        Self(folder)
    }

    fn environment(&self) -> Vec<(&str, &str)> {
        CREDENTIALS.into_iter().chain([("PLANTED_PANICS", self.0.to_str().unwrap())]).collect()
    }

    fn plant(&self, task: &str) {
        fs::write(self.0.join(task), "").unwrap();
    }

    fn has_struck(&self, task: &str) -> bool {
        !self.0.join(task).exists()
    }

    async fn strikes(&self, task: &str) {
        wait::until(&format!("{task} to panic"), PATIENCE, async || self.has_struck(task).then_some(()))
            .await;
    }
}

async fn alarm_of_a_task(forebay: &Forebay) -> bool {
    let alarms = status(forebay).await["alarms"].as_array().unwrap().clone();
    alarms.iter().any(|alarm| alarm["kind"] == "task")
}

/// Calls sent before and after a task's panic are delivered once, and the program ends in order.
async fn is_started_again(task: &str) {
    let rig = Rig::start(&["lake"]).await;
    let planted = Planted::in_folder(rig.folder.path());
    let settings = rig.settings(&["web"]);
    let forebay = Forebay::serve(settings.write(), &planted.environment()).await;
    let mut caller = Caller::new();
    caller.send(&forebay, "web", 5, 0).await;
    caller.all_arrive(&rig.bucket("lake"), "", "web").await;
    planted.plant(task);
    connect(&forebay).await;
    caller.send(&forebay, "web", 5, 0).await;
    planted.strikes(task).await;
    logged(&forebay, PANICKED).await;
    caller.send(&forebay, "web", 5, 0).await;
    caller.all_arrive(&rig.bucket("lake"), "", "web").await;
    assert_eq!(ask(&forebay, "/ready").await.status, 200);
    assert!(forebay.log().contains(r#""kind":"task""#), "no alarm was raised\n{}", forebay.log());
    assert_eq!(forebay.terminate().await.code(), Some(0));
}

#[tokio::test]
async fn the_scheduler_is_restarted() {
    is_started_again("scheduler").await;
}

#[tokio::test]
async fn a_delivery_task_is_restarted_before_its_seal() {
    is_started_again("delivery").await;
}

#[tokio::test]
async fn an_encoder_is_restarted() {
    is_started_again("encoder").await;
}

/// It panics at the next line and then writes the later ones: the panic, and that a line is missing.
#[tokio::test]
async fn the_log_thread_is_restarted() {
    let rig = Rig::start(&["lake"]).await;
    let planted = Planted::in_folder(rig.folder.path());
    let mut settings = rig.settings(&["web"]);
    let forebay = Forebay::serve(settings.write(), &planted.environment()).await;
    let mut reload = |source: &str| {
        settings.sources.push((source.to_owned(), format!("write_keys = [\"{source}-key\"]")));
        settings.write();
        forebay.signal(Signal::HUP);
    };
    planted.plant("log");
    reload("ios");
    planted.strikes("log").await;
    logged(&forebay, "planted: log").await;
    reload("tv");
    logged(&forebay, "log lines were dropped").await;
    assert_eq!(status(&forebay).await["alarms"], json!([]));
    assert_eq!(forebay.terminate().await.code(), Some(0));
}

/// Its batch is half full and not due, so only the alarm reports the panic.
#[tokio::test]
async fn the_measurement_of_a_batch_is_restarted() {
    let rig = Rig::start(&["lake"]).await;
    let planted = Planted::in_folder(rig.folder.path());
    let mut settings = rig.settings(&["web"]);
    settings.flush = "max_age = \"5 s\"\nmax_bytes = \"1 MB\"".to_owned();
    let forebay = Forebay::serve(settings.write(), &planted.environment()).await;
    let mut caller = Caller::new();
    planted.plant("measure");
    for _ in 0..5 {
        caller.send(&forebay, "web", 20, 10_000).await;
    }
    planted.strikes("measure").await;
    wait::until("the alarm", PATIENCE, async || alarm_of_a_task(&forebay).await.then_some(())).await;
    caller.all_arrive(&rig.bucket("lake"), "", "web").await;
    wait::until("no alarm", PATIENCE, async || (!alarm_of_a_task(&forebay).await).then_some(())).await;
    assert_eq!(forebay.terminate().await.code(), Some(0));
}

#[tokio::test]
async fn a_delivery_task_is_restarted_after_its_seal() {
    is_started_again("upload").await;
}

#[tokio::test]
async fn a_delivery_task_is_restarted_after_its_put() {
    is_started_again("object-commit").await;
}

#[tokio::test]
async fn an_accept_loop_is_restarted() {
    is_started_again("accept").await;
}

/// The alarm of a delivery task stays until its work is done.
#[tokio::test]
async fn a_delivery_task_that_waits_for_its_store_is_restarted() {
    let rig = Rig::start(&["lake"]).await;
    let planted = Planted::in_folder(rig.folder.path());
    let settings = rig.settings(&["web"]);
    let forebay = Forebay::serve(settings.write(), &planted.environment()).await;
    let mut caller = Caller::new();
    rig.link.set(Link::Cut);
    caller.send(&forebay, "web", 5, 0).await;
    wait::until("an attempt", PATIENCE, async || (rig.link.broken() > 0).then_some(())).await;
    planted.plant("upload");
    planted.strikes("upload").await;
    wait::until("the alarm", PATIENCE, async || alarm_of_a_task(&forebay).await.then_some(())).await;
    let tried = rig.link.broken();
    wait::until("an attempt of the new task", PATIENCE, async || (rig.link.broken() > tried).then_some(()))
        .await;
    assert!(alarm_of_a_task(&forebay).await, "the alarm stays until the object is delivered");
    rig.link.set(Link::Up);
    caller.all_arrive(&rig.bucket("lake"), "", "web").await;
    wait::until("no alarm", PATIENCE, async || (!alarm_of_a_task(&forebay).await).then_some(())).await;
    assert_eq!(forebay.terminate().await.code(), Some(0));
}

/// Panics are only logged, and the log is broken.
#[tokio::test]
async fn tasks_are_restarted_even_with_a_broken_log() {
    let rig = Rig::start(&["lake"]).await;
    let planted = Planted::in_folder(rig.folder.path());
    let settings = rig.settings(&["web"]);
    let stderr = closed_pipe();
    let forebay =
        Starting::serve_logging_to(settings.write(), &planted.environment(), stderr).serve_ready().await;
    let mut caller = Caller::new();
    for task in ["scheduler", "delivery", "upload", "accept"] {
        planted.plant(task);
        connect(&forebay).await;
        caller.send(&forebay, "web", 5, 0).await;
        planted.strikes(task).await;
        caller.all_arrive(&rig.bucket("lake"), "", "web").await;
    }
    assert_eq!(forebay.terminate().await.code(), Some(0));
}

#[tokio::test]
async fn the_admin_listener_is_restarted() {
    let rig = Rig::start(&["lake"]).await;
    let planted = Planted::in_folder(rig.folder.path());
    let forebay = Forebay::serve(rig.settings(&["web"]).write(), &planted.environment()).await;
    planted.plant("admin");
    // The answer to the request that triggers the panic may be lost.
    let ready = format!("{}/ready", forebay.console);
    let is_ready = async || {
        let request = http::Request::get(&ready).body(Full::default()).unwrap();
        Http::new().send(request).await.is_ok_and(|answer| answer.status == 200)
    };
    wait::until("the panic", PATIENCE, async || {
        is_ready().await;
        planted.has_struck("admin").then_some(())
    })
    .await;
    wait::until("an answer", PATIENCE, async || is_ready().await.then_some(())).await;
    assert!(alarm_of_a_task(&forebay).await);
    assert_eq!(forebay.terminate().await.code(), Some(0));
}

#[tokio::test]
async fn the_configuration_watcher_and_reloader_are_restarted() {
    const RELOADED: &str = "configuration reloaded";
    let rig = Rig::start(&["lake"]).await;
    let planted = Planted::in_folder(rig.folder.path());
    let mut settings = rig.settings(&["web"]);
    let forebay = Forebay::serve(settings.write(), &planted.environment()).await;
    let mut caller = Caller::new();
    planted.plant("config-watcher");
    forebay.signal(Signal::HUP);
    planted.strikes("config-watcher").await;
    planted.plant("take-over");
    settings.sources.push(("ios".to_owned(), "write_keys = [\"ios-key\"]".to_owned()));
    settings.write();
    planted.strikes("take-over").await;
    wait::until("the alarm", PATIENCE, async || alarm_of_a_task(&forebay).await.then_some(())).await;
    caller.send(&forebay, "web", 5, 0).await;
    assert!(!forebay.log().contains(RELOADED), "{}", forebay.log());
    forebay.signal(Signal::HUP);
    logged(&forebay, RELOADED).await;
    caller.send(&forebay, "ios", 5, 0).await;
    for source in ["web", "ios"] {
        caller.all_arrive(&rig.bucket("lake"), "", source).await;
    }
    assert_eq!(forebay.terminate().await.code(), Some(0));
}

#[tokio::test]
async fn the_tls_file_watcher_and_accept_loop_are_restarted() {
    let rig = Rig::start(&["lake"]).await;
    let planted = Planted::in_folder(rig.folder.path());
    let folder = rig.folder.path();
    let first = tls::renew(folder);
    let mut settings = rig.settings(&["web"]);
    settings.collector = format!(
        "drain_delay = \"0 s\"\ntls_listen = \"127.0.0.1:0\"\ntls_cert = \"{0}/cert.pem\"\ntls_key = \"{0}/key.pem\"",
        folder.display()
    );
    let forebay = Forebay::serve(settings.write(), &planted.environment()).await;
    let address = tls::tls_address(&forebay).await;
    let mut caller = Caller::new();
    let mut calls_with = async |certificate: &_| {
        let (ids, body) = caller.request(3, 0);
        let answer = tls::post(address, certificate, &body).await.ok()?;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        caller.note("web", ids);
        Some(())
    };
    planted.plant("accept");
    calls_with(&first).await.unwrap();
    planted.strikes("accept").await;
    calls_with(&first).await.unwrap();
    planted.plant("tls-watcher");
    planted.strikes("tls-watcher").await;
    let second = tls::renew(folder);
    wait::until("the new certificate", PATIENCE, async || calls_with(&second).await).await;
    assert!(alarm_of_a_task(&forebay).await);
    caller.all_arrive(&rig.bucket("lake"), "", "web").await;
    assert_eq!(forebay.terminate().await.code(), Some(0));
}

#[tokio::test]
async fn the_signal_listeners_are_restarted() {
    let rig = Rig::start(&["lake"]).await;
    let planted = Planted::in_folder(rig.folder.path());
    let mut settings = rig.settings(&["web"]);
    for task in ["signals", "hangups"] {
        planted.plant(task);
    }
    let forebay = Forebay::serve(settings.write(), &planted.environment()).await;
    for task in ["signals", "hangups"] {
        planted.strikes(task).await;
    }
    settings.sources.push(("ios".to_owned(), "write_keys = [\"ios-key\"]".to_owned()));
    settings.write();
    forebay.signal(Signal::HUP);
    logged(&forebay, "configuration reloaded").await;
    planted.plant("signals");
    forebay.signal(Signal::TERM);
    assert_eq!(forebay.exit().await.code(), Some(0));
}

/// A thread of the spool dies: not ready, an alarm, exit 1, and the next start has every acknowledged call.
async fn ends_and_recovers(task: &str) {
    let rig = Rig::start(&["lake"]).await;
    let planted = Planted::in_folder(rig.folder.path());
    let mut settings = rig.settings(&["web"]);
    settings.flush = "max_age = \"1 h\"".to_owned();
    let forebay = Forebay::serve(settings.write(), &planted.environment()).await;
    let mut caller = Caller::new();
    caller.send(&forebay, "web", 20, 0).await;
    // A request that is never finished: it delays the end for a second, which leaves time to check.
    let _slow = unfinished_request(&forebay).await;
    planted.plant(task);
    let answer = caller.try_send(&forebay, "web", 5, 0).await;
    // If it was not stored before the thread died, it was not acknowledged.
    assert!(is_accepted(&answer) || answer.status == 503, "{answer:?}");
    let not_ready = wait::until("not to be ready", PATIENCE, async || {
        let answer = ask(&forebay, "/ready").await;
        (answer.status == 503).then_some(answer)
    })
    .await;
    assert!(planted.has_struck(task));
    let reasons = String::from_utf8_lossy(&not_ready.body).into_owned();
    assert!(reasons.contains("the spool has stopped"), "{reasons}");
    logged(&forebay, r#""kind":"task""#).await;
    assert_eq!(forebay.exit().await.code(), Some(1));

    settings.flush = "max_age = \"1 s\"".to_owned();
    let forebay = settings.serve().await;
    caller.all_arrive(&rig.bucket("lake"), "", "web").await;
    assert_eq!(forebay.terminate().await.code(), Some(0));
}

/// A new connection, which wakes the accept loop.
async fn connect(forebay: &Forebay) -> TcpStream {
    TcpStream::connect(forebay.collector.strip_prefix("http://").unwrap()).await.unwrap()
}

async fn unfinished_request(forebay: &Forebay) -> TcpStream {
    let mut slow = connect(forebay).await;
    let head = "POST /v1/batch?writeKey=web-key HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n";
    slow.write_all(head.as_bytes()).await.unwrap();
    let mut go_on = [0; 25];
    slow.read_exact(&mut go_on).await.unwrap();
    assert!(go_on.starts_with(b"HTTP/1.1 100"), "{}", String::from_utf8_lossy(&go_on));
    slow
}

#[tokio::test]
async fn the_process_ends_and_recovers_after_a_panic_of_the_commit_loop() {
    ends_and_recovers("commit").await;
}

#[tokio::test]
async fn the_process_ends_and_recovers_after_a_panic_of_the_housekeeper() {
    ends_and_recovers("housekeeper").await;
}

#[tokio::test]
async fn a_task_that_panics_at_every_restart_ends_the_process() {
    let rig = Rig::start(&["lake"]).await;
    let planted = Planted::in_folder(rig.folder.path());
    let settings: Settings = rig.settings(&["web"]);
    let mut forebay = Forebay::serve(settings.write(), &planted.environment()).await;
    let console = forebay.console.clone();
    // After the end, requests are not answered.
    let answered = async |path: &str| {
        let request = http::Request::get(format!("{console}{path}")).body(Full::default()).unwrap();
        let answer = Http::new().send(request).await;
        answer.map_or((0, String::new()), |answer| {
            (answer.status.as_u16(), String::from_utf8_lossy(&answer.body).into_owned())
        })
    };
    let mut caller = Caller::new();
    planted.plant("scheduler");
    caller.send(&forebay, "web", 5, 0).await;
    let (mut slow, mut reasons) = (None, String::new());
    wait::until("the process to end", PATIENCE, async || {
        planted.plant("scheduler");
        if slow.is_none() && answered("/api/status").await.1.contains("panics in a row: 10") {
            // The end waits a second for this request, which leaves time to check.
            slow = Some(unfinished_request(&forebay).await);
        }
        let (status, text) = answered("/ready").await;
        if status == 503 {
            reasons.push_str(&text);
        }
        (!forebay.is_running()).then_some(())
    })
    .await;
    assert!(reasons.contains("scheduler"), "{reasons}");
    assert!(forebay.log().contains("the process ends, so that a restart can recover"), "{}", forebay.log());
    assert_eq!(forebay.exit().await.code(), Some(1));
    let forebay = settings.serve().await;
    caller.all_arrive(&rig.bucket("lake"), "", "web").await;
    assert_eq!(forebay.terminate().await.code(), Some(0));
}

#[tokio::test]
async fn threads_and_tasks_of_dev_are_restarted_or_end_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let planted = Planted::in_folder(folder.path());
    let data = folder.path().join("data");
    let start = async || Starting::dev_in(&data, Flush::SOON, &[], &planted.environment()).dev_ready().await;
    let call = async |forebay: &Forebay, id: &str| {
        let call = json!({ "batch": [{ "type": "track", "event": "e", "userId": "u", "messageId": id }] });
        Http::new().track(&forebay.collector, "app", &call).await
    };
    let arrived = async |forebay: &Forebay, ids: &[&str]| {
        wait::until("the calls", PATIENCE, async || {
            (ids_below(&forebay.bucket(), "segment-logs/app/").await == ids).then_some(())
        })
        .await;
    };
    let forebay = start().await;
    planted.plant("dev-s3");
    assert!(call(&forebay, "1").await);
    planted.strikes("dev-s3").await;
    planted.plant("scheduler");
    planted.strikes("scheduler").await;
    assert!(call(&forebay, "2").await);
    arrived(&forebay, &["1", "2"]).await;
    assert_eq!(forebay.terminate().await.code(), Some(0));
    // Calls acknowledged before a thread of the spool died.
    let mut kept = vec!["1", "2"];
    for (task, id) in [("housekeeper", "3"), ("commit", "4")] {
        let forebay = Starting::dev_in(&data, Flush::LATE, &[], &planted.environment()).dev_ready().await;
        assert!(call(&forebay, id).await, "{task}");
        planted.plant(task);
        if call(&forebay, task).await {
            kept.extend([id, task]);
        } else {
            kept.push(id);
        }
        planted.strikes(task).await;
        assert_eq!(forebay.exit().await.code(), Some(1), "{task}");
        let forebay = start().await;
        arrived(&forebay, &kept).await;
        assert_eq!(forebay.terminate().await.code(), Some(0));
    }
}
