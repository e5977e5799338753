//! A date format of a column, as a person writes it: `DD.MM.YYYY HH:mm Europe/Berlin`.
//!
//! | part | reads |
//! | --- | --- |
//! | `YYYY`, `YY` | a year of four digits; one of two digits, which is of 1970 to 2069 |
//! | `MM`, `DD`, `HH`, `hh`, `mm`, `ss` | month, day, hour of 0 to 23, hour of 1 to 12, minute, second: one or two digits, or exactly two if a number follows at once |
//! | `MMM` | the first three letters of an English month |
//! | `SSS` | a fraction of a second of any length |
//! | `A` | AM or PM |
//! | `Z` | `Z`, `UTC`, `GMT` or an offset such as `+02:00` |
//!
//! A blank and a time zone may follow: a name such as `Europe/Berlin`, `UTC`, or an offset. Without any, times
//! are in UTC. The text of a format is written into hashes and files, so each format has one.

use std::fmt;

use chrono::{LocalResult, NaiveDate, NaiveDateTime, TimeDelta, TimeZone as _};
use chrono_tz::Tz;

use crate::time::{DAY_MS, UnixMillis};
use crate::words::date::{LATEST, days_of_civil};
use crate::words::outside_text_within;

/// The longest format, in bytes.
const FORMAT_MAX: usize = 100;
/// The longest cell that is read, in bytes.
const CELL_MAX: usize = 64;
/// The most digits of a fraction that is read.
const FRACTION_MAX: usize = 9;
/// The first year of which the changes of clocks are not known.
const YEAR_UNKNOWN: i32 = 2100;
/// Years of two digits from this one on are of the last century.
const LAST_CENTURY: i64 = 70;

const MONTHS: [&[u8; 3]; 12] =
    [b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec"];

/// How the dates of a column are written.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DateFormat {
    parts: Vec<Part>,
    zone: Zone,
}

text_form!(DateFormat, String, DateFormat::parse);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// A number. `exact`: it has two digits, because another number follows at once.
    Number(Field, bool),
    /// A month by the first letters of its English name.
    MonthName,
    Fraction,
    Half,
    Offset,
    Blank,
    /// Any other character of ASCII, which stands for itself.
    Byte(u8),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Year,
    ShortYear,
    Month,
    Day,
    Hour,
    HourOfHalf,
    Minute,
    Second,
}

/// Where the clocks are that show the times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Zone {
    /// UTC, unless the cell says otherwise.
    Utc,
    /// So many minutes east of UTC.
    Minutes(i64),
    Named(Tz),
}

/// Why a cell is no time of a format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadDate {
    /// The text has another form.
    Form,
    /// The numbers are those of no day or time, such as the 31st of November.
    NoSuchTime,
    /// Clocks were set forward over this time.
    Skipped,
    /// Clocks were set back, and showed this time twice.
    Twice,
    /// The rules for changes of clocks are not known for this year.
    UnknownYear,
}

/// What a cell says.
#[derive(Default)]
struct Read {
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
    ms: i64,
    is_afternoon: Option<bool>,
    /// Minutes east of UTC.
    offset: Option<i64>,
}

impl DateFormat {
    /// Parses a format. Errors: why it cannot be used, for a person.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.len() > FORMAT_MAX {
            return Err(format!("a date format has at most {FORMAT_MAX} bytes"));
        }
        let (written, zone) = match text.rsplit_once(' ').map(|(written, zone)| (written, zone_of(zone))) {
            Some((written, Some(zone))) => (written.trim_end(), Some(zone)),
            _ => (text, None),
        };
        let parts = parts_of(written)?;
        check(&parts, zone.is_some())?;
        Ok(Self { parts, zone: zone.unwrap_or(Zone::Utc) })
    }

    /// The time that a cell says. White space around it does not count.
    pub(super) fn read(&self, cell: &[u8]) -> Result<UnixMillis, BadDate> {
        let read = self.read_parts(cell).ok_or(BadDate::Form)?;
        let local = read.local().ok_or(BadDate::NoSuchTime)?;
        let utc = match (read.offset, self.zone) {
            (Some(minutes), _) | (None, Zone::Minutes(minutes)) => {
                local.checked_sub_signed(TimeDelta::minutes(minutes)).ok_or(BadDate::Form)?
            }
            (None, Zone::Utc) => local,
            (None, Zone::Named(zone)) => in_zone(zone, local)?,
        };
        let at = UnixMillis(utc.and_utc().timestamp_millis());
        // An offset may lead out of the years that a time is written in.
        let earliest = days_of_civil(0, 1, 1) * DAY_MS;
        if (earliest..=LATEST.0).contains(&at.0) { Ok(at) } else { Err(BadDate::Form) }
    }

    fn read_parts(&self, cell: &[u8]) -> Option<Read> {
        let mut rest = cell.trim_ascii();
        if rest.len() > CELL_MAX {
            return None;
        }
        let mut read = Read::default();
        for part in &self.parts {
            rest = read.take(*part, rest)?;
        }
        rest.is_empty().then_some(read)
    }
}

