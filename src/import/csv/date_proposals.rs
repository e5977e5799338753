//! Finds the date formats that the cells of a column fit, for a person who has not named one.

use std::sync::OnceLock;

use super::date_format::DateFormat;
use crate::words::{counted, grouped, outside_text_within, shell_word};

/// Days in the orders and with the separators that tables have. ISO 8601 is read without a format.
const DAYS: [&str; 11] = [
    "DD.MM.YYYY", "MM.DD.YYYY", "DD/MM/YYYY", "MM/DD/YYYY", "DD-MM-YYYY", "MM-DD-YYYY", "YYYY/MM/DD",
    "YYYY.MM.DD", "DD-MMM-YYYY", "DD MMM YYYY", "MMM DD, YYYY",
];
/// The same with years of two digits. In a column of texts, they may be anything.
const SHORT_DAYS: [&str; 10] = [
    "DD.MM.YY", "MM.DD.YY", "YY.MM.DD", "DD/MM/YY", "MM/DD/YY", "YY/MM/DD", "DD-MM-YY", "MM-DD-YY",
    "YY-MM-DD", "DD-MMM-YY",
];
/// Times after a day.
const TIMES: [&str; 9] = [
    "", " HH:mm", " HH:mm:ss", " HH:mm:ss.SSS", " hh:mm A", " hh:mm:ss A", ", HH:mm", ", HH:mm:ss",
    "THH:mm:ss",
];
/// Zones after a time.
const ZONES: [&str; 3] = ["", " Z", "Z"];

/// The formats that are tried. Those with short years come last.
struct Candidates {
    all: Vec<DateFormat>,
    /// How many have long years.
    long: usize,
}

fn candidates() -> &'static Candidates {
    static CANDIDATES: OnceLock<Candidates> = OnceLock::new();
    CANDIDATES.get_or_init(|| {
        let of = |days: &[&str]| {
            let mut formats = Vec::new();
            for day in days {
                for time in TIMES {
                    for zone in ZONES.iter().filter(|zone| zone.is_empty() || !time.is_empty()) {
                        formats.extend(DateFormat::parse(&format!("{day}{time}{zone}")));
                    }
                }
            }
            formats
        };
        let mut all = of(&DAYS);
        let long = all.len();
        all.extend(of(&SHORT_DAYS));
        Candidates { all, long }
    })
}

/// So many cells that fit belong to one that does not, or the column has no dates: one bad cell hid the format of
/// all others.
const FITTING_FOR_ONE: u64 = 3;
/// Cells that fit no format, after which a column without dates is no longer looked at.
const ODD_MAX: u64 = 100;

/// The formats that the cells of a column fit so far.
#[derive(Clone, Debug)]
pub(super) struct Fits {
    /// Indexes of candidates; `None`: no cell fits one.
    left: Option<Vec<usize>>,
    /// Whether the cells are times whose format is not known, and not texts.
    are_times: bool,
    /// Cells that fit.
    cells: u64,
    /// Cells that do not.
    odd: u64,
}

impl Fits {
    /// No cell so far of a column of times, or of texts.
    pub(super) fn new(are_times: bool) -> Self {
        Self { left: None, are_times, cells: 0, odd: 0 }
    }

    /// Adds a cell that is not empty.
    pub(super) fn add(&mut self, cell: &[u8]) {
        if self.odd > ODD_MAX && !self.are_dates() {
            return;
        }
        let Candidates { all, long } = candidates();
        let fits = |index: &usize| all.get(*index).is_some_and(|format| format.read(cell).is_ok());
        let is_date = match &mut self.left {
            None => {
                let tried = if self.are_times { all.len() } else { *long };
                let fitting: Vec<usize> = (0..tried).filter(fits).collect();
                self.left = Some(fitting).filter(|fitting| !fitting.is_empty());
                self.left.is_some()
            }
            Some(left) => {
                let is_date = left.iter().any(fits);
                if is_date {
                    left.retain(fits);
                }
                is_date
            }
        };
        *(if is_date { &mut self.cells } else { &mut self.odd }) += 1;
    }

    fn are_dates(&self) -> bool {
        self.cells >= self.odd.saturating_mul(FITTING_FOR_ONE)
    }

