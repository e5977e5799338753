//! The URL of a queue, and what follows from it. Pure.

use crate::arn::partition_of;

/// Where a queue is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct QueueAddress {
    url: String,
}

impl QueueAddress {
    /// The queue with this URL.
    /// Errors: it is no URL of a queue; the text says what is expected.
    pub fn parse(url: &str) -> Result<Self, String> {
        let address = Self { url: url.trim().trim_end_matches('/').to_owned() };
        match address.parts() {
            Some((_, path)) if path.ends_with(".fifo") => {
                Err("is a FIFO queue, to which S3 does not send: name a standard queue".to_owned())
            }
            Some((_, path)) if path.split('/').all(|part| !part.is_empty()) => Ok(address),
            _ => Err("expected the URL of a queue, with its account and name behind the host".to_owned()),
        }
    }

    /// The URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The beginning of the URL, without the path, and the path.
    fn parts(&self) -> Option<(&str, &str)> {
        let host_at = self.url.find("://")?.checked_add(3)?;
        let path_at = self.url.get(host_at..)?.find('/')?.checked_add(host_at)?;
        Some((self.url.get(..path_at)?, self.url.get(path_at.checked_add(1)?..)?))
    }

    fn host(&self) -> &str {
        let (start, _) = self.parts().unwrap_or_default();
        let host = start.split_once("://").map_or("", |(_, host)| host);
        host.rsplit_once(':').map_or(host, |(host, _)| host)
    }

    /// What requests are sent to: the host of the URL. `None`: the endpoint of the region, which has other
    /// names (`sqs-fips`).
    pub(super) fn endpoint(&self, other_names: bool) -> Option<&str> {
        let is_of_region = self.host().starts_with("sqs.");
        self.parts().map(|(start, _)| start).filter(|_| !(other_names && is_of_region))
    }

    /// The region, if the host names one: `sqs.REGION.amazonaws.com`, `REGION.queue.amazonaws.com`, or the
    /// endpoint of a network.
    pub fn region(&self) -> Option<&str> {
        let host = self.host();
        let is_aws =
            [".amazonaws.com", ".amazonaws.com.cn", ".api.aws"].iter().any(|end| host.ends_with(end));
        let labels: Vec<&str> = host.split('.').collect();
        let after = labels.iter().position(|label| matches!(*label, "sqs" | "sqs-fips"));
        let before = labels.iter().position(|label| *label == "queue").and_then(|at| at.checked_sub(1));
        let at = after.and_then(|at| at.checked_add(1)).or(before)?;
        labels.get(at).copied().filter(|_| is_aws)
    }

    /// The ARN, if the URL is one of AWS.
    pub fn arn(&self) -> Option<String> {
        let (region, (account, name)) = (self.region()?, self.account_and_name()?);
        let partition = partition_of(region);
        Some(format!("arn:{partition}:sqs:{region}:{account}:{name}"))
    }

    /// The account and the name, if the path has both.
    fn account_and_name(&self) -> Option<(&str, &str)> {
        let (_, path) = self.parts()?;
        let (account, name) = path.split_once('/')?;
        let is_account = account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit());
        (is_account && !name.contains('/')).then_some((account, name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_says_where_requests_go() {
        let check = |url: &str, region: Option<&str>, endpoints: [Option<&str>; 2]| {
            let queue = QueueAddress::parse(url).unwrap();
            assert_eq!(queue.region(), region, "{url}");
            assert_eq!([queue.endpoint(false), queue.endpoint(true)], endpoints, "{url}");
            assert_eq!(queue.account_and_name(), Some(("111122223333", "files")), "{url}");
        };
        let of_region = "https://sqs.eu-west-1.amazonaws.com";
        check(&format!("{of_region}/111122223333/files"), Some("eu-west-1"), [Some(of_region), None]);
        check(&format!("{of_region}/111122223333/files/"), Some("eu-west-1"), [Some(of_region), None]);
        let arn = |url: &str| QueueAddress::parse(url).unwrap().arn();
        let here = "arn:aws:sqs:eu-west-1:111122223333:files".to_owned();
        assert_eq!(arn(&format!("{of_region}/111122223333/files")), Some(here));
        assert_eq!(
            arn("https://sqs.cn-north-1.amazonaws.com.cn/111122223333/files").as_deref(),
            Some("arn:aws-cn:sqs:cn-north-1:111122223333:files")
        );
        let china = "https://sqs.cn-north-1.amazonaws.com.cn";
        check(&format!("{china}/111122223333/files"), Some("cn-north-1"), [Some(china), None]);
        for (start, region) in [
            ("https://eu-west-1.queue.amazonaws.com", Some("eu-west-1")),
            ("https://sqs-fips.us-east-1.amazonaws.com", Some("us-east-1")),
            ("https://vpce-1a2b-3c4d.sqs.eu-west-1.vpce.amazonaws.com", Some("eu-west-1")),
            ("http://127.0.0.1:4566", None),
            ("http://sqs.eu-west-1.localhost:4566", None),
        ] {
            let of_network = start.contains("localhost").then_some(()).map_or(Some(start), |()| None);
            check(&format!("{start}/111122223333/files"), region, [Some(start), of_network]);
        }
    }

    #[test]
    fn what_names_no_queue_is_refused() {
        for url in
            ["https://sqs.eu-west-1.amazonaws.com", "https://sqs.eu-west-1.amazonaws.com/", "files", ""]
        {
            assert!(QueueAddress::parse(url).is_err(), "{url}");
        }
        let fifo = QueueAddress::parse("https://sqs.eu-west-1.amazonaws.com/111122223333/files.fifo");
        assert!(fifo.is_err_and(|what| what.contains("S3 does not send")));
        let other = QueueAddress::parse("http://127.0.0.1:9324/queue/files").unwrap();
        assert_eq!((other.account_and_name(), other.arn()), (None, None));
    }
}
