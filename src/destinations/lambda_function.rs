//! Invokes functions of AWS Lambda.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_sdk_lambda::Client;
use aws_sdk_lambda::config::interceptors::{
    BeforeDeserializationInterceptorContextMut, BeforeTransmitInterceptorContextRef,
};
use aws_sdk_lambda::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_lambda::error::{BoxError, ProvideErrorMetadata, SdkError};
use aws_sdk_lambda::operation::RequestId as _;
use aws_sdk_lambda::operation::invoke::InvokeOutput;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{InvocationType, LogType};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::body::SdkBody;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::Limited;

use super::batch_answer::not_taken;
use super::class::Class;
use super::invoke::{Invoke, Invoked, Outgoing};
use super::outcome::{Answer, Ending, Failure, outcome};
use super::request::{Invocation, check_size, client_context};
use super::web_post::class_of_broken;
use crate::boxed_future::BoxFuture;
use crate::disk::{has_no_handle, is_no_handle};
use crate::sources::SourceId;
use crate::store::Fault;
use crate::store::fault::Asked;
use crate::store::reason::{NoAnswer, Reason, is_throttling};
use crate::store::s3::{failure, not_assumed};
use crate::words::causes::io_causes;
use crate::words::{Told, about_duration, outside_text};

/// The most bytes of an answer that are read: more than AWS sends.
const ANSWER_MAX: usize = 7 << 20;
/// The most bytes of a log that are kept: as many as AWS sends.
const TAIL_MAX: usize = 4_096;

/// The clients that invoke: one for each external id, which is the source's id unless it is configured, and
/// region.
pub trait Clients: Send + Sync + fmt::Debug {
    /// The client for calls of a source to a function. It does not retry.
    /// Errors: there is no role for the source.
    fn client(&self, source: &SourceId, function: &str) -> Result<Client, String>;

    /// The credentials for calls of a source were refused: the next client has new ones.
    fn refused(&self, source: &SourceId);
}

/// How functions are invoked.
#[derive(Clone, Copy, Debug)]
pub struct LambdaSettings {
    /// Whether the answer of the function is waited for.
    pub invocation: Invocation,
    /// Whether the end of the function's log is asked for. Only with [`Invocation::RequestResponse`].
    pub log_tail: bool,
    /// How long an answer is waited for.
    pub timeout: Duration,
    /// The most bytes of a payload.
    pub payload_max: usize,
}

/// Functions of AWS Lambda.
#[derive(Clone, Debug)]
pub struct Lambda {
    clients: Arc<dyn Clients>,
    settings: LambdaSettings,
}

impl Lambda {
    /// Functions that are invoked by these clients.
    pub fn new(clients: Arc<dyn Clients>, settings: LambdaSettings) -> Self {
        Self { clients, settings }
    }

    async fn send(&self, call: &Outgoing) -> Invoked {
        let LambdaSettings { invocation, log_tail, timeout, payload_max } = self.settings;
        let payload = call.payload();
        if let Err(error) = check_size(&payload, payload_max) {
            return Invoked::failed(Class::TooLarge, Told::plain(error.to_string()));
        }
        let client = match self.clients.client(&call.source, &call.function) {
            Ok(client) => client,
            Err(what) => return Invoked::failed(Class::InvalidCredentials, Told::plain(what)),
        };
        let context = client_context(&call.source, &call.destination, call.attempt());
        if context.is_none() {
            tracing::warn!(destination = %call.destination, "the client context is too long and is left out");
        }
        let asked = Asking { function: &call.function, invocation, log_tail, context, timeout };
        match asked.send(&client, payload).await {
            Ok(answer) => {
                let body = answer.payload().map(Blob::as_ref).unwrap_or_default();
                let result = outcome(Ending::Answer(Answer {
                    status: u16::try_from(answer.status_code()).unwrap_or(0),
                    function_error: answer.function_error(),
                    request_id: answer.request_id(),
                    body,
                    ..Answer::default()
                }));
                let not_taken = if call.batch { not_taken(body, call) } else { Vec::new() };
                let log = answer.log_result().and_then(|log| STANDARD.decode(log).ok());
                let tail = log.as_deref().and_then(|log| log.get(log.len().saturating_sub(TAIL_MAX)..));
                Invoked {
                    result,
                    not_taken,
                    refused: Vec::new(),
                    request_id: answer.request_id().map(told_id),
                    version: answer.executed_version().map(told_version),
                    log_tail: tail.map(|tail| String::from_utf8_lossy(tail).into_owned()),
                }
            }
            Err(Unanswered { failure, request_id, .. }) => {
                if failure.class == Class::InvalidCredentials {
                    self.clients.refused(&call.source);
                }
                Invoked { request_id, ..Invoked::ended(Err(failure)) }
            }
        }
    }
}

/// One request to invoke a function.
#[derive(Clone, Debug)]
pub struct Asking<'a> {
    /// The function's ARN or name, with its qualifier.
    pub function: &'a str,
    /// Whether the answer of the function is waited for.
    pub invocation: Invocation,
    /// Whether the end of the function's log is asked for.
    pub log_tail: bool,
    /// The client context, in base64.
    pub context: Option<String>,
    /// How long an answer is waited for.
    pub timeout: Duration,
}

/// A request without a usable answer.
#[derive(Clone, Debug)]
pub struct Unanswered {
    /// What happened.
    pub failure: Failure,
    /// The HTTP status, if the service answered.
    pub status: Option<u16>,
    /// The service's id of the request, if it gave one.
    pub request_id: Option<Told>,
    /// Nothing was sent: this process has no file handle left for a connection.
    pub lacks_handle: bool,
}

