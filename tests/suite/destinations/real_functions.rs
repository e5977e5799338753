//! Functions in Python, Node and Rust, run by an emulator of AWS Lambda: each gets the calls of its type.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ffi::OsStr;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

use crate::serve::support::{Caller, PATIENCE, Rig, ask};
use crate::support::forebay::{Forebay, without_settings};
use crate::support::http::is_accepted;
use crate::support::lambda_emulator::Emulator;
use crate::support::tools::{on_path, require};
use crate::support::wait;

/// Call types, each with the function that gets it.
const FUNCTIONS: [(&str, &str); 3] =
    [("track", "on-track"), ("identify", "on-identify"), ("page", "on-page")];
/// Calls of each type.
const CALLS: usize = 20;
/// The track call whose handler throws, the first time that it gets it.
const THROWN: &str = "track-7";

/// The header of the runtime API that has the client context.
const CONTEXT: &str = "lambda-runtime-client-context";

type Http = Client<HttpConnector, Full<Bytes>>;

fn arn(function: &str) -> String {
    format!("arn:aws:lambda:eu-west-1:000000000000:function:{function}")
}

/// A server before the emulator that does what AWS does and the emulator does not: it knows a function by its
/// ARN, hands the client context to it as JSON, and says that events are JSON.
async fn as_in_aws(emulator: &Emulator) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    // Without a limit of time: a function waits for its next call as long as there is none.
    let http: Http = Client::builder(TokioExecutor::new()).build_http();
    let url = emulator.url();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (http, url) = (http.clone(), url.clone());
            tokio::spawn(async move {
                let service = service_fn(move |request| handed_on(http.clone(), url.clone(), request));
                let served = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
                // The collector or the function may end first.
                drop(served);
            });
        }
    });
    address
}

async fn handed_on(
    http: Http,
    url: String,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (mut head, body) = request.into_parts();
    let path = percent_encoding::percent_decode_str(head.uri.path()).decode_utf8_lossy().into_owned();
    head.uri = format!("{url}{}", path.replace(&arn(""), "")).parse().unwrap();
    decode_context(&mut head.headers, "x-amz-client-context");
    let body = body.collect().await.unwrap().to_bytes();
    let answer = http.request(Request::from_parts(head, Full::new(body))).await.unwrap();
    let (mut head, body) = answer.into_parts();
    decode_context(&mut head.headers, CONTEXT);
    // AWS's client for Python crashes without it.
    head.headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
    Ok(Response::from_parts(head, Full::new(body.collect().await.unwrap().to_bytes())))
}

/// Replaces the context in a header, in base64, by the header that the runtime API documents.
fn decode_context(headers: &mut HeaderMap, name: &str) {
    if let Some(context) = headers.remove(name) {
        headers.insert(CONTEXT, STANDARD.decode(context).unwrap().try_into().unwrap());
    }
}

/// A function that runs, and the file in which it writes what it gets.
struct Running {
    _child: Child,
    file: PathBuf,
}

