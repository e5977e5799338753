//! Converts errors of the AWS client to [`StoreError`], and extracts the region that an answer names.

use std::error::Error;
use std::{fmt, io};

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::dns::ResolveDnsError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::ConnectorError;
use hyper_util::client::legacy;

use crate::store::fault::{Asked, Ending, classify};
use crate::store::reason::{CREDENTIALS_TRIED, NoAnswer, NoCredentials};
use crate::store::region::{region_in_error_body, region_name};
use crate::store::{Fault, Reason, StoreError};
use crate::words::causes::{chain, io_causes, with_causes};
use crate::words::{Told, outside_text};

/// Stands for the message of an answer without one.
const NO_REASON: &str = "no reason was given";

/// The failure of one request.
pub(super) type Failure<E> = SdkError<E, HttpResponse>;

/// The region in the headers of an answer.
pub(super) fn region_header<E>(err: &Failure<E>) -> Option<&str> {
    err.raw_response()?.headers().get("x-amz-bucket-region").and_then(region_name)
}

/// Carries the reason why a role could not be assumed through the client's errors.
#[derive(Debug)]
pub(super) struct NotAssumed(pub(super) StoreError);

impl fmt::Display for NotAssumed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for NotAssumed {}

/// Converts the failure of a store request to `sent_to`, a region, including a role that could not be assumed
/// and a wrong region. Returns also the region that the answer names.
pub(super) fn store_error<E>(asked: Asked, sent_to: &str, err: &Failure<E>) -> (StoreError, Option<String>)
where
    E: ProvideErrorMetadata + Error + 'static,
{
    if let Some(why) = not_assumed(err) {
        return (why.clone(), None);
    }
    let body = err.raw_response().and_then(|raw| raw.body().bytes());
    let region = region_header(err).or_else(|| body.and_then(region_in_error_body));
    let mut error = failure(asked, err);
    // An answer to HEAD has no body and so no code: only the header distinguishes a wrong region from other
    // bad requests.
    let elsewhere = region.is_some_and(|region| region != sent_to);
    if elsewhere && error.code.is_none() && matches!(error.status, Some(301 | 307 | 400)) {
        error.fault = Fault::Region;
    }
    (error, region.map(str::to_owned))
}

/// Why a request was not sent, if it was because a role could not be assumed.
pub fn not_assumed<'a>(err: &'a (dyn Error + 'static)) -> Option<&'a StoreError> {
    chain(err).find_map(|err| err.downcast_ref::<NotAssumed>()).map(|NotAssumed(why)| why)
}

/// Converts the failure of a request to any service.
pub fn failure<E>(asked: Asked, err: &Failure<E>) -> StoreError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let service = err.as_service_error().map(ProvideErrorMetadata::meta);
    let code = service.and_then(|meta| meta.code());
    if let Some(status) = err.raw_response().map(|raw| raw.status().as_u16()) {
        let fault = classify(asked, Ending::Answer { status, code });
        return match service.and_then(|meta| meta.message()) {
            Some(message) => StoreError::answered(fault, status, code, message),
            None => StoreError { message: NO_REASON.into(), ..StoreError::answered(fault, status, code, "") },
        };
    }
    let no_credentials = chain(err).find_map(|err| err.downcast_ref()).map(no_credentials);
    let (ending, reason) = match (err, no_credentials) {
        (SdkError::ConstructionFailure(_), reason) => (Ending::Unbuildable, reason.unwrap_or(Reason::Other)),
        (_, Some(reason)) => (Ending::NoCredentials, reason),
        (SdkError::TimeoutError(_), None) => (Ending::NoAnswer, Reason::NoAnswer(NoAnswer::Timeout)),
        (_, None) => (Ending::NoAnswer, Reason::NoAnswer(no_answer(err))),
    };
    let message = match reason {
        Reason::NoAnswer(why) => no_answer_in_words(why, err),
        Reason::NoCredentials(NoCredentials::NoneFound) => {
            Told::plain(format!("no credentials found: tried {CREDENTIALS_TRIED}"))
        }
        // The last cause says what happened; the layers above it change from try to try. It may be what a
        // service or a command of the machine said.
        Reason::NoCredentials(NoCredentials::Failed) => {
            let cause = chain(err).last().map(ToString::to_string).unwrap_or_default();
            Told::plain("the credentials could not be fetched: ").and(&Told::private(cause))
        }
        // Nothing was sent, so nobody else said it.
        _ => Told::plain(with_causes(err)),
    };
    let message = message.map(|text| outside_text(text).to_string());
    StoreError { reason, ..StoreError::told_locally(classify(asked, ending), message) }
}

/// Why there are no credentials.
pub fn no_credentials(error: &CredentialsError) -> Reason {
    Reason::NoCredentials(match error {
        CredentialsError::CredentialsNotLoaded(_) => NoCredentials::NoneFound,
        _ => NoCredentials::Failed,
    })
}

