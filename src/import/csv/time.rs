//! Times as exports write them.

use crate::call::timestamp;
use crate::time::{DAY_MS, UnixMillis};
use crate::words::date::{EARLIEST, LATEST, days_of_civil, rfc3339_within_years};
use crate::words::rfc3339;

/// The longest text that is read as a time, in bytes.
const TEXT_MAX: usize = 64;

/// Reads a time: ISO 8601 or Unix time. White space around it does not count. Only the years 0 to 9999 are
/// times; digits beyond milliseconds are cut off.
///
/// - ISO 8601 as in [`timestamp::parse`]; also without seconds, with a comma before the fraction, with an offset of
///   hours alone, with a space or ` UTC` before or in place of the offset (as databases export it), and without
///   separators (`20190511T203227Z`; for the years 1900 to 2099 and 9999 also `20190511`, `201905112032` and
///   `20190511203227`). No offset means UTC.
/// - Unix time in seconds, milliseconds, microseconds or nanoseconds: below 10^11, 10^14, 10^17 and 10^20,
///   with a minus and a fraction if need be. Not those numbers of 4, 6, 8, 12 or 14 digits that may be a year, a month,
///   a day, a minute or a second of these years.
pub(super) fn parse(cell: &[u8]) -> Option<UnixMillis> {
    let text = cell.trim_ascii();
    if text.is_empty() || text.len() > TEXT_MAX {
        return None;
    }
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let at = if digits == text.len() {
        if may_be_date(text) { compact(text) } else { unix(text) }
    } else if digits == 8 {
        basic(text)
    } else if text.first() == Some(&b'-') || text.get(digits) == Some(&b'.') {
        unix(text)
    } else {
        timestamp::parse(text).or_else(|| exported(text))
    }?;
    let earliest = days_of_civil(0, 1, 1) * DAY_MS;
    (earliest..=LATEST.0).contains(&at.0).then_some(at)
}

/// Whether a text that is a time already has the form of `write`. A leap second has not: it is no second of
/// Unix time.
pub(super) fn is_as_written(cell: &[u8]) -> bool {
    matches!(cell, [_, _, _, _, _, _, _, _, _, _, b'T', _, _, _, _, _, _, tens, _, b'.', _, _, _, b'Z'] if *tens != b'6')
}

/// Appends a time in the years 0 to 9999 as a JSON string: `"2019-05-11T20:32:27.940Z"`.
pub(super) fn write(at: UnixMillis, out: &mut Vec<u8>) {
    out.push(b'"');
    if at >= EARLIEST {
        out.extend_from_slice(&rfc3339_within_years(at));
    } else {
        out.extend_from_slice(rfc3339(at).as_bytes());
    }
    out.push(b'"');
}

/// Whether digits look like `YYYY`, `YYYYMM`, `YYYYMMDD`, `YYYYMMDDhhmm` or `YYYYMMDDhhmmss`. As Unix time these would be
/// in the seventies, or in years about 2600. `9999` is the year of what never ends.
fn may_be_date(digits: &[u8]) -> bool {
    match digits {
        [b'1', b'9', ..] | [b'2', b'0', ..] => matches!(digits.len(), 4 | 6 | 8 | 12 | 14),
        // Twelve of these digits are milliseconds of 2001.
        [b'9', b'9', b'9', b'9', ..] => matches!(digits.len(), 4 | 8 | 14),
        _ => false,
    }
}

/// `YYYYMMDD`, then `T`, then `hhmmss` or `hhmm`, and the rest as elsewhere.
fn basic(text: &[u8]) -> Option<UnixMillis> {
    let ([y0, y1, y2, y3, m0, m1, d0, d1, b'T' | b't'], rest) = text.split_first_chunk::<9>()? else {
        return None;
    };
    let time_len = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (time, rest) = rest.split_at_checked(time_len)?;
    let [h0, h1, n0, n1, s0, s1] = match time.len() {
        4 => [time, b"00"].concat(),
        _ => time.to_vec(),
    }
    .try_into()
    .ok()?;
    let whole =
        [*y0, *y1, *y2, *y3, b'-', *m0, *m1, b'-', *d0, *d1, b'T', h0, h1, b':', n0, n1, b':', s0, s1];
    exported(&[&whole, rest].concat())
}

/// `YYYYMMDD`, alone or followed by `hhmm` or `hhmmss`.
fn compact(digits: &[u8]) -> Option<UnixMillis> {
    let (date, time) = digits.split_at_checked(8)?;
    let [y0, y1, y2, y3, m0, m1, d0, d1] = *date.first_chunk::<8>()?;
    let [h0, h1, n0, n1, s0, s1] = match time.len() {
        0 => *b"000000",
        4 => [time, b"00"].concat().try_into().ok()?,
        6 => *time.first_chunk::<6>()?,
        _ => return None,
    };
    timestamp::parse(&[
        y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1, b'T', h0, h1, b':', n0, n1, b':', s0, s1, b'Z',
    ])
}

