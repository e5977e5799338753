//! `GET /api/live`: what arrives, as server-sent events.
//!
//! A timer drives the stream: four times a second it sends the calls that came since the last time, and once
//! a second the counts and the refused requests. So the work for a viewer does not grow with the traffic. A viewer that reads slowly
//! misses calls instead of holding them in memory, and an event says how many. Blocking threads make the
//! JSON, because the runtime's threads take calls.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame};
use percent_encoding::percent_decode_str;
use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::{Instant, Interval, MissedTickBehavior};

use super::no_route::NoRoute;
use crate::live::pace::PER_SECOND;
use crate::live::view::TEXT_MAX;
use crate::live::{Filter, Mode, RefusedList, Unread, Viewer};
use crate::sources::SourceId;

/// How often the stream looks for calls.
const EVERY: Duration = Duration::from_millis(250);
/// How often counts are sent and the viewer's right to look is checked.
const COUNTS_EVERY: Duration = Duration::from_secs(1);
/// Bytes of lines after which a message ends. The rest follows in the next message, which is made when this
/// one is sent: no more than one message is in memory for a viewer that does not read.
const MESSAGE_BYTES: usize = 256 * 1_024;
/// The most groups of refused requests in a message. They are sent once a second, if they changed.
const REFUSED_MAX: usize = 50;

/// The body of an answer that shows what arrives. It ends when the viewer leaves or may no longer look, when
/// the listener stops, or when the node shows more or less than before.
pub(super) struct LiveStream {
    state: State,
    /// Messages that are not sent yet.
    messages: VecDeque<Bytes>,
    ticks: Interval,
    /// When counts are sent next. `None` before the first message.
    counts_at: Option<Instant>,
    mode: Mode,
    may_go_on: Box<dyn Fn() -> bool + Send>,
    stop: Pin<Box<dyn Future<Output = ()> + Send>>,
}

enum State {
    Waiting(Viewer),
    /// The last message could not hold all calls.
    Behind(Viewer),
    /// A message is being made.
    Making(JoinHandle<(State, VecDeque<Bytes>)>),
    Ended,
}

impl LiveStream {
    /// A stream that ends when `stop` does, and within a second after `may_go_on` returns false.
    pub(super) fn new(
        viewer: Viewer,
        stop: impl Future<Output = ()> + Send + 'static,
        may_go_on: impl Fn() -> bool + Send + 'static,
    ) -> Self {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mode = viewer.mode();
        let (stop, may_go_on) = (Box::pin(stop), Box::new(may_go_on));
        let (state, messages) = (State::Waiting(viewer), VecDeque::new());
        Self { state, messages, ticks, counts_at: None, mode, may_go_on, stop }
    }

    /// The state after a tick, or after a message was sent.
    fn next(&mut self, mut viewer: Viewer) -> State {
        let now = Instant::now();
        let is_first = self.counts_at.is_none();
        let mut with_refused = is_first;
        match self.counts_at {
            None => {
                let hello = json!({ "view": self.mode.slug(), "per_second": PER_SECOND });
                self.messages.push_back(event("hello", &hello.to_string()));
                self.counts_at = Some(now + COUNTS_EVERY);
            }
            Some(at) if at <= now => {
                // The viewer opens the stream again, and so learns what it shows now.
                if !(self.may_go_on)() || viewer.mode() != self.mode {
                    return State::Ended;
                }
                let counts = json!(viewer.counts());
                self.messages.push_back(event("count", &counts.to_string()));
                self.counts_at = Some(now + COUNTS_EVERY);
                with_refused = true;
            }
            Some(_) => {}
        }
        with_refused = with_refused && viewer.has_refused();
        if !viewer.has_news() && !with_refused {
            return State::Waiting(viewer);
        }
        State::Making(tokio::task::spawn_blocking(move || {
            let unread = viewer.calls(MESSAGE_BYTES);
            let mut messages = messages(&unread, &viewer);
            let refused = with_refused.then(|| viewer.refused(REFUSED_MAX));
            messages.extend(refused.and_then(|refused| refused_message(refused, is_first)));
            (if unread.cut { State::Behind(viewer) } else { State::Waiting(viewer) }, messages)
        }))
    }
}

/// A message with calls; two if some came before the viewer did. How many were missed comes first.
fn messages(unread: &Unread, viewer: &Viewer) -> VecDeque<Bytes> {
    let mut messages = VecDeque::new();
    let Unread { calls, missed, .. } = unread;
    if *missed > 0 {
        messages.push_back(event("missed", &format!("{{\"calls\":{missed}}}")));
    }
    for calls in calls.chunk_by(|one, next| viewer.came_after(one) == viewer.came_after(next)) {
        let recent = calls.first().is_some_and(|call| viewer.came_after(call));
        let calls: Vec<&str> = calls.iter().map(|call| call.json()).collect();
        let data = format!("{{\"calls\":[{}],\"recent\":{recent}}}", calls.join(","));
        messages.push_back(event("calls", &data));
    }
    messages
}

/// A message with groups of refused requests, oldest first, if there are any.
fn refused_message(mut refused: RefusedList, recent: bool) -> Option<Bytes> {
    refused.groups.reverse();
    let data = json!({ "groups": refused.groups, "more": refused.more, "recent": recent });
    (!refused.groups.is_empty()).then(|| event("refused", &data.to_string()))
}

fn event(name: &str, data: &str) -> Bytes {
    ["event: ", name, "\ndata: ", data, "\n\n"].concat().into()
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
            if let Some(message) = self.messages.pop_front() {
                return Poll::Ready(Some(Ok(Frame::data(message))));
            }
            self.state = match std::mem::replace(&mut self.state, State::Ended) {
                State::Ended => return Poll::Ready(None),
                State::Behind(viewer) => self.next(viewer),
                State::Waiting(viewer) => {
                    if self.ticks.poll_tick(cx).is_pending() {
                        self.state = State::Waiting(viewer);
                        return Poll::Pending;
                    }
                    self.next(viewer)
                }
                State::Making(mut making) => match Pin::new(&mut making).poll(cx) {
                    Poll::Pending => {
                        self.state = State::Making(making);
                        return Poll::Pending;
                    }
                    Poll::Ready(Ok((state, messages))) => {
                        self.messages = messages;
                        state
                    }
                    Poll::Ready(Err(error)) => {
                        tracing::error!(%error, "a live view ended; this is a bug in Forebay");
                        State::Ended
                    }
                },
            };
        }
    }
}

/// Which calls a query asks for. Errors: [`NoRoute::Query`].
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
