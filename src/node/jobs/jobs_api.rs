//! The jobs API over HTTP: from a signed request to its answer.

use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use tokio::sync::RwLock;

use super::server::JobsServer;
use crate::boxed_future::BoxFuture;
use crate::dev_s3::Beside;
use crate::jobs::api::answers::failed;
use crate::jobs::api::api_answer::ApiAnswer;
use crate::jobs::api::api_call::{ApiCall, account};
use crate::jobs::api::api_error::{ApiError, ApiErrorCode};
use crate::jobs::api::{ACCOUNT_HEADER, BODY_MAX, CONTROL_PREFIX};
use crate::random::Random;

/// The header with the id of a request.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-amz-request-id");

/// The jobs API. Before its server of jobs has started, and once it stops, it answers that clients must wait.
#[derive(Debug)]
pub struct JobsApi {
    jobs: RwLock<Option<JobsServer>>,
    random: Arc<dyn Random>,
}

impl JobsApi {
    /// An API without a server. Ids of requests are drawn from `random`.
    pub fn new(random: Arc<dyn Random>) -> Self {
        Self { jobs: RwLock::new(None), random }
    }

    /// Answers requests by this server from now on.
    pub async fn serve(&self, jobs: JobsServer) {
        *self.jobs.write().await = Some(jobs);
    }

    /// Stops the server of jobs in order: invocations in flight end first.
    pub async fn stop(&self) {
        // Waits for the calls in flight. They are short, and further ones are told to wait.
        let jobs = self.jobs.write().await.take();
        if let Some(jobs) = jobs {
            jobs.stop().await;
        }
    }

    async fn answered(&self, request: &Request<Bytes>) -> Result<ApiAnswer, ApiError> {
        let account = account(request.headers())?;
        let uri = request.uri();
        let call = ApiCall::of(request.method(), uri.path(), uri.query())?;
        let jobs = self.jobs.read().await;
        let jobs = jobs.as_ref().ok_or_else(|| {
            ApiError::new(ApiErrorCode::Unavailable, "this server is starting or stopping; ask again soon")
        })?;
        jobs.answer(account, call, request.body()).await
    }
}

impl Beside for JobsApi {
    /// S3 requests never have this header, so a bucket may have the name with which the paths begin. And a web page
    /// of another site cannot send it: browsers ask first, and are not answered that they may.
    fn takes(&self, path: &str, headers: &HeaderMap) -> bool {
        path.starts_with(CONTROL_PREFIX) && headers.contains_key(ACCOUNT_HEADER)
    }

    fn body_max(&self) -> usize {
        BODY_MAX
    }

    fn answer(&self, request: Request<Bytes>) -> BoxFuture<'_, Response<String>> {
        Box::pin(async move {
            let id = format!("{:032x}", self.random.next_u128());
            let (status, xml) = match self.answered(&request).await {
                Ok(answer) => (StatusCode::OK, answer.xml()),
                Err(error) => {
                    let (method, path) = (request.method(), request.uri().path());
                    tracing::debug!(%method, path, id, %error, "a request to the jobs API is refused");
                    let status = StatusCode::from_u16(error.code.status());
                    (status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), failed(&error, &id))
                }
            };
            let mut answer = Response::new(xml);
            *answer.status_mut() = status;
            answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
            if let Ok(id) = HeaderValue::from_str(&id) {
                answer.headers_mut().insert(REQUEST_ID, id);
            }
            answer
        })
    }
}
