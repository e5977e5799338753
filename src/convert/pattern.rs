//! The pattern that the keys of an import's files match.

use regex::Regex;

use super::java_regex;

/// A regular expression for a whole key, with or without the import's prefix.
#[derive(Clone, Debug)]
pub struct FilePattern {
    regex: Regex,
    text: String,
}

impl FilePattern {
    /// Errors: a message for the person who wrote the pattern.
    pub(super) fn new(text: &str) -> Result<Self, String> {
        Ok(Self { regex: java_regex::compile(text, true)?, text: text.to_owned() })
    }

    /// The pattern as typed.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the whole key matches, or what of it follows the prefix of the import.
    pub fn matches(&self, key: &str, prefix: &str) -> bool {
        let after_prefix = key.strip_prefix(prefix).filter(|_| !prefix.is_empty());
        self.regex.is_match(key) || after_prefix.is_some_and(|rest| self.regex.is_match(rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_matches_with_or_without_its_prefix() {
        let pattern = FilePattern::new(r"\w+\_\d{4}-\d{2}-\d{2}.json.gz").unwrap();
        let check = |key: &str, prefix: &str, expected: bool| {
            assert_eq!(pattern.matches(key, prefix), expected, "{key} below {prefix}");
        };
        check("events_2024-03-01.json.gz", "", true);
        check("events_2024-03-01.json.gz", "events_", true);
        check("in/2024-03-01.json.gz", "in/", false);
        check("in/events_2024-03-01.json.gz", "in/", true);
        check("in/events_2024-03-01.json.gz", "", false);
        check("in/events_2024-03-01.json.gz.bak", "in/", false);
        let deep = FilePattern::new(r"folder1/folder2/ds=202011[1-2][0-9]/.*\.parquet").unwrap();
        let key = "folder1/folder2/ds=20201115/part-0.parquet";
        assert!(deep.matches(key, "folder1/"));
    }
}
