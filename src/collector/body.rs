//! Reads a request's body: bounded in bytes, in time and in what the whole process holds.

use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use prometheus_client::metrics::counter::Counter;
use tokio::time::{Instant, timeout_at};

use super::budget::Reservation;
use super::decode::{Coding, DecodeError, Decoded, Decoder};
use super::reply::Refusal;

/// The bounds on one body.
#[derive(Clone, Copy, Debug)]
pub(super) struct BodyBounds {
    /// Bytes, before and after inflating.
    pub(super) max: usize,
    /// When it must be complete.
    pub(super) until: Instant,
}

/// Reads and decodes `body` to its end. Bytes are reserved as they arrive, so that slow clients hold little.
///
/// # Errors
/// [`Refusal`]; unless it is about what the whole body says, the rest of the body was not read.
pub(super) async fn read(
    body: &mut Incoming,
    coding: Coding,
    bounds: BodyBounds,
    reservation: &mut Reservation,
    received: &Counter,
) -> Result<Decoded, Refusal> {
    let too_large = || Refusal::BodyTooLarge { limit: bounds.max };
    if body.size_hint().lower() > u64::try_from(bounds.max).unwrap_or(u64::MAX) {
        return Err(too_large());
    }
    let refused = |error| match error {
        DecodeError::TooLarge => too_large(),
        DecodeError::BadGzip | DecodeError::TruncatedGzip | DecodeError::DoubleGzip => Refusal::Decode(error),
    };
    let expected = body.size_hint().exact().and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(0);
    let mut decoder = Decoder::new(coding, bounds.max, expected);
    loop {
        let frame = match timeout_at(bounds.until, body.frame()).await {
            Err(_) => return Err(Refusal::BodyTimeout),
            Ok(None) => break,
            Ok(Some(Err(_))) => return Err(Refusal::BodyBroken),
            Ok(Some(Ok(frame))) => frame,
        };
        // Trailers say nothing about calls.
        let Ok(piece) = frame.into_data() else { continue };
        received.inc_by(u64::try_from(piece.len()).unwrap_or(u64::MAX));
        decoder.push(piece).map_err(refused)?;
        if !reservation.grow_to(decoder.held()) {
            return Err(Refusal::TooManyBytes);
        }
    }
    decoder.finish().map_err(refused)
}

/// Reads `body` to its end and throws it away, as far as `max` bytes and `within` allow. Returns whether the end came, so
/// that the connection can go on.
pub(super) async fn discard(body: &mut Incoming, max: usize, within: Duration) -> bool {
    let until = Instant::now() + within;
    let mut left = max;
    loop {
        match timeout_at(until, body.frame()).await {
            Ok(None) => return true,
            Err(_) | Ok(Some(Err(_))) => return false,
            Ok(Some(Ok(frame))) => {
                let Some(rest) = left.checked_sub(frame.data_ref().map_or(0, bytes::Bytes::len)) else {
                    return false;
                };
                left = rest;
            }
        }
    }
}
