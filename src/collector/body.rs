//! Reads a request's body, within bounds on bytes, on time and on the memory of the whole process.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use hyper::body::{Body as _, Incoming};
use prometheus_client::metrics::counter::Counter;
use tokio::time::{Instant, timeout, timeout_at};

use super::decode::{Coding, DecodeError, Decoded, Decoder};
use super::peer::Stalled;
use super::reply::Refusal;
use super::waiting_bodies::{Partial, Waiter, WaitingBody};

/// The bounds on one body.
#[derive(Clone, Copy, Debug)]
pub(super) struct BodyBounds {
    /// Bytes, before and after inflating.
    pub(super) max: usize,
    /// The deadline for the complete body.
    pub(super) until: Instant,
}

/// Reads and decodes `body` to its end. While the rest is awaited, the request has a place in the budget of
/// the process. It is refused if there is no place, or if others made more progress.
/// Errors: [`Refusal`]. The rest of the body is unread, unless the refusal needs the whole body.
pub(super) async fn read<'p>(
    body: &mut Incoming,
    coding: Coding,
    bounds: BodyBounds,
    waiting: &mut WaitingBody<'_>,
    (waiter, stalls): (impl Fn() -> Waiter, impl Fn() -> Stalled<'p>),
    received: &Counter,
) -> Result<Decoded, Refusal> {
    let too_large = || Refusal::BodyTooLarge(bounds.max);
    if body.size_hint().lower() > u64::try_from(bounds.max).unwrap_or(u64::MAX) {
        return Err(too_large());
    }
    let refused = |error| match error {
        DecodeError::TooLarge => too_large(),
        DecodeError::BadGzip | DecodeError::TruncatedGzip | DecodeError::DoubleGzip => Refusal::Decode(error),
    };
    let expected = body.size_hint().exact().and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(0);
    let mut decoder = Decoder::new(coding, bounds.max, expected);
    let mut stalled = None;
    let whole = poll_fn(|cx| {
        loop {
            let polled = Pin::new(&mut *body).poll_frame(cx);
            if polled.is_ready() {
                stalled = None;
            }
            let frame = match polled {
                Poll::Pending => {
                    stalled.get_or_insert_with(&stalls);
                    let partial = Partial { held: decoder.wait(), arrived: decoder.arrived() };
                    let pushed_out = waiting.poll_pushed_out(partial, &waiter, cx);
                    return pushed_out.map(|()| Err(Refusal::TooManyBytes));
                }
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                Poll::Ready(Some(Err(_))) => return Poll::Ready(Err(Refusal::BodyBroken)),
                Poll::Ready(Some(Ok(frame))) => frame,
            };
            // Trailers carry no calls.
            let Ok(piece) = frame.into_data() else { continue };
            received.inc_by(u64::try_from(piece.len()).unwrap_or(u64::MAX));
            if let Err(error) = decoder.push(piece) {
                return Poll::Ready(Err(refused(error)));
            }
            // If the length is known, there is no need to wait for the end.
            if body.is_end_stream() {
                return Poll::Ready(Ok(()));
            }
        }
    });
    timeout_at(bounds.until, whole).await.unwrap_or(Err(Refusal::BodyTimeout))?;
    decoder.finish().map_err(refused)
}

/// Reads `body` and discards it, up to `max` bytes, the time `within` and the budget of the process. Returns
/// whether the end was reached; then the connection can be kept.
pub(super) async fn discard<'p>(
    body: &mut Incoming,
    max: usize,
    within: Duration,
    waiting: &mut WaitingBody<'_>,
    (waiter, stalls): (impl Fn() -> Waiter, impl Fn() -> Stalled<'p>),
) -> bool {
    let (mut arrived, mut stalled) = (0_usize, None);
    let end = poll_fn(|cx| {
        loop {
            match Pin::new(&mut *body).poll_frame(cx) {
                Poll::Pending => {
                    stalled.get_or_insert_with(&stalls);
                    let partial = Partial { held: 0, arrived };
                    return waiting.poll_pushed_out(partial, &waiter, cx).map(|()| false);
                }
                Poll::Ready(None) => return Poll::Ready(true),
                Poll::Ready(Some(Err(_))) => return Poll::Ready(false),
                Poll::Ready(Some(Ok(frame))) => {
                    stalled = None;
                    arrived = arrived.saturating_add(frame.data_ref().map_or(0, bytes::Bytes::len));
                    if arrived > max {
                        return Poll::Ready(false);
                    }
                }
            }
        }
    });
    timeout(within, end).await.unwrap_or(false)
}
