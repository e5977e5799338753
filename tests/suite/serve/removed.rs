//! Sources that were removed: nothing names them once nothing waits for them, and every sum stays what it
//! was.
//!
//! `FOREBAY_REMOVED_SOURCES` sets how many; with it, the test prints what they took.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;
use std::time::Duration;

use forebay::time::{DAY_MS, UnixMillis};
use http::StatusCode;
use rustix::process::{Pid, Signal};
use serde_json::{Value, json};

use super::support::{CREDENTIALS, Caller, PATIENCE, Rig, Settings, ask, status};
use crate::support::faketime::{Faketime, unix_ms};
use crate::support::forebay::{Forebay, command, finished};
use crate::support::http::is_accepted;
use crate::support::wait;

const COUNTERS: [&str; 5] = ["received", "stored", "repeated", "rejected", "delivered"];

/// How long memory is measured. The least counts.
const MEASURED_SECONDS: u64 = 40;

fn is_measured() -> bool {
    env::var_os("FOREBAY_REMOVED_SOURCES").is_some()
}

fn how_many() -> usize {
    env::var_os("FOREBAY_REMOVED_SOURCES").map_or(300, |many| many.to_str().unwrap().parse().unwrap())
}

/// The sums of what a node counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Sums {
    counters: BTreeMap<&'static str, u64>,
    ledger: BTreeMap<String, u64>,
    /// Of the status: since the process started, and of the ledger.
    status: (Value, Value),
}

async fn metrics(node: &Forebay) -> String {
    String::from_utf8(ask(node, "/metrics").await.body.to_vec()).unwrap()
}

fn sum(metrics: &str, name: &str) -> u64 {
    let series = metrics.lines().filter_map(|line| line.strip_prefix(name)?.rsplit_once(' '));
    series.map(|(_, value)| value.parse::<u64>().unwrap()).sum()
}

async fn sums(node: &Forebay) -> Sums {
    let text = metrics(node).await;
    let counters = COUNTERS.map(|counter| (counter, sum(&text, &format!("forebay_calls_{counter}_total{{"))));
    let mut ledger = BTreeMap::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("forebay_ledger_calls{")) {
        let (labels, value) = line.rsplit_once(' ').unwrap();
        let account = labels.split("account=\"").nth(1).unwrap().trim_end_matches("\"}");
        *ledger.entry(account.to_owned()).or_default() += value.parse::<u64>().unwrap();
    }
    let of = |account: &str| ledger.get(account).copied().unwrap_or_default();
    assert_eq!(of("received"), of("stored") + of("rejected") + of("repeated") + of("suppressed"), "{text}");
    assert_eq!(of("stored"), of("delivered") + of("pending") + of("lost"), "{text}");
    let mut status = status(node).await;
    assert_eq!(status["ledger"]["balanced"], true, "{status}");
    let mut totals = status["ledger"]["totals"].take();
    totals.as_object_mut().unwrap().retain(|_, calls| calls != 0);
    Sums { counters: counters.into(), ledger, status: (status["totals"].take(), totals) }
}

/// Whether `/metrics`, the status, the ledger or the days name a source that is not expected.
async fn names_others(node: &Forebay, expected: &[&str]) -> Option<String> {
    let text = metrics(node).await;
    let is_expected = |name: &str| name.starts_with('(') || expected.contains(&name);
    let labels = text.lines().filter_map(|line| line.split("source=\"").nth(1)?.split('"').next());
    let mut others = labels.filter(|name| !is_expected(name)).map(|name| format!("/metrics: {name}"));
    if let Some(other) = others.next() {
        return Some(other);
    }
    for (path, list) in [("/api/status", "sources"), ("/api/ledger", "sources"), ("/api/days", "unclosed")] {
        let answer: Value = serde_json::from_slice(&ask(node, path).await.body).unwrap();
        for one in answer[list].as_array().unwrap() {
            let name = one["id"].as_str().or(one["source"].as_str()).unwrap();
            if !is_expected(name) {
                return Some(format!("{path}: {name}"));
            }
        }
    }
    None
}