impl Read {
    /// Reads a part. Returns what follows it.
    fn take<'c>(&mut self, part: Part, rest: &'c [u8]) -> Option<&'c [u8]> {
        match part {
            Part::Number(field, exact) => {
                let (most, exact) = match field {
                    Field::Year => (4, true),
                    Field::ShortYear => (2, true),
                    _ => (2, exact),
                };
                let digits = rest.iter().take(most).take_while(|byte| byte.is_ascii_digit()).count();
                if digits == 0 || (exact && digits < most) {
                    return None;
                }
                let (digits, rest) = rest.split_at_checked(digits)?;
                self.set(field, number(digits));
                Some(rest)
            }
            Part::MonthName => {
                let (name, rest) = rest.split_at_checked(3)?;
                let month = MONTHS.iter().position(|month| month.eq_ignore_ascii_case(name))?;
                self.month = i64::try_from(month).ok()? + 1;
                Some(rest)
            }
            Part::Fraction => {
                let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
                let (digits, rest) =
                    rest.split_at_checked(digits).filter(|_| (1..=FRACTION_MAX).contains(&digits))?;
                let at = |place: usize| digits.get(place).copied().unwrap_or(b'0');
                self.ms = number(&[at(0), at(1), at(2)]);
                Some(rest)
            }
            Part::Half => {
                let (half, rest) = rest.split_at_checked(2)?;
                self.is_afternoon = Some(match half.to_ascii_lowercase().as_slice() {
                    b"am" => false,
                    b"pm" => true,
                    _ => return None,
                });
                Some(rest)
            }
            Part::Offset => {
                let len = rest.iter().take_while(|byte| !byte.is_ascii_whitespace()).count();
                let (word, rest) = rest.split_at_checked(len)?;
                self.offset =
                    Some(if word == b"Z" { 0 } else { minutes_of(std::str::from_utf8(word).ok()?)? });
                Some(rest)
            }
            // Newer programs write a narrow blank that does not break before AM and PM.
            Part::Blank => {
                [&b" "[..], b"\xC2\xA0", b"\xE2\x80\xAF"].iter().find_map(|blank| rest.strip_prefix(*blank))
            }
            Part::Byte(byte) => rest.strip_prefix(&[byte]),
        }
    }

    fn set(&mut self, field: Field, number: i64) {
        match field {
            Field::Year => self.year = number,
            Field::ShortYear => self.year = number + if number < LAST_CENTURY { 2_000 } else { 1_900 },
            Field::Month => self.month = number,
            Field::Day => self.day = number,
            Field::Hour | Field::HourOfHalf => self.hour = number,
            Field::Minute => self.minute = number,
            Field::Second => self.second = number,
        }
    }

    /// The time on the clock, if there is such a day and time.
    fn local(&self) -> Option<NaiveDateTime> {
        let small = |number: i64| u32::try_from(number).ok();
        let day =
            NaiveDate::from_ymd_opt(i32::try_from(self.year).ok()?, small(self.month)?, small(self.day)?)?;
        let hour = match self.is_afternoon {
            None => self.hour,
            Some(_) if !(1..=12).contains(&self.hour) => return None,
            Some(is_afternoon) => self.hour % 12 + if is_afternoon { 12 } else { 0 },
        };
        day.and_hms_milli_opt(small(hour)?, small(self.minute)?, small(self.second)?, small(self.ms)?)
    }
}

