//! Durations.

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

#[cfg(test)]
mod tests {
    use super::*;

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
