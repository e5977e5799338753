//! Numbers in words.

/// About how many bytes: `1.2 GB`.
pub(super) fn about_bytes(bytes: u64) -> String {
    let units = [("TB", 1_000_000_000_000_u64), ("GB", 1_000_000_000), ("MB", 1_000_000), ("KB", 1_000)];
    for (unit, of) in units {
        if bytes >= of {
            let tenths = u128::from(bytes) * 10 / u128::from(of);
            return match tenths % 10 {
                0 => format!("{} {unit}", tenths / 10),
                tenth => format!("{}.{tenth} {unit}", tenths / 10),
            };
        }
    }
    format!("{bytes} B")
}

/// A count with its thousands apart: `1,234,567`.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// About how long, in the two largest units: `1 h 30 min`.
pub(super) fn about_seconds(seconds: u64) -> String {
    let units = [("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)];
    let mut rest = seconds;
    let mut parts = Vec::new();
    for (unit, of) in units {
        if rest >= of && parts.len() < 2 {
            parts.push(format!("{} {unit}", rest / of));
            rest %= of;
        }
    }
    if parts.is_empty() { "0 s".to_owned() } else { parts.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        assert_eq!(about_bytes(999), "999 B");
        assert_eq!(about_bytes(20_000_000_000), "20 GB");
        assert_eq!(about_bytes(1_550_000), "1.5 MB");
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_000), "1,000");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(about_seconds(0), "0 s");
        assert_eq!(about_seconds(5_400), "1 h 30 min");
        assert_eq!(about_seconds(86_400), "1 d");
    }
}
