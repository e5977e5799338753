//! What a search found, in words. Pure.

use super::found::{Found, FoundCall, FoundPlace, Searched};
use crate::time::UnixMillis;
use crate::words::{
    about_bytes, about_seconds, counted, grouped, outside_key, outside_message, outside_text, rfc3339,
};

impl Found {
    /// The whole answer as lines, each with a line feed. `now_ms`: the time at which it is read.
    pub fn text(&self, now_ms: i64) -> String {
        let mut lines: Vec<String> = self.calls.iter().flat_map(|call| call.lines(now_ms)).collect();
        if self.more {
            lines
                .push(format!("and more: the {} that came last are shown", grouped(self.calls.len() as u64)));
        }
        if self.calls.is_empty() {
            lines.push("not found: no such call in what was searched".to_owned());
            lines.extend(
                self.refused.first().map(|_| "Requests that were refused, and may have held it:".to_owned()),
            );
            for group in &self.refused {
                let requests = counted(group.requests, "request", "requests");
                let ago = about_seconds(seconds(now_ms, group.last.0));
                lines.push(format!("  {requests} with {}, the last {ago} ago", group.in_words()));
                lines.push(format!("    {}", group.advice()));
            }
        }
        lines.extend(self.searched.lines());
        lines.iter().map(|line| format!("{line}\n")).collect()
    }
}

impl FoundCall {
    fn lines(&self, now_ms: i64) -> [String; 2] {
        let Self { source, stream, kind, name, user, message_id, received_at_ms, reason, place } = self;
        let mut what = outside_text(if kind.is_empty() { stream } else { kind }).to_string();
        let optional = [("", name), ("user ", user), ("messageId ", message_id)];
        for (label, value) in optional {
            what.extend(value.iter().map(|value| format!(", {label}{}", outside_text(value))));
        }
        let rejected = reason.iter().map(|reason| format!("; rejected: {}", outside_text(reason)));
        let rejected: String = rejected.collect();
        let received = rfc3339(UnixMillis(*received_at_ms));
        let source = outside_text(source);
        [
            format!("{what}; of {source}, received {received}{rejected}"),
            format!("  {}", place.in_words(now_ms)),
        ]
    }
}

impl FoundPlace {
    /// Where the call is, as a text.
    pub fn in_words(&self, now_ms: i64) -> String {
        match self {
            Self::Waiting { position, batch_lines, due_ms } => {
                let lines = counted(*batch_lines, "line", "lines");
                let due = match seconds(*due_ms, now_ms) {
                    0 => "which is due now".to_owned(),
                    left => format!("which is due in {} at the latest", about_seconds(left)),
                };
                format!("in the spool at position {position}, in a batch of {lines} {due}")
            }
            Self::Sealed { object, line, parked, waiting } => {
                let parked = if *parked { ", in a file of its own" } else { "" };
                let why =
                    waiting.as_deref().map_or_else(String::new, |why| format!(": {}", outside_message(why)));
                format!("sealed, line {line} of {}, not in the store yet{parked}{why}", outside_key(object))
            }
            Self::Delivered { bucket, key, line, delivered_at_ms } => {
                let ago = about_seconds(seconds(now_ms, *delivered_at_ms));
                let (bucket, key) = (outside_key(bucket), outside_key(key));
                format!("delivered {ago} ago: line {line} of s3://{bucket}/{key}")
            }
            Self::Stored => {
                "stored, and no longer in the spool: its object is not among those that were searched, \
                 or was delivered just now; search again, or use `forebay receipt RECEIPT`"
                    .to_owned()
            }
            Self::Repeat => "a repeat of a call that was stored before: it is not stored again".to_owned(),
        }
    }
}

impl Searched {
    fn lines(&self) -> Vec<String> {
        let Self { live_calls, spool_bytes, objects, object_bytes, left_out, denied } = self;
        let live = counted(*live_calls, "call", "calls");
        let spool = about_bytes(*spool_bytes);
        let objects = counted(*objects, "object", "objects");
        let object_bytes = about_bytes(*object_bytes);
        let mut lines = vec![format!(
            "Searched: {live} in the live view's memory, {spool} of lines in the spool, {objects} of the last hour \
             ({object_bytes})"
        )];
        lines.extend(left_out.iter().map(|what| format!("Not searched: {}", outside_message(what))));
        if let Some(denied) = denied {
            let whom = outside_text(&denied.whom);
            lines.push(format!("This statement in the policy of {whom} lets the node read objects:"));
            lines.extend(denied.statement.lines().map(|line| outside_text(line).to_string()));
        }
        lines
    }
}

/// Whole seconds from one time to a later one.
fn seconds(later_ms: i64, earlier_ms: i64) -> u64 {
    u64::try_from(later_ms.saturating_sub(earlier_ms) / 1_000).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::Denied;
    use crate::live::RefusedGroup;

    #[test]
    fn each_place_says_where_the_call_is() {
        let check = |place: FoundPlace, words: &str| assert_eq!(place.in_words(100_000), words);
        check(
            FoundPlace::Waiting { position: 7, batch_lines: 1_200, due_ms: 161_000 },
            "in the spool at position 7, in a batch of 1,200 lines which is due in 1 min 1 s at the latest",
        );
        check(
            FoundPlace::Sealed {
                object: "lake/k.gz".into(),
                line: 3,
                parked: true,
                waiting: Some("403 AccessDenied".into()),
            },
            "sealed, line 3 of lake/k.gz, not in the store yet, in a file of its own: 403 AccessDenied",
        );
        check(
            FoundPlace::Delivered {
                bucket: "lake".into(),
                key: "k.gz".into(),
                line: 17,
                delivered_at_ms: 95_000,
            },
            "delivered 5 s ago: line 17 of s3://lake/k.gz",
        );
    }

    #[test]
    fn a_call_that_never_came_names_refused_requests_and_what_was_not_searched() {
        let group = RefusedGroup {
            status: 401,
            cause: "no_write_key".into(),
            method: "POST".into(),
            route: "/v1/t".into(),
            message: "none".into(),
            remedy: "send one".into(),
            requests: 2,
            ..RefusedGroup::default()
        };
        let denied = Denied { error: "403".into(), statement: "{\n}".into(), whom: "the role r".into() };
        let searched =
            Searched { left_out: vec!["an object".into()], denied: Some(denied), ..Searched::default() };
        let found = Found { refused: vec![group], searched, ..Found::default() };
        assert_eq!(
            found.text(1_000),
            "not found: no such call in what was searched
Requests that were refused, and may have held it:
  2 requests with 401 no_write_key, POST /v1/t, a client without a name, the last 1 s ago
    none. To change: send one
Searched: 0 calls in the live view's memory, 0 B of lines in the spool, 0 objects of the last hour (0 B)
Not searched: an object
This statement in the policy of the role r lets the node read objects:
{
}
"
        );
    }
}
