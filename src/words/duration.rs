//! Durations.

use std::time::Duration;

const UNITS: [(&str, u64); 4] = [("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)];

/// An approximate duration in its two largest units (`2 h 5 min`), down to whole seconds.
pub fn about_seconds(seconds: u64) -> String {
    let Some(first) = UNITS.iter().position(|(_, of)| seconds >= *of) else { return "0 s".to_owned() };
    let mut rest = seconds;
    let mut parts = Vec::new();
    for (unit, of) in UNITS.iter().skip(first).take(2) {
        if rest >= *of {
            parts.push(format!("{} {unit}", rest / of));
        }
        rest %= of;
    }
    parts.join(" ")
}

/// An approximate duration with one decimal at most: `999 µs`, `2.3 ms`, `4.5 s`. From 10 s on, as
/// [`about_seconds`]. Rounded down.
pub fn about_duration(duration: Duration) -> String {
    let micros = duration.as_micros();
    let tenths = |unit: u128, name: &str| match micros * 10 / unit % 10 {
        0 => format!("{} {name}", micros / unit),
        tenth => format!("{}.{tenth} {name}", micros / unit),
    };
    match micros {
        0 => about_seconds(0),
        1..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => tenths(1_000, "ms"),
        1_000_000..10_000_000 => tenths(1_000_000, "s"),
        _ => about_seconds(duration.as_secs()),
    }
}

/// Whole seconds from one time to another; 0 if that is later.
pub fn seconds_since(now_ms: i64, then_ms: i64) -> u64 {
    u64::try_from(now_ms.saturating_sub(then_ms) / 1_000).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_durations_show_one_unit() {
        let check = |micros, shown| assert_eq!(about_duration(Duration::from_micros(micros)), shown);
        check(0, "0 s");
        check(999, "999 µs");
        check(2_000, "2 ms");
        check(2_340, "2.3 ms");
        check(4_590_000, "4.5 s");
        check(10_900_000, "10 s");
        check(61_000_000, "1 min 1 s");
        assert!(about_duration(Duration::MAX).ends_with(" h"));
    }

    #[test]
    fn durations_show_two_units() {
        let check = |seconds, shown| assert_eq!(about_seconds(seconds), shown);
        check(0, "0 s");
        check(59, "59 s");
        check(61, "1 min 1 s");
        check(5_400, "1 h 30 min");
        check(7_505, "2 h 5 min");
        check(86_400, "1 d");
        check(86_460, "1 d");
        check(3 * 86_400 + 7_200 + 60, "3 d 2 h");
    }
}
