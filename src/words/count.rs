//! Counts.

use std::time::Duration;

/// A number with its noun: `1 call`, `1,234 calls`.
pub fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", grouped(number), if number == 1 { one } else { many })
}

/// The text of a count; none if the count is zero.
pub fn if_any(count: u64, text: impl FnOnce(u64) -> String) -> String {
    if count > 0 { text(count) } else { String::new() }
}

/// Whether a serializer leaves a count out (`skip_serializing_if`).
pub fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// A number with separators: `1,234,567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A rate as a whole number.
pub fn whole(rate: f64) -> u64 {
    Duration::try_from_secs_f64(rate.round()).map_or(u64::MAX, |rate| rate.as_secs())
}

/// A part of `whole` in per cent, rounded down. A `whole` of 0 counts as 1.
pub fn percent(part: u64, whole: u64) -> u128 {
    u128::from(part) * 100 / u128::from(whole.max(1))
}

/// `percent` per cent of `whole`, rounded down.
pub fn percent_of(whole: u64, percent: u64) -> u64 {
    u64::try_from(u128::from(whole) * u128::from(percent) / 100).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        let check = |number, shown| assert_eq!(grouped(number), shown);
        check(0, "0");
        check(999, "999");
        check(1_000, "1,000");
        check(1_234_567, "1,234,567");
        assert_eq!(counted(1, "call", "calls"), "1 call");
        assert_eq!(counted(1_000, "call", "calls"), "1,000 calls");
    }

    #[test]
    fn the_percentage_of_an_empty_whole_is_defined() {
        assert_eq!(percent(19, 20), 95);
        assert_eq!(percent(u64::MAX, u64::MAX), 100);
        assert_eq!(percent(0, 0), 0);
        assert_eq!(percent_of(19, 90), 17);
        assert_eq!(percent_of(u64::MAX, 100), u64::MAX);
    }
}
