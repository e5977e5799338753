//! Forwarding to another tracking endpoint: calls are posted to its `/v1/batch` as the SDK sent them.
//!
//! A line becomes a call again: `timestamp` is what the SDK sent, and what the collector added is left out,
//! so that a call that this collector took is not too long for the next. A receiver corrects the client's
//! clock by `sentAt` and the time at which it receives a call, so `sentAt` moves by how long the call waited
//! here: the receiver then comes to the same `timestamp` as the collector did. What stays of the collector's
//! is what another one cannot know: the messageId and the time of a call that had none, and the client's
//! address and agent in `context`. A call that is too long with them is sent in a batch of its own, which has
//! its `context`, `integrations` and `sentAt`: a receiver merges those of a batch into each call, after it
//! has measured the call.
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
    "type", "messageId", "originalTimestamp", "sentAt", "receivedAt", "timestamp", "context", "integrations",
    "channel", "projectId", "version",
];
/// What a batch can have for all of its calls (Segment HTTP API, "Batch").
const SHARED: [&str; 3] = ["context", "integrations", "sentAt"];
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
    /// Errors: the system's trusted certificates cannot be read, or the write key cannot be sent.
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
        let is_alone = outgoing.calls.len() == 1;
        let mut body = br#"{"batch":["#.to_vec();
        let mut shared = Vec::new();
        for (index, call) in outgoing.calls.iter().enumerate() {
            let line = std::str::from_utf8(&call.line).ok();
            let Some(sent) = line.and_then(|line| as_sent(line, now, is_alone)) else {
                return Invoked::failed(Class::BadRequest, "the stored line is no JSON object");
            };
            if index > 0 {
                body.push(b',');
            }
            body.extend_from_slice(sent.call.as_bytes());
            shared.extend(sent.shared);
        }
        body.push(b']');
        for member in shared {
            body.push(b',');
            body.extend_from_slice(member.as_bytes());
        }
        body.push(b'}');
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

    fn goes_alone(&self, line: &[u8]) -> bool {
        is_long(line)
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

/// The calls that a receiver refused although it answered 2xx. Errors: it refused all, with its reason.
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

/// A call as it is sent.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sent {
    call: String,
    /// Members of the batch, which the receiver merges into its only call.
    shared: Vec<String>,
}

/// A stored line as its SDK would send it at `now`. `None` if it is no object.
fn as_sent(line: &str, now: UnixMillis, is_alone: bool) -> Option<Sent> {
    let whole = written(line, now, Length::Any)?;
    if !is_alone || !is_long(whole.call.as_bytes()) {
        return Some(whole);
    }
    let shared = written(line, now, Length::Long)?;
    if is_long(shared.call.as_bytes()) { written(line, now, Length::Longest) } else { Some(shared) }
}

/// Whether a receiver may refuse so long a call.
fn is_long(call: &[u8]) -> bool {
    call.len() > Limits::default().max_event
}

/// What is left out of a call that would be too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Length {
    /// Nothing is left out.
    Any,
    /// Members that a batch can have in place of the call.
    Long,
    /// The same, and the time of receipt that stands for the time of a call without one.
    Longest,
}

/// How many members at the end of a line may be the collector's, which it adds in this order.
fn added(members: &Members<'_>) -> usize {
    let mut order = ADDED.iter().rev();
    members.0.iter().rev().take_while(|(name, _)| order.any(|added| *added == &**name)).count()
}

