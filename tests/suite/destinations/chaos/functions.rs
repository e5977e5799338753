//! Functions of AWS Lambda behind a loopback address, which fail at random in every way that an invocation
//! can, and remember what they took.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use forebay::destinations::class::Class;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use super::{CallId, REFUSED, function_for, is_batched, parse_id};

/// How often an invocation fails while a function does not fail always: one in this many.
const ONE_FAILS_IN: u32 = 30;
/// How long functions work, and how long they fail always, in milliseconds.
const WORKS_MS: std::ops::Range<u64> = 500..4_000;
const FAILS_MS: std::ops::Range<u64> = 100..700;
/// How long an invocation that succeeds takes, in milliseconds.
const TAKES_MS: std::ops::Range<u64> = 0..10;
/// Longer than any destination waits.
const HANGS: Duration = Duration::from_secs(60);

/// Whether every function always fails at a call.
pub(super) fn is_poisoned((_, number): CallId) -> bool {
    number % 211 == 7
}

/// How an invocation fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fault {
    Hang,
    Reset,
    Throttled,
    BadGateway,
    ServerError,
    Handled,
    Unhandled,
    TaskTimedOut,
    TooLarge,
    Refused,
    Recursive,
    /// Of a batch, some calls are not taken.
    Partial,
    /// Of a batch, the calls are not taken that no function takes.
    Poisoned,
    Forbidden,
    UnknownToken,
    Missing,
}

impl Fault {
    /// Those that concern a single invocation.
    const SINGLE: [Self; 12] = [
        Self::Hang,
        Self::Reset,
        Self::Throttled,
        Self::BadGateway,
        Self::ServerError,
        Self::Handled,
        Self::Unhandled,
        Self::TaskTimedOut,
        Self::TooLarge,
        Self::Refused,
        Self::Recursive,
        Self::Partial,
    ];
    /// Those that may last for a while.
    const LASTING: [Self; 6] =
        [Self::Hang, Self::Reset, Self::Throttled, Self::BadGateway, Self::ServerError, Self::Unhandled];
    /// Those after which a function gets a call now and then, at least every half minute.
    const CLOSING: [Self; 3] = [Self::Forbidden, Self::UnknownToken, Self::Missing];

    /// The class that it belongs to.
    fn class(self) -> Class {
        match self {
            Self::Hang | Self::TaskTimedOut => Class::Timeout,
            Self::Reset => Class::Unanswered,
            Self::Throttled => Class::Throttled,
            Self::BadGateway | Self::ServerError => Class::Unavailable,
            Self::Handled | Self::Unhandled | Self::Partial | Self::Poisoned => Class::ExecutionError,
            Self::TooLarge => Class::TooLarge,
            Self::Refused => Class::BadRequest,
            Self::Recursive => Class::Recursive,
            Self::Forbidden => Class::AccessDenied,
            Self::UnknownToken => Class::InvalidCredentials,
            Self::Missing => Class::NotFound,
        }
    }

