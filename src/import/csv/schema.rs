//! What a file for `--types` says about columns: `{"properties.price": "float", "Datum": {"type": "DD.MM.YYYY",
//! "map": "timestamp", "null": ["NA"]}}`.

use std::collections::BTreeMap;

use serde::Deserialize as _;
use serde::de::value::StrDeserializer;
use serde_json::Value;

use super::column_rule::{ColumnRule, ColumnRules, checked_map};
use super::date_format::DateFormat;
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
    /// A number with a decimal comma, perhaps with marks between groups of digits; written with a point.
    FloatComma,
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
            Self::String | Self::Int | Self::Float | Self::FloatComma | Self::Bool | Self::Json => {
                return None;
            }
        })
    }
}

/// What a file says about columns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schema {
    /// The declared types.
    pub types: BTreeMap<String, ColumnType>,
    /// What else it says.
    pub rules: ColumnRules,
}

/// Why a schema cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// The schema is not a JSON object.
    #[error("E-CSV-SCHEMA: the schema is not a JSON object of column names and types")]
    NotAnObject(#[source] serde_json::Error),
    /// A column has a type that does not exist: the column, and the type as written.
    #[error(
        "E-CSV-SCHEMA: column {} has the type \"{}\"; expected string, int, float, float_comma, bool, json, time, \
         unix_s, unix_ms, unix_us, unix_ns, excel_days, infer or a date format such as DD.MM.YYYY",
        outside_text_within(.column, 256),
        outside_text_within(.name, 64)
    )]
    Type {
        /// The column.
        column: String,
        /// What was given as its type.
        name: String,
    },
    /// Something else about a column cannot be used.
    #[error("E-CSV-SCHEMA: column {}: {why}", outside_text_within(.column, 256))]
    Column {
        /// The column.
        column: String,
        /// Why not.
        why: String,
    },
}

/// Parses a schema: a JSON object with the name of a type for each column, or with an object of `type`, `map`
/// and `null`. Other columns are as other options say.
/// Errors: [`SchemaError`]: the text is not such an object.
pub fn parse_schema(json: &str) -> Result<Schema, SchemaError> {
    let columns: BTreeMap<String, Value> = serde_json::from_str(json).map_err(SchemaError::NotAnObject)?;
    let mut schema = Schema::default();
    for (column, said) in columns {
        let (declared, rule) = parse_column(&column, said)?;
        if let Some(declared) = declared {
            schema.types.insert(column.clone(), declared);
        }
        if rule != ColumnRule::default() {
            schema.rules.insert(column, rule);
        }
    }
    Ok(schema)
}

fn parse_column(column: &str, said: Value) -> Result<(Option<ColumnType>, ColumnRule), SchemaError> {
    let wrong = |why: String| SchemaError::Column { column: column.to_owned(), why };
    let members = match said {
        Value::String(name) => return parse_type(column, name),
        Value::Object(members) if !members.is_empty() => members,
        _ => {
            return Err(wrong("expected a type, or an object with \"type\", \"map\" or \"null\"".to_owned()));
        }
    };
    let (mut declared, mut rule) = (None, ColumnRule::default());
    for (name, value) in members {
        match (name.as_str(), value) {
            ("type", Value::String(of_cells)) => {
                let (of_column, ColumnRule { date, infer, .. }) = parse_type(column, of_cells)?;
                (declared, rule.date, rule.infer) = (of_column, date, infer);
            }
            ("map", Value::String(map)) => {
                rule.map = Some(checked_map(&map).map_err(|why| wrong(format!("\"map\": {why}")))?);
            }
            ("null", Value::String(null)) => rule.nulls = vec![null],
            ("null", value) => {
                let expected = |_| wrong("\"null\": expected a text, or a list of texts".to_owned());
                rule.nulls = serde_json::from_value(value).map_err(expected)?;
            }
            ("type" | "map", _) => return Err(wrong(format!("\"{name}\": expected a text"))),
            _ => {
                let shown = outside_text_within(&name, 64);
                return Err(wrong(format!(
                    "\"{shown}\" is unknown: there are \"type\", \"map\" and \"null\""
                )));
            }
        }
    }
    Ok((declared, rule))
}

