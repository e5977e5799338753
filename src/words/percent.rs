//! Percent encoding of addresses.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// Removes percent encoding from a text. `None` if the result is not UTF-8. A `%` that begins no escape
/// stays.
pub fn decoded(text: &str, plus_is_space: bool) -> Option<Cow<'_, str>> {
    let has_plus = plus_is_space && text.contains('+');
    // Most texts have neither, and this is asked of every name in a query.
    if !has_plus && !text.contains('%') {
        return Some(Cow::Borrowed(text));
    }
    let spaced = if has_plus { Cow::Owned(text.replace('+', " ")) } else { Cow::Borrowed(text) };
    let bytes = Cow::<[u8]>::from(percent_decode_str(&spaced)).into_owned();
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_decoded_once() {
        let check = |text: &str, plus_is_space, expected: Option<&str>| {
            assert_eq!(decoded(text, plus_is_space).as_deref(), expected, "{text:?}");
        };
        check("a b", false, Some("a b"));
        check("a+b%20c", false, Some("a+b c"));
        check("a+b%20c%2Bd", true, Some("a b c+d"));
        check("%25%32%35", false, Some("%25"));
        check("100%", false, Some("100%"));
        check("%4", true, Some("%4"));
        check("%zz%+1", true, Some("%zz% 1"));
        check("%C3%bc", false, Some("ü"));
        check("%ff", false, None);
        check("+%ff", true, None);
    }
}
