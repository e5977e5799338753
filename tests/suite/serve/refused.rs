//! Healthy sources next to sources whose bucket refuses them, and how this is reported (issue 15, number 6).

use std::collections::BTreeMap;
use std::env;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::StatusCode;
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::support::{Caller, PATIENCE, Rig, ask, ids_below, status};
use crate::support::forebay::Forebay;
use crate::support::http::is_accepted;
use crate::support::tcp_proxy::Link;
use crate::support::wait;

const REFUSED: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
const HEALTHY: &str = "web";
/// How long sources are refused in an ordinary test run, in seconds. `tests/refused` sets longer times, in
/// minutes.
const SECONDS: u64 = 45;
/// How much longer it may take until a slow machine has filled the spool.
const SLOW_MACHINE: Duration = Duration::from_secs(240);
/// The approximate bytes of an object.
const OBJECT_BYTES: u64 = 1_000_000;
/// The most log lines per minute for several lasting states, each of which is reported once a minute.
const LINES_A_MINUTE_MAX: usize = 30;

/// Log lines but those about delivered objects.
fn lines_of_states(log: &str) -> usize {
    log.lines().filter(|line| !line.contains(r#""message":"delivered""#)).count()
}

fn how_long() -> Duration {
    let minutes = env::var_os("FOREBAY_REFUSED_MINUTES");
    let minutes = minutes.map(|text| text.to_str().and_then(|text| text.parse().ok()).expect("minutes"));
    Duration::from_secs(minutes.map_or(SECONDS, |minutes: u64| 60 * minutes))
}

/// The answers to the requests of one source.
#[derive(Debug, Default)]
struct Answers {
    taken: usize,
    refused: BTreeMap<String, usize>,
}

impl Answers {
    fn all(&self) -> usize {
        self.taken + self.refused.values().sum::<usize>()
    }
}

/// All sources send at once, each at its pace, for as long as `lasts`, and on a slow machine until the status
/// is as wanted. Returns the answers in the order of the sources.
async fn all_send(
    forebay: &Arc<Forebay>,
    sources: &[(&'static str, Duration)],
    lasts: Duration,
    wanted: impl Fn(&Value) -> bool,
) -> Vec<(Caller, Answers)> {
    let enough = Arc::new(AtomicBool::new(false));
    let sending =
        sources.iter().map(|(source, every)| send(Arc::clone(forebay), source, *every, Arc::clone(&enough)));
    let sending: Vec<JoinHandle<(Caller, Answers)>> = sending.map(tokio::spawn).collect();
    tokio::time::sleep(lasts).await;
    wait::until("the status that the test is about", SLOW_MACHINE, async || {
        wanted(&status(forebay).await).then_some(())
    })
    .await;
    enough.store(true, Ordering::Relaxed);
    let mut all = Vec::new();
    for one in sending {
        all.push(one.await.unwrap());
    }
    all
}

/// Sends requests of about 100 KB.
async fn send(
    forebay: Arc<Forebay>,
    source: &'static str,
    every: Duration,
    enough: Arc<AtomicBool>,
) -> (Caller, Answers) {
    let (mut caller, mut answers) = (Caller::new(), Answers::default());
    let mut ticks = tokio::time::interval(every);
    while !enough.load(Ordering::Relaxed) {
        ticks.tick().await;
        let answer = caller.try_send(&forebay, source, 10, 10_000).await;
        if is_accepted(&answer) {
            answers.taken += 1;
            continue;
        }
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        let code = format!("{} {}", answer.status.as_u16(), body["code"].as_str().unwrap());
        *answers.refused.entry(code).or_default() += 1;
    }
    (caller, answers)
}

/// The value of a metric; 0 if there is none.
async fn metric(forebay: &Forebay, name: &str) -> u64 {
    let text = String::from_utf8(ask(forebay, "/metrics").await.body.to_vec()).unwrap();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.map_or(0, |value| value.parse().unwrap())
}

fn alarms(status: &Value) -> Vec<&str> {
    status["alarms"].as_array().unwrap().iter().map(|alarm| alarm["kind"].as_str().unwrap()).collect()
}

/// Whether every refused source was refused, the alarms stand, and the healthy one has some objects.
fn all_refused(said: &Value) -> bool {
    let refused = |source: &Value| source["requests_refused"].as_u64().is_some_and(|count| count > 0);
    let sources = said["sources"].as_array().unwrap();
    let (healthy, others): (Vec<_>, Vec<_>) = sources.iter().partition(|source| source["id"] == HEALTHY);
    let delivered =
        healthy.iter().all(|source| source["totals"]["delivered"].as_u64().is_some_and(|calls| calls > 500));
    delivered
        && others.into_iter().all(refused)
        && ["refused", "refusing"].iter().all(|kind| alarms(said).contains(kind))
}

/// `tests/refused MINUTES` measures the same for longer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn six_refused_sources_do_not_affect_a_healthy_one() {
    let rig = Rig::start(&["lake"]).await;
    let sources: Vec<&'static str> = REFUSED.into_iter().chain([HEALTHY]).collect();
    let mut settings = rig.settings(&sources);
    for (_, lines) in settings.sources.iter_mut().take(REFUSED.len()) {
        lines.push_str("\nbucket = \"nowhere\"");
    }
    settings.spool.push_str("\nsegment_bytes = \"8 MiB\"\nmax_bytes = \"192 MiB\"");
    settings.flush = format!("max_age = \"1 h\"\nmax_bytes = \"{OBJECT_BYTES} B\"\nshutdown_grace = \"2 s\"");
    let forebay = Arc::new(settings.serve().await);

    let (lasts, began) = (how_long(), Instant::now());
    // The refused sources together send twelve times as much.
    let pace = |source: &str| Duration::from_millis(if source == HEALTHY { 200 } else { 100 });
    let paced: Vec<_> = sources.iter().map(|source| (*source, pace(source))).collect();
    let (callers, mut answers): (Vec<_>, Vec<_>) =
        all_send(&forebay, &paced, lasts, all_refused).await.into_iter().unzip();
    let minutes = began.elapsed().as_secs_f64() / 60.0;
    let lines = lines_of_states(&forebay.log());
    let healthy = answers.pop().unwrap();
    let (mut taken, mut refused) = (0, BTreeMap::<String, usize>::new());
    for answers in &answers {
        taken += answers.taken;
        answers.refused.iter().for_each(|(code, count)| *refused.entry(code.clone()).or_default() += count);
    }

    let objects = rig.bucket("lake").objects(&format!("segment-logs/{HEALTHY}/")).await;
    let sizes: Vec<usize> = objects.iter().map(|object| object.body.len()).collect();
    eprintln!(
        "{minutes:.1} min: healthy {} of {} requests 200, {} objects ({:.0} an hour), the smallest {} of {OBJECT_BYTES} bytes; \
         six refused: {taken} taken, {refused:?}; {lines} log lines ({:.0} an hour)",
        healthy.taken,
        healthy.all(),
        sizes.len(),
        sizes.len() as f64 * 60.0 / minutes,
        sizes.iter().min().copied().unwrap_or(0),
        lines as f64 * 60.0 / minutes,
    );

    // What the operator sees.
    let said = status(&forebay).await;
    assert_eq!(ask(&forebay, "/ready").await.status, StatusCode::OK, "a healthy source is served");
    for kind in ["refused", "refusing"] {
        assert!(alarms(&said).contains(&kind), "{kind}: {said:#}");
    }
    for source in said["sources"].as_array().unwrap() {
        let (id, why) = (source["id"].as_str().unwrap(), &source["refused"]);
        if id == HEALTHY {
            assert!(why.is_null() && source["requests_refused"] == 0, "{source:#}");
        } else {
            assert_eq!(why["code"], "destination_full", "{source:#}");
            assert!(why["why"].as_str().unwrap().contains("nowhere"), "{source:#}");
            assert!(source["requests_refused"].as_u64().unwrap() > 0, "{source:#}");
        }
    }
    let counted = metric(&forebay, "forebay_refused_total{source=\"a\",reason=\"destination_full\"}").await;
    assert_eq!(counted, answers[0].refused["503 destination_full"] as u64);

    // The effect on the healthy source.
    assert_eq!(healthy.refused, BTreeMap::new());
    assert_eq!(refused.keys().collect::<Vec<_>>(), ["503 destination_full"]);
    assert!(sizes.len() > 2, "{sizes:?}");
    assert!(sizes.iter().all(|size| *size as u64 * 10 >= OBJECT_BYTES * 8), "too small objects: {sizes:?}");
    assert!(lines as f64 <= LINES_A_MINUTE_MAX as f64 * (minutes + 1.0), "{lines} lines\n{}", forebay.log());

    rig.bucket("lake").client.create_bucket().bucket("nowhere").send().await.unwrap();
    wait::until("no source to be refused", 2 * PATIENCE, async || {
        let said = status(&forebay).await;
        said["sources"].as_array().unwrap().iter().all(|source| source["refused"].is_null()).then_some(())
    })
    .await;
    forebay.flush().await;
    for (source, caller) in sources.iter().zip(&callers) {
        let bucket = rig.bucket(if *source == HEALTHY { "lake" } else { "nowhere" });
        caller.all_arrive(&bucket, "", source).await;
    }
    assert!(Arc::into_inner(forebay).unwrap().terminate().await.success());
}

/// All buckets fail, and calls come until all are refused: measures the log and the number of objects.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_total_outage_is_logged_once_a_minute_and_makes_no_small_objects() {
    let rig = Rig::start(&["lake"]).await;
    let mut settings = rig.settings(&REFUSED);
    settings.spool.push_str("\nsegment_bytes = \"8 MiB\"\nmax_bytes = \"96 MiB\"");
    settings.flush = format!("max_age = \"1 h\"\nmax_bytes = \"{OBJECT_BYTES} B\"\nshutdown_grace = \"2 s\"");
    let forebay = Arc::new(settings.serve().await);
    rig.link.set(Link::Cut);
    let (lasts, began) = (how_long(), Instant::now());
    let paced = REFUSED.map(|source| (source, Duration::from_millis(100)));
    let is_full = |said: &Value| alarms(said).contains(&"refusing") && said["spool"]["is_full"] == true;
    let (callers, answers): (Vec<_>, Vec<_>) =
        all_send(&forebay, &paced, lasts, is_full).await.into_iter().unzip();
    let minutes = began.elapsed().as_secs_f64() / 60.0;
    let lines = lines_of_states(&forebay.log());
    let (said, taken) = (status(&forebay).await, answers.iter().map(|answers| answers.taken).sum::<usize>());
    assert!(alarms(&said).contains(&"refusing"), "{said:#}");
    let full = said["alarms"].as_array().unwrap().iter().find(|alarm| alarm["kind"] == "refusing").unwrap();
    assert!(full["what"].as_str().unwrap().contains("it is full because puts of "), "{full}");
    let ready = ask(&forebay, "/ready").await;
    assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE);
    let why = String::from_utf8_lossy(&ready.body).into_owned();
    assert!(why.contains("the spool is full") && why.contains("puts of "), "{why}");
    assert_eq!(said["spool"]["is_full"], true, "{said:#}");
    assert_eq!(said["spool"]["seconds_left"], serde_json::Value::Null, "no time left: {said:#}");
    for answers in &answers {
        assert!(answers.refused.keys().all(|code| code == "503 spool_full"), "{answers:?}");
    }
    let parked = said["spool"]["parked_bytes"].as_u64().unwrap();

    rig.link.set(Link::Up);
    forebay.flush().await;
    let mut objects = 0;
    for (source, caller) in REFUSED.iter().zip(&callers) {
        let found = ids_below(&rig.bucket("lake"), &format!("segment-logs/{source}/")).await;
        assert_eq!(
            found.len(),
            caller.of(source).len(),
            "{source}: the number of lines differs from that of the calls"
        );
        objects += rig.bucket("lake").objects(&format!("segment-logs/{source}/")).await.len();
    }
    let bytes = taken as u64 * 100_000;
    eprintln!(
        "{minutes:.1} min: {taken} requests taken, {} MB parked of 101 MB; {objects} objects of {} MB of calls; {lines} log lines \
         ({:.0} an hour)",
        parked / 1_000_000,
        bytes / 1_000_000,
        lines as f64 * 60.0 / minutes,
    );
    assert!(lines as f64 <= LINES_A_MINUTE_MAX as f64 * (minutes + 1.0), "{lines} lines\n{}", forebay.log());
    assert!(objects as u64 <= 3 * bytes / OBJECT_BYTES, "{objects} objects of {bytes} bytes");
    assert!(Arc::into_inner(forebay).unwrap().terminate().await.success());
}
