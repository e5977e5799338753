//! This process as a function of AWS Lambda: the settings in its environment, the store that it reads, and
//! the loop that serves invocations.

pub mod settings;

use std::collections::BTreeMap;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::sync::Arc;

use http::Request;
use http_body_util::Full;
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use serde_json::Value;

use self::settings::Settings;
use super::import_store::store_at;
use crate::config::Endpoint;
use crate::config::units::ByteSize;
use crate::import::Unusable;
use crate::lambda::function::self_invoke::SelfInvoke;
use crate::lambda::function::{CsvFunction, FileImport, FunctionSettings, To};
use crate::reach::client;
use crate::runtime::{SystemClock, SystemRandom, telemetry};

/// The only folder of a function that is writable.
pub const FOLDER: &str = "/tmp/forebay";
/// The variable that has the address of the runtime.
const RUNTIME_API: &str = "AWS_LAMBDA_RUNTIME_API";
/// Variables that the runtime of AWS Lambda sets for each function.
const RUNTIME_SETS: [&str; 4] = [
    RUNTIME_API,
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
];

/// A failed invocation, with the reason.
#[derive(Debug)]
struct Failed(String);

impl From<Failed> for Diagnostic {
    fn from(Failed(error_message): Failed) -> Self {
        Self { error_type: "Forebay.Failed".to_owned(), error_message }
    }
}

/// The environment of this process. Errors: why this process is not a function: a text for people.
pub fn environment() -> Result<BTreeMap<String, String>, String> {
    let text =
        |text: std::ffi::OsString, name: &str| text.into_string().map_err(|_| format!("{name} is not UTF-8"));
    let pairs = std::env::vars_os().map(|(name, value)| {
        let name = text(name, "the name of a variable")?;
        let value = text(value, &name)?;
        Ok((name, value))
    });
    let environment: BTreeMap<String, String> = pairs.collect::<Result<_, String>>()?;
    match RUNTIME_SETS.into_iter().find(|name| !environment.contains_key(*name)) {
        Some(name) => Err(format!(
            "{name} is not set: `forebay lambda` runs as a function of AWS Lambda, which sets it"
        )),
        None => Ok(environment),
    }
}

/// Starts the program again with a scheme in the address of the runtime, if the address has a path and no
/// scheme, as emulators write it: the crate that speaks to the runtime reads the address itself, and does not
/// recognise it as a URL. Errors: the program cannot be started.
pub fn with_scheme(environment: &BTreeMap<String, String>) -> io::Result<()> {
    let Some(api) = environment.get(RUNTIME_API) else { return Ok(()) };
    if !api.contains('/') || api.starts_with("http://") {
        return Ok(());
    }
    let mut args = std::env::args_os();
    let mut program = Command::new("/proc/self/exe");
    if let Some(called) = args.next() {
        program.arg0(called);
    }
    // `exec` returns only if it fails.
    Err(program.args(args).env(RUNTIME_API, format!("http://{api}")).exec())
}

/// Opens what the settings name. `endpoint`: the endpoint of the store that has the files, if it differs from
/// that of the environment. Errors: [`Unusable`] that says which variable is wrong.
pub async fn open(
    environment: &BTreeMap<String, String>,
    settings: Settings,
    mut import: FileImport,
    endpoint: Option<&Endpoint>,
) -> Result<CsvFunction, Unusable> {
    let endpoint = match (endpoint, environment.get("AWS_ENDPOINT_URL")) {
        (Some(url), _) => Some(url.clone()),
        (None, Some(url)) => {
            let url = Endpoint::parse(url);
            Some(url.map_err(|error| Unusable::Wrong(format!("AWS_ENDPOINT_URL: {error}")))?)
        }
        (None, None) => None,
    };
    let store = store_at(endpoint.as_ref(), environment.get("AWS_REGION").map(String::as_str)).await;
    let Settings { to, journal, invokes_itself, stop_before, missing_fails } = settings;
    let self_invoke = if invokes_itself { Some(SelfInvoke::new(environment).await) } else { None };
    if let To::Objects { part_bytes, .. } = &to {
        // The part size is among the options: an import that was stopped must continue with parts of the same
        // size.
        let before = ByteSize(*part_bytes as u64).to_string();
        import.options = import.options.with(&format!("parts of {part_bytes} bytes"), &before);
    }
    let settings = FunctionSettings { import, to, journal, stop_before, missing_fails };
    let outside = (Arc::new(SystemClock::new()) as _, Arc::new(SystemRandom) as _);
    CsvFunction::open(settings, store, self_invoke, outside).await
}

/// Serves invocations until the runtime ends the process. Errors: the runtime does not answer.
pub async fn serve(function: CsvFunction) -> Result<(), String> {
    let function = Arc::new(function);
    let served = lambda_runtime::run(service_fn(move |event: LambdaEvent<Value>| {
        let function = Arc::clone(&function);
        async move {
            let (event, context) = event.into_parts();
            let answer = function.invoked(&event, context.deadline, &context.request_id).await;
            // Between invocations the process is frozen, and a line that was not written would come much
            // later.
            telemetry::flush();
            answer.map_err(Failed)
        }
    }));
    served.await.map_err(|error| format!("the runtime of AWS Lambda: {error}"))
}

/// Reports that the function cannot start, so that whoever invoked it reads the reason. The log has the
/// reason, too.
pub async fn report(environment: &BTreeMap<String, String>, failure: &str) {
    let Some(api) = environment.get(RUNTIME_API) else { return };
    let api = api.strip_prefix("http://").unwrap_or(api);
    let url = format!("http://{api}/2018-06-01/runtime/init/error");
    let body = serde_json::json!({ "errorType": "Forebay.Configuration", "errorMessage": failure });
    let request = Request::post(&url)
        .header("content-type", "application/json")
        .header("lambda-runtime-function-error-type", "Forebay.Configuration")
        .body(Full::new(bytes::Bytes::from(body.to_string())));
    let Ok(request) = request else { return };
    if let Err(error) = client::plain().request(request).await {
        tracing::warn!(%error, "the runtime of AWS Lambda does not take the report");
    }
}
