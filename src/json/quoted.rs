//! Writes JSON strings in long pieces.

use super::bytes::{end_of_plain_text, special};

/// The longest text that is looked at in words.
const SHORT_MAX: usize = 32;

/// Whether all of `text` stands for itself in a JSON string. This is much faster than a search for the first
/// byte that does not.
#[inline]
pub fn is_plain(text: &[u8]) -> bool {
    // The loops have no early end, so that they become vector instructions.
    let is_special = |byte: &u8| (*byte < 0x20) | (*byte == b'"') | (*byte == b'\\');
    let has_special = |text: &[u8]| text.iter().fold(false, |found, byte| found | is_special(byte));
    if text.len() > SHORT_MAX {
        return !has_special(text);
    }
    // Words that may have bytes in common, instead of single bytes.
    if let Some(last) = text.last_chunk::<8>() {
        let has_special = |found, word: &[u8; 8]| found | special(u64::from_le_bytes(*word));
        return text.as_chunks::<8>().0.iter().fold(has_special(0, last), has_special) == 0;
    }
    match (text.first_chunk::<4>(), text.last_chunk::<4>()) {
        (Some(first), Some(last)) => {
            let [first, last] = [first, last].map(|half| u64::from(u32::from_le_bytes(*half)));
            special(first | (last << 32)) == 0
        }
        _ => !has_special(text),
    }
}

/// Appends `text`, which is UTF-8, as a JSON string. With `plain` nothing in it needs an escape.
#[inline]
pub fn write(text: &[u8], plain: bool, out: &mut Vec<u8>) {
    out.push(b'"');
    if plain {
        out.extend_from_slice(text);
    } else {
        write_escaped(text, out);
    }
    out.push(b'"');
}

/// Appends `text` with escapes, without quotes.
pub fn write_escaped(mut text: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    loop {
        let (plain, rest) = text.split_at_checked(end_of_plain_text(text, 0)).unwrap_or((text, &[]));
        out.extend_from_slice(plain);
        let Some((byte, rest)) = rest.split_first() else { return };
        match byte {
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            other => {
                let digit = |nibble: u8| HEX.get(usize::from(nibble)).copied().unwrap_or(b'0');
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&[digit(other >> 4), digit(other & 0x0F)]);
            }
        }
        text = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn what_is_written_is_read_back(text in "[\\x00-\\x7F\u{80}-\u{ff}😀\u{2028}]{0,40}") {
            let mut out = Vec::new();
            write(text.as_bytes(), is_plain(text.as_bytes()), &mut out);
            proptest::prop_assert!(!out.contains(&b'\n'));
            let needs_escape = text.bytes().any(|byte| byte < b' ' || matches!(byte, b'"' | b'\\'));
            proptest::prop_assert_eq!(is_plain(text.as_bytes()), !needs_escape);
            proptest::prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        }
    }
}
