//! Clients that call from several sources at once, and write down what they were told.

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

/// The write keys in use: in dev mode, also the sources.
pub(crate) const SOURCES: [&str; 3] = ["alpha", "beta", "gamma"];

/// Clients at a time.
const CLIENTS: usize = 6;
/// Calls of one request, at most: usually, and of small requests.
const CALLS_MAX: usize = 12;
const SMALL_CALLS_MAX: usize = 3;
/// Random letters in a call, at most: with the objects' size in mind, and, of patient clients, that of a disk to be filled.
const PADDING_MAX: usize = 1_500;
const PATIENT_PADDING_MAX: usize = 15_000;

/// How long a patient client waits after a refusal.
const PATIENT_PAUSE: Duration = Duration::from_millis(50);

/// Time for the clients to have a few hundred calls acknowledged.
const LOAD_TIMEOUT: Duration = Duration::from_secs(60);

/// One call, and what its client knows of it.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    message_id: String,
    source: &'static str,
    /// What tells this call's content from any other's.
    padding: String,
    /// When it was first sent, in Unix milliseconds.
    first_sent_ms: i64,
    /// When the last answer to it came, or the last attempt failed.
    last_settled_ms: i64,
    /// Whether it was answered 200.
    pub(crate) acknowledged: bool,
}

/// What all clients of one life of the program have written down.
#[derive(Debug, Default)]
pub(crate) struct Journal(pub(crate) Vec<Call>);

impl Journal {
    /// One JSON object a line, as the checker reads it.
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

    /// How many were answered 200.
    pub(crate) fn acknowledged(&self) -> usize {
        self.0.iter().filter(|call| call.acknowledged).count()
    }

    /// Takes out, for another attempt, about half of the calls without an answer. The rest is abandoned.
    fn take_retries(&mut self, random: &mut StdRng) -> Vec<Call> {
        let (retries, kept) = std::mem::take(&mut self.0)
            .into_iter()
            .partition(|call| !call.acknowledged && random.random_bool(0.5));
        self.0 = kept;
        retries
    }
}

/// How many requests of one life were answered in which way.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Answers {
    /// 200.
    pub(crate) accepted: usize,
    /// 503: for now.
    pub(crate) refused: usize,
    /// Not at all: the program was gone.
    pub(crate) none: usize,
    /// The longest that a client waited for a 503.
    pub(crate) slowest_refusal: Duration,
}

/// How clients go about it.
#[derive(Clone, Copy, Debug)]
struct Manner {
    /// Whether they go on after a refusal.
    patient: bool,
    calls_max: usize,
    padding_max: usize,
}

impl Manner {
    const USUAL: Self = Self { patient: false, calls_max: CALLS_MAX, padding_max: PADDING_MAX };
    const PATIENT: Self = Self { patient: true, padding_max: PATIENT_PADDING_MAX, ..Self::USUAL };
    const SMALL: Self = Self { calls_max: SMALL_CALLS_MAX, ..Self::USUAL };
}

/// Clients at work on one life of the program.
#[derive(Debug)]
pub(crate) struct Load {
    clients: JoinSet<(Vec<Call>, Answers)>,
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicUsize>,
    refused: Arc<AtomicUsize>,
}

impl Load {
    /// Starts the clients, each of which ends with its first refusal. What is taken for a retry leaves the journal, and comes
    /// back by [`Load::stop`].
    pub(crate) fn start(collector: &str, journal: &mut Journal, random: &mut StdRng) -> Self {
        Self::start_with(collector, journal, random, Manner::USUAL)
    }

    /// As [`Load::start`], with requests of few calls: many are of one, which is no batch.
    pub(crate) fn start_small(collector: &str, journal: &mut Journal, random: &mut StdRng) -> Self {
        Self::start_with(collector, journal, random, Manner::SMALL)
    }

    /// As [`Load::start`], with clients that go on after a refusal, and longer calls.
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

    /// Waits until the clients have had so many calls acknowledged.
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

    /// Ends the clients and writes down what they know; how they were answered.
    pub(crate) async fn stop(mut self, journal: &mut Journal) -> Answers {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Answers::default();
        while let Some(ended) = self.clients.join_next().await {
            let (calls, answers) = ended.expect("a client that does not panic");
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
    /// Calls until it is stopped, or until the program is gone; what it was told of each call.
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
    reason = "the client's clock, which the checker holds against `receivedAt`"
)]
pub(super) fn unix_ms() -> i64 {
    chrono::Utc::now().timestamp_millis()
}
