//! Clients that send calls from several sources at once and record the answers.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use http::StatusCode;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::support::http::{Http, is_accepted};
use crate::support::wait;

/// The write keys; in dev mode also the sources.
pub(crate) const SOURCES: [&str; 3] = ["alpha", "beta", "gamma"];

/// Concurrent clients.
const CLIENTS: usize = 6;
/// The most calls in one request: usually, and for small requests.
const CALLS_MAX: usize = 12;
const SMALL_CALLS_MAX: usize = 3;
/// The most random letters in a call: chosen for the objects' size, and for patient clients for the size of a
/// disk to fill.
const PADDING_MAX: usize = 1_500;
const PATIENT_PADDING_MAX: usize = 15_000;

/// How long a patient client waits after a refusal.
const PATIENT_PAUSE: Duration = Duration::from_millis(50);

/// The time limit until a few hundred calls are acknowledged.
const LOAD_TIMEOUT: Duration = Duration::from_secs(60);

/// One call with its client's records.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    message_id: String,
    source: &'static str,
    /// Unique content of this call.
    padding: String,
    /// When it was first sent, in Unix milliseconds.
    first_sent_ms: i64,
    /// When its last answer came, or the last attempt failed.
    last_settled_ms: i64,
    /// Whether it was answered with 200.
    pub(crate) acknowledged: bool,
}

/// The records of all clients of one life of the program.
#[derive(Debug, Default)]
pub(crate) struct Journal(pub(crate) Vec<Call>);

impl Journal {
    /// One JSON object per line, as the checker reads it.
    pub(crate) fn to_ndjson(&self) -> String {
        self.0.iter().fold(String::new(), |mut text, call| {
            let line = json!({
                "messageId": call.message_id,
                "source": call.source,
                "padding": call.padding,
                "firstSentMs": call.first_sent_ms,
                "lastSettledMs": call.last_settled_ms,
                "acknowledged": call.acknowledged,
            });
            writeln!(text, "{line}").expect("a string takes all");
            text
        })
    }

    /// How many calls were acknowledged.
    pub(crate) fn acknowledged(&self) -> usize {
        self.0.iter().filter(|call| call.acknowledged).count()
    }

    /// Removes about half of the calls without an answer, for another attempt. The rest is abandoned.
    fn take_retries(&mut self, random: &mut StdRng) -> Vec<Call> {
        let (retries, kept) = std::mem::take(&mut self.0)
            .into_iter()
            .partition(|call| !call.acknowledged && random.random_bool(0.5));
        self.0 = kept;
        retries
    }
}

/// The answers to the requests of one life.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Answers {
    /// 200.
    pub(crate) accepted: usize,
    /// 503.
    pub(crate) refused: usize,
    /// No answer: the program was gone.
    pub(crate) none: usize,
    /// The longest wait for a 503.
    pub(crate) slowest_refusal: Duration,
}

/// The behaviour of clients.
#[derive(Clone, Copy, Debug)]
struct Manner {
    /// Whether they continue after a refusal.
    patient: bool,
    calls_max: usize,
    padding_max: usize,
}

impl Manner {
    const USUAL: Self = Self { patient: false, calls_max: CALLS_MAX, padding_max: PADDING_MAX };
    const PATIENT: Self = Self { patient: true, padding_max: PATIENT_PADDING_MAX, ..Self::USUAL };
    const SMALL: Self = Self { calls_max: SMALL_CALLS_MAX, ..Self::USUAL };
}

/// Running clients of one life of the program.
#[derive(Debug)]
pub(crate) struct Load {
    clients: JoinSet<(Vec<Call>, Answers)>,
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicUsize>,
    refused: Arc<AtomicUsize>,
}

impl Load {
    /// Starts the clients, each of which ends at its first refusal. Calls to retry are removed from the
    /// journal and returned by [`Load::stop`].
    pub(crate) fn start(collector: &str, journal: &mut Journal, random: &mut StdRng) -> Self {
        Self::start_with(collector, journal, random, Manner::USUAL)
    }

    /// Like [`Load::start`], with small requests, many of which have a single call.
    pub(crate) fn start_small(collector: &str, journal: &mut Journal, random: &mut StdRng) -> Self {
        Self::start_with(collector, journal, random, Manner::SMALL)
    }

    /// Like [`Load::start`], with clients that continue after a refusal, and longer calls.
    pub(crate) fn start_patient(collector: &str, journal: &mut Journal, random: &mut StdRng) -> Self {
        Self::start_with(collector, journal, random, Manner::PATIENT)
    }

    fn start_with(collector: &str, journal: &mut Journal, random: &mut StdRng, manner: Manner) -> Self {
        let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let refused = Arc::new(AtomicUsize::new(0));
        let mut retries = journal.take_retries(random);
        let share = retries.len().div_ceil(CLIENTS);
        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS {
            let client = Client {
                http: Http::new(),
                collector: collector.to_owned(),
                random: StdRng::seed_from_u64(random.random()),
                stop: Arc::clone(&stop),
                acknowledged: Arc::clone(&acknowledged),
                refused: Arc::clone(&refused),
                manner,
                answers: Answers::default(),
            };
            let mine = retries.split_off(retries.len() - share.min(retries.len()));
            clients.spawn(client.run(mine));
        }
        Self { clients, stop, acknowledged, refused }
    }

