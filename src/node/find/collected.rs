//! The calls that a search has found so far: the newest ones. Pure.

use std::collections::{HashMap, hash_map::Entry};
use std::hash::{DefaultHasher, Hasher as _};

use crate::admin::{FOUND_MAX, FoundCall, FoundPlace};
use crate::json::Members;
use crate::live::head::Head;
use crate::object::Stream;
use crate::receipt::without_position;
use crate::sources::SourceId;
use crate::time::UnixMillis;
use crate::words::date::parse_rfc3339;

/// Calls that were found, at most twice as many as are shown.
#[derive(Debug)]
pub(super) struct Collected {
    calls: Vec<(FoundCall, Name)>,
    more: bool,
    /// Whether nothing is hidden.
    full: bool,
}

/// What distinguishes a call from others of its request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Name {
    MessageId(String),
    /// The digest of a line without a messageId, as rejected items may be. Several lines may be the same.
    Line(u64),
}

/// A line that fits, and what its request was.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line<'l> {
    pub(super) source: &'l SourceId,
    pub(super) stream: &'l Stream,
    pub(super) text: &'l [u8],
    /// When it was received, if that is known from elsewhere than the line.
    pub(super) received_at: Option<UnixMillis>,
}

impl Collected {
    pub(super) fn new(full: bool) -> Self {
        Self { calls: Vec::new(), more: false, full }
    }

    /// Adds a call.
    pub(super) fn add(&mut self, line: Line<'_>, place: FoundPlace) {
        let call = found(line, place, self.full);
        let name = match &call.message_id {
            Some(id) => Name::MessageId(id.clone()),
            None => Name::Line(digest(line.text)),
        };
        self.calls.push((call, name));
        if self.calls.len() >= 2 * FOUND_MAX {
            self.keep_newest();
        }
    }

    fn keep_newest(&mut self) {
        let mut known = HashMap::new();
        // A call that moved on during the search was found where it was, and where it is: the later place
        // counts. What the live view saw of a call says least.
        self.calls.sort_by_key(|(call, _)| std::cmp::Reverse((call.received_at_ms, progress(&call.place))));
        self.calls.retain(|(call, name)| {
            let FoundCall { source, stream, received_at_ms, place, .. } = call;
            let is_repeat = *place == FoundPlace::Repeat;
            match known.entry((source.clone(), stream.clone(), name.clone(), *received_at_ms, is_repeat)) {
                Entry::Vacant(first) => {
                    first.insert(progress(place));
                    true
                }
                // Lines of one request that are the same are as far on their way.
                Entry::Occupied(first) => matches!(name, Name::Line(_)) && *first.get() == progress(place),
            }
        });
        self.more |= self.calls.len() > FOUND_MAX;
        self.calls.truncate(FOUND_MAX);
    }

    /// The newest ones, and whether there are more.
    pub(super) fn newest(mut self) -> (Vec<FoundCall>, bool) {
        self.keep_newest();
        (self.calls.into_iter().map(|(call, _)| call).collect(), self.more)
    }
}

/// The digest of a line without its position, which the live view does not know.
fn digest(line: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(&without_position(line));
    hasher.finish()
}

/// How far a call is on its way.
fn progress(place: &FoundPlace) -> u8 {
    match place {
        FoundPlace::Repeat => 0,
        FoundPlace::Stored => 1,
        FoundPlace::Waiting { .. } => 2,
        FoundPlace::Sealed { .. } => 3,
        FoundPlace::Delivered { .. } => 4,
    }
}

fn found(line: Line<'_>, place: FoundPlace, full: bool) -> FoundCall {
    let Line { source, stream, text, received_at } = line;
    let text = String::from_utf8_lossy(text);
    let (rejected, object_set) = (*stream == Stream::Rejected, matches!(stream, Stream::Objects(_)));
    let head = Head::of(&text, rejected, object_set);
    let shown = head.shown(stream, full);
    let (message_id, written_at) = identity(&text, rejected);
    FoundCall {
        source: source.to_string(),
        stream: stream.to_string(),
        kind: shown.kind.to_owned(),
        name: shown.name.map(str::to_owned),
        user: shown.user.map(str::to_owned),
        message_id,
        received_at_ms: received_at.or(written_at).map_or(0, |at| at.0),
        reason: head.reason.clone(),
        place,
    }
}

