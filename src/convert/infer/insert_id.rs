//! The column whose values name the rows.

use super::cannot_infer::CannotInfer;
use super::column::Column;
use super::columns_by_field::ColumnsByField;
use super::known_names::folded;
use super::named_columns::of_name;
use super::observed::Observed;
use crate::convert::field::{DataType, Field};
use crate::words::{counted, outside_text_within};

/// Rows from which on it means something that all values of a column differ.
const ROWS_MIN: u64 = 10;
/// Ends of names of columns that hold ids.
const ENDS: [&str; 6] = ["id", "uuid", "guid", "key", "number", "nr"];

/// What was decided about `insert_id`.
#[derive(Clone, Debug)]
pub(super) struct InsertId {
    /// What a person should know.
    pub(super) note: Option<String>,
}

impl InsertId {
    /// Chooses the column that a person named, or one that its name says to be it, or one whose values all
    /// differ. Errors: [`CannotInfer`]: there is no such column, or the data type has no `insert_id`.
    pub(super) fn choose(
        observed: &Observed,
        by_field: &mut ColumnsByField,
        (data_type, named): (DataType, Option<&str>),
    ) -> Result<Self, CannotInfer> {
        if data_type != DataType::Event {
            return if named.is_some() { Err(CannotInfer::NoInsertId) } else { Ok(Self { note: None }) };
        }
        let rows = counted(observed.rows(), "row", "rows");
        if let Some(name) = named {
            let column = of_name(observed, name)?;
            by_field.set(Field::InsertId, &column.name);
            return Ok(Self { note: Some(of_named(column, &rows)) });
        }
        if let Some(name) = by_field.column(Field::InsertId) {
            let note = format!("insert_id is the column {}: its values differ in {rows}", shown(name));
            return Ok(Self { note: Some(note) });
        }
        let is_free = |column: &&Column| {
            !column.is_twice
                && column.is_unique(observed.rows())
                && !by_field.is_taken(&column.name)
                && observed.rows() >= ROWS_MIN
        };
        let is_id = |column: &&Column| {
            let name = folded(&column.name);
            ENDS.iter().any(|end| name.ends_with(end)) || column.is_long()
        };
        let found = observed.columns().iter().filter(is_free).find(is_id).map(|column| column.name.clone());
        let note = match found {
            Some(name) => {
                by_field.set(Field::InsertId, &name);
                format!(
                    "insert_id is the column {}: its values differ in {rows}; --insert-id FIELD names another",
                    shown(&name)
                )
            }
            None => {
                "no insert_id: no column looks like an id that differs in all rows, so a row is known by its \
                     place in its file; --insert-id FIELD names a column"
                    .to_owned()
            }
        };
        Ok(Self { note: Some(note) })
    }
}

fn of_named(column: &Column, rows: &str) -> String {
    let name = shown(&column.name);
    let equal = column.filled - column.differing().min(column.filled);
    if equal == 0 {
        return format!("insert_id is the column {name}: its values differ in {rows}");
    }
    format!(
        "insert_id is the column {name}, but {equal} of its values in {rows} repeat an earlier one: of rows with one \
         insert_id and device_id, the one that is read later is dropped"
    )
}

fn shown(name: &str) -> String {
    outside_text_within(name, 64).to_string()
}
