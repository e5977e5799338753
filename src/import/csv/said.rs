//! What options say about each column of a header. An option names a column as the header does; the case of
//! letters does not count where only one column fits.

use std::collections::{BTreeSet, HashMap};

use super::column_rule::ColumnRule;
use super::found_type::{FoundType, FoundTypes};
use super::header_error::{shown, warning};
use super::schema::ColumnType;
use super::{CsvOptions, Types};
use crate::import::file_error::FileError;
use crate::words::Told;

/// The names of a header, to find columns by.
pub(super) struct Names<'n> {
    exact: HashMap<&'n str, usize>,
    /// By the names in small letters.
    small: HashMap<String, Vec<usize>>,
    names: &'n [String],
}

/// What is said about one column.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Said<'o> {
    /// Its declared type.
    pub declared: Option<ColumnType>,
    /// Whether cells become what their text shows.
    pub infer: bool,
    /// The type that was found for all of its cells.
    pub found: Option<FoundType>,
    /// What else is said.
    pub rule: Option<&'o ColumnRule>,
}

impl<'n> Names<'n> {
    pub(super) fn of(names: &'n [String]) -> Self {
        let mut exact = HashMap::with_capacity(names.len());
        let mut small: HashMap<String, Vec<usize>> = HashMap::with_capacity(names.len());
        for (index, name) in names.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
            exact.entry(name.as_str()).or_insert(index);
            small.entry(name.to_lowercase()).or_default().push(index);
        }
        Self { exact, small, names }
    }

    /// The column that an option names. `is_other`: whether the option names a column with this very name
    /// elsewhere. Errors: [`FileError`]: two columns have the name but for the case of its letters.
    pub(super) fn find(
        &self,
        name: &str,
        is_other: impl Fn(&str) -> bool,
    ) -> Result<Option<usize>, FileError> {
        if let Some(index) = self.exact.get(name) {
            return Ok(Some(*index));
        }
        let near = self.small.get(&name.to_lowercase()).map_or(&[][..], Vec::as_slice);
        let name_of = |index: &usize| self.names.get(*index).map_or("", String::as_str);
        let mut near = near.iter().filter(|index| !is_other(name_of(index)));
        match (near.next(), near.next()) {
            (Some(one), Some(other)) => Err(two_fit(name, name_of(one), name_of(other))),
            (found, _) => Ok(found.copied()),
        }
    }
}

/// The error of a name that two columns have but for the case of its letters.
pub(super) fn two_fit(name: &str, one: &str, other: &str) -> FileError {
    let full = format!(
        "columns \"{}\" and \"{}\" both differ from \"{}\" only in the case of their letters: write the name of one \
         as the file does, or give one another name with --map COLUMN=NAME",
        shown(one),
        shown(other),
        shown(name)
    );
    let masked = "two columns differ from one name only in the case of their letters";
    FileError::content("E-CSV-HEADER", Told::masked_as(full, masked))
}

/// What the options say about each column. Columns that the file does not have are named in `warnings`.
/// Errors: [`FileError`]: an option names two columns, or two names of an option are one column.
pub(super) fn said<'o>(
    options: &'o CsvOptions,
    names: &[String],
    warnings: &mut Vec<Told>,
) -> Result<Vec<Said<'o>>, FileError> {
    let infer = options.types == Types::Infer;
    let mut all = vec![Said { infer, ..Said::default() }; names.len()];
    let types = if let Types::Schema(types) = &options.types { Some(types) } else { None };
    for (index, found) in options.found.iter().flat_map(FoundTypes::iter) {
        if let Some(said) = all.get_mut(index) {
            said.found = Some(found);
        }
    }
    if types.is_none_or(|types| types.is_empty()) && options.rules.is_empty() {
        return Ok(all);
    }
    let index = Names::of(names);
    let is_typed = |name: &str| types.is_some_and(|types| types.contains_key(name));
    let is_other = |name: &str| is_typed(name) || options.rules.contains_key(name);
    let asked: BTreeSet<&String> =
        types.into_iter().flat_map(|types| types.keys()).chain(options.rules.keys()).collect();
    let mut named: HashMap<usize, &str> = HashMap::new();
    for name in asked {
        let Some(column) = index.find(name, is_other)? else {
            let option = if is_typed(name) { "--types" } else { "--types, --map or --date-format" };
            let what = format!("the file has no column \"{}\", which {option} names", shown(name));
            warnings.push(Told::plain(what));
            continue;
        };
        let of_file = names.get(column).map_or("", String::as_str);
        if let Some(other) = named.insert(column, name) {
            return Err(two_fit(of_file, other, name));
        }
        if of_file != name {
            warnings.push(warning(of_file, "is taken for one that an option writes in other letters"));
        }
        if let Some(said) = all.get_mut(column) {
            said.declared = types.and_then(|types| types.get(name)).copied();
            said.rule = options.rules.get(name);
            said.infer |= said.rule.is_some_and(|rule| rule.infer);
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::csv::parse_schema;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn an_option_names_a_column_in_any_letters_if_one_fits() {
        let names = names(&["Price", "größe", "a", "A", ""]);
        let index = Names::of(&names);
        let check = |name: &str, expected: Option<usize>| {
            assert_eq!(index.find(name, |_| false).unwrap(), expected, "{name}");
        };
        check("Price", Some(0));
        check("PRICE", Some(0));
        check("GRÖßE", Some(1));
        check("a", Some(2));
        check("A", Some(3));
        check("", None);
        check("other", None);
        let named = |name: &str| name == "Price";
        assert_eq!(index.find("price", named).unwrap(), None);
    }

    #[test]
    fn two_columns_that_fit_are_both_named() {
        let (names, mut warnings) = (names(&["Price", "PRICE", "b"]), Vec::new());
        let of = |json: &str, warnings: &mut Vec<Told>| {
            let schema = parse_schema(json).unwrap();
            let options = CsvOptions {
                types: Types::Schema(schema.types),
                rules: schema.rules,
                ..CsvOptions::default()
            };
            said(&options, &names, warnings)
                .map(|said| said.iter().map(|said| said.declared).collect::<Vec<_>>())
        };
        let error = of(r#"{"price":"int"}"#, &mut warnings).unwrap_err();
        assert!(
            error.to_string().starts_with(
                "E-CSV-HEADER: columns \"Price\" and \"PRICE\" both differ from \"price\" only in the case"
            ),
            "{error}"
        );
        assert!(!error.masked().to_lowercase().contains("price"), "{}", error.masked());
        let error = of(r#"{"B":"int","b ":"int"}"#, &mut warnings).map(|_| ());
        assert!(error.is_ok());
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        warnings.clear();
        use ColumnType::{Float, Int};
        let found = of(r#"{"Price":"int","B":"float","none":"int"}"#, &mut warnings).unwrap();
        assert_eq!(found, [Some(Int), None, Some(Float)]);
        let told: Vec<&str> = warnings.iter().map(Told::full).collect();
        assert_eq!(
            told,
            [
                "column \"b\" is taken for one that an option writes in other letters",
                "the file has no column \"none\", which --types names",
            ]
        );
    }
}
