//! A runtime API whose deadlines a test chooses, and the program under it or under any other.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use forebay::runtime::SystemClock;
use forebay::time::Clock as _;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::support::bucket::Bucket;
use crate::support::forebay::{Flush, Forebay, command};
use crate::support::wait;

/// Enough time for an invocation on a busy machine, besides its own.
const PATIENCE: Duration = Duration::from_secs(120);

/// What an invocation answered: a value, or the text of its error.
pub(super) type Answered = Result<Value, String>;

/// The runtime API of AWS Lambda, with one queue for all instances.
pub(super) struct RuntimeApi {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    came: Notify,
}

#[derive(Default)]
struct State {
    queue: VecDeque<(u64, String, Duration)>,
    waiting: HashMap<u64, oneshot::Sender<Answered>>,
    invocations: u64,
    /// Instances that wait for an event.
    polling: usize,
    init_error: Option<String>,
}

impl RuntimeApi {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let serving = Arc::clone(&shared);
        let server = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let shared = Arc::clone(&serving);
                tokio::spawn(async move {
                    let service = service_fn(move |request| answer(Arc::clone(&shared), request));
                    // An instance that was killed breaks its connection.
                    drop(
                        hyper::server::conn::http1::Builder::new()
                            .serve_connection(TokioIo::new(stream), service)
                            .await,
                    );
                });
            }
        });
        Self { address, shared, server }
    }

    /// Queues an event for whichever instance asks next, with this time until its deadline.
    pub(super) fn queue(&self, event: &Value, time: Duration) -> oneshot::Receiver<Answered> {
        let (sender, answer) = oneshot::channel();
        let mut state = self.shared.state.lock().unwrap();
        state.invocations += 1;
        let id = state.invocations;
        state.queue.push_back((id, event.to_string(), time));
        state.waiting.insert(id, sender);
        drop(state);
        self.shared.came.notify_waiters();
        answer
    }

    /// Invokes an instance, and waits for its answer.
    pub(super) async fn invoke(&self, event: &Value, time: Duration) -> Answered {
        let answer = timeout(time + PATIENCE, self.queue(event, time)).await;
        answer.expect("an answer in time").expect("the instance answers")
    }

    /// Ends instances, and waits until none of them can get another event.
    pub(super) async fn end(&self, instances: impl IntoIterator<Item = Instance>) {
        for mut instance in instances {
            instance.kill().await;
        }
        wait::until("no instance to poll", PATIENCE, async || {
            (self.shared.state.lock().unwrap().polling == 0).then_some(())
        })
        .await;
    }

    /// Why an instance did not start.
    pub(super) fn init_error(&self) -> Option<String> {
        self.shared.state.lock().unwrap().init_error.clone()
    }

    /// For `AWS_LAMBDA_RUNTIME_API`.
    pub(super) fn address(&self) -> String {
        self.address.to_string()
    }
}

impl Drop for RuntimeApi {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn answer(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().strip_prefix("/2018-06-01/runtime/").unwrap_or_default().to_owned();
    if request.method() == Method::GET && path == "invocation/next" {
        return Ok(next(&shared).await);
    }
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let text = |name: &str| {
        let said: Value = serde_json::from_slice(&body).unwrap_or_default();
        said[name].as_str().unwrap_or_default().to_owned()
    };
    let mut state = shared.state.lock().unwrap();
    let parts: Vec<&str> = path.split('/').collect();
    match parts[..] {
        ["init", "error"] => state.init_error = Some(text("errorMessage")),
        ["invocation", id, how] => {
            let answered = match how {
                "response" => Ok(serde_json::from_slice(&body).unwrap()),
                _ => Err(text("errorMessage")),
            };
            if let Some(waiting) = state.waiting.remove(&id.parse().unwrap()) {
                // The test may have stopped waiting.
                drop(waiting.send(answered));
            }
        }
        _ => panic!("{path}"),
    }
    Ok(Response::builder().status(StatusCode::ACCEPTED).body(Full::default()).unwrap())
}

/// Counts an instance that waits for an event, until it has one or is gone.
struct Polling<'s>(&'s Shared);

impl<'s> Polling<'s> {
    fn new(shared: &'s Shared) -> Self {
        shared.state.lock().unwrap().polling += 1;
        Self(shared)
    }
}

impl Drop for Polling<'_> {
    fn drop(&mut self) {
        self.0.state.lock().unwrap().polling -= 1;
    }
}

async fn next(shared: &Shared) -> Response<Full<Bytes>> {
    let _polling = Polling::new(shared);
    loop {
        let came = shared.came.notified();
        tokio::pin!(came);
        came.as_mut().enable();
        let next = shared.state.lock().unwrap().queue.pop_front();
        let Some((id, event, time)) = next else {
            came.await;
            continue;
        };
        let deadline = SystemClock::new().wall().plus(time).0;
        return Response::builder()
            .header("lambda-runtime-aws-request-id", id.to_string())
            .header("lambda-runtime-deadline-ms", deadline.to_string())
            .header(
                "lambda-runtime-invoked-function-arn",
                "arn:aws:lambda:us-east-1:123456789012:function:csv",
            )
            .header("lambda-runtime-trace-id", "Root=1-6b03946b-c26c206663f976f617e0759a")
            .body(Full::from(event))
            .unwrap();
    }
}

