//! Strings and raw text: unescapes for comparison, tidies for a line, writes new strings.

use std::borrow::Cow;

use super::bytes::{code_unit, end_of_plain_text, unicode_escape};
use super::scan::Text;

/// The content of a string. Borrowed if it has no escapes; a lone surrogate becomes U+FFFD.
#[inline]
pub fn unescape(text: Text, of: &[u8]) -> Cow<'_, [u8]> {
    let raw = text.span.of(of);
    if text.escaped { Cow::Owned(unescaped(raw)) } else { Cow::Borrowed(raw) }
}

#[cold]
fn unescaped(raw: &[u8]) -> Vec<u8> {
    let mut said = Vec::with_capacity(raw.len());
    let mut at = 0;
    while at < raw.len() {
        let plain = end_of_plain_text(raw, at);
        said.extend_from_slice(raw.get(at..plain).unwrap_or_default());
        at = plain + unescape_one(raw, plain, &mut said);
    }
    said
}

/// A whole JSON text with its escapes replaced by what they mean, to search in: it is no JSON any more. A
/// lone surrogate becomes U+FFFD.
pub fn without_escapes(text: &str) -> String {
    let raw = text.as_bytes();
    let mut said = Vec::with_capacity(raw.len());
    let mut at = 0;
    while let Some(plain) = raw.get(at..).and_then(|rest| rest.iter().position(|byte| *byte == b'\\')) {
        said.extend_from_slice(raw.get(at..at + plain).unwrap_or_default());
        at += plain;
        at += unescape_one(raw, at, &mut said);
    }
    said.extend_from_slice(raw.get(at..).unwrap_or_default());
    String::from_utf8(said).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// Appends the character of the escape at `at` to `said`. Returns the escape's length.
fn unescape_one(raw: &[u8], at: usize, said: &mut Vec<u8>) -> usize {
    let simple = match raw.get(at + 1) {
        Some(b'u') => {
            let Some((len, _)) = unicode_escape(raw, at) else { return 2 };
            let units = [code_unit(raw, at), if len == 12 { code_unit(raw, at + 6) } else { None }];
            for decoded in char::decode_utf16(units.into_iter().flatten()) {
                let mut utf8 = [0; 4];
                let character = decoded.unwrap_or(char::REPLACEMENT_CHARACTER);
                said.extend_from_slice(character.encode_utf8(&mut utf8).as_bytes());
            }
            return len;
        }
        Some(b'b') => 0x08,
        Some(b'f') => 0x0C,
        Some(b'n') => b'\n',
        Some(b'r') => b'\r',
        Some(b't') => b'\t',
        Some(same) => *same,
        None => return 1,
    };
    said.push(simple);
    2
}

/// Appends `raw`, a piece of scanned text that begins and ends outside of strings, without the white space
/// between its tokens and with `\ufffd` in place of lone surrogates. Returns how many of these there were.
pub fn tidy_into(out: &mut Vec<u8>, raw: &[u8]) -> u32 {
    let mut replaced = 0;
    let mut at = 0;
    while let Some(byte) = raw.get(at) {
        match byte {
            b' ' | b'\n' | b'\r' | b'\t' => at += 1,
            b'"' => at = tidy_string_into(out, raw, at, &mut replaced),
            other => {
                out.push(*other);
                at += 1;
            }
        }
    }
    replaced
}

/// Appends the string whose opening quote is at `start`. Returns where it ends.
fn tidy_string_into(out: &mut Vec<u8>, raw: &[u8], start: usize, replaced: &mut u32) -> usize {
    let (mut copied, mut at) = (start, start + 1);
    loop {
        at = end_of_plain_text(raw, at);
        match raw.get(at..at + 2) {
            Some(b"\\u") => {
                let (len, lone) = unicode_escape(raw, at).unwrap_or((2, false));
                if lone {
                    out.extend_from_slice(raw.get(copied..at).unwrap_or_default());
                    out.extend_from_slice(b"\\ufffd");
                    copied = at + len;
                    *replaced += 1;
                }
                at += len;
            }
            Some([b'\\', _]) => at += 2,
            _ => break,
        }
    }
    let end = raw.len().min(at + 1);
    out.extend_from_slice(raw.get(copied..end).unwrap_or_default());
    end
}

/// Appends `text` as a JSON string, quotes included.
pub fn write_text(out: &mut Vec<u8>, text: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            0..=0x1F => {
                let digit = |nibble: u8| HEX.get(usize::from(nibble)).copied().unwrap_or(b'0');
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&[digit(byte >> 4), digit(byte & 0x0F)]);
            }
            other => out.push(other),
        }
    }
    out.push(b'"');
}

