//! The region of each bucket: configured or discovered, and remembered until the store reports another.

use std::collections::BTreeMap;
use std::sync::Mutex;

use crate::lock::lock;

/// The most buckets whose region is remembered. At the limit all are forgotten; discovery costs one request
/// per bucket.
pub const REGIONS_REMEMBERED_MAX: usize = 4_096;

/// The longest region name, in bytes.
const REGION_BYTES_MAX: usize = 32;

/// The region of stores other than AWS, and the first one asked if none is configured.
pub const DEFAULT_REGION: &str = "us-east-1";

/// How regions are determined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegionRule {
    /// All buckets without a configured region are in this one.
    Fixed(String),
    /// Each bucket is asked with `HeadBucket`.
    Find,
}

impl RegionRule {
    /// The rule of a configuration: the configured region; with a custom endpoint the region in its host
    /// name, else us-east-1; without either, each bucket is asked.
    pub fn of(region: Option<&str>, endpoint_url: Option<&str>) -> Self {
        match (region, endpoint_url) {
            (Some(region), _) => Self::Fixed(region.to_owned()),
            (None, Some(url)) => Self::Fixed(region_of_endpoint(url).to_owned()),
            (None, None) => Self::Find,
        }
    }
}

/// The region of a custom endpoint: the one in its host name if that is an AWS host (a VPC endpoint such as
/// `https://bucket.vpce-1a2b.s3.eu-west-1.vpce.amazonaws.com`, or `https://s3.eu-west-1.amazonaws.com`), else
/// us-east-1.
pub fn region_of_endpoint(url: &str) -> &str {
    let named = || {
        let (_, rest) = url.split_once("://")?;
        let host = rest.split(['/', ':']).next()?;
        let host = host.strip_suffix(".cn").unwrap_or(host).strip_suffix(".amazonaws.com")?;
        let host = host.strip_suffix(".vpce").unwrap_or(host);
        let (service, region) = host.rsplit_once('.')?;
        let service = service.rsplit('.').next()?;
        let is_s3 = matches!(service, "s3" | "s3-fips" | "dualstack");
        region_name(region).filter(|region| is_s3 && region.contains('-'))
    };
    named().unwrap_or(DEFAULT_REGION)
}

/// The endpoint without the bucket, if its host begins with the bucket's name: requests name the bucket once
/// more, so a store that knows buckets by their hosts would put `bucket/key` into the bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BucketInHost {
    /// It is one of a store that is known to have such hosts.
    Surely(String),
    /// The store may also be called so.
    Perhaps(String),
}

/// What follows the bucket's name in the hosts of stores, besides names that begin with `s3`.
const BUCKET_HOSTS: [&str; 9] = [
    "aliyuncs.com",
    "amazonaws.com",
    "amazonaws.com.cn",
    "digitaloceanspaces.com",
    "linodeobjects.com",
    "r2.cloudflarestorage.com",
    "storage.googleapis.com",
    "vultrobjects.com",
    "your-objectstorage.com",
];

/// Whether the host of an endpoint begins with the name of a bucket.
pub fn bucket_in_host(url: &str, bucket: &str) -> Option<BucketInHost> {
    let (scheme, rest) = url.split_once("://")?;
    let begin = rest.get(..bucket.len()).filter(|begin| begin.eq_ignore_ascii_case(bucket))?;
    let rest = rest.strip_prefix(begin)?.strip_prefix('.')?;
    let host = rest.split(['/', ':']).next()?.trim_end_matches('.').to_ascii_lowercase();
    let endpoint = format!("{scheme}://{rest}");
    if host.starts_with("vpce-") {
        // The host of a VPC endpoint for all buckets begins with the word `bucket`.
        return None;
    }
    let is_known = BUCKET_HOSTS.iter().any(|known| {
        host.strip_suffix(known).is_some_and(|before| before.is_empty() || before.ends_with('.'))
    });
    let first = host.split('.').next().unwrap_or_default();
    if is_known || first == "s3" || first.starts_with("s3-") {
        Some(BucketInHost::Surely(endpoint))
    } else {
        Some(BucketInHost::Perhaps(endpoint))
    }
}

