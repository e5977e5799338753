//! The types of columns, as a file for `--types` declares them: `{"properties.price": "float"}`.

use std::collections::BTreeMap;

use serde::Deserialize as _;
use serde::de::value::StrDeserializer;

use crate::call::export_time::Numbers;
use crate::words::outside_text_within;

/// The declared type of a column's cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnType {
    /// Text, unchanged.
    String,
    /// A whole number of at most 64 bits.
    Int,
    /// A number.
    Float,
    /// `true`, `t`, `yes`, `y`, `1`, or `false`, `f`, `no`, `n`, `0`, in capitals or not.
    Bool,
    /// A time in ISO 8601 or Unix time; written as ISO 8601 in UTC with milliseconds.
    Time,
    /// A time; all numbers are Unix time in seconds.
    UnixS,
    /// A time; all numbers are Unix time in milliseconds.
    UnixMs,
    /// A time; all numbers are Unix time in microseconds.
    UnixUs,
    /// A time; all numbers are Unix time in nanoseconds.
    UnixNs,
    /// A time; all numbers are days as spreadsheets count them.
    ExcelDays,
    /// Any JSON value.
    Json,
}

impl ColumnType {
    /// The type with this name in a schema.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::deserialize(StrDeserializer::<serde::de::value::Error>::new(name)).ok()
    }

    /// What the column's numbers count, if its cells are times.
    pub(super) fn numbers(self) -> Option<Numbers> {
        Some(match self {
            Self::Time => Numbers::ByMagnitude,
            Self::UnixS => Numbers::Unix(1_000_000_000),
            Self::UnixMs => Numbers::Unix(1_000_000),
            Self::UnixUs => Numbers::Unix(1_000),
            Self::UnixNs => Numbers::Unix(1),
            Self::ExcelDays => Numbers::ExcelDays,
            Self::String | Self::Int | Self::Float | Self::Bool | Self::Json => return None,
        })
    }
}

/// Why a schema cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// The schema is not a JSON object of strings.
    #[error("E-CSV-SCHEMA: the schema is not a JSON object of column names and types")]
    NotAnObject(#[source] serde_json::Error),
    /// A column has a type that does not exist: the column, and the type as written.
    #[error(
        "E-CSV-SCHEMA: column {} has the type \"{}\"; expected string, int, float, bool, json, time, \
         unix_s, unix_ms, unix_us, unix_ns or excel_days",
        outside_text_within(.column, 256),
        outside_text_within(.name, 64)
    )]
    Type {
        /// The column.
        column: String,
        /// What was given as its type.
        name: String,
    },
}

/// Parses a schema: a JSON object with the name of a type for each column. Other columns are strings.
/// Errors: [`SchemaError`]: the text is not a JSON object of strings, or names an unknown type.
pub fn parse_schema(json: &str) -> Result<BTreeMap<String, ColumnType>, SchemaError> {
    let names: BTreeMap<String, String> = serde_json::from_str(json).map_err(SchemaError::NotAnObject)?;
    let typed = |(column, name): (String, String)| match ColumnType::from_name(&name) {
        Some(found) => Ok((column, found)),
        None => Err(SchemaError::Type { column, name }),
    };
    names.into_iter().map(typed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_names_types() {
        let schema =
            parse_schema(r#"{"a":"string","b":"int","c":"float","d":"bool","e":"time","f":"json"}"#).unwrap();
        use ColumnType::{Bool, Float, Int, Json, String, Time};
        assert_eq!(schema.into_values().collect::<Vec<_>>(), [String, Int, Float, Bool, Time, Json]);
        // The file beside rejected rows keeps types under these names.
        for name in ["string", "time", "unix_s", "unix_ms", "unix_us", "unix_ns", "excel_days", "json"] {
            let found = ColumnType::from_name(name).unwrap();
            assert_eq!(serde_json::to_value(found).unwrap(), name);
        }
    }

    #[test]
    fn a_schema_that_cannot_be_used_says_why() {
        let check = |json: &str, expected: &str| {
            assert_eq!(parse_schema(json).unwrap_err().to_string(), expected, "{json}");
        };
        check("[]", "E-CSV-SCHEMA: the schema is not a JSON object of column names and types");
        check("{\"a\":1}", "E-CSV-SCHEMA: the schema is not a JSON object of column names and types");
        check(
            "{\"a\":\"integer\"}",
            "E-CSV-SCHEMA: column a has the type \"integer\"; expected string, int, float, bool, json, time, unix_s, \
             unix_ms, unix_us, unix_ns or excel_days",
        );
    }
}
