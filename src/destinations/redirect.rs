//! Where a redirect leads, for people. Pure.

use http::Uri;

use super::secrets::Secrets;
use crate::words::{Told, outside_text};

/// Where an answer of `from` redirects to: nothing but the host of another server, because the rest may be
/// personal or secret. That host is private, too: some services have one for each customer.
pub(super) fn target(from: &str, location: Option<&str>, secrets: &Secrets) -> Told {
    let nowhere = || "no address".into();
    let (Ok(from), Some(location)) = (from.parse::<Uri>(), location) else { return nowhere() };
    // An address without its scheme has that of the request.
    let with_scheme =
        location.starts_with("//").then(|| format!("{}:{location}", from.scheme_str().unwrap_or("http")));
    let location = with_scheme.as_deref().unwrap_or(location);
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
    let shown = outside_text(&secrets.hide(&format!("{scheme}://{host}/…"))).to_string();
    let same_host = from.host().zip(to.host()).is_some_and(|(from, to)| from.eq_ignore_ascii_case(to));
    if same_host { Told::plain(shown) } else { Told::masked_as(shown, "another server") }
}

fn same_server(from: &Uri, to: &Uri) -> Told {
    let is_slash_alone = from.query() == to.query() && to.path().strip_suffix('/') == Some(from.path());
    if is_slash_alone { "the same address with a / at its end".into() } else { elsewhere() }
}

fn elsewhere() -> Told {
    "another path of the same server".into()
}
