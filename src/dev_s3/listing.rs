//! Selects the keys of one page of a listing. Pure.

use std::collections::BTreeMap;
use std::ops::Bound;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// The most entries of a page, as in S3.
pub(super) const PAGE_ENTRIES_MAX: usize = 1_000;

/// A listing request.
#[derive(Clone, Debug, Default)]
pub(super) struct Query {
    pub(super) prefix: String,
    /// Keys that continue after it are grouped into one common prefix. Empty: no grouping.
    pub(super) delimiter: String,
    /// Only entries after this one: a key, or a common prefix already listed.
    pub(super) after: String,
    pub(super) max: usize,
}

/// One page, in order.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page<'a, T> {
    pub(super) objects: Vec<(&'a str, &'a T)>,
    pub(super) common_prefixes: Vec<&'a str>,
    /// The last entry of the page if there are more: the `after` of the next page.
    pub(super) next_after: Option<&'a str>,
}

/// The page that a query selects.
pub(super) fn page<'a, T>(objects: &'a BTreeMap<String, T>, query: &Query) -> Page<'a, T> {
    let mut page = Page { objects: Vec::new(), common_prefixes: Vec::new(), next_after: None };
    if query.max == 0 {
        return page;
    }
    let start = if query.after >= query.prefix {
        Bound::Excluded(query.after.as_str())
    } else {
        Bound::Included(query.prefix.as_str())
    };
    let mut last = "";
    // The group of the current keys. They are a single entry, on this page or the previous one.
    let mut group: Option<&str> = None;
    for (key, object) in objects.range::<str, _>((start, Bound::Unbounded)) {
        let Some(rest) = key.strip_prefix(&query.prefix) else { break };
        if group.is_some_and(|group| key.starts_with(group)) {
            continue;
        }
        let common = common_prefix(key, rest, &query.delimiter);
        group = common;
        if common == Some(query.after.as_str()) {
            continue;
        }
        if page.objects.len() + page.common_prefixes.len() == query.max {
            page.next_after = Some(last);
            break;
        }
        match common {
            Some(common) => page.common_prefixes.push(common),
            None => page.objects.push((key, object)),
        }
        last = common.unwrap_or(key);
    }
    page
}

/// The common prefix of `key`, if it has one; `rest` is the key without the requested prefix.
fn common_prefix<'a>(key: &'a str, rest: &str, delimiter: &str) -> Option<&'a str> {
    if delimiter.is_empty() {
        return None;
    }
    let at = rest.find(delimiter)?;
    key.get(..key.len() - rest.len() + at + delimiter.len())
}

/// The characters escaped in a listing with `encoding-type=url`. A space becomes `%20`, which all clients
/// decode, whether or not they read `+` as a space.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');

/// A key as such a listing shows it.
pub(super) fn url_encoded(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: &[&str] =
        &["a", "a/", "a/1", "a/2", "a/b/1", "a/b/2", "b", "b+%/x", "c/1", "c/2", "d", "x", "x/y"];

    /// All pages of a listing, each with its entries in order.
    fn pages(prefix: &str, delimiter: &str, after: &str, max: usize) -> Vec<Vec<String>> {
        let objects: BTreeMap<String, ()> = KEYS.iter().map(|key| ((*key).to_owned(), ())).collect();
        let mut query =
            Query { prefix: prefix.into(), delimiter: delimiter.into(), after: after.into(), max };
        let mut pages = Vec::new();
        loop {
            let page = page(&objects, &query);
            let objects = page.objects.iter().map(|(key, ())| (*key).to_owned());
            let mut entries: Vec<String> =
                objects.chain(page.common_prefixes.iter().map(|common| format!("{common}*"))).collect();
            entries.sort_unstable_by(|a, b| a.trim_end_matches('*').cmp(b.trim_end_matches('*')));
            pages.push(entries);
            match page.next_after {
                Some(after) => query.after = after.to_owned(),
                None => return pages,
            }
        }
    }

    #[test]
    fn a_listing_is_the_same_for_every_page_size() {
        let check = |prefix, delimiter, after, expected: &[&str]| {
            for max in 1..=20 {
                let pages = pages(prefix, delimiter, after, max);
                assert!(pages.iter().rev().skip(1).all(|page| page.len() == max), "{max}: {pages:?}");
                assert_eq!(pages.concat(), expected, "{prefix:?} {delimiter:?} {after:?} {max}");
            }
        };
        check("", "", "", KEYS);
        check("", "/", "", &["a", "a/*", "b", "b+%/*", "c/*", "d", "x", "x/*"]);
        check("a/", "/", "", &["a/", "a/1", "a/2", "a/b/*"]);
        check("a/", "", "a/1", &["a/2", "a/b/1", "a/b/2"]);
        check("a", "/", "", &["a", "a/*"]);
        check("", "", "c/1", &["c/2", "d", "x", "x/y"]);
        // Starts at a key within a group: the rest of the group is still one entry.
        check("", "/", "c/1", &["c/*", "d", "x", "x/*"]);
        check("", "/", "c/", &["d", "x", "x/*"]);
        check("nothing", "/", "", &[]);
        check("", "b/", "", &["a", "a/", "a/1", "a/2", "a/b/*", "b", "b+%/x", "c/1", "c/2", "d", "x", "x/y"]);
    }

    #[test]
    fn a_request_for_no_entries_gets_an_empty_complete_listing() {
        assert_eq!(pages("", "", "", 0), [Vec::<String>::new()]);
    }

    #[test]
    fn keys_are_encoded_so_that_every_client_decodes_them() {
        let check = |text, expected| assert_eq!(url_encoded(text), expected);
        check("a+b%.gz", "a%2Bb%25.gz");
        check("a b/ü&<", "a%20b/%C3%BC%26%3C");
        check("A-z_0.~", "A-z_0.~");
    }
}
