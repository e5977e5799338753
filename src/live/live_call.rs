//! One sampled call, as viewers get it.

use std::sync::OnceLock;

use serde::Serialize;
use serde_json::value::RawValue;

use super::difference::Difference;
use super::head::{Head, ShownHead};
use super::mask::mask_line;
use super::sample::SampledLine;
use super::seen::is_of_an_sdk;
use crate::call::RejectReason;
use crate::json::{Members, without_escapes};
use crate::object::Stream;
use crate::sources::SourceId;
use crate::time::UnixMillis;

/// The word by which rejected items are filtered.
pub const REJECTED: &str = "rejected";
/// What the JSON of a call has beside its line, in bytes.
const HEAD_BYTES: usize = 400;
/// Bytes that a call takes beside its texts: its head, and the paths added and changed.
const OTHERS_MAX: usize = 8_192;
/// Members of a call's JSON that are searched, beside its line.
const SEARCHED: [&str; 8] = ["source", "stream", "type", "name", "user", "reason", "reason_text", "library"];

/// One sampled call. Its JSON is made when the first viewer asks for it.
#[derive(Debug)]
pub struct LiveCall {
    /// Its number: grows by one with each sampled call of the process.
    pub(super) id: u64,
    at: UnixMillis,
    pub(super) source: SourceId,
    line: SampledLine,
    /// All calls of its request were repeats, which are not stored again.
    repeated: bool,
    /// It was in the list before the viewer came.
    full: bool,
    json: OnceLock<String>,
    searched: OnceLock<String>,
}

/// The JSON of a [`LiveCall`].
#[derive(Serialize)]
struct Shown<'a> {
    id: u64,
    at_ms: i64,
    source: &'a str,
    stream: String,
    #[serde(rename = "type")]
    kind: &'a str,
    name: Option<&'a str>,
    user: Option<&'a str>,
    bytes: usize,
    repeated: bool,
    reason: Option<&'a str>,
    reason_text: Option<&'static str>,
    library: Option<String>,
    line: Option<&'a RawValue>,
    added: &'a [String],
    changed: &'a [String],
}

impl LiveCall {
    pub(super) fn new(
        id: u64,
        (source, at): (SourceId, UnixMillis),
        line: SampledLine,
        repeated: bool,
        full: bool,
    ) -> Self {
        Self { id, at, source, line, repeated, full, json: OnceLock::new(), searched: OnceLock::new() }
    }

    /// The word to filter by: the call's type, `object` or `rejected`.
    pub fn filter_type(&self) -> &str {
        if self.line.stream == Stream::Rejected { REJECTED } else { &self.line.head.kind }
    }

    /// The source, the stream, the stored line if it is short enough, when its request was received, and
    /// whether all calls of that were repeats.
    pub fn stored(&self) -> (&SourceId, &Stream, Option<&str>, UnixMillis, bool) {
        let text = self.line.texts.as_ref().map(|(line, _)| &**line);
        (&self.source, &self.line.stream, text, self.at, self.repeated)
    }

    /// About how many bytes its JSON has.
    pub fn json_bytes(&self) -> usize {
        self.line.texts.as_ref().map_or(0, |(line, _)| line.len()) + HEAD_BYTES
    }

    /// About how many bytes of memory it takes: its texts, its JSON, and what is searched. Hiding can make a
    /// line of short values three times as long.
    pub fn memory(&self) -> usize {
        let texts = self.line.texts.as_ref().map_or(0, |(line, item)| 5 * line.len() + item.len());
        texts + OTHERS_MAX
    }

    /// It as one line of JSON, without personal data unless everything is shown.
    pub fn json(&self) -> &str {
        self.json.get_or_init(|| {
            let made = self.make_json();
            made.unwrap_or_else(|error| {
                tracing::error!(%error, "a call of the live view cannot be shown; this is a bug in Forebay");
                "{}".to_owned()
            })
        })
    }

    /// The text that a filter searches.
    pub fn searched(&self) -> &str {
        self.searched.get_or_init(|| searched(self.json()))
    }

    fn make_json(&self) -> Result<String, serde_json::Error> {
        let SampledLine { stream, bytes, head, texts } = &self.line;
        let difference = match texts {
            Some((line, item)) if !item.is_empty() && *stream != Stream::Rejected => {
                Difference::between(item, line)
            }
            _ => Difference::default(),
        };
        let masked = texts.as_ref().filter(|_| !self.full).map(|(line, _)| mask_line(line, stream));
        let line = masked.as_deref().or_else(|| texts.as_ref().map(|(line, _)| &**line));
        let Head { library, reason, .. } = head;
        let ShownHead { kind, name, user } = head.shown(stream, self.full);
        let reason_text = reason.as_deref().and_then(RejectReason::of_slug).map(RejectReason::why);
        // The client may have written anything there, too.
        let says_library =
            |(name, version): &&(String, String)| self.full || (is_of_an_sdk(name) && is_of_an_sdk(version));
        let library = library
            .as_ref()
            .filter(says_library)
            .map(|(name, version)| format!("{name} {version}").trim().to_owned());
        serde_json::to_string(&Shown {
            id: self.id,
            at_ms: self.at.0,
            source: self.source.as_str(),
            stream: stream.to_string(),
            kind,
            name,
            user,
            bytes: *bytes,
            repeated: self.repeated,
            reason: reason.as_deref(),
            reason_text,
            library,
            line: line.map(serde_json::from_str).transpose()?,
            added: &difference.added,
            changed: &difference.changed,
        })
    }
}