/// Why there was no answer, by the types of the causes of the client's error.
fn no_answer(err: &(dyn Error + 'static)) -> NoAnswer {
    use io::ErrorKind as Io;
    let any = |is: fn(&(dyn Error + 'static)) -> bool| chain(err).any(is);
    let io = io_causes(err).last().map(io::Error::kind);
    let connecting = any(|err| err.downcast_ref::<legacy::Error>().is_some_and(legacy::Error::is_connect));
    if any(is_of_resolver) {
        NoAnswer::Name
    } else if any(|err| err.is::<rustls::Error>()) || (connecting && io == Some(Io::UnexpectedEof)) {
        NoAnswer::Tls
    } else if any(|err| err.downcast_ref::<ConnectorError>().is_some_and(ConnectorError::is_timeout)) {
        NoAnswer::Timeout
    } else {
        match io {
            Some(Io::ConnectionRefused | Io::HostUnreachable | Io::NetworkUnreachable) => NoAnswer::Connect,
            Some(Io::TimedOut) => NoAnswer::Timeout,
            _ => NoAnswer::Broke,
        }
    }
}

/// Why there was no answer: a person needs the first cause, not the layers of the client above it.
fn no_answer_in_words(why: NoAnswer, err: &(dyn Error + 'static)) -> Told {
    // All that can be the first cause are errors of this machine's libraries: nothing was answered.
    let cause = chain(err).last().map(ToString::to_string).unwrap_or_default();
    let what = match why {
        NoAnswer::Name => "the host name cannot be resolved",
        NoAnswer::Connect => "cannot connect",
        NoAnswer::Tls => "the TLS connection failed",
        NoAnswer::Timeout => "no answer in time",
        NoAnswer::Broke => "the connection broke",
    };
    if cause.is_empty() || cause == what { what.into() } else { Told::plain(format!("{what}: {cause}")) }
}

/// Whether an error is about resolving a host name. hyper-util wraps the errors of its own resolver in a
/// private type, so only its text can be compared.
fn is_of_resolver(err: &(dyn Error + 'static)) -> bool {
    err.is::<ResolveDnsError>() || err.to_string() == "dns error"
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use aws_credential_types::credential_fn::provide_credentials_fn;
    use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region, SharedCredentialsProvider};
    use aws_smithy_types::retry::RetryConfig;
    use aws_smithy_types::timeout::TimeoutConfig;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// Why HEAD of a bucket at `url` had no answer.
    async fn reason(url: &str, credentials: SharedCredentialsProvider) -> Reason {
        let times = TimeoutConfig::builder().operation_timeout(Duration::from_millis(500)).build();
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(url)
            .region(Region::new("eu-west-1"))
            .force_path_style(true)
            .timeout_config(times)
            .credentials_provider(credentials)
            .retry_config(RetryConfig::disabled());
        let client = aws_sdk_s3::Client::from_conf(config.build());
        let error = client.head_bucket().bucket("lake").send().await.unwrap_err();
        let failed = failure(Asked::HeadBucket, &error);
        assert!(!failed.message.full().is_empty());
        failed.reason
    }

    /// The types of the causes may change with any release of the client.
    #[tokio::test]
    async fn the_reason_for_no_answer_is_derived_from_the_types_of_the_causes() {
        let credentials = || SharedCredentialsProvider::new(Credentials::for_tests());
        let check =
            async |url: &str, why| assert_eq!(reason(url, credentials()).await, Reason::NoAnswer(why));
        check("http://name.invalid", NoAnswer::Name).await;
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let nobody = free.local_addr().unwrap();
        drop(free);
        check(&format!("http://{nobody}"), NoAnswer::Connect).await;

        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        check(&format!("http://{}", silent.local_addr().unwrap()), NoAnswer::Timeout).await;

        let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = plain.local_addr().unwrap();
        let talking = tokio::spawn(async move {
            loop {
                let (mut stream, _) = plain.accept().await.unwrap();
                stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
            }
        });
        check(&format!("https://{addr}"), NoAnswer::Tls).await;
        talking.abort();

        let hanging_up = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = hanging_up.local_addr().unwrap();
        let hanging_up = tokio::spawn(async move {
            loop {
                // Read everything: unread bytes would cause a reset.
                let (mut stream, _) = hanging_up.accept().await.unwrap();
                stream.read_buf(&mut Vec::with_capacity(64 << 10)).await.unwrap();
            }
        });
        check(&format!("http://{addr}"), NoAnswer::Broke).await;
        check(&format!("https://{addr}"), NoAnswer::Tls).await;
        hanging_up.abort();
    }

    #[tokio::test]
    async fn missing_credentials_are_distinguished_from_an_unreachable_store() {
        let failing = provide_credentials_fn(|| async { Err(CredentialsError::provider_error("odd")) });
        let reason = reason("http://127.0.0.1:1", SharedCredentialsProvider::new(failing)).await;
        assert_eq!(reason, Reason::NoCredentials(NoCredentials::Failed));
        let none = CredentialsError::not_loaded("none");
        assert_eq!(no_credentials(&none), Reason::NoCredentials(NoCredentials::NoneFound));
    }
}
