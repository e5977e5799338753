//! The text of options that earlier programs hashed: the typed options in the form of Rust's `Debug`, until the
//! hash of a written form took its place.

use super::csv::{CsvOptions, Empty, IdFrom};
use super::discovery::row_type::{NamedKind, NamedType};
use super::options_hash::short_hash;
use crate::call::CallKind;

/// What was typed and is no longer in the options.
#[derive(Clone, Copy, Debug)]
pub struct TypedBefore<'t> {
    /// The name of the encoding, or `auto`.
    pub encoding: &'t str,
    /// `string`, `infer`, or the path of a file.
    pub types: &'t str,
    /// What that file says.
    pub schema: &'t str,
    /// Whether rows are compared with those of all files.
    pub everywhere: bool,
}

/// The hash that earlier programs recorded for the same options; `None`: they did not have them all.
pub fn hash_before(named_type: &NamedType, csv: &CsvOptions, typed: TypedBefore<'_>) -> Option<String> {
    csv.are_of_earlier_programs().then(|| short_hash(text_before(named_type, csv, typed).as_bytes()))
}

fn text_before(named_type: &NamedType, csv: &CsvOptions, typed: TypedBefore<'_>) -> String {
    let kind = match named_type.kind {
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
    let collection = named_type.collection.as_ref();
    let collection = collection.map_or_else(|| "None".to_owned(), |name| format!("Some(Collection({name}))"));
    let delimiter = csv.delimiter.map_or_else(|| "Auto".to_owned(), |byte| format!("Byte({byte})"));
    let byte = |byte: Option<u8>| byte.map_or_else(|| "None".to_owned(), |byte| format!("Some({byte})"));
    let (quote, escape) = (byte(csv.quote), byte(csv.escape));
    let empty = match csv.empty {
        Empty::Omit => "Omit",
        Empty::String => "String",
        Empty::Null => "Null",
    };
    let id_from = match &csv.id_from {
        IdFrom::Position => "Position".to_owned(),
        IdFrom::Column(name) => format!("Column({name:?})"),
        IdFrom::RowHash { .. } => "RowHash { everywhere: false }".to_owned(),
    };
    let TypedBefore { encoding, types, schema, everywhere } = typed;
    let scope = if everywhere { "Source" } else { "File" };
    let CsvOptions { columns, max_field, time_columns, arrays, strict, .. } = csv;
    let columns = columns.as_deref().unwrap_or_default();
    format!(
        "2 GivenType {{ kind: {kind}, collection: {collection} }} \
         ({delimiter}, ByteOrNone({quote}), ByteOrNone({escape}), {encoding:?}, {columns:?}, ByteSize({max_field})) \
         ({types:?}, {schema:?}, {time_columns:?}, {empty}, {arrays}, {strict}, {id_from}, {scope})"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::Collection;

    /// The text stays as the program hashed it.
    #[test]
    fn the_text_that_was_hashed_before_stays_as_it_was() {
        let usual = TypedBefore { encoding: "auto", types: "string", schema: "", everywhere: false };
        let (any, track) = (NamedType::default(), Some(NamedKind::Calls(CallKind::Track)));
        assert_eq!(
            text_before(&any, &CsvOptions::default(), usual),
            r#"2 GivenType { kind: None, collection: None } (Auto, ByteOrNone(Some(34)), ByteOrNone(None), "auto", [], ByteSize(1048576)) ("string", "", [], Omit, false, false, Position, File)"#
        );
        let csv = CsvOptions {
            delimiter: Some(b';'),
            keeps_blanks: true,
            strict: true,
            id_from: IdFrom::RowHash { everywhere: true },
            ..CsvOptions::default()
        };
        let named = NamedType { kind: track, collection: None };
        assert_eq!(
            text_before(&named, &csv, TypedBefore { everywhere: true, ..usual }),
            r#"2 GivenType { kind: Some(Calls(Track)), collection: None } (Byte(59), ByteOrNone(Some(34)), ByteOrNone(None), "auto", [], ByteSize(1048576)) ("string", "", [], Omit, false, true, RowHash { everywhere: false }, Source)"#
        );
        let csv = CsvOptions {
            quote: None,
            escape: Some(b'\\'),
            columns: Some(["a", "\"b\"", "ö"].map(str::to_owned).to_vec()),
            empty: Empty::Null,
            id_from: IdFrom::Column("the \"id\"".to_owned()),
            time_columns: vec!["a".to_owned()],
            arrays: true,
            max_field: 2_000_000,
            ..CsvOptions::default()
        };
        let collection = Some(Collection::new("deals").unwrap());
        let named = NamedType { kind: Some(NamedKind::Objects), collection };
        assert_eq!(
            text_before(&named, &csv, TypedBefore { encoding: "latin1", ..usual }),
            r#"2 GivenType { kind: Some(Objects), collection: Some(Collection(deals)) } (Auto, ByteOrNone(None), ByteOrNone(Some(92)), "latin1", ["a", "\"b\"", "ö"], ByteSize(2000000)) ("string", "", ["a"], Null, true, false, Column("the \"id\""), File)"#
        );
        assert!(hash_before(&any, &CsvOptions::default(), usual).is_some());
        let later = CsvOptions { nulls: vec!["NA".to_owned()], ..CsvOptions::default() };
        assert_eq!(hash_before(&any, &later, usual), None);
    }
}
