//! `NO_PROXY`: the hosts that are reached without the proxy of the environment. Pure.
//!
//! There is no standard. What curl, Go, Python and the AWS tools take is taken here: names with all names
//! below them, with or without a dot or `*.` before them, addresses, ranges of addresses, each also with a
//! port, and `*` for every host.

use std::net::IpAddr;

use http::Uri;
use ipnet::IpNet;

use crate::words::url::bare_host;

/// The hosts that are reached without the proxy.
#[derive(Clone, Debug, Default)]
pub struct NoProxy(Vec<Rule>);

#[derive(Clone, Debug)]
struct Rule {
    hosts: Hosts,
    /// Only this port.
    port: Option<u16>,
}

#[derive(Clone, Debug)]
enum Hosts {
    All,
    Within(IpNet),
    /// This name, and those below it.
    Named(String),
}

impl NoProxy {
    /// Reads a list, separated by commas or blanks.
    pub fn parse(list: &str) -> Self {
        let parts = list.split(|c: char| c == ',' || c.is_whitespace());
        Self(parts.filter(|part| !part.is_empty()).map(Rule::parse).collect())
    }

    /// Whether an address is reached without the proxy.
    pub fn has(&self, to: &Uri) -> bool {
        let Some(host) = to.host() else { return false };
        let port = to.port_u16().unwrap_or(if to.scheme_str() == Some("http") { 80 } else { 443 });
        self.0.iter().any(|rule| rule.port.is_none_or(|only| only == port) && rule.hosts.have(host))
    }
}

impl Rule {
    fn parse(text: &str) -> Self {
        // Of an address of IPv6, a port is only what follows its brackets.
        let ported = text.rsplit_once(':').filter(|(host, _)| !host.contains(':') || host.ends_with(']'));
        match ported.and_then(|(host, port)| Some((host, port.parse().ok()?))) {
            Some((host, port)) => Self { hosts: Hosts::parse(host), port: Some(port) },
            None => Self { hosts: Hosts::parse(text), port: None },
        }
    }
}

impl Hosts {
    fn parse(text: &str) -> Self {
        let bare = bare_host(text);
        if text == "*" {
            return Self::All;
        }
        if let Ok(range) = bare.parse::<IpNet>() {
            return Self::Within(range);
        }
        if let Ok(ip) = bare.parse::<IpAddr>() {
            return Self::Within(ip.to_canonical().into());
        }
        let name = text.strip_prefix('*').unwrap_or(text).trim_start_matches('.');
        Self::Named(name.trim_end_matches('.').to_ascii_lowercase())
    }

    fn have(&self, host: &str) -> bool {
        let ip = bare_host(host).parse::<IpAddr>().map(|ip| ip.to_canonical());
        match self {
            Self::All => true,
            Self::Within(range) => ip.is_ok_and(|ip| range.contains(&ip)),
            Self::Named(name) => {
                let host = host.trim_end_matches('.').to_ascii_lowercase();
                let before = host.strip_suffix(name.as_str());
                ip.is_err() && !name.is_empty() && before.is_some_and(|it| it.is_empty() || it.ends_with('.'))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_usual_form_is_understood() {
        let check = |list: &str, direct: &[&str], through: &[&str]| {
            let has = |url: &&&str| NoProxy::parse(list).has(&url.parse().unwrap());
            assert_eq!(direct.iter().filter(|url| !has(url)).count(), 0, "{list}: {direct:?}");
            assert_eq!(through.iter().filter(has).count(), 0, "{list}: {through:?}");
        };
        for list in
            ["internal", ".internal", "*.internal", "a.example, *.INTERNAL. ,b.example", "x *.internal"]
        {
            check(
                list,
                &["https://s3.internal", "http://a.b.Internal:9000/x", "https://s3.internal./"],
                &["https://s3.internal.example", "https://s3internal", "https://10.0.0.1"],
            );
        }
        check(
            "s3.internal:9000",
            &["http://s3.internal:9000/b", "http://a.s3.internal:9000"],
            &["http://s3.internal"],
        );
        check(
            "s3.internal:443",
            &["https://s3.internal"],
            &["http://s3.internal", "https://s3.internal:8443"],
        );
        check("*.internal:80", &["http://s3.internal"], &["https://s3.internal"]);
        check("*", &["https://s3.example", "http://10.0.0.1", "http://[::2]"], &[]);
        check(
            "10.0.0.0/8",
            &["http://10.1.2.3:9000", "http://[::ffff:10.1.2.3]"],
            &["http://11.0.0.1", "http://10.example"],
        );
        check("10.0.0.1", &["http://10.0.0.1:9000"], &["http://10.0.0.10", "http://110.0.0.1"]);
        check("10.0.0.1:9000", &["http://10.0.0.1:9000"], &["http://10.0.0.1"]);
        check("fd00::/8", &["http://[fd00::1]:9000"], &["http://[fe00::1]"]);
        check("fd00::9", &["http://[fd00::9]"], &["http://[fd00::1]"]);
        check("[fd00::1]:9000", &["http://[fd00::1]:9000"], &["http://[fd00::1]"]);
        check("[fd00::1]", &["http://[fd00::1]:9000"], &["http://[fd00::2]"]);
        check("", &[], &["https://s3.example"]);
        check(",. ,", &[], &["https://s3.example", "https://10.0.0.1"]);
    }
}
