//! The pixel: a call in a query, always answered with the same image.

use std::net::IpAddr;

use chrono::{DateTime, SecondsFormat};
use http::HeaderMap;
use http::header::USER_AGENT;
use serde::Serialize;
use tokio::time::Instant;

use super::auth;
use super::handle::Shared;
use super::reply::Refusal;
use super::settings::Policy;
use crate::call::pixel::call_of_query;
use crate::call::{CallKind, LineSink as _, RejectReason, Request, Shape, Stamp, Tally};
use crate::sources::{Found, SourceId};
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
    /// Stores a pixel's call, or what was sent in its place, and waits until it is on stable storage. What cannot be stored
    /// is counted: the image says nothing.
    pub(super) async fn store_pixel(&self, policy: &Policy, pixel: PixelRequest<'_>, until: Instant) {
        let outcome = match self.pixel_frames(policy, pixel) {
            Ok(Some((frames, tally))) => self.append(frames, tally, until).await,
            Ok(None) => Ok(()),
            Err(refusal) => Err(refusal),
        };
        if let Err(refusal) = outcome {
            self.counters.metrics().pixels_not_stored.inc();
            tracing::debug!(code = refusal.looks().code, "a pixel's call was not stored");
        }
    }

    fn pixel_frames(
        &self,
        policy: &Policy,
        pixel: PixelRequest<'_>,
    ) -> Result<Option<(RequestFrames, Tally)>, Refusal> {
        let call = call_of_query(pixel.query);
        let beside = auth::query_key(Some(pixel.query));
        let in_call = call.as_ref().ok().and_then(|call| call.write_key.clone());
        let write_key = in_call.or_else(|| beside.clone()).ok_or(Refusal::NoWriteKey)?;
        let source = match policy.sources.find(&write_key) {
            Found::Source(source) => source,
            Found::Discard => return Ok(None),
            Found::Unknown => return Err(Refusal::UnknownWriteKey),
            Found::TooManySources => return Err(Refusal::TooManySources),
        };
        let rejected = || Ok(Some((rejected_query(&source, pixel), Tally::default())));
        let Ok(call) = call else {
            return rejected();
        };
        let request = match Request::parse(&call.body, Shape::Single(pixel.kind), &self.settings.limits) {
            Ok(request) => request,
            Err(_) if beside.is_some() => return rejected(),
            // The write key is inside what cannot be read, cannot be taken out of it, and must not be in a line.
            Err(error) => return Err(Refusal::Body(error)),
        };
        let stamp = Stamp {
            received_at: pixel.received_at,
            source: &source,
            ip: pixel.ip,
            client_route: true,
            user_agent: pixel.headers.get(USER_AGENT).and_then(|value| value.to_str().ok()),
            fingerprinter: &self.deps.fingerprinter,
        };
        let mut frames = self.frames(source.clone(), pixel.received_at, call.body.len());
        let tally = request.write_lines(&stamp, &*self.deps.random, &mut frames);
        Ok(Some((frames, tally)))
    }
}

/// A query that is no call goes to the rejected stream as sent, but for the write key.
fn rejected_query(source: &SourceId, pixel: PixelRequest<'_>) -> RequestFrames {
    let reason = RejectReason::BadPixelData;
    let line = RejectedQuery {
        received_at: DateTime::from_timestamp_millis(pixel.received_at.0)
            .unwrap_or_default()
            .to_rfc3339_opts(SecondsFormat::Millis, true),
        project_id: source.as_str(),
        reason: reason.slug(),
        value: &without_write_key(pixel.query),
    };
    let mut frames = RequestFrames::new(source.clone(), pixel.received_at, pixel.query.len() * 2 + 512);
    match serde_json::to_writer(frames.line(), &line) {
        Ok(()) => frames.rejected(reason),
        // A line of strings can always be written.
        Err(_) => frames.discard(),
    }
    frames
}

fn without_write_key(query: &str) -> String {
    let is_key = |pair: &&str| auth::query_key(Some(pair)).is_some();
    query.split('&').filter(|pair| !is_key(pair)).collect::<Vec<_>>().join("&")
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RejectedQuery<'a> {
    received_at: String,
    project_id: &'a str,
    reason: &'static str,
    value: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::frame::{FrameKind, fields};

    #[test]
    fn a_query_that_is_no_call_is_kept_as_sent() {
        let pixel = PixelRequest {
            kind: CallKind::Track,
            query: "data=%%\"&writeKey=k&x=y",
            headers: &HeaderMap::new(),
            ip: None,
            received_at: UnixMillis(1_700_000_000_120),
        };
        let frames = rejected_query(&SourceId::new("web").unwrap(), pixel);
        let frame = fields(frames.bytes()).unwrap();
        assert_eq!(frame.kind, FrameKind::Rejected);
        let expected = concat!(
            r#"{"receivedAt":"2023-11-14T22:13:20.120Z","projectId":"web","reason":"bad_pixel_data","#,
            r#""value":"data=%%\"&x=y"}"#
        );
        assert_eq!(std::str::from_utf8(frame.payload).unwrap(), expected);
    }
}
