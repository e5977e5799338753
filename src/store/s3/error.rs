//! From the client's errors to [`StoreError`]: what was answered, and the region that an answer names.

use std::error::Error;
use std::fmt;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use crate::store::fault::{Asked, Ending, classify, outside_text};
use crate::store::region::{region_in_error_body, region_name};
use crate::store::{Fault, StoreError};

/// Error codes are short; what is longer is cut, in bytes.
const CODE_BYTES_MAX: usize = 64;

/// Causes of an error that are put into its message.
const CAUSES_MAX: usize = 6;

/// A failure of one request.
pub(super) type Failure<E> = SdkError<E, HttpResponse>;

/// What was asked, and of which region.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context<'a> {
    pub(super) asked: Asked,
    pub(super) region: &'a str,
}

/// A failure as it was told: the error, and the region that the answer names.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) error: StoreError,
    pub(super) region: Option<String>,
}

/// The region in the headers of an answer.
pub(super) fn region_header<E>(err: &Failure<E>) -> Option<&str> {
    err.raw_response()?.headers().get("x-amz-bucket-region").and_then(region_name)
}

/// Why a role could not be assumed, inside the client's own errors.
#[derive(Debug)]
pub(super) struct NotAssumed(pub(super) StoreError);

impl fmt::Display for NotAssumed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for NotAssumed {}

/// An error of our own, before or after the request.
pub(super) fn local_error(fault: Fault, message: String) -> StoreError {
    StoreError { fault, status: None, code: None, message }
}

/// What a failed request means to a store: also why its role was not assumed, and that the bucket is elsewhere.
pub(super) fn store_error<E>(context: Context<'_>, err: &Failure<E>) -> Told
where
    E: ProvideErrorMetadata + Error + 'static,
{
    if let Some(NotAssumed(why)) = chain(err).find_map(|err| err.downcast_ref::<NotAssumed>()) {
        return Told { error: why.clone(), region: None };
    }
    let body = err.raw_response().and_then(|raw| raw.body().bytes());
    let region = region_header(err).or_else(|| body.and_then(region_in_error_body));
    let mut error = failure(context.asked, err);
    // An answer to HEAD has no body, so no code: only the header tells a wrong region from another bad request.
    let elsewhere = region.is_some_and(|region| region != context.region);
    if elsewhere && error.code.is_none() && matches!(error.status, Some(301 | 307 | 400)) {
        error.fault = Fault::Region;
    }
    Told { error, region: region.map(str::to_owned) }
}

/// What a failed request means by itself, whichever service was asked.
pub(super) fn failure<E>(asked: Asked, err: &Failure<E>) -> StoreError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let status = err.raw_response().map(|raw| raw.status().as_u16());
    let code = err.as_service_error().and_then(|err| err.meta().code());
    let ending = match (err, status) {
        (_, Some(status)) => Ending::Answer { status, code },
        (SdkError::ConstructionFailure(_), None) => Ending::Unbuildable,
        _ if chain(err).any(|err| err.is::<CredentialsError>()) => Ending::NoCredentials,
        _ => Ending::NoAnswer,
    };
    let text = match err.as_service_error().and_then(|err| err.meta().message()) {
        Some(message) => message.to_owned(),
        None if status.is_some() => "no reason was given".to_owned(),
        None => causes(err),
    };
    let fault = classify(asked, ending);
    let code = code.map(|code| outside_text(code).chars().take(CODE_BYTES_MAX).collect());
    StoreError { fault, status, code, message: outside_text(&text) }
}

/// An error and what lies beneath it.
fn chain<'a>(err: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(err), |err: &&'a (dyn Error + 'static)| {
        let err: &'a (dyn Error + 'static) = *err;
        err.source()
    })
}

/// The chain of causes in one line: the client's outermost error alone says no more than "dispatch failure".
pub(super) fn causes(err: &(dyn Error + 'static)) -> String {
    let mut text = err.to_string();
    for cause in chain(err).skip(1).take(CAUSES_MAX) {
        let cause = cause.to_string();
        if !text.ends_with(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}
