//! The bytes of a string: where plain text ends, and what a `\uXXXX` means.

/// Reads the `\uXXXX` at `at`, with the second half of its pair if there is one. Returns its length, and
/// whether it is a lone surrogate. `None` if four hexadecimal digits do not follow.
pub(super) fn unicode_escape(text: &[u8], at: usize) -> Option<(usize, bool)> {
    match code_unit(text, at)? {
        0xD800..=0xDBFF => match code_unit(text, at + 6) {
            Some(0xDC00..=0xDFFF) => Some((12, false)),
            _ => Some((6, true)),
        },
        0xDC00..=0xDFFF => Some((6, true)),
        _ => Some((6, false)),
    }
}

/// The UTF-16 code unit of the `\uXXXX` at `at`.
pub(super) fn code_unit(text: &[u8], at: usize) -> Option<u16> {
    let digits = text.get(at..)?.strip_prefix(b"\\u")?.first_chunk::<4>()?;
    digits.iter().try_fold(0_u16, |unit, digit| {
        let value = u16::try_from(char::from(*digit).to_digit(16)?).ok()?;
        Some((unit << 4) | value)
    })
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// Marks the first byte of eight that is a quote, backslash or control character, at its highest bit. Marks above the
/// first mean nothing; without one, no byte is special.
#[inline]
pub(super) fn special(word: u64) -> u64 {
    let quote = word ^ (ONES * b'"' as u64);
    let slash = word ^ (ONES * b'\\' as u64);
    // What was smaller than the subtrahend has its high bit set now. A byte that had it before has it in
    // all three words and is none of these. A borrow can only spoil bytes above the first true hit, and
    // only the first is used.
    let below = quote.wrapping_sub(ONES) | slash.wrapping_sub(ONES) | word.wrapping_sub(ONES * 0x20);
    below & !word & HIGHS
}

/// The place of the next quote, backslash or control character from `at` on, or the end of the text.
///
/// Eight bytes per step. Strings here mostly have 5 to 40 bytes, too few to pay for a call of memchr.
#[inline]
pub(super) fn end_of_plain_text(text: &[u8], mut at: usize) -> usize {
    while let Some(chunk) = text.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let hits = special(u64::from_le_bytes(*chunk));
        if hits != 0 {
            return at + (hits.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while text.get(at).is_some_and(|byte| !matches!(byte, b'"' | b'\\' | 0..=0x1F)) {
        at += 1;
    }
    at
}
