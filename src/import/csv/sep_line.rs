//! The first line that Excel reads as the delimiter of a text: `sep=;`, perhaps in quotes.

/// The byte order mark of UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// A first line that names the delimiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SepLine {
    /// The delimiter.
    pub delimiter: u8,
    /// The line's length in bytes, with a byte order mark before it and without the line break.
    pub len: usize,
}

/// The line that names the delimiter, if the text begins with one.
pub(super) fn of(sample: &[u8]) -> Option<SepLine> {
    let text = sample.strip_prefix(BYTE_ORDER_MARK).unwrap_or(sample);
    let line = text.split(|byte| matches!(byte, b'\r' | b'\n')).next()?;
    let bare = line.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(line);
    let (name, delimiter) = bare.split_at_checked(4)?;
    let [delimiter] = *delimiter else { return None };
    let is_delimiter =
        delimiter == b'\t' || (delimiter.is_ascii_punctuation() && !matches!(delimiter, b'"' | b'\\'));
    let is_sep = name.eq_ignore_ascii_case(b"sep=") && is_delimiter;
    is_sep.then(|| SepLine { delimiter, len: sample.len() - text.len() + line.len() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_excel_is_known() {
        let check = |text: &str, expected: Option<(char, usize)>| {
            let found = of(text.as_bytes()).map(|line| (char::from(line.delimiter), line.len));
            assert_eq!(found, expected, "{text:?}");
        };
        check("sep=;\r\na;b\r\n", Some((';', 5)));
        check("\"sep=;\"\na;b\n", Some((';', 7)));
        check("\u{feff}SEP=,\ra,b", Some((',', 8)));
        check("sep=\t\na\tb\n", Some(('\t', 5)));
        check("sep=|", Some(('|', 5)));
        for text in [
            "", "a;b\n", "sep=\n", "sep=;;\n", "sep=a\n", "sep= \n", "sep=\"\n", "sep=;x\n", "\"sep=;\n",
            "\nsep=;\n",
        ] {
            check(text, None);
        }
    }
}
