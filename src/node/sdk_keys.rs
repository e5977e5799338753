//! Tells SDKs where they reach this node, and the console what to show for the write key of a source.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::admin::{AdminError, SdkAddress};
use crate::config::{Collector, Source};
use crate::sources::SourceId;

/// The source that dev mode shows if none is named.
const DEV_SOURCE: &str = "my-app";
/// The number of digits of a key's hash in the id of a source whose key cannot be its id.
const HASHED_DIGITS: usize = 16;

/// The text that replaces the write key of each source.
#[derive(Clone, Debug)]
pub enum SdkKeys {
    /// In `dev`, the key is the id of its source.
    Dev,
    /// In `serve`, keys are secret.
    Placeholders(BTreeMap<SourceId, String>),
}

impl Default for SdkKeys {
    fn default() -> Self {
        Self::Placeholders(BTreeMap::new())
    }
}

impl SdkKeys {
    /// The texts for the configured sources.
    pub fn of(sources: &[Source]) -> Self {
        Self::Placeholders(
            sources.iter().map(|source| (source.id.clone(), source.key_placeholder.clone())).collect(),
        )
    }

    /// The address with the text for the key of `source`, or of any source.
    /// Errors: [`AdminError::UnknownSource`].
    pub(super) fn address(
        &self,
        of_node: &SdkAddress,
        source: Option<&SourceId>,
    ) -> Result<SdkAddress, AdminError> {
        match (self.of_source(source), source) {
            (Some(key), _) => Ok(SdkAddress { key, ..of_node.clone() }),
            (None, Some(unknown)) => Err(AdminError::UnknownSource(unknown.clone())),
            (None, None) => Ok(of_node.clone()),
        }
    }

    /// The sources whose keys are configured.
    #[cfg(feature = "kafka")]
    pub(super) fn sources(&self) -> Vec<SourceId> {
        match self {
            Self::Dev => Vec::new(),
            Self::Placeholders(all) => all.keys().cloned().collect(),
        }
    }

    /// The text for the key of `source`, or of any source; `None` if there is no such source.
    pub fn of_source(&self, source: Option<&SourceId>) -> Option<String> {
        match (self, source) {
            (Self::Dev, None) => Some(DEV_SOURCE.to_owned()),
            (Self::Dev, Some(id)) if is_hashed(id) => Some(format!("<write key of {id}>")),
            (Self::Dev, Some(id)) => Some(id.to_string()),
            (Self::Placeholders(_), None) => Some("<write key>".to_owned()),
            (Self::Placeholders(all), Some(id)) => all.get(id).cloned(),
        }
    }
}

/// Whether the id of a source in dev mode is made of the hash of its key.
fn is_hashed(id: &SourceId) -> bool {
    id.as_str()
        .strip_prefix("k-")
        .is_some_and(|rest| rest.len() == HASHED_DIGITS && rest.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// The address for SDKs of a collector that listens on `public`, and with TLS on `tls`.
pub fn address(collector: &Collector, public: SocketAddr, tls: Option<SocketAddr>) -> SdkAddress {
    let path = collector.path_prefix.clone().unwrap_or_default();
    if let Some(host) = &collector.public_host {
        // A public host name is served over TLS, by this node or by a proxy in front of it.
        return SdkAddress { tls: true, host: Some(host.clone()), port: None, path, key: String::new() };
    }
    SdkAddress { path, ..listening(tls.unwrap_or(public), tls.is_some()) }
}

/// The address for SDKs of a collector that listens on `addr`.
pub fn listening(addr: SocketAddr, tls: bool) -> SdkAddress {
    let host = (!addr.ip().is_unspecified()).then(|| match addr {
        SocketAddr::V4(addr) => addr.ip().to_string(),
        SocketAddr::V6(addr) => format!("[{}]", addr.ip()),
    });
    let usual = if tls { 443 } else { 80 };
    let port = (addr.port() != usual).then_some(addr.port());
    SdkAddress { tls, host, port, path: String::new(), key: String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_the_public_one_or_where_the_collector_listens() {
        let check = |collector: &Collector, public: &str, tls: Option<&str>, expected: &str| {
            let address = address(collector, public.parse().unwrap(), tls.map(|tls| tls.parse().unwrap()));
            assert_eq!(address.address("asked.example"), expected, "{public} {tls:?}");
        };
        let plain = Collector::default();
        check(&plain, "127.0.0.1:8080", None, "http://127.0.0.1:8080");
        check(&plain, "[::1]:80", None, "http://[::1]");
        check(&plain, "0.0.0.0:8080", None, "http://asked.example:8080");
        check(&plain, "0.0.0.0:8080", Some("0.0.0.0:443"), "https://asked.example");
        check(&plain, "127.0.0.1:8080", Some("10.0.0.1:8443"), "https://10.0.0.1:8443");
        let public = Collector {
            public_host: Some("collect.example.com:8443".to_owned()),
            path_prefix: Some("/proxy".to_owned()),
            ..Collector::default()
        };
        check(&public, "0.0.0.0:8080", None, "https://collect.example.com:8443/proxy");
    }

    #[test]
    fn in_dev_the_key_is_the_source_and_else_it_is_not_shown() {
        let id = |text: &str| SourceId::new(text).unwrap();
        assert_eq!(SdkKeys::Dev.of_source(None).unwrap(), "my-app");
        assert_eq!(SdkKeys::Dev.of_source(Some(&id("web"))).unwrap(), "web");
        assert_eq!(SdkKeys::Dev.of_source(Some(&id("k-9"))).unwrap(), "k-9");
        let hashed = id("k-0123456789abcdef");
        assert_eq!(SdkKeys::Dev.of_source(Some(&hashed)).unwrap(), "<write key of k-0123456789abcdef>");
        let keys = SdkKeys::Placeholders(BTreeMap::from([(id("web"), "<WEB_KEY>".to_owned())]));
        assert_eq!(keys.of_source(Some(&id("web"))).unwrap(), "<WEB_KEY>");
        assert_eq!(keys.of_source(None).unwrap(), "<write key>");
        assert_eq!(keys.of_source(Some(&id("ios"))), None);
    }
}