fn loud<'a>(environment: &'a [(&'static str, String)]) -> Vec<(&'a str, &'a str)> {
    let clock = environment.iter().map(|(name, value)| (*name, value.as_str()));
    CREDENTIALS.into_iter().chain(clock).collect()
}

async fn reload(settings: &Settings, node: &Forebay) {
    let said = || node.log().matches("configuration reloaded").count();
    let before = said();
    settings.write();
    node.signal(Signal::HUP);
    wait::until("the reload", PATIENCE, async || (said() > before).then_some(())).await;
}

/// The bytes of memory that a process has, without those of its program file.
fn anonymous(pid: Pid) -> u64 {
    let text = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1_024
}

async fn figures(what: &str, node: &Forebay) {
    if is_measured() {
        let (status, metrics) = (ask(node, "/api/status").await.body.len(), metrics(node).await.len());
        // Freed memory goes back after a while.
        let mut memory = u64::MAX;
        for _ in 0..MEASURED_SECONDS {
            tokio::time::sleep(Duration::from_secs(1)).await;
            memory = memory.min(anonymous(node.pid()));
        }
        eprintln!("{what}: {status} bytes of status, {metrics} of metrics, {memory} of memory");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn removed_sources_are_forgotten_and_their_counts_stay_in_every_sum() {
    let rig = Rig::start(&["lake"]).await;
    let Some(faketime) = Faketime::new(rig.folder.path()) else { return };
    let many = how_many();
    let patience = PATIENCE + Duration::from_millis(100) * u32::try_from(many).unwrap();
    let names: Vec<String> = (0..many).map(|n| format!("s{n:05}")).collect();
    let mut settings = rig.settings(&["web"]);
    settings.flush = "max_age = \"1 h\"".to_owned();
    let environment = faketime.environment();
    faketime.set_ms(UnixMillis(unix_ms()).day().start().0 - DAY_MS / 24);
    let node = Forebay::serve(settings.write(), &loud(&environment)).await;
    figures("at first", &node).await;

    // Added while it runs, and used: calls, one of them sent twice, and an item that is no call.
    let source = |id: &String| (id.clone(), format!("write_keys = [\"{id}-key\"]"));
    settings.sources.extend(names.iter().map(source));
    reload(&settings, &node).await;
    let mut caller = Caller::new();
    caller.send(&node, "web", 3, 0).await;
    for name in &names {
        let (ids, body) = caller.request(2, 0);
        assert!(is_accepted(&caller.post(&node, name, body).await.unwrap()), "{}", node.log());
        caller.note(name, ids.clone());
        let again = json!({ "batch": [
            { "type": "track", "event": "e", "userId": "u", "messageId": ids[0] },
            { "type": "nothing" },
        ] });
        assert!(is_accepted(&caller.post(&node, name, again.to_string()).await.unwrap()));
    }
    let sent = sums(&node).await;
    let count = many as u64;
    assert_eq!(
        sent.counters.values().copied().collect::<Vec<_>>(),
        [0, count * 4 + 3, count, count, count * 2 + 3]
    );

    // The day ends, and they are removed.
    faketime.set_ahead_ms(0);
    wait::until("everything to be delivered", patience, async || {
        (status(&node).await["ledger"]["totals"]["pending"] == 0).then_some(())
    })
    .await;
    let delivered = sums(&node).await;
    figures("used", &node).await;
    settings.sources.truncate(1);
    reload(&settings, &node).await;
    let mut last = delivered.clone();
    let mut other = None;
    let forgotten = tokio::time::timeout(patience, async {
        loop {
            other = names_others(&node, &["web"]).await;
            let now = sums(&node).await;
            // At every moment.
            assert_eq!(now, last, "{}", node.log());
            last = now;
            if other.is_none() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    });
    if forgotten.await.is_err() {
        figures("not forgotten", &node).await;
        panic!("{other:?} is still named\n{}", node.log());
    }
    figures("forgotten", &node).await;
    let shown = status(&node).await;
    let removed = &shown["ledger"]["removed"];
    assert_eq!(removed["sources"], many, "{removed}");
    assert_eq!(
        (&removed["calls"]["stored"], &removed["calls"]["delivered"]),
        (&json!(count * 2), &json!(count * 2))
    );
    assert_eq!(
        (&removed["calls"]["repeated"], &removed["calls"]["rejected"]),
        (&json!(count), &json!(count))
    );
    let named = format!("forebay_calls_received_total{{source=\"({many} removed)\"}} {}", count * 4);
    assert!(metrics(&node).await.contains(&named), "{named}");

    // Also after a kill and after an orderly end; the counters of the process begin at 0.
    node.kill().await;
    let node = settings.serve().await;
    assert_eq!(
        (names_others(&node, &["web"]).await, sums(&node).await.status.1),
        (None, last.status.1.clone())
    );
    assert_eq!(sums(&node).await.ledger, last.ledger);
    figures("after a kill", &node).await;
    assert!(node.terminate().await.success());
    let node = settings.serve().await;
    assert_eq!((names_others(&node, &["web"]).await, sums(&node).await.ledger), (None, last.ledger.clone()));

    // One that comes back begins anew.
    settings.sources.push(source(&names[0]));
    reload(&settings, &node).await;
    caller.send(&node, &names[0], 2, 0).await;
    node.flush().await;
    caller.all_arrive(&rig.bucket("lake"), "", &names[0]).await;
    let back = sums(&node).await;
    assert_eq!(back.ledger["stored"], last.ledger["stored"] + 2);
    let ledger: Value =
        serde_json::from_slice(&ask(&node, &format!("/api/ledger?source={}", names[0])).await.body).unwrap();
    assert_eq!((&ledger["totals"]["stored"], &ledger["removed"]), (&json!(2), &Value::Null), "{ledger}");
    let gone = ask(&node, &format!("/api/ledger?source={}", names[1])).await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
    if !is_measured() {
        let mut verify = command();
        let place = ["--path-style", "--endpoint-url", rig.url()];
        verify.args(["verify", "lake", "--deep"]).args(place).envs(CREDENTIALS);
        let verified = finished(&mut verify).await;
        assert_eq!(verified.status.code(), Some(0), "{verified:?}");
    }
    assert!(node.terminate().await.success());
}

/// Whoever sends to keys that no source has leaves a count, and nothing that grows with the keys.
#[tokio::test]
async fn unknown_write_keys_and_sources_create_nothing() {
    let rig = Rig::start(&["lake"]).await;
    let settings = rig.settings(&["web"]);
    let node = settings.serve().await;
    let mut caller = Caller::new();
    assert_eq!(caller.try_send(&node, "unknown", 1, 0).await.status, StatusCode::UNAUTHORIZED);
    let series = async || {
        let text = metrics(&node).await;
        let name = |line: &str| line.rsplit_once(' ').unwrap().0.to_owned();
        text.lines().filter(|line| !line.starts_with('#')).map(name).collect::<BTreeSet<String>>()
    };
    ask(&node, "/api/ledger?source=unknown").await;
    let before = (series().await, status(&node).await["sources"].as_array().unwrap().len());
    for n in 0..500 {
        let name = format!("unknown{n}");
        assert_eq!(caller.try_send(&node, &name, 1, 0).await.status, StatusCode::UNAUTHORIZED);
        ask(&node, &format!("/api/ledger?source={name}")).await;
        ask(&node, &format!("/api/days?source={name}")).await;
    }
    let shown = status(&node).await;
    assert_eq!((series().await, shown["sources"].as_array().unwrap().len()), before);
    assert_eq!(shown["refusals"].as_array().unwrap().len(), 1, "{shown}");
    assert!(node.terminate().await.success());
}
