//! Times as clients write them and as lines show them, and the correction for the client's clock.

use crate::time::{DAY_MS, UnixMillis};
use crate::words::date::{EARLIEST, LATEST, days_of_civil};

/// Parses a time as SDKs write it; digits beyond milliseconds are cut off.
///
/// Accepts RFC 3339 with `T` or a space, 0 to 9 digits of fraction, `Z`, `±hh:mm`, `±hhmm` or no zone, which
/// means UTC; a date alone, which means its midnight; 10 digits of seconds or 13 of milliseconds.
pub fn parse(text: &[u8]) -> Option<UnixMillis> {
    if text.iter().all(u8::is_ascii_digit) {
        let scale = match text.len() {
            10 => 1_000,
            13 => 1,
            _ => return None,
        };
        return Some(UnixMillis(number(text)? * scale));
    }
    let mut rest = Rest(text);
    let year = rest.number(4)?;
    rest.one_of(b"-")?;
    let month = rest.number(2)?;
    rest.one_of(b"-")?;
    let day = rest.number(2)?;
    if !(1..=12).contains(&month) || day < 1 || day > days_in_month(year, month) {
        return None;
    }
    let midnight = days_of_civil(year, month, day) * DAY_MS;
    if rest.0.is_empty() {
        return Some(UnixMillis(midnight));
    }
    rest.one_of(b"Tt ")?;
    let in_day = time_of_day(&mut rest)?;
    let zone = zone(&mut rest)?;
    rest.0.is_empty().then_some(UnixMillis(midnight + in_day - zone))
}

/// The time for a line's `timestamp`: when the call happened, by the collector's clock.
///
/// It is `receivedAt − (sentAt − originalTimestamp)` if both of the client's times are known and the result
/// is in the years 1970 to 9999; otherwise the client's time, if that is in these years; otherwise
/// `receivedAt`.
pub fn corrected(received: UnixMillis, sent: Option<UnixMillis>, original: Option<UnixMillis>) -> UnixMillis {
    let shown = |ms: &i64| (EARLIEST.0..=LATEST.0).contains(ms);
    let corrected = sent.zip(original).and_then(|(sent, original)| {
        let age = sent.0.checked_sub(original.0)?;
        received.0.checked_sub(age).filter(shown)
    });
    let uncorrected = original.map(|original| original.0).filter(shown);
    UnixMillis(corrected.or(uncorrected).unwrap_or(received.0))
}

fn time_of_day(rest: &mut Rest<'_>) -> Option<i64> {
    let hours = rest.number(2)?;
    rest.one_of(b":")?;
    let minutes = rest.number(2)?;
    rest.one_of(b":")?;
    let seconds = rest.number(2)?;
    // 60 is a leap second, which RFC 3339 allows.
    if hours > 23 || minutes > 59 || seconds > 60 {
        return None;
    }
    let mut ms = 0;
    if rest.one_of(b".").is_some() {
        let digits = rest.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if !(1..=9).contains(&digits) {
            return None;
        }
        let fraction = rest.take(digits)?;
        ms = (0..3).fold(0, |ms, place| {
            ms * 10 + fraction.get(place).map_or(0, |digit| i64::from(digit.saturating_sub(b'0')))
        });
    }
    Some(((hours * 60 + minutes) * 60 + seconds) * 1_000 + ms)
}

/// The zone's offset from UTC, in milliseconds.
fn zone(rest: &mut Rest<'_>) -> Option<i64> {
    if rest.0.is_empty() || rest.one_of(b"Zz").is_some() {
        return Some(0);
    }
    let sign = if rest.one_of(b"+-")? == b'-' { -1 } else { 1 };
    let hours = rest.number(2)?;
    // The colon may be missing.
    rest.one_of(b":");
    let minutes = rest.number(2)?;
    (hours <= 23 && minutes <= 59).then_some(sign * (hours * 60 + minutes) * 60_000)
}

struct Rest<'t>(&'t [u8]);

impl<'t> Rest<'t> {
    fn take(&mut self, len: usize) -> Option<&'t [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self, digits: usize) -> Option<i64> {
        self.take(digits).and_then(number)
    }

    fn one_of(&mut self, bytes: &[u8]) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        bytes.contains(first).then(|| {
            self.0 = rest;
            *first
        })
    }
}

