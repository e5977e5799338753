//! Decides whether an item is a valid call.

use super::name::{Field, Name, find};
use super::{CallKind, Limits, RejectReason, Validation};
use crate::json::{Value, ValueKind, unescape};

/// An item that is a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Checked {
    /// Its kind.
    pub kind: CallKind,
    /// Whether strict validation would reject it.
    pub incomplete: bool,
}

/// Checks one item. `route_kind` is the kind that a single route gives its call; otherwise the item's `type`
/// counts. Errors: the reason why the item goes to the rejected stream.
pub(super) fn check(
    item: Value,
    members: &[Field],
    text: &[u8],
    route_kind: Option<CallKind>,
    limits: &Limits,
) -> Result<Checked, RejectReason> {
    if item.kind != ValueKind::Object {
        return Err(RejectReason::NotAnObject);
    }
    if item.span.len() > limits.max_event {
        return Err(RejectReason::EventTooLarge);
    }
    let kind = match route_kind {
        Some(kind) => kind,
        None => kind_of(members, text)?,
    };
    match (missing(kind, members, text), limits.validation) {
        (Some(reason), Validation::Strict) => Err(reason),
        (missing, _) => Ok(Checked { kind, incomplete: missing.is_some() }),
    }
}

/// The kind that a call's `type` names. Errors: [`RejectReason::MissingType`], [`RejectReason::UnknownType`].
pub(super) fn kind_of(members: &[Field], text: &[u8]) -> Result<CallKind, RejectReason> {
    let name = find(members, Name::Type).and_then(Value::text).ok_or(RejectReason::MissingType)?;
    let name = unescape(name, text);
    std::str::from_utf8(&name).ok().and_then(CallKind::from_name).ok_or(RejectReason::UnknownType)
}

/// Whether a string is blank: white space only.
pub(super) fn is_blank(said: &[u8]) -> bool {
    std::str::from_utf8(said).is_ok_and(|said| said.trim().is_empty())
}

/// What strict validation finds missing in a call.
fn missing(kind: CallKind, members: &[Field], text: &[u8]) -> Option<RejectReason> {
    let said = |value: Value| value.text().map(|inner| unescape(inner, text));
    let has_id = |name: Name| {
        find(members, name).is_some_and(|value| {
            value.kind == ValueKind::Number || said(value).is_some_and(|id| !is_blank(&id))
        })
    };
    let has_event = || find(members, Name::Event).and_then(said).is_some_and(|event| !event.is_empty());
    if !has_id(Name::UserId) && !has_id(Name::AnonymousId) {
        return Some(RejectReason::MissingId);
    }
    match kind {
        CallKind::Track if !has_event() => Some(RejectReason::MissingEvent),
        CallKind::Group if !has_id(Name::GroupId) => Some(RejectReason::MissingGroupId),
        CallKind::Alias if !has_id(Name::PreviousId) || !has_id(Name::UserId) => {
            Some(RejectReason::MissingPreviousId)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::body::Body;
    use super::*;

    fn checked(
        text: &str,
        route_kind: Option<CallKind>,
        validation: Validation,
    ) -> Result<Checked, RejectReason> {
        let limits = Limits { max_event: 200, validation, ..Limits::default() };
        let body = format!(r#"{{"batch":[{text}]}}"#);
        let body = Body::read(body.as_bytes(), 1, 8).unwrap();
        let batch = body.batch.as_ref().unwrap();
        let item = &batch.items[0];
        check(item.value, batch.members_of(item), body.text, route_kind, &limits)
    }

    #[test]
    fn a_call_is_an_object_of_a_known_type() {
        let check = |text: &str, expected: Result<CallKind, RejectReason>| {
            let found = checked(text, None, Validation::Permissive).map(|checked| checked.kind);
            assert_eq!(found, expected, "{text}");
        };
        for kind in ["track", "identify", "page", "screen", "group", "alias"] {
            check(&format!(r#"{{"type":"{kind}"}}"#), Ok(CallKind::from_name(kind).unwrap()));
        }
        check(r#"{"\u0074ype":"tr\u0061ck"}"#, Ok(CallKind::Track));
        check(r#"{"type":"x","type":"page"}"#, Ok(CallKind::Page));
        for text in ["null", "1", "[]", "\"track\"", "true"] {
            check(text, Err(RejectReason::NotAnObject));
        }
        check("{}", Err(RejectReason::MissingType));
        check(r#"{"type":null}"#, Err(RejectReason::MissingType));
        check(r#"{"type":1}"#, Err(RejectReason::MissingType));
        check(r#"{"type":"Track"}"#, Err(RejectReason::UnknownType));
        check(r#"{"type":"merge"}"#, Err(RejectReason::UnknownType));
        check(r#"{"type":""}"#, Err(RejectReason::UnknownType));
        check(&format!(r#"{{"type":"track","x":"{}"}}"#, "x".repeat(200)), Err(RejectReason::EventTooLarge));
    }

    #[test]
    fn a_route_gives_the_type() {
        let found = checked(r#"{"type":"x"}"#, Some(CallKind::Group), Validation::Permissive);
        assert_eq!(found, Ok(Checked { kind: CallKind::Group, incomplete: true }));
    }

    #[test]
    fn incomplete_calls_are_counted_or_strictly_rejected() {
        let check = |text: &str, missing: Option<RejectReason>| {
            let strict = checked(text, None, Validation::Strict);
            assert_eq!(strict.err(), missing, "{text}");
            let permissive = checked(text, None, Validation::Permissive);
            assert_eq!(permissive.map(|checked| checked.incomplete), Ok(missing.is_some()), "{text}");
        };
        check(r#"{"type":"page","userId":"u"}"#, None);
        check(r#"{"type":"page","anonymousId":"a","userId":null}"#, None);
        check(r#"{"type":"page","userId":17}"#, None);
        check(r#"{"type":"page","userId":"\u0041"}"#, None);
        for nobody in
            ["", r#","userId":null"#, r#","userId":"""#, r#","anonymousId":" \t""#, r#","userId":true"#]
        {
            check(&format!(r#"{{"type":"page"{nobody}}}"#), Some(RejectReason::MissingId));
        }
        check(r#"{"type":"page","userId":" \u00a0\u2003"}"#, Some(RejectReason::MissingId));
        check(r#"{"type":"track","userId":"u","event":"e"}"#, None);
        for event in ["", r#","event":"""#, r#","event":null"#, r#","event":5"#] {
            check(&format!(r#"{{"type":"track","userId":"u"{event}}}"#), Some(RejectReason::MissingEvent));
        }
        check(r#"{"type":"group","userId":"u","groupId":3}"#, None);
        check(r#"{"type":"group","userId":"u","groupId":" "}"#, Some(RejectReason::MissingGroupId));
        check(r#"{"type":"alias","userId":"u","previousId":"p"}"#, None);
        check(r#"{"type":"alias","userId":"u"}"#, Some(RejectReason::MissingPreviousId));
        check(
            r#"{"type":"alias","anonymousId":"a","previousId":"p"}"#,
            Some(RejectReason::MissingPreviousId),
        );
    }
}
