//! The memory that an outage of the store takes: many sources, a long backlog, and its delivery.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use forebay::dev_s3::{ACCESS_KEY_ID, SECRET_ACCESS_KEY};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::support::{CREDENTIALS, status};
use crate::support::bucket::Bucket;
use crate::support::forebay::{Flush, Forebay};
use crate::support::http::{Http, is_accepted};
use crate::support::recorder::Recorder;
use crate::support::resident::Resident;
use crate::support::tcp_proxy::{Link, TcpProxy};
use crate::support::wait;

/// The number of sources, unless `FOREBAY_BACKLOG_SOURCES` is set.
const SOURCES: u64 = 60;
/// Bytes of requests, unless `FOREBAY_BACKLOG_BYTES` is set.
const BYTES: u64 = 100_000_000;
/// The most resident memory of the program, at any time.
const RESIDENT_MAX: u64 = 192 * 1_024 * 1_024;
/// The most that an outage may add to the resident memory, if the calls come at a rate.
const GROWTH_MAX: u64 = 64 * 1_024 * 1_024;
/// How much faster than the intake a backlog must be delivered, if the calls come at a rate.
const DRAIN_RATIO: f64 = 3.0;
/// The number of connections for calls.
const CONNECTIONS: u64 = 8;
/// Calls in each request.
const CALLS: u64 = 100;
/// Letters in a call's text: a whole call has about 2 KB.
const TEXT_LEN: usize = 1_700;
/// Letters in the pool from which calls take theirs.
const POOL_LEN: usize = 256 * 1_024;
/// Bytes sent before an outage if a rate is set, so that the program has reached its usual memory.
const WARM_BYTES: u64 = 50_000_000;
/// The time limit to deliver the backlog: 2 GB within it are 2 MB/s.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1_000);

/// The full run: `cargo build --release`, then `FOREBAY_BIN=target/release/forebay
/// FOREBAY_BACKLOG_SOURCES=500 FOREBAY_BACKLOG_BYTES=2000000000 cargo test --test suite serve::memory --
/// --nocapture`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_of_many_sources_takes_little_memory() {
    let sources = setting("FOREBAY_BACKLOG_SOURCES").unwrap_or(SOURCES);
    let bytes = setting("FOREBAY_BACKLOG_BYTES").unwrap_or(BYTES);
    // The rate in bytes per second; without it, as fast as they are accepted.
    let pace = setting("FOREBAY_BACKLOG_RATE");
    let folder = tempfile::tempdir().unwrap();
    // In a separate process, so that the store's memory is not counted.
    let store = Forebay::dev(&folder.path().join("store"), Flush::SOON).await;
    let recorder = Recorder::start(store.s3.strip_prefix("http://").unwrap().parse().unwrap()).await;
    let link = TcpProxy::start(recorder.address).await;
    let config = folder.path().join("forebay.toml");
    fs::write(&config, configuration(&folder.path().join("spool"), &link.url, sources)).unwrap();
    let forebay = Forebay::serve(&config, &CREDENTIALS).await;
    let resident = Resident::watch(forebay.pid());
    let warm = if pace.is_some() { send_all(&forebay, sources, 0, WARM_BYTES, pace).await } else { 0 };
    forebay.flush().await;
    let before = resident.peak();
    link.set(Link::Cut);

    let began = Instant::now();
    let requests = send_all(&forebay, sources, warm, bytes, pace).await;
    let intake = began.elapsed();
    let calls = (requests - warm) * CALLS;
    wait::until("an attempt in the outage", DRAIN_TIMEOUT, async || (link.broken() > 0).then_some(())).await;
    let said = status(&forebay).await;
    let used = said["spool"]["used_bytes"].as_u64().unwrap();
    // In a long outage objects are parked in compressed form.
    assert!(pace.is_some() || used >= bytes, "{used} bytes in the spool of {bytes} sent");
    assert_eq!(waiting(&said), calls, "in the outage each call waits");
    let in_outage = resident.peak();

    let began = Instant::now();
    link.set(Link::Up);
    wait::until("the backlog to be delivered", DRAIN_TIMEOUT, async || {
        (waiting(&status(&forebay).await) == 0).then_some(())
    })
    .await;
    let drain = began.elapsed();
    let in_drain = resident.peak();

    let bucket = Bucket::new(&store.s3, "forebay", ACCESS_KEY_ID, SECRET_ACCESS_KEY);
    let objects = each_once(&bucket, sources, requests).await;
    let rate = |time: Duration| bytes as f64 / 1e6 / time.as_secs_f64();
    eprintln!(
        "{sources} sources, {calls} calls, {} MB in the spool: resident at most {} MiB in the outage, {} MiB while \
         delivering; intake {:.0} MB/s, delivery {:.0} MB/s in {objects} objects",
        used / 1_000_000,
        in_outage >> 20,
        in_drain >> 20,
        rate(intake),
        rate(drain),
    );
    if pace.is_some() {
        let growth = in_outage.max(in_drain).saturating_sub(before);
        let ratio = rate(drain) / rate(intake);
        eprintln!(
            "{} MiB more than before the outage; delivered at {ratio:.1} times the intake",
            growth >> 20
        );
        assert!(growth <= GROWTH_MAX, "{growth} bytes more resident than before the outage");
        assert!(ratio >= DRAIN_RATIO, "delivered at {ratio} times the intake");
    }
    assert!(in_outage < RESIDENT_MAX, "{in_outage} bytes resident in the outage");
    assert!(in_drain < RESIDENT_MAX, "{in_drain} bytes resident while delivering");
    assert!(forebay.terminate().await.success(), "SIGTERM ends it in order");
}

