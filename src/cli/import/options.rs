//! Turns the options of the command line into those of the reader.

use std::fmt::Display;
use std::path::PathBuf;
use std::sync::Arc;

use super::args::{EmptyArg, FormatArgs, ScopeArg};
use crate::call::CallKind;
use crate::cli::failure::Failure;
use crate::import::csv::{CsvOptions, Dialect, Empty, IdFrom, TypeSaid, Types, parse_schema};
use crate::import::discovery::files::Opening;
use crate::import::discovery::row_type::{NamedKind, NamedType};
use crate::import::reading::Limits;
use crate::import::reading::opened::Options;
use crate::import::reading::text::encoding;
use crate::import::{OptionsHash, short_hash};
use crate::runtime::SystemRandom;

/// How inputs are opened. `quotes`: whether the log may quote them. Errors: [`Failure`]: exit code 2.
pub(in crate::cli) fn opening(
    format: &FormatArgs,
    temporary: PathBuf,
    quotes: bool,
) -> Result<Opening, Failure> {
    let wrong = |error: &dyn Display| Failure::usage(error.to_string());
    let delimiter = format.delimiter.0;
    let csv = CsvOptions {
        delimiter,
        // A blank after a delimiter that a person named belongs to the cell.
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
    let named_type = NamedType { kind: format.kind, collection: format.collection.clone() };
    let said = if quotes { TypeSaid::ByOption } else { TypeSaid::ByVariable };
    Ok(Opening { named_type, said, csv, reading, quotes, random: Arc::new(SystemRandom) })
}

fn types(text: &str) -> Result<Types, Failure> {
    match text {
        "string" => Ok(Types::String),
        "infer" => Ok(Types::Infer),
        path => {
            let wrong = |error: &dyn Display| Failure::usage(format!("--types {path}: {error}"));
            let schema = std::fs::read_to_string(path).map_err(|error| wrong(&error))?;
            Ok(Types::Schema(parse_schema(&schema).map_err(|error| wrong(&error))?))
        }
    }
}

/// The hash of all options that decide how rows become calls, with the hash that earlier versions made of the
/// same options.
pub(in crate::cli) fn options_hash(format: &FormatArgs, opening: &Opening) -> OptionsHash {
    let now = OptionsHash::of_csv(&opening.named_type, &opening.csv, opening.reading.encoding);
    now.and_before(short_hash(text_before(format).as_bytes()))
}

/// The text that was hashed before [`OptionsHash::of_csv`]: the typed options in the form of Rust's `Debug`.
fn text_before(format: &FormatArgs) -> String {
    let kind = match format.kind {
        None => "None".to_owned(),
        Some(NamedKind::Objects) => "Some(Objects)".to_owned(),
        Some(NamedKind::Calls(kind)) => {
            let name = match kind {
                CallKind::Track => "Track",
                CallKind::Identify => "Identify",
                CallKind::Page => "Page",
                CallKind::Screen => "Screen",
                CallKind::Group => "Group",
                CallKind::Alias => "Alias",
            };
            format!("Some(Calls({name}))")
        }
    };
    let collection = format.collection.as_ref();
    let collection = collection.map_or_else(|| "None".to_owned(), |name| format!("Some(Collection({name}))"));
    let delimiter = format.delimiter.0.map_or_else(|| "Auto".to_owned(), |byte| format!("Byte({byte})"));
    let byte = |byte: Option<u8>| byte.map_or_else(|| "None".to_owned(), |byte| format!("Some({byte})"));
    let (quote, escape) = (byte(format.quote.0), byte(format.escape.0));
    let empty = match format.empty {
        EmptyArg::Omit => "Omit",
        EmptyArg::String => "String",
        EmptyArg::Null => "Null",
    };
    let id_from = match &format.id_from {
        IdFrom::Position => "Position".to_owned(),
        IdFrom::Column(name) => format!("Column({name:?})"),
        IdFrom::RowHash { everywhere } => format!("RowHash {{ everywhere: {everywhere} }}"),
    };
    let scope = match format.id_scope {
        ScopeArg::File => "File",
        ScopeArg::Source => "Source",
    };
    let FormatArgs { encoding, columns, types, time_columns, arrays, strict, .. } = format;
    let (schema, max_field) = (std::fs::read_to_string(types).unwrap_or_default(), format.max_field.0);
    format!(
        "2 GivenType {{ kind: {kind}, collection: {collection} }} \
         ({delimiter}, ByteOrNone({quote}), ByteOrNone({escape}), {encoding:?}, {columns:?}, ByteSize({max_field})) \
         ({types:?}, {schema:?}, {time_columns:?}, {empty}, {arrays}, {strict}, {id_from}, {scope})"
    )
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Typed {
        #[command(flatten)]
        format: FormatArgs,
    }

    /// The text stays as the program hashed it until the hash of a written form took its place.
    #[test]
    fn the_text_that_was_hashed_before_stays_as_it_was() {
        let typed: [(&[&str], &str); 3] = [
            (
                &[],
                r#"2 GivenType { kind: None, collection: None } (Auto, ByteOrNone(Some(34)), ByteOrNone(None), "auto", [], ByteSize(1048576)) ("string", "", [], Omit, false, false, Position, File)"#,
            ),
            (
                &["--type=track", "--delimiter=;", "--id-from=row-hash", "--id-scope=source", "--strict"],
                r#"2 GivenType { kind: Some(Calls(Track)), collection: None } (Byte(59), ByteOrNone(Some(34)), ByteOrNone(None), "auto", [], ByteSize(1048576)) ("string", "", [], Omit, false, true, RowHash { everywhere: false }, Source)"#,
            ),
            (
                &[
                    "--type=object",
                    "--collection=deals",
                    "--quote=none",
                    "--escape=\\",
                    "--columns=a,\"b\",ö",
                    "--empty=null",
                    "--id-from=column:the \"id\"",
                    "--time-columns=a",
                    "--arrays",
                    "--max-field=2 MB",
                    "--encoding=latin1",
                ],
                r#"2 GivenType { kind: Some(Objects), collection: Some(Collection(deals)) } (Auto, ByteOrNone(None), ByteOrNone(Some(92)), "latin1", ["a", "\"b\"", "ö"], ByteSize(2000000)) ("string", "", ["a"], Null, true, false, Column("the \"id\""), File)"#,
            ),
        ];
        for (words, text) in typed {
            let Typed { format } = Typed::parse_from([&["forebay"], words].concat());
            assert_eq!(text_before(&format), text);
        }
    }
}
