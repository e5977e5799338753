//! Sizes.

const UNITS: [(&str, u64); 4] =
    [("TB", 1_000_000_000_000), ("GB", 1_000_000_000), ("MB", 1_000_000), ("KB", 1_000)];

/// An approximate number of bytes: `1.2 GB`, `20 GB`, `999 B`. Rounded down to a tenth of the unit.
pub fn about_bytes(bytes: u64) -> String {
    let Some((unit, of)) = UNITS.iter().find(|(_, of)| bytes >= *of) else { return format!("{bytes} B") };
    let tenths = u128::from(bytes) * 10 / u128::from(*of);
    match tenths % 10 {
        0 => format!("{} {unit}", tenths / 10),
        tenth => format!("{}.{tenth} {unit}", tenths / 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_one_decimal_at_most() {
        let check = |bytes, shown| assert_eq!(about_bytes(bytes), shown);
        check(0, "0 B");
        check(999, "999 B");
        check(1_000, "1 KB");
        check(1_999, "1.9 KB");
        check(1_550_000, "1.5 MB");
        check(20_000_000_000, "20 GB");
        check(1_250_000_000_000, "1.2 TB");
        check(u64::MAX, "18446744 TB");
    }
}
