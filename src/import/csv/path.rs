//! Splits a column's name into its path in a call.

/// The parts of a name: `context.device.id` has three. `\.` is a literal dot, `\\` a backslash.
///
/// `None` if a part is empty, as in `Notes.` or `a..b`.
pub(super) fn parts(name: &str) -> Option<Vec<String>> {
    let mut parts = Vec::new();
    let mut part = String::new();
    let mut chars = name.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '\\' => part.push(chars.next_if(|next| matches!(next, '.' | '\\')).unwrap_or('\\')),
            '.' => parts.push(std::mem::take(&mut part)),
            other => part.push(other),
        }
    }
    parts.push(part);
    parts.iter().all(|part| !part.is_empty()).then_some(parts)
}

/// A path as a person writes it.
pub(super) fn shown(path: &[String]) -> String {
    path.iter().map(|part| part.replace('\\', "\\\\").replace('.', "\\.")).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_separate_the_parts() {
        let check = |name: &str, expected: &[&str]| {
            let found = parts(name).unwrap();
            assert_eq!(found, expected, "{name}");
            assert_eq!(parts(&shown(&found)).unwrap(), expected, "{name}, shown");
        };
        check("a", &["a"]);
        check("context.device.id", &["context", "device", "id"]);
        check(r"properties.v1\.2.x", &["properties", "v1.2", "x"]);
        check(r"a\\.b", &["a\\", "b"]);
        check(r"a\b", &["a\\b"]);
        check(r"a\", &["a\\"]);
        check("é.ü", &["é", "ü"]);
    }

    #[test]
    fn no_part_may_be_empty() {
        for name in ["", ".", "a.", ".a", "a..b"] {
            assert_eq!(parts(name), None, "{name}");
        }
    }
}
