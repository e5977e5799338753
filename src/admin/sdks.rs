//! How to point SDKs at this collector, as `GET /api/sdks` answers it, with the address and the write key
//! filled in. docs/sdks.md has the same lines; a test compares both.

use serde::Serialize;

/// An SDK, and the code that points it at a collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sdk {
    /// The SDK's name for people.
    pub name: &'static str,
    /// The package, as docs/sdks.md names it.
    pub package: &'static str,
    /// The code. `https://HOST` stands for the address, `HOST` for the address without its scheme, and `K` in
    /// quotes for the write key.
    pub code: &'static str,
    /// The language of the code.
    pub language: &'static str,
    /// Whether the SDK works only with https.
    pub needs_tls: bool,
    /// Whether each test run drives the SDK.
    pub tested: bool,
}

/// Makes the table: name, package, language, whether it needs TLS, whether it is tested, code.
macro_rules! sdks {
    ($(
        $name:literal, $package:literal, $language:literal, tls: $needs_tls:literal, tested: $tested:literal,
            $code:literal;
    )+) => {
        &[$(Sdk {
            name: $name,
            package: $package,
            code: $code,
            language: $language,
            needs_tls: $needs_tls,
            tested: $tested,
        }),+]
    };
}

/// Every SDK that the page offers, those of one platform together.
pub const SDKS: &[Sdk] = sdks! {
    "curl", "curl", "sh", tls: false, tested: true,
        r#"curl -u 'K:' https://HOST/v1/track -d '{"userId":"u1","event":"Hello"}'"#;
    "Node", "@segment/analytics-node", "js", tls: false, tested: true,
        "new Analytics({ writeKey: 'K', host: 'https://HOST' })";
    "Node, earlier", "analytics-node", "js", tls: false, tested: true,
        "new Analytics('K', { host: 'https://HOST' })";
    "Node, Customer.io", "@customerio/cdp-analytics-node", "js", tls: false, tested: true,
        "new Analytics({ writeKey: 'K', host: 'https://HOST' })";
    "Node, RudderStack", "@rudderstack/rudder-sdk-node", "js", tls: false, tested: true,
        "new RudderAnalytics('K', { dataPlaneUrl: 'https://HOST' })";
    "Browser", "@segment/analytics-next", "js", tls: false, tested: true,
        "AnalyticsBrowser.load({ writeKey: 'K', cdnURL: 'https://HOST' })";
    "Browser, RudderStack", "@rudderstack/analytics-js", "js", tls: false, tested: true,
        "analytics.load('K', 'https://HOST', { configUrl: 'https://HOST' })";
    "Browser, Hightouch", "@ht-sdks/events-sdk-js-browser", "js", tls: false, tested: true,
        "HtEventsBrowser.load({ writeKey: 'K' }, { apiHost: 'HOST', protocol: 'https' })";
    "Python", "segment-analytics-python", "python", tls: false, tested: true,
        "analytics.write_key = 'K'; analytics.host = 'https://HOST'";
    "Python, Customer.io", "customerio-cdp-analytics", "python", tls: false, tested: true,
        "analytics.write_key = 'K'; analytics.host = 'https://HOST'";
    "Python, Hightouch", "events-sdk-python", "python", tls: false, tested: true,
        "htevents.write_key = 'K'; htevents.host = 'https://HOST'";
    "Python, RudderStack", "rudder-sdk-python", "python", tls: false, tested: true,
        "analytics.write_key = 'K'; analytics.dataPlaneUrl = 'https://HOST'";
    "Java", "analytics-java", "java", tls: false, tested: true,
        r#"Analytics.builder("K").endpoint("https://HOST").build()"#;
    "Kotlin", "analytics-kotlin", "kotlin", tls: true, tested: true,
        r#"Analytics("K") { apiHost = "HOST/v1"; cdnHost = "HOST/v1" }"#;
    "Rust", "segment", "rust", tls: false, tested: true,
        r#"HttpClient::new(reqwest::Client::new(), "https://HOST".into()).send("K".into(), message)"#;
    "Ruby", "analytics-ruby", "ruby", tls: true, tested: false,
        "Segment::Analytics.new(write_key: 'K', host: 'HOST')";
    "PHP", "analytics-php", "php", tls: true, tested: false, "Segment::init('K', ['host' => 'HOST'])";
    "Go", "analytics-go", "go", tls: false, tested: false,
        r#"analytics.NewWithConfig("K", analytics.Config{Endpoint: "https://HOST"})"#;
    ".NET", "Analytics.NET", "csharp", tls: false, tested: false,
        r#"Analytics.Initialize("K", new Config().SetHost("https://HOST"))"#;
    "C#", "Analytics-CSharp", "csharp", tls: true, tested: false,
        r#"new Configuration("K", apiHost: "HOST/v1", cdnHost: "HOST/v1")"#;
    "Swift", "analytics-swift", "swift", tls: true, tested: false,
        r#"Configuration(writeKey: "K").apiHost("HOST/v1").cdnHost("HOST/v1")"#;
    "React Native", "analytics-react-native", "js", tls: false, tested: false,
        "createClient({ writeKey: 'K', useSegmentEndpoints: true, proxy: 'https://HOST/v1', cdnProxy: 'https://HOST/v1' })";
    "Android, earlier", "analytics-android", "java", tls: true, tested: false,
        r#"new Analytics.Builder(context, "K").defaultApiHost("HOST/v1").build()"#;
    "iOS, earlier", "analytics-ios", "swift", tls: true, tested: false,
        r#"AnalyticsConfiguration(writeKey: "K", defaultAPIHost: URL(string: "https://HOST/v1"))"#;
    "Jitsu", "@jitsu/js", "js", tls: false, tested: false,
        "jitsuAnalytics({ host: 'https://HOST', writeKey: 'K' })";
};