/// Whether the path of an endpoint ends with the name of a bucket: then the endpoint without it.
pub fn bucket_in_path<'u>(url: &'u str, bucket: &str) -> Option<&'u str> {
    let (endpoint, last) = url.trim_end_matches('/').rsplit_once('/')?;
    (last == bucket && endpoint.split_once("://").is_some_and(|(_, host)| !host.is_empty()))
        .then_some(endpoint)
}

/// The regions of buckets. A region reported by the store takes precedence over the configured one: otherwise
/// a wrong configuration would be refused forever, although each refusal names the correct region.
#[derive(Debug)]
pub struct Regions {
    rule: RegionRule,
    /// `None`: unknown, so the bucket is asked first.
    learned: Mutex<BTreeMap<String, Option<String>>>,
}

impl Regions {
    /// Starts without discovered regions.
    pub fn new(rule: RegionRule) -> Self {
        Self { rule, learned: Mutex::new(BTreeMap::new()) }
    }

    /// The region to use for a bucket, given the one configured for it. `None`: ask the bucket first.
    pub fn of(&self, bucket: &str, configured: Option<&str>) -> Option<String> {
        let learned = lock(&self.learned);
        let known = learned.get(bucket).cloned();
        known.unwrap_or_else(|| self.fallback(configured).map(str::to_owned))
    }

    /// The configured region, for a store that does not report one.
    pub fn fallback<'a>(&'a self, configured: Option<&'a str>) -> Option<&'a str> {
        match &self.rule {
            RegionRule::Fixed(region) => configured.or(Some(region)),
            RegionRule::Find => configured,
        }
    }

    /// Remembers the region of a bucket.
    pub fn learn(&self, bucket: &str, region: &str) {
        self.note(bucket, Some(region.to_owned()));
    }

    /// Handles the answer "another region" to a request sent to region `used`. `named` is the region in that
    /// answer, if any; without it the bucket is asked before its next request.
    pub fn correct(&self, bucket: &str, used: &str, named: Option<&str>) {
        match named {
            Some(region) if region != used => self.learn(bucket, region),
            _ => self.note(bucket, None),
        }
    }

    fn note(&self, bucket: &str, known: Option<String>) {
        let mut learned = lock(&self.learned);
        if learned.len() >= REGIONS_REMEMBERED_MAX && !learned.contains_key(bucket) {
            learned.clear();
        }
        learned.insert(bucket.to_owned(), known);
    }
}

/// A region named by an answer, if it is valid. It becomes part of a host name, so anything else is rejected.
pub fn region_name(text: &str) -> Option<&str> {
    let text = text.trim();
    // `GetBucketLocation` and old answers use `EU` for the first European region.
    let text = if text == "EU" { "eu-west-1" } else { text };
    let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let fits = (1..=REGION_BYTES_MAX).contains(&text.len());
    (fits && text.bytes().all(legal) && !text.starts_with('-') && !text.ends_with('-')).then_some(text)
}

