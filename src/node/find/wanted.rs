//! Which lines are looked for. Pure.

use memchr::memchr;
use memchr::memmem::Finder;

use crate::admin::AskedCalls;
use crate::json::Members;
use crate::object::Stream;

/// The values that a line must have.
#[derive(Debug)]
pub(super) struct Wanted(Vec<Part>);

/// A value, and the member that must have it.
#[derive(Debug)]
struct Part {
    member: &'static str,
    value: String,
    finder: Finder<'static>,
}

/// The member with the user. An alias names the user that it joins in `previousId`, too.
const USER: &str = "userId";
/// The member with the event of a track call.
const EVENT: &str = "event";

impl Wanted {
    pub(super) fn new(asked: &AskedCalls) -> Self {
        let AskedCalls { message_id, user_id, anonymous_id, event, source: _ } = asked;
        let named =
            [("messageId", message_id), (USER, user_id), ("anonymousId", anonymous_id), (EVENT, event)];
        let part = |(member, value): (&'static str, &Option<String>)| {
            let value = value.clone()?;
            let finder = Finder::new(&value).into_owned();
            Some(Part { member, value, finder })
        };
        Self(named.into_iter().filter_map(part).collect())
    }

    /// Whether a line of a stream has all the values. A rejected item has those of the item.
    pub(super) fn fits(&self, line: &[u8], stream: &Stream) -> bool {
        // A value stands in a line as it is, unless an escape stands for some of it. Most lines are not parsed.
        let has_escapes = memchr(b'\\', line).is_some();
        if !has_escapes && self.0.iter().any(|part| part.finder.find(line).is_none()) {
            return false;
        }
        let Some(members) = std::str::from_utf8(line).ok().and_then(Members::of) else { return false };
        let has_all = |members: &Members<'_>| self.0.iter().all(|part| part.is_in(members));
        match stream {
            Stream::Rejected => members.members("value").is_some_and(|item| has_all(&item)),
            Stream::Calls | Stream::Objects(_) | Stream::Dead(_) => has_all(&members),
        }
    }
}

impl Part {
    fn is_in(&self, members: &Members<'_>) -> bool {
        let has = |member: &str| members.text(member).is_some_and(|text| text == self.value);
        match (self.member, members.text("type").as_deref()) {
            (EVENT, Some("page" | "screen")) => has("name"),
            (USER, Some("alias")) => has(USER) || has("previousId"),
            (member, _) => has(member),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_must_have_every_value_exactly() {
        let check = |set: fn(&mut AskedCalls), stream: Stream, line: &str, fits: bool| {
            let mut asked = AskedCalls::default();
            set(&mut asked);
            assert_eq!(Wanted::new(&asked).fits(line.as_bytes(), &stream), fits, "{asked:?} {line}");
        };
        let user = |asked: &mut AskedCalls| asked.user_id = Some("u/1é".into());
        let calls = || Stream::Calls;
        check(user, calls(), r#"{"userId":"u/1é"}"#, true);
        check(user, calls(), r#"{"userId":"u\/1\u00e9"}"#, true);
        check(user, calls(), r#"{"userId":"u/1é2"}"#, false);
        check(user, calls(), r#"{"anonymousId":"u/1é"}"#, false);
        check(user, calls(), r#"{"traits":{"userId":"u/1é"}}"#, false);
        check(user, calls(), "no json u/1é", false);
        check(user, Stream::Rejected, r#"{"reason":"r","value":{"userId":"u/1é"}}"#, true);
        check(user, Stream::Rejected, r#"{"reason":"r","value":"u/1é"}"#, false);
        check(user, calls(), r#"{"type":"alias","userId":"v","previousId":"u/1é"}"#, true);
        check(user, calls(), r#"{"type":"track","userId":"v","previousId":"u/1é"}"#, false);
        let number = |asked: &mut AskedCalls| asked.user_id = Some("12".into());
        check(number, calls(), r#"{"userId":12}"#, true);
        let event = |asked: &mut AskedCalls| asked.event = Some("Home".into());
        check(event, calls(), r#"{"type":"track","event":"Home"}"#, true);
        check(event, calls(), r#"{"type":"page","name":"Home"}"#, true);
        check(event, calls(), r#"{"type":"identify","name":"Home"}"#, false);
        let both = |asked: &mut AskedCalls| {
            (asked.message_id, asked.anonymous_id) = (Some("m1".into()), Some("a1".into()));
        };
        check(both, calls(), r#"{"messageId":"m1","anonymousId":"a1"}"#, true);
        check(both, calls(), r#"{"messageId":"m1","anonymousId":"a2"}"#, false);
    }
}
