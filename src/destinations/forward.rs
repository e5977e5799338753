//! Forwarding to another tracking endpoint: calls are posted to its `/v1/batch` as the SDK sent them.
//!
//! A line becomes a call again: `timestamp` is what the SDK sent, and what the collector added is left out, so that a call that
//! this collector took is not too long for the next. A receiver corrects the client's clock by `sentAt` and the time at which
//! it receives a call, so `sentAt` moves by how long the call waited here: the receiver then comes to the same `timestamp` as
//! the collector did. What stays of the collector's is what another one cannot know: the messageId and the time of a call that
//! had none, and the client's address and agent in `context`. A call that only these make too long goes without time, address
//! and agent.
//!
//! A batch is answered as a whole. Which of its calls were refused, a receiver says if it is asked and can.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::class::Class;
use super::invoke::{Invoke, Invoked, Outgoing};
use super::secrets::Secrets;
use super::settings::SecretText;
use super::web_post::{NAMES, WebPost};
use crate::boxed_future::BoxFuture;
use crate::call::{Limits, timestamp};
use crate::json::Members;
use crate::time::{Clock, UnixMillis};
use crate::words::Told;
use crate::words::date::rfc3339;

/// The route for batches (Segment HTTP API, "Batch").
const ROUTE: &str = "/v1/batch";
/// What a collector adds to a call that lacks it, in the order in which it does (`call/line.rs`).
const ADDED: [&str; 11] = [
    "type",
    "messageId",
    "originalTimestamp",
    "sentAt",
    "receivedAt",
    "timestamp",
    "context",
    "integrations",
    "channel",
    "projectId",
    "version",
];
/// Asks a receiver that can for the calls that it refused (`collector/reply.rs`).
const NAMES_REJECTED: HeaderName = HeaderName::from_static("x-forebay-name-rejected");

/// Another tracking endpoint.
#[derive(Clone, Debug)]
pub struct Forward {
    to: String,
    authorization: HeaderValue,
    post: WebPost,
    clock: Arc<dyn Clock>,
}

impl Forward {
    /// An endpoint, without the route. Answers are waited for as long as `timeout`.
    ///
    /// # Errors
    /// The system's trusted certificates cannot be read, or the write key cannot be sent.
    pub fn new(
        to: &str,
        write_key: &SecretText,
        timeout: Duration,
        clock: Arc<dyn Clock>,
    ) -> std::io::Result<Self> {
        let basic = STANDARD.encode(format!("{}:", write_key.0));
        let secrets = Secrets::of_address(to).and(&write_key.0).and(&basic);
        let mut authorization =
            HeaderValue::try_from(format!("Basic {basic}")).map_err(std::io::Error::other)?;
        authorization.set_sensitive(true);
        Ok(Self { to: format!("{to}{ROUTE}"), authorization, post: WebPost::new(timeout, secrets)?, clock })
    }

    async fn send(&self, outgoing: &Outgoing) -> Invoked {
        let now = self.clock.wall();
        let mut body = br#"{"batch":["#.to_vec();
        for (index, call) in outgoing.calls.iter().enumerate() {
            let line = std::str::from_utf8(&call.line).ok();
            let Some(sent) = line.and_then(|line| as_sent(line, now)) else {
                return Invoked::failed(Class::BadRequest, "the stored line is no JSON object");
            };
            if index > 0 {
                body.push(b',');
            }
            body.extend_from_slice(sent.as_bytes());
        }
        body.extend_from_slice(b"]}");
        let headers =
            [(AUTHORIZATION, self.authorization.clone()), (NAMES_REJECTED, HeaderValue::from_static("1"))];
        let (mut invoked, answer) = self.post.send(&self.to, headers, body.into(), NAMES).await;
        if invoked.result.is_ok()
            && let Some(answer) = answer
        {
            match refused(&answer, outgoing.calls.len()) {
                Ok(refused) => invoked.refused = refused,
                Err(what) => {
                    invoked.result =
                        Invoked::failed(Class::BadRequest, what.map(|said| self.post.shown(said))).result
                }
            }
        }
        invoked
    }
}

impl Invoke for Forward {
    fn invoke<'a>(&'a self, outgoing: &'a Outgoing) -> BoxFuture<'a, Invoked> {
        Box::pin(self.send(outgoing))
    }
}

