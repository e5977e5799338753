//! Writes a first converter for files that look like a sample.
//!
//! Columns are known by their names, and have to hold what their field needs: a column `time` whose values
//! are no times becomes a property. Whatever is decided beyond a column's own name is said in a note.

mod cannot_infer;
mod column;
mod columns_by_field;
mod file_text;
mod insert_id;
mod key_pattern;
mod known_names;
mod named_columns;
mod observed;
mod sample_of;
mod time_form;

use super::converter::Converter;
use super::field::{DataType, Field};
use super::file::FILE_BYTES_MAX;
use super::node::Node;
pub use cannot_infer::CannotInfer;
use columns_by_field::ColumnsByField;
use file_text::file_text;
use insert_id::InsertId;
pub use key_pattern::pattern_of_all;
pub use named_columns::NamedColumns;
pub use observed::Observed;
pub use sample_of::SampleOf;

/// A converter that was made for a sample.
#[derive(Clone, Debug)]
pub struct Inferred {
    /// The converter file.
    pub text: String,
    /// The file, compiled.
    pub converter: Converter,
    /// What a person should know about it, one sentence each.
    pub notes: Vec<String>,
}

/// A converter for files like the sample, with the columns that a person named. `max_event` is the longest call, in
/// bytes of JSON.
/// Errors: [`CannotInfer`].
pub fn infer(
    sample: &SampleOf<'_>,
    observed: &Observed,
    data_type: DataType,
    named: &NamedColumns,
    max_event: usize,
) -> Result<Inferred, CannotInfer> {
    if observed.rows() == 0 || observed.columns().is_empty() {
        return Err(CannotInfer::NoRows(Vec::new()));
    }
    let mut notes = Vec::new();
    if let Some(count) = observed.left_out() {
        notes.push(format!("columns after the first {count} are left out"));
    }
    let mut by_field = ColumnsByField::of(observed, data_type);
    named.set(observed, &mut by_field, data_type)?;
    let chosen = InsertId::choose(observed, &mut by_field, (data_type, named.insert_id.as_deref()))?;
    notes.extend(chosen.note);
    let mut fields = by_field.fields(observed, &mut notes);
    if data_type == DataType::Event && !by_field.has(Field::EventType) {
        let name = key_pattern::word_of(sample.name.unwrap_or_default());
        notes.push(format!("event_type is {name:?} in every row: no column names the event"));
        let constant = Node::List(vec![Node::text("value"), Node::text(&name)]);
        fields.insert(0, (Field::EventType.name().to_owned(), constant));
    }
    check_needs(observed, &by_field, data_type, &fields)?;
    let file = file_text(sample, fields);
    if file.len() > FILE_BYTES_MAX {
        return Err(CannotInfer::TooLarge);
    }
    let converter = Converter::load(file.as_bytes(), data_type, data_type.default_strategy(), max_event)
        .map_err(|error| CannotInfer::Unusable(error.to_string()))?;
    Ok(Inferred { text: file, converter, notes })
}

/// Checks that the fields are enough for a call.
fn check_needs(
    observed: &Observed,
    by_field: &ColumnsByField,
    data_type: DataType,
    fields: &[(String, Node)],
) -> Result<(), CannotInfer> {
    let missing = |what| CannotInfer::Missing { what, columns: observed.names(), data_type };
    let has = |field: Field| fields.iter().any(|(name, _)| name == field.name());
    match data_type {
        DataType::Event if !by_field.has(Field::UserId) && !by_field.has(Field::DeviceId) => {
            Err(missing("a user or a device (user_id, device_id)"))
        }
        DataType::UserProperties | DataType::Profiles if !by_field.has(Field::UserId) => {
            Err(missing("a user (user_id)"))
        }
        DataType::GroupProperties if !has(Field::Groups) => Err(missing("a group (groups, company_id)")),
        DataType::GroupProperties if !has(Field::GroupProperties) => Err(missing("a property of the groups")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
