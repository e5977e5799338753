//! The pattern of the keys of files whose names look like that of a sample.

/// The regular expression for keys like this one, in any folder: digits of dates and of fixed width as
/// `\d{n}`, other digits as `\d+`, ids of hexadecimal digits by their length, everything else as it is.
pub(super) fn pattern_of(key: &str) -> String {
    let name = base_of(key);
    let mut pattern = "(.*/)?".to_owned();
    let mut rest = name;
    // Whether the digits just before have a fixed width and only a separator follows them.
    let mut after_fixed = false;
    while let Some(c) = rest.chars().next() {
        if let Some(len) = uuid_len(rest) {
            pattern += "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}";
            rest = rest.get(len..).unwrap_or_default();
            after_fixed = false;
            continue;
        }
        let word = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        let word = rest.get(..word).unwrap_or_default();
        if is_hex_id(word) {
            pattern += &format!("[0-9a-fA-F]{{{}}}", word.len());
            rest = rest.get(word.len()..).unwrap_or_default();
            after_fixed = false;
            continue;
        }
        if c.is_ascii_digit() {
            let len = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            let (digits, after) = rest.split_at(len);
            after_fixed = is_fixed(digits) || (after_fixed && len == 2);
            pattern += &if after_fixed { format!("\\d{{{len}}}") } else { "\\d+".to_owned() };
            rest = after;
            continue;
        }
        after_fixed &= matches!(c, '-' | '_' | ':' | '.' | 'T' | 't');
        if !c.is_alphanumeric() && !matches!(c, '_' | '-' | ' ') && c.is_ascii() {
            pattern.push('\\');
        }
        pattern.push(c);
        rest = rest.get(c.len_utf8()..).unwrap_or_default();
    }
    pattern
}

/// The regular expression for all of these keys: by their extension, if all have the same.
pub fn pattern_of_all(keys: &[&str]) -> String {
    let extension_of = |key: &str| {
        let name = base_of(key);
        name.find('.').and_then(|at| name.get(at..)).unwrap_or_default().to_owned()
    };
    let extension = keys.first().map(|key| extension_of(key)).unwrap_or_default();
    if extension.is_empty() || keys.iter().any(|key| extension_of(key) != extension) {
        return ".*".to_owned();
    }
    format!(".*{}", regex::escape(&extension))
}

/// The word with which a name begins: `orders` of `in/orders_2024-03-01.json.gz`.
pub(super) fn word_of(key: &str) -> String {
    let name = base_of(key);
    let end = name.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(name.len());
    let word = name.get(..end).unwrap_or_default().trim_matches(|c: char| !c.is_alphanumeric());
    if word.is_empty() { "imported".to_owned() } else { word.to_owned() }
}

fn base_of(key: &str) -> &str {
    key.rsplit('/').next().unwrap_or(key)
}

/// Whether all files of a series have as many digits: padded numbers, dates and Unix times.
fn is_fixed(digits: &str) -> bool {
    let is_padded = digits.len() > 1 && digits.starts_with('0');
    let is_date = matches!(digits.len(), 4 | 6 | 8 | 10 | 12 | 14)
        && (digits.starts_with("19") || digits.starts_with("20"));
    let is_unix = matches!(digits.len(), 10 | 13) && digits.starts_with('1');
    is_padded || is_date || is_unix
}

/// A word of 16 or more hexadecimal digits, letters and digits among them.
fn is_hex_id(word: &str) -> bool {
    word.len() >= 16
        && word.bytes().all(|byte| byte.is_ascii_hexdigit())
        && word.bytes().any(|byte| byte.is_ascii_alphabetic())
        && word.bytes().any(|byte| byte.is_ascii_digit())
}

/// The length of the UUID with which a text begins.
fn uuid_len(text: &str) -> Option<usize> {
    const LENGTH: usize = 36;
    let uuid = text.get(..LENGTH)?;
    let mut parts = uuid.split('-');
    let is_one = [8, 4, 4, 4, 12].into_iter().all(|len| {
        parts
            .next()
            .is_some_and(|part| part.len() == len && part.bytes().all(|byte| byte.is_ascii_hexdigit()))
    });
    (is_one && parts.next().is_none()).then_some(LENGTH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::convert::FilePattern;

    #[test]
    fn a_pattern_matches_its_name_and_those_of_the_series() {
        let check = |key: &str, expected: &str, others: &[&str]| {
            let pattern = pattern_of(key);
            assert_eq!(pattern, format!("(.*/)?{expected}"), "{key}");
            let pattern = FilePattern::new(&pattern).unwrap();
            for key in [key].iter().chain(others) {
                assert!(pattern.matches(key, ""), "{key} of {}", pattern.as_str());
            }
        };
        check(
            "in/events_2024-03-01.json.gz",
            r"events_\d{4}-\d{2}-\d{2}\.json\.gz",
            &["events_2025-12-31.json.gz", "other/events_2025-12-31.json.gz"],
        );
        check("part-7.csv", r"part-\d+\.csv", &["part-10.csv"]);
        check("part-00007.csv", r"part-\d{5}\.csv", &["part-00010.csv"]);
        check("20240301T1200_x.json", r"\d{8}T\d+_x\.json", &["20251231T2359_x.json"]);
        check("1709294400250.json", r"\d{13}\.json", &["1809294400250.json"]);
        check(
            "part-00000-3f2a0000-0000-4000-8000-00000000c000.json",
            r"part-\d{5}-[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\.json",
            &[],
        );
        check("x-d41d8cd98f00b204e9800998ecf8427e", r"x-[0-9a-fA-F]{32}", &[]);
        check("a (1)+[b].json", r"a \(\d+\)\+\[b\]\.json", &["a (12)+[b].json"]);
        check("größe&1.csv", r"größe\&\d+\.csv", &[]);
    }

    #[test]
    fn one_pattern_matches_all_names() {
        let check = |keys: &[&str], expected: &str| {
            assert_eq!(pattern_of_all(keys), expected);
            let pattern = FilePattern::new(expected).unwrap();
            assert!(keys.iter().all(|key| pattern.matches(key, "")), "{keys:?}");
        };
        check(&["alpha.json", "in/beta.json"], r".*\.json");
        check(&["a.json.gz", "b_2024-03-01.json.gz"], r".*\.json\.gz");
        check(&["a.json", "b.json.gz"], ".*");
        check(&["a", "b"], ".*");
    }

    #[test]
    fn the_first_word_of_a_name_is_found() {
        let check = |key: &str, expected: &str| assert_eq!(word_of(key), expected, "{key}");
        check("in/orders_2024-03-01.json.gz", "orders");
        check("page views.csv", "page views");
        check("2024.csv", "imported");
        check("", "imported");
    }
}