    /// What is answered. An error: the connection is reset.
    fn answer(self) -> io::Result<Response<Full<Bytes>>> {
        let refused = |status: u16, code: &str| {
            let answer = Response::builder().status(status).header("x-amzn-errortype", code);
            answer.body(Full::from(r#"{"Message":"scripted"}"#)).map_err(io::Error::other)
        };
        let failed = |kind: &str, body: &'static str| {
            let answer = Response::builder().header("x-amz-function-error", kind);
            answer.body(Full::from(body)).map_err(io::Error::other)
        };
        match self {
            Self::Hang | Self::Reset => Err(io::Error::from(io::ErrorKind::ConnectionReset)),
            Self::Throttled => refused(429, "TooManyRequestsException").map(|mut answer| {
                answer.headers_mut().insert("retry-after", http::HeaderValue::from_static("1"));
                answer
            }),
            Self::BadGateway => refused(502, "EC2ThrottledException"),
            Self::ServerError => refused(500, "ServiceException"),
            Self::Handled => failed("Handled", r#"{"errorType":"KeyError","errorMessage":"'event'"}"#),
            Self::Unhandled => failed("Unhandled", r#"{"errorMessage":"exit status 1"}"#),
            Self::TaskTimedOut => {
                let said = r#"{"errorType":"Sandbox.Timedout","errorMessage":"RequestId: 698aba69-5b39-49c9-a1e3-5b0965917cc4 Error: Task timed out after 3.00 seconds"}"#;
                failed("Unhandled", said)
            }
            Self::TooLarge => refused(413, "RequestTooLargeException"),
            Self::Refused => refused(400, "InvalidRequestContentException"),
            Self::Recursive => refused(400, "RecursiveInvocationException"),
            Self::Forbidden => refused(403, "AccessDeniedException"),
            Self::UnknownToken => refused(403, "UnrecognizedClientException"),
            Self::Missing => refused(404, "ResourceNotFoundException"),
            Self::Partial | Self::Poisoned => Ok(Response::new(Full::from("null"))),
        }
    }
}

/// How often each class was met, by their places in [`Class::ALL`].
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Classes([u32; Class::ALL.len()]);

impl Classes {
    fn place(class: Class) -> usize {
        Class::ALL.iter().position(|one| *one == class).expect("every class")
    }

    fn insert(&mut self, class: Class) {
        self.0[Self::place(class)] += 1;
    }

    pub(super) fn count(&self, class: Class) -> u32 {
        self.0[Self::place(class)]
    }

    pub(super) fn has(&self, class: Class) -> bool {
        self.count(class) > 0
    }
}

/// What a function saw of a call. Times are numbers that grow with each event of any function.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    pub(super) first_invoked: u64,
    /// When an invocation with it first succeeded.
    pub(super) first_taken: Option<u64>,
    /// How invocations with it failed.
    pub(super) failed: Classes,
}

/// One function.
#[derive(Debug)]
struct Function {
    /// How it fails until then; `None` if it works.
    lasting: Option<Fault>,
    until: Instant,
    seen: HashMap<CallId, Seen>,
    failed: Classes,
}

#[derive(Debug)]
struct State {
    random: StdRng,
    fails: bool,
    events: u64,
    functions: BTreeMap<String, Function>,
    /// A function that fails from a time on, whatever the call.
    closed: Option<(String, Fault, Instant)>,
    counts: BTreeMap<Fault, u64>,
    invocations: u64,
    wrong: Vec<String>,
}

/// What an invocation comes to.
enum Verdict {
    Takes { after: Duration, not_taken: Vec<usize> },
    Fails(Fault),
}

impl State {
    fn tick(&mut self) -> u64 {
        self.events += 1;
        self.events
    }

    fn function(&mut self, arn: &str) -> &mut Function {
        self.functions.entry(arn.to_owned()).or_insert_with(|| Function {
            lasting: None,
            until: Instant::now(),
            seen: HashMap::new(),
            failed: Classes::default(),
        })
    }

    /// How the function fails now.
    fn fault(&mut self, arn: &str) -> Option<Fault> {
        if !self.fails {
            return None;
        }
        let now = Instant::now();
        if let Some((closed, fault, from)) = &self.closed
            && closed == arn
            && now >= *from
        {
            return Some(*fault);
        }
        let (works, fails) = (self.random.random_range(WORKS_MS), self.random.random_range(FAILS_MS));
        let lasting = Fault::LASTING[self.random.random_range(0..Fault::LASTING.len())];
        let single = Fault::SINGLE[self.random.random_range(0..Fault::SINGLE.len())];
        let is_single = self.random.random_ratio(1, ONE_FAILS_IN);
        let function = self.function(arn);
        if now >= function.until {
            let (next, ms) = if function.lasting.is_none() { (Some(lasting), fails) } else { (None, works) };
            (function.lasting, function.until) = (next, now + Duration::from_millis(ms));
        }
        function.lasting.or(is_single.then_some(single))
    }

    /// Notes that a function is invoked with these calls of a source, and decides what that comes to.
    fn invoked(&mut self, arn: &str, source: &str, ids: &[CallId]) -> Verdict {
        self.invocations += 1;
        let mut fault = self.fault(arn).filter(|fault| *fault != Fault::Partial || is_batched(arn));
        if self.fails && (arn, source) == REFUSED {
            fault = Some(Fault::UnknownToken);
        } else if fault.is_none() && ids.iter().any(|id| is_poisoned(*id)) {
            fault = Some(if is_batched(arn) { Fault::Poisoned } else { Fault::Unhandled });
        }
        let at = self.tick();
        let not_taken = match fault {
            Some(Fault::Partial) => {
                let is_hit = |random: &mut StdRng, id| is_poisoned(id) || random.random_ratio(1, 4);
                (0..ids.len()).filter(|place| is_hit(&mut self.random, ids[*place])).collect()
            }
            Some(Fault::Poisoned) => (0..ids.len()).filter(|place| is_poisoned(ids[*place])).collect(),
            Some(_) => (0..ids.len()).collect(),
            None => Vec::new(),
        };
        let takes = Duration::from_millis(self.random.random_range(TAKES_MS));
        let function = self.function(arn);
        for (place, id) in ids.iter().enumerate() {
            let seen = function.seen.entry(*id).or_insert(Seen { first_invoked: at, ..Seen::default() });
            if let Some(fault) = fault
                && not_taken.contains(&place)
            {
                seen.failed.insert(fault.class());
                function.failed.insert(fault.class());
            }
        }
        if let Some(fault) = fault {
            *self.counts.entry(fault).or_default() += 1;
        }
        match fault {
            Some(fault) if !matches!(fault, Fault::Partial | Fault::Poisoned) => Verdict::Fails(fault),
            _ => Verdict::Takes { after: takes, not_taken },
        }
    }

    fn taken(&mut self, arn: &str, ids: &[CallId], not_taken: &[usize]) {
        let at = self.tick();
        let function = self.function(arn);
        for (_, id) in ids.iter().enumerate().filter(|(place, _)| !not_taken.contains(place)) {
            let seen = function.seen.entry(*id).or_default();
            seen.first_taken = seen.first_taken.or(Some(at));
        }
    }
}

/// The functions of all destinations, behind one address. They end when dropped.
#[derive(Debug)]
pub(super) struct Functions {
    pub(super) url: String,
    state: Arc<Mutex<State>>,
    server: JoinHandle<()>,
}

/// What functions did.
#[derive(Debug)]
pub(super) struct Report {
    /// What each saw of each call.
    pub(super) seen: BTreeMap<String, HashMap<CallId, Seen>>,
    /// How each failed at least once.
    pub(super) failed: BTreeMap<String, Classes>,
    /// Invocations, and how many of them failed in each way.
    pub(super) invocations: u64,
    pub(super) counts: BTreeMap<Fault, u64>,
    /// Calls that came to a function that is not theirs, and requests of another form.
    pub(super) wrong: Vec<String>,
}

impl Functions {
    pub(super) async fn start(seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State {
            random: StdRng::seed_from_u64(seed),
            fails: true,
            events: 0,
            functions: BTreeMap::new(),
            closed: None,
            counts: BTreeMap::new(),
            invocations: 0,
            wrong: Vec::new(),
        }));
        let server = tokio::spawn(serve(listener, Arc::clone(&state)));
        Self { url, state, server }
    }

