//! Reads times in the forms that exports have.

use super::timestamp;
use crate::time::{DAY_MS, UnixMillis};
use crate::words::date::{EARLIEST, LATEST, days_of_civil, rfc3339_within_years};
use crate::words::rfc3339;

/// The longest text that is read as a time, in bytes.
const TEXT_MAX: usize = 64;

/// The seconds of Unix time that a bare number may mean: the years 1990 to 2099. The same digits in
/// milliseconds, microseconds or nanoseconds mean other years, so each number has one meaning. Days of a
/// spreadsheet, years and other numbers are below this range.
pub const SECONDS: std::ops::Range<u64> = 631_152_000..4_102_444_800;

/// What the numbers of a column count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Numbers {
    /// Each number shows its unit by its magnitude. A number that may mean something else is no time.
    #[default]
    ByMagnitude,
    /// Unix time, in units of so many nanoseconds.
    Unix(i128),
    /// Days since the end of 1899, as spreadsheets count.
    ExcelDays,
}

/// Reads a time: ISO 8601 or Unix time. White space around it does not count. Only the years 0 to 9999 are
/// times; digits beyond milliseconds are cut off.
///
/// - ISO 8601 as in [`timestamp::parse`]; also without seconds, with a comma before the fraction, with an
///   offset of hours alone, with a space or ` UTC` before or in place of the offset (as databases export it),
///   and without separators (`20190511T203227Z`; for the years 1900 to 2099 and 9999 also `20190511`,
///   `201905112032` and `20190511203227`). No offset means UTC.
/// - A bare number as `numbers` says. By its magnitude it is Unix time of 1990 to 2099 in seconds,
///   milliseconds, microseconds or nanoseconds. A fraction of zeros does not count (`20190511.0`): some
///   programs write whole numbers like this in tables with gaps.
pub fn parse(cell: &[u8], numbers: Numbers) -> Option<UnixMillis> {
    let text = cell.trim_ascii();
    if text.is_empty() || text.len() > TEXT_MAX {
        return None;
    }
    // Most times have a dash after the year, which no number has: a look at that byte decides first.
    let has_dash = text.get(4) == Some(&b'-');
    let at = match (!has_dash && is_number(text), numbers) {
        (true, Numbers::ByMagnitude) => by_magnitude(text),
        (true, Numbers::Unix(unit)) => of_parts(decimal(text)?, unit),
        (true, Numbers::ExcelDays) => excel(text),
        (false, _) if digits_before(text) == 8 => basic(text),
        (false, _) => timestamp::parse(text).or_else(|| exported(text)),
    }?;
    let earliest = days_of_civil(0, 1, 1) * DAY_MS;
    (earliest..=LATEST.0).contains(&at.0).then_some(at)
}

/// Whether a cell is a bare number: digits, perhaps with a minus and a fraction.
pub fn is_number(cell: &[u8]) -> bool {
    let text = cell.trim_ascii();
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let (whole, rest) = text.split_at_checked(digits_before(text)).unwrap_or_default();
    match rest {
        [] => !whole.is_empty(),
        [b'.', fraction @ ..] => {
            !whole.is_empty() && !fraction.is_empty() && digits_before(fraction) == fraction.len()
        }
        _ => false,
    }
}

