//! A web address that the configuration names. Its path and query may hold a secret.

use std::fmt;

use super::raw::Typed;
use super::reader;
use super::secret::{self, Outside};
use super::values::refuse_link_local;

/// The URL of a webhook or a function. Its path and query may contain a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct WebAddress(http::Uri);

impl WebAddress {
    /// The whole address.
    pub fn uri(&self) -> &http::Uri {
        &self.0
    }
}

/// Shows only the host.
impl fmt::Debug for WebAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WebAddress({}/…)", self.0.host().unwrap_or_default())
    }
}

/// Reads a URL that is itself a secret, or refers to one; `example` shows the expected form, and stands for a secret
/// that need not be there.
pub(super) fn secret_web_address(
    example: &'static str,
    outside: &Outside<'_>,
) -> impl Fn(&Typed) -> Result<WebAddress, String> {
    move |value| {
        let form = format!("expected a URL such as \"{example}\"");
        let (address, from) = secret::resolve(value, &form, outside)?;
        let stands_in = !outside.secrets_needed && !from.is_empty();
        let text = if stands_in { example } else { address.trim() };
        web_address(example)(&Typed::Text(text.to_owned()))
    }
}

/// Reads a URL; `example` shows the expected form.
pub(super) fn web_address(example: &'static str) -> impl Fn(&Typed) -> Result<WebAddress, String> {
    move |value| {
        let form = || format!("expected a URL such as \"{example}\"");
        let text = reader::text(value).map_err(|_| form())?.trim();
        let uri: http::Uri = text.parse().map_err(|_| form())?;
        let authority = uri.authority().ok_or_else(form)?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) || authority.host().is_empty() {
            return Err(form());
        }
        if authority.as_str().contains('@') {
            return Err(
                "expected a URL without user and password: put a token into its path or query".to_owned()
            );
        }
        refuse_link_local(authority.host())?;
        Ok(WebAddress(uri))
    }
}
