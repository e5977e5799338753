//! Where a redirect leads, for people. Pure.

use http::Uri;

use super::secrets::Secrets;
use crate::words::outside_text;

/// Where an answer of `from` redirects to: nothing but the host of another server, because the rest may be personal or secret.
pub(super) fn target(from: &str, location: Option<&str>, secrets: &Secrets) -> String {
    let nowhere = || "no address".to_owned();
    let (Ok(from), Some(location)) = (from.parse::<Uri>(), location) else { return nowhere() };
    let Ok(to) = location.parse::<Uri>() else {
        // A path may be relative to that of the request (RFC 9110, 10.2.2).
        return if location.contains("://") { nowhere() } else { elsewhere() };
    };
    let Some(authority) = to.authority().filter(|_| to.scheme().is_some()) else {
        return same_server(&from, &to);
    };
    let host = authority.as_str().rsplit_once('@').map_or(authority.as_str(), |(_, host)| host);
    if from.scheme() == to.scheme() && from.authority().is_some_and(|it| it.as_str() == host) {
        return same_server(&from, &to);
    }
    let scheme = to.scheme_str().unwrap_or_default();
    outside_text(&secrets.hide(&format!("{scheme}://{host}/…"))).to_string()
}

fn same_server(from: &Uri, to: &Uri) -> String {
    let is_slash_alone = from.query() == to.query() && to.path().strip_suffix('/') == Some(from.path());
    if is_slash_alone { "the same address with a / at its end".to_owned() } else { elsewhere() }
}

fn elsewhere() -> String {
    "another path of the same server".to_owned()
}
