//! Forwarding to another tracking endpoint: calls are posted to its `/v1/batch` as the SDK sent them.
//!
//! A line becomes a call again: `timestamp` is what the SDK sent, and what the collector added is left out. A receiver
//! corrects the client's clock by `sentAt` and the time at which it receives a call, so `sentAt` moves by how long the call
//! waited here: the receiver then comes to the same `timestamp` as the collector did.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, HeaderValue};

use super::class::Class;
use super::invoke::{Invoke, Invoked, Outgoing};
use super::secrets::Secrets;
use super::settings::SecretText;
use super::web_post::{BEGINNING, WebPost};
use crate::boxed_future::BoxFuture;
use crate::call::timestamp;
use crate::json::Members;
use crate::time::{Clock, UnixMillis};
use crate::words::date::rfc3339;

/// The route for batches (Segment HTTP API, "Batch").
const ROUTE: &str = "/v1/batch";

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
                return Invoked::failed(Class::BadRequest, "the stored line is no JSON object".to_owned());
            };
            if index > 0 {
                body.push(b',');
            }
            body.extend_from_slice(sent.as_bytes());
        }
        body.extend_from_slice(b"]}");
        let authorization = Some((AUTHORIZATION, self.authorization.clone()));
        self.post.send(&self.to, authorization, body.into(), BEGINNING).await.0
    }
}

impl Invoke for Forward {
    fn invoke<'a>(&'a self, outgoing: &'a Outgoing) -> BoxFuture<'a, Invoked> {
        Box::pin(self.send(outgoing))
    }
}

/// A stored line as its SDK would send it at `now`. `None` if it is no object.
fn as_sent(line: &str, now: UnixMillis) -> Option<String> {
    let members = Members::of(line)?;
    let time = |name: &str| timestamp::parse(members.text(name)?.as_bytes());
    let waited = time("receivedAt").map_or(Duration::ZERO, |received| now.since(received));
    let original = members.get("originalTimestamp");
    let mut parts = Vec::with_capacity(members.0.len());
    for (name, value) in &members.0 {
        let value: Cow<'_, str> = match &**name {
            "receivedAt" | "originalTimestamp" => continue,
            "timestamp" => original.unwrap_or(value).get().into(),
            "sentAt" => match time("sentAt") {
                Some(sent) => format!("\"{}\"", rfc3339(sent.plus(waited))).into(),
                None => continue,
            },
            _ => value.get().into(),
        };
        parts.push(format!("{}:{value}", serde_json::Value::from(&**name)));
    }
    Some(format!("{{{}}}", parts.join(",")))
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
        assert_eq!(as_sent("[]", hour_later), None);
        assert_eq!(as_sent(r#"{"sentAt":"odd"}"#, hour_later).unwrap(), "{}");
    }
}