/// Unix time, by its magnitude.
fn unix(text: &[u8]) -> Option<UnixMillis> {
    /// Digits of a fraction that count.
    const FRACTION_DIGITS: u32 = 9;
    let (negative, text) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut halves = text.splitn(2, |byte| *byte == b'.');
    let whole = halves.next().filter(|whole| whole.len() <= 20).and_then(number)?;
    let fraction = match halves.next() {
        None => 0,
        Some(digits) => {
            number(digits)?;
            (0..9).try_fold(0_i128, |value, place| {
                let digit = digits.get(place).map_or(0, |digit| digit.saturating_sub(b'0'));
                Some(value * 10 + i128::from(digit))
            })?
        }
    };
    let nanoseconds_each: i128 = match whole {
        0..100_000_000_000 => 1_000_000_000,
        100_000_000_000..100_000_000_000_000 => 1_000_000,
        100_000_000_000_000..100_000_000_000_000_000 => 1_000,
        _ => 1,
    };
    let parts = whole.checked_mul(10_i128.pow(FRACTION_DIGITS))? + fraction;
    let parts = if negative { -parts } else { parts };
    let ms = (parts * nanoseconds_each).div_euclid(1_000_000 * 10_i128.pow(FRACTION_DIGITS));
    Some(UnixMillis(i64::try_from(ms).ok()?))
}

/// One or more digits, as a number. At most 38 digits fit.
fn number(digits: &[u8]) -> Option<i128> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_i128, |value, digit| {
        let digit = digit.is_ascii_digit().then(|| i128::from(digit - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    })
}

