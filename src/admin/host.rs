//! Which host names the admin side answers to, and which pages may ask it. Pure.
//!
//! A browser lets a page of `evil.example` talk to any address that `evil.example` resolves to, including
//! this one. The browser still sends `Host: evil.example`, so a list of names stops the page. Numeric
//! addresses cannot be rebound, but only this machine's own are allowed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use http::HeaderMap;
use http::header::{HOST, ORIGIN};
use http::uri::Authority;

use crate::words::url::bare_host;

/// The host names that the admin side answers to.
#[derive(Clone, Debug)]
pub struct AllowedHosts {
    addresses: Vec<IpAddr>,
    names: Vec<String>,
}

/// Why a request is refused before it is processed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Intruder {
    /// No `Host`, more than one, or an unreadable one.
    #[error("exactly one Host header is required")]
    BadHost,
    /// An unknown `Host`.
    #[error("unknown host name: use localhost, or add the name to admin.allowed_hosts")]
    UnknownHost,
    /// A request that a page of another site made a browser send.
    #[error("requests from pages of other sites are not allowed")]
    CrossSite,
}

impl AllowedHosts {
    /// Allows loopback, the listen address (unless it means "all"), and `more`.
    pub fn new(listen: SocketAddr, more: &[String]) -> Self {
        let mut addresses = vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        if !listen.ip().is_unspecified() {
            addresses.push(listen.ip().to_canonical());
        }
        let names =
            more.iter().map(|name| without_dot(name).to_ascii_lowercase()).chain(["localhost".to_owned()]);
        Self { addresses, names: names.collect() }
    }

    /// Checks the `Host` of any request. `local` is this end of the connection: on a listener for all
    /// addresses, the one that the client used.
    /// Errors: [`Intruder`]: answer 400, 421 or 403 and do nothing else.
    pub fn check(&self, headers: &HeaderMap, local: IpAddr) -> Result<(), Intruder> {
        let host = host_header(headers)?;
        let bare = bare_host(host.host());
        let known = match bare.parse::<IpAddr>() {
            Ok(ip) => {
                let ip = ip.to_canonical();
                self.addresses.contains(&ip) || local.to_canonical() == ip || self.names_have(host.host())
            }
            Err(_) => self.names_have(without_dot(bare)),
        };
        if known { Ok(()) } else { Err(Intruder::UnknownHost) }
    }

    fn names_have(&self, host: &str) -> bool {
        self.names.iter().any(|name| name.eq_ignore_ascii_case(host))
    }
}

