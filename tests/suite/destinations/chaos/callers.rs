//! Clients that send calls of all types, in an order that each call's user can be checked by.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{CallId, SOURCES, TYPES, id_text};
use crate::durability::load::unix_ms;
use crate::support::http::{Http, is_accepted};

/// Concurrent clients.
const CLIENTS: usize = 8;
/// Users of each client. No user has two clients, so the order of a user's calls is that of the client's
/// requests.
const USERS: usize = 100;
/// The most calls in one request.
const CALLS_MAX: usize = 60;
/// The most random letters in a call.
const PADDING_MAX: usize = 200;
/// How long a client waits before it repeats a request without an answer.
const PAUSE: Duration = Duration::from_millis(50);

/// An acknowledged call.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) id: CallId,
    pub(super) source: &'static str,
    pub(super) kind: &'static str,
    pub(super) user: usize,
    /// Whether its `integrations` exclude every destination.
    pub(super) is_excluded: bool,
    padding: String,
    first_sent_ms: i64,
    last_settled_ms: i64,
}

impl Call {
    /// The same for each attempt: a repeat has the same id, type and time.
    fn body(&self) -> Value {
        let mut body = json!({
            "type": self.kind,
            "event": "Chaos",
            "name": "chaos",
            "groupId": "g-1",
            "previousId": "p-1",
            "userId": format!("u-{}-{}", self.id.0, self.user),
            "messageId": id_text(self.id),
            "timestamp": "2026-01-01T00:00:00.000Z",
            "properties": { "padding": self.padding, "source": self.source },
        });
        if self.is_excluded {
            body["integrations"] = json!({ "All": false });
        }
        body
    }
}

/// One JSON object per line, as the checker reads it.
pub(super) fn journal(calls: &[Call]) -> String {
    calls.iter().fold(String::new(), |mut text, call| {
        let line = json!({
            "messageId": id_text(call.id),
            "source": call.source,
            "padding": call.padding,
            "firstSentMs": call.first_sent_ms,
            "lastSettledMs": call.last_settled_ms,
            "acknowledged": true,
        });
        writeln!(text, "{line}").expect("a string takes all");
        text
    })
}

/// Running clients. They repeat each request until it is accepted, as SDKs do.
#[derive(Debug)]
pub(super) struct Callers {
    clients: JoinSet<Vec<Call>>,
    acknowledged: Arc<AtomicUsize>,
}

impl Callers {
    /// Sends so many calls, at a rate per second, to the collector that `address` names.
    pub(super) fn start(
        address: &watch::Receiver<String>,
        calls: usize,
        rate: usize,
        random: &mut StdRng,
    ) -> Self {
        let acknowledged = Arc::<AtomicUsize>::default();
        let mut clients = JoinSet::new();
        for number in 0..CLIENTS {
            let client = Client {
                number,
                http: Http::new(),
                address: address.clone(),
                random: StdRng::seed_from_u64(random.random()),
                acknowledged: Arc::clone(&acknowledged),
            };
            let share = calls / CLIENTS + usize::from(number < calls % CLIENTS);
            clients
                .spawn(client.run(share, Duration::from_secs(CLIENTS as u64) / u32::try_from(rate).unwrap()));
        }
        Self { clients, acknowledged }
    }

    /// Calls acknowledged so far.
    pub(super) fn acknowledged(&self) -> usize {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Waits until all calls are acknowledged, and returns them by client, in their order.
    pub(super) async fn finished(self) -> Vec<Vec<Call>> {
        let mut all = self.clients.join_all().await;
        all.sort_by_key(|calls| calls.first().map(|call| call.id));
        all
    }
}

struct Client {
    number: usize,
    http: Http,
    address: watch::Receiver<String>,
    random: StdRng,
    acknowledged: Arc<AtomicUsize>,
}

impl Client {
    async fn run(mut self, calls: usize, pause: Duration) -> Vec<Call> {
        let (began, mut all) = (Instant::now(), Vec::new());
        while all.len() < calls {
            let due = pause * u32::try_from(all.len()).unwrap();
            tokio::time::sleep_until(began + due).await;
            let count = self.random.random_range(1..=CALLS_MAX).min(calls - all.len());
            let source = self.source();
            let mut request: Vec<Call> =
                (0..count).map(|place| self.call(all.len() + place, source)).collect();
            let batch: Vec<Value> = request.iter().map(Call::body).collect();
            let body = json!({ "batch": batch }).to_string();
            while !self.is_accepted(source, &body).await {
                // To give a collector that was killed time to come back.
                tokio::time::sleep(PAUSE).await;
            }
            let now = unix_ms();
            request.iter_mut().for_each(|call| call.last_settled_ms = now);
            self.acknowledged.fetch_add(count, Ordering::Relaxed);
            all.append(&mut request);
        }
        all
    }

    async fn is_accepted(&self, source: &str, body: &str) -> bool {
        let url = format!("{}/v1/batch?writeKey={source}", *self.address.borrow());
        match self.http.post(&url, body.to_owned()).await {
            Ok(answer) => {
                let is_refused = answer.status == http::StatusCode::SERVICE_UNAVAILABLE;
                assert!(is_refused || is_accepted(&answer), "{} {:?}", answer.status, answer.body);
                !is_refused
            }
            Err(_) => false,
        }
    }

    fn source(&mut self) -> &'static str {
        let most = self.random.random_ratio(3, 4);
        SOURCES[self.random.random_range(if most { 4..6 } else { 0..4 })]
    }

    fn call(&mut self, number: usize, source: &'static str) -> Call {
        let letters = self.random.random_range(0..PADDING_MAX);
        Call {
            id: (self.number, number),
            source,
            kind: TYPES[self.random.random_range(0..TYPES.len())],
            user: self.random.random_range(0..USERS),
            is_excluded: self.random.random_ratio(1, 50),
            padding: (0..letters).map(|_| char::from(self.random.random_range(b'a'..=b'z'))).collect(),
            first_sent_ms: unix_ms(),
            last_settled_ms: 0,
        }
    }
}
