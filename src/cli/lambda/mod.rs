//! `forebay lambda`: the program as a function of AWS Lambda. Notifications of S3 come in; the rows of the files that
//! they name go to a collector, or become objects.

mod settings;
mod start;

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::sync::Arc;

use http::Request;
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use serde_json::Value;

use self::start::start;
use super::failure::Failure;

/// What the runtime of AWS Lambda sets for each function.
const RUNTIME_SETS: [&str; 4] = [
    "AWS_LAMBDA_RUNTIME_API",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
];

/// An invocation failed; the text says why.
#[derive(Debug)]
struct Failed(String);

impl From<Failed> for Diagnostic {
    fn from(Failed(error_message): Failed) -> Self {
        Self { error_type: "Forebay.Failed".to_owned(), error_message }
    }
}

/// Serves invocations until the runtime ends the process.
///
/// # Errors
/// [`Failure`]: the environment is wrong, or the runtime does not answer.
pub async fn run() -> Result<(), Failure> {
    let environment = environment()?;
    for name in RUNTIME_SETS {
        if !environment.contains_key(name) {
            return Err(Failure::usage(format!(
                "{name} is not set: `forebay lambda` runs as a function of AWS Lambda, which sets it"
            )));
        }
    }
    with_scheme(&environment)?;
    let function = match start(&environment).await {
        Ok(function) => Arc::new(function),
        Err(failure) => {
            report(&environment, &failure).await;
            return Err(failure);
        }
    };
    let served = lambda_runtime::run(service_fn(move |event: LambdaEvent<Value>| {
        let function = Arc::clone(&function);
        async move {
            let (event, context) = event.into_parts();
            let answer = function.invoked(&event, context.deadline, &context.request_id).await;
            // Between invocations the process is frozen, and a line that was not written would come much later.
            crate::runtime::telemetry::flush();
            answer.map_err(Failed)
        }
    }));
    served.await.map_err(|error| Failure::failed(format!("the runtime of AWS Lambda: {error}")))
}

/// Starts the program anew if the address of the runtime has a path and no scheme, as emulators write it: the crate that
/// speaks to the runtime reads the address itself, and takes it for no URL.
fn with_scheme(environment: &BTreeMap<String, String>) -> Result<(), Failure> {
    let name = "AWS_LAMBDA_RUNTIME_API";
    let Some(api) = environment.get(name) else { return Ok(()) };
    if !api.contains('/') || api.starts_with("http://") {
        return Ok(());
    }
    let mut args = std::env::args_os();
    let mut program = Command::new("/proc/self/exe");
    if let Some(called) = args.next() {
        program.arg0(called);
    }
    // It returns only if it fails.
    Err(program.args(args).env(name, format!("http://{api}")).exec().into())
}

fn environment() -> Result<BTreeMap<String, String>, Failure> {
    let text = |text: std::ffi::OsString, name: &str| {
        text.into_string().map_err(|_| Failure::usage(format!("{name} is not UTF-8")))
    };
    let pairs = std::env::vars_os().map(|(name, value)| {
        let name = text(name, "the name of a variable")?;
        let value = text(value, &name)?;
        Ok((name, value))
    });
    pairs.collect()
}

/// Reports that the function cannot start, so that whoever invoked it reads why. The log has it too.
async fn report(environment: &BTreeMap<String, String>, failure: &Failure) {
    let Some(api) = environment.get("AWS_LAMBDA_RUNTIME_API") else { return };
    let api = api.strip_prefix("http://").unwrap_or(api);
    let url = format!("http://{api}/2018-06-01/runtime/init/error");
    let body =
        serde_json::json!({ "errorType": "Forebay.Configuration", "errorMessage": failure.to_string() });
    let request = Request::post(&url)
        .header("content-type", "application/json")
        .header("lambda-runtime-function-error-type", "Forebay.Configuration")
        .body(Full::new(bytes::Bytes::from(body.to_string())));
    let Ok(request) = request else { return };
    let client = Client::builder(TokioExecutor::new()).build_http();
    if let Err(error) = client.request(request).await {
        tracing::warn!(%error, "the runtime of AWS Lambda does not take the report");
    }
}