/// A host name without the dot of the root at its end.
fn without_dot(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

/// The console's URL for a person. If the listener accepts on all addresses, the URL has a name that it
/// answers to.
pub fn console_url(listen: SocketAddr, more: &[String]) -> String {
    if !listen.ip().is_unspecified() {
        return format!("http://{listen}");
    }
    let name = more.first().map_or("localhost", |name| without_dot(name));
    format!("http://{name}:{}", listen.port())
}

/// Checks that a request comes from no page, or from a page of this very host.
/// Errors: [`Intruder::CrossSite`], or [`Intruder::BadHost`] if there is nothing to compare with.
pub fn check_origin(headers: &HeaderMap) -> Result<(), Intruder> {
    let host = host_header(headers)?;
    let own = |origin: &str| {
        origin
            .strip_prefix("http://")
            .or_else(|| origin.strip_prefix("https://"))
            .is_some_and(|authority| authority.eq_ignore_ascii_case(host.as_str()))
    };
    let mut origins = headers.get_all(ORIGIN).iter();
    let from_own_page = origins.all(|origin| origin.to_str().is_ok_and(own));
    // `none` means that a person typed the address, or used a bookmark.
    let mut sites = headers.get_all("sec-fetch-site").iter();
    let from_own_site = sites.all(|site| matches!(site.as_bytes(), b"same-origin" | b"none"));
    if from_own_page && from_own_site { Ok(()) } else { Err(Intruder::CrossSite) }
}

/// The host name that a request was sent to, without its port; in brackets if it is an IPv6 address.
pub(super) fn name(headers: &HeaderMap) -> String {
    host_header(headers).map_or_else(|_| String::new(), |host| host.host().to_owned())
}

fn host_header(headers: &HeaderMap) -> Result<Authority, Intruder> {
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return Err(Intruder::BadHost) };
    let authority = Authority::try_from(host.as_bytes()).map_err(|_| Intruder::BadHost)?;
    if authority.as_str().contains('@') || authority.host().is_empty() {
        return Err(Intruder::BadHost);
    }
    Ok(authority)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(*name, value.parse().unwrap());
        }
        map
    }

    #[test]
    fn only_own_names_are_accepted() {
        let more = ["Forebay.internal".to_owned(), "192.0.2.9".to_owned()];
        let allowed = AllowedHosts::new("10.1.2.3:9180".parse().unwrap(), &more);
        let check = |host: &str, expected| {
            let got = allowed.check(&headers(&[("host", host)]), "10.1.2.4".parse().unwrap());
            assert_eq!(got, expected, "{host}");
        };
        for own in [
            "localhost", "LOCALHOST:9180", "localhost.", "127.0.0.1:9180", "[::1]:9180",
            "[::ffff:127.0.0.1]", "10.1.2.3", "10.1.2.4:1", "forebay.internal:9180", "192.0.2.9",
        ] {
            check(own, Ok(()));
        }
        for other in
            ["evil.example", "localhost.evil.example", "evil-localhost", "10.1.2.5", "127.0.0.2", "0.0.0.0"]
        {
            check(other, Err(Intruder::UnknownHost));
        }
        for bad in ["", "a b", "me@localhost", "localhost/x", "[::1"] {
            check(bad, Err(Intruder::BadHost));
        }
        let local = "127.0.0.1".parse().unwrap();
        assert_eq!(allowed.check(&HeaderMap::new(), local), Err(Intruder::BadHost));
        let two = headers(&[("host", "localhost"), ("host", "evil.example")]);
        assert_eq!(allowed.check(&two, local), Err(Intruder::BadHost));
        // The unspecified address is no valid host name.
        let all = AllowedHosts::new("0.0.0.0:9180".parse().unwrap(), &[]);
        assert_eq!(all.check(&headers(&[("host", "0.0.0.0:9180")]), local), Err(Intruder::UnknownHost));
    }

    #[test]
    fn other_sites_cannot_make_a_browser_ask() {
        let check = |more: &[(&'static str, &str)], expected| {
            let pairs = [&[("host", "localhost:9180")], more].concat();
            assert_eq!(check_origin(&headers(&pairs)), expected, "{more:?}");
        };
        check(&[], Ok(()));
        check(&[("origin", "http://localhost:9180")], Ok(()));
        check(&[("origin", "https://LOCALHOST:9180")], Ok(()));
        check(&[("origin", "http://localhost:9180"), ("sec-fetch-site", "same-origin")], Ok(()));
        check(&[("sec-fetch-site", "none")], Ok(()));
        for origin in
            ["http://evil.example", "http://localhost:3000", "http://localhost", "null", "", "localhost:9180"]
        {
            check(&[("origin", origin)], Err(Intruder::CrossSite));
        }
        check(
            &[("origin", "http://localhost:9180"), ("origin", "http://evil.example")],
            Err(Intruder::CrossSite),
        );
        check(&[("sec-fetch-site", "cross-site")], Err(Intruder::CrossSite));
        check(&[("sec-fetch-site", "same-site")], Err(Intruder::CrossSite));
        for twice in [["same-origin", "cross-site"], ["cross-site", "same-origin"], ["none", ""]] {
            check(&twice.map(|site| ("sec-fetch-site", site)), Err(Intruder::CrossSite));
        }
        check(&[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "same-origin")], Ok(()));
        assert_eq!(check_origin(&HeaderMap::new()), Err(Intruder::BadHost));
    }

    #[test]
    fn the_address_of_the_console_is_one_that_answers() {
        let check = |listen: &str, more: &[&str], url: &str| {
            let more: Vec<String> = more.iter().map(|name| (*name).to_owned()).collect();
            assert_eq!(console_url(listen.parse().unwrap(), &more), url);
        };
        check("127.0.0.1:9180", &["forebay.example"], "http://127.0.0.1:9180");
        check("0.0.0.0:9180", &[], "http://localhost:9180");
        check("[::]:9180", &["forebay.example"], "http://forebay.example:9180");
    }
}
