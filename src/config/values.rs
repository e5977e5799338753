//! Value types that only the configuration uses, each validated when parsed.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use ipnet::IpNet;

use crate::call::Validation;
use crate::destinations::request::Invocation;
use crate::live::Mode;
use crate::reach::link_local::is_link_local;
use crate::store::PutMode;
use crate::store::s3::Checksums;
use crate::words::url::bare_host;

/// What a setting may say, and what each word means.
pub(super) type Words<T> = &'static [(&'static str, T)];

pub(super) const VALIDATION: Words<Validation> =
    &[("permissive", Validation::Permissive), ("strict", Validation::Strict)];
/// Whether an unknown write key is accepted.
pub(super) const UNKNOWN_KEY: Words<bool> = &[("reject", false), ("accept", true)];
/// Whether damage stops the process.
pub(super) const ON_CORRUPTION: Words<bool> = &[("continue", false), ("stop", true)];
/// Whether the bucket's owner gets full control of objects.
pub(super) const ACL: Words<bool> = &[("bucket-owner-full-control", true)];
/// Whether the header `Content-Encoding` is sent.
pub(super) const CONTENT_ENCODING: Words<bool> = &[("gzip", true), ("none", false)];
/// Whether calls are sent in batches.
pub(super) const MODE: Words<bool> = &[("event", false), ("batch", true)];
pub(super) const CHECKSUMS: Words<Checksums> =
    &[("auto", Checksums::Auto), ("when-required", Checksums::WhenRequired)];
pub(super) const PUT: Words<PutMode> =
    &[("create-only", PutMode::CreateOnly), ("overwrite", PutMode::Overwrite)];
/// The name of a form of notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoticeFormName {
    Json,
    Slack,
    Teams,
    PagerDuty,
}

pub(super) const NOTICE_FORM: Words<NoticeFormName> = &[
    ("json", NoticeFormName::Json),
    ("slack", NoticeFormName::Slack),
    ("teams", NoticeFormName::Teams),
    ("pagerduty", NoticeFormName::PagerDuty),
];
pub(super) const LIVE_VIEW: Words<Mode> =
    &[("full", Mode::Full), ("masked", Mode::Masked), ("off", Mode::Off)];
pub(super) const INVOCATION: Words<Invocation> =
    &[("RequestResponse", Invocation::RequestResponse), ("Event", Invocation::Event)];
/// Whether the end of the function's log is asked for.
pub(super) const LOG_TYPE: Words<bool> = &[("None", false), ("Tail", true)];
/// Whether calls of a user stay in order.
pub(super) const ORDER_BY: Words<bool> = &[("", false), ("userId", true)];

/// TLS, on a separate listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Where it listens.
    pub listen: SocketAddr,
    /// PEM file with the certificate and its chain.
    pub cert: PathBuf,
    /// PEM file with the private key.
    pub key: PathBuf,
}

/// The URL of a store or service other than AWS's own endpoint: `http` or `https`, never a link-local
/// address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint(String);

impl Endpoint {
    /// Parses a URL. Errors: what is wrong, in words. The text does not repeat the URL.
    pub fn parse(text: &str) -> Result<Self, String> {
        let examples = "\"https://s3.example.com\" or \"http://127.0.0.1:9000\"";
        base_address(text, examples, "credentials come from the AWS credential chain").map(Self)
    }

    /// The URL, without a slash at the end.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

shown_as_text!(Endpoint);

/// A URL to whose end a path can be added: without query, user and password. `examples` show the form, and
/// `credentials` says where these are from.
/// Errors: what is wrong, in words. The text does not repeat the URL.
pub(super) fn base_address(text: &str, examples: &str, credentials: &str) -> Result<String, String> {
    let form = || format!("expected a URL such as {examples}");
    let text = text.trim().trim_end_matches('/');
    let uri: http::Uri = text.parse().map_err(|_| form())?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err("expected a URL that begins with http:// or https://".to_owned());
    }
    let authority = uri.authority().ok_or_else(form)?;
    if authority.as_str().contains('@') {
        return Err(format!("expected a URL without user and password: {credentials}"));
    }
    if uri.query().is_some() || text.contains('#') || authority.host().is_empty() {
        return Err(form());
    }
    refuse_link_local(authority.host())?;
    Ok(text.to_owned())
}

