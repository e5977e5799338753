//! Clients that fill a spool fast, with requests of several hundred KB. They keep digests instead of calls,
//! so that a gigabyte of calls needs little memory.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use http::StatusCode;
use http::header::RETRY_AFTER;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::load::unix_ms;
use crate::support::http::{Answer, Http, is_accepted};

/// The write keys, which are also the sources. Enough of them that none reaches a quarter of a full spool.
pub(crate) const SOURCES: [&str; 6] = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta"];

/// Concurrent clients.
const CLIENTS: usize = 3;
/// Calls in one request, and bytes of padding in a call: at most 900 KB, below `collector.max_body` of 1 MiB.
const CALLS: std::ops::RangeInclusive<usize> = 8..=30;
const PADDING: std::ops::RangeInclusive<usize> = 10_000..=30_000;
/// Random text from which calls take their padding: many times the window of gzip.
const POOL_LEN: usize = 1_024 * 1_024;
/// The alphabet. Its first two letters compress to an eighth, all of it to three quarters.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/// How long a client waits after a refusal or a missing answer.
const PAUSE: Duration = Duration::from_millis(50);

/// One call with its client's records.
#[derive(Debug)]
struct Call {
    message_id: String,
    source: &'static str,
    padding_sha256: String,
    first_sent_ms: i64,
    last_settled_ms: i64,
    acknowledged: bool,
}

/// The records of all clients of all lives.
#[derive(Debug, Default)]
pub(crate) struct BulkJournal(Vec<Call>);

impl BulkJournal {
    /// One JSON object per line, as the checker reads it.
    pub(crate) fn to_ndjson(&self) -> String {
        self.0.iter().fold(String::new(), |mut text, call| {
            let line = json!({
                "messageId": call.message_id,
                "source": call.source,
                "paddingSha256": call.padding_sha256,
                "firstSentMs": call.first_sent_ms,
                "lastSettledMs": call.last_settled_ms,
                "acknowledged": call.acknowledged,
            });
            writeln!(text, "{line}").expect("a string takes all");
            text
        })
    }
}

/// The answers so far.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    accepted: AtomicUsize,
    refused: AtomicUsize,
    refused_in_a_row: AtomicUsize,
    limited: AtomicUsize,
    unanswered: AtomicUsize,
    slowest_refusal_ms: AtomicUsize,
}

impl Counts {
    /// Requests answered 200.
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Requests answered 503.
    pub(crate) fn refused(&self) -> usize {
        self.refused.load(Ordering::Relaxed)
    }

    /// Requests refused since the last one that was accepted.
    pub(crate) fn refused_in_a_row(&self) -> usize {
        self.refused_in_a_row.load(Ordering::Relaxed)
    }

    /// Requests answered 429.
    pub(crate) fn limited(&self) -> usize {
        self.limited.load(Ordering::Relaxed)
    }

    /// Requests without an answer.
    pub(crate) fn unanswered(&self) -> usize {
        self.unanswered.load(Ordering::Relaxed)
    }

    /// The longest wait for a 503.
    pub(crate) fn slowest_refusal(&self) -> Duration {
        Duration::from_millis(self.slowest_refusal_ms.load(Ordering::Relaxed) as u64)
    }

    /// # Panics
    ///
    /// For an answer that a full disk does not explain.
    fn take(&self, answer: Result<&Answer, &String>, took: Duration) -> bool {
        let add = |counter: &AtomicUsize| counter.fetch_add(1, Ordering::Relaxed);
        match answer {
            Ok(answer) if is_accepted(answer) => {
                self.refused_in_a_row.store(0, Ordering::Relaxed);
                add(&self.accepted);
                return true;
            }
            Ok(answer) if answer.status == StatusCode::SERVICE_UNAVAILABLE => {
                assert!(answer.headers.contains_key(RETRY_AFTER), "a 503 without Retry-After: {answer:?}");
                let took_ms = usize::try_from(took.as_millis()).expect("a short time");
                self.slowest_refusal_ms.fetch_max(took_ms, Ordering::Relaxed);
                add(&self.refused_in_a_row);
                add(&self.refused);
            }
            Ok(answer) if answer.status == StatusCode::TOO_MANY_REQUESTS => {
                add(&self.limited);
            }
            Ok(answer) => panic!("{} {:?}", answer.status, answer.body),
            Err(_) => {
                add(&self.unanswered);
            }
        }
        false
    }
}

