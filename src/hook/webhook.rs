//! Reports a closed day or an alarm to a web address by POST.

use std::fmt;

use http::header::{CONTENT_TYPE, HeaderValue, USER_AGENT};
use http::{Method, Request, Uri};
use http_body_util::Full;

use crate::reach::client::{self, Names, WebClient};
use crate::words::with_causes;

/// A web address. Its path and query may hold a secret, so only its host is ever shown.
pub struct Webhook {
    to: Uri,
    client: WebClient,
}

impl Webhook {
    /// A web address, `http` or `https`. Certificates are checked against those that the system trusts.
    /// Errors: the system's trusted certificates cannot be read.
    pub fn new(to: Uri) -> std::io::Result<Self> {
        Ok(Self { to, client: client::web(Names::NotLinkLocal, None)? })
    }

    /// Posts the message. Only a 2xx means success; redirects are not followed.
    pub(super) async fn call(&self, message: Vec<u8>) -> Result<(), String> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(self.to.clone())
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .header(USER_AGENT, HeaderValue::from_static(concat!("forebay/", env!("CARGO_PKG_VERSION"))))
            .body(Full::from(message))
            .map_err(|error| error.to_string())?;
        let answer = self.client.request(request).await.map_err(|error| with_causes(&error))?;
        if answer.status().is_success() { Ok(()) } else { Err(format!("answered {}", answer.status())) }
    }
}

impl fmt::Display for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "webhook {}", self.to.authority().map_or("", |authority| authority.as_str()))
    }
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Webhook({self})")
    }
}
