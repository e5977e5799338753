//! The pattern that the keys of an import's files match.

use regex::Regex;

use super::java_regex;

/// A regular expression for a whole key, with or without the import's prefix.
#[derive(Clone, Debug)]
pub struct FilePattern {
    regex: Regex,
    text: String,
}

/// What of a key a pattern matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatternMatch {
    /// All of the key.
    WholeKey,
    /// The key after the prefix.
    AfterPrefix,
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

    /// What of the key matches, if anything does. `prefix` is that of the import.
    pub fn find(&self, key: &str, prefix: &str) -> Option<PatternMatch> {
        if self.regex.is_match(key) {
            return Some(PatternMatch::WholeKey);
        }
        let rest = key.strip_prefix(prefix).filter(|_| !prefix.is_empty())?;
        self.regex.is_match(rest).then_some(PatternMatch::AfterPrefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_matches_with_or_without_its_prefix() {
        let pattern = FilePattern::new(r"\w+\_\d{4}-\d{2}-\d{2}.json.gz").unwrap();
        let check = |key: &str, prefix: &str, expected: Option<PatternMatch>| {
            assert_eq!(pattern.find(key, prefix), expected, "{key} below {prefix}");
        };
        check("events_2024-03-01.json.gz", "", Some(PatternMatch::WholeKey));
        check("events_2024-03-01.json.gz", "events_", Some(PatternMatch::WholeKey));
        check("in/2024-03-01.json.gz", "in/", None);
        check("in/events_2024-03-01.json.gz", "in/", Some(PatternMatch::AfterPrefix));
        check("in/events_2024-03-01.json.gz", "", None);
        check("in/events_2024-03-01.json.gz.bak", "in/", None);
        let deep = FilePattern::new(r"folder1/folder2/ds=202011[1-2][0-9]/.*\.parquet").unwrap();
        let key = "folder1/folder2/ds=20201115/part-0.parquet";
        assert_eq!(deep.find(key, "folder1/"), Some(PatternMatch::WholeKey));
    }
}
