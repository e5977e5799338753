//! Which region a bucket is in: configured, or found, and remembered until the store says otherwise.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Buckets whose region is remembered. At the limit the memory is emptied: finding again costs one request a bucket.
pub const REGIONS_REMEMBERED_MAX: usize = 4_096;

/// The longest name of a region, in bytes.
const REGION_BYTES_MAX: usize = 32;

/// The region of stores that are not AWS, and the one first asked where nothing is configured.
pub const DEFAULT_REGION: &str = "us-east-1";

/// What is said about regions before any request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegionRule {
    /// Every bucket without a region of its own is in this one.
    Fixed(String),
    /// Each bucket is asked for (`HeadBucket`).
    Find,
}

impl RegionRule {
    /// The rule of a configuration: the region set; with a custom endpoint the one that its host names, else us-east-1;
    /// without either, each bucket is asked.
    pub fn of(region: Option<&str>, endpoint_url: Option<&str>) -> Self {
        match (region, endpoint_url) {
            (Some(region), _) => Self::Fixed(region.to_owned()),
            (None, Some(url)) => Self::Fixed(region_of_endpoint(url).to_owned()),
            (None, None) => Self::Find,
        }
    }
}

/// The region of a store behind an endpoint of its own: named by the host where it is one of AWS (a VPC endpoint,
/// `https://bucket.vpce-1a2b.s3.eu-west-1.vpce.amazonaws.com`, or `https://s3.eu-west-1.amazonaws.com`), else us-east-1.
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

/// Where to send a bucket's requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Where {
    /// To this region.
    Region(String),
    /// The bucket must be asked first.
    Unknown,
}

/// What is known of each bucket. What a store answered stands above what was configured: a configuration that names
/// the wrong region would otherwise be refused for ever, with the right one in every refusal.
#[derive(Debug)]
pub struct Regions {
    rule: RegionRule,
    learned: Mutex<BTreeMap<String, Where>>,
}

impl Regions {
    /// Nothing learned yet.
    pub fn new(rule: RegionRule) -> Self {
        Self { rule, learned: Mutex::new(BTreeMap::new()) }
    }

    /// The region to use for a bucket, given the one configured for it.
    pub fn of(&self, bucket: &str, configured: Option<&str>) -> Where {
        let learned = self.learned.lock().unwrap_or_else(PoisonError::into_inner);
        match (learned.get(bucket), configured, &self.rule) {
            (Some(known), _, _) => known.clone(),
            (None, Some(region), _) => Where::Region(region.to_owned()),
            (None, None, RegionRule::Fixed(region)) => Where::Region(region.clone()),
            (None, None, RegionRule::Find) => Where::Unknown,
        }
    }

    /// Where to go when a bucket cannot say where it is: as configured.
    pub fn fallback<'a>(&'a self, configured: Option<&'a str>) -> Option<&'a str> {
        match (configured, &self.rule) {
            (Some(region), _) => Some(region),
            (None, RegionRule::Fixed(region)) => Some(region),
            (None, RegionRule::Find) => None,
        }
    }

    /// Remembers where a bucket was found.
    pub fn learn(&self, bucket: &str, region: &str) {
        self.note(bucket, Where::Region(region.to_owned()));
    }

    /// A request to `used` was answered with "another region". `named` is the region in that answer, if it had one; else
    /// the bucket is asked before its next request.
    pub fn correct(&self, bucket: &str, used: &str, named: Option<&str>) {
        match named {
            Some(region) if region != used => self.learn(bucket, region),
            _ => self.note(bucket, Where::Unknown),
        }
    }

    fn note(&self, bucket: &str, known: Where) {
        let mut learned = self.learned.lock().unwrap_or_else(PoisonError::into_inner);
        if learned.len() >= REGIONS_REMEMBERED_MAX && !learned.contains_key(bucket) {
            learned.clear();
        }
        learned.insert(bucket.to_owned(), known);
    }
}

/// A region named by an answer, if it can be one. It becomes part of a host name, so nothing else may pass.
pub fn region_name(text: &str) -> Option<&str> {
    let text = text.trim();
    // `GetBucketLocation` and old answers say `EU` for the first European region.
    let text = if text == "EU" { "eu-west-1" } else { text };
    let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let fits = (1..=REGION_BYTES_MAX).contains(&text.len());
    (fits && text.bytes().all(legal) && !text.starts_with('-') && !text.ends_with('-')).then_some(text)
}

/// The region that the XML of an error names (`<Region>` of `AuthorizationHeaderMalformed`).
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
    fn the_rule_is_configured_then_custom_endpoint_then_find() {
        let check = |region, endpoint, rule| assert_eq!(RegionRule::of(region, endpoint), rule);
        check(Some("eu-west-1"), None, RegionRule::Fixed("eu-west-1".into()));
        check(Some("eu-west-1"), Some("http://x"), RegionRule::Fixed("eu-west-1".into()));
        check(None, Some("http://x"), RegionRule::Fixed("us-east-1".into()));
        check(None, Some("https://s3.eu-west-1.amazonaws.com"), RegionRule::Fixed("eu-west-1".into()));
        check(None, None, RegionRule::Find);
    }

    #[test]
    fn the_host_of_an_endpoint_of_aws_names_its_region() {
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
    fn what_the_store_says_stands_above_the_configuration() {
        let at = |region: &str| Where::Region(region.to_owned());
        let regions = Regions::new(RegionRule::Find);
        assert_eq!(regions.of("b", None), Where::Unknown);
        assert_eq!(regions.of("b", Some("eu-west-1")), at("eu-west-1"));
        regions.correct("b", "eu-west-1", Some("eu-south-1"));
        assert_eq!(regions.of("b", Some("eu-west-1")), at("eu-south-1"));
        regions.correct("b", "eu-south-1", None);
        assert_eq!(regions.of("b", Some("eu-west-1")), Where::Unknown, "it must be asked");
        regions.learn("b", "eu-north-1");
        assert_eq!(regions.of("b", None), at("eu-north-1"));
        regions.correct("b", "eu-north-1", Some("eu-north-1"));
        assert_eq!(regions.of("b", None), Where::Unknown, "a redirect to itself is no answer");
    }

    #[test]
    fn the_memory_is_bounded() {
        let regions = Regions::new(RegionRule::Find);
        for n in 0..=REGIONS_REMEMBERED_MAX {
            regions.learn(&format!("bucket-{n}"), "eu-west-1");
        }
        assert!(regions.learned.lock().unwrap().len() <= REGIONS_REMEMBERED_MAX);
        let last = format!("bucket-{REGIONS_REMEMBERED_MAX}");
        assert_eq!(regions.of(&last, None), Where::Region("eu-west-1".into()));
    }

    #[test]
    fn only_a_region_can_become_part_of_a_host_name() {
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
    fn a_region_is_read_from_an_error() {
        let check = |body: &str, name: Option<&str>| {
            assert_eq!(region_in_error_body(body.as_bytes()), name, "{body}");
        };
        check("<Error><Code>x</Code><Region>eu-west-3</Region></Error>", Some("eu-west-3"));
        check("<Error><Code>x</Code></Error>", None);
        check("<Region>evil.example</Region>", None);
        check("<Region>eu", None);
    }
}
