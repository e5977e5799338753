//! Sizes and durations, always with a unit: `100 MB`, `64KiB`, `1h`, `500 ms`.
//!
//! KB is 1,000 bytes and KiB is 1,024. Case does not matter; a space before the unit and a decimal fraction
//! are allowed (`1.5 GB`). A displayed value parses back to exactly the same value.

use crate::time::whole_millis;
use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

/// The most digits after the decimal point. More would be fractions of a byte or of a nanosecond.
const FRACTION_DIGITS_MAX: usize = 9;

const SIZE_UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("KB", 1_000),
    ("B", 1),
];

/// In milliseconds, the smallest unit of a setting.
const PERIOD_UNITS: [(&str, u64); 6] =
    [("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub u64);

/// A length of time, in whole milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period(Duration);

/// A text that is not a size or duration. The message gives the expected form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// Not a number followed by a unit of size.
    #[error("expected a size with its unit, such as \"100 MB\" or \"64 KiB\"")]
    Size,
    /// Not a number followed by a unit of time.
    #[error("expected a duration with its unit, such as \"500 ms\", \"2 s\", \"10 min\", \"1 h\" or \"1 d\"")]
    Period,
    /// More than fits into 64 bits.
    #[error("is too large")]
    TooLarge,
    /// A fraction that is not a whole number of bytes or milliseconds.
    #[error("is not a whole number of {0}")]
    NotWhole(&'static str),
}

impl Period {
    /// A period of this many milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    /// A period of this many seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// The period as a [`Duration`].
    pub const fn get(self) -> Duration {
        self.0
    }
}

impl FromStr for ByteSize {
    type Err = UnitError;
    fn from_str(text: &str) -> Result<Self, UnitError> {
        quantity(text, &SIZE_UNITS, UnitError::Size, "bytes").map(Self)
    }
}

impl FromStr for Period {
    type Err = UnitError;
    fn from_str(text: &str) -> Result<Self, UnitError> {
        quantity(text, &PERIOD_UNITS, UnitError::Period, "milliseconds").map(Self::from_millis)
    }
}

/// In the largest unit that needs no fraction, so that it parses back to the same size.
impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show_exact(f, self.0, &SIZE_UNITS)
    }
}

/// In the largest unit that needs no fraction, so that it parses back to the same duration.
impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show_exact(f, whole_millis(self.0), &PERIOD_UNITS)
    }
}

/// A quantity within bounds. `what`: `a size` or `a duration`.
/// Errors: the bounds, as what is expected.
pub fn within<T>(what: &str, quantity: T, bounds: &RangeInclusive<T>) -> Result<T, String>
where
    T: PartialOrd + fmt::Display,
{
    let (least, most) = (bounds.start(), bounds.end());
    if bounds.contains(&quantity) {
        Ok(quantity)
    } else {
        Err(format!("expected {what} from {least} to {most}"))
    }
}

fn quantity(
    text: &str,
    units: &[(&str, u64)],
    form: UnitError,
    whole: &'static str,
) -> Result<u64, UnitError> {
    let text = text.trim();
    let number_len = text.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
    let (number, unit) = text.split_at_checked(number_len).ok_or(form)?;
    let unit = unit.trim_start();
    let (_, of) = units.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).ok_or(form)?;
    let (whole_part, fraction) = match number.split_once('.') {
        Some((_, "")) => return Err(form),
        Some((whole_part, fraction)) => (whole_part, fraction),
        None => (number, ""),
    };
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole_part)
        || !(fraction.is_empty() || digits(fraction))
        || fraction.len() > FRACTION_DIGITS_MAX
    {
        return Err(form);
    }
    // Fixed-point, never floating: 0.1 GB is exactly 100,000,000 bytes.
    let digits: u128 = format!("{whole_part}{fraction}").parse().map_err(|_| UnitError::TooLarge)?;
    let scale = 10_u128.pow(u32::try_from(fraction.len()).map_err(|_| UnitError::TooLarge)?);
    let product = digits.checked_mul(u128::from(*of)).ok_or(UnitError::TooLarge)?;
    if product % scale != 0 {
        return Err(UnitError::NotWhole(whole));
    }
    u64::try_from(product / scale).map_err(|_| UnitError::TooLarge)
}