/// Appends a number in decimal digits.
pub fn write_number(out: &mut Vec<u8>, number: u64) {
    let mut digits = [0; 20];
    let mut rest = number;
    let mut start = digits.len();
    for pair in digits.as_chunks_mut::<2>().0.iter_mut().rev() {
        let two = u8::try_from(rest % 100).unwrap_or(0);
        *pair = [b'0' + two / 10, b'0' + two % 10];
        rest /= 100;
        start -= 2;
        if rest == 0 {
            // The last pair may be a single digit.
            start += usize::from(two < 10);
            break;
        }
    }
    out.extend_from_slice(digits.get(start..).unwrap_or_default());
}

/// Appends a finite number in the fewest digits that mean it, as Rust shows it: `3.0`, `1e-7`.
pub fn write_float(out: &mut Vec<u8>, float: f64) {
    use std::io::Write as _;
    let (size, start) = (float.abs(), out.len());
    // Within these bounds `serde_json` writes the same, in a quarter of the time. Writing to a vector cannot fail.
    if size == 0.0 || (1e-4..1e16).contains(&size) {
        serde_json::to_writer(&mut *out, &float).unwrap_or_default();
        let digits = out.iter().skip(start).filter(|byte| byte.is_ascii_digit()).count();
        // Of more digits, two decimals may be equally near, and the two then differ in the last digit.
        if digits <= UNIQUE_DIGITS {
            return;
        }
        out.truncate(start);
    }
    write!(out, "{float:?}").unwrap_or_default();
}

/// No two decimals with so many digits mean one `f64`.
const UNIQUE_DIGITS: usize = 15;

