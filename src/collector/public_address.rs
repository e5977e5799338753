//! The address at which SDKs reach the collector: configured, or taken from the request.

use http::header::{FORWARDED, HOST};
use http::uri::Authority;
use http::{HeaderMap, Uri};

/// The scheme and host by which SDKs reach the collector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicAddress {
    /// `http` or `https`.
    pub scheme: &'static str,
    /// The host, and the port if it is not the scheme's default. `None` if the request names no host.
    pub host: Option<String>,
    /// Whether the address was taken from the request, so that another request may get another address.
    pub of_request: bool,
}

/// What a request says about the address it was sent to.
#[derive(Clone, Copy, Debug)]
pub struct SentTo<'r> {
    /// The request's target.
    pub uri: &'r Uri,
    /// The request's headers.
    pub headers: &'r HeaderMap,
    /// Whether the request came to the TLS listener.
    pub tls: bool,
    /// Whether the peer is a trusted proxy.
    pub by_trusted_proxy: bool,
}

/// The address to give to SDKs. `configured` may begin with a scheme; without one it means https.
pub fn public_address(configured: Option<&str>, sent_to: SentTo<'_>) -> PublicAddress {
    if let Some(host) = configured {
        let (scheme, host) = match (host.strip_prefix("http://"), host.strip_prefix("https://")) {
            (Some(rest), _) => ("http", rest),
            (None, Some(rest)) => ("https", rest),
            (None, None) => ("https", host),
        };
        let host = Some(host.trim_end_matches('/').to_owned());
        return PublicAddress { scheme, host, of_request: false };
    }
    let SentTo { uri, headers, tls, by_trusted_proxy } = sent_to;
    let forwarded = |name, member| {
        let found =
            by_trusted_proxy.then(|| first(headers, name).or_else(|| first_forwarded(headers, member)));
        found.flatten()
    };
    let named = || uri.authority().map(Authority::as_str).or_else(|| headers.get(HOST)?.to_str().ok());
    let host = forwarded("x-forwarded-host", "host").and_then(valid).or_else(|| valid(named()?));
    let scheme = match forwarded("x-forwarded-proto", "proto") {
        Some(proto) if proto.eq_ignore_ascii_case("https") => "https",
        Some(proto) if proto.eq_ignore_ascii_case("http") => "http",
        _ if tls => "https",
        _ => "http",
    };
    PublicAddress { scheme, host, of_request: true }
}

/// The first of a header's comma-separated values: the one written by the proxy nearest to the client.
fn first<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()?.split(',').next().map(str::trim)
}

/// A parameter of the first element of `Forwarded` (RFC 7239).
fn first_forwarded<'h>(headers: &'h HeaderMap, member: &str) -> Option<&'h str> {
    let pairs = first(headers, FORWARDED.as_str())?.split(';').filter_map(|pair| pair.split_once('='));
    let mut pairs = pairs.filter(|(name, _)| name.trim().eq_ignore_ascii_case(member));
    pairs.next().map(|(_, value)| value.trim().trim_matches('"'))
}

fn valid(host: &str) -> Option<String> {
    let authority = host.trim().parse::<Authority>().ok()?;
    let has_port = authority.as_str() != authority.host();
    let fits = !authority.host().is_empty()
        && !authority.as_str().contains('@')
        && (!has_port || authority.port_u16().is_some());
    fits.then(|| authority.as_str().to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        let line = |(name, value): &(&str, &str)| {
            (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap())
        };
        lines.iter().map(line).collect()
    }

    fn of(configured: Option<&str>, uri: &str, lines: &[(&str, &str)], tls: bool, proxy: bool) -> String {
        let (uri, headers) = (uri.parse().unwrap(), headers(lines));
        let found =
            public_address(configured, SentTo { uri: &uri, headers: &headers, tls, by_trusted_proxy: proxy });
        assert_eq!(found.of_request, configured.is_none());
        format!("{}://{}", found.scheme, found.host.as_deref().unwrap_or("-"))
    }

    #[test]
    fn a_configured_address_wins_over_the_request() {
        let check = |configured: &str, expected: &str| {
            let lines = [("host", "x.example"), ("x-forwarded-host", "y.example")];
            assert_eq!(of(Some(configured), "/", &lines, false, true), expected);
        };
        check("c.example", "https://c.example");
        check("https://c.example/", "https://c.example");
        check("http://127.0.0.1:8080", "http://127.0.0.1:8080");
    }

    #[test]
    fn without_configuration_the_request_names_the_address() {
        let check = |uri: &str, lines: &[(&str, &str)], tls: bool, expected: &str| {
            assert_eq!(of(None, uri, lines, tls, false), expected, "{uri} {lines:?}");
        };
        check("/", &[("host", "Laptop.local:8080")], false, "http://laptop.local:8080");
        check("/", &[("host", "c.example")], true, "https://c.example");
        check("/", &[("host", "[::1]:8080")], false, "http://[::1]:8080");
        check("https://h2.example/x", &[], true, "https://h2.example");
        check("/", &[("host", "c.example"), ("x-forwarded-host", "evil.example")], false, "http://c.example");
        for host in ["", "a b", "u@c.example", "c.example:x", "c.example/v1", "\"", "c.example:99999"] {
            check("/", &[("host", host)], false, "http://-");
        }
        check("/", &[], false, "http://-");
    }

    #[test]
    fn a_trusted_proxy_names_the_original_address() {
        let check = |lines: &[(&str, &str)], expected: &str| {
            let lines = [&[("host", "10.0.0.1:8080")], lines].concat();
            assert_eq!(of(None, "/", &lines, false, true), expected, "{lines:?}");
        };
        check(&[], "http://10.0.0.1:8080");
        check(&[("x-forwarded-proto", "https")], "https://10.0.0.1:8080");
        check(
            &[("x-forwarded-host", "c.example"), ("x-forwarded-proto", "HTTPS, http")],
            "https://c.example",
        );
        check(
            &[("forwarded", "for=1.2.3.4;host=\"c.example:8443\";proto=https, for=x")],
            "https://c.example:8443",
        );
        check(&[("x-forwarded-host", "a b")], "http://10.0.0.1:8080");
        check(&[("x-forwarded-proto", "gopher")], "http://10.0.0.1:8080");
    }
}
