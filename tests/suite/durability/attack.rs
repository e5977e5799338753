//! The effect of low-bandwidth attacks on clients with a known key: bodies that never end, and answers that
//! are never read.

use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::load::SOURCES;
use super::setting;
use super::stand::Stand;
use crate::support::forebay::Forebay;
use crate::support::http::{Http, is_accepted};
use crate::support::raw_http2;
use crate::support::resident::Resident;
use crate::support::wait;

/// Connections with unread answers, unless `FOREBAY_ATTACK` is set.
const UNREAD: u64 = 100;
/// Streams of each: the most that an HTTP/2 client may open.
const STREAMS: usize = 128;
/// Connections with unfinished bodies, and how many of these each starts with.
const FLOODING: usize = 3;
const BODIES: usize = 40;
/// The interval at which each connection then starts another one. Together they send 7 KB/s.
const BODY_EVERY: Duration = Duration::from_millis(430);
/// Zeros in such a body: first as many as fit, in about 1 KB of gzip; then fewer and fewer, to use up the
/// remaining budget.
const INFLATED: usize = 1_000_000;
const LARGE_BODIES: usize = 26;
/// Letters in a call of the normal load.
const LETTERS: usize = 2_000;
/// Clients of the normal load, and how many requests each sends, with a pause before each: in the suite, and
/// for figures.
const CLIENTS: usize = 8;
const REQUESTS: usize = 60;
const REQUESTS_MEASURED: usize = 1_000;
/// For figures the load is sent this often, alternately with and without unfinished bodies; the medians are
/// compared.
const ROUNDS_MEASURED: usize = 7;
const PAUSE: Duration = Duration::from_millis(15);
/// The most resident memory that unread answers may add: 16 MiB plus what 100 connections need.
const GROWTH_MAX: u64 = 48 * 1_024 * 1_024;
/// The same for unfinished bodies: the whole budget of 64 MiB plus what the normal load needs.
const BODIES_GROWTH_MAX: u64 = 96 * 1_024 * 1_024;
/// The time limit until all connections are reset: 5 s, on a busy machine. Shorter than the limit for idle
/// ones.
const RESET_TIMEOUT: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unfinished_bodies_do_not_affect_clients_with_a_known_key() {
    let stand = Stand::start().await;
    let forebay = start(&stand).await;
    let (mut quiet, mut beside) = (Fared::default(), Fared::default());
    let (resident, mut before) = (Resident::watch(forebay.pid()), None);
    // Alternately, so that a slow disk affects both.
    for _ in 0..if is_measured() { ROUNDS_MEASURED } else { 1 } {
        quiet.add(good_load(&forebay).await);
        before.get_or_insert(resident.peak());
        let flood = Flood::begin(&forebay).await;
        // Inflated, the first bodies alone would exceed the program's memory.
        flood.arrived().await;
        beside.add(good_load(&forebay).await);
    }
    let ratio = report("bodies that do not end", &quiet, &beside);
    let growth = resident.peak().saturating_sub(before.unwrap());
    eprintln!("{} MiB more resident than before", growth >> 20);
    assert!(growth < BODIES_GROWTH_MAX, "{growth} bytes more resident");
    // In an ordinary run other tests run at the same time, and a ratio of a few requests means nothing.
    assert!(!is_measured() || ratio < 2.0, "p99 is {ratio} times that without the attack");
    assert!(forebay.terminate().await.success(), "SIGTERM ends it in order");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unread_answers_take_little_memory_for_a_short_time() {
    let connections = setting("FOREBAY_ATTACK").unwrap_or(UNREAD);
    let stand = Stand::start().await;
    let forebay = start(&stand).await;
    let quiet = good_load(&forebay).await;
    let resident = Resident::watch(forebay.pid());
    let before = wait::until("the memory measurement", RESET_TIMEOUT, async || {
        Some(resident.peak()).filter(|peak| *peak > 0)
    })
    .await;
    let began = Instant::now();
    let mut unread = JoinSet::new();
    for _ in 0..connections {
        unread.spawn(leave_unread(address(&forebay)));
    }
    let all_reset = tokio::spawn(async move {
        while unread.join_next().await.is_some() {}
        began.elapsed()
    });
    let beside = good_load(&forebay).await;
    report(&format!("{connections} connections with unread answers"), &quiet, &beside);
    let reset_after = timeout(RESET_TIMEOUT, all_reset).await.expect("all to be reset").unwrap();
    let growth = resident.peak().saturating_sub(before);
    eprintln!(
        "all {connections} reset after {reset_after:?}; {} MiB more resident than before",
        growth >> 20
    );
    assert!(growth < GROWTH_MAX + connections * 100 * 1_024, "{growth} bytes more resident");
    assert!(forebay.terminate().await.success(), "SIGTERM ends it in order");
}

async fn start(stand: &Stand) -> Forebay {
    let config = stand.config(&stand.folder.path().join("spool"), "unsafe_filesystem = true", "1 h");
    stand.serve(&config).await
}

fn address(forebay: &Forebay) -> SocketAddr {
    forebay.collector.strip_prefix("http://").unwrap().parse().unwrap()
}

/// The results of clients with their key in the header.
#[derive(Debug, Default)]
struct Fared {
    requests: usize,
    accepted: usize,
    /// One entry for each time that the load was sent.
    p99: Vec<Duration>,
}

impl Fared {
    fn add(&mut self, again: Self) {
        self.requests += again.requests;
        self.accepted += again.accepted;
        self.p99.extend(again.p99);
    }

    /// The median.
    fn p99(&self) -> Duration {
        let mut p99 = self.p99.clone();
        p99.sort();
        p99[p99.len() / 2]
    }
}

/// Whether figures are requested.
fn is_measured() -> bool {
    setting("FOREBAY_ATTACK").is_some()
}

async fn good_load(forebay: &Forebay) -> Fared {
    let mut clients = JoinSet::new();
    let requests = if is_measured() { REQUESTS_MEASURED } else { REQUESTS };
    for client in 0..CLIENTS {
        let url = format!("{}/v1/track", forebay.collector);
        let call = format!(r#"{{"event":"e","userId":"u","properties":{{"x":"{}"}}}}"#, "y".repeat(LETTERS));
        let call = Bytes::from(call);
        let basic = format!("Basic {}", STANDARD.encode(format!("{}:", SOURCES[client % SOURCES.len()])));
        clients.spawn(async move {
            let (http, mut accepted, mut took) = (Http::new(), 0, Vec::new());
            for _ in 0..requests {
                sleep(PAUSE).await;
                let body = Full::new(call.clone());
                let request = Request::post(&url).header("authorization", &basic).body(body).unwrap();
                let began = Instant::now();
                let answer = http.send(request).await;
                took.push(began.elapsed());
                accepted += usize::from(answer.as_ref().is_ok_and(is_accepted));
            }
            (accepted, took)
        });
    }
    let fared = clients.join_all().await;
    let mut took = fared.iter().flat_map(|(_, took)| took.clone()).collect::<Vec<_>>();
    took.sort();
    let accepted = fared.iter().map(|(accepted, _)| accepted).sum();
    Fared { requests: requests * CLIENTS, accepted, p99: vec![took[took.len() * 99 / 100]] }
}

/// Reports the normal load during an attack, which must not fail any of its requests; returns the ratio of
/// its p99.
fn report(attack: &str, quiet: &Fared, beside: &Fared) -> f64 {
    let ratio = beside.p99().as_secs_f64() / quiet.p99().as_secs_f64();
    eprintln!(
        "{attack}: {} of {} requests with a known key were answered 200; p99 {:?} beside it, {:?} without, ratio {ratio:.2}",
        beside.accepted,
        beside.requests,
        beside.p99(),
        quiet.p99(),
    );
    assert_eq!(quiet.accepted, quiet.requests, "without an attack");
    assert_eq!(beside.accepted, beside.requests, "{attack}");
    ratio
}

/// Connections that start gzip bodies without a key and never end them.
#[derive(Debug)]
struct Flood {
    metrics: String,
    /// Bytes of bodies received before it.
    before: u64,
    gone: CancellationToken,
}

impl Flood {
    async fn begin(forebay: &Forebay) -> Self {
        let gone = CancellationToken::new();
        let metrics = format!("{}/metrics", forebay.console);
        let before = body_bytes(&metrics).await;
        for _ in 0..FLOODING {
            let stream = TcpStream::connect(address(forebay)).await.unwrap();
            let gone = gone.clone();
            tokio::spawn(async move {
                tokio::select! {
                    () = gone.cancelled() => {}
                    () = begin_bodies(stream) => {}
                }
            });
        }
        Self { metrics, before, gone }
    }

    /// Waits until each connection has started its bodies.
    async fn arrived(&self) {
        let bytes = FLOODING * unfinished_bodies().iter().map(Vec::len).sum::<usize>();
        let bytes = self.before + u64::try_from(bytes).unwrap();
        wait::until("the bodies to arrive", RESET_TIMEOUT, async || {
            (body_bytes(&self.metrics).await >= bytes).then_some(())
        })
        .await;
    }
}

/// Bytes of bodies received.
async fn body_bytes(metrics: &str) -> u64 {
    let request = Request::get(metrics).body(Full::default()).unwrap();
    let answer = Http::new().send(request).await.unwrap();
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    let line = text.lines().find(|line| line.starts_with("forebay_body_bytes_total ")).unwrap();
    line.rsplit_once(' ').unwrap().1.parse().unwrap()
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.gone.cancel();
    }
}

/// The unfinished gzip bodies that a connection starts with.
fn unfinished_bodies() -> Vec<Vec<u8>> {
    let smaller = (1..).map(|halvings: u32| INFLATED >> halvings);
    let lens = std::iter::repeat_n(INFLATED, LARGE_BODIES).chain(smaller).take(BODIES);
    lens.map(|len| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        std::io::Write::write_all(&mut encoder, &vec![0; len]).unwrap();
        let mut bytes = encoder.finish().unwrap();
        bytes.truncate(bytes.len() - 9);
        bytes
    })
    .collect()
}