    /// What a person should know about a column with this name.
    pub(super) fn doubt(&self, name: &str) -> Option<String> {
        if !self.are_dates() {
            return None;
        }
        let Candidates { all, .. } = candidates();
        let left = self.left.iter().flatten().filter_map(|index| all.get(*index));
        let formats: Vec<String> = left.map(ToString::to_string).collect();
        let shown = outside_text_within(name, 64);
        let all = match (self.cells, self.odd) {
            (1, 0) => "its 1 cell fits".to_owned(),
            (cells, 0) => format!("all of its {} fit", counted(cells, "cell", "cells")),
            (cells, odd) => {
                format!(
                    "{} of its {} fit",
                    grouped(cells),
                    counted(cells.saturating_add(odd), "cell", "cells")
                )
            }
        };
        let now = if self.are_times { "without one they are no times" } else { "without one they stay text" };
        match formats.as_slice() {
            [] => None,
            [format] => {
                let pass = shell_word(&format!("{shown}={format}"));
                // A zone would move a day without a time to the day before.
                let zone = if format.contains('Z') || !format.contains(['H', 'h']) {
                    ""
                } else {
                    "; add the zone of the times, such as Europe/Berlin, unless they are in UTC"
                };
                Some(format!(
                    "column \"{shown}\": {all} the date format {format} ({now}): pass --date-format {pass}{zone}"
                ))
            }
            several => Some(format!(
                "column \"{shown}\": {all} more than one date format, {} ({now}): pass the right one with --date-format",
                several.join(" and ")
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doubt(are_times: bool, cells: &[&str]) -> String {
        let mut fits = Fits::new(are_times);
        cells.iter().for_each(|cell| fits.add(cell.as_bytes()));
        fits.doubt("Datum").unwrap_or_default()
    }

    #[test]
    fn all_candidates_are_formats_and_none_is_there_twice() {
        let Candidates { all, long } = candidates();
        let times = 1 + (TIMES.len() - 1) * ZONES.len();
        assert_eq!((*long, all.len()), (DAYS.len() * times, (DAYS.len() + SHORT_DAYS.len()) * times));
        let texts: std::collections::BTreeSet<String> = all.iter().map(ToString::to_string).collect();
        assert_eq!(texts.len(), all.len());
    }

    #[test]
    fn one_format_is_proposed_and_two_are_both_named() {
        assert_eq!(
            doubt(true, &["25.11.2026 15:04", "1.2.2026 3:04"]),
            "column \"Datum\": all of its 2 cells fit the date format DD.MM.YYYY HH:mm (without one they are no times): pass \
             --date-format 'Datum=DD.MM.YYYY HH:mm'; add the zone of the times, such as Europe/Berlin, unless they are in UTC"
        );
        assert_eq!(
            doubt(false, &["03/04/2026"]),
            "column \"Datum\": its 1 cell fits more than one date format, DD/MM/YYYY and MM/DD/YYYY (without one they stay \
             text): pass the right one with --date-format"
        );
        assert_eq!(
            doubt(false, &["25.11.2026"]),
            "column \"Datum\": its 1 cell fits the date format DD.MM.YYYY (without one they stay text): pass \
             --date-format Datum=DD.MM.YYYY"
        );
        let proposed = |cells: &[&str], format: &str| {
            let doubt = doubt(true, cells);
            let pass = shell_word(&format!("Datum={format}"));
            assert!(
                doubt.contains(&format!("the date format {format} (")) && doubt.contains(&pass),
                "{doubt}"
            );
        };
        proposed(&["03/04/2026", "03/25/2026"], "MM/DD/YYYY");
        proposed(&["11/25/2026 3:04 PM"], "MM/DD/YYYY hh:mm A");
        proposed(&["25.11.2026 15:04 +02:00"], "DD.MM.YYYY HH:mm Z");
        proposed(&["25-Nov-26"], "DD-MMM-YY");
        proposed(&["31.12.99"], "DD.MM.YY");
        let both = doubt(true, &["25.11.26"]);
        assert!(both.contains("DD.MM.YY and YY.MM.DD"), "{both}");
        for none in
            [&[][..], &["2026-11-25"], &["25.11.2026", "soon"], &["25.11.2026", "11/25/2026"], &["1.2.3"]]
        {
            assert_eq!(doubt(true, none), "", "{none:?}");
        }
        assert_eq!(doubt(false, &["25.11.26"]), "", "a text may be anything");
    }

    #[test]
    fn one_bad_cell_hides_no_format() {
        let cells = ["31.11.2026 14:30", "25.11.2026 14:30", "26.11.2026 14:30", "27.11.2026 09:00"];
        let told = doubt(true, &cells);
        assert!(
            told.starts_with("column \"Datum\": 3 of its 4 cells fit the date format DD.MM.YYYY HH:mm ("),
            "{told}"
        );
        assert_eq!(doubt(true, &cells[..3]), "", "one of three may be no accident");
        let texts: Vec<String> = (0..500).map(|n| format!("text {n}")).collect();
        let mut texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        texts.extend(["25.11.2026"; 50]);
        assert_eq!(doubt(false, &texts), "");
    }
}