fn show_exact(f: &mut fmt::Formatter<'_>, amount: u64, units: &[(&str, u64)]) -> fmt::Result {
    let exact = |of: u64| of <= amount && amount.is_multiple_of(of);
    // Zero fits no unit.
    match units.iter().find(|(_, of)| exact(*of)) {
        Some((unit, of)) => write!(f, "{} {unit}", amount / of),
        None => write!(f, "{amount} {}", units.last().map_or("", |(unit, _)| unit)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_need_a_unit() {
        let check = |text: &str, expected: Result<u64, UnitError>| {
            assert_eq!(text.parse::<ByteSize>().map(|size| size.0), expected, "{text:?}");
        };
        check("100 MB", Ok(100_000_000));
        check("100MB", Ok(100_000_000));
        check(" 64KiB ", Ok(65_536));
        check("1 kb", Ok(1_000));
        check("1.5 GB", Ok(1_500_000_000));
        check("0.5 KiB", Ok(512));
        check("7 B", Ok(7));
        check("2 TiB", Ok(2 << 40));
        check("0 MB", Ok(0));
        check("18446744073709551615 B", Ok(u64::MAX));
        check("100", Err(UnitError::Size));
        check("MB", Err(UnitError::Size));
        check("", Err(UnitError::Size));
        check("-1 MB", Err(UnitError::Size));
        check("1,5 MB", Err(UnitError::Size));
        check("1. MB", Err(UnitError::Size));
        check(".5 MB", Err(UnitError::Size));
        check("1.2.3 MB", Err(UnitError::Size));
        check("1 MBit", Err(UnitError::Size));
        check("1h", Err(UnitError::Size));
        check("1é", Err(UnitError::Size));
        check("0.5 B", Err(UnitError::NotWhole("bytes")));
        check("18446744073709551616 B", Err(UnitError::TooLarge));
        check("99999999999999999999999999999999999999999 B", Err(UnitError::TooLarge));
    }

    #[test]
    fn durations_need_a_unit() {
        let check = |text: &str, expected: Result<u64, UnitError>| {
            assert_eq!(
                text.parse::<Period>().map(|period| period.get().as_millis()),
                expected.map(u128::from),
                "{text:?}"
            );
        };
        check("1h", Ok(3_600_000));
        check("2s", Ok(2_000));
        check("10 min", Ok(600_000));
        check("10m", Ok(600_000));
        check("500 ms", Ok(500));
        check("1.5 s", Ok(1_500));
        check("1 d", Ok(86_400_000));
        check("0s", Ok(0));
        check("10", Err(UnitError::Period));
        check("1 week", Err(UnitError::Period));
        check("1h30m", Err(UnitError::Period));
        check("0.5 ms", Err(UnitError::NotWhole("milliseconds")));
    }

    #[test]
    fn values_are_shown_in_the_largest_exact_unit() {
        let check =
            |text: &str, shown: &str| assert_eq!(text.parse::<ByteSize>().unwrap().to_string(), shown);
        check("1000 KB", "1 MB");
        check("65536 B", "64 KiB");
        check("1025 B", "1025 B");
        check("0 GB", "0 B");
        assert_eq!("90 min".parse::<Period>().unwrap().to_string(), "90 min");
        assert_eq!("3600 s".parse::<Period>().unwrap().to_string(), "1 h");
        assert_eq!("0 h".parse::<Period>().unwrap().to_string(), "0 ms");
    }

    proptest! {
        #[test]
        fn a_displayed_size_parses_back(bytes: u64, small in 0_u64..5_000_000) {
            for size in [ByteSize(bytes), ByteSize(small), ByteSize(small << 10), ByteSize(small * 1_000)] {
                prop_assert_eq!(size.to_string().parse(), Ok(size));
            }
        }

        #[test]
        fn a_displayed_duration_parses_back(millis in 0_u64..u64::MAX / 2, small in 0_u64..5_000) {
            for period in [Period::from_millis(millis), Period::from_secs(small), Period::from_secs(small * 60)] {
                prop_assert_eq!(period.to_string().parse(), Ok(period));
            }
        }

        #[test]
        fn any_text_is_parsed_or_refused(text in "[0-9]{0,4}[.]?[0-9]{0,3} ?(\\PC{0,3}|[kKmMgGtT]?i?[bB]|[mM]?[sS]|[hd])") {
            if let Ok(size) = text.parse::<ByteSize>() {
                prop_assert_eq!(size.to_string().parse(), Ok(size));
            }
            if let Ok(period) = text.parse::<Period>() {
                prop_assert_eq!(period.to_string().parse(), Ok(period));
            }
        }
    }
}