/// Refuses link-local addresses: clouds serve instance credentials there, and no store uses them.
pub(super) fn refuse_link_local(host: &str) -> Result<(), String> {
    let bare = bare_host(host);
    let last_label = bare.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    match bare.parse::<IpAddr>() {
        Ok(ip) if is_link_local(ip) => {}
        Ok(_) => return Ok(()),
        // Resolvers accept `2852039166` and `0xa9fe.1` as addresses; no host name ends in a number.
        Err(_) if last_label.starts_with("0x") || last_label.bytes().all(|b| b.is_ascii_digit()) => {
            return Err("expected a host name or an address in its usual form".to_owned());
        }
        Err(_) => return Ok(()),
    }
    Err("a link-local address cannot be an endpoint".to_owned())
}

/// The name of this node in object keys.
pub(super) fn node(text: &str) -> Option<String> {
    let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let fits = (1..=32).contains(&text.len()) && text.bytes().all(legal);
    fits.then(|| text.to_owned())
}

/// A minute of every hour, written as `:40`.
pub(super) fn minute_of_hour(text: &str) -> Option<u8> {
    let digits = text.strip_prefix(':')?;
    let fits = digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit());
    digits.parse().ok().filter(|minute| fits && *minute < 60)
}

/// An address range or a single address.
pub(super) fn address_range(text: &str) -> Result<IpNet, String> {
    let text = text.trim();
    text.parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| format!("{text:?}: expected an address or a range such as \"10.0.0.0/8\""))
}

/// `scheme://host` or `scheme://host:port`, in lower case as browsers send it.
pub(super) fn origin(text: &str) -> Result<String, String> {
    let text = text.trim().to_ascii_lowercase();
    let fits = text.parse::<http::Uri>().is_ok_and(|uri| {
        let path = uri.path_and_query().map_or("", |path| path.as_str());
        uri.scheme().is_some() && uri.authority().is_some() && path == "/" && !text.ends_with('/')
    });
    match fits {
        true => Ok(text),
        false => Err(format!("{text:?}: expected an origin such as \"https://www.example.com\"")),
    }
}

/// A host name or address; with a port only if `port` allows one.
pub(super) fn host(text: &str, port: bool) -> Result<String, String> {
    let text = text.trim().to_ascii_lowercase();
    // An authority may have more, such as a comma, which separates the hosts of an environment variable.
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
    let fits = text.parse::<http::uri::Authority>().is_ok_and(|authority| {
        !authority.host().is_empty()
            && text.bytes().all(legal)
            && (port || authority.as_str() == authority.host())
            && (authority.as_str() == authority.host() || authority.port_u16().is_some())
    });
    let form = if port { "a host such as \"collect.example.com\"" } else { "a host name without a port" };
    match fits {
        true => Ok(text),
        false => Err(format!("{text:?}: expected {form}, without http:// and without a path")),
    }
}

/// The name of a library, or the beginning of one followed by `*`.
pub(super) fn library(text: &str) -> Result<String, String> {
    let text = text.trim();
    let name = text.strip_suffix('*').unwrap_or(text);
    // A comma separates the names of an environment variable.
    let fits =
        (1..=256).contains(&name.len()) && !name.contains(|c: char| matches!(c, '*' | ',') || c.is_control());
    fits.then(|| text.to_owned())
        .ok_or_else(|| format!("{text:?}: expected a library name, or the beginning of one followed by *"))
}

/// A path before every route, such as `/proxy`. No slash at the end.
pub(super) fn path_prefix(text: &str) -> Result<String, String> {
    let path = text.trim_end_matches('/');
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    let fits = path.len() <= 256
        && path.strip_prefix('/').is_some_and(|rest| {
            rest.split('/')
                .all(|part| !part.is_empty() && part != "." && part != ".." && part.bytes().all(legal))
        });
    if fits { Ok(path.to_owned()) } else { Err("expected a path such as \"/proxy\"".to_owned()) }
}