/// The message id, and `receivedAt`.
fn identity(text: &str, rejected: bool) -> (Option<String>, Option<UnixMillis>) {
    let Some(line) = Members::of(text) else { return (None, None) };
    let item = if rejected { line.members("value") } else { None };
    let message_id = item.as_ref().unwrap_or(&line).text("messageId");
    (message_id, line.text("receivedAt").and_then(|at| parse_rfc3339(&at)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(collected: &mut Collected, id: u64, received: i64, place: FoundPlace) {
        let source = SourceId::new("web").unwrap();
        let text = format!(r#"{{"type":"track","event":"e","userId":"u","messageId":"m{id}"}}"#);
        let line = Line {
            source: &source,
            stream: &Stream::Calls,
            text: text.as_bytes(),
            received_at: Some(UnixMillis(received)),
        };
        collected.add(line, place);
    }

    fn delivered() -> FoundPlace {
        FoundPlace::Delivered { bucket: "lake".into(), key: "k".into(), line: 1, delivered_at_ms: 9 }
    }

    #[test]
    fn a_call_that_moved_on_is_found_once_where_it_is() {
        let mut collected = Collected::new(true);
        add(&mut collected, 1, 5, FoundPlace::Stored);
        add(&mut collected, 1, 5, FoundPlace::Waiting { position: 1, batch_lines: 1, due_ms: 7 });
        add(&mut collected, 1, 5, delivered());
        add(&mut collected, 1, 6, FoundPlace::Repeat);
        add(&mut collected, 2, 5, FoundPlace::Stored);
        let (calls, more) = collected.newest();
        let places: Vec<_> = calls.iter().map(|call| (call.message_id.as_deref(), &call.place)).collect();
        assert_eq!(
            places,
            [
                (Some("m1"), &FoundPlace::Repeat),
                (Some("m1"), &delivered()),
                (Some("m2"), &FoundPlace::Stored)
            ]
        );
        assert!(!more && calls[0].user.as_deref() == Some("u"));
    }

    /// It was listed as delivered, and once more as stored.
    #[test]
    fn a_rejected_item_without_a_message_id_is_found_once() {
        let mut collected = Collected::new(true);
        let source = SourceId::new("web").unwrap();
        let mut position = 40_u64;
        let mut add = |user: &str, place: FoundPlace| {
            let mut text = format!(
                r#"{{"reason":"r","receivedAt":"1970-01-01T00:00:00.005Z","value":{{"userId":"{user}"}}}}"#
            );
            let received_at = (place == FoundPlace::Stored).then_some(UnixMillis(5));
            // With receipts a line has its position, which the live view does not know.
            if place != FoundPlace::Stored {
                position += 1;
                text.pop();
                text.push_str(&format!(r#","forebayPosition":"{position:020}"}}"#));
            }
            let line =
                Line { source: &source, stream: &Stream::Rejected, text: text.as_bytes(), received_at };
            collected.add(line, place);
        };
        for (user, place) in
            [("79", FoundPlace::Stored), ("79", FoundPlace::Stored), ("80", FoundPlace::Stored)]
        {
            add(user, place);
        }
        // Two items of the request may be the same.
        add("79", delivered());
        add("79", delivered());
        let (calls, _) = collected.newest();
        let mut places: Vec<_> = calls.iter().map(|call| (call.user.as_deref(), &call.place)).collect();
        places.sort_by_key(|(user, _)| *user);
        let (delivered, stored) = (delivered(), FoundPlace::Stored);
        assert_eq!(places, [(Some("79"), &delivered), (Some("79"), &delivered), (Some("80"), &stored)]);
    }

    #[test]
    fn the_newest_are_kept_and_users_are_hidden() {
        let mut collected = Collected::new(false);
        for id in 0..1_000 {
            add(&mut collected, id, i64::try_from(id).unwrap(), delivered());
        }
        let (calls, more) = collected.newest();
        assert_eq!((calls.len(), more, calls[0].received_at_ms), (FOUND_MAX, true, 999));
        assert!(calls.iter().all(|call| call.user.is_none() && call.name.as_deref() == Some("e")));
    }
}
