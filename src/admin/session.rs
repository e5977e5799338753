//! `/api/session`: what the caller may do, and the login of the page.

use http::HeaderMap;
use http::header::ORIGIN;
use serde::{Deserialize, Serialize};

use super::access::AccessSettings;
use super::sessions::Role;

/// The answer of `/api/session`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct SessionStatus {
    /// `admin`, `read` or `none`.
    role: &'static str,
    /// Whether the listener asks for a token.
    needs_token: bool,
    /// What the live view shows: `full`, `masked` or `off`.
    live_view: &'static str,
    /// Whether the process is `forebay dev`.
    dev: bool,
}

/// The body of a login.
#[derive(Deserialize)]
pub(super) struct LogIn {
    pub(super) token: String,
}

impl SessionStatus {
    pub(super) fn new(role: Option<Role>, settings: &AccessSettings) -> Self {
        let role = match role {
            Some(Role::Admin) => "admin",
            Some(Role::Read) => "read",
            None => "none",
        };
        Self {
            role,
            needs_token: settings.token.is_some(),
            live_view: settings.live_view.slug(),
            dev: settings.dev,
        }
    }
}

/// Whether the page came over TLS, which a proxy in front has ended. Browsers always send `Origin` with a
/// login, and it has been compared with `Host`; `X-Forwarded-Proto` could be anything.
pub(super) fn over_tls(headers: &HeaderMap) -> bool {
    headers.get(ORIGIN).is_some_and(|origin| origin.as_bytes().starts_with(b"https://"))
}