    /// One of the functions fails from a moment on, until the next call of this method.
    pub(super) fn close_one(&self, functions: &[&str], after: Duration) {
        let mut state = self.state.lock().unwrap();
        let function = functions[state.random.random_range(0..functions.len())].to_owned();
        let fault = Fault::CLOSING[state.random.random_range(0..Fault::CLOSING.len())];
        state.closed = Some((function, fault, Instant::now() + after));
    }

    /// No invocation fails any more.
    pub(super) fn calm(&self) {
        self.state.lock().unwrap().fails = false;
    }

    pub(super) fn report(&self) -> Report {
        let state = self.state.lock().unwrap();
        let functions = &state.functions;
        Report {
            seen: functions.iter().map(|(arn, function)| (arn.clone(), function.seen.clone())).collect(),
            failed: functions.iter().map(|(arn, function)| (arn.clone(), function.failed)).collect(),
            invocations: state.invocations,
            counts: state.counts.clone(),
            wrong: state.wrong.clone(),
        }
    }
}

impl Drop for Functions {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(listener: TcpListener, state: Arc<Mutex<State>>) {
    // The set ends its connections when it is dropped with this task.
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        // A connection that is dropped is reset.
        stream.set_zero_linger().unwrap();
        let state = Arc::clone(&state);
        let service = service_fn(move |request| invoke(request, Arc::clone(&state)));
        let connection =
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        // Connections end by faults and kills.
        connections.spawn(async move { drop(connection.await) });
        while connections.try_join_next().is_some() {}
    }
}

