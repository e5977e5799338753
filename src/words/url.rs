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

#[cfg(test)]
mod tests {
    use super::*;

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
