//! Decimal numbers of any length, exactly: compared, cut and rounded without floating point.

/// The most decimal places of a whole number of 128 bits.
const INT_DIGITS_MAX: i64 = 39;

/// A number: its digits without zeros at either end, times a power of ten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Decimal {
    negative: bool,
    /// Digits, 0 to 9 each. None for zero.
    digits: Vec<u8>,
    /// The power of ten of the last digit; 0 for zero.
    scale: i64,
}

impl Decimal {
    /// The number that a text says: digits with a sign, a fraction and an exponent where they are wanted.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (negative, unsigned) = match text.as_bytes() {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            rest => (false, rest),
        };
        let mut halves = unsigned.splitn(2, |byte| matches!(byte, b'e' | b'E'));
        let mantissa = halves.next()?;
        let exponent = halves.next().map_or(Some(0), exponent)?;
        let mut parts = mantissa.splitn(2, |byte| *byte == b'.');
        let (whole, fraction) = (parts.next()?, parts.next().unwrap_or_default());
        let all = whole.iter().chain(fraction);
        if whole.len() + fraction.len() == 0 || !all.clone().all(u8::is_ascii_digit) {
            return None;
        }
        let digits = all.skip_while(|digit| **digit == b'0').map(|digit| digit - b'0').collect();
        Some(Self::trimmed(negative, digits, exponent.saturating_sub_unsigned(fraction.len() as u64)))
    }

    /// A whole number.
    pub(super) fn of_int(int: i128) -> Self {
        let digits = int.unsigned_abs().to_string().bytes().map(|digit| digit - b'0').collect();
        Self::trimmed(int < 0, digits, 0)
    }

    fn trimmed(negative: bool, mut digits: Vec<u8>, mut scale: i64) -> Self {
        while digits.last() == Some(&0) {
            digits.pop();
            scale = scale.saturating_add(1);
        }
        if digits.is_empty() {
            Self { negative: false, digits, scale: 0 }
        } else {
            Self { negative, digits, scale }
        }
    }

    /// Whether the number is not whole.
    pub(super) fn has_fraction(&self) -> bool {
        self.scale < 0
    }

    /// The whole part: the fraction is dropped. `None` if 128 bits cannot hold it.
    pub(super) fn cut(&self) -> Option<i128> {
        let (digits, scale) = self.whole_digits();
        if digits.len() as u64 > INT_DIGITS_MAX.unsigned_abs() || scale > INT_DIGITS_MAX {
            return None;
        }
        let signed = |digit: u8| if self.negative { -i128::from(digit) } else { i128::from(digit) };
        let mut int = 0_i128;
        for digit in digits.iter().copied().chain((0..scale).map(|_| 0)) {
            int = int.checked_mul(10)?.checked_add(signed(digit))?;
        }
        Some(int)
    }

    /// The nearest whole number; of two the greater one, as Java rounds. `None` if 128 bits cannot hold it.
    pub(super) fn rounded(&self) -> Option<i128> {
        let cut = self.cut()?;
        // The digit of the tenths, if the number has one.
        let tenths = usize::try_from(self.scale.saturating_add_unsigned(self.digits.len() as u64)).ok();
        let tenths = tenths.filter(|_| self.has_fraction());
        let Some((at, digit)) = tenths.and_then(|at| Some((at, *self.digits.get(at)?))) else {
            return Some(cut);
        };
        let is_half = digit == 5 && at + 1 == self.digits.len();
        if digit < 5 || (self.negative && is_half) {
            return Some(cut);
        }
        if self.negative { cut.checked_sub(1) } else { cut.checked_add(1) }
    }

    /// The digits before the decimal point, and how many zeros follow them.
    fn whole_digits(&self) -> (&[u8], i64) {
        if self.scale >= 0 {
            return (&self.digits, self.scale);
        }
        let whole = self.scale.saturating_add_unsigned(self.digits.len() as u64);
        let len = usize::try_from(whole).unwrap_or(0);
        (self.digits.get(..len).unwrap_or_default(), 0)
    }
}

/// An exponent. Too long ones become the greatest or least: the number is then too large, or next to nothing.
fn exponent(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = digits.iter().fold(0_i64, |value, digit| {
        value.saturating_mul(10).saturating_add(i64::from(digit - b'0')).min(1_000_000_000)
    });
    Some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_cut_and_rounded() {
        let check = |text: &str, cut: Option<i128>, rounded: Option<i128>| {
            let number = Decimal::parse(text).unwrap();
            assert_eq!((number.cut(), number.rounded()), (cut, rounded), "{text}");
        };
        check("0", Some(0), Some(0));
        check("-0.0", Some(0), Some(0));
        check("12", Some(12), Some(12));
        check("1200", Some(1200), Some(1200));
        check("12.5", Some(12), Some(13));
        check("-12.5", Some(-12), Some(-12));
        check("-12.51", Some(-12), Some(-13));
        check("12.4999", Some(12), Some(12));
        check("0.5", Some(0), Some(1));
        check("0.05", Some(0), Some(0));
        check("0.0005e4", Some(5), Some(5));
        check("-0.5", Some(0), Some(0));
        check("-0.6", Some(0), Some(-1));
        check("+7", Some(7), Some(7));
        check(".5", Some(0), Some(1));
        check("1.5e1", Some(15), Some(15));
        check("1e-99999999999", Some(0), Some(0));
        check("1e99999999999", None, None);
        check("170141183460469231731687303715884105727", Some(i128::MAX), Some(i128::MAX));
        check("-170141183460469231731687303715884105728", Some(i128::MIN), Some(i128::MIN));
        check("170141183460469231731687303715884105728", None, None);
        check("170141183460469231731687303715884105727.5", Some(i128::MAX), None);
        for text in ["", "-", ".", "1e", "e5", "1.2.3", "0x10", "NaN", "1 2", "١"] {
            assert_eq!(Decimal::parse(text), None, "{text}");
        }
    }

    #[test]
    fn equal_numbers_are_equal_in_every_form() {
        for (one, other) in [("1", "1.00"), ("100", "1e2"), ("0", "-0e7"), ("0.10", "1E-1")] {
            assert_eq!(Decimal::parse(one), Decimal::parse(other));
        }
        assert_ne!(Decimal::parse("9007199254740993"), Decimal::parse("9007199254740992"));
        assert_eq!(Decimal::parse("-3"), Some(Decimal::of_int(-3)));
    }
}
