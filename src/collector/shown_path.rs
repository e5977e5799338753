//! A path as people are shown it: whatever may be a write key is cut. Pure.

use std::borrow::Cow;

use crate::sources::KeyBeginning;

/// Segments of the routes, in lower case. They are shown as they are.
const WORDS: [&str; 29] = [
    "v1", "batch", "import", "track", "identify", "page", "screen", "group", "alias", "set", "b", "t", "i",
    "p", "s", "g", "a", "m", "pixel", "projects", "settings", "sourceconfig", "health", "sdk", "api", "s2s",
    "beacon", "ready", "metrics",
];
/// The segment after which a write key stands.
const BEFORE_KEY: &str = "projects";
/// The longest other segment that is shown whole, in bytes.
const WORD_MAX: usize = 12;
/// The most segments that are shown.
const SEGMENTS_MAX: usize = 8;

/// The path without write keys. Of a segment that is not a word only the beginning is shown, as of a key, and
/// so of one for which `is_key` is true.
pub(super) fn shown_path<'p>(path: &'p str, is_key: impl Fn(&str) -> bool) -> Cow<'p, str> {
    let segments = path.split('/');
    let many = segments.clone().count() > SEGMENTS_MAX;
    let mut before = "";
    let mut shown: Vec<Cow<'_, str>> = Vec::new();
    let mut cut = many;
    for segment in segments.take(SEGMENTS_MAX) {
        let is_word =
            before != BEFORE_KEY && (segment.is_empty() || is_known(segment) || is_plain(segment, &is_key));
        cut |= !is_word;
        let text = if is_word { segment.into() } else { KeyBeginning::of(segment).to_string().into() };
        shown.push(text);
        before = segment;
    }
    if !cut {
        return path.into();
    }
    if many {
        shown.push("…".into());
    }
    shown.join("/").into()
}

fn is_known(segment: &str) -> bool {
    WORDS.iter().any(|word| word.eq_ignore_ascii_case(segment))
}

/// Whether a segment is a word of letters or a version, and no key.
fn is_plain(segment: &str, is_key: &impl Fn(&str) -> bool) -> bool {
    let is_version = segment.len() == 2 && segment.starts_with(['v', 'V']);
    let letters = segment.bytes().all(|b| b.is_ascii_lowercase() || b == b'-' || b == b'_');
    (is_version || (letters && segment.len() <= WORD_MAX)) && !is_key(segment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_shows_words_and_cuts_what_may_be_a_key() {
        let check = |path: &str, shown: &str| {
            assert_eq!(shown_path(path, |text| text == "secret"), shown, "{path}");
        };
        for whole in ["", "/", "/v1/batch", "/V1/Batch/", "/v2/trak", "/proxy/v1/b", "//v1/batch", "/collect"]
        {
            check(whole, whole);
            assert!(matches!(shown_path(whole, |_| false), Cow::Borrowed(_)), "{whole}");
        }
        check("/v1/projects/abcdefgh/settings", "/v1/projects/ab…/settings");
        check("/v1/projects/track/settings", "/v1/projects/t…/settings");
        check("/secret/v1/batch", "/s…/v1/batch");
        check("/a1b2c3d4e5f6a1b2c3d4e5f6a1b2c3d4/batch", "/a1b2c3…/batch");
        check("/ann@example.com", "/ann…");
        check("/averylongwordthatgoeson", "/avery…");
        check("/a/b/t/i/p/s/g/m/a/b", "/a/b/t/i/p/s/g/…");
        check(&"/ü".repeat(40_000), "/…/…/…/…/…/…/…/…");
    }
}