/// The time in UTC at which the clocks of a zone show this one.
fn in_zone(zone: Tz, local: NaiveDateTime) -> Result<NaiveDateTime, BadDate> {
    if chrono::Datelike::year(&local) >= YEAR_UNKNOWN {
        return Err(BadDate::UnknownYear);
    }
    match zone.from_local_datetime(&local) {
        LocalResult::Single(at) => Ok(at.naive_utc()),
        LocalResult::Ambiguous(..) => Err(BadDate::Twice),
        LocalResult::None => Err(BadDate::Skipped),
    }
}

/// The number of a few digits.
fn number(digits: &[u8]) -> i64 {
    digits.iter().fold(0, |number, digit| number * 10 + i64::from(digit.saturating_sub(b'0')))
}

/// The zone with this name.
fn zone_of(word: &str) -> Option<Zone> {
    match minutes_of(word) {
        Some(0) => Some(Zone::Utc),
        Some(minutes) => Some(Zone::Minutes(minutes)),
        None => word.parse().ok().map(Zone::Named),
    }
}

/// The minutes east of UTC that `UTC`, `GMT`, `+02`, `+0200` or `+02:00` mean.
fn minutes_of(word: &str) -> Option<i64> {
    if matches!(word, "UTC" | "GMT") {
        return Some(0);
    }
    let (sign, digits) = match word.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let (hours, minutes) = match digits.as_bytes() {
        [a, b] => ([*a, *b], *b"00"),
        [a, b, c, d] | [a, b, b':', c, d] => ([*a, *b], [*c, *d]),
        _ => return None,
    };
    let are_digits = hours.iter().chain(&minutes).all(u8::is_ascii_digit);
    let (hours, minutes) = (number(&hours), number(&minutes));
    (are_digits && hours <= 23 && minutes <= 59).then_some(sign * (hours * 60 + minutes))
}

/// The parts of a format without its zone.
fn parts_of(text: &str) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let after = rest.trim_start_matches(first);
        let times = (rest.len() - after.len()) / first.len_utf8();
        let part = match (first, times) {
            ('Y' | 'y', 4) => Part::Number(Field::Year, false),
            ('Y' | 'y', 2) => Part::Number(Field::ShortYear, false),
            ('M', 3) => Part::MonthName,
            ('M', 1 | 2) => Part::Number(Field::Month, false),
            ('D' | 'd', 1 | 2) => Part::Number(Field::Day, false),
            ('H', 1 | 2) => Part::Number(Field::Hour, false),
            ('h', 1 | 2) => Part::Number(Field::HourOfHalf, false),
            ('m', 1 | 2) => Part::Number(Field::Minute, false),
            ('s', 1 | 2) => Part::Number(Field::Second, false),
            ('S', 1..=FRACTION_MAX) => Part::Fraction,
            ('A' | 'a', 1) => Part::Half,
            ('Z', 1) => Part::Offset,
            ('T', 1) => Part::Byte(b'T'),
            (' ', 1) => Part::Blank,
            (other, _) if other.is_ascii_punctuation() => Part::Byte(u8::try_from(other).unwrap_or(b' ')),
            _ => return Err(unknown(text, rest)),
        };
        // Characters that stand for themselves are taken one by one.
        rest =
            if matches!(part, Part::Byte(_)) { rest.strip_prefix(first).unwrap_or_default() } else { after };
        parts.push(part);
    }
    let is_number = |part: Option<&Part>| matches!(part, Some(Part::Number(..) | Part::Fraction));
    let exact: Vec<bool> = (1..=parts.len()).map(|next| is_number(parts.get(next))).collect();
    for (part, exact) in parts.iter_mut().zip(exact) {
        if let Part::Number(_, is_exact) = part {
            *is_exact = exact;
        }
    }
    Ok(parts)
}

