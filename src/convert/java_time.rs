//! Java's patterns for times, such as `M/d/yyyy H:mm:ss`: the letters `yMdHhmsSazZXE` and quoted text.

use chrono::{NaiveDate, NaiveTime};

use crate::time::UnixMillis;

const MONTHS: [&str; 12] = [
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
    "November", "December",
];
const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
/// Zones with a name, in hours from UTC. Others must be written as an offset.
const ZONES: [(&str, i64); 12] = [
    ("UTC", 0),
    ("GMT", 0),
    ("UT", 0),
    ("Z", 0),
    ("EST", -5),
    ("EDT", -4),
    ("CST", -6),
    ("CDT", -5),
    ("MST", -7),
    ("MDT", -6),
    ("PST", -8),
    ("PDT", -7),
];
/// The most digits of a number that no other number follows.
const DIGITS_MAX: usize = 9;

/// A compiled pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TimePattern(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    /// Text that must stand here.
    Text(String),
    /// A letter and how often it stands in a row.
    Field { letter: Letter, count: usize, fixed: bool },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Letter {
    Year,
    Month,
    Day,
    Hour,
    HourOfHalf,
    Minute,
    Second,
    Fraction,
    Half,
    ZoneName,
    ZoneOffset,
    Weekday,
}

impl Letter {
    fn of(letter: char) -> Option<Self> {
        Some(match letter {
            'y' => Self::Year,
            'M' => Self::Month,
            'd' => Self::Day,
            'H' => Self::Hour,
            'h' => Self::HourOfHalf,
            'm' => Self::Minute,
            's' => Self::Second,
            'S' => Self::Fraction,
            'a' => Self::Half,
            'z' => Self::ZoneName,
            'Z' | 'X' => Self::ZoneOffset,
            'E' => Self::Weekday,
            _ => return None,
        })
    }

    fn is_number(self, count: usize) -> bool {
        match self {
            Self::Month => count <= 2,
            Self::Half | Self::ZoneName | Self::ZoneOffset | Self::Weekday => false,
            _ => true,
        }
    }
}

impl TimePattern {
    /// Compiles a pattern. Errors: a message for the person who wrote it.
    pub(super) fn new(pattern: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut text = String::new();
        let mut rest = pattern.chars().peekable();
        while let Some(c) = rest.next() {
            if c == '\'' {
                quoted(&mut rest, &mut text)?;
            } else if c.is_ascii_alphabetic() {
                let letter = Letter::of(c).ok_or_else(|| {
                    format!(
                        "the letter {c} of the time pattern is not known (yMdHhmsSazZXE are; quote text: 'T')"
                    )
                })?;
                let mut count = 1;
                while rest.next_if_eq(&c).is_some() {
                    count += 1;
                }
                if !text.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut text)));
                }
                parts.push(Part::Field { letter, count, fixed: false });
            } else {
                text.push(c);
            }
        }
        if !text.is_empty() {
            parts.push(Part::Text(text));
        }
        if !parts.iter().any(|part| matches!(part, Part::Field { .. })) {
            return Err("the time pattern has no letters such as yyyy".to_owned());
        }
        // Of numbers that follow each other, each has as many digits as its letters.
        let is_number = |part: Option<&Part>| matches!(part, Some(Part::Field { letter, count, .. }) if letter.is_number(*count));
        for index in 0..parts.len() {
            let has_neighbor = is_number(parts.get(index + 1))
                || index.checked_sub(1).is_some_and(|before| is_number(parts.get(before)));
            let has_width = is_number(parts.get(index)) && has_neighbor;
            if let Some(Part::Field { fixed, .. }) = parts.get_mut(index) {
                *fixed = has_width;
            }
        }
        Ok(Self(parts))
    }

    /// The time that a text says. `None` if the text does not have the pattern's form, or names no time.
    pub(super) fn read(&self, text: &str) -> Option<UnixMillis> {
        let mut read = Read { rest: text, ..Read::default() };
        for part in &self.0 {
            match part {
                Part::Text(text) => read.rest = read.rest.strip_prefix(text.as_str())?,
                Part::Field { letter, count, fixed } => read.field(*letter, *count, *fixed)?,
            }
        }
        if read.rest.is_empty() { read.time() } else { None }
    }
}

