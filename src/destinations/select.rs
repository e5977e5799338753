//! Which calls a destination gets, and which of its functions. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::json::Members;
use crate::object::Stream;
use crate::sources::SourceId;

/// The type under which object sets are sent.
pub const OBJECT: &str = "object";
/// The types that a destination can have a function of its own for.
pub const TYPES: [&str; 7] = ["track", "identify", "page", "screen", "group", "alias", OBJECT];

/// Names in `integrations` that mean every Lambda destination, as Segment's page has them.
const LAMBDA_NAMES: [&str; 2] = ["AWS Lambda", "Amazon Lambda"];

/// What a destination takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    /// Only these sources; all if `None`.
    pub sources: Option<Vec<SourceId>>,
    /// The function of a type.
    pub functions: BTreeMap<String, String>,
    /// The function of all other types; `None` skips them.
    pub function: Option<String>,
    /// Whether calls can exclude themselves with `integrations`.
    pub respect_integrations: bool,
    /// The destination's own name, which `integrations` may contain.
    pub name: String,
}

/// The members of a line that decide where it goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The type; [`OBJECT`] of an object set.
    pub kind: String,
    /// The messageId, the key by which a function recognises a call that it got before.
    pub message_id: String,
    /// The userId, or without one its anonymousId.
    pub user: Option<String>,
    /// `integrations`: what is switched on or off by name.
    switches: Vec<(String, bool)>,
}

impl Head {
    /// Reads a line of `stream`. `None` if it is not one that destinations get: a rejected item or a dead
    /// letter.
    pub fn of(stream: &Stream, line: &str) -> Option<Self> {
        let members = Members::of(line)?;
        let text = |name: &str| members.text(name);
        let kind = match stream {
            Stream::Calls => text("type")?,
            Stream::Objects(_) => OBJECT.to_owned(),
            Stream::Rejected | Stream::Dead(_) => return None,
        };
        let integrations = members.members("integrations");
        let switches = integrations.map_or_else(Vec::new, |integrations| {
            let names = integrations.0.iter().map(|(name, _)| name.clone());
            // An object is a setting for the integration, which is then on.
            names
                .map(|name| (integrations.get(&name).is_none_or(|value| value.get() != "false"), name))
                .map(|(on, name)| (name.into_owned(), on))
                .collect()
        });
        Some(Self {
            kind,
            message_id: text("messageId").unwrap_or_default(),
            user: text("userId").or_else(|| text("anonymousId")),
            switches,
        })
    }

    /// Whether `integrations` lets a destination with one of these names have the call: a name counts more
    /// than `All`.
    fn allows(&self, names: &[&str]) -> bool {
        let switch = |wanted: &str| {
            self.switches.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, on)| *on)
        };
        names.iter().find_map(|name| switch(name)).or_else(|| switch("All")).unwrap_or(true)
    }
}

impl Selection {
    /// Whether both send every call to the same function. The order of sources means nothing.
    pub fn is_same(&self, other: &Self) -> bool {
        let set =
            |one: &Self| one.sources.as_ref().map(|sources| sources.iter().cloned().collect::<BTreeSet<_>>());
        let (own, others) = (Self { sources: None, ..self.clone() }, Self { sources: None, ..other.clone() });
        own == others && set(self) == set(other)
    }

    /// Every function.
    pub fn all_functions(&self) -> BTreeSet<&str> {
        self.functions.values().chain(&self.function).map(String::as_str).collect()
    }

    /// Whether it takes calls of a source.
    pub fn takes(&self, source: &SourceId) -> bool {
        self.sources.as_ref().is_none_or(|sources| sources.contains(source))
    }