/// The beginning of a text that [`write_text`] writes in at most `most` bytes, without its quotes.
pub fn text_within(text: &str, most: usize) -> &str {
    let mut len = 0;
    let fits = |(_, character): &(usize, char)| {
        len += match character {
            '"' | '\\' => 2,
            '\0'..='\u{1F}' => 6,
            other => other.len_utf8(),
        };
        len <= most
    };
    let end = text.char_indices().take_while(fits).last().map_or(0, |(at, last)| at + last.len_utf8());
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::{Cursor, ValueKind};
    use super::*;

    #[test]
    fn a_text_is_cut_to_what_it_takes_when_it_is_written() {
        let text = "a\"\n\u{1}é\\";
        for most in 0..24 {
            let within = text_within(text, most);
            let written = |text: &str| {
                let mut out = Vec::new();
                write_text(&mut out, text);
                out.len() - 2
            };
            assert!(text.starts_with(within) && written(within) <= most, "{most}: {within:?}");
            let next = text.chars().nth(within.chars().count());
            assert!(next.is_none_or(|next| written(within) + written(&next.to_string()) > most), "{most}");
        }
    }

    #[test]
    fn unescaping_agrees_with_serde_json() {
        let check = |raw: &str| {
            let value = Cursor::new(raw.as_bytes(), 1).value().unwrap();
            let said = unescape(value.text().unwrap(), raw.as_bytes());
            let expected: String = serde_json::from_str(raw).unwrap();
            assert_eq!(said, expected.as_bytes(), "{raw}");
        };
        check(r#""""#);
        check(r#""plain, é and ☃""#);
        check(r#""\"\\\/\b\f\n\r\t""#);
        check(r#""\u0041\u00e9\u2603\ud83d\ude00\u0000 end""#);
    }

    #[test]
    fn lone_surrogates_read_as_the_replacement_character() {
        let check = |raw: &str, expected: &str| {
            let value = Cursor::new(raw.as_bytes(), 1).value().unwrap();
            assert_eq!(value.kind, ValueKind::Escaped);
            assert_eq!(unescape(value.text().unwrap(), raw.as_bytes()), expected.as_bytes(), "{raw}");
        };
        check(r#""a\ud800""#, "a\u{fffd}");
        check(r#""\udc00b""#, "\u{fffd}b");
        check(r#""\ud800\ud800\udc00""#, "\u{fffd}\u{10000}");
        check(r#""\ud800\u0041""#, "\u{fffd}A");
    }

    #[test]
    fn a_text_without_escapes_reads_as_it_was_meant() {
        let check = |raw: &str, expected: &str| assert_eq!(without_escapes(raw), expected, "{raw}");
        check(
            r#"{"a\u00fc":[1,"\ud83d\ude00","say \"hi\"\n"]}"#,
            "{\"a\u{fc}\":[1,\"😀\",\"say \"hi\"\n\"]}",
        );
        check(r#"["\ud83d x\\"]"#, "[\"\u{fffd} x\\\"]");
        check("{}", "{}");
    }

    #[test]
    fn tidying_drops_only_white_space_and_lone_surrogates() {
        let check = |raw: &str, expected: &str, replaced: u32| {
            let mut out = b"kept,".to_vec();
            assert_eq!(tidy_into(&mut out, raw.as_bytes()), replaced, "{raw}");
            assert_eq!(String::from_utf8(out).unwrap(), format!("kept,{expected}"), "{raw}");
        };
        check("{\n\t\"a b\" :\r\n [ 1 , -2.50e1 ]\n}", r#"{"a b":[1,-2.50e1]}"#, 0);
        check(r#""quote \" and \\""#, r#""quote \" and \\""#, 0);
        check(r#"{"\ud800":"x\uDFFFy\ud800\udc00"}"#, r#"{"\ufffd":"x\ufffdy\ud800\udc00"}"#, 2);
        check(r#""\\ud800""#, r#""\\ud800""#, 0);
        check(r#""\ud800\ud801""#, r#""\ufffd\ufffd""#, 2);
        check(r#", "a" : 1"#, r#","a":1"#, 0);
    }

    proptest::proptest! {
        #[test]
        fn a_float_is_written_as_rust_shows_it(bits in proptest::num::f64::ANY, cents in -9_999_999_i32..9_999_999) {
            let near = [1e-4, 1e16, 1e-5, 1e15].map(|bound: f64| [bound.next_down(), bound, bound.next_up()]);
            let mut floats = near.concat();
            // Two decimals are equally near.
            floats.extend([1e15 - 217.75, 1_092_994_045_835_761.0 + 0.25]);
            floats.push(1e15 - 217.75 + f64::from(cents) / 8.0);
            floats.extend([bits, f64::from(cents) / 100.0, f64::from(cents), 0.0, -0.0]);
            for float in floats.into_iter().filter(|float| float.is_finite()) {
                let mut out = Vec::new();
                write_float(&mut out, float);
                proptest::prop_assert_eq!(String::from_utf8(out).unwrap(), format!("{float:?}"));
            }
        }
    }

    #[test]
    fn a_number_is_written_in_its_digits() {
        let powers = (0..20).map(|power| 10_u64.pow(power)).flat_map(|power| [power - 1, power, power + 1]);
        for number in powers.chain([42, 1_556_742_387_940, u64::MAX]) {
            let mut out = b"<".to_vec();
            write_number(&mut out, number);
            assert_eq!(String::from_utf8(out).unwrap(), format!("<{number}"));
        }
    }

    #[test]
    fn written_text_is_read_back_the_same() {
        let check = |text: &str| {
            let mut out = Vec::new();
            write_text(&mut out, text);
            assert!(!out.contains(&b'\n'), "{text:?}");
            assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        };
        check("");
        check("a\"b\\c\n\r\t\u{0}\u{1f}\u{7f}é☃😀\u{2028}");
    }
}
