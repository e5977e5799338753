//! The texts of values that JSON has no form for.

use std::fmt::Write as _;
use std::str;

use ::parquet::data_type::Int96;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::kind::Fraction;

const DAY_SECONDS: i64 = 86_400;

/// The most digits of a decimal number that every 64-bit float keeps.
const FLOAT_DIGITS: usize = 15;

/// Appends a date, as days since 1970: `2024-01-31`.
pub(super) fn date(days: i64, out: &mut String) {
    let (year, month, day) = civil(days);
    let mut text = Ascii::default();
    // Most years have four digits.
    if (0..=9_999).contains(&year) {
        text.digits(year.unsigned_abs(), 4);
    } else {
        // ISO 8601 wants a sign before years of more digits.
        out.push(if year < 0 { '-' } else { '+' });
        digits(year.unsigned_abs(), 6, out);
    }
    text.byte(b'-');
    text.digits(month, 2);
    text.byte(b'-');
    text.digits(day, 2);
    out.push_str(text.as_str());
}

/// The year, month and day of a number of days since 1970.
fn civil(days: i64) -> (i64, u64, u64) {
    // Days since the 1st of March of the year 0, in eras of 400 years. A year that begins in March has its
    // leap day at its end, so that the months before it do not depend on it.
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let months = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * months + 2) / 5 + 1;
    let month = if months < 10 { months + 3 } else { months - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month.unsigned_abs(), day.unsigned_abs())
}

/// Appends a time of day: `12:34:56.789`.
pub(super) fn time(of_day: i64, fraction: Fraction, out: &mut String) {
    let per_second = fraction.per_second();
    let (seconds, rest) = (of_day.div_euclid(per_second), of_day.rem_euclid(per_second));
    if seconds < 0 {
        out.push('-');
    }
    let seconds = seconds.unsigned_abs();
    if seconds >= 360_000 {
        // More hours than a day has. The two last digits follow.
        digits(seconds / 360_000, 1, out);
    }
    let mut text = Ascii::default();
    text.digits(seconds / 3_600 % 100, 2);
    text.byte(b':');
    text.digits(seconds / 60 % 60, 2);
    text.byte(b':');
    text.digits(seconds % 60, 2);
    text.byte(b'.');
    text.digits(rest.unsigned_abs(), fraction.digits());
    out.push_str(text.as_str());
}

/// Appends a time, since 1970: `2024-01-31T12:34:56.789Z`.
pub(super) fn timestamp(since: i64, fraction: Fraction, out: &mut String) {
    let a_day = DAY_SECONDS * fraction.per_second();
    date(since.div_euclid(a_day), out);
    out.push('T');
    time(since.rem_euclid(a_day), fraction, out);
    out.push('Z');
}

/// A short text, which is appended at once.
#[derive(Default)]
struct Ascii {
    bytes: [u8; 24],
    len: usize,
}

impl Ascii {
    fn byte(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.len) {
            *place = byte;
            self.len += 1;
        }
    }

    /// Adds the last digits of a number.
    fn digits(&mut self, number: u64, count: usize) {
        let mut rest = number;
        let end = self.len + count;
        for place in self.bytes.get_mut(self.len..end).unwrap_or_default().iter_mut().rev() {
            *place = b'0' + u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
        }
        self.len = end;
    }

    fn as_str(&self) -> &str {
        str::from_utf8(self.bytes.get(..self.len).unwrap_or_default()).unwrap_or_default()
    }
}

/// Appends a number with at least this many digits.
fn digits(number: u64, least: usize, out: &mut String) {
    // Writing to a string cannot fail.
    write!(out, "{number:0least$}").unwrap_or_default();
}

/// Appends bytes as base64.
pub(super) fn base64(bytes: &[u8], out: &mut String) {
    STANDARD.encode_string(bytes, out);
}