/// Where SDKs reach the collector, and the key of a source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SdkAddress {
    /// Whether the address is https.
    pub tls: bool,
    /// Host, port and path, without a slash at the end. `None`: the host of the request.
    pub host: Option<String>,
    /// The port; `None` if `host` has it, or if it is the scheme's usual one.
    pub port: Option<u16>,
    /// The path before every route: empty, or beginning with a slash.
    pub path: String,
    /// The write key, or a placeholder for it.
    pub key: String,
}

/// The answer of `/api/sdks`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SdkLines {
    /// The address that SDKs need.
    pub address: String,
    /// The code for each SDK.
    pub sdks: Vec<SdkLine>,
}

/// How to point one SDK here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SdkLine {
    /// The SDK's name for people.
    pub name: &'static str,
    /// The code.
    pub code: String,
    /// The language of the code.
    pub language: &'static str,
    /// What to know about the SDK.
    pub note: Option<String>,
}

impl SdkAddress {
    /// Host, port and path; `asked` is the host name of the request.
    fn authority(&self, asked: &str) -> String {
        let host = self.host.as_deref().unwrap_or(asked);
        let port = self.port.map_or_else(String::new, |port| format!(":{port}"));
        format!("{host}{port}{}", self.path)
    }

    /// The address that SDKs need; `asked` is the host name of the request, in brackets if it is an IPv6
    /// address.
    pub fn address(&self, asked: &str) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{}", self.authority(asked))
    }
}

impl SdkLines {
    /// The code of every SDK with the address and key of `place`; `asked` is the host name of the request.
    pub fn new(place: &SdkAddress, asked: &str) -> Self {
        let address = place.address(asked);
        let line = |sdk: &Sdk| SdkLine {
            name: sdk.name,
            code: filled(sdk.code, place, &address, &place.authority(asked)),
            language: sdk.language,
            note: note(sdk, place),
        };
        Self { sdks: SDKS.iter().map(line).collect(), address }
    }
}

fn filled(code: &str, place: &SdkAddress, address: &str, authority: &str) -> String {
    let mut code = code.replace("https://HOST", address).replace("HOST", authority);
    if !place.tls {
        code = code.replace("'https'", "'http'");
    }
    for (quoted, before, after) in [("'K'", "'", "'"), ("\"K\"", "\"", "\""), ("'K:'", "'", ":'")] {
        code = code.replace(quoted, &format!("{before}{}{after}", place.key));
    }
    code
}

fn note(sdk: &Sdk, place: &SdkAddress) -> Option<String> {
    let mut said = Vec::new();
    if sdk.needs_tls && !place.tls {
        said.push(
            "This SDK always uses https: give the collector TLS, or put a proxy with TLS in front of it.",
        );
    }
    if !sdk.tested {
        said.push("The setting is taken from the SDK's source; no test runs this SDK.");
    }
    (!said.is_empty()).then(|| said.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> SdkAddress {
        SdkAddress { tls: false, host: None, port: Some(8080), path: String::new(), key: "web".to_owned() }
    }

    fn code(place: &SdkAddress, name: &str) -> String {
        let lines = SdkLines::new(place, "localhost");
        lines.sdks.into_iter().find(|line| line.name == name).unwrap().code
    }

    #[test]
    fn the_address_and_the_key_are_filled_in() {
        assert_eq!(place().address("[::1]"), "http://[::1]:8080");
        assert_eq!(
            code(&place(), "Node"),
            "new Analytics({ writeKey: 'web', host: 'http://localhost:8080' })"
        );
        assert_eq!(
            code(&place(), "curl"),
            r#"curl -u 'web:' http://localhost:8080/v1/track -d '{"userId":"u1","event":"Hello"}'"#
        );
        assert_eq!(
            code(&place(), "Browser, Hightouch"),
            "HtEventsBrowser.load({ writeKey: 'web' }, { apiHost: 'localhost:8080', protocol: 'http' })"
        );
        let public = SdkAddress {
            tls: true,
            host: Some("collect.example.com".to_owned()),
            port: None,
            path: "/proxy".to_owned(),
            key: "<CHECKOUT_WRITE_KEY>".to_owned(),
        };
        assert_eq!(public.address("localhost"), "https://collect.example.com/proxy");
        assert_eq!(
            code(&public, "Kotlin"),
            r#"Analytics("<CHECKOUT_WRITE_KEY>") { apiHost = "collect.example.com/proxy/v1"; cdnHost = "collect.example.com/proxy/v1" }"#
        );
        for line in SdkLines::new(&public, "localhost").sdks {
            assert!(!line.code.contains("HOST") && !line.code.contains("localhost"), "{line:?}");
            assert!(line.code.contains("<CHECKOUT_WRITE_KEY>"), "{line:?}");
        }
    }

    #[test]
    fn a_note_says_what_does_not_work_as_it_stands() {
        let note = |place: &SdkAddress, name: &str| {
            SdkLines::new(place, "localhost").sdks.into_iter().find(|line| line.name == name).unwrap().note
        };
        let tls = SdkAddress { tls: true, ..place() };
        assert_eq!(note(&place(), "Node"), None);
        assert!(note(&place(), "Kotlin").unwrap().contains("https"));
        assert_eq!(note(&tls, "Kotlin"), None);
        assert!(note(&tls, "PHP").unwrap().contains("no test"));
    }
}