/// The region in the XML of an error (`<Region>` of `AuthorizationHeaderMalformed`).
pub fn region_in_error_body(body: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(body).ok()?;
    let (_, rest) = text.split_once("<Region>")?;
    let (region, _) = rest.split_once("</Region>")?;
    region_name(region)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configured_region_precedes_that_of_the_endpoint_and_discovery() {
        let check = |region, endpoint, rule| assert_eq!(RegionRule::of(region, endpoint), rule);
        check(Some("eu-west-1"), None, RegionRule::Fixed("eu-west-1".into()));
        check(Some("eu-west-1"), Some("http://x"), RegionRule::Fixed("eu-west-1".into()));
        check(None, Some("http://x"), RegionRule::Fixed("us-east-1".into()));
        check(None, Some("https://s3.eu-west-1.amazonaws.com"), RegionRule::Fixed("eu-west-1".into()));
        check(None, None, RegionRule::Find);
    }

    #[test]
    fn an_endpoint_whose_path_ends_with_the_bucket_is_found() {
        let check = |url, without: Option<&str>| assert_eq!(bucket_in_path(url, "lake"), without, "{url}");
        check("https://a.r2.cloudflarestorage.com/lake", Some("https://a.r2.cloudflarestorage.com"));
        check("https://host:9000/storage/lake/", Some("https://host:9000/storage"));
        check("https://host/lake/s3", None);
        check("https://host/my-lake", None);
        check("https://lake", None);
        check("https://host", None);
    }

    #[test]
    fn the_host_of_an_aws_endpoint_names_its_region() {
        let check = |url, region| assert_eq!(region_of_endpoint(url), region, "{url}");
        check("https://bucket.vpce-1a2b-3c4d.s3.eu-west-1.vpce.amazonaws.com", "eu-west-1");
        check("https://vpce-1a2b-3c4d-eu-west-1a.s3.eu-west-1.vpce.amazonaws.com/", "eu-west-1");
        check("https://s3.eu-central-1.amazonaws.com:443/x", "eu-central-1");
        check("https://s3.dualstack.eu-central-1.amazonaws.com", "eu-central-1");
        check("https://s3-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1");
        check("https://s3.cn-north-1.amazonaws.com.cn", "cn-north-1");
        check("https://s3.amazonaws.com", "us-east-1");
        check("https://s3.eu-west-1.example.com", "us-east-1");
        check("http://127.0.0.1:9000", "us-east-1");
    }

    #[test]
    fn a_region_reported_by_the_store_overrides_the_configured_one() {
        let at = |region: &str| Some(region.to_owned());
        let regions = Regions::new(RegionRule::Find);
        assert_eq!(regions.of("b", None), None);
        assert_eq!(regions.of("b", Some("eu-west-1")), at("eu-west-1"));
        regions.correct("b", "eu-west-1", Some("eu-south-1"));
        assert_eq!(regions.of("b", Some("eu-west-1")), at("eu-south-1"));
        regions.correct("b", "eu-south-1", None);
        assert_eq!(regions.of("b", Some("eu-west-1")), None, "the bucket must be asked");
        regions.learn("b", "eu-north-1");
        assert_eq!(regions.of("b", None), at("eu-north-1"));
        regions.correct("b", "eu-north-1", Some("eu-north-1"));
        assert_eq!(regions.of("b", None), None, "a redirect to the same region is not an answer");
    }

    #[test]
    fn remembered_regions_are_bounded() {
        let regions = Regions::new(RegionRule::Find);
        for n in 0..=REGIONS_REMEMBERED_MAX {
            regions.learn(&format!("bucket-{n}"), "eu-west-1");
        }
        assert!(regions.learned.lock().unwrap().len() <= REGIONS_REMEMBERED_MAX);
        let last = format!("bucket-{REGIONS_REMEMBERED_MAX}");
        assert_eq!(regions.of(&last, None), Some("eu-west-1".into()));
    }

    #[test]
    fn only_valid_region_names_are_accepted() {
        let check = |text, name: Option<&str>| assert_eq!(region_name(text), name, "{text:?}");
        check("eu-west-1", Some("eu-west-1"));
        check("EU", Some("eu-west-1"));
        check("evil.example", None);
        check("a/b", None);
        check("eu-west-1@x", None);
        check("", None);
        check("-x", None);
        check("abcdefghijabcdefghijabcdefghijabc", None);
    }

    #[test]
    fn a_region_is_read_from_an_error_body() {
        let check = |body: &str, name: Option<&str>| {
            assert_eq!(region_in_error_body(body.as_bytes()), name, "{body}");
        };
        check("<Error><Code>x</Code><Region>eu-west-3</Region></Error>", Some("eu-west-3"));
        check("<Error><Code>x</Code></Error>", None);
        check("<Region>evil.example</Region>", None);
        check("<Region>eu", None);
    }
}
