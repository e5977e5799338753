//! Turns the options of the command line into those of the reader.

use std::path::PathBuf;
use std::sync::Arc;

use super::args::{Delimiter, EmptyArg, FormatArgs, GivenType, ScopeArg};
use crate::cli::failure::Failure;
use crate::import::csv::{CsvOptions, Dialect, Empty, IdFrom, Types, parse_schema};
use crate::import::discovery::files::Opening;
use crate::import::reading::Limits;
use crate::import::reading::opened::Options;
use crate::import::reading::text::encoding;
use crate::import::{OnRowError, short_hash};
use crate::runtime::SystemRandom;

/// How inputs are opened. `quotes`: whether what is logged of them may quote them.
///
/// # Errors
/// [`Failure`]: exit code 2.
pub(in crate::cli) fn opening(
    given: &GivenType,
    format: &FormatArgs,
    temporary: PathBuf,
    quotes: bool,
) -> Result<Opening, Failure> {
    let wrong = |error: &dyn std::fmt::Display| Failure::usage(error.to_string());
    let delimiter = match format.delimiter {
        Delimiter::Auto => None,
        Delimiter::Byte(byte) => Some(byte),
    };
    let csv = CsvOptions {
        delimiter,
        // Who names the delimiter means that it has no blank.
        keeps_blanks: delimiter.is_some(),
        quote: format.quote.0,
        escape: format.escape.0,
        max_field: usize::try_from(format.max_field.0).unwrap_or(usize::MAX),
        columns: (!format.columns.is_empty()).then(|| format.columns.clone()),
        types: types(&format.types)?,
        time_columns: format.time_columns.clone(),
        empty: match format.empty {
            EmptyArg::Omit => Empty::Omit,
            EmptyArg::String => Empty::String,
            EmptyArg::Null => Empty::Null,
        },
        arrays: format.arrays,
        strict: format.strict,
        id_from: match &format.id_from {
            IdFrom::RowHash { .. } => IdFrom::RowHash { everywhere: format.id_scope == ScopeArg::Source },
            other => other.clone(),
        },
    };
    let dialect = Dialect {
        delimiter: delimiter.unwrap_or(b','),
        quote: csv.quote,
        escape: csv.escape,
        max_field: csv.max_field,
    };
    if delimiter.is_some() || csv.quote != Some(b',') {
        dialect.check().map_err(|error| wrong(&error))?;
    }
    let reading = Options {
        encoding: encoding(&format.encoding).map_err(|error| wrong(&error))?,
        limits: Limits { allow_expansion: format.allow_expansion, ..Limits::default() },
        temporary,
    };
    Ok(Opening { given: given.into(), csv, reading, quotes, random: Arc::new(SystemRandom) })
}

fn types(text: &str) -> Result<Types, Failure> {
    match text {
        "string" => Ok(Types::String),
        "infer" => Ok(Types::Infer),
        path => {
            let schema = std::fs::read_to_string(path)
                .map_err(|error| Failure::usage(format!("--types {path}: {error}")))?;
            let schema =
                parse_schema(&schema).map_err(|error| Failure::usage(format!("--types {path}: {error}")))?;
            Ok(Types::Schema(schema))
        }
    }
}

/// A hash of all options that decide how rows become calls. A file that is half imported is continued only with the
/// same ones.
pub(in crate::cli) fn hash(given: &GivenType, format: &FormatArgs) -> String {
    let schema = std::fs::read_to_string(&format.types).unwrap_or_default();
    let FormatArgs {
        delimiter,
        quote,
        escape,
        encoding,
        columns,
        types,
        time_columns,
        empty,
        arrays,
        strict,
        id_from,
        id_scope,
        max_field,
        allow_expansion: _,
    } = format;
    let reading = (delimiter, quote, escape, encoding, columns, max_field);
    let values = (types, schema, time_columns, empty, arrays, strict, id_from, id_scope);
    short_hash(format!("2 {given:?} {reading:?} {values:?}").as_bytes())
}

/// A hash of the options that decide whether a file fails, and nothing else. With other ones a file that failed too
/// often is tried again.
pub(in crate::cli) fn limits_hash(on_row_error: OnRowError, allow_expansion: bool) -> String {
    short_hash(format!("1 {on_row_error:?} {allow_expansion}").as_bytes())
}
