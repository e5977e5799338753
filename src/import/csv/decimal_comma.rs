//! Numbers with a decimal comma, as tables of many countries have them: `1.234,50`.

/// Marks that may stand between groups of three digits: a point, blanks that do not break, a blank, and apostrophes.
const MARKS: [char; 6] = ['.', ' ', '\u{a0}', '\u{202f}', '\'', '\u{2019}'];

/// The same number with a decimal point, and without marks between its digits; `None`: the text is no such
/// number. `1.234` is one thousand and more.
pub(super) fn with_point(text: &str) -> Option<String> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) =
        digits.split_once(',').map_or((digits, None), |(whole, rest)| (whole, Some(rest)));
    let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let whole = match whole.chars().find(|c| MARKS.contains(c)) {
        None => whole.to_owned(),
        Some(mark) => {
            let mut groups = whole.split(mark);
            let first = groups.next().filter(|first| first.len() <= 3)?;
            let rest: Vec<&str> = groups.collect();
            if !are_digits(first) || rest.iter().any(|group| group.len() != 3) {
                return None;
            }
            format!("{first}{}", rest.concat())
        }
    };
    match fraction {
        _ if !are_digits(&whole) => None,
        None => Some(format!("{sign}{whole}")),
        Some(fraction) => are_digits(fraction).then(|| format!("{sign}{whole}.{fraction}")),
    }
}

/// Whether all cells of a column are such numbers, and one of them can be nothing else: `1,234` may be a
/// thousand.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Commas {
    cells: u64,
    others: bool,
    clear: bool,
}

impl Commas {
    /// Adds a cell that is not empty.
    pub(super) fn add(&mut self, cell: &[u8]) {
        let text = std::str::from_utf8(cell).unwrap_or_default();
        self.cells += 1;
        self.others |= with_point(text).is_none();
        self.clear |= text.split_once(',').is_some_and(|(_, fraction)| fraction.len() != 3);
    }

    /// How many cells there are, if all are such numbers.
    pub(super) fn all(self) -> Option<u64> {
        (self.clear && !self.others).then_some(self.cells)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_may_be_in_groups_of_three() {
        let check =
            |text: &str, number: Option<&str>| assert_eq!(with_point(text).as_deref(), number, "{text}");
        check("99,95", Some("99.95"));
        check("1.234,50", Some("1234.50"));
        check("-12 345 678,9", Some("-12345678.9"));
        check("1\u{202f}234,5", Some("1234.5"));
        check("+1'234", Some("1234"));
        check("1.234", Some("1234"));
        check("7", Some("7"));
        let others = [
            "", "-", ",5", "5,", "1,2,3", "1.5", "12.34,5", "1234.567,8", "1.234 567,8", "a", "1,5 €", "1e5",
            "25.11.2026", "1,-",
        ];
        others.into_iter().for_each(|text| check(text, None));
    }

    #[test]
    fn a_column_is_noticed_if_one_cell_is_clear() {
        let check = |cells: &[&str], all: Option<u64>| {
            let mut commas = Commas::default();
            cells.iter().for_each(|cell| commas.add(cell.as_bytes()));
            assert_eq!(commas.all(), all, "{cells:?}");
        };
        check(&["99,95", "1.234,50", "7"], Some(3));
        check(&["1,234", "5,678"], None);
        check(&["1,234", "5,67"], Some(2));
        check(&["99,95", "x"], None);
        check(&["7", "8"], None);
        check(&[], None);
    }
}
