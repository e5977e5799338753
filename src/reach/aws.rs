//! How the AWS clients reach their services: through the proxy from the environment (`HTTPS_PROXY`,
//! `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`).
//!
//! They would use it by themselves. A store on this machine is always reached directly: a proxy on
//! another machine would look for the store on its own machine.

use std::net::IpAddr;

use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::{BehaviorVersion, ConfigLoader};
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::{Builder, Connector};
use aws_smithy_runtime_api::client::dns::{DnsFuture, ResolveDns, ResolveDnsError};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use http::Uri;
use hyper_util::client::proxy::matcher::Matcher;

use super::client::Names;
use super::no_proxy::NoProxy;
use crate::words::url::bare_host;

/// The address of the proxy for `url`, without user and password. `None` if there is none.
pub fn proxy_of(url: &str) -> Option<String> {
    let uri: Uri = url.parse().ok()?;
    if is_loopback(url) || no_proxy().has(&uri) {
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

/// The SDK configuration from the environment, for every AWS service. It is without the client's stalled-body
/// protection, which steps through every tenth of a second of the wall clock: hours after a step of years
/// (decision 0110). Attempts have their own timeouts.
pub fn sdk_of_environment() -> ConfigLoader {
    aws_config::defaults(BehaviorVersion::latest())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .http_client(http_client())
}

/// Goes through the proxy, but not to this machine and to what `NO_PROXY` has.
fn http_client() -> SharedHttpClient {
    let direct = client(ProxyConfig::disabled);
    if !is_any() {
        return direct;
    }
    SharedHttpClient::new(Sorted { direct, proxied: client(ProxyConfig::from_env), no_proxy: no_proxy() })
}

fn client(proxy: fn() -> ProxyConfig) -> SharedHttpClient {
    Builder::new().build_with_connector_fn(move |settings, components| {
        let mut builder =
            Connector::builder().tls_provider(Provider::Rustls(CryptoMode::AwsLc)).proxy_config(proxy());
        builder.set_connector_settings(settings.cloned());
        builder.set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
        builder.build_with_resolver(NoLinkLocal)
    })
}

/// [`Names::NotLinkLocal`] for the AWS clients. Credentials come from link-local addresses, but from no
/// names of them.
#[derive(Clone, Copy, Debug)]
struct NoLinkLocal;

impl ResolveDns for NoLinkLocal {
    fn resolve_dns<'a>(&'a self, name: &'a str) -> DnsFuture<'a> {
        DnsFuture::new(async move {
            let found = Names::NotLinkLocal.addresses(name).await.map_err(ResolveDnsError::new)?;
            Ok(found.into_iter().map(|address| address.ip()).collect())
        })
    }
}

/// Whether the environment has a proxy at all.
fn is_any() -> bool {
    ["ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY"]
        .iter()
        .any(|name| [(*name).to_owned(), name.to_ascii_lowercase()].iter().any(|name| is_set(name)))
}

/// Whether the environment has this variable, and it is not empty.
fn is_set(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|value| !value.is_empty())
}

/// The hosts of the environment that need no proxy. The AWS clients read these variables, too, but understand
/// fewer forms.
#[expect(
    clippy::disallowed_methods,
    reason = "no setting of Forebay: the AWS clients read the same variables"
)]
fn no_proxy() -> NoProxy {
    let list = std::env::var("NO_PROXY").or_else(|_| std::env::var("no_proxy"));
    NoProxy::parse(&list.unwrap_or_default())
}

/// Sends each request through one of two clients.
#[derive(Debug)]
struct Sorted {
    direct: SharedHttpClient,
    proxied: SharedHttpClient,
    no_proxy: NoProxy,
}

impl HttpClient for Sorted {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let of = |client: &SharedHttpClient| client.http_connector(settings, components);
        SharedHttpConnector::new(Connectors {
            direct: of(&self.direct),
            proxied: of(&self.proxied),
            no_proxy: self.no_proxy.clone(),
        })
    }
}

/// The connectors of one request: direct and by the proxy.
#[derive(Debug)]
struct Connectors {
    direct: SharedHttpConnector,
    proxied: SharedHttpConnector,
    no_proxy: NoProxy,
}

impl HttpConnector for Connectors {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let is_direct =
            is_loopback(request.uri()) || request.uri().parse::<Uri>().is_ok_and(|to| self.no_proxy.has(&to));
        if is_direct { self.direct.call(request) } else { self.proxied.call(request) }
    }
}

/// Whether the host of a URL is this machine.
pub fn is_loopback(url: &str) -> bool {
    let uri = url.parse::<Uri>().ok();
    let Some(host) = uri.as_ref().and_then(Uri::host) else { return false };
    let bare = bare_host(host);
    let name = bare.trim_end_matches('.').to_ascii_lowercase();
    // RFC 6761, 6.3: so do all names below it, which a bucket's name in front of the host makes.
    name == "localhost"
        || name.ends_with(".localhost")
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
            "http://lake.localhost:9000",
        ] {
            check(here, true);
        }
        for elsewhere in ["https://s3.example.com", "http://10.0.0.1", "http://localhost.example.com", ""] {
            check(elsewhere, false);
        }
    }
}
