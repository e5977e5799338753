//! The rows of a sample, as far as a converter follows from them.

use std::collections::HashMap;

use super::column::Column;
use crate::convert::columns::Columns;
use crate::convert::outcome::RowReject;
use crate::convert::row::Row;
use crate::convert::value::{Value, members};
use crate::words::{first_few, outside_text_within};

/// The most columns of a sample. Others are left out of the converter.
const COLUMNS_MAX: usize = 10_000;
/// The most columns that a message names.
const SHOWN_MAX: usize = 20;

/// What was seen in the rows of a sample.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    columns: Vec<Column>,
    places: HashMap<String, usize>,
    rows: u64,
    is_cut: bool,
}

impl Observed {
    /// Adds a line, one JSON object.
    /// Errors: [`RowReject`]: the line is not one JSON object, or is nested too deeply. It adds nothing.
    pub fn add_json(&mut self, line: &str) -> Result<(), RowReject> {
        let none = Columns::default();
        Row::new(&none).read_json(&none, line)?;
        for (name, value) in members(line) {
            self.add(&name, &value);
        }
        self.rows += 1;
        Ok(())
    }

    /// Adds a row with these names of columns and these values.
    pub fn add_cells<'c>(&mut self, cells: impl Iterator<Item = (&'c str, &'c str)>) {
        for (name, cell) in cells {
            self.add(name, &Value::Text(cell.into()));
        }
        self.rows += 1;
    }

    fn add(&mut self, name: &str, value: &Value<'_>) {
        let place = match self.places.get(name) {
            Some(place) => *place,
            None if self.columns.len() >= COLUMNS_MAX => {
                self.is_cut = true;
                return;
            }
            None => {
                self.places.insert(name.to_owned(), self.columns.len());
                self.columns.push(Column::new(name));
                self.columns.len() - 1
            }
        };
        if let Some(column) = self.columns.get_mut(place) {
            column.add(self.rows + 1, value);
        }
    }

    /// How many rows were added.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The columns, in the order in which they were met first.
    pub(super) fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The column with this name.
    pub(super) fn column(&self, name: &str) -> Option<&Column> {
        self.columns.get(*self.places.get(name)?)
    }

    /// The most columns, if there were more.
    pub(super) fn left_out(&self) -> Option<usize> {
        self.is_cut.then_some(COLUMNS_MAX)
    }

    /// The names of the columns, as a message shows them.
    pub(super) fn names(&self) -> String {
        let shown = self.columns.iter().map(|column| outside_text_within(&column.name, 64).to_string());
        first_few(shown, SHOWN_MAX)
    }
}
