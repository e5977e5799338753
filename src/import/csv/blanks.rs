//! Finds blanks after delimiters. Such a blank may or may not belong to its cell. It does not where cells
//! have no blank of their own, or where all cells of a row begin with one.

use super::dialect::Dialect;
use super::doubt;
use super::plan::{Plan, is_blank};
use super::record::Record;
use super::row_error::{Cell, RowError};
use crate::import::file_error::FileError;

/// Columns whose cells have no blank of their own at the beginning.
const NAMES: [&str; 8] = [
    "userId", "anonymousId", "groupId", "previousId", "messageId", "event", "context.ip", "context.device.id",
];

/// The least number of cells after the first one that show that a blank follows each delimiter of a row.
const CELLS_MIN: usize = 2;

/// Finds cells that begin with a blank which may belong to the delimiter.
#[derive(Debug)]
pub(super) struct Blanks {
    dialect: Dialect,
    names: Vec<String>,
    /// Columns whose cells are kept with their blanks, in order.
    texts: Vec<usize>,
    /// Columns of `texts` whose cells have no blank of their own at the beginning, or whose name in the
    /// header begins with one.
    guarded: Vec<usize>,
}

impl Blanks {
    /// A check of the rows below this header.
    pub(super) fn of(header: &Record, plan: &Plan, dialect: Dialect) -> Self {
        let (names, texts) = (plan.names.clone(), plan.texts());
        let is_guarded = |index: &usize| {
            let name = names.get(*index).map_or("", String::as_str);
            NAMES.contains(&name)
                || (name == "id" && plan.collection().is_some())
                || plan.id_column == Some(*index)
                || header.get(*index).is_some_and(begins_with_blank)
        };
        let guarded = texts.iter().copied().filter(is_guarded).collect();
        Self { dialect, names, texts, guarded }
    }

    /// Checks a row that became a call. Errors: [`RowError::Blank`]
    #[inline]
    pub(super) fn check(&self, record: &Record) -> Result<(), RowError> {
        let begins = |index: usize| record.get(index).is_some_and(begins_with_blank);
        let mut rest =
            (1..record.len()).filter(|index| record.get(*index).is_some_and(|cell| !cell.is_empty()));
        if self.guarded.iter().any(|index| begins(*index)) || rest.next().is_some_and(begins) {
            return self.check_text(record);
        }
        Ok(())
    }

    /// Checks the text of the row: quotes and escapes say that a blank belongs to the cell.
    #[cold]
    fn check_text(&self, record: &Record) -> Result<(), RowError> {
        let starts = doubt::starts(&record.raw, &self.dialect);
        let begins = |index: usize| starts.get(index) == Some(&Some(b' '));
        let is_none = |index: usize| record.get(index).is_none_or(is_blank);
        let guarded = self.guarded.iter().copied().find(|index| begins(*index) && !is_none(*index));
        let mut filled = 0;
        let mut cells =
            (1..record.len()).filter(|index| record.get(*index).is_some_and(|cell| !cell.is_empty()));
        let all = cells.all(|index| {
            filled += 1;
            begins(index)
        });
        let of_all = || self.texts.iter().copied().find(|index| *index > 0 && begins(*index));
        let found = guarded.or_else(|| if all && filled >= CELLS_MIN { of_all() } else { None });
        let Some(column) = found else { return Ok(()) };
        let name = self.names.get(column).map_or("", String::as_str);
        Err(RowError::Blank(Cell::of(name, record.get(column).unwrap_or_default())))
    }
}

/// Checks a header whose delimiter nobody named.
/// Errors: [`FileError`]: a blank follows each delimiter and would become part of the cells.
pub(in crate::import) fn check_blanks(header: &Record) -> Result<(), FileError> {
    if names_follow_blanks(header) {
        let what = "a blank follows each delimiter of the header and would become part of the cells: remove the \
                    blanks (or pass --delimiter to keep them)";
        return Err(FileError::content("E-CSV-DELIMITER", what));
    }
    Ok(())
}

/// Whether each name of a header but the first follows a blank.
pub(super) fn names_follow_blanks(header: &Record) -> bool {
    header.len() > 1 && header.iter().skip(1).all(begins_with_blank)
}

fn begins_with_blank(cell: &[u8]) -> bool {
    cell.first() == Some(&b' ')
}