/// The answer of a receiver that names what it refused.
#[derive(Deserialize)]
struct Answer {
    success: Option<bool>,
    #[serde(default)]
    rejected: Vec<Rejected>,
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
struct Rejected {
    index: usize,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    message: String,
}

/// The calls that a receiver refused although it answered 2xx.
///
/// # Errors
/// It refused all, with its reason.
fn refused(answer: &[u8], calls: usize) -> Result<Vec<(usize, Told)>, Told> {
    // An answer of another form says nothing about single calls.
    let Ok(answer) = serde_json::from_slice::<Answer>(answer) else { return Ok(Vec::new()) };
    if answer.success == Some(false) {
        let what = Told::plain("the other side answered that it failed: ");
        return Err(what.and(&answer.message.into()));
    }
    let refused = answer.rejected.into_iter().filter(|rejected| rejected.index < calls);
    let why = |one: Rejected| {
        let what = Told::plain("the other side refused it (").and(&Told::word(&one.reason));
        (one.index, what.and(&"): ".into()).and(&one.message.into()))
    };
    Ok(refused.map(why).collect())
}

/// A stored line as its SDK would send it at `now`. `None` if it is no object.
fn as_sent(line: &str, now: UnixMillis) -> Option<String> {
    let whole = written(line, now, false)?;
    if whole.len() <= Limits::default().max_event { Some(whole) } else { written(line, now, true) }
}

/// How many members at the end of a line may be the collector's, which it adds in this order.
fn added(members: &Members<'_>) -> usize {
    let mut order = ADDED.iter().rev();
    members.0.iter().rev().take_while(|(name, _)| order.any(|added| *added == &**name)).count()
}

/// `is_brief`: without what only helps the receiver.
fn written(line: &str, now: UnixMillis, is_brief: bool) -> Option<String> {
    let members = Members::of(line)?;
    let time = |name: &str| timestamp::parse(members.text(name)?.as_bytes());
    let waited = time("receivedAt").map_or(Duration::ZERO, |received| now.since(received));
    let original = members.get("originalTimestamp");
    let added_from = members.0.len() - added(&members);
    let received = members.get("receivedAt").map(RawValue::get);
    // The collector fills in nothing for calls of servers.
    let may_be_filled = members.text("channel").is_some_and(|channel| channel == "client");
    let mut parts = Vec::with_capacity(members.0.len());
    for (index, (name, value)) in members.0.iter().enumerate() {
        let is_added = index >= added_from;
        let value: Cow<'_, str> = match &**name {
            "receivedAt" | "originalTimestamp" | "projectId" => continue,
            "channel" | "version" if is_added => continue,
            "integrations" if is_added && value.get() == "{}" => continue,
            // Without it a time is not corrected, which is the same.
            "sentAt" if is_added && Some(value.get()) == received => continue,
            "timestamp" if is_added && is_brief => continue,
            "timestamp" => original.unwrap_or(value).get().into(),
            "sentAt" => match time("sentAt") {
                Some(sent) => format!("\"{}\"", rfc3339(sent.plus(waited))).into(),
                None => continue,
            },
            _ => value.get().into(),
        };
        let value = match &*value {
            context if is_brief && may_be_filled && &**name == "context" => without_fills(context).into(),
            _ => value,
        };
        if is_added && &**name == "context" && value == "{}" {
            continue;
        }
        parts.push(format!("{}:{value}", serde_json::Value::from(&**name)));
    }
    Some(format!("{{{}}}", parts.join(",")))
}