/// A region name of AWS or another store.
pub(super) fn region(text: &str) -> Result<String, String> {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    let fits = (1..=64).contains(&text.len()) && text.bytes().all(legal);
    if fits { Ok(text.to_owned()) } else { Err("expected a region such as \"eu-central-1\"".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_http_and_never_link_local() {
        let check = |text: &str, expected: Result<&str, &str>| {
            let got = Endpoint::parse(text).map(|endpoint| endpoint.to_string());
            match (got, expected) {
                (Ok(got), Ok(expected)) => assert_eq!(got, expected),
                (Err(got), Err(expected)) => assert!(got.contains(expected), "{text}: {got}"),
                (got, _) => panic!("{text}: {got:?}"),
            }
        };
        check("http://127.0.0.1:9000", Ok("http://127.0.0.1:9000"));
        check("https://s3.example.com/", Ok("https://s3.example.com"));
        check("http://[::1]:9000", Ok("http://[::1]:9000"));
        check("https://gateway.example.com/s3", Ok("https://gateway.example.com/s3"));
        check("http://169.254.169.254", Err("link-local"));
        check("http://169.254.170.2:80/x", Err("link-local"));
        check("http://[fe80::1]", Err("link-local"));
        check("http://[::ffff:169.254.169.254]", Err("link-local"));
        check("http://[fd00:ec2::254]", Err("link-local"));
        check("http://[64:ff9b::a9fe:a9fe]", Err("link-local"));
        check("http://[64:ff9b:1::a9fe:a9fe]:80/x", Err("link-local"));
        check("http://[2002:a9fe:a9fe::1]", Err("link-local"));
        check("http://2852039166", Err("usual form"));
        check("http://0xa9fea9fe", Err("usual form"));
        check("http://169.254.43518", Err("usual form"));
        check("ftp://s3.example.com", Err("http:// or https://"));
        check("file:///etc/passwd", Err("such as"));
        check("s3.example.com", Err("http:// or https://"));
        check("https://me:secret@s3.example.com", Err("without user and password"));
        check("https://s3.example.com?x=1", Err("such as"));
        check("", Err("such as"));
        assert!(!Endpoint::parse("https://me:secret@s3.example.com").unwrap_err().contains("secret"));
    }

    #[test]
    fn small_values_accept_only_their_form() {
        assert_eq!(minute_of_hour(":40"), Some(40));
        assert_eq!(minute_of_hour(":00"), Some(0));
        for text in ["40", ":60", ":4", ":", ":+4", ":040", ""] {
            assert_eq!(minute_of_hour(text), None, "{text:?}");
        }
        assert_eq!(node("node-1").as_deref(), Some("node-1"));
        for text in ["", "Node", "a.b", "a_b", &"a".repeat(33)] {
            assert_eq!(node(text), None, "{text:?}");
        }
        assert_eq!(address_range("10.0.0.0/8").unwrap().to_string(), "10.0.0.0/8");
        assert_eq!(address_range("::1").unwrap().to_string(), "::1/128");
        assert!(address_range("10.0.0.0/40").is_err());
        assert_eq!(origin("https://Shop.example.com:8443").unwrap(), "https://shop.example.com:8443");
        for text in
            ["shop.example.com", "https://shop.example.com/", "https://shop.example.com/x", "null", ""]
        {
            assert!(origin(text).is_err(), "{text:?}");
        }
        assert_eq!(host("Collect.example.com:8443", true).unwrap(), "collect.example.com:8443");
        assert!(host("collect.example.com:8443", false).is_err());
        for text in ["https://x.example.com", "x/y", "", "a@b", "x:", "x:99999", ",", "a,b"] {
            assert!(host(text, true).is_err(), "{text:?}");
        }
        assert_eq!(library(" analytics-ios* ").unwrap(), "analytics-ios*");
        for text in ["", "*", "a*b", "a**", "a\nb", "a,b"] {
            assert!(library(text).is_err(), "{text:?}");
        }
        assert_eq!(path_prefix("/proxy/a/").unwrap(), "/proxy/a");
        for text in ["proxy", "/", "", "/a//b", "/a/../b", "/a b", "/a%20"] {
            assert!(path_prefix(text).is_err(), "{text:?}");
        }
        assert!(region("eu-central-1").is_ok());
        for text in ["", "eu central", "a.b"] {
            assert!(region(text).is_err(), "{text:?}");
        }
    }
}
