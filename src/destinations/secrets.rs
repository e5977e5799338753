//! The secrets in a request to a web server. A server may send its request back, and what it answers is shown
//! to people.

use http::Uri;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// Stands for a secret.
const HIDDEN: &str = "[hidden]";
/// The length in bytes from which a value is searched for: shorter ones occur in ordinary text.
const VALUE_MIN: usize = 4;
/// The length in bytes from which a segment of a path is searched for by itself: shorter ones are often
/// words.
const PART_MIN: usize = 12;
/// The same for a segment with digits, which is rarely a word.
const CODE_MIN: usize = 6;

/// Texts that are replaced wherever a server says them.
#[derive(Clone, Debug, Default)]
pub(super) struct Secrets(Vec<String>);

impl Secrets {
    /// What may be secret in an address: its path and query, as a whole and in parts, and what stands before
    /// the host.
    pub(super) fn of_address(to: &str) -> Self {
        let Ok(uri) = to.parse::<Uri>() else { return Self::default() };
        let mut secrets = Self::default();
        let user = uri.authority().and_then(|authority| authority.as_str().rsplit_once('@'));
        for part in user.into_iter().flat_map(|(user, _)| user.split(':')) {
            secrets.add_if(VALUE_MIN, part);
        }
        // "/" alone is in every address.
        secrets.add_if(2, uri.path_and_query().map_or("", |path| path.as_str()));
        secrets.add_if(2, uri.path());
        for part in uri.path().split('/') {
            let has_digits = part.bytes().any(|byte| byte.is_ascii_digit());
            secrets.add_if(if has_digits { CODE_MIN } else { PART_MIN }, part);
        }
        let query = uri.query().unwrap_or("");
        secrets.add_if(VALUE_MIN, query);
        for pair in query.split('&') {
            let value = pair.split_once('=').map_or(pair, |(_, value)| value);
            secrets.add_if(VALUE_MIN, value);
            secrets.add_if(VALUE_MIN, &value.replace('+', " "));
        }
        secrets
    }

    /// Adds another secret.
    pub(super) fn and(mut self, secret: &str) -> Self {
        self.add_if(VALUE_MIN, secret);
        self
    }

    fn add_if(&mut self, least: usize, secret: &str) {
        let decoded = percent_decode_str(secret).decode_utf8_lossy();
        // Some servers write a secret as in JSON, or as the value of a query.
        let escaped = secret.replace('/', "\\/");
        let encoded = utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string();
        for form in [secret, &decoded, &escaped, &encoded] {
            if form.len() >= least && !self.0.iter().any(|known| known == form) {
                self.0.push(form.to_owned());
            }
        }
        // Longer secrets come first: they may contain shorter ones.
        self.0.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    }

    /// The text without secrets, whatever the case of their letters.
    pub(super) fn hide(&self, text: &str) -> String {
        let found = |rest: &str| {
            let begins = |secret: &&String| {
                rest.as_bytes()
                    .get(..secret.len())
                    .is_some_and(|rest| rest.eq_ignore_ascii_case(secret.as_bytes()))
            };
            self.0.iter().find(begins).map(String::len)
        };
        let (mut shown, mut rest) = (String::new(), text);
        while let Some(first) = rest.chars().next() {
            let len = match found(rest) {
                Some(len) => {
                    shown.push_str(HIDDEN);
                    len
                }
                None => {
                    shown.push(first);
                    first.len_utf8()
                }
            };
            rest = rest.get(len..).unwrap_or("");
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_hidden_as_a_whole_and_in_parts() {
        let address = "https://me:pass-word@example.com/hooks/T0123456789ab?code=s%2Fcret+1&n=7";
        let secrets = Secrets::of_address(address).and("their-key");
        let check = |said: &str, shown: &str| assert_eq!(secrets.hide(said), shown, "{said}");
        check("Cannot POST /hooks/T0123456789ab?code=s%2Fcret+1&n=7", "Cannot POST [hidden]");
        check("Cannot POST /hooks/T0123456789ab", "Cannot POST [hidden]");
        check(r#"{"url":"\/hooks\/T0123456789ab"}"#, r#"{"url":"[hidden]"}"#);
        check("no hook T0123456789ab", "no hook [hidden]");
        check(r#"{"code":"s/cret 1","n":"7"}"#, r#"{"code":"[hidden]","n":"7"}"#);
        check("pass-word and their-key", "[hidden] and [hidden]");
        check("the hooks are down", "the hooks are down");
        check("code=S%2fCRET+1, again S%252Fcret%2B1", "code=[hidden], again [hidden]");
        check("/HOOKS/T0123456789AB", "[hidden]");
    }

    #[test]
    fn a_short_code_is_hidden_and_a_short_key_leaves_text_readable() {
        let secrets = Secrets::of_address("https://example.com/parts/shortTok11").and("e");
        assert_eq!(secrets.hide("no part shortTok11: see the parts"), "no part [hidden]: see the parts");
    }

    #[test]
    fn an_address_without_a_path_hides_nothing() {
        for address in ["http://127.0.0.1:3000", "http://127.0.0.1:3000/", "no address"] {
            let said = "Cannot POST / on http://127.0.0.1:3000";
            assert_eq!(Secrets::of_address(address).hide(said), said);
        }
    }
}