/// Why a format has a part that means nothing.
fn unknown(text: &str, rest: &str) -> String {
    let word = text.rsplit_once(' ').map(|(_, word)| word).filter(|word| word.ends_with(rest));
    let shown = |text: &str| outside_text_within(text, FORMAT_MAX).to_string();
    match word {
        Some(word) => format!(
            "\"{}\" is neither a part of a date nor a time zone such as Europe/Berlin, UTC or +02:00",
            shown(word)
        ),
        None => format!(
            "\"{}\" means nothing: a date has YYYY or YY, MM or MMM, DD, HH or hh with A, mm, ss, SSS and Z",
            shown(rest)
        ),
    }
}

/// Checks that a format says one day, and perhaps one time. Errors: what is missing or is there twice.
fn check(parts: &[Part], has_zone: bool) -> Result<(), String> {
    let count = |is_one: &dyn Fn(Part) -> bool| parts.iter().filter(|part| is_one(**part)).count();
    let fields =
        |wanted: &[Field]| count(&|part| matches!(part, Part::Number(field, _) if wanted.contains(&field)));
    let years = fields(&[Field::Year, Field::ShortYear]);
    let months = fields(&[Field::Month]) + count(&|part| part == Part::MonthName);
    let (days, hours) = (fields(&[Field::Day]), fields(&[Field::Hour, Field::HourOfHalf]));
    let (minutes, seconds) = (fields(&[Field::Minute]), fields(&[Field::Second]));
    let of_half = fields(&[Field::HourOfHalf]);
    let [halves, fractions, offsets] =
        [Part::Half, Part::Fraction, Part::Offset].map(|wanted| count(&|part| part == wanted));
    for (found, what) in
        [(years, "year, YYYY or YY"), (months, "month, MM (mm is the minute)"), (days, "day, DD")]
    {
        if found != 1 {
            return Err(format!("a date format needs one {what}"));
        }
    }
    let why = if [hours, minutes, seconds, halves, fractions, offsets].iter().any(|found| *found > 1) {
        "a date format has each part once"
    } else if halves != of_half {
        "hh is the hour of AM and PM, and needs A beside it; HH is the hour of 0 to 23, and must not have it"
    } else if minutes > hours || seconds > minutes || fractions > seconds {
        "a date format needs HH before mm, mm before ss, and ss before SSS"
    } else if offsets > 0 && (hours == 0 || has_zone) {
        "Z is the zone of a time, in place of one after the format"
    } else {
        return Ok(());
    };
    Err(why.to_owned())
}

impl fmt::Display for DateFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.parts {
            let text = match part {
                Part::Number(Field::Year, _) => "YYYY",
                Part::Number(Field::ShortYear, _) => "YY",
                Part::Number(Field::Month, _) => "MM",
                Part::Number(Field::Day, _) => "DD",
                Part::Number(Field::Hour, _) => "HH",
                Part::Number(Field::HourOfHalf, _) => "hh",
                Part::Number(Field::Minute, _) => "mm",
                Part::Number(Field::Second, _) => "ss",
                Part::MonthName => "MMM",
                Part::Fraction => "SSS",
                Part::Half => "A",
                Part::Offset => "Z",
                Part::Blank => " ",
                Part::Byte(byte) => {
                    write!(f, "{}", char::from(*byte))?;
                    continue;
                }
            };
            f.write_str(text)?;
        }
        match self.zone {
            Zone::Utc => Ok(()),
            Zone::Minutes(minutes) => {
                let (sign, minutes) = if minutes < 0 { ('-', -minutes) } else { ('+', minutes) };
                write!(f, " {sign}{:02}:{:02}", minutes / 60, minutes % 60)
            }
            Zone::Named(zone) => write!(f, " {}", zone.name()),
        }
    }
}

impl BadDate {
    /// What a cell is, for a person.
    pub(super) fn told(self, format: &DateFormat) -> String {
        match self {
            Self::Form => format!("is not of the date format {format}"),
            Self::NoSuchTime => format!("is no day or time by {format}: there is none with these numbers"),
            Self::Skipped => format!("is no time by {format}: clocks were set forward over it"),
            Self::Twice => format!("is two times by {format}: clocks were set back, and showed it twice"),
            Self::UnknownYear => {
                format!("is after 2099, and changes of clocks are not known by then for {format}")
            }
        }
    }
}

#[cfg(test)]
mod tests;
