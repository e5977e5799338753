//! Many clients that send one byte per second, besides a normal load.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::load::SOURCES;
use super::setting;
use super::stand::Stand;
use crate::support::http::{Http, is_accepted};
use crate::support::tools::skipped;
use crate::support::wait;

/// The number of slow clients, unless `FOREBAY_SLOW_CLIENTS` is set.
const SLOW: u64 = 500;
/// Files that this process also needs.
const FILES_BESIDES: u64 = 500;
/// Clients of the normal load, and how many requests each sends in a phase, with a pause before each.
const CLIENTS: usize = 8;
const REQUESTS: usize = 60;
const PAUSE: Duration = Duration::from_millis(15);
/// Phases of each kind if the ratio is measured: alternating, so that other load on the machine affects both.
const PHASES: usize = 4;
/// The time limit for requests besides slow clients, with other load on the machine.
const P99_MAX: Duration = Duration::from_secs(1);
/// The slow clients connect within this time.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// The time limit until all slow clients are connected.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_clients_hardly_affect_the_others() {
    let asked = setting("FOREBAY_SLOW_CLIENTS");
    let slow = asked.unwrap_or(SLOW);
    if !may_open(slow + FILES_BESIDES) {
        skipped(&format!("{slow} clients need more open files than this process may have"));
        return;
    }
    let stand = Stand::start().await;
    let config = stand.config(&stand.folder.path().join("spool"), "unsafe_filesystem = true", "1 h");
    let forebay = stand.serve(&config).await;
    let (mut quiet, mut beside) = (Vec::new(), Vec::new());
    let mut closed = 0;
    for _ in 0..asked.map_or(1, |_| PHASES) {
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
    assert!(beside < P99_MAX, "p99 {beside:?} beside {slow} slow clients");
    // In an ordinary run other tests run at the same time, and a ratio of a few requests means nothing.
    assert!(asked.is_none() || ratio < 2.0, "p99 {beside:?} beside {slow} slow clients, {quiet:?} without");
    assert!(forebay.terminate().await.success(), "SIGTERM ends it in order");
}

/// Whether this number of files may be open at once.
fn may_open(files: u64) -> bool {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_ok();
    raised && maximum.is_none_or(|maximum| maximum >= files)
}

/// The duration of each request of a normal load.
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

/// Slow clients, on a separate thread so that their work is not measured. They end on drop.
#[derive(Debug)]
struct Crowd {
    closed: Arc<AtomicUsize>,
    gone: CancellationToken,
}

impl Crowd {
    /// Half of them are slow with a request's head, half with its body.
    async fn gather(collector: &str, count: u64) -> Self {
        let address = collector.strip_prefix("http://").unwrap().to_owned();
        let (connected, closed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let gone = CancellationToken::new();
        let crowd = Self { closed: Arc::clone(&closed), gone: gone.clone() };
        let clients = {
            let connected = Arc::clone(&connected);
            async move {
                let mut clients = JoinSet::new();
                for client in 0..count {
                    let (connected, closed) = (Arc::clone(&connected), Arc::clone(&closed));
                    clients.spawn(slow_client(address.clone(), client, count, connected, closed));
                }
                gone.cancelled().await;
            }
        };
        std::thread::spawn(|| {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            runtime.enable_all().build().unwrap().block_on(clients);
        });
        let all = usize::try_from(count).unwrap();
        wait::until("all slow clients to be connected", CONNECT_TIMEOUT, async || {
            (connected.load(Ordering::Relaxed) == all).then_some(())
        })
        .await;
        crowd
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.gone.cancel();
    }
}

/// One of `count` clients: connects repeatedly and is slow.
async fn slow_client(
    address: String,
    client: u64,
    count: u64,
    connected: Arc<AtomicUsize>,
    closed: Arc<AtomicUsize>,
) {
    // Not all at the same moment.
    sleep(CONNECT_WITHIN.mul_f64(client as f64 / count as f64)).await;
    let path = format!("/v1/track?writeKey={}", SOURCES[0]);
    let beginning = if client.is_multiple_of(2) {
        format!("POST {path} HTTP/1.1\r\nHost: x\r\nX-Slow: ")
    } else {
        format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\n")
    };
    let mut known = false;
    loop {
        if let Ok(mut stream) = TcpStream::connect(&address).await {
            if stream.write_all(beginning.as_bytes()).await.is_ok() && !known {
                connected.fetch_add(1, Ordering::Relaxed);
                known = true;
            }
            dribble(&mut stream).await;
            closed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Sends one byte per second until the other end closes the connection.
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
