//! Text from outside: from a client, a store or a command.

use std::fmt::{self, Write};

/// Maximum number of bytes of outside text in one line.
pub const OUTSIDE_TEXT_MAX: usize = 256;

/// Text from outside, made safe for one line: control characters are escaped, and it is cut at
/// [`OUTSIDE_TEXT_MAX`] bytes.
pub fn outside_text(text: &str) -> impl fmt::Display + '_ {
    outside_text_within(text, OUTSIDE_TEXT_MAX)
}

/// The same for a message that says what a person has to do: it is cut at 8,192 bytes. Commands in it may have the key of
/// an object several times, and a key has up to 1,024 bytes.
pub fn outside_message(text: &str) -> impl fmt::Display + '_ {
    outside_text_within(text, 8_192)
}

/// The same, cut at `max` bytes. `…` marks a cut. Text that is already safe stays unchanged.
pub fn outside_text_within(text: &str, max: usize) -> impl fmt::Display + '_ {
    fmt::from_fn(move |f| {
        let mut left = max;
        for c in text.chars() {
            let unsafe_to_show = is_unsafe_to_show(c);
            let len = if unsafe_to_show { c.escape_default().count() } else { c.len_utf8() };
            if len > left {
                return f.write_char('…');
            }
            left -= len;
            if unsafe_to_show { write!(f, "{}", c.escape_default())? } else { f.write_char(c)? }
        }
        Ok(())
    })
}

/// The key of an object, made safe for one line. It is never cut, because people copy keys from here.
pub fn outside_key(key: &str) -> impl fmt::Display + '_ {
    outside_text_within(key, usize::MAX)
}

/// Whether a terminal may act on a character, or show nothing for it.
pub fn is_unsafe_to_show(c: char) -> bool {
    c.is_control() || is_invisible(c)
}

/// Line and paragraph separators, characters that change the direction of the text around them, and
/// characters that show nothing: Unicode's default-ignorable code points, and the marks of annotations.
///
/// Variation selectors and joiners are among them, so some emoji show their parts. They can hide whole texts,
/// and two names that differ only in them must not look the same. Terminals also disagree on how wide they
/// make a character.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}'
        | '\u{34f}'
        | '\u{61c}'
        | '\u{115f}'..='\u{1160}'
        | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}'
        | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}'
        | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn external_text_cannot_forge_a_line_or_fill_the_log() {
        let check = |text: &str, shown: &str| {
            assert_eq!(outside_text(text).to_string(), shown);
            assert_eq!(outside_text(shown).to_string(), shown, "cleaned twice");
        };
        check("plain ü", "plain ü");
        check("a\nb\r\u{1b}[31m\0", "a\\nb\\r\\u{1b}[31m\\u{0}");
        check("a\u{2028}\u{202e}b", "a\\u{2028}\\u{202e}b");
        check("a\u{200b}b", "a\\u{200b}b");
        check(&"x".repeat(256), &"x".repeat(256));
        check(&"x".repeat(257), &format!("{}…", "x".repeat(256)));
        check(&"ü".repeat(200), &format!("{}…", "ü".repeat(128)));
        assert_eq!(
            outside_key(&format!("it's\n{}", "x".repeat(1_000))).to_string(),
            format!("it's\\n{}", "x".repeat(1_000))
        );
        assert!(outside_text(&"\0".repeat(1_000)).to_string().len() <= OUTSIDE_TEXT_MAX + '…'.len_utf8());
    }
    #[test]
    fn a_character_that_shows_nothing_is_escaped() {
        // The ranges of Default_Ignorable_Code_Point (DerivedCoreProperties.txt of Unicode 16), then the
        // others.
        let ranges = [
            (0xad, 0xad),
            (0x34f, 0x34f),
            (0x61c, 0x61c),
            (0x115f, 0x1160),
            (0x17b4, 0x17b5),
            (0x180b, 0x180f),
            (0x200b, 0x200f),
            (0x202a, 0x202e),
            (0x2060, 0x206f),
            (0x3164, 0x3164),
            (0xfe00, 0xfe0f),
            (0xfeff, 0xfeff),
            (0xffa0, 0xffa0),
            (0xfff0, 0xfff8),
            (0x1bca0, 0x1bca3),
            (0x1d173, 0x1d17a),
            (0xe0000, 0xe0fff),
            (0x2028, 0x2029),
            (0xfff9, 0xfffb),
        ];
        let ignorable = |c: char| ranges.iter().any(|&(first, last)| (first..=last).contains(&u32::from(c)));
        for c in (0..=u32::from(char::MAX)).filter_map(char::from_u32) {
            assert_eq!(is_unsafe_to_show(c), ignorable(c) || c.is_control(), "{}", c.escape_unicode());
        }
        assert_eq!(outside_text("Paid\u{fe01}\u{e0041}").to_string(), "Paid\\u{fe01}\\u{e0041}");
        assert_eq!(outside_text("日本 é 👍🏽 e\u{301}").to_string(), "日本 é 👍🏽 e\u{301}");
    }
}
