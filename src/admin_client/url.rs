//! The address of an admin listener.

use std::fmt;
use std::str::FromStr;

use http::Uri;
use http::uri::{Authority, Scheme};

/// The address of an admin listener, `http://host:port`, or of a proxy with TLS before it, `https://host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminUrl {
    scheme: Scheme,
    authority: Authority,
}

impl AdminUrl {
    /// Whether it is spoken to with TLS.
    pub fn is_https(&self) -> bool {
        self.scheme == Scheme::HTTPS
    }
}

impl FromStr for AdminUrl {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "expected a URL such as http://127.0.0.1:9180";
        let uri: Uri = text.parse().map_err(|_| FORM)?;
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@')).ok_or(FORM)?;
        let scheme =
            uri.scheme().filter(|&scheme| [Scheme::HTTP, Scheme::HTTPS].contains(scheme)).ok_or(FORM)?;
        let is_bare = uri.path() == "/" && uri.query().is_none();
        if is_bare { Ok(Self { scheme: scheme.clone(), authority: authority.clone() }) } else { Err(FORM) }
    }
}

impl fmt::Display for AdminUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.authority)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_admin_url_is_a_scheme_and_a_host() {
        for text in [
            "http://127.0.0.1:9180", "http://localhost:9180/", "http://[::1]:9180", "http://forebay",
            "https://forebay:8443",
        ] {
            assert_eq!(text.parse::<AdminUrl>().unwrap().to_string(), text.trim_end_matches('/'));
        }
        for text in [
            "", "127.0.0.1:9180", "localhost", "ftp://localhost", "https://localhost/x",
            "http://localhost/x", "http://a@b", "http://a?x",
        ] {
            assert!(text.parse::<AdminUrl>().is_err(), "{text:?}");
        }
    }
}
