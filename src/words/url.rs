//! Parts of URLs.

use std::borrow::Cow;

/// A host without the brackets of an IPv6 address.
pub fn bare_host(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

/// A URL with `…` in place of its user and password. A password may contain a raw `/`, `?` or `#`, so
/// everything up to the last `@` is hidden. A text without a scheme stays unchanged.
pub fn without_userinfo(url: &str) -> Cow<'_, str> {
    let hidden = || {
        let (scheme, rest) = url.split_once("://")?;
        let (_, rest) = rest.rsplit_once('@')?;
        Some(format!("{scheme}://…@{rest}"))
    };
    hidden().map_or(Cow::Borrowed(url), Cow::Owned)
}

/// A text with `…` in place of possible secrets in its URLs: the part before the host, and the query.
pub fn without_secrets(text: &str) -> String {
    text.split_inclusive(ends_word).map(without_secret).collect()
}

fn without_secret(word: &str) -> String {
    if !word.contains("://") {
        let (authority, rest) = word.split_at(word.find(['/', '?', '#']).unwrap_or(word.len()));
        let shown = authority.rsplit_once('@').map_or(authority.to_owned(), |(_, host)| format!("…@{host}"));
        return shown + rest;
    }
    let shown = without_userinfo(word);
    match shown.split_once(['?', '#']) {
        Some((address, query)) => {
            // The character that ends the word is kept.
            let end = query.chars().last().filter(|c| ends_word(*c));
            format!("{address}?…{}", end.map(String::from).unwrap_or_default())
        }
        None => shown.into_owned(),
    }
}

fn ends_word(c: char) -> bool {
    c.is_whitespace() || "'\"".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let check = |text: &str, expected: &str| assert_eq!(without_secrets(text), expected, "{text}");
        check("error: 'http://me:secret@host:1/x' for --admin", "error: 'http://…@host:1/x' for --admin");
        check("http://a@b@c and https://d:e@f\n", "http://…@c and https://…@f\n");
        check("'me:secret@host:1' for", "'…@host:1' for");
        check("'https://host/x?sig=s' for", "'https://host/x?…' for");
        check("'http://me:a?b/c@host/x' for", "'http://…@host/x' for");
        check("https://host/#s\nis it?", "https://host/?…\nis it?");
        for plain in ["http://host:1/x", "forebay status [OPTIONS]\n\nFor more information, try '--help'.\n"]
        {
            check(plain, plain);
        }
    }

    #[test]
    fn brackets_are_removed() {
        assert_eq!(bare_host("[::1]"), "::1");
        assert_eq!(bare_host("::1"), "::1");
        assert_eq!(bare_host("localhost"), "localhost");
    }

    #[test]
    fn a_password_is_hidden_whatever_it_contains() {
        let check = |url: &str, shown: &str| assert_eq!(without_userinfo(url), shown, "{url}");
        check("https://me:secret@host:1/x?y", "https://…@host:1/x?y");
        check("https://me:s/e?c#ret@host", "https://…@host");
        check("https://a@b@c", "https://…@c");
        check("https://host/x", "https://host/x");
        check("@segment/analytics-next", "@segment/analytics-next");
    }
}
