//! The address of an admin listener.

use std::fmt;
use std::str::FromStr;

use http::Uri;
use http::uri::Authority;

/// The address of an admin listener: `http://host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminUrl(Authority);

impl FromStr for AdminUrl {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "expected a URL such as http://127.0.0.1:9180";
        let uri: Uri = text.parse().map_err(|_| FORM)?;
        if uri.scheme_str() == Some("https") {
            return Err("the admin listener speaks plain HTTP: expected a URL such as http://127.0.0.1:9180");
        }
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@')).ok_or(FORM)?;
        let bare = uri.scheme_str() == Some("http") && uri.path() == "/" && uri.query().is_none();
        if bare { Ok(Self(authority.clone())) } else { Err(FORM) }
    }
}

impl fmt::Display for AdminUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_admin_url_is_plain_http_and_a_host() {
        for text in ["http://127.0.0.1:9180", "http://localhost:9180/", "http://[::1]:9180", "http://forebay"]
        {
            assert_eq!(text.parse::<AdminUrl>().unwrap().to_string(), text.trim_end_matches('/'));
        }
        for text in [
            "", "127.0.0.1:9180", "localhost", "https://localhost", "http://localhost/x", "http://a@b",
            "http://a?x",
        ] {
            assert!(text.parse::<AdminUrl>().is_err(), "{text:?}");
        }
    }
}
