//! A load generator: sends calls to an address by HTTP/1.1 and notes what was answered and when.
//!
//! It knows nothing of the program it speaks to. Every call of a run has a `messageId` of its own, so that none is taken
//! for a repeat. Closed loop: each connection sends its next request when the last one is answered. Open loop: requests
//! are due at fixed times whether or not the earlier ones are answered, and a latency counts from when its request was
//! due, so that a stall is charged to every request it held up (no coordinated omission).

mod bodies;
mod connection;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use tokio::task::JoinSet;

pub(crate) use bodies::Bodies;
use connection::Connection;

/// The longest latency that is told apart.
const LATENCY_MAX: Duration = Duration::from_secs(60);
/// Significant digits of a latency.
const LATENCY_DIGITS: u8 = 3;

/// When requests are sent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// As soon as the last one of a connection is answered.
    Closed,
    /// At this rate, all connections together.
    Open {
        /// Requests each second.
        requests_per_second: f64,
    },
}

/// What is to be sent, and for how long.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    /// Where.
    pub(crate) address: SocketAddr,
    /// Connections, each kept alive.
    pub(crate) connections: usize,
    /// Write keys, taken in turn by the connections.
    pub(crate) write_keys: Vec<String>,
    /// When.
    pub(crate) pace: Pace,
    /// No request is begun after this; those begun are waited for.
    pub(crate) lasting: Duration,
}

/// What came of it.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// Requests answered 200.
    pub(crate) requests: u64,
    /// Calls in them.
    pub(crate) calls: u64,
    /// Requests answered otherwise.
    pub(crate) refused: u64,
    /// From the first request to the last answer.
    pub(crate) took: Duration,
    /// Latencies of what was answered 200, in nanoseconds.
    pub(crate) latencies: Histogram<u64>,
}

impl Outcome {
    fn new() -> Self {
        let longest = u64::try_from(LATENCY_MAX.as_nanos()).expect("a minute");
        let latencies =
            Histogram::new_with_max(longest, LATENCY_DIGITS).expect("bounds that a histogram has");
        Self { requests: 0, calls: 0, refused: 0, took: Duration::ZERO, latencies }
    }

    /// A latency of 200s, in milliseconds.
    #[expect(clippy::cast_precision_loss, reason = "a latency in nanoseconds")]
    pub(crate) fn latency_ms(&self, quantile: f64) -> f64 {
        self.latencies.value_at_quantile(quantile) as f64 / 1e6
    }

    /// Calls answered 200, each second.
    #[expect(clippy::cast_precision_loss, reason = "calls of some seconds")]
    pub(crate) fn calls_per_second(&self) -> f64 {
        self.calls as f64 / self.took.as_secs_f64()
    }
}

/// The clock of the generator.
#[expect(clippy::disallowed_methods, reason = "what is measured is real time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// What the connections share.
#[derive(Debug)]
struct Shared {
    load: Load,
    bodies: Arc<Bodies>,
    began: Instant,
    tickets: AtomicU64,
    broken: AtomicBool,
}

/// Sends until the time is over. Takes the calling thread for itself.
///
/// # Errors
/// Where a connection cannot be made or breaks.
pub(crate) fn run(load: &Load, bodies: &Arc<Bodies>) -> io::Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut open = Vec::with_capacity(load.connections);
        for _ in 0..load.connections {
            open.push(Connection::open(load.address).await?);
        }
        let shared = Arc::new(Shared {
            load: load.clone(),
            bodies: Arc::clone(bodies),
            began: now(),
            tickets: AtomicU64::new(0),
            broken: AtomicBool::new(false),
        });
        let mut at_work = JoinSet::new();
        for (number, connection) in open.into_iter().enumerate() {
            at_work.spawn(send(Arc::clone(&shared), connection, number));
        }
        let mut total = Outcome::new();
        while let Some(done) = at_work.join_next().await {
            let part = done.map_err(io::Error::other)??;
            total.requests += part.requests;
            total.calls += part.calls;
            total.refused += part.refused;
            total.latencies.add(&part.latencies).expect("histograms of the same bounds");
        }
        total.took = shared.began.elapsed();
        Ok(total)
    })
}

async fn send(shared: Arc<Shared>, mut connection: Connection, number: usize) -> io::Result<Outcome> {
    let sent = requests(&shared, &mut connection, number).await;
    if sent.is_err() {
        shared.broken.store(true, Ordering::Relaxed);
    }
    sent
}

async fn requests(shared: &Shared, connection: &mut Connection, number: usize) -> io::Result<Outcome> {
    let load = &shared.load;
    let key = load.write_keys.get(number % load.write_keys.len()).expect("a write key");
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nAuthorization: Basic {}\r\nContent-Length: ",
        shared.bodies.path(),
        load.address,
        STANDARD.encode(format!("{key}:")),
    );
    let mut outcome = Outcome::new();
    while !shared.broken.load(Ordering::Relaxed) {
        let ticket = shared.tickets.fetch_add(1, Ordering::Relaxed);
        let Some(due) = due(shared, ticket).await else { break };
        let accepted = connection.exchange(&head, &shared.bodies, ticket).await?;
        if accepted {
            outcome.requests += 1;
            outcome.calls += shared.bodies.calls_per_request();
            let nanos = u64::try_from(due.elapsed().as_nanos()).unwrap_or(u64::MAX);
            outcome.latencies.saturating_record(nanos);
        } else {
            outcome.refused += 1;
        }
    }
    Ok(outcome)
}

/// Waits until a ticket's request is due, and says when that was. `None` once the time is over.
async fn due(shared: &Shared, ticket: u64) -> Option<Instant> {
    let due = match shared.load.pace {
        Pace::Closed => now(),
        #[expect(clippy::cast_precision_loss, reason = "tickets of some seconds")]
        Pace::Open { requests_per_second } => {
            shared.began + Duration::from_secs_f64(ticket as f64 / requests_per_second)
        }
    };
    if due.duration_since(shared.began) >= shared.load.lasting {
        return None;
    }
    // The runtime's timers tick once a millisecond: requests would come in bursts, and their answers late by as much.
    while now() < due {
        tokio::task::yield_now().await;
    }
    Some(due)
}
