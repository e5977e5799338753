//! The pixel: a call in a query, always answered with the same image. The status says whether the call is
//! stored.

use std::net::IpAddr;

use http::HeaderMap;
use http::header::USER_AGENT;
use tokio::time::Instant;

use super::destiny::{Destiny, found};
use super::reply::Refusal;
use super::settings::Policy;
use super::shared::Shared;
use crate::call::{CallKind, call_of_query};
use crate::ingest::{Arrival, Lines, Receipts};
use crate::time::UnixMillis;

/// A pixel request, and when it came.
#[derive(Clone, Copy, Debug)]
pub(super) struct PixelRequest<'r> {
    pub(super) kind: CallKind,
    pub(super) query: &'r str,
    pub(super) headers: &'r HeaderMap,
    pub(super) ip: Option<IpAddr>,
    pub(super) received_at: UnixMillis,
}

impl Shared {
    /// Stores a pixel's call, or the rejected query in its place, and waits until it is on stable storage.
    /// Returns the receipt, if receipts are enabled. Errors: [`Refusal`]; then nothing is stored.
    pub(super) async fn store_pixel(
        &self,
        policy: &Policy,
        pixel: PixelRequest<'_>,
        until: Instant,
    ) -> Result<Option<Receipts>, Refusal> {
        match self.pixel_lines(policy, pixel)? {
            Some(lines) => self.append(lines, until).await,
            // The key is unknown, and unknown keys are accepted and discarded.
            None => {
                self.deps.metrics.pixels_not_stored.inc();
                Ok(None)
            }
        }
    }

    fn pixel_lines(&self, policy: &Policy, pixel: PixelRequest<'_>) -> Result<Option<Lines>, Refusal> {
        let call = call_of_query(pixel.query);
        let write_key = match &call {
            Ok(call) => &call.write_key,
            Err(error) => &error.write_key,
        };
        let none = || if call.is_ok() { Refusal::NoWriteKey } else { Refusal::UnreadablePixel };
        let Destiny::Store(source) = found(policy, write_key.as_ref().ok_or_else(none)?)? else {
            return Ok(None);
        };
        let arrival = Arrival {
            source: &source,
            received_at: pixel.received_at,
            ip: pixel.ip,
            client_side: true,
            user_agent: pixel.headers.get(USER_AGENT).and_then(|value| value.to_str().ok()),
            import: None,
        };
        // An unreadable query has no body; an empty body is not JSON either, so both are stored as rejected.
        let body = call.map(|call| call.body).unwrap_or_default();
        let lines = self.ingest.pixel_lines(pixel.kind, &body, pixel.query, &arrival);
        lines.map(Some).map_err(Refusal::Append)
    }
}
