//! Finds cells that a person should look at before rows are stored: they are read as they are, and may mean
//! something else.

use super::date_proposals::Fits;
use super::decimal_comma::Commas;
use super::plan::Plan;
use super::record::Record;
use crate::words::{counted, outside_text_within, shell_word};

/// The most columns that are named for one kind of doubt.
const COLUMNS_NAMED: usize = 20;

/// Texts that programs write for no value.
const NULLS: [&[u8]; 8] = [b"\\N", b"NA", b"N/A", b"#N/A", b"NULL", b"null", b"None", b"NaN"];

/// Counts doubtful cells of each column.
#[derive(Debug, Default)]
pub(super) struct Watch {
    columns: Vec<Seen>,
}

/// The counts of one column.
#[derive(Clone, Debug, Default)]
struct Seen {
    /// Whether blanks stay in the values.
    keeps_blanks: bool,
    cells: u64,
    /// Cells that are one of [`NULLS`].
    nulls: [u64; NULLS.len()],
    /// Cells that begin with a blank.
    blank: u64,
    /// The date formats that all cells fit, if one could be named.
    dates: Option<Fits>,
    /// Numbers with a decimal comma, in columns of text.
    commas: Option<Commas>,
}

impl Watch {
    /// A watch of the columns of a plan.
    pub(super) fn of(plan: &Plan) -> Self {
        Self::new(plan.names.len(), &plan.texts(), &plan.times(), &plan.plain_texts())
    }

    /// A watch of so many columns. Those at `keeps_blanks` keep the blanks that cells begin with, those at
    /// `times` are times, and those at `texts` could be.
    fn new(columns: usize, keeps_blanks: &[usize], times: &[usize], texts: &[usize]) -> Self {
        let seen = |index| {
            let dates = match (times.contains(&index), texts.contains(&index)) {
                (true, _) => Some(Fits::new(true)),
                (false, true) => Some(Fits::new(false)),
                (false, false) => None,
            };
            let commas = texts.contains(&index).then(Commas::default);
            Seen { keeps_blanks: keeps_blanks.contains(&index), dates, commas, ..Seen::default() }
        };
        Self { columns: (0..columns).map(seen).collect() }
    }

    /// Counts the cells of a row. `is_call`: it became a call.
    pub(super) fn look(&mut self, record: &Record, is_call: bool) {
        for (seen, cell) in self.columns.iter_mut().zip(record.iter()).filter(|(_, cell)| !cell.is_empty()) {
            seen.cells += u64::from(is_call);
            seen.blank += u64::from(is_call && cell.starts_with(b" "));
            let bare = cell.trim_ascii();
            if let Some(null) = NULLS.iter().position(|null| *null == bare) {
                if let Some(count) = seen.nulls.get_mut(null) {
                    *count += 1;
                }
            } else if !bare.is_empty() {
                seen.dates.iter_mut().for_each(|dates| dates.add(bare));
                seen.commas.iter_mut().for_each(|commas| commas.add(bare));
            }
        }
    }

