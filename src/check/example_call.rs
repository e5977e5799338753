//! The calls that functions are tested with: an example of each type, written as the collector writes it, or
//! the call of a file.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use serde_json::{Value, json};

use super::destination::TestCall;
use crate::call::{
    CallKind, ClientLibraries, Fingerprinter, Limits, LineSink, ObjectSets, RejectReason, Request, Shape,
    Stamp,
};
use crate::destinations::request::SYNC_BYTES_MAX;
use crate::destinations::select::{Head, OBJECT, Selection, TYPES};
use crate::json::Members;
use crate::object::{Collection, Stream};
use crate::random::Random;
use crate::sources::SourceId;
use crate::time::UnixMillis;
use crate::words::{outside_text, rfc3339};

/// The beginning of each messageId that is made here.
const ID_PREFIX: &str = "forebay-test-";
/// The user of the examples.
const USER: &str = "forebay-test";
/// The collection of the example of an object.
const COLLECTION: &str = "forebay_test";
/// The longest file of a call: more is never sent to a function.
const EVENT_BYTES_MAX: u64 = SYNC_BYTES_MAX as u64;

/// A new messageId.
fn new_id(random: &dyn Random) -> String {
    format!("{ID_PREFIX}{:032x}", random.next_u128())
}

/// An example of a type, as the collector would store it at `now`. `None` if there is no such type.
pub fn example(kind: &str, source: &SourceId, now: UnixMillis, random: &dyn Random) -> Option<TestCall> {
    let id = &*new_id(random);
    let stamp = Stamp {
        received_at: now,
        source,
        ip: None,
        client_side: false,
        client_libraries: ClientLibraries::usual(),
        user_agent: None,
        fingerprinter: &Fingerprinter::new([0; 16]),
    };
    let body = body(kind, id, now).to_string();
    let mut line = OneLine(Vec::new());
    let limits = Limits::default();
    if kind == OBJECT {
        let sets = ObjectSets::parse(body.as_bytes(), 1, &limits).ok()?;
        sets.write_lines(&stamp, random, usize::MAX, &mut line)?;
    } else {
        let kind = CallKind::from_name(kind)?;
        let request = Request::parse(body.as_bytes(), Shape::Single(kind), &limits).ok()?;
        request.write_lines(&stamp, random, &mut line);
    }
    let (kind, message_id) = (kind.to_owned(), id.to_owned());
    Some(TestCall { kind, message_id, line: line.0.into(), not_taken: None })
}

/// The body of a request with one call.
fn body(kind: &str, id: &str, now: UnixMillis) -> Value {
    let about = json!({ "test": true });
    if kind == OBJECT {
        let object = json!({ "id": USER, "messageId": id, "properties": about });
        return json!({ "collection": COLLECTION, "objects": [object] });
    }
    let mut call = json!({
        "messageId": id,
        "userId": USER,
        "timestamp": rfc3339(now),
        "sentAt": rfc3339(now),
        "context": { "library": { "name": "forebay destinations test", "version": env!("CARGO_PKG_VERSION") } },
        "integrations": {},
    });
    let members = match kind {
        "track" => json!({ "event": "Forebay Test", "properties": about }),
        "page" | "screen" => json!({ "name": "Forebay Test", "properties": about }),
        "group" => json!({ "groupId": USER, "traits": about }),
        "alias" => json!({ "previousId": format!("{USER}-before") }),
        _ => json!({ "traits": about }),
    };
    if let (Some(call), Value::Object(members)) = (call.as_object_mut(), members) {
        call.extend(members);
    }
    call
}

/// Keeps one line.
struct OneLine(Vec<u8>);