fn written(line: &str, now: UnixMillis, length: Length) -> Option<Sent> {
    let members = Members::of(line)?;
    let time = |name: &str| timestamp::parse(members.text(name)?.as_bytes());
    let waited = time("receivedAt").map_or(Duration::ZERO, |received| now.since(received));
    let original = members.get("originalTimestamp");
    let added_from = members.0.len() - added(&members);
    let received = members.get("receivedAt").map(RawValue::get);
    let is_once = |name: &str| members.0.iter().filter(|(known, _)| known == name).count() == 1;
    let mut shared = Vec::new();
    let mut parts = Vec::with_capacity(members.0.len());
    for (index, (name, value)) in members.0.iter().enumerate() {
        let is_added = index >= added_from;
        let value: Cow<'_, str> = match &**name {
            "receivedAt" | "originalTimestamp" | "projectId" => continue,
            "channel" | "version" if is_added => continue,
            "context" | "integrations" if is_added && value.get() == "{}" => continue,
            // A receiver without `sentAt` corrects no time, which has the same result.
            "sentAt" if is_added && Some(value.get()) == received => continue,
            "timestamp" if is_added && length == Length::Longest => continue,
            "timestamp" => original.unwrap_or(value).get().into(),
            "sentAt" => match time("sentAt") {
                Some(sent) => format!("\"{}\"", rfc3339(sent.plus(waited))).into(),
                None => continue,
            },
            _ => value.get().into(),
        };
        let is_whole = || value.starts_with('{') || name == "sentAt";
        let is_shared = length != Length::Any && SHARED.contains(&&**name) && is_whole() && is_once(name);
        let part = format!("{}:{value}", serde_json::Value::from(&**name));
        if is_shared { shared.push(part) } else { parts.push(part) }
    }
    Some(Sent { call: format!("{{{}}}", parts.join(",")), shared })
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
        let sent = as_sent(line, hour_later, false).unwrap().call;
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
            as_sent(whole, hour_later, true).unwrap().call,
            r#"{"channel":"mine","type":"track","context":{},"messageId":"m","timestamp":"2026-11-20T12:00:12.000Z"}"#
        );
        assert_eq!(as_sent("[]", hour_later, true), None);
        assert_eq!(as_sent(r#"{"sentAt":"odd"}"#, hour_later, true).unwrap().call, "{}");
    }

    /// A context of the whole batch, and the client's own address, were left out.
    #[test]
    fn a_long_call_has_its_context_in_a_batch_of_its_own() {
        let now = timestamp::parse(b"2026-11-20T13:00:12.000Z").unwrap();
        let line = |pad: usize, context: &str| {
            format!(
                concat!(
                    r#"{{"type":"track","pad":"{}","context":{},"messageId":"m","receivedAt":"2026-11-20T12:00:12.000Z","#,
                    r#""timestamp":"2026-11-20T12:00:12.000Z","integrations":{{"a":1}},"channel":"client"}}"#
                ),
                "p".repeat(pad),
                context,
            )
        };
        let all = r#"{"campaign":{},"ip":"203.0.113.7","userAgent":"x"}"#;
        let short = as_sent(&line(10, all), now, true).unwrap();
        assert!(short.shared.is_empty() && short.call.contains(all), "{short:?}");
        for (pad, rest) in [
            (32_688, r#","messageId":"m","timestamp":"2026-11-20T12:00:12.000Z"}"#),
            (32_689, r#","messageId":"m"}"#),
        ] {
            let long = as_sent(&line(pad, all), now, true).unwrap();
            assert_eq!(long.shared, [format!("\"context\":{all}"), r#""integrations":{"a":1}"#.to_owned()]);
            assert!(long.call.ends_with(&format!("p\"{rest}")) && !is_long(long.call.as_bytes()), "{pad}");
        }
        let sent =
            line(32_688, all).replace(r#""channel""#, r#""sentAt":"2026-11-20T12:00:02.000Z","channel""#);
        let long = as_sent(&sent, now, true).unwrap();
        assert_eq!(long.shared.last().unwrap(), r#""sentAt":"2026-11-20T13:00:02.000Z""#);
        assert!(!is_long(long.call.as_bytes()));
        // What a batch cannot have stays, as in a batch of several.
        let odd = as_sent(&line(32_700, "5"), now, true).unwrap();
        assert!(odd.call.contains(r#""context":5"#) && odd.shared.len() == 1, "{:?}", odd.shared);
        let twice = as_sent(&line(32_700, r#"{"a":1},"context":{"b":2}"#), now, true).unwrap();
        assert!(twice.call.contains(r#""context":{"a":1},"context":{"b":2}"#), "{:?}", twice.shared);
        let beside_others = as_sent(&line(32_700, all), now, false).unwrap();
        assert!(beside_others.shared.is_empty() && beside_others.call.contains(all));
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
