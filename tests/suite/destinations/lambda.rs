//! The wire form of Lambda's `Invoke`, on a server that answers as it is documented (Lambda API Reference).

use std::sync::Arc;
use std::time::Duration;

use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::future::ProvideCredentials as Provided;
use aws_sdk_lambda::config::retry::RetryConfig;
use aws_sdk_lambda::config::timeout::TimeoutConfig;
use aws_sdk_lambda::config::{
    BehaviorVersion, Credentials, ProvideCredentials, Region, SharedCredentialsProvider,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use forebay::destinations::class::Class;
use forebay::destinations::invoke::{Invoke as _, Invoked, Outgoing, connect_timeout};
use forebay::destinations::lambda_function::{Clients, Lambda, LambdaSettings};
use forebay::destinations::request::Invocation;
use forebay::object::{ExternalId, Role, RoleArn};
use forebay::sources::SourceId;
use forebay::store::s3::{CredentialsFrom, S3Settings, S3Store};
use forebay::words::Told;
use serde_json::{Value, json};

use super::{Full, outgoing};
use crate::support::scripted_http::{Reply, Request, ScriptedHttp};

const ARN: &str = "arn:aws:lambda:eu-west-1:111122223333:function:crm:live";

#[derive(Debug)]
struct One(aws_sdk_lambda::Client);

impl Clients for One {
    fn client(&self, _source: &SourceId, _function: &str) -> Result<aws_sdk_lambda::Client, String> {
        Ok(self.0.clone())
    }

    fn refused(&self, _source: &SourceId) {}
}

#[derive(Debug)]
struct Nobody;

impl ProvideCredentials for Nobody {
    fn provide_credentials<'a>(&'a self) -> Provided<'a>
    where
        Self: 'a,
    {
        Provided::ready(Err(CredentialsError::not_loaded("none")))
    }
}

/// As STS, or the metadata service, that takes a request and never answers.
#[derive(Debug)]
struct Never;

impl ProvideCredentials for Never {
    fn provide_credentials<'a>(&'a self) -> Provided<'a>
    where
        Self: 'a,
    {
        Provided::new(std::future::pending())
    }
}

fn lambda(url: &str, credentials: SharedCredentialsProvider, settings: LambdaSettings) -> Lambda {
    let config = aws_sdk_lambda::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(url)
        .region(Region::new("eu-west-1"))
        .credentials_provider(credentials)
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::builder().connect_timeout(connect_timeout(settings.timeout)).build());
    Lambda::new(Arc::new(One(aws_sdk_lambda::Client::from_conf(config.build()))), settings)
}

fn settings() -> LambdaSettings {
    let timeout = Duration::from_millis(700);
    let payload_max = Invocation::RequestResponse.bytes_max();
    LambdaSettings { invocation: Invocation::RequestResponse, log_tail: true, timeout, payload_max }
}

fn call(line: impl Into<Bytes>) -> Outgoing {
    outgoing(ARN, [("m", line.into())], false)
}

