//! The pixel: a call in a query, always answered with the same image. The status says whether the call is stored.

use std::net::IpAddr;

use http::HeaderMap;
use http::header::USER_AGENT;
use tokio::time::Instant;

use super::handle::{Destiny, Shared, found};
use super::reply::Refusal;
use super::settings::Policy;
use crate::call::{CallKind, Request, Shape, Stamp, Tally, call_of_query, write_rejected_pixel};
use crate::receipt::Receipt;
use crate::spool::RequestFrames;
use crate::time::UnixMillis;

/// What a pixel request says, and when it came.
#[derive(Clone, Copy, Debug)]
pub(super) struct PixelRequest<'r> {
    pub(super) kind: CallKind,
    pub(super) query: &'r str,
    pub(super) headers: &'r HeaderMap,
    pub(super) ip: Option<IpAddr>,
    pub(super) received_at: UnixMillis,
}

impl Shared {
    /// Stores a pixel's call, or what was sent in its place, and waits until it is on stable storage. Returns the receipt of
    /// what was stored, where receipts are given.
    ///
    /// # Errors
    /// Nothing is stored.
    pub(super) async fn store_pixel(
        &self,
        policy: &Policy,
        pixel: PixelRequest<'_>,
        until: Instant,
    ) -> Result<Option<Receipt>, Refusal> {
        match self.pixel_frames(policy, pixel)? {
            Some((frames, tally)) => self.append(frames, tally, until).await,
            // Of an unknown key, where those are taken and thrown away.
            None => {
                self.counters.metrics().pixels_not_stored.inc();
                Ok(None)
            }
        }
    }

    fn pixel_frames(
        &self,
        policy: &Policy,
        pixel: PixelRequest<'_>,
    ) -> Result<Option<(RequestFrames, Tally)>, Refusal> {
        let call = call_of_query(pixel.query);
        let write_key = match &call {
            Ok(call) => &call.write_key,
            Err(error) => &error.write_key,
        };
        let none = || if call.is_ok() { Refusal::NoWriteKey } else { Refusal::UnreadablePixel };
        let Destiny::Store(source) = found(policy, write_key.as_ref().ok_or_else(none)?)? else {
            return Ok(None);
        };
        let stamp = Stamp {
            received_at: pixel.received_at,
            source: &source,
            ip: pixel.ip,
            client_side: true,
            client_libraries: &self.settings.client_libraries,
            user_agent: pixel.headers.get(USER_AGENT).and_then(|value| value.to_str().ok()),
            fingerprinter: &self.deps.fingerprinter,
        };
        let shape = Shape::Single(pixel.kind);
        let body = call.map(|call| call.body).unwrap_or_default();
        // A body that was not made is no JSON either, so both go the same way.
        match Request::parse(&body, shape, &self.settings.limits) {
            Ok(request) => self.frames(&request, &stamp).map(Some),
            Err(_) => {
                let mut frames = self.no_frames(&stamp, pixel.query.len() + 512, 1);
                write_rejected_pixel(pixel.query, &stamp, &mut frames);
                Ok(Some((frames, Tally::default())))
            }
        }
    }
}