/// One execution environment: the program as the runtime starts it.
pub(super) struct Instance {
    child: Child,
    log: Arc<Mutex<String>>,
}

impl Instance {
    /// Starts it under a runtime API, with these variables.
    pub(super) fn start(api: &str, environment: &[(String, String)]) -> Self {
        let mut command = function(api, environment);
        command.arg("lambda");
        Self::spawn(command)
    }

    pub(super) fn spawn(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let kept = Arc::clone(&log);
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                kept.lock().unwrap().push_str(&format!("{line}\n"));
            }
        });
        Self { child, log }
    }

    pub(super) async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// Waits for its end. Returns the exit code.
    pub(super) async fn exit(&mut self) -> Option<i32> {
        timeout(PATIENCE, self.child.wait()).await.expect("it ends").unwrap().code()
    }

    /// Its log so far.
    pub(super) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// The log's lines that have all of these parts, as JSON.
    pub(super) fn lines(&self, message: &str) -> Vec<Value> {
        let log = self.log();
        log.lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter(|line| line["message"] == message)
            .collect()
    }
}

/// The program with the variables that the runtime sets.
pub(super) fn function(api: &str, environment: &[(String, String)]) -> Command {
    as_function(command(), api, environment)
}

/// The same, for a program by another name.
pub(super) fn as_function(mut command: Command, api: &str, environment: &[(String, String)]) -> Command {
    command
        .env("AWS_LAMBDA_RUNTIME_API", api)
        .env("AWS_LAMBDA_FUNCTION_NAME", "csv")
        .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "1024")
        .env("AWS_REGION", "us-east-1")
        .env_remove("AWS_ENDPOINT_URL")
        .env_remove("AWS_ENDPOINT_URL_S3")
        .envs(environment.iter().map(|(name, value)| (name, value)));
    command
}

/// Owned pairs.
pub(super) fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// A collector with its S3 server, in which the files are too, and a runtime API.
pub(super) struct Stand {
    _folder: tempfile::TempDir,
    pub(super) node: Forebay,
    pub(super) api: RuntimeApi,
}

impl Stand {
    pub(super) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let node = Forebay::dev(&folder.path().join("dev"), Flush::LATE).await;
        Self { _folder: folder, node, api: RuntimeApi::start().await }
    }

    /// The bucket of files and objects.
    pub(super) fn bucket(&self) -> Bucket {
        self.node.bucket()
    }

    pub(super) async fn put(&self, key: &str, body: impl Into<Bytes>) {
        put(&self.bucket(), "forebay", key, body).await;
    }

    /// The variables of a function that sends to the collector.
    pub(super) fn to_collector(&self, more: &[(&str, &str)]) -> Vec<(String, String)> {
        let mut all = self.with_store(&[
            ("FOREBAY_COLLECTOR_URL", self.node.collector.as_str()),
            ("FOREBAY_WRITE_KEY", "shop"),
        ]);
        all.extend(pairs(more));
        all
    }

    /// The variables of a function that reads from the S3 server.
    pub(super) fn with_store(&self, more: &[(&str, &str)]) -> Vec<(String, String)> {
        let mut all = pairs(&[
            ("AWS_ENDPOINT_URL_S3", self.node.s3.as_str()),
            ("AWS_ACCESS_KEY_ID", "forebay"),
            ("AWS_SECRET_ACCESS_KEY", "forebay-secret"),
        ]);
        all.extend(pairs(more));
        all
    }

    /// An instance that sends to the collector.
    pub(super) fn instance(&self, more: &[(&str, &str)]) -> Instance {
        Instance::start(&self.api.address(), &self.to_collector(more))
    }

    /// The values of a member of all delivered lines, sorted.
    pub(super) async fn delivered(&self, pointer: &str) -> Vec<String> {
        self.node.flush().await;
        values(&self.bucket().lines("shop").await, pointer)
    }
}

/// The values of a member of lines, sorted.
pub(super) fn values(lines: &[String], pointer: &str) -> Vec<String> {
    let value = |line: &String| {
        let line: Value = serde_json::from_str(line).unwrap();
        line.pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_else(|| panic!("{pointer}: {line}"))
            .to_owned()
    };
    let mut values: Vec<String> = lines.iter().map(value).collect();
    values.sort();
    values
}

pub(super) async fn put(to: &Bucket, bucket: &str, key: &str, body: impl Into<Bytes>) {
    let body: Bytes = body.into();
    let put = to.client.put_object().bucket(bucket).key(key).body(body.into()).send().await;
    put.unwrap_or_else(|error| panic!("put {key}: {error:?}"));
}

/// A table of track calls of the users u0, u1, …
pub(super) fn table(rows: u64) -> String {
    let rows: String = (0..rows).map(|row| format!("u{row},e\n")).collect();
    format!("userId,event\n{rows}")
}