impl Asking<'_> {
    /// Sends the request once. Errors: the service did not run the function, or did not answer in time. A
    /// function that failed is an answer, with its `function_error`.
    pub async fn send(self, client: &Client, payload: Bytes) -> Result<InvokeOutput, Unanswered> {
        let request = client
            .invoke()
            .function_name(self.function)
            .invocation_type(match self.invocation {
                Invocation::RequestResponse => InvocationType::RequestResponse,
                Invocation::Event => InvocationType::Event,
            })
            .set_log_type(self.log_tail.then_some(LogType::Tail))
            .set_client_context(self.context)
            .payload(Blob::new(payload));
        let was_sent = Arc::<AtomicBool>::default();
        let request = request.customize().interceptor(Watch(Arc::clone(&was_sent)));
        let within = about_duration(self.timeout);
        let late = |class, what| Failure { class, what: Told::plain(what), retry_after: None };
        match tokio::time::timeout(self.timeout, request.send()).await {
            Ok(answer) => answer.map_err(|error| {
                let failure = failed(&error);
                // Neither a name that could not be looked up nor a token service that was not reached says so.
                let lacks_handle = failure.class == Class::Network
                    && (io_causes(&error).any(is_no_handle) || has_no_handle());
                let status = error.raw_response().map(|answer| answer.status().as_u16());
                Unanswered { failure, status, request_id: error.request_id().map(told_id), lacks_handle }
            }),
            Err(_) if was_sent.load(Ordering::Relaxed) => Err(Unanswered {
                failure: late(Class::Timeout, format!("no answer within {within}")),
                status: None,
                request_id: None,
                lacks_handle: false,
            }),
            Err(_) => Err(Unanswered {
                failure: late(Class::Network, format!("no credentials came within {within}")),
                status: None,
                request_id: None,
                lacks_handle: false,
            }),
        }
    }
}

/// The id of a request, private unless it has the form of AWS's own: an emulator may send any text.
fn told_id(id: &str) -> Told {
    let is_aws = id.len() == 36 && id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    told_if(is_aws, id)
}

fn told_version(version: &str) -> Told {
    let is_number = version.len() < 20 && version.bytes().all(|byte| byte.is_ascii_digit());
    told_if(is_number || version == "$LATEST", version)
}

fn told_if(is_aws: bool, text: &str) -> Told {
    let bounded = outside_text(text).to_string();
    if is_aws { Told::plain(bounded) } else { Told::private(bounded) }
}

/// Notes that a request is sent with its credentials (before that, no function can run); bounds its answer.
#[derive(Debug)]
struct Watch(Arc<AtomicBool>);

impl Intercept for Watch {
    fn name(&self) -> &'static str {
        "Watch"
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let body = context.response_mut().body_mut();
        let whole = std::mem::replace(body, SdkBody::taken());
        *body = SdkBody::from_body_1_x(Limited::new(whole, ANSWER_MAX));
        Ok(())
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.0.store(true, Ordering::Relaxed);
        Ok(())
    }
}

/// The client's error as a failure.
pub fn failed<E>(error: &SdkError<E, HttpResponse>) -> Failure
where
    E: ProvideErrorMetadata + Error + 'static,
{
    if let Some(why) = not_assumed(error) {
        // A token service that is away or busy says nothing about the role.
        let status = why.status.unwrap_or(0);
        let (class, what) = match why.reason {
            Reason::NoAnswer(_) if why.status.is_none() => {
                (Class::Network, "the token service cannot be reached")
            }
            _ if is_throttling(status, why.code.as_deref().unwrap_or("")) => {
                (Class::Throttled, "the token service limits requests")
            }
            _ if status >= 500 || why.fault == Fault::Transient => {
                (Class::Unavailable, "the token service has a fault")
            }
            _ => (Class::InvalidCredentials, "the role cannot be assumed"),
        };
        let what = Told::plain(format!("{what}: ")).and(&why.message);
        let what = what.map(|text| outside_text(text).to_string());
        return Failure { class, what, retry_after: None };
    }
    // What a client's error means is the same for each service; only the table of answers differs.
    let why = failure(Asked::Put, error);
    let ending = match (why.status, why.reason) {
        (Some(status), _) => {
            let service = error.as_service_error();
            let retry_after =
                error.raw_response().and_then(|raw| raw.headers().get("retry-after")?.parse().ok());
            Ending::Answer(Answer {
                status,
                code: service.and_then(|service| service.meta().code()),
                message: service.and_then(|service| service.meta().message()),
                retry_after: retry_after.map(Duration::from_secs),
                ..Answer::default()
            })
        }
        (None, Reason::NoCredentials(_) | Reason::Denied(_)) => Ending::NoCredentials(&why.message),
        // Only the connection timed out, so no function runs. The time-out for answers is elsewhere.
        (None, _) if matches!(error, SdkError::DispatchFailure(dispatch) if dispatch.is_timeout()) => {
            Ending::NoAnswer(&why.message)
        }
        (None, Reason::NoAnswer(NoAnswer::Timeout)) => Ending::TimedOut,
        (None, _)
            if class_of_broken(error) == Class::Unanswered
                && !matches!(error, SdkError::ConstructionFailure(_)) =>
        {
            Ending::Broken(&why.message)
        }
        (None, _) => Ending::NoAnswer(&why.message),
    };
    match outcome(ending) {
        Err(failure) => failure,
        // An error with a status of success: its body cannot be read, and the function has run.
        Ok(()) => Failure { class: Class::Unavailable, what: why.message, retry_after: None },
    }
}

impl Invoke for Lambda {
    fn invoke<'a>(&'a self, call: &'a Outgoing) -> BoxFuture<'a, Invoked> {
        Box::pin(self.send(call))
    }
}
