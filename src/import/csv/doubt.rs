//! Finds in the text of a record what no writer of its dialect writes: the cells of such a record are
//! unknown.

use memchr::memchr;

use super::dialect::Dialect;
use super::row_error::{Odd, RowError};
use super::scanner::unescaped;

/// What is odd about a record, given as its text.
pub(super) fn of(raw: &[u8], dialect: &Dialect) -> Option<RowError> {
    let is_plain = |byte: Option<u8>| byte.is_none_or(|byte| memchr(byte, raw).is_none());
    if is_plain(dialect.quote) && is_plain(dialect.escape) {
        return None;
    }
    Walk { rest: raw, field: 1, backslash_closed: false }.odd(dialect)
}

/// The first byte of each field of a record, by its text. Nothing may be odd about the record.
pub(super) fn starts(raw: &[u8], dialect: &Dialect) -> Vec<Option<u8>> {
    let mut walk = Walk { rest: raw, field: 1, backslash_closed: false };
    let mut starts = Vec::new();
    loop {
        starts.push(walk.rest.first().copied().filter(|first| *first != dialect.delimiter));
        if walk.pass(dialect).is_some() {
            return starts;
        }
        let Some((_, rest)) = walk.rest.split_first() else { return starts };
        walk.rest = rest;
        walk.field += 1;
    }
}

struct Walk<'r> {
    rest: &'r [u8],
    field: u64,
    /// Whether a field ended with a backslash before its quote.
    backslash_closed: bool,
}

impl Walk<'_> {
    fn odd(mut self, dialect: &Dialect) -> Option<RowError> {
        loop {
            if let Some(odd) = self.pass(dialect) {
                return Some(RowError::Odd { field: self.field, odd });
            }
            let (delimiter, rest) = self.rest.split_first()?;
            if *delimiter != dialect.delimiter {
                return None;
            }
            self.rest = rest;
            self.field += 1;
        }
    }

    /// Goes to the delimiter after a field.
    fn pass(&mut self, dialect: &Dialect) -> Option<Odd> {
        if dialect.skips_blanks && self.field > 1 {
            let blanks = self.rest.iter().take_while(|byte| **byte == b' ').count();
            self.rest = self.rest.get(blanks..).unwrap_or_default();
        }
        match self.rest.split_first() {
            Some((first, rest)) if Some(*first) == dialect.quote => {
                self.rest = rest;
                self.quoted(dialect)
            }
            _ => self.unquoted(dialect),
        }
    }

    /// Goes to the delimiter after a field whose quote is open.
    fn quoted(&mut self, dialect: &Dialect) -> Option<Odd> {
        let mut backslash = false;
        while let Some((byte, rest)) = self.rest.split_first() {
            self.rest = rest;
            if Some(*byte) == dialect.escape {
                if let Some(odd) = self.escaped(dialect, false) {
                    return Some(odd);
                }
            } else if Some(*byte) == dialect.quote {
                match rest.first() {
                    next if next.copied() == dialect.quote => self.rest = rest.get(1..).unwrap_or_default(),
                    None => return None,
                    Some(next) if *next == dialect.delimiter => {
                        self.backslash_closed |= backslash;
                        return None;
                    }
                    Some(_) if backslash => return Some(Odd::Backslash),
                    Some(_) => return Some(Odd::TextAfterQuote),
                }
            }
            backslash = *byte == b'\\' && dialect.escape.is_none();
        }
        None
    }

    /// Goes to the delimiter after a field without quotes around it.
    fn unquoted(&mut self, dialect: &Dialect) -> Option<Odd> {
        let (mut blank, mut at_start) = (false, true);
        while let Some((byte, rest)) = self.rest.split_first() {
            if *byte == dialect.delimiter {
                return None;
            }
            self.rest = rest;
            if Some(*byte) == dialect.escape {
                let odd = self.escaped(dialect, at_start);
                if odd.is_some() {
                    return odd;
                }
            } else if Some(*byte) == dialect.quote && blank {
                return Some(Odd::BlankBeforeQuote);
            } else if Some(*byte) == dialect.quote && self.backslash_closed {
                return Some(Odd::Backslash);
            }
            blank = *byte == b' ' && (at_start || blank);
            at_start = false;
        }
        None
    }

    /// Goes beyond the byte after an escape. `\N` alone is a cell without a value.
    fn escaped(&mut self, dialect: &Dialect, at_start: bool) -> Option<Odd> {
        let (byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        let is_alone = || rest.first().is_none_or(|next| *next == dialect.delimiter);
        let known = !byte.is_ascii_alphanumeric()
            || dialect.escape != Some(b'\\')
            || unescaped(*byte).is_some()
            || (*byte == b'N' && at_start && is_alone());
        if known { None } else { Some(Odd::Escape(char::from(*byte))) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn odd(text: &str, escape: Option<u8>) -> Option<(u64, Odd)> {
        match of(text.as_bytes(), &Dialect { escape, ..Dialect::default() }) {
            Some(RowError::Odd { field, odd }) => Some((field, odd)),
            None => None,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_no_writer_writes_is_odd() {
        let check = |text, field, expected| assert_eq!(odd(text, None), Some((field, expected)), "{text}");
        check(r#"1,"a, \"b\"""#, 2, Odd::Backslash);
        check(r#"1,"a\",b",c"#, 3, Odd::Backslash);
        check(r#""a"b,c"#, 1, Odd::TextAfterQuote);
        check(r#""a" ,c"#, 1, Odd::TextAfterQuote);
        check(r#"1, "a, b""#, 2, Odd::BlankBeforeQuote);
        let check =
            |text, field, expected| assert_eq!(odd(text, Some(b'\\')), Some((field, expected)), "{text}");
        check(r"1,a\N", 2, Odd::Escape('N'));
        check(r"1,\Nx", 2, Odd::Escape('N'));
        check(r#""\N",1"#, 1, Odd::Escape('N'));
        check(r"C:\Users", 1, Odd::Escape('U'));
    }

    #[test]
    fn what_writers_write_is_not() {
        for text in [
            "", "a,b", "\"a\",\"\"", "\"a \"\"b\"\"\",c", "5\" pipe,b", "\"C:\\\",b", "a, b",
            "\"a\nb\",\"c\"", "\\N,\\n",
        ] {
            assert_eq!(odd(text, None), None, "{text}");
        }
        for text in [r"\N,a", r"a,\N", r#""a, \"b\"",c"#, r"a\nb\tc\\d\,e", r"\0"] {
            assert_eq!(odd(text, Some(b'\\')), None, "{text}");
        }
        assert_eq!(odd("~N~U", Some(b'~')), None);
        let skips = Dialect { skips_blanks: true, ..Dialect::default() };
        assert_eq!(of(b"a,  \"b, c\", d", &skips), None);
        assert_eq!(starts(b"a,  b, \"c\"", &skips), [Some(b'a'), Some(b' '), Some(b' ')]);
    }
}
