//! The columns that a person names for fields.

use super::cannot_infer::CannotInfer;
use super::column::Column;
use super::columns_by_field::ColumnsByField;
use super::observed::Observed;
use crate::convert::field::{DataType, Field};
use crate::words::nearest;

/// The columns that a person names; `None`: the names of columns decide.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamedColumns {
    /// The column whose values name the rows; `None`: one whose values all differ.
    pub insert_id: Option<String>,
    /// The column with the users.
    pub user_id: Option<String>,
    /// The column with the names of the events.
    pub event: Option<String>,
}

impl NamedColumns {
    /// Sets the columns of users and events.
    /// Errors: [`CannotInfer`]: there is no such column, or the data type does not use it.
    pub(super) fn set(
        &self,
        observed: &Observed,
        by_field: &mut ColumnsByField,
        data_type: DataType,
    ) -> Result<(), CannotInfer> {
        let is_event = data_type == DataType::Event;
        let has_users = data_type != DataType::GroupProperties;
        for (option, named, field, is_used) in [
            ("--user-id", &self.user_id, Field::UserId, has_users),
            ("--event", &self.event, Field::EventType, is_event),
        ] {
            let Some(name) = named else { continue };
            if !is_used {
                return Err(CannotInfer::NotUsed { option, data_type });
            }
            by_field.set(field, &of_name(observed, name)?.name);
        }
        Ok(())
    }
}

/// The column with this name. Errors: [`CannotInfer::NoSuchColumn`].
pub(super) fn of_name<'o>(observed: &'o Observed, name: &str) -> Result<&'o Column, CannotInfer> {
    observed.column(name).ok_or_else(|| {
        let names = observed.columns().iter().map(|column| column.name.as_str());
        let near = nearest(name, names).map(str::to_owned);
        CannotInfer::NoSuchColumn { name: name.to_owned(), near, columns: observed.names() }
    })
}
