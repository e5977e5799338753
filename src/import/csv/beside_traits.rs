//! Finds columns of identify and group files that stand beside the traits: a person who maps one column of a
//! table may expect the others among the traits. Pure.

use super::FileType;
use super::header::Column;
use crate::call::CallKind;
use crate::words::{first_few, outside_text_within, shell_word};

/// The most columns that are named.
const NAMED: usize = 10;

/// What identify and group calls have at their top level, or what an option names.
const FIELDS: [&str; 8] =
    ["userId", "anonymousId", "groupId", "previousId", "messageId", "timestamp", "context", "integrations"];

/// The places of the columns that have no field of the call, and that nobody mapped there.
pub(super) fn beside_traits(
    kind: &FileType,
    columns: &[Column],
    is_mapped: impl Fn(usize) -> bool,
    id_column: Option<usize>,
) -> Vec<usize> {
    if !matches!(kind, FileType::Calls(CallKind::Identify | CallKind::Group)) {
        return Vec::new();
    }
    let is_beside = |column: &&Column| {
        let first = column.path.first().map_or("", String::as_str);
        first != "traits" && !FIELDS.contains(&first) && Some(column.index) != id_column
    };
    let beside = columns.iter().filter(is_beside).map(|column| column.index);
    beside.filter(|index| !is_mapped(*index)).collect()
}

/// The doubt about columns with these names, if there are any.
pub(super) fn doubt(names: &[&str]) -> Option<String> {
    let quoted = names.iter().map(|name| format!("\"{}\"", outside_text_within(name, 64)));
    // A `;` would end the name.
    let example = names.iter().find(|name| !name.contains(';')).or_else(|| names.first())?;
    let map = shell_word(&format!("{example}=traits.{example}"));
    let (columns, stand, them) = match names.len() {
        1 => ("column", "stands", "it"),
        _ => ("columns", "stand", "one of them"),
    };
    Some(format!(
        "{columns} {} {stand} beside the traits of the call, not in them: --map {map} puts {them} there",
        first_few(quoted, NAMED)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_doubt_names_ten_columns() {
        assert_eq!(doubt(&[]), None);
        assert_eq!(
            doubt(&["Vor;name", "Umsatz Jahr"]).unwrap(),
            "columns \"Vor;name\", \"Umsatz Jahr\" stand beside the traits of the call, not in them: \
             --map 'Umsatz Jahr=traits.Umsatz Jahr' puts one of them there"
        );
        let many: Vec<String> = (0..12).map(|n| format!("c{n}")).collect();
        let doubt = doubt(&many.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
        assert!(doubt.contains("\"c9\" and 2 more stand"), "{doubt}");
    }
}