/// How many digits a text begins with.
fn digits_before(text: &[u8]) -> usize {
    text.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// Whether a text that is a time already has the form of `write`. A leap second does not: it is no second of
/// Unix time.
pub fn is_as_written(cell: &[u8]) -> bool {
    matches!(cell, [_, _, _, _, _, _, _, _, _, _, b'T', _, _, _, _, _, _, tens, _, b'.', _, _, _, b'Z'] if *tens != b'6')
}

/// Appends a time in the years 0 to 9999 as a JSON string: `"2019-05-11T20:32:27.940Z"`.
pub fn write(at: UnixMillis, out: &mut Vec<u8>) {
    out.push(b'"');
    if at >= EARLIEST {
        out.extend_from_slice(&rfc3339_within_years(at));
    } else {
        out.extend_from_slice(rfc3339(at).as_bytes());
    }
    out.push(b'"');
}

/// Whether digits look like `YYYY`, `YYYYMM`, `YYYYMMDD`, `YYYYMMDDhhmm` or `YYYYMMDDhhmmss`. As Unix time,
/// such numbers would be in the 1970s, or in years about 2600. `9999` is the year of what never ends.
fn may_be_date(digits: &[u8]) -> bool {
    match digits {
        [b'1', b'9', ..] | [b'2', b'0', ..] => matches!(digits.len(), 4 | 6 | 8 | 12 | 14),
        // Twelve digits that begin with 9999 are milliseconds of 2001.
        [b'9', b'9', b'9', b'9', ..] => matches!(digits.len(), 4 | 8 | 14),
        _ => false,
    }
}

/// Reads `YYYYMMDD`, then `T`, then `hhmmss` or `hhmm`, then a fraction and an offset as in other forms.
fn basic(text: &[u8]) -> Option<UnixMillis> {
    let (date, rest) = text.split_at_checked(8)?;
    let rest = rest.strip_prefix(b"T").or_else(|| rest.strip_prefix(b"t"))?;
    let time_len = digits_before(rest);
    let (time, rest) = rest.split_at_checked(time_len).filter(|(time, _)| !time.is_empty())?;
    exported(&[&separated(date, time)?, rest].concat())
}

/// Reads `YYYYMMDD`, alone or followed by `hhmm` or `hhmmss`.
fn compact(digits: &[u8]) -> Option<UnixMillis> {
    let (date, time) = digits.split_at_checked(8)?;
    timestamp::parse(&[&separated(date, time)?[..], b"Z"].concat())
}

/// `YYYY-MM-DDThh:mm:ss`, of a date and a time without separators, or of a date alone.
fn separated(date: &[u8], time: &[u8]) -> Option<[u8; 19]> {
    let [y0, y1, y2, y3, m0, m1, d0, d1] = *date.first_chunk::<8>()?;
    let [h0, h1, n0, n1, s0, s1] = match time.len() {
        0 => *b"000000",
        4 => [time, b"00"].concat().try_into().ok()?,
        6 => *time.first_chunk::<6>()?,
        _ => return None,
    };
    Some([y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1, b'T', h0, h1, b':', n0, n1, b':', s0, s1])
}

/// The digits of a fraction that count.
const FRACTION_DIGITS: u32 = 9;
const PARTS: i128 = 10_i128.pow(FRACTION_DIGITS);

/// Reads a bare number whose meaning is plain.
fn by_magnitude(text: &[u8]) -> Option<UnixMillis> {
    let (whole, fraction) = text.split_at_checked(digits_before(text))?;
    let fraction = fraction.get(1..).unwrap_or_default();
    if may_be_date(whole) {
        let has_fraction = fraction.iter().any(|digit| *digit != b'0');
        return if has_fraction { None } else { compact(whole) };
    }
    // Ten digits may be Unix time after 2033, or `YYYYMMDDhh`.
    if whole.len() == 10 && whole.starts_with(b"20") && compact(&[whole, b"00"].concat()).is_some() {
        return None;
    }
    // A number with a minus has no digits before it. It is none of these times, whatever it counts.
    let number = whole_number(whole)?;
    let is_of = |scale: &u64| (SECONDS.start * scale..SECONDS.end * scale).contains(&number);
    let ms = match [1, 1_000, 1_000_000, 1_000_000_000].into_iter().find(is_of)? {
        1 => {
            let thousandths = [0, 1, 2].map(|place| fraction.get(place).copied().unwrap_or(b'0'));
            number * 1_000 + whole_number::<u64>(&thousandths)?
        }
        scale => number / (scale / 1_000),
    };
    Some(UnixMillis(i64::try_from(ms).ok()?))
}

/// The number of a text of at most 20 digits.
fn whole_number<N: std::str::FromStr>(digits: &[u8]) -> Option<N> {
    std::str::from_utf8(digits).ok().filter(|digits| digits.len() <= 20)?.parse().ok()
}

/// Reads days of a spreadsheet. Spreadsheets count a 29 February 1900 that never was, so days before March
/// 1900 are unknown.
fn excel(text: &[u8]) -> Option<UnixMillis> {
    const MARCH_1900: i128 = 61;
    let parts = decimal(text)?;
    if parts < MARCH_1900 * PARTS {
        return None;
    }
    let days_to_1970 = i128::from(days_of_civil(1970, 1, 1) - days_of_civil(1899, 12, 30));
    // A day is no power of ten, so its fraction is rounded.
    let ms = ((parts - days_to_1970 * PARTS) * i128::from(DAY_MS) + PARTS / 2).div_euclid(PARTS);
    Some(UnixMillis(i64::try_from(ms).ok()?))
}

/// The time of so many parts of a unit since 1970.
fn of_parts(parts: i128, nanoseconds_each: i128) -> Option<UnixMillis> {
    let ms = parts.checked_mul(nanoseconds_each)?.div_euclid(1_000_000 * PARTS);
    Some(UnixMillis(i64::try_from(ms).ok()?))
}

/// Reads a bare number, in parts.
fn decimal(text: &[u8]) -> Option<i128> {
    let (negative, text) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut halves = text.splitn(2, |byte| *byte == b'.');
    let whole: i128 = whole_number(halves.next()?)?;
    let fraction = match halves.next() {
        None => 0,
        Some(digits) => (0..9).fold(0_i128, |value, place| {
            value * 10 + i128::from(digits.get(place).map_or(0, |digit| digit.saturating_sub(b'0')))
        }),
    };
    let parts = whole.checked_mul(PARTS)? + fraction;
    Some(if negative { -parts } else { parts })
}

/// Reads a time in a form that databases and tables write but RFC 3339 does not have.
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
        shown_as(text, Numbers::ByMagnitude)
    }

    fn shown_as(text: &str, numbers: Numbers) -> Option<String> {
        let mut out = Vec::new();
        write(parse(text.as_bytes(), numbers)?, &mut out);
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
        check("1557606747.0", "2019-05-11T20:32:27.000Z");
        check("00001557606747", "2019-05-11T20:32:27.000Z");
        check("631152000", "1990-01-01T00:00:00.000Z");
        check("631152000000", "1990-01-01T00:00:00.000Z");
        check("4102444799.9999", "2099-12-31T23:59:59.999Z");
        check("4102444799999999999", "2099-12-31T23:59:59.999Z");
        check("2019999999", "2034-01-04T15:06:39.000Z");
    }

    #[test]
    fn numbers_that_may_mean_something_else_are_no_times() {
        for text in [
            "45678", "43596.85", "2019.0", "201905.0", "2019.5", "201905112032.5", "20190511203227.5",
            "2101", "21191332", "0", "-0", "0.5", "-0.5", "-86400", "631151999.999", "99999999999",
            "100000000000", "4102444800", "4102444800000", "20262104112032", "2019051120", "2019051120.0",
            "210511203227", "4102444800000000000", "63115199999999999999",
        ] {
            assert_eq!(shown(text), None, "{text}");
        }
        // A fraction of zeros, as tables with gaps are written, says nothing.
        for (text, expected) in [
            ("20190511.0", "2019-05-11T00:00:00.000Z"),
            ("201905112032.0", "2019-05-11T20:32:00.000Z"),
            ("20190511203227.0", "2019-05-11T20:32:27.000Z"),
        ] {
            assert_eq!(shown(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn declared_numbers_are_read_as_declared() {
        let check = |text: &str, numbers, expected: Option<&str>| {
            assert_eq!(shown_as(text, numbers).as_deref(), expected, "{text}");
        };
        let seconds = Numbers::Unix(1_000_000_000);
        check("0", seconds, Some("1970-01-01T00:00:00.000Z"));
        check("-0.5", seconds, Some("1969-12-31T23:59:59.500Z"));
        check("2019051120", seconds, Some("2033-12-24T15:32:00.000Z"));
        check("20190511", seconds, Some("1970-08-22T16:28:31.000Z"));
        check("2019-05-11", seconds, Some("2019-05-11T00:00:00.000Z"));
        check("soon", seconds, None);
        check("100000000000", Numbers::Unix(1_000_000), Some("1973-03-03T09:46:40.000Z"));
        check("1", Numbers::Unix(1_000), Some("1970-01-01T00:00:00.000Z"));
        check("1999999", Numbers::Unix(1), Some("1970-01-01T00:00:00.001Z"));
        check("43596", Numbers::ExcelDays, Some("2019-05-11T00:00:00.000Z"));
        check("43596.85", Numbers::ExcelDays, Some("2019-05-11T20:24:00.000Z"));
        check("43596.8558680556", Numbers::ExcelDays, Some("2019-05-11T20:32:27.000Z"));
        check("61", Numbers::ExcelDays, Some("1900-03-01T00:00:00.000Z"));
        check("60.9", Numbers::ExcelDays, None);
        check("-43596", Numbers::ExcelDays, None);
        check("2958465.5", Numbers::ExcelDays, Some("9999-12-31T12:00:00.000Z"));
        check("2958466", Numbers::ExcelDays, None);
        check("2019-05-11 20:32", Numbers::ExcelDays, Some("2019-05-11T20:32:00.000Z"));
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
            proptest::prop_assert_eq!(parse(text.as_bytes(), Numbers::ByMagnitude), Some(UnixMillis(ms)));
        }

        #[test]
        fn no_text_panics(text in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..70), digits in "[-0-9.]{0,45}") {
            for numbers in [Numbers::ByMagnitude, Numbers::Unix(1), Numbers::Unix(1_000_000_000), Numbers::ExcelDays] {
                parse(&text, numbers);
                parse(digits.as_bytes(), numbers);
            }
        }
    }
}