/// The function, the source and the calls of an invocation.
///
/// # Errors
/// What is wrong with it.
fn read(path: &str, context: &str, body: &[u8]) -> Result<(String, String, Vec<CallId>), String> {
    let path = percent_encoding::percent_decode_str(path).decode_utf8_lossy().into_owned();
    let arn = path.strip_prefix("/2015-03-31/functions/").and_then(|rest| rest.strip_suffix("/invocations"));
    let arn = arn.ok_or_else(|| format!("not the path of an invocation: {path}"))?;
    let context = STANDARD.decode(context).map_err(|error| error.to_string())?;
    let context: Value = serde_json::from_slice(&context).map_err(|error| error.to_string())?;
    let destination = context["custom"]["destination"].as_str().unwrap_or_default();
    let lines = match serde_json::from_slice(body).map_err(|error| error.to_string())? {
        Value::Array(lines) => lines,
        line => vec![line],
    };
    let mut ids = Vec::new();
    for line in &lines {
        let text = |name: &str| line[name].as_str().unwrap_or_default();
        let is_excluded = line["integrations"]["All"] == json!(false);
        let own = function_for(destination, text("projectId"), text("type")).filter(|_| !is_excluded);
        if own != Some(arn) || context["custom"]["sourceId"] != line["projectId"] {
            return Err(format!("{arn} of {destination} got {line}"));
        }
        ids.push(parse_id(text("messageId")).ok_or_else(|| format!("an unknown id: {line}"))?);
    }
    let source = context["custom"]["sourceId"].as_str().unwrap_or_default();
    Ok((arn.to_owned(), source.to_owned(), ids))
}

async fn invoke(request: Request<Incoming>, state: Arc<Mutex<State>>) -> io::Result<Response<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    // A collector that is killed leaves half a request.
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let context = head.headers.get("x-amz-client-context").and_then(|value| value.to_str().ok());
    let (arn, source, ids) = match read(head.uri.path(), context.unwrap_or_default(), &body) {
        Ok(read) => read,
        Err(what) => {
            state.lock().unwrap().wrong.push(what);
            return Fault::Refused.answer();
        }
    };
    let verdict = state.lock().unwrap().invoked(&arn, &source, &ids);
    let (after, not_taken) = match verdict {
        Verdict::Fails(Fault::Hang) => {
            tokio::time::sleep(HANGS).await;
            return Fault::Hang.answer();
        }
        Verdict::Fails(fault) => return fault.answer(),
        Verdict::Takes { after, not_taken } => (after, not_taken),
    };
    tokio::time::sleep(after).await;
    state.lock().unwrap().taken(&arn, &ids, &not_taken);
    let named = |place: &usize| json!({ "itemIdentifier": super::id_text(ids[*place]) });
    let failures: Vec<Value> = not_taken.iter().map(named).collect();
    let body = match failures.is_empty() {
        true => "null".to_owned(),
        false => json!({ "batchItemFailures": failures }).to_string(),
    };
    Response::builder().header("x-amzn-requestid", "r-1").body(Full::from(body)).map_err(io::Error::other)
}
