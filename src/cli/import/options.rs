//! Turns the options of the command line into those of the reader.

use std::fmt::Display;
use std::path::PathBuf;
use std::sync::Arc;

use super::args::{EmptyArg, FormatArgs, ScopeArg};
use crate::cli::failure::Failure;
use crate::import::csv::{ColumnRules, CsvOptions, Empty, IdFrom, TypeSaid, Types, add_typed, parse_schema};
use crate::import::discovery::files::Opening;
use crate::import::discovery::row_type::NamedType;
use crate::import::reading::Limits;
use crate::import::reading::opened::Options;
use crate::import::reading::text::encoding;
use crate::import::{OptionsHash, TypedBefore, hash_before};
use crate::runtime::SystemRandom;

/// How inputs are opened. `quotes`: whether the log may quote them. Errors: [`Failure`]: exit code 2.
pub(in crate::cli) fn opening(
    format: &FormatArgs,
    temporary: PathBuf,
    quotes: bool,
) -> Result<Opening, Failure> {
    let wrong = |error: &dyn Display| Failure::usage(error.to_string());
    let (delimiter, skips_blanks) = (format.delimiter.byte, format.delimiter.skips_blanks);
    let (types, rules) = columns(format)?;
    let csv = CsvOptions {
        delimiter,
        // A blank after a delimiter that a person named without one belongs to the cell.
        keeps_blanks: delimiter.is_some() && !skips_blanks,
        skips_blanks,
        quote: format.quote.0,
        escape: format.escape.0,
        max_field: usize::try_from(format.max_field.0).unwrap_or(usize::MAX),
        columns: (!format.columns.is_empty()).then(|| format.columns.clone()),
        types,
        rules,
        nulls: format.null.clone(),
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
        ..CsvOptions::default()
    };
    let dialect = csv.dialect(delimiter.unwrap_or(b','));
    if delimiter.is_some() || csv.quote != Some(b',') {
        dialect.check().map_err(|error| wrong(&error))?;
    }
    let reading = Options {
        encoding: encoding(&format.encoding).map_err(|error| wrong(&error))?,
        limits: Limits { allow_expansion: format.allow_expansion, ..Limits::default() },
        temporary,
    };
    let named_type = NamedType { kind: format.kind, collection: format.collection.clone() };
    let said = if quotes { TypeSaid::ByOption } else { TypeSaid::ByVariable };
    Ok(Opening { named_type, said, csv, reading, quotes, random: Arc::new(SystemRandom) })
}

/// What is said about columns: by a file, and by other options.
fn columns(format: &FormatArgs) -> Result<(Types, ColumnRules), Failure> {
    let path = &format.types;
    let wrong = |error: &dyn Display| Failure::usage(format!("--types {path}: {error}"));
    let (types, mut rules) = match path.as_str() {
        "string" => (Types::String, ColumnRules::new()),
        "infer" => (Types::Infer, ColumnRules::new()),
        path => {
            let schema = std::fs::read_to_string(path).map_err(|error| wrong(&error))?;
            let schema = parse_schema(&schema).map_err(|error| wrong(&error))?;
            (Types::Schema(schema.types), schema.rules)
        }
    };
    let is_typed = |name: &str| matches!(&types, Types::Schema(types) if types.contains_key(name));
    add_typed(&mut rules, is_typed, &format.map, &format.date_format).map_err(Failure::usage)?;
    Ok((types, rules))
}

/// The hash of all options that decide how rows become calls, with the hash that earlier versions made of the
/// same options.
pub(in crate::cli) fn options_hash(format: &FormatArgs, opening: &Opening) -> OptionsHash {
    let (named_type, csv) = (&opening.named_type, &opening.csv);
    let FormatArgs { encoding, types, id_scope, .. } = format;
    let schema = std::fs::read_to_string(types).unwrap_or_default();
    let typed = TypedBefore { encoding, types, schema: &schema, everywhere: *id_scope == ScopeArg::Source };
    OptionsHash::of_csv(named_type, csv, opening.reading.encoding)
        .and_before(hash_before(named_type, csv, typed))
}