async fn begin_bodies(stream: TcpStream) {
    let bodies = unfinished_bodies();
    let begin = |(stream, body): (u32, &Vec<u8>)| {
        let head = raw_http2::post(stream, "/v1/batch", &[("content-encoding", "gzip")]);
        [head, raw_http2::data(stream, body)].concat()
    };
    let (reader, mut writing) = reading(stream);
    let mut requests = raw_http2::stream_ids().zip(bodies.iter().cycle());
    let mut bytes = raw_http2::preface(&[]);
    bytes.extend(requests.by_ref().take(BODIES).flat_map(begin));
    while writing.write_all(&bytes).await.is_ok() {
        sleep(BODY_EVERY).await;
        bytes = requests.next().map(begin).unwrap_or_default();
    }
    reader.abort();
}

/// Reads everything that arrives, in a separate task.
fn reading(stream: TcpStream) -> (JoinHandle<()>, OwnedWriteHalf) {
    let (mut reading, writing) = stream.into_split();
    let reader = tokio::spawn(async move {
        let mut scratch = [0; 16 * 1_024];
        while reading.read(&mut scratch).await.is_ok_and(|read| read > 0) {}
    });
    (reader, writing)
}

/// Sends requests on all streams of one connection and reads no answers. Ends with the connection.
async fn leave_unread(address: SocketAddr) {
    let stream = TcpStream::connect(address).await.unwrap();
    let (reader, mut writing) = reading(stream);
    let mut bytes = raw_http2::preface(&[(raw_http2::INITIAL_WINDOW, 0)]);
    for id in raw_http2::stream_ids().take(STREAMS) {
        bytes.extend(raw_http2::get(id, "/health"));
    }
    // The connection may end in between.
    if writing.write_all(&bytes).await.is_ok() {
        drop(reader.await);
    }
}
