//! A load generator: sends calls to an address by HTTP/1.1 and records the answers and their times.
//!
//! It knows nothing about the program under test. Every call of a run has its own `messageId`, so that none
//! is a repeat. Closed loop: each active connection sends its next request when the previous one is answered.
//! Open loop: requests are due at fixed times even if earlier ones are unanswered, and a latency counts from
//! the time at which its request was due. So a stall is charged to every request that it delayed (no
//! coordinated omission).

mod acked;
mod alarm;
pub(crate) mod bodies;
mod connection;
mod outcome;
mod target;

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

pub(crate) use acked::Acked;
pub(crate) use bodies::Bodies;

use alarm::Alarm;
use connection::Connection;
pub(crate) use outcome::Outcome;
pub(crate) use target::Target;

/// When requests are sent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// As soon as the connection's previous request is answered.
    Closed,
    /// At this rate, over all connections.
    Open {
        /// Requests per second.
        requests_per_second: f64,
    },
}

/// What to send, and for how long.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    /// The target.
    pub(crate) target: Target,
    /// Connections, each kept alive.
    pub(crate) connections: usize,
    /// The largest number of connections with a request in flight at a time; the connections take turns.
    pub(crate) active: usize,
    /// Write keys, used by the requests in turn. If empty, requests have no `Authorization`.
    pub(crate) write_keys: Vec<String>,
    /// When requests are sent.
    pub(crate) pace: Pace,
    /// No request begins after this time; requests in flight are awaited.
    pub(crate) lasting: Duration,
    /// Records the ids of acknowledged calls.
    pub(crate) acked: Option<Arc<Acked>>,
}

/// The clock of the generator.
#[expect(clippy::disallowed_methods, reason = "what is measured is real time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// The state shared by all senders.
#[derive(Debug)]
struct Shared {
    load: Load,
    bodies: Arc<Bodies>,
    heads: Vec<String>,
    began: Instant,
    tickets: AtomicU64,
    broken: AtomicBool,
    outcome: Mutex<Outcome>,
    /// Buffers for requests: as many as there are requests in flight, however many connections there are.
    spare: Mutex<Vec<Vec<u8>>>,
}

/// Opens connections and sends until the time is over. Occupies the calling thread.
///
/// # Errors
/// If a connection cannot be opened or breaks, or acknowledged ids cannot be recorded.
pub(crate) fn run(load: &Load, bodies: &Arc<Bodies>) -> io::Result<Outcome> {
    Generator::open(load)?.run(load, bodies)
}

/// Open connections, distributed over the senders.
pub(crate) struct Generator {
    runtime: Runtime,
    hands: Vec<VecDeque<Connection>>,
}

impl Generator {
    /// Opens all connections of a load.
    ///
    /// # Errors
    /// If one cannot be opened.
    pub(crate) fn open(load: &Load) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let active = load.active.clamp(1, load.connections);
        let mut hands: Vec<VecDeque<Connection>> = (0..active).map(|_| VecDeque::new()).collect();
        for hand in (0..active).cycle().take(load.connections) {
            let connection = runtime.block_on(Connection::open(&load.target))?;
            hands.get_mut(hand).expect("a hand below their number").push_back(connection);
        }
        Ok(Self { runtime, hands })
    }

    /// Sends until the time is over.
    ///
    /// # Errors
    /// If a connection breaks, or acknowledged ids cannot be recorded.
    pub(crate) fn run(&mut self, load: &Load, bodies: &Arc<Bodies>) -> io::Result<Outcome> {
        let mut outcome = self.run_until_broken(load, bodies)?;
        outcome.broken.take().map_or(Ok(outcome), Err)
    }

    /// Sends until the time is over or a connection breaks; the outcome tells which.
    ///
    /// # Errors
    /// If acknowledged ids cannot be recorded.
    pub(crate) fn run_until_broken(&mut self, load: &Load, bodies: &Arc<Bodies>) -> io::Result<Outcome> {
        let shared = Arc::new(Shared {
            load: load.clone(),
            bodies: Arc::clone(bodies),
            heads: heads(load),
            began: now(),
            tickets: AtomicU64::new(0),
            broken: AtomicBool::new(false),
            outcome: Mutex::new(Outcome::new()),
            spare: Mutex::new(Vec::new()),
        });
        let hands = std::mem::take(&mut self.hands);
        self.hands = self.runtime.block_on(async {
            let mut at_work = JoinSet::new();
            for hand in hands {
                at_work.spawn(send(Arc::clone(&shared), hand));
            }
            let mut back = Vec::with_capacity(at_work.len());
            while let Some(done) = at_work.join_next().await {
                back.push(done.map_err(io::Error::other)??);
            }
            io::Result::Ok(back)
        })?;
        let took = shared.began.elapsed();
        if let Some(acked) = &load.acked {
            acked.finish()?;
        }
        let outcome = std::mem::replace(&mut *locked(&shared.outcome), Outcome::new());
        Ok(Outcome { took, ..outcome })
    }
}