/// Appends the 12 bytes of the old form of times as base64.
pub(super) fn int96(value: &Int96, out: &mut String) {
    let mut bytes = [0; 12];
    for (to, word) in bytes.chunks_exact_mut(4).zip(value.data()) {
        to.copy_from_slice(&word.to_le_bytes());
    }
    base64(&bytes, out);
}

/// Appends 16 bytes as a UUID.
pub(super) fn uuid(bytes: &[u8], out: &mut String) {
    let bytes = <[u8; 16]>::try_from(bytes).unwrap_or_default();
    out.push_str(uuid::Uuid::from_bytes(bytes).hyphenated().encode_lower(&mut [0; 36]));
}

/// The value of a 16-bit float.
pub(super) fn float16(bytes: &[u8]) -> f64 {
    let bits = u16::from_le_bytes(<[u8; 2]>::try_from(bytes).unwrap_or_default());
    let fraction = f64::from(bits & 0x3FF);
    let value = match (bits >> 10) & 0x1F {
        0 => fraction * 2_f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        exponent => (1024.0 + fraction) * 2_f64.powi(i32::from(exponent) - 25),
    };
    if bits & 0x8000 == 0 { value } else { -value }
}

/// Appends a decimal number with all its digits. Whether a 64-bit float keeps them: only then it may be a
/// number in JSON, which most readers read as such a float.
pub(super) fn decimal(unscaled: i128, scale: usize, out: &mut String) -> bool {
    let text = unscaled.unsigned_abs().to_string();
    decimal_of(unscaled < 0, &text, scale, out)
}

/// As [`decimal`], of a number of any length: big-endian, in two's complement.
pub(super) fn decimal_of_bytes(bytes: &[u8], scale: usize, out: &mut String) -> bool {
    let is_negative = bytes.first().is_some_and(|first| *first >= 0x80);
    if bytes.len() <= 16 {
        let mut wide = [if is_negative { 0xFF } else { 0 }; 16];
        if let Some(to) = wide.get_mut(16 - bytes.len()..) {
            to.copy_from_slice(bytes);
        }
        return decimal(i128::from_be_bytes(wide), scale, out);
    }
    // The digits in groups of nine, the lowest first.
    let mut groups: Vec<u32> = Vec::new();
    let mut carry_one = is_negative;
    let mut magnitude = bytes.to_vec();
    if is_negative {
        for byte in magnitude.iter_mut().rev() {
            let (negated, overflows) = (!*byte).overflowing_add(u8::from(carry_one));
            (*byte, carry_one) = (negated, overflows);
        }
    }
    for byte in magnitude {
        let mut carry = u64::from(byte);
        for group in &mut groups {
            let value = u64::from(*group) * 256 + carry;
            *group = u32::try_from(value % 1_000_000_000).unwrap_or(0);
            carry = value / 1_000_000_000;
        }
        if carry > 0 {
            groups.push(u32::try_from(carry).unwrap_or(0));
        }
    }
    let mut text = groups.last().map_or_else(|| "0".to_owned(), u32::to_string);
    for group in groups.iter().rev().skip(1) {
        digits(u64::from(*group), 9, &mut text);
    }
    decimal_of(is_negative, &text, scale, out)
}