fn number(digits: &[u8]) -> Option<i64> {
    digits
        .iter()
        .try_fold(0, |value: i64, digit| digit.is_ascii_digit().then(|| value * 10 + i64::from(digit - b'0')))
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::rfc3339 as shown;

    #[test]
    fn every_form_that_sdks_write_is_parsed() {
        let check = |text: &str, expected: &str| {
            let read = parse(text.as_bytes()).map(shown);
            assert_eq!(read.as_deref(), Some(expected), "{text}");
        };
        check("2026-11-20T06:23:32.701Z", "2026-11-20T06:23:32.701Z");
        check("2026-11-20T06:25:40+00:00", "2026-11-20T06:25:40.000Z");
        check("2026-11-20T06:25:40.441+00:00", "2026-11-20T06:25:40.441Z");
        check("2026-11-20T06:25:40.018766+00:00", "2026-11-20T06:25:40.018Z");
        check("2026-11-20T06:25:40.123456789Z", "2026-11-20T06:25:40.123Z");
        check("2026-11-20T08:25:40.1234567+02:00", "2026-11-20T06:25:40.123Z");
        check("2026-11-20T06:25:40.5-0530", "2026-11-20T11:55:40.500Z");
        check("2026-11-20 06:25:40", "2026-11-20T06:25:40.000Z");
        check("2026-11-20t06:25:40z", "2026-11-20T06:25:40.000Z");
        check("2026-11-20", "2026-11-20T00:00:00.000Z");
        check("2024-02-29T23:59:60Z", "2024-03-01T00:00:00.000Z");
        check("1432771199", "2015-05-27T23:59:59.000Z");
        check("1432771199999", "2015-05-27T23:59:59.999Z");
        check("9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z");
    }

    #[test]
    fn other_texts_are_not_parsed_as_times() {
        for text in [
            "",
            "not a date",
            "x",
            "-1",
            "0",
            "12345",
            "143277119999",
            "2026",
            "2026-11",
            "2026-13-01",
            "2026-00-01",
            "2026-02-29",
            "2026-11-31",
            "2026-11-20T",
            "2026-11-20T06:25",
            "2026-11-20T24:00:00Z",
            "2026-11-20T06:60:00Z",
            "2026-11-20T06:25:61Z",
            "2026-11-20T06:25:40.Z",
            "2026-11-20T06:25:40.1234567890Z",
            "2026-11-20T06:25:40ZZ",
            "2026-11-20T06:25:40+2",
            "2026-11-20T06:25:40+24:00",
            "2026-11-20T06:25:40+02:60",
            " 2026-11-20",
            "2026-11-20 ",
            "2026/11/20",
            "20261120",
            "+026-11-20",
            "1.432771199e9",
            "2026-1\u{0661}-20",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn the_clients_clock_is_corrected() {
        let check = |name: &str, received: &str, sent: &str, original: &str, expected: &str| {
            let read = |text: &str| parse(text.as_bytes());
            let corrected = corrected(read(received).unwrap(), read(sent), read(original));
            assert_eq!(shown(corrected), expected, "{name}");
        };
        check(
            "documented",
            "2019-06-21T19:11:01.266Z",
            "2019-06-21T19:11:01.169Z",
            "2019-06-21T19:11:01.152Z",
            "2019-06-21T19:11:01.249Z",
        );
        check(
            "documented, sent at once",
            "2019-06-21T16:33:26.158Z",
            "2019-06-21T16:33:26.060Z",
            "2019-06-21T16:33:26.060Z",
            "2019-06-21T16:33:26.158Z",
        );
        check("days of skew", "2020-01-10", "2020-01-05", "2020-01-04", "2020-01-09T00:00:00.000Z");
        check("in the future", "2020-01-10", "2020-01-10", "2020-01-11", "2020-01-11T00:00:00.000Z");
        check("no sentAt", "2020-01-10", "", "2020-01-04", "2020-01-04T00:00:00.000Z");
        check("no original", "2020-01-10", "2020-01-05", "x", "2020-01-10T00:00:00.000Z");
        check("neither", "2020-01-10", "x", "-1", "2020-01-10T00:00:00.000Z");
        check("year 9999", "2020-01-10", "2020-01-10", "9999-12-31", "9999-12-31T00:00:00.000Z");
        check("overflow", "2020-01-10", "2020-01-09", "9999-12-31", "9999-12-31T00:00:00.000Z");
        check("year 0", "2020-01-10", "2020-01-10", "0000-01-01", "2020-01-10T00:00:00.000Z");
    }
}