    /// Waits until this number of calls is acknowledged.
    pub(crate) async fn until_acknowledged(&self, calls: usize) {
        let what = format!("{calls} acknowledged calls");
        let enough = async || (self.acknowledged.load(Ordering::Relaxed) >= calls).then_some(());
        wait::until(&what, LOAD_TIMEOUT, enough).await;
    }

    /// Calls acknowledged so far.
    pub(crate) fn acknowledged(&self) -> usize {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Requests refused so far.
    pub(crate) fn refused(&self) -> usize {
        self.refused.load(Ordering::Relaxed)
    }

    /// Ends the clients and adds their records to the journal; returns the answers.
    pub(crate) async fn stop(mut self, journal: &mut Journal) -> Answers {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Answers::default();
        while let Some(ended) = self.clients.join_next().await {
            let (calls, answers) = ended.expect("the client must not panic");
            journal.0.extend(calls);
            all.accepted += answers.accepted;
            all.refused += answers.refused;
            all.none += answers.none;
            all.slowest_refusal = all.slowest_refusal.max(answers.slowest_refusal);
        }
        all
    }
}

#[derive(Debug)]
struct Client {
    http: Http,
    collector: String,
    random: StdRng,
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicUsize>,
    refused: Arc<AtomicUsize>,
    manner: Manner,
    answers: Answers,
}

impl Client {
    /// Sends calls until it is stopped or the program is gone; returns the records of each call.
    async fn run(mut self, retries: Vec<Call>) -> (Vec<Call>, Answers) {
        let mut settled = Vec::new();
        for source in SOURCES {
            let calls: Vec<_> = retries.iter().filter(|call| call.source == source).cloned().collect();
            for request in calls.chunks(self.manner.calls_max) {
                settled.extend(self.send(request.to_vec()).await);
            }
        }
        while !self.stop.load(Ordering::Relaxed) {
            let source = SOURCES[self.random.random_range(0..SOURCES.len())];
            let count = self.random.random_range(1..=self.manner.calls_max);
            let calls = (0..count).map(|_| self.call(source)).collect();
            let answered = self.send(calls).await;
            let gone = answered.iter().all(|call| !call.acknowledged);
            settled.extend(answered);
            if gone && !self.manner.patient {
                break;
            }
            if gone {
                tokio::time::sleep(PATIENT_PAUSE).await;
            }
        }
        (settled, self.answers)
    }

    fn call(&mut self, source: &'static str) -> Call {
        let letters = self.random.random_range(0..self.manner.padding_max);
        let padding = (0..letters).map(|_| char::from(self.random.random_range(b'a'..=b'z'))).collect();
        let message_id = format!("load-{:032x}", self.random.random::<u128>());
        Call {
            message_id,
            source,
            padding,
            first_sent_ms: unix_ms(),
            last_settled_ms: 0,
            acknowledged: false,
        }
    }

    async fn send(&mut self, mut calls: Vec<Call>) -> Vec<Call> {
        let Some(source) = calls.first().map(|call| call.source) else { return calls };
        let (method, body) = match calls.as_slice() {
            [alone] => ("track", body(alone)),
            several => ("batch", json!({ "batch": several.iter().map(body).collect::<Vec<_>>() })),
        };
        let url = format!("{}/v1/{method}?writeKey={source}", self.collector);
        let began = Instant::now();
        let answer = self.http.post(&url, body.to_string()).await;
        let now = unix_ms();
        let accepted = answer.as_ref().is_ok_and(is_accepted);
        match &answer {
            Ok(_) if accepted => self.answers.accepted += 1,
            Ok(answer) if answer.status == StatusCode::SERVICE_UNAVAILABLE => {
                self.answers.refused += 1;
                self.answers.slowest_refusal = self.answers.slowest_refusal.max(began.elapsed());
                self.refused.fetch_add(1, Ordering::Relaxed);
            }
            Ok(answer) => panic!("{} {:?}", answer.status, answer.body),
            Err(_) => self.answers.none += 1,
        }
        if accepted {
            self.acknowledged.fetch_add(calls.len(), Ordering::Relaxed);
        }
        for call in &mut calls {
            call.acknowledged = accepted;
            call.last_settled_ms = now;
        }
        calls
    }
}

/// The same for each attempt: a repeat has the same id, type and time.
fn body(call: &Call) -> Value {
    json!({
        "type": "track",
        "event": "Load",
        "userId": "u-1",
        "messageId": call.message_id,
        "timestamp": "2026-01-01T00:00:00.000Z",
        "properties": { "padding": call.padding, "source": call.source },
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "the client's clock, which the checker compares with `receivedAt`"
)]
pub(crate) fn unix_ms() -> i64 {
    chrono::Utc::now().timestamp_millis()
}
