//! Clients that send calls as SDKs do: each batch again until it is answered 200, and now and then once more.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::served::Client;
use crate::support::{CALL, unique, until};

/// Sources that clients send for.
const SOURCES: [&str; 2] = ["web", "ios"];

/// What clients saw.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// Calls of batches that were answered 200.
    pub(crate) stored: Vec<String>,
    /// Requests that were answered 200, each with its time.
    pub(crate) answered: Vec<(Instant, Duration)>,
    /// Other answers: when, the status, and after which time.
    pub(crate) refused: Vec<(Instant, u16, Duration)>,
    /// Requests without an answer.
    pub(crate) lost: usize,
    /// Batches that were given up without a 200.
    pub(crate) given_up: usize,
}

/// Requests so far.
#[derive(Debug, Default)]
struct Counts {
    answered: AtomicU64,
    refused: AtomicU64,
}

/// Clients under way.
pub(crate) struct Load {
    stops: Arc<AtomicBool>,
    pub(crate) at: Arc<Mutex<Vec<SocketAddr>>>,
    counts: Arc<Counts>,
    threads: Vec<JoinHandle<Seen>>,
}

/// How they send.
#[derive(Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) clients: usize,
    pub(crate) batch: usize,
    /// Bytes in each call, besides others.
    pub(crate) more: usize,
    /// Whether some batches are sent again although they were answered 200.
    pub(crate) again: bool,
    /// Between two requests of one client.
    pub(crate) pause: Duration,
    /// After an answer other than 200.
    pub(crate) again_after: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        let (pause, again_after) = (Duration::from_millis(20), Duration::from_millis(100));
        Self { clients: 4, batch: 10, more: 200, again: true, pause, again_after }
    }
}

impl Load {
    /// Clients that send to one of these collectors, and to another one if it does not answer.
    pub(crate) fn start(at: &[SocketAddr], pace: Pace) -> Self {
        let (stops, at) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(at.to_vec())));
        let (run, counts) = (unique("load"), Arc::new(Counts::default()));
        let client = |number: usize| {
            let (stops, at, counts) = (Arc::clone(&stops), Arc::clone(&at), Arc::clone(&counts));
            let name = format!("{run}-{number}");
            std::thread::spawn(move || sends(&stops, &at, &counts, &name, number, pace))
        };
        let threads = (0..pace.clients).map(client).collect();
        Self { stops, at, counts, threads }
    }

    /// Waits until so many more requests are answered 200.
    pub(crate) fn answers(&self, more: u64) {
        grows("requests to be answered 200", &self.counts.answered, more);
    }

    /// Waits until so many more requests have another answer.
    pub(crate) fn is_refused(&self, more: u64) {
        grows("requests to be refused", &self.counts.refused, more);
    }

    /// Clients end once their last batch is answered 200, or 20 s have passed.
    pub(crate) fn end(self) -> Seen {
        self.stops.store(true, Ordering::Release);
        let mut all = Seen::default();
        for thread in self.threads {
            let seen = thread.join().unwrap();
            all.stored.extend(seen.stored);
            all.answered.extend(seen.answered);
            all.refused.extend(seen.refused);
            all.lost += seen.lost;
            all.given_up += seen.given_up;
        }
        all
    }
}

fn grows(what: &str, count: &AtomicU64, more: u64) {
    let before = count.load(Ordering::Acquire);
    until(what, CALL * 3, || (count.load(Ordering::Acquire) >= before + more).then_some(()));
}

fn sends(
    stops: &AtomicBool,
    at: &Mutex<Vec<SocketAddr>>,
    counts: &Counts,
    name: &str,
    number: usize,
    pace: Pace,
) -> Seen {
    let mut seen = Seen::default();
    let mut next = number;
    let choose = |next: usize| {
        let all = at.lock().unwrap();
        Client::new(all[next % all.len()])
    };
    let mut client = choose(next);
    let source = SOURCES[number % SOURCES.len()];
    let (mut batch, mut ended) = (0, None);
    while !stops.load(Ordering::Acquire) {
        let calls: Vec<String> = (0..pace.batch).map(|n| format!("{name}-{batch}-{n}")).collect();
        // A client that did not hear the answer.
        let times = if pace.again && batch % 7 == 3 { 2 } else { 1 };
        let mut stored = 0;
        while stored < times {
            match client.send(source, &calls, pace.more) {
                Some(answered) if answered.is_stored() => {
                    seen.answered.push((Instant::now(), answered.after));
                    counts.answered.fetch_add(1, Ordering::AcqRel);
                    stored += 1;
                }
                Some(answered) => {
                    seen.refused.push((Instant::now(), answered.status, answered.after));
                    counts.refused.fetch_add(1, Ordering::AcqRel);
                    std::thread::sleep(pace.again_after);
                }
                None => {
                    seen.lost += 1;
                    next += 1;
                    client = choose(next);
                    std::thread::sleep(Duration::from_millis(100));
                }
            }
            if stored == 0 && stops.load(Ordering::Acquire) {
                let since = *ended.get_or_insert_with(Instant::now);
                if since.elapsed() > Duration::from_secs(20) {
                    seen.given_up += 1;
                    return seen;
                }
            }
        }
        seen.stored.extend(calls);
        batch += 1;
        std::thread::sleep(pace.pause);
    }
    seen
}
