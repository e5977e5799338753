//! `GET /api/live`: what arrives, as server-sent events.
//!
//! The stream is driven by a timer: four times a second it sends the calls that came since the last time, and once a
//! second the counts. So the work for a viewer does not grow with the traffic, and a viewer that reads slowly misses
//! calls instead of holding them in memory, and an event says how many.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame};
use percent_encoding::percent_decode_str;
use tokio::time::{Interval, MissedTickBehavior};

use super::route::NoRoute;
use crate::live::filter::TEXT_MAX;
use crate::live::pace::PER_SECOND;
use crate::live::{Filter, Viewer};
use crate::sources::SourceId;

/// How often calls are sent.
const EVERY: Duration = Duration::from_millis(250);
/// Counts are sent with each tick of this number.
const COUNTS_EVERY: u32 = 4;
/// Bytes of calls after which a message ends. The rest follows in the next one.
const MESSAGE_BYTES: usize = 256 * 1_024;

/// The body of an answer that shows what arrives, until the viewer leaves, the listener stops or the tokens change.
pub(super) struct LiveStream {
    viewer: Viewer,
    ticks: Interval,
    tick: u32,
    first: bool,
    stop: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl LiveStream {
    /// Ends when `stop` does.
    pub(super) fn new(viewer: Viewer, stop: impl Future<Output = ()> + Send + 'static) -> Self {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { viewer, ticks, tick: 0, first: true, stop: Box::pin(stop) }
    }

    /// The events of one tick. Empty if there is nothing to say.
    fn events(&mut self) -> String {
        let mut out = String::new();
        if self.first {
            let hello = serde_json::json!({ "view": self.viewer.mode().slug(), "per_second": PER_SECOND });
            event(&mut out, "hello", &hello.to_string());
        }
        let (calls, missed) = self.viewer.calls();
        if missed > 0 {
            event(&mut out, "missed", &format!("{{\"calls\":{missed}}}"));
        }
        let mut rest = &calls[..];
        while !rest.is_empty() {
            let mut data = String::from("{\"calls\":[");
            while let Some((call, others)) = rest.split_first() {
                if !data.ends_with('[') {
                    data.push(',');
                }
                data.push_str(call.json());
                rest = others;
                if data.len() >= MESSAGE_BYTES {
                    break;
                }
            }
            data.push_str(if self.first { "],\"recent\":true}" } else { "],\"recent\":false}" });
            event(&mut out, "calls", &data);
        }
        if self.tick.is_multiple_of(COUNTS_EVERY) && !self.first {
            let counts = self.viewer.counts();
            let counts = serde_json::json!({
                "stored": counts.stored, "rejected": counts.rejected, "shown": counts.shown,
            });
            event(&mut out, "count", &counts.to_string());
        }
        self.first = false;
        self.tick = self.tick.wrapping_add(1);
        out
    }
}

fn event(out: &mut String, name: &str, data: &str) {
    for part in ["event: ", name, "\ndata: ", data, "\n\n"] {
        out.push_str(part);
    }
}

impl Body for LiveStream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        loop {
            if self.stop.as_mut().poll(cx).is_ready() {
                return Poll::Ready(None);
            }
            ready!(self.ticks.poll_tick(cx));
            let events = self.events();
            if !events.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(Bytes::from(events)))));
            }
        }
    }
}

/// Which calls a query asks for.
///
/// # Errors
/// [`NoRoute::Query`].
pub(super) fn filter(query: &str) -> Result<Filter, NoRoute> {
    let mut filter = Filter::default();
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let value = value.replace('+', " ");
        let value = percent_decode_str(&value).decode_utf8_lossy();
        let value = value.trim();
        match name {
            "source" | "type" | "text" if value.is_empty() => {}
            "source" if filter.source.is_none() => {
                let source = SourceId::new(value).map_err(|error| NoRoute::Query(error.to_string()))?;
                filter.source = Some(source);
            }
            "type" if filter.kind.is_none() => filter.kind = Some(bounded(name, value)?),
            "text" if filter.text.is_none() => filter.text = Some(bounded(name, value)?.to_lowercase()),
            "source" | "type" | "text" => return Err(NoRoute::Query(format!("{name} is given twice"))),
            _ => return Err(NoRoute::Query("the parameters are source, type and text".to_owned())),
        }
    }
    Ok(filter)
}

fn bounded(name: &str, value: &str) -> Result<String, NoRoute> {
    if value.len() <= TEXT_MAX {
        return Ok(value.to_owned());
    }
    Err(NoRoute::Query(format!("{name} is longer than {TEXT_MAX} bytes")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_names_a_filter() {
        let ok = |query: &str| filter(query).unwrap();
        assert_eq!(ok(""), Filter::default());
        assert_eq!(ok("source=&type=&text="), Filter::default());
        let all = ok("text=Order%20Done+x&type=track&source=web");
        assert_eq!(all.text.as_deref(), Some("order done x"));
        assert_eq!((all.kind.as_deref(), all.source.unwrap().as_str()), (Some("track"), "web"));
        for wrong in ["source=../x", "sorce=web", "type=a&type=b", &format!("text={}", "x".repeat(201))] {
            assert!(filter(wrong).is_err(), "{wrong}");
        }
    }
}
