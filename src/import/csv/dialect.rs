//! How a text separates its fields and ends its lines.

/// The longest field by default, in bytes. A longer quoted field counts as an unclosed quote.
pub const MAX_FIELD: usize = 1_024 * 1_024;

/// The longest record, as a multiple of the longest field.
const RECORD_FIELDS: usize = 4;

/// What ends a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineEnd {
    /// LF
    #[error("a line feed")]
    LineFeed,
    /// CR without an LF after it
    #[error("a carriage return")]
    CarriageReturn,
    /// CRLF
    #[error("a carriage return with a line feed")]
    Both,
}

/// How a text separates its fields. Doubled quotes inside of quotes always stand for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// The byte between two fields.
    pub delimiter: u8,
    /// The byte around a field that may hold delimiters and line breaks. `None`: quotes are plain text.
    pub quote: Option<u8>,
    /// The byte that takes the meaning from the next one, inside and outside of quotes.
    pub escape: Option<u8>,
    /// The longest field, in bytes without its quotes. A record may be four times as long.
    pub max_field: usize,
    /// Whether blanks after a delimiter belong to it.
    pub skips_blanks: bool,
}

impl Default for Dialect {
    fn default() -> Self {
        Self { delimiter: b',', quote: Some(b'"'), escape: None, max_field: MAX_FIELD, skips_blanks: false }
    }
}

impl Dialect {
    /// Checks that no byte has two meanings.
    /// Errors: [`BadDialect`] if a byte occurs twice, ends lines, or is not ASCII.
    pub fn check(&self) -> Result<(), BadDialect> {
        let bytes = [("delimiter", Some(self.delimiter)), ("quote", self.quote), ("escape", self.escape)];
        for (index, (name, byte)) in bytes.iter().enumerate() {
            let Some(byte) = *byte else { continue };
            if !byte.is_ascii() || matches!(byte, b'\r' | b'\n') {
                return Err(BadDialect::Byte(name));
            }
            if let Some((other, _)) = bytes.iter().take(index).find(|(_, other)| *other == Some(byte)) {
                return Err(BadDialect::Twice(other, name));
            }
        }
        if self.skips_blanks && bytes.iter().any(|(_, byte)| *byte == Some(b' ')) {
            return Err(BadDialect::Blank);
        }
        Ok(())
    }

    /// The longest record, in bytes of text without the line break after it.
    pub(super) fn record_max(&self) -> usize {
        self.max_field.saturating_mul(RECORD_FIELDS)
    }

    pub(super) fn is_ascii(&self) -> bool {
        [Some(self.delimiter), self.quote, self.escape].into_iter().flatten().all(|byte| byte.is_ascii())
    }
}

/// Why a dialect cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadDialect {
    /// A byte of `delimiter`, `quote` or `escape` that cannot have that meaning.
    #[error("--{0} must be one ASCII character other than a line break")]
    Byte(&'static str),
    /// One byte with two meanings.
    #[error("--{0} and --{1} must differ")]
    Twice(&'static str, &'static str),
    /// A blank that would have two meanings.
    #[error(
        "a blank cannot be a delimiter, a quote or an escape where blanks after a delimiter belong to it"
    )]
    Blank,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_byte_has_two_meanings() {
        let check = |delimiter: u8, quote: Option<u8>, escape: Option<u8>, expected: &str| {
            let dialect = Dialect { delimiter, quote, escape, max_field: 1, skips_blanks: true };
            let found = dialect.check().map_or_else(|error| error.to_string(), |()| String::new());
            assert_eq!(found, expected);
        };
        check(b',', Some(b'"'), Some(b'\\'), "");
        check(b'\t', None, None, "");
        check(b',', Some(b','), None, "--delimiter and --quote must differ");
        check(b',', Some(b'"'), Some(b'"'), "--quote and --escape must differ");
        check(b'\n', None, None, "--delimiter must be one ASCII character other than a line break");
        check(b' ', Some(b'"'), None, &BadDialect::Blank.to_string());
        check(b',', Some(0xE9), None, "--quote must be one ASCII character other than a line break");
    }
}
