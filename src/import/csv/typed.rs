//! Characters of a dialect, as a person types them.

/// A byte, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TypedByte(pub Option<u8>);

/// A delimiter, as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TypedDelimiter {
    /// The byte; `None`: the text shows it.
    pub byte: Option<u8>,
    /// Whether blanks after a delimiter belong to it.
    pub skips_blanks: bool,
}

impl TypedDelimiter {
    /// Parses `auto`, `;`, `tab`, `; ` or `; blank`. Errors: what was expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == "auto" {
            return Ok(Self { byte: None, skips_blanks: false });
        }
        // The environment of a function has no blank at the end of a value.
        let bare = [" blank", " "].into_iter().find_map(|blank| text.strip_suffix(blank));
        match bare.filter(|bare| !bare.is_empty() && *bare != " ") {
            Some(bare) => Ok(Self { byte: Some(one_byte(bare)?), skips_blanks: true }),
            None => Ok(Self { byte: Some(one_byte(text)?), skips_blanks: false }),
        }
    }
}

/// Parses one character, or `none`. Errors: what was expected.
pub fn byte_or_none(text: &str) -> Result<TypedByte, String> {
    if text == "none" { Ok(TypedByte(None)) } else { one_byte(text).map(|byte| TypedByte(Some(byte))) }
}

fn one_byte(text: &str) -> Result<u8, String> {
    let text = match text {
        "tab" | "\\t" => "\t",
        text => text,
    };
    match text.as_bytes() {
        [byte] if byte.is_ascii() && !matches!(byte, b'\r' | b'\n') => Ok(*byte),
        _ => Err("expected one ASCII character, or tab".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delimiter_may_be_named() {
        let delimiter = |text| {
            TypedDelimiter::parse(text).map(|TypedDelimiter { byte, skips_blanks }| (byte, skips_blanks))
        };
        assert_eq!(delimiter("auto"), Ok((None, false)));
        assert_eq!(delimiter("tab"), Ok((Some(b'\t'), false)));
        assert_eq!(delimiter("\\t"), Ok((Some(b'\t'), false)));
        assert_eq!(delimiter(";"), Ok((Some(b';'), false)));
        assert_eq!(delimiter(" "), Ok((Some(b' '), false)));
        for (text, byte) in [(", ", b','), ("; blank", b';'), ("tab blank", b'\t')] {
            assert_eq!(delimiter(text), Ok((Some(byte), true)), "{text:?}");
        }
        for wrong in ["", "ab", "é", "\n", "  ", " blank", ",blank", "ab "] {
            assert!(delimiter(wrong).is_err(), "{wrong:?}");
        }
        assert_eq!(byte_or_none("none"), Ok(TypedByte(None)));
    }
}
