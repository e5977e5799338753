//! Writes JSON strings in long pieces.

/// Whether a byte stands for itself in a JSON string.
const PLAIN: [bool; 256] = {
    let mut plain = [true; 256];
    let mut byte = 0;
    while byte < 256 {
        #[expect(clippy::indexing_slicing, reason = "the index is below the array's length")]
        {
            plain[byte] = byte >= 0x20 && byte != b'"' as usize && byte != b'\\' as usize;
        }
        byte += 1;
    }
    plain
};

/// Whether all of `text` stands for itself in a JSON string. This is much faster than a search for the first
/// byte that does not.
#[inline]
pub fn is_plain(text: &[u8]) -> bool {
    // The loop has no early end, so that it becomes vector instructions.
    !text.iter().fold(false, |found, byte| found | (*byte < 0x20) | (*byte == b'"') | (*byte == b'\\'))
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
        let is_plain = |byte: &u8| PLAIN.get(usize::from(*byte)).copied().unwrap_or(true);
        let len = text.iter().position(|byte| !is_plain(byte)).unwrap_or(text.len());
        let (plain, rest) = text.split_at_checked(len).unwrap_or((text, &[]));
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
            proptest::prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        }
    }
}
