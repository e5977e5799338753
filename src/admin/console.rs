//! The files of the console, which are part of the program. `console/page` has their sources and the command
//! that builds them; building Forebay needs no Node.js.

use std::sync::OnceLock;

use bytes::Bytes;
use http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue,
    IF_NONE_MATCH, VARY,
};
use http::{Response, StatusCode};
use http_body_util::Full;
use sha2::{Digest, Sha256};

use super::answer::{Answer, AnswerBody};

/// What the page may load and do: nothing but its own files, and requests to its own server.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// A file of the console.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct File {
    path: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
    /// The hash of the bytes, as an `ETag`.
    tag: OnceLock<String>,
}

/// The page itself.
pub(super) static PAGE: File =
    File::new("/", "text/html; charset=utf-8", include_bytes!("console/built/index.html"));

/// The files that the page loads or links to.
static OTHERS: [File; 4] = [
    File::new("/console.js", "text/javascript; charset=utf-8", include_bytes!("console/built/console.js")),
    File::new("/console.css", "text/css; charset=utf-8", include_bytes!("console/built/console.css")),
    File::new("/favicon.svg", "image/svg+xml", include_bytes!("console/built/favicon.svg")),
    File::new("/licenses.txt", "text/plain; charset=utf-8", include_bytes!("console/built/licenses.txt")),
];

impl File {
    const fn new(path: &'static str, content_type: &'static str, bytes: &'static [u8]) -> Self {
        Self { path, content_type, bytes, tag: OnceLock::new() }
    }

    /// The file at this path, other than the page itself.
    pub(super) fn at(path: &str) -> Option<&'static Self> {
        OTHERS.iter().find(|file| file.path == path)
    }

    fn tag(&self) -> &str {
        self.tag.get_or_init(|| {
            let mut tag = hex::encode(Sha256::digest(self.bytes));
            tag.truncate(32);
            format!("\"{tag}\"")
        })
    }
}

/// Whether a request for `/` comes from a browser. Other clients get a line of text.
pub(super) fn wants_page(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|accept| accept.to_str().ok());
    let mut accepted = accepted.map(str::to_ascii_lowercase);
    accepted.any(|accept| accept.contains("text/html"))
}

/// Answers with the file, or 304 if the client has it.
pub(super) fn answer(file: &'static File, headers: &HeaderMap) -> Answer {
    let unchanged = has(headers, file.tag());
    let body = if unchanged { Bytes::new() } else { Bytes::from_static(file.bytes) };
    let mut answer = Response::new(AnswerBody::Left(Full::new(body)));
    if unchanged {
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let sent = answer.headers_mut();
    sent.insert(CONTENT_TYPE, HeaderValue::from_static(file.content_type));
    sent.insert(ETAG, HeaderValue::from_static(file.tag()));
    // Browsers ask for the file each time, so that a new program never meets an old page.
    sent.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    sent.insert(CONTENT_SECURITY_POLICY, POLICY);
    if file.path == PAGE.path {
        sent.insert(VARY, HeaderValue::from_static("accept"));
    }
    answer
}

/// Whether the client has a file with this tag. A proxy may have made the tag weak.
fn has(headers: &HeaderMap, tag: &str) -> bool {
    let given = headers.get_all(IF_NONE_MATCH).iter().filter_map(|tags| tags.to_str().ok());
    let mut given = given.flat_map(|tags| tags.split(',')).map(str::trim);
    given.any(|given| given == "*" || given.strip_prefix("W/").unwrap_or(given) == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(*name, value.parse().unwrap());
        }
        map
    }

    #[test]
    fn a_browser_gets_the_page_and_others_get_text() {
        let check = |pairs: &[(&'static str, &str)], expected| {
            assert_eq!(wants_page(&headers(pairs)), expected, "{pairs:?}");
        };
        check(&[("accept", "text/html,application/xhtml+xml,*/*;q=0.8")], true);
        check(&[("accept", "Text/HTML")], true);
        check(&[("accept", "*/*")], false);
        check(&[], false);
        check(&[("accept", "application/json"), ("accept", "text/html")], true);
    }

    #[test]
    fn a_file_that_the_client_has_is_not_sent_again() {
        let [script, style] = ["/console.js", "/console.css"].map(|path| File::at(path).unwrap());
        let tag = script.tag();
        assert!(tag.len() == 34 && tag != style.tag());
        for given in [tag.to_owned(), format!("W/{tag}"), format!("\"x\", {tag}"), "*".to_owned()] {
            let answer = answer(script, &headers(&[("if-none-match", &given)]));
            assert_eq!(answer.status(), 304, "{given}");
            assert_eq!(answer.headers()[ETAG], *tag);
        }
        for given in ["", "\"x\"", tag.trim_matches('"'), style.tag()] {
            assert_eq!(answer(script, &headers(&[("if-none-match", given)])).status(), 200, "{given}");
        }
    }
}
