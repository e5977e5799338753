//! The client's address: the socket's, or the one that trusted proxies report.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use http::header::FORWARDED;
use ipnet::IpNet;

/// The address of the client whose request came from `peer` with `headers`. `None` if a trusted proxy sent an
/// unreadable one.
///
/// Forwarding headers count only from a trusted peer. Then the client is the right-most `x-forwarded-for` hop
/// that is not trusted, because the client can forge everything to the left of it. Without that header,
/// `x-real-ip` counts, then `forwarded`.
pub(super) fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> Option<IpAddr> {
    let peer = peer.to_canonical();
    if !is_trusted(peer, trusted) {
        return Some(peer);
    }
    let is_trusted = |address: &IpAddr| is_trusted(*address, trusted);
    let hops = listed(headers, "x-forwarded-for");
    if !hops.is_empty() {
        return right_most(hops.into_iter().map(parsed), is_trusted);
    }
    if let Some(real) = headers.get("x-real-ip") {
        return real.to_str().ok().and_then(parsed);
    }
    let hops = listed(headers, FORWARDED.as_str());
    if !hops.is_empty() {
        return right_most(hops.into_iter().map(forwarded_for), is_trusted);
    }
    Some(peer)
}

/// Whether an address belongs to a trusted proxy.
pub(super) fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    let address = address.to_canonical();
    trusted.iter().any(|net| net.contains(&address))
}

/// Whether the peer address is of a private network, so that many clients may share it: loopback, RFC 1918,
/// link-local and unique local addresses.
pub(super) fn is_private(peer: IpAddr) -> bool {
    match peer.to_canonical() {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

/// The comma-separated values of a header that may occur on several lines, in order. A line that is not text
/// counts as one unreadable value.
fn listed<'h>(headers: &'h HeaderMap, name: &str) -> Vec<&'h str> {
    headers.get_all(name).iter().flat_map(|line| line.to_str().unwrap_or("?").split(',')).collect()
}

fn right_most(
    hops: impl DoubleEndedIterator<Item = Option<IpAddr>>,
    is_trusted: impl Fn(&IpAddr) -> bool,
) -> Option<IpAddr> {
    let mut left_most = None;
    for hop in hops.rev() {
        let address = hop?;
        if !is_trusted(&address) {
            return Some(address);
        }
        left_most = Some(address);
    }
    left_most
}

fn parsed(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse::<IpAddr>().or_else(|_| text.parse::<SocketAddr>().map(|socket| socket.ip()));
    address.ok().map(|address| address.to_canonical())
}

fn forwarded_for(element: &str) -> Option<IpAddr> {
    element
        .split(';')
        .filter_map(|pair| pair.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("for"))
        .and_then(|(_, value)| parsed(value.trim().trim_matches('"')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    #[test]
    fn private_addresses_are_distinguished_from_public_ones() {
        let check = |address: &str, expected: bool| {
            assert_eq!(is_private(address.parse().unwrap()), expected, "{address}");
        };
        for private in ["127.0.0.1", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.0.1"]
        {
            check(private, true);
            check(&format!("::ffff:{private}"), true);
        }
        for private in ["::1", "fc00::1", "fd12:3456::1", "fe80::1"] {
            check(private, true);
        }
        for public in
            ["8.8.8.8", "172.32.0.1", "100.64.0.1", "192.0.2.1", "2001:db8::1", "::ffff:8.8.8.8", "fec0::1"]
        {
            check(public, false);
        }
    }

    #[test]
    fn the_right_most_untrusted_hop_is_the_client() {
        let trusted: Vec<IpNet> =
            ["10.0.0.0/8", "2001:db8::/32"].iter().map(|net| net.parse().unwrap()).collect();
        let check = |peer: &str, sent: &[(&str, &str)], expected: Option<&str>| {
            let mut headers = HeaderMap::new();
            for (name, value) in sent {
                let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
                headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
            }
            let found = client_address(peer.parse().unwrap(), &headers, &trusted);
            assert_eq!(found, expected.map(|ip| ip.parse().unwrap()), "{peer} {sent:?}");
        };
        check("192.0.2.1", &[], Some("192.0.2.1"));
        check("::ffff:192.0.2.1", &[], Some("192.0.2.1"));
        check("192.0.2.1", &[("x-forwarded-for", "198.51.100.7")], Some("192.0.2.1"));
        check("10.0.0.1", &[], Some("10.0.0.1"));
        check("10.0.0.1", &[("x-forwarded-for", "198.51.100.7")], Some("198.51.100.7"));
        check("::ffff:10.0.0.1", &[("x-forwarded-for", "198.51.100.7")], Some("198.51.100.7"));
        check("10.0.0.1", &[("x-forwarded-for", "1.1.1.1, 198.51.100.7, 10.2.3.4")], Some("198.51.100.7"));
        check(
            "10.0.0.1",
            &[("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "198.51.100.7")],
            Some("198.51.100.7"),
        );
        check("10.0.0.1", &[("x-forwarded-for", "10.9.9.9, 10.8.8.8")], Some("10.9.9.9"));
        check("10.0.0.1", &[("x-forwarded-for", "198.51.100.7:4711")], Some("198.51.100.7"));
        check("10.0.0.1", &[("x-forwarded-for", "[2620::7]:4711")], Some("2620::7"));
        check("10.0.0.1", &[("x-forwarded-for", "[2620::7]")], Some("2620::7"));
        check("10.0.0.1", &[("x-forwarded-for", "2620::7, 2001:db8::1")], Some("2620::7"));
        check("10.0.0.1", &[("x-forwarded-for", "1.1.1.1, unknown")], None);
        check("10.0.0.1", &[("x-forwarded-for", "")], None);
        check("10.0.0.1", &[("x-forwarded-for", "\u{e9}")], None);
        check("10.0.0.1", &[("x-real-ip", "198.51.100.8")], Some("198.51.100.8"));
        check("10.0.0.1", &[("x-real-ip", "nonsense")], None);
        check("10.0.0.1", &[("forwarded", "for=198.51.100.9;proto=https")], Some("198.51.100.9"));
        check("10.0.0.1", &[("forwarded", "For=\"[2620::9]:80\", for=10.1.1.1")], Some("2620::9"));
        check("10.0.0.1", &[("forwarded", "for=_hidden")], None);
        check("10.0.0.1", &[("forwarded", "by=10.0.0.3")], None);
    }
}
