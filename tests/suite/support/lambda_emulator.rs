//! The emulator of cargo-lambda, which hands invocations to functions that run here.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::Stdio;
use std::time::Duration;

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
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::tools::{self, in_venv, require};
use super::wait;

/// Such servers load their programs first.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// A port that no one listens on.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|free| free.local_addr()).unwrap().port()
}

/// The header of the runtime API that has the client context.
const CONTEXT: &str = "lambda-runtime-client-context";

type Http = Client<HttpConnector, Full<Bytes>>;

/// Waits until a server accepts connections.
pub(crate) async fn accepting(name: &str, child: &mut Child, port: u16) {
    wait::until(name, START_TIMEOUT, async || {
        assert_eq!(child.try_wait().unwrap(), None, "{name} ended");
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.ok().map(drop)
    })
    .await;
}

/// Starts a program whose output nobody reads.
pub(crate) fn quiet(mut command: Command) -> Child {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    command.spawn().unwrap()
}

/// The emulator of cargo-lambda, which serves the runtime API, and the invocations of clients.
pub(crate) struct Emulator {
    _child: Child,
    folder: tempfile::TempDir,
    port: u16,
}

impl Emulator {
    /// Starts it for functions with these names; `None` if it is not installed.
    pub(crate) async fn start(functions: &[&str]) -> Option<Self> {
        let program = require("lambda/bin/cargo-lambda")?;
        let folder = tempfile::tempdir().unwrap();
        // It reads the package of the folder that it is started in, even if it builds nothing.
        let programs: String = functions
            .iter()
            .map(|name| format!("[[bin]]\nname = \"{name}\"\npath = \"src/main.rs\"\n"))
            .collect();
        let package = format!(
            "[package]\nname = \"functions\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n{programs}"
        );
        std::fs::write(folder.path().join("Cargo.toml"), package).unwrap();
        std::fs::create_dir(folder.path().join("src")).unwrap();
        std::fs::write(folder.path().join("src/main.rs"), "fn main() {}\n").unwrap();
        let port = free_port();
        let mut command = Command::new(program);
        command.args([
            "lambda", "watch", "--only-lambda-apis", "--invoke-address", "127.0.0.1", "--invoke-port",
        ]);
        command.arg(port.to_string()).current_dir(folder.path());
        let mut child = quiet(command);
        accepting("cargo-lambda", &mut child, port).await;
        Some(Self { _child: child, folder, port })
    }

    /// For `AWS_LAMBDA_RUNTIME_API`, of the only function.
    pub(crate) fn runtime_api(&self) -> String {
        format!("127.0.0.1:{}/.rt", self.port)
    }

    /// The address that invocations go to. The runtime API of each function is below `/.rt/` and its name.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What the AWS CLI writes into its output file, or the error that it reports.
    pub(crate) async fn invoke(&self, function: &str, event: &str) -> Result<Value, String> {
        let out = self.folder.path().join("output.txt");
        let mut command = std::process::Command::new(in_venv("aws").unwrap());
        command
            .args(["lambda", "invoke", "--function-name", function, "--payload", event, "--endpoint-url"])
            .arg(self.url())
            .arg(&out)
            .envs([
                ("AWS_ACCESS_KEY_ID", "x"),
                ("AWS_SECRET_ACCESS_KEY", "x"),
                ("AWS_DEFAULT_REGION", "us-east-1"),
            ])
            .env("AWS_MAX_ATTEMPTS", "1");
        let ran = tools::run(command).await;
        match ran.status.success() {
            true => Ok(serde_json::from_slice(&std::fs::read(&out).unwrap()).unwrap()),
            false => Err(String::from_utf8_lossy(&ran.stderr).into_owned()),
        }
    }

    /// The address of a server before the emulator that does what AWS does and the emulator does not: it knows a function
    /// by its ARN, hands the client context to it as JSON, and says that events are JSON.
    pub(crate) async fn as_in_aws(&self) -> SocketAddr {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        // Without a limit of time: a function waits for its next call as long as there is none.
        let http: Http = Client::builder(TokioExecutor::new()).build_http();
        let url = self.url();
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
}

async fn handed_on(
    http: Http,
    url: String,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (mut head, body) = request.into_parts();
    let path = percent_encoding::percent_decode_str(head.uri.path()).decode_utf8_lossy().into_owned();
    head.uri = format!("{url}{}", by_name(&path)).parse().unwrap();
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

/// A path of the service of Lambda in which a function has its name in place of its ARN.
fn by_name(path: &str) -> String {
    match path
        .split_once("arn:aws:lambda:")
        .and_then(|(before, arn)| Some((before, arn.split_once(":function:")?.1)))
    {
        Some((before, name)) => format!("{before}{name}"),
        None => path.to_owned(),
    }
}