/// What an invocation comes to if the server answers so, and the requests that it got.
pub(super) async fn answered(reply: Reply) -> (Invoked, Vec<Request>) {
    let server = ScriptedHttp::elsewhere(move |_| reply.clone()).await;
    let credentials = SharedCredentialsProvider::new(Credentials::for_tests());
    let lambda = lambda(&server.url(), credentials, settings());
    let invoked = lambda.invoke(&call(r#"{"type":"track"}"#)).await;
    (invoked, server.requests())
}

fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Reply {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Reply::Answer { status, headers, body: body.to_owned() }
}

#[tokio::test]
async fn a_call_is_sent_as_the_payload_with_its_context() {
    let tail = STANDARD.encode("START\nhello\n");
    let headers = [
        ("x-amz-executed-version", "7"),
        ("x-amzn-requestid", "698aba69-5b39-49c9-a1e3-5b0965917cc4"),
        ("x-amz-log-result", tail.as_str()),
    ];
    let (invoked, requests) = answered(answer(200, &headers, "null")).await;
    assert_eq!(invoked.result, Ok(()));
    assert_eq!(
        (
            invoked.request_id.as_ref().map(Told::masked),
            invoked.version.as_ref().map(Told::masked),
            invoked.log_tail.as_deref()
        ),
        (Some("698aba69-5b39-49c9-a1e3-5b0965917cc4"), Some("7"), Some("START\nhello\n"))
    );
    let request = &requests[0];
    assert_eq!((requests.len(), request.method.as_str()), (1, "POST"));
    let path = percent_encoding::percent_decode_str(&request.target).decode_utf8_lossy().into_owned();
    assert_eq!(path, format!("/2015-03-31/functions/{ARN}/invocations"));
    assert_eq!(request.header("x-amz-log-type"), Some("Tail"));
    assert_eq!(request.header("x-amz-invocation-type"), Some("RequestResponse"));
    let context = STANDARD.decode(request.header("x-amz-client-context").unwrap()).unwrap();
    let context: Value = serde_json::from_slice(&context).unwrap();
    assert_eq!(context, json!({ "custom": { "sourceId": "web", "destination": "crm", "attempt": "2" } }));
    assert_eq!(request.body, br#"{"type":"track"}"#);
}

#[tokio::test]
async fn each_failure_has_its_class_and_is_tried_once() {
    let check = async |reply: Reply, class: Class, said: &str| {
        let (invoked, requests) = answered(reply).await;
        let failure = invoked.result.unwrap_err();
        assert_eq!((failure.class, requests.len()), (class, 1), "{failure:?}");
        assert!(failure.what.full().contains(said), "{failure:?}");
        failure.retry_after
    };
    let error =
        |status, code: &str| answer(status, &[("x-amzn-errortype", code)], r#"{"message":"scripted"}"#);
    let failed = r#"{"errorType":"KeyError","errorMessage":"'event'"}"#;
    let function_error = answer(200, &[("x-amz-function-error", "Unhandled")], failed);
    check(function_error, Class::ExecutionError, "KeyError: 'event'").await;
    let id = "698aba69-5b39-49c9-a1e3-5b0965917cc4";
    let timed_out = |request: &str, id: &str| {
        let body = format!(
            r#"{{"errorType":"Sandbox.Timedout","errorMessage":"RequestId: {id} Error: Task timed out after 3.00 seconds"}}"#
        );
        answer(200, &[("x-amz-function-error", "Unhandled"), ("x-amzn-requestid", request)], &body)
    };
    check(timed_out(id, id), Class::Timeout, "3.00 seconds").await;
    check(timed_out("r-9", id), Class::ExecutionError, "3.00 seconds").await;
    let own = r#"{"errorType":"Error","errorMessage":"Task timed out after 3.00 seconds"}"#;
    check(answer(200, &[("x-amz-function-error", "Unhandled")], own), Class::ExecutionError, "seconds").await;
    check(error(403, "AccessDeniedException"), Class::AccessDenied, "scripted").await;
    check(error(403, "UnrecognizedClientException"), Class::InvalidCredentials, "scripted").await;
    check(error(404, "ResourceNotFoundException"), Class::NotFound, "404 ResourceNotFoundException").await;
    let throttled = error(429, "TooManyRequestsException").with("retry-after", "7");
    assert_eq!(check(throttled, Class::Throttled, "scripted").await, Some(Duration::from_secs(7)));
    check(error(502, "EC2AccessDeniedException"), Class::Unavailable, "scripted").await;
    check(error(500, "ServiceException"), Class::Unavailable, "scripted").await;
    check(error(413, "RequestTooLargeException"), Class::TooLarge, "scripted").await;
    check(error(400, "InvalidRequestContentException"), Class::BadRequest, "scripted").await;
    check(error(400, "RecursiveInvocationException"), Class::Recursive, "scripted").await;
    check(Reply::Hang, Class::Timeout, "no answer within 700 ms").await;
    check(Reply::Close, Class::Unanswered, "the connection broke").await;
    check(Reply::Half, Class::Unanswered, "").await;
    // The process must not keep what a server sends without end.
    check(answer(200, &[], &"x".repeat(8 << 20)), Class::Unavailable, "").await;
}

/// What is kept of an answer is bounded, whatever a service or an emulator sends.
#[tokio::test]
async fn ids_in_the_headers_of_an_answer_are_bounded() {
    let long = "x".repeat(20_000);
    let headers = [("x-amz-executed-version", &*long), ("x-amzn-requestid", &*long)];
    for status in [200, 503] {
        let invoked = answered(answer(status, &headers, "null")).await.0;
        assert!(invoked.request_id.is_some_and(|id| id.full().len() < 300));
        assert!(invoked.version.is_none_or(|version| version.full().len() < 300));
    }
}

/// A token service that is asked too often was taken for wrong credentials, which opened the circuit.
#[tokio::test]
async fn a_token_service_that_limits_requests_refuses_no_credentials() {
    let check = async |status: u16, code: &'static str, class: Class| {
        let body = format!(
            "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type>\
             <Code>{code}</Code><Message>Rate exceeded</Message></Error></ErrorResponse>"
        );
        let sts = ScriptedHttp::start(move |_| answer(status, &[("content-type", "text/xml")], &body)).await;
        let store = S3Store::new(S3Settings {
            sts_endpoint_url: Some(sts.url()),
            region: Some("eu-west-1".to_owned()),
            credentials: CredentialsFrom::Static {
                access_key_id: "process".into(),
                secret_access_key: "secret".into(),
            },
            ..S3Settings::default()
        })
        .await;
        let role = Role {
            arn: RoleArn::parse("arn:aws:iam::111122223333:role/forebay").unwrap(),
            external_id: ExternalId::parse("web").unwrap(),
        };
        let settings = LambdaSettings { timeout: Duration::from_secs(30), ..settings() };
        let lambda = lambda(
            "http://127.0.0.1:1",
            store.sdk_in(Some(&role), "eu-west-1").credentials_provider().unwrap(),
            settings,
        );
        let failure = lambda.invoke(&call("{}")).await.result.unwrap_err();
        assert_eq!(failure.class, class, "{status} {code}: {failure:?}");
        assert!(failure.what.full().starts_with("the token service"), "{failure:?}");
    };
    check(400, "Throttling", Class::Throttled).await;
    check(400, "ThrottlingException", Class::Throttled).await;
    check(400, "RequestLimitExceeded", Class::Throttled).await;
    check(429, "TooManyRequestsException", Class::Throttled).await;
    check(503, "ServiceUnavailable", Class::Unavailable).await;
    check(400, "ServiceUnavailable", Class::Unavailable).await;
    check(500, "InternalFailure", Class::Unavailable).await;
}

#[tokio::test]
async fn without_credentials_or_a_server_nothing_is_sent() {
    let server = ScriptedHttp::elsewhere(|_| Reply::status(200)).await;
    let nobody = lambda(&server.url(), SharedCredentialsProvider::new(Nobody), settings());
    let failure = nobody.invoke(&call("{}")).await.result.unwrap_err();
    assert_eq!((failure.class, server.requests().len()), (Class::InvalidCredentials, 0), "{failure:?}");
    let credentials = SharedCredentialsProvider::new(Credentials::for_tests());
    let unreachable = lambda("http://127.0.0.1:1", credentials.clone(), settings());
    let failure = unreachable.invoke(&call("{}")).await.result.unwrap_err();
    assert_eq!(failure.class, Class::Network, "{failure:?}");
    let payload_max = Invocation::Event.bytes_max();
    let event = LambdaSettings { invocation: Invocation::Event, log_tail: false, payload_max, ..settings() };
    let queued = lambda(&server.url(), credentials, event);
    let failure = queued.invoke(&call(vec![b' '; (1 << 20) + 1])).await.result.unwrap_err();
    assert_eq!((failure.class, server.requests().len()), (Class::TooLarge, 0), "{failure:?}");
    assert_eq!(queued.invoke(&call("{}")).await.result, Ok(()));
    let requests = server.requests();
    assert_eq!(requests[0].header("x-amz-invocation-type"), Some("Event"));
    assert_eq!(requests[0].header("x-amz-log-type"), None);
}

/// Both counted as a function that is too slow, so calls became dead letters after three tries instead of
/// waiting.
#[tokio::test]
async fn what_hangs_before_a_function_can_run_is_no_timeout_of_it() {
    let server = ScriptedHttp::elsewhere(|_| Reply::status(200)).await;
    let never = lambda(&server.url(), SharedCredentialsProvider::new(Never), settings());
    let failure = never.invoke(&call("{}")).await.result.unwrap_err();
    assert_eq!((failure.class, server.requests().len()), (Class::Network, 0), "{failure:?}");
    let credentials = SharedCredentialsProvider::new(Credentials::for_tests());
    let failure =
        lambda(&Full::new().url(), credentials, settings()).invoke(&call("{}")).await.result.unwrap_err();
    assert_eq!(failure.class, Class::Network, "{failure:?}");
}

#[tokio::test]
async fn a_batch_is_an_array_and_the_function_names_what_it_could_not_take() {
    let body = r#"{"batchItemFailures":[{"itemIdentifier":"b"}]}"#;
    let server = ScriptedHttp::elsewhere(move |_| answer(200, &[], body)).await;
    let lambda = lambda(&server.url(), SharedCredentialsProvider::new(Credentials::for_tests()), settings());
    let lines = [("a", r#"{"messageId":"a"}"#.into()), ("b", r#"{"messageId":"b"}"#.into())];
    let invoked = lambda.invoke(&outgoing(ARN, lines, true)).await;
    assert_eq!((invoked.result, invoked.not_taken), (Ok(()), vec![1]));
    assert_eq!(server.requests()[0].body, br#"[{"messageId":"a"},{"messageId":"b"}]"#);
}
