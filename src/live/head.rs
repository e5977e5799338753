//! What a list shows of a line: its type, name, user and SDK. Pure.

use super::mask::{HIDDEN, is_word};
use crate::json::Members;
use crate::object::Stream;

/// The longest text of one field, in characters.
const TEXT_MAX: usize = 200;

/// What a list shows of a line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The call's type; `object` of an object set; of a rejected item, its type if it can be read.
    pub kind: String,
    /// The event, the name of the page or screen, the group, or the object's id.
    pub name: Option<String>,
    /// `userId`, otherwise `anonymousId`.
    pub user: Option<String>,
    /// Name and version of the SDK.
    pub library: Option<(String, String)>,
    /// Of a rejected item: the slug of the reason.
    pub reason: Option<String>,
}

/// What of a [`Head`] may be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShownHead<'h> {
    /// The type.
    pub kind: &'h str,
    /// The name.
    pub name: Option<&'h str>,
    /// The user.
    pub user: Option<&'h str>,
}

impl Head {
    /// What may be shown of a line of a stream. `full`: nothing is hidden.
    pub fn shown(&self, stream: &Stream, full: bool) -> ShownHead<'_> {
        let Self { kind, name, user, .. } = self;
        let is_plain = !matches!(stream, Stream::Objects(_) | Stream::Rejected);
        // The name of an identify call or an object may itself say who it is about.
        let says_name = full || (is_plain && kind != "identify" && kind != "alias");
        ShownHead {
            // Of a rejected item the client may have written anything there.
            kind: if full || is_word(kind) { kind } else { HIDDEN },
            name: name.as_deref().filter(|_| says_name),
            user: user.as_deref().filter(|_| full),
        }
    }

    /// Of a stored line.
    pub fn of(line: &str, rejected: bool, object_set: bool) -> Self {
        let Some(line) = Members::of(line) else { return Self::default() };
        if rejected {
            let head = line.members("value").map(|item| Self::of_call(&item)).unwrap_or_default();
            return Self { reason: line.text("reason"), ..head };
        }
        if object_set {
            return Self { kind: "object".to_owned(), name: short(line.text("id")), ..Self::default() };
        }
        Self::of_call(&line)
    }

    fn of_call(call: &Members<'_>) -> Self {
        let context = call.members("context");
        let library = context.and_then(|context| context.members("library")).and_then(|library| {
            Some((short(library.text("name"))?, short(library.text("version")).unwrap_or_default()))
        });
        Self {
            kind: short(call.text("type")).unwrap_or_default(),
            name: short(["event", "name", "groupId"].into_iter().find_map(|name| call.text(name))),
            user: short(["userId", "anonymousId"].into_iter().find_map(|name| call.text(name))),
            library,
            reason: None,
        }
    }
}

fn short(text: Option<String>) -> Option<String> {
    let text = text?;
    match text.char_indices().nth(TEXT_MAX) {
        Some((at, _)) => text.get(..at).map(|short| format!("{short}…")),
        None => Some(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_shows_the_type_name_user_and_sdk() {
        let head = |kind: &str, name: Option<&str>, user: Option<&str>| Head {
            kind: kind.to_owned(),
            name: name.map(str::to_owned),
            user: user.map(str::to_owned),
            ..Head::default()
        };
        let check = |line: &str, expected: Head| assert_eq!(Head::of(line, false, false), expected, "{line}");
        check(r#"{"type":"track","event":"A","userId":"u"}"#, head("track", Some("A"), Some("u")));
        check(r#"{"type":"page","name":"Home","anonymousId":"a"}"#, head("page", Some("Home"), Some("a")));
        check(r#"{"type":"group","groupId":7,"userId":""}"#, head("group", Some("7"), None));
        check(r#"{"type":"identify","userId":{"x":1}}"#, head("identify", None, None));
        check("7", Head::default());
        let with_library = r#"{"type":"track","event":"A","context":{"library":{"name":"analytics-node","version":"3.1.0"}}}"#;
        let library = Head::of(with_library, false, false).library;
        assert_eq!(library, Some(("analytics-node".to_owned(), "3.1.0".to_owned())));
    }

    #[test]
    fn rejected_items_and_objects_have_heads_of_their_own() {
        let rejected =
            Head::of(r#"{"reason":"unknown_type","value":{"type":"x","userId":"u"}}"#, true, false);
        assert_eq!((rejected.kind.as_str(), rejected.reason.as_deref()), ("x", Some("unknown_type")));
        let object = Head::of(r#"{"id":"7","collection":"rooms"}"#, false, true);
        assert_eq!((object.kind.as_str(), object.name.as_deref()), ("object", Some("7")));
    }

    #[test]
    fn long_texts_are_cut() {
        let long = format!(r#"{{"type":"track","event":"{}"}}"#, "é".repeat(300));
        assert_eq!(Head::of(&long, false, false).name.unwrap().chars().count(), TEXT_MAX + 1);
    }
}
