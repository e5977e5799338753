//! Decides how many rejected rows a file may have.

use std::fmt;
use std::str::FromStr;

use super::options_hash::short_hash;

/// Rows that are read before a share of rejected ones is judged.
const JUDGED_FROM: u64 = 1_000;

/// What happens to a file with rejected rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnRowError {
    /// Rejected rows never stop the file.
    Reject,
    /// The first rejected row stops the file.
    Fail,
    /// More rejected rows than this number stop the file.
    Max(u64),
    /// A larger share of rejected rows, in per cent, stops the file. The share is judged from the thousandth
    /// row on (decision 0223).
    MaxPercent(u8),
}

impl Default for OnRowError {
    /// The default is not to reject in silence: with a wrong delimiter that would be the whole file.
    fn default() -> Self {
        Self::MaxPercent(50)
    }
}

impl OnRowError {
    /// A hash of the options that decide whether a file fails, and nothing else. With other options, a file that
    /// failed too often is retried.
    pub fn limits_hash(self, allow_expansion: bool) -> String {
        let stops = match self {
            Self::Reject => "Reject".to_owned(),
            Self::Fail => "Fail".to_owned(),
            Self::Max(most) => format!("Max({most})"),
            Self::MaxPercent(percent) => format!("MaxPercent({percent})"),
        };
        short_hash(format!("1 {stops} {allow_expansion}").as_bytes())
    }

    /// Whether a file with so many rejected among its first `rows` rows stops here.
    pub fn stops(self, rejected: u64, rows: u64) -> bool {
        match self {
            Self::Reject => false,
            Self::Fail => rejected > 0,
            Self::Max(most) => rejected > most,
            Self::MaxPercent(percent) => {
                rows >= JUDGED_FROM && u128::from(rejected) * 100 > u128::from(rows) * u128::from(percent)
            }
        }
    }
}

/// As it is typed.
impl fmt::Display for OnRowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reject => f.write_str("reject"),
            Self::Fail => f.write_str("fail"),
            Self::Max(most) => write!(f, "max:{most}"),
            Self::MaxPercent(percent) => write!(f, "maxpct:{percent}"),
        }
    }
}

/// Why a text is not a value of `--on-row-error`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected reject, fail, max:N or maxpct:P with P from 0 to 100")]
pub struct NotAnAction;

impl FromStr for OnRowError {
    type Err = NotAnAction;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            None if text == "reject" => Ok(Self::Reject),
            None if text == "fail" => Ok(Self::Fail),
            Some(("max", number)) => number.parse().map(Self::Max).map_err(|_| NotAnAction),
            Some(("maxpct", number)) => {
                let percent = number.parse().ok().filter(|percent| *percent <= 100);
                percent.map(Self::MaxPercent).ok_or(NotAnAction)
            }
            _ => Err(NotAnAction),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_judged_only_after_a_thousand_rows() {
        let half = OnRowError::default();
        assert!(!half.stops(999, 999));
        assert!(half.stops(501, 1_000));
        assert!(!half.stops(500, 1_000));
        assert!(OnRowError::Fail.stops(1, 1) && !OnRowError::Fail.stops(0, 1));
        assert!(OnRowError::Max(3).stops(4, 4) && !OnRowError::Max(3).stops(3, 4));
        assert!(!OnRowError::Reject.stops(u64::MAX, u64::MAX));
    }

    #[test]
    fn limits_have_a_written_form() {
        let of = |text: &str| short_hash(text.as_bytes());
        assert_eq!(OnRowError::Reject.limits_hash(false), of("1 Reject false"));
        assert_eq!(OnRowError::Fail.limits_hash(true), of("1 Fail true"));
        assert_eq!(OnRowError::Max(9).limits_hash(true), of("1 Max(9) true"));
        assert_eq!(OnRowError::MaxPercent(50).limits_hash(false), of("1 MaxPercent(50) false"));
    }

    #[test]
    fn an_action_is_read_from_its_text() {
        let check = |text: &str, expected: Result<OnRowError, NotAnAction>| {
            assert_eq!(text.parse(), expected, "{text}");
            assert!(expected.is_err() || expected.unwrap().to_string() == text, "{text}");
        };
        check("reject", Ok(OnRowError::Reject));
        check("fail", Ok(OnRowError::Fail));
        check("max:10", Ok(OnRowError::Max(10)));
        check("maxpct:5", Ok(OnRowError::MaxPercent(5)));
        for wrong in ["", "max", "max:", "maxpct:101", "maxpct:-1", "other", "reject:1"] {
            check(wrong, Err(NotAnAction));
        }
    }
}