/// Reads quoted text; two quotes are one quote.
fn quoted(rest: &mut std::iter::Peekable<std::str::Chars<'_>>, text: &mut String) -> Result<(), String> {
    if rest.next_if_eq(&'\'').is_some() {
        text.push('\'');
        return Ok(());
    }
    loop {
        match rest.next() {
            Some('\'') if rest.next_if_eq(&'\'').is_some() => text.push('\''),
            Some('\'') => return Ok(()),
            Some(other) => text.push(other),
            None => return Err("a quote of the time pattern is not closed".to_owned()),
        }
    }
}

/// A text that is being read, and what was found.
#[derive(Debug, Default)]
struct Read<'t> {
    rest: &'t str,
    year: Option<i32>,
    month: Option<u32>,
    day: Option<u32>,
    hour: Option<u32>,
    hour_of_half: Option<u32>,
    afternoon: bool,
    minute: u32,
    second: u32,
    ms: u32,
    offset_minutes: i64,
}

impl Read<'_> {
    fn field(&mut self, letter: Letter, count: usize, fixed: bool) -> Option<()> {
        let mut number = |least: u32, most: u32| {
            let (digits, value) = self.number(count, fixed)?;
            (least..=most).contains(&value).then_some((digits, value))
        };
        match letter {
            Letter::Year => {
                let (digits, year) = number(0, 9_999)?;
                // `yy` has two digits of this century.
                let year = if count == 2 && digits == 2 { year + 2_000 } else { year };
                self.year = Some(i32::try_from(year).ok()?);
            }
            Letter::Month if count <= 2 => self.month = Some(number(1, 12)?.1),
            Letter::Month => self.month = Some(self.one_of(&MONTHS)?),
            Letter::Day => self.day = Some(number(1, 31)?.1),
            Letter::Hour => self.hour = Some(number(0, 23)?.1),
            Letter::HourOfHalf => self.hour_of_half = Some(number(1, 12)?.1),
            Letter::Minute => self.minute = number(0, 59)?.1,
            Letter::Second => self.second = number(0, 59)?.1,
            Letter::Fraction => {
                let (digits, value) = number(0, 999_999_999)?;
                let nanoseconds = value.checked_mul(10_u32.checked_pow(9 - u32::try_from(digits).ok()?)?)?;
                self.ms = nanoseconds / 1_000_000;
            }
            Letter::Half => self.afternoon = self.one_of(&["AM", "PM"])? == 2,
            Letter::Weekday => {
                self.one_of(&DAYS)?;
            }
            Letter::ZoneName => self.zone_name()?,
            Letter::ZoneOffset => self.zone_offset()?,
        }
        Some(())
    }

    /// How many digits were read, and their number.
    fn number(&mut self, count: usize, fixed: bool) -> Option<(usize, u32)> {
        let most = if fixed { count } else { DIGITS_MAX };
        let len = self.rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
        if len == 0 || (fixed && len < count) || len > DIGITS_MAX {
            return None;
        }
        let (digits, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some((len, digits.parse().ok()?))
    }

    /// The number, from 1, of the name that stands here: whole, or its first three letters, in any case.
    fn one_of(&mut self, names: &[&str]) -> Option<u32> {
        let len = self.rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (said, rest) = self.rest.split_at_checked(len)?;
        let is_it = |name: &&str| {
            name.eq_ignore_ascii_case(said)
                || name.get(..3).is_some_and(|short| short.eq_ignore_ascii_case(said))
        };
        let found = names.iter().position(is_it)?;
        self.rest = rest;
        u32::try_from(found + 1).ok()
    }

    fn zone_name(&mut self) -> Option<()> {
        let len = self.rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (name, rest) = self.rest.split_at_checked(len)?;
        if len > 0 {
            let (_, hours) = ZONES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
            self.offset_minutes = hours * 60;
            self.rest = rest;
        }
        // `GMT+02:00`, or an offset alone.
        if len == 0 || (self.offset_minutes == 0 && self.rest.starts_with(['+', '-'])) {
            self.zone_offset()?;
        }
        Some(())
    }

    /// `Z`, `+hh`, `+hhmm` or `+hh:mm`.
    fn zone_offset(&mut self) -> Option<()> {
        if let Some(rest) = self.rest.strip_prefix(['Z', 'z']) {
            self.rest = rest;
            return Some(());
        }
        let negative = self.rest.starts_with('-');
        self.rest = self.rest.strip_prefix(['+', '-'])?;
        let (_, hours) = self.number(2, true)?;
        let colon = self.rest.strip_prefix(':');
        let has_minutes = colon.is_some() || self.rest.starts_with(|c: char| c.is_ascii_digit());
        self.rest = colon.unwrap_or(self.rest);
        let minutes = if has_minutes { self.number(2, true)?.1 } else { 0 };
        if hours > 23 || minutes > 59 {
            return None;
        }
        let offset = i64::from(hours * 60 + minutes);
        self.offset_minutes = if negative { -offset } else { offset };
        Some(())
    }

    /// What is not said is as at the beginning of 1970; without a zone, UTC.
    fn time(&self) -> Option<UnixMillis> {
        let date = NaiveDate::from_ymd_opt(
            self.year.unwrap_or(1970),
            self.month.unwrap_or(1),
            self.day.unwrap_or(1),
        )?;
        let of_half = self.hour_of_half.map(|hour| hour % 12 + if self.afternoon { 12 } else { 0 });
        let hour = self.hour.or(of_half).unwrap_or(0);
        let time = NaiveTime::from_hms_milli_opt(hour, self.minute, self.second, self.ms)?;
        let at = date.and_time(time).and_utc().timestamp_millis();
        Some(UnixMillis(at - self.offset_minutes * 60_000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::rfc3339;

    #[test]
    fn times_are_read() {
        let check = |pattern: &str, text: &str, expected: &str| {
            let read = TimePattern::new(pattern).unwrap().read(text).map(rfc3339);
            assert_eq!(read.as_deref(), Some(expected), "{pattern} {text}");
        };
        check("M/d/yyyy H:mm:ss", "1/1/2021 5:06:07", "2021-01-01T05:06:07.000Z");
        check("M/d/yyyy H:mm:ss", "11/30/2021 15:06:07", "2021-11-30T15:06:07.000Z");
        check("yyyy-MM-dd'T'HH:mm:ss.SSSXXX", "2021-02-03T04:05:06.789+02:00", "2021-02-03T02:05:06.789Z");
        check("yyyy-MM-dd'T'HH:mm:ss.SSSXXX", "2021-02-03T04:05:06.789Z", "2021-02-03T04:05:06.789Z");
        check("yyyyMMddHHmmss", "20210203040506", "2021-02-03T04:05:06.000Z");
        check("yyyyMMddHHmmssSSS", "20210203040506007", "2021-02-03T04:05:06.007Z");
        check("dd MMM yy hh:mm a", "03 feb 21 12:30 AM", "2021-02-03T00:30:00.000Z");
        check("dd MMM yy hh:mm a", "03 Feb 21 12:30 pm", "2021-02-03T12:30:00.000Z");
        check(
            "EEE, d MMMM yyyy HH:mm:ss Z",
            "Wed, 3 February 2021 04:05:06 -0330",
            "2021-02-03T07:35:06.000Z",
        );
        check("yyyy-MM-dd HH:mm:ss z", "2021-02-03 04:05:06 PST", "2021-02-03T12:05:06.000Z");
        check("yyyy-MM-dd HH:mm:ss z", "2021-02-03 04:05:06 GMT+01:00", "2021-02-03T03:05:06.000Z");
        check("yyyy-MM-dd HH:mm:ss.SSSSSS", "2021-02-03 04:05:06.789123", "2021-02-03T04:05:06.789Z");
        check("s.S", "1.5", "1970-01-01T00:00:01.500Z");
        check("yyyy 'o''clock' HH", "2021 o'clock 07", "2021-01-01T07:00:00.000Z");
        check("yyyy-MM-ddX", "2021-02-03+01", "2021-02-02T23:00:00.000Z");
        check("yyyy", "0000", "0000-01-01T00:00:00.000Z");
    }

    #[test]
    fn other_texts_are_no_times() {
        let check = |pattern: &str, text: &str| {
            assert_eq!(TimePattern::new(pattern).unwrap().read(text), None, "{pattern} {text}");
        };
        check("M/d/yyyy", "13/1/2021");
        check("M/d/yyyy", "2/29/2021");
        check("M/d/yyyy", "1/1/2021 ");
        check("M/d/yyyy", "1-1-2021");
        check("yyyyMMdd", "2021123");
        check("HH:mm", "24:00");
        check("hh a", "13 PM");
        check("z", "Mars");
        check("Z", "0100");
        check("yyyy-MM-dd", "2021-02-0３");
        check("SSS", "1234567890");
        check("MMM", "Fe");
    }

    #[test]
    fn patterns_with_other_letters_are_errors() {
        let check = |pattern: &str, says: &str| {
            let error = TimePattern::new(pattern).unwrap_err();
            assert!(error.contains(says), "{pattern}: {error}");
        };
        check("yyyy-MM-ddTHH", "letter T");
        check("w", "letter w");
        check("'T", "not closed");
        check("--", "no letters");
        check("", "no letters");
    }
}
