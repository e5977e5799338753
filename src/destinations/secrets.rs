//! The secrets in a request to a web server. A server may send its request back, and what it answers is shown to people.

use std::borrow::Cow;

use http::Uri;
use percent_encoding::percent_decode_str;

/// Stands for a secret.
const HIDDEN: &str = "[hidden]";
/// Shorter values of a query are not looked for: they occur in ordinary text.
const VALUE_MIN: usize = 4;
/// Shorter parts of a path are not looked for alone: they are words.
const PART_MIN: usize = 12;

/// Texts that are replaced wherever a server says them.
#[derive(Clone, Debug, Default)]
pub(super) struct Secrets(Vec<String>);

impl Secrets {
    /// What may be secret in an address: its path and query, as a whole and in parts, and what stands before the host.
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
            secrets.add_if(PART_MIN, part);
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

    /// With another secret.
    pub(super) fn and(mut self, secret: &str) -> Self {
        self.add_if(1, secret);
        self
    }

    fn add_if(&mut self, least: usize, secret: &str) {
        let decoded = percent_decode_str(secret).decode_utf8_lossy();
        // Some servers write JSON so.
        let escaped = secret.replace('/', "\\/");
        for form in [secret, &decoded, &escaped] {
            if form.len() >= least && !self.0.iter().any(|known| known == form) {
                self.0.push(form.to_owned());
            }
        }
        // A longer one may contain a shorter one.
        self.0.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    }

    /// A text without them.
    pub(super) fn hide<'a>(&self, text: &'a str) -> Cow<'a, str> {
        self.0.iter().fold(Cow::Borrowed(text), |text, secret| {
            if text.contains(secret.as_str()) { text.replace(secret.as_str(), HIDDEN).into() } else { text }
        })
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
    }

    #[test]
    fn an_address_without_a_path_hides_nothing() {
        for address in ["http://127.0.0.1:3000", "http://127.0.0.1:3000/", "no address"] {
            let said = "Cannot POST / on http://127.0.0.1:3000";
            assert_eq!(Secrets::of_address(address).hide(said), said);
        }
    }
}