impl Running {
    fn start(api: &str, folder: &Path, name: &str, program: impl AsRef<OsStr>, arguments: &[&str]) -> Self {
        let file = folder.join(format!("{name}.ndjson"));
        let mut command = without_settings(Command::new(program));
        command.args(arguments).current_dir(functions()).env("SEEN", &file);
        command.env("AWS_LAMBDA_RUNTIME_API", format!("{api}/.rt/{name}"));
        command.envs([
            ("AWS_LAMBDA_FUNCTION_NAME", name),
            ("AWS_LAMBDA_FUNCTION_VERSION", "1"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
            ("PYTHONDONTWRITEBYTECODE", "1"),
        ]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
        Self { _child: command.spawn().unwrap(), file }
    }

    /// What it got: by messageId, the calls with their contexts, in order.
    fn seen(&self) -> BTreeMap<String, Vec<Value>> {
        let mut seen = BTreeMap::<String, Vec<Value>>::new();
        for line in std::fs::read_to_string(&self.file).unwrap().lines() {
            let one: Value = serde_json::from_str(line).unwrap();
            seen.entry(one["call"]["messageId"].as_str().unwrap().to_owned()).or_default().push(one);
        }
        seen
    }
}

/// The folder of the functions.
fn functions() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/functions")
}

/// The function in Rust.
fn on_page() -> PathBuf {
    let file = Path::new(env!("CARGO_BIN_EXE_forebay")).with_file_name("examples").join("on_page");
    assert!(file.exists(), "{} is missing: `cargo build --example on_page` builds it", file.display());
    file
}

async fn shown(forebay: &Forebay, path: &str) -> Value {
    serde_json::from_slice(&ask(forebay, path).await.body).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn functions_in_python_node_and_rust_get_the_calls_of_their_types() {
    let (Some(python), Some(node)) = (require("lambda/bin/python"), on_path("node")) else { return };
    let Some(emulator) = Emulator::start(&FUNCTIONS.map(|(_, name)| name)).await else { return };
    let rig = Rig::start(&["lake"]).await;
    let aws = as_in_aws(&emulator).await.to_string();
    let start = |api: &str, name, program: PathBuf, arguments: &[&str]| {
        Running::start(api, rig.folder.path(), name, program, arguments)
    };
    let running = [
        start(&aws, "on-track", python, &["-m", "awslambdaric", "on_track.handler"]),
        start(&aws, "on-identify", node, &["on_identify.mjs"]),
        start(&format!("http://{aws}"), "on-page", on_page(), &[]),
    ];
    let mut settings = rig.settings(&["web"]);
    let named = FUNCTIONS.map(|(kind, name)| format!("{kind} = \"{}\"", arn(name))).join(", ");
    let destination = format!(
        "\n[[destination]]\nname = \"crm\"\ntype = \"lambda\"\nendpoint_url = \"http://{aws}\"\ntimeout = \"60 s\"\n\
         functions = {{ {named} }}\n"
    );
    settings.sources.last_mut().unwrap().1.push_str(&destination);
    let forebay = settings.serve().await;

    let mut sent = Vec::new();
    for kind in ["track", "identify", "page", "screen"] {
        sent.extend((0..CALLS).map(|call| {
            let id = format!("{kind}-{call}");
            let event = if id == THROWN { "Throws once" } else { "Signed up" };
            json!({ "type": kind, "event": event, "name": "Größe \"1\"", "userId": "u", "messageId": id,
                "properties": { "n": call, "price": 1.5, "none": null } })
        }));
    }
    let body = json!({ "batch": sent }).to_string();
    let answer = Caller::new().post(&forebay, "web", body).await.unwrap();
    assert!(is_accepted(&answer), "{answer:?}");
    wait::until("every function to finish", PATIENCE, async || {
        let one = shown(&forebay, "/api/destinations/crm").await;
        one["functions"].as_array().unwrap().iter().all(|one| one["behind"] == 0).then_some(())
    })
    .await;
    forebay.flush().await;

    let mut stored = BTreeMap::new();
    for line in rig.bucket("lake").lines("web").await {
        let line: Value = serde_json::from_str(&line).unwrap();
        let id = line["messageId"].as_str().unwrap().to_owned();
        assert_eq!(stored.insert(id.clone(), line), None, "{id} is stored twice");
    }
    assert_eq!(stored.len(), sent.len());
    for ((kind, name), running) in FUNCTIONS.iter().zip(&running) {
        let seen = running.seen();
        assert_eq!(seen.len(), CALLS, "{name}: {:?}\n{}", seen.keys(), forebay.log());
        for (id, times) in seen {
            assert_eq!(times.len(), if id == THROWN { 2 } else { 1 }, "{name} got {id}: {times:?}");
            for (attempt, one) in (1..).zip(times) {
                assert_eq!((&one["call"], &one["call"]["type"]), (&stored[&id], &json!(kind)), "{name}");
                let custom =
                    json!({ "sourceId": "web", "destination": "crm", "attempt": attempt.to_string() });
                assert_eq!(one["custom"], custom, "{name}");
                assert!(one["request"].as_str().is_some_and(|id| !id.is_empty()), "{name}: {one}");
            }
        }
    }

    // The emulator answers an error of a handler with a bare 500.
    let failed = shown(&forebay, "/api/destinations/crm/deliveries?class=unavailable").await;
    let failed = failed["attempts"].as_array().unwrap();
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!((&failed[0]["message_id"], &failed[0]["attempt"]), (&json!(THROWN), &json!(1)));
    assert!(failed[0]["failed"]["what"].as_str().unwrap().contains("500"), "{failed:?}");
    let one = shown(&forebay, "/api/destinations/crm").await;
    assert_eq!((&one["succeeded"], &one["dead"]), (&json!(3 * CALLS), &json!([])), "{one:#}");
}