/// The text that the clients send.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Text {
    /// The number of different letters in the padding, 2 to 64.
    pub(crate) letters: usize,
    /// How often a padding repeats the same text: repeated text compresses fast and well.
    pub(crate) repeats: usize,
}

/// Running clients of one life of the program. They repeat a refused request until it is accepted, like SDKs.
#[derive(Debug)]
pub(crate) struct BulkLoad {
    clients: JoinSet<Vec<Call>>,
    stop: Arc<AtomicBool>,
    pub(crate) counts: Arc<Counts>,
}

impl BulkLoad {
    /// Starts the clients.
    pub(crate) fn start(collector: &str, random: &mut StdRng, text: Text) -> Self {
        let (stop, counts) = (Arc::new(AtomicBool::new(false)), Arc::new(Counts::default()));
        let letters = &ALPHABET[..text.letters];
        let pool: String =
            (0..POOL_LEN).map(|_| char::from(letters[random.random_range(0..letters.len())])).collect();
        let pool: Arc<str> = pool.into();
        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS {
            let client = Client {
                http: Http::new(),
                collector: collector.to_owned(),
                random: StdRng::seed_from_u64(random.random()),
                pool: Arc::clone(&pool),
                repeats: text.repeats,
                stop: Arc::clone(&stop),
                counts: Arc::clone(&counts),
            };
            clients.spawn(client.run());
        }
        Self { clients, stop, counts }
    }

    /// Ends the clients and adds their records to the journal.
    pub(crate) async fn stop(mut self, journal: &mut BulkJournal) -> Arc<Counts> {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.clients.join_next().await {
            journal.0.extend(ended.expect("the client must not panic"));
        }
        self.counts
    }
}

#[derive(Debug)]
struct Client {
    http: Http,
    collector: String,
    random: StdRng,
    pool: Arc<str>,
    repeats: usize,
    stop: Arc<AtomicBool>,
    counts: Arc<Counts>,
}

impl Client {
    async fn run(mut self) -> Vec<Call> {
        let mut settled = Vec::new();
        while !self.is_stopped() {
            let (mut calls, body) = self.request();
            let url = format!("{}/v1/batch?writeKey={}", self.collector, calls[0].source);
            let mut accepted = false;
            while !accepted && !self.is_stopped() {
                let began = Instant::now();
                let answer = self.http.post(&url, body.clone()).await;
                accepted = self.counts.take(answer.as_ref(), began.elapsed());
                let now = unix_ms();
                calls.iter_mut().for_each(|call| call.last_settled_ms = now);
                if !accepted {
                    tokio::time::sleep(PAUSE).await;
                }
            }
            calls.iter_mut().for_each(|call| call.acknowledged = accepted);
            settled.extend(calls);
        }
        settled
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// New calls of one source, and a body with them.
    fn request(&mut self) -> (Vec<Call>, bytes::Bytes) {
        let source = SOURCES[self.random.random_range(0..SOURCES.len())];
        let count = self.random.random_range(CALLS);
        let (mut body, mut calls) = (String::from("{\"batch\":["), Vec::new());
        for nth in 0..count {
            let len = self.random.random_range(PADDING) / self.repeats;
            let at = self.random.random_range(0..=POOL_LEN - len);
            let padding = self.pool.get(at..at + len).expect("ASCII").repeat(self.repeats);
            let message_id = format!("bulk-{:032x}", self.random.random::<u128>());
            let comma = if nth == 0 { "" } else { "," };
            write!(
                body,
                "{comma}{{\"type\":\"track\",\"event\":\"Load\",\"userId\":\"u-1\",\"messageId\":\"{message_id}\",\
                 \"properties\":{{\"padding\":\"{padding}\",\"source\":\"{source}\"}}}}"
            )
            .expect("a string takes all");
            calls.push(Call {
                message_id,
                source,
                padding_sha256: hex(&Sha256::digest(&padding)),
                first_sent_ms: unix_ms(),
                last_settled_ms: 0,
                acknowledged: false,
            });
        }
        body.push_str("]}");
        (calls, body.into())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes all");
        text
    })
}