    /// The doubts, for a person.
    pub(super) fn doubts(&self, names: &[String]) -> Vec<String> {
        let named = || names.iter().zip(&self.columns);
        let shown = |name: &str| outside_text_within(name, 64).to_string();
        let mut doubts = Vec::new();
        let dates = named().filter_map(|(name, seen)| seen.dates.as_ref()?.doubt(name));
        doubts.extend(dates.take(COLUMNS_NAMED));
        let commas = named().filter_map(|(name, seen)| Some((name, seen.commas?.all()?)));
        doubts.extend(commas.take(COLUMNS_NAMED).map(|(name, cells)| {
            format!(
                "column \"{}\": {} with a decimal comma, which stay text: the type float_comma in a file for --types makes \
                 numbers of them",
                shown(name),
                counted(cells, "number", "numbers")
            )
        }));
        let has_null = |seen: &Seen| seen.nulls.iter().any(|count| *count > 0);
        for (name, seen) in named().filter(|(_, seen)| has_null(seen)).take(COLUMNS_NAMED) {
            for (null, count) in NULLS.iter().zip(seen.nulls).filter(|(_, count)| *count > 0) {
                let null = String::from_utf8_lossy(null);
                let escapes = match &*null {
                    "\\N" => " (if backslashes protect other characters, --escape '\\' instead)",
                    _ => "",
                };
                doubts.push(format!(
                    "column \"{}\" has {} {null}: say --null {} if they mean nothing{escapes}",
                    shown(name),
                    counted(count, "value", "values"),
                    shell_word(&null)
                ));
            }
        }
        let rest = self.columns.get(1..).unwrap_or_default();
        if rest.iter().any(|seen| seen.cells > 0) && rest.iter().all(|seen| seen.blank == seen.cells) {
            doubts.push("a blank follows each delimiter and would stay in the cells".to_owned());
            return doubts;
        }
        let is_blank = |seen: &Seen| seen.keeps_blanks && seen.cells > 0 && seen.blank == seen.cells;
        for (name, seen) in named().filter(|(_, seen)| is_blank(seen)).take(COLUMNS_NAMED) {
            doubts.push(format!(
                "column \"{}\": {} with a blank at the beginning, and none without: it would stay",
                shown(name),
                counted(seen.cells, "cell", "cells"),
            ));
        }
        doubts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_that_may_mean_something_else_are_counted() {
        let names = ["userId", "zip", "x"].map(str::to_owned);
        let doubts = |rows: &[[&str; 3]]| {
            let mut watch = Watch::new(3, &[0, 1, 2], &[], &[2]);
            rows.iter().for_each(|row| watch.look(&Record::of_fields(row), true));
            watch.doubts(&names)
        };
        assert_eq!(doubts(&[["1", "94103", "a"], ["007", "10001", " b"]]), [""; 0]);
        assert_eq!(
            doubts(&[["1", "NA", "\\N"], ["NULL", "NA", "a"]]),
            [
                "column \"userId\" has 1 value NULL: say --null NULL if they mean nothing",
                "column \"zip\" has 2 values NA: say --null NA if they mean nothing",
                "column \"x\" has 1 value \\N: say --null '\\N' if they mean nothing (if backslashes protect other \
                 characters, --escape '\\' instead)",
            ]
        );
        assert_eq!(
            doubts(&[["1", " a", " b"]]),
            ["a blank follows each delimiter and would stay in the cells"]
        );
        assert_eq!(
            doubts(&[["1", "a", " b"], ["2", "a", ""]]),
            ["column \"x\": 1 cell with a blank at the beginning, and none without: it would stay"]
        );
        assert_eq!(doubts(&[]), [""; 0]);
    }

    #[test]
    fn decimal_commas_are_noticed() {
        let names = ["userId", "price"].map(str::to_owned);
        let mut watch = Watch::new(2, &[0, 1], &[], &[1]);
        for row in [["1", "1.234,50"], ["2", "NA"], ["3", "99"]] {
            watch.look(&Record::of_fields(row), true);
        }
        let doubts = watch.doubts(&names);
        assert_eq!(doubts.len(), 2, "{doubts:?}");
        assert!(doubts[0].starts_with("column \"price\": 2 numbers with a decimal comma"), "{doubts:?}");
    }

    #[test]
    fn dates_are_noticed_among_cells_without_a_value() {
        let names = ["userId", "timestamp", "due"].map(str::to_owned);
        let mut watch = Watch::new(3, &[0, 2], &[1], &[2]);
        for (row, is_call) in
            [(["25.11.2026", "25.11.26", "NA"], false), (["1", "31.1.26", "1/2/2026"], true)]
        {
            watch.look(&Record::of_fields(row), is_call);
        }
        let doubts = watch.doubts(&names);
        assert_eq!(doubts.len(), 3, "{doubts:?}");
        assert!(doubts[0].starts_with("column \"timestamp\": all of its 2 cells fit"), "{doubts:?}");
        assert!(doubts[1].starts_with("column \"due\": its 1 cell fits more than one"), "{doubts:?}");
    }
}