/// The searched text of a call, from its JSON: without escapes and in lower case.
fn searched(json: &str) -> String {
    let Some(members) = Members::of(json) else { return String::new() };
    let mut text = String::with_capacity(json.len());
    for part in SEARCHED.iter().filter_map(|name| members.text(name)) {
        text.push_str(&part.to_lowercase());
        text.push('\n');
    }
    if let Some(line) = members.get("line") {
        let line = without_escapes(line.get()).to_lowercase();
        // A word is found across the end of a line.
        text.extend(line.chars().map(|c| if c.is_control() { ' ' } else { c }));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::sample::Sample;
    use super::*;

    fn shown(stream: Stream, item: &str, line: &str, full: bool) -> serde_json::Value {
        let source = SourceId::new("web").unwrap();
        let mut sample = Sample::new(source.clone(), UnixMillis(7));
        sample.push(stream, line.as_bytes(), Some(item.as_bytes()));
        let call = LiveCall::new(1, (source, UnixMillis(7)), sample.lines.remove(0), false, full);
        serde_json::from_str(call.json()).unwrap()
    }

    #[test]
    fn a_call_shows_its_line_and_what_was_added() {
        let item = r#"{"type":"track","event":"A","userId":"u1","properties":{"n":1.50}}"#;
        let line = r#"{"type":"track","event":"A","userId":"u1","properties":{"n":1.50},"receivedAt":"x"}"#;
        let full = shown(Stream::Calls, item, line, true);
        assert_eq!(
            (&full["user"], &full["name"], &full["type"]),
            (&"u1".into(), &"A".into(), &"track".into())
        );
        assert_eq!((&full["line"]["userId"], &full["added"][0]), (&"u1".into(), &"receivedAt".into()));
        let masked = shown(Stream::Calls, item, line, false);
        assert_eq!(
            (&masked["user"], &masked["line"]["userId"]),
            (&serde_json::Value::Null, &"[hidden]".into())
        );
        assert!(!masked.to_string().contains("u1"), "{masked}");
    }

    #[test]
    fn a_rejected_item_shows_why() {
        let line = r#"{"reason":"unknown_type","value":{"type":"trak","userId":"u1"}}"#;
        let shown = shown(Stream::Rejected, r#"{"type":"trak"}"#, line, false);
        assert_eq!((&shown["type"], &shown["reason"]), (&"trak".into(), &"unknown_type".into()));
        assert!(shown["reason_text"].as_str().unwrap().contains("type"), "{shown}");
        assert_eq!(shown["line"]["value"]["userId"], "[hidden]");
    }

    #[test]
    fn a_type_that_is_no_word_is_hidden() {
        let line = r#"{"reason":"unknown_type","value":{"type":"ann@example.com"}}"#;
        let item = r#"{"type":"ann@example.com"}"#;
        let masked = shown(Stream::Rejected, item, line, false).to_string();
        assert!(!masked.contains("ann@"), "{masked}");
        assert!(shown(Stream::Rejected, item, line, true).to_string().contains("ann@"));
    }

    #[test]
    fn a_long_line_shows_its_head_only() {
        let line = format!(r#"{{"type":"track","event":"A","properties":{{"a":"{}"}}}}"#, "x".repeat(70_000));
        let shown = shown(Stream::Calls, "{}", &line, true);
        assert_eq!((&shown["line"], &shown["name"]), (&serde_json::Value::Null, &"A".into()));
        assert_eq!(shown["bytes"], line.len());
    }

    #[test]
    fn escapes_are_searched_as_they_are_read() {
        let check = |line: &str, text: &str| {
            assert_eq!(searched(&format!(r#"{{"line":{line}}}"#)), text.to_lowercase(), "{line}");
        };
        check(r#"{"city":"Z\u00fcrich"}"#, r#"{"city":"Zürich"}"#);
        check(r#""say \"hi\"\n\\ \/""#, r#""say "hi" \ /""#);
        check(r#""\ud83d\ude00!""#, "\"😀!\"");
        check(r#""\ud83d alone""#, "\"\u{fffd} alone\"");
        check(r#"["plain",1]"#, r#"["plain",1]"#);
    }

    #[test]
    fn names_around_a_call_are_not_searched() {
        let json =
            r#"{"id":1,"at_ms":7,"source":"web","type":"track","name":"Sa\"y","user":null,"line":{"A":"Ü"}}"#;
        assert_eq!(searched(json), "web\ntrack\nsa\"y\n{\"a\":\"ü\"}");
    }
}
