//! Text from outside: from a client, a store or a command.

use std::fmt::{self, Write};

/// Maximum number of bytes of outside text in one line.
pub const OUTSIDE_TEXT_MAX: usize = 256;

/// Text from outside, made safe for one line: control characters are escaped, and it is cut at
/// [`OUTSIDE_TEXT_MAX`] bytes.
pub fn outside_text(text: &str) -> impl fmt::Display + '_ {
    outside_text_within(text, OUTSIDE_TEXT_MAX)
}

/// The same, cut at `max` bytes. `…` marks a cut. Text that is already safe stays unchanged.
pub fn outside_text_within(text: &str, max: usize) -> impl fmt::Display + '_ {
    OutsideText(text, max)
}

/// The key of an object, made safe for one line. It is never cut, because people copy keys from here.
pub fn outside_key(key: &str) -> impl fmt::Display + '_ {
    outside_text_within(key, usize::MAX)
}

struct OutsideText<'a>(&'a str, usize);

impl fmt::Display for OutsideText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = self.1;
        for c in self.0.chars() {
            let unsafe_to_show = is_unsafe_to_show(c);
            let len = if unsafe_to_show { c.escape_default().count() } else { c.len_utf8() };
            if len > left {
                return f.write_char('…');
            }
            left -= len;
            if unsafe_to_show { write!(f, "{}", c.escape_default())? } else { f.write_char(c)? }
        }
        Ok(())
    }
}

/// Whether a terminal may act on a character, or show nothing for it.
pub fn is_unsafe_to_show(c: char) -> bool {
    c.is_control() || is_invisible(c)
}

/// Line and paragraph separators, characters without width, and characters that change the direction of the
/// text around them.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
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
}
