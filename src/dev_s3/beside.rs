//! What answers requests beside the S3 operations, once their signature is checked.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Extensions, HeaderMap, HeaderValue, Method, Request, Response, Uri};
use http_body_util::LengthLimitError;
use s3s::access::{S3Access, S3AccessContext};
use s3s::route::S3Route;
use s3s::{Body, S3, S3Error, S3Request, S3Response, S3Result, s3_error};
use tokio::time::timeout;

use super::receive::broken_body;
use crate::boxed_future::BoxFuture;

/// How long a request's body may take.
const BODY_WITHIN: Duration = Duration::from_secs(20);

/// Answers requests that are no S3 operations.
pub trait Beside: fmt::Debug + Send + Sync + 'static {
    /// Whether a request is for it.
    fn takes(&self, path: &str, headers: &HeaderMap) -> bool;

    /// The longest body of a request, in bytes. A longer one is refused.
    fn body_max(&self) -> usize;

    /// Answers a request that the user has signed.
    fn answer(&self, request: Request<Bytes>) -> BoxFuture<'_, Response<String>>;
}

pub(super) struct BesideRoute(pub(super) Arc<dyn Beside>);

#[async_trait::async_trait]
impl S3Route for BesideRoute {
    fn is_match(&self, _: &Method, uri: &Uri, headers: &HeaderMap, _: &mut Extensions) -> bool {
        self.0.takes(uri.path(), headers)
    }

    async fn check_access(&self, request: &mut S3Request<Body>) -> S3Result<()> {
        if request.credentials.is_none() {
            return Err(not_signed());
        }
        // The older signatures have no region, and cover neither the query nor the body. That of a form covers
        // not even the path.
        let is_of_form = |kind: &HeaderValue| kind.as_bytes().to_ascii_lowercase().starts_with(b"multipart/");
        let is_form = request.headers.get(CONTENT_TYPE).is_some_and(is_of_form);
        if request.region.is_none() || request.service.as_deref() != Some("s3") || is_form {
            return Err(s3_error!(
                AccessDenied,
                "the request must be signed by Signature Version 4 for the service s3"
            ));
        }
        if !is_signed_with_body(&request.uri, &request.headers) {
            return Err(s3_error!(
                AccessDenied,
                "the signature must cover the body: sign by the header Authorization, with the SHA-256 of the body in \
                 x-amz-content-sha256; presigned URLs and UNSIGNED-PAYLOAD are not taken"
            ));
        }
        Ok(())
    }

    async fn call(&self, request: S3Request<Body>) -> S3Result<S3Response<Body>> {
        let S3Request { input: mut body, method, uri, headers, .. } = request;
        let most = self.0.body_max();
        let body = match timeout(BODY_WITHIN, body.store_all_limited(most)).await {
            Ok(Ok(body)) => body,
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                return Err(s3_error!(MaxMessageLengthExceeded, "the body has more than {most} bytes"));
            }
            Ok(Err(error)) => return Err(broken_body(error)),
            Err(_) => {
                let seconds = BODY_WITHIN.as_secs();
                return Err(s3_error!(RequestTimeout, "the body did not come within {seconds} seconds"));
            }
        };
        let mut whole = Request::new(body);
        (*whole.method_mut(), *whole.uri_mut(), *whole.headers_mut()) = (method, uri, headers);
        let (head, text) = self.0.answer(whole).await.into_parts();
        let mut answer = S3Response::with_status(Body::from(text), head.status);
        answer.headers = head.headers;
        Ok(answer)
    }
}

/// Whether a signature of Version 4 covers the body, which is compared with its hash while it is read. That of a
/// presigned URL never does. Names are read from the query as the check of the signature reads them.
fn is_signed_with_body(uri: &Uri, headers: &HeaderMap) -> bool {
    let query = uri.query().unwrap_or_default().as_bytes();
    let is_presigned =
        form_urlencoded::parse(query).any(|(name, _)| name.eq_ignore_ascii_case("x-amz-signature"));
    let is_hash =
        |value: &HeaderValue| value.len() == 64 && value.as_bytes().iter().all(u8::is_ascii_hexdigit);
    !is_presigned && headers.get("x-amz-content-sha256").is_some_and(is_hash)
}

/// The S3 operations of a server that has no objects: each is refused by its name.
#[derive(Debug)]
pub(super) struct NoObjects;

impl S3 for NoObjects {}

#[async_trait::async_trait]
impl S3Access for NoObjects {
    async fn check(&self, context: &mut S3AccessContext<'_>) -> S3Result<()> {
        if context.credentials().is_none() {
            return Err(not_signed());
        }
        let operation = context.s3_op().name();
        Err(s3_error!(
            NotImplemented,
            "{operation} is not offered here: this server has no objects; send it to the store itself"
        ))
    }
}

fn not_signed() -> S3Error {
    s3_error!(AccessDenied, "the request is not signed; give the client the keys of this server")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_taken_only_if_its_signature_covers_its_body() {
        let hash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        for (uri, sum, expected) in [
            ("/v20180820/jobs", Some(hash), true),
            ("/v20180820/jobs?jobStatuses=X-Amz-Signature", Some(hash), true),
            ("/v20180820/jobs", None, false),
            ("/v20180820/jobs", Some("UNSIGNED-PAYLOAD"), false),
            ("/v20180820/jobs", Some("STREAMING-UNSIGNED-PAYLOAD-TRAILER"), false),
            ("/v20180820/jobs?X-Amz-Signature=00", Some(hash), false),
            ("/v20180820/jobs?a=b&X%2DAmz-Signature=00", Some(hash), false),
        ] {
            let sum = sum.map(|sum| ("x-amz-content-sha256".parse().unwrap(), sum.parse().unwrap()));
            let headers: HeaderMap = sum.into_iter().collect();
            let signed = is_signed_with_body(&uri.parse().unwrap(), &headers);
            assert_eq!(signed, expected, "{uri} {headers:?}");
        }
    }
}