/// A time in one of the forms that databases and tables write but RFC 3339 does not have, brought to that form.
fn exported(text: &[u8]) -> Option<UnixMillis> {
    let (date, rest) = text.split_at_checked(10)?;
    let rest =
        rest.strip_prefix(b"T").or_else(|| rest.strip_prefix(b"t")).or_else(|| rest.strip_prefix(b" "))?;
    let time_len =
        rest.iter().take_while(|byte| byte.is_ascii_digit() || matches!(byte, b':' | b'.' | b',')).count();
    let (time, zone) = rest.split_at_checked(time_len)?;
    let zone = zone.trim_ascii_start();
    let mut whole = Vec::with_capacity(TEXT_MAX);
    whole.extend_from_slice(date);
    whole.push(b'T');
    whole.extend(time.iter().map(|byte| if *byte == b',' { b'.' } else { *byte }));
    if time.len() == b"20:32".len() {
        whole.extend_from_slice(b":00");
    }
    match zone {
        b"UTC" | b"GMT" => whole.push(b'Z'),
        [b'+' | b'-', tens, ones] if tens.is_ascii_digit() && ones.is_ascii_digit() => {
            whole.extend_from_slice(zone);
            whole.extend_from_slice(b":00");
        }
        other => whole.extend_from_slice(other),
    }
    timestamp::parse(&whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Option<String> {
        let mut out = Vec::new();
        write(parse(text.as_bytes())?, &mut out);
        Some(serde_json::from_slice(&out).unwrap())
    }

    #[test]
    fn exported_times_are_read() {
        let check = |text: &str, expected: &str| assert_eq!(shown(text).as_deref(), Some(expected), "{text}");
        check("2019-05-11T20:32:27.940Z", "2019-05-11T20:32:27.940Z");
        check(" 2019-05-11T20:32:27Z\t", "2019-05-11T20:32:27.000Z");
        check("2019-05-11", "2019-05-11T00:00:00.000Z");
        check("2019-05-11 20:32:27", "2019-05-11T20:32:27.000Z");
        check("2019-05-11 20:32", "2019-05-11T20:32:00.000Z");
        check("2019-05-11T20:32Z", "2019-05-11T20:32:00.000Z");
        check("2019-05-11T20:32+02:00", "2019-05-11T18:32:00.000Z");
        check("2019-05-11T20:32:27+02:00", "2019-05-11T18:32:27.000Z");
        check("2019-05-11 20:32:27.123456+00", "2019-05-11T20:32:27.123Z");
        check("2019-05-11 20:32:27.94 UTC", "2019-05-11T20:32:27.940Z");
        check("2019-05-11 20:32:27 -0330", "2019-05-12T00:02:27.000Z");
        check("20190511", "2019-05-11T00:00:00.000Z");
        check("20190511203227", "2019-05-11T20:32:27.000Z");
        check("201905112032", "2019-05-11T20:32:00.000Z");
        check("99991231", "9999-12-31T00:00:00.000Z");
        check("20190511T203227Z", "2019-05-11T20:32:27.000Z");
        check("20190511T203227,940+0200", "2019-05-11T18:32:27.940Z");
        check("20190511T2032", "2019-05-11T20:32:00.000Z");
        check("2019-05-11T20:32:27,940Z", "2019-05-11T20:32:27.940Z");
        check("1965-07-01T12:00:00Z", "1965-07-01T12:00:00.000Z");
        check("0000-01-01", "0000-01-01T00:00:00.000Z");
        check("9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z");
    }

    #[test]
    fn unix_times_are_read_by_their_magnitude() {
        let check = |text: &str, expected: &str| assert_eq!(shown(text).as_deref(), Some(expected), "{text}");
        check("1557606747", "2019-05-11T20:32:27.000Z");
        check("1557606747.94", "2019-05-11T20:32:27.940Z");
        check("1557606747.9409999", "2019-05-11T20:32:27.940Z");
        check("1557606747940", "2019-05-11T20:32:27.940Z");
        check("1557606747940.7", "2019-05-11T20:32:27.940Z");
        check("1557606747940123", "2019-05-11T20:32:27.940Z");
        check("1557606747940123456", "2019-05-11T20:32:27.940Z");
        check("0", "1970-01-01T00:00:00.000Z");
        check("-0", "1970-01-01T00:00:00.000Z");
        check("0.5", "1970-01-01T00:00:00.500Z");
        check("-0.5", "1969-12-31T23:59:59.500Z");
        check("-86400", "1969-12-31T00:00:00.000Z");
        check("99999999999", "5138-11-16T09:46:39.000Z");
        check("999999999999", "2001-09-09T01:46:39.999Z");
        check("100000000000", "1973-03-03T09:46:40.000Z");
        check("00001557606747", "2019-05-11T20:32:27.000Z");
        check("2101", "1970-01-01T00:35:01.000Z");
        check("21191332", "1970-09-03T06:28:52.000Z");
    }

    #[test]
    fn a_time_in_the_written_form_is_known() {
        for (text, same) in [
            ("2019-05-11T20:32:27.940Z", true),
            ("2019-05-11t20:32:27.940z", false),
            ("2019-05-11 20:32:27.940Z", false),
            ("2016-12-31T23:59:60.000Z", false),
            ("2019-05-11T20:32:27+00:0", false),
            ("2019-05-11T20:32:27.9401", false),
        ] {
            assert_eq!(is_as_written(text.as_bytes()), same, "{text}");
            assert!(!same || shown(text).as_deref() == Some(text));
        }
    }

    #[test]
    fn other_texts_are_no_times() {
        for text in [
            "",
            " ",
            "now",
            "soon",
            "-",
            ".",
            "1.",
            ".5",
            "+1",
            "--1",
            "1.5.2",
            "1-1",
            "1e9",
            "1,557,606,747",
            "١",
            "2019",
            "201905",
            "20191332",
            "20190511203299",
            "201905112099",
            "9999",
            "20190511T",
            "20190511T20",
            "20190511 203227",
            "20190511T203227,",
            "2019-05-11T20:32:27,",
            "2019-02-30",
            "2019-05-11T",
            "2019-05-11T20",
            "2019-05-11T24:00",
            "2019-05-11 20:32:27 CEST",
            "2019-05-11 20:32:27+2",
            "2019-05-11 20:32:27 UTC UTC",
            "11.05.2019",
            "05/11/2019",
            "2019/05/11",
            "0000-01-01T00:00:00+00:01",
            "9999-12-31T23:59:59-00:01",
            "999999999999999999999",
            "-99999999999",
            "1557606747\0",
            "10000-01-01",
            "NaN",
        ] {
            assert_eq!(shown(text), None, "{text:?}");
        }
        assert_eq!(shown(&"1".repeat(10_000)), None);
        assert_eq!(shown(&format!("1.{}", "1".repeat(62))), None);
        assert_eq!(shown("2019-05-11T20:32:27\u{a0}Z"), None);
    }

    proptest::proptest! {
        #[test]
        fn a_written_time_is_read_as_the_same(ms in -62_167_219_200_000_i64..253_402_300_800_000) {
            let mut out = Vec::new();
            write(UnixMillis(ms), &mut out);
            let text: String = serde_json::from_slice(&out).unwrap();
            proptest::prop_assert!(is_as_written(text.as_bytes()));
            proptest::prop_assert_eq!(parse(text.as_bytes()), Some(UnixMillis(ms)));
        }

        #[test]
        fn no_text_panics(text in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..70), digits in "[-0-9.]{0,45}") {
            parse(&text);
            parse(digits.as_bytes());
        }
    }
}