    /// The function that gets a call; `None` if the destination does not get it.
    pub fn function_for(&self, source: &SourceId, head: &Head) -> Option<&str> {
        if !self.takes(source) {
            return None;
        }
        let names = [self.name.as_str(), LAMBDA_NAMES[0], LAMBDA_NAMES[1]];
        if self.respect_integrations && !head.allows(&names) {
            return None;
        }
        self.functions.get(&head.kind).or(self.function.as_ref()).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> SourceId {
        SourceId::new(text).unwrap()
    }

    fn selection() -> Selection {
        Selection {
            functions: BTreeMap::from([("track".to_owned(), "tracked".to_owned())]),
            function: Some("others".to_owned()),
            respect_integrations: true,
            name: "crm".to_owned(),
            ..Selection::default()
        }
    }

    fn goes_to<'a>(selection: &'a Selection, line: &str) -> Option<&'a str> {
        selection.function_for(&id("web"), &Head::of(&Stream::Calls, line)?)
    }

    #[test]
    fn a_type_has_its_function_or_that_of_all_others() {
        let both = selection();
        assert_eq!(goes_to(&both, r#"{"type":"track"}"#), Some("tracked"));
        assert_eq!(goes_to(&both, r#"{"type":"page"}"#), Some("others"));
        let one = Selection { function: None, ..selection() };
        assert_eq!(goes_to(&one, r#"{"type":"page"}"#), None);
        let objects = Stream::Objects(crate::object::Collection::new("rooms").unwrap());
        let head = Head::of(&objects, r#"{"id":"7","collection":"rooms","type":"track"}"#).unwrap();
        assert_eq!(
            both.function_for(&id("web"), &head),
            Some("others"),
            "an object's own members are no type"
        );
    }

    #[test]
    fn only_calls_and_objects_of_its_sources_are_taken() {
        let of_ios = Selection { sources: Some(vec![id("ios")]), ..selection() };
        assert_eq!(goes_to(&of_ios, r#"{"type":"track"}"#), None);
        let line = r#"{"type":"track"}"#;
        assert_eq!(Head::of(&Stream::Rejected, line), None);
        assert_eq!(Head::of(&Stream::Dead(id("crm")), line), None);
    }

    #[test]
    fn the_order_of_sources_means_nothing() {
        let of =
            |ids: &[&str]| Selection { sources: Some(ids.iter().copied().map(id).collect()), ..selection() };
        assert!(of(&["ios", "web"]).is_same(&of(&["web", "ios", "web"])));
        assert!(!of(&["ios", "web"]).is_same(&of(&["ios"])));
        assert!(!of(&["ios"]).is_same(&Selection { name: "other".to_owned(), ..of(&["ios"]) }));
        assert!(!of(&["ios"]).is_same(&selection()));
    }

    #[test]
    fn integrations_exclude_a_call() {
        let check = |integrations: &str, taken: bool| {
            let line = format!(r#"{{"type":"track","integrations":{integrations}}}"#);
            assert_eq!(goes_to(&selection(), &line).is_some(), taken, "{integrations}");
        };
        check("{}", true);
        check(r#"{"All":true}"#, true);
        check(r#"{"All":false}"#, false);
        check(r#"{"All":false,"AWS Lambda":true}"#, true);
        check(r#"{"All":false,"crm":{"setting":1}}"#, true);
        check(r#"{"AWS Lambda":false}"#, false);
        check(r#"{"Amazon Lambda":false}"#, false);
        check(r#"{"crm":false,"AWS Lambda":true}"#, false);
        check(r#"{"Mixpanel":false}"#, true);
        check(r#"{"All":true,"All":false}"#, false);
        check("null", true);
        let deaf = Selection { respect_integrations: false, ..selection() };
        assert!(goes_to(&deaf, r#"{"type":"track","integrations":{"All":false}}"#).is_some());
    }

    #[test]
    fn a_head_has_the_key_and_the_user() {
        let head = |line: &str| Head::of(&Stream::Calls, line).unwrap();
        let known = head(r#"{"type":"track","messageId":"m1","userId":"u","anonymousId":"a"}"#);
        assert_eq!((known.message_id.as_str(), known.user.as_deref()), ("m1", Some("u")));
        assert_eq!(head(r#"{"type":"track","userId":null,"anonymousId":"a"}"#).user.as_deref(), Some("a"));
        assert_eq!(head(r#"{"type":"track"}"#).user, None);
    }
}