/// The type with this name, a date format, or that the type is found.
fn parse_type(column: &str, name: String) -> Result<(Option<ColumnType>, ColumnRule), SchemaError> {
    if let Some(declared) = ColumnType::from_name(&name) {
        return Ok((Some(declared), ColumnRule::default()));
    }
    if name == "infer" {
        return Ok((None, ColumnRule { infer: true, ..ColumnRule::default() }));
    }
    match DateFormat::parse(&name) {
        Ok(date) => Ok((None, ColumnRule { date: Some(date), ..ColumnRule::default() })),
        // Every format has a year.
        Err(why) if name.to_ascii_uppercase().contains("YY") => {
            Err(SchemaError::Column { column: column.to_owned(), why })
        }
        Err(_) => Err(SchemaError::Type { column: column.to_owned(), name }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_names_types() {
        let schema =
            parse_schema(r#"{"a":"string","b":"int","c":"float","d":"bool","e":"time","f":"json"}"#).unwrap();
        use ColumnType::{Bool, Float, Int, Json, String, Time};
        assert_eq!(schema.types.into_values().collect::<Vec<_>>(), [String, Int, Float, Bool, Time, Json]);
        assert!(schema.rules.is_empty());
        // The file beside rejected rows keeps types under these names.
        for name in ["string", "time", "unix_s", "unix_ms", "unix_us", "unix_ns", "excel_days", "json"] {
            let found = ColumnType::from_name(name).unwrap();
            assert_eq!(serde_json::to_value(found).unwrap(), name);
        }
    }

    #[test]
    fn a_schema_says_more_of_a_column() {
        let json = r#"{"Datum": {"type": "DD.MM.YYYY Europe/Berlin", "map": "timestamp", "null": ["NA", "-"]},
            "Preis": "infer", "Menge": {"type": "int", "null": "NA"}, "due": "MM/DD/YYYY", "E-Mail": {"map": "traits.email"}}"#;
        let Schema { types, rules } = parse_schema(json).unwrap();
        assert_eq!(types, BTreeMap::from([("Menge".to_owned(), ColumnType::Int)]));
        let text = serde_json::to_string(&rules).unwrap();
        // The file beside rejected rows keeps rules in this form.
        assert_eq!(
            text,
            concat!(
                r#"{"Datum":{"map":"timestamp","date":"DD.MM.YYYY Europe/Berlin","nulls":["NA","-"]},"#,
                r#""E-Mail":{"map":"traits.email"},"Menge":{"nulls":["NA"]},"Preis":{"infer":true},"#,
                r#""due":{"date":"MM/DD/YYYY"}}"#
            )
        );
        assert_eq!(serde_json::from_str::<ColumnRules>(&text).unwrap(), rules);
    }

    #[test]
    fn a_schema_that_cannot_be_used_says_why() {
        let check = |json: &str, expected: &str| {
            assert_eq!(
                parse_schema(json).unwrap_err().to_string(),
                format!("E-CSV-SCHEMA: {expected}"),
                "{json}"
            );
        };
        check("[]", "the schema is not a JSON object of column names and types");
        let expected = "column a: expected a type, or an object with \"type\", \"map\" or \"null\"";
        for json in [r#"{"a":1}"#, r#"{"a":{}}"#, r#"{"a":["int"]}"#, r#"{"a":null}"#] {
            check(json, expected);
        }
        check(
            "{\"a\":\"integer\"}",
            "column a has the type \"integer\"; expected string, int, float, float_comma, bool, json, time, \
             unix_s, unix_ms, unix_us, unix_ns, excel_days, infer or a date format such as DD.MM.YYYY",
        );
        check(r#"{"a":"dd.mm.yyyy"}"#, "column a: a date format needs one month, MM (mm is the minute)");
        check(r#"{"a":{"type":1}}"#, "column a: \"type\": expected a text");
        check(r#"{"a":{"null":[1]}}"#, "column a: \"null\": expected a text, or a list of texts");
        check(
            r#"{"a":{"map":"x."}}"#,
            "column a: \"map\": expected the name of a column, such as traits.email: no part between dots is empty",
        );
        check(r#"{"a":{"as":"x"}}"#, "column a: \"as\" is unknown: there are \"type\", \"map\" and \"null\"");
    }
}
