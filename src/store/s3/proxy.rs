//! The proxy from the environment (`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`) on the way to the
//! store.
//!
//! The AWS clients use it by themselves. A store on this machine is always reached directly: a proxy on
//! another machine would look for the store on its own machine.

use std::net::IpAddr;

use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use http::Uri;
use hyper_util::client::proxy::matcher::Matcher;

use crate::words::url::bare_host;

/// The address of the proxy for `url`, without user and password. `None` if there is none.
pub(super) fn of(url: &str) -> Option<String> {
    let uri: Uri = url.parse().ok()?;
    if is_loopback(url) {
        return None;
    }
    let proxy = Matcher::from_env().intercept(&uri)?;
    let authority = proxy.uri().authority()?.as_str();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    // An unescaped `/` or `#` in a password ends the authority early: the rest would be shown as the port.
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
    let host = if has_port && proxy.uri().port_u16().is_none() { "…" } else { host };
    Some(format!("{}://{host}", proxy.uri().scheme_str().unwrap_or("http")))
}

/// A client without a proxy, for a service on this machine. `None`: use the default client.
pub fn direct_client(url: Option<&str>) -> Option<SharedHttpClient> {
    let direct = || Builder::new().tls_provider(Provider::Rustls(CryptoMode::AwsLc)).build_https();
    url.is_some_and(is_loopback).then(direct)
}

/// Whether the host of a URL is this machine.
pub fn is_loopback(url: &str) -> bool {
    let uri = url.parse::<Uri>().ok();
    let Some(host) = uri.as_ref().and_then(Uri::host) else { return false };
    let bare = bare_host(host);
    bare.trim_end_matches('.').eq_ignore_ascii_case("localhost")
        // The unspecified address also leads to this machine.
        || bare.parse().is_ok_and(|ip: IpAddr| ip.to_canonical().is_loopback() || ip.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_this_machine_are_recognised() {
        let check = |url: &str, expected: bool| assert_eq!(is_loopback(url), expected, "{url}");
        for here in [
            "http://127.0.0.1:9000",
            "http://localhost",
            "https://LOCALHOST/x",
            "http://[::1]:9000",
            "http://127.8.9.1",
            "http://localhost.:9000",
            "http://0.0.0.0:9000",
            "http://[::]:9000",
        ] {
            check(here, true);
        }
        for elsewhere in ["https://s3.example.com", "http://10.0.0.1", "http://localhost.example.com", ""] {
            check(elsewhere, false);
        }
    }
}