fn heads(load: &Load) -> Vec<String> {
    if load.write_keys.is_empty() {
        return vec![load.target.head("")];
    }
    let authorization = |key| format!("Authorization: Basic {}\r\n", STANDARD.encode(format!("{key}:")));
    load.write_keys.iter().map(|key| load.target.head(&authorization(key))).collect()
}

/// Sends one request after another, on each connection in turn, and returns the connections.
async fn send(
    shared: Arc<Shared>,
    mut connections: VecDeque<Connection>,
) -> io::Result<VecDeque<Connection>> {
    let bodies = &shared.bodies;
    // A closed loop never waits, and may have thousands of active connections.
    let alarm = match shared.load.pace {
        Pace::Closed => None,
        Pace::Open { .. } => Some(Alarm::new()?),
    };
    while !shared.broken.load(Ordering::Relaxed) {
        let ticket = shared.tickets.fetch_add(1, Ordering::Relaxed);
        let Some(due) = due(&shared, alarm.as_ref(), ticket).await? else { break };
        let mut request = locked(&shared.spare).pop().unwrap_or_default();
        request.clear();
        let head =
            usize::try_from(ticket).ok().and_then(|ticket| shared.heads.get(ticket % shared.heads.len()));
        request.extend_from_slice(head.expect("a head below their number").as_bytes());
        bodies.append(ticket, &mut request);
        connections.rotate_left(1);
        let connection = connections.front_mut().expect("a connection each");
        match connection.exchange(&shared.load.target, &request).await {
            Ok(true) => {
                locked(&shared.outcome).accepted(bodies.calls_per_request(), due.elapsed());
                if let Some(acked) = &shared.load.acked {
                    acked.write(bodies.ids(ticket, &request))?;
                }
            }
            Ok(false) => locked(&shared.outcome).refused += 1,
            Err(error) => {
                shared.broken.store(true, Ordering::Relaxed);
                locked(&shared.outcome).broken.get_or_insert(error);
            }
        }
        locked(&shared.spare).push(request);
    }
    Ok(connections)
}

/// Waits until a ticket's request is due, and returns when that was. `None` after the time is over.
async fn due(shared: &Shared, alarm: Option<&Alarm>, ticket: u64) -> io::Result<Option<Instant>> {
    let due = match shared.load.pace {
        Pace::Closed => now(),
        #[expect(clippy::cast_precision_loss, reason = "tickets of some seconds")]
        Pace::Open { requests_per_second } => {
            shared.began + Duration::from_secs_f64(ticket as f64 / requests_per_second)
        }
    };
    if due.duration_since(shared.began) >= shared.load.lasting {
        return Ok(None);
    }
    if let Some(alarm) = alarm {
        alarm.wait(due.saturating_duration_since(now())).await?;
    }
    Ok(Some(due))
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
