//! What a person says about one column: its place in the call, its date format, which texts mean no value,
//! and whether its type is found.

use std::collections::BTreeMap;

use super::date_format::DateFormat;
use super::path;

/// What is said about a column, beside a declared type.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ColumnRule {
    /// The name to read the column under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub map: Option<String>,
    /// How its dates are written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<DateFormat>,
    /// The texts that mean no value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nulls: Vec<String>,
    /// Whether its type is found from its first cells.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub infer: bool,
}

/// Rules by the names of columns.
pub type ColumnRules = BTreeMap<String, ColumnRule>;

/// A column and the name to read it under, as typed: `E-Mail=traits.email`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypedMap {
    column: String,
    map: String,
}

/// A column and how its dates are written, as typed: `timestamp=DD.MM.YYYY HH:mm`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypedDate {
    column: String,
    date: DateFormat,
}

/// The two sides of the last `=`: a column's name may have one, and what follows has none.
fn sides<'t>(text: &'t str, expected: &str) -> Result<(&'t str, &'t str), String> {
    let sides = text.rsplit_once('=').map(|(column, rest)| (column.trim(), rest.trim()));
    sides
        .filter(|(column, rest)| !column.is_empty() && !rest.is_empty())
        .ok_or_else(|| format!("expected {expected}"))
}

/// Checks a name to read a column under. Errors: why it is none.
pub(super) fn checked_map(name: &str) -> Result<String, String> {
    match path::parts(name.trim()) {
        Some(_) if !name.chars().any(char::is_control) => Ok(name.trim().to_owned()),
        _ => {
            Err("expected the name of a column, such as traits.email: no part between dots is empty"
                .to_owned())
        }
    }
}

impl TypedMap {
    /// Parses `COLUMN=NAME`. Errors: what was expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (column, map) = sides(text, "COLUMN=NAME, such as E-Mail=traits.email")?;
        Ok(Self { column: column.to_owned(), map: checked_map(map)? })
    }
}

impl TypedDate {
    /// Parses `COLUMN=FORMAT`. Errors: what was expected, or why the format cannot be used.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (column, date) = sides(text, "COLUMN=FORMAT, such as timestamp=DD.MM.YYYY")?;
        Ok(Self { column: column.to_owned(), date: DateFormat::parse(date)? })
    }
}

/// Adds what was typed to the rules. `typed`: the columns whose type is declared.
/// Errors: something is said twice about a column.
pub fn add_typed(
    rules: &mut ColumnRules,
    is_typed: impl Fn(&str) -> bool,
    maps: &[TypedMap],
    dates: &[TypedDate],
) -> Result<(), String> {
    let twice =
        |column: &str, what: &str| Err(format!("column \"{column}\" has two {what}: leave one of them away"));
    for TypedMap { column, map } in maps {
        if rules.entry(column.clone()).or_default().map.replace(map.clone()).is_some() {
            return twice(column, "names, by --map or --types");
        }
    }
    for TypedDate { column, date } in dates {
        let rule = rules.entry(column.clone()).or_default();
        if rule.date.replace(date.clone()).is_some() {
            return twice(column, "date formats, by --date-format or --types");
        }
        if rule.infer || is_typed(column) {
            return twice(column, "types, one by --types and one by --date-format");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_about_a_column_is_parsed() {
        let map = |text| TypedMap::parse(text).map(|TypedMap { column, map }| (column, map));
        let pair = |column: &str, map: &str| Ok((column.to_owned(), map.to_owned()));
        assert_eq!(map("E-Mail=traits.email"), pair("E-Mail", "traits.email"));
        assert_eq!(map(" a=b = c "), pair("a=b", "c"));
        for wrong in ["", "a", "a=", "=a", "a=b.", "a=.b", "a=b..c", "a=\u{7}"] {
            assert!(map(wrong).is_err(), "{wrong}");
        }
        let date = TypedDate::parse("Datum=DD.MM.YYYY HH:mm Europe/Berlin").unwrap();
        assert_eq!((&*date.column, &*date.date.to_string()), ("Datum", "DD.MM.YYYY HH:mm Europe/Berlin"));
        assert_eq!(
            TypedDate::parse("Datum").unwrap_err(),
            "expected COLUMN=FORMAT, such as timestamp=DD.MM.YYYY"
        );
        assert!(TypedDate::parse("Datum=dd.mm.yyyy").unwrap_err().contains("needs one month"));
    }

    #[test]
    fn nothing_is_said_twice_about_a_column() {
        let maps =
            |texts: &[&str]| texts.iter().map(|text| TypedMap::parse(text).unwrap()).collect::<Vec<_>>();
        let dates =
            |texts: &[&str]| texts.iter().map(|text| TypedDate::parse(text).unwrap()).collect::<Vec<_>>();
        let add = |maps: &[TypedMap], dates: &[TypedDate]| {
            let of_file = ColumnRule { map: Some("x".to_owned()), ..ColumnRule::default() };
            let mut rules = ColumnRules::from([("file".to_owned(), of_file)]);
            add_typed(&mut rules, |name| name == "typed", maps, dates).map(|()| rules)
        };
        let rules = add(&maps(&["a=b", "c=d"]), &dates(&["a=DD.MM.YYYY", "file=DD.MM.YYYY"])).unwrap();
        assert_eq!(rules["a"].map.as_deref(), Some("b"));
        assert!(rules["a"].date.is_some() && rules["file"].date.is_some() && rules["c"].date.is_none());
        for (typed, part) in [
            (add(&maps(&["a=b", "a=c"]), &[]), "column \"a\" has two names"),
            (add(&maps(&["file=c"]), &[]), "column \"file\" has two names"),
            (add(&[], &dates(&["a=DD.MM.YYYY", "a=MM/DD/YYYY"])), "column \"a\" has two date formats"),
            (add(&[], &dates(&["typed=DD.MM.YYYY"])), "column \"typed\" has two types"),
        ] {
            let error = typed.unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }
}