/// A number from the environment.
fn setting(name: &str) -> Option<u64> {
    let value = env::var_os(name)?.into_string().ok()?;
    Some(value.parse().unwrap_or_else(|error| panic!("{name}={value}: {error}")))
}

fn source_id(number: u64) -> String {
    format!("source-{number:04}")
}

fn configuration(spool: &std::path::Path, endpoint: &str, sources: u64) -> String {
    let mut text = format!(
        "[collector]\nlisten = \"127.0.0.1:0\"\ndrain_delay = \"0 s\"\n[admin]\nlisten = \"127.0.0.1:0\"\n\
         [spool]\ndir = \"{}\"\nunsafe_filesystem = true\n[s3]\nbucket = \"forebay\"\nendpoint_url = \"{endpoint}\"\n\
         path_style = true\n[flush]\nmax_age = \"5 s\"\n",
        spool.display()
    );
    for id in (0..sources).map(source_id) {
        writeln!(text, "[[source]]\nid = \"{id}\"\nwrite_keys = [\"{id}-key\"]").unwrap();
    }
    text
}

/// Sends requests, numbered from `first`, over all connections until this number of bytes is acknowledged;
/// returns the next number.
async fn send_all(forebay: &Forebay, sources: u64, first: u64, bytes: u64, pace: Option<u64>) -> u64 {
    let (next, sent) = (Arc::new(AtomicU64::new(first)), Arc::new(AtomicU64::new(0)));
    let began = Instant::now();
    let pool: Arc<str> = text_pool().into();
    let mut connections = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (next, sent, pool) = (Arc::clone(&next), Arc::clone(&sent), Arc::clone(&pool));
        let (http, collector) = (Http::new(), forebay.collector.clone());
        connections.spawn(async move {
            while sent.load(Ordering::Relaxed) < bytes {
                let request = next.fetch_add(1, Ordering::Relaxed);
                let body = body(request, &pool);
                let before = sent.fetch_add(body.len() as u64, Ordering::Relaxed);
                if let Some(pace) = pace {
                    tokio::time::sleep_until(began + Duration::from_secs_f64(before as f64 / pace as f64))
                        .await;
                }
                let url = format!("{collector}/v1/batch?writeKey={}-key", source_id(request % sources));
                let answer = http.post(&url, body).await.unwrap_or_else(|error| panic!("{url}: {error}"));
                assert!(is_accepted(&answer), "request {request}: {} {:?}", answer.status, answer.body);
            }
        });
    }
    while let Some(ended) = connections.join_next().await {
        ended.unwrap_or_else(|error| panic!("{error}\n{}", forebay.log()));
    }
    next.load(Ordering::Relaxed)
}

/// Random words, so that objects have about a third of the size of their lines, as with real calls.
fn text_pool() -> String {
    let mut random = StdRng::seed_from_u64(1);
    let mut letters = |count: usize| -> String {
        (0..count).map(|_| char::from(random.random_range(b'a'..=b'z'))).collect()
    };
    let words: Vec<String> = (0..2_000).map(|at| letters(3 + at % 9)).collect();
    let mut pool = String::new();
    while pool.len() < POOL_LEN {
        pool.push_str(&words[random.random_range(0..words.len())]);
        pool.push(' ');
    }
    pool
}

/// Calls, numbered from `request * CALLS`.
fn body(request: u64, pool: &str) -> String {
    let mut body = String::with_capacity(usize::try_from(CALLS).unwrap() * (TEXT_LEN + 200));
    body.push_str(r#"{"batch":["#);
    for number in request * CALLS..(request + 1) * CALLS {
        let comma = if number == request * CALLS { "" } else { "," };
        let at = usize::try_from(number).unwrap().wrapping_mul(7_919) % (pool.len() - TEXT_LEN);
        let text = pool.get(at..at + TEXT_LEN).unwrap();
        write!(
            body,
            r#"{comma}{{"type":"track","event":"Backlog","userId":"u-{number}","messageId":"backlog-{number}","properties":{{"text":"{text}"}}}}"#
        )
        .unwrap();
    }
    body.push_str("]}");
    body
}

/// Calls in the spool that are not delivered.
fn waiting(status: &serde_json::Value) -> u64 {
    let sources = status["sources"].as_array().unwrap();
    sources.iter().map(|source| source["pending_calls"].as_u64().unwrap()).sum()
}

/// Checks that each call is in the bucket once, under its source; returns the number of objects.
async fn each_once(bucket: &Bucket, sources: u64, requests: u64) -> usize {
    let mut seen = vec![false; usize::try_from(requests * CALLS).unwrap()];
    let mut keys = bucket.keys("segment-logs/").await;
    // A run across midnight closes days.
    keys.retain(|key| !key.starts_with("segment-logs/_closed/"));
    for key in &keys {
        let object = bucket.object(key).await;
        for line in object.text().lines() {
            let (_, id) = line.split_once(r#""messageId":"backlog-"#).unwrap();
            let number: u64 = id.split_once('"').unwrap().0.parse().unwrap();
            let source = source_id(number / CALLS % sources);
            assert!(key.starts_with(&format!("segment-logs/{source}/")), "{key} has call {number}");
            let twice = std::mem::replace(&mut seen[usize::try_from(number).unwrap()], true);
            assert!(!twice, "call {number} is stored twice, the second time in {key}");
        }
    }
    let missing: Vec<usize> = seen.iter().enumerate().filter(|(_, seen)| !**seen).map(|(at, _)| at).collect();
    assert_eq!(missing, [0_usize; 0], "calls that are not in the bucket");
    keys.len()
}
