//! Why no converter can be made.

use crate::convert::field::DataType;

/// Why no converter can be made for a sample.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CannotInfer {
    /// The sample has no rows that can be read. The sentences say why, if it has others.
    #[error("the sample has no row that can be read{}", reasons(.0))]
    NoRows(Vec<String>),
    /// No column is one that calls of this data type need.
    #[error("no column is {what}: the columns are {columns}; {}", hint(*data_type))]
    Missing {
        /// The field, as a person says it.
        what: &'static str,
        /// The names of the columns.
        columns: String,
        /// The data type.
        data_type: DataType,
    },
    /// There is no column with the name that a person gave.
    #[error("no column is named {name:?}{}: the columns are {columns}", near.as_ref().map(|near| format!(" (did you mean {near:?}?)")).unwrap_or_default())]
    NoSuchColumn {
        /// The name.
        name: String,
        /// A column with nearly that name.
        near: Option<String>,
        /// The names of the columns.
        columns: String,
    },
    /// Only events have an `insert_id`.
    #[error("only data type event uses an insert_id: leave out --insert-id")]
    NoInsertId,
    /// The data type does not use a column that a person named.
    #[error("data type {} does not use {option}: leave it out", data_type.name())]
    NotUsed {
        /// The option that named it.
        option: &'static str,
        /// The data type.
        data_type: DataType,
    },
    /// The file would be longer than a converter may be.
    #[error("the sample has too many columns: the converter would be longer than 1 MiB")]
    TooLarge,
    /// The file that was made is not one. This is a bug of the program.
    #[error("the converter that was made cannot be used: {0}")]
    Unusable(String),
}

impl CannotInfer {
    /// Whether what a person asked for is wrong, whatever the rows are.
    pub fn is_wrong_usage(&self) -> bool {
        matches!(self, Self::NoSuchColumn { .. } | Self::NoInsertId | Self::NotUsed { .. })
    }
}

fn reasons(sentences: &[String]) -> String {
    if sentences.is_empty() { String::new() } else { format!(": {}", sentences.join("; ")) }
}

fn hint(data_type: DataType) -> &'static str {
    match data_type {
        DataType::GroupProperties => "give the files a column groups, such as {\"company\": \"acme\"}",
        _ => {
            "name one with --user-id FIELD, or begin with a converter of docs/converter.md, and name the column there"
        }
    }
}
