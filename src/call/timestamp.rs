//! Times as clients write them and as lines show them, and the correction by the client's clock.

use crate::time::{DAY_MS, UnixMillis};

/// 1970-01-01T00:00:00.000Z: the earliest time that a line's `timestamp` shows.
const EARLIEST: i64 = 0;
/// 9999-12-31T23:59:59.999Z: the latest, since later years have five digits, which readers refuse.
const LATEST: i64 = 253_402_300_799_999;

/// The length of [`rfc3339`]'s text.
pub const RFC3339_LEN: usize = 24;

/// `at` as RFC 3339 in UTC with milliseconds, such as `2019-06-21T16:33:26.158Z`.
///
/// Times outside of the years 1970 to 9999 are shown as the nearest one inside.
pub fn rfc3339(at: UnixMillis) -> [u8; RFC3339_LEN] {
    let ms = at.0.clamp(EARLIEST, LATEST);
    let (year, month, day) = civil_of_days(ms / DAY_MS);
    let in_day = ms % DAY_MS;
    let mut text = *b"0000-00-00T00:00:00.000Z";
    let mut put = |at: usize, digits: usize, value: i64| {
        let mut rest = value;
        for place in text.iter_mut().skip(at).take(digits).rev() {
            *place = b'0' + u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
        }
    };
    put(0, 4, year);
    put(5, 2, month);
    put(8, 2, day);
    put(11, 2, in_day / 3_600_000);
    put(14, 2, in_day / 60_000 % 60);
    put(17, 2, in_day / 1_000 % 60);
    put(20, 3, in_day % 1_000);
    text
}

/// Reads a time as SDKs write it, with more than milliseconds cut off.
///
/// RFC 3339 with `T` or a space, 0 to 9 digits of fraction, `Z`, `±hh:mm`, `±hhmm` or no zone, which means UTC; a date
/// alone, which means its midnight; 10 digits of seconds or 13 of milliseconds.
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

/// The time that a line's `timestamp` shows: when the call happened, on the collector's clock.
///
/// `receivedAt − (sentAt − originalTimestamp)`, where both of the client's times are known and the result lies in the years
/// 1970 to 9999; else the client's time, where it lies there itself; else `receivedAt`.
pub fn corrected(received: UnixMillis, sent: Option<UnixMillis>, original: Option<UnixMillis>) -> UnixMillis {
    let shown = |ms: &i64| (EARLIEST..=LATEST).contains(ms);
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

/// How far the zone is ahead of UTC, in milliseconds.
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

/// Days in 400 years, after which the calendar repeats.
const ERA_DAYS: i64 = 146_097;
/// Days from 0000-03-01 to 1970-01-01. Years are counted from March, so that the leap day is a year's last.
const EPOCH_DAYS: i64 = 719_468;

fn days_of_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * ERA_DAYS + of_era * 365 + of_era / 4 - of_era / 100 + of_year - EPOCH_DAYS
}

fn civil_of_days(days: i64) -> (i64, i64, i64) {
    let days = days + EPOCH_DAYS;
    let (era, of_era) = (days.div_euclid(ERA_DAYS), days.rem_euclid(ERA_DAYS));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(at: UnixMillis) -> String {
        String::from_utf8(rfc3339(at).to_vec()).unwrap()
    }

    #[test]
    fn every_form_that_sdks_write_is_read() {
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
    fn what_is_no_time_is_not_read() {
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
    fn the_calendar_is_that_of_chrono() {
        let first = chrono::NaiveDate::from_ymd_opt(0, 1, 1).unwrap();
        let epoch = chrono::NaiveDate::from_ymd_opt(1970, 1, 1).unwrap();
        for step in 0..36_525 {
            let date = first + chrono::Days::new(step * 100);
            let days = (date - epoch).num_days();
            let text = date.format("%Y-%m-%d").to_string();
            assert_eq!(parse(text.as_bytes()), Some(UnixMillis(days * DAY_MS)), "{text}");
            if days >= 0 {
                assert_eq!(shown(UnixMillis(days * DAY_MS + 1)), format!("{text}T00:00:00.001Z"));
            }
        }
    }

    #[test]
    fn times_out_of_range_are_shown_as_the_nearest() {
        assert_eq!(shown(UnixMillis(-1)), "1970-01-01T00:00:00.000Z");
        assert_eq!(shown(UnixMillis(i64::MIN)), "1970-01-01T00:00:00.000Z");
        assert_eq!(shown(UnixMillis(LATEST + 1)), "9999-12-31T23:59:59.999Z");
        assert_eq!(shown(UnixMillis(i64::MAX)), "9999-12-31T23:59:59.999Z");
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
