//! Reports a closed day to a web address by POST.

use std::fmt;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue, USER_AGENT};
use http::{Method, Request, Uri};
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use crate::reach::resolver::NoLinkLocal;
use crate::words::with_causes;

/// A web address. Its path and query may hold a secret, so only its host is ever shown.
pub struct Webhook {
    to: Uri,
    client: Client<HttpsConnector<HttpConnector<NoLinkLocal>>, Full<Bytes>>,
}

impl Webhook {
    /// A web address, `http` or `https`. Certificates are checked against those that the system trusts.
    ///
    /// # Errors
    /// The system's trusted certificates cannot be read.
    pub fn new(to: Uri) -> std::io::Result<Self> {
        let mut http = HttpConnector::new_with_resolver(NoLinkLocal);
        http.enforce_http(false);
        let connector = HttpsConnectorBuilder::new()
            .with_native_roots()?
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        Ok(Self { to, client: Client::builder(TokioExecutor::new()).build(connector) })
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
