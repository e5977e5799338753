//! Loops that post one event again and again, without a job.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use forebay::jobs::handlers::web::WebHandler;
use forebay::jobs::handlers::{Ended, Handler as _};
use forebay::jobs::invocation::{Invocation, JobCall, Schema};
use forebay::jobs::task::Task;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::task::JoinSet;

/// The event of one task of a job.
fn invocation() -> Invocation {
    let call = JobCall { job: "b".repeat(36), schema: Schema::V1, arguments: Vec::new() };
    let task = Task { bucket: "lake".to_owned(), key: super::job::key(1), version: None, args: Vec::new() };
    call.invocation(1, &task, "AAAAAAAAAAAAAAAAAAAAAA".to_owned()).expect("an event")
}

/// Runs `once` so many times, as many at once as `concurrency` says.
async fn in_loops<F: Future<Output = ()> + Send + 'static>(
    times: u64,
    concurrency: u64,
    once: impl Fn() -> F + Clone + Send + 'static,
) {
    let left = Arc::new(AtomicU64::new(times));
    let mut loops = JoinSet::new();
    for _ in 0..concurrency {
        let (left, once) = (Arc::clone(&left), once.clone());
        loops.spawn(async move {
            while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
            {
                once().await;
            }
        });
    }
    loops.join_all().await;
}

/// Posts by the client of the handler.
pub(crate) async fn same_client(handler: &Arc<WebHandler>, times: u64, concurrency: u64) {
    let invocation = Arc::new(invocation());
    let handler = Arc::clone(handler);
    in_loops(times, concurrency, move || {
        let (handler, invocation) = (Arc::clone(&handler), Arc::clone(&invocation));
        async move {
            let ended = handler.invoke(&invocation).await;
            assert!(matches!(ended, Ended::Answered { status: 200, .. }), "{ended:?}");
        }
    })
    .await;
}

/// Posts by the client of `hyper-util` alone.
pub(crate) async fn bare_client(
    client: &Client<HttpConnector, Full<Bytes>>,
    url: &str,
    times: u64,
    concurrency: u64,
) {
    let (body, client, url) = (invocation().body, client.clone(), url.to_owned());
    in_loops(times, concurrency, move || {
        let request = Request::post(&url).body(Full::new(body.clone())).expect("a request");
        let answering = client.request(request);
        async move {
            let answer = answering.await.expect("an answer");
            assert_eq!(answer.status(), 200);
            answer.into_body().collect().await.expect("a whole answer");
        }
    })
    .await;
}

/// A client of `hyper-util`.
pub(crate) fn bare() -> Client<HttpConnector, Full<Bytes>> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new()).build(connector)
}
