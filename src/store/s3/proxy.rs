//! The proxy of the environment (`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`), where one stands before the store.
//!
//! The clients of AWS take it by themselves. A store on this machine is never asked through one: a proxy elsewhere would look
//! for it on its own machine.

use std::net::IpAddr;

use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use http::Uri;
use hyper_util::client::proxy::matcher::Matcher;

/// The address of the proxy through which `url` is asked, without user and password. `None` where there is none.
pub(super) fn of(url: &str) -> Option<String> {
    let uri: Uri = url.parse().ok()?;
    if is_loopback(url) {
        return None;
    }
    let proxy = Matcher::from_env().intercept(&uri)?;
    let authority = proxy.uri().authority()?.as_str();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    // A password with a raw `/` or `#` ends the address early: what is left of it would be shown as the port.
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
    let host = if has_port && proxy.uri().port_u16().is_none() { "…" } else { host };
    Some(format!("{}://{host}", proxy.uri().scheme_str().unwrap_or("http")))
}

/// A client that asks no proxy, for a service whose address is of this machine. `None`: the ordinary client is right.
pub fn direct_client(url: Option<&str>) -> Option<SharedHttpClient> {
    let direct = || Builder::new().tls_provider(Provider::Rustls(CryptoMode::AwsLc)).build_https();
    url.is_some_and(is_loopback).then(direct)
}

/// Whether a URL's host is this machine.
pub fn is_loopback(url: &str) -> bool {
    let uri = url.parse::<Uri>().ok();
    let Some(host) = uri.as_ref().and_then(Uri::host) else { return false };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.trim_end_matches('.').eq_ignore_ascii_case("localhost")
        // What is no address of anybody's leads to this machine, too.
        || bare.parse().is_ok_and(|ip: IpAddr| ip.to_canonical().is_loopback() || ip.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_known_by_its_names() {
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