fn decimal_of(is_negative: bool, text: &str, scale: usize, out: &mut String) -> bool {
    if is_negative {
        out.push('-');
    }
    let zeros = (scale + 1).saturating_sub(text.len());
    let (whole, fraction) = text.split_at_checked(text.len().saturating_sub(scale)).unwrap_or((text, ""));
    if whole.is_empty() {
        out.push('0');
    } else {
        out.push_str(whole);
    }
    if scale > 0 {
        out.push('.');
        // The zero before the point is one of them.
        out.extend(std::iter::repeat_n('0', zeros.saturating_sub(1)));
        out.push_str(fraction);
    }
    // The exponent of a float ends at 308.
    text.trim_end_matches('0').len() <= FLOAT_DIGITS && whole.len() <= 300 && scale <= 300
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(write: impl FnOnce(&mut String)) -> String {
        let mut out = String::new();
        write(&mut out);
        out
    }

    #[test]
    fn times_have_their_own_digits() {
        let day = |days| said(|out| date(days, out));
        assert_eq!(day(0), "1970-01-01");
        assert_eq!(day(19_782), "2024-02-29");
        assert_eq!(day(-1), "1969-12-31");
        assert_eq!(day(-719_528), "0000-01-01");
        assert_eq!(day(-719_529), "-000001-12-31");
        assert_eq!(day(2_932_896), "9999-12-31");
        assert_eq!(day(2_932_897), "+010000-01-01");
        assert_eq!(day(i64::from(i32::MAX)), "+5881580-07-11");
        let at = |since, fraction| said(|out| timestamp(since, fraction, out));
        assert_eq!(at(1_706_704_496_789, Fraction::Millis), "2024-01-31T12:34:56.789Z");
        assert_eq!(at(-1, Fraction::Micros), "1969-12-31T23:59:59.999999Z");
        assert_eq!(at(1_706_704_496_000_000_001, Fraction::Nanos), "2024-01-31T12:34:56.000000001Z");
        at(i64::MIN, Fraction::Millis);
        at(i64::MAX, Fraction::Micros);
        assert_eq!(said(|out| time(45_296_789, Fraction::Millis, out)), "12:34:56.789");
        assert_eq!(said(|out| time(-1_500, Fraction::Millis, out)), "-00:00:02.500");
        assert_eq!(said(|out| time(400_000_001, Fraction::Millis, out)), "111:06:40.001");
        assert_eq!(said(|out| time(86_400_000_000, Fraction::Micros, out)), "24:00:00.000000");
    }

    #[test]
    fn decimals_keep_their_digits_and_know_whether_a_float_does() {
        let check = |unscaled: i128, scale, text: &str, fits: bool| {
            let mut out = String::new();
            assert_eq!(decimal(unscaled, scale, &mut out), fits, "{text}");
            assert_eq!(out, text);
            // The same from bytes, as short as they can be and longer than 128 bits.
            let bytes = unscaled.to_be_bytes();
            let long = [&[if unscaled < 0 { 0xFF } else { 0 }; 9], &bytes[..]].concat();
            for bytes in [&bytes[..], &long] {
                let mut out = String::new();
                assert_eq!(decimal_of_bytes(bytes, scale, &mut out), fits, "{text}");
                assert_eq!(out, text);
            }
        };
        check(110, 2, "1.10", true);
        check(-5, 3, "-0.005", true);
        check(0, 0, "0", true);
        check(0, 2, "0.00", true);
        check(100, 2, "1.00", true);
        check(10, 2, "0.10", true);
        check(-1_234, 0, "-1234", true);
        check(999_999_999_999_999, 2, "9999999999999.99", true);
        check(1_234_567_890_123_456, 2, "12345678901234.56", false);
        check(5_000_000_000_000_000_000_000, 20, "50.00000000000000000000", true);
        check(i128::MAX, 0, "170141183460469231731687303715884105727", false);
        check(i128::MIN, 38, "-1.70141183460469231731687303715884105728", false);
        let mut out = String::new();
        decimal_of_bytes(&[], 1, &mut out);
        assert_eq!(out, "0.0");
    }

    #[test]
    fn short_floats_and_bytes() {
        let of = |bits: u16| float16(&bits.to_le_bytes());
        assert_eq!(of(0x3C00), 1.0);
        assert_eq!(of(0xC000), -2.0);
        assert_eq!(of(0x0001), 2_f64.powi(-24));
        assert_eq!(of(0x7BFF), 65_504.0);
        assert_eq!(of(0x7C00), f64::INFINITY);
        assert!(of(0x7E00).is_nan());
        let mut value = Int96::new();
        value.set_data(1, 2, 2_440_589);
        assert_eq!(said(|out| int96(&value, out)), "AQAAAAIAAACNPSUA");
        assert_eq!(said(|out| uuid(&[0x12; 16], out)), "12121212-1212-1212-1212-121212121212");
    }
}