/// A `context` without the client's address and agent, if they stand at its end, where the collector adds them.
fn without_fills(context: &str) -> String {
    let Some(mut members) = Members::of(context) else { return context.to_owned() };
    for name in ["userAgent", "ip"] {
        if members.0.last().is_some_and(|(last, _)| last == name) {
            members.0.pop();
        }
    }
    let parts =
        members.0.iter().map(|(name, value)| format!("{}:{}", serde_json::Value::from(&**name), value.get()));
    format!("{{{}}}", parts.collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::timestamp::corrected;

    #[test]
    fn a_line_is_sent_as_the_sdk_sent_it_and_a_receiver_finds_the_same_time() {
        // The client's clock is 10 s behind; the call reached the collector 2 s after it happened.
        let line = r#"{"type":"track","n":1.50,"timestamp":"2026-11-20T12:00:10.000Z","originalTimestamp":"2026-11-20T12:00:00.000Z","sentAt":"2026-11-20T12:00:02.000Z","receivedAt":"2026-11-20T12:00:12.000Z","messageId":"m"}"#;
        let hour_later = timestamp::parse(b"2026-11-20T13:00:12.000Z").unwrap();
        let sent = as_sent(line, hour_later).unwrap();
        assert_eq!(
            sent,
            r#"{"type":"track","n":1.50,"timestamp":"2026-11-20T12:00:00.000Z","sentAt":"2026-11-20T13:00:02.000Z","messageId":"m"}"#
        );
        let parse = |text: &[u8]| timestamp::parse(text);
        let there =
            corrected(hour_later, parse(b"2026-11-20T13:00:02.000Z"), parse(b"2026-11-20T12:00:00.000Z"));
        assert_eq!(Some(there), parse(b"2026-11-20T12:00:10.000Z"));
        // The collector's members are left out, but not those that the client sent.
        let whole = concat!(
            r#"{"channel":"mine","type":"track","context":{},"messageId":"m","originalTimestamp":"2026-11-20T12:00:12.000Z","#,
            r#""sentAt":"2026-11-20T12:00:12.000Z","receivedAt":"2026-11-20T12:00:12.000Z","#,
            r#""timestamp":"2026-11-20T12:00:12.000Z","integrations":{},"projectId":"web","version":2}"#
        );
        assert_eq!(
            as_sent(whole, hour_later).unwrap(),
            r#"{"channel":"mine","type":"track","context":{},"messageId":"m","timestamp":"2026-11-20T12:00:12.000Z"}"#
        );
        assert_eq!(as_sent("[]", hour_later), None);
        assert_eq!(as_sent(r#"{"sentAt":"odd"}"#, hour_later).unwrap(), "{}");
    }

    #[test]
    fn a_long_call_goes_without_what_only_helps_the_receiver() {
        let now = timestamp::parse(b"2026-11-20T13:00:12.000Z").unwrap();
        let line = |len: usize| {
            format!(
                concat!(
                    r#"{{"type":"track","pad":"{}","context":{{"a":1,"ip":"203.0.113.7","userAgent":"x"}},"messageId":"m","#,
                    r#""receivedAt":"2026-11-20T12:00:12.000Z","timestamp":"2026-11-20T12:00:12.000Z","channel":"client"}}"#
                ),
                "p".repeat(len)
            )
        };
        assert!(
            as_sent(&line(10), now).unwrap().contains(r#""userAgent":"x"},"messageId":"m","timestamp":"#)
        );
        let long = as_sent(&line(32_700), now).unwrap();
        assert!(
            long.ends_with(r#""context":{"a":1},"messageId":"m"}"#) && long.len() <= 32_768,
            "{}",
            long.len()
        );
    }

    /// A context of the whole batch, and the address that a server names, were left out.
    #[test]
    fn a_long_call_keeps_what_the_client_may_have_sent() {
        let now = timestamp::parse(b"2026-11-20T13:00:12.000Z").unwrap();
        let line = |context: &str, channel: &str| {
            format!(
                concat!(
                    r#"{{"type":"track","pad":"{}","messageId":"m","receivedAt":"2026-11-20T12:00:12.000Z","#,
                    r#""timestamp":"2026-11-20T12:00:12.000Z","context":{},"channel":"{}"}}"#
                ),
                "p".repeat(32_700),
                context,
                channel
            )
        };
        let (own, all) = (r#"{"campaign":{}}"#, r#"{"campaign":{},"ip":"203.0.113.7","userAgent":"x"}"#);
        for (channel, stored, kept) in [
            ("client", all, own),
            ("client", own, own),
            ("server", all, all),
            ("server", own, own),
            ("client", r#"{"ip":"203.0.113.7"}"#, ""),
        ] {
            let sent = as_sent(&line(stored, channel), now).unwrap();
            let rest = if kept.is_empty() { String::new() } else { format!(r#","context":{kept}"#) };
            assert!(sent.ends_with(&format!(r#""messageId":"m"{rest}}}"#)), "{channel}, {stored}");
        }
    }

    #[test]
    fn an_answer_may_name_the_calls_that_it_refused() {
        let said = |text: &str| refused(text.as_bytes(), 2);
        for other in ["", "ok", "[]", r#"{"success":true}"#, r#"{"rejected":3}"#] {
            assert_eq!(said(other), Ok(Vec::new()), "{other}");
        }
        let named =
            said(r#"{"success":true,"rejected":[{"index":1,"reason":"event_too_large"},{"index":2}]}"#);
        assert_eq!(
            named,
            Ok(vec![(
                1,
                Told::masked_as(
                    "the other side refused it (event_too_large): ",
                    "the other side refused it (event_too_large): [hidden]"
                )
            )])
        );
        assert!(said(r#"{"success":false,"message":"no"}"#).unwrap_err().full().ends_with("failed: no"));
    }
}
