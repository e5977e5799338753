//! The accept loop of a listener for operators.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::answer::{self, Answer};
use super::connection;
use crate::connections::seats::Seats;
use crate::once_a_minute::OnceAMinute;
use crate::planted_bugs::{PlantedPanic, panic_if_planted};

/// How long requests in flight may still take after the listener stops.
pub const DRAIN_MAX: Duration = Duration::from_secs(5);
/// How long accepting pauses after it failed (too many open files).
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// Serves at most so many connections at once until `stop`, then finishes requests in flight for at most
/// [`DRAIN_MAX`]. `answer` gets a request and the two ends of its connection: this one and the client's.
///
/// Not cancel-safe: dropping it closes every connection at once. Stop it with the token, then await it.
pub(super) async fn serve<A>(
    listener: Arc<TcpListener>,
    connections_max: usize,
    stop: CancellationToken,
    answer: impl Fn(Request<Incoming>, (IpAddr, IpAddr)) -> A + Clone + Send + Sync + 'static,
) where
    A: Future<Output = Answer> + Send + 'static,
{
    let seats = Seats::new(connections_max, connections_max);
    let (epoch, mut failures) = (Instant::now(), OnceAMinute::default());
    let mut connections = JoinSet::new();
    loop {
        panic_if_planted(PlantedPanic::Admin);
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            Some(ended) = connections.join_next() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "an admin connection panicked; this is a bug in Forebay");
                }
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((socket, peer)) => {
                let seat = tokio::select! {
                    () = stop.cancelled() => break,
                    seat = seats.take_in_time(|| epoch.elapsed()) => seat,
                };
                let (answer, stop) = (answer.clone(), stop.clone());
                connections.spawn(async move {
                    let guarded = move |request, local| {
                        let answering = answer(request, (local, peer.ip()));
                        async move {
                            let mut answer = answering.await;
                            answer::guard(answer.headers_mut());
                            answer
                        }
                    };
                    let standing = Arc::clone(seat.standing());
                    connection::serve(socket, standing, epoch, stop, guarded).await;
                    drop(seat);
                });
            }
            Err(error) => {
                if let Some(line) = failures.happened((), epoch.elapsed()) {
                    tracing::warn!(
                        %error,
                        times = line.times,
                        "the admin listener cannot accept connections; retrying"
                    );
                }
                tokio::time::sleep(ACCEPT_BACKOFF).await;
            }
        }
    }
    drop(listener);
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN_MAX, drained).await.is_err() {
        connections.shutdown().await;
    }
}
