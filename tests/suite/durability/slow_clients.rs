//! Many clients that send a byte a second, beside a normal load.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::load::SOURCES;
use super::setting;
use super::stand::Stand;
use crate::support::http::{Http, is_accepted};
use crate::support::tools::skipped;
use crate::support::wait;

/// Slow clients, unless `FOREBAY_SLOW_CLIENTS` says otherwise.
const SLOW: u64 = 500;
/// Files that this process needs besides.
const FILES_BESIDES: u64 = 500;
/// Clients of the normal load, and how many requests each sends in a phase, with a pause before each.
const CLIENTS: usize = 8;
const REQUESTS: usize = 150;
const PAUSE: Duration = Duration::from_millis(15);
/// Phases of each kind, in turn, so that a machine that is busy now and then is so in both.
const PHASES: usize = 2;
/// What a busy machine alone does to a request: below it no ratio is looked at.
const NOISE: Duration = Duration::from_millis(25);
/// Time for all slow clients to be connected.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_clients_hardly_slow_the_others() {
    let slow = setting("FOREBAY_SLOW_CLIENTS").unwrap_or(SLOW);
    if !may_open(slow + FILES_BESIDES) {
        skipped(&format!("{slow} clients are more than this process may have files open"));
        return;
    }
    let stand = Stand::start().await;
    let config = stand.config(&stand.folder.path().join("spool"), "unsafe_filesystem = true", "1 h");
    let forebay = stand.serve(&config).await;
    let (mut quiet, mut beside) = (Vec::new(), Vec::new());
    let mut closed = 0;
    for _ in 0..PHASES {
        quiet.append(&mut normal_load(&forebay.collector).await);
        let crowd = Crowd::gather(&forebay.collector, slow).await;
        beside.append(&mut normal_load(&forebay.collector).await);
        closed += crowd.closed.load(Ordering::Relaxed);
    }
    let (quiet, beside) = (p99(quiet), p99(beside));
    let ratio = beside.as_secs_f64() / quiet.as_secs_f64();
    eprintln!(
        "{slow} slow clients ({closed} times one was closed): p99 {beside:?} beside them, {quiet:?} without, ratio {ratio:.2}"
    );
    assert!(beside < 2 * quiet.max(NOISE), "p99 {beside:?} beside {slow} slow clients, {quiet:?} without");
    assert!(forebay.terminate().await.success(), "SIGTERM ends it in order");
}

/// Whether so many files may be open at once.
fn may_open(files: u64) -> bool {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_ok();
    raised && maximum.is_none_or(|maximum| maximum >= files)
}

/// How long each request of a normal load took.
async fn normal_load(collector: &str) -> Vec<Duration> {
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let url = format!("{collector}/v1/track?writeKey={}", SOURCES[client % SOURCES.len()]);
        clients.spawn(async move {
            let (http, mut took) = (Http::new(), Vec::new());
            for _ in 0..REQUESTS {
                sleep(PAUSE).await;
                let began = Instant::now();
                let answer = http.post(&url, r#"{"event":"e","userId":"u"}"#).await;
                took.push(began.elapsed());
                assert!(answer.as_ref().is_ok_and(is_accepted), "{answer:?}");
            }
            took
        });
    }
    clients.join_all().await.concat()
}

fn p99(mut took: Vec<Duration>) -> Duration {
    took.sort();
    took[took.len() * 99 / 100]
}

/// Slow clients. Dropped, they are gone.
#[derive(Debug)]
struct Crowd {
    _clients: JoinSet<()>,
    closed: Arc<AtomicUsize>,
}

impl Crowd {
    /// Half of them are slow with the head of a request, half with its body.
    async fn gather(collector: &str, count: u64) -> Self {
        let address = collector.strip_prefix("http://").unwrap();
        let (connected, closed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let mut clients = JoinSet::new();
        for client in 0..count {
            let beginning = if client % 2 == 0 {
                format!("POST /v1/track?writeKey={} HTTP/1.1\r\nHost: x\r\nX-Slow: ", SOURCES[0])
            } else {
                format!(
                    "POST /v1/track?writeKey={} HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\n",
                    SOURCES[0]
                )
            };
            let (address, connected, closed) =
                (address.to_owned(), Arc::clone(&connected), Arc::clone(&closed));
            clients.spawn(async move {
                let mut known = false;
                loop {
                    let Ok(mut stream) = TcpStream::connect(&address).await else { continue };
                    if stream.write_all(beginning.as_bytes()).await.is_ok() && !known {
                        connected.fetch_add(1, Ordering::Relaxed);
                        known = true;
                    }
                    dribble(&mut stream).await;
                    closed.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let all = usize::try_from(count).unwrap();
        wait::until("all slow clients to be connected", CONNECT_TIMEOUT, async || {
            (connected.load(Ordering::Relaxed) == all).then_some(())
        })
        .await;
        Self { _clients: clients, closed }
    }
}

/// Sends a byte a second until the other end has had enough.
async fn dribble(stream: &mut TcpStream) {
    let mut answer = [0; 1_024];
    loop {
        match timeout(Duration::from_secs(1), stream.read(&mut answer)).await {
            Err(_) => {
                if stream.write_all(b" ").await.is_err() {
                    return;
                }
            }
            Ok(Ok(read)) if read > 0 => {}
            Ok(_) => return,
        }
    }
}