impl LineSink for OneLine {
    fn line(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
    fn call(&mut self, _fingerprint: u128) {}
    fn rejected(&mut self, _reason: RejectReason) {}
    fn discard(&mut self) {}
}

/// The call of a file.
#[derive(Debug)]
pub struct Event {
    /// Its type, if it says it.
    pub kind: Option<String>,
    message_id: String,
    line: String,
    collection: Option<Collection>,
}

impl Event {
    /// Reads a call from a file. Errors: why it is none.
    pub fn read(path: &Path, random: &dyn Random) -> Result<Self, String> {
        let unreadable = |error: std::io::Error| format!("cannot be read: {error}");
        let mut bytes = Vec::new();
        let file = File::open(path).map_err(unreadable)?;
        file.take(EVENT_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() as u64 > EVENT_BYTES_MAX {
            return Err(format!("is longer than a function takes, {EVENT_BYTES_MAX} bytes"));
        }
        let text = String::from_utf8(bytes).map_err(|error| format!("is not UTF-8: {error}"))?;
        Self::of(&text, random)
    }

    /// Reads a call. It gets a messageId if it has none, and stays as it is otherwise.
    fn of(text: &str, random: &dyn Random) -> Result<Self, String> {
        let members: Members<'_> =
            serde_json::from_str(text).map_err(|error| format!("is not one JSON object: {error}"))?;
        let known = members.get("messageId").map(|id| serde_json::from_str::<String>(id.get()));
        let (message_id, added) = match known {
            Some(Ok(id)) if !id.trim().is_empty() => (id, None),
            Some(_) => return Err("has a messageId that is empty or is not a text".to_owned()),
            None => {
                let id = new_id(random);
                (id.clone(), Some(id))
            }
        };
        let member = |name: &str, value: &str| format!("{}:{value}", Value::from(name));
        let added = added.map(|id| member("messageId", &Value::from(id).to_string()));
        let parts = members.0.iter().map(|(name, value)| member(name, value.get()));
        let line = format!("{{{}}}", added.into_iter().chain(parts).collect::<Vec<_>>().join(","));
        let collection = members.text("collection").and_then(|name| Collection::new(&name).ok());
        let kind = match members.text("type") {
            Some(kind) if TYPES.contains(&kind.as_str()) && kind != OBJECT => Some(kind),
            // An object set has no type of its own; what it calls so is a member of the object.
            _ if collection.is_some() => Some(OBJECT.to_owned()),
            Some(kind) => {
                return Err(format!("has the type {:?}, which no call has", outside_text(&kind).to_string()));
            }
            None => None,
        };
        Ok(Self { kind, message_id, line, collection })
    }

    /// The call, for a function that gets `kind`.
    pub fn call(&self, kind: &str, source: &SourceId, selection: &Selection) -> TestCall {
        let stream = match (&self.collection, kind) {
            (Some(collection), OBJECT) => Stream::Objects(collection.clone()),
            _ => Stream::Calls,
        };
        let head = Head::of(&stream, &self.line);
        let excluded = head.is_some_and(|head| selection.function_for(source, &head).is_none());
        TestCall {
            kind: kind.to_owned(),
            message_id: self.message_id.clone(),
            line: self.line.clone().into(),
            not_taken: excluded.then(|| {
                "the integrations of the call exclude this destination, so a collector does not send it"
                    .to_owned()
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::SystemRandom;

    fn source() -> SourceId {
        SourceId::new("web").unwrap()
    }

    #[test]
    fn each_type_has_an_example_that_destinations_take() {
        for kind in TYPES {
            let call = example(kind, &source(), UnixMillis(1_795_500_000_000), &SystemRandom).unwrap();
            let line: Value = serde_json::from_slice(&call.line).unwrap();
            let member =
                |name: &str| line[name].as_str().unwrap_or_else(|| panic!("{kind} has no {name}: {line}"));
            assert!(member("messageId").starts_with(ID_PREFIX));
            assert_eq!(member("messageId"), call.message_id);
            assert_eq!(member("projectId"), "web");
            assert_eq!(member("receivedAt"), crate::words::rfc3339(UnixMillis(1_795_500_000_000)));
            let stream = match kind {
                OBJECT => Stream::Objects(Collection::new(member("collection")).unwrap()),
                _ => Stream::Calls,
            };
            let text = std::str::from_utf8(&call.line).unwrap();
            assert_eq!(Head::of(&stream, text).unwrap().kind, kind);
            assert!(!text.contains('\n'));
        }
        assert_eq!(example("odd", &source(), UnixMillis(0), &SystemRandom), None);
    }

    #[test]
    fn a_call_of_a_file_gets_only_a_message_id() {
        let read = |text: &str| Event::of(text, &SystemRandom);
        let kept = read(r#"{ "type": "track", "messageId": "m1", "n": 1.50 }"#).unwrap();
        assert_eq!(kept.line, r#"{"type":"track","messageId":"m1","n":1.50}"#);
        assert_eq!((kept.kind.as_deref(), kept.message_id.as_str()), (Some("track"), "m1"));
        let added = read("{}").unwrap();
        assert!(added.message_id.starts_with("forebay-test-"), "{added:?}");
        assert_eq!(added.line, format!(r#"{{"messageId":"{}"}}"#, added.message_id));
        assert_eq!(
            read(r#"{"collection":"rooms","id":"7","type":"suite"}"#).unwrap().kind.as_deref(),
            Some(OBJECT)
        );
        for (text, said) in [
            ("[1]", "not one JSON object"),
            ("{", "not one JSON object"),
            (r#"{"messageId":7}"#, "messageId"),
            (r#"{"messageId":" "}"#, "messageId"),
            (r#"{"type":"Track"}"#, "\"Track\""),
            (r#"{"type":"object"}"#, "\"object\""),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }

    #[test]
    fn a_call_that_excludes_the_destination_is_not_taken() {
        let selection = Selection {
            function: Some("f".to_owned()),
            respect_integrations: true,
            name: "crm".to_owned(),
            ..Selection::default()
        };
        let taken = |text: &str| {
            Event::of(text, &SystemRandom).unwrap().call("track", &source(), &selection).not_taken
        };
        assert_eq!(taken(r#"{"type":"track"}"#), None);
        assert!(taken(r#"{"type":"track","integrations":{"All":false}}"#).is_some());
    }
}
