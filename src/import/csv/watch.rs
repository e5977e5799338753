//! Finds cells that a person should look at before rows are stored: they are read as they are, and may mean
//! something else.

use super::record::Record;
use super::value::is_exact_number;
use crate::call::export_time::is_number;
use crate::words::{counted, outside_text_within};

/// The most columns that are named for one kind of doubt.
const COLUMNS_NAMED: usize = 20;

/// Counts doubtful cells of each column.
#[derive(Debug, Default)]
pub(super) struct Watch {
    columns: Vec<Seen>,
}

/// The counts of one column.
#[derive(Clone, Debug, Default)]
struct Seen {
    inferred: bool,
    /// Whether blanks stay in the values.
    keeps_blanks: bool,
    cells: u64,
    /// Inferred cells that are numbers, and inferred cells of digits that stay text.
    numbers: u64,
    texts: u64,
    /// Cells that are `\N`.
    null: u64,
    /// Cells that begin with a blank.
    blank: u64,
}

impl Watch {
    /// A watch of so many columns. Those at `inferred` become numbers where they can, and those at `texts`
    /// keep their blanks.
    pub(super) fn new(columns: usize, inferred: &[usize], texts: &[usize]) -> Self {
        let seen = |index| Seen {
            inferred: inferred.contains(&index),
            keeps_blanks: texts.contains(&index),
            ..Seen::default()
        };
        Self { columns: (0..columns).map(seen).collect() }
    }

    /// Counts the cells of a row that became a call.
    pub(super) fn look(&mut self, record: &Record) {
        for (seen, cell) in self.columns.iter_mut().zip(record.iter()).filter(|(_, cell)| !cell.is_empty()) {
            seen.cells += 1;
            seen.null += u64::from(cell == b"\\N");
            seen.blank += u64::from(cell.starts_with(b" "));
            if seen.inferred && is_exact_number(cell) {
                seen.numbers += 1;
            } else if seen.inferred && is_number(cell) {
                seen.texts += 1;
            }
        }
    }

    /// The doubts, for a person.
    pub(super) fn doubts(&self, names: &[String]) -> Vec<String> {
        let named = || names.iter().zip(&self.columns);
        let shown = |name: &str| outside_text_within(name, 64).to_string();
        let mut doubts = Vec::new();
        for (name, seen) in named().filter(|(_, seen)| seen.numbers > 0 && seen.texts > 0).take(COLUMNS_NAMED)
        {
            doubts.push(format!(
                "column \"{}\": {} of digits would stay text beside {}: declare its type with --types FILE",
                shown(name),
                counted(seen.texts, "cell", "cells"),
                counted(seen.numbers, "number", "numbers"),
            ));
        }
        for (name, seen) in named().filter(|(_, seen)| seen.null > 0).take(COLUMNS_NAMED) {
            let cells = counted(seen.null, "cell", "cells");
            doubts.push(format!(
                "column \"{}\": {cells} \\N would be kept as text: if it means no value, pass --escape '\\'",
                shown(name)
            ));
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
            let mut watch = Watch::new(3, &[1], &[0, 1, 2]);
            rows.iter().for_each(|row| watch.look(&Record::of_fields(row)));
            watch.doubts(&names)
        };
        assert_eq!(doubts(&[["1", "94103", "a"], ["007", "10001", " b"]]), [""; 0]);
        assert_eq!(
            doubts(&[["1", "94103", "\\N"], ["2", "02134", "a"]]),
            [
                "column \"zip\": 1 cell of digits would stay text beside 1 number: declare its type with --types FILE",
                "column \"x\": 1 cell \\N would be kept as text: if it means no value, pass --escape '\\'",
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
}
