//! Days and instants, in UTC.

use chrono::{DateTime, SecondsFormat, Utc};

use crate::time::{DAY_MS, ReceivedDay, UnixMillis};

/// 1970-01-01T00:00:00.000Z: the earliest time that [`rfc3339_within_years`] shows.
pub const EARLIEST: UnixMillis = UnixMillis(0);
/// 9999-12-31T23:59:59.999Z: the latest such time. Later years have five digits, which readers refuse.
pub const LATEST: UnixMillis = UnixMillis(253_402_300_799_999);

/// The length of the text of [`rfc3339_within_years`].
pub const RFC3339_LEN: usize = 24;

/// A day as a date, `2026-11-20`; in milliseconds if the calendar cannot show it.
pub fn date(day: ReceivedDay) -> String {
    DateTime::from_timestamp_millis(day.start().0)
        .map_or_else(|| day.to_string(), |date| date.format("%Y-%m-%d").to_string())
}

/// An instant as RFC 3339 with milliseconds, such as `2019-06-21T16:33:26.158Z`; in milliseconds if the
/// calendar cannot show it.
pub fn rfc3339(at: UnixMillis) -> String {
    if let Ok(text) = std::str::from_utf8(&rfc3339_within_years(at))
        && (EARLIEST..=LATEST).contains(&at)
    {
        return text.to_owned();
    }
    DateTime::<Utc>::from_timestamp_millis(at.0)
        .map_or_else(|| at.0.to_string(), |at| at.to_rfc3339_opts(SecondsFormat::Millis, true))
}

/// The instant that [`rfc3339`] shows as `text`.
pub fn parse_rfc3339(text: &str) -> Option<UnixMillis> {
    let at = match DateTime::parse_from_rfc3339(text) {
        Ok(at) => UnixMillis(at.timestamp_millis()),
        Err(_) => UnixMillis(
            text.parse().or_else(|_| text.parse::<DateTime<Utc>>().map(|at| at.timestamp_millis())).ok()?,
        ),
    };
    (rfc3339(at) == text).then_some(at)
}

/// The same form as [`rfc3339`], for lines; it does not allocate.
///
/// Times outside the years 1970 to 9999 are shown as the nearest time inside.
pub fn rfc3339_within_years(at: UnixMillis) -> [u8; RFC3339_LEN] {
    let ms = at.0.clamp(EARLIEST.0, LATEST.0);
    let (year, month, day) = civil_of_days(ms / DAY_MS);
    let in_day = ms % DAY_MS;
    let [y, z] = [year / 100, year % 100].map(two_digits);
    let [o, d] = [month, day].map(two_digits);
    let [h, m, s] = [in_day / 3_600_000, in_day / 60_000 % 60, in_day / 1_000 % 60].map(two_digits);
    let [t, u] = [in_day % 1_000 / 10, in_day % 10].map(two_digits);
    [
        y[0], y[1], z[0], z[1], b'-', o[0], o[1], b'-', d[0], d[1], b'T', h[0], h[1], b':', m[0], m[1], b':',
        s[0], s[1], b'.', t[0], t[1], u[1], b'Z',
    ]
}

/// The digits of a number from 0 to 99.
fn two_digits(number: i64) -> [u8; 2] {
    let number = u8::try_from(number).unwrap_or(0);
    [b'0' + number / 10, b'0' + number % 10]
}

/// Days in 400 years, after which the calendar repeats.
const ERA_DAYS: i64 = 146_097;
/// Days from 0000-03-01 to 1970-01-01. Years are counted from March, so that a leap day is the last of its
/// year.
const EPOCH_DAYS: i64 = 719_468;

/// Days from 1970-01-01 to a date.
pub fn days_of_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * ERA_DAYS + of_era * 365 + of_era / 4 - of_era / 100 + of_year - EPOCH_DAYS
}

/// Year, month and day of a number of days after 1970-01-01.
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
    use chrono::Datelike;
    use proptest::prelude::*;

    use super::*;

    fn shown(at: UnixMillis) -> String {
        String::from_utf8(rfc3339_within_years(at).to_vec()).unwrap()
    }

    #[test]
    fn the_calendar_agrees_with_chrono() {
        let first = chrono::NaiveDate::from_ymd_opt(0, 1, 1).unwrap();
        let epoch = chrono::NaiveDate::from_ymd_opt(1970, 1, 1).unwrap();
        for step in 0..36_525 {
            let day = first + chrono::Days::new(step * 100);
            let days = (day - epoch).num_days();
            let text = day.format("%Y-%m-%d").to_string();
            assert_eq!(
                days_of_civil(day.year().into(), day.month().into(), day.day().into()),
                days,
                "{text}"
            );
            let at = UnixMillis(days * DAY_MS + 1);
            assert_eq!(date(at.day()), text);
            assert_eq!(rfc3339(at), format!("{text}T00:00:00.001Z"));
            if days >= 0 {
                assert_eq!(shown(at), rfc3339(at));
            }
        }
    }

    #[test]
    fn times_out_of_range_are_shown_as_the_nearest_time_inside() {
        assert_eq!(shown(UnixMillis(-1)), "1970-01-01T00:00:00.000Z");
        assert_eq!(shown(UnixMillis(i64::MIN)), "1970-01-01T00:00:00.000Z");
        assert_eq!(shown(UnixMillis(LATEST.0 + 1)), "9999-12-31T23:59:59.999Z");
        assert_eq!(shown(UnixMillis(i64::MAX)), "9999-12-31T23:59:59.999Z");
    }

    proptest! {
        #[test]
        fn an_instant_reads_back_as_shown(any in any::<i64>(), near in -100_000_000_000_000..400_000_000_000_000_i64) {
            for at in [any, near].map(UnixMillis) {
                prop_assert_eq!(parse_rfc3339(&rfc3339(at)), Some(at));
            }
        }
    }
}
